/*
 * Streams: byte ranges of append-only files, from target to controller.
 *
 *   controller                                        target
 *    | <iq set><sync><have run stream next/>…</sync></iq> |  absolute: forget what was under way
 *    |--------------------------------------------------->|
 *    | <message headline><chunk run stream offset …/>…    |
 *    |<---------------------------------------------------|
 *    | (append, fdatasync, commit)                        |
 *    | <message headline><ack run stream next/>…          |
 *    |--------------------------------------------------->|
 *
 * After a sync the target sends every stream of every run that belongs to the controller's account and is not
 * wholly acknowledged, from `next` where the sync has it and from 0 elsewhere. A stream the controller has completely is
 * not offered again by itself, but to an instance that mentions it. A run that is mentioned and not there is
 * <refused/> (ext/run.h). Chunks and acks are headlines: no server stores them (RFC 6121 section 5.2.2);
 * what is lost is sent again by offset. Runs listed with all of their streams complete are <done/>.
 *
 *    | <iq set><follow><have run stream next/>…</follow></iq> |  runs of any account, from these offsets or from 0
 *    |------------------------------------------------------->|
 *    | <following><have run stream next/>…</following>        |  what there is of them now
 *    |<-------------------------------------------------------|  (then chunks, as above, until <done run/> or the next sync)
 *
 * A run of another account that a sync mentions is followed too.
 */
#pragma once

#include "proto/ext.h"

#define NS_ROTA_STREAM "urn:rota:stream:1"
#define STREAM_CHUNK_MAX 49152 /* raw bytes in one chunk */
#define STREAM_FOLLOW_MAX 1024 /* streams in one answer, or question */
#define STREAM_SYNC_MAX 4096   /* streams, and runs, in one sync */

struct stream_chunk {
        const char *run;
        const char *stream;
        uint64_t offset;
        uint64_t size;     /* raw */
        int codec;         /* enum codec_kind: "raw", "zstd" */
        struct bytes data; /* as coded */
};

struct stream_ack {
        const char *run;
        const char *stream;
        uint64_t next;
        bool again; /* there is a gap: send everything from `next` again */
};

struct stream_have {
        const char *run;
        const char *stream;
        uint64_t next;
};

/* The controller has all of this run, to its last event: the target need not offer it again to this account. */
struct stream_done {
        const char *run;
};

struct stream_sync {
        const struct stream_have *have; /* at most 4,096 */
        size_t n_have;
        const struct stream_done *done;
        size_t n_done;
        bool all; /* also runs that this account has had all of before: it lost its store */
};

/* Of <follow/>, and of <following/>, where `next` is how long the stream is. */
struct stream_follow {
        const struct stream_have *have;
        size_t n_have;
};

struct stream_ops {
        int (*chunk)(void *userdata, const struct ext_request *rq, const struct stream_chunk *m);
        int (*ack)(void *userdata, const struct ext_request *rq, const struct stream_ack *m);
        int (*done)(void *userdata, const struct ext_request *rq,
                    const struct stream_done *m); /* message */
        int (*follow)(void *userdata, const struct ext_request *rq, const struct stream_follow *m,
                      struct stream_follow *ret, struct stanza_error *ret_error);
        int (*sync)(void *userdata, const struct ext_request *rq, const struct stream_sync *m,
                    struct stanza_error *ret_error);
};

extern const struct element stream_chunk_element;
extern const struct element stream_ack_element;
extern const struct element stream_done_element;
extern const struct element stream_sync_element;
extern const struct element stream_follow_element;
extern const struct element stream_following_element;
extern const struct ext stream_ext;
