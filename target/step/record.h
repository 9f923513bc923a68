/*
 * The record of what a step printed: N.out, appended and hashed as it grows.
 *
 * What record_pull() read is in the file when it returns, unless the disk is full; then the rest waits here,
 * nothing more is read, and record_push() tries again. Bytes that were there before (an earlier attempt of
 * the same step) count: size and hash are the file's.
 *
 * The file may be bounded. Then either nothing is read beyond the bound (RECORD_HELD), or what comes
 * beyond goes to N.tail, of which the last part is appended by record_settle(). Both lines that mark the hole are
 * part of the file, its size and its hash:
 *
 *   head ... [rota: the output goes on beyond its disk budget; at most its last 65536 bytes follow at its end]
 *   [rota: 123456 bytes are left out here]
 *   tail ...
 *
 * It does not decide how long to wait for a full disk or for room.
 */
#pragma once

#include "proto/base/cleanup.h"
#include "proto/digest.h"
#include "target/step/tail.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        RECORD_DRY = 1,  /* nothing to read at the moment */
        RECORD_FULL = 2, /* no space: bytes wait for record_push() */
        RECORD_HELD = 3, /* there is something to read and no room for it */
};

#define RECORD_CHUNK 65536
#define RECORD_MARK_MAX 160
#define RECORD_TAIL_MAX (UINT64_C(64) << 20)

struct record {
        int fd;
        struct sha256 *sha;
        uint64_t size;
        uint64_t room;      /* the file may grow to this size by reading; UINT64_MAX */
        uint64_t tail_room; /* 0: there is no tail */
        uint64_t dropped;   /* bytes of the program that are in no file */
        const char *tail_path;
        struct tail tail;
        bool tailing;  /* what is read goes to the tail */
        bool settling; /* and comes back from there */
        char last;     /* byte of the file */
        char mark[RECORD_MARK_MAX];
        size_t mark_at, mark_end; /* what waits of a mark, before what waits in the buffer */
        size_t at, end;           /* what waits in the buffer */
        uint8_t *buffer;
};

/* Return 0, an outcome above, or -errno of the file. */
int record_open(struct record *r, const char *path);
/* The program's part of the file may take @bytes; 0: as many as it likes. @tail_path: of these the last part, at most
 * RECORD_TAIL_MAX, is for the end of the output; NULL: there is none. */
void record_bound(struct record *r, uint64_t bytes, const char *tail_path);
/* Reads what @from (non-blocking) has, up to RECORD_CHUNK. Must not be called while bytes wait. */
int record_pull(struct record *r, int from);
int record_push(struct record *r);
/* Reads and drops. RECORD_DRY, or 0. */
int record_drop(struct record *r, int from);
/* Nothing more will come: the tail goes to its place. */
int record_settle(struct record *r);
/* fsync; the hash of all of the file. */
int record_finish(struct record *r, char ret_hex[static SHA256_HEX_SIZE]);
void record_done(struct record *r);
DEFINE_CLEANUP_DONE(struct record, record_done)
