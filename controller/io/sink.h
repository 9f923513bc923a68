/*
 * The sink: received streams as plain files, STATE_DIR/runs/RUN/NAME.
 *
 * A file may be longer than what counts: the store's row says how far it is durable, and sink_cut() brings it
 * back to that. Bytes are appended by sink_write() and made durable by sink_sync(), which syncs every file that was
 * written since. After a failed sync the kernel may have dropped pages it calls clean: the caller cuts to
 * the row and asks the sender again; it never retries the sync.
 *
 * At most SINK_OPEN_MAX files are open. SHA-256 is computed as bytes pass, and from the file where they did not.
 */
#pragma once

#include "proto/base/cleanup.h"
#include "proto/digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SINK_OPEN_MAX 128

struct sink;

/* @dir exists. */
int sink_new(struct sink **ret, const char *dir);
struct sink *sink_free(struct sink *s);
DEFINE_CLEANUP_FREE(struct sink, sink_free)

/* Appends at @offset, where the file ends. -errno: nothing of it counts. SINK_FULL: as many files as may be open wait
 * for sink_sync(); nothing was written. */
int sink_write(struct sink *s, const char *run, const char *name, uint64_t offset, const void *data,
               size_t size);
/* Syncs what was written. @synced is called for each file with 0, or -errno for one that failed; it must not call the
 * sink. */
void sink_sync(struct sink *s,
               void (*synced)(void *userdata, const char *run, const char *name, int error),
               void *userdata);
/* Makes the file @next bytes long. Returns 0, SINK_SHORT or -errno. */
int sink_cut(struct sink *s, const char *run, const char *name, uint64_t next, uint64_t *ret_size);

enum {
        SINK_SHORT = 1, /* the file has only *ret_size bytes */
        SINK_MORE = 2,  /* sink_hash(): not finished */
        SINK_FULL = 3,
};

/* The SHA-256 of the first @size bytes, reading at most @budget of them now. Returns 0, SINK_MORE, -errno. */
int sink_hash(struct sink *s, const char *run, const char *name, uint64_t size, size_t budget,
              char ret[static SHA256_HEX_SIZE]);
/* Up to @size bytes from @offset. Returns how many, or -errno. */
ssize_t sink_read(struct sink *s, const char *run, const char *name, uint64_t offset, void *data,
                  size_t size);
/* A new descriptor, read only. -errno. */
int sink_open(struct sink *s, const char *run, const char *name);
/* Closes the files of a run. */
void sink_forget(struct sink *s, const char *run);
/* What is free for us on this file system. */
int sink_free_bytes(struct sink *s, uint64_t *ret);
