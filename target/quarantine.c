/* Quarantine: imposed and lifted by people. The target's own rule and its cure are in duty.c. */
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/jid.h"
#include "target/duty.h"
#include "target/serve.h"

#include <errno.h>
#include <stdio.h>

static void fill(const struct target *t, struct quarantine_state *ret) {
        const struct standing_note *n = &t->duty.standing.quarantine;
        uint64_t realtime = clock_realtime_usec();

        ret->on = n->on;
        if (!n->on)
                return;
        ret->who = n->who[0] ? n->who : NULL;
        ret->by = n->by[0] ? n->by : NULL;
        ret->reason = n->reason[0] ? n->reason : NULL;
        ret->since = realtime > n->since_usec ? (realtime - n->since_usec) / USEC_PER_SEC : 0;
}

static int order(struct target *t, const struct ext_request *rq, const struct quarantine_order *m,
                 bool on, struct quarantine_state *ret, struct stanza_error *ret_error) {
        struct standing s = t->duty.standing;
        char who[JID_SIZE];
        int r;

        if (jid_bare(rq->from, who) != 0)
                return -EINVAL;
        if (on || s.quarantine.on) {
                s.quarantine = (struct standing_note){.on = on};
                s.not_run = 0;
                if (on) {
                        s.quarantine.since_usec = clock_realtime_usec();
                        snprintf(s.quarantine.who, sizeof(s.quarantine.who), "%s", who);
                        snprintf(s.quarantine.by, sizeof(s.quarantine.by), "%s",
                                 m->by ? m->by : "");
                        snprintf(s.quarantine.reason, sizeof(s.quarantine.reason), "%s",
                                 m->reason ? m->reason : "");
                }
                r = duty_change(t, &s,
                                &(struct audit_entry){.what = on ? "quarantined" : "freed",
                                                      .who = who,
                                                      .by = m->by,
                                                      .text = m->reason});
                if (r < 0)
                        return duty_not_written(r, ret_error);
                log_notice("%s by %s%s%s%s%s", on ? "in quarantine" : "out of quarantine", rq->from,
                           m->by ? " for " : "", m->by ? m->by : "", m->reason ? ": " : "",
                           m->reason ? m->reason : "");
                duty_in_force(t);
        }
        fill(t, ret);
        return 0;
}

static int serve_impose(void *userdata, const struct ext_request *rq,
                        const struct quarantine_order *m, struct quarantine_state *ret,
                        struct stanza_error *ret_error) {
        return order(userdata, rq, m, true, ret, ret_error);
}

static int serve_free(void *userdata, const struct ext_request *rq,
                      const struct quarantine_order *m, struct quarantine_state *ret,
                      struct stanza_error *ret_error) {
        return order(userdata, rq, m, false, ret, ret_error);
}

const struct quarantine_ops target_quarantine_ops = {.impose = serve_impose, .free = serve_free};
