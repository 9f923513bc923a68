#include "ext/lease.h"

#include "tests/rooms/room.h"

#define ACQUIRE                                                                                    \
        "<acquire xmlns='urn:rota:lease:1' id='k3' sid='s1' seconds='7200' by='ana' "              \
        "reason='new firmware'/>"
#define TAKE_OVER "<take xmlns='urn:rota:lease:1' id='k4' sid='s1' seconds='60' by='bob'/>"
#define EXTEND "<extend xmlns='urn:rota:lease:1' id='k3' token='17' seconds='60' by='ana'/>"
#define RELEASE "<release xmlns='urn:rota:lease:1' id='k3' by='ana'/>"
#define HELD                                                                                       \
        "<lease xmlns='urn:rota:lease:1' id='k3' token='17' holder='ctl@lab' by='ana' "            \
        "reason='new firmware' left='7200' since='3'/>"
#define NOBODY "<lease xmlns='urn:rota:lease:1' token='17'/>"

static const struct lease_held held = {
        .id = "k3",
        .token = 17,
        .holder = "ctl@lab",
        .by = "ana",
        .reason = "new firmware",
        .left = 7200,
        .since = 3,
};

static int give(void *userdata, const struct ext_request *rq, const struct lease_acquire *m,
                struct lease_held *ret, struct stanza_error *ret_error) {
        if (strcmp(m->id, "taken") == 0) {
                *ret_error = (struct stanza_error){
                        .condition = STANZA_CONFLICT,
                        .why = STANZA_WHY_LEASED,
                        .owner = "bob@lab",
                        .text = "reserved for bob",
                };
                return EXT_ERROR;
        }
        assert_string_equal(rq->from, CONTROLLER);
        room_saw(userdata, &lease_acquire_element, m);
        *ret = held;
        return 0;
}

static int give_taken(void *userdata, const struct ext_request *rq, const struct lease_acquire *m,
                      struct lease_held *ret, struct stanza_error *ret_error) {
        (void)rq, (void)ret_error;
        room_saw(userdata, &lease_take_element, m);
        *ret = held;
        return 0;
}

static int prolong(void *userdata, const struct ext_request *rq, const struct lease_extend *m,
                   struct lease_held *ret, struct stanza_error *ret_error) {
        (void)rq, (void)ret_error;
        room_saw(userdata, &lease_extend_element, m);
        *ret = held;
        return 0;
}

static int give_up(void *userdata, const struct ext_request *rq, const struct lease_release *m,
                   struct lease_held *ret, struct stanza_error *ret_error) {
        (void)rq, (void)ret_error;
        room_saw(userdata, &lease_release_element, m);
        *ret = (struct lease_held){.token = 17};
        return 0;
}

static const struct lease_ops mute;
static const struct lease_ops ops = {
        .acquire = give, .take = give_taken, .extend = prolong, .release = give_up};
static const struct ext_binding bindings[] = {EXT_BIND(lease, &ops), {0}};
static const struct ext_binding mute_bindings[] = {EXT_BIND(lease, &mute), {0}};

static void golden(void **state) {
        (void)state;
        check_decodes(&lease_acquire_element, ACQUIRE);
        check_decodes(&lease_take_element, TAKE_OVER);
        check_decodes(&lease_extend_element, EXTEND);
        check_decodes(&lease_release_element, RELEASE);
        check_decodes(&lease_held_element, HELD);
        check_encodes(&lease_held_element, &held, HELD);
        check_encodes(&lease_held_element, &(struct lease_held){.token = 17}, NOBODY);
}

static void answers(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_ADMIN);
        room_takes(&room, IQ_SET(ACQUIRE), ACQUIRE, RESULT(HELD));
        room_takes(&room, IQ_SET(TAKE_OVER), TAKE_OVER, RESULT(HELD));
        room_takes(&room, IQ_SET(EXTEND), EXTEND, RESULT(HELD));
        room_takes(&room, IQ_SET(RELEASE), RELEASE, RESULT(NOBODY));
        room_refuses(&room,
                     IQ_SET("<acquire xmlns='urn:rota:lease:1' id='taken' sid='s1' seconds='1'/>"),
                     ERROR_IN_("cancel",
                               CONDITION_("conflict") TEXT_("reserved for bob") "<leased "
                                                                                "xmlns='urn:"
                                                                                "rota:error:1'"
                                                                                " holder='bob@"
                                                                                "lab'/>"));
        room_done(&room);
}

static void needs_the_role(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_VIEW);
        room_refuses(&room, IQ_SET(ACQUIRE), FORBIDDEN("run", "view"));
        room_refuses(&room, IQ_SET(EXTEND), FORBIDDEN("run", "view"));
        room_refuses(&room, IQ_SET(RELEASE), FORBIDDEN("run", "view"));
        room_done(&room);
        room_init(&room, bindings, ROLE_REBOOT);
        room_refuses(&room, IQ_SET(TAKE_OVER), FORBIDDEN("admin", "reboot"));
        room_done(&room);
}

static void happens_now_or_not_at_all(void **state) {
        struct room room;

        (void)state;
        for (const struct ext_row *row = lease_ext.rows; row->element; row++) {
                assert_true(row->immediate);
                assert_int_equal(row->kind, EXT_IQ_SET);
        }
        room_init(&room, bindings, ROLE_ADMIN);
        assert_int_equal(room_send(&room, MESSAGE(ACQUIRE)), ROUTER_UNHANDLED);
        assert_int_equal(room_send(&room, MESSAGE(TAKE_OVER)), ROUTER_UNHANDLED);
        check_buf(&room.seen, "");
        room_done(&room);
}

#define BAD(element, attrs, why)                                                                   \
        room_refuses(&room, IQ_SET("<" element " xmlns='urn:rota:lease:1' " attrs "/>"),           \
                     BAD_REQUEST("&lt;" element "&gt;: attribute " why))

static void refuses(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_ADMIN);
        BAD("acquire", "sid='s1' seconds='1'", "id is missing");
        BAD("acquire", "id='k3' seconds='1'", "sid is missing");
        BAD("acquire", "id='k3' sid='s1'", "seconds is missing");
        BAD("acquire", "id='../k3' sid='s1' seconds='1'", "id is no identifier");
        BAD("acquire", "id='k3' sid='s1' seconds='-1'", "seconds is no whole number");
        BAD("acquire", "id='k3' sid='s1' seconds='31622401'", "seconds is above 31622400");
        BAD("extend", "id='k3' seconds='1'", "token is missing");
        BAD("release", "by='ana'", "id is missing");
        room_refuses(&room,
                     IQ_SET("<acquire xmlns='urn:rota:lease:1' id='k3' sid='s1' seconds='0'/>"),
                     BAD_REQUEST("a lease lasts at least a second"));
        room_refuses(&room, IQ_SET("<take xmlns='urn:rota:lease:1' id='k3' sid='s1' seconds='0'/>"),
                     BAD_REQUEST("a lease lasts at least a second"));
        room_refuses(&room,
                     IQ_SET("<extend xmlns='urn:rota:lease:1' id='k3' token='1' seconds='0'/>"),
                     BAD_REQUEST("a lease lasts at least a second"));
        room_refuses(&room, IQ_GET(ACQUIRE), UNAVAILABLE);
        room_done(&room);
        room_init(&room, mute_bindings, ROLE_ADMIN);
        room_refuses(&room, IQ_SET(ACQUIRE), UNAVAILABLE);
        room_refuses(&room, IQ_SET(TAKE_OVER), UNAVAILABLE);
        room_refuses(&room, IQ_SET(EXTEND), UNAVAILABLE);
        room_refuses(&room, IQ_SET(RELEASE), UNAVAILABLE);
        room_done(&room);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(golden),         cmocka_unit_test(answers),
                cmocka_unit_test(needs_the_role), cmocka_unit_test(happens_now_or_not_at_all),
                cmocka_unit_test(refuses),
        };

        return cmocka_run_group_tests_name("room lease", tests, NULL, NULL);
}
