/*
 * A request to run something: checked, turned into a plan, stored as a batch with one run for each target, and
 * only then answered.
 */
#include "controller/api.h"
#include "controller/controller.h"
#include "controller/core/why.h"
#include "controller/facts.h"
#include "ext/run.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/json.h"
#include "proto/plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct request {
        char id[ID_MAX + 1];
        const char *name;
        const char *by;
        uint64_t ttl_usec;
        bool if_idle;
        bool heal;
        const char *user; /* who is connected; `by` is what he calls himself */
        struct plan plan;
        struct buf plan_text;
        struct arena arena;
        struct json_doc *doc;      /* of the request */
        struct json_doc *plan_doc; /* of a plan made from it */
};

static void request_done(struct request *q) {
        buf_done(&q->plan_text);
        arena_done(&q->arena);
        json_free(q->plan_doc);
        json_free(q->doc);
}
DEFINE_CLEANUP_DONE(struct request, request_done)

/* ---- reading ---- */

static int put_duration(struct json_writer *w, const struct json_at *at, const char *from,
                        const char *to) {
        CLEANUP(buf_done) struct buf text = {0};
        uint64_t usec = 0;
        int r = json_get_u64(at, from, &usec);

        if (r != 0 || usec == 0)
                return r;
        buf_printf(&text, "%lluus", (unsigned long long)usec);
        json_put_str(w, to, buf_text(&text));
        return buf_check(&text);
}

static int copy_member(struct json_writer *w, const struct json_at *at, const char *key) {
        CLEANUP(buf_done) struct buf text = {0};
        struct json_at sub;
        int r = json_get(at, key, &sub);

        if (r == JSON_ABSENT)
                return 0;
        if (r == 0)
                r = json_print(&sub, &text);
        if (r == 0)
                json_put_raw(w, key, buf_text(&text));
        return r;
}

/* {"diag":…} or {"exec":…} becomes a plan of one step, in words, and is read like one. */
static int write_one_step(const struct json_at *at, const struct json_at *what, const char *kind,
                          struct buf *out) {
        CLEANUP(buf_done) struct buf value = {0}, params = {0};
        struct json_at sub;
        struct json_writer w;
        const char *name = NULL;
        bool pty;
        int r = json_get_str(at, "name", &name);

        if (r == 0)
                r = json_print(what, &value);
        json_writer_init(&w, out);
        json_begin_object(&w, NULL);
        if (name)
                json_put_str(&w, "name", name);
        json_begin_array(&w, "steps");
        json_begin_object(&w, NULL);
        json_put_raw(&w, kind, buf_text(&value));
        if (r == 0 && json_get(at, "params", &sub) == 0) {
                r = json_print(&sub, &params);
                json_put_raw(&w, "params", buf_text(&params));
        }
        if (r == 0)
                r = put_duration(&w, at, "timeout_usec", "timeout");
        if (r == 0)
                r = put_duration(&w, at, "silence_usec", "silence");
        if (r == 0 && json_get(at, "pty", &sub) == 0) {
                r = json_bool(&sub, &pty);
                if (r == 0)
                        json_put_bool(&w, "pty", pty);
        }
        json_end_object(&w);
        json_end_array(&w);
        if (r == 0)
                r = copy_member(&w, at, "disk_budget");
        if (r == 0)
                r = copy_member(&w, at, "over_budget");
        json_end_object(&w);
        return r == 0 ? buf_check(out) : r;
}

static int read_plan(struct request *q, const struct json_at *root) {
        static const char *const kinds[] = {"plan", "diag", "exec"};
        CLEANUP(buf_done) struct buf text = {0};
        struct json_at what, found;
        const char *kind = NULL;
        int r;

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                if (json_get(root, kinds[i], &found) != 0)
                        continue;
                if (kind)
                        return json_fail(root, "expected one of plan, diag, exec, found %s and %s",
                                         kind, kinds[i]);
                kind = kinds[i];
                what = found;
        }
        if (!kind)
                return json_fail(root, "expected one of plan, diag, exec");
        if (strcmp(kind, "plan") == 0)
                return plan_read(&what, &q->arena, &q->plan);
        r = write_one_step(root, &what, kind, &text);
        if (r != 0)
                return r;
        r = json_parse(&q->plan_doc, "request", text.data, text.len);
        if (r == 0) {
                struct json_at plan = json_root(q->plan_doc);

                r = plan_read(&plan, &q->arena, &q->plan);
        }
        return r;
}

static int read_request(struct request *q, const char *text, const char *user) {
        static const char *const known[] = {
                "plan",         "diag",        "exec",        "params", "name", "ttl_usec",
                "if_idle",      "heal",        "by",          "id",     "pty",  "timeout_usec",
                "silence_usec", "disk_budget", "over_budget", NULL,
        };
        const char *id = NULL;
        struct json_at root, at;
        int r = json_parse(&q->doc, "request", text, strlen(text));

        if (r != 0)
                return r;
        root = json_root(q->doc);
        r = json_only(&root, known);
        q->by = q->user = user;
        if (r == 0)
                r = json_get_str(&root, "by", &q->by);
        if (r == 0 && (strlen(q->by) > 200 || !q->by[0]) && json_get(&root, "by", &at) == 0)
                return json_fail(&at, "expected a name of at most 200 characters");
        if (r == 0)
                r = json_get_str(&root, "name", &q->name);
        if (r == 0)
                r = json_get_u64(&root, "ttl_usec", &q->ttl_usec);
        if (r == 0 && q->ttl_usec > UINT64_C(3153600000) * USEC_PER_SEC)
                return json_fail(&root, "the time to live is more than a hundred years");
        if (r == 0)
                r = json_get_bool(&root, "if_idle", &q->if_idle);
        if (r == 0)
                r = json_get_bool(&root, "heal", &q->heal);
        if (r == 0)
                r = json_get_str(&root, "id", &id);
        if (r == 0 && id && !id_valid(id) && json_get(&root, "id", &at) == 0)
                return json_fail(&at,
                                 "expected 1 to 64 letters, digits, dots, dashes or underscores");
        if (r != 0)
                return r;
        if (id)
                memcpy(q->id, id, strlen(id) + 1);
        else if ((r = id_new(q->id)) < 0)
                return r;
        return read_plan(q, &root);
}

/* The catalogue's word on every diagnostic of the plan. */
static int check_diagnostics(struct controller *c, struct request *q, const char **ret_why) {
        const char *const *argv;

        for (size_t i = 0; i < q->plan.n_steps; i++) {
                int r;

                if (q->plan.steps[i].kind != PLAN_DIAG)
                        continue;
                r = catalogue_expand(c->catalogue, &q->plan.steps[i], &q->arena, &argv, ret_why);
                if (r > 0 && *ret_why && catalogue_find(c->catalogue, q->plan.steps[i].diag))
                        *ret_why = arena_printf(&q->arena, "%s\ntry: rota diag %s", *ret_why,
                                                q->plan.steps[i].diag);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* "memory size=64M" for one step, "burn-in (5 steps)" for more. */
static int write_title(const struct request *q, struct buf *out) {
        if (q->plan.n_steps == 1 && !q->name)
                return plan_step_title(&q->plan.steps[0], out);
        buf_puts(out, q->name ? q->name : q->plan.name);
        if (q->plan.n_steps > 1)
                buf_printf(out, " (%zu steps)", q->plan.n_steps);
        return buf_check(out);
}

/* ---- storing ---- */

static int make_run(struct controller *c, const struct request *q, const struct target *t,
                    const char *title, uint64_t realtime_usec, struct run **ret) {
        CLEANUP(buf_done) struct buf why = {0};
        const struct fleet_lease *own;
        char id[ID_SIZE];
        struct run *run;
        int r = id_new(id);

        if (r == 0)
                r = jobs_add(&c->jobs, id, t->jid, &run);
        if (r != 0)
                return r;
        *ret = run;
        memcpy(run->batch, q->id, strlen(q->id) + 1);
        run->ttl_usec = q->ttl_usec;
        run->if_idle = q->if_idle;
        run->heal = q->heal;
        own = controller_lease(c, t, q->user);
        run->lease = own ? own->token : 0;
        run->submitted_usec = realtime_usec;
        run->steps = (unsigned)q->plan.n_steps;
        if (run_set(&run->title, title) < 0 || run_set(&run->by, q->by) < 0 ||
            run_set(&run->plan, buf_text(&q->plan_text)) < 0)
                return -ENOMEM;
        if (q->if_idle && !t->avail.present) {
                why_sentence(t, realtime_usec, &why);
                buf_printf(&why, "; without --if-idle the run waits for it (rota why %s)", t->name);
                r = buf_check(&why) < 0
                            ? -ENOMEM
                            : run_refused(run, VERDICT_NOT_RUN, "offline", why.data, realtime_usec);
        }
        return r;
}

/* All or nothing. Returns 0, STORE_EXISTS, JOBS_FULL or -errno. */
static int store_batch(struct controller *c, const struct request *q, struct run *const *runs,
                       size_t n, uint64_t realtime_usec) {
        int r = store_begin(c->store);

        if (r < 0)
                return r;
        r = store_put_batch(c->store, q->id, q->by, realtime_usec);
        for (size_t i = 0; r == 0 && i < n; i++)
                r = store_put_run(c->store, runs[i]);
        if (r == 0)
                return store_commit(c->store);
        store_rollback(c->store);
        return r;
}

/* ---- answering ---- */

struct answer {
        struct controller *controller;
        struct json_writer writer;
};

static int put_run(void *userdata, const char *id) {
        CLEANUP(run_free) struct run *stored = NULL;
        struct answer *a = userdata;
        struct controller *c = a->controller;
        const struct run *run = jobs_find(&c->jobs, id);

        if (!run) {
                int r = store_load_run(c->store, id, &stored);

                if (r != 0)
                        return r < 0 ? r : 0;
                run = stored;
        }
        facts_run(&a->writer, run, fleet_find(&c->fleet, run->target), controller_now(c), false);
        return 0;
}

/* From the store, so that the same request again is answered alike. */
static void answer_batch(struct controller *c, struct bus_call *call, const char *id) {
        CLEANUP(buf_done) struct buf text = {0};
        const struct store_filter f = {.limit = FLEET_MAX, .batch = id};
        struct answer a = {.controller = c};
        int r;

        json_writer_init(&a.writer, &text);
        json_begin_object(&a.writer, NULL);
        json_put_str(&a.writer, "batch", id);
        json_begin_array(&a.writer, "runs");
        r = store_find_runs(c->store, &f, put_run, &a);
        json_end_array(&a.writer);
        json_end_object(&a.writer);
        if (r == 0)
                r = buf_check(&text);
        if (r < 0)
                bus_hang_up(call);
        else
                bus_reply(call, text.data);
}

static void submit_to(struct controller *c, struct bus_call *call, struct request *q,
                      const struct selection *s, const char *title) {
        CLEANUP(mem_free) struct run **runs = calloc(s->n_targets, sizeof(struct run *));
        uint64_t realtime = clock_realtime_usec();
        size_t n = 0;
        int r = runs ? 0 : -ENOMEM;

        for (size_t i = 0; r == 0 && i < s->n_targets; i++) {
                struct run *run = NULL;

                r = make_run(c, q, s->targets[i], title, realtime, &run);
                if (run)
                        runs[n++] = run;
        }
        if (r == 0)
                r = store_batch(c, q, runs, n, realtime);
        if (r != 0) {
                for (size_t i = 0; i < n; i++)
                        jobs_remove(&c->jobs, runs[i]);
                if (r == STORE_EXISTS) {
                        answer_batch(c, call, q->id);
                } else if (r == JOBS_FULL || r == JOBS_EXISTS) {
                        bus_fail(
                                call, API_ERROR_BUSY,
                                "too many runs wait already; cancel some (rota runs, rota cancel)");
                } else {
                        pump_trouble(c, "the store", r);
                        bus_fail(call, API_ERROR_INFRA, c->trouble);
                }
                return;
        }
        for (size_t i = 0; i < n; i++) {
                runs[i]->dirty = false;
                if (pump_touch(c, runs[i]) < 0)
                        log_error("run %s is sent late: out of memory", runs[i]->id);
        }
        log_line(LOG_LEVEL_INFO,
                 (struct log_field[]){
                         {"ROTA_BATCH", q->id},
                         {"ROTA_BY",    q->by},
                         {NULL,         NULL }
        },
                 "batch %s: %s on %zu target%s for %s", q->id, title, n, n == 1 ? "" : "s", q->by);
        answer_batch(c, call, q->id);
}

static int is_there(void *userdata, const char *id) {
        (void)userdata;
        (void)id;
        return 1;
}

/* The same request again, whose answer may have been lost. */
static bool known_batch(struct controller *c, const char *id) {
        const struct store_filter f = {.limit = 1, .batch = id};

        return store_find_runs(c->store, &f, is_there, NULL) == 1;
}

void desk_submit(struct controller *c, struct bus_call *call, const char *selector,
                 const char *request) {
        CLEANUP(request_done) struct request q = {0};
        CLEANUP(selection_done) struct selection s = {0};
        CLEANUP(buf_done) struct buf title = {0};
        const char *why = NULL;
        int r = read_request(&q, request, bus_call_user(call));

        if (r == 0)
                r = check_diagnostics(c, &q, &why);
        if (r > 0) {
                if (!why && q.plan_doc && json_error(q.plan_doc)[0])
                        why = json_error(q.plan_doc);
                if (!why && q.doc)
                        why = json_error(q.doc);
                bus_fail(call, API_ERROR_USAGE, why && why[0] ? why : "the request cannot be read");
                return;
        }
        if (r == 0)
                r = plan_write(&q.plan, &q.plan_text);
        if (r == 0 && q.plan_text.len > RUN_PLAN_MAX) {
                bus_fail(call, API_ERROR_USAGE,
                         "the plan is longer than 64 KiB, which is the most a target takes; "
                         "put long input into a file on the target");
                return;
        }
        if (r == 0)
                r = write_title(&q, &title);
        if (r < 0) {
                bus_fail(call, API_ERROR_INFRA, strerror(-r));
                return;
        }
        if (c->trouble) {
                bus_fail(call, API_ERROR_INFRA, c->trouble);
                return;
        }
        if (known_batch(c, q.id))
                answer_batch(c, call, q.id);
        else if (desk_select(c, call, selector, &s))
                submit_to(c, call, &q, &s, title.data);
}
