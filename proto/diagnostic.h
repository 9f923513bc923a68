/*
 * One diagnostic of the catalogue: its declaration, and the command line it becomes.
 *
 * The format is told in proto/catalogue.h, which is what others include.
 */
#pragma once

#include "proto/catalogue.h"
#include "proto/param.h"

struct diagnostic {
        struct catalogue_entry entry;
        const struct param *params; /* as many as the entry's */
        const char *const *argv;    /* templates, ends with NULL */
        const char *libexec;        /* absolute */
};

/* @name is the file's name without .json; d->libexec is set already. Returns 0, JSON_BAD or -ENOMEM. */
int diagnostic_read(const struct json_at *at, struct arena *a, const char *name,
                    struct diagnostic *d);
/* As catalogue_expand(). */
int diagnostic_expand(const struct diagnostic *d, const struct plan_step *step, struct arena *a,
                      const char *const **ret_argv, const char **ret_why);
