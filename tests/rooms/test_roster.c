#include "ext/roster.h"

#include "tests/rooms/room.h"

#define PUSH                                                                                       \
        "<query xmlns='jabber:iq:roster'>"                                                         \
        "<item jid='pc1@lab' subscription='to'/><item jid='pc2@lab' subscription='none' "          \
        "ask='subscribe'/></query>"

static const struct roster_item items[] = {
        {.jid = "pc1@lab",        .subscription = "to"},
        { .jid = "pc2@lab", .subscription = "none",   .ask = "subscribe"},
};

static int see_push(void *userdata, const struct ext_request *rq, const struct roster *r) {
        (void)rq;
        room_saw(userdata, &roster_element, r);
        return 0;
}

static const struct roster_ops mute;
static const struct roster_ops ops = {.pushed = see_push};
static const struct ext_binding bindings[] = {EXT_BIND(roster, &ops), {0}};
static const struct ext_binding mute_bindings[] = {EXT_BIND(roster, &mute), {0}};

static void golden(void **state) {
        (void)state;
        check_encodes(&roster_element, &(struct roster){0}, "<query xmlns='jabber:iq:roster'/>");
        check_encodes(&roster_element, &(struct roster){.items = items, .n_items = 2}, PUSH);
        check_decodes(&roster_element, PUSH);
}

static void takes_pushes(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_NONE);
        room_takes(&room, "<iq type='set' to='" TARGET "' id='p1'>" PUSH "</iq>", PUSH,
                   "<iq type='result' id='p1'/>");
        room_done(&room);
}

static void refuses(void **state) {
        char *jid = many('j', 1024);
        char *long_jid = text_of("<query xmlns='jabber:iq:roster'><item jid='%s'/></query>", jid);
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_NONE);
        room_refuses(&room, IQ_GET(PUSH), UNAVAILABLE);
        room_refuses(&room, IQ_SET("<query xmlns='jabber:iq:roster'><item/></query>"),
                     BAD_REQUEST("&lt;item&gt;: attribute jid is missing"));
        room_done(&room);
        room_init(&room, mute_bindings, ROLE_NONE);
        room_refuses(&room, IQ_SET(PUSH), UNAVAILABLE);
        room_done(&room);
        check_refuses(&roster_element, long_jid, "<item>: attribute jid is longer than 1023 bytes");
        check_refuses(
                &roster_element,
                "<query xmlns='jabber:iq:roster'><item jid='a' subscription='0123456789abcdef'/>"
                "</query>",
                "<item>: attribute subscription is longer than 15 bytes");
        check_refuses(&roster_element, "<query xmlns='jabber:iq:rooster'/>",
                      "<query>: expected, found another element");
        free(jid);
        free(long_jid);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(golden),
                cmocka_unit_test(takes_pushes),
                cmocka_unit_test(refuses),
        };

        return cmocka_run_group_tests_name("room roster", tests, NULL, NULL);
}
