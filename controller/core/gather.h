/*
 * When to make received bytes durable: at once after a quiet time, else 1.5 ms after the last time, or when 512 KiB
 * have gathered. One sync and one commit then cover all of them. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define GATHER_BYTES (512 * 1024)
#define GATHER_USEC 1500

struct gather {
        bool pending;
        uint64_t bytes;
        uint64_t synced_usec;
};

/* @bytes may be 0: something is to be answered. */
void gather_add(struct gather *g, uint64_t bytes);
/* When to sync; 0: now, USEC_NEVER: nothing is there. */
uint64_t gather_deadline(const struct gather *g, uint64_t now_usec);
void gather_synced(struct gather *g, uint64_t now_usec);
