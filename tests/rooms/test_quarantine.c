#include "ext/quarantine.h"

#include "tests/rooms/room.h"

#define IMPOSE "<quarantine xmlns='urn:rota:quarantine:1' by='ana' reason='bad DIMM'/>"
#define FREE "<free xmlns='urn:rota:quarantine:1' by='ana'/>"
#define ON                                                                                         \
        "<state xmlns='urn:rota:quarantine:1' on='true' who='ctl@lab' by='ana' "                   \
        "reason='bad DIMM' since='4'/>"
#define OFF "<state xmlns='urn:rota:quarantine:1'/>"

static const struct quarantine_state on = {true, "ctl@lab", "ana", "bad DIMM", 4};

static int impose(void *userdata, const struct ext_request *rq, const struct quarantine_order *m,
                  struct quarantine_state *ret, struct stanza_error *ret_error) {
        (void)rq, (void)ret_error;
        room_saw(userdata, &quarantine_impose_element, m);
        *ret = on;
        return 0;
}

static int set_free(void *userdata, const struct ext_request *rq, const struct quarantine_order *m,
                    struct quarantine_state *ret, struct stanza_error *ret_error) {
        (void)rq, (void)ret, (void)ret_error;
        room_saw(userdata, &quarantine_free_element, m);
        return 0;
}

static const struct quarantine_ops mute;
static const struct quarantine_ops ops = {.impose = impose, .free = set_free};
static const struct ext_binding bindings[] = {EXT_BIND(quarantine, &ops), {0}};
static const struct ext_binding mute_bindings[] = {EXT_BIND(quarantine, &mute), {0}};

static void golden(void **state) {
        (void)state;
        check_decodes(&quarantine_impose_element, IMPOSE);
        check_decodes(&quarantine_free_element, FREE);
        check_encodes(&quarantine_state_element, &on, ON);
        check_encodes(&quarantine_state_element, &(struct quarantine_state){0}, OFF);
}

static void answers(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_REBOOT);
        room_takes(&room, IQ_SET(IMPOSE), IMPOSE, RESULT(ON));
        room_takes(&room, IQ_SET(FREE), FREE, RESULT(OFF));
        room_done(&room);
}

static void refuses(void **state) {
        char *reason = many('r', 256);
        char *long_reason =
                text_of("<quarantine xmlns='urn:rota:quarantine:1' reason='%s'/>", reason);
        struct room room;

        (void)state;
        for (const struct ext_row *row = quarantine_ext.rows; row->element; row++)
                assert_true(row->immediate);
        room_init(&room, bindings, ROLE_RUN);
        room_refuses(&room, IQ_SET(IMPOSE), FORBIDDEN("reboot", "run"));
        room_refuses(&room, IQ_SET(FREE), FORBIDDEN("reboot", "run"));
        assert_int_equal(room_send(&room, MESSAGE(IMPOSE)), ROUTER_UNHANDLED);
        room_done(&room);
        room_init(&room, mute_bindings, ROLE_ADMIN);
        room_refuses(&room, IQ_SET(IMPOSE), UNAVAILABLE);
        room_refuses(&room, IQ_SET(FREE), UNAVAILABLE);
        room_refuses(&room, IQ_GET(FREE), UNAVAILABLE);
        room_done(&room);
        check_refuses(&quarantine_impose_element, long_reason,
                      "<quarantine>: attribute reason is longer than 255 bytes");
        free(reason);
        free(long_reason);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(golden),
                cmocka_unit_test(answers),
                cmocka_unit_test(refuses),
        };

        return cmocka_run_group_tests_name("room quarantine", tests, NULL, NULL);
}
