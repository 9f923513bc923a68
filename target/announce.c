/*
 * Presence: what this target says of itself, to whom, and who is told by systemd's status line.
 */
#include "ext/presence.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/jid.h"
#include "target/target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

void announce_done(struct target *t) {
        free(t->announce.last);
        free(t->announce.status);
        t->announce.last = t->announce.status = NULL;
}

static enum presence_state state_of(const struct target *t) {
        switch (t->going.phase) {
        case GOING_FLUSH:
        case GOING_DOWN:
                return PRESENCE_REBOOTING;
        case GOING_DRAIN:
                return PRESENCE_DRAINING;
        case GOING_NOT:
                break;
        }
        /* a step that waits for the machine to leave is no work */
        if (t->duty.standing.away.on && runq_count_on(t->runq) == 1 &&
            runq_at_leave(runq_on(t->runq)))
                return PRESENCE_AWAY;
        if (runq_count_on(t->runq) > 0)
                return PRESENCE_BUSY;
        if (t->duty.standing.away.on)
                return PRESENCE_AWAY;
        if (t->duty.standing.quarantine.on)
                return PRESENCE_QUARANTINED;
        return lease_in_force(&t->duty.lease) ? PRESENCE_RESERVED : PRESENCE_READY;
}

/* Of those that are on the oldest, or the one that reboots the machine. */
static const struct runq_run *run_shown(const struct target *t) {
        return t->going.run ? t->going.run : runq_on(t->runq);
}

static void clock_text(uint64_t realtime_usec, char ret[static 8]) {
        time_t at = (time_t)(realtime_usec / USEC_PER_SEC);
        struct tm tm;
        if (!localtime_r(&at, &tm) || strftime(ret, 8, "%H:%M", &tm) == 0)
                snprintf(ret, 8, "?");
}

/* For people, in any IM client. */
static void say_status(const struct target *t, enum presence_state state, struct buf *out) {
        const struct runq_run *run = run_shown(t);
        unsigned waiting = runq_count_waiting(t->runq);
        char since[8];

        if (t->trouble)
                buf_printf(out, "cannot write to disk: %s; ", strerror(t->trouble));
        else if (t->full)
                buf_puts(out, "the disk is full, output waits for space; ");
        else if (work_held(t))
                buf_puts(out, "its output filled its disk budget and waits for room; ");
        if (state == PRESENCE_REBOOTING && t->going.run && run->n_steps > 1) {
                buf_printf(out, "rebooting, step %u of %u of %s", run->step, run->n_steps,
                           run->name);
        } else if (state == PRESENCE_REBOOTING) {
                buf_puts(out, "rebooting");
        } else if (run) {
                buf_puts(out, run->name);
                if (run->n_steps > 1 && run->step > 0)
                        buf_printf(out, ", step %u of %u", run->step, run->n_steps);
                clock_text(run->fold.started_usec ? run->fold.started_usec : clock_realtime_usec(),
                           since);
                buf_printf(out, ", for %s since %s", run->by ? run->by : run->owner, since);
                if (state == PRESENCE_DRAINING)
                        buf_puts(out, "; then it reboots");
        } else if (state == PRESENCE_RESERVED) {
                reserve_sentence(t, out);
        } else {
                buf_puts(out, presence_state_name(state));
                if (state == PRESENCE_QUARANTINED && t->duty.standing.quarantine.reason[0])
                        buf_printf(out, ": %s", t->duty.standing.quarantine.reason);
                if (state == PRESENCE_AWAY && t->duty.standing.away.reason[0])
                        buf_printf(out, ": %s", t->duty.standing.away.reason);
        }
        if (waiting > 0)
                buf_printf(out, "; %u waiting", waiting);
}

static uint64_t ago(uint64_t realtime_usec) {
        uint64_t now_usec = clock_realtime_usec();

        return now_usec > realtime_usec ? (now_usec - realtime_usec) / USEC_PER_SEC : 0;
}

static int announce_write(struct target *t, struct buf *out) {
        CLEANUP(buf_done) struct buf status = {0};
        const struct runq_run *on = run_shown(t);
        const struct standing *s = &t->duty.standing;
        struct presence_run run = {0};
        struct presence_lease lease;
        struct presence_quarantine quarantine;
        struct presence_back back;
        struct presence p = {
                .role = PRESENCE_TARGET,
                .state = (int)state_of(t),
                .boot = t->boot,
                .sid = t->sid,
                .queue = runq_count_waiting(t->runq),
                .version = ROTA_VERSION,
                .name = t->config->name,
                .location = t->config->location,
                .labels = t->config->labels,
                .n_labels = t->config->n_labels,
        };

        if (on) {
                run = (struct presence_run){
                        .id = on->id,
                        .step = on->step,
                        .of = on->n_steps,
                        .owner = on->owner,
                        .by = on->by,
                        .title = on->name,
                };
                p.run = &run;
        }
        if (lease_in_force(&t->duty.lease)) {
                reserve_show(t, &lease);
                p.lease = &lease;
        }
        if (s->quarantine.on) {
                quarantine = (struct presence_quarantine){
                        .by = s->quarantine.by[0] ? s->quarantine.by : NULL,
                        .reason = s->quarantine.reason[0] ? s->quarantine.reason : NULL,
                        .since = ago(s->quarantine.since_usec),
                };
                p.quarantine = &quarantine;
        }
        if (s->away.on) {
                back = (struct presence_back){
                        .within = leave_left(t),
                        .by = s->away.by[0] ? s->away.by : NULL,
                        .reason = s->away.reason[0] ? s->away.reason : NULL,
                };
                p.back = &back;
        }
        say_status(t, state_of(t), &status);
        if (buf_check(&status) < 0)
                return -ENOMEM;
        return presence_write(out, &p, buf_text(&status), TARGET_CAPS_NODE, t->caps);
}

static void tell_systemd(struct target *t) {
        CLEANUP(buf_done) struct buf text = {0};

        if (t->cause)
                buf_printf(&text, "STATUS=offline: %s", t->cause);
        else
                buf_printf(&text, "STATUS=online as %s; %u on, %u waiting", t->config->jid,
                           runq_count_on(t->runq), runq_count_waiting(t->runq));
        if (buf_check(&text) < 0 ||
            (t->announce.status && strcmp(t->announce.status, text.data) == 0))
                return;
        sd_notify(0, text.data);
        free(t->announce.status);
        t->announce.status = buf_steal(&text);
}

void announce_pump(struct target *t, uint64_t now_usec) {
        CLEANUP(buf_done) struct buf text = {0};

        if (!t->announce.due)
                return;
        tell_systemd(t);
        if (!link_online(t->link)) {
                t->announce.due = false;
                return;
        }
        if (announce_write(t, &text) < 0)
                return;
        if (t->announce.last && strcmp(t->announce.last, text.data) == 0) {
                t->announce.due = false;
                return;
        }
        /* The last word before a reboot does not wait for its turn. */
        if (!pace_take(&t->announce.pace, now_usec) && t->going.phase < GOING_FLUSH)
                return;
        t->announce.due = false;
        link_send(t->link, text.data, text.len);
        free(t->announce.last);
        t->announce.last = buf_steal(&text);
}

uint64_t announce_deadline(const struct target *t) {
        return t->announce.due ? pace_ready_usec(&t->announce.pace) : USEC_NEVER;
}

static void put_presence(struct target *t, const char *to, const char *type) {
        struct xml_writer w;

        xml_writer_init(&w, &t->out);
        xml_begin(&w, "presence", NULL);
        xml_put(&w, "to", to);
        xml_put(&w, "type", type);
        xml_end(&w);
}

void announce_connected(struct target *t) {
        free(t->announce.last);
        t->announce.last = NULL;
        t->announce.pace = (struct pace){0};
        t->announce.due = true;
        announce_pump(t, target_now());
        for (size_t i = 0; i < t->config->n_rules; i++)
                if (t->config->rules[i].pattern[0] != '*')
                        put_presence(t, t->config->rules[i].pattern, "subscribe");
        target_send(t);
}

static void subscription_asked(struct target *t, const char *from) {
        char bare[JID_SIZE];

        if (jid_bare(from, bare) != 0)
                return;
        if (target_role_of(t, bare) < ROLE_VIEW) {
                if (refusal_heard(t, bare))
                        log_notice("%s may not see this target: its subscription is refused", bare);
                put_presence(t, bare, "unsubscribed");
        } else {
                log_info("%s sees this target from now on", bare);
                put_presence(t, bare, "subscribed");
                put_presence(t, bare, "subscribe");
        }
        target_send(t);
}

void presence_received(struct target *t, const struct xml *stanza) {
        const char *type = xml_attr(stanza, "type"), *from = xml_attr(stanza, "from");

        if (!type || !from)
                return;
        if (strcmp(type, "subscribe") == 0)
                subscription_asked(t, from);
        else if (strcmp(type, "unavailable") == 0 || strcmp(type, "error") == 0)
                peers_drop(t, from);
}
