#include "tests/support/check.h"

#include "proto/ext.h"
#include "tests/support/starve.h"

#include <errno.h>

#define NS "urn:test:1"
#define ME "pc1@lab.test/rota"
#define ANA "ana@lab.test/x"
#define BOB "bob@lab.test/x"
#define STANZAS "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"

/*
 * A room for the test
 */

struct thing {
        const char *name;
        uint64_t n;
};

static const struct field thing_fields[] = {
        F_STR(struct thing, name, .flags = FIELD_REQUIRED, .max = 8),
        F_U64(struct thing, n),
        F_END,
};

static const struct element thing = {"thing", NS, sizeof(struct thing), thing_fields};
static const struct element other = {"other", NS, sizeof(struct thing), thing_fields};

struct test_ops {
        int (*call)(void *userdata, const struct ext_request *rq, const struct thing *t,
                    struct thing *ret, struct stanza_error *ret_error);
};

static int call(const void *ops, void *userdata, const struct ext_request *rq, const void *payload,
                void *ret_reply, struct stanza_error *ret_error) {
        const struct test_ops *o = ops;

        if (!o->call) {
                ret_error->condition = STANZA_SERVICE_UNAVAILABLE;
                return EXT_ERROR;
        }
        return o->call(userdata, rq, payload, ret_reply, ret_error);
}

static const struct ext_row test_rows[] = {
        EXT_ROW(EXT_IQ_GET, ROLE_VIEW, &thing, &thing, call),
        EXT_ROW(EXT_IQ_SET, ROLE_REBOOT, &thing, NULL, call, .immediate = true),
        EXT_ROW(EXT_MESSAGE, ROLE_RUN, &thing, NULL, call),
        EXT_ROW(EXT_MESSAGE, ROLE_RUN, &other, NULL, call, .immediate = true),
        EXT_ROW(EXT_PRESENCE, ROLE_NONE, &thing, NULL, call),
        {0},
};
static const char *const room_features[] = {NS, "urn:test:shared", NULL};
static const struct ext test_ext = {"test", room_features, test_rows};

/* A second room that listens to the same messages. */
static const struct ext_row second_rows[] = {
        EXT_ROW(EXT_MESSAGE, ROLE_NONE, &thing, NULL, call),
        {0},
};
static const char *const second_features[] = {"urn:a:first", "urn:test:shared", NULL};
static const struct ext second_ext = {"second", second_features, second_rows};
static const struct ext silent_ext = {"silent", NULL, NULL};

struct seen {
        unsigned calls;
        unsigned refusals;
        int result;
        struct stanza_error error;
        struct ext_request rq;
        char from[64]; /* the request itself is borrowed */
        char names[128];
        char refused[64];
        enum stanza_condition condition;
};

static int on_thing(void *userdata, const struct ext_request *rq, const struct thing *t,
                    struct thing *ret, struct stanza_error *ret_error) {
        struct seen *s = userdata;

        s->calls++;
        s->rq = *rq;
        snprintf(s->from, sizeof(s->from), "%s", rq->from);
        strncat(s->names, t->name, sizeof(s->names) - strlen(s->names) - 1);
        *ret_error = s->error;
        if (rq->kind == EXT_IQ_GET) {
                ret->name = arena_printf(rq->arena, "<%s>", t->name);
                ret->n = t->n + 1;
        }
        return s->result;
}

static int on_second(void *userdata, const struct ext_request *rq, const struct thing *t,
                     struct thing *ret, struct stanza_error *ret_error) {
        struct seen *s = userdata;

        (void)rq, (void)t, (void)ret, (void)ret_error;
        strncat(s->names, "+", sizeof(s->names) - strlen(s->names) - 1);
        return 0;
}

static const struct test_ops on_ops = {on_thing};
static const struct test_ops second_ops = {on_second};

static const struct ext_binding bindings[] = {
        EXT_BIND(test, &on_ops),
        {&second_ext,  &second_ops},
        {&silent_ext,            &second_ops},
        {0},
};

static enum role role_of_test(void *userdata, const char *from) {
        (void)userdata;
        if (strcmp(from, ANA) == 0)
                return ROLE_ADMIN;
        return strcmp(from, BOB) == 0 ? ROLE_VIEW : ROLE_NONE;
}

static void on_refused(void *userdata, const struct ext_request *rq, const char *what,
                       const struct stanza_error *error) {
        struct seen *s = userdata;

        s->refusals++;
        s->rq = *rq;
        snprintf(s->refused, sizeof(s->refused), "%s", what);
        s->condition = error->condition;
}

static const struct router_ops router_ops = {role_of_test, on_refused};

/* Dispatches @stanza and compares what it is answered with. */
static int dispatch(struct seen *s, const char *stanza, const char *expected) {
        CLEANUP(router_free) struct router *r = NULL;
        CLEANUP(xml_free) struct xml *x = NULL;
        CLEANUP(buf_done) struct buf reply = {0};
        int e;

        assert_int_equal(router_new(&r, bindings, &router_ops, s), 0);
        assert_int_equal(xml_parse(&x, stanza, strlen(stanza), NULL), 0);
        buf_puts(&reply, "before");
        e = router_dispatch(r, x, &reply);
        assert_memory_equal(reply.data, "before", 6);
        assert_string_equal(buf_text(&reply) + 6, expected);
        return e;
}

#define IQ(type, from, payload)                                                                    \
        "<iq xmlns='jabber:client' type='" type "' from='" from "' to='" ME "' id='7'>" payload    \
        "</iq>"
#define ERROR(to, condition)                                                                       \
        "<iq type='error' to='" to "' id='7'><error type=" condition "</error></iq>"
#define THING "<thing xmlns='" NS "' name='a&amp;b' n='4'/>"

static void test_iq_result(void **state) {
        struct seen s = {0};

        (void)state;
        assert_int_equal(dispatch(&s, IQ("get", BOB, THING),
                                  "<iq type='result' to='" BOB "' id='7'>"
                                  "<thing xmlns='" NS "' name='&lt;a&amp;b&gt;' n='5'/></iq>"),
                         0);
        assert_int_equal(s.rq.role, ROLE_VIEW);
        assert_int_equal(s.rq.kind, EXT_IQ_GET);
        assert_string_equal(s.from, BOB);
        assert_int_equal(
                dispatch(&s, IQ("set", ANA, THING), "<iq type='result' to='" ANA "' id='7'/>"), 0);
        assert_int_equal(s.calls, 2);
        assert_int_equal(s.refusals, 0);
}

static void test_iq_refused_by_role(void **state) {
        struct seen s = {0};

        (void)state;
        assert_int_equal(
                dispatch(&s, IQ("set", BOB, THING),
                         ERROR(BOB, "'auth'><forbidden " STANZAS "/><text " STANZAS
                                    ">this needs the role reboot; " BOB " has view</text>"
                                    "<not-allowed xmlns='urn:rota:error:1' role='reboot'/>")),
                0);
        assert_int_equal(s.calls, 0);
        assert_int_equal(s.refusals, 1);
        assert_string_equal(s.refused, "thing");
        /* the role is looked at before the payload: strangers learn nothing about it */
        dispatch(&s, IQ("get", "eve@lab.test/x", "<thing xmlns='" NS "'/>"),
                 ERROR("eve@lab.test/x", "'auth'><forbidden " STANZAS "/><text " STANZAS
                                         ">this needs the role view; eve@lab.test/x has none</text>"
                                         "<not-allowed xmlns='urn:rota:error:1' role='view'/>"));
        assert_int_equal(s.calls, 0);
}

static void test_iq_unknown(void **state) {
        static const char *const payloads[] = {
                IQ("get", ANA, "<thing xmlns='urn:other'/>"),
                IQ("get", ANA, "<thing/>"),
                IQ("get", ANA, "<other xmlns='" NS "' name='x'/>"),
        };
        struct seen s = {0};

        (void)state;
        for (size_t i = 0; i < sizeof(payloads) / sizeof(*payloads); i++)
                assert_int_equal(
                        dispatch(&s, payloads[i],
                                 ERROR(ANA, "'cancel'><service-unavailable " STANZAS "/>")),
                        0);
        assert_int_equal(s.calls, 0);
}

static void test_iq_malformed(void **state) {
        static const char *const stanzas[] = {
                IQ("get", ANA, ""),
                IQ("get", ANA, "text"),
                IQ("get", ANA, THING THING),
                IQ("get", ANA, "<thing xmlns='" NS "'/>"),
                IQ("get", ANA, "<thing xmlns='" NS "' name='123456789'/>"),
                IQ("get", ANA, "<thing xmlns='" NS "' name='x' n='-1'/>"),
                IQ("frobnicate", ANA, THING),
        };
        struct seen s = {0};

        (void)state;
        for (size_t i = 0; i < sizeof(stanzas) / sizeof(*stanzas); i++) {
                CLEANUP(router_free) struct router *r = NULL;
                CLEANUP(xml_free) struct xml *x = NULL, *answer = NULL;
                CLEANUP(buf_done) struct buf reply = {0};
                CLEANUP(arena_done) struct arena a = {0};
                struct stanza_error error;

                assert_int_equal(router_new(&r, bindings, &router_ops, &s), 0);
                assert_int_equal(xml_parse(&x, stanzas[i], strlen(stanzas[i]), NULL), 0);
                assert_int_equal(router_dispatch(r, x, &reply), 0);
                assert_int_equal(xml_parse(&answer, reply.data, reply.len, NULL), 0);
                assert_string_equal(xml_attr(answer, "type"), "error");
                assert_int_equal(stanza_error_read(answer, &a, &error), 0);
                assert_int_equal(error.condition, STANZA_BAD_REQUEST);
                assert_true(strlen(error.text) > 10);
        }
        assert_int_equal(s.calls, 0);
}

static void test_iq_error_of_room(void **state) {
        struct seen s = {
                .result = EXT_ERROR,
                .error = {.condition = STANZA_CONFLICT, .why = STANZA_WHY_BUSY, .run = "r1"}
        };

        (void)state;
        assert_int_equal(dispatch(&s, IQ("get", BOB, THING),
                                  ERROR(BOB, "'cancel'><conflict " STANZAS
                                             "/><busy xmlns='urn:rota:error:1' run='r1'/>")),
                         0);
        s.result = -ENOSPC;
        assert_int_equal(dispatch(&s, IQ("get", BOB, THING),
                                  ERROR(BOB, "'cancel'><internal-server-error " STANZAS
                                             "/><text " STANZAS ">No space left on device</text>")),
                         -ENOSPC);
        assert_int_equal(s.condition, STANZA_INTERNAL_SERVER_ERROR);
}

/* RFC 6120 8.2.3: only a request is answered. */
static void test_iq_answers_are_not_ours(void **state) {
        struct seen s = {0};

        (void)state;
        assert_int_equal(dispatch(&s, IQ("result", ANA, THING), ""), ROUTER_UNHANDLED);
        assert_int_equal(dispatch(&s, IQ("error", ANA, THING), ""), ROUTER_UNHANDLED);
        assert_int_equal(s.calls, 0);
}

static void test_own_server(void **state) {
        static const char *const own[] = {"", "from='lab.test'", "from='pc1@lab.test'"};
        static const char *const strangers[] = {"from='evil.test'", "from='pc2@lab.test'",
                                                "from='lab.test/x'"};
        char text[512];
        struct seen s = {0};

        (void)state;
        for (size_t i = 0; i < 6; i++) {
                CLEANUP(router_free) struct router *r = NULL;
                CLEANUP(xml_free) struct xml *x = NULL;
                CLEANUP(buf_done) struct buf reply = {0};

                snprintf(text, sizeof(text), "<iq type='get' %s to='" ME "' id='1'>" THING "</iq>",
                         i < 3 ? own[i] : strangers[i - 3]);
                assert_int_equal(router_new(&r, bindings, &router_ops, &s), 0);
                assert_int_equal(xml_parse(&x, text, strlen(text), NULL), 0);
                assert_int_equal(router_dispatch(r, x, &reply), 0);
                assert_int_equal(strstr(reply.data, "type='result'") != NULL, i < 3);
                assert_int_equal(strstr(reply.data, " to=") != NULL, i > 0);
        }
        /* and it may look, no more */
        dispatch(&s, IQ("set", "lab.test", THING),
                 ERROR("lab.test", "'auth'><forbidden " STANZAS "/><text " STANZAS
                                   ">this needs the role reboot; lab.test has view</text>"
                                   "<not-allowed xmlns='urn:rota:error:1' role='reboot'/>"));
}

#define MESSAGE(type, payload)                                                                     \
        "<message xmlns='jabber:client' type='" type "' from='" ANA "' to='" ME "'>" payload       \
        "</message>"
#define DELAY "<delay xmlns='urn:xmpp:delay' stamp='2024-01-01T00:00:00Z'/>"

static void test_messages(void **state) {
        struct seen s = {0};

        (void)state;
        assert_int_equal(dispatch(&s,
                                  MESSAGE("normal", "<thing xmlns='" NS "' name='1'/><body>x</body>"
                                                    "<other xmlns='" NS "' name='2'/>"
                                                    "<thing xmlns='" NS "' name='3'/>"),
                                  ""),
                         0);
        assert_string_equal(s.names, "1+23+");
        assert_int_equal(s.calls, 3);
        assert_int_equal(dispatch(&s, MESSAGE("chat", "<body>hello</body>"), ""), ROUTER_UNHANDLED);
        /* a bounce carries our own words back */
        assert_int_equal(dispatch(&s, MESSAGE("error", THING), ""), ROUTER_UNHANDLED);
        assert_int_equal(s.calls, 3);
        assert_int_equal(s.refusals, 0);
}

static void test_message_refused_in_silence(void **state) {
        struct seen s = {0};

        (void)state;
        assert_int_equal(dispatch(&s,
                                  "<message from='" BOB "' to='" ME "'><thing xmlns='" NS
                                  "' name='1'/></message>",
                                  ""),
                         0);
        assert_int_equal(s.calls, 0);
        assert_int_equal(s.refusals, 1);
        assert_int_equal(s.condition, STANZA_FORBIDDEN);
        assert_string_equal(s.names, "+"); /* the room that anybody may talk to */
        assert_int_equal(dispatch(&s, MESSAGE("normal", "<other xmlns='" NS "'/>"), ""), 0);
        assert_int_equal(s.condition, STANZA_BAD_REQUEST);
}

/* Promise 2: what waited or was passed on triggers nothing immediate. */
static void test_immediate(void **state) {
        static const char *const marks[] = {
                DELAY,
                "<x xmlns='jabber:x:delay' stamp='20240101T00:00:00'/>",
                "<forwarded xmlns='urn:xmpp:forward:0'/>",
                "<received xmlns='urn:xmpp:carbons:2'/>",
                "<sent xmlns='urn:xmpp:carbons:2'/>",
        };
        struct seen s = {0};
        char text[600];

        (void)state;
        for (size_t i = 0; i < sizeof(marks) / sizeof(*marks); i++) {
                snprintf(text, sizeof(text),
                         MESSAGE("normal", "<other xmlns='" NS "' name='o'/>%s"), marks[i]);
                assert_int_equal(dispatch(&s, text, ""), 0);
                assert_int_equal(s.calls, 0);
                assert_int_equal(s.condition, STANZA_UNEXPECTED_REQUEST);
        }
        /* nested in what is passed on it is not even seen */
        dispatch(&s,
                 MESSAGE("normal",
                         "<forwarded xmlns='urn:xmpp:forward:0'><message><other xmlns='" NS
                         "' name='o'/></message></forwarded>"),
                 "");
        assert_int_equal(s.calls, 0);
        /* the other kind is told and may judge by itself */
        assert_int_equal(dispatch(&s, MESSAGE("normal", THING DELAY), ""), 0);
        assert_int_equal(s.calls, 1);
        assert_true(s.rq.delayed);
        assert_int_equal(dispatch(&s, MESSAGE("normal", THING), ""), 0);
        assert_false(s.rq.delayed);
}

static void test_presence(void **state) {
        struct seen s = {0};

        (void)state;
        assert_int_equal(dispatch(&s, "<presence from='x@y/z'>" THING "</presence>", ""), 0);
        assert_int_equal(s.calls, 1);
        assert_false(s.rq.unavailable);
        assert_int_equal(
                dispatch(&s, "<presence from='x@y/z' type='unavailable'>" THING "</presence>", ""),
                0);
        assert_int_equal(s.calls, 2);
        assert_true(s.rq.unavailable);
        assert_int_equal(
                dispatch(&s, "<presence from='x@y/z' type='subscribe'>" THING "</presence>", ""),
                ROUTER_UNHANDLED);
        assert_int_equal(dispatch(&s, "<presence from='x@y/z'/>", ""), ROUTER_UNHANDLED);
        assert_int_equal(dispatch(&s, "<frob from='x@y/z'>" THING "</frob>", ""), ROUTER_UNHANDLED);
        assert_int_equal(s.calls, 2);
}

static void test_features(void **state) {
        CLEANUP(router_free) struct router *r = NULL;
        const struct ext_binding none[] = {{0}};
        const char *const *list;

        (void)state;
        assert_int_equal(router_new(&r, bindings, &router_ops, NULL), 0);
        assert_int_equal(router_features(r, &list), 3);
        assert_string_equal(list[0], "urn:a:first");
        assert_string_equal(list[1], NS);
        assert_string_equal(list[2], "urn:test:shared");
        r = router_free(r);
        assert_int_equal(router_new(&r, none, &router_ops, NULL), 0);
        assert_int_equal(router_features(r, &list), 0);
}

static void test_writing(void **state) {
        const struct thing t = {"a<b", 3};
        CLEANUP(buf_done) struct buf b = {0};

        (void)state;
        assert_int_equal(ext_write_iq(&b, EXT_IQ_SET, ANA, "7", &thing, &t), 0);
        assert_int_equal(ext_write_message(&b, ANA, NULL, NULL, &thing, &t), 0);
        assert_int_equal(ext_write_message(&b, ANA, "chat", "8", &thing, &t), 0);
        check_buf(&b, "<iq type='set' to='" ANA "' id='7'><thing xmlns='" NS
                      "' name='a&lt;b' n='3'/></iq>"
                      "<message to='" ANA "'><thing xmlns='" NS "' name='a&lt;b' n='3'/></message>"
                      "<message to='" ANA "' type='chat' id='8'><thing xmlns='" NS
                      "' name='a&lt;b' n='3'/></message>");
}

static int run_starved(void *userdata) {
        CLEANUP(router_free) struct router *r = NULL;
        CLEANUP(buf_done) struct buf reply = {0};
        struct seen s = {0};
        int e;

        e = router_new(&r, bindings, &router_ops, &s);
        if (e < 0)
                return e;
        return router_dispatch(r, userdata, &reply);
}

static void test_starved(void **state) {
        CLEANUP(xml_free) struct xml *x = NULL;
        const char *text = IQ("get", BOB, THING);

        (void)state;
        assert_int_equal(xml_parse(&x, text, strlen(text), NULL), 0);
        assert_true(starve_each(run_starved, x) >= 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_iq_result),
                cmocka_unit_test(test_iq_refused_by_role),
                cmocka_unit_test(test_iq_unknown),
                cmocka_unit_test(test_iq_malformed),
                cmocka_unit_test(test_iq_error_of_room),
                cmocka_unit_test(test_iq_answers_are_not_ours),
                cmocka_unit_test(test_own_server),
                cmocka_unit_test(test_messages),
                cmocka_unit_test(test_message_refused_in_silence),
                cmocka_unit_test(test_immediate),
                cmocka_unit_test(test_presence),
                cmocka_unit_test(test_features),
                cmocka_unit_test(test_writing),
                cmocka_unit_test(test_starved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
