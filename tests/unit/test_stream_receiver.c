#include "proto/stream_receiver.h"

#include "tests/support/check.h"

static void takes_what_is_new(void **state) {
        struct receiver r = {0};
        uint32_t skip = 99;

        (void)state;
        assert_int_equal(receiver_chunk(&r, 0, 100, &skip), 0);
        assert_int_equal(skip, 0);
        assert_int_equal(r.next, 100);
        /* overlaps: the first 60 are known */
        assert_int_equal(receiver_chunk(&r, 40, 100, &skip), 0);
        assert_int_equal(skip, 60);
        assert_int_equal(r.next, 140);
        assert_int_equal(receiver_chunk(&r, 140, 1, &skip), 0);
        assert_int_equal(skip, 0);
        assert_int_equal(r.next, 141);
}

static void drops_doubles(void **state) {
        struct receiver r = {.next = 100};
        uint32_t skip = 99;

        (void)state;
        assert_int_equal(receiver_chunk(&r, 0, 100, &skip), RECEIVER_DUPLICATE);
        assert_int_equal(receiver_chunk(&r, 30, 10, &skip), RECEIVER_DUPLICATE);
        assert_int_equal(receiver_chunk(&r, 99, 1, &skip), RECEIVER_DUPLICATE);
        assert_int_equal(receiver_chunk(&r, 100, 0, &skip), RECEIVER_DUPLICATE);
        assert_int_equal(r.next, 100);
        assert_int_equal(skip, 99);
}

static void sees_gaps(void **state) {
        struct receiver r = {.next = 100};
        uint32_t skip = 99;

        (void)state;
        assert_int_equal(receiver_chunk(&r, 101, 10, &skip), RECEIVER_GAP);
        assert_int_equal(receiver_chunk(&r, UINT64_MAX, UINT32_MAX, &skip), RECEIVER_GAP);
        assert_int_equal(r.next, 100);
        assert_int_equal(skip, 99);
}

static void never_overflows(void **state) {
        struct receiver r = {.next = UINT64_MAX - 5};
        uint32_t skip = 99;

        (void)state;
        assert_int_equal(receiver_chunk(&r, UINT64_MAX - 10, 20, &skip), RECEIVER_DUPLICATE);
        assert_int_equal(r.next, UINT64_MAX - 5);
        assert_int_equal(receiver_chunk(&r, UINT64_MAX - 10, 10, &skip), 0);
        assert_int_equal(skip, 5);
        assert_int_equal(r.next, UINT64_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(takes_what_is_new),
                cmocka_unit_test(drops_doubles),
                cmocka_unit_test(sees_gaps),
                cmocka_unit_test(never_overflows),
        };

        return cmocka_run_group_tests_name("stream_receiver", tests, NULL, NULL);
}
