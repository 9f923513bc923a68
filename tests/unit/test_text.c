#include "proto/text.h"

#include "tests/support/check.h"
#include "tests/support/starve.h"

#include <errno.h>

static void leaves_what_fits(void **state) {
        struct arena a = {0};
        const char *text = "memory, step 2 of 5";

        (void)state;
        assert_ptr_equal(text_fit(&a, text, 19), text);
        assert_ptr_equal(text_fit(&a, "", 3), "");
        assert_null(text_fit(&a, NULL, 3));
        assert_null(a.blocks);
        arena_done(&a);
}

static void cuts_between_characters(void **state) {
        struct arena a = {0};

        (void)state;
        assert_string_equal(text_fit(&a, "abcdefgh", 7), "abcd…");
        assert_string_equal(text_fit(&a, "abcdefgh", 3), "…");
        /* ä is two bytes, € three, the smile four */
        assert_string_equal(text_fit(&a, "ääää", 7), "ää…");
        assert_string_equal(text_fit(&a, "ääää", 8), "ääää");
        assert_string_equal(text_fit(&a, "a€€€", 9), "a€…");
        assert_string_equal(text_fit(&a, "a\xf0\x9f\x98\x80z!", 6), "a…");
        arena_done(&a);
}

static void counts_what_is_replaced(void **state) {
        struct arena a = {0};
        char bad[256];

        (void)state;
        assert_string_equal(text_fit(&a, "a\x1b[31mb", 255), "a\xef\xbf\xbd[31mb");
        assert_string_equal(text_fit(&a, "a\xff", 255), "a\xef\xbf\xbd");
        assert_string_equal(text_fit(&a, "tab\tline\n", 255), "tab\tline\n");
        assert_string_equal(text_fit(&a, "\xef\xbf\xbe", 255), "\xef\xbf\xbd");
        memset(bad, 1, sizeof(bad) - 1);
        bad[sizeof(bad) - 1] = '\0';
        /* 85 replacements would be 255 bytes, and 255 are asked for: 84 and the ellipsis */
        assert_int_equal(strlen(text_fit(&a, bad, 255)), 255);
        assert_string_equal(text_fit(&a, bad, 255) + 252, "…");
        arena_done(&a);
}

static int fit_once(void *userdata) {
        struct arena a = {0};
        const char *text = text_fit(&a, "abcdefgh", 5);

        (void)userdata;
        if (text)
                assert_string_equal(text, "ab…");
        arena_done(&a);
        return text ? 0 : -ENOMEM;
}

static void survives_starving(void **state) {
        (void)state;
        assert_int_equal(starve_each(fit_once, NULL), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(leaves_what_fits),
                cmocka_unit_test(cuts_between_characters),
                cmocka_unit_test(counts_what_is_replaced),
                cmocka_unit_test(survives_starving),
        };

        return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
