/*
 * Test Anything Protocol, versions 12 to 14 (testanything.org): lines in, results out.
 *
 * A subtest stands four blanks further in; its tests have its name as their suite, and the line that sums
 * it up is a test of its own only when it says worse than they did. YAML and comments behind a test
 * are its details. Fewer tests than planned, or no plan, is an output that was cut.
 *
 * Pure; bounded in depth and text.
 */
#pragma once

#include "controller/results/result.h"

#define TAP_DEPTH_MAX 16

struct tap;

int tap_new(struct tap **ret, const struct result_sink *sink);
struct tap *tap_free(struct tap *t);
DEFINE_CLEANUP_FREE(struct tap, tap_free)
/* One line without its end; @number from 1. Returns 0 or -ENOMEM. */
int tap_line(struct tap *t, const char *line, size_t len, uint64_t number);
int tap_finish(struct tap *t, const struct result_end *end);

/* What a line is, for the recogniser. */
enum tap_kind {
        TAP_OTHER,
        TAP_VERSION,
        TAP_PLAN,
        TAP_TEST,
        TAP_COMMENT, /* blank lines, comments, and whatever is indented */
};
/* @ret_number: the tests of a plan, the number of a test (0: none). */
enum tap_kind tap_classify(const char *line, size_t len, uint64_t *ret_number);
