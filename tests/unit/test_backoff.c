#include "tests/support/check.h"

#include "proto/backoff.h"

#define BASE UINT64_C(250000)
#define CAP UINT64_C(15000000)

static void test_bounds(void **state) {
        (void)state;
        for (uint64_t seed = 0; seed < 200; seed++) {
                uint64_t last = BASE;
                struct backoff b;

                backoff_init(&b, BASE, CAP, seed);
                for (int i = 0; i < 100; i++) {
                        uint64_t delay = backoff_next(&b);

                        assert_true(delay >= BASE && delay <= CAP);
                        assert_true(delay <= last * 3);
                        last = delay;
                }
        }
}

/* Machines that lost the same server at the same moment come back spread out, and not ever faster. */
static void test_spread(void **state) {
        uint64_t lowest = UINT64_MAX, highest = 0, sum = 0;

        (void)state;
        for (uint64_t seed = 1; seed <= 1000; seed++) {
                struct backoff b;
                uint64_t delay = 0;

                backoff_init(&b, BASE, CAP, seed * UINT64_C(0x9e3779b97f4a7c15));
                for (int i = 0; i < 12; i++)
                        delay = backoff_next(&b);
                lowest = delay < lowest ? delay : lowest;
                highest = delay > highest ? delay : highest;
                sum += delay;
        }
        assert_true(lowest < CAP / 8 && highest > CAP - CAP / 8);
        assert_true(sum / 1000 > CAP / 6 && sum / 1000 < CAP - CAP / 6);
}

static void test_reset(void **state) {
        struct backoff b;

        (void)state;
        backoff_init(&b, BASE, CAP, 7);
        for (int i = 0; i < 50; i++)
                backoff_next(&b);
        backoff_reset(&b);
        assert_true(backoff_next(&b) <= 3 * BASE);
}

static void test_extremes(void **state) {
        struct backoff b;

        (void)state;
        backoff_init(&b, 1, UINT64_MAX, 3);
        for (int i = 0; i < 500; i++)
                assert_true(backoff_next(&b) >= 1);
        backoff_init(&b, CAP, CAP, 3);
        for (int i = 0; i < 5; i++)
                assert_int_equal(backoff_next(&b), CAP);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_bounds),
                cmocka_unit_test(test_spread),
                cmocka_unit_test(test_reset),
                cmocka_unit_test(test_extremes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
