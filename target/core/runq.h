/*
 * The run queue of a target: which run goes on, with which step, and what to write down before.
 *
 * Runs start in order of acceptance, as many at a time as there are slots; a run that waits longer than its
 * time to live ends as not-run. Nothing is done before the event that announces it is durable: the
 * machine hands out RUNQ_RECORD, and goes on with that run only after runq_recorded(). A run id is accepted once;
 * an ended run stays known until it was delivered and its retention has passed.
 *
 * A step that is a reboot is handed out as RUNQ_REBOOT, after it was recorded with the boot id. While one is open, no
 * step of another run starts, and a graceful one waits until none is on. It passed when the next start of the
 * caller says that the boot is another one. A step that such a start finds cut short is not-run, and its
 * on_interrupt says what follows, within limits: a machine that reboots again and again ends the run.
 *
 * Pure: no clock, no disk, no process. The caller tells facts (past tense), asks runq_next() what to do,
 * does it, and tells the outcome. Times are of one clock of the caller that counts through suspend.
 *
 *   accepted            slot free                  durable            launched          exit known
 *   WAITING --------> STARTING --RUNQ_RECORD--> LAUNCHING --RUNQ_SPAWN--> ON ------> STEPPING --RUNQ_RECORD--+
 *      | expired or       ^                                                                                  |
 *      v cancelled        +---------------------- next step, or the next attempt of the same -----------------+
 *   ENDING --RUNQ_RECORD--> OVER --RUNQ_RETIRE--> gone         (a restart enters at ADOPTING, with RUNQ_ADOPT)
 *
 *   a reboot:  STARTING --RUNQ_RECORD--> DRAINING --RUNQ_RECORD--> REBOOTING --RUNQ_REBOOT--> (another boot) STEPPING
 */
#pragma once

#include "proto/base/cleanup.h"
#include "proto/base/id.h"
#include "proto/base/list.h"
#include "proto/events.h"

#include <stdbool.h>
#include <stdint.h>

struct runq_limits {
        unsigned slots;     /* runs at the same time, at least 1 */
        unsigned queue_max; /* runs that may wait */
        uint64_t keep_usec; /* how long a delivered run stays */
        /* A reboot that was ordered before we were started anew in the same boot: wait so long before ordering again. */
        uint64_t settle_usec;
};

/* Reboots from outside in a row, without a step that ended by itself: one more ends the run. */
#define RUNQ_INTERRUPTIONS_MAX 5

/* What the queue must know of a step. */
struct runq_step {
        bool reboot;
        bool leaves;                      /* a reboot that somebody else does: expect_return */
        bool force;                       /* a reboot that does not wait for others */
        uint64_t within_usec;             /* a reboot */
        enum plan_interrupt on_interrupt; /* all others */
        unsigned retries;
};

enum runq_phase {
        RUNQ_WAITING,
        RUNQ_ADOPTING,  /* after a restart: the caller finds out what became of the open step */
        RUNQ_STARTING,  /* "started" is to be recorded */
        RUNQ_LAUNCHING, /* recorded; rota-step is to be started, or is being started */
        RUNQ_ON,
        RUNQ_DRAINING,  /* a reboot: recorded as started, waits for the steps of others */
        RUNQ_REBOOTING, /* recorded as ordered; the caller sees to it */
        RUNQ_STEPPING,  /* the step is over; "stepped" is to be recorded */
        RUNQ_ENDING,
        RUNQ_OVER,
};

/* How a step went. Strings are copied. */
struct runq_result {
        enum verdict verdict;
        const char *cause; /* may be NULL */
        const char *limit; /* of judge_limit(); kept as it is */
        int exit_status;   /* -1 when there is none */
        int signal;
        uint64_t elapsed_usec;
        bool interrupted; /* by a reboot from outside; then verdict and cause are ours to find */
        const struct event_stream *stream; /* its output; NULL: there is none */
};

struct runq_kept_result {
        enum verdict verdict;
        char *cause;
        const char *limit;
        int exit_status;
        int signal;
        uint64_t elapsed_usec;
        enum event_interrupt interrupted;
        bool has_stream;
        struct event_stream stream;
        char stream_name[24];
        char sha256[SHA256_HEX_SIZE];
};

/* A run, for reading; valid until it is retired. Only `userdata` is the caller's to write. */
struct runq_run {
        struct list link;
        struct runq_run *bucket_next;
        char id[ID_MAX + 1];
        char *owner;
        char *by;   /* may be NULL */
        char *name; /* of the plan */
        unsigned n_steps;
        uint64_t lease; /* token; 0: none */
        uint64_t seq;   /* order of acceptance, as the caller numbers it */
        bool heal;
        struct runq_step *steps; /* NULL once it is over */
        struct run_fold fold;
        enum runq_phase phase;
        unsigned step;         /* the one at hand; 0 before the first */
        unsigned attempt;      /* of that step, from 1 */
        uint64_t expires_usec; /* USEC_NEVER: waits for ever */
        uint64_t retry_usec;   /* a record failed: not before this time */
        uint64_t retire_usec;  /* once delivered; else USEC_NEVER */
        uint64_t within_usec;  /* until when a reboot is to be done; USEC_NEVER when it is none */
        uint64_t order_usec;   /* a reboot is not ordered before */
        uint64_t asked_usec;   /* queued since, for people; realtime */
        char *cancel_by;
        bool cancel_asked;
        bool cancel_recorded;
        bool killed;     /* RUNQ_KILL was handed out for this step */
        bool handed_out; /* RUNQ_SPAWN, RUNQ_ADOPT or RUNQ_REBOOT is under way */
        struct runq_kept_result result;
        enum verdict end_verdict;
        char *end_cause;
        void *userdata;
};

struct runq_new_run {
        const char *id;
        const char *owner;
        const char *by;
        const char *name;
        unsigned n_steps;
        uint64_t lease;                /* the token under which it was submitted; 0: none */
        bool heal;                     /* starts in quarantine too */
        uint64_t seq;                  /* order of acceptance */
        const struct runq_step *steps; /* n_steps, copied; NULL: all are plain */
        uint64_t expires_usec;
        const char *last_cause; /* restored: why the run would not pass, may be NULL */
        bool rebooted;          /* restored: the boot is another one than the open step's */
};

enum runq_do {
        RUNQ_NOTHING = 0,
        RUNQ_RECORD, /* append `events` to the journal, durably; then runq_recorded() or runq_record_failed() */
        RUNQ_SPAWN, /* start `step`; then runq_spawned(), runq_exited() or runq_unstarted() */
        RUNQ_ADOPT, /* find out about `step`; then the same */
        RUNQ_KILL, /* ask `step` to end; its exit follows, unless it is a reboot that cannot be stopped; or runq_record_failed() */
        RUNQ_REBOOT, /* reboot, or be away until somebody does; then runq_exited() when that failed, runq_record_failed() to be asked again later */
        RUNQ_RETIRE, /* remove it, leave a tombstone; then runq_retired() */
};

struct runq_action {
        enum runq_do what;
        struct runq_run *run;
        unsigned step;
        struct event events
                [2]; /* title, boot, times are the caller's to fill in; up_usec by the same clock as now_usec */
        size_t n_events;
};

struct runq;

enum {
        RUNQ_KNOWN = 1,   /* this id was accepted before */
        RUNQ_FULL = 2,    /* as many as may wait do wait */
        RUNQ_BUSY = 3,    /* only if idle, and it is not */
        RUNQ_UNKNOWN = 4, /* no such run */
        RUNQ_ENDED = 5,   /* it is over already */
};

int runq_new(struct runq **ret, const struct runq_limits *limits);
struct runq *runq_free(struct runq *q);
DEFINE_CLEANUP_FREE(struct runq, runq_free)
void runq_set_limits(struct runq *q, const struct runq_limits *limits);

/* May @n (its id, lease and heal) be accepted? 0, RUNQ_KNOWN, RUNQ_FULL or RUNQ_BUSY. Runs that wait for the end of a
 * reservation or quarantine keep no place from one that need not. */
int runq_admits(const struct runq *q, const struct runq_new_run *n, bool if_idle);
/* It is durable; @accepted is the event that says so. Returns 0, RUNQ_KNOWN or -ENOMEM. */
int runq_accepted(struct runq *q, const struct runq_new_run *n, const struct event *accepted,
                  struct runq_run **ret);
/* After a restart: what the events said. Call in order of acceptance. @retire_usec: USEC_NEVER unless delivered. */
int runq_restored(struct runq *q, const struct runq_new_run *n, const struct run_fold *fold,
                  uint64_t retire_usec, struct runq_run **ret);

/* 0, RUNQ_UNKNOWN or RUNQ_ENDED; asked twice is asked once. */
int runq_cancelled(struct runq *q, const char *id, const char *by);
/* @events as handed out, with what the caller filled in. */
void runq_recorded(struct runq *q, struct runq_run *run, const struct event *events, size_t n);
/* Nothing became durable, or nothing could be started, asked to end or removed: it is handed out again later. */
void runq_record_failed(struct runq *q, struct runq_run *run, uint64_t now_usec);
void runq_spawned(struct runq *q, struct runq_run *run, unsigned step);
/* After RUNQ_ADOPT: surely nothing of this step ever ran. It is spawned again. */
void runq_unstarted(struct runq *q, struct runq_run *run, unsigned step);
/* Also when it could not be started. Ignored unless @step is the one at hand. Returns 0 or -ENOMEM (tell it again). */
int runq_exited(struct runq *q, struct runq_run *run, unsigned step, const struct runq_result *r);
/* The owner has all of an ended run. True the first time. */
bool runq_delivered(struct runq *q, struct runq_run *run, uint64_t now_usec);
void runq_retired(struct runq *q, struct runq_run *run);
/* While held, no run starts; those that are on go on. */
void runq_hold(struct runq *q, bool hold);
/* While @token is not 0, only runs that were submitted under it start. */
void runq_reserve(struct runq *q, uint64_t token);
/* In quarantine only those start that heal, and those of the lease in force. */
void runq_quarantine(struct runq *q, bool on);
/* While away none starts. */
void runq_leave(struct runq *q, bool away);
/* While frozen, no step starts either. */
void runq_freeze(struct runq *q, bool freeze);

/* The next thing to do, or RUNQ_NOTHING. */
enum runq_do runq_next(struct runq *q, uint64_t now_usec, struct runq_action *ret);
uint64_t runq_deadline(const struct runq *q);

struct runq_run *runq_find(const struct runq *q, const char *id);
/* Runs that have not ended, in order, then those that have: first and next; NULL at the end. */
struct runq_run *runq_first(const struct runq *q);
struct runq_run *runq_after(const struct runq *q, const struct runq_run *run);
/* Of the runs that are on (they hold a slot) the oldest, and how many. */
struct runq_run *runq_on(const struct runq *q);
unsigned runq_count_on(const struct runq *q);
unsigned runq_count_waiting(const struct runq *q);
/* Is the step at hand a reboot? */
bool runq_at_reboot(const struct runq_run *run);
/* Is it one that somebody else does (expect_return)? */
bool runq_at_leave(const struct runq_run *run);
