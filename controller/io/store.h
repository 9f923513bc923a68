/*
 * The controller's facts in SQLite (WAL, synchronous=FULL): targets, batches, runs, and how far each stream is durable.
 *
 * Bytes are not here: they are in the sink's files, and a row of `streams` says how much of a file counts. What was
 * put is durable when store_commit() returned 0; whoever must answer or acknowledge waits for that.
 * The schema has a version; a store of a later version is refused.
 *
 * Errors: -errno. SQLite's codes are translated here: a full disk is -ENOSPC, a broken file -EUCLEAN.
 */
#pragma once

#include "controller/core/fleet.h"
#include "controller/core/jobs.h"
#include "proto/base/cleanup.h"

struct store;

/* Opens or makes @path. *ret_error (from malloc; may be NULL) is a sentence when it fails. */
int store_open(struct store **ret, const char *path, char **ret_error);
struct store *store_free(struct store *s);
DEFINE_CLEANUP_FREE(struct store, store_free)

/* A random name that stays: two controllers of one account differ by it. */
int store_instance(struct store *s, char ret[static ID_SIZE]);

int store_begin(struct store *s);
int store_commit(struct store *s);
void store_rollback(struct store *s);

int store_put_target(struct store *s, const struct target *t);
int store_load_fleet(struct store *s, struct fleet *f);

/* Returns 0, STORE_EXISTS or -errno. */
int store_put_batch(struct store *s, const char *id, const char *by, uint64_t submitted_usec);

enum {
        STORE_EXISTS = 1,
        STORE_NONE = 2,
        STORE_AMBIGUOUS = 3,
};

int store_put_run(struct store *s, const struct run *r);
int store_put_stream(struct store *s, const char *run, const struct run_stream *st);
/* Every run that is not done, into @j. */
int store_load_jobs(struct store *s, struct jobs *j);
/* One run with its streams, by id. Returns 0, STORE_NONE or -errno. */
int store_load_run(struct store *s, const char *id, struct run **ret);
/* The whole id of a unique prefix. Returns 0, STORE_NONE, STORE_AMBIGUOUS or -errno. */
int store_find_run(struct store *s, const char *prefix, char ret[static ID_MAX + 1]);

struct store_filter {
        uint64_t limit;
        const char *target; /* bare JID; NULL any */
        const char *state;  /* as run_shown_state(); NULL any */
        const char *batch;  /* NULL any */
};

/* Ids, newest first (in the order of submission when a batch is asked for). @each returns non-zero to stop, which is
 * then returned. */
int store_find_runs(struct store *s, const struct store_filter *f,
                    int (*each)(void *userdata, const char *id), void *userdata);
/* Runs of a target that are done, and whose target was not yet told so. */
int store_untold(struct store *s, const char *target, uint64_t limit,
                 int (*each)(void *userdata, const char *id), void *userdata);
int store_put_told(struct store *s, const char *id);
int store_count_runs(struct store *s, uint64_t *ret);
