/*
 * The record of what a step printed: N.out, appended and hashed as it grows.
 *
 * Nothing is held back: what record_pull() read is in the file when it returns, unless the disk is
 * full; then the rest waits here, nothing more is read, and record_push() tries again. Bytes that
 * were there before (an earlier attempt of the same step) count: size and hash are the file's.
 *
 * It does not decide how long to wait for a full disk.
 */
#pragma once

#include "proto/base/cleanup.h"
#include "proto/digest.h"

#include <stddef.h>
#include <stdint.h>

enum {
        RECORD_DRY = 1,  /* nothing to read at the moment */
        RECORD_FULL = 2, /* no space: bytes wait for record_push() */
};

#define RECORD_CHUNK 65536

struct record {
        int fd;
        struct sha256 *sha;
        uint64_t size;
        size_t at, end; /* what waits in the buffer */
        uint8_t *buffer;
};

/* Return 0, an outcome above, or -errno of the file. */
int record_open(struct record *r, const char *path);
/* Reads what @from (non-blocking) has, up to RECORD_CHUNK. Must not be called while bytes wait. */
int record_pull(struct record *r, int from);
int record_push(struct record *r);
/* fsync; the hash of all of the file. */
int record_finish(struct record *r, char ret_hex[static SHA256_HEX_SIZE]);
void record_done(struct record *r);
DEFINE_CLEANUP_DONE(struct record, record_done)
