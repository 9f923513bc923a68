/*
 * When to try again: decorrelated jitter. Each delay is random between `base` and three times the last, at most
 * `cap`; a thousand machines whose server restarts do not return in step. There is no last try.
 */
#pragma once

#include <stdint.h>

struct backoff {
        uint64_t base_usec;
        uint64_t cap_usec;
        uint64_t last_usec;
        uint64_t seed; /* xorshift state; give any non-zero number */
};

void backoff_init(struct backoff *b, uint64_t base_usec, uint64_t cap_usec, uint64_t seed);
/* The delay before the next try. */
uint64_t backoff_next(struct backoff *b);
/* After success. */
void backoff_reset(struct backoff *b);
