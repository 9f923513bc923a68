/*
 * Stream receiver: which part of an arriving chunk is new. Pure; the caller stores, syncs, then acknowledges.
 */
#pragma once

#include <stdint.h>

struct receiver {
        uint64_t next; /* everything below is taken */
};

enum {
        RECEIVER_DUPLICATE = 1, /* nothing new: acknowledge again and drop it */
        RECEIVER_GAP = 2,       /* begins after `next`: ask for everything from `next` */
};

/* 0: bytes from @ret_skip on are new, and `next` now lies behind them. */
int receiver_chunk(struct receiver *r, uint64_t offset, uint32_t size, uint32_t *ret_skip);
