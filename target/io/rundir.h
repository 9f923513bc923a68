/*
 * The state directory: one directory a run, and what became of those that are gone.
 *
 *   STATE/lock              held by the one daemon that works here
 *   STATE/runs/ID/          target/step/step.h says what is in it; beside that `delivered` (the owner has all of
 *                           it) and work/, the working directory of the steps
 *   STATE/tombstones/ID     the run was here and is gone
 *
 * A run comes into being by one rename of a directory that is wholly synced, and ends by another: a cut at any point
 * leaves it there or not there. `events` is written at the offset where its durable part ends, so that a failed
 * write never leaves anything behind; a torn last line is cut when it is read the first time.
 */
#pragma once

#include "proto/base/buf.h"
#include "proto/base/cleanup.h"
#include "proto/events.h"
#include "proto/plan.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct rundir;

enum {
        RUNDIR_LOCKED = 1, /* another daemon works here */
};

/* Creates what is missing, removes what was half done. Returns 0, RUNDIR_LOCKED or -errno. */
int rundir_open(struct rundir **ret, const char *path);
struct rundir *rundir_free(struct rundir *d);
DEFINE_CLEANUP_FREE(struct rundir, rundir_free)

const char *rundir_path(const struct rundir *d);
/* runs/ID, absolute. */
int rundir_run_path(const struct rundir *d, const char *run, struct buf *out);
int rundir_free_bytes(const struct rundir *d, uint64_t *ret);

/* What a submission said beside the plan. */
struct rundir_run {
        const char *id;
        const char *owner;
        const char *by; /* may be NULL */
        const char *name;
        uint64_t seq;   /* order of acceptance */
        uint64_t lease; /* the token under which it was submitted; 0: none */
        bool heal;      /* starts in quarantine too */
        uint64_t n_steps;
};

/* Durable when it returns 0. @accepted is the first line of events. Returns 0, -EEXIST or -errno. */
int rundir_accept(struct rundir *d, const struct rundir_run *run, const char *plan,
                  const struct buf *accepted);

struct rundir_found {
        struct rundir_run run;
        struct run_fold fold;
        const char *last_cause; /* of the last step that counts against the run, may be NULL */
        unsigned last_cause_step;
        uint64_t events_size;
        uint64_t delivered_usec; /* realtime; 0: not delivered */
};

typedef int rundir_each(void *userdata, const struct rundir_found *found);
/* Every run, in order of acceptance. A directory that makes no sense is reported by @bad and left alone; what cannot be
 * read now, or a journal that cannot be made durable, is an error of all: -errno. */
int rundir_scan(struct rundir *d, rundir_each *each,
                void (*bad)(void *userdata, const char *run, const char *why), void *userdata);

/* Writes at @offset and syncs. 0 or -errno; then nothing of it counts. */
int rundir_append(struct rundir *d, const char *run, uint64_t offset, const struct buf *lines);
/* Creates or replaces a small file, not synced. */
int rundir_write(struct rundir *d, const char *run, const char *name, const struct buf *content);
/* A file of a run and its name. */
int rundir_sync(struct rundir *d, const char *run, const char *name);
/* Asks the kernel to begin writing the file back, without waiting. */
void rundir_write_back(struct rundir *d, const char *run, const char *name);
/* Takes the zeros off the end of a file: after a power cut they stand for what never reached the disk. Returns 0 or
 * -errno; a file that is not there has none. */
int rundir_trim(struct rundir *d, const char *run, const char *name);
/* 1 when it exists, 0 when not, -errno. @ret_size may be NULL. */
int rundir_has(struct rundir *d, const char *run, const char *name, uint64_t *ret_size);
/* Bytes read, fewer at the end of the file; -errno. The file stays open for the next call. */
ssize_t rundir_read(struct rundir *d, const char *run, const char *name, uint64_t offset,
                    void *data, size_t size);
/* Takes the write lock on a file, which is created, until @ret_fd is closed. No other function may be called for that
 * file meanwhile. Returns 0, RUNDIR_LOCKED or -errno. */
int rundir_lock(struct rundir *d, const char *run, const char *name, int *ret_fd);
/* A new descriptor for reading. */
int rundir_stream(struct rundir *d, const char *run, const char *name, int *ret_fd);
/* Closes what rundir_read() keeps open. */
void rundir_rest(struct rundir *d);

/* The plan of a run: @ret_doc owns the texts. Returns 0, JSON_BAD or -errno. */
int rundir_plan(struct rundir *d, const char *run, struct arena *a, struct json_doc **ret_doc,
                struct plan *ret);

/* Not synced: were it lost, the owner would say it again. */
int rundir_delivered(struct rundir *d, const char *run);
/* Tombstone first, durable; then the directory goes. */
int rundir_retire(struct rundir *d, const char *run);
bool rundir_retired(struct rundir *d, const char *run);
