#include "tests/support/check.h"

#include "proto/base/arena.h"
#include "tests/support/starve.h"

#include <errno.h>
#include <stdalign.h>

static void test_zeroed_and_aligned(void **state) {
        CLEANUP(arena_done) struct arena a = {0};

        (void)state;
        for (size_t size = 0; size < 5000; size += 37) {
                unsigned char *p = arena_alloc(&a, size);

                assert_non_null(p);
                assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
                for (size_t i = 0; i < size; i++)
                        assert_int_equal(p[i], 0);
                memset(p, 0xff, size); /* shows in a later piece if they overlap */
        }
}

static void test_pieces_are_distinct(void **state) {
        CLEANUP(arena_done) struct arena a = {0};

        (void)state;
        assert_ptr_not_equal(arena_alloc(&a, 0), arena_alloc(&a, 0));
}

static void test_big_one_leaves_the_block_in_use(void **state) {
        CLEANUP(arena_done) struct arena a = {0};
        char *first, *next;

        (void)state;
        first = arena_alloc(&a, 16);
        assert_non_null(arena_alloc(&a, 48 * 1024));
        next = arena_alloc(&a, 16);
        assert_ptr_equal(next, first + 16);
}

static void test_texts(void **state) {
        struct arena a = {0};

        (void)state;
        assert_string_equal(arena_strdup(&a, "one"), "one");
        assert_string_equal(arena_strndup(&a, "twofold", 3), "two");
        assert_string_equal(arena_strndup(&a, "", 0), "");
        assert_string_equal(arena_printf(&a, "%s-%d", "three", 3), "three-3");
        arena_done(&a);
        assert_null(a.blocks);
        assert_string_equal(arena_strdup(&a, "usable again"), "usable again");
        arena_done(&a);
}

static void test_absurd_size(void **state) {
        CLEANUP(arena_done) struct arena a = {0};

        (void)state;
        assert_null(arena_alloc(&a, SIZE_MAX));
        assert_null(arena_alloc(&a, SIZE_MAX / 2 + 1));
        assert_null(arena_strndup(&a, "", SIZE_MAX));
}

static int fill(void *userdata) {
        CLEANUP(arena_done) struct arena a = {0};

        (void)userdata;
        for (int i = 0; i < 300; i++)
                if (!arena_printf(&a, "%d %s", i, "text") || !arena_alloc(&a, (size_t)i * 10))
                        return -ENOMEM;
        return 0;
}

static void test_starved(void **state) {
        (void)state;
        assert_true(starve_each(fill, NULL) > 100);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_zeroed_and_aligned),
                cmocka_unit_test(test_pieces_are_distinct),
                cmocka_unit_test(test_big_one_leaves_the_block_in_use),
                cmocka_unit_test(test_texts),
                cmocka_unit_test(test_absurd_size),
                cmocka_unit_test(test_starved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
