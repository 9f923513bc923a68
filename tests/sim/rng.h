/*
 * Numbers that look like chance and come again with the same seed (splitmix64).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct rng {
        uint64_t state;
};

static inline uint64_t rng_next(struct rng *r) {
        uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));

        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
}

/* 0..n-1 */
static inline uint64_t rng_below(struct rng *r, uint64_t n) {
        return n ? rng_next(r) % n : 0;
}

static inline uint64_t rng_range(struct rng *r, uint64_t from, uint64_t to) {
        return from + rng_below(r, to - from + 1);
}

static inline bool rng_chance(struct rng *r, unsigned permille) {
        return rng_below(r, 1000) < permille;
}
