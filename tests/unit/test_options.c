#include "tests/support/check.h"

#include "controller/cli/options.h"
#include "proto/base/clock.h"

struct values {
        bool flag;
        bool other;
        const char *text;
        uint64_t time;
        uint64_t number;
};

static const struct option_row rows[] = {
        OPTION_FLAG_ROW(struct values, flag, 'f', "flag", "A flag"),
        OPTION_FLAG_ROW(struct values, other, 0, "other", "Another"),
        OPTION_TEXT_ROW(struct values, text, 't', "text", "TEXT", "Some text"),
        OPTION_DURATION_ROW(struct values, time, 0, "time", "TIME", "A duration"),
        OPTION_NUMBER_ROW(struct values, number, 'n', "number", "N", "A number"),
        OPTION_END_ROW,
};

struct outcome {
        struct values values;
        char *argv[16];
        int n;
        int before;
        bool dashed;
        struct buf error;
};

/* Words apart by blanks. */
static int reads(struct outcome *o, const char *line, bool until_operand) {
        static char words[256];
        const struct option_set set = {rows, &o->values};
        int argc = 0;
        char *save = NULL;

        *o = (struct outcome){0};
        snprintf(words, sizeof(words), "%s", line);
        for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
                o->argv[argc++] = w;
        return options_read(o->argv, argc, &set, 1, until_operand, &o->n, &o->before, &o->dashed,
                            &o->error);
}

static void refuses(const char *line, const char *why) {
        struct outcome o;

        assert_int_equal(reads(&o, line, false), OPTIONS_BAD);
        check_buf(&o.error, why);
        buf_done(&o.error);
}

static void test_kinds(void **state) {
        struct outcome o;

        (void)state;
        assert_int_equal(reads(&o, "a --flag --text=x --time 1h30m b --number 7 c", false), 0);
        assert_true(o.values.flag && !o.values.other);
        assert_string_equal(o.values.text, "x");
        assert_true(o.values.time == 90 * USEC_PER_MINUTE);
        assert_int_equal(o.values.number, 7);
        assert_int_equal(o.n, 3);
        assert_int_equal(o.before, 3);
        assert_false(o.dashed);
        assert_string_equal(o.argv[0], "a");
        assert_string_equal(o.argv[1], "b");
        assert_string_equal(o.argv[2], "c");
}

static void test_letters(void **state) {
        struct outcome o;

        (void)state;
        assert_int_equal(reads(&o, "-fn5 -t -x - -t--", false), 0);
        assert_true(o.values.flag);
        assert_int_equal(o.values.number, 5);
        assert_string_equal(o.values.text, "--");
        assert_int_equal(o.n, 1);
        assert_string_equal(o.argv[0], "-");
}

static void test_dashes(void **state) {
        struct outcome o;

        (void)state;
        assert_int_equal(reads(&o, "pc1 --flag -- ls --other -l --", false), 0);
        assert_true(o.values.flag && !o.values.other && o.dashed);
        assert_int_equal(o.before, 1);
        assert_int_equal(o.n, 5);
        assert_string_equal(o.argv[1], "ls");
        assert_string_equal(o.argv[2], "--other");
        assert_string_equal(o.argv[4], "--");
        assert_int_equal(reads(&o, "--", false), 0);
        assert_true(o.dashed && o.n == 0);
}

static void test_until_operand(void **state) {
        struct outcome o;

        (void)state;
        assert_int_equal(reads(&o, "--flag run --other x", true), 0);
        assert_true(o.values.flag && !o.values.other);
        assert_int_equal(o.n, 3);
        assert_string_equal(o.argv[0], "run");
        assert_string_equal(o.argv[1], "--other");
}

static void test_refusals(void **state) {
        (void)state;
        refuses("--flga", "there is no option --flga; did you mean --flag?");
        refuses("--zzzzzzzz", "there is no option --zzzzzzzz");
        refuses("-x", "there is no option -x");
        refuses("--flag=1", "--flag takes no value");
        refuses("--text", "--text needs a value: --text TEXT");
        refuses("-n", "-n needs a value: -n N");
        refuses("--number 7x", "--number: \"7x\" is not a number");
        refuses("--number -7", "--number: \"-7\" is not a number");
        refuses("--number 99999999999999999999999",
                "--number: \"99999999999999999999999\" is not a number");
        refuses("--time 7x", "--time: \"7x\" is not a duration; examples: 90s, 10m, 1h30m, 250ms");
}

static void test_help(void **state) {
        CLEANUP(buf_done) struct buf out = {0};

        (void)state;
        assert_int_equal(options_print_help(rows, &out), 0);
        check_buf(&out, "  -f, --flag                  A flag\n"
                        "      --other                 Another\n"
                        "  -t, --text TEXT             Some text\n"
                        "      --time TIME             A duration\n"
                        "  -n, --number N              A number\n");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_kinds),    cmocka_unit_test(test_letters),
                cmocka_unit_test(test_dashes),   cmocka_unit_test(test_until_operand),
                cmocka_unit_test(test_refusals), cmocka_unit_test(test_help),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
