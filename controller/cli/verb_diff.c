#include "controller/cli/harvest.h"
#include "controller/cli/say.h"
#include "controller/cli/verb.h"
#include "controller/results/diff.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const char *diff_verdict(const struct result *r) {
        if (!r)
                return "absent";
        return r->verdict == RESULT_NONE ? "none" : result_verdict_name(r->verdict);
}

static void diff_name(const struct result *i, struct buf *out) {
        buf_printf(out, "%s%s%s", i->suite ? i->suite : "", i->suite ? " / " : "", i->name);
}

static bool diff_changed(const struct diff_row *row) {
        const struct result *any = row->a ? row->a : row->b;

        return any->kind == RESULT_TEST;
}

static void diff_tests(struct table *t, const struct diff *d) {
        for (size_t i = 0; i < d->n; i++) {
                const struct diff_row *row = &d->rows[i];
                CLEANUP(buf_done) struct buf name = {0};

                if (!diff_changed(row))
                        continue;
                diff_name(row->a ? row->a : row->b, &name);
                table_put(t, TABLE_PLAIN, buf_text(&name));
                table_put(t, TABLE_PLAIN, diff_verdict(row->a));
                table_put(t, TABLE_PLAIN, diff_verdict(row->b));
                table_put(t, TABLE_FAINT, row->b ? row->b->message : row->a->message);
        }
}

static void diff_measurements(struct table *t, const struct diff *d) {
        for (size_t i = 0; i < d->n; i++) {
                const struct result *a = d->rows[i].a, *b = d->rows[i].b;
                const struct result *any = a ? a : b;
                CLEANUP(buf_done) struct buf name = {0};

                if (any->kind != RESULT_MEASUREMENT)
                        continue;
                diff_name(any, &name);
                table_put(t, TABLE_PLAIN, buf_text(&name));
                table_put(t, TABLE_PLAIN, a ? a->value : NULL);
                table_put(t, TABLE_PLAIN, b ? b->value : NULL);
                table_put(t, TABLE_PLAIN, any->unit);
                if (!a || !b || !a->has_number || !b->has_number) {
                        table_put(t, TABLE_PLAIN, NULL);
                        table_put(t, TABLE_PLAIN, NULL);
                        continue;
                }
                table_printf(t, TABLE_PLAIN, "%+.6g", b->number - a->number);
                if (a->number > 0 || a->number < 0)
                        table_printf(t, TABLE_PLAIN, "%+.1f %%",
                                     (b->number - a->number) / fabs(a->number) * 100);
                else
                        table_put(t, TABLE_PLAIN, NULL);
        }
}

static void diff_put_side(struct json_writer *w, const char *key, const struct result *r) {
        if (!r) {
                json_put_str(w, key, NULL);
                return;
        }
        json_begin_object(w, key);
        json_put_str(w, "verdict",
                     r->verdict == RESULT_NONE ? NULL : result_verdict_name(r->verdict));
        if (r->has_number)
                json_put_double(w, "value", r->number);
        else if (r->value)
                json_put_str(w, "value", r->value);
        json_put_str(w, "message", r->message);
        json_end_object(w);
}

static int diff_json(const struct report *report, const struct diff *d) {
        CLEANUP(buf_done) struct buf out = {0};
        struct json_writer w;

        json_writer_init(&w, &out);
        json_begin_object(&w, NULL);
        json_put_str(&w, "a", report->runs[0]->facts.run);
        json_put_str(&w, "b", report->runs[1]->facts.run);
        json_put_u64(&w, "compared", d->compared);
        for (int kind = 0; kind < 2; kind++) {
                json_begin_array(&w, kind == 0 ? "changed" : "measurements");
                for (size_t i = 0; i < d->n; i++) {
                        const struct diff_row *row = &d->rows[i];
                        const struct result *any = row->a ? row->a : row->b;

                        if (diff_changed(row) != (kind == 0))
                                continue;
                        json_begin_object(&w, NULL);
                        json_put_u64(&w, "step", any->step);
                        json_put_str(&w, "suite", any->suite);
                        json_put_str(&w, "name", any->name);
                        if (any->unit)
                                json_put_str(&w, "unit", any->unit);
                        diff_put_side(&w, "a", row->a);
                        diff_put_side(&w, "b", row->b);
                        if (row->a && row->b && row->a->has_number && row->b->has_number)
                                json_put_double(&w, "difference", row->b->number - row->a->number);
                        json_end_object(&w);
                }
                json_end_array(&w);
        }
        json_end_object(&w);
        buf_putc(&out, '\n');
        return verb_print(&out);
}

static int diff_people(const struct diff *d) {
        static const char *const test_heads[] = {"TEST", "BEFORE", "NOW", "MESSAGE", NULL};
        static const char *const value_heads[] = {"MEASUREMENT", "BEFORE",     "NOW", "UNIT",
                                                  "DIFFERENCE",  "IN PERCENT", NULL};
        CLEANUP(table_done) struct table tests, values;
        CLEANUP(buf_done) struct buf out = {0};
        int r = 0;

        table_init(&tests, test_heads);
        table_init(&values, value_heads);
        diff_tests(&tests, d);
        diff_measurements(&values, d);
        if (table_rows(&tests) > 0)
                r = verb_print_table(&tests);
        if (r == 0 && table_rows(&tests) > 0 && table_rows(&values) > 0)
                buf_putc(&out, '\n');
        if (r == 0)
                r = verb_print(&out);
        if (r == 0 && table_rows(&values) > 0)
                r = verb_print_table(&values);
        if (r == 0)
                say_note("%zu verdicts changed, of %zu tests that both have", table_rows(&tests),
                         d->compared);
        return r;
}

static int verb_diff_run(const struct call *call) {
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(report_done) struct report report = {0};
        CLEANUP(diff_done) struct diff d = {0};
        int r = client_new(&c, call->socket);

        for (int i = 0; i < 2 && r == 0; i++)
                r = harvest(c, call->operands[i], &report);
        if (r != 0)
                return r;
        if (report.n_runs != 2) {
                say_error("two runs are compared, and a batch of several is not one");
                say_hint("try: rota runs --batch ID");
                return STATUS_USAGE;
        }
        if (diff_runs(report.runs[0], report.runs[1], &d) < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        r = call->json ? diff_json(&report, &d) : diff_people(&d);
        if (r != 0)
                return r;
        for (size_t i = 0; i < d.n; i++)
                if (diff_changed(&d.rows[i]))
                        return STATUS_FAILED;
        return STATUS_PASSED;
}

const struct verb verb_diff = {
        .name = "diff",
        .usage = "RUN RUN",
        .summary = "what two runs differ in: verdicts that changed, measurements side by side",
        .help = "Tests are the same when step, suite and name are. The exit status is 1 when a "
                "verdict "
                "changed or a test is only in one of them; measurements do not matter for it.",
        .complete = "runs",
        .operands_min = 2,
        .operands_max = 2,
        .run = verb_diff_run,
};
