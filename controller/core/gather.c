#include "controller/core/gather.h"

#include "proto/base/clock.h"

void gather_add(struct gather *g, uint64_t bytes) {
        g->pending = true;
        g->bytes += bytes;
}

uint64_t gather_deadline(const struct gather *g, uint64_t now_usec) {
        uint64_t due = g->synced_usec + GATHER_USEC;

        if (!g->pending)
                return USEC_NEVER;
        return g->bytes >= GATHER_BYTES || due <= now_usec ? 0 : due;
}

void gather_synced(struct gather *g, uint64_t now_usec) {
        *g = (struct gather){.synced_usec = now_usec};
}
