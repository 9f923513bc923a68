#include "tests/support/check.h"

#include "proto/base/buf.h"
#include "tests/support/starve.h"

#include <errno.h>

static void test_empty(void **state) {
        struct buf b = {0};

        (void)state;
        assert_string_equal(buf_text(&b), "");
        assert_int_equal(buf_check(&b), 0);
        buf_clear(&b);
        buf_truncate(&b, 0);
        buf_consume(&b, 0);
        assert_int_equal(buf_append(&b, NULL, 0), 0);
        assert_string_equal(buf_text(&b), "");
        buf_done(&b);
}

static void test_appends(void **state) {
        CLEANUP(buf_done) struct buf b = {0};

        (void)state;
        assert_int_equal(buf_puts(&b, "ab"), 0);
        assert_int_equal(buf_putc(&b, 'c'), 0);
        assert_int_equal(buf_append(&b, "d\0e", 3), 0);
        assert_int_equal(b.len, 6);
        assert_memory_equal(b.data, "abcd\0e", 7);
        buf_consume(&b, 2);
        assert_memory_equal(b.data, "cd\0e", 5);
        buf_truncate(&b, 1);
        check_buf(&b, "c");
        assert_int_equal(b.len, 1);
        buf_clear(&b);
        check_buf(&b, "");
}

static void test_prints_across_growth(void **state) {
        CLEANUP(buf_done) struct buf b = {0};
        char expected[4 * 300 + 1] = "";

        (void)state;
        for (size_t i = 0; i < 300; i++) {
                assert_int_equal(buf_printf(&b, "%03zu,", i), 0);
                snprintf(expected + 4 * i, sizeof(expected) - 4 * i, "%03zu,", i);
        }
        check_buf(&b, expected);
        assert_int_equal(buf_printf(&b, "%s", expected), 0);
        assert_int_equal(b.len, 2 * 4 * 300);
        assert_string_equal(b.data + 4 * 300, expected);
}

static void test_steal(void **state) {
        struct buf b = {0};
        char *text;

        (void)state;
        text = buf_steal(&b);
        assert_string_equal(text, "");
        free(text);
        buf_puts(&b, "mine");
        text = buf_steal(&b);
        assert_string_equal(text, "mine");
        assert_null(b.data);
        assert_int_equal(b.len, 0);
        free(text);
}

static void test_failure_sticks(void **state) {
        struct buf b = {0};

        (void)state;
        buf_puts(&b, "kept");
        assert_int_equal(buf_reserve(&b, SIZE_MAX - 8), -ENOMEM);
        assert_int_equal(buf_puts(&b, "x"), -ENOMEM);
        assert_int_equal(buf_printf(&b, "%d", 1), -ENOMEM);
        assert_int_equal(buf_check(&b), -ENOMEM);
        check_buf(&b, "kept");
        buf_clear(&b);
        assert_int_equal(buf_puts(&b, "again"), 0);
        check_buf(&b, "again");
        assert_int_equal(buf_reserve(&b, SIZE_MAX), -ENOMEM);
        assert_null(buf_steal(&b));
        buf_done(&b);
}

static int build(void *userdata) {
        CLEANUP(buf_done) struct buf b = {0};

        (void)userdata;
        for (int i = 0; i < 200; i++)
                buf_printf(&b, "%d %s", i, "some more text so that it grows");
        return buf_check(&b);
}

static void test_starved(void **state) {
        (void)state;
        assert_true(starve_each(build, NULL) >= 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_empty),
                cmocka_unit_test(test_appends),
                cmocka_unit_test(test_prints_across_growth),
                cmocka_unit_test(test_steal),
                cmocka_unit_test(test_failure_sticks),
                cmocka_unit_test(test_starved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
