#include "proto/plan.h"

#include "proto/base/clock.h"
#include "tests/support/check.h"
#include "tests/support/starve.h"

#include <errno.h>

struct read {
        struct json_doc *doc;
        struct arena arena;
        struct plan plan;
};

static int read_text(struct read *r, const char *text) {
        struct json_at root;
        int k;

        *r = (struct read){0};
        k = json_parse(&r->doc, "plan", text, strlen(text));
        if (k != 0)
                return k;
        root = json_root(r->doc);
        return plan_read(&root, &r->arena, &r->plan);
}

static void read_done(struct read *r) {
        json_free(r->doc);
        arena_done(&r->arena);
}

static void check_refused(const char *text, const char *error) {
        struct read r;

        assert_int_equal(read_text(&r, text), JSON_BAD);
        if (!strstr(json_error(r.doc), error))
                fail_msg("\"%s\" does not say \"%s\"", json_error(r.doc), error);
        read_done(&r);
}

static void check_title(const char *steps, const char *title) {
        CLEANUP(buf_done) struct buf text = {0}, out = {0};
        struct read r;

        buf_printf(&text, "{\"steps\":[%s]}", steps);
        assert_int_equal(read_text(&r, text.data), 0);
        assert_int_equal(plan_step_title(&r.plan.steps[0], &out), 0);
        check_buf(&out, title);
        read_done(&r);
}

static void reads_all_there_is(void **state) {
        struct read r;
        const struct plan_step *s;

        (void)state;
        assert_int_equal(read_text(&r, "{ \"name\": \"long one\", \"steps\": [ // two\n"
                                       "{\"diag\":\"memory\",\"params\":{\"size\":\"64M\","
                                       "\"passes\":1,\"fast\":true,\"x\":1.50},\"timeout\":\"2h\"},"
                                       "{\"exec\":[\"head\",\"-c\",\"1\",\"\"],\"pty\":false,"
                                       "\"silence\":\"1.5s\"} ] }"),
                         0);
        assert_string_equal(r.plan.name, "long one");
        assert_int_equal(r.plan.n_steps, 2);
        s = &r.plan.steps[0];
        assert_int_equal(s->kind, PLAN_DIAG);
        assert_string_equal(s->diag, "memory");
        assert_int_equal(s->n_params, 4);
        assert_string_equal(s->params[0].name, "size");
        assert_string_equal(s->params[0].value, "64M");
        assert_string_equal(s->params[1].value, "1");
        assert_string_equal(s->params[2].value, "true");
        assert_string_equal(s->params[3].value, "1.50");
        assert_int_equal(s->timeout_usec, 2 * USEC_PER_HOUR);
        assert_int_equal(s->silence_usec, 0);
        assert_int_equal(s->pty, -1);
        assert_false(s->pty_given);
        s = &r.plan.steps[1];
        assert_int_equal(s->kind, PLAN_EXEC);
        assert_int_equal(s->n_argv, 4);
        assert_string_equal(s->argv[0], "head");
        assert_string_equal(s->argv[3], "");
        assert_null(s->argv[4]);
        assert_int_equal(s->silence_usec, 1500000);
        assert_int_equal(s->pty, 0);
        assert_true(s->pty_given);
        read_done(&r);
}

static void names_itself_by_its_first_step(void **state) {
        struct read r;

        (void)state;
        assert_int_equal(read_text(&r, "{\"steps\":[{\"diag\":\"cpu\"}]}"), 0);
        assert_string_equal(r.plan.name, "cpu");
        read_done(&r);
        assert_int_equal(read_text(&r, "{\"steps\":[{\"exec\":[\"/usr/bin/head\"]}]}"), 0);
        assert_string_equal(r.plan.name, "head");
        read_done(&r);
        assert_int_equal(read_text(&r, "{\"steps\":[{\"exec\":[\"a\\nb\"]}]}"), 0);
        assert_string_equal(r.plan.name, "a?b");
        read_done(&r);
}

static void says_what_is_wrong(void **state) {
        (void)state;
        check_refused("[]", "a plan is an object");
        check_refused("{}", "there are none");
        check_refused("{\"steps\":[]}", "at least one step");
        check_refused("{\"steps\":{}}", "at least one step");
        check_refused("{\"steps\":[{}]}", "this one has none of them");
        check_refused("{\"steps\":[{\"diag\":\"a\",\"exec\":[\"b\"]}]}", "both diag and exec");
        check_refused("{\"steps\":[{\"diag\":\"\"}]}", "name is empty");
        check_refused("{\"steps\":[{\"diag\":\"a\"},{\"diag\":5}]}", "steps[1].diag");
        check_refused("{\"steps\":[{\"exec\":[]}]}", "the program and its arguments");
        check_refused("{\"steps\":[{\"exec\":\"ls -l\"}]}", "the program and its arguments");
        check_refused("{\"steps\":[{\"exec\":[\"\"]}]}", "program's name is empty");
        check_refused("{\"steps\":[{\"exec\":[\"a\"],\"params\":{}}]}", "params go with a diag");
        check_refused("{\"steps\":[{\"diag\":\"a\",\"params\":{\"x\":[]}}]}", "a string, a number");
        check_refused("{\"steps\":[{\"diag\":\"a\",\"params\":{\"x\":\"a\\u0007\"}}]}",
                      "control character");
        check_refused("{\"steps\":[{\"diag\":\"a\",\"timeuot\":5}]}", "timeout");
        check_refused("{\"steps\":[{\"diag\":\"a\",\"timeout\":\"soon\"}]}", "timeout");
        check_refused("{\"steps\":[{\"diag\":\"a\",\"pty\":1}]}", "pty");
        check_refused(
                "{\"steps\":[{\"diag\":\"a\"}],\"disk_budget\":\"4k\",\"over_budget\":\"drop\"}",
                "head+tail");
        check_refused("{\"steps\":[{\"diag\":\"a\"}],\"disk_budget\":4095}", "4096");
        check_refused("{\"steps\":[{\"diag\":\"a\"}],\"disk_budget\":\"much\"}", "disk_budget");
        check_refused("{\"step\":[{\"diag\":\"a\"}]}", "steps");
        check_refused("{\"name\":\"\",\"steps\":[{\"diag\":\"a\"}]}", "name is empty");
        check_refused("{\"name\":\"a\\u001b[31m\",\"steps\":[{\"diag\":\"a\"}]}",
                      "control character");
}

static void reboots_and_interruptions(void **state) {
        struct read r;
        const struct plan_step *s;

        (void)state;
        assert_int_equal(read_text(&r, "{\"steps\":[{\"reboot\":true},"
                                       "{\"reboot\":{\"mode\":\"force\",\"within\":\"90s\"}},"
                                       "{\"reboot\":{}},{\"diag\":\"a\"},"
                                       "{\"diag\":\"a\",\"on_interrupt\":\"continue\"},"
                                       "{\"exec\":[\"a\"],\"on_interrupt\":\"retry\"},"
                                       "{\"exec\":[\"a\"],\"on_interrupt\":{\"retry\":5}},"
                                       "{\"exec\":[\"a\"],\"on_interrupt\":\"fail\"}]}"),
                         0);
        assert_string_equal(r.plan.name, "reboot");
        s = r.plan.steps;
        assert_int_equal(s[0].kind, PLAN_REBOOT);
        assert_false(s[0].force);
        assert_int_equal(s[0].within_usec, PLAN_WITHIN_USEC);
        assert_int_equal(s[1].kind, PLAN_REBOOT);
        assert_true(s[1].force);
        assert_int_equal(s[1].within_usec, 90 * USEC_PER_SEC);
        assert_int_equal(s[2].kind, PLAN_REBOOT);
        assert_false(s[2].force);
        assert_int_equal(s[3].on_interrupt, PLAN_INTERRUPT_FAIL);
        assert_int_equal(s[4].on_interrupt, PLAN_INTERRUPT_CONTINUE);
        assert_int_equal(s[4].retries, 0);
        assert_int_equal(s[5].on_interrupt, PLAN_INTERRUPT_RETRY);
        assert_int_equal(s[5].retries, 1);
        assert_int_equal(s[6].on_interrupt, PLAN_INTERRUPT_RETRY);
        assert_int_equal(s[6].retries, 5);
        assert_int_equal(s[7].on_interrupt, PLAN_INTERRUPT_FAIL);
        read_done(&r);
}

static void carries_its_disk_budget(void **state) {
        const char text[] = "{\"name\":\"a\",\"steps\":[{\"diag\":\"a\"}],\"disk_budget\":1048576,"
                            "\"over_budget\":\"head+tail\"}";
        CLEANUP(buf_done) struct buf out = {0};
        struct read r;

        (void)state;
        assert_int_equal(read_text(&r, "{\"steps\":[{\"diag\":\"a\"}],\"disk_budget\":\"1M\","
                                       "\"over_budget\":\"head+tail\"}"),
                         0);
        assert_int_equal(r.plan.disk_budget, 1048576);
        assert_true(r.plan.head_tail);
        assert_int_equal(plan_write(&r.plan, &out), 0);
        check_buf(&out, text);
        read_done(&r);
        assert_int_equal(read_text(&r, "{\"steps\":[{\"diag\":\"a\"}],\"over_budget\":\"block\"}"),
                         0);
        assert_int_equal(r.plan.disk_budget, 0);
        assert_false(r.plan.head_tail);
        read_done(&r);
}

static void says_what_is_wrong_with_a_reboot(void **state) {
        (void)state;
        check_refused("{\"steps\":[{\"reboot\":false}]}", "steps[0].reboot: a step that does not");
        check_refused("{\"steps\":[{\"reboot\":\"now\"}]}", "reboot is true or an object");
        check_refused("{\"steps\":[{\"reboot\":{\"mode\":\"drain\"}}]}", "graceful, force");
        check_refused("{\"steps\":[{\"reboot\":{\"mode\":1}}]}", "steps[0].reboot.mode");
        check_refused("{\"steps\":[{\"reboot\":{\"wihtin\":\"5m\"}}]}", "within");
        check_refused("{\"steps\":[{\"reboot\":{\"within\":\"soon\"}}]}", "reboot.within");
        check_refused("{\"steps\":[{\"reboot\":{\"within\":0}}]}", "from 1s to 24h");
        check_refused("{\"steps\":[{\"reboot\":{\"within\":\"25h\"}}]}", "from 1s to 24h");
        check_refused("{\"steps\":[{\"reboot\":true,\"timeout\":\"5m\"}]}",
                      "timeout goes with a diag or an exec");
        check_refused("{\"steps\":[{\"reboot\":true,\"on_interrupt\":\"retry\"}]}",
                      "steps[0].on_interrupt: on_interrupt goes with");
        check_refused("{\"steps\":[{\"reboot\":true,\"exec\":[\"a\"]}]}", "both exec and reboot");
        check_refused("{\"steps\":[{\"reobot\":true}]}", "reboot");
        check_refused("{\"steps\":[{\"diag\":\"a\",\"on_interrupt\":\"again\"}]}",
                      "fail, continue, retry");
        check_refused("{\"steps\":[{\"diag\":\"a\",\"on_interrupt\":{}}]}", "{ \"retry\": 3 }");
        check_refused("{\"steps\":[{\"diag\":\"a\",\"on_interrupt\":{\"retry\":0}}]}",
                      "from 1 to 5");
        check_refused("{\"steps\":[{\"diag\":\"a\",\"on_interrupt\":{\"retry\":6}}]}",
                      "from 1 to 5");
        check_refused("{\"steps\":[{\"diag\":\"a\",\"on_interrupt\":{\"retry\":\"3\"}}]}",
                      "on_interrupt.retry");
        check_refused("{\"steps\":[{\"diag\":\"a\",\"on_interrupt\":{\"tries\":3}}]}", "retry");
}

static void is_limited(void **state) {
        CLEANUP(buf_done) struct buf text = {0};
        struct read r;

        (void)state;
        buf_puts(&text, "{\"steps\":[{\"diag\":\"a\"}");
        for (int i = 1; i < PLAN_STEPS_MAX; i++)
                buf_puts(&text, ",{\"diag\":\"a\"}");
        size_t len = text.len;
        buf_puts(&text, "]}");
        assert_int_equal(read_text(&r, text.data), 0);
        read_done(&r);
        buf_truncate(&text, len);
        buf_puts(&text, ",{\"diag\":\"a\"}]}");
        check_refused(text.data, "more than 256 steps");

        buf_clear(&text);
        buf_puts(&text, "{\"steps\":[{\"exec\":[\"a\"");
        for (int i = 0; i < PLAN_ARGV_MAX; i++)
                buf_puts(&text, ",\"a\"");
        buf_puts(&text, "]}]}");
        check_refused(text.data, "more than 256 arguments");

        buf_clear(&text);
        buf_puts(&text, "{\"steps\":[{\"diag\":\"a\",\"params\":{\"x\":1");
        for (int i = 0; i < PLAN_PARAMS_MAX; i++)
                buf_printf(&text, ",\"x%d\":1", i);
        buf_puts(&text, "}}]}");
        check_refused(text.data, "more than 64 parameters");

        buf_clear(&text);
        buf_printf(&text, "{\"name\":\"%0129d\",\"steps\":[{\"diag\":\"a\"}]}", 0);
        check_refused(text.data, "longer than 128 bytes");
}

static void comes_back_as_it_went(void **state) {
        static const char text[] =
                "{\"name\":\"n\",\"steps\":[{\"diag\":\"memory\",\"params\":{\"size\":\"64M\","
                "\"passes\":\"1\"},\"timeout\":7200,\"silence\":\"1500000us\"},"
                "{\"exec\":[\"sh\",\"-c\",\"echo \\\"ä\\\" \\u0001\"],\"pty\":false},"
                "{\"exec\":[\"x\"],\"pty\":true,\"on_interrupt\":\"continue\"},"
                "{\"exec\":[\"y\"],\"on_interrupt\":{\"retry\":2}},"
                "{\"reboot\":{\"mode\":\"graceful\",\"within\":600}},"
                "{\"reboot\":{\"mode\":\"force\",\"within\":\"1500000us\"}}]}";
        CLEANUP(buf_done) struct buf out = {0};
        struct read r, again;

        (void)state;
        assert_int_equal(read_text(&r, text), 0);
        assert_int_equal(plan_write(&r.plan, &out), 0);
        check_buf(&out, text);
        assert_int_equal(read_text(&again, out.data), 0);
        assert_string_equal(again.plan.steps[1].argv[2], "echo \"ä\" \x01");
        assert_int_equal(again.plan.steps[0].silence_usec, 1500000);
        read_done(&again);
        read_done(&r);
}

static void has_titles(void **state) {
        CLEANUP(buf_done) struct buf text = {0}, out = {0};
        struct read r;

        (void)state;
        check_title("{\"diag\":\"memory\",\"params\":{\"size\":\"64M\",\"n\":2}}",
                    "memory size=64M n=2");
        check_title("{\"exec\":[\"head\",\"-c\",\"1\",\"/dev/urandom\"]}",
                    "head -c 1 /dev/urandom");
        check_title("{\"exec\":[\"sh\",\"-c\",\"echo a\\nb\",\"\"]}", "sh -c 'echo a?b' ''");
        check_title("{\"reboot\":true}", "reboot");
        check_title("{\"reboot\":{\"mode\":\"force\"}}", "reboot (force)");

        buf_puts(&text, "{\"steps\":[{\"exec\":[\"echo\"");
        for (int i = 0; i < 100; i++)
                buf_puts(&text, ",\"ääääääää\"");
        buf_puts(&text, "]}]}");
        assert_int_equal(read_text(&r, text.data), 0);
        assert_int_equal(plan_step_title(&r.plan.steps[0], &out), 0);
        assert_in_range(out.len, 150, 160);
        assert_string_equal(out.data + out.len - 3, "…");
        read_done(&r);
}

static int read_once(void *userdata) {
        CLEANUP(buf_done) struct buf out = {0};
        struct read r;
        int k = read_text(&r, userdata);

        if (k == 0)
                k = plan_write(&r.plan, &out);
        if (k == 0)
                k = plan_step_title(&r.plan.steps[0], &out);
        read_done(&r);
        return k;
}

static void survives_lack_of_memory(void **state) {
        static char text[] =
                "{\"steps\":[{\"diag\":\"a\",\"params\":{\"x\":1,\"y\":\"z\"},"
                "\"silence\":0.5},{\"exec\":[\"a\",\"b\"],\"on_interrupt\":{\"retry\":2}},"
                "{\"reboot\":{\"within\":9}}]}";

        (void)state;
        assert_true(starve_each(read_once, text) > 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(reads_all_there_is),
                cmocka_unit_test(names_itself_by_its_first_step),
                cmocka_unit_test(says_what_is_wrong),
                cmocka_unit_test(reboots_and_interruptions),
                cmocka_unit_test(carries_its_disk_budget),
                cmocka_unit_test(says_what_is_wrong_with_a_reboot),
                cmocka_unit_test(is_limited),
                cmocka_unit_test(comes_back_as_it_went),
                cmocka_unit_test(has_titles),
                cmocka_unit_test(survives_lack_of_memory),
        };

        return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
