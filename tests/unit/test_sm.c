#include "tests/support/check.h"

#include "proto/sm.h"

static void on(struct sm *s) {
        sm_init(s);
        sm_enabling(s);
        assert_int_equal(sm_element(s, "enabled", NULL), 0);
        assert_int_equal(s->state, SM_ON);
}

static void check_answer(const struct sm *s, const char *expected) {
        char text[SM_ANSWER_SIZE];

        assert_int_equal(sm_answer(s, text), strlen(expected));
        assert_string_equal(text, expected);
}

/* Theirs count from <enabled/>, ours from <enable/>. */
static void test_counts(void **state) {
        struct sm s;

        (void)state;
        sm_init(&s);
        sm_received(&s);
        sm_sent(&s, 5);
        assert_int_equal(s.in + s.out, 0);
        sm_enabling(&s);
        sm_received(&s);
        sm_sent(&s, 2);
        assert_int_equal(s.in, 0);
        assert_int_equal(s.out, 2);
        assert_int_equal(sm_element(&s, "enabled", NULL), 0);
        sm_received(&s);
        sm_received(&s);
        sm_sent(&s, 1);
        assert_int_equal(sm_element(&s, "r", NULL), SM_ANSWER);
        check_answer(&s, "<a xmlns='urn:xmpp:sm:3' h='2'/>");
        assert_int_equal(sm_element(&s, "a", "3"), 0);
        assert_int_equal(s.acked, 3);
}

static void test_bad_acks(void **state) {
        static const char *const bad[] = {
                "4", "", "-1", "+1", " 1", "1x", "x", "4294967296", "99999999999999999999999"};
        struct sm s;

        (void)state;
        on(&s);
        sm_sent(&s, 3);
        assert_int_equal(sm_element(&s, "a", "2"), 0);
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
                assert_int_equal(sm_element(&s, "a", bad[i]), SM_BAD_ACK);
        assert_int_equal(sm_element(&s, "a", NULL), SM_BAD_ACK);
        assert_int_equal(sm_element(&s, "a", "1"), SM_BAD_ACK); /* backwards */
        assert_int_equal(s.acked, 2);
        assert_int_equal(sm_element(&s, "a", "2"), 0);
        assert_int_equal(sm_element(&s, "a", "3"), 0);
}

static void test_wraps(void **state) {
        struct sm s;

        (void)state;
        on(&s);
        s.out = s.acked = s.out_asked = UINT32_MAX - 1;
        s.in = UINT32_MAX;
        sm_sent(&s, 4);
        assert_int_equal(s.out, 2);
        assert_int_equal(sm_element(&s, "a", "4294967295"), 0);
        assert_int_equal(sm_element(&s, "a", "1"), 0);
        assert_int_equal(sm_element(&s, "a", "3"), SM_BAD_ACK);
        assert_int_equal(sm_element(&s, "a", "2"), 0);
        sm_received(&s);
        check_answer(&s, "<a xmlns='urn:xmpp:sm:3' h='0'/>");
        s.in = UINT32_MAX;
        check_answer(&s, "<a xmlns='urn:xmpp:sm:3' h='4294967295'/>");
}

static void test_asks_now_and_then(void **state) {
        unsigned asked = 0;
        struct sm s;

        (void)state;
        on(&s);
        assert_false(sm_ask_due(&s));
        for (unsigned i = 0; i < 1000; i++) {
                sm_sent(&s, 1);
                if (sm_ask_due(&s)) {
                        sm_asked(&s);
                        asked++;
                }
        }
        assert_int_equal(asked, 1); /* one at a time */
        for (unsigned i = 0; i < 1000; i++) {
                char h[16];

                sm_sent(&s, 1);
                snprintf(h, sizeof(h), "%u", s.out);
                assert_int_equal(sm_element(&s, "a", h), 0);
                if (sm_ask_due(&s)) {
                        sm_asked(&s);
                        asked++;
                }
        }
        assert_true(asked >= 10 && asked <= 100);
}

static void test_refused(void **state) {
        struct sm s;

        (void)state;
        sm_init(&s);
        sm_enabling(&s);
        sm_sent(&s, 100);
        assert_int_equal(sm_element(&s, "failed", NULL), SM_REFUSED);
        assert_int_equal(s.state, SM_OFF);
        assert_false(sm_ask_due(&s));
        assert_int_equal(sm_element(&s, "r", NULL), SM_UNKNOWN);
        assert_int_equal(sm_element(&s, "a", "1"), SM_UNKNOWN);
}

static void test_unasked(void **state) {
        struct sm s;

        (void)state;
        sm_init(&s);
        assert_int_equal(sm_element(&s, "enabled", NULL), SM_UNKNOWN);
        assert_int_equal(s.state, SM_OFF);
        on(&s);
        assert_int_equal(sm_element(&s, "enabled", NULL), SM_UNKNOWN);
        assert_int_equal(sm_element(&s, "failed", NULL), SM_UNKNOWN);
        assert_int_equal(sm_element(&s, "resumed", "1"), SM_UNKNOWN);
        assert_int_equal(s.state, SM_ON);
}

static size_t count(const char *text) {
        return sm_count_stanzas(text, strlen(text));
}

static void test_count_stanzas(void **state) {
        (void)state;
        assert_int_equal(count(""), 0);
        assert_int_equal(count("   "), 0);
        assert_int_equal(count("<presence/>"), 1);
        assert_int_equal(count("<presence/> <presence type='x'/>\n<iq></iq>"), 3);
        assert_int_equal(count("<message><body>a &gt; b > c</body><x/></message>"), 1);
        assert_int_equal(count("<message a='/>' b=\"'>\"><x y='>'/></message><iq a='<'/>"), 2);
        assert_int_equal(count("<a><a><a/></a><a></a></a><a/>"), 2);
        /* broken text is counted somehow, and never read beyond its end */
        assert_int_equal(count("<a"), 0);
        assert_int_equal(count("</a></a>"), 0);
        assert_int_equal(count("<"), 0);
        assert_int_equal(count("<a b='"), 0);
        assert_int_equal(sm_count_stanzas("<a/><b/>", 4), 1);
        assert_int_equal(sm_count_stanzas("<a/><b/>", 5), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_counts),        cmocka_unit_test(test_bad_acks),
                cmocka_unit_test(test_wraps),         cmocka_unit_test(test_asks_now_and_then),
                cmocka_unit_test(test_refused),       cmocka_unit_test(test_unasked),
                cmocka_unit_test(test_count_stanzas),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
