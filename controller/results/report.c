#include "controller/results/report.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

void report_done(struct report *r) {
        for (size_t i = 0; i < r->n_runs; i++) {
                result_stream_free(r->runs[i]->stream);
                free(r->runs[i]->items);
                free(r->runs[i]->problems);
                free(r->runs[i]);
        }
        free(r->runs);
        arena_done(&r->arena);
        *r = (struct report){0};
}

/* Copies @*text into the report, NULL stays NULL. */
static int keep(struct report *r, const char **text) {
        if (!*text)
                return 0;
        *text = arena_strdup(&r->arena, *text);
        return *text ? 0 : -ENOMEM;
}

int report_add(struct report *r, const struct report_facts *facts, struct report_run **ret) {
        struct report_run **runs = realloc(r->runs, (r->n_runs + 1) * sizeof(struct report_run *));
        struct report_run *run;
        int k = 0;

        if (!runs)
                return -ENOMEM;
        r->runs = runs;
        run = calloc(1, sizeof(*run));
        if (!run)
                return -ENOMEM;
        run->report = r;
        run->facts = *facts;
        runs[r->n_runs++] = run;
        const char **texts[] = {&run->facts.run,   &run->facts.batch, &run->facts.target,
                                &run->facts.title, &run->facts.state, &run->facts.verdict,
                                &run->facts.cause, &run->facts.by};

        for (size_t i = 0; i < ARRAY_SIZE(texts) && k == 0; i++)
                k = keep(r, texts[i]);
        if (k < 0) { /* none of what was borrowed may stay */
                free(run);
                r->n_runs--;
                return k;
        }
        *ret = run;
        return 0;
}

static int put(struct report_run *r, const struct result *item) {
        struct result copy = *item;
        struct result *items;
        const char **texts[] = {&copy.suite, &copy.name, &copy.message, &copy.details,
                                &copy.value, &copy.unit, &copy.limits};

        if (copy.kind == RESULT_TEST) {
                r->counts[copy.verdict]++;
                r->step_worst = result_worse(r->step_worst, copy.verdict);
        }
        r->step_has = true;
        copy.step = r->step;
        if (r->n_items == REPORT_ITEMS_MAX) {
                r->left_out++;
                return 0;
        }
        if (r->n_items == r->cap) {
                size_t cap = r->cap > 0 ? r->cap * 2 : 16;

                items = realloc(r->items, cap * sizeof(*items));
                if (!items)
                        return -ENOMEM;
                r->items = items;
                r->cap = cap;
        }
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                if (keep(r->report, texts[i]) < 0)
                        return -ENOMEM;
        r->items[r->n_items++] = copy;
        return 0;
}

static int on_item(void *userdata, const struct result *item) {
        return put(userdata, item);
}

static int on_problem(void *userdata, uint64_t line, const char *text) {
        struct report_run *r = userdata;
        struct report_problem *problems;
        struct report_problem p = {.step = r->step, .line = line, .text = text};

        if (r->n_problems == REPORT_PROBLEMS_MAX) {
                r->problems_left_out++;
                return 0;
        }
        problems = realloc(r->problems, (r->n_problems + 1) * sizeof(*problems));
        if (!problems)
                return -ENOMEM;
        r->problems = problems;
        if (keep(r->report, &p.text) < 0)
                return -ENOMEM;
        problems[r->n_problems++] = p;
        return 0;
}

static void enter(struct report_run *r, unsigned step) {
        if (r->step == step)
                return;
        r->step = step;
        r->step_has = false;
        r->step_worst = RESULT_NONE;
}

int report_output_begin(struct report_run *r, unsigned step) {
        const struct result_sink sink = {on_item, on_problem, r};

        enter(r, step);
        r->stream = result_stream_free(r->stream);
        return result_stream_new(&r->stream, &sink);
}

int report_output(struct report_run *r, const char *data, size_t len) {
        return result_stream_feed(r->stream, data, len);
}

static bool is(const char *text, const char *word) {
        return text && strcmp(text, word) == 0;
}

/* Why a step did not run to its end, although nothing was found; NULL: it did. */
static const char *not_run_cause(const char *verdict, const char *cause) {
        if (is(verdict, "cancelled"))
                return cause && *cause ? cause : "cancelled";
        if (is(verdict, "not-run"))
                return cause && *cause ? cause : "not run";
        return NULL;
}

int report_output_end(struct report_run *r, const struct report_step *s) {
        const struct result_end end = {.open = !s->verdict,
                                       .not_run = not_run_cause(s->verdict, s->cause)};
        int k = result_stream_finish(r->stream, &end);

        for (size_t f = 0; f < RESULT_FORMATS; f++)
                r->formats[f] |= result_stream_has(r->stream, (enum result_format)f);
        r->stream = result_stream_free(r->stream);
        return k;
}

static enum result_verdict verdict_of(const char *verdict) {
        if (is(verdict, "passed"))
                return RESULT_PASSED;
        if (is(verdict, "failed"))
                return RESULT_FAILED;
        return verdict ? RESULT_NOT_RUN : RESULT_NONE;
}

int report_step(struct report_run *r, const struct report_step *s) {
        CLEANUP(buf_done) struct buf message = {0};
        struct result item = {
                .verdict = verdict_of(s->verdict),
                .name = s->title && *s->title ? s->title : "step",
                .has_seconds = s->has_seconds,
                .seconds = s->seconds,
        };

        enter(r, s->step);
        item.message = not_run_cause(s->verdict, s->cause);
        if (!item.message && s->cause && *s->cause)
                item.message = s->cause;
        if (r->step_has) {
                /* only what its tests have not said already */
                if (item.verdict <= RESULT_SKIPPED || item.verdict <= r->step_worst)
                        return 0;
                if (item.verdict == RESULT_FAILED) {
                        buf_printf(&message, "%s, although no test of it failed",
                                   item.message ? item.message : "the step failed");
                        if (buf_check(&message) < 0)
                                return -ENOMEM;
                        item.message = message.data;
                }
        }
        if (item.verdict == RESULT_PASSED)
                item.message = NULL;
        return put(r, &item);
}

int report_run_end(struct report_run *r) {
        CLEANUP(buf_done) struct buf name = {0}, message = {0};
        struct result item = {.verdict = verdict_of(r->facts.verdict)};
        unsigned last = r->step;

        if (last == 0) { /* nothing of it has begun */
                if (!is(r->facts.state, "ended"))
                        item.verdict = RESULT_NONE;
                item.name = r->facts.title && *r->facts.title ? r->facts.title : "run";
                item.message = r->facts.cause;
                return put(r, &item);
        }
        if (!is(r->facts.state, "ended"))
                return 0;
        buf_printf(&message, "not reached%s%s", r->facts.cause ? ": " : "",
                   r->facts.cause ? r->facts.cause : "");
        if (buf_check(&message) < 0)
                return -ENOMEM;
        item.verdict = RESULT_NOT_RUN;
        for (unsigned k = last + 1; k <= r->facts.of; k++) {
                enter(r, k);
                buf_clear(&name);
                buf_printf(&name, "step %u", k);
                if (buf_check(&name) < 0)
                        return -ENOMEM;
                item.name = name.data;
                item.message = message.data;
                if (put(r, &item) < 0)
                        return -ENOMEM;
        }
        return 0;
}

enum result_verdict report_verdict(const struct report_run *r) {
        for (int v = RESULT_VERDICTS - 1; v > RESULT_NONE; v--)
                if (r->counts[v] > 0)
                        return (enum result_verdict)v;
        return RESULT_NONE;
}

void report_counts(const struct report *r, uint64_t ret[static RESULT_VERDICTS]) {
        memset(ret, 0, RESULT_VERDICTS * sizeof(*ret));
        for (size_t i = 0; i < r->n_runs; i++)
                for (size_t v = 0; v < RESULT_VERDICTS; v++)
                        ret[v] += r->runs[i]->counts[v];
}

int report_summary(const uint64_t counts[static RESULT_VERDICTS], struct buf *out) {
        static const struct {
                enum result_verdict verdict;
                const char *name;
        } rows[] = {
                {RESULT_PASSED,  "passed"         },
                {RESULT_FAILED,  "failed"         },
                {RESULT_ERROR,   "broken off"     },
                {RESULT_SKIPPED, "skipped"        },
                {RESULT_NOT_RUN, "not-run"        },
                {RESULT_NONE,    "without verdict"},
        };
        size_t from = out->len;

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (counts[rows[i].verdict] > 0 || rows[i].verdict == RESULT_PASSED ||
                    rows[i].verdict == RESULT_FAILED)
                        buf_printf(out, "%s%" PRIu64 " %s", out->len > from ? ", " : "",
                                   counts[rows[i].verdict], rows[i].name);
        return buf_check(out);
}
