#include "controller/api.h"
#include "controller/cli/follow.h"
#include "controller/cli/say.h"
#include "controller/cli/verb.h"

#include <string.h>

struct watch_options {
        bool from_now;
};

static const struct option_row watch_options[] = {
        OPTION_FLAG_ROW(struct watch_options, from_now, 0, "new",
                        "Pass over the output that is there already"),
        OPTION_END_ROW,
};

static int watch_batch(struct client *c, const char *id, char **ret_json) {
        CLEANUP(buf_done) struct buf filter = {0};
        struct json_writer w;

        json_writer_init(&w, &filter);
        json_begin_object(&w, NULL);
        json_put_str(&w, "batch", id);
        json_put_u64(&w, "limit", 100000);
        json_end_object(&w);
        if (buf_check(&filter) < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        return client_call(c, ret_json, 0, "Runs", "s", buf_text(&filter));
}

static const char *watch_target(const struct json_at *run) {
        const char *target = NULL;

        return json_get_str(run, "target", &target) == 0 && target ? target : "";
}

static int watch_order(const void *a, const void *b) {
        return strcmp(watch_target(a), watch_target(b));
}

/* The runs of a batch began together; by the name of the target they stand as "rota run" shows them. */
static int watch_add_all(struct follow *f, const struct json_at *runs) {
        size_t n = json_length(runs);
        CLEANUP(mem_free) struct json_at *items = calloc(n + 1, sizeof(*items));
        int r = 0;

        if (!items) {
                say_no_memory();
                return STATUS_INFRA;
        }
        for (size_t i = 0; i < n; i++)
                if (json_item(runs, i, &items[i]) != 0)
                        return STATUS_INFRA;
        qsort(items, n, sizeof(*items), watch_order);
        for (size_t i = 0; i < n && r == 0; i++)
                r = follow_add(f, &items[i]);
        return r;
}

/* @id names a batch, or a run (perhaps by a prefix). */
static int watch_find(struct client *c, const char *id, struct json_doc **ret) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(mem_free) char *json = NULL;
        struct json_at root;
        int r;

        r = watch_batch(c, id, &json);
        if (r == 0)
                r = client_parse(&doc, json);
        if (r != 0)
                return r;
        root = json_root(doc);
        if (json_length(&root) == 0) {
                doc = json_free(doc);
                json = mem_free(json);
                r = client_call(c, &json, 0, "Run", "s", id);
                if (r == 0)
                        r = client_parse(&doc, json);
                if (r != 0)
                        return r;
        }
        *ret = TAKE(doc);
        return 0;
}

static int verb_watch_run(const struct call *call) {
        const struct watch_options *o = call->options;
        const struct follow_how how = {
                .quiet = call->quiet, .silent = call->json, .from_now = o->from_now};
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(follow_free) struct follow *f = NULL;
        CLEANUP(buf_done) struct buf runs = {0};
        struct json_at root;
        int r;

        r = client_new(&c, call->socket);
        if (r == 0)
                r = follow_new(&f, c, &how);
        if (r == 0)
                r = watch_find(c, call->operands[0], &doc);
        if (r != 0)
                return r;
        root = json_root(doc);
        r = json_type(&root) == JSON_ARRAY ? watch_add_all(f, &root) : follow_add(f, &root);
        if (r == 0)
                r = follow_run(f, call->operands[0]);
        if (call->json && follow_print_runs(f, &runs) == 0)
                (void)verb_print_json(buf_text(&runs));
        if (r != 0)
                return r;
        if (!call->quiet && !call->json)
                (void)follow_say_table(f);
        if (!call->json)
                follow_say_errors(f, call->quiet);
        return (int)follow_verdict(f);
}

const struct verb verb_follow = {
        .name = "follow",
        .usage = "[--new] TARGET|RUN",
        .summary = "follow the run that is on a target, or any run, whoever started it",
        .help = "A run that another controller started is read from its target, from byte 0, and "
                "kept here: rota show and rota log know it from then on, and find such runs "
                "themselves. Otherwise it is rota watch.",
        .options = watch_options,
        .options_size = sizeof(struct watch_options),
        .complete = "targets runs",
        .operands_min = 1,
        .operands_max = 1,
        .run = verb_watch_run,
};

const struct verb verb_watch = {
        .name = "watch",
        .usage = "[--new] RUN|BATCH",
        .summary = "follow a run, or all runs of one request, to the end",
        .help = "It prints what \"rota run\" would have printed, from the beginning, and ends with "
                "the same exit status.",
        .options = watch_options,
        .options_size = sizeof(struct watch_options),
        .complete = "runs",
        .operands_min = 1,
        .operands_max = 1,
        .run = verb_watch_run,
};
