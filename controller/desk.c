/*
 * The desk: what people and scripts ask on the private socket, answered from the facts.
 */
#include "controller/api.h"
#include "controller/controller.h"
#include "controller/facts.h"
#include "proto/base/clock.h"
#include "proto/json.h"
#include "proto/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS_READ_MAX (4 * 1024 * 1024)
#define RUNS_LIMIT 50
#define RUNS_LIMIT_MAX 10000
/* A controller that has just started waits so long for its targets before it answers. */
#define HOLD_USEC (3 * USEC_PER_SEC)
#define HOLD_QUIET_USEC (300 * USEC_PER_MSEC)

static void reply(struct bus_call *call, const struct buf *text) {
        if (buf_check(text) < 0)
                bus_fail(call, API_ERROR_INFRA, "out of memory");
        else
                bus_reply(call, buf_text(text));
}

static void fail_errno(struct bus_call *call, struct controller *c, int r) {
        bus_fail(call, API_ERROR_INFRA, c->trouble ? c->trouble : strerror(-r));
}

/* ---- calls held back at the start ---- */

struct held {
        struct list link;
        void (*serve)(struct controller *c, struct bus_call *call, const char *a, const char *b);
        struct bus_call *call;
        char *a;
        char *b;
        uint64_t since_usec;
};

static struct held *held_free(struct held *h) {
        list_remove(&h->link);
        free(h->a);
        free(h->b);
        free(h);
        return NULL;
}

/* Until when nothing sensible can be said about who is there; 0: it can. */
static uint64_t unready_until(const struct controller *c, uint64_t now) {
        uint64_t quiet;

        if (c->fleet.settled || (c->tried && c->online_at == 0))
                return 0;
        if (!c->roster_known)
                return USEC_NEVER;
        quiet = (c->heard_at > c->online_at ? c->heard_at : c->online_at) + HOLD_QUIET_USEC;
        return quiet > now ? quiet : 0;
}

static void serve_or_hold(struct controller *c, struct bus_call *call, const char *a, const char *b,
                          void (*serve)(struct controller *c, struct bus_call *call, const char *a,
                                        const char *b)) {
        struct held *h;

        if (unready_until(c, clock_monotonic_usec()) == 0) {
                serve(c, call, a, b);
                return;
        }
        h = calloc(1, sizeof(*h));
        if (!h || !(h->a = strdup(a)) || !(h->b = strdup(b))) {
                if (h)
                        free(h->a);
                free(h);
                bus_fail(call, API_ERROR_INFRA, "out of memory");
                return;
        }
        h->serve = serve;
        h->call = call;
        h->since_usec = clock_monotonic_usec();
        list_append(&c->held, &h->link);
        controller_wake(c);
}

uint64_t desk_tick(struct controller *c, uint64_t now_usec) {
        uint64_t next = USEC_NEVER, until = unready_until(c, now_usec);

        list_foreach_safe (at, &c->held) {
                struct held *h = list_entry(at, struct held, link);
                uint64_t due = h->since_usec + HOLD_USEC;

                if (until < due)
                        due = until;
                if (due > now_usec) {
                        next = due < next ? due : next;
                        continue;
                }
                h->serve(c, h->call, h->a, h->b);
                held_free(h);
        }
        return next;
}

void desk_drop_held(struct controller *c) {
        list_foreach_safe (at, &c->held) {
                struct held *h = list_entry(at, struct held, link);

                bus_fail(h->call, API_ERROR_INFRA, "the controller stops");
                held_free(h);
        }
}

/* ---- selecting ---- */

bool desk_select(struct controller *c, struct bus_call *call, const char *selector,
                 struct selection *ret) {
        CLEANUP(buf_done) struct buf why = {0};
        int r = select_targets(&c->fleet, selector, ret, &why);

        if (r == 0)
                return true;
        if (r < 0)
                bus_fail(call, API_ERROR_INFRA, strerror(-r));
        else
                bus_fail(call, r == SELECT_BAD ? API_ERROR_USAGE : API_ERROR_NOTHING,
                         buf_text(&why));
        return false;
}

/* An empty selector of a listing is all there is, also when that is nothing. */
static bool select_listed(struct controller *c, struct bus_call *call, const char *selector,
                          struct selection *ret) {
        if (selector[0] == '\0') {
                bool any = false;

                for (size_t i = 0; i < c->fleet.n_targets && !any; i++)
                        any = c->fleet.targets[i]->kind == FLEET_TARGET ||
                              c->fleet.targets[i]->kind == FLEET_EXPECTED;
                if (!any) {
                        bus_reply(call, "[]");
                        return false;
                }
        }
        return desk_select(c, call, selector, ret);
}

static size_t pending_runs(const struct controller *c, const struct target *t) {
        const struct lane *lane = jobs_lane(&c->jobs, t->jid);

        return lane ? lane->n_runs : 0;
}

static void serve_targets(struct controller *c, struct bus_call *call, const char *selector,
                          const char *unused) {
        CLEANUP(selection_done) struct selection s = {0};
        CLEANUP(buf_done) struct buf text = {0};
        struct json_writer w;

        (void)unused;
        if (!select_listed(c, call, selector, &s))
                return;
        json_writer_init(&w, &text);
        json_begin_array(&w, NULL);
        for (size_t i = 0; i < s.n_targets; i++)
                facts_target(&w, s.targets[i], controller_now(c), pending_runs(c, s.targets[i]));
        json_end_array(&w);
        reply(call, &text);
}

static void serve_why(struct controller *c, struct bus_call *call, const char *selector,
                      const char *unused) {
        CLEANUP(selection_done) struct selection s = {0};

        (void)unused;
        if (select_listed(c, call, selector, &s))
                why_begin(c, call, &s);
}

static void serve_submit(struct controller *c, struct bus_call *call, const char *selector,
                         const char *request) {
        desk_submit(c, call, selector, request);
}

static void serve_ping(struct controller *c, struct bus_call *call, const char *selector,
                       const char *timeout) {
        CLEANUP(selection_done) struct selection s = {0};

        if (desk_select(c, call, selector, &s))
                ping_begin(c, call, &s, strtoull(timeout, NULL, 10));
}

static void serve_reboot(struct controller *c, struct bus_call *call, const char *selector,
                         const char *options) {
        CLEANUP(selection_done) struct selection s = {0};

        if (desk_select(c, call, selector, &s))
                power_begin(c, call, &s, options);
}

static void serve_order(struct controller *c, struct bus_call *call, const char *selector,
                        const char *options) {
        CLEANUP(selection_done) struct selection s = {0};

        if (desk_select(c, call, selector, &s))
                order_begin(c, call, &s, options);
}

static void on_targets(void *userdata, struct bus_call *call, const char *selector) {
        serve_or_hold(userdata, call, selector, "", serve_targets);
}

static void on_why(void *userdata, struct bus_call *call, const char *selector) {
        serve_or_hold(userdata, call, selector, "", serve_why);
}

static void on_submit(void *userdata, struct bus_call *call, const char *selector,
                      const char *request) {
        serve_or_hold(userdata, call, selector, request, serve_submit);
}

static void on_ping(void *userdata, struct bus_call *call, const char *selector,
                    uint64_t timeout_usec) {
        CLEANUP(buf_done) struct buf timeout = {0};

        buf_printf(&timeout, "%llu", (unsigned long long)timeout_usec);
        serve_or_hold(userdata, call, selector, buf_text(&timeout), serve_ping);
}

static void on_reboot(void *userdata, struct bus_call *call, const char *selector,
                      const char *options) {
        serve_or_hold(userdata, call, selector, options, serve_reboot);
}

static void on_order(void *userdata, struct bus_call *call, const char *selector,
                     const char *options) {
        serve_or_hold(userdata, call, selector, options, serve_order);
}

/* ---- runs ---- */

/* A run by its id, live or stored; *ret_stored owns it in the latter case. 0, STORE_NONE, -errno. */
static int get_run(struct controller *c, const char *id, struct run **ret_stored,
                   const struct run **ret) {
        int r;

        *ret = jobs_find(&c->jobs, id);
        if (*ret)
                return 0;
        r = store_load_run(c->store, id, ret_stored);
        *ret = *ret_stored;
        return r;
}

/* The whole id of what was typed; ends the call when there is none. */
static bool find_id(struct controller *c, struct bus_call *call, const char *typed,
                    char ret[static ID_MAX + 1]) {
        CLEANUP(buf_done) struct buf text = {0};
        int r = id_valid(typed) ? store_find_run(c->store, typed, ret) : STORE_NONE;

        if (r == 0)
                return true;
        if (r < 0) {
                fail_errno(call, c, r);
                return false;
        }
        if (r == STORE_AMBIGUOUS)
                buf_printf(&text,
                           "several runs begin with \"%s\"; type more of the id (rota runs lists "
                           "them)",
                           typed);
        else
                buf_printf(&text, "there is no run \"%s\"\ntry: rota runs", typed);
        bus_fail(call, API_ERROR_UNKNOWN, buf_text(&text));
        return false;
}

struct listing {
        struct controller *controller;
        struct json_writer writer;
        const char *state;
};

static int list_run(void *userdata, const char *id) {
        CLEANUP(run_free) struct run *stored = NULL;
        struct listing *l = userdata;
        const struct run *run;
        int r = get_run(l->controller, id, &stored, &run);

        if (r != 0)
                return r < 0 ? r : 0;
        facts_run(&l->writer, run, fleet_find(&l->controller->fleet, run->target),
                  controller_now(l->controller), false);
        return 0;
}

static int read_filter(struct controller *c, const struct json_at *at, struct store_filter *ret) {
        static const char *const known[] = {"limit", "target", "state", "batch", NULL};
        static const char *const states[] = {"pending", "sent", "queued", "running", "ended", NULL};
        const struct target *t;
        struct json_at state, target;
        int r = json_only(at, known), index = -1;

        if (r == 0)
                r = json_get_u64(at, "limit", &ret->limit);
        if (r == 0)
                r = json_get_str(at, "target", &ret->target);
        if (r == 0)
                r = json_get_str(at, "batch", &ret->batch);
        if (r == 0 && json_get(at, "state", &state) == 0) {
                r = json_enum(&state, states, &index);
                ret->state = index >= 0 ? states[index] : NULL;
        }
        if (r != 0 || !ret->target)
                return r;
        t = fleet_find_name(&c->fleet, ret->target);
        if (t)
                ret->target = t->jid;
        else if (json_get(at, "target", &target) == 0 && !strchr(ret->target, '@'))
                return json_fail(&target, "there is no target \"%s\"\ntry: rota ls", ret->target);
        return 0;
}

static void on_runs(void *userdata, struct bus_call *call, const char *filter) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(buf_done) struct buf text = {0};
        struct controller *c = userdata;
        struct store_filter f = {.limit = RUNS_LIMIT};
        struct listing l = {.controller = c};
        struct json_at root;
        int r;

        if (!filter[0])
                filter = "{}";
        r = json_parse(&doc, "filter", filter, strlen(filter));
        if (r == 0) {
                root = json_root(doc);
                r = read_filter(c, &root, &f);
        }
        if (r != 0) {
                bus_fail(call, API_ERROR_USAGE, doc ? json_error(doc) : "out of memory");
                return;
        }
        if (f.limit > RUNS_LIMIT_MAX || f.limit == 0)
                f.limit = RUNS_LIMIT_MAX;
        json_writer_init(&l.writer, &text);
        json_begin_array(&l.writer, NULL);
        r = pump_persist(c); /* so that the state in the store is the one we know */
        if (r < 0 && !c->trouble) {
                fail_errno(call, c, r);
                return;
        }
        r = store_find_runs(c->store, &f, list_run, &l);
        json_end_array(&l.writer);
        if (r < 0)
                fail_errno(call, c, r);
        else
                reply(call, &text);
}

/* The journal as far as it counts. */
static int read_events(struct controller *c, const struct run *r, struct buf *out) {
        const struct run_stream *s = run_stream_find(r, JOBS_EVENTS);
        uint64_t size = s ? s->next : 0;

        if (size > EVENTS_READ_MAX)
                size = EVENTS_READ_MAX;
        if (buf_reserve(out, (size_t)size) < 0)
                return -ENOMEM;
        while (out->len < size) {
                char part[16384];
                size_t want = (size_t)size - out->len;
                ssize_t n = sink_read(c->sink, r->id, JOBS_EVENTS, out->len, part,
                                      want < sizeof(part) ? want : sizeof(part));

                if (n <= 0)
                        return n < 0 ? (int)n : 0;
                buf_append(out, part, (size_t)n);
        }
        return buf_check(out);
}

void desk_answer_run(struct controller *c, struct bus_call *call, const char *id) {
        CLEANUP(run_free) struct run *stored = NULL;
        CLEANUP(buf_done) struct buf text = {0}, events = {0};
        const struct run *run;
        struct json_writer w;
        int r = get_run(c, id, &stored, &run);

        if (r == 0)
                r = read_events(c, run, &events);
        if (r == -ENOENT)
                r = 0;
        if (r != 0) {
                fail_errno(call, c, r < 0 ? r : -ENOENT);
                return;
        }
        json_writer_init(&w, &text);
        facts_run(&w, run, fleet_find(&c->fleet, run->target), controller_now(c), true);
        facts_steps(&w, buf_text(&events), events.len);
        json_end_object(&w);
        reply(call, &text);
}

/* A target stands for the run that is on there. What it announces is its word: another target's run is not its own. */
static void serve_run_on(struct controller *c, struct bus_call *call, struct target *t) {
        CLEANUP(run_free) struct run *stored = NULL;
        CLEANUP(buf_done) struct buf text = {0};
        const struct run *run;
        int r;

        if (!t->facts.run) {
                buf_printf(&text, "no run is on %s now\ntry: rota runs --on %s", t->name, t->name);
                bus_fail(call, API_ERROR_UNKNOWN, buf_text(&text));
                return;
        }
        r = get_run(c, t->facts.run, &stored, &run);
        if (r < 0)
                fail_errno(call, c, r);
        else if (r == 0 && strcmp(run->target, t->jid) == 0)
                desk_answer_run(c, call, run->id);
        else
                follow_announced(c, call, t);
}

static void serve_run(struct controller *c, struct bus_call *call, const char *typed,
                      const char *unused) {
        struct target *t = fleet_find_name(&c->fleet, typed);
        char id[ID_MAX + 1];
        int r;

        (void)unused;
        if (t) {
                serve_run_on(c, call, t);
                return;
        }
        r = id_valid(typed) ? store_find_run(c->store, typed, id) : STORE_NONE;
        if (r == STORE_NONE && id_valid(typed))
                follow_find(c, call, typed);
        else if (r == 0 || find_id(c, call, typed, id))
                desk_answer_run(c, call, id);
}

static void on_run(void *userdata, struct bus_call *call, const char *typed) {
        struct controller *c = userdata;
        char id[ID_MAX + 1];

        /* what is in the store need not wait for the targets; a target's name may be how an id begins */
        if (id_valid(typed) && !fleet_find_name(&c->fleet, typed) &&
            store_find_run(c->store, typed, id) == 0)
                desk_answer_run(c, call, id);
        else
                serve_or_hold(c, call, typed, "", serve_run);
}

static void serve_runs_on(struct controller *c, struct bus_call *call, const char *selector,
                          const char *limit) {
        CLEANUP(selection_done) struct selection s = {0};

        if (desk_select(c, call, selector, &s))
                follow_list(c, call, &s, strtoull(limit, NULL, 10));
}

static void on_runs_on(void *userdata, struct bus_call *call, const char *selector,
                       uint64_t limit) {
        CLEANUP(buf_done) struct buf text = {0};

        buf_printf(&text, "%llu", (unsigned long long)limit);
        serve_or_hold(userdata, call, selector, buf_text(&text), serve_runs_on);
}

static void on_cancel(void *userdata, struct bus_call *call, const char *typed) {
        CLEANUP(run_free) struct run *stored = NULL;
        CLEANUP(buf_done) struct buf text = {0};
        struct controller *c = userdata;
        const struct run *shown;
        struct json_writer w;
        char id[ID_MAX + 1];
        struct run *run;
        int r = 0;

        if (!find_id(c, call, typed, id))
                return;
        run = jobs_find(&c->jobs, id);
        if (run) {
                r = run_cancelled(run, bus_call_user(call), clock_realtime_usec());
                if (r == 0)
                        r = pump_touch(c, run);
                if (r == 0)
                        r = pump_persist(c);
        }
        if (r == 0)
                r = get_run(c, id, &stored, &shown);
        if (r != 0) {
                fail_errno(call, c, r < 0 ? r : -ENOENT);
                return;
        }
        json_writer_init(&w, &text);
        facts_run(&w, shown, fleet_find(&c->fleet, shown->target), controller_now(c), false);
        reply(call, &text);
        controller_wake(c);
}

static void on_open(void *userdata, struct bus_call *call, const char *typed, const char *stream) {
        CLEANUP(run_free) struct run *stored = NULL;
        CLEANUP(fd_close) int fd = -1;
        CLEANUP(buf_done) struct buf text = {0};
        struct controller *c = userdata;
        const struct run_stream *s;
        const struct run *run;
        char id[ID_MAX + 1];
        int r;

        if (!find_id(c, call, typed, id))
                return;
        r = get_run(c, id, &stored, &run);
        if (r != 0) {
                fail_errno(call, c, r < 0 ? r : -ENOENT);
                return;
        }
        s = run_stream_find(run, stream);
        if (s)
                fd = sink_open(c->sink, id, stream);
        if (!s || fd < 0) {
                buf_printf(&text, "run %s has no stream \"%s\"%s\ntry: rota show %s", id, stream,
                           run->done ? "" : " yet; it appears when the target sends it", id);
                bus_fail(call, API_ERROR_UNKNOWN, buf_text(&text));
                return;
        }
        bus_reply_open(call, fd, s->next, run_stream_complete(s) || run->done);
}

/* ---- the rest ---- */

static void on_diagnostics(void *userdata, struct bus_call *call) {
        CLEANUP(buf_done) struct buf text = {0};
        const struct controller *c = userdata;
        struct json_writer w;

        json_writer_init(&w, &text);
        json_begin_array(&w, NULL);
        for (size_t i = 0; i < catalogue_count(c->catalogue); i++)
                facts_diagnostic(&w, catalogue_at(c->catalogue, i));
        json_end_array(&w);
        reply(call, &text);
}

static void put_link(struct json_writer *w, const struct controller *c) {
        CLEANUP(buf_done) struct buf text = {0};
        bool mute = link_online(c->link) && c->fleet.link.mute;
        bool online = link_online(c->link) && !mute;
        uint64_t now = clock_monotonic_usec();

        json_put_bool(w, "online", online);
        json_put_str(w, "cause",
                     online || !c->tried ? NULL
                     : mute              ? link_cause_name(LINK_TIMEOUT)
                                         : link_cause_name(c->cause));
        if (mute) {
                buf_puts(&text, "The connection stands, but the server has not answered for ");
                units_print_duration(&text,
                                     (now - c->patrol.asked_usec) / USEC_PER_SEC * USEC_PER_SEC);
        } else if (!online && c->tried) {
                buf_puts(&text, link_cause_text(c->cause));
                if (c->cause_detail && c->cause_detail[0])
                        buf_printf(&text, " (%s)", c->cause_detail);
        }
        json_put_str(w, "text", online ? NULL : c->tried ? buf_text(&text) : "connecting");
        json_put_str(w, "server", c->config->server);
        if (online || c->retry_at == USEC_NEVER)
                json_put_str(w, "retry_usec", NULL);
        else
                json_put_u64(w, "retry_usec", c->retry_at > now ? c->retry_at - now : 0);
}

static void on_status(void *userdata, struct bus_call *call) {
        CLEANUP(buf_done) struct buf text = {0};
        struct controller *c = userdata;
        uint64_t free_bytes = 0, n = 0;
        struct json_writer w;

        for (size_t i = 0; i < c->fleet.n_targets; i++)
                n += c->fleet.targets[i]->kind == FLEET_TARGET ||
                     c->fleet.targets[i]->kind == FLEET_EXPECTED;
        sink_free_bytes(c->sink, &free_bytes);
        json_writer_init(&w, &text);
        json_begin_object(&w, NULL);
        json_put_str(&w, "jid", c->config->jid);
        put_link(&w, c);
        json_put_str(&w, "version", ROTA_VERSION);
        json_put_u64(&w, "targets", n);
        json_put_u64(&w, "live_runs", c->jobs.n_runs);
        json_begin_array(&w, "pending");
        for (size_t i = 0; i < c->n_pending; i++)
                json_put_str(&w, NULL, c->pending[i]);
        json_end_array(&w);
        json_put_str(&w, "store", c->trouble ? c->trouble : "ok");
        json_put_str(&w, "state_dir", c->config->state_dir);
        json_put_u64(&w, "free_bytes", free_bytes);
        json_end_object(&w);
        reply(call, &text);
}

static void on_accept(void *userdata, struct bus_call *call, const char *jid) {
        CLEANUP(buf_done) struct buf text = {0};
        struct controller *c = userdata;

        if (!jid_valid(jid) || !strchr(jid, '@')) {
                buf_printf(&text, "\"%s\" is no JID; it looks like pc1@lab.example", jid);
                bus_fail(call, API_ERROR_USAGE, buf_text(&text));
        } else if (!link_online(c->link)) {
                buf_printf(&text,
                           "the controller has no connection to its server (%s); try again when it "
                           "has; try: rota doctor",
                           link_cause_name(c->cause));
                bus_fail(call, API_ERROR_INFRA, buf_text(&text));
        } else if (presence_accept(c, jid) != 0) {
                bus_fail(call, API_ERROR_INFRA, "the subscription could not be sent");
        } else {
                bus_reply_nothing(call);
        }
}

static void on_watched(void *userdata) {
        struct controller *c = userdata;

        link_set_trace(c->link, c->options.trace || bus_watches_trace(c->bus));
}

/* ---- somebody who was slow ---- */

struct catching_up {
        struct controller *controller;
        struct bus_client *client;
};

static int tell_again(void *userdata, const char *id) {
        CLEANUP(run_free) struct run *stored = NULL;
        CLEANUP(buf_done) struct buf text = {0};
        struct catching_up *up = userdata;
        struct controller *c = up->controller;
        const struct run *run;
        struct json_writer w;

        if (get_run(c, id, &stored, &run) != 0)
                return 0;
        for (size_t i = 0; i < run->n_streams; i++)
                if (strcmp(run->streams[i]->name, JOBS_EVENTS) != 0)
                        bus_tell_grew(c->bus, up->client, id, run->streams[i]->name,
                                      run->streams[i]->next);
        json_writer_init(&w, &text);
        facts_run(&w, run, fleet_find(&c->fleet, run->target), controller_now(c), false);
        if (buf_check(&text) == 0)
                bus_tell_run(c->bus, up->client, text.data);
        return 0;
}

static void on_caught_up(void *userdata, struct bus_client *client) {
        struct controller *c = userdata;
        struct catching_up up = {.controller = c, .client = client};
        const struct store_filter recent = {.limit = 64};

        for (size_t i = 0; i < c->fleet.n_targets; i++) {
                CLEANUP(buf_done) struct buf text = {0};
                const struct target *t = c->fleet.targets[i];
                struct json_writer w;

                if (t->kind != FLEET_TARGET && t->kind != FLEET_EXPECTED)
                        continue;
                json_writer_init(&w, &text);
                facts_target(&w, t, controller_now(c), pending_runs(c, t));
                if (buf_check(&text) == 0)
                        bus_tell_target(c->bus, client, text.data);
        }
        store_find_runs(c->store, &recent, tell_again, &up);
        for (size_t i = 0; i < c->jobs.n_runs; i++)
                tell_again(&up, c->jobs.runs[i]->id);
}

const struct bus_ops desk_ops = {
        .targets = on_targets,
        .why = on_why,
        .submit = on_submit,
        .runs = on_runs,
        .run = on_run,
        .runs_on = on_runs_on,
        .cancel = on_cancel,
        .ping = on_ping,
        .reboot = on_reboot,
        .order = on_order,
        .open = on_open,
        .diagnostics = on_diagnostics,
        .status = on_status,
        .accept = on_accept,
        .watched = on_watched,
        .caught_up = on_caught_up,
};
