/*
 * Report: the results of one run or of many, kept, counted, and ready to be shown or written out.
 *
 * A step whose output says nothing of itself is a test with its exit status as verdict; one that failed although all
 * its tests passed is a failed test too. What the machinery kept from running is not-run with its
 * cause, and never a failure. Beyond REPORT_ITEMS_MAX items are counted and left out, which is said.
 *
 * Pure. The caller feeds each step's outputs in their order and then says how the step ended.
 */
#pragma once

#include "controller/results/result.h"
#include "controller/results/stream.h"
#include "proto/base/arena.h"

#define REPORT_ITEMS_MAX 100000
#define REPORT_PROBLEMS_MAX 100

struct report_problem {
        unsigned step;
        uint64_t line;
        const char *text;
};

/* What is known of a run; strings are copied. */
struct report_facts {
        const char *run, *batch, *target, *title, *state, *verdict, *cause, *by;
        uint64_t submitted_usec, started_usec, ended_usec;
        unsigned of; /* steps */
};

struct report_run {
        struct report *report;
        struct report_facts facts;
        struct result *items;
        size_t n_items;
        size_t cap;
        uint64_t counts[RESULT_VERDICTS]; /* of tests, those left out too */
        uint64_t left_out;
        struct report_problem *problems;
        size_t n_problems;
        uint64_t problems_left_out;
        bool formats[RESULT_FORMATS];
        /* the step that is being read */
        unsigned step;
        bool step_has; /* results of its own */
        enum result_verdict step_worst;
        struct result_stream *stream;
};

struct report {
        struct arena arena;
        struct report_run **runs;
        size_t n_runs;
};

/* How a step ended; NULL @verdict: it has not. */
struct report_step {
        unsigned step;
        const char *title;
        const char *verdict;
        const char *cause;
        bool has_seconds;
        double seconds;
};

void report_done(struct report *r);
DEFINE_CLEANUP_DONE(struct report, report_done)
/* All return 0 or -ENOMEM. */
int report_add(struct report *r, const struct report_facts *facts, struct report_run **ret);
int report_output_begin(struct report_run *r, unsigned step);
int report_output(struct report_run *r, const char *data, size_t len);
/* @s is how the step of that output ended. */
int report_output_end(struct report_run *r, const struct report_step *s);
/* After its outputs; steps come in their order. */
int report_step(struct report_run *r, const struct report_step *s);
/* After all steps: those that were not reached. */
int report_run_end(struct report_run *r);

/* "failed", "not-run" …: the worst of its tests. */
enum result_verdict report_verdict(const struct report_run *r);
/* "5 passed, 1 failed, 2 skipped" */
int report_summary(const uint64_t counts[static RESULT_VERDICTS], struct buf *out);
void report_counts(const struct report *r, uint64_t ret[static RESULT_VERDICTS]);
