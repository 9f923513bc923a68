#include "tests/support/check.h"

#include "proto/base/nearest.h"

static const char *const names[] = {"memory", "cpu", "disk", "network", "pci", NULL};

static void test_distance(void **state) {
        (void)state;
        assert_int_equal(nearest_distance("", ""), 0);
        assert_int_equal(nearest_distance("abc", ""), 3);
        assert_int_equal(nearest_distance("kitten", "sitting"), 3);
        assert_int_equal(nearest_distance("flaw", "lawn"), 2);
}

static void test_words(void **state) {
        char word[80];

        (void)state;
        assert_string_equal(nearest("memroy", names), "memory");
        assert_string_equal(nearest("dsk", names), "disk");
        assert_string_equal(nearest("networks", names), "network");
        assert_null(nearest("zzzzzz", names));
        assert_null(nearest("x", names + 5));
        memset(word, 'm', sizeof(word));
        word[sizeof(word) - 1] = '\0';
        assert_null(nearest(word, names));
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_distance),
                                           cmocka_unit_test(test_words)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
