#include "ext/away.h"

#include "tests/rooms/room.h"

#define LEAVE "<leave xmlns='urn:rota:away:1' sid='s1' seconds='172800' by='ana' reason='BIOS'/>"
#define STAY "<stay xmlns='urn:rota:away:1' by='ana'/>"
#define AWAY                                                                                       \
        "<state xmlns='urn:rota:away:1' away='true' left='172800' who='ctl@lab' by='ana' "         \
        "reason='BIOS'/>"
#define HERE "<state xmlns='urn:rota:away:1'/>"

static const struct away_state away = {
        .away = true, .left = 172800, .who = "ctl@lab", .by = "ana", .reason = "BIOS"};

static int leave(void *userdata, const struct ext_request *rq, const struct away_leave *m,
                 struct away_state *ret, struct stanza_error *ret_error) {
        (void)rq, (void)ret_error;
        room_saw(userdata, &away_leave_element, m);
        *ret = away;
        return 0;
}

static int stay(void *userdata, const struct ext_request *rq, const struct away_stay *m,
                struct away_state *ret, struct stanza_error *ret_error) {
        (void)rq, (void)ret, (void)ret_error;
        room_saw(userdata, &away_stay_element, m);
        return 0;
}

static const struct away_ops mute;
static const struct away_ops ops = {.leave = leave, .stay = stay};
static const struct ext_binding bindings[] = {EXT_BIND(away, &ops), {0}};
static const struct ext_binding mute_bindings[] = {EXT_BIND(away, &mute), {0}};

static void golden(void **state) {
        (void)state;
        check_decodes(&away_leave_element, LEAVE);
        check_decodes(&away_stay_element, STAY);
        check_encodes(&away_state_element, &away, AWAY);
        check_encodes(&away_state_element, &(struct away_state){0}, HERE);
}

static void answers(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_REBOOT);
        room_takes(&room, IQ_SET(LEAVE), LEAVE, RESULT(AWAY));
        room_takes(&room, IQ_SET(STAY), STAY, RESULT(HERE));
        room_done(&room);
}

static void refuses(void **state) {
        struct room room;

        (void)state;
        for (const struct ext_row *row = away_ext.rows; row->element; row++)
                assert_true(row->immediate);
        room_init(&room, bindings, ROLE_REBOOT);
        room_refuses(&room, IQ_SET("<leave xmlns='urn:rota:away:1' seconds='1'/>"),
                     BAD_REQUEST("&lt;leave&gt;: attribute sid is missing"));
        room_refuses(&room, IQ_SET("<leave xmlns='urn:rota:away:1' sid='s1' seconds='31622401'/>"),
                     BAD_REQUEST("&lt;leave&gt;: attribute seconds is above 31622400"));
        room_refuses(&room, IQ_SET("<leave xmlns='urn:rota:away:1' sid='s1' seconds='0'/>"),
                     BAD_REQUEST("a promise lasts at least a second"));
        assert_int_equal(room_send(&room, MESSAGE(LEAVE)), ROUTER_UNHANDLED);
        room_done(&room);
        room_init(&room, bindings, ROLE_RUN);
        room_refuses(&room, IQ_SET(LEAVE), FORBIDDEN("reboot", "run"));
        room_refuses(&room, IQ_SET(STAY), FORBIDDEN("reboot", "run"));
        room_done(&room);
        room_init(&room, mute_bindings, ROLE_ADMIN);
        room_refuses(&room, IQ_SET(LEAVE), UNAVAILABLE);
        room_refuses(&room, IQ_SET(STAY), UNAVAILABLE);
        room_done(&room);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(golden),
                cmocka_unit_test(answers),
                cmocka_unit_test(refuses),
        };

        return cmocka_run_group_tests_name("room away", tests, NULL, NULL);
}
