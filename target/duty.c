/*
 * What this target is kept for beside its queue: reserved, quarantined, away. What was decided is durable before it is
 * answered, told in the audit journal and in presence, and the queue obeys it.
 */
#include "target/duty.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RETRY_USEC (10 * USEC_PER_SEC)

void duty_in_force(struct target *t) {
        const struct duty *d = &t->duty;

        runq_reserve(t->runq, lease_in_force(&d->lease) ? d->lease.record.token : 0);
        runq_quarantine(t->runq, d->standing.quarantine.on);
        runq_leave(t->runq, d->standing.away.on);
        t->announce.due = true;
        target_kick(t);
}

/* What could not be told is at least counted. */
static void audit(struct target *t, const struct audit_entry *e) {
        struct duty *d = &t->duty;
        char text[64];
        int r = 0;

        if (d->n_untold > 0) {
                snprintf(text, sizeof(text), "%llu lines could not be written",
                         (unsigned long long)d->n_untold);
                r = audit_add(d->audit, &(struct audit_entry){.what = "untold", .text = text});
                if (r == 0)
                        d->n_untold = 0;
        }
        if (r == 0)
                r = audit_add(d->audit, e);
        if (r < 0) {
                d->n_untold++;
                log_error("cannot write the audit journal: %s", strerror(-r));
        }
}

static int write_standing(struct target *t, const struct standing *s) {
        struct duty *d = &t->duty;
        int r = standing_write(rundir_path(t->rundir), s);

        d->retry_usec = target_now() + RETRY_USEC;
        d->unwritten = r < 0;
        if (r < 0)
                log_error("cannot write what this target is reserved or kept for: %s",
                          strerror(-r));
        return r;
}

int duty_change(struct target *t, const struct standing *next, const struct audit_entry *e) {
        struct standing s = *next;
        int r;

        snprintf(s.boot, sizeof(s.boot), "%s", t->boot);
        r = write_standing(t, &s);
        if (r < 0) {
                /* so late, maybe, that the file is another one already */
                write_standing(t, &t->duty.standing);
                return r;
        }
        t->duty.standing = s;
        if (e)
                audit(t, e);
        return 0;
}

void duty_let_go(struct target *t, const struct standing *next, const struct audit_entry *e) {
        t->duty.standing = *next;
        snprintf(t->duty.standing.boot, sizeof(t->duty.standing.boot), "%s", t->boot);
        write_standing(t, &t->duty.standing);
        audit(t, e);
}

void duty_pump(struct target *t, uint64_t now_usec) {
        reserve_pump(t, now_usec);
        if (t->duty.unwritten && now_usec >= t->duty.retry_usec)
                write_standing(t, &t->duty.standing);
}

uint64_t duty_deadline(const struct target *t) {
        uint64_t at = lease_deadline(&t->duty.lease);

        return t->duty.unwritten && t->duty.retry_usec < at ? t->duty.retry_usec : at;
}

int duty_not_written(int r, struct stanza_error *ret_error) {
        *ret_error = (struct stanza_error){
                .condition = STANZA_INTERNAL_SERVER_ERROR,
                .text = "the target cannot write it to its disk; nothing was changed",
        };
        return r == -ENOMEM ? r : EXT_ERROR;
}

/* A change whose line in the audit journal was cut off. */
static void catch_up(struct target *t) {
        const struct lease_record *r = &t->duty.standing.lease;
        const struct audit_entry e = {
                .what = r->id[0] ? "lease-found" : "lease-over",
                .who = r->id[0] ? r->holder : NULL,
                .by = r->by[0] ? r->by : NULL,
                .about = r->id[0] ? r->id : NULL,
                .text = "as the daemon found it when it started",
                .number = r->change,
        };

        if (audit_number(t->duty.audit) < r->change)
                audit(t, &e);
}

/* It left and is here again: that is what another boot means. */
static void come_back(struct target *t) {
        struct standing s = t->duty.standing;

        if (!s.away.on || strcmp(s.away_boot, t->boot) == 0)
                return;
        s.away = (struct standing_note){0};
        log_notice("back again");
        duty_let_go(t, &s, &(struct audit_entry){.what = "back", .about = t->boot});
}

int duty_restore(struct target *t) {
        const char *dir = rundir_path(t->rundir);
        struct duty *d = &t->duty;
        struct lease_times at = {target_now(), clock_realtime_usec()};
        bool same_boot;
        int r = audit_open(&d->audit, dir);

        if (r == 0)
                r = standing_read(dir, &d->standing);
        if (r < 0)
                return r;
        same_boot = strcmp(d->standing.boot, t->boot) == 0;
        lease_restore(&d->lease, &d->standing.lease, same_boot, d->standing.lease_ends_usec, at);
        /* of this boot's clock, before anything is written under its id */
        d->standing.lease_ends_usec = lease_in_force(&d->lease) ? d->lease.until_usec : 0;
        catch_up(t);
        come_back(t);
        if (lease_in_force(&d->lease) && strcmp(d->standing.boot, t->boot) != 0) {
                /* so that a restart under this boot counts on from here; a full disk is no reason not to start */
                snprintf(d->standing.boot, sizeof(d->standing.boot), "%s", t->boot);
                write_standing(t, &d->standing);
        }
        duty_in_force(t);
        return 0;
}

void duty_done(struct target *t) {
        t->duty.audit = audit_free(t->duty.audit);
}

/* Runs that could not be carried out, one after the other: something is wrong with the machine. */
static void count(struct target *t, bool not_run) {
        struct standing s = t->duty.standing;
        const unsigned most = t->config->quarantine_after;
        struct audit_entry e = {.what = "quarantined", .text = s.quarantine.reason};
        bool impose;

        if (!not_run && s.not_run == 0)
                return;
        s.not_run = not_run ? s.not_run + 1 : 0;
        impose = most > 0 && s.not_run >= most && !s.quarantine.on;
        if (impose) {
                s.quarantine =
                        (struct standing_note){.on = true, .since_usec = clock_realtime_usec()};
                snprintf(s.quarantine.reason, sizeof(s.quarantine.reason),
                         "%u runs in a row could not be carried out", most);
                e.text = s.quarantine.reason;
        }
        if (duty_change(t, &s, impose ? &e : NULL) < 0 || !impose)
                return;
        log_notice("in quarantine: %s", s.quarantine.reason);
        duty_in_force(t);
}

static void healed(struct target *t, const struct runq_run *run) {
        struct standing s = t->duty.standing;

        s.quarantine = (struct standing_note){0};
        s.not_run = 0;
        if (duty_change(t, &s,
                        &(struct audit_entry){.what = "healed",
                                              .who = run->owner,
                                              .by = run->by,
                                              .about = run->id,
                                              .text = run->name}) < 0)
                return;
        log_notice("out of quarantine: run %s passed", run->id);
        duty_in_force(t);
}

void duty_run_ended(struct target *t, const struct runq_run *run, enum verdict verdict) {
        switch (verdict) {
        case VERDICT_PASSED:
                if (run->heal && t->duty.standing.quarantine.on)
                        healed(t, run);
                else
                        count(t, false);
                break;
        case VERDICT_FAILED:
                count(t, false);
                break;
        case VERDICT_NOT_RUN:
                /* one that never began says nothing about the machine */
                if (run->step > 0)
                        count(t, true);
                break;
        case VERDICT_CANCELLED:
        case VERDICT_NONE:
                break;
        }
}
