/* The readers of results: what is recognised, what is not, and what becomes of broken outputs. */
#include "controller/results/report.h"
#include "tests/support/check.h"

struct outcome {
        struct report report;
        struct report_run *run;
};

static void done(struct outcome *o) {
        report_done(&o->report);
}
DEFINE_CLEANUP_DONE(struct outcome, done)

static void read_ended(struct outcome *o, const char *text, const char *verdict,
                       const char *cause) {
        const struct report_facts facts = {.run = "k3", .target = "pc1", .state = "ended", .of = 1};
        const struct report_step step = {
                .step = 1, .title = "a step", .verdict = verdict, .cause = cause};

        *o = (struct outcome){0};
        assert_int_equal(report_add(&o->report, &facts, &o->run), 0);
        assert_int_equal(report_output_begin(o->run, 1), 0);
        assert_int_equal(report_output(o->run, text, strlen(text)), 0);
        assert_int_equal(report_output_end(o->run, &step), 0);
        assert_int_equal(report_step(o->run, &step), 0);
        assert_int_equal(report_run_end(o->run), 0);
}

static void read_text(struct outcome *o, const char *text) {
        read_ended(o, text, "passed", NULL);
}

static const struct result *item(const struct outcome *o, const char *name) {
        for (size_t i = 0; i < o->run->n_items; i++)
                if (strcmp(o->run->items[i].name, name) == 0)
                        return &o->run->items[i];
        fail_msg("there is no result \"%s\"", name);
        return NULL;
}

static void check_counts(const struct outcome *o, uint64_t passed, uint64_t failed, uint64_t error,
                         uint64_t skipped, uint64_t not_run) {
        assert_int_equal(o->run->counts[RESULT_PASSED], passed);
        assert_int_equal(o->run->counts[RESULT_FAILED], failed);
        assert_int_equal(o->run->counts[RESULT_ERROR], error);
        assert_int_equal(o->run->counts[RESULT_SKIPPED], skipped);
        assert_int_equal(o->run->counts[RESULT_NOT_RUN], not_run);
}

/* ---- TAP ---- */

static void test_tap(void **state) {
        CLEANUP(done) struct outcome o;

        (void)state;
        read_text(&o,
                  "TAP version 14\r\n1..4\r\nok 1 - one\r\nnot ok 2 - two\r\n  ---\r\n"
                  "  message: 'cold: solder'\r\n  at: 3\r\n  ...\r\nok 3 - three # skip no gpu\r\n"
                  "not ok 4 four # TODO later\r\n");
        assert_true(o.run->formats[RESULT_TAP]);
        check_counts(&o, 1, 1, 0, 2, 0);
        assert_string_equal(item(&o, "two")->message, "cold: solder");
        assert_string_equal(item(&o, "two")->details, "message: 'cold: solder'\nat: 3");
        assert_int_equal(item(&o, "two")->line, 4);
        assert_string_equal(item(&o, "three")->message, "no gpu");
        assert_string_equal(item(&o, "four")->message, "later");
        assert_int_equal(o.run->n_problems, 0);
}

static void test_tap_subtests(void **state) {
        CLEANUP(done) struct outcome o, p;

        (void)state;
        read_text(&o,
                  "TAP version 14\n# Subtest: disks\n    # Subtest: sda\n        ok 1 - reads\n"
                  "        1..1\n    ok 1 - sda\n    not ok 2 - sdb\n    1..2\nnot ok 1 - disks\n"
                  "1..1\n");
        check_counts(&o, 1, 1, 0, 0, 0);
        assert_string_equal(item(&o, "reads")->suite, "disks / sda");
        assert_int_equal(item(&o, "disks")->kind, RESULT_SUITE);
        /* worse than its tests: it says something of its own */
        read_text(&p, "TAP version 14\n# Subtest: disks\n    ok 1 - sda\n    1..1\nnot ok 1 - "
                      "disks\n1..1\n");
        check_counts(&p, 1, 1, 0, 0, 0);
        assert_int_equal(item(&p, "disks")->kind, RESULT_TEST);
}

static void test_tap_cut(void **state) {
        CLEANUP(done) struct outcome o, p, q, b;

        (void)state;
        read_text(&o, "TAP version 13\n1..5\nok 1\nok 2\n");
        check_counts(&o, 2, 0, 1, 0, 0);
        assert_string_equal(item(&o, "(plan)")->message, "cut short: 5 tests were planned, 2 came");
        /* the machinery cut it: no failure of a test */
        read_ended(&p, "TAP version 13\n1..5\nok 1\nok 2\n", "not-run", "the power went");
        check_counts(&p, 2, 0, 0, 0, 1);
        assert_string_equal(item(&p, "(plan)")->message,
                            "cut short: 5 tests were planned, 2 came; the power went");
        read_text(&q, "TAP version 13\nok 1\nok 7\nok 8\n");
        check_counts(&q, 3, 0, 1, 0, 0);
        assert_int_equal(o.run->n_problems, 0);
        assert_int_equal(q.run->n_problems, 1);
        read_text(&b, "TAP version 13\n1..5\nok 1\nBail out! the rig fell over\nnot ok 2\n");
        check_counts(&b, 1, 0, 1, 0, 0);
        assert_string_equal(item(&b, "Bail out!")->message, "the rig fell over");
}

static void test_tap_without_version(void **state) {
        static const char *const no[] = {
                "ok\n",
                "ok 1 - and that was all\n",
                "1..10\nten lines\n",
                "ok 1\nok\nok, and now?\nok 2\n",
                "counting\n1..3\n1..3\n",
                "ok 2\nok 3\n",
                "TAP version 99\n",
                "not ok at all\n1..2\n",
        };
        CLEANUP(done) struct outcome o, p, q;

        (void)state;
        read_text(&o, "some words first\nok 1 - a\n# remark\nok 2 - b\n1..2\n");
        check_counts(&o, 2, 0, 0, 0, 0);
        assert_int_equal(item(&o, "a")->line, 2);
        read_text(&p, "1..1\nnot ok 1 - a\n#   expected 3\n#   found 4\n");
        check_counts(&p, 0, 1, 0, 0, 0);
        assert_string_equal(item(&p, "a")->details, "expected 3\nfound 4");
        read_text(&q, "1..0 # SKIP no such hardware\n");
        check_counts(&q, 0, 0, 0, 1, 0);
        for (size_t i = 0; i < ARRAY_SIZE(no); i++) {
                CLEANUP(done) struct outcome n;

                read_text(&n, no[i]);
                assert_false(n.run->formats[RESULT_TAP]);
                check_counts(&n, 1, 0, 0, 0, 0); /* the step's own */
        }
}

static void test_tap_too_late(void **state) {
        CLEANUP(buf_done) struct buf text = {0};
        CLEANUP(done) struct outcome o;

        (void)state;
        for (int i = 0; i < STREAM_BEGINNING; i++)
                buf_puts(&text, "a log\n");
        buf_puts(&text, "1..1\nok 1\n");
        read_text(&o, text.data);
        assert_false(o.run->formats[RESULT_TAP]);
}

/* ---- OCP ---- */

#define OCP_START                                                                                  \
        "{\"schemaVersion\":{\"major\":2,\"minor\":0},\"sequenceNumber\":0}\n"                     \
        "{\"testRunArtifact\":{\"testRunStart\":{\"name\":\"fans\"}},\"sequenceNumber\":1}\n"      \
        "{\"testStepArtifact\":{\"testStepId\":\"1\",\"testStepStart\":{\"name\":\"spin\"}},"      \
        "\"sequenceNumber\":2}\n"
#define OCP_STEP(text) "{\"testStepArtifact\":{\"testStepId\":\"1\"," text "}}\n"
#define OCP_SPEED(value)                                                                           \
        OCP_STEP("\"measurement\":{\"name\":\"speed\",\"unit\":\"RPM\",\"value\":" value           \
                 ",\"validators\":[{\"type\":\"GREATER_THAN_OR_EQUAL\",\"value\":9000},"           \
                 "{\"type\":\"LESS_THAN\",\"value\":11000}]}")
#define OCP_END(result)                                                                            \
        OCP_STEP("\"testStepEnd\":{\"status\":\"COMPLETE\"}")                                      \
        "{\"testRunArtifact\":{\"testRunEnd\":{\"status\":\"COMPLETE\",\"result\":\"" result       \
        "\"}}}\n"

static void test_ocp(void **state) {
        CLEANUP(done) struct outcome o, p;

        (void)state;
        read_text(&o, OCP_START OCP_SPEED("9000") "a library speaks\n" OCP_STEP(
                              "\"diagnosis\":{\"verdict\":\"fan-ok\",\"type\":\"PASS\",\"message\":"
                              "\"turns\"}") OCP_END("PASS"));
        assert_true(o.run->formats[RESULT_OCP]);
        check_counts(&o, 1, 0, 0, 0, 0);
        assert_int_equal(item(&o, "speed")->verdict, RESULT_PASSED);
        assert_string_equal(item(&o, "speed")->limits, ">= 9000, < 11000");
        assert_string_equal(item(&o, "speed")->unit, "RPM");
        assert_true(item(&o, "speed")->has_number);
        assert_string_equal(item(&o, "fan-ok")->suite, "spin");
        assert_int_equal(item(&o, "spin")->kind, RESULT_SUITE);
        assert_int_equal(item(&o, "fans")->kind, RESULT_SUITE);
        assert_int_equal(o.run->n_problems, 0);
        /* no diagnosis: the step is the test, and its measurement failed it */
        read_text(&p, OCP_START OCP_SPEED("11000") OCP_END("FAIL"));
        check_counts(&p, 0, 1, 0, 0, 0);
        assert_int_equal(item(&p, "speed")->verdict, RESULT_FAILED);
        assert_string_equal(item(&p, "spin")->message,
                            "speed is 11000 RPM, expected >= 9000, < 11000");
}

static void test_ocp_cut(void **state) {
        CLEANUP(done) struct outcome o, p, q;

        (void)state;
        read_text(&o, OCP_START OCP_SPEED("9500") "{\"testStepArt");
        check_counts(&o, 0, 0, 1, 0, 0);
        assert_string_equal(item(&o, "fans")->message, "cut short: no testRunEnd came");
        assert_int_equal(o.run->n_problems, 1);
        read_ended(&p, OCP_START, "cancelled", "cancelled by ana");
        check_counts(&p, 0, 0, 0, 0, 1);
        /* all else went well, and yet the run says ERROR */
        read_text(&q,
                  OCP_START OCP_STEP(
                          "\"testStepEnd\":{\"status\":\"COMPLETE\"}") "{\"testRunArtifact\":{"
                                                                       "\"error\":{\"symptom\":"
                                                                       "\"no-bmc\"}}}\n"
                                                                       "{\"testRunArtifact\":{"
                                                                       "\"testRunEnd\":{\"status\":"
                                                                       "\"ERROR\"}}}\n");
        check_counts(&q, 1, 0, 1, 0, 0);
        assert_string_equal(item(&q, "fans")->message, "no-bmc");
}

static void test_ocp_validators(void **state) {
        static const struct {
                const char *value;
                const char *validators;
                enum result_verdict verdict;
        } rows[] = {
                {"5",        "{\"type\":\"EQUAL\",\"value\":5.0}",              RESULT_PASSED},
                {"5",        "{\"type\":\"NOT_EQUAL\",\"value\":5}",            RESULT_FAILED},
                {"\"a\"",    "{\"type\":\"EQUAL\",\"value\":\"a\"}",            RESULT_PASSED},
                {"\"a\"",    "{\"type\":\"LESS_THAN\",\"value\":\"b\"}",        RESULT_NONE  },
                {"5",        "{\"type\":\"LESS_THAN\",\"value\":\"9\"}",        RESULT_NONE  },
                {"true",     "{\"type\":\"EQUAL\",\"value\":false}",            RESULT_FAILED},
                {"3",        "{\"type\":\"IN_SET\",\"value\":[1,2,3]}",         RESULT_PASSED},
                {"3",        "{\"type\":\"NOT_IN_SET\",\"value\":[1,2,3]}",     RESULT_FAILED},
                {"\"aaaa\"", "{\"type\":\"REGEX_MATCH\",\"value\":\"(a+)+$\"}", RESULT_NONE  },
                {"4",        "{\"type\":\"LESS_THAN_OR_EQUAL\",\"value\":3}",   RESULT_FAILED},
                {"4",        "{\"type\":\"NOBODY_KNOWS\",\"value\":3}",         RESULT_NONE  },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                CLEANUP(buf_done) struct buf text = {0};
                CLEANUP(done) struct outcome o;

                buf_printf(&text,
                           OCP_START OCP_STEP("\"measurement\":{\"name\":\"m\",\"value\":%s,"
                                              "\"validators\":[%s]}"),
                           rows[i].value, rows[i].validators);
                read_text(&o, text.data);
                assert_int_equal(item(&o, "m")->verdict, rows[i].verdict);
        }
}

static void test_ocp_sequence(void **state) {
        CLEANUP(done) struct outcome o;

        (void)state;
        read_text(&o, OCP_START "{\"testStepArtifact\":{\"testStepId\":\"1\",\"log\":{}},"
                                "\"sequenceNumber\":9}\n" OCP_END("PASS"));
        assert_int_equal(o.run->n_problems, 1);
        assert_string_equal(o.run->problems[0].text, "line 9 follows line 2: some are missing");
        assert_int_equal(o.run->problems[0].line, 4);
}

static void test_ordinary_json_is_nothing(void **state) {
        CLEANUP(done) struct outcome o;

        (void)state;
        read_text(&o,
                  "{\"schemaVersion\":2,\"name\":\"a manifest\"}\n{\"schemaVersion\":{\"x\":1}}\n"
                  "{\"level\":\"info\",\"testRunStart\":1}\n{}\n<?xml version='1.0'?>\n<html/>\n");
        for (size_t f = 0; f < RESULT_FORMATS; f++)
                assert_false(o.run->formats[f]);
        check_counts(&o, 1, 0, 0, 0, 0);
}

/* ---- JUnit ---- */

static void test_junit(void **state) {
        CLEANUP(done) struct outcome o;

        (void)state;
        read_text(&o, "[==========] Running 5 tests\n<?xml version=\"1.0\"?>\r\n<testsuites>\r\n"
                      "<testsuite name='S' tests='5'><testcase name='a' classname='S' time='0.5'>"
                      "<properties><property name='mb' value='12.5'/></properties></testcase>\r\n"
                      "<testcase name='b' classname='C'><failure message='3 &lt; 4'>at line 7"
                      "</failure></testcase><testcase name='c'><error type='Boom'/></testcase>\r\n"
                      "<testcase name='d'><skipped/></testcase>\r\n"
                      "<testcase name='e' status='notrun'/></testsuite>\r\n</testsuites>\r\nbye\n"
                      "<testsuite name='T'><testcase name='f'/></testsuite>\n");
        assert_true(o.run->formats[RESULT_JUNIT]);
        check_counts(&o, 2, 1, 1, 2, 0);
        assert_string_equal(item(&o, "a")->suite, "S");
        assert_true(item(&o, "a")->has_seconds);
        assert_int_equal(item(&o, "mb")->kind, RESULT_MEASUREMENT);
        assert_string_equal(item(&o, "b")->suite, "S / C");
        assert_string_equal(item(&o, "b")->message, "3 < 4");
        assert_string_equal(item(&o, "b")->details, "at line 7");
        assert_int_equal(item(&o, "b")->line, 5);
        assert_string_equal(item(&o, "c")->message, "Boom");
        assert_string_equal(item(&o, "f")->suite, "T");
        assert_int_equal(o.run->n_problems, 0);
}

static void test_junit_broken(void **state) {
        static const struct {
                const char *text;
                const char *problem;
        } rows[] = {
                {"<testsuite><testcase name='a'/></testsuites>\n",
                 "not well-formed XML: mismatched tag; the rest is not read"       },
                {"<?xml version='1.0'?><!DOCTYPE testsuite [<!ENTITY a 'b'>]><testsuite/>\n",
                 "a document type definition is not read, and what follows neither"},
                {"<testsuite name='x' tests='3'><testcase name='a'/></testsuite>\n",
                 "the suite \"x\" says 3 tests and has 1"                          },
        };
        CLEANUP(done) struct outcome cut;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                CLEANUP(done) struct outcome o;

                read_text(&o, rows[i].text);
                assert_int_equal(o.run->n_problems, 1);
                assert_string_equal(o.run->problems[0].text, rows[i].problem);
                assert_int_equal(o.run->counts[RESULT_ERROR], i < 2);
        }
        read_text(&cut, "<testsuite><testcase name='a'/><testcase name='b'>");
        check_counts(&cut, 1, 0, 1, 0, 0);
        assert_string_equal(item(&cut, "(document)")->message,
                            "cut short: the document has no end");
}

static void test_junit_limits(void **state) {
        CLEANUP(buf_done) struct buf deep = {0}, wide = {0}, name = {0};
        CLEANUP(done) struct outcome o, p, q;

        (void)state;
        for (int i = 0; i < 10000; i++)
                buf_puts(&deep, "<testsuite>");
        read_text(&o, deep.data);
        assert_string_equal(o.run->problems[0].text,
                            "elements are nested too deep; the rest is not read");
        buf_puts(&wide, "<testsuite");
        for (int i = 0; i < 100; i++)
                buf_printf(&wide, " a%d='1'", i);
        buf_puts(&wide, "><testcase name='a'/></testsuite>");
        read_text(&p, wide.data);
        assert_string_equal(p.run->problems[0].text,
                            "an element has too many attributes; the rest is not read");
        buf_puts(&name, "<testsuite><testcase name='");
        for (int i = 0; i < 3 * 1024 * 1024; i++)
                buf_putc(&name, 'n');
        read_text(&q, name.data);
        assert_string_equal(q.run->problems[0].text,
                            "something in it is too long; the rest is not read");
}

/* ---- bounds, exit statuses ---- */

static void test_huge(void **state) {
        CLEANUP(buf_done) struct buf text = {0};
        CLEANUP(done) struct outcome o, p;

        (void)state;
        buf_puts(&text, "TAP version 14\n");
        for (int i = 1; i <= REPORT_ITEMS_MAX + 5; i++)
                buf_printf(&text, "ok %d\n", i);
        buf_printf(&text, "1..%d\n", REPORT_ITEMS_MAX + 5);
        read_text(&o, text.data);
        check_counts(&o, REPORT_ITEMS_MAX + 5, 0, 0, 0, 0);
        assert_int_equal(o.run->left_out, 5);
        assert_int_equal(o.run->n_items, REPORT_ITEMS_MAX);
        /* one line of a megabyte, and then an ordinary one */
        buf_clear(&text);
        buf_puts(&text, "TAP version 14\nok 1 - ");
        for (int i = 0; i < 1024 * 1024; i++)
                buf_putc(&text, 'x');
        buf_puts(&text, "\nok 2 - \xff\x01 two\n1..2\n");
        read_text(&p, text.data);
        assert_int_equal(p.run->counts[RESULT_PASSED], 1);
        assert_non_null(item(&p, "\xef\xbf\xbd\x01 two"));
        assert_string_equal(p.run->problems[0].text, "a line is too long to be read");
}

static void test_exit_status(void **state) {
        CLEANUP(done) struct outcome o, p, q, r;

        (void)state;
        read_ended(&o, "words\n", "failed", "exited with 3");
        check_counts(&o, 0, 1, 0, 0, 0);
        assert_string_equal(item(&o, "a step")->message, "exited with 3");
        read_ended(&p, "words\n", "not-run", "the boot id changed");
        check_counts(&p, 0, 0, 0, 0, 1);
        /* all tests passed, and yet it exited with 3 */
        read_ended(&q, "TAP version 14\n1..1\nok 1\n", "failed", "exited with 3");
        check_counts(&q, 1, 1, 0, 0, 0);
        assert_string_equal(item(&q, "a step")->message,
                            "exited with 3, although no test of it failed");
        /* the failure is told once */
        read_ended(&r, "TAP version 14\n1..1\nnot ok 1\n", "failed", "exited with 1");
        check_counts(&r, 0, 1, 0, 0, 0);
}

static void test_not_reached(void **state) {
        const struct report_facts facts = {.run = "k3",
                                           .target = "pc1",
                                           .state = "ended",
                                           .verdict = "failed",
                                           .cause = "step 1 exited with 1",
                                           .of = 3};
        const struct report_step step = {.step = 1, .title = "a", .verdict = "failed"};
        CLEANUP(report_done) struct report report = {0};
        struct report_run *run = NULL;

        (void)state;
        assert_int_equal(report_add(&report, &facts, &run), 0);
        assert_int_equal(report_step(run, &step), 0);
        assert_int_equal(report_run_end(run), 0);
        assert_int_equal(run->counts[RESULT_FAILED], 1);
        assert_int_equal(run->counts[RESULT_NOT_RUN], 2);
        assert_string_equal(run->items[2].message, "not reached: step 1 exited with 1");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_tap),
                cmocka_unit_test(test_tap_subtests),
                cmocka_unit_test(test_tap_cut),
                cmocka_unit_test(test_tap_without_version),
                cmocka_unit_test(test_tap_too_late),
                cmocka_unit_test(test_ocp),
                cmocka_unit_test(test_ocp_cut),
                cmocka_unit_test(test_ocp_validators),
                cmocka_unit_test(test_ocp_sequence),
                cmocka_unit_test(test_ordinary_json_is_nothing),
                cmocka_unit_test(test_junit),
                cmocka_unit_test(test_junit_broken),
                cmocka_unit_test(test_junit_limits),
                cmocka_unit_test(test_huge),
                cmocka_unit_test(test_exit_status),
                cmocka_unit_test(test_not_reached),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
