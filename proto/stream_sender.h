/*
 * Stream sender: which bytes of growing files one peer does not have yet.
 *
 * Offsets are the only numbers. The peer confirms cumulatively: an ack of n means "0..n-1 are durable
 * with me". Opening a stream again (a new connection) rewinds it to what the peer then says it has, so the
 * peer may see bytes twice, never not at all; stream_receiver drops the doubles. A window in bytes and chunks
 * bounds what is under way to the peer; streams take turns. Trickling output is coalesced: less than a whole
 * chunk waits until `coalesce` after its first byte came, unless nothing is under way.
 *
 * Pure: no clock, no socket, no disk. Times are monotonic and never go back.
 */
#pragma once

#include "proto/base/cleanup.h"
#include "proto/base/id.h"

#include <stdbool.h>
#include <stdint.h>

#define STREAM_NAME_MAX 64

struct sender_limits {
        uint64_t window_bytes;  /* default 4 MiB */
        unsigned window_chunks; /* default 200, far below the 500 at which servers drop */
        uint32_t chunk_max;     /* default 32 KiB */
        uint64_t coalesce_usec; /* default 1 ms */
        uint64_t
                stall_usec; /* no progress for so long: rewind to the ack; default 20 s. Until something is
                                   heard of the peer, one chunk at a time asks whether it is still there */
};

struct sender_chunk {
        const char *run;
        const char *stream;
        uint64_t offset;
        uint32_t size;
};

/* What chunks weigh on the wire, since the beginning: see sender_weighed(). */
struct sender_weight {
        uint64_t sent;
        uint64_t landed; /* acknowledged */
        uint64_t
                lost; /* nobody will acknowledge it as what it was: rewound, or its stream was closed */
};

struct sender;

/* @limits members that are 0 take the default. */
int sender_new(struct sender **ret, const struct sender_limits *limits);
struct sender *sender_free(struct sender *s);
DEFINE_CLEANUP_FREE(struct sender, sender_free)

enum {
        SENDER_BAD_ACK = 1, /* peer confirmed what was never written: nothing changed */
        SENDER_CHUNK = 2,   /* sender_next(): one to send */
};

/* The peer has 0..next-1 of this stream, whose file has @size bytes now. What was under way of it is
 * forgotten. Returns 0, SENDER_BAD_ACK (next > size), -ENOMEM. */
int sender_open(struct sender *s, const char *run, const char *stream, uint64_t next,
                uint64_t size);
/* The file grew (never shrinks). Unknown streams are ignored, here and below. */
void sender_grew(struct sender *s, const char *run, const char *stream, uint64_t size,
                 uint64_t now_usec);
/* Returns 0 or SENDER_BAD_ACK. An ack below an earlier one is ignored; one above what was sent is not:
 * the peer may have it from an earlier connection. */
int sender_acked(struct sender *s, const char *run, const char *stream, uint64_t next,
                 uint64_t now_usec);
/* The peer saw a gap and asks for everything from @next. As sender_acked(), then rewinds. Every chunk behind
 * a gap may ask: the same @next again within a quarter of `stall` is the same gap and rewinds once. */
int sender_rewind(struct sender *s, const char *run, const char *stream, uint64_t next,
                  uint64_t now_usec);
void sender_close(struct sender *s, const char *run, const char *stream);
void sender_close_run(struct sender *s, const char *run);

/* The next chunk, which counts as sent; its names are borrowed until that stream is closed. Returns
 * SENDER_CHUNK or 0 (nothing to send now). */
int sender_next(struct sender *s, uint64_t now_usec, struct sender_chunk *ret);
/* The chunk just handed out went out: it weighed so much, and @went may be shorter than it was. */
void sender_weighed(struct sender *s, const struct sender_chunk *went, uint64_t weight,
                    uint64_t now_usec);
const struct sender_weight *sender_weight(const struct sender *s);
/* No chunk while any is under way (@hold), and none of more than @chunk_max bytes (at most that of the limits). */
void sender_hold(struct sender *s, bool hold, uint32_t chunk_max);
/* The chunk just handed out could not be read. It counts as under way: the stream has its turn again when that
 * stalls, or when it grows. */
void sender_unreadable(struct sender *s, const char *run, const char *stream);
/* When to call sender_next() again though nothing happens; USEC_NEVER. @now_usec: it has something now (whoever
 * stopped asking because the link is full waits for the link instead of this). */
uint64_t sender_deadline(const struct sender *s, uint64_t now_usec);
/* Everything of this stream is acknowledged. True for unknown ones. */
bool sender_drained(const struct sender *s, const char *run, const char *stream);
/* The peer let a stream stall, and has said nothing since. */
bool sender_stalled(const struct sender *s);
