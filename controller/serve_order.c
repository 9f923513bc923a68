/*
 * Orders that somebody waits for: reserve, extend, release, quarantine, free, away, back. Each is one question to each
 * target, answered now or not at all; what is then in force is in the targets' presence.
 */
#include "controller/api.h"
#include "controller/controller.h"
#include "controller/core/why.h"
#include "ext/away.h"
#include "ext/lease.h"
#include "ext/quarantine.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/json.h"
#include "proto/text.h"
#include "proto/units.h"

#include <stdlib.h>
#include <string.h>

enum order_kind {
        ORDER_RESERVE,
        ORDER_TAKE,
        ORDER_EXTEND,
        ORDER_RELEASE,
        ORDER_QUARANTINE,
        ORDER_FREE,
        ORDER_AWAY,
        ORDER_BACK,
};

static const char *const order_names[] = {
        [ORDER_RESERVE] = "reserve",
        [ORDER_TAKE] = "take",
        [ORDER_EXTEND] = "extend",
        [ORDER_RELEASE] = "release",
        [ORDER_QUARANTINE] = "quarantine",
        [ORDER_FREE] = "free",
        [ORDER_AWAY] = "away",
        [ORDER_BACK] = "back",
        NULL,
};

/* The exit statuses of `rota` that an order may lead to: controller/api.h. */
enum {
        EXIT_OK = 0,
        EXIT_INFRA = 3,
        EXIT_DENIED = 4,
        EXIT_BUSY = 6,
};

struct order_item {
        struct order_ask *ask;
        char *jid;
        char *name;
        char id[ID_SIZE]; /* of the lease */
        bool ok;
        int exit;
        uint64_t left_usec; /* of the lease or promise */
        struct buf error;
};

struct order_ask {
        struct ask ask; /* first */
        enum order_kind kind;
        uint64_t length_usec;
        char *reason; /* NULL: none */
        char *by;
        size_t waiting;
        size_t n_items;
        struct order_item items[];
};

static void order_free(struct order_ask *o) {
        list_remove(&o->ask.link);
        for (size_t i = 0; i < o->n_items; i++) {
                iqtrack_forget(o->ask.controller->iqs, &o->items[i]);
                free(o->items[i].jid);
                free(o->items[i].name);
                buf_done(&o->items[i].error);
        }
        free(o->reason);
        free(o->by);
        free(o);
}

static void order_answer(struct order_ask *o) {
        CLEANUP(buf_done) struct buf text = {0};
        struct json_writer w;

        json_writer_init(&w, &text);
        json_begin_array(&w, NULL);
        for (size_t i = 0; i < o->n_items; i++) {
                const struct order_item *item = &o->items[i];

                json_begin_object(&w, NULL);
                json_put_str(&w, "target", item->name);
                json_put_bool(&w, "ok", item->ok);
                json_put_str(&w, "error", item->ok ? NULL : buf_text(&item->error));
                json_put_u64(&w, "exit", (uint64_t)item->exit);
                if (item->ok && item->left_usec > 0)
                        json_put_u64(&w, "left_usec", item->left_usec);
                else
                        json_put_str(&w, "left_usec", NULL);
                json_end_object(&w);
        }
        json_end_array(&w);
        if (buf_check(&text) < 0)
                bus_fail(o->ask.call, API_ERROR_INFRA, "out of memory");
        else
                bus_reply(o->ask.call, text.data);
        order_free(o);
}

static void order_end(struct list *ask) {
        struct order_ask *o = (struct order_ask *)ask;

        bus_fail(o->ask.call, API_ERROR_INFRA,
                 "the controller stops; what targets agreed to is in force (see rota ls)");
        order_free(o);
}

static const struct ask_ops order_ask_ops = {.end = order_end};

static void fail(struct order_item *item, int exit, const char *text) {
        item->exit = exit;
        buf_puts(&item->error, text);
}

static void refused(struct order_item *item, const struct iq_answer *answer) {
        CLEANUP(arena_done) struct arena arena = {0};
        struct stanza_error e = {0};
        const char *what = order_names[item->ask->kind];

        if (stanza_error_read(answer->stanza, &arena, &e) != 0)
                e.condition = STANZA_OTHER;
        item->exit = EXIT_INFRA;
        if (e.why == STANZA_WHY_LEASED || e.why == STANZA_WHY_BUSY)
                item->exit = EXIT_BUSY;
        else if (e.why == STANZA_WHY_NOT_ALLOWED || e.condition == STANZA_FORBIDDEN)
                item->exit = EXIT_DENIED;
        if (e.condition == STANZA_SERVICE_UNAVAILABLE && !e.text)
                buf_printf(&item->error, "%s does not know how to %s; its rota-target is older",
                           item->name, what);
        else
                buf_printf(&item->error, "%s: %s", item->name,
                           e.text && e.text[0] ? e.text : stanza_condition_name(e.condition));
        if (e.why == STANZA_WHY_BUSY && e.run)
                buf_printf(&item->error, " (run %s of %s)", e.run, e.owner ? e.owner : "another");
        if (e.why == STANZA_WHY_LEASED && item->ask->kind == ORDER_RESERVE)
                buf_printf(&item->error, "; an admin may take it: rota reserve --take %s",
                           item->name);
}

/* What the target says is in force now. */
static uint64_t left_of(const struct order_item *item, const struct xml *stanza,
                        struct arena *arena) {
        struct lease_held held = {0};
        struct away_state away = {0};
        const struct xml *x;

        x = xml_child(stanza, lease_held_element.name, lease_held_element.ns);
        if (x && fields_decode(&lease_held_element, x, arena, &held, NULL) == 0)
                return item->ask->kind == ORDER_RELEASE ? 0 : held.left * USEC_PER_SEC;
        x = xml_child(stanza, away_state_element.name, away_state_element.ns);
        if (x && fields_decode(&away_state_element, x, arena, &away, NULL) == 0)
                return away.left * USEC_PER_SEC;
        return 0;
}

static void on_answer(void *userdata, const struct iq_answer *answer) {
        CLEANUP(arena_done) struct arena arena = {0};
        struct order_item *item = userdata;
        struct order_ask *o = item->ask;
        struct controller *c = o->ask.controller;
        struct target *t = fleet_find(&c->fleet, item->jid);

        switch (answer->end) {
        case IQ_RESULT:
                item->ok = true;
                item->exit = EXIT_OK;
                item->left_usec = left_of(item, answer->stanza, &arena);
                /* what goes by our own wish is no loss */
                if (t && o->kind == ORDER_RELEASE)
                        fleet_released(t);
                break;
        case IQ_ERROR:
                refused(item, answer);
                break;
        case IQ_TIMEOUT:
        case IQ_LOST:
                item->exit = EXIT_INFRA;
                buf_printf(&item->error, "%s: %s; whether it agreed shows in rota ls and rota who",
                           item->name,
                           answer->end == IQ_LOST ? "the connection ended before its answer"
                                                  : "it did not answer in time");
                break;
        }
        log_line(LOG_LEVEL_NOTICE,
                 (struct log_field[]){
                         {"ROTA_TARGET", item->jid},
                         {"ROTA_BY",     o->by    },
                         {NULL,          NULL     }
        },
                 "%s of %s for %s: %s", order_names[o->kind], item->name, o->by,
                 item->ok ? "agreed" : buf_text(&item->error));
        if (--o->waiting == 0)
                order_answer(o);
}

const struct fleet_lease *controller_lease(const struct controller *c, const struct target *t,
                                           const char *by) {
        const struct fleet_lease *l = t->facts.lease;

        if (!l || !jid_same_bare(l->holder, c->config->jid) || (l->by && strcmp(l->by, by) != 0))
                return NULL;
        return l;
}

/* Extending and releasing is for who holds it. */
static const struct fleet_lease *own_lease(struct order_item *item, const struct target *t) {
        const struct controller *c = item->ask->ask.controller;
        const struct fleet_lease *own = controller_lease(c, t, item->ask->by), *l = t->facts.lease;

        if (own)
                return own;
        if (!l)
                buf_printf(&item->error, "%s is not reserved", item->name);
        else
                buf_printf(&item->error,
                           "%s is reserved for %s%s%s%s; an admin may take it: rota reserve --take "
                           "%s",
                           item->name, l->by ? l->by : l->holder, l->by ? " (" : "",
                           l->by ? l->holder : "", l->by ? ")" : "", item->name);
        item->exit = EXIT_BUSY;
        return NULL;
}

/* Returns what controller_ask() returned, or 1: it is not to be asked, and the error says why. */
static int send(struct order_item *item, const struct target *t) {
        struct order_ask *o = item->ask;
        struct controller *c = o->ask.controller;
        const uint64_t seconds = o->length_usec / USEC_PER_SEC;
        const struct lease_acquire acquire = {item->id, t->facts.sid, seconds, o->by, o->reason};
        const struct quarantine_order quarantine = {o->by, o->reason};
        const struct away_leave leave = {t->facts.sid, seconds, o->by, o->reason};
        const struct away_stay stay = {o->by};
        struct lease_extend extend = {.seconds = seconds, .by = o->by};
        struct lease_release release = {.by = o->by};
        const struct fleet_lease *own;
        const struct element *e = NULL;
        const void *payload = NULL;

        switch (o->kind) {
        case ORDER_RESERVE:
                e = &lease_acquire_element;
                payload = &acquire;
                break;
        case ORDER_TAKE:
                e = &lease_take_element;
                payload = &acquire;
                break;
        case ORDER_EXTEND:
                own = own_lease(item, t);
                if (!own)
                        return 1;
                extend.id = own->id;
                extend.token = own->token;
                e = &lease_extend_element;
                payload = &extend;
                break;
        case ORDER_RELEASE:
                own = own_lease(item, t);
                if (!own)
                        return 1;
                release.id = own->id;
                e = &lease_release_element;
                payload = &release;
                break;
        case ORDER_QUARANTINE:
                e = &quarantine_impose_element;
                payload = &quarantine;
                break;
        case ORDER_FREE:
                e = &quarantine_free_element;
                payload = &quarantine;
                break;
        case ORDER_AWAY:
                e = &away_leave_element;
                payload = &leave;
                break;
        case ORDER_BACK:
                e = &away_stay_element;
                payload = &stay;
                break;
        }
        return controller_ask(c, EXT_IQ_SET, t->full, e, payload, CONTROLLER_IQ_USEC, on_answer,
                              item);
}

static void begin_item(struct order_item *item, const struct target *t) {
        struct controller *c = item->ask->ask.controller;
        int r;

        if (!link_online(c->link)) {
                controller_offline_text(c, &item->error);
                item->exit = EXIT_INFRA;
                return;
        }
        if (!fleet_reachable(t) || !t->facts.sid) {
                why_sentence(t, clock_realtime_usec(), &item->error);
                buf_printf(&item->error, " (see: rota why %s)", t->name);
                item->exit = EXIT_INFRA;
                return;
        }
        r = send(item, t);
        if (r == 0)
                item->ask->waiting++;
        else if (item->error.len == 0)
                fail(item, EXIT_INFRA, "the question could not be sent");
}

struct order_options {
        int kind;
        uint64_t length_usec;
        const char *reason;
};

static bool needs_length(int kind) {
        return kind == ORDER_RESERVE || kind == ORDER_TAKE || kind == ORDER_EXTEND ||
               kind == ORDER_AWAY;
}

static int read_options(const struct json_at *at, struct order_options *ret) {
        static const char *const known[] = {"do", "for_usec", "reason", NULL};
        struct json_at what;
        int r = json_only(at, known);

        if (r == 0 && json_get(at, "do", &what) != 0)
                return json_fail(at, "expected \"do\"");
        if (r == 0)
                r = json_enum(&what, order_names, &ret->kind);
        if (r == 0)
                r = json_get_u64(at, "for_usec", &ret->length_usec);
        if (r == 0)
                r = json_get_str(at, "reason", &ret->reason);
        if (r == 0 && ret->reason && strlen(ret->reason) > 200)
                return json_fail(at, "the reason is longer than 200 characters");
        if (r == 0 && needs_length(ret->kind) &&
            (ret->length_usec < USEC_PER_SEC ||
             ret->length_usec / USEC_PER_SEC > LEASE_SECONDS_MAX))
                return json_fail(at, "expected a time between a second and a year");
        return r;
}

void order_begin(struct controller *c, struct bus_call *call, const struct selection *s,
                 const char *options) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct order_options opt = {0};
        struct order_ask *o;
        struct json_at root;
        int r = json_parse(&doc, "options", options, strlen(options));

        if (r == 0) {
                root = json_root(doc);
                r = read_options(&root, &opt);
        }
        if (r != 0) {
                bus_fail(call, API_ERROR_USAGE, doc ? json_error(doc) : "out of memory");
                return;
        }
        o = calloc(1, sizeof(*o) + s->n_targets * sizeof(o->items[0]));
        if (!o) {
                bus_fail(call, API_ERROR_INFRA, "out of memory");
                return;
        }
        o->ask = (struct ask){.ops = &order_ask_ops, .controller = c, .call = call};
        o->kind = (enum order_kind)opt.kind;
        o->length_usec = opt.length_usec;
        list_append(&c->asks, &o->ask.link);
        o->by = strdup(bus_call_user(call));
        if (opt.reason && opt.reason[0])
                o->reason = strdup(opt.reason);
        o->waiting = 1; /* ours, until all are asked */
        for (size_t i = 0; i < s->n_targets; i++) {
                struct order_item *item = &o->items[o->n_items++];

                *item = (struct order_item){.ask = o,
                                            .jid = strdup(s->targets[i]->jid),
                                            .name = strdup(s->targets[i]->name)};
                if (!item->jid || !item->name || !o->by || id_new(item->id) < 0 ||
                    (opt.reason && opt.reason[0] && !o->reason)) {
                        bus_fail(call, API_ERROR_INFRA, "out of memory");
                        order_free(o);
                        return;
                }
                begin_item(item, s->targets[i]);
        }
        if (--o->waiting == 0)
                order_answer(o);
}
