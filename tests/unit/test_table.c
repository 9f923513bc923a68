#include "tests/support/check.h"
#include "tests/support/starve.h"

#include "controller/cli/table.h"

static const char *const heads[] = {"NAME", "STATE", "WHY", NULL};

static void fill(struct table *t) {
        table_init(t, heads);
        table_put(t, TABLE_PLAIN, "pc1");
        table_put(t, TABLE_GOOD, "ready");
        table_put(t, TABLE_PLAIN, NULL);
        table_put(t, TABLE_PLAIN,
                  "gr\xc3\xbc\xc3\x9f"
                  "e");
        table_put(t, TABLE_PLAIN, "");
        table_printf(t, TABLE_PLAIN, "no %s", "answer");
}

static void test_columns(void **state) {
        CLEANUP(buf_done) struct buf out = {0};
        CLEANUP(table_done) struct table t;

        (void)state;
        fill(&t);
        assert_int_equal(table_rows(&t), 2);
        assert_int_equal(table_print(&t, 0, 0, false, "\n", &out), 0);
        check_buf(&out, "NAME   STATE  WHY\n"
                        "pc1    ready\n"
                        "gr\xc3\xbc\xc3\x9f"
                        "e         no answer\n");
}

static void test_width(void **state) {
        CLEANUP(buf_done) struct buf out = {0};
        CLEANUP(table_done) struct table t;

        (void)state;
        fill(&t);
        assert_int_equal(table_print(&t, 16, 1, false, ";", &out), 0);
        check_buf(&out, "NAME   STATE  WH;pc1    ready;");
}

static void test_colour(void **state) {
        CLEANUP(buf_done) struct buf out = {0};
        CLEANUP(table_done) struct table t;

        (void)state;
        fill(&t);
        assert_int_equal(table_print(&t, 0, 1, true, "\n", &out), 0);
        check_buf(&out, "\x1b[2mNAME\x1b[0m   \x1b[2mSTATE\x1b[0m  \x1b[2mWHY\x1b[0m\n"
                        "pc1    \x1b[32mready\x1b[0m\n");
}

static void test_empty_column_and_hostile_cell(void **state) {
        CLEANUP(buf_done) struct buf out = {0};
        CLEANUP(table_done) struct table t;

        (void)state;
        table_init(&t, heads);
        table_put(&t, TABLE_PLAIN, "pc\x1b[2J\n");
        table_put(&t, TABLE_PLAIN, NULL);
        table_put(&t, TABLE_PLAIN, "x");
        assert_int_equal(table_print(&t, 0, 0, false, "\n", &out), 0);
        check_buf(&out, "NAME           WHY\npc\\x1b[2J\\x0a  x\n");
}

static int starved(void *userdata) {
        CLEANUP(buf_done) struct buf out = {0};
        CLEANUP(table_done) struct table t;

        (void)userdata;
        fill(&t);
        return table_print(&t, 0, 0, false, "\n", &out);
}

static void test_starved(void **state) {
        (void)state;
        assert_true(starve_each(starved, NULL) >= 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_columns),
                cmocka_unit_test(test_width),
                cmocka_unit_test(test_colour),
                cmocka_unit_test(test_empty_column_and_hostile_cell),
                cmocka_unit_test(test_starved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
