#include "ext/stream.h"

#include "proto/codec.h"
#include "proto/digest.h"
#include "tests/rooms/room.h"

#define NS "xmlns='urn:rota:stream:1'"
#define CHUNK                                                                                      \
        "<chunk " NS " run='k3xyz' stream='2.out' offset='81920' size='6' codec='raw'>"            \
        "AAECCv9B</chunk>"
#define CHUNK_FIRST                                                                                \
        "<chunk " NS " run='k3xyz' stream='events' offset='0' size='999' "                         \
        "codec='zstd'>YQ==</chunk>"
#define ACK "<ack " NS " run='k3xyz' stream='2.out' next='98304'/>"
#define ACK_AGAIN "<ack " NS " run='k3xyz' stream='2.out' next='0' again='true'/>"
#define DONE "<done " NS " run='k3xyz'/>"
#define SYNC                                                                                       \
        "<sync " NS "><have run='k3xyz' stream='events' next='120'/>"                              \
        "<have run='k3xyz' stream='1.out' next='0'/><done run='k2abc'/></sync>"

#define FOLLOW "<follow " NS "><have run='k3xyz' stream='events' next='0'/></follow>"
#define FOLLOWING "<following " NS "><have run='k3xyz' stream='events' next='120'/></following>"
#define SYNC_ALL "<sync " NS " all='true'/>"

static int see_chunk(void *userdata, const struct ext_request *rq, const struct stream_chunk *m) {
        assert_string_equal(rq->from, CONTROLLER);
        if (m->codec == CODEC_RAW)
                assert_int_equal(m->data.size, m->size);
        room_saw(userdata, &stream_chunk_element, m);
        return 0;
}

static int see_ack(void *userdata, const struct ext_request *rq, const struct stream_ack *m) {
        (void)rq;
        room_saw(userdata, &stream_ack_element, m);
        return 0;
}

static int see_done(void *userdata, const struct ext_request *rq, const struct stream_done *m) {
        (void)rq;
        room_saw(userdata, &stream_done_element, m);
        return 0;
}

static int see_sync(void *userdata, const struct ext_request *rq, const struct stream_sync *m,
                    struct stanza_error *ret_error) {
        (void)rq, (void)ret_error;
        room_saw(userdata, &stream_sync_element, m);
        return 0;
}

static int see_follow(void *userdata, const struct ext_request *rq, const struct stream_follow *m,
                      struct stream_follow *ret, struct stanza_error *ret_error) {
        static const struct stream_have have[] = {
                {"k3xyz", "events", 120}
        };

        (void)rq, (void)ret_error;
        room_saw(userdata, &stream_follow_element, m);
        *ret = (struct stream_follow){have, 1};
        return 0;
}

static const struct stream_ops mute;
static const struct stream_ops ops = {
        .chunk = see_chunk,
        .ack = see_ack,
        .done = see_done,
        .sync = see_sync,
        .follow = see_follow,
};
static const struct ext_binding bindings[] = {EXT_BIND(stream, &ops), {0}};
static const struct ext_binding mute_bindings[] = {EXT_BIND(stream, &mute), {0}};

static void golden(void **state) {
        static const uint8_t data[] = {0, 1, 2, '\n', 0xff, 'A'};
        static const struct stream_have have[] = {
                {"k3xyz", "events", 120},
                {"k3xyz", "1.out",  0  }
        };
        static const struct stream_done done[] = {{"k2abc"}};

        (void)state;
        check_encodes(&stream_chunk_element,
                      &(struct stream_chunk){
                              .run = "k3xyz",
                              .stream = "2.out",
                              .offset = 81920,
                              .size = 6,
                              .codec = CODEC_RAW,
                              .data = {data, sizeof(data)}
        },
                      CHUNK);
        check_encodes(&stream_chunk_element,
                      &(struct stream_chunk){
                              .run = "k3xyz",
                              .stream = "events",
                              .size = 999,
                              .codec = CODEC_ZSTD,
                              .data = {(const uint8_t *)"a", 1}
        },
                      CHUNK_FIRST);
        check_encodes(&stream_ack_element,
                      &(struct stream_ack){.run = "k3xyz", .stream = "2.out", .next = 98304}, ACK);
        check_encodes(&stream_ack_element,
                      &(struct stream_ack){.run = "k3xyz", .stream = "2.out", .again = true},
                      ACK_AGAIN);
        check_encodes(&stream_done_element, &(struct stream_done){"k3xyz"}, DONE);
        check_encodes(&stream_sync_element,
                      &(struct stream_sync){.have = have, .n_have = 2, .done = done, .n_done = 1},
                      SYNC);
        check_encodes(&stream_sync_element, &(struct stream_sync){0}, "<sync " NS "/>");
}

static void takes(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_VIEW);
        room_takes(&room, MESSAGE(CHUNK), CHUNK, "");
        room_takes(&room, MESSAGE(CHUNK_FIRST CHUNK), CHUNK_FIRST CHUNK, "");
        room_takes(&room, MESSAGE(ACK ACK_AGAIN DONE), ACK ACK_AGAIN DONE, "");
        room_takes(&room, IQ_SET(SYNC), SYNC, RESULT_EMPTY);
        room_takes(&room, IQ_SET("<sync " NS "/>"), "<sync " NS "/>", RESULT_EMPTY);
        room_done(&room);
}

static void asks_for_the_role(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_NONE);
        /* a controller gives its targets no roles: it looks whether the run is theirs */
        room_takes(&room, MESSAGE(CHUNK), CHUNK, "");
        room_drops(&room, MESSAGE(ACK),
                   "ack: forbidden: this needs the role view; " CONTROLLER " has none\n");
        room_drops(&room, MESSAGE(DONE),
                   "done: forbidden: this needs the role view; " CONTROLLER " has none\n");
        room_refuses(&room, IQ_SET(SYNC), FORBIDDEN("view", "none"));
        room_done(&room);
}

/* A chunk of @size raw bytes, as a stanza. */
static char *stanza_of_size(size_t size) {
        CLEANUP(buf_done) struct buf base64 = {0};
        char *raw = many('\xff', size), *stanza;

        assert_int_equal(base64_encode(&base64, raw, size), 0);
        stanza = text_of(MESSAGE("<chunk " NS " run='r' stream='s' offset='0' size='%zu' "
                                 "codec='raw'>%s</chunk>"),
                         size, buf_text(&base64));
        free(raw);
        return stanza;
}

static void chunks_have_a_size(void **state) {
        struct room room;
        char *stanza;

        (void)state;
        room_init(&room, bindings, ROLE_VIEW);
        stanza = stanza_of_size(STREAM_CHUNK_MAX);
        assert_int_equal(room_send(&room, stanza), 0);
        check_buf(&room.refused, "");
        assert_true(room.seen.len > STREAM_CHUNK_MAX / 3 * 4);
        free(stanza);
        stanza = stanza_of_size(STREAM_CHUNK_MAX + 1);
        room_drops(&room, stanza, "chunk: bad-request: <chunk>: attribute size is above 49152\n");
        free(stanza);
        room_done(&room);
}

#define DROPS(payload, why) room_drops(&room, MESSAGE(payload), why "\n")
#define CHUNK_OF(attrs, text) "<chunk " NS " run='r' stream='s' " attrs ">" text "</chunk>"
#define BAD_CHUNK "chunk: bad-request: <chunk>: "

static void refuses_chunks(void **state) {
        char *base64 = many('A', STREAM_CHUNK_MAX / 3 * 4 + 4), *stanza;
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_VIEW);
        DROPS("<chunk " NS " stream='s' offset='0' size='1' codec='raw'>YQ==</chunk>",
              BAD_CHUNK "attribute run is missing");
        DROPS("<chunk " NS " run='r' offset='0' size='1' codec='raw'>YQ==</chunk>",
              BAD_CHUNK "attribute stream is missing");
        DROPS("<chunk " NS " run='r' stream='../events' offset='0' size='1' codec='raw'>YQ=="
              "</chunk>",
              BAD_CHUNK "attribute stream is no identifier");
        DROPS("<chunk " NS " run='.r' stream='s' offset='0' size='1' codec='raw'>YQ==</chunk>",
              BAD_CHUNK "attribute run is no identifier");
        DROPS(CHUNK_OF("size='1' codec='raw'", "YQ=="), BAD_CHUNK "attribute offset is missing");
        DROPS(CHUNK_OF("offset='0' codec='raw'", "YQ=="), BAD_CHUNK "attribute size is missing");
        DROPS(CHUNK_OF("offset='0' size='1'", "YQ=="), BAD_CHUNK "attribute codec is missing");
        DROPS(CHUNK_OF("offset='0' size='1' codec='gzip'", "YQ=="),
              BAD_CHUNK "attribute codec has an unknown value");
        DROPS(CHUNK_OF("offset='9223372036854775807' size='1' codec='raw'", "YQ=="),
              BAD_CHUNK "attribute offset is above 9223372036854726655");
        DROPS(CHUNK_OF("offset='1e3' size='1' codec='raw'", "YQ=="),
              BAD_CHUNK "attribute offset is no whole number");
        DROPS(CHUNK_OF("offset='0' size='1' codec='raw'", ""), BAD_CHUNK "text is missing");
        DROPS(CHUNK_OF("offset='0' size='1' codec='raw'", "YQ="), BAD_CHUNK "text is no base64");
        DROPS(CHUNK_OF("offset='0' size='1' codec='raw'", "Y!=="), BAD_CHUNK "text is no base64");
        DROPS(CHUNK_OF("offset='0' size='3' codec='raw'", "AA AA"), BAD_CHUNK "text is no base64");
        DROPS(CHUNK_OF("offset='0' size='3' codec='raw'", "YQ=="),
              "chunk: bad-request: the chunk is not as long as it says");
        DROPS(CHUNK_OF("offset='0' size='0' codec='zstd'", "YQ=="),
              "chunk: bad-request: the chunk is not as long as it says");
        stanza = text_of(MESSAGE(CHUNK_OF("offset='0' size='1' codec='zstd'", "%s")), base64);
        room_drops(&room, stanza, BAD_CHUNK "text is longer than 49152 bytes\n");
        assert_int_equal(room_send(&room, MESSAGE("<chunk xmlns='urn:rota:stream:2' run='r'/>")),
                         ROUTER_UNHANDLED);
        room_refuses(&room, IQ_SET(CHUNK), UNAVAILABLE);
        room_done(&room);
        free(stanza);
        free(base64);
}

static void refuses_the_rest(void **state) {
        CLEANUP(buf_done) struct buf crowd = {0};
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_VIEW);
        DROPS("<ack " NS " stream='s' next='1'/>",
              "ack: bad-request: <ack>: attribute run is missing");
        DROPS("<ack " NS " run='r' next='1'/>",
              "ack: bad-request: <ack>: attribute stream is missing");
        DROPS("<ack " NS " run='r' stream='s'/>",
              "ack: bad-request: <ack>: attribute next is missing");
        DROPS("<ack " NS " run='r' stream='s' next='-1'/>",
              "ack: bad-request: <ack>: attribute next is no whole number");
        DROPS("<ack " NS " run='r' stream='s' next='9223372036854775808'/>",
              "ack: bad-request: <ack>: attribute next is above 9223372036854775807");
        DROPS("<ack " NS " run='r' stream='s' next='1' again=''/>",
              "ack: bad-request: <ack>: attribute again is neither true nor false");
        DROPS("<done " NS "/>", "done: bad-request: <done>: attribute run is missing");
        room_refuses(&room, IQ_SET("<sync " NS "><have run='r' stream='s'/></sync>"),
                     BAD_REQUEST("&lt;have&gt;: attribute next is missing"));
        room_refuses(&room, IQ_SET("<sync " NS "><done/></sync>"),
                     BAD_REQUEST("&lt;done&gt;: attribute run is missing"));
        room_refuses(&room, IQ_SET("<sync " NS "><have run='r' stream='/' next='1'/></sync>"),
                     BAD_REQUEST("&lt;have&gt;: attribute stream is no identifier"));
        room_refuses(&room, IQ_GET(SYNC), UNAVAILABLE);
        assert_int_equal(room_send(&room, MESSAGE(SYNC)), ROUTER_UNHANDLED);
        room_done(&room);
        room_init(&room, mute_bindings, ROLE_VIEW);
        DROPS(CHUNK, "chunk: service-unavailable: ");
        DROPS(ACK, "ack: service-unavailable: ");
        DROPS(DONE, "done: service-unavailable: ");
        room_refuses(&room, IQ_SET(SYNC), UNAVAILABLE);
        room_done(&room);

        buf_puts(&crowd, "<sync " NS ">");
        for (unsigned i = 0; i < STREAM_SYNC_MAX; i++)
                buf_printf(&crowd, "<have run='r%u' stream='1.out' next='1'/>", i);
        buf_puts(&crowd, "</sync>");
        check_decodes(&stream_sync_element, buf_text(&crowd));
        buf_truncate(&crowd, crowd.len - strlen("</sync>"));
        buf_puts(&crowd, "<have run='r' stream='1.out' next='1'/></sync>");
        check_refuses(&stream_sync_element, buf_text(&crowd),
                      "<sync>: child <have> is there more than 4096 times");
}

static void follows(void **state) {
        struct room room;

        (void)state;
        check_decodes(&stream_follow_element, FOLLOW);
        check_decodes(&stream_following_element, FOLLOWING);
        check_decodes(&stream_sync_element, SYNC_ALL);
        room_init(&room, bindings, ROLE_VIEW);
        room_takes(&room, IQ_SET(FOLLOW), FOLLOW, RESULT(FOLLOWING));
        room_refuses(&room, IQ_GET(FOLLOW), UNAVAILABLE);
        room_done(&room);
        room_init(&room, bindings, ROLE_NONE);
        room_refuses(&room, IQ_SET(FOLLOW), FORBIDDEN("view", "none"));
        room_done(&room);
        room_init(&room, mute_bindings, ROLE_VIEW);
        room_refuses(&room, IQ_SET(FOLLOW), UNAVAILABLE);
        room_done(&room);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(follows),
                cmocka_unit_test(golden),
                cmocka_unit_test(takes),
                cmocka_unit_test(asks_for_the_role),
                cmocka_unit_test(chunks_have_a_size),
                cmocka_unit_test(refuses_chunks),
                cmocka_unit_test(refuses_the_rest),
        };

        return cmocka_run_group_tests_name("room stream", tests, NULL, NULL);
}
