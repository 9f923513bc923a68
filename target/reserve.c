/*
 * The lease of this target: asked for, extended, released, taken, ended. Each change is durable before it is
 * answered, and told in the audit journal and in presence.
 */
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/jid.h"
#include "proto/units.h"
#include "target/duty.h"
#include "target/serve.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct lease_times times(void) {
        return (struct lease_times){target_now(), clock_realtime_usec()};
}

/* Durable, in force, told. Returns 0 or -errno; then all is as before. */
static int change(struct target *t, const struct lease_record *record,
                  const struct audit_entry *entry) {
        struct standing s = t->duty.standing;
        struct lease next = t->duty.lease;
        struct audit_entry e = *entry;
        int r;

        lease_set(&next, record, target_now());
        s.lease = *record;
        s.lease_ends_usec = next.until_usec;
        e.number = record->change;
        r = duty_change(t, &s, &e);
        if (r < 0)
                return r;
        t->duty.lease = next;
        duty_in_force(t);
        return 0;
}

int reserve_sentence(const struct target *t, struct buf *out) {
        const struct lease_record *l = &t->duty.lease.record;
        uint64_t left = lease_left(&t->duty.lease, target_now());

        buf_printf(out, "reserved for %s", l->by[0] ? l->by : l->holder);
        if (l->by[0])
                buf_printf(out, " (%s)", l->holder);
        buf_puts(out, ", for another ");
        units_print_duration(out, left);
        if (l->reason[0])
                buf_printf(out, ": %s", l->reason);
        return buf_check(out);
}

static const char *sentence(const struct target *t, struct arena *a) {
        CLEANUP(buf_done) struct buf text = {0};

        if (reserve_sentence(t, &text) < 0)
                return NULL;
        return arena_strdup(a, buf_text(&text));
}

void reserve_refusal(const struct target *t, struct arena *a, struct stanza_error *ret) {
        const struct lease_record *l = &t->duty.lease.record;

        *ret = (struct stanza_error){
                .condition = STANZA_CONFLICT,
                .why = STANZA_WHY_LEASED,
                .owner = lease_in_force(&t->duty.lease) ? l->by[0] ? l->by : l->holder : NULL,
                .text = lease_in_force(&t->duty.lease)
                                ? sentence(t, a)
                                : "that reservation is over; nobody has this target now",
        };
}

void reserve_show(const struct target *t, struct presence_lease *ret) {
        const struct lease_record *l = &t->duty.lease.record;
        uint64_t realtime = clock_realtime_usec();

        *ret = (struct presence_lease){
                .id = l->id,
                .token = l->token,
                .holder = l->holder,
                .by = l->by[0] ? l->by : NULL,
                .reason = l->reason[0] ? l->reason : NULL,
                .left = (lease_left(&t->duty.lease, target_now()) + USEC_PER_SEC - 1) /
                        USEC_PER_SEC,
                .since = realtime > l->since_usec ? (realtime - l->since_usec) / USEC_PER_SEC : 0,
        };
}

static void fill(const struct target *t, struct lease_held *ret) {
        struct presence_lease l = {0};

        ret->token = t->duty.lease.record.token;
        if (!lease_in_force(&t->duty.lease))
                return;
        reserve_show(t, &l);
        *ret = (struct lease_held){
                .id = l.id,
                .token = l.token,
                .holder = l.holder,
                .by = l.by,
                .reason = l.reason,
                .left = l.left,
                .since = l.since,
        };
}

static void decided(const struct ext_request *rq, const char *what, const char *id, const char *by,
                    const char *outcome) {
        const struct log_field fields[] = {
                {"ROTA_PEER",  rq->from},
                {"ROTA_LEASE", id      },
                {NULL,         NULL    }
        };

        log_line(LOG_LEVEL_NOTICE, fields, "lease %s: %s asked by %s%s%s: %s", id, what, rq->from,
                 by ? " for " : "", by ? by : "", outcome);
}

/* The router writes refusals into the journal. */
static int refused(const struct target *t, const struct ext_request *rq,
                   struct stanza_error *ret_error) {
        reserve_refusal(t, rq->arena, ret_error);
        return EXT_ERROR;
}

/* A run of somebody else's that is on: he would not be alone. */
static const struct runq_run *run_of_others(const struct target *t, const char *holder,
                                            const char *by) {
        for (const struct runq_run *run = runq_first(t->runq); run && run->phase != RUNQ_OVER;
             run = runq_after(t->runq, run)) {
                bool same_person = !by || !run->by || strcmp(run->by, by) == 0;

                if (run->phase != RUNQ_WAITING && (strcmp(run->owner, holder) != 0 || !same_person))
                        return run;
        }
        return NULL;
}

static int too_long(const struct target *t, const struct ext_request *rq, uint64_t seconds,
                    struct stanza_error *ret_error) {
        CLEANUP(buf_done) struct buf most = {0};

        if (seconds <= t->config->lease_max_usec / USEC_PER_SEC)
                return 0;
        units_print_duration(&most, t->config->lease_max_usec);
        *ret_error = (struct stanza_error){
                .condition = STANZA_NOT_ACCEPTABLE,
                .text = arena_printf(rq->arena, "a lease of this target lasts at most %s",
                                     buf_text(&most)),
        };
        return EXT_ERROR;
}

static int acquire(struct target *t, const struct ext_request *rq, const struct lease_acquire *m,
                   bool take, struct lease_held *ret, struct stanza_error *ret_error) {
        const char *what = take ? "take" : "acquire";
        const struct runq_run *run;
        struct lease_record next;
        char holder[JID_SIZE];
        const struct lease_ask ask = {m->id, holder, m->by, m->reason, m->seconds * USEC_PER_SEC};
        int r;

        if (jid_bare(rq->from, holder) != 0)
                return -EINVAL;
        if (strcmp(m->sid, t->sid) != 0) {
                *ret_error = (struct stanza_error){
                        .condition = STANZA_NOT_ACCEPTABLE,
                        .why = STANZA_WHY_STALE,
                        .text = "it was meant for another session of this target; ask again",
                };
                return EXT_ERROR;
        }
        if (too_long(t, rq, m->seconds, ret_error) != 0)
                return EXT_ERROR;
        r = lease_acquire(&t->duty.lease, &ask, take, times(), &next);
        if (r == LEASE_HELD || r == LEASE_OTHER)
                return refused(t, rq, ret_error);
        run = r == 0 && !take ? run_of_others(t, holder, m->by) : NULL;
        if (run) {
                *ret_error = (struct stanza_error){
                        .condition = STANZA_CONFLICT,
                        .why = STANZA_WHY_BUSY,
                        .run = run->id,
                        .owner = run->by ? run->by : run->owner,
                        .text = "a run of somebody else is on this machine",
                };
                return EXT_ERROR;
        }
        if (r == 0)
                r = change(t, &next,
                           &(struct audit_entry){.what = take ? "lease-taken" : "lease-acquired",
                                                 .who = holder,
                                                 .by = m->by,
                                                 .about = m->id,
                                                 .text = m->reason});
        if (r < 0)
                return duty_not_written(r, ret_error);
        decided(rq, what, m->id, m->by, "granted");
        fill(t, ret);
        return 0;
}

static int serve_acquire(void *userdata, const struct ext_request *rq,
                         const struct lease_acquire *m, struct lease_held *ret,
                         struct stanza_error *ret_error) {
        return acquire(userdata, rq, m, false, ret, ret_error);
}

static int serve_take(void *userdata, const struct ext_request *rq, const struct lease_acquire *m,
                      struct lease_held *ret, struct stanza_error *ret_error) {
        return acquire(userdata, rq, m, true, ret, ret_error);
}

static int serve_extend(void *userdata, const struct ext_request *rq, const struct lease_extend *m,
                        struct lease_held *ret, struct stanza_error *ret_error) {
        struct target *t = userdata;
        struct lease_record next;
        char holder[JID_SIZE];
        int r;

        if (jid_bare(rq->from, holder) != 0)
                return -EINVAL;
        if (too_long(t, rq, m->seconds, ret_error) != 0)
                return EXT_ERROR;
        r = lease_extend(&t->duty.lease, m->id, holder, m->token, m->seconds * USEC_PER_SEC,
                         times(), &next);
        if (r > 0)
                return refused(t, rq, ret_error);
        r = change(t, &next,
                   &(struct audit_entry){
                           .what = "lease-extended", .who = holder, .by = m->by, .about = m->id});
        if (r < 0)
                return duty_not_written(r, ret_error);
        decided(rq, "extend", m->id, m->by, "granted");
        fill(t, ret);
        return 0;
}

static int serve_release(void *userdata, const struct ext_request *rq,
                         const struct lease_release *m, struct lease_held *ret,
                         struct stanza_error *ret_error) {
        struct target *t = userdata;
        struct lease_record next;
        char holder[JID_SIZE];
        int r;

        if (jid_bare(rq->from, holder) != 0)
                return -EINVAL;
        r = lease_release(&t->duty.lease, m->id, holder, &next);
        if (r == LEASE_OTHER)
                return refused(t, rq, ret_error);
        if (r == 0)
                r = change(t, &next,
                           &(struct audit_entry){.what = "lease-released",
                                                 .who = holder,
                                                 .by = m->by,
                                                 .about = m->id});
        if (r < 0)
                return duty_not_written(r, ret_error);
        decided(rq, "release", m->id, m->by, r == LEASE_STALE ? "it was over already" : "done");
        fill(t, ret);
        return 0;
}

const struct lease_ops target_lease_ops = {
        .acquire = serve_acquire,
        .take = serve_take,
        .extend = serve_extend,
        .release = serve_release,
};

void reserve_pump(struct target *t, uint64_t now_usec) {
        const struct lease_record ended = t->duty.lease.record;
        struct standing s = t->duty.standing;

        if (!lease_over(&t->duty.lease, now_usec, &s.lease))
                return;
        s.lease_ends_usec = 0;
        /* its end is in what is on disk already: it waits for no write */
        lease_set(&t->duty.lease, &s.lease, now_usec);
        duty_let_go(t, &s,
                    &(struct audit_entry){.what = "lease-ended",
                                          .who = ended.holder,
                                          .by = ended.by[0] ? ended.by : NULL,
                                          .about = ended.id,
                                          .text = "its time was over",
                                          .number = s.lease.change});
        log_info("lease %s of %s is over", ended.id, ended.holder);
        duty_in_force(t);
}
