/*
 * Those who use the controller: they submit, cancel, ask for reboots, ask again when no answer came, and look on.
 */
#pragma once

#include "tests/sim/proc.h"
#include "tests/sim/truth.h"

enum ask_verb {
        ASK_SUBMIT,
        ASK_CANCEL,
        ASK_REBOOT,
        ASK_PING,
        ASK_RUNS,
        ASK_TARGETS,
};

struct ask;
typedef void answered(struct ask *a, const char *error,
                      const char *text); /* error "": nobody is there */

struct ask {
        struct ask *next;
        enum ask_verb verb;
        const char *first, *second;
        const char *user;
        answered *answered;
        void *subject;
        uint64_t argument;
        bool served;
        bool over;
};

/* ---- the controller's end ---- */

struct desk;
/* Of the current process. Returns a descriptor. */
int desk_open(struct desk **ret);
void desk_close(struct desk *d);
struct ask *desk_next(struct desk *d);
void desk_answer(struct ask *a, const char *error, const char *text);
void desk_told_run(struct desk *d, const char *json);
void desk_told_grew(struct desk *d, const char *run, const char *stream, uint64_t next);

/* ---- the people ---- */

struct people_ways {
        size_t n_batches;
        size_t n_reboots;
        unsigned cancel_permille;
        unsigned repeat_permille;
        unsigned ttl_permille;
        unsigned if_idle_permille;
        unsigned reboot_step_permille;
        unsigned interrupt_permille;
        unsigned replays;    /* of power stanzas, after each reboot that was asked for */
        uint64_t until_usec; /* nothing is asked for later */
};

void people_start(const struct people_ways *ways, struct machine *controller,
                  struct machine *const *targets, size_t n_targets, uint64_t seed);
void people_proc_died(struct proc *p);
/* From now on they wait until everything is over, and look whether it is well. */
void people_settle(uint64_t deadline_usec);
