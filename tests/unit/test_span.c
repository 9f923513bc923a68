#include "tests/support/check.h"

#include "proto/base/clock.h"
#include "target/core/span.h"

#define HOUR USEC_PER_HOUR
#define T (UINT64_C(1795000000) * USEC_PER_SEC) /* some time in 2026 */
#define UP (5 * USEC_PER_MINUTE)

static void the_clock_of_the_same_boot_counts_exactly(void **state) {
        const struct span s = {
                .length_usec = HOUR, .began_usec = T, .up_usec = UP, .same_boot = true};

        (void)state;
        /* wherever the realtime clock was set meanwhile */
        assert_int_equal(span_ends(&s, T + 60, 2 * UP), UP + HOUR);
        assert_int_equal(span_ends(&s, 0, 2 * UP), UP + HOUR);
        assert_int_equal(span_ends(&s, 2 * T, 2 * UP), UP + HOUR);
}

static void the_clock_of_another_boot_is_not_asked(void **state) {
        const struct span s = {.length_usec = HOUR, .began_usec = T, .up_usec = 99 * HOUR};

        (void)state;
        assert_int_equal(span_ends(&s, T + HOUR / 4, UP), UP + HOUR / 4 * 3);
        assert_int_equal(span_ends(&s, T + HOUR, UP), UP);
        assert_int_equal(span_ends(&s, T + 50 * HOUR, UP), UP);
}

static void a_clock_that_was_lost_counts_nothing(void **state) {
        struct span s = {.length_usec = HOUR, .began_usec = T};

        (void)state;
        assert_int_equal(span_ends(&s, 0, UP), UP + HOUR); /* 1970, now */
        assert_int_equal(span_ends(&s, T - HOUR, UP), UP + HOUR);
        s.began_usec = 77; /* 1970, when it began */
        assert_int_equal(span_ends(&s, T, UP), UP + HOUR);
        s.same_boot = true; /* and a journal that does not tell the other clock */
        assert_int_equal(span_ends(&s, T, UP), UP + HOUR);
}

static void never_wraps(void **state) {
        struct span s = {.length_usec = USEC_NEVER - 1, .began_usec = T};

        (void)state;
        assert_int_equal(span_ends(&s, T, UP), USEC_NEVER);
        s.same_boot = true;
        s.up_usec = UP;
        assert_int_equal(span_ends(&s, T, UP), USEC_NEVER);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_clock_of_the_same_boot_counts_exactly),
                cmocka_unit_test(the_clock_of_another_boot_is_not_asked),
                cmocka_unit_test(a_clock_that_was_lost_counts_nothing),
                cmocka_unit_test(never_wraps),
        };

        return cmocka_run_group_tests_name("span", tests, NULL, NULL);
}
