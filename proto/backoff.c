#include "proto/backoff.h"

#include <assert.h>

/* xorshift64* needs a state that is not zero */
#define SEED_FALLBACK UINT64_C(0x9e3779b97f4a7c15)

static uint64_t random_next(struct backoff *b) {
        uint64_t x = b->seed;

        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        b->seed = x;
        return x * UINT64_C(0x2545f4914f6cdd1d);
}

void backoff_init(struct backoff *b, uint64_t base_usec, uint64_t cap_usec, uint64_t seed) {
        assert(base_usec > 0 && base_usec <= cap_usec);

        b->base_usec = base_usec;
        b->cap_usec = cap_usec;
        b->last_usec = base_usec;
        b->seed = seed ? seed : SEED_FALLBACK;
}

uint64_t backoff_next(struct backoff *b) {
        uint64_t top = b->last_usec > b->cap_usec / 3 ? b->cap_usec : b->last_usec * 3;
        uint64_t span = top > b->base_usec ? top - b->base_usec : 0;

        b->last_usec = b->base_usec + (span ? random_next(b) % (span + 1) : 0);
        return b->last_usec;
}

void backoff_reset(struct backoff *b) {
        b->last_usec = b->base_usec;
}
