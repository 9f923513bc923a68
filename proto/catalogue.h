/*
 * The catalogue: named diagnostics with typed parameters, read from JSON files (one diagnostic a file, named
 * NAME.json, comments allowed) of several directories; a later directory overrides an earlier one.
 *
 *   { "name": "memory", "title": "RAM test with memtester",
 *     "params": { "size":   { "type": "bytes", "default": "64M", "min": "1M", "help": "how much to test" },
 *                 "passes": { "type": "int", "default": 1, "min": 1, "max": 1000 } },
 *     "argv": ["memtester", "{size}B", "{passes}"],
 *     "needs": [ { "program": "memtester", "package": "memtester" } ],
 *     "exit": { "passed": [0], "not_run": [1] },      // every other exit status is failed
 *     "timeout": "24h", "silence": "1h", "grace": "10s", "pty": true }
 *
 * There is no shell: an argument is a template in which {name} is replaced by the parameter; an
 * argument that is exactly "{name?}" is left out when the parameter is empty. Types: int, bytes, duration, string (with
 * "pattern": an extended regular expression that must match as a whole), enum ("values"), bool. A bytes
 * parameter is substituted as a number of bytes, a duration as a number of seconds ("90", "0.25"). A parameter with the default "" may
 * be left out. {libexec} is the absolute path of the folder `libexec` beside the file, for diagnostics
 * that need a script; such a script exits with 77 for "cannot run here". {{ is a brace.
 *
 * "grace" is what the program gets between SIGTERM and SIGKILL, at most a minute; without it 5 s at a limit and
 * 1 s when it is cancelled. A diagnostic that must put something back in order (a disk, a firmware) asks for more.
 */
#pragma once

#include "proto/plan.h"

struct catalogue;

/* @dirs ends with NULL; a directory that does not exist is skipped. Returns 0, JSON_BAD (ret_error, from malloc, has
 * file:line:column) or -errno. */
int catalogue_load(struct catalogue **ret, const char *const *dirs, char **ret_error);
struct catalogue *catalogue_free(struct catalogue *c);
DEFINE_CLEANUP_FREE(struct catalogue, catalogue_free)

struct catalogue_param {
        const char *name;
        const char *type;
        const char *fallback; /* default, as written; NULL: required */
        const char *help;
};

struct catalogue_need {
        const char *program;
        const char *package;
};

struct catalogue_entry {
        const char *name;
        const char *title;
        const char *help; /* may be NULL */
        const struct catalogue_param *params;
        size_t n_params;
        const struct catalogue_need *needs;
        size_t n_needs;
        const int *passed; /* exit statuses */
        size_t n_passed;
        const int *not_run;
        size_t n_not_run;
        uint64_t timeout_usec;
        uint64_t silence_usec;
        uint64_t grace_usec; /* 0: not said */
        bool pty;
};

size_t catalogue_count(const struct catalogue *c);
const struct catalogue_entry *catalogue_at(const struct catalogue *c,
                                           size_t i); /* sorted by name */
/* NULL when there is none. */
const struct catalogue_entry *catalogue_find(const struct catalogue *c, const char *name);
/* The nearest name to a mistyped one, or NULL. */
const char *catalogue_nearest(const struct catalogue *c, const char *name);

enum {
        CATALOGUE_REFUSED =
                1, /* unknown diagnostic or parameter, wrong type, out of range: ret_why */
};

/* The argv of a step of kind PLAN_DIAG, in @a, ended by NULL. Also checks. ret_why is a sentence that says what is
 * wrong and what would be right. Returns 0, CATALOGUE_REFUSED or -ENOMEM. */
int catalogue_expand(const struct catalogue *c, const struct plan_step *step, struct arena *a,
                     const char *const **ret_argv, const char **ret_why);
