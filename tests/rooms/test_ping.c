#include "ext/ping.h"

#include "tests/rooms/room.h"

#define PING "<ping xmlns='urn:xmpp:ping'/>"

static int see_ping(void *userdata, const struct ext_request *rq) {
        assert_string_equal(rq->from, CONTROLLER);
        assert_int_equal(rq->kind, EXT_IQ_GET);
        room_saw(userdata, &ping_element, &(struct ping){0});
        return 0;
}

static const struct ping_ops deaf;
static const struct ping_ops ops = {.pinged = see_ping};
static const struct ext_binding bindings[] = {EXT_BIND(ping, &ops), {0}};
static const struct ext_binding deaf_bindings[] = {EXT_BIND(ping, &deaf), {0}};

static void golden(void **state) {
        (void)state;
        check_encodes(&ping_element, &(struct ping){0}, PING);
        check_decodes(&ping_element, PING);
}

static void answers(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_VIEW);
        room_takes(&room, IQ_GET(PING), PING, RESULT_EMPTY);
        room_done(&room);
        /* it needs no help */
        room_init(&room, deaf_bindings, ROLE_VIEW);
        room_takes(&room, IQ_GET(PING), "", RESULT_EMPTY);
        room_done(&room);
}

static void answers_its_own_server(void **state) {
        struct room room;

        (void)state;
        /* XEP-0199 section 4.1: the server's pings are how it finds out that we are gone */
        room_init(&room, deaf_bindings, ROLE_NONE);
        room_takes(&room, "<iq type='get' from='lab' to='" TARGET "' id='s1'>" PING "</iq>", "",
                   "<iq type='result' to='lab' id='s1'/>");
        room_takes(&room, "<iq type='get' to='" TARGET "' id='s2'>" PING "</iq>", "",
                   "<iq type='result' id='s2'/>");
        room_done(&room);
}

static void refuses(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_NONE);
        room_refuses(&room, IQ_GET(PING), FORBIDDEN("view", "none"));
        room.role = ROLE_ADMIN;
        room_refuses(&room, IQ_SET(PING), UNAVAILABLE);
        room_refuses(&room, IQ_GET("<ping xmlns='urn:xmpp:pong'/>"), UNAVAILABLE);
        room_refuses(&room, IQ_GET("<pong xmlns='urn:xmpp:ping'/>"), UNAVAILABLE);
        room_refuses(&room, IQ_GET("<ping/>"), UNAVAILABLE);
        room_refuses(&room, IQ_GET(PING PING),
                     BAD_REQUEST("an iq carries one element, this one has more"));
        room_done(&room);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(golden),
                cmocka_unit_test(answers),
                cmocka_unit_test(answers_its_own_server),
                cmocka_unit_test(refuses),
        };

        return cmocka_run_group_tests_name("room ping", tests, NULL, NULL);
}
