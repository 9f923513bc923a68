/*
 * What a target keeps about itself beside its runs: STATE/standing.json, replaced as a whole.
 *
 *   {"boot":"6f1c…",
 *    "lease":{"token":17,"change":40,"id":"k3…","holder":"ctl@lab","by":"ana","reason":"…","since":…,"until":…,"length":…,"ends":…},
 *    "quarantine":{"who":"ctl@lab","by":"ana","reason":"…","since":…},
 *    "away":{"who":"ctl@lab","by":"ana","reason":"…","since":…,"until":…,"boot":"6f1c…"},
 *    "not_run":2}
 *
 * `ends` is of the clock that counts through suspend, and means something under the same `boot` only; other times are
 * realtime. A file that is missing says that nobody wants anything of the target; one that is unreadable is an error, because
 * then who has reserved it is unknown.
 */
#pragma once

#include "target/core/lease.h"
#include "target/io/facts.h"

#define STANDING_WORDS_SIZE LEASE_WORDS_SIZE

/* Who put the target into a state, and why. */
struct standing_note {
        bool on;
        char who[JID_SIZE]; /* bare JID; empty: the target itself */
        char by[STANDING_WORDS_SIZE];
        char reason[STANDING_WORDS_SIZE];
        uint64_t since_usec;
};

struct standing {
        char boot[FACTS_BOOT_SIZE]; /* under which it was written; empty: never */
        struct lease_record lease;
        uint64_t lease_ends_usec;
        struct standing_note quarantine;
        struct standing_note away;
        uint64_t away_until_usec;
        char away_boot[FACTS_BOOT_SIZE]; /* under which it said that it leaves */
        uint64_t not_run;                /* runs in a row that could not be carried out */
};

/* Returns 0 or -errno (-EUCLEAN: unreadable). */
int standing_read(const char *state_dir, struct standing *ret);
/* Durable when it returns 0; else as before, or -errno. */
int standing_write(const char *state_dir, const struct standing *s);
