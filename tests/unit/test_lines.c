#include "tests/support/check.h"
#include "tests/support/starve.h"

#include "controller/cli/lines.h"
#include "proto/base/clock.h"

#include <errno.h>

#define MS UINT64_C(1000)

static struct lines *lines_of(bool terminal, int sources) {
        const struct lines_look look = {.terminal = terminal, .prefix = sources > 1, .columns = 40};
        static const char *const names[] = {"pc1", "pc10", "pc3"};
        struct lines *l = NULL;

        assert_int_equal(lines_new(&l, &look), 0);
        for (int i = 0; i < sources; i++)
                assert_int_equal(lines_add(l, names[i]), i);
        return l;
}

static void feed(struct lines *l, int source, const char *text, uint64_t now) {
        assert_int_equal(lines_feed(l, source, text, strlen(text), now), 0);
}

static void check_out(struct lines *l, const char *want) {
        check_buf(lines_out(l), want);
        buf_clear(lines_out(l));
}

static void test_one_passes_through(void **state) {
        static const char bytes[] = "\x00\xff\x1b[31m no line end";
        CLEANUP(lines_free) struct lines *l = lines_of(false, 1);

        (void)state;
        assert_int_equal(lines_feed(l, 0, bytes, sizeof(bytes), 0), 0);
        assert_int_equal(lines_end(l, 0), 0);
        assert_int_equal(lines_out(l)->len, sizeof(bytes));
        assert_memory_equal(lines_out(l)->data, bytes, sizeof(bytes));
}

static void test_prefixes(void **state) {
        CLEANUP(lines_free) struct lines *l = lines_of(false, 2);

        (void)state;
        feed(l, 0, "one\ntw", 0);
        check_out(l, "pc1  | one\n");
        feed(l, 1, "other\n", 0);
        check_out(l, "pc10 | other\n");
        assert_int_equal(lines_tick(l, USEC_PER_SEC), 0);
        check_out(l, "");
        feed(l, 0, "o\n", 0);
        check_out(l, "pc1  | two\n");
        feed(l, 1, "rest", 0);
        assert_int_equal(lines_end(l, 1), 0);
        check_out(l, "pc10 | rest\n");
}

/* Without a terminal a line is cut only when it is longer than what is held, and still stays one. */
static void test_long_plain(void **state) {
        enum { LEN = LINES_HELD_MAX + 10 };
        CLEANUP(lines_free) struct lines *l = lines_of(false, 2);
        CLEANUP(mem_free) char *data = malloc(LEN + 1);

        (void)state;
        assert_non_null(data);
        memset(data, 'x', LEN);
        data[LEN] = '\0';
        feed(l, 0, data, 0);
        assert_int_equal(lines_out(l)->len, LEN + 7);
        feed(l, 0, "y\n", 0);
        assert_int_equal(lines_out(l)->len, LEN + 9);
        buf_clear(lines_out(l));
        feed(l, 0, data, 0);
        buf_clear(lines_out(l));
        feed(l, 1, "b\n", 0);
        check_out(l, "\npc10 | b\n");
        feed(l, 0, "z\n", 0);
        check_out(l, "pc1  | z\n");
}

static void test_partial(void **state) {
        CLEANUP(lines_free) struct lines *l = lines_of(true, 2);

        (void)state;
        assert_true(lines_deadline(l) == USEC_NEVER);
        feed(l, 0, "password: ", 5 * MS);
        check_out(l, "");
        assert_true(lines_deadline(l) == 105 * MS);
        assert_int_equal(lines_tick(l, 104 * MS), 0);
        check_out(l, "");
        assert_int_equal(lines_tick(l, 105 * MS), 0);
        check_out(l, "pc1  | password: ");
        assert_true(lines_deadline(l) == USEC_NEVER);
        feed(l, 0, "ok\n", 110 * MS);
        check_out(l, "ok\n");
}

static void test_never_two_in_a_line(void **state) {
        CLEANUP(lines_free) struct lines *l = lines_of(true, 2);

        (void)state;
        feed(l, 0, "half", 0);
        lines_tick(l, 100 * MS);
        check_out(l, "pc1  | half");
        feed(l, 1, "whole\n", 150 * MS);
        check_out(l, "\npc10 | whole\n");
        feed(l, 0, " done\n", 160 * MS);
        check_out(l, "pc1  | half done\n");
        feed(l, 1, "note", 200 * MS);
        lines_tick(l, 300 * MS);
        check_out(l, "pc10 | note");
        assert_int_equal(lines_break(l), 0);
        check_out(l, "\n");
        assert_int_equal(lines_break(l), 0);
        check_out(l, "");
}

static void test_progress(void **state) {
        CLEANUP(lines_free) struct lines *l = lines_of(true, 1);

        (void)state;
        feed(l, 0, "working 10%", 0);
        lines_tick(l, 100 * MS);
        check_out(l, "working 10%");
        feed(l, 0, "\rworking 20%", 150 * MS);
        lines_tick(l, 250 * MS);
        check_out(l, "\rworking 20%");
        feed(l, 0, "\r\x1b[Kdone\n", 300 * MS);
        check_out(l, "\rdone       \n");
}

/* A painted line that wrapped could not be painted over. */
static void test_open_line_fits(void **state) {
        CLEANUP(lines_free) struct lines *l = lines_of(true, 2);

        (void)state;
        feed(l, 0, "0123456789012345678901234567890123456789", 0);
        lines_tick(l, 100 * MS);
        check_out(l, "pc1  | 01234567890123456789012345678901");
        feed(l, 0, "\n", 110 * MS);
        check_out(l, "23456789\n");
}

static void test_end(void **state) {
        CLEANUP(lines_free) struct lines *l = lines_of(true, 2);

        (void)state;
        feed(l, 0, "no end\x1b[3", 0);
        assert_int_equal(lines_end(l, 0), 0);
        check_out(l, "pc1  | no end\\x1b[3\n");
        feed(l, 1, "shown", 0);
        lines_tick(l, 100 * MS);
        check_out(l, "pc10 | shown");
        assert_int_equal(lines_end(l, 1), 0);
        check_out(l, "\n");
        assert_int_equal(lines_end(l, 1), 0);
        check_out(l, "");
}

static void test_colours(void **state) {
        const struct lines_look look = {.terminal = true, .colour = true, .prefix = true};
        CLEANUP(lines_free) struct lines *l = NULL;

        (void)state;
        assert_int_equal(lines_new(&l, &look), 0);
        assert_int_equal(lines_add(l, "pc\x1b"), 0);
        feed(l, 0, "x\n", 0);
        check_out(l, "\x1b[36mpc\\x1b |\x1b[0m x\n");
}

/* However the bytes of two targets are cut and mixed: each line is whole, in order, under its own name. */
static void test_mixed(void **state) {
        (void)state;
        for (unsigned seed = 1; seed <= 200; seed++) {
                CLEANUP(lines_free) struct lines *l = lines_of(seed % 2 == 0, 2);
                CLEANUP(buf_done) struct buf first = {0};
                CLEANUP(buf_done) struct buf second = {0};
                char text[512] = "";
                size_t at[2] = {0, 0};
                uint64_t now = 0;
                unsigned random = seed;
                const char *line;

                for (int i = 0; i < 20; i++)
                        snprintf(text + strlen(text), sizeof(text) - strlen(text), "line %d\n", i);
                while (text[at[0]] || text[at[1]]) {
                        random = random * 1103515245 + 12345;
                        int source = (random >> 16) % 2;
                        size_t n = (random >> 20) % 13;

                        if (n > strlen(text + at[source]))
                                n = strlen(text + at[source]);
                        assert_int_equal(lines_feed(l, source, text + at[source], n, now), 0);
                        at[source] += n;
                        now += 30 * MS;
                }
                for (line = buf_text(lines_out(l)); *line;) {
                        size_t len = strcspn(line, "\n") + 1;
                        int source = strncmp(line, "pc10 | ", 7) == 0;

                        if (source == 0)
                                assert_memory_equal(line, "pc1  | ", 7);
                        buf_append(source ? &second : &first, line + 7, len - 7);
                        line += len;
                }
                check_buf(&first, text);
                check_buf(&second, text);
        }
}

static int starved(void *userdata) {
        const struct lines_look look = {.terminal = userdata != NULL, .prefix = true};
        CLEANUP(lines_free) struct lines *l = NULL;
        int r = lines_new(&l, &look);

        for (int i = 0; i < 2 && r >= 0; i++)
                r = lines_add(l, "name");
        for (int i = 0; i < 4 && r >= 0; i++)
                r = lines_feed(l, i % 2, "text\nmore", 9, (uint64_t)i * 200 * MS);
        if (r >= 0)
                r = lines_tick(l, USEC_PER_SEC);
        for (int i = 0; i < 2 && r >= 0; i++)
                r = lines_end(l, i);
        return r < 0 ? r : 0;
}

static void test_starved(void **state) {
        int terminal = 1;

        (void)state;
        assert_true(starve_each(starved, NULL) > 4);
        assert_true(starve_each(starved, &terminal) > 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_one_passes_through),
                cmocka_unit_test(test_prefixes),
                cmocka_unit_test(test_long_plain),
                cmocka_unit_test(test_partial),
                cmocka_unit_test(test_never_two_in_a_line),
                cmocka_unit_test(test_progress),
                cmocka_unit_test(test_open_line_fits),
                cmocka_unit_test(test_end),
                cmocka_unit_test(test_colours),
                cmocka_unit_test(test_mixed),
                cmocka_unit_test(test_starved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
