/* Away: a promise to be back, for a machine that leaves on purpose. That another boot keeps it is seen in duty.c. */
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/jid.h"
#include "target/duty.h"
#include "target/serve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

uint64_t leave_left(const struct target *t) {
        uint64_t realtime = clock_realtime_usec(), until = t->duty.standing.away_until_usec;

        return t->duty.standing.away.on && until > realtime
                       ? (until - realtime + USEC_PER_SEC - 1) / USEC_PER_SEC
                       : 0;
}

static void fill(const struct target *t, struct away_state *ret) {
        const struct standing_note *n = &t->duty.standing.away;
        uint64_t realtime = clock_realtime_usec();

        ret->away = n->on;
        if (!n->on)
                return;
        ret->left = leave_left(t);
        ret->who = n->who[0] ? n->who : NULL;
        ret->by = n->by[0] ? n->by : NULL;
        ret->reason = n->reason[0] ? n->reason : NULL;
        ret->since = realtime > n->since_usec ? (realtime - n->since_usec) / USEC_PER_SEC : 0;
}

int leave_for(struct target *t, const struct runq_run *run) {
        struct standing s = t->duty.standing;
        int r;

        if (s.away.on && strcmp(s.away_boot, t->boot) == 0)
                return 0; /* said before we were started anew */
        s.away = (struct standing_note){.on = true, .since_usec = clock_realtime_usec()};
        s.away_until_usec = s.away.since_usec + run->steps[run->step - 1].within_usec;
        snprintf(s.away.who, sizeof(s.away.who), "%s", run->owner);
        snprintf(s.away.by, sizeof(s.away.by), "%s", run->by ? run->by : "");
        snprintf(s.away.reason, sizeof(s.away.reason), "step %u of %s", run->step, run->name);
        snprintf(s.away_boot, sizeof(s.away_boot), "%s", t->boot);
        r = duty_change(t, &s,
                        &(struct audit_entry){.what = "away",
                                              .who = run->owner,
                                              .by = run->by,
                                              .about = run->id,
                                              .text = s.away.reason});
        if (r == 0)
                duty_in_force(t);
        return r;
}

void leave_ends(struct target *t) {
        struct standing s = t->duty.standing;

        if (!s.away.on)
                return;
        s.away = (struct standing_note){0};
        if (duty_change(t, &s, &(struct audit_entry){.what = "back"}) == 0)
                duty_in_force(t);
}

static int serve_leave(void *userdata, const struct ext_request *rq, const struct away_leave *m,
                       struct away_state *ret, struct stanza_error *ret_error) {
        struct target *t = userdata;
        struct standing s = t->duty.standing;
        char who[JID_SIZE];
        int r;

        if (jid_bare(rq->from, who) != 0)
                return -EINVAL;
        if (strcmp(m->sid, t->sid) != 0) {
                *ret_error = (struct stanza_error){
                        .condition = STANZA_NOT_ACCEPTABLE,
                        .why = STANZA_WHY_STALE,
                        .text = "it was meant for another session of this target; ask again",
                };
                return EXT_ERROR;
        }
        s.away = (struct standing_note){.on = true, .since_usec = clock_realtime_usec()};
        s.away_until_usec = s.away.since_usec + m->seconds * USEC_PER_SEC;
        snprintf(s.away.who, sizeof(s.away.who), "%s", who);
        snprintf(s.away.by, sizeof(s.away.by), "%s", m->by ? m->by : "");
        snprintf(s.away.reason, sizeof(s.away.reason), "%s", m->reason ? m->reason : "");
        snprintf(s.away_boot, sizeof(s.away_boot), "%s", t->boot);
        r = duty_change(
                t, &s,
                &(struct audit_entry){.what = "away", .who = who, .by = m->by, .text = m->reason});
        if (r < 0)
                return duty_not_written(r, ret_error);
        log_notice("away from now on, asked by %s%s%s%s%s", rq->from, m->by ? " for " : "",
                   m->by ? m->by : "", m->reason ? ": " : "", m->reason ? m->reason : "");
        duty_in_force(t);
        fill(t, ret);
        return 0;
}

static int serve_stay(void *userdata, const struct ext_request *rq, const struct away_stay *m,
                      struct away_state *ret, struct stanza_error *ret_error) {
        struct target *t = userdata;
        struct standing s = t->duty.standing;
        char who[JID_SIZE];
        int r;

        if (jid_bare(rq->from, who) != 0)
                return -EINVAL;
        if (s.away.on) {
                s.away = (struct standing_note){0};
                r = duty_change(t, &s,
                                &(struct audit_entry){.what = "back", .who = who, .by = m->by});
                if (r < 0)
                        return duty_not_written(r, ret_error);
                log_notice("no longer away, says %s%s%s", rq->from, m->by ? " for " : "",
                           m->by ? m->by : "");
                duty_in_force(t);
        }
        fill(t, ret);
        return 0;
}

const struct away_ops target_away_ops = {.leave = serve_leave, .stay = serve_stay};
