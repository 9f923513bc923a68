/*
 * Runs that others started: listed from the targets that have them, and followed from byte 0. What is followed is then a
 * run like our own, but for its owner: it is stored, shown and printed alike, and nothing is submitted for it.
 */
#include "controller/api.h"
#include "controller/controller.h"
#include "controller/core/why.h"
#include "ext/run.h"
#include "ext/stream.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CATCH_UP_USEC (20 * USEC_PER_SEC) /* then what is there is shown, and the rest comes */
#define LIST_DEFAULT 20

/* ---- what both ask: runs of targets ---- */

struct list_item {
        struct list_ask *ask;
        char *jid;
        char *name;
        char *error; /* NULL: it answered */
};

struct list_ask {
        struct ask ask; /* first */
        char *typed;    /* the beginning of an id that is looked for; NULL: all are listed */
        uint64_t limit;
        struct buf json; /* of what was found, without the brackets */
        struct json_writer writer;

        /* a run that was looked for */
        struct run_item found;
        char *found_on; /* JID */
        bool several;
        bool twice;         /* the same one, on two targets: one of them is wrong */
        struct arena arena; /* of `found` */

        size_t waiting;
        size_t n_items;
        struct list_item items[];
};

static void list_ask_free(struct list_ask *l) {
        list_remove(&l->ask.link);
        for (size_t i = 0; i < l->n_items; i++) {
                iqtrack_forget(l->ask.controller->iqs, &l->items[i]);
                free(l->items[i].jid);
                free(l->items[i].name);
                free(l->items[i].error);
        }
        free(l->typed);
        free(l->found_on);
        buf_done(&l->json);
        arena_done(&l->arena);
        free(l);
}

static void list_end(struct list *ask) {
        struct list_ask *l = (struct list_ask *)ask;

        bus_fail(l->ask.call, API_ERROR_INFRA, "the controller stops");
        list_ask_free(l);
}

static const struct ask_ops list_ask_ops = {.end = list_end};

static void begin_following(struct controller *c, struct bus_call *call, struct target *t,
                            const struct run_item *found);

/* As a RUN of controller/api.h, as far as the target tells. */
static void put_item(struct json_writer *w, const char *target, const struct run_item *i) {
        json_begin_object(w, NULL);
        json_put_str(w, "run", i->id);
        json_put_str(w, "batch", NULL);
        json_put_str(w, "target", target);
        json_put_str(w, "title", i->name);
        json_put_str(w, "state", i->state);
        json_put_str(w, "verdict", i->verdict);
        json_put_str(w, "cause", NULL);
        json_put_str(w, "refusal", NULL);
        json_put_u64(w, "step", i->step);
        json_put_u64(w, "of", i->of);
        json_put_str(w, "by", i->by);
        json_put_str(w, "owner", i->owner);
        json_put_u64(w, "submitted_usec", i->accepted * USEC_PER_SEC);
        json_put_str(w, "started_usec", NULL);
        if (i->ended > 0)
                json_put_u64(w, "ended_usec", i->ended * USEC_PER_SEC);
        else
                json_put_str(w, "ended_usec", NULL);
        json_put_str(w, "exit", NULL);
        json_put_str(w, "note", NULL);
        json_begin_array(w, "streams");
        json_end_array(w);
        json_end_object(w);
}

static int keep_item(struct arena *a, const struct run_item *i, struct run_item *ret) {
        *ret = (struct run_item){
                .id = arena_strdup(a, i->id),
                .owner = arena_strdup(a, i->owner ? i->owner : ""),
                .by = i->by ? arena_strdup(a, i->by) : NULL,
                .name = arena_strdup(a, i->name ? i->name : ""),
                .accepted = i->accepted,
                .of = i->of,
        };
        return ret->id && ret->owner && ret->name && (ret->by || !i->by) ? 0 : -ENOMEM;
}

static int keep_found(struct list_ask *l, const char *jid, const struct run_item *i) {
        if (l->found_on) {
                l->several = true;
                l->twice = l->twice || strcmp(l->found.id, i->id) == 0;
                return 0;
        }
        l->found_on = strdup(jid);
        return l->found_on ? keep_item(&l->arena, i, &l->found) : -ENOMEM;
}

static void found_nothing(const struct list_ask *l) {
        CLEANUP(buf_done) struct buf text = {0};
        size_t absent = 0;

        for (size_t i = 0; i < l->n_items; i++)
                absent += l->items[i].error != NULL;
        buf_printf(&text, "there is no run \"%s\" here, nor on any target that answers", l->typed);
        if (absent > 0)
                buf_printf(&text, " (%zu did not)", absent);
        buf_puts(&text, "\ntry: rota runs, or rota runs --on TARGET");
        bus_fail(l->ask.call, API_ERROR_UNKNOWN, buf_text(&text));
}

static void search_over(struct list_ask *l) {
        CLEANUP(buf_done) struct buf text = {0};
        struct controller *c = l->ask.controller;
        struct target *t = l->found_on ? fleet_find(&c->fleet, l->found_on) : NULL;

        if (l->twice) {
                buf_printf(&text,
                           "several targets say that they have run %s, which one of them can have "
                           "only\ntry: rota runs --on TARGET",
                           l->found.id);
                bus_fail(l->ask.call, API_ERROR_INFRA, buf_text(&text));
        } else if (l->several) {
                buf_printf(&text, "several runs begin with \"%s\"; type more of the id", l->typed);
                bus_fail(l->ask.call, API_ERROR_UNKNOWN, buf_text(&text));
        } else if (!t) {
                found_nothing(l);
        } else {
                begin_following(c, l->ask.call, t, &l->found);
        }
        list_ask_free(l);
}

static void list_over(struct list_ask *l) {
        CLEANUP(buf_done) struct buf text = {0};
        struct json_writer w;

        json_writer_init(&w, &text);
        json_begin_object(&w, NULL);
        buf_puts(&text, "\"runs\":[");
        buf_append(&text, buf_text(&l->json), l->json.len);
        buf_puts(&text, "],");
        w.comma = false;
        json_begin_array(&w, "errors");
        for (size_t i = 0; i < l->n_items; i++) {
                if (!l->items[i].error)
                        continue;
                json_begin_object(&w, NULL);
                json_put_str(&w, "target", l->items[i].name);
                json_put_str(&w, "error", l->items[i].error);
                json_end_object(&w);
        }
        json_end_array(&w);
        json_end_object(&w);
        if (buf_check(&text) < 0)
                bus_fail(l->ask.call, API_ERROR_INFRA, "out of memory");
        else
                bus_reply(l->ask.call, text.data);
        list_ask_free(l);
}

static void answered(struct list_ask *l) {
        if (--l->waiting > 0)
                return;
        if (l->typed)
                search_over(l);
        else
                list_over(l);
}

static void take_items(struct list_item *item, const struct iq_answer *answer) {
        CLEANUP(arena_done) struct arena arena = {0};
        struct list_ask *l = item->ask;
        struct run_items m = {0};
        const char *why = "it is missing";
        const struct xml *x;

        x = xml_child(answer->stanza, run_items_element.name, run_items_element.ns);
        if (!x || fields_decode(&run_items_element, x, &arena, &m, &why) != 0) {
                item->error = strdup("its answer cannot be read");
                return;
        }
        for (size_t i = 0; i < m.n_item; i++) {
                if (!l->typed)
                        put_item(&l->writer, item->name, &m.item[i]);
                else if (strncmp(m.item[i].id, l->typed, strlen(l->typed)) == 0 &&
                         keep_found(l, item->jid, &m.item[i]) < 0)
                        item->error = strdup("out of memory");
        }
}

static void on_listed(void *userdata, const struct iq_answer *answer) {
        CLEANUP(arena_done) struct arena arena = {0};
        struct list_item *item = userdata;
        struct stanza_error e = {0};

        switch (answer->end) {
        case IQ_RESULT:
                take_items(item, answer);
                break;
        case IQ_ERROR:
                if (stanza_error_read(answer->stanza, &arena, &e) != 0)
                        e.condition = STANZA_OTHER;
                item->error =
                        strdup(e.text && e.text[0] ? e.text : stanza_condition_name(e.condition));
                break;
        case IQ_TIMEOUT:
        case IQ_LOST:
                item->error = strdup(answer->end == IQ_LOST ? "the connection ended"
                                                            : "it did not answer in time");
                break;
        }
        answered(item->ask);
}

static void ask_item(struct list_item *item, const struct target *t) {
        CLEANUP(buf_done) struct buf sentence = {0};
        struct controller *c = item->ask->ask.controller;
        const struct run_list m = {.id = item->ask->typed, .limit = item->ask->limit};
        int r = LINK_OFFLINE;

        if (link_online(c->link) && fleet_reachable(t))
                r = controller_ask(c, EXT_IQ_GET, t->full, &run_list_element, &m,
                                   CONTROLLER_IQ_USEC, on_listed, item);
        if (r == 0) {
                item->ask->waiting++;
                return;
        }
        why_sentence(t, clock_realtime_usec(), &sentence);
        item->error = strdup(link_online(c->link) ? buf_text(&sentence)
                                                  : "the controller is not connected");
}

/* @typed NULL: list; else search. */
static void ask_targets(struct controller *c, struct bus_call *call, struct target *const *targets,
                        size_t n, const char *typed, uint64_t limit) {
        struct list_ask *l = calloc(1, sizeof(*l) + n * sizeof(l->items[0]));

        if (!l || (typed && !(l->typed = strdup(typed)))) {
                free(l);
                bus_fail(call, API_ERROR_INFRA, "out of memory");
                return;
        }
        l->ask = (struct ask){.ops = &list_ask_ops, .controller = c, .call = call};
        l->limit = limit;
        json_writer_init(&l->writer, &l->json);
        list_append(&c->asks, &l->ask.link);
        l->waiting = 1; /* ours, until all are asked */
        for (size_t i = 0; i < n; i++) {
                struct list_item *item = &l->items[l->n_items++];

                *item = (struct list_item){
                        .ask = l, .jid = strdup(targets[i]->jid), .name = strdup(targets[i]->name)};
                if (!item->jid || !item->name) {
                        bus_fail(call, API_ERROR_INFRA, "out of memory");
                        list_ask_free(l);
                        return;
                }
                if (targets[i]->kind == FLEET_TARGET)
                        ask_item(item, targets[i]);
        }
        answered(l);
}

void follow_list(struct controller *c, struct bus_call *call, const struct selection *s,
                 uint64_t limit) {
        if (limit > RUN_LIST_MAX)
                limit = RUN_LIST_MAX;
        ask_targets(c, call, s->targets, s->n_targets, NULL, limit > 0 ? limit : LIST_DEFAULT);
}

/* ---- following one ---- */

struct follow_ask {
        struct ask ask; /* first */
        char run[ID_MAX + 1];
        char *jid;
        struct run_item found;
        bool answered;
        uint64_t deadline_usec;
        struct arena arena;          /* of `found` and `streams` */
        struct stream_have *streams; /* how long they were when it began */
        size_t n_streams;
};

static void follow_ask_free(struct follow_ask *f) {
        list_remove(&f->ask.link);
        iqtrack_forget(f->ask.controller->iqs, f);
        arena_done(&f->arena);
        free(f->jid);
        free(f);
}

static void follow_end(struct list *ask) {
        struct follow_ask *f = (struct follow_ask *)ask;

        bus_fail(f->ask.call, API_ERROR_INFRA, "the controller stops");
        follow_ask_free(f);
}

/* Is everything here that was there when it began? */
static bool caught_up(const struct follow_ask *f) {
        const struct run *r = jobs_find(&f->ask.controller->jobs, f->run);

        if (!r || r->done)
                return true;
        for (size_t i = 0; i < f->n_streams; i++) {
                const struct run_stream *s = run_stream_find(r, f->streams[i].stream);

                if (!s ? f->streams[i].next > 0 : s->next < f->streams[i].next)
                        return false;
        }
        return r->fold.state != RUN_UNKNOWN;
}

static uint64_t follow_tick(struct list *ask, uint64_t now_usec) {
        struct follow_ask *f = (struct follow_ask *)ask;

        if (!f->answered)
                return USEC_NEVER;
        if (now_usec < f->deadline_usec && !caught_up(f))
                return f->deadline_usec;
        desk_answer_run(f->ask.controller, f->ask.call, f->run);
        follow_ask_free(f);
        return USEC_NEVER;
}

static const struct ask_ops follow_ask_ops = {.end = follow_end, .tick = follow_tick};

enum {
        FOLLOW_FOREIGN = 1, /* another target has that run */
};

static int keep_sizes(struct follow_ask *f, const struct stream_follow *m) {
        f->streams = arena_alloc(&f->arena, (m->n_have + 1) * sizeof(*f->streams));
        if (!f->streams)
                return -ENOMEM;
        for (size_t i = 0; i < m->n_have; i++) {
                f->streams[i] = m->have[i];
                f->streams[i].stream = arena_strdup(&f->arena, m->have[i].stream);
                f->streams[i].run = f->run;
                if (!f->streams[i].stream)
                        return -ENOMEM;
        }
        f->n_streams = m->n_have;
        return 0;
}

/*
 * A live run of its owner, as far as the target has told. What is known already stays as it is: a target's word adds a
 * run, and changes none. Returns 0, FOLLOW_FOREIGN or -errno.
 */
static int take_in(struct follow_ask *f) {
        CLEANUP(run_free) struct run *stored = NULL;
        struct controller *c = f->ask.controller;
        const struct run_item *found = &f->found;
        const struct run *known = jobs_find(&c->jobs, f->run);
        struct run *run;
        int r;

        if (!known) {
                r = store_load_run(c->store, f->run, &stored);
                if (r < 0)
                        return r;
                known = stored;
        }
        if (known)
                return strcmp(known->target, f->jid) == 0 ? 0 : FOLLOW_FOREIGN;
        r = jobs_add(&c->jobs, f->run, f->jid, &run);
        if (r != 0)
                return r < 0 ? r : -EBUSY;
        run->sent = true;
        run->submitted_usec = found->accepted * USEC_PER_SEC;
        run->steps = (unsigned)found->of;
        if (!jid_same_bare(found->owner, c->config->jid) && run_set(&run->owner, found->owner) < 0)
                return -ENOMEM;
        if (run_set(&run->by, found->by) < 0 || run_set(&run->title, found->name) < 0)
                return -ENOMEM;
        run->dirty = true;
        return pump_touch(c, run);
}

static void on_following(void *userdata, const struct iq_answer *answer) {
        CLEANUP(arena_done) struct arena arena = {0};
        CLEANUP(buf_done) struct buf text = {0};
        struct follow_ask *f = userdata;
        struct stanza_error e = {0};
        struct stream_follow m = {0};
        const struct xml *x;
        int r;

        switch (answer->end) {
        case IQ_RESULT:
                x = xml_child(answer->stanza, stream_following_element.name,
                              stream_following_element.ns);
                if (x && fields_decode(&stream_following_element, x, &arena, &m, NULL) == 0 &&
                    m.n_have > 0 && keep_sizes(f, &m) == 0) {
                        r = take_in(f);
                        if (r == 0) {
                                f->answered = true;
                                f->deadline_usec = clock_monotonic_usec() + CATCH_UP_USEC;
                                controller_wake(f->ask.controller);
                                return;
                        }
                        if (r == FOLLOW_FOREIGN)
                                buf_printf(&text,
                                           "%s says that it has run %s, which is on another target",
                                           f->jid, f->run);
                        else
                                buf_printf(&text, "run %s: %s", f->run, strerror(-r));
                        break;
                }
                buf_printf(&text,
                           "its target does not know run %s any more\ntry: rota runs --on %s",
                           f->run, f->jid);
                break;
        case IQ_ERROR:
                if (stanza_error_read(answer->stanza, &arena, &e) != 0)
                        e.condition = STANZA_OTHER;
                buf_printf(&text, "run %s: %s", f->run,
                           e.text && e.text[0] ? e.text : stanza_condition_name(e.condition));
                break;
        case IQ_TIMEOUT:
                /* it may send nevertheless, and then it is to be known whose run that is */
                take_in(f);
                buf_printf(&text, "run %s: its target did not answer in time; try: rota why %s",
                           f->run, f->jid);
                break;
        case IQ_LOST:
                buf_printf(&text,
                           "run %s: the connection ended before its target answered; try: "
                           "rota doctor",
                           f->run);
                break;
        }
        bus_fail(f->ask.call, API_ERROR_INFRA, buf_text(&text));
        follow_ask_free(f);
}

static void begin_following(struct controller *c, struct bus_call *call, struct target *t,
                            const struct run_item *found) {
        const struct stream_have have = {found->id, JOBS_EVENTS, 0};
        const struct stream_follow m = {.have = &have, .n_have = 1};
        struct follow_ask *f = calloc(1, sizeof(*f));
        int r;

        if (f)
                f->jid = strdup(t->jid);
        if (!f || !f->jid || keep_item(&f->arena, found, &f->found) < 0) {
                if (f) {
                        arena_done(&f->arena);
                        free(f->jid);
                }
                free(f);
                bus_fail(call, API_ERROR_INFRA, "out of memory");
                return;
        }
        f->ask = (struct ask){.ops = &follow_ask_ops, .controller = c, .call = call};
        memcpy(f->run, found->id, strlen(found->id) + 1);
        list_append(&c->asks, &f->ask.link);
        log_line(LOG_LEVEL_INFO,
                 (struct log_field[]){
                         {"ROTA_RUN",    f->run},
                         {"ROTA_TARGET", t->jid},
                         {NULL,          NULL  }
        },
                 "following run %s of %s on %s", f->run, found->owner, t->name);
        r = controller_ask(c, EXT_IQ_SET, t->full, &stream_follow_element, &m, CONTROLLER_IQ_USEC,
                           on_following, f);
        if (r != 0) {
                bus_fail(call, API_ERROR_INFRA, "the question could not be sent");
                follow_ask_free(f);
        }
}

void follow_announced(struct controller *c, struct bus_call *call, struct target *t) {
        const struct run_item found = {
                .id = t->facts.run,
                .owner = t->facts.run_owner ? t->facts.run_owner : "",
                .by = t->facts.run_by,
                .name = t->facts.run_title ? t->facts.run_title : "",
                .of = t->facts.run_of,
                .accepted = clock_realtime_usec() / USEC_PER_SEC, /* its journal will tell */
        };

        begin_following(c, call, t, &found);
}

void follow_find(struct controller *c, struct bus_call *call, const char *typed) {
        struct target *on = NULL;
        size_t n = 0;

        for (size_t i = 0; i < c->fleet.n_targets; i++) {
                struct target *t = c->fleet.targets[i];

                if (t->facts.run && fleet_reachable(t) && strcmp(t->facts.run, typed) == 0) {
                        on = t;
                        n++;
                }
        }
        if (n == 1)
                follow_announced(c, call, on);
        else
                ask_targets(c, call, c->fleet.targets, c->fleet.n_targets, typed, 2);
}
