#include "tests/support/check.h"
#include "tests/support/starve.h"

#include "proto/base/clock.h"
#include "target/core/hush.h"

#define T0 (1000 * USEC_PER_SEC)

static struct hush *make(void) {
        struct hush *h = NULL;

        assert_int_equal(hush_new(&h), 0);
        return h;
}

/* @n at once; returns how many are to be written down. */
static unsigned heard(struct hush *h, const char *who, unsigned n, uint64_t now_usec) {
        unsigned told = 0;

        for (unsigned i = 0; i < n; i++) {
                bool open = hush_open(h, who, now_usec);

                assert_int_equal(hush_heard(h, who, now_usec), open);
                told += open;
        }
        return told;
}

#define check_sum(h, now, who_, count_, usec_)                                                     \
        do {                                                                                       \
                struct hush_sum s_;                                                                \
                assert_true(hush_next(h, now, &s_));                                               \
                if (who_)                                                                          \
                        assert_string_equal(s_.who, (const char *)who_);                           \
                else                                                                               \
                        assert_null(s_.who);                                                       \
                assert_int_equal(s_.count, count_);                                                \
                assert_int_equal(s_.usec, usec_);                                                  \
        } while (0)

#define check_no_sum(h, now)                                                                       \
        do {                                                                                       \
                struct hush_sum s_;                                                                \
                assert_false(hush_next(h, now, &s_));                                              \
        } while (0)

static void some_lines_and_a_count(void **state) {
        CLEANUP(hush_free) struct hush *h = make();

        (void)state;
        assert_int_equal(heard(h, "eve", 10, T0), HUSH_LINES);
        assert_int_equal(hush_deadline(h), USEC_NEVER);
        check_no_sum(h, T0 + HUSH_USEC);
        assert_int_equal(heard(h, "eve", 5000, T0 + 1), 0);
        assert_int_equal(hush_deadline(h), T0 + HUSH_USEC);
        check_no_sum(h, T0 + HUSH_USEC - 1);
        /* not told in time: still counted */
        assert_int_equal(heard(h, "eve", 1, T0 + HUSH_USEC + 5), 0);
        check_sum(h, T0 + HUSH_USEC + 7, "eve", 5001, HUSH_USEC + 7);
        check_no_sum(h, T0 + HUSH_USEC + 7);
        assert_int_equal(hush_deadline(h), USEC_NEVER);
        assert_int_equal(heard(h, "eve", 20, T0 + HUSH_USEC + 8), HUSH_LINES);
}

static void now_and_then_is_always_told(void **state) {
        CLEANUP(hush_free) struct hush *h = make();

        (void)state;
        for (unsigned i = 0; i < 1000; i++)
                assert_int_equal(heard(h, "eve", 1, T0 + i * (HUSH_USEC / HUSH_LINES)), 1);
        assert_int_equal(hush_deadline(h), USEC_NEVER);
}

static void nobody_hides_behind_another(void **state) {
        CLEANUP(hush_free) struct hush *h = make();

        (void)state;
        assert_int_equal(heard(h, "eve", 5000, T0), HUSH_LINES);
        assert_int_equal(heard(h, "mallory", 1, T0), 1);
        check_sum(h, T0 + HUSH_USEC, "eve", 4990, HUSH_USEC);
        check_no_sum(h, T0 + HUSH_USEC);
}

static void many_names_share_a_place(void **state) {
        CLEANUP(hush_free) struct hush *h = make();
        unsigned told = 0;
        char who[16];

        (void)state;
        for (unsigned i = 0; i < 1000; i++) {
                snprintf(who, sizeof(who), "eve%u", i);
                told += heard(h, who, 1, T0);
        }
        assert_int_equal(told, HUSH_MANY + HUSH_LINES);
        check_sum(h, T0 + HUSH_USEC, NULL, 1000 - HUSH_MANY - HUSH_LINES, HUSH_USEC);
        /* then all places are free again */
        assert_int_equal(heard(h, "mallory", 11, T0 + HUSH_USEC), HUSH_LINES);
        check_sum(h, USEC_NEVER, "mallory", 1, HUSH_USEC);
        check_no_sum(h, USEC_NEVER);
}

static void nothing_is_forgotten(void **state) {
        uint64_t now = T0, heard_all = 0, told = 0;
        CLEANUP(hush_free) struct hush *h = make();
        struct hush_sum sum;
        uint32_t dice = 7;
        char who[16];

        (void)state;
        for (unsigned i = 0; i < 200000; i++) {
                dice = dice * UINT32_C(1664525) + UINT32_C(1013904223);
                now += (dice >> 8) % 3000;
                snprintf(who, sizeof(who), "eve%u", (dice >> 20) % 24);
                told += hush_heard(h, who, now);
                heard_all++;
                if ((dice >> 16) % 100 == 0)
                        while (hush_next(h, now, &sum))
                                told += sum.count;
        }
        while (hush_next(h, USEC_NEVER, &sum))
                told += sum.count;
        assert_int_equal(told, heard_all);
}

static int starving(void *userdata) {
        CLEANUP(hush_free) struct hush *h = NULL;
        struct hush_sum sum;
        unsigned told;
        int r = hush_new(&h);

        (void)userdata;
        if (r < 0)
                return r;
        /* without memory for the name it is one of several */
        told = heard(h, "eve", 50, T0);
        assert_in_range(told, HUSH_LINES, 2 * HUSH_LINES);
        assert_true(hush_next(h, USEC_NEVER, &sum));
        assert_int_equal(sum.count, 50 - told);
        return 0;
}

static void survives_starving(void **state) {
        (void)state;
        assert_true(starve_each_lenient(starving, NULL) >= 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(some_lines_and_a_count),
                cmocka_unit_test(now_and_then_is_always_told),
                cmocka_unit_test(nobody_hides_behind_another),
                cmocka_unit_test(many_names_share_a_place),
                cmocka_unit_test(nothing_is_forgotten),
                cmocka_unit_test(survives_starving),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
