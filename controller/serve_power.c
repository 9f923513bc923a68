/*
 * Reboots that somebody waits for: challenge, order, and another boot id.
 */
#include "controller/api.h"
#include "controller/controller.h"
#include "controller/core/why.h"
#include "controller/core/reboot.h"
#include "ext/power.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/json.h"
#include "proto/units.h"

#include <stdlib.h>
#include <string.h>

_Static_assert((int)REBOOT_GRACEFUL == (int)POWER_GRACEFUL &&
                       (int)REBOOT_FORCE == (int)POWER_FORCE &&
                       (int)REBOOT_DRAIN == (int)POWER_DRAIN,
               "the modes have the same order on the wire and in the core");

struct power_item {
        struct power_ask_group *group;
        char *jid;
        struct reboot reboot;
};

struct power_ask_group {
        struct ask ask; /* first */
        char *reason;
        char *by;
        size_t waiting;
        size_t n_items;
        struct power_item items[];
};

static void power_free(struct power_ask_group *g) {
        list_remove(&g->ask.link);
        for (size_t i = 0; i < g->n_items; i++) {
                iqtrack_forget(g->ask.controller->iqs, &g->items[i]);
                reboot_done(&g->items[i].reboot);
                free(g->items[i].jid);
        }
        free(g->reason);
        free(g->by);
        free(g);
}

static void put_result(struct json_writer *w, const struct controller *c,
                       const struct power_item *item) {
        const struct reboot *r = &item->reboot;
        const struct target *t = fleet_find(&c->fleet, item->jid);

        json_begin_object(w, NULL);
        json_put_str(w, "target", r->name);
        json_put_bool(w, "ok", r->exit == REBOOT_OK);
        json_put_str(w, "error", r->exit == REBOOT_OK ? NULL : buf_text(&r->error));
        json_put_u64(w, "exit", (uint64_t)r->exit);
        json_put_bool(w, "simulated", r->simulated);
        json_put_str(w, "boot_before", r->boot_before[0] ? r->boot_before : NULL);
        json_put_str(w, "boot_after", r->boot_after[0] ? r->boot_after : NULL);
        json_put_u64(w, "took_usec", r->took_usec);
        if (r->went)
                json_put_u64(w, "gone_usec", r->went_usec);
        else
                json_put_str(w, "gone_usec", NULL);
        json_put_str(w, "state", t ? avail_state_name(t->avail.state) : NULL);
        json_end_object(w);
}

static void power_answer(struct power_ask_group *g) {
        CLEANUP(buf_done) struct buf text = {0};
        struct json_writer w;

        json_writer_init(&w, &text);
        json_begin_array(&w, NULL);
        for (size_t i = 0; i < g->n_items; i++)
                put_result(&w, g->ask.controller, &g->items[i]);
        json_end_array(&w);
        if (buf_check(&text) < 0)
                bus_fail(g->ask.call, API_ERROR_INFRA, "out of memory");
        else
                bus_reply(g->ask.call, text.data);
        power_free(g);
}

/* What is known beside the step itself: how long it usually takes, when it should be back. */
static void say_more(const struct power_item *item, const struct target *t, const char *step,
                     struct buf *out) {
        const struct reboot *r = &item->reboot;
        uint64_t usual = avail_usual_usec(&t->avail);

        if (strcmp(step, "back") == 0) {
                buf_printf(out, "boot id %.8s -> %.8s", r->boot_before, r->boot_after);
        } else if (strcmp(step, "gone") == 0) {
                why_back(&t->avail, clock_realtime_usec(), out);
        } else if (usual > 0 && strcmp(step, "asked") != 0) {
                buf_puts(out, "it usually takes about ");
                units_print_duration(out, (usual + USEC_PER_SEC - 1) / USEC_PER_SEC * USEC_PER_SEC);
        }
}

static void progress(struct power_item *item, const char *step) {
        const struct target *t = fleet_find(&item->group->ask.controller->fleet, item->jid);
        CLEANUP(buf_done) struct buf text = {0}, more = {0};
        struct json_writer w;

        if (t)
                say_more(item, t, step, &more);

        json_writer_init(&w, &text);
        json_begin_object(&w, NULL);
        json_put_str(&w, "target", item->reboot.name);
        json_put_str(&w, "step", step);
        json_put_str(&w, "text", more.len > 0 ? buf_text(&more) : NULL);
        json_put_bool(&w, "simulated", item->reboot.simulated);
        json_put_u64(&w, "elapsed_usec", clock_monotonic_usec() - item->reboot.started_usec);
        json_end_object(&w);
        if (buf_check(&text) == 0)
                bus_progress(item->group->ask.call, text.data);
}

static void log_end(const struct power_item *item) {
        const struct reboot *r = &item->reboot;

        log_line(LOG_LEVEL_NOTICE,
                 (struct log_field[]){
                         {"ROTA_TARGET", item->jid},
                         {NULL,          NULL     }
        },
                 "reboot of %s for %s: %s", r->name, item->group->by,
                 r->exit != REBOOT_OK    ? buf_text(&r->error)
                 : r->boot_after[0] != 0 ? "back under another boot id"
                                         : "agreed");
}

/* After anything that may have ended one; the group may be gone afterwards. */
static void check(struct power_item *item, bool was_ended) {
        if (was_ended || item->reboot.state != REBOOT_ENDED)
                return;
        log_end(item);
        if (--item->group->waiting == 0)
                power_answer(item->group);
}

static void refused(struct power_item *item, const struct iq_answer *answer) {
        CLEANUP(arena_done) struct arena arena = {0};
        struct stanza_error e = {0};

        if (stanza_error_read(answer->stanza, &arena, &e) != 0)
                e.condition = STANZA_OTHER;
        switch (e.why) {
        case STANZA_WHY_LEASED:
                reboot_leased(&item->reboot, e.text);
                return;
        case STANZA_WHY_BUSY:
                reboot_busy(&item->reboot, e.run, e.owner);
                return;
        case STANZA_WHY_NOT_ALLOWED:
                reboot_denied(&item->reboot, e.text);
                return;
        case STANZA_WHY_NONE:
        case STANZA_WHY_STALE:
        case STANZA_WHY_UNSUPPORTED:
                break;
        }
        if (e.condition == STANZA_FORBIDDEN || e.condition == STANZA_NOT_ALLOWED)
                reboot_denied(&item->reboot, e.text);
        else
                reboot_failed(&item->reboot,
                              e.text && e.text[0] ? e.text : stanza_condition_name(e.condition));
}

static void on_agreed(void *userdata, const struct iq_answer *answer) {
        CLEANUP(arena_done) struct arena arena = {0};
        struct power_item *item = userdata;
        struct controller *c = item->group->ask.controller;
        struct target *t = fleet_find(&c->fleet, item->jid);
        bool was_ended = item->reboot.state == REBOOT_ENDED;
        struct power_rebooting m = {0};
        const struct xml *x;

        switch (answer->end) {
        case IQ_RESULT:
                x = xml_child(answer->stanza, power_rebooting_element.name,
                              power_rebooting_element.ns);
                if (x)
                        fields_decode(&power_rebooting_element, x, &arena, &m, NULL);
                if (t && !m.draining)
                        avail_leaves(&t->avail, AVAIL_REBOOTS, 0, clock_realtime_usec(),
                                     clock_monotonic_usec());
                reboot_agreed(&item->reboot, m.simulated, m.draining, clock_monotonic_usec());
                progress(item, "going");
                break;
        case IQ_ERROR:
                refused(item, answer);
                break;
        case IQ_TIMEOUT:
        case IQ_LOST:
                reboot_unanswered(&item->reboot, answer->end == IQ_LOST);
                break;
        }
        patrol_look(&c->patrol);
        controller_wake(c);
        check(item, was_ended);
}

static void order(struct power_item *item, const char *full) {
        struct power_ask_group *g = item->group;
        const struct target *t = fleet_find(&g->ask.controller->fleet, item->jid);
        const struct fleet_lease *own = t ? controller_lease(g->ask.controller, t, g->by) : NULL;
        const struct power_reboot m = {
                .nonce = item->reboot.nonce,
                .boot = item->reboot.boot_before,
                .mode = (int)item->reboot.mode,
                .lease = own ? own->token : 0,
                .reason = g->reason,
                .by = g->by,
        };

        if (controller_ask(g->ask.controller, EXT_IQ_SET, full, &power_reboot_element, &m,
                           REBOOT_ANSWER_USEC, on_agreed, item) != 0)
                reboot_failed(&item->reboot, "the order could not be sent");
}

static void on_challenge(void *userdata, const struct iq_answer *answer) {
        CLEANUP(arena_done) struct arena arena = {0};
        struct power_item *item = userdata;
        struct power_challenge m = {0};
        const struct xml *x;
        const char *why = "it is missing";

        switch (answer->end) {
        case IQ_RESULT:
                x = xml_child(answer->stanza, power_challenge_element.name,
                              power_challenge_element.ns);
                if (!x || fields_decode(&power_challenge_element, x, &arena, &m, &why) != 0) {
                        reboot_failed(&item->reboot, "its challenge cannot be read");
                        break;
                }
                reboot_challenged(&item->reboot,
                                  &(struct reboot_challenge){m.nonce, m.boot, m.busy, m.run,
                                                             m.owner, m.simulated});
                if (item->reboot.state == REBOOT_ORDERING)
                        order(item, answer->from);
                break;
        case IQ_ERROR:
                refused(item, answer);
                break;
        case IQ_TIMEOUT:
        case IQ_LOST:
                reboot_unanswered(&item->reboot, answer->end == IQ_LOST);
                break;
        }
        check(item, false);
}

/* ---- the group ---- */

static void power_end(struct list *ask) {
        struct power_ask_group *g = (struct power_ask_group *)ask;

        bus_fail(g->ask.call, API_ERROR_INFRA,
                 "the controller stops; a reboot that was ordered goes on (see rota ls)");
        power_free(g);
}

static void power_news(struct list *ask, const struct target *t, const char *boot) {
        struct power_ask_group *g = (struct power_ask_group *)ask;

        for (size_t i = 0; i < g->n_items; i++) {
                struct power_item *item = &g->items[i];

                if (strcmp(item->jid, t->jid) != 0 || item->reboot.state == REBOOT_ENDED)
                        continue;
                if (!boot) {
                        if (reboot_gone(&item->reboot, clock_monotonic_usec()))
                                progress(item, "gone");
                } else if (reboot_announced(&item->reboot, boot, clock_monotonic_usec())) {
                        progress(item, "back");
                        check(item, false);
                }
                return; /* a target is in a group once */
        }
}

static uint64_t power_tick(struct list *ask, uint64_t now_usec) {
        struct power_ask_group *g = (struct power_ask_group *)ask;
        uint64_t next = USEC_NEVER;
        size_t ended = 0;

        for (size_t i = 0; i < g->n_items; i++) {
                CLEANUP(buf_done) struct buf sentence = {0};
                struct power_item *item = &g->items[i];
                const struct target *t = fleet_find(&g->ask.controller->fleet, item->jid);

                if (item->reboot.state == REBOOT_ENDED)
                        continue;
                if (t && t->avail.state == AVAIL_OVERDUE && !item->reboot.overdue) {
                        item->reboot.overdue = true;
                        progress(item, "overdue");
                }
                if (item->reboot.deadline_usec > now_usec) {
                        if (item->reboot.deadline_usec < next)
                                next = item->reboot.deadline_usec;
                        continue;
                }
                if (t)
                        why_sentence(t, clock_realtime_usec(), &sentence);
                iqtrack_forget(g->ask.controller->iqs, item);
                reboot_expired(&item->reboot, buf_text(&sentence), now_usec);
                log_end(item);
                ended++;
        }
        if (ended > 0 && (g->waiting -= ended) == 0)
                power_answer(g);
        return next;
}

static const struct ask_ops power_ask_ops = {
        .end = power_end,
        .news = power_news,
        .tick = power_tick,
};

static void begin_item(struct controller *c, struct power_item *item, const struct target *t) {
        CLEANUP(buf_done) struct buf sentence = {0};
        const struct power_ask payload = {0};
        int r;

        if (!link_online(c->link)) {
                buf_printf(&sentence,
                           "the controller has no connection to its server (%s; try: rota doctor)",
                           link_cause_name(c->cause));
                reboot_absent(&item->reboot, buf_text(&sentence));
                return;
        }
        if (!fleet_reachable(t)) {
                why_sentence(t, clock_realtime_usec(), &sentence);
                buf_printf(&sentence, " (see: rota why %s)", t->name);
                reboot_absent(&item->reboot, buf_text(&sentence));
                return;
        }
        r = controller_ask(c, EXT_IQ_GET, t->full, &power_ask_element, &payload, REBOOT_ANSWER_USEC,
                           on_challenge, item);
        if (r == 0)
                progress(item, "asked");
        else
                reboot_failed(&item->reboot, "the question could not be sent");
}

struct power_options {
        int mode;
        const char *reason;
        bool wait;
        uint64_t timeout_usec;
};

static int read_options(const struct json_at *at, struct power_options *ret) {
        static const char *const known[] = {"mode", "reason", "wait", "timeout_usec", "by", NULL};
        static const char *const modes[] = {"graceful", "force", "drain", NULL};
        struct json_at mode;
        int r = json_only(at, known);

        if (r == 0 && json_get(at, "mode", &mode) == 0)
                r = json_enum(&mode, modes, &ret->mode);
        if (r == 0)
                r = json_get_str(at, "reason", &ret->reason);
        if (r == 0)
                r = json_get_bool(at, "wait", &ret->wait);
        if (r == 0)
                r = json_get_u64(at, "timeout_usec", &ret->timeout_usec);
        if (r == 0 && ret->reason && strlen(ret->reason) > 200)
                r = json_fail(at, "the reason is longer than 200 characters");
        return r;
}

void power_begin(struct controller *c, struct bus_call *call, const struct selection *s,
                 const char *options) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct power_options o = {.wait = true};
        struct power_ask_group *g;
        struct json_at root;
        uint64_t now = clock_monotonic_usec();
        int r;

        if (!options[0])
                options = "{}";
        r = json_parse(&doc, "options", options, strlen(options));
        if (r == 0) {
                root = json_root(doc);
                r = read_options(&root, &o);
        }
        if (r != 0) {
                bus_fail(call, API_ERROR_USAGE, doc ? json_error(doc) : "out of memory");
                return;
        }
        g = calloc(1, sizeof(*g) + s->n_targets * sizeof(g->items[0]));
        if (!g) {
                bus_fail(call, API_ERROR_INFRA, "out of memory");
                return;
        }
        g->ask = (struct ask){.ops = &power_ask_ops, .controller = c, .call = call};
        list_append(&c->asks, &g->ask.link);
        g->reason = strdup(o.reason ? o.reason : "");
        g->by = strdup(bus_call_user(call));
        for (size_t i = 0; i < s->n_targets; i++) {
                struct power_item *item = &g->items[g->n_items++];

                *item = (struct power_item){.group = g, .jid = strdup(s->targets[i]->jid)};
                reboot_init(&item->reboot, s->targets[i]->name, (enum reboot_mode)o.mode, o.wait,
                            o.timeout_usec, now);
                if (!item->jid || !g->reason || !g->by) {
                        bus_fail(call, API_ERROR_INFRA, "out of memory");
                        power_free(g);
                        return;
                }
        }
        g->waiting = g->n_items + 1; /* one is ours, until all are asked */
        for (size_t i = 0; i < g->n_items; i++) {
                begin_item(c, &g->items[i], s->targets[i]);
                check(&g->items[i], false);
        }
        if (--g->waiting == 0)
                power_answer(g);
        controller_wake(c);
}
