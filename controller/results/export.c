#include "controller/results/export.h"

#include "proto/json.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

const char *const export_formats[] = {"junit", "json", "jsonl", "csv", "html", NULL};

static int (*const writers[])(const struct report *r, struct buf *out) = {
        [EXPORT_JUNIT] = export_junit, [EXPORT_JSON] = export_json, [EXPORT_JSONL] = export_jsonl,
        [EXPORT_CSV] = export_csv,     [EXPORT_HTML] = export_html,
};

int export_report(const struct report *r, enum export_format format, struct buf *out) {
        return writers[format](r, out);
}

int export_time(uint64_t realtime_usec, struct buf *out) {
        time_t seconds = (time_t)(realtime_usec / 1000000);
        struct tm tm;
        char text[32];

        if (realtime_usec > 0 && gmtime_r(&seconds, &tm) &&
            strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
                buf_puts(out, text);
        return buf_check(out);
}

/* ---- JSON ---- */

static const char *kind_name(enum result_kind k) {
        return k == RESULT_TEST ? "test" : k == RESULT_SUITE ? "suite" : "measurement";
}

static void put_if(struct json_writer *w, const char *key, const char *text) {
        if (text)
                json_put_str(w, key, text);
}

/* The members of an item. */
static void put_item(struct json_writer *w, const struct result *i) {
        json_put_str(w, "kind", kind_name(i->kind));
        if (i->step > 0)
                json_put_u64(w, "step", i->step);
        put_if(w, "suite", i->suite);
        json_put_str(w, "name", i->name);
        json_put_str(w, "verdict",
                     i->verdict != RESULT_NONE ? result_verdict_name(i->verdict) : NULL);
        if (i->has_number)
                json_put_double(w, "value", i->number);
        else
                put_if(w, "value", i->value);
        put_if(w, "unit", i->unit);
        put_if(w, "limits", i->limits);
        put_if(w, "message", i->message);
        put_if(w, "details", i->details);
        if (i->has_seconds)
                json_put_double(w, "seconds", i->seconds);
        if (i->line > 0)
                json_put_u64(w, "line", i->line);
}

static void put_summary(struct json_writer *w, const uint64_t counts[static RESULT_VERDICTS]) {
        json_begin_object(w, "summary");
        for (int v = RESULT_PASSED; v < RESULT_VERDICTS; v++)
                json_put_u64(w, result_verdict_name((enum result_verdict)v), counts[v]);
        json_put_u64(w, "none", counts[RESULT_NONE]);
        json_end_object(w);
}

static void put_run(struct json_writer *w, const struct report_run *r) {
        json_begin_object(w, NULL);
        json_put_str(w, "run", r->facts.run);
        json_put_str(w, "batch", r->facts.batch);
        json_put_str(w, "target", r->facts.target);
        json_put_str(w, "title", r->facts.title);
        json_put_str(w, "state", r->facts.state);
        json_put_str(w, "verdict", r->facts.verdict);
        json_put_str(w, "cause", r->facts.cause);
        json_put_str(w, "by", r->facts.by);
        json_put_u64(w, "started_usec", r->facts.started_usec);
        json_put_u64(w, "ended_usec", r->facts.ended_usec);
        json_begin_array(w, "formats");
        for (int f = RESULT_TAP; f < RESULT_FORMATS; f++)
                if (r->formats[f])
                        json_put_str(w, NULL, result_format_name((enum result_format)f));
        json_end_array(w);
        put_summary(w, r->counts);
        json_begin_array(w, "results");
        for (size_t i = 0; i < r->n_items; i++) {
                json_begin_object(w, NULL);
                put_item(w, &r->items[i]);
                json_end_object(w);
        }
        json_end_array(w);
        json_put_u64(w, "left_out", r->left_out);
        json_begin_array(w, "problems");
        for (size_t i = 0; i < r->n_problems; i++) {
                json_begin_object(w, NULL);
                json_put_u64(w, "step", r->problems[i].step);
                json_put_u64(w, "line", r->problems[i].line);
                json_put_str(w, "text", r->problems[i].text);
                json_end_object(w);
        }
        json_end_array(w);
        json_put_u64(w, "problems_left_out", r->problems_left_out);
        json_end_object(w);
}

int export_json(const struct report *r, struct buf *out) {
        uint64_t counts[RESULT_VERDICTS];
        struct json_writer w;

        report_counts(r, counts);
        json_writer_init(&w, out);
        json_begin_object(&w, NULL);
        put_summary(&w, counts);
        json_begin_array(&w, "runs");
        for (size_t i = 0; i < r->n_runs; i++)
                put_run(&w, r->runs[i]);
        json_end_array(&w);
        json_end_object(&w);
        buf_putc(out, '\n');
        return buf_check(out);
}

int export_jsonl(const struct report *r, struct buf *out) {
        for (size_t k = 0; k < r->n_runs; k++)
                for (size_t i = 0; i < r->runs[k]->n_items; i++) {
                        struct json_writer w;

                        json_writer_init(&w, out);
                        json_begin_object(&w, NULL);
                        json_put_str(&w, "run", r->runs[k]->facts.run);
                        json_put_str(&w, "target", r->runs[k]->facts.target);
                        put_item(&w, &r->runs[k]->items[i]);
                        json_end_object(&w);
                        buf_putc(out, '\n');
                }
        return buf_check(out);
}

/* ---- CSV ---- */

static void csv_cell(struct buf *out, const char *text, bool last) {
        double number;

        text = text ? text : "";
        buf_putc(out, '"');
        if (*text && strchr("=+-@\t\r", *text) && !result_number(text, &number))
                buf_putc(out, '\'');
        for (; *text; text++) {
                if (*text == '"')
                        buf_putc(out, '"');
                buf_putc(out, *text);
        }
        buf_puts(out, last ? "\"\r\n" : "\",");
}

int export_csv(const struct report *r, struct buf *out) {
        buf_puts(out, "run,target,title,step,kind,suite,name,verdict,value,unit,limits,seconds,"
                      "message\r\n");
        for (size_t k = 0; k < r->n_runs; k++)
                for (size_t n = 0; n < r->runs[k]->n_items; n++) {
                        const struct report_facts *f = &r->runs[k]->facts;
                        const struct result *i = &r->runs[k]->items[n];
                        CLEANUP(buf_done) struct buf step = {0}, seconds = {0};

                        buf_printf(&step, "%u", i->step);
                        if (i->has_seconds)
                                buf_printf(&seconds, "%.6f", i->seconds);
                        export_made_of(out, &step);
                        export_made_of(out, &seconds);
                        csv_cell(out, f->run, false);
                        csv_cell(out, f->target, false);
                        csv_cell(out, f->title, false);
                        csv_cell(out, buf_text(&step), false);
                        csv_cell(out, kind_name(i->kind), false);
                        csv_cell(out, i->suite, false);
                        csv_cell(out, i->name, false);
                        csv_cell(out, result_verdict_name(i->verdict), false);
                        csv_cell(out, i->value, false);
                        csv_cell(out, i->unit, false);
                        csv_cell(out, i->limits, false);
                        csv_cell(out, buf_text(&seconds), false);
                        csv_cell(out, i->message, true);
                }
        return buf_check(out);
}
