/*
 * The journal of a run: what happened, one JSON object a line, in the stream "events".
 *
 * The target appends (and syncs) a line before the effect it announces; the controller receives
 * the same bytes. The state of a run, on both sides, is the fold of its events and nothing else.
 *
 *   {"t":1767222000123456,"ev":"accepted","run":"k3…","owner":"ctl@lab","by":"ana","boot":"6f1c…","ttl":28800}
 *   {"t":…,"ev":"started","step":1,"of":2,"title":"memory size=64M","boot":"6f1c…"}
 *   {"t":…,"ev":"stepped","step":1,"verdict":"passed","exit":0,"elapsed":5123456,
 *      "streams":[{"name":"1.out","size":81920,"sha256":"…"}]}
 *      A stream from which bytes were left out has "dropped":123. A step that was ended by a limit of its own has "limit":"time", "silence" or "disk".
 *   {"t":…,"ev":"cancel","by":"ctl@lab"}
 *   {"t":…,"ev":"ended","verdict":"failed","cause":"step 1 exited with 3"}
 *
 * A step that is a reboot, and one that a reboot from outside cut short and that is begun again:
 *
 *   {"t":…,"ev":"started","step":2,"of":3,"title":"reboot","boot":"6f1c…","up":61000000}
 *   {"t":…,"ev":"rebooting","step":2,"boot":"6f1c…","up":61500000}
 *   {"t":…,"ev":"stepped","step":2,"verdict":"passed","boot":"a07d…","elapsed":48000000,"streams":[]}
 *   {"t":…,"ev":"started","step":3,…}
 *   {"t":…,"ev":"stepped","step":3,"verdict":"not-run","cause":"interrupted by a reboot","interrupted":"retry",
 *      "streams":[{"name":"3.out",…}]}
 *   {"t":…,"ev":"started","step":3,"attempt":2,…}
 *   {"t":…,"ev":"stepped","step":3,"attempt":2,"verdict":"passed",…,"streams":[{"name":"3.2.out",…}]}
 *
 * `t` is the target's realtime clock in microseconds: for people, never compared between machines. `up` is its clock
 * since the boot named beside it, and means nothing under another.
 */
#pragma once

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/digest.h"
#include "proto/plan.h"

#include <stdbool.h>
#include <stdint.h>

enum event_kind {
        EVENT_ACCEPTED,
        EVENT_STARTED, /* a step */
        EVENT_STEPPED, /* a step ended */
        EVENT_CANCEL,  /* asked for; the end follows */
        EVENT_ENDED,
        EVENT_REBOOTING, /* the step is a reboot, and is done now */
};

/* A reboot from outside cut the step short, and what follows. */
enum event_interrupt {
        EVENT_WHOLE, /* it did not */
        EVENT_INTERRUPT_FAIL,
        EVENT_INTERRUPT_CONTINUE,
        EVENT_INTERRUPT_RETRY,
};

enum verdict {
        VERDICT_NONE,
        VERDICT_PASSED,
        VERDICT_FAILED,
        VERDICT_NOT_RUN, /* with a cause */
        VERDICT_CANCELLED,
};

const char *verdict_name(enum verdict v); /* "passed" "failed" "not-run" "cancelled", "" for none */
int verdict_parse(const char *name, enum verdict *ret); /* 0 or 1 */
/* What two steps come to: a fault that was found, then that somebody stopped it, then that one was not run. */
enum verdict verdict_worse(enum verdict a, enum verdict b);

const char *event_interrupt_name(enum event_interrupt i); /* "fail" "continue" "retry" */

struct event_stream {
        const char *name;
        uint64_t size;
        uint64_t dropped;   /* bytes of the program that are not in it, for its disk budget */
        const char *sha256; /* hex */
};

struct event {
        enum event_kind kind;
        uint64_t realtime_usec;
        const char *run;                    /* accepted */
        const char *owner;                  /* accepted: bare JID of the controller */
        const char *by;                     /* accepted, cancel: the person, may be NULL */
        const char *boot;                   /* accepted, started, rebooting, stepped */
        uint64_t up_usec;                   /* accepted, started, rebooting; 0: not known */
        uint64_t ttl_usec;                  /* accepted; 0 none */
        unsigned step;                      /* started, rebooting, stepped: from 1 */
        unsigned attempt;                   /* started, stepped: from 1; 0 is 1 */
        unsigned of;                        /* started */
        const char *title;                  /* started */
        enum verdict verdict;               /* stepped, ended */
        const char *cause;                  /* stepped, ended: a sentence, may be NULL */
        const char *limit;                  /* stepped: which one ended it, or NULL */
        int exit_status;                    /* stepped; -1 when there is none */
        int signal;                         /* stepped; 0 when there is none */
        uint64_t elapsed_usec;              /* stepped */
        enum event_interrupt interrupted;   /* stepped */
        const struct event_stream *streams; /* stepped */
        size_t n_streams;
};

/* Appends one line with its newline. */
int event_write(const struct event *e, struct buf *out);
/* @line without newline. Returns 0, JSON_BAD or -ENOMEM. Unknown "ev" values are JSON_BAD. */
int event_read(const char *line, size_t len, struct arena *a, struct event *ret);

enum run_state {
        RUN_UNKNOWN, /* no event yet */
        RUN_QUEUED,
        RUN_RUNNING,
        RUN_ENDED,
};

const char *run_state_name(enum run_state s); /* "queued" "running" "ended" */

/* What a run's events say so far. Plain values: may be copied. */
struct run_fold {
        enum run_state state;
        unsigned step; /* running or last one; 0 before the first */
        unsigned of;
        unsigned attempt; /* of that step, from 1 */
        bool step_open;   /* started, not stepped */
        bool rebooting;   /* the open step is a reboot, and was ordered */
        bool cancel_asked;
        char step_boot[64];       /* boot id under which the open step started */
        uint64_t step_usec;       /* when that step started; realtime of the target */
        uint64_t started_up_usec; /* the open step; clock of that boot, 0: not known */
        uint64_t rebooting_up_usec;
        enum verdict verdict; /* of the run, once ended */
        enum verdict worst;   /* of the steps so far; one that is begun again does not count */
        enum verdict last;    /* of the last step that ended */
        enum event_interrupt interrupted; /* how that one ended */
        unsigned interruptions;           /* in a row, without a step that ended by itself */
        char accepted_boot[64];
        uint64_t accepted_up_usec;
        uint64_t accepted_usec; /* realtime of the target */
        uint64_t started_usec;
        uint64_t ended_usec;
        uint64_t ttl_usec;
        int exit_status; /* of the last step that ended; -1 */
};

void run_fold_event(struct run_fold *f, const struct event *e);
