/*
 * Hush: of what somebody is refused again and again, some lines for the journal, and the count of the others.
 *
 * Everybody has HUSH_LINES lines in HUSH_USEC, from the first on; what comes beyond is counted, and the count is due when
 * that time is over. HUSH_MANY are told apart at a time; all further ones share a place, so that whoever comes under
 * many names does not fill the journal either. Nothing is forgotten: lines and counts make up what was heard.
 *
 * Pure: time is an argument, and the words are the caller's.
 */
#pragma once

#include "proto/base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

#define HUSH_LINES 10
#define HUSH_USEC UINT64_C(10000000)
#define HUSH_MANY 16

struct hush;

int hush_new(struct hush **ret);
struct hush *hush_free(struct hush *h);
DEFINE_CLEANUP_FREE(struct hush, hush_free)

/* One of @who. Returns whether it is to be written down. */
bool hush_heard(struct hush *h, const char *who, uint64_t now_usec);
/* Would the next one of @who be? */
bool hush_open(const struct hush *h, const char *who, uint64_t now_usec);

struct hush_sum {
        const char *who; /* NULL: several; borrowed until the next call */
        uint64_t count;
        uint64_t usec; /* in so long */
};

/* A count that is due, once; USEC_NEVER: all that there are. */
bool hush_next(struct hush *h, uint64_t now_usec, struct hush_sum *ret);
/* When the next one is; USEC_NEVER. */
uint64_t hush_deadline(const struct hush *h);
