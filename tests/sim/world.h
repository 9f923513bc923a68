/*
 * The world of one schedule: virtual time, what is to happen when, and what was found wrong.
 *
 * Everything in it happens in the order of its time, at one time in the order in which it was planned; chance comes
 * from the seed alone. So a seed is a schedule, and the same seed is the same schedule again.
 *
 * A simulated system call has no argument to find its world by: there is one world a process, the one exception to
 * the rule against mutable file-scope data.
 */
#pragma once

#include "tests/sim/rng.h"

#include <stddef.h>
#include <ucontext.h>

#define USEC UINT64_C(1)
#define MSEC (1000 * USEC)
#define SEC (1000 * MSEC)
#define NEVER UINT64_MAX

struct proc;
typedef void happen(void *subject, uint64_t argument);

/* What a schedule was like; summed up over all of them at the end. */
enum tally {
        TALLY_BATCHES,
        TALLY_RUNS,
        TALLY_LAUNCHES,
        TALLY_BYTES,
        TALLY_STANZAS,
        TALLY_CALLS,
        TALLY_CRASHES_TARGET,
        TALLY_CRASHES_CONTROLLER,
        TALLY_STEP_KILLS,
        TALLY_RESTARTS,
        TALLY_CUTS_TARGET,
        TALLY_CUTS_CONTROLLER,
        TALLY_FREEZES,
        TALLY_LINK_CUTS,
        TALLY_LINK_RESETS,
        TALLY_SERVER_RESTARTS,
        TALLY_SERVER_LOST,
        TALLY_SERVER_DOUBLED,
        TALLY_DISK_FULL,
        TALLY_DISK_ERRORS,
        TALLY_CLOCK_JUMPS,
        TALLY_REBOOTS_ASKED,
        TALLY_REBOOTS_DONE,
        TALLY_CANCELS,
        TALLY_DUPLICATES,
        TALLY_REPLAYS,
        TALLY_VIRTUAL_SECONDS,
        N_TALLIES,
};

struct moment {
        uint64_t usec;
        uint64_t order;
        happen *fn;
        void *subject;
        uint64_t argument;
};

struct world {
        uint64_t seed;
        uint64_t now;
        struct rng rng;
        bool trace;
        struct moment *heap;
        size_t n_heap, cap_heap;
        uint64_t order;
        ucontext_t scheduler;
        struct proc *current; /* whose code runs; NULL: the scheduler */
        uint64_t tallies[N_TALLIES];
        bool over;
        char invariant[64]; /* "": nothing is wrong */
        char finding[1024];
};

extern struct world *world;

void world_new(uint64_t seed, bool trace);
void world_at(uint64_t usec, happen *fn, void *subject, uint64_t argument);
void world_after(uint64_t usec, happen *fn, void *subject, uint64_t argument);
/* The time of the next happening; NEVER. */
uint64_t world_next(void);
/* Until somebody says that it is over, or nothing is left to happen. */
void world_run(void);
/* An invariant does not hold. The first finding ends the schedule. */
void world_wrong(const char *invariant, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
void world_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void world_count(enum tally t, uint64_t n) {
        world->tallies[t] += n;
}
const char *tally_name(enum tally t);
