/* A reboot that is a step of a run: ordered on the same way as one that was asked for on the wire. */
#include "target/work.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <errno.h>

/* The step is over, and the machine did not go down. */
static void over(struct target *t, struct runq_run *run, enum verdict verdict, const char *cause) {
        const struct runq_result result = {.verdict = verdict, .cause = cause, .exit_status = -1};

        if (runq_exited(t->runq, run, run->step, &result) < 0)
                target_starve(t);
        target_kick(t);
}

void work_reboot(struct work *w, unsigned step) {
        struct target *t = w->target;

        (void)step;
        if (runq_at_leave(w->run)) {
                if (leave_for(t, w->run) < 0)
                        runq_record_failed(t->runq, w->run, target_now());
                return;
        }
        /* Somebody else's reboot would do as well; should it come to nothing, ours is next. */
        if (going_for(t, w->run, w->run->steps[w->run->step - 1].force) < 0)
                runq_record_failed(t->runq, w->run, target_now());
}

void work_reboot_kill(struct work *w, unsigned step) {
        (void)step;
        if (runq_at_leave(w->run) || going_stop(w->target, w->run))
                over(w->target, w->run, VERDICT_CANCELLED, NULL);
}

void work_reboot_failed(struct target *t, struct runq_run *run, const char *trouble) {
        CLEANUP(buf_done) struct buf text = {0};

        if (run->phase != RUNQ_REBOOTING)
                return;
        if (trouble) {
                buf_printf(&text, "the reboot failed: %s", trouble);
                over(t, run, VERDICT_NOT_RUN, buf_text(&text));
        } else if (run->cancel_asked) {
                over(t, run, VERDICT_CANCELLED, "the reboot had been ordered");
        }
}
