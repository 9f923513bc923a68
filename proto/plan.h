/*
 * A plan: the ordered steps of a run. It travels whole, so that a target can finish it alone.
 *
 *   { "name": "memory",
 *     "steps": [ { "diag": "memory", "params": { "size": "64M", "passes": 1 }, "timeout": "2h" },
 *                { "exec": ["head", "-c", "1", "/dev/urandom"], "pty": false, "silence": "10m" } ] }
 *
 * Every step has exactly one of `diag`, `exec`. All strings are limited; unknown keys are errors.
 * Pure: shape only. Whether a diagnostic exists and its parameters fit is the catalogue's to say.
 */
#pragma once

#include "proto/base/arena.h"
#include "proto/json.h"

#define PLAN_STEPS_MAX 256
#define PLAN_ARGV_MAX 256
#define PLAN_PARAMS_MAX 64
#define PLAN_TEXT_MAX 65536 /* bytes of JSON */

enum plan_step_kind {
        PLAN_DIAG,
        PLAN_EXEC,
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
};

struct plan {
        const char *name; /* never NULL: the first step's when not given */
        const struct plan_step *steps;
        size_t n_steps;
};

/* Everything lives in @a. Returns 0, JSON_BAD (json_error() of the document) or -ENOMEM. */
int plan_read(const struct json_at *at, struct arena *a, struct plan *ret);
int plan_write(const struct plan *p, struct buf *out);
/* The step in a few words: "memory size=64M", "head -c 1 /dev/urandom". */
int plan_step_title(const struct plan_step *s, struct buf *out);
