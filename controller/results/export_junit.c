#include "controller/results/export.h"
#include "proto/xml.h"

#include <inttypes.h>
#include <string.h>

static void put_counts(struct xml_writer *w, const uint64_t counts[static RESULT_VERDICTS]) {
        uint64_t tests = 0;

        for (size_t v = 0; v < RESULT_VERDICTS; v++)
                tests += counts[v];
        xml_put_u64(w, "tests", tests);
        xml_put_u64(w, "failures", counts[RESULT_FAILED]);
        xml_put_u64(w, "errors", counts[RESULT_ERROR]);
}

/* <failure message='…'>details</failure> */
static void put_cause(struct xml_writer *w, const char *element, const char *lead,
                      const struct result *i) {
        CLEANUP(buf_done) struct buf message = {0};

        buf_printf(&message, "%s%s%s", lead, *lead && i->message ? ": " : "",
                   i->message ? i->message : "");
        xml_begin(w, element, NULL);
        xml_put(w, "message", buf_text(&message));
        if (i->details)
                xml_put_text(w, i->details);
        xml_end(w);
        export_made_of(w->out, &message);
}

/* Measurements of a step have no test of their own there: they are properties of its suite. */
static void put_properties(struct xml_writer *w, const struct report_run *r, size_t from,
                           size_t until) {
        bool any = false;

        for (size_t k = from; k < until; k++) {
                const struct result *i = &r->items[k];
                CLEANUP(buf_done) struct buf name = {0}, value = {0};

                if (i->kind != RESULT_MEASUREMENT)
                        continue;
                if (!any)
                        xml_begin(w, "properties", NULL);
                any = true;
                buf_printf(&name, "%s%s%s", i->suite ? i->suite : "", i->suite ? " / " : "",
                           i->name);
                buf_printf(&value, "%s%s%s", i->value ? i->value : "", i->unit ? " " : "",
                           i->unit ? i->unit : "");
                if (i->limits)
                        buf_printf(&value, " (%s)", i->limits);
                export_made_of(w->out, &name);
                export_made_of(w->out, &value);
                xml_begin(w, "property", NULL);
                xml_put(w, "name", buf_text(&name));
                xml_put(w, "value", buf_text(&value));
                xml_end(w);
        }
        if (any)
                xml_end(w);
}

static void put_case(struct xml_writer *w, const struct report_run *r, const struct result *i) {
        CLEANUP(buf_done) struct buf class = {0}, time = {0};

        buf_puts(&class, r->facts.target ? r->facts.target : "");
        if (i->suite)
                buf_printf(&class, ".%s", i->suite);
        xml_begin(w, "testcase", NULL);
        xml_put(w, "name", i->name);
        xml_put(w, "classname", buf_text(&class));
        buf_printf(&time, "%.6f", i->has_seconds ? i->seconds : 0);
        xml_put(w, "time", buf_text(&time));
        export_made_of(w->out, &class);
        export_made_of(w->out, &time);
        switch (i->verdict) {
        case RESULT_PASSED:
                break;
        case RESULT_FAILED:
                put_cause(w, "failure", "", i);
                break;
        case RESULT_ERROR:
                put_cause(w, "error", "", i);
                break;
        case RESULT_SKIPPED:
                put_cause(w, "skipped", "", i);
                break;
        case RESULT_NOT_RUN:
                put_cause(w, "skipped", "not-run", i);
                break;
        case RESULT_NONE:
        case RESULT_VERDICTS:
                put_cause(w, "skipped", "no verdict yet", i);
                break;
        }
        xml_end(w);
}

/* One step of a run: items [from, until). */
static void put_suite(struct xml_writer *w, const struct report_run *r, size_t from, size_t until) {
        uint64_t counts[RESULT_VERDICTS] = {0};
        CLEANUP(buf_done) struct buf name = {0}, time = {0}, at = {0};
        double seconds = 0;

        for (size_t i = from; i < until; i++)
                if (r->items[i].kind == RESULT_TEST) {
                        counts[r->items[i].verdict]++;
                        seconds += r->items[i].has_seconds ? r->items[i].seconds : 0;
                }
        buf_printf(&name, "%s: %s", r->facts.target ? r->facts.target : "?",
                   r->facts.title ? r->facts.title : "run");
        if (r->items[from].step > 0 && r->facts.of > 1)
                buf_printf(&name, ", step %u", r->items[from].step);
        buf_printf(&time, "%.6f", seconds);
        export_time(r->facts.started_usec ? r->facts.started_usec : r->facts.submitted_usec, &at);
        if (at.len > 0)
                buf_truncate(&at, at.len - 1); /* the schema knows no zone; it is UTC */
        export_made_of(w->out, &name);
        export_made_of(w->out, &time);
        export_made_of(w->out, &at);
        xml_begin(w, "testsuite", NULL);
        xml_put(w, "name", buf_text(&name));
        put_counts(w, counts);
        xml_put_u64(w, "skipped",
                    counts[RESULT_SKIPPED] + counts[RESULT_NOT_RUN] + counts[RESULT_NONE]);
        xml_put(w, "time", buf_text(&time));
        xml_put(w, "timestamp", at.len > 0 ? at.data : NULL);
        xml_put(w, "hostname", r->facts.target);
        xml_put(w, "id", r->facts.run);
        put_properties(w, r, from, until);
        for (size_t i = from; i < until; i++)
                if (r->items[i].kind == RESULT_TEST)
                        put_case(w, r, &r->items[i]);
        xml_end(w);
        buf_putc(w->out, '\n');
}

int export_junit(const struct report *r, struct buf *out) {
        uint64_t counts[RESULT_VERDICTS];
        struct xml_writer w;

        report_counts(r, counts);
        buf_puts(out, "<?xml version='1.0' encoding='UTF-8'?>\n");
        xml_writer_init(&w, out);
        xml_begin(&w, "testsuites", NULL);
        xml_put(&w, "name", "rota");
        put_counts(&w, counts);
        buf_putc(xml_raw(&w), '\n');
        for (size_t k = 0; k < r->n_runs; k++) {
                const struct report_run *run = r->runs[k];

                for (size_t from = 0, i = 1; from < run->n_items; i++)
                        if (i == run->n_items || run->items[i].step != run->items[from].step) {
                                put_suite(&w, run, from, i);
                                from = i;
                        }
        }
        xml_end(&w);
        buf_putc(out, '\n');
        return buf_check(out);
}
