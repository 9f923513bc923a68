#include "ext/presence.h"

#include "tests/rooms/room.h"
#include "tests/support/starve.h"

#include <errno.h>

#define NS "xmlns='urn:rota:presence:1'"
#define CAPS                                                                                       \
        "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='urn:rota' "                 \
        "ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>"
#define X                                                                                          \
        "<x " NS " role='target' state='busy' boot='6f1c' sid='k3s' queue='2' version='0.1.0'>"    \
        "<name>Bob's server</name><location>Austin/Lab 3/Rack B/U12</location>"                    \
        "<run id='k3xyz' step='2' of='5' owner='ctl@lab' by='ana' title='memory'/>"                \
        "<label name='gpu' value='mi300'/><label name='ecc' value=''/></x>"
#define NICK "<nick xmlns='http://jabber.org/protocol/nick'>Bob's server</nick>"
#define WHOLE                                                                                      \
        "<presence><show>dnd</show><status>memory, step 2 of 5, for ana</status>" NICK CAPS X      \
        "</presence>"

static const struct presence_run run = {"k3xyz", 2, 5, "ctl@lab", "ana", "memory"};
static const struct presence_label labels[] = {
        {"gpu", "mi300"},
        {"ecc", ""     }
};
static const struct presence busy = {
        .role = PRESENCE_TARGET,
        .state = PRESENCE_BUSY,
        .boot = "6f1c",
        .sid = "k3s",
        .queue = 2,
        .version = "0.1.0",
        .name = "Bob's server",
        .location = "Austin/Lab 3/Rack B/U12",
        .run = &run,
        .labels = labels,
        .n_labels = 2,
};

static int see_announced(void *userdata, const struct ext_request *rq, const struct presence *p) {
        assert_string_equal(rq->from, TARGET);
        room_saw(userdata, &presence_element, p);
        for (size_t i = 0; i < p->n_labels; i++)
                assert_non_null(p->labels[i].value);
        if (rq->unavailable)
                buf_puts(&((struct room *)userdata)->seen, " gone");
        return 0;
}

static const struct presence_ops mute;
static const struct presence_ops ops = {.announced = see_announced};
static const struct ext_binding bindings[] = {EXT_BIND(presence, &ops), {0}};
static const struct ext_binding mute_bindings[] = {EXT_BIND(presence, &mute), {0}};

static void golden(void **state) {
        CLEANUP(buf_done) struct buf out = {0};

        (void)state;
        check_encodes(&presence_element, &busy, X);
        assert_int_equal(presence_write(&out, &busy, "memory, step 2 of 5, for ana", "urn:rota",
                                        "QgayPKawpkPSDYmwT/WM94uAlu0="),
                         0);
        check_buf(&out, WHOLE);
}

static void says_only_what_there_is(void **state) {
        CLEANUP(buf_done) struct buf out = {0};
        const struct presence idle = {.boot = "b", .sid = "s"};
        const struct presence controller = {.role = PRESENCE_CONTROLLER, .sid = "s", .name = "c&c"};

        (void)state;
        assert_int_equal(presence_write(&out, &idle, NULL, NULL, NULL), 0);
        check_buf(&out, "<presence><x " NS " role='target' state='ready' boot='b' sid='s'/>"
                        "</presence>");
        buf_clear(&out);
        assert_int_equal(presence_write(&out, &controller, NULL, NULL, NULL), 0);
        check_buf(&out, "<presence><nick xmlns='http://jabber.org/protocol/nick'>c&amp;c</nick>"
                        "<x " NS " role='controller' sid='s'><name>c&amp;c</name></x></presence>");
}

static void shows_its_state(void **state) {
        static const struct {
                enum presence_state state;
                const char *name;
                const char *show;
        } states[] = {
                {PRESENCE_READY,       "ready",       ""                },
                {PRESENCE_BUSY,        "busy",        "<show>dnd</show>"},
                {PRESENCE_RESERVED,    "reserved",    "<show>dnd</show>"},
                {PRESENCE_DRAINING,    "draining",    "<show>xa</show>" },
                {PRESENCE_QUARANTINED, "quarantined", "<show>xa</show>" },
                {PRESENCE_REBOOTING,   "rebooting",   "<show>xa</show>" },
                {PRESENCE_AWAY,        "away",        "<show>xa</show>" },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
                struct presence p = {.state = (int)states[i].state, .boot = "b", .sid = "s"};
                CLEANUP(buf_done) struct buf out = {0};
                char *text = text_of("<presence>%s<x " NS " role='target' state='%s' boot='b' "
                                     "sid='s'/></presence>",
                                     states[i].show, states[i].name);

                assert_int_equal(presence_write(&out, &p, NULL, NULL, NULL), 0);
                check_buf(&out, text);
                assert_string_equal(presence_state_name(states[i].state), states[i].name);
                free(text);
        }
        assert_null(presence_state_name((enum presence_state)ARRAY_SIZE(states)));
}

/* A run may be called anything; its title must not keep a machine from being seen. */
static void cuts_what_people_wrote(void **state) {
        CLEANUP(buf_done) struct buf out = {0};
        char *text = many('\x01', 5000), *title = many('t', 5000);
        const struct presence_run long_run = {"r", 1, 1, "o", text, title};
        struct presence p = busy;
        struct room room;
        char *stanza;

        (void)state;
        p.run = &long_run;
        p.name = text;
        p.location = title;
        assert_int_equal(presence_write(&out, &p, text, "n", "v"), 0);
        room_init(&room, bindings, ROLE_NONE);
        stanza = text_of("<presence from='" TARGET "'>%s", buf_text(&out) + strlen("<presence>"));
        assert_int_equal(room_send(&room, stanza), 0);
        check_buf(&room.refused, "");
        assert_non_null(strstr(buf_text(&room.seen), "ttttt…'/>"));
        /* the caller's struct is as it was */
        assert_ptr_equal(p.run->title, title);
        room_done(&room);
        free(stanza);
        free(text);
        free(title);
}

static void takes(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_NONE);
        room_takes(&room, PRESENCE(X), X, "");
        /* servers may change the order of children and add a stamp */
        room_takes(&room,
                   PRESENCE("<delay xmlns='urn:xmpp:delay' stamp='2026-01-31T22:00:00Z'/>" X CAPS
                            "<x xmlns='vcard-temp:x:update'/><show>dnd</show>" NICK),
                   X, "");
        room_takes(&room,
                   "<presence xmlns='jabber:client' type='unavailable' from='" TARGET "'>" X
                   "</presence>",
                   X " gone", "");
        /* a label that is only a name */
        room_takes(&room,
                   PRESENCE("<x " NS " role='target' state='ready' boot='b' sid='s'>"
                            "<label name='ecc'/></x>"),
                   "<x " NS " role='target' state='ready' boot='b' sid='s'>"
                   "<label name='ecc' value=''/></x>",
                   "");
        room_takes(&room, PRESENCE("<x " NS " role='controller' sid='s'/>"),
                   "<x " NS " role='controller' sid='s'/>", "");
        /* any other client's presence is not ours to judge */
        assert_int_equal(room_send(&room, PRESENCE("<show>away</show>")), ROUTER_UNHANDLED);
        assert_int_equal(
                room_send(&room, "<presence type='subscribe' from='pc9@lab'>" X "</presence>"),
                ROUTER_UNHANDLED);
        room_done(&room);
}

#define DROPS(payload, why) room_drops(&room, PRESENCE(payload), "x: bad-request: " why "\n")
#define XOF(inside) "<x " NS " role='target' state='ready' boot='b' sid='s'>" inside "</x>"

static void refuses(void **state) {
        char *name = many('n', 256), *stanza;
        CLEANUP(buf_done) struct buf crowd = {0};
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_ADMIN);
        DROPS("<x " NS " state='ready' boot='b' sid='s'/>", "<x>: attribute role is missing");
        DROPS("<x " NS " role='boss' state='ready' boot='b' sid='s'/>",
              "<x>: attribute role has an unknown value");
        DROPS("<x " NS " role='target' state='fine' boot='b' sid='s'/>",
              "<x>: attribute state has an unknown value");
        DROPS("<x " NS " role='target' state='ready' boot='b'/>", "<x>: attribute sid is missing");
        DROPS("<x " NS " role='target' state='ready' boot='b' sid='a b'/>",
              "<x>: attribute sid is no identifier");
        DROPS("<x " NS " role='target' state='ready' sid='s'/>",
              "<x>: a target announces its state and its boot");
        DROPS("<x " NS " role='target' boot='b' sid='s'/>",
              "<x>: a target announces its state and its boot");
        DROPS("<x " NS " role='target' state='ready' boot='b' sid='s' queue='many'/>",
              "<x>: attribute queue is no whole number");
        DROPS("<x " NS " role='target' state='ready' sid='s' boot='"
              "0123456789012345678901234567890123456789012345678901234567890123'/>",
              "<x>: attribute boot is longer than 63 bytes");
        DROPS(XOF("<run step='1'/>"), "<run>: attribute id is missing");
        DROPS(XOF("<run id='/'/>"), "<run>: attribute id is no identifier");
        DROPS(XOF("<label value='1'/>"), "<label>: attribute name is missing");
        stanza = text_of(PRESENCE(XOF("<name>%s</name>")), name);
        room_drops(&room, stanza, "x: bad-request: <x>: child <name> is longer than 255 bytes\n");
        free(stanza);
        stanza = text_of(PRESENCE(XOF("<location>%s</location>")), name);
        room_drops(&room, stanza,
                   "x: bad-request: <x>: child <location> is longer than 255 bytes\n");
        free(stanza);
        for (unsigned i = 0; i <= PRESENCE_LABELS_MAX; i++)
                buf_printf(&crowd, "<label name='l%u'/>", i);
        stanza = text_of(PRESENCE(XOF("%s")), buf_text(&crowd));
        room_drops(&room, stanza,
                   "x: bad-request: <x>: child <label> is there more than 64 times\n");
        free(stanza);
        assert_int_equal(room_send(&room, PRESENCE("<x xmlns='urn:rota:presence:2'/>")),
                         ROUTER_UNHANDLED);
        room_done(&room);
        room_init(&room, mute_bindings, ROLE_ADMIN);
        room_drops(&room, PRESENCE(X), "x: service-unavailable: \n");
        room_done(&room);
        free(name);
}

static int write_once(void *userdata) {
        CLEANUP(buf_done) struct buf out = {0};

        return presence_write(&out, userdata, "status", "node", "ver");
}

static void survives_starving(void **state) {
        char *title = many('t', 300);
        const struct presence_run long_run = {"r", 1, 1, "o", "b", title};
        struct presence p = busy;

        (void)state;
        p.run = &long_run;
        assert_true(starve_each(write_once, &p) >= 2);
        free(title);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(golden),
                cmocka_unit_test(says_only_what_there_is),
                cmocka_unit_test(shows_its_state),
                cmocka_unit_test(cuts_what_people_wrote),
                cmocka_unit_test(takes),
                cmocka_unit_test(refuses),
                cmocka_unit_test(survives_starving),
        };

        return cmocka_run_group_tests_name("room presence", tests, NULL, NULL);
}
