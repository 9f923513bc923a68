#include "ext/stream.h"

#include "proto/base/id.h"
#include "proto/codec.h"
#include "proto/stream_sender.h"

/* An end (offset and size) always fits into the off_t of both sides. */
#define OFFSET_MAX ((uint64_t)INT64_MAX - STREAM_CHUNK_MAX)

static const char *const codec_names[] = {
        [CODEC_RAW] = "raw",
        [CODEC_ZSTD] = "zstd",
        NULL,
};

static const struct field chunk_fields[] = {
        F_STR(struct stream_chunk, run, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_STR(struct stream_chunk, stream, .flags = FIELD_REQUIRED | FIELD_IS_ID,
              .max = STREAM_NAME_MAX),
        F_U64(struct stream_chunk, offset, .flags = FIELD_REQUIRED, .max = OFFSET_MAX),
        F_U64(struct stream_chunk, size, .flags = FIELD_REQUIRED, .max = STREAM_CHUNK_MAX),
        F_ENUM(struct stream_chunk, codec, codec_names, .flags = FIELD_REQUIRED),
        F_BYTES(struct stream_chunk, data, .flags = FIELD_REQUIRED, .max = STREAM_CHUNK_MAX),
        F_END,
};

const struct element stream_chunk_element = {
        .name = "chunk",
        .ns = NS_ROTA_STREAM,
        .size = sizeof(struct stream_chunk),
        .fields = chunk_fields,
};

static const struct field ack_fields[] = {
        F_STR(struct stream_ack, run, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_STR(struct stream_ack, stream, .flags = FIELD_REQUIRED | FIELD_IS_ID,
              .max = STREAM_NAME_MAX),
        F_U64(struct stream_ack, next, .flags = FIELD_REQUIRED, .max = INT64_MAX),
        F_BOOL(struct stream_ack, again),
        F_END,
};

const struct element stream_ack_element = {
        .name = "ack",
        .ns = NS_ROTA_STREAM,
        .size = sizeof(struct stream_ack),
        .fields = ack_fields,
};

static const struct field have_fields[] = {
        F_STR(struct stream_have, run, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_STR(struct stream_have, stream, .flags = FIELD_REQUIRED | FIELD_IS_ID,
              .max = STREAM_NAME_MAX),
        F_U64(struct stream_have, next, .flags = FIELD_REQUIRED, .max = INT64_MAX),
        F_END,
};

static const struct element have_element = {
        .name = "have",
        .ns = NS_ROTA_STREAM,
        .size = sizeof(struct stream_have),
        .fields = have_fields,
};

static const struct field done_fields[] = {
        F_STR(struct stream_done, run, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_END,
};

const struct element stream_done_element = {
        .name = "done",
        .ns = NS_ROTA_STREAM,
        .size = sizeof(struct stream_done),
        .fields = done_fields,
};

static const struct field sync_fields[] = {
        F_BOOL(struct stream_sync, all),
        F_LIST(struct stream_sync, have, stream_have, &have_element, .max = STREAM_SYNC_MAX),
        F_LIST(struct stream_sync, done, stream_done, &stream_done_element, .max = STREAM_SYNC_MAX),
        F_END,
};

const struct element stream_sync_element = {
        .name = "sync",
        .ns = NS_ROTA_STREAM,
        .size = sizeof(struct stream_sync),
        .fields = sync_fields,
};

static const struct field follow_fields[] = {
        F_LIST(struct stream_follow, have, stream_have, &have_element, .max = STREAM_FOLLOW_MAX),
        F_END,
};

const struct element stream_follow_element = {
        .name = "follow",
        .ns = NS_ROTA_STREAM,
        .size = sizeof(struct stream_follow),
        .fields = follow_fields,
};

const struct element stream_following_element = {
        .name = "following",
        .ns = NS_ROTA_STREAM,
        .size = sizeof(struct stream_follow),
        .fields = follow_fields,
};

static int unavailable(struct stanza_error *ret_error) {
        ret_error->condition = STANZA_SERVICE_UNAVAILABLE;
        return EXT_ERROR;
}

static int call_chunk(const void *ops, void *userdata, const struct ext_request *rq,
                      const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct stream_ops *o = ops;
        const struct stream_chunk *m = payload;

        (void)ret_reply;
        if (!o->chunk)
                return unavailable(ret_error);
        if (m->size == 0 || (m->codec == CODEC_RAW && m->size != m->data.size)) {
                ret_error->condition = STANZA_BAD_REQUEST;
                ret_error->text = "the chunk is not as long as it says";
                return EXT_ERROR;
        }
        return o->chunk(userdata, rq, m);
}

static int call_ack(const void *ops, void *userdata, const struct ext_request *rq,
                    const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct stream_ops *o = ops;

        (void)ret_reply;
        return o->ack ? o->ack(userdata, rq, payload) : unavailable(ret_error);
}

static int call_done(const void *ops, void *userdata, const struct ext_request *rq,
                     const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct stream_ops *o = ops;

        (void)ret_reply;
        return o->done ? o->done(userdata, rq, payload) : unavailable(ret_error);
}

static int call_sync(const void *ops, void *userdata, const struct ext_request *rq,
                     const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct stream_ops *o = ops;

        (void)ret_reply;
        return o->sync ? o->sync(userdata, rq, payload, ret_error) : unavailable(ret_error);
}

static int call_follow(const void *ops, void *userdata, const struct ext_request *rq,
                       const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct stream_ops *o = ops;

        return o->follow ? o->follow(userdata, rq, payload, ret_reply, ret_error)
                         : unavailable(ret_error);
}

/* A chunk needs no role: whoever receives it checks that the run is one of the sender's. */
static const struct ext_row stream_rows[] = {
        EXT_ROW(EXT_MESSAGE, ROLE_NONE, &stream_chunk_element, NULL, call_chunk),
        EXT_ROW(EXT_MESSAGE, ROLE_VIEW, &stream_ack_element, NULL, call_ack),
        EXT_ROW(EXT_MESSAGE, ROLE_VIEW, &stream_done_element, NULL, call_done),
        EXT_ROW(EXT_IQ_SET, ROLE_VIEW, &stream_sync_element, NULL, call_sync),
        EXT_ROW(EXT_IQ_SET, ROLE_VIEW, &stream_follow_element, &stream_following_element,
                call_follow),
        {0},
};

static const char *const stream_features[] = {NS_ROTA_STREAM, NULL};

const struct ext stream_ext = {
        .name = "stream",
        .features = stream_features,
        .rows = stream_rows,
};
