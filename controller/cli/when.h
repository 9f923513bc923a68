/*
 * Moments as people say them: "14:02" today, "Nov 20 14:02" this year, "2024-11-20" else.
 *
 * Pure; local time by the environment's TZ. Realtime microseconds, of which 0 is "never".
 */
#pragma once

#include "proto/base/buf.h"

#include <stdint.h>

int when_print(struct buf *out, uint64_t realtime_usec, uint64_t now_usec);
/* With seconds: "2025-11-20 14:02:07". */
int when_print_exact(struct buf *out, uint64_t realtime_usec);
/* For one sentence: "2m 5s", "" when @until is before @from or one of them is 0. */
int when_print_span(struct buf *out, uint64_t from_usec, uint64_t until_usec);
