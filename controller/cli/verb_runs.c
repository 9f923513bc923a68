#include "controller/cli/runinfo.h"
#include "controller/cli/say.h"
#include "controller/cli/verb.h"
#include "controller/cli/when.h"
#include "proto/base/clock.h"

struct runs_options {
        uint64_t limit;
        const char *target;
        const char *state;
        const char *batch;
        const char *on;
        bool failed;
};

static const struct option_row runs_options[] = {
        OPTION_NUMBER_ROW(struct runs_options, limit, 'n', "limit", "N", "At most so many (50)"),
        OPTION_TEXT_ROW(struct runs_options, on, 0, "on", "SELECTOR",
                        "What these targets have, of all controllers: ask them"),
        OPTION_TEXT_ROW(struct runs_options, target, 't', "target", "NAME", "Of this target"),
        OPTION_TEXT_ROW(struct runs_options, state, 0, "state", "STATE",
                        "pending, sent, queued, running or ended"),
        OPTION_TEXT_ROW(struct runs_options, batch, 0, "batch", "ID", "Of this request"),
        OPTION_FLAG_ROW(struct runs_options, failed, 0, "failed",
                        "Ended, and not passed (of the last N)"),
        OPTION_END_ROW,
};

static const char *const runs_heads[] = {"RUN",  "TARGET", "STATE", "SUBMITTED", "TIME",
                                         "STEP", "BY",     "TITLE", "WHY",       NULL};

static bool runs_wanted(const struct runs_options *o, const struct runinfo *r) {
        if (!o->failed)
                return true;
        return runinfo_ended(r) && status_of_run(r->verdict, r->refusal, r->cause) != STATUS_PASSED;
}

static void runs_put(struct table *t, const struct runinfo *r, uint64_t now) {
        CLEANUP(buf_done) struct buf when = {0};
        CLEANUP(buf_done) struct buf span = {0};

        when_print(&when, r->submitted_usec, now);
        when_print_span(&span, r->started_usec, r->ended_usec);
        table_put(t, TABLE_PLAIN, r->run);
        table_put(t, TABLE_PLAIN, r->target);
        table_put(t, runinfo_tone(r), runinfo_outcome(r));
        table_put(t, TABLE_PLAIN, buf_text(&when));
        table_put(t, TABLE_PLAIN, buf_text(&span));
        if (r->of > 1)
                table_printf(t, TABLE_PLAIN, "%llu/%llu", (unsigned long long)r->step,
                             (unsigned long long)r->of);
        else
                table_put(t, TABLE_PLAIN, NULL);
        table_put(t, TABLE_PLAIN, r->by);
        table_put(t, TABLE_PLAIN, r->title);
        table_put(t, TABLE_FAINT, runinfo_why(r));
}

static void runs_filter(const struct runs_options *o, struct buf *out) {
        struct json_writer w;

        json_writer_init(&w, out);
        json_begin_object(&w, NULL);
        json_put_u64(&w, "limit", o->limit ? o->limit : 50);
        if (o->target)
                json_put_str(&w, "target", o->target);
        if (o->failed || o->state)
                json_put_str(&w, "state", o->state ? o->state : "ended");
        if (o->batch)
                json_put_str(&w, "batch", o->batch);
        json_end_object(&w);
}

/* Those wanted, again as a document. */
static int runs_print_json(const struct runs_options *o, const struct json_at *root) {
        CLEANUP(buf_done) struct buf out = {0};
        struct json_writer w;

        json_writer_init(&w, &out);
        json_begin_array(&w, NULL);
        for (size_t i = 0; i < json_length(root); i++) {
                CLEANUP(buf_done) struct buf one = {0};
                struct json_at at;
                struct runinfo r;

                if (json_item(root, i, &at) != 0 || runinfo_read(&at, &r) != 0 ||
                    !runs_wanted(o, &r))
                        continue;
                json_print(&at, &one);
                json_put_raw(&w, NULL, buf_text(&one));
        }
        json_end_array(&w);
        buf_putc(&out, '\n');
        return verb_print(&out);
}

/* Asks the targets themselves. *ret_doc has the members runs and errors. */
static int runs_ask(struct client *c, const struct runs_options *o, struct json_doc **ret_doc) {
        CLEANUP(mem_free) char *json = NULL;
        int r;

        if (o->target || o->state || o->batch) {
                say_error("--on asks targets for their last runs; only -n and --failed go with it");
                return STATUS_USAGE;
        }
        r = client_call(c, &json, 0, "RunsOn", "st", o->on, o->limit);
        return r != 0 ? r : client_parse(ret_doc, json);
}

/* Those that did not answer are said; they make the exit status. */
static int runs_say_errors(const struct json_at *root) {
        struct json_at errors, at;
        int status = 0;

        if (json_get(root, "errors", &errors) != 0)
                return 0;
        for (size_t i = 0; i < json_length(&errors); i++) {
                const char *target = NULL, *error = NULL;

                if (json_item(&errors, i, &at) != 0 || json_get_str(&at, "target", &target) != 0 ||
                    json_get_str(&at, "error", &error) != 0)
                        continue;
                say_error("%s: %s", target ? target : "?", error ? error : "no answer");
                status = STATUS_INFRA;
        }
        return status;
}

static int verb_runs_run(const struct call *call) {
        const struct runs_options *o = call->options;
        uint64_t now = clock_realtime_usec();
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(buf_done) struct buf filter = {0};
        CLEANUP(mem_free) char *json = NULL;
        CLEANUP(table_done) struct table t;
        struct json_at root, list;
        int r, status = 0;

        table_init(&t, runs_heads);
        runs_filter(o, &filter);
        r = client_new(&c, call->socket);
        if (r == 0 && o->on)
                r = runs_ask(c, o, &doc);
        else if (r == 0)
                r = client_call(c, &json, 0, "Runs", "s", buf_text(&filter));
        if (r == 0 && call->json && !o->failed && !o->on)
                return verb_print_json(json);
        if (r == 0 && !o->on)
                r = client_parse(&doc, json);
        if (r != 0)
                return r;
        root = json_root(doc);
        if (o->on) {
                status = runs_say_errors(&root);
                if (json_get(&root, "runs", &list) != 0)
                        return STATUS_INFRA;
                root = list;
        }
        if (call->json) {
                r = runs_print_json(o, &root);
                return r != 0 ? r : status;
        }
        for (size_t i = 0; i < json_length(&root); i++) {
                struct json_at at;
                struct runinfo run;

                if (json_item(&root, i, &at) != 0 || runinfo_read(&at, &run) != 0) {
                        say_error("the controller's answer cannot be read: %s", json_error(doc));
                        return STATUS_INFRA;
                }
                if (runs_wanted(o, &run))
                        runs_put(&t, &run, now);
        }
        if (table_rows(&t) == 0) {
                if (status == 0)
                        say_note("There are no such runs.");
                return status;
        }
        r = verb_print_table(&t);
        return r != 0 ? r : status;
}

const struct verb verb_runs = {
        .name = "runs",
        .usage = "[-n N] [--target NAME] [--failed]\n"
                 "--on SELECTOR [-n N] [--failed]",
        .summary = "list runs, newest first",
        .options = runs_options,
        .options_size = sizeof(struct runs_options),
        .run = verb_runs_run,
};
