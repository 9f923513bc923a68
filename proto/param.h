/*
 * A typed parameter of a diagnostic: how the catalogue declares it, and whether a value fits.
 *
 * What people write ("64M", "1h30m") becomes what programs read (bytes, seconds). A value that is
 * empty means "not given" and is accepted only where the default is empty. A string never begins
 * with a dash unless its pattern allows that: it must not become an option of the program.
 */
#pragma once

#include "proto/base/arena.h"
#include "proto/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum param_type {
        PARAM_INT,
        PARAM_BYTES,
        PARAM_DURATION,
        PARAM_STRING,
        PARAM_ENUM,
        PARAM_BOOL,
};

struct param {
        const char *name;
        const char *help;     /* may be NULL */
        const char *fallback; /* the default as it was written; NULL: required */
        enum param_type type;
        const char *min, *max; /* as they were written, or NULL */
        int64_t min_value, max_value;
        const char *pattern;       /* PARAM_STRING, may be NULL */
        const char *const *values; /* PARAM_ENUM, ends with NULL */
};

enum {
        PARAM_REFUSED = 1, /* ret_why: "must be …, not …" */
};

/* "int", "bytes", … */
const char *param_type_name(enum param_type type);
/* @at is the declaration, its key the name. Returns 0, JSON_BAD or -ENOMEM; strings in @a. */
int param_read(const struct json_at *at, struct arena *a, struct param *ret);
/* What replaces the parameter in an argument. Returns 0, PARAM_REFUSED or -ENOMEM. */
int param_value(const struct param *p, const char *text, struct arena *a, const char **ret_value,
                const char **ret_why);
/* What a value looks like, for people: "a number of bytes such as 64M". NULL when out of memory. */
const char *param_describe(const struct param *p, struct arena *a);
/* @text in quotes, short and without control characters, for an error's sentence. */
const char *param_quote(const char *text, struct arena *a);
