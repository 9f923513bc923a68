/* How much of the disk a run's output may take, and what is known of those that wait for room. */
#include "proto/base/log.h"
#include "target/step/step.h"
#include "target/work.h"

#include <string.h>

#define TAIL_LEAST 65536 /* a step of a run that used up its budget still shows how it ends */

static uint64_t output_size(const struct work *w, unsigned step, unsigned attempt) {
        char name[STEP_NAME_SIZE];
        uint64_t size;

        return rundir_has(w->target->rundir, w->run->id, step_file(step, attempt, "out", name),
                          &size) > 0
                       ? size
                       : 0;
}

/*
 * The smaller of what the plan asks for and the configuration grants, less what the run's earlier steps printed.
 * 0: as much as it likes.
 */
uint64_t step_room(const struct work *w, const struct plan *plan) {
        struct target *t = w->target;
        uint64_t budget = t->config->disk_budget, used = 0;

        if (plan->disk_budget && (!budget || plan->disk_budget < budget))
                budget = plan->disk_budget;
        if (!budget)
                return 0;
        for (unsigned step = 1; step < w->run->step; step++)
                for (unsigned attempt = 1; attempt <= PLAN_RETRIES_MAX + 1; attempt++)
                        used += output_size(w, step, attempt);
        for (unsigned attempt = 1; attempt < w->run->attempt; attempt++)
                used += output_size(w, w->run->step, attempt);
        budget = budget > used ? budget - used : 0;
        if (plan->head_tail && budget < TAIL_LEAST && used > 0)
                return TAIL_LEAST;
        return budget ? budget : 1;
}

/* The configuration may have changed since the step began. */
void step_room_give(struct work *w) {
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(buf_done) struct buf text = {0};
        struct target *t = w->target;
        struct plan plan;
        uint64_t room;
        char name[STEP_NAME_SIZE];
        int r;

        step_file(w->run->step, w->run->attempt, "spec", name);
        if (rundir_has(t->rundir, w->run->id, name, NULL) <= 0)
                return; /* nothing is printed: a reboot */
        r = rundir_plan(t->rundir, w->run->id, &a, &doc, &plan);
        if (r != 0 || plan.head_tail)
                return;
        room = step_room(w, &plan);
        r = buf_printf(&text, "%ju\n", room ? (uintmax_t)room : (uintmax_t)UINT64_MAX);
        step_file(w->run->step, w->run->attempt, "room", name);
        if (r == 0)
                r = rundir_write(t->rundir, w->run->id, name, &text);
        if (r < 0)
                log_warning("run %s: cannot give room to step %u: %s", w->run->id, w->run->step,
                            strerror(-r));
}

void work_rooms(struct target *t) {
        for (struct runq_run *run = runq_first(t->runq); run && run->phase != RUNQ_OVER;
             run = runq_after(t->runq, run))
                if (run->phase == RUNQ_ON)
                        step_room_give(work_of(run));
}

bool work_held(const struct target *t) {
        for (struct runq_run *run = runq_first(t->runq); run && run->phase != RUNQ_OVER;
             run = runq_after(t->runq, run))
                if (work_of(run)->held)
                        return true;
        return false;
}

void step_room_look(struct work *w) {
        struct target *t = w->target;
        char name[STEP_NAME_SIZE];
        bool held;

        step_file(w->run->step, w->run->attempt, "held", name);
        held = w->run->step > 0 && rundir_has(t->rundir, w->run->id, name, NULL) > 0;
        if (held == w->held)
                return;
        w->held = held;
        t->announce.due = true;
        target_kick(t);
        if (held)
                log_notice("run %s: the output of step %u filled its disk budget; it waits for "
                           "room. Raise disk_budget and reload, or cancel it",
                           w->run->id, w->run->step);
}
