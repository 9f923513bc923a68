/*
 * A plan: the ordered steps of a run. It travels whole, so that a target can finish it alone.
 *
 *   { "name": "memory",
 *     "steps": [ { "diag": "memory", "params": { "size": "64M", "passes": 1 }, "timeout": "2h" },
 *                { "reboot": true },
 *                { "exec": ["head", "-c", "1", "/dev/urandom"], "pty": false, "silence": "10m",
 *                  "on_interrupt": { "retry": 3 } },
 *                { "reboot": { "mode": "force", "within": "5m" } },
 *                { "expect_return": "3d" } ] }
 *
 * "disk_budget": "1G" bounds what the steps print, all of them together, on the target's disk; beyond it
 * "over_budget" is "block" (the program waits until there is room or something ends it) or "head+tail" (the first
 * part and the last are kept). The target has a bound of its own; the smaller one counts.
 *
 * Every step has exactly one of `diag`, `exec`, `reboot`, `expect_return`. All strings are limited; unknown keys are errors.
 *
 * A reboot passes when the machine is back under another boot id. `graceful` waits until no step of another run is
 * on, `force` interrupts those. `within` bounds all of it as long as the machine stays up: the
 * wait for the others, the order, and going down. `on_interrupt` says what follows when a reboot that was not this
 * run's own ends a step: `fail` ends the run, `continue` goes on with the next step, `retry` begins the step
 * again, at most so many times.
 *
 * `expect_return` is for what no program can do from within: its own firmware's diagnostics, another system, a hand
 * at the plug. The machine says that it is away, somebody makes it leave, and the step passes when it is back under
 * another boot id; its time counts as long as the machine stays up, and is what it promises for the rest.
 *
 * Pure: shape only. Whether a diagnostic exists and its parameters fit is the catalogue's to say.
 */
#pragma once

#include "proto/base/arena.h"
#include "proto/json.h"

#define PLAN_STEPS_MAX 256
#define PLAN_ARGV_MAX 256
#define PLAN_PARAMS_MAX 64
#define PLAN_TEXT_MAX 65536 /* bytes of JSON */
#define PLAN_RETRIES_MAX 5
#define PLAN_BUDGET_MIN 4096
#define PLAN_WITHIN_USEC (UINT64_C(600) * 1000000) /* of a reboot, unless it says otherwise */

enum plan_step_kind {
        PLAN_DIAG,
        PLAN_EXEC,
        PLAN_REBOOT,
        PLAN_RETURN, /* expect_return */
};

/* What follows when a reboot from outside ends the step. */
enum plan_interrupt {
        PLAN_INTERRUPT_FAIL,
        PLAN_INTERRUPT_CONTINUE,
        PLAN_INTERRUPT_RETRY,
};

struct plan_param {
        const char *name;
        const char *value; /* numbers and booleans as they were written */
};

struct plan_step {
        enum plan_step_kind kind;
        const char *diag;                /* PLAN_DIAG */
        const struct plan_param *params; /* PLAN_DIAG */
        size_t n_params;
        const char *const *argv; /* PLAN_EXEC, ends with NULL */
        size_t n_argv;
        uint64_t timeout_usec; /* 0: the diagnostic's, or none */
        uint64_t
                silence_usec; /* no output for so long ends the step; 0: the diagnostic's, or none */
        int pty;              /* 1, 0, or -1: the diagnostic's, or 1 */
        bool pty_given;
        enum plan_interrupt on_interrupt;
        unsigned retries;     /* PLAN_INTERRUPT_RETRY: 1 to PLAN_RETRIES_MAX */
        bool force;           /* PLAN_REBOOT */
        uint64_t within_usec; /* PLAN_REBOOT, PLAN_RETURN; never 0 */
};

struct plan {
        const char *name; /* never NULL: the first step's when not given */
        const struct plan_step *steps;
        size_t n_steps;
        uint64_t disk_budget; /* bytes; 0: the target's */
        bool head_tail;       /* beyond it; else the step waits */
};

/* Everything lives in @a. Returns 0, JSON_BAD (json_error() of the document) or -ENOMEM. */
int plan_read(const struct json_at *at, struct arena *a, struct plan *ret);
int plan_write(const struct plan *p, struct buf *out);
/* The step in a few words: "memory size=64M", "head -c 1 /dev/urandom", "reboot". */
int plan_step_title(const struct plan_step *s, struct buf *out);
