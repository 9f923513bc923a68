#include "tests/sim/world.h"

#include "tests/sim/proc.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world *world;

static const char *const tally_names[N_TALLIES] = {
        [TALLY_BATCHES] = "submissions",
        [TALLY_RUNS] = "runs",
        [TALLY_LAUNCHES] = "programs started",
        [TALLY_BYTES] = "bytes of output",
        [TALLY_STANZAS] = "stanzas",
        [TALLY_CALLS] = "system calls",
        [TALLY_CRASHES_TARGET] = "target crashes",
        [TALLY_CRASHES_CONTROLLER] = "controller crashes",
        [TALLY_STEP_KILLS] = "rota-step kills",
        [TALLY_RESTARTS] = "orderly restarts",
        [TALLY_CUTS_TARGET] = "target power cuts",
        [TALLY_CUTS_CONTROLLER] = "controller power cuts",
        [TALLY_FREEZES] = "freezes",
        [TALLY_LINK_CUTS] = "network cuts",
        [TALLY_LINK_RESETS] = "connection resets",
        [TALLY_SERVER_RESTARTS] = "server restarts",
        [TALLY_SERVER_LOST] = "stanzas lost by the server",
        [TALLY_SERVER_DOUBLED] = "stanzas doubled by the server",
        [TALLY_DISK_FULL] = "full disks",
        [TALLY_DISK_ERRORS] = "failed writes and syncs",
        [TALLY_CLOCK_JUMPS] = "clock jumps",
        [TALLY_REBOOTS_ASKED] = "reboots asked for",
        [TALLY_REBOOTS_DONE] = "reboots carried out",
        [TALLY_CANCELS] = "cancels",
        [TALLY_DUPLICATES] = "submissions repeated",
        [TALLY_REPLAYS] = "power stanzas replayed",
        [TALLY_VIRTUAL_SECONDS] = "virtual seconds",
};

const char *tally_name(enum tally t) {
        return tally_names[t];
}

void world_new(uint64_t seed, bool trace) {
        world = calloc(1, sizeof(*world));
        if (!world)
                abort();
        world->seed = seed;
        world->rng.state = seed;
        rng_next(&world->rng);
        world->trace = trace;
}

static bool before(const struct moment *a, const struct moment *b) {
        return a->usec != b->usec ? a->usec < b->usec : a->order < b->order;
}

void world_at(uint64_t usec, happen *fn, void *subject, uint64_t argument) {
        struct moment m = {usec < world->now ? world->now : usec, world->order++, fn, subject,
                           argument};
        size_t at = world->n_heap;

        if (world->n_heap == world->cap_heap) {
                world->cap_heap = world->cap_heap ? world->cap_heap * 2 : 256;
                world->heap = realloc(world->heap, world->cap_heap * sizeof(m));
                if (!world->heap)
                        abort();
        }
        world->n_heap++;
        while (at > 0 && before(&m, &world->heap[(at - 1) / 2])) {
                world->heap[at] = world->heap[(at - 1) / 2];
                at = (at - 1) / 2;
        }
        world->heap[at] = m;
}

void world_after(uint64_t usec, happen *fn, void *subject, uint64_t argument) {
        world_at(world->now + usec, fn, subject, argument);
}

uint64_t world_next(void) {
        return world->n_heap > 0 ? world->heap[0].usec : NEVER;
}

static struct moment take_first(void) {
        struct moment first = world->heap[0], last = world->heap[--world->n_heap];
        size_t at = 0, n = world->n_heap;

        for (;;) {
                size_t child = 2 * at + 1;

                if (child >= n)
                        break;
                if (child + 1 < n && before(&world->heap[child + 1], &world->heap[child]))
                        child++;
                if (!before(&world->heap[child], &last))
                        break;
                world->heap[at] = world->heap[child];
                at = child;
        }
        if (n > 0)
                world->heap[at] = last;
        return first;
}

void world_run(void) {
        while (!world->over && world->n_heap > 0) {
                struct moment m = take_first();

                world->now = m.usec;
                m.fn(m.subject, m.argument);
        }
}

static void prefix(FILE *out) {
        fprintf(out, "%4llu.%06llu %-14s ", (unsigned long long)(world->now / SEC),
                (unsigned long long)(world->now % SEC),
                world->current ? world->current->name : "-");
}

void world_wrong(const char *invariant, const char *format, ...) {
        va_list ap;

        if (world->invariant[0])
                return;
        snprintf(world->invariant, sizeof(world->invariant), "%s", invariant);
        va_start(ap, format);
        vsnprintf(world->finding, sizeof(world->finding), format, ap);
        va_end(ap);
        if (world->trace) {
                prefix(stdout);
                printf("WRONG (%s): %s\n", invariant, world->finding);
        }
        world->over = true;
}

void world_tell(const char *format, ...) {
        va_list ap;

        if (!world->trace)
                return;
        prefix(stdout);
        va_start(ap, format);
        vprintf(format, ap);
        va_end(ap);
        putchar('\n');
}
