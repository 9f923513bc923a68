/*
 * Durations and sizes as people write them: "1h30m", "250ms", "64M".
 */
#pragma once

#include "proto/base/buf.h"

#include <stdint.h>

/* Units: us ms s m h d w, summed ("1h30m"); a bare number is seconds; fractions are allowed
 * ("1.5h"). Returns 0, or 1 when malformed or beyond 64 bits. */
int units_parse_duration(const char *text, uint64_t *ret_usec);
/* k M G T (powers of 1024, an optional iB or B after it); a bare number is bytes. Returns 0 or 1. */
int units_parse_bytes(const char *text, uint64_t *ret);
/* "2m 5s", "340 ms": at most two units. */
int units_print_duration(struct buf *out, uint64_t usec);
/* "64 MiB", "1.5 GiB", "812 B". */
int units_print_bytes(struct buf *out, uint64_t bytes);
