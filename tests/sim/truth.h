/*
 * What really happened: programs that ran, bytes they printed, challenges, reboots, acknowledgements. And the
 * invariants, those that hold at every moment (checked here, where it happens) and those that hold in the end.
 *
 * Nobody takes a lease in these schedules: people.c would ask for it as for anything else, and truth_sent() is where a
 * target's word about its holder passes, to be held against the last one.
 */
#pragma once

#include "proto/base/log.h"
#include "proto/plan.h"
#include "tests/sim/proc.h"

#define STEPS_MAX 5
#define ATTEMPTS_MAX (PLAN_RETRIES_MAX + 1)
#define SLOTS (1 + STEPS_MAX * ATTEMPTS_MAX) /* 0: events; then each attempt of each step */
#define LAUNCHES_MAX (STEPS_MAX * ATTEMPTS_MAX)
#define RUNS_MAX 64
#define MACHINES_MAX 8

/* What a step of a plan is to do. */
struct truth_plan_step {
        bool reboot;
        unsigned retries; /* after interruptions; 0: it is not begun again */
};

struct truth_launch {
        struct truth_run *run;
        struct proc *step;
        unsigned number, attempt; /* of the step */
        uint64_t boot;            /* of the machine, a generation */
        uint64_t at_usec;
        uint64_t printed;
        bool ended;
        int status;
};

/* Bytes that rota-step wrote to N.out, in order; also those that a power cut took again. */
struct truth_stream {
        uint8_t *bytes;
        size_t n, cap;
        uint64_t acked; /* by the controller, at most */
        bool cut;       /* bytes may be gone on the target */
};

struct truth_run {
        char id[72];
        struct machine *machine; /* where programs of it ran */
        struct truth_launch launches[LAUNCHES_MAX];
        size_t n_launches;
        struct truth_stream streams[SLOTS];
        char *journal; /* as the target had it last, when the run was removed */
        size_t journal_size;
        unsigned
                interruptions; /* the machine went down while a program of it was on, or about to be */
        bool excused;          /* rota-step was killed */
};

/* Whoever sets the scene says which machines there are. */
void truth_start(struct machine *controller, struct machine *const *targets, size_t n_targets);
struct truth_run *truth_run_of(const char *id);
size_t truth_count(void);
struct truth_run *truth_at(size_t i);
/* Of a target: not everything can be carried out there. */
void truth_disk_trouble(struct machine *m);
bool truth_disk_was_troubled(const struct machine *m);

/* What happens. */
void truth_proc_died(struct proc *p);
void truth_power_cut(struct machine *m);
void truth_rebooted(struct machine *m);
void truth_turned(struct proc *p);
void truth_removed(struct machine *m, const char *path, const struct node *n);
void truth_wrote(struct proc *p, const struct node *n, uint64_t at, const void *data, size_t size);
struct truth_launch *truth_launched(struct proc *step);
void truth_printed(struct truth_launch *l, const uint8_t *data, size_t size);
void truth_program_ended(struct truth_launch *l, int status);
void truth_sent(struct proc *p, const char *full, const char *text, size_t len);
void truth_received(struct proc *p, const char *full, const char *text);
/* The reboot command was called. */
void truth_reboot_command(struct proc *daemon);

/* In the end. */
struct truth_expectation {
        const struct truth_plan_step *steps;
        size_t n_steps;
        bool cancelled;
        bool may_wait_in_vain; /* a time to live, if_idle, a short queue */
};
void truth_check_run(struct machine *target, const char *id, const char *verdict,
                     const struct truth_expectation *e);
/* Was everything of it told by the target, and does the target know? */
bool truth_delivered(struct machine *target, const char *id, const char **ret_why);
bool truth_is_lost(struct machine *target, const char *id);
void truth_shown_ended(const char *id, const char *verdict);
void truth_shown_bytes(const char *id, const char *stream, uint64_t next);

/* Of simulated daemons. */
void sim_log(enum log_level level, const char *text, const struct log_field *fields,
             size_t n_fields);
