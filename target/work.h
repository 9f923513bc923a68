/*
 * Work on a run that has not ended: its directory is watched, its step is launched or adopted, and what came
 * of it is found out, in this order: who holds the lock, is there an exit record, is there output.
 *
 * Why no step runs twice: "started" is durable before rota-step is; rota-step takes the lock, and creates N.out
 * before it executes anything. So after a crash of ours a step may be launched (again) only when nobody holds
 * the lock, there is no exit record, no N.out, and the boot is the same. Should two rota-steps meet, the lock lets one go on,
 * and the exit record stops any that comes later.
 */
#pragma once

#include "target/io/hash.h"
#include "target/target.h"

struct work {
        struct target *target;
        struct runq_run *run;
        uint64_t events_size;
        sd_event_source *watch;
        sd_event_source *again;    /* look at the step again: it could not be found out */
        sd_event_source *patience; /* until we believe that the machine does not go down */
        struct launch *launch;
        struct hash *hash;
        unsigned out_step; /* whose N.out the peers know */
        unsigned out_attempt;
        uint64_t out_size;
        uint64_t synced_size;
        uint64_t flushed_size;
        uint64_t sync_usec; /* when to sync the output; USEC_NEVER */
        bool waited;        /* so long */
        bool grown;
        bool held;     /* its output waits for room in its budget */
        bool launched; /* rota-step was started by us or found alive */
        /* While the output is being hashed: what will be said of the step. */
        enum verdict verdict;
        char *cause;
        const char *limit;
        int exit_status;
        int signal;
        uint64_t elapsed_usec;
        uint64_t dropped;
        bool interrupted;
};

struct work *work_of(const struct runq_run *run);
void work_free(struct work *w);
/* Something could not be written: the run waits, and everybody is told. */
void work_trouble(struct target *t, struct runq_run *run, int error);
void work_well(struct target *t);
/* step_work.c */
void work_spawn(struct work *w, unsigned step);
void work_adopt(struct work *w, unsigned step);
void work_kill(struct work *w, unsigned step);
/* Output grew, or appeared. */
void work_look(struct work *w);
/* step_room.c */
/* Bytes of output the step at hand may make; 0: as many as it likes. */
uint64_t step_room(const struct work *w, const struct plan *plan);
/* Tells the step at hand what it may have now. */
void step_room_give(struct work *w);
/* Does it wait for room? */
void step_room_look(struct work *w);
/* reboot_work.c */
void work_reboot(struct work *w, unsigned step);
void work_reboot_kill(struct work *w, unsigned step);
