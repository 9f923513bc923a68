/*
 * When a span of time ends that began before this start of the program.
 *
 * Under the boot where it began, the clock since that boot counted it: exactly. Under another one only the realtime
 * clock did, which may have been set or lost meanwhile. What cannot be is not counted: a wrong clock makes the span
 * longer, at most by itself for each boot, or ends it, and it never wraps or lasts for ever. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct span {
        uint64_t length_usec;
        uint64_t began_usec; /* realtime */
        uint64_t up_usec;    /* clock since the boot; 0: not known */
        bool same_boot;      /* as now */
};

/* On the clock since this boot, of which it is @up_usec now. */
uint64_t span_ends(const struct span *s, uint64_t realtime_usec, uint64_t up_usec);
