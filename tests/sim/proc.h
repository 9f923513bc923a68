/*
 * Simulated machines and the processes on them.
 *
 * A process is the real code of a role on a stack of its own. It runs until it waits: in a system call that takes time,
 * or for something to happen; then the world goes on. A crash leaves the stack where it stands and never comes back to
 * it, so nothing of the process is cleaned up but what a kernel cleans up: descriptors, locks, children.
 *
 * The fuse is how faults hit between two system calls: it burns down by one with each of them, and at zero the process
 * (or its machine) is gone, before the call has done anything.
 */
#pragma once

#include "tests/sim/disk.h"
#include "tests/sim/world.h"

#include <sys/types.h>

#define FDS 64
#define FD_BASE 10000 /* no descriptor of the real process */
#define PROCS_MAX 64

enum part {
        PART_TARGET,
        PART_CONTROLLER,
        PART_STEP,
};

enum fuse {
        FUSE_NONE,
        FUSE_CRASH,
        FUSE_CUT, /* of the machine */
};

struct file;
struct program;
struct wire;
struct sd_event;
struct machine;

struct proc {
        struct machine *machine;
        enum part part;
        pid_t pid;
        char name[40];
        bool dead;
        int status; /* as waitid() tells it: exit status, or 128 + signal */
        struct proc *parent;
        bool reaped;
        int argc;
        char *argv[4];
        int (*main)(int argc, char **argv);
        ucontext_t context;
        void *stack;
        /* waiting */
        uint64_t turn; /* of the wake-up that counts */
        bool waits;    /* for anything, or the time */
        bool woken;    /* while it did not wait */
        uint64_t wake_usec;
        uint64_t frozen_until;
        /* what the kernel knows of it */
        struct file *fds[FDS];
        struct node *cwd;
        uint64_t signals; /* pending, a bit each */
        struct sd_event *event;
        struct program *program; /* of rota-step */
        enum fuse fuse;
        unsigned fuse_length;
        bool fuse_by_syncs; /* only syncs and renames burn it: much is decided around them */
        uint64_t calls;
};

struct machine {
        char name[16];
        enum part daemon_part;
        int (*daemon_main)(int argc, char **argv);
        struct disk *disk;
        struct rng rng;
        bool on;
        uint64_t generation; /* of the boot */
        uint64_t booted_usec;
        int64_t realtime_offset;
        char boot[40];
        struct proc *procs[PROCS_MAX];
        size_t n_procs;
        struct proc *daemon;
        pid_t pids;
        bool link_up;
        uint64_t link_since;
        bool calm;              /* the faults are over */
        bool down_asked;        /* the reboot command was given */
        unsigned slow_permille; /* system calls that take their time */
        unsigned boots;
};

struct machine *machine_new(const char *name, enum part daemon_part,
                            int (*daemon_main)(int, char **), uint64_t seed, bool journal);
void machine_boot(struct machine *m);
/* The power goes, and comes back later. */
void machine_cut(struct machine *m);
/* An orderly way down: everything is written back first unless @force. */
void machine_reboot(struct machine *m, bool force);
uint64_t machine_uptime(const struct machine *m);
uint64_t machine_realtime(const void *m);

struct proc *proc_start(struct machine *m, enum part part, const char *name,
                        int (*main_fn)(int, char **), int argc, const char *const *argv,
                        struct proc *parent);
/* Does not return when it is the current one. */
void proc_kill(struct proc *p, int signal);
/* Until @usec (of the world), or proc_wake(). */
void proc_wait(uint64_t usec);
void proc_wake(struct proc *p);
/* Takes time; nothing wakes it. */
void proc_spend(uint64_t usec);
void proc_freeze(struct proc *p, uint64_t usec);
void proc_signal(struct proc *p, int signal);
struct proc *proc_find(struct machine *m, pid_t pid);
/* A system call begins: fuses, time, counting. proc_call_sync() is for those that make something durable. */
void proc_call(const char *what);
void proc_call_sync(const char *what);
