#include "tests/support/check.h"

#include "proto/base/id.h"

#define MANY 2000

static int compare(const void *a, const void *b) {
        return strcmp(a, b);
}

static void test_new_ones_are_valid_and_differ(void **state) {
        static char ids[MANY][ID_SIZE];

        (void)state;
        for (size_t i = 0; i < MANY; i++) {
                assert_int_equal(id_new(ids[i]), 0);
                assert_int_equal(strlen(ids[i]), ID_LEN);
                assert_int_equal(strspn(ids[i], "0123456789abcdefghjkmnpqrstvwxyz"), ID_LEN);
                assert_true(id_valid(ids[i]));
        }
        qsort(ids, MANY, ID_SIZE, compare);
        for (size_t i = 1; i < MANY; i++)
                assert_string_not_equal(ids[i - 1], ids[i]);
}

static void test_what_may_name_a_directory(void **state) {
        static const char *const good[] = {"a", "k3v9", "A.b_c-d", "0", "_x", "a..b"};
        static const char *const bad[] = {
                "",    ".",   "..",       ".hidden", "-rf", "a/b",   "/etc",
                "a b", "a\n", "\xc3\xa4", "a\\b",    "a:b", "a\x01", "a*b",
        };
        char text[ID_MAX + 2];

        (void)state;
        for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
                assert_true(id_valid(good[i]));
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                assert_false(id_valid(bad[i]));
        memset(text, 'a', sizeof(text));
        text[ID_MAX] = '\0';
        assert_true(id_valid(text));
        text[ID_MAX] = 'a';
        text[ID_MAX + 1] = '\0';
        assert_false(id_valid(text));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_new_ones_are_valid_and_differ),
                cmocka_unit_test(test_what_may_name_a_directory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
