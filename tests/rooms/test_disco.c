#include "ext/disco.h"

#include "tests/rooms/room.h"
#include "tests/support/starve.h"

#include <errno.h>

#define QUERY "<query xmlns='http://jabber.org/protocol/disco#info'/>"
#define QUERY_NODE "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:rota#abc='/>"
#define INFO                                                                                       \
        "<query xmlns='http://jabber.org/protocol/disco#info' node='urn:rota#abc='>"               \
        "<identity category='client' type='bot' name='rota &amp; co'/>"                            \
        "<feature var='http://jabber.org/protocol/disco#info'/><feature var='urn:xmpp:ping'/>"     \
        "</query>"

static const struct disco_identity identity = {"client", "bot", "rota & co"};
static const struct disco_feature features[] = {{NS_DISCO_INFO}, {"urn:xmpp:ping"}};
static const struct disco_info info = {
        .node = "urn:rota#abc=",
        .identities = &identity,
        .n_identities = 1,
        .features = features,
        .n_features = 2,
};

static int tell_info(void *userdata, const struct ext_request *rq, const struct disco_query *q,
                     struct disco_info *ret, struct stanza_error *ret_error) {
        (void)rq;
        room_saw(userdata, &disco_query_element, q);
        if (q->node && strcmp(q->node, info.node) != 0) {
                buf_clear(&((struct room *)userdata)->seen);
                ret_error->condition = STANZA_ITEM_NOT_FOUND;
                return EXT_ERROR;
        }
        *ret = info;
        return 0;
}

static const struct disco_ops mute;
static const struct disco_ops ops = {.info = tell_info};
static const struct ext_binding bindings[] = {EXT_BIND(disco, &ops), {0}};
static const struct ext_binding mute_bindings[] = {EXT_BIND(disco, &mute), {0}};

static void golden(void **state) {
        (void)state;
        check_encodes(&disco_query_element, &(struct disco_query){0}, QUERY);
        check_encodes(&disco_query_element, &(struct disco_query){"urn:rota#abc="}, QUERY_NODE);
        check_encodes(&disco_info_element, &info, INFO);
        check_decodes(&disco_info_element, INFO);
        check_decodes(&disco_info_element, QUERY);
}

static void answers(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_VIEW);
        room_takes(&room, IQ_GET(QUERY), QUERY, RESULT(INFO));
        room_takes(&room, IQ_GET(QUERY_NODE), QUERY_NODE, RESULT(INFO));
        room_refuses(&room,
                     IQ_GET("<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>"),
                     ERROR_IN_("cancel", CONDITION_("item-not-found")));
        room_done(&room);
}

static void refuses(void **state) {
        CLEANUP(buf_done) struct buf crowd = {0};
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_NONE);
        room_refuses(&room, IQ_GET(QUERY), FORBIDDEN("view", "none"));
        room.role = ROLE_VIEW;
        room_refuses(&room, IQ_SET(QUERY), UNAVAILABLE);
        room_refuses(&room, IQ_GET("<query xmlns='http://jabber.org/protocol/disco#items'/>"),
                     UNAVAILABLE);
        room_done(&room);
        room_init(&room, mute_bindings, ROLE_VIEW);
        room_refuses(&room, IQ_GET(QUERY), UNAVAILABLE);
        room_done(&room);
        check_refuses(&disco_info_element,
                      "<query xmlns='http://jabber.org/protocol/disco#info'>"
                      "<identity category='client'/></query>",
                      "<identity>: attribute type is missing");
        check_refuses(&disco_info_element,
                      "<query xmlns='http://jabber.org/protocol/disco#info'><feature/></query>",
                      "<feature>: attribute var is missing");
        buf_puts(&crowd, "<query xmlns='http://jabber.org/protocol/disco#info'>");
        for (unsigned i = 0; i < 513; i++)
                buf_printf(&crowd, "<feature var='f%u'/>", i);
        buf_puts(&crowd, "</query>");
        check_refuses(&disco_info_element, buf_text(&crowd),
                      "<query>: child <feature> is there more than 512 times");
}

/* XEP-0115 section 5.2, the simple example. */
static void verification_string(void **state) {
        const struct disco_identity exodus = {"client", "pc", "Exodus 0.9.1"};
        static const char *const spoken[] = {
                "http://jabber.org/protocol/caps",
                "http://jabber.org/protocol/disco#info",
                "http://jabber.org/protocol/disco#items",
                "http://jabber.org/protocol/muc",
        };
        char ver[CAPS_VER_SIZE];

        (void)state;
        assert_int_equal(caps_ver(&exodus, spoken, ARRAY_SIZE(spoken), ver), 0);
        assert_string_equal(ver, "QgayPKawpkPSDYmwT/WM94uAlu0=");
        /* one feature less is another hash */
        assert_int_equal(caps_ver(&exodus, spoken, ARRAY_SIZE(spoken) - 1, ver), 0);
        assert_string_not_equal(ver, "QgayPKawpkPSDYmwT/WM94uAlu0=");
}

static int ver_once(void *userdata) {
        static const char *const spoken[] = {NS_CAPS, NS_DISCO_INFO};
        char ver[CAPS_VER_SIZE];

        return caps_ver(userdata, spoken, ARRAY_SIZE(spoken), ver);
}

static void survives_starving(void **state) {
        struct disco_identity nameless = {"client", "bot", NULL};

        (void)state;
        assert_true(starve_each(ver_once, &nameless) >= 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(golden),
                cmocka_unit_test(answers),
                cmocka_unit_test(refuses),
                cmocka_unit_test(verification_string),
                cmocka_unit_test(survives_starving),
        };

        return cmocka_run_group_tests_name("room disco", tests, NULL, NULL);
}
