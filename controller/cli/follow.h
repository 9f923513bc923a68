/*
 * Following runs: their output as it comes, their notes, their ends.
 *
 * What is printed of a stream is exact whatever happens in between: only bytes below the
 * controller's `next` are read, and a controller that is restarted is waited for (30 s) and
 * read on from the same offset. Streams of a run are printed in the order of its steps. Ctrl-C detaches: the runs
 * go on; a second one kills the command.
 */
#pragma once

#include "controller/cli/client.h"
#include "controller/cli/runinfo.h"
#include "controller/cli/status.h"
#include "proto/base/buf.h"

#include <stdbool.h>

struct follow_how {
        bool quiet;         /* no notes */
        bool silent;        /* no output of the runs either */
        bool raw;           /* bytes as they are, on a terminal too */
        bool from_now;      /* output that is there already is passed over */
        bool until_now;     /* end when all that is there has been printed */
        const char *stream; /* this one instead of N.out; NULL */
};

struct follow;

/* Signals are wanted from here on; call it before the runs are submitted. Returns 0 or the exit status. */
int follow_new(struct follow **ret, struct client *c, const struct follow_how *how);
struct follow *follow_free(struct follow *f);
DEFINE_CLEANUP_FREE(struct follow, follow_free)
/* @run is a RUN. Returns 0 or the exit status. */
int follow_add(struct follow *f, const struct json_at *run);
/* Until all have ended. @name is what `rota watch` would be given. Returns 0, STATUS_DETACHED, or what went wrong. */
int follow_run(struct follow *f, const char *name);
/* The worst of the verdicts. */
enum status follow_verdict(const struct follow *f);
/* The table of how they ended, on standard error. */
/* What went wrong otherwise than by a diagnostic: with its cause when there was no table, and what to do. */
void follow_say_errors(const struct follow *f, bool with_causes);
int follow_say_table(const struct follow *f);
/* "[RUN…]" as last heard. */
int follow_print_runs(const struct follow *f, struct buf *out);
