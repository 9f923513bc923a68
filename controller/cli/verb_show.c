#include "controller/cli/runinfo.h"
#include "controller/cli/say.h"
#include "controller/cli/term.h"
#include "controller/cli/verb.h"
#include "controller/cli/when.h"
#include "proto/units.h"

#include <string.h>

static void show_row(struct buf *out, const char *name, const char *text) {
        if (!text || !*text)
                return;
        buf_printf(out, "%-10s ", name);
        term_safe(out, text, strlen(text));
        buf_putc(out, '\n');
}

static void show_time(struct buf *out, const char *name, uint64_t usec) {
        CLEANUP(buf_done) struct buf text = {0};

        when_print_exact(&text, usec);
        show_row(out, name, buf_text(&text));
}

static void show_run(const struct runinfo *r, bool colour, struct buf *out) {
        CLEANUP(buf_done) struct buf span = {0};
        enum table_tone tone = runinfo_tone(r);

        show_row(out, "run", r->run);
        show_row(out, "target", r->target);
        show_row(out, "title", r->title);
        buf_printf(out, "%-10s %s%s%s\n", "state", tone_begin(tone, colour), runinfo_outcome(r),
                   tone_end(tone, colour));
        show_row(out, runinfo_ended(r) ? "cause" : "note", runinfo_why(r));
        if (r->of > 1) {
                CLEANUP(buf_done) struct buf step = {0};

                buf_printf(&step, "%llu of %llu", (unsigned long long)r->step,
                           (unsigned long long)r->of);
                show_row(out, "step", buf_text(&step));
        }
        show_row(out, "by", r->by);
        show_row(out, "batch", r->batch);
        show_time(out, "submitted", r->submitted_usec);
        show_time(out, "started", r->started_usec);
        show_time(out, "ended", r->ended_usec);
        when_print_span(&span, r->started_usec, r->ended_usec);
        show_row(out, "took", buf_text(&span));
}

static enum table_tone show_tone(const char *verdict) {
        if (strcmp(verdict, "passed") == 0)
                return TABLE_GOOD;
        return strcmp(verdict, "failed") == 0 ? TABLE_BAD : TABLE_WARN;
}

static void show_step(struct table *t, const struct json_at *at) {
        CLEANUP(buf_done) struct buf elapsed = {0};
        const char *title = NULL;
        const char *verdict = NULL;
        const char *cause = NULL;
        uint64_t step = 0;
        uint64_t attempt = 1;
        bool rebooting = false;
        uint64_t usec = 0;
        struct json_at exit;
        int64_t status = -1;

        (void)json_get_u64(at, "step", &step);
        (void)json_get_u64(at, "attempt", &attempt);
        (void)json_get_bool(at, "rebooting", &rebooting);
        (void)json_get_str(at, "title", &title);
        (void)json_get_str(at, "verdict", &verdict);
        (void)json_get_str(at, "cause", &cause);
        (void)json_get_u64(at, "elapsed_usec", &usec);
        if (usec > 0)
                units_print_duration(&elapsed, usec);
        if (attempt > 1) /* as its output is called */
                table_printf(t, TABLE_PLAIN, "%llu.%llu", (unsigned long long)step,
                             (unsigned long long)attempt);
        else
                table_printf(t, TABLE_PLAIN, "%llu", (unsigned long long)step);
        table_put(t, verdict && *verdict ? show_tone(verdict) : TABLE_PLAIN,
                  verdict && *verdict ? verdict
                  : rebooting         ? "rebooting"
                                      : "running");
        if (json_get(at, "exit", &exit) == 0 && json_i64(&exit, &status) == 0 && status >= 0)
                table_printf(t, TABLE_PLAIN, "%lld", (long long)status);
        else
                table_put(t, TABLE_PLAIN, NULL);
        table_put(t, TABLE_PLAIN, buf_text(&elapsed));
        table_put(t, TABLE_PLAIN, title);
        table_put(t, TABLE_PLAIN, cause);
}

static int show_steps(const struct json_at *root, bool colour, struct buf *out) {
        static const char *const heads[] = {"STEP",  "VERDICT", "EXIT", "TIME",
                                            "TITLE", "CAUSE",   NULL};
        CLEANUP(table_done) struct table t;
        struct json_at steps;

        table_init(&t, heads);
        if (json_get(root, "steps", &steps) != 0 || json_length(&steps) == 0)
                return 0;
        for (size_t i = 0; i < json_length(&steps); i++) {
                struct json_at at;

                if (json_item(&steps, i, &at) == 0)
                        show_step(&t, &at);
        }
        buf_putc(out, '\n');
        return table_print(&t, say_columns(STDOUT_FILENO), 0, colour, "\n", out);
}

/* What the steps say was left out of a stream. */
static uint64_t show_dropped(const struct json_at *root, const char *stream) {
        struct json_at steps, step, streams, at;

        if (json_get(root, "steps", &steps) != 0)
                return 0;
        for (size_t i = 0; i < json_length(&steps); i++) {
                if (json_item(&steps, i, &step) != 0 || json_get(&step, "streams", &streams) != 0)
                        continue;
                for (size_t k = 0; k < json_length(&streams); k++) {
                        const char *name = NULL;
                        uint64_t dropped = 0;

                        if (json_item(&streams, k, &at) == 0 &&
                            json_get_str(&at, "name", &name) == 0 && name &&
                            strcmp(name, stream) == 0 &&
                            json_get_u64(&at, "dropped", &dropped) == 0)
                                return dropped;
                }
        }
        return 0;
}

static int show_streams(const struct json_at *root, bool colour, struct buf *out) {
        static const char *const heads[] = {"STREAM", "BYTES", "COMPLETE", NULL};
        CLEANUP(table_done) struct table t;
        struct json_at streams;

        table_init(&t, heads);
        if (json_get(root, "streams", &streams) != 0 || json_length(&streams) == 0)
                return 0;
        for (size_t i = 0; i < json_length(&streams); i++) {
                struct json_at at;
                struct runinfo_stream s;

                if (json_item(&streams, i, &at) != 0 || runinfo_read_stream(&at, &s) != 0)
                        continue;
                table_put(&t, TABLE_PLAIN, s.name);
                table_printf(&t, TABLE_PLAIN, "%llu", (unsigned long long)s.next);
                if (!s.has_size)
                        table_put(&t, TABLE_PLAIN, NULL);
                else if (s.next >= s.size && show_dropped(root, s.name) > 0)
                        table_printf(&t, TABLE_WARN, "yes; the step left out %llu bytes",
                                     (unsigned long long)show_dropped(root, s.name));
                else if (s.next >= s.size)
                        table_put(&t, TABLE_PLAIN, "yes");
                else
                        table_printf(&t, TABLE_WARN, "no, of %llu", (unsigned long long)s.size);
        }
        buf_putc(out, '\n');
        return table_print(&t, say_columns(STDOUT_FILENO), 0, colour, "\n", out);
}

static int verb_show_run(const struct call *call) {
        bool colour = say_colour(STDOUT_FILENO);
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(buf_done) struct buf out = {0};
        CLEANUP(mem_free) char *json = NULL;
        struct json_at root;
        struct runinfo run;
        int r;

        r = client_new(&c, call->socket);
        if (r == 0)
                r = client_call(c, &json, 0, "Run", "s", call->operands[0]);
        if (r == 0 && call->json)
                return verb_print_json(json);
        if (r == 0)
                r = client_parse(&doc, json);
        if (r != 0)
                return r;
        root = json_root(doc);
        if (runinfo_read(&root, &run) != 0) {
                say_error("the controller's answer cannot be read: %s", json_error(doc));
                return STATUS_INFRA;
        }
        show_run(&run, colour, &out);
        if (show_steps(&root, colour, &out) < 0 || show_streams(&root, colour, &out) < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        return verb_print(&out);
}

const struct verb verb_show = {
        .name = "show",
        .usage = "RUN",
        .summary = "everything about one run: steps, causes, streams",
        .help = "Any unique beginning of a run's id will do.",
        .complete = "runs",
        .operands_min = 1,
        .operands_max = 1,
        .run = verb_show_run,
};
