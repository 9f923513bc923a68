/*
 * At most PACE_BURST times in any second; what comes more often is coalesced into the next permitted moment. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PACE_BURST 5

struct pace {
        uint64_t sent_usec[PACE_BURST]; /* ring; 0: never */
        unsigned next;
};

/* When the next one is permitted: 0 at the beginning. */
uint64_t pace_ready_usec(const struct pace *p);
/* Counts one, when it is permitted now. */
bool pace_take(struct pace *p, uint64_t now_usec);
