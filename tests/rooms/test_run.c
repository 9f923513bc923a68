#include "ext/run.h"

#include "tests/rooms/room.h"

#define NS "xmlns='urn:rota:run:1'"
#define PLAN "<json xmlns='urn:xmpp:json:0'>{\"steps\":[{\"exec\":[\"a&lt;b&amp;c\"]}]}</json>"
#define SUBMIT                                                                                     \
        "<run " NS " id='k3xyz' ttl='28800' if-idle='true' by='Ana &quot;A&quot; B'>" PLAN "</"    \
        "run>"
#define SUBMIT_SHORT "<run " NS " id='k3xyz'>" PLAN "</run>"
#define LIST "<list " NS " id='k3' limit='2' before='9'/>"
#define ITEMS                                                                                      \
        "<runs " NS " more='true'><item id='k3xyz' seq='8' owner='ctl@lab' by='ana' name='cpu' "   \
        "state='ended' verdict='passed' step='1' of='2' accepted='5' ended='7'/></runs>"
#define CANCEL "<cancel " NS " run='k3xyz' by='ana'/>"
#define REFUSED "<refused " NS " run='k3xyz' why='over'>it ran &lt;already&gt;</refused>"

static const struct run_plan plan = {"{\"steps\":[{\"exec\":[\"a<b&c\"]}]}"};

static int see_submit(void *userdata, const struct ext_request *rq, const struct run_submit *m) {
        assert_string_equal(rq->from, CONTROLLER);
        room_saw(userdata, &run_submit_element, m);
        return 0;
}

static int see_cancel(void *userdata, const struct ext_request *rq, const struct run_cancel *m) {
        (void)rq;
        room_saw(userdata, &run_cancel_element, m);
        return 0;
}

static int see_refused(void *userdata, const struct ext_request *rq, const struct run_refused *m) {
        (void)rq;
        room_saw(userdata, &run_refused_element, m);
        return 0;
}

static const struct run_ops mute;
static const struct run_ops ops = {
        .submit = see_submit,
        .cancel = see_cancel,
        .refused = see_refused,
};
static const struct ext_binding bindings[] = {EXT_BIND(run, &ops), {0}};
static const struct ext_binding mute_bindings[] = {EXT_BIND(run, &mute), {0}};

static void golden(void **state) {
        (void)state;
        check_encodes(&run_submit_element,
                      &(struct run_submit){.id = "k3xyz",
                                           .ttl = 28800,
                                           .if_idle = true,
                                           .by = "Ana \"A\" B",
                                           .plan = &plan},
                      SUBMIT);
        check_encodes(&run_submit_element, &(struct run_submit){.id = "k3xyz", .plan = &plan},
                      SUBMIT_SHORT);
        check_encodes(&run_cancel_element, &(struct run_cancel){"k3xyz", "ana"}, CANCEL);
        check_encodes(&run_cancel_element, &(struct run_cancel){"k3xyz", NULL},
                      "<cancel " NS " run='k3xyz'/>");
        check_encodes(&run_refused_element,
                      &(struct run_refused){"k3xyz", RUN_REFUSED_OVER, "it ran <already>"},
                      REFUSED);
        check_encodes(&run_refused_element, &(struct run_refused){"k3xyz", RUN_REFUSED_BUSY, NULL},
                      "<refused " NS " run='k3xyz' why='busy'/>");
}

static void names_of_refusals(void **state) {
        static const char *const names[] = {"not-allowed", "invalid", "busy", "full",
                                            "unknown",     "leased",  "over"};

        (void)state;
        for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
                char *text = text_of("<refused " NS " run='r' why='%s'/>", names[i]);

                assert_string_equal(run_refusal_name((enum run_refusal)i), names[i]);
                check_encodes(&run_refused_element, &(struct run_refused){"r", (int)i, NULL}, text);
                check_decodes(&run_refused_element, text);
                free(text);
        }
        assert_null(run_refusal_name((enum run_refusal)ARRAY_SIZE(names)));
}

static void takes(void **state) {
        struct room room;

        (void)state;
        /* whoever it is: the target answers with <refused/>, the router would say nothing */
        room_init(&room, bindings, ROLE_NONE);
        room_takes(&room, MESSAGE(SUBMIT), SUBMIT, "");
        room_takes(&room, MESSAGE(SUBMIT_SHORT), SUBMIT_SHORT, "");
        room_takes(&room, MESSAGE("<run " NS " id='k3xyz' ttl='0' if-idle='0'>" PLAN "</run>"),
                   SUBMIT_SHORT, "");
        room_takes(&room, MESSAGE(CANCEL), CANCEL, "");
        room_takes(&room, MESSAGE(REFUSED), REFUSED, "");
        /* several to a message, among what others put there */
        room_takes(&room,
                   MESSAGE(SUBMIT "<body>hello</body>" CANCEL "<store xmlns='urn:xmpp:hints'/>"),
                   SUBMIT CANCEL, "");
        /* what a later version adds is no reason to refuse */
        room_takes(&room, MESSAGE("<run " NS " id='k3xyz' colour='blue'><new/>" PLAN "</run>"),
                   SUBMIT_SHORT, "");
        /* it may have waited: that is what messages are for */
        room_takes(&room,
                   MESSAGE(SUBMIT "<delay xmlns='urn:xmpp:delay' stamp='2026-01-31T22:00:00Z'/>"),
                   SUBMIT, "");
        room_done(&room);
}

static void the_plan_may_be_large(void **state) {
        char *plan_text = many('x', RUN_PLAN_MAX + 1);
        char *stanza;
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_NONE);
        stanza =
                text_of(MESSAGE("<run " NS " id='r'><json xmlns='urn:xmpp:json:0'>%s</json></run>"),
                        plan_text + 1);
        assert_int_equal(room_send(&room, stanza), 0);
        check_buf(&room.refused, "");
        assert_int_equal(room.seen.len, strlen("<run " NS " id='r'><json xmlns='urn:xmpp:json:0'>"
                                               "</json></run>") +
                                                RUN_PLAN_MAX);
        free(stanza);
        stanza =
                text_of(MESSAGE("<run " NS " id='r'><json xmlns='urn:xmpp:json:0'>%s</json></run>"),
                        plan_text);
        room_drops(&room, stanza, "run: bad-request: <json>: text is longer than 65536 bytes\n");
        free(stanza);
        free(plan_text);
        room_done(&room);
}

#define DROPS(payload, why) room_drops(&room, MESSAGE(payload), why "\n")

static void refuses(void **state) {
        char *text = many('t', RUN_REFUSED_TEXT_MAX + 1), *refused;
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_ADMIN);
        DROPS("<run " NS ">" PLAN "</run>", "run: bad-request: <run>: attribute id is missing");
        DROPS("<run " NS " id='../etc'>" PLAN "</run>",
              "run: bad-request: <run>: attribute id is no identifier");
        DROPS("<run " NS " id=''>" PLAN "</run>",
              "run: bad-request: <run>: attribute id is no identifier");
        DROPS("<run " NS
              " id='01234567890123456789012345678901234567890123456789012345678901234'>" PLAN
              "</run>",
              "run: bad-request: <run>: attribute id is longer than 64 bytes");
        DROPS("<run " NS " id='r' ttl='-1'>" PLAN "</run>",
              "run: bad-request: <run>: attribute ttl is no whole number");
        DROPS("<run " NS " id='r' ttl='4000000001'>" PLAN "</run>",
              "run: bad-request: <run>: attribute ttl is above 4000000000");
        DROPS("<run " NS " id='r' ttl='99999999999999999999'>" PLAN "</run>",
              "run: bad-request: <run>: attribute ttl is no whole number");
        DROPS("<run " NS " id='r' if-idle='maybe'>" PLAN "</run>",
              "run: bad-request: <run>: attribute if-idle is neither true nor false");
        DROPS("<run " NS " id='r'/>", "run: bad-request: <run>: child <json> is missing");
        DROPS("<run " NS " id='r'><json>{}</json></run>",
              "run: bad-request: <run>: child <json> is missing");
        DROPS("<run " NS " id='r'><json xmlns='urn:xmpp:json:0'/></run>",
              "run: bad-request: <json>: text is missing");
        DROPS("<cancel " NS "/>", "cancel: bad-request: <cancel>: attribute run is missing");
        DROPS("<refused " NS " why='full'/>",
              "refused: bad-request: <refused>: attribute run is missing");
        DROPS("<refused " NS " run='r'/>",
              "refused: bad-request: <refused>: attribute why is missing");
        DROPS("<refused " NS " run='r' why='tired'/>",
              "refused: bad-request: <refused>: attribute why has an unknown value");
        refused = text_of(MESSAGE("<refused " NS " run='r' why='full'>%s</refused>"), text);
        room_drops(&room, refused,
                   "refused: bad-request: <refused>: text is longer than 1024 bytes\n");
        /* one that is refused does not take the others with it */
        assert_int_equal(room_send(&room, MESSAGE("<cancel " NS "/>" CANCEL)), 0);
        check_buf(&room.seen, CANCEL);
        check_buf(&room.refused, "cancel: bad-request: <cancel>: attribute run is missing\n");

        assert_int_equal(
                room_send(&room, MESSAGE("<run xmlns='urn:rota:run:2' id='r'>" PLAN "</run>")),
                ROUTER_UNHANDLED);
        assert_int_equal(room_send(&room, "<message type='error' from='" CONTROLLER "'>" SUBMIT
                                          "</message>"),
                         ROUTER_UNHANDLED);
        room_refuses(&room, IQ_SET(SUBMIT), UNAVAILABLE);
        room_done(&room);
        room_init(&room, mute_bindings, ROLE_ADMIN);
        DROPS(SUBMIT, "run: service-unavailable: ");
        DROPS(CANCEL, "cancel: service-unavailable: ");
        DROPS(REFUSED, "refused: service-unavailable: ");
        room_done(&room);
        free(text);
        free(refused);
}

static int give_list(void *userdata, const struct ext_request *rq, const struct run_list *m,
                     struct run_items *ret, struct stanza_error *ret_error) {
        static const struct run_item items[] = {
                {"k3xyz", 8, "ctl@lab", "ana", "cpu", "ended", "passed", 1, 2, 5, 7},
        };

        (void)rq, (void)ret_error;
        room_saw(userdata, &run_list_element, m);
        *ret = (struct run_items){items, 1, true};
        return 0;
}

static void lists(void **state) {
        static const struct run_ops lister = {.list = give_list};
        static const struct ext_binding listing[] = {EXT_BIND(run, &lister), {0}};
        struct room room;

        (void)state;
        check_decodes(&run_list_element, LIST);
        check_decodes(&run_items_element, ITEMS);
        room_init(&room, listing, ROLE_VIEW);
        room_takes(&room, IQ_GET(LIST), LIST, RESULT(ITEMS));
        room_refuses(&room, IQ_GET("<list " NS " limit='101'/>"),
                     BAD_REQUEST("&lt;list&gt;: attribute limit is above 100"));
        room_done(&room);
        room_init(&room, listing, ROLE_NONE);
        room_refuses(&room, IQ_GET(LIST), FORBIDDEN("view", "none"));
        room_done(&room);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(lists),
                cmocka_unit_test(golden),
                cmocka_unit_test(names_of_refusals),
                cmocka_unit_test(takes),
                cmocka_unit_test(the_plan_may_be_large),
                cmocka_unit_test(refuses),
        };

        return cmocka_run_group_tests_name("room run", tests, NULL, NULL);
}
