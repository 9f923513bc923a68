#include "tests/rooms/room.h"

static enum role role_of_sender(void *userdata, const char *from) {
        const struct room *room = userdata;

        assert_string_not_equal(from, "");
        return room->role;
}

static void tell_refused(void *userdata, const struct ext_request *rq, const char *what,
                         const struct stanza_error *error) {
        struct room *room = userdata;

        assert_non_null(rq->stanza);
        buf_printf(&room->refused, "%s: %s: %s\n", what, stanza_condition_name(error->condition),
                   error->text ? error->text : "");
}

void room_init(struct room *room, const struct ext_binding *bindings, enum role role) {
        static const struct router_ops ops = {.role_of = role_of_sender, .refused = tell_refused};

        *room = (struct room){.role = role};
        assert_int_equal(router_new(&room->router, bindings, &ops, room), 0);
}

void room_done(struct room *room) {
        router_free(room->router);
        buf_done(&room->reply);
        buf_done(&room->seen);
        buf_done(&room->refused);
}

static struct xml *parse(const char *text) {
        struct xml *x = NULL;
        int r;

        r = xml_parse(&x, text, strlen(text), NULL);
        if (r != 0)
                fail_msg("the test's own XML is not well-formed (%d): %.200s", r, text);
        return x;
}

int room_send(struct room *room, const char *stanza) {
        CLEANUP(xml_free) struct xml *x = parse(stanza);

        buf_clear(&room->reply);
        buf_clear(&room->seen);
        buf_clear(&room->refused);
        return router_dispatch(room->router, x, &room->reply);
}

void room_saw(struct room *room, const struct element *e, const void *payload) {
        assert_int_equal(fields_encode(e, payload, &room->seen), 0);
}

void room_takes(struct room *room, const char *stanza, const char *payload, const char *answer) {
        assert_int_equal(room_send(room, stanza), 0);
        check_buf(&room->refused, "");
        check_buf(&room->seen, payload);
        check_buf(&room->reply, answer);
}

void room_refuses(struct room *room, const char *stanza, const char *answer) {
        assert_int_equal(room_send(room, stanza), 0);
        check_buf(&room->seen, "");
        check_buf(&room->reply, answer);
        assert_true(room->refused.len > 0);
}

void room_drops(struct room *room, const char *stanza, const char *refused) {
        assert_int_equal(room_send(room, stanza), 0);
        check_buf(&room->seen, "");
        check_buf(&room->reply, "");
        check_buf(&room->refused, refused);
}

void check_encodes(const struct element *e, const void *payload, const char *golden) {
        CLEANUP(buf_done) struct buf out = {0};

        assert_int_equal(fields_encode(e, payload, &out), 0);
        check_buf(&out, golden);
}

void check_decodes(const struct element *e, const char *golden) {
        CLEANUP(arena_done) struct arena arena = {0};
        CLEANUP(xml_free) struct xml *x = parse(golden);
        const char *why = NULL;
        void *value = arena_alloc(&arena, e->size);
        int r;

        assert_non_null(value);
        r = fields_decode(e, x, &arena, value, &why);
        if (r != 0)
                fail_msg("refused: %s", why);
        check_encodes(e, value, golden);
}

void check_refuses(const struct element *e, const char *text, const char *why) {
        CLEANUP(arena_done) struct arena arena = {0};
        CLEANUP(xml_free) struct xml *x = parse(text);
        const char *got = NULL;
        void *value = arena_alloc(&arena, e->size);

        assert_non_null(value);
        assert_int_equal(fields_decode(e, x, &arena, value, &got), FIELDS_REFUSED);
        assert_string_equal(got, why);
}

char *many(char c, size_t n) {
        char *text = malloc(n + 1);

        assert_non_null(text);
        memset(text, c, n);
        text[n] = '\0';
        return text;
}

char *text_of(const char *format, ...) {
        char *text = NULL;
        va_list ap;
        int n;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        assert_true(n >= 0);
        return text;
}
