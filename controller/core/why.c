#include "controller/core/why.h"

#include "proto/base/clock.h"
#include "proto/units.h"

#include <string.h>
#include <time.h>

/* "14:02:07", or with the date when it was another day. */
static int put_time(struct buf *out, uint64_t usec, uint64_t realtime_usec) {
        time_t then = (time_t)(usec / USEC_PER_SEC), today = (time_t)(realtime_usec / USEC_PER_SEC);
        struct tm tm = {0}, now = {0};
        char text[64];

        localtime_r(&then, &tm);
        localtime_r(&today, &now);
        if (tm.tm_year == now.tm_year && tm.tm_yday == now.tm_yday)
                strftime(text, sizeof(text), "%H:%M:%S", &tm);
        else
                strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm);
        return buf_puts(out, text);
}

static void put_since(struct buf *out, const char *lead, uint64_t usec, uint64_t realtime_usec) {
        if (usec == 0)
                return;
        buf_puts(out, lead);
        put_time(out, usec, realtime_usec);
}

static void put_span(struct buf *out, uint64_t from_usec, uint64_t until_usec) {
        uint64_t span = until_usec > from_usec ? until_usec - from_usec : 0;

        /* nobody wants to read "3m 7.003s" */
        units_print_duration(out,
                             span > 10 * USEC_PER_SEC ? span / USEC_PER_SEC * USEC_PER_SEC : span);
}

static void put_run(const struct fleet_facts *f, struct buf *out) {
        const char *person = f->run_by ? f->run_by : f->run_owner;

        buf_puts(out, f->run_title ? f->run_title : f->run);
        if (f->run_step > 0 && f->run_of > 0)
                buf_printf(out, ", step %llu of %llu", (unsigned long long)f->run_step,
                           (unsigned long long)f->run_of);
        if (person)
                buf_printf(out, ", for %s", person);
}

/* Of a peer: one line, whatever is in it. */
static void put_words(struct buf *out, const char *text) {
        for (; *text; text++)
                buf_putc(out, *text == '\n' || *text == '\r' ? ' ' : *text);
}

static void put_reason(struct buf *out, const char *reason) {
        if (!reason)
                return;
        buf_puts(out, ": ");
        put_words(out, reason);
}

static void put_holder(const struct fleet_lease *l, struct buf *out) {
        put_words(out, l->by ? l->by : l->holder);
        if (l->by)
                buf_printf(out, " (%s)", l->holder);
}

int why_sentence(const struct target *t, uint64_t realtime_usec, struct buf *out) {
        const struct avail *a = &t->avail;

        if (avail_in_doubt(a))
                return buf_printf(out, "%s has just gone", t->name);
        if (a->present && !a->confirmed)
                return buf_printf(out,
                                  "%s was %s and has not announced itself since this controller "
                                  "connected again",
                                  t->name, avail_state_name(a->state));
        buf_printf(out, "%s is %s", t->name, avail_state_name(a->state));
        switch (a->state) {
        case AVAIL_BUSY:
        case AVAIL_DRAINING:
                if (t->facts.run) {
                        buf_puts(out, " (");
                        put_run(&t->facts, out);
                        buf_putc(out, ')');
                }
                break;
        case AVAIL_OFFLINE:
        case AVAIL_REBOOTING:
        case AVAIL_AWAY:
        case AVAIL_SILENT:
        case AVAIL_SUSPECT:
        case AVAIL_OVERDUE:
                if (a->since_usec == 0 && t->kind == FLEET_EXPECTED)
                        buf_puts(out, " and was never seen");
                put_since(out, " since ", a->since_usec, realtime_usec);
                break;
        case AVAIL_RESERVED:
                if (t->facts.lease) {
                        buf_puts(out, " for ");
                        put_holder(t->facts.lease, out);
                        put_reason(out, t->facts.lease->reason);
                }
                break;
        case AVAIL_QUARANTINED:
                if (t->facts.quarantine)
                        put_reason(out, t->facts.quarantine->reason);
                break;
        case AVAIL_READY:
                break;
        }
        return buf_check(out);
}

static void our_own(const struct fleet *f, const struct target *t, struct buf *out) {
        if (!f->link.online)
                buf_puts(out, "this controller has no connection to its server: nobody's state is "
                              "known, and what follows is the last it knew\n");
        else if (f->link.mute)
                buf_puts(out, "this controller's own server does not answer it: nobody's state is "
                              "known, and what follows is the last it knew\n");
        else if (t->avail.present && !t->avail.confirmed)
                buf_puts(out, "it has not announced itself since this controller connected\n");
}

static void its_presence(const struct target *t, uint64_t realtime_usec, struct buf *out) {
        const char *name = avail_state_name(t->facts.state);

        buf_printf(out, "its presence says %s", name);
        if (t->facts.run) {
                buf_puts(out, " (");
                put_run(&t->facts, out);
                buf_putc(out, ')');
        }
        if (t->facts.queue > 0)
                buf_printf(out, ", %llu waiting", (unsigned long long)t->facts.queue);
        put_since(out, ", since ", t->avail.word_usec, realtime_usec);
        buf_putc(out, '\n');
        if (t->facts.status && strcmp(t->facts.status, name) != 0) {
                buf_puts(out, "in its own words: ");
                put_words(out, t->facts.status);
                buf_putc(out, '\n');
        }
}

/* Reserved, in quarantine, away: by whom and why. */
static void its_duty(const struct target *t, uint64_t now_usec, struct buf *out) {
        const struct fleet_facts *f = &t->facts;

        if (f->lease) {
                buf_puts(out, "reserved for ");
                put_holder(f->lease, out);
                buf_puts(out, ", for another ");
                put_span(out, now_usec, f->lease->until_usec);
                put_reason(out, f->lease->reason);
                buf_putc(out, '\n');
        }
        if (f->quarantine) {
                buf_printf(out, "in quarantine by %s",
                           f->quarantine->by ? f->quarantine->by : "its own rule");
                put_reason(out, f->quarantine->reason);
                buf_putc(out, '\n');
        }
        if (f->away) {
                buf_printf(out, "%s said that it leaves", f->away->by ? f->away->by : "somebody");
                put_reason(out, f->away->reason);
                buf_putc(out, '\n');
        }
        if (t->lost)
                buf_printf(out, "%s\n", t->lost);
}

void why_gone(const struct avail *a, uint64_t realtime_usec, struct buf *out) {
        switch (a->gone) {
        case AVAIL_GONE_NEVER_SEEN:
                buf_puts(out, "it was never seen");
                break;
        case AVAIL_GONE_UNAVAILABLE:
                buf_puts(out, "the server says it is gone");
                put_since(out, ", since ", a->word_usec, realtime_usec);
                if (a->words[0]) {
                        buf_puts(out, ": ");
                        put_words(out, a->words);
                }
                break;
        case AVAIL_GONE_BOUNCED:
                buf_puts(out, "the server returned a ping to it: it has no such session");
                put_since(out, ", since ", a->word_usec, realtime_usec);
                break;
        case AVAIL_GONE_NOT_BACK:
                buf_puts(out, "it was here before, and did not announce itself again after this "
                              "controller had connected");
                put_since(out, ", by ", a->word_usec, realtime_usec);
                break;
        case AVAIL_GONE_REMEMBERED:
                buf_printf(out, "so it was when this controller stopped");
                put_since(out, ", since ", a->word_usec, realtime_usec);
                break;
        }
}

static void its_absence(const struct avail *a, uint64_t realtime_usec, struct buf *out) {
        why_gone(a, realtime_usec, out);
        if (avail_in_doubt(a))
                buf_puts(out, "; that is a moment ago and not proven yet");
        buf_putc(out, '\n');
}

static void its_pings(const struct avail *a, const struct avail_link *l, uint64_t realtime_usec,
                      uint64_t now_usec, struct buf *out) {
        if (!a->present || !a->confirmed)
                return;
        if (a->unanswered > 0 && now_usec >= a->first_usec + avail_late_usec(a, l)) {
                buf_printf(out, "%u ping%s unanswered since ", a->unanswered,
                           a->unanswered == 1 ? "" : "s");
                put_time(out, a->first_realtime_usec, realtime_usec);
                buf_puts(out, ", for ");
                put_span(out, a->first_usec, now_usec);
                if (a->state == AVAIL_SUSPECT || a->state == AVAIL_SILENT ||
                    a->state == AVAIL_OFFLINE)
                        buf_puts(out, ", while our server answers and says that it is online\n");
                else
                        buf_puts(out, "; whether our own connection works is being asked\n");
        } else if (a->rtt_usec > 0) {
                buf_puts(out, "its pings are answered, usually after ");
                units_print_duration(out, a->rtt_usec);
                buf_putc(out, '\n');
        }
}

int why_back(const struct avail *a, uint64_t realtime_usec, struct buf *out) {
        uint64_t back = avail_back_usec(a);

        if (a->leave == AVAIL_STAYS)
                return 0;
        if (back == 0)
                buf_puts(out, "when it is expected back is not known");
        else if (back > realtime_usec) {
                buf_puts(out, "it is expected back in about ");
                put_span(out, 0,
                         (back - realtime_usec + USEC_PER_SEC - 1) / USEC_PER_SEC * USEC_PER_SEC);
        } else if (a->state == AVAIL_OVERDUE) {
                buf_puts(out, "it is overdue since ");
                put_time(out, back, realtime_usec);
        } else {
                buf_puts(out, "it should have been back by ");
                put_time(out, back, realtime_usec);
        }
        return buf_check(out);
}

static void its_leave(const struct avail *a, uint64_t realtime_usec, struct buf *out) {
        uint64_t usual = avail_usual_usec(a);

        if (a->leave == AVAIL_STAYS)
                return;
        buf_puts(out, a->leave == AVAIL_REBOOTS ? "it agreed to reboot"
                                                : "it went away and promised to return");
        put_since(out, " at ", a->left_realtime_usec, realtime_usec);
        if (a->leave == AVAIL_REBOOTS && usual > 0) {
                buf_puts(out, ", which usually takes ");
                put_span(out, 0, usual);
                buf_printf(out, " (of the last %zu)", a->n_took);
        }
        buf_puts(out, "; ");
        why_back(a, realtime_usec, out);
        buf_putc(out, '\n');
}

int why_evidence(const struct fleet *f, const struct target *t, uint64_t realtime_usec,
                 uint64_t now_usec, struct buf *out) {
        const struct avail *a = &t->avail;

        our_own(f, t, out);
        if (a->since_usec > 0) {
                buf_printf(out, "%s since ", avail_state_name(a->state));
                put_time(out, a->since_usec, realtime_usec);
                buf_puts(out, ", for ");
                put_span(out, a->since_usec, realtime_usec);
                buf_putc(out, '\n');
        }
        if (t->kind == FLEET_EXPECTED)
                buf_puts(out, "it is in the roster and has never announced itself\n");
        else if (a->present)
                its_presence(t, realtime_usec, out);
        else
                its_absence(a, realtime_usec, out);
        its_duty(t, now_usec, out);
        its_leave(a, realtime_usec, out);
        its_pings(a, &f->link, realtime_usec, now_usec, out);
        if (a->last_answer_usec > 0) {
                buf_puts(out, "last heard ");
                put_span(out, a->last_answer_usec, realtime_usec);
                buf_puts(out, " ago, at ");
                put_time(out, a->last_answer_usec, realtime_usec);
                buf_putc(out, '\n');
        }
        if (t->facts.boot)
                buf_printf(out, "boot id %s\n", t->facts.boot);
        if (!t->subscribed)
                buf_puts(out, "it does not share its presence with this controller\n");
        return buf_check(out);
}

int why_advice(const struct fleet *f, const struct target *t, struct buf *out) {
        const char *name = t->name;

        if (!f->link.online || f->link.mute)
                return buf_puts(out, "rota doctor says what is wrong with the controller's own "
                                     "connection");
        if (!fleet_known(f, t))
                return buf_puts(out, "wait some seconds: it may still announce itself");
        switch (t->avail.state) {
        case AVAIL_READY:
                return buf_printf(out, "rota run %s … starts at once", name);
        case AVAIL_BUSY:
                return buf_printf(out,
                                  "a run given now waits behind the present one; rota reboot "
                                  "--drain %s reboots after it",
                                  name);
        case AVAIL_DRAINING:
                return buf_puts(out, "wait: it reboots when its run has ended");
        case AVAIL_RESERVED:
                return buf_printf(out,
                                  "a run of its holder starts at once, any other waits; an admin "
                                  "may take it: rota reserve --take %s",
                                  name);
        case AVAIL_QUARANTINED:
                return buf_printf(out,
                                  "rota heal %s runs its health diagnostic and frees it when that "
                                  "passes; a run given now waits for that",
                                  name);
        case AVAIL_REBOOTING:
        case AVAIL_AWAY:
                return buf_puts(out, "wait; a run given now starts when it is back");
        case AVAIL_SUSPECT:
                return buf_puts(out, "wait some seconds: it is asked every second");
        case AVAIL_SILENT:
                return buf_puts(out, "look at the machine: its daemon hangs, or its power or "
                                     "network is lost; runs given now start when it answers");
        case AVAIL_OFFLINE:
        case AVAIL_OVERDUE:
                if (t->kind == FLEET_EXPECTED)
                        return buf_puts(out, "start rota-target there; rota-target --check says "
                                             "whether its configuration is right");
                return buf_puts(out, "look at its power and network; runs given now start when it "
                                     "is back");
        }
        return 0;
}
