/* Reports written out: escaped everywhere, and infrastructure trouble never a failure. */
#include "controller/results/diff.h"
#include "controller/results/export.h"
#include "tests/support/check.h"
#include "tests/support/starve.h"

#define EVIL "<script>alert(1)</script>&\"'\x1b[31m"

static int fill(struct report *report, const char *text, const char *verdict) {
        const struct report_facts facts = {
                .run = "k3", .target = "pc1", .title = EVIL, .state = "ended", .of = 1};
        const struct report_step step = {
                .step = 1, .title = "s", .verdict = verdict, .cause = "no power"};
        struct report_run *run = NULL;
        int r = report_add(report, &facts, &run);

        if (r == 0)
                r = report_output_begin(run, 1);
        if (r == 0)
                r = report_output(run, text, strlen(text));
        if (r == 0)
                r = report_output_end(run, &step);
        if (r == 0)
                r = report_step(run, &step);
        return r == 0 ? report_run_end(run) : r;
}

static const char tap[] = "TAP version 14\n1..3\nok 1 - =1+1\nnot ok 2 - " EVIL "\n  ---\n  " EVIL
                          "\n  ...\nok 3 # SKIP no gpu\n";

static void test_escaped(void **state) {
        CLEANUP(report_done) struct report r = {0};
        CLEANUP(buf_done) struct buf html = {0}, junit = {0}, csv = {0};

        (void)state;
        assert_int_equal(fill(&r, tap, "failed"), 0);
        assert_int_equal(export_html(&r, &html), 0);
        assert_int_equal(export_junit(&r, &junit), 0);
        assert_int_equal(export_csv(&r, &csv), 0);
        assert_null(strstr(html.data, "<script"));
        assert_null(strchr(html.data, '\x1b'));
        assert_null(strstr(junit.data, "<script"));
        assert_null(strchr(junit.data, '\x1b'));
        assert_non_null(strstr(html.data, "&lt;script&gt;"));
        assert_non_null(
                strstr(junit.data, "<testsuites name='rota' tests='3' failures='1' errors='0'>"));
        assert_non_null(strstr(junit.data, "<skipped message='no gpu'/>"));
        assert_non_null(strstr(csv.data, "\"'=1+1\",\"passed\""));
        assert_non_null(strstr(csv.data, "&\"\"'"));
}

static void test_not_run_is_no_failure(void **state) {
        CLEANUP(report_done) struct report r = {0};
        CLEANUP(buf_done) struct buf junit = {0};

        (void)state;
        assert_int_equal(fill(&r, "nothing\n", "not-run"), 0);
        assert_int_equal(export_junit(&r, &junit), 0);
        assert_non_null(strstr(junit.data, "tests='1' failures='0' errors='0'"));
        assert_non_null(strstr(junit.data, "<skipped message='not-run: no power'/>"));
        assert_null(strstr(junit.data, "<failure"));
        assert_null(strstr(junit.data, "<error"));
}

static void test_diff(void **state) {
        CLEANUP(report_done) struct report r = {0};
        CLEANUP(diff_done) struct diff d = {0};

        (void)state;
        assert_int_equal(fill(&r, "TAP version 14\nok 1 - a\nok 2 - b\nok 3 - b\nok 4 - c\n1..4\n",
                              "passed"),
                         0);
        assert_int_equal(fill(&r,
                              "TAP version 14\nok 1 - b\nnot ok 2 - b\nok 3 - c\nok 4 - d\n1..4\n",
                              "failed"),
                         0);
        assert_int_equal(diff_runs(r.runs[0], r.runs[1], &d), 0);
        assert_int_equal(d.compared, 3);
        assert_int_equal(d.n, 3); /* a is gone, the second b failed, d is new */
        for (size_t i = 0; i < d.n; i++) {
                const char *name = d.rows[i].a ? d.rows[i].a->name : d.rows[i].b->name;

                assert_int_equal(!d.rows[i].a, name[0] == 'd');
                assert_int_equal(!d.rows[i].b, name[0] == 'a');
                if (name[0] == 'b')
                        assert_int_equal(d.rows[i].b->verdict, RESULT_FAILED);
        }
}

static int starved(void *userdata) {
        static const char ocp[] =
                "{\"testRunArtifact\":{\"testRunStart\":{\"name\":\"r\"}}}\n"
                "{\"testStepArtifact\":{\"testStepId\":\"1\",\"testStepStart\":{\"name\":\"s\"}}}\n"
                "{\"testStepArtifact\":{\"testStepId\":\"1\",\"measurementSeriesStart\":{"
                "\"measurementSeriesId\":\"m\",\"name\":\"t\",\"validators\":[{\"type\":\"EQUAL\","
                "\"value\":1}]}}}\n"
                "{\"testStepArtifact\":{\"testStepId\":\"1\",\"measurementSeriesElement\":{"
                "\"measurementSeriesId\":\"m\",\"value\":2}}}\n"
                "<testsuite name='x'><testcase name='a'><failure>b</failure></testcase>";
        CLEANUP(report_done) struct report r = {0};
        CLEANUP(diff_done) struct diff d = {0};
        int k = fill(&r, tap, "failed");

        (void)userdata;
        if (k == 0)
                k = fill(&r, ocp, "failed");
        if (k == 0)
                k = fill(&r,
                         "<testsuite name='x'><testcase name='a'><failure>b</failure></testcase>",
                         "failed");
        if (k == 0)
                k = diff_runs(r.runs[0], r.runs[1], &d);
        for (int f = EXPORT_JUNIT; f <= EXPORT_HTML && k == 0; f++) {
                CLEANUP(buf_done) struct buf out = {0};

                k = export_report(&r, (enum export_format)f, &out);
        }
        return k;
}

static void test_no_memory(void **state) {
        (void)state;
        assert_true(starve_each(starved, NULL) > 50);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_escaped),
                cmocka_unit_test(test_not_run_is_no_failure),
                cmocka_unit_test(test_diff),
                cmocka_unit_test(test_no_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
