#include "ext/power.h"

#include "tests/rooms/room.h"

#define NONCE "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define BOOT "6f1c4f0e-0a0b-4c0d-8e0f-101112131415"
#define ASK "<challenge xmlns='urn:rota:power:1'/>"
#define CHALLENGE                                                                                  \
        "<challenge xmlns='urn:rota:power:1' nonce='" NONCE "' boot='" BOOT "' busy='true' "       \
        "run='k3xyz' owner='ctl@lab' simulated='true'/>"
#define REBOOT                                                                                     \
        "<reboot xmlns='urn:rota:power:1' nonce='" NONCE "' boot='" BOOT "' mode='force' "         \
        "reason='new &apos;firmware&apos;' by='ana'/>"
#define REBOOT_SHORT                                                                               \
        "<reboot xmlns='urn:rota:power:1' nonce='" NONCE "' boot='" BOOT "' mode='graceful'/>"
#define REBOOTING                                                                                  \
        "<rebooting xmlns='urn:rota:power:1' boot='" BOOT "' simulated='true' draining='true'/>"
#define DELAY "<delay xmlns='urn:xmpp:delay' stamp='2026-01-31T22:00:00Z'/>"

static const struct power_challenge challenge = {
        .nonce = NONCE,
        .boot = BOOT,
        .busy = true,
        .run = "k3xyz",
        .owner = "ctl@lab",
        .simulated = true,
};
static const struct power_rebooting rebooting = {BOOT, true, true};

static int give_challenge(void *userdata, const struct ext_request *rq, struct power_challenge *ret,
                          struct stanza_error *ret_error) {
        (void)rq, (void)ret_error;
        room_saw(userdata, &power_ask_element, &(struct power_ask){0});
        *ret = challenge;
        return 0;
}

static int take_reboot(void *userdata, const struct ext_request *rq, const struct power_reboot *m,
                       struct power_rebooting *ret, struct stanza_error *ret_error) {
        if (m->mode == POWER_GRACEFUL) {
                *ret_error = (struct stanza_error){
                        .condition = STANZA_RESOURCE_CONSTRAINT,
                        .why = STANZA_WHY_BUSY,
                        .run = "k3xyz",
                        .owner = "ana",
                };
                return EXT_ERROR;
        }
        assert_string_equal(rq->from, CONTROLLER);
        assert_false(rq->delayed);
        room_saw(userdata, &power_reboot_element, m);
        *ret = rebooting;
        return 0;
}

static const struct power_ops mute;
static const struct power_ops ops = {.challenge = give_challenge, .reboot = take_reboot};
static const struct ext_binding bindings[] = {EXT_BIND(power, &ops), {0}};
static const struct ext_binding mute_bindings[] = {EXT_BIND(power, &mute), {0}};

static void golden(void **state) {
        const struct power_reboot reboot = {
                .nonce = NONCE,
                .boot = BOOT,
                .mode = POWER_FORCE,
                .reason = "new 'firmware'",
                .by = "ana",
        };

        (void)state;
        check_encodes(&power_ask_element, &(struct power_ask){0}, ASK);
        check_encodes(&power_challenge_element, &challenge, CHALLENGE);
        check_encodes(&power_challenge_element,
                      &(struct power_challenge){.nonce = NONCE, .boot = "b"},
                      "<challenge xmlns='urn:rota:power:1' nonce='" NONCE "' boot='b'/>");
        check_encodes(&power_reboot_element, &reboot, REBOOT);
        check_encodes(&power_reboot_element,
                      &(struct power_reboot){.nonce = NONCE, .boot = BOOT, .mode = POWER_GRACEFUL},
                      REBOOT_SHORT);
        check_encodes(&power_reboot_element,
                      &(struct power_reboot){.nonce = NONCE, .boot = "b", .mode = POWER_DRAIN},
                      "<reboot xmlns='urn:rota:power:1' nonce='" NONCE "' boot='b' mode='drain'/>");
        check_encodes(&power_rebooting_element, &rebooting, REBOOTING);
        check_decodes(&power_challenge_element, CHALLENGE);
        check_decodes(&power_reboot_element, REBOOT_SHORT);
        check_decodes(&power_rebooting_element, REBOOTING);
}

static void answers(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_REBOOT);
        room_takes(&room, IQ_GET(ASK), ASK, RESULT(CHALLENGE));
        room_takes(&room, IQ_SET(REBOOT), REBOOT, RESULT(REBOOTING));
        room_refuses(&room, IQ_SET(REBOOT_SHORT),
                     ERROR_IN_("wait",
                               CONDITION_("resource-constraint") "<busy xmlns='urn:rota:error:1' "
                                                                 "run='k3xyz' owner='ana'/>"));
        room_done(&room);
}

static void needs_the_role(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_RUN);
        room_refuses(&room, IQ_GET(ASK), FORBIDDEN("reboot", "run"));
        room_refuses(&room, IQ_SET(REBOOT), FORBIDDEN("reboot", "run"));
        room_done(&room);
        /* nor does the server reboot anybody */
        room_init(&room, bindings, ROLE_ADMIN);
        assert_int_equal(room_send(&room, "<iq type='set' from='lab' to='" TARGET
                                          "' id='s1'>" REBOOT "</iq>"),
                         0);
        check_buf(&room.seen, "");
        room_done(&room);
}

static void happens_now_or_not_at_all(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_ADMIN);
        /* a stamp beside the element makes two children, which no IQ has */
        room_refuses(&room, IQ_SET(REBOOT DELAY),
                     BAD_REQUEST("an iq carries one element, this one has more"));
        room_refuses(&room, IQ_GET(DELAY), UNAVAILABLE);
        /* as a message a server may keep it as long as it likes */
        assert_int_equal(room_send(&room, MESSAGE(REBOOT)), ROUTER_UNHANDLED);
        assert_int_equal(room_send(&room, MESSAGE(ASK)), ROUTER_UNHANDLED);
        assert_int_equal(room_send(&room, MESSAGE("<forwarded xmlns='urn:xmpp:forward:0'>" IQ_SET(
                                                  REBOOT) "</forwarded>")),
                         ROUTER_UNHANDLED);
        room_refuses(&room,
                     IQ_SET("<forwarded xmlns='urn:xmpp:forward:0'>" IQ_SET(REBOOT) "</forwarded>"),
                     UNAVAILABLE);
        check_buf(&room.seen, "");
        room_done(&room);
}

static void every_row_is_immediate(void **state) {
        (void)state;
        for (const struct ext_row *row = power_ext.rows; row->element; row++) {
                assert_true(row->immediate);
                assert_int_equal(row->role, ROLE_REBOOT);
                assert_true(row->kind == EXT_IQ_GET || row->kind == EXT_IQ_SET);
        }
}

#define BAD(attrs, why)                                                                            \
        room_refuses(&room, IQ_SET("<reboot xmlns='urn:rota:power:1' " attrs "/>"),                \
                     BAD_REQUEST("&lt;reboot&gt;: attribute " why))

static void refuses(void **state) {
        char *reason = many('r', 256);
        char *long_reason = text_of("<reboot xmlns='urn:rota:power:1' nonce='" NONCE
                                    "' boot='b' mode='force' reason='%s'/>",
                                    reason);
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_REBOOT);
        BAD("boot='b' mode='force'", "nonce is missing");
        BAD("nonce='" NONCE "' mode='force'", "boot is missing");
        BAD("nonce='" NONCE "' boot='b'", "mode is missing");
        BAD("nonce='" NONCE "' boot='b' mode='Force'", "mode has an unknown value");
        BAD("nonce='" NONCE "' boot='b' mode=''", "mode has an unknown value");
        BAD("nonce='" NONCE "0' boot='b' mode='force'", "nonce is longer than 64 bytes");
        BAD("nonce='" NONCE "' boot='" NONCE "' mode='force'", "boot is longer than 63 bytes");
        room_refuses(&room,
                     IQ_SET("<reboot xmlns='urn:rota:power:1' nonce='' boot='b' mode='force'/>"),
                     BAD_REQUEST("a nonce is 64 lower-case hexadecimal digits"));
        room_refuses(&room,
                     IQ_SET("<reboot xmlns='urn:rota:power:1' boot='b' mode='force' nonce='"
                            "0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef'/>"),
                     BAD_REQUEST("a nonce is 64 lower-case hexadecimal digits"));
        room_refuses(&room,
                     IQ_SET("<reboot xmlns='urn:rota:power:2' nonce='" NONCE
                            "' boot='b' mode='force'/>"),
                     UNAVAILABLE);
        room_refuses(&room, IQ_GET(REBOOT), UNAVAILABLE);
        room_refuses(&room, IQ_SET(ASK), UNAVAILABLE);
        room_done(&room);
        room_init(&room, mute_bindings, ROLE_REBOOT);
        room_refuses(&room, IQ_GET(ASK), UNAVAILABLE);
        room_refuses(&room, IQ_SET(REBOOT), UNAVAILABLE);
        room_done(&room);
        check_refuses(&power_reboot_element, long_reason,
                      "<reboot>: attribute reason is longer than 255 bytes");
        check_refuses(&power_challenge_element, ASK, "<challenge>: attribute nonce is missing");
        check_refuses(&power_challenge_element,
                      "<challenge xmlns='urn:rota:power:1' nonce='a' boot='b' busy='yes'/>",
                      "<challenge>: attribute busy is neither true nor false");
        check_refuses(&power_challenge_element,
                      "<challenge xmlns='urn:rota:power:1' nonce='a' boot='b' run='../x'/>",
                      "<challenge>: attribute run is no identifier");
        check_refuses(&power_rebooting_element, "<rebooting xmlns='urn:rota:power:1'/>",
                      "<rebooting>: attribute boot is missing");
        free(reason);
        free(long_reason);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(golden),
                cmocka_unit_test(answers),
                cmocka_unit_test(needs_the_role),
                cmocka_unit_test(happens_now_or_not_at_all),
                cmocka_unit_test(every_row_is_immediate),
                cmocka_unit_test(refuses),
        };

        return cmocka_run_group_tests_name("room power", tests, NULL, NULL);
}
