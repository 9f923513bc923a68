#include "tests/sim/faults.h"

#include "tests/sim/loop.h"
#include "tests/sim/server.h"
#include "tests/sim/truth.h"

#include <signal.h>
#include <stdio.h>

static const char *const names[N_FAULTS] = {
        [FAULT_CRASH] = "crash",
        [FAULT_CUT] = "power cut",
        [FAULT_CUT_NOW] = "power cut at once",
        [FAULT_STEP_KILL] = "kill of rota-step",
        [FAULT_RESTART] = "restart",
        [FAULT_FREEZE] = "freeze",
        [FAULT_LINK] = "network cut",
        [FAULT_RESET] = "reset",
        [FAULT_SERVER] = "server down",
        [FAULT_FULL] = "disk full",
        [FAULT_ERRORS] = "disk errors",
        [FAULT_OVERFLOW] = "overflow",
        [FAULT_CLOCK] = "clock set",
        [FAULT_REPLAY] = "replay",
};

static struct proc *some_step(struct machine *m) {
        struct proc *found = NULL;
        unsigned n = 0;

        for (size_t i = 0; i < m->n_procs; i++)
                if (!m->procs[i]->dead && m->procs[i]->part == PART_STEP &&
                    rng_below(&m->rng, ++n) == 0)
                        found = m->procs[i];
        return found;
}

static void set_fuse(struct proc *p, enum fuse fuse, uint64_t length) {
        if (!p || p->dead)
                return;
        p->fuse = fuse;
        p->fuse_by_syncs = length & 1;
        p->fuse_length = (unsigned)(length >> 1);
}

static void on_space(void *subject, uint64_t unused) {
        struct machine *m = subject;

        (void)unused;
        m->disk->full = false;
        m->disk->error_permille = 0;
}

static void on_link_up(void *subject, uint64_t unused) {
        (void)unused;
        server_link(subject, true);
}

static void on_fault(void *subject, uint64_t unused) {
        const struct fault *f = subject;
        struct machine *m = f->machine;
        struct proc *step = m ? some_step(m) : NULL;

        (void)unused;
        world_tell("fault: %s of %s (%llu)", names[f->kind], m ? m->name : "the server",
                   (unsigned long long)f->argument);
        switch (f->kind) {
        case FAULT_CRASH:
                set_fuse(m->daemon, FUSE_CRASH, f->argument);
                break;
        case FAULT_CUT:
                set_fuse(step && rng_chance(&m->rng, 400) ? step : m->daemon, FUSE_CUT,
                         f->argument);
                break;
        case FAULT_CUT_NOW:
                machine_cut(m);
                break;
        case FAULT_STEP_KILL:
                set_fuse(step, FUSE_CRASH, f->argument);
                break;
        case FAULT_RESTART:
                if (m->daemon && !m->daemon->dead) {
                        world_count(TALLY_RESTARTS, 1);
                        proc_signal(m->daemon, SIGTERM);
                }
                break;
        case FAULT_FREEZE:
                if (step && rng_chance(&m->rng, 300))
                        proc_freeze(step, f->argument);
                else if (m->daemon && !m->daemon->dead)
                        proc_freeze(m->daemon, f->argument);
                world_count(TALLY_FREEZES, 1);
                break;
        case FAULT_LINK:
                world_count(TALLY_LINK_CUTS, 1);
                server_link(m, false);
                world_after(f->argument, on_link_up, m, 0);
                break;
        case FAULT_RESET:
                world_count(TALLY_LINK_RESETS, 1);
                server_reset(m);
                break;
        case FAULT_SERVER:
                server_stop(f->argument);
                break;
        case FAULT_FULL:
                world_count(TALLY_DISK_FULL, 1);
                truth_disk_trouble(m);
                m->disk->full = true;
                world_after(f->argument, on_space, m, 0);
                break;
        case FAULT_ERRORS:
                truth_disk_trouble(m);
                m->disk->error_permille = 200;
                world_after(f->argument, on_space, m, 0);
                break;
        case FAULT_OVERFLOW:
                loop_overflow(m);
                break;
        case FAULT_CLOCK:
                world_count(TALLY_CLOCK_JUMPS, 1);
                m->realtime_offset += (int64_t)f->argument;
                break;
        case FAULT_REPLAY:
                server_replay();
                break;
        case N_FAULTS:
                break;
        }
}

/* A seed has its own mixture: most have few kinds of faults, some have none. */
static unsigned choose_kinds(struct rng *r) {
        unsigned kinds = 0;

        for (unsigned k = 0; k < N_FAULTS; k++)
                if (rng_chance(r, 350))
                        kinds |= 1u << k;
        return kinds;
}

static uint64_t choose_argument(struct rng *r, enum fault_kind kind) {
        static const int64_t jumps[] = {-86400, 86400, -3600,       3600,
                                        -30,    30,    -1767000000, 378000000};

        switch (kind) {
        case FAULT_CRASH:
        case FAULT_CUT:
                /* the lowest bit: count syncs only */
                return rng_chance(r, 500) ? rng_below(r, 24) << 1 | 1
                                          : rng_below(r, rng_chance(r, 500) ? 20 : 400) << 1;
        case FAULT_STEP_KILL:
                return rng_chance(r, 300) ? rng_below(r, 8) << 1 | 1 : rng_below(r, 30) << 1;
        case FAULT_FREEZE:
                return rng_range(r, 100 * MSEC, rng_chance(r, 500) ? 3 * SEC : 30 * SEC);
        case FAULT_LINK:
                return rng_range(r, 500 * MSEC, rng_chance(r, 500) ? 8 * SEC : 60 * SEC);
        case FAULT_SERVER:
                return rng_range(r, 500 * MSEC, 10 * SEC);
        case FAULT_FULL:
        case FAULT_ERRORS:
                return rng_range(r, SEC, 20 * SEC);
        case FAULT_CLOCK:
                return (uint64_t)(jumps[rng_below(r, sizeof(jumps) / sizeof(jumps[0]))] *
                                  (int64_t)SEC);
        case FAULT_CUT_NOW:
        case FAULT_RESTART:
        case FAULT_RESET:
        case FAULT_OVERFLOW:
        case FAULT_REPLAY:
        case N_FAULTS:
                break;
        }
        return 0;
}

void faults_plan(struct faults *f, struct machine *controller, struct machine *const *targets,
                 size_t n_targets, uint64_t until_usec, uint64_t seed, uint64_t without) {
        struct rng r = {.state = seed};
        unsigned kinds = choose_kinds(&r);
        size_t n = rng_below(&r, 14);

        *f = (struct faults){0};
        for (size_t i = 0; kinds && i < n; i++) {
                struct fault *at = &f->list[f->n];
                unsigned kind;

                do
                        kind = (unsigned)rng_below(&r, N_FAULTS);
                while (!(kinds & (1u << kind)));
                *at = (struct fault){.usec = rng_range(&r, SEC, until_usec),
                                     .kind = (enum fault_kind)kind};
                at->argument = choose_argument(&r, at->kind);
                at->machine = rng_chance(&r, 400) ? controller : targets[rng_below(&r, n_targets)];
                if (kind == FAULT_STEP_KILL || kind == FAULT_OVERFLOW)
                        at->machine = targets[rng_below(&r, n_targets)];
                if (!(without & (UINT64_C(1) << i))) {
                        world_at(at->usec, on_fault, at, 0);
                        world_tell("planned: fault %zu, %s of %s at %llu.%06llu s, %lld", i,
                                   names[kind], at->machine->name,
                                   (unsigned long long)(at->usec / SEC),
                                   (unsigned long long)(at->usec % SEC), (long long)at->argument);
                }
                f->n++;
        }
}

void faults_end(struct machine *const *machines, size_t n_machines) {
        world_tell("no more faults");
        server_calm();
        for (size_t i = 0; i < n_machines; i++) {
                struct machine *m = machines[i];

                m->calm = true;
                on_space(m, 0);
                server_link(m, true);
                for (size_t k = 0; k < m->n_procs; k++)
                        m->procs[k]->fuse = FUSE_NONE;
        }
}
