/*
 * What a target keeps about itself beside its runs: STATE/standing.json, replaced as a whole.
 *
 *   {"boot":"6f1c…","lease":{"token":17,"change":40,"id":"k3…","holder":"ctl@lab","by":"ana","reason":"…",
 *                            "since":…,"until":…,"length":…,"ends":…}}
 *
 * `ends` is of the clock that counts through suspend, and means something under the same `boot` only. A file that is
 * missing says that nobody has reserved the target; one that is unreadable is an error, because then who has it is unknown.
 */
#pragma once

#include "target/core/lease.h"
#include "target/io/facts.h"

struct standing {
        struct lease_record lease;
        uint64_t lease_ends_usec;
        char boot[FACTS_BOOT_SIZE]; /* under which it was written; empty: never */
};

/* Returns 0 or -errno (-EUCLEAN: unreadable). */
int standing_read(const char *state_dir, struct standing *ret);
/* Durable when it returns 0; else as before, or -errno. */
int standing_write(const char *state_dir, const struct standing *s);
