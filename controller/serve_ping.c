/*
 * Pings that somebody waits for, and what all such asks have in common.
 */
#include "controller/api.h"
#include "controller/controller.h"
#include "controller/core/why.h"
#include "ext/ping.h"
#include "proto/base/clock.h"
#include "proto/json.h"
#include "proto/units.h"

#include <stdlib.h>
#include <string.h>

#define PING_TIMEOUT_USEC (5 * USEC_PER_SEC)
#define PING_TIMEOUT_MAX (300 * USEC_PER_SEC)
/* A thousand at once would queue at the server, and each would measure that queue. So many are under way, and when none
 * comes back for a moment, as many again. */
#define PING_WINDOW 64
#define PING_PAUSE_USEC (25 * USEC_PER_MSEC)

/* ---- all asks ---- */

void asks_news(struct controller *c, const struct target *t, const char *boot) {
        list_foreach_safe (at, &c->asks) {
                struct ask *a = list_entry(at, struct ask, link);

                if (a->ops->news)
                        a->ops->news(at, t, boot);
        }
}

uint64_t asks_tick(struct controller *c, uint64_t now_usec) {
        uint64_t next = USEC_NEVER;

        list_foreach_safe (at, &c->asks) {
                struct ask *a = list_entry(at, struct ask, link);
                uint64_t due = a->ops->tick ? a->ops->tick(at, now_usec) : USEC_NEVER;

                if (due < next)
                        next = due;
        }
        return next;
}

void asks_end(struct controller *c) {
        list_foreach_safe (at, &c->asks)
                list_entry(at, struct ask, link)->ops->end(at);
}

/* ---- pings ---- */

struct ping_result {
        struct ping_ask *ask;
        char *jid;
        char *name;
        bool ok;
        uint64_t rtt_usec;
        struct buf error;
};

struct ping_ask {
        struct ask ask; /* first */
        uint64_t timeout_usec;
        size_t waiting;
        size_t next;        /* result to ask for */
        size_t room;        /* so many may be asked now */
        uint64_t more_usec; /* when there is room again */
        size_t n_results;
        struct ping_result results[];
};

static void ping_free(struct ping_ask *p) {
        struct controller *c = p->ask.controller;

        list_remove(&p->ask.link);
        for (size_t i = 0; i < p->n_results; i++) {
                iqtrack_forget(c->iqs, &p->results[i]);
                free(p->results[i].jid);
                free(p->results[i].name);
                buf_done(&p->results[i].error);
        }
        free(p);
}

static void ping_answer(struct ping_ask *p) {
        CLEANUP(buf_done) struct buf text = {0};
        struct json_writer w;

        json_writer_init(&w, &text);
        json_begin_array(&w, NULL);
        for (size_t i = 0; i < p->n_results; i++) {
                const struct ping_result *r = &p->results[i];

                json_begin_object(&w, NULL);
                json_put_str(&w, "target", r->name);
                json_put_bool(&w, "ok", r->ok);
                if (r->ok)
                        json_put_u64(&w, "rtt_usec", r->rtt_usec);
                else
                        json_put_str(&w, "rtt_usec", NULL);
                json_put_str(&w, "error", r->ok ? NULL : buf_text(&r->error));
                json_end_object(&w);
        }
        json_end_array(&w);
        if (buf_check(&text) < 0)
                bus_fail(p->ask.call, API_ERROR_INFRA, "out of memory");
        else
                bus_reply(p->ask.call, text.data);
        ping_free(p);
}

static void ping_end(struct list *ask) {
        struct ping_ask *p = (struct ping_ask *)ask;

        bus_fail(p->ask.call, API_ERROR_INFRA, "the controller stops");
        ping_free(p);
}

static void ask_more(struct ping_ask *p);

static uint64_t ping_tick(struct list *ask, uint64_t now_usec) {
        struct ping_ask *p = (struct ping_ask *)ask;

        if (p->next == p->n_results)
                return USEC_NEVER;
        if (now_usec < p->more_usec)
                return p->more_usec;
        p->room = PING_WINDOW;
        p->waiting++; /* ours: it may be over with the last one */
        ask_more(p);
        if (--p->waiting == 0) {
                ping_answer(p);
                return USEC_NEVER;
        }
        return p->next < p->n_results ? p->more_usec : USEC_NEVER;
}

static const struct ask_ops ping_ask_ops = {.end = ping_end, .tick = ping_tick};

static void on_pong(void *userdata, const struct iq_answer *answer) {
        struct ping_result *r = userdata;
        struct ping_ask *p = r->ask;
        struct controller *c = p->ask.controller;
        struct target *t = fleet_find(&c->fleet, r->jid);
        struct stanza_error error = {0};
        CLEANUP(arena_done) struct arena arena = {0};

        if (t)
                avail_answered(c, t, answer);
        switch (answer->end) {
        case IQ_RESULT:
                r->ok = true;
                r->rtt_usec = answer->rtt_usec;
                break;
        case IQ_ERROR:
                if (stanza_error_read(answer->stanza, &arena, &error) != 0)
                        error.condition = STANZA_OTHER;
                /* whoever does not know the ping is alive (XEP-0199 4.2); the server answers service-unavailable for
                 * a resource that is gone */
                buf_printf(&r->error, "%s did not answer: %s", r->name,
                           error.text && error.text[0] ? error.text
                                                       : stanza_condition_name(error.condition));
                break;
        case IQ_TIMEOUT:
                buf_printf(&r->error, "%s did not answer within ", r->name);
                units_print_duration(&r->error, p->timeout_usec);
                break;
        case IQ_LOST:
                buf_puts(&r->error, "the controller lost its connection to the server");
                break;
        }
        p->room++;
        ask_more(p);
        if (--p->waiting == 0)
                ping_answer(p);
}

static void ask_one(struct controller *c, struct ping_result *r) {
        const struct target *t = fleet_find(&c->fleet, r->jid);
        const struct ping payload = {0};
        int q = LINK_OFFLINE;

        if (link_online(c->link) && (!t || !fleet_reachable(t))) {
                if (t)
                        why_sentence(t, clock_realtime_usec(), &r->error);
                buf_printf(&r->error, " (see: rota why %s)", r->name);
                return;
        }
        if (link_online(c->link))
                q = controller_ask(c, EXT_IQ_GET, t->full, &ping_element, &payload,
                                   r->ask->timeout_usec, on_pong, r);
        if (q == 0) {
                r->ask->waiting++;
                r->ask->room--;
        } else {
                buf_printf(&r->error,
                           "the controller has no connection to its server (%s); try: rota doctor",
                           link_cause_name(c->cause));
        }
}

/* The caller holds one of `waiting` meanwhile. */
static void ask_more(struct ping_ask *p) {
        while (p->next < p->n_results && p->room > 0)
                ask_one(p->ask.controller, &p->results[p->next++]);
        p->more_usec = clock_monotonic_usec() + PING_PAUSE_USEC;
}

void ping_begin(struct controller *c, struct bus_call *call, const struct selection *s,
                uint64_t timeout_usec) {
        struct ping_ask *p = calloc(1, sizeof(*p) + s->n_targets * sizeof(p->results[0]));

        if (!p) {
                bus_fail(call, API_ERROR_INFRA, "out of memory");
                return;
        }
        p->ask = (struct ask){.ops = &ping_ask_ops, .controller = c, .call = call};
        p->timeout_usec = timeout_usec == 0 ? PING_TIMEOUT_USEC : timeout_usec;
        if (p->timeout_usec > PING_TIMEOUT_MAX)
                p->timeout_usec = PING_TIMEOUT_MAX;
        list_append(&c->asks, &p->ask.link);
        for (size_t i = 0; i < s->n_targets; i++) {
                struct ping_result *r = &p->results[p->n_results++];

                *r = (struct ping_result){.ask = p,
                                          .jid = strdup(s->targets[i]->jid),
                                          .name = strdup(s->targets[i]->name)};
                if (!r->jid || !r->name) {
                        bus_fail(call, API_ERROR_INFRA, "out of memory");
                        ping_free(p);
                        return;
                }
        }
        p->room = PING_WINDOW;
        p->waiting = 1; /* ours, until all of the first are asked */
        ask_more(p);
        if (--p->waiting == 0)
                ping_answer(p);
        else
                controller_wake(c); /* for the others: ping_tick() */
}
