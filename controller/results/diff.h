/*
 * Difference of two runs: which tests changed their verdict, and what was measured in both.
 *
 * Items are the same when step, suite and name are; several of the same name pair up in their order.
 *
 * Pure.
 */
#pragma once

#include "controller/results/report.h"

/* One side may be NULL: it has no such item. */
struct diff_row {
        const struct result *a;
        const struct result *b;
};

struct diff {
        struct diff_row *rows;
        size_t n;
        size_t compared; /* tests that both have */
};

/* Tests whose verdict differs, suites excepted, then all measurements. Returns 0 or -ENOMEM. */
int diff_runs(const struct report_run *a, const struct report_run *b, struct diff *ret);
void diff_done(struct diff *d);
DEFINE_CLEANUP_DONE(struct diff, diff_done)
