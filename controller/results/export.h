/*
 * Export: a report as a file for other programs, or for people without this one.
 *
 * JUnit: a suite a run and step, in the shape that Jenkins reads. What was not run is <skipped> there with its
 * cause: readers add <error> to the failures, and infrastructure trouble must never look like a failed test.
 * HTML: one page that needs nothing else, without script. CSV: RFC 4180, a row an item; cells that a spreadsheet
 * would take for a formula begin with an apostrophe.
 *
 * Pure: text into a buf. Whatever targets wrote is escaped, here and nowhere else.
 */
#pragma once

#include "controller/results/report.h"

enum export_format {
        EXPORT_JUNIT,
        EXPORT_JSON, /* what `rota results --json` prints */
        EXPORT_JSONL,
        EXPORT_CSV,
        EXPORT_HTML,
};

/* "junit" …, ends with NULL; in the order of the enum. */
extern const char *const export_formats[];
/* Returns 0 or -ENOMEM. */
int export_report(const struct report *r, enum export_format format, struct buf *out);

/* The parts. */
int export_junit(const struct report *r, struct buf *out);
int export_html(const struct report *r, struct buf *out);
int export_json(const struct report *r, struct buf *out);
int export_jsonl(const struct report *r, struct buf *out);
int export_csv(const struct report *r, struct buf *out);
/* "2026-11-21T05:01:07Z"; nothing for 0. */
int export_time(uint64_t realtime_usec, struct buf *out);
/* A text that was made for @out: when it failed, so has that. */
static inline void export_made_of(struct buf *out, const struct buf *part) {
        out->failed |= buf_check(part) < 0;
}
