#include "tests/sim/proc.h"

#include "tests/sim/calls.h"
#include "tests/sim/loop.h"
#include "tests/sim/people.h"
#include "tests/sim/program.h"
#include "tests/sim/server.h"
#include "tests/sim/truth.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STACK ((size_t)512 * 1024)

/* Stacks of the dead, for the next ones. */
static void *stacks[PROCS_MAX];
static size_t n_stacks;

static void *stack_take(void) {
        void *s;

        if (n_stacks > 0)
                return stacks[--n_stacks];
        s = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                 -1, 0);
        if (s == MAP_FAILED)
                abort();
        return s;
}

static void on_death_of_child(struct proc *parent) {
        parent->signals |= UINT64_C(1) << SIGCHLD;
        proc_wake(parent);
}

/* What a kernel does. */
static void bury(struct proc *p, int status) {
        struct machine *m = p->machine;

        p->dead = true;
        p->status = status;
        if (p->program)
                program_orphaned(p->program);
        calls_close_all(p);
        server_proc_died(p);
        if (p->stack && n_stacks < PROCS_MAX)
                stacks[n_stacks++] = p->stack;
        p->stack = NULL;
        if (p->parent && !p->parent->dead)
                on_death_of_child(p->parent);
        for (size_t i = 0; i < m->n_procs; i++)
                if (m->procs[i]->parent == p)
                        m->procs[i]->parent = NULL;
        truth_proc_died(p);
        people_proc_died(p);
}

static void restart_daemon(void *subject, uint64_t generation) {
        struct machine *m = subject;
        const char *argv[] = {"daemon"};

        if (!m->on || m->generation != generation || (m->daemon && !m->daemon->dead))
                return;
        m->daemon = proc_start(m, m->daemon_part, "daemon", m->daemon_main, 1, argv, NULL);
}

static void after_death(struct proc *p) {
        struct machine *m = p->machine;

        if (p == m->daemon && m->on)
                world_after(rng_range(&m->rng, 100 * MSEC, m->calm ? SEC : 3 * SEC), restart_daemon,
                            m, m->generation);
}

static void to_scheduler(struct proc *p) {
        swapcontext(&p->context, &world->scheduler);
}

void proc_kill(struct proc *p, int signal) {
        if (p->dead)
                return;
        world_tell("%s is killed", p->name);
        bury(p, 128 + signal);
        after_death(p);
        if (p == world->current)
                to_scheduler(p);
}

static void run(unsigned high, unsigned low) {
        struct proc *p = (struct proc *)(((uintptr_t)high << 32) | low);
        int status = p->main(p->argc, p->argv);

        world_tell("ends with status %d", status);
        bury(p, status & 0xff);
        after_death(p);
        to_scheduler(p);
}

static void on_turn(void *subject, uint64_t turn) {
        struct proc *p = subject;

        if (p->dead || p->turn != turn)
                return;
        if (p->frozen_until > world->now) {
                world_at(p->frozen_until, on_turn, p, turn);
                return;
        }
        p->turn++;
        p->waits = false;
        world->current = p;
        swapcontext(&world->scheduler, &p->context);
        world->current = NULL;
}

static void sleep_until(struct proc *p, uint64_t usec) {
        p->wake_usec = usec;
        if (usec != NEVER)
                world_at(usec, on_turn, p, p->turn);
        to_scheduler(p);
}

void proc_wait(uint64_t usec) {
        struct proc *p = world->current;

        if (p->woken) {
                p->woken = false;
                return;
        }
        p->waits = true;
        sleep_until(p, usec);
        p->woken = false;
}

void proc_spend(uint64_t usec) {
        struct proc *p = world->current;

        if (!p)
                return;
        /* nobody else has anything to do meanwhile */
        if (world_next() > world->now + usec && p->frozen_until <= world->now && !world->over) {
                world->now += usec;
                return;
        }
        p->waits = false;
        sleep_until(p, world->now + usec);
}

void proc_wake(struct proc *p) {
        if (p->dead)
                return;
        p->woken = true;
        if (!p->waits || p->wake_usec <= world->now + 20)
                return;
        p->wake_usec = world->now + 1 + rng_below(&p->machine->rng, 20);
        world_at(p->wake_usec, on_turn, p, p->turn);
}

void proc_freeze(struct proc *p, uint64_t usec) {
        if (p->frozen_until < world->now + usec)
                p->frozen_until = world->now + usec;
}

void proc_signal(struct proc *p, int signal) {
        if (p->dead)
                return;
        p->signals |= UINT64_C(1) << signal;
        if (p->event)
                loop_signalled(p->event);
        proc_wake(p);
}

struct proc *proc_find(struct machine *m, pid_t pid) {
        for (size_t i = 0; i < m->n_procs; i++)
                if (m->procs[i]->pid == pid)
                        return m->procs[i];
        return NULL;
}

/* Those that nobody can ask about any more. */
static void forget_dead(struct machine *m) {
        size_t n = 0;

        for (size_t i = 0; i < m->n_procs; i++)
                if (!m->procs[i]->dead || (m->procs[i]->parent && !m->procs[i]->reaped) ||
                    m->procs[i] == m->daemon)
                        m->procs[n++] = m->procs[i];
        m->n_procs = n;
}

struct proc *proc_start(struct machine *m, enum part part, const char *name,
                        int (*main_fn)(int, char **), int argc, const char *const *argv,
                        struct proc *parent) {
        struct proc *p = calloc(1, sizeof(*p));
        uintptr_t address = (uintptr_t)p;

        if (!p)
                abort();
        forget_dead(m);
        if (m->n_procs == PROCS_MAX)
                abort();
        m->procs[m->n_procs++] = p;
        p->machine = m;
        p->part = part;
        p->parent = parent;
        p->pid = ++m->pids;
        p->main = main_fn;
        p->cwd = m->disk->root;
        p->argc = argc;
        for (int i = 0; i < argc && i < 3; i++)
                p->argv[i] = strdup(argv[i]);
        snprintf(p->name, sizeof(p->name), "%.8s/%.12s.%d", m->name, name, (int)p->pid);
        p->stack = stack_take();
        getcontext(&p->context);
        p->context.uc_stack.ss_sp = p->stack;
        p->context.uc_stack.ss_size = STACK;
        p->context.uc_link = NULL;
        makecontext(&p->context, (void (*)(void))run, 2, (unsigned)(address >> 32),
                    (unsigned)address);
        p->wake_usec = world->now + rng_range(&m->rng, 200, 3 * MSEC);
        world_at(p->wake_usec, on_turn, p, p->turn);
        return p;
}

/* A process may not go on: its fuse has burnt down. */
static void blow(struct proc *p) {
        enum fuse fuse = p->fuse;
        struct machine *m = p->machine;

        p->fuse = FUSE_NONE;
        switch (fuse) {
        case FUSE_NONE:
                break;
        case FUSE_CRASH:
                world_count(p->part == PART_TARGET       ? TALLY_CRASHES_TARGET
                            : p->part == PART_CONTROLLER ? TALLY_CRASHES_CONTROLLER
                                                         : TALLY_STEP_KILLS,
                            1);
                proc_kill(p, SIGKILL);
                break;
        case FUSE_CUT:
                machine_cut(m);
                to_scheduler(p);
                break;
        }
}

static void call(const char *what, bool is_sync) {
        struct proc *p = world->current;
        struct machine *m;

        if (!p)
                return;
        m = p->machine;
        p->calls++;
        world->tallies[TALLY_CALLS]++;
        if (p->fuse != FUSE_NONE && (is_sync || !p->fuse_by_syncs) && p->fuse_length-- == 0) {
                world_tell("%s: the fuse has burnt down", what);
                blow(p);
        }
        if (m->slow_permille && rng_chance(&m->rng, m->slow_permille))
                proc_spend(rng_range(&m->rng, 1, 200));
}

void proc_call(const char *what) {
        call(what, false);
}

void proc_call_sync(const char *what) {
        call(what, true);
}

/* ---- machines ---- */

uint64_t machine_uptime(const struct machine *m) {
        return world->now - m->booted_usec + 20 * SEC;
}

uint64_t machine_realtime(const void *machine) {
        const struct machine *m = machine;

        return (uint64_t)((int64_t)world->now + m->realtime_offset);
}

struct machine *machine_new(const char *name, enum part daemon_part,
                            int (*daemon_main)(int, char **), uint64_t seed, bool journal) {
        struct machine *m = calloc(1, sizeof(*m));

        if (!m)
                abort();
        snprintf(m->name, sizeof(m->name), "%s", name);
        m->daemon_part = daemon_part;
        m->daemon_main = daemon_main;
        m->rng.state = seed;
        m->disk = disk_new(rng_next(&m->rng), journal);
        m->disk->realtime = machine_realtime;
        m->disk->owner = m;
        m->link_up = true;
        m->pids = 100;
        m->realtime_offset = INT64_C(1767222000) * (int64_t)SEC +
                             (int64_t)rng_below(&m->rng, 600 * SEC) - (int64_t)(300 * SEC);
        return m;
}

void machine_boot(struct machine *m) {
        char text[48];

        m->on = true;
        m->generation++;
        m->boots++;
        m->booted_usec = world->now;
        m->down_asked = false;
        snprintf(m->boot, sizeof(m->boot), "%08x-%04x-%s", (unsigned)rng_next(&m->rng), m->boots,
                 m->name);
        snprintf(text, sizeof(text), "%s\n", m->boot);
        disk_put(m->disk, "/boot_id", text, 0444);
        world_tell("%s boots: %s", m->name, m->boot);
        world_after(rng_range(&m->rng, 200 * MSEC, 2 * SEC), restart_daemon, m, m->generation);
}

static void on_power_back(void *subject, uint64_t generation) {
        struct machine *m = subject;

        if (!m->on && m->generation == generation)
                machine_boot(m);
}

static void go_dark(struct machine *m) {
        struct proc *procs[PROCS_MAX];
        size_t n = m->n_procs;

        m->on = false;
        memcpy(procs, m->procs, n * sizeof(*procs));
        for (size_t i = 0; i < n; i++)
                if (!procs[i]->dead)
                        bury(procs[i], 128 + SIGKILL);
        m->daemon = NULL;
}

void machine_cut(struct machine *m) {
        if (!m->on)
                return;
        world_tell("%s loses its power", m->name);
        world_count(m->daemon_part == PART_TARGET ? TALLY_CUTS_TARGET : TALLY_CUTS_CONTROLLER, 1);
        truth_power_cut(m);
        server_machine_dark(m);
        go_dark(m);
        disk_cut(m->disk);
        world_after(rng_range(&m->rng, SEC, m->calm ? 5 * SEC : 30 * SEC), on_power_back, m,
                    m->generation);
}

void machine_reboot(struct machine *m, bool force) {
        if (!m->on)
                return;
        world_tell("%s reboots%s", m->name, force ? " at once" : "");
        truth_rebooted(m);
        if (force)
                server_machine_dark(m);
        go_dark(m);
        if (force)
                disk_cut(m->disk);
        else
                disk_sync(m->disk);
        world_after(rng_range(&m->rng, SEC, 20 * SEC), on_power_back, m, m->generation);
}
