#include "target/step/step.h"

#include "tests/support/check.h"
#include "tests/support/starve.h"

#include <errno.h>
#include <unistd.h>

static char path[] = "/tmp/rota-step-files-XXXXXX";

static void put(const char *text) {
        FILE *f = fopen(path, "w");

        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void the_spec_comes_back(void **state) {
        const char *const argv[] = {"sh", "-c", "echo \"a\"\n", "", NULL};
        const char *const env[] = {"ROTA_RUN=k3", "EMPTY=", "TWO=a=b", NULL};
        struct step_spec s = {.argv = argv,
                              .env = env,
                              .timeout_usec = 7,
                              .silence_usec = 8,
                              .grace_usec = 9,
                              .cancel_grace_usec = 10,
                              .budget = 11,
                              .hold_usec = 12,
                              .head_tail = true,
                              .pty = false,
                              .boot = "6f",
                              .cwd = "/tmp"};
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf out = {0};
        struct step_spec t;

        (void)state;
        assert_int_equal(step_spec_write(&s, &out), 0);
        put(out.data);
        assert_int_equal(step_spec_read(path, &a, &t), 0);
        for (size_t i = 0; i < 4; i++)
                assert_string_equal(t.argv[i], argv[i]);
        assert_null(t.argv[4]);
        for (size_t i = 0; i < 3; i++)
                assert_string_equal(t.env[i], env[i]);
        assert_null(t.env[3]);
        assert_string_equal(t.cwd, "/tmp");
        assert_string_equal(t.boot, "6f");
        assert_int_equal(t.timeout_usec, 7);
        assert_int_equal(t.silence_usec, 8);
        assert_int_equal(t.grace_usec, 9);
        assert_int_equal(t.cancel_grace_usec, 10);
        assert_int_equal(t.budget, 11);
        assert_int_equal(t.hold_usec, 12);
        assert_true(t.head_tail);
        assert_false(t.pty);
}

static void a_bad_spec_is_refused(void **state) {
        static const char *const bad[] = {
                "",
                "[]",
                "{}",
                "{\"argv\":[]}",
                "{\"argv\":\"ls\"}",
                "{\"argv\":[1]}",
                "{\"argv\":[\"ls\"],\"env\":{\"A\":1}}",
                "{\"argv\":[\"ls\"],\"timeout\":-1}",
                "{\"argv\":[\"ls\"],\"budget\":1,\"over\":\"drop\"}",
        };
        CLEANUP(arena_done) struct arena a = {0};
        struct step_spec s;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                put(bad[i]);
                assert_int_equal(step_spec_read(path, &a, &s), 1);
        }
        assert_int_equal(step_spec_read("/nowhere/at/all", &a, &s), -ENOENT);
}

static void check_exit(const char *text) {
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf out = {0};
        struct step_exit e;

        put(text);
        assert_int_equal(step_exit_read(path, &a, &e), 0);
        assert_int_equal(step_exit_write(&e, &out), 0);
        check_buf(&out, text);
}

static void the_exit_record_comes_back(void **state) {
        CLEANUP(arena_done) struct arena a = {0};
        struct step_exit e;

        (void)state;
        check_exit("{\"exit\":0,\"elapsed\":5,\"size\":18446744073709551615,\"sha256\":\"00\"}");
        check_exit("{\"exit\":255,\"elapsed\":0,\"size\":0}");
        check_exit("{\"signal\":9,\"cause\":\"timeout\",\"text\":\"it \\\"hung\\\"\",\"elapsed\":5,"
                   "\"size\":0,\"sha256\":\"00\"}");
        check_exit("{\"cause\":\"missing\",\"elapsed\":0,\"size\":0}");
        check_exit("{\"exit\":0,\"elapsed\":5,\"size\":9,\"dropped\":4,\"sha256\":\"00\"}");
        put("{\"exit\":0,\"elapsed\":5,\"size\":1,\"sha256\":\"00\",\"later\":\"more\"}");
        assert_int_equal(step_exit_read(path, &a, &e), 0);
        assert_int_equal(e.exit_status, 0);
        assert_int_equal(e.signal, 0);
        assert_null(e.cause);
        put("{\"signal\":6,\"elapsed\":5,\"size\":1}");
        assert_int_equal(step_exit_read(path, &a, &e), 0);
        assert_int_equal(e.exit_status, -1);
        assert_int_equal(e.signal, 6);
}

static void a_bad_exit_record_is_refused(void **state) {
        static const char *const bad[] = {
                "", "{}", "{\"exit\":256}", "{\"exit\":\"0\"}", "{\"exit\":0", "{\"exit\":-1}"};
        CLEANUP(arena_done) struct arena a = {0};
        struct step_exit e;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                put(bad[i]);
                assert_int_equal(step_exit_read(path, &a, &e), 1);
        }
}

static int read_once(void *userdata) {
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf out = {0};
        struct step_spec s;
        int r = step_spec_read(userdata, &a, &s);

        return r == 0 ? step_spec_write(&s, &out) : r;
}

static void survives_lack_of_memory(void **state) {
        (void)state;
        put("{\"argv\":[\"a\",\"b\"],\"env\":{\"A\":\"1\"},\"boot\":\"x\"}");
        assert_true(starve_each(read_once, path) > 5);
}

static int setup(void **state) {
        int fd = mkstemp(path);

        (void)state;
        assert_true(fd >= 0);
        close(fd);
        return 0;
}

static int teardown(void **state) {
        (void)state;
        return unlink(path);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_spec_comes_back),
                cmocka_unit_test(a_bad_spec_is_refused),
                cmocka_unit_test(the_exit_record_comes_back),
                cmocka_unit_test(a_bad_exit_record_is_refused),
                cmocka_unit_test(survives_lack_of_memory),
        };

        return cmocka_run_group_tests_name("step files", tests, setup, teardown);
}
