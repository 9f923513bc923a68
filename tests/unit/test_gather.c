#include "tests/support/check.h"

#include "controller/core/gather.h"
#include "proto/base/clock.h"

#define NOW (UINT64_C(1000) * USEC_PER_SEC)

static void at_once_after_a_quiet_time(void **state) {
        struct gather g = {0};

        (void)state;
        assert_int_equal(gather_deadline(&g, NOW), USEC_NEVER);
        gather_add(&g, 80);
        assert_int_equal(gather_deadline(&g, NOW), 0);
        gather_synced(&g, NOW);
        assert_int_equal(gather_deadline(&g, NOW), USEC_NEVER);
}

static void then_not_before_its_time(void **state) {
        struct gather g = {0};

        (void)state;
        gather_synced(&g, NOW);
        gather_add(&g, 80);
        assert_int_equal(gather_deadline(&g, NOW + 1), NOW + GATHER_USEC);
        assert_int_equal(gather_deadline(&g, NOW + GATHER_USEC), 0);
}

static void sooner_when_much_has_come(void **state) {
        struct gather g = {0};

        (void)state;
        gather_synced(&g, NOW);
        gather_add(&g, GATHER_BYTES - 1);
        assert_int_equal(gather_deadline(&g, NOW + 1), NOW + GATHER_USEC);
        gather_add(&g, 1);
        assert_int_equal(gather_deadline(&g, NOW + 1), 0);
}

static void an_answer_without_bytes_counts(void **state) {
        struct gather g = {0};

        (void)state;
        gather_add(&g, 0);
        assert_int_equal(gather_deadline(&g, NOW), 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(at_once_after_a_quiet_time),
                cmocka_unit_test(then_not_before_its_time),
                cmocka_unit_test(sooner_when_much_has_come),
                cmocka_unit_test(an_answer_without_bytes_counts),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
