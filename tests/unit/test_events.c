#include "proto/events.h"

#include "proto/base/clock.h"
#include "proto/json.h"
#include "tests/support/check.h"
#include "tests/support/starve.h"

#include <errno.h>

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char *const lines[] = {
        "{\"t\":1767222000123456,\"ev\":\"accepted\",\"run\":\"k3x\",\"owner\":\"ctl@lab\","
        "\"by\":\"ana\",\"boot\":\"6f1c\",\"ttl\":28800}",
        "{\"t\":1767222000200000,\"ev\":\"started\",\"step\":1,\"of\":2,"
        "\"title\":\"memory size=64M\",\"boot\":\"6f1c\"}",
        "{\"t\":1767222005200000,\"ev\":\"stepped\",\"step\":1,\"verdict\":\"passed\",\"exit\":0,"
        "\"elapsed\":5123456,\"streams\":[{\"name\":\"1.out\",\"size\":81920,\"sha256\":\"" HASH
        "\"}]}",
        "{\"t\":1767222005300000,\"ev\":\"started\",\"step\":2,\"of\":2,\"title\":\"x\","
        "\"boot\":\"7a\"}",
        "{\"t\":1767222005400000,\"ev\":\"cancel\",\"by\":\"ctl@lab\"}",
        "{\"t\":1767222006400000,\"ev\":\"stepped\",\"step\":2,\"verdict\":\"cancelled\","
        "\"cause\":\"cancelled by ctl@lab\",\"signal\":15,\"elapsed\":7,\"streams\":[]}",
        "{\"t\":1767222007000000,\"ev\":\"ended\",\"verdict\":\"cancelled\","
        "\"cause\":\"by ctl@lab\"}",
        "{\"t\":1767222006500000,\"ev\":\"stepped\",\"step\":2,\"verdict\":\"failed\","
        "\"cause\":\"no output for 1s\",\"limit\":\"silence\",\"signal\":15,\"elapsed\":7,"
        "\"streams\":[{\"name\":\"2.out\",\"size\":1,\"sha256\":\"" HASH "\",\"dropped\":12345}]}",
        /* a reboot, and a step that another one interrupts */
        "{\"t\":1767222000123456,\"ev\":\"accepted\",\"run\":\"k3x\",\"owner\":\"ctl@lab\","
        "\"boot\":\"6f1c\",\"up\":7}",
        "{\"t\":1767222001000000,\"ev\":\"started\",\"step\":1,\"of\":2,\"title\":\"reboot\","
        "\"boot\":\"6f1c\",\"up\":61000000}",
        "{\"t\":1767222001500000,\"ev\":\"rebooting\",\"step\":1,\"boot\":\"6f1c\","
        "\"up\":61500000}",
        "{\"t\":1767222049000000,\"ev\":\"stepped\",\"step\":1,\"verdict\":\"passed\","
        "\"boot\":\"a07d\",\"elapsed\":48000000,\"streams\":[]}",
        "{\"t\":1767222049100000,\"ev\":\"started\",\"step\":2,\"of\":2,\"title\":\"x\","
        "\"boot\":\"a07d\",\"up\":9}",
        "{\"t\":1767222049200000,\"ev\":\"stepped\",\"step\":2,\"verdict\":\"not-run\","
        "\"cause\":\"interrupted by a reboot\",\"interrupted\":\"retry\",\"elapsed\":0,"
        "\"streams\":[]}",
        "{\"t\":1767222049300000,\"ev\":\"started\",\"step\":2,\"attempt\":2,\"of\":2,"
        "\"title\":\"x\",\"boot\":\"c3\",\"up\":8}",
        "{\"t\":1767222049400000,\"ev\":\"stepped\",\"step\":2,\"attempt\":2,"
        "\"verdict\":\"passed\",\"exit\":0,\"elapsed\":7,\"streams\":[]}",
};
#define REBOOTS 8 /* where those begin */

static void come_back_as_they_went(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
                CLEANUP(arena_done) struct arena a = {0};
                CLEANUP(buf_done) struct buf out = {0};
                struct event e;

                assert_int_equal(event_read(lines[i], strlen(lines[i]), &a, &e), 0);
                assert_int_equal(event_write(&e, &out), 0);
                assert_int_equal(out.data[out.len - 1], '\n');
                buf_truncate(&out, out.len - 1);
                check_buf(&out, lines[i]);
        }
}

static void carries_every_field(void **state) {
        CLEANUP(arena_done) struct arena a = {0};
        struct event e;

        (void)state;
        assert_int_equal(event_read(lines[0], strlen(lines[0]), &a, &e), 0);
        assert_int_equal(e.kind, EVENT_ACCEPTED);
        assert_int_equal(e.realtime_usec, 1767222000123456);
        assert_string_equal(e.run, "k3x");
        assert_string_equal(e.owner, "ctl@lab");
        assert_string_equal(e.by, "ana");
        assert_int_equal(e.ttl_usec, 28800 * USEC_PER_SEC);
        assert_int_equal(event_read(lines[2], strlen(lines[2]), &a, &e), 0);
        assert_int_equal(e.verdict, VERDICT_PASSED);
        assert_int_equal(e.exit_status, 0);
        assert_int_equal(e.signal, 0);
        assert_int_equal(e.n_streams, 1);
        assert_string_equal(e.streams[0].name, "1.out");
        assert_int_equal(e.streams[0].size, 81920);
        assert_string_equal(e.streams[0].sha256, HASH);
        assert_int_equal(event_read(lines[5], strlen(lines[5]), &a, &e), 0);
        assert_int_equal(e.exit_status, -1);
        assert_int_equal(e.signal, 15);
}

static void keeps_part_of_a_second(void **state) {
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf out = {0};
        struct event e = {.kind = EVENT_ACCEPTED, .run = "r", .owner = "o", .ttl_usec = 1500001};

        (void)state;
        assert_int_equal(event_write(&e, &out), 0);
        e.ttl_usec = 0;
        assert_int_equal(event_read(out.data, out.len - 1, &a, &e), 0);
        assert_int_equal(e.ttl_usec, 1500001);
}

static void check_bad(const char *line) {
        CLEANUP(arena_done) struct arena a = {0};
        struct event e;

        if (event_read(line, strlen(line), &a, &e) != JSON_BAD)
                fail_msg("taken: %s", line);
}

static void refuses_what_it_does_not_know(void **state) {
        CLEANUP(arena_done) struct arena a = {0};
        static const char later[] = "{\"t\":1,\"ev\":\"cancel\",\"mood\":\"good\",\"by\":\"x\"}";
        struct event e;

        (void)state;
        assert_int_equal(event_read(later, strlen(later), &a, &e), 0);
        assert_string_equal(e.by, "x");

        check_bad("");
        check_bad("[]");
        check_bad("{\"t\":1}");
        check_bad("{\"ev\":\"cancel\"}");
        check_bad("{\"t\":-1,\"ev\":\"cancel\"}");
        check_bad("{\"t\":1,\"ev\":\"exploded\"}");
        check_bad("{\"t\":1,\"ev\":\"cancel\"");
        check_bad("{\"t\":1,\"ev\":\"rebooting\"}");
        check_bad("{\"t\":1,\"ev\":\"rebooting\",\"step\":0}");
        check_bad("{\"t\":1,\"ev\":\"started\",\"step\":1,\"of\":1,\"attempt\":0}");
        check_bad("{\"t\":1,\"ev\":\"started\",\"step\":1,\"of\":1,\"up\":-1}");
        check_bad("{\"t\":1,\"ev\":\"stepped\",\"step\":1,\"verdict\":\"not-run\","
                  "\"interrupted\":\"perhaps\"}");
        check_bad("{\"t\":1,\"ev\":\"accepted\",\"owner\":\"o\"}");
        check_bad("{\"t\":1,\"ev\":\"accepted\",\"run\":\"r\"}");
        check_bad("{\"t\":1,\"ev\":\"accepted\",\"run\":\"../r\",\"owner\":\"o\"}");
        check_bad("{\"t\":1,\"ev\":\"started\",\"step\":0,\"of\":1}");
        check_bad("{\"t\":1,\"ev\":\"started\",\"step\":1}");
        check_bad("{\"t\":1,\"ev\":\"started\",\"step\":3,\"of\":2}");
        check_bad("{\"t\":1,\"ev\":\"started\",\"step\":1,\"of\":257}");
        check_bad("{\"t\":1,\"ev\":\"stepped\",\"step\":1}");
        check_bad("{\"t\":1,\"ev\":\"stepped\",\"step\":1,\"verdict\":\"fine\"}");
        check_bad("{\"t\":1,\"ev\":\"stepped\",\"step\":1,\"verdict\":\"\"}");
        check_bad("{\"t\":1,\"ev\":\"stepped\",\"step\":1,\"verdict\":\"passed\",\"exit\":256}");
        check_bad("{\"t\":1,\"ev\":\"stepped\",\"step\":1,\"verdict\":\"passed\",\"streams\":"
                  "[{\"name\":\"../../etc/passwd\",\"size\":1}]}");
        check_bad("{\"t\":1,\"ev\":\"stepped\",\"step\":1,\"verdict\":\"passed\",\"streams\":"
                  "[{\"name\":\"1.out\",\"size\":1,\"sha256\":\"00\"}]}");
        check_bad("{\"t\":1,\"ev\":\"stepped\",\"step\":1,\"verdict\":\"passed\",\"streams\":"
                  "[{\"name\":\"1.out\",\"size\":1},{\"name\":\"1.out\",\"size\":2}]}");
        check_bad("{\"t\":1,\"ev\":\"ended\"}");
}

static void fold_line(struct run_fold *f, const char *line) {
        CLEANUP(arena_done) struct arena a = {0};
        struct event e;

        assert_int_equal(event_read(line, strlen(line), &a, &e), 0);
        run_fold_event(f, &e);
}

static void folds_to_a_state(void **state) {
        struct run_fold f = {0};

        (void)state;
        assert_int_equal(f.state, RUN_UNKNOWN);
        fold_line(&f, lines[0]);
        assert_int_equal(f.state, RUN_QUEUED);
        assert_int_equal(f.accepted_usec, 1767222000123456);
        assert_int_equal(f.ttl_usec, 28800 * USEC_PER_SEC);
        assert_int_equal(f.exit_status, -1);
        fold_line(&f, lines[1]);
        assert_int_equal(f.state, RUN_RUNNING);
        assert_int_equal(f.step, 1);
        assert_int_equal(f.of, 2);
        assert_true(f.step_open);
        assert_string_equal(f.step_boot, "6f1c");
        assert_int_equal(f.started_usec, 1767222000200000);
        fold_line(&f, lines[2]);
        assert_false(f.step_open);
        assert_int_equal(f.exit_status, 0);
        assert_int_equal(f.worst, VERDICT_PASSED);
        fold_line(&f, lines[3]);
        assert_int_equal(f.step, 2);
        assert_string_equal(f.step_boot, "7a");
        assert_int_equal(f.started_usec, 1767222000200000);
        assert_false(f.cancel_asked);
        fold_line(&f, lines[4]);
        assert_true(f.cancel_asked);
        assert_true(f.step_open);
        fold_line(&f, lines[5]);
        assert_int_equal(f.exit_status, -1);
        assert_int_equal(f.worst, VERDICT_CANCELLED);
        assert_int_equal(f.verdict, VERDICT_NONE);
        fold_line(&f, lines[6]);
        assert_int_equal(f.state, RUN_ENDED);
        assert_int_equal(f.verdict, VERDICT_CANCELLED);
        assert_int_equal(f.ended_usec, 1767222007000000);
}

static void folds_reboots(void **state) {
        struct run_fold f = {0};

        (void)state;
        fold_line(&f, lines[REBOOTS]);
        assert_string_equal(f.accepted_boot, "6f1c");
        assert_int_equal(f.accepted_up_usec, 7);
        fold_line(&f, lines[REBOOTS + 1]);
        assert_true(f.step_open && !f.rebooting);
        assert_int_equal(f.started_up_usec, 61000000);
        assert_int_equal(f.attempt, 1);
        fold_line(&f, lines[REBOOTS + 2]);
        assert_true(f.step_open && f.rebooting);
        assert_int_equal(f.rebooting_up_usec, 61500000);
        fold_line(&f, lines[REBOOTS + 3]);
        assert_false(f.step_open || f.rebooting);
        assert_int_equal(f.last, VERDICT_PASSED);
        fold_line(&f, lines[REBOOTS + 4]);
        assert_int_equal(f.rebooting_up_usec, 0);
        fold_line(&f, lines[REBOOTS + 5]);
        assert_int_equal(f.interrupted, EVENT_INTERRUPT_RETRY);
        assert_int_equal(f.interruptions, 1);
        assert_int_equal(f.worst, VERDICT_PASSED); /* it is begun again */
        fold_line(&f, lines[REBOOTS + 6]);
        assert_int_equal(f.attempt, 2);
        assert_int_equal(f.step, 2);
        assert_string_equal(f.step_boot, "c3");
        fold_line(&f, lines[REBOOTS + 7]);
        assert_int_equal(f.interrupted, EVENT_WHOLE);
        assert_int_equal(f.interruptions, 0);
        assert_int_equal(f.last, VERDICT_PASSED);
}

static void stays_ended(void **state) {
        struct run_fold f = {0}, before;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
                fold_line(&f, lines[i]);
        before = f;
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
                fold_line(&f, lines[i]);
        assert_memory_equal(&f, &before, sizeof(f));
}

static void the_first_acceptance_counts(void **state) {
        struct run_fold f = {0};

        (void)state;
        fold_line(&f, lines[0]);
        fold_line(&f, lines[1]);
        fold_line(&f, lines[0]);
        assert_int_equal(f.state, RUN_RUNNING);
        assert_int_equal(f.step, 1);
}

static void knows_the_worst(void **state) {
        static const enum verdict order[] = {VERDICT_PASSED, VERDICT_NOT_RUN, VERDICT_CANCELLED,
                                             VERDICT_FAILED};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(order); i++)
                for (size_t k = 0; k < ARRAY_SIZE(order); k++) {
                        struct run_fold f = {0};
                        struct event e = {.kind = EVENT_STEPPED, .step = 1, .verdict = order[i]};

                        run_fold_event(&f, &e);
                        e.verdict = order[k];
                        run_fold_event(&f, &e);
                        assert_int_equal(f.worst, order[i > k ? i : k]);
                }
}

static void cuts_a_long_boot_id(void **state) {
        char boot[200];
        struct event e = {.kind = EVENT_STARTED, .step = 1, .of = 1, .boot = boot};
        struct run_fold f = {0};

        (void)state;
        memset(boot, 'x', sizeof(boot));
        boot[sizeof(boot) - 1] = '\0';
        run_fold_event(&f, &e);
        assert_int_equal(strlen(f.step_boot), 63);
}

static void names_verdicts(void **state) {
        enum verdict v = VERDICT_NONE;

        (void)state;
        assert_string_equal(verdict_name(VERDICT_NONE), "");
        assert_string_equal(verdict_name(VERDICT_NOT_RUN), "not-run");
        assert_int_equal(verdict_parse("failed", &v), 0);
        assert_int_equal(v, VERDICT_FAILED);
        assert_int_equal(verdict_parse("", &v), 1);
        assert_int_equal(verdict_parse("FAILED", &v), 1);
        assert_string_equal(run_state_name(RUN_QUEUED), "queued");
}

static int read_once(void *userdata) {
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf out = {0};
        const char *line = userdata;
        struct event e;
        int r = event_read(line, strlen(line), &a, &e);

        return r == 0 ? event_write(&e, &out) : r;
}

static void survives_lack_of_memory(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
                assert_true(starve_each(read_once, (void *)(uintptr_t)lines[i]) > 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(come_back_as_they_went),
                cmocka_unit_test(carries_every_field),
                cmocka_unit_test(keeps_part_of_a_second),
                cmocka_unit_test(refuses_what_it_does_not_know),
                cmocka_unit_test(folds_to_a_state),
                cmocka_unit_test(folds_reboots),
                cmocka_unit_test(stays_ended),
                cmocka_unit_test(the_first_acceptance_counts),
                cmocka_unit_test(knows_the_worst),
                cmocka_unit_test(cuts_a_long_boot_id),
                cmocka_unit_test(names_verdicts),
                cmocka_unit_test(survives_lack_of_memory),
        };

        return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
