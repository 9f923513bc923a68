#include "controller/cli/harvest.h"
#include "controller/cli/say.h"
#include "controller/cli/verb.h"
#include "controller/results/export.h"

#include <inttypes.h>

struct results_options {
        bool all;
};

static const struct option_row results_options[] = {
        OPTION_FLAG_ROW(struct results_options, all, 'a', "all",
                        "What only sums up other tests too"),
        OPTION_END_ROW,
};

static enum table_tone results_tone(enum result_verdict v) {
        switch (v) {
        case RESULT_PASSED:
                return TABLE_GOOD;
        case RESULT_FAILED:
        case RESULT_ERROR:
                return TABLE_BAD;
        case RESULT_SKIPPED:
        case RESULT_NOT_RUN:
                return TABLE_WARN;
        case RESULT_NONE:
        case RESULT_VERDICTS:
                break;
        }
        return TABLE_PLAIN;
}

static void results_put(struct table *t, const struct report_run *r, const struct result *i,
                        bool many) {
        table_put(t, TABLE_PLAIN, many ? r->facts.target : NULL);
        if (r->facts.of > 1 && i->step > 0)
                table_printf(t, TABLE_PLAIN, "%u", i->step);
        else
                table_put(t, TABLE_PLAIN, NULL);
        table_printf(t, TABLE_PLAIN, "%s%s%s", i->suite ? i->suite : "", i->suite ? " / " : "",
                     i->name);
        table_put(t, results_tone(i->verdict), result_verdict_name(i->verdict));
        if (i->kind == RESULT_MEASUREMENT)
                table_printf(t, TABLE_PLAIN, "%s%s%s", i->value ? i->value : "", i->unit ? " " : "",
                             i->unit ? i->unit : "");
        else
                table_put(t, TABLE_PLAIN, NULL);
        table_put(t, TABLE_PLAIN, i->limits);
        table_put(t, TABLE_FAINT, i->message);
}

/* What was wrong with the outputs themselves. */
static void results_say(const struct report *report) {
        for (size_t k = 0; k < report->n_runs; k++) {
                const struct report_run *r = report->runs[k];

                for (size_t i = 0; i < r->n_problems; i++)
                        say_note("%s, step %u, line %" PRIu64 ": %s", r->facts.target,
                                 r->problems[i].step, r->problems[i].line, r->problems[i].text);
                if (r->problems_left_out > 0)
                        say_note("%s: and %" PRIu64 " more", r->facts.target, r->problems_left_out);
                if (r->left_out > 0)
                        say_note("%s: %" PRIu64 " more results are counted and not shown",
                                 r->facts.target, r->left_out);
        }
}

static int results_people(const struct report *report, bool all) {
        static const char *const heads[] = {"TARGET", "STEP",   "TEST",    "VERDICT",
                                            "VALUE",  "LIMITS", "MESSAGE", NULL};
        uint64_t counts[RESULT_VERDICTS];
        CLEANUP(buf_done) struct buf out = {0};
        CLEANUP(table_done) struct table t;
        int r;

        table_init(&t, heads);
        for (size_t k = 0; k < report->n_runs; k++)
                for (size_t i = 0; i < report->runs[k]->n_items; i++)
                        if (all || report->runs[k]->items[i].kind != RESULT_SUITE)
                                results_put(&t, report->runs[k], &report->runs[k]->items[i],
                                            report->n_runs > 1);
        r = table_rows(&t) > 0 ? verb_print_table(&t) : 0;
        if (r != 0)
                return r;
        report_counts(report, counts);
        report_summary(counts, &out);
        buf_putc(&out, '\n');
        return verb_print(&out);
}

static int verb_results_run(const struct call *call) {
        const struct results_options *o = call->options;
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(report_done) struct report report = {0};
        CLEANUP(buf_done) struct buf out = {0};
        int r = client_new(&c, call->socket);

        for (int i = 0; i < call->n && r == 0; i++)
                r = harvest(c, call->operands[i], &report);
        if (r != 0)
                return r;
        if (call->json) {
                export_json(&report, &out);
                r = verb_print(&out);
        } else {
                r = results_people(&report, o->all);
        }
        if (r == 0 && !call->json && !call->quiet)
                results_say(&report);
        return r != 0 ? r : harvest_status(&report);
}

const struct verb verb_results = {
        .name = "results",
        .usage = "[-a] RUN|BATCH…",
        .summary = "what the tests of a run said: verdicts, measurements against limits",
        .help = "Read from what the steps printed: OCP diagnostics (JSON Lines), TAP 12 to 14, "
                "JUnit "
                "XML. A step whose output is none of these is a test by its exit status.\n"
                "\"failed\" is a fault that a test found, \"error\" a test that broke off or whose "
                "output was cut; what the machinery kept from running is \"not-run\", with its "
                "cause, and no failure. The exit status is 1 when a test failed or broke off, and "
                "else 3 when something was not run.",
        .options = results_options,
        .options_size = sizeof(struct results_options),
        .complete = "runs",
        .operands_min = 1,
        .operands_max = -1,
        .run = verb_results_run,
};
