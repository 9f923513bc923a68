/*
 * Runs: what targets refuse.
 */
#include "controller/controller.h"
#include "controller/rooms.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <string.h>

static int on_refused(void *userdata, const struct ext_request *rq, const struct run_refused *m) {
        CLEANUP(buf_done) struct buf why = {0};
        struct controller *c = userdata;
        struct target *t = fleet_find(&c->fleet, rq->from);
        struct run *r = jobs_find(&c->jobs, m->run);
        enum verdict verdict = VERDICT_NOT_RUN;
        int q;

        if (!t || !r || strcmp(r->target, t->jid) != 0)
                return 0;
        /* a target that knows the run refuses a cancel by its role only: the run itself goes on */
        if (m->why == RUN_REFUSED_NOT_ALLOWED && r->cancel_by && r->fold.state != RUN_UNKNOWN) {
                log_warning("%s does not let this account cancel run %s", t->name, r->id);
                run_set(&r->cancel_by, NULL);
                r->dirty = r->changed = true;
                return pump_touch(c, r);
        }
        if (m->why == RUN_REFUSED_UNKNOWN) {
                verdict = r->cancel_by ? VERDICT_CANCELLED : VERDICT_NOT_RUN;
                buf_puts(&why, r->fold.state == RUN_UNKNOWN
                                       ? "cancelled before the target accepted it"
                                       : "the target no longer knows this run");
        } else {
                buf_printf(&why, "%s refused it (%s)", t->name,
                           run_refusal_name((enum run_refusal)m->why));
                if (m->text && m->text[0])
                        buf_printf(&why, ": %s", m->text);
                if (m->why == RUN_REFUSED_NOT_ALLOWED)
                        buf_printf(&why,
                                   "; \"controllers\" in the configuration of %s says who may",
                                   t->name);
                if (m->why == RUN_REFUSED_BUSY)
                        buf_puts(&why, "; without --if-idle the run waits");
        }
        if (buf_check(&why) < 0)
                return -ENOMEM;
        log_line(LOG_LEVEL_NOTICE,
                 (struct log_field[]){
                         {"ROTA_RUN",    r->id },
                         {"ROTA_TARGET", t->jid},
                         {NULL,          NULL  }
        },
                 "run %s: %s", r->id, why.data);
        q = run_refused(r, verdict, run_refusal_name((enum run_refusal)m->why), why.data,
                        clock_realtime_usec());
        return q < 0 ? q : pump_touch(c, r);
}

const struct run_ops controller_run_ops = {.refused = on_refused};
