#include "tests/support/check.h"

#include "proto/base/clock.h"
#include "target/core/judge.h"

static const int passed[] = {0, 4}, not_run[] = {2, 77};
static const struct judge_step diag = {
        passed, 2, not_run, 2, 90 * USEC_PER_SEC, 600 * USEC_PER_SEC};
static const struct judge_step plain = {0};

static void check(const struct judge_step *s, struct judge_exit e, enum verdict verdict,
                  const char *cause) {
        CLEANUP(buf_done) struct buf text = {0};
        enum verdict v = VERDICT_NONE;

        assert_int_equal(judge_step(s, &e, &v, &text), 0);
        assert_int_equal(v, verdict);
        assert_string_equal(buf_text(&text), cause);
}

static void by_exit_status(void **state) {
        (void)state;
        check(&plain, (struct judge_exit){.exit_status = 0}, VERDICT_PASSED, "");
        check(&plain, (struct judge_exit){.exit_status = 3}, VERDICT_FAILED, "exited with 3");
        check(&diag, (struct judge_exit){.exit_status = 4}, VERDICT_PASSED, "");
        check(&diag, (struct judge_exit){.exit_status = 77}, VERDICT_NOT_RUN, "exited with 77");
        check(&diag, (struct judge_exit){.exit_status = 1}, VERDICT_FAILED, "exited with 1");
}

static void by_signal(void **state) {
        (void)state;
        check(&diag, (struct judge_exit){.exit_status = -1, .signal = 11}, VERDICT_FAILED,
              "ended by signal 11");
}

static void by_cause(void **state) {
        const struct {
                const char *cause;
                const char *text;
                enum verdict verdict;
                const char *said;
        } rows[] = {
                {"timeout",            NULL,                    VERDICT_FAILED,    "still running after its time limit of 1m 30s"},
                {"silence",            NULL,                    VERDICT_FAILED,    "no output for 10m"                           },
                {"budget",             "filled it",             VERDICT_FAILED,    "filled it"                                   },
                {"cancelled",          "x",                     VERDICT_CANCELLED, ""                                            },
                {"missing",            "there is no program x", VERDICT_NOT_RUN,   "there is no program x"                       },
                {"exec",               "cannot execute x",      VERDICT_NOT_RUN,   "cannot execute x"                            },
                {"disk",               "full",                  VERDICT_NOT_RUN,   "full"                                        },
                {"internal",           NULL,                    VERDICT_NOT_RUN,   "internal"                                    },
                {"of a later version", NULL,                    VERDICT_NOT_RUN,   "of a later version"                          },
        };

        (void)state;
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
                check(&diag,
                      (struct judge_exit){
                              .exit_status = 0, .cause = rows[i].cause, .text = rows[i].text},
                      rows[i].verdict, rows[i].said);
}

static void by_limit(void **state) {
        (void)state;
        assert_string_equal(judge_limit("timeout"), "time");
        assert_string_equal(judge_limit("silence"), "silence");
        assert_string_equal(judge_limit("budget"), "disk");
        assert_null(judge_limit("disk"));
        assert_null(judge_limit("cancelled"));
        assert_null(judge_limit(NULL));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(by_exit_status),
                cmocka_unit_test(by_signal),
                cmocka_unit_test(by_cause),
                cmocka_unit_test(by_limit),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
