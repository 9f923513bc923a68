#include "ext/time.h"

#include "tests/rooms/room.h"

#include <time.h>

#define QUERY "<time xmlns='urn:xmpp:time'/>"
#define INFO                                                                                       \
        "<time xmlns='urn:xmpp:time'><tzo>-06:00</tzo><utc>2006-12-19T17:58:35.123Z</utc></time>"

static const struct time_info info = {"-06:00", "2006-12-19T17:58:35.123Z"};

static int tell_time(void *userdata, const struct ext_request *rq, struct time_info *ret) {
        (void)userdata, (void)rq;
        *ret = info;
        return 0;
}

static const struct time_ops clock_ops;
static const struct time_ops ops = {.time = tell_time};
static const struct ext_binding bindings[] = {EXT_BIND(time, &ops), {0}};
static const struct ext_binding clock_bindings[] = {EXT_BIND(time, &clock_ops), {0}};

static void golden(void **state) {
        (void)state;
        check_encodes(&time_query_element, &(struct time_query){0}, QUERY);
        check_encodes(&time_info_element, &info, INFO);
        check_decodes(&time_info_element, INFO);
}

static void answers(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_VIEW);
        room_takes(&room, IQ_GET(QUERY), "", RESULT(INFO));
        room_done(&room);
        room_init(&room, clock_bindings, ROLE_VIEW);
        assert_int_equal(room_send(&room, IQ_GET(QUERY)), 0);
        assert_non_null(strstr(buf_text(&room.reply), "Z</utc></time></iq>"));
        room_done(&room);
}

static void in_zone(const char *zone, const char *tzo) {
        struct arena arena = {0};
        struct time_info now = {0};
        struct tm tm = {0};
        const char *rest;
        time_t told;

        assert_int_equal(setenv("TZ", zone, 1), 0);
        tzset();
        assert_int_equal(time_now(&arena, &now), 0);
        assert_string_equal(now.tzo, tzo);
        assert_int_equal(strlen(now.utc), strlen("2006-12-19T17:58:35.123Z"));
        rest = strptime(now.utc, "%Y-%m-%dT%H:%M:%S.", &tm);
        assert_non_null(rest);
        assert_string_equal(rest + 3, "Z");
        told = timegm(&tm);
        /* it is UTC whatever the zone: not an hour beside the truth */
        assert_true(llabs((long long)told - (long long)time(NULL)) < 60);
        arena_done(&arena);
}

static void tells_the_clock(void **state) {
        (void)state;
        in_zone("UTC", "+00:00");
        in_zone("LAB-02", "+02:00");
        in_zone("LAB+03:30", "-03:30");
        in_zone("LAB-05:45", "+05:45");
}

static void refuses(void **state) {
        struct room room;

        (void)state;
        room_init(&room, bindings, ROLE_NONE);
        room_refuses(&room, IQ_GET(QUERY), FORBIDDEN("view", "none"));
        room.role = ROLE_ADMIN;
        room_refuses(&room, IQ_SET(QUERY), UNAVAILABLE);
        room_refuses(&room, IQ_GET("<time xmlns='urn:xmpp:tide'/>"), UNAVAILABLE);
        room_done(&room);
        check_refuses(&time_info_element, QUERY, "<time>: child <tzo> is missing");
        check_refuses(
                &time_info_element,
                "<time xmlns='urn:xmpp:time'><tzo>+00:00:00:00:00:00</tzo><utc>x</utc></time>",
                "<time>: child <tzo> is longer than 16 bytes");
        check_refuses(&time_info_element,
                      "<time xmlns='urn:xmpp:time'><tzo>Z</tzo>"
                      "<utc>2006-12-19T17:58:35.1234567890123456789012Z</utc></time>",
                      "<time>: child <utc> is longer than 40 bytes");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(golden),
                cmocka_unit_test(answers),
                cmocka_unit_test(tells_the_clock),
                cmocka_unit_test(refuses),
        };

        return cmocka_run_group_tests_name("room time", tests, NULL, NULL);
}
