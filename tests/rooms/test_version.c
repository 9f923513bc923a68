#include "ext/version.h"

#include "tests/rooms/room.h"

#define QUERY "<query xmlns='jabber:iq:version'/>"
#define INFO                                                                                       \
        "<query xmlns='jabber:iq:version'><name>rota-target</name><version>0.1.0</version>"        \
        "<os>Debian 12 &lt;x86_64&gt;</os></query>"

static const struct version_info info = {"rota-target", "0.1.0", "Debian 12 <x86_64>"};

static int tell_version(void *userdata, const struct ext_request *rq, struct version_info *ret) {
        (void)userdata, (void)rq;
        *ret = info;
        return 0;
}

static const struct version_ops mute;
static const struct version_ops ops = {.version = tell_version};
static const struct ext_binding bindings[] = {EXT_BIND(version, &ops), {0}};
static const struct ext_binding mute_bindings[] = {EXT_BIND(version, &mute), {0}};

static void golden(void **state) {
        (void)state;
        check_encodes(&version_query_element, &(struct version_query){0}, QUERY);
        check_encodes(&version_info_element, &info, INFO);
        check_decodes(&version_info_element, INFO);
        check_encodes(
                &version_info_element, &(struct version_info){"a", "1", NULL},
                "<query xmlns='jabber:iq:version'><name>a</name><version>1</version></query>");
}

static void answers(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_VIEW);
        room_takes(&room, IQ_GET(QUERY), "", RESULT(INFO));
        room_done(&room);
}

static void refuses(void **state) {
        char *name = many('n', 256);
        char *long_name = text_of("<query xmlns='jabber:iq:version'><name>%s</name>"
                                  "<version>1</version></query>",
                                  name);
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_NONE);
        room_refuses(&room, IQ_GET(QUERY), FORBIDDEN("view", "none"));
        room_done(&room);
        room_init(&room, mute_bindings, ROLE_VIEW);
        room_refuses(&room, IQ_GET(QUERY), UNAVAILABLE);
        room_refuses(&room, IQ_SET(QUERY), UNAVAILABLE);
        room_refuses(&room, IQ_GET("<query xmlns='jabber:iq:last'/>"), UNAVAILABLE);
        room_done(&room);
        check_refuses(&version_info_element, QUERY, "<query>: child <name> is missing");
        check_refuses(&version_info_element,
                      "<query xmlns='jabber:iq:version'><name>rota</name></query>",
                      "<query>: child <version> is missing");
        check_refuses(&version_info_element, long_name,
                      "<query>: child <name> is longer than 255 bytes");
        free(name);
        free(long_name);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(golden),
                cmocka_unit_test(answers),
                cmocka_unit_test(refuses),
        };

        return cmocka_run_group_tests_name("room version", tests, NULL, NULL);
}
