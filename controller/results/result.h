/*
 * Results: what a test said of itself in a run's output, in one form for every format.
 *
 * A reader (tap.h, ocp.h, junit.h) eats bytes and tells a sink one item after another; texts of an item are
 * borrowed for that call, valid UTF-8, and no longer than the limits below. A test that found a fault is
 * RESULT_FAILED, one that broke off is RESULT_ERROR, and what the machinery kept from running is
 * RESULT_NOT_RUN: these are never mixed.
 *
 * Pure. Items are told as they come; who keeps them is report.h.
 */
#pragma once

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define RESULT_NAME_MAX 300
#define RESULT_TEXT_MAX 4096
#define RESULT_LINE_MAX (256 * 1024) /* a longer line is no result */

enum result_kind {
        RESULT_TEST,        /* counted */
        RESULT_SUITE,       /* what its tests come to, and nothing more: not counted */
        RESULT_MEASUREMENT, /* verdict: inside its limits or not; none without limits */
};

/* From good to bad. */
enum result_verdict {
        RESULT_NONE,
        RESULT_PASSED,
        RESULT_SKIPPED,
        RESULT_NOT_RUN,
        RESULT_FAILED,
        RESULT_ERROR,
        RESULT_VERDICTS,
};

enum result_format {
        RESULT_NO_FORMAT,
        RESULT_TAP,
        RESULT_OCP,
        RESULT_JUNIT,
        RESULT_FORMATS,
};

/* Absent texts are NULL. */
struct result {
        enum result_kind kind;
        enum result_verdict verdict;
        unsigned step;     /* of the plan; set by the report */
        const char *suite; /* "outer / inner" */
        const char *name;
        const char *message;
        const char *details;
        const char *value; /* of a measurement, as it was written */
        const char *unit;
        const char *limits; /* ">= 1, <= 5" */
        bool has_number;
        double number; /* the value, when it is one */
        bool has_seconds;
        double seconds;
        uint64_t line; /* of the output, from 1 */
};

/* Both return 0 or -ENOMEM, which the reader passes up. */
struct result_sink {
        int (*item)(void *userdata, const struct result *r);
        /* Something about the output itself is wrong: a sentence. */
        int (*problem)(void *userdata, uint64_t line, const char *text);
        void *userdata;
};

/* How an output ended. */
struct result_end {
        bool open;           /* it goes on: what is missing may still come */
        const char *not_run; /* why it was cut short from outside; NULL: it was not */
};

const char *result_verdict_name(enum result_verdict v); /* "passed" …, "" for none */
const char *result_format_name(enum result_format f);   /* "tap" "ocp" "junit", "" for none */
static inline enum result_verdict result_worse(enum result_verdict a, enum result_verdict b) {
        return a > b ? a : b;
}
/* Appends at most @max bytes of @text: bytes that are no UTF-8 become U+FFFD, NULs too, and what is cut is marked. */
int result_clip(struct buf *out, const char *text, size_t len, size_t max);
/* Reads all of @text as a decimal number. */
bool result_number(const char *text, double *ret);
/* NULL for an empty one. */
const char *result_text(const struct buf *b);
