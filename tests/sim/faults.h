/*
 * What goes wrong in a schedule, planned before it begins: so a seed shows its faults as a list, and any of them can be
 * left out to see whether it matters.
 */
#pragma once

#include "tests/sim/proc.h"

#define FAULTS_MAX 48

enum fault_kind {
        FAULT_CRASH, /* of a daemon, after so many system calls */
        FAULT_CUT, /* of a machine's power, after so many system calls of its daemon or of a step */
        FAULT_CUT_NOW,
        FAULT_STEP_KILL, /* rota-step, after so many system calls */
        FAULT_RESTART,   /* SIGTERM, as an upgrade does it */
        FAULT_FREEZE,    /* a process stands still */
        FAULT_LINK,      /* the network of a machine is cut for a time */
        FAULT_RESET,     /* its connections are reset */
        FAULT_SERVER,    /* the server goes down for a time */
        FAULT_FULL,      /* a disk is full for a time */
        FAULT_ERRORS,    /* writes and syncs fail for a time */
        FAULT_OVERFLOW,  /* of the queue of directory events */
        FAULT_CLOCK,     /* the wall clock is set */
        FAULT_REPLAY,    /* a power stanza comes again */
        N_FAULTS,
};

struct fault {
        uint64_t usec;
        enum fault_kind kind;
        struct machine *machine;
        uint64_t
                argument; /* twice the system calls, plus 1: only syncs and renames count; or how long */
};

struct faults {
        struct fault list[FAULTS_MAX];
        size_t n;
};

/* @without: a bit for each that is left out. */
void faults_plan(struct faults *f, struct machine *controller, struct machine *const *targets,
                 size_t n_targets, uint64_t until_usec, uint64_t seed, uint64_t without);
void faults_end(struct machine *const *machines, size_t n_machines);
