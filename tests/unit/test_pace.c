#include "tests/support/check.h"

#include "proto/base/clock.h"
#include "target/core/pace.h"

static void five_in_a_second(void **state) {
        struct pace p = {0};
        uint64_t now = 1000 * USEC_PER_SEC;

        (void)state;
        for (int i = 0; i < 5; i++)
                assert_true(pace_take(&p, now + (uint64_t)i));
        assert_false(pace_take(&p, now + 5));
        assert_int_equal(pace_ready_usec(&p), now + USEC_PER_SEC);
        assert_false(pace_take(&p, now + USEC_PER_SEC - 1));
        assert_true(pace_take(&p, now + USEC_PER_SEC));
        assert_false(pace_take(&p, now + USEC_PER_SEC));
        assert_true(pace_take(&p, now + USEC_PER_SEC + 1));
}

static void never_more_in_any_second(void **state) {
        struct pace p = {0};
        uint64_t taken[1000];
        size_t n = 0;

        (void)state;
        for (uint64_t now = USEC_PER_SEC; now < 20 * USEC_PER_SEC && n < 1000; now += 7919)
                if (pace_take(&p, now))
                        taken[n++] = now;
        assert_true(n >= 90);
        for (size_t i = 5; i < n; i++)
                assert_true(taken[i] - taken[i - 5] >= USEC_PER_SEC);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(five_in_a_second),
                cmocka_unit_test(never_more_in_any_second),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
