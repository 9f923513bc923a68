/*
 * Who is there: pings that nobody waits for, what they and all other traffic say, and what is told of it.
 */
#include "controller/controller.h"
#include "controller/core/why.h"
#include "ext/ping.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <string.h>

/* An answer that comes later counts as a sign of life, but its delay is no longer measured. */
#define PONG_USEC (10 * USEC_PER_SEC)

/* The server answers for whoever is not there. */
static bool is_bounce(const struct iq_answer *answer) {
        CLEANUP(arena_done) struct arena arena = {0};
        struct stanza_error error = {0};

        if (stanza_error_read(answer->stanza, &arena, &error) != 0)
                return false;
        switch (error.condition) {
        case STANZA_SERVICE_UNAVAILABLE:
        case STANZA_RECIPIENT_UNAVAILABLE:
        case STANZA_ITEM_NOT_FOUND:
        case STANZA_REMOTE_SERVER_NOT_FOUND:
        case STANZA_REMOTE_SERVER_TIMEOUT:
                return true;
        case STANZA_BAD_REQUEST:
        case STANZA_CONFLICT:
        case STANZA_FORBIDDEN:
        case STANZA_INTERNAL_SERVER_ERROR:
        case STANZA_NOT_ACCEPTABLE:
        case STANZA_NOT_ALLOWED:
        case STANZA_RESOURCE_CONSTRAINT:
        case STANZA_UNEXPECTED_REQUEST:
        case STANZA_OTHER:
                break;
        }
        return false;
}

static void tell(struct controller *c, struct target *t) {
        CLEANUP(buf_done) struct buf text = {0};

        t->dirty = true;
        c->fleet_dirty = true;
        why_sentence(t, clock_realtime_usec(), &text);
        if (t->avail.state == AVAIL_OFFLINE && !t->avail.present) {
                buf_puts(&text, ": ");
                why_gone(&t->avail, clock_realtime_usec(), &text);
        }
        log_line(LOG_LEVEL_NOTICE,
                 (struct log_field[]){
                         {"ROTA_TARGET", t->jid                          },
                         {"ROTA_STATE",  avail_state_name(t->avail.state)},
                         {NULL,          NULL                            }
        },
                 "%s", buf_text(&text));
}

/* After a sign of life, or the opposite. */
static void judge(struct controller *c, struct target *t) {
        if (avail_judge(&t->avail, &c->fleet.link, clock_realtime_usec(), clock_monotonic_usec()))
                tell(c, t);
        /* gone, and not proven yet */
        if (!t->avail.present)
                patrol_look(&c->patrol);
        controller_wake(c);
}

void avail_answered(struct controller *c, struct target *t, const struct iq_answer *answer) {
        uint64_t realtime = clock_realtime_usec(), now = clock_monotonic_usec();

        switch (answer->end) {
        case IQ_ERROR:
                if (is_bounce(answer)) {
                        /* after as long as it took the server to notice: that says nothing of our own link */
                        if (fleet_bounced(t, answer->from, realtime, now))
                                asks_news(c, t, NULL);
                        break;
                }
                /* whoever does not know the ping is alive (XEP-0199 4.2) */
                /* fall through */
        case IQ_RESULT:
                avail_ponged(&t->avail, answer->rtt_usec, realtime, now);
                patrol_proven(&c->patrol, now - answer->rtt_usec, now);
                break;
        case IQ_TIMEOUT:
        case IQ_LOST:
                return;
        }
        judge(c, t);
}

static void on_pong(void *userdata, const struct iq_answer *answer) {
        struct controller *c = userdata;
        struct target *t = fleet_find(&c->fleet, answer->from);

        if (t)
                avail_answered(c, t, answer);
}

static void on_server_pong(void *userdata, const struct iq_answer *answer) {
        uint64_t now = clock_monotonic_usec();
        struct controller *c = userdata;

        if (answer->end == IQ_RESULT || answer->end == IQ_ERROR)
                patrol_answered(&c->patrol, now - answer->rtt_usec, now);
        else
                patrol_unanswered(&c->patrol);
}

/* It was sent now, and by the machine itself. */
static bool is_live(const struct xml *stanza) {
        const char *type = xml_attr(stanza, "type");

        /* errors are often the server's, presences may be kept by it, and say so by themselves */
        if ((type && strcmp(type, "error") == 0) || strcmp(xml_name(stanza), "presence") == 0)
                return false;
        return !xml_child(stanza, "delay", NS_DELAY);
}

void avail_traffic(struct controller *c, const struct xml *stanza) {
        const char *from = xml_attr(stanza, "from");
        uint64_t now = clock_monotonic_usec();
        struct target *t;

        patrol_heard(&c->patrol, now);
        t = from ? fleet_find(&c->fleet, from) : NULL;
        if (!t || t->kind != FLEET_TARGET || !t->full || strcmp(t->full, from) != 0 ||
            !is_live(stanza))
                return;
        avail_heard(&t->avail, clock_realtime_usec(), now);
        judge(c, t);
}

static void mute_changed(struct controller *c) {
        if (c->fleet.link.mute)
                log_warning("the server does not answer; nobody's state is known until it does");
        else
                log_notice("the server answers again");
        for (size_t i = 0; i < c->fleet.n_targets; i++)
                c->fleet.targets[i]->dirty = true;
        c->fleet_dirty = true;
}

static void act(struct controller *c, const struct patrol_action *action) {
        const struct ping payload = {0};
        uint64_t now = clock_monotonic_usec();
        struct target *t = action->target;

        switch (action->kind) {
        case PATROL_PING:
                patrol_pinged(&c->patrol, t, clock_realtime_usec(), now);
                controller_ask(c, EXT_IQ_GET, t->full, &ping_element, &payload, PONG_USEC, on_pong,
                               c);
                break;
        case PATROL_ASK_SERVER:
                patrol_asked(&c->patrol, now);
                controller_ask(c, EXT_IQ_GET, NULL, &ping_element, &payload, PONG_USEC,
                               on_server_pong, c);
                break;
        case PATROL_TELL:
                tell(c, t);
                break;
        case PATROL_LINK:
                mute_changed(c);
                break;
        }
}

uint64_t avail_tick(struct controller *c, uint64_t now_usec) {
        struct patrol_action action;

        while (patrol_next(&c->patrol, clock_realtime_usec(), now_usec, &action))
                act(c, &action);
        return patrol_deadline(&c->patrol);
}
