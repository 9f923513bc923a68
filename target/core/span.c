#include "target/core/span.h"

#include "proto/base/clock.h"

/* 2024: a realtime clock before that was lost, not set. */
#define LOST_USEC (UINT64_C(1704067200) * USEC_PER_SEC)

static uint64_t add(uint64_t a, uint64_t b) {
        return a < USEC_NEVER - b ? a + b : USEC_NEVER;
}

uint64_t span_ends(const struct span *s, uint64_t realtime_usec, uint64_t up_usec) {
        uint64_t gone_usec = 0;

        if (s->same_boot && s->up_usec > 0)
                return add(s->up_usec, s->length_usec);
        if (s->began_usec > LOST_USEC && realtime_usec > s->began_usec)
                gone_usec = realtime_usec - s->began_usec;
        return gone_usec >= s->length_usec ? up_usec : add(up_usec, s->length_usec - gone_usec);
}
