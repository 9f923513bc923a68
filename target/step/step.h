/*
 * The contract between rota-target and rota-step: files in a run directory.
 *
 * A run is a directory runs/ID of the target's state directory:
 *
 *   plan.json     the plan as it was submitted
 *   run.json      owner, by, ttl, if-idle: what the submission said beside the plan
 *   events        the journal (proto/events.h), written by the daemon
 *   2.spec        what step 2 is to do, written by the daemon before it starts rota-step (JSON, below)
 *   2.out         everything the step printed, appended by rota-step and nobody else
 *   2.lock        rota-step holds a POSIX write lock (fcntl F_SETLK) on it while it lives; F_GETLK tells its pid
 *   2.tail        the last part of an output beyond its budget, while the step is on (target/step/record.h)
 *   2.held        there while rota-step lets the program wait because N.out is as long as its budget
 *   2.room        written by the daemon: a new budget in bytes, in place of the spec's, when it is higher
 *   2.kill        created by the daemon to ask for the end (content: "cancelled"); rota-step watches for it with dnotify
 *   2.exit        the exit record, one JSON object, written to 2.exit.tmp, fsync, renamed, directory fsync'ed
 *
 * A step that is begun again has files of its own for each attempt: 2.2.spec, 2.2.out, … for the second.
 *
 *   rota-step RUNDIR STEP        (argv, STEP is "2" or "2.2"; everything else is in the spec)
 *
 * 2.spec: {"argv":["memtester","64M","1"],"env":{"ROTA_RUN":"…","ROTA_STEP":"2",…},"cwd":"…",
 *          "timeout":7200000000,"silence":0,"pty":true,"boot":"6f1c…","grace":5000000,
 *          "cancel_grace":1000000,"budget":10737418240,"over":"block","hold":3600000000}   (times in microseconds)
 * 2.exit: {"exit":0}  or  {"signal":9}, with
 *         "cause": absent | "timeout" | "silence" | "cancelled" | "missing" (program not found) | "exec" | "disk" (the
 *         output could not be written) | "budget" | "internal" | "terminated" (rota-step got SIGTERM, as everything does when the
 *         machine goes down) | "interrupted" (by a reboot; the daemon wrote the record for a rota-step that is gone);
 *         "text": a sentence for people when there is a cause;
 *         "elapsed": microseconds; "size": bytes of N.out; "sha256": hex of N.out, fsync'ed before;
 *         "dropped": bytes that the program printed and that are not in N.out, when there are any
 *
 * `budget` is how long N.out may become, 0: as long as it likes. What comes beyond, by `over`:
 *   "block"      is not read: the program waits in its write, until the daemon makes room (N.room) or something ends the
 *                step: a cancel, its time limit, `hold` of waiting (0: no end). Then the rest is read, counted, dropped.
 *                Its silence does not count while it waits.
 *   "head+tail"  goes to a ring of half the budget, at most 64 MiB, and its last part follows when the step has
 *                ended, behind lines that say so. The budget is that of head and tail together.
 *
 * rota-step ends a step by SIGTERM to the whole process group (session), after `grace` by SIGKILL to everything it can
 * find: it is a child subreaper, so descendants that double-forked are its children in the end. A wish (N.kill) waits
 * `cancel_grace` instead, also when a limit was reached before: somebody waits. It is done when
 * the main program has exited and no descendant is left (those left over are killed after 1 s), and the output is
 * drained. The child gets SIGKILL by PR_SET_PDEATHSIG should rota-step itself be killed.
 */
#pragma once

#include "proto/base/arena.h"
#include "proto/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct step_spec {
        const char *const *argv; /* ends with NULL */
        const char *const *
                env; /* "NAME=value", ends with NULL; beside a minimal PATH, HOME, LANG, TERM=dumb */
        const char *cwd;            /* NULL: the run directory */
        uint64_t timeout_usec;      /* 0: none */
        uint64_t silence_usec;      /* 0: none */
        uint64_t grace_usec;        /* between SIGTERM and SIGKILL */
        uint64_t cancel_grace_usec; /* the same, for one who cancels and waits */
        uint64_t budget;            /* bytes of N.out; 0: none */
        uint64_t hold_usec;         /* how long it may wait for room; 0: for ever */
        bool head_tail;             /* beyond its budget; else it waits */
        bool pty;
        const char *boot;
};

struct step_exit {
        int exit_status;   /* -1 when none */
        int signal;        /* 0 when none */
        const char *cause; /* NULL when the program ended by itself */
        const char *text;
        uint64_t elapsed_usec;
        uint64_t size;
        uint64_t dropped;
        const char *sha256;
};

#define STEP_NAME_SIZE 32

/* "2", "2.2": what rota-step is told. @attempt from 1. */
const char *step_name(unsigned step, unsigned attempt, char ret[static STEP_NAME_SIZE]);
/* "2.out", "2.2.out" */
const char *step_file(unsigned step, unsigned attempt, const char *suffix,
                      char ret[static STEP_NAME_SIZE]);

int step_spec_write(const struct step_spec *s, struct buf *out);
/* Return 0, 1 when malformed, -errno. Strings in @a. */
int step_spec_read(const char *path, struct arena *a, struct step_spec *ret);
int step_exit_write(const struct step_exit *e, struct buf *out);
int step_exit_read(const char *path, struct arena *a, struct step_exit *ret);
