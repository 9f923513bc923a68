#include "tests/support/check.h"

#include "controller/config.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
        char dir[64];
        char path[96];
};

static void put(struct fixture *f, const char *name, const char *text, mode_t mode) {
        char path[160];
        FILE *file;

        snprintf(path, sizeof(path), "%s/%s", f->dir, name);
        file = fopen(path, "w");
        assert_non_null(file);
        fputs(text, file);
        fclose(file);
        assert_int_equal(chmod(path, mode), 0);
}

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        strcpy(f->dir, "/tmp/test_config.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        snprintf(f->path, sizeof(f->path), "%s/controller.json", f->dir);
        unsetenv("STATE_DIRECTORY");
        setenv("XDG_STATE_HOME", "/var/tmp/state", 1);
        setenv("ROTA_SOCKET", "/tmp/sock", 1);
        put(f, "secret", "swordfish\n", 0600);
        put(f, "ca.pem", "", 0644);
        *state = f;
        return 0;
}

static int unlink_one(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
        (void)st;
        (void)flag;
        (void)ftw;
        return remove(path);
}

static int teardown(void **state) {
        struct fixture *f = *state;

        nftw(f->dir, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
        free(f);
        return 0;
}

#define GOOD                                                                                       \
        "{ \"jid\": \"controller@lab\", // who\n  \"password_file\": \"secret\", \"accept\": "     \
        "[\"*@lab\"],\n"                                                                           \
        "  \"ca_file\": \"ca.pem\", \"free_min\": \"1M\" }\n"

static void reads_with_comments_and_defaults(void **state) {
        struct fixture *f = *state;
        CLEANUP(config_done) struct config c = {0};
        CLEANUP(mem_free) char *why = NULL;

        put(f, "controller.json", GOOD, 0644);
        assert_int_equal(config_read(&c, f->path, &why), 0);
        assert_string_equal(c.jid, "controller@lab");
        assert_string_equal(c.password, "swordfish");
        assert_string_equal(c.accept[0], "*@lab");
        assert_null(c.accept[1]);
        assert_int_equal(c.free_min, 1 << 20);
        assert_string_equal(c.state_dir, "/var/tmp/state/rota");
        assert_string_equal(c.socket, "/tmp/sock");
        assert_non_null(strstr(c.ca_file, "/ca.pem"));
        assert_int_equal(c.ca_file[0], '/');
}

static void drop_ins_win_in_their_order(void **state) {
        struct fixture *f = *state;
        CLEANUP(config_done) struct config c = {0};
        CLEANUP(mem_free) char *why = NULL;
        char dir[128];

        put(f, "controller.json", GOOD, 0644);
        snprintf(dir, sizeof(dir), "%s/controller.d", f->dir);
        assert_int_equal(mkdir(dir, 0755), 0);
        put(f, "controller.d/20.json", "{ \"free_min\": \"3M\", \"accept\": [] }", 0644);
        put(f, "controller.d/10.json", "{ \"free_min\": \"2M\", \"server\": \"x:1\" }", 0644);
        put(f, "controller.d/30.json~", "not read", 0644);
        assert_int_equal(config_read(&c, f->path, &why), 0);
        assert_int_equal(c.free_min, 3 << 20);
        assert_string_equal(c.server, "x:1");
        assert_null(c.accept[0]);
}

/* What is wrong, and words that its sentence must have. */
static void refuse(void **state, const char *text, const char *first, const char *second) {
        struct fixture *f = *state;
        CLEANUP(config_done) struct config c = {0};
        CLEANUP(mem_free) char *why = NULL;

        put(f, "controller.json", text, 0644);
        assert_int_equal(config_read(&c, f->path, &why), CONFIG_BAD);
        assert_non_null(why);
        if (!strstr(why, first) || !strstr(why, second))
                fail_msg("\"%s\" has not \"%s\" and \"%s\"", why, first, second);
}

static void says_where_and_what(void **state) {
        refuse(state, "{\n  \"jid\": \"controller@lab\",,\n}", "controller.json:2:", "");
        refuse(state, "{\n  \"jidd\": \"controller@lab\"\n}", "controller.json:2:", "jid");
        refuse(state, "{ \"jid\": 3 }", "controller.json:1:", "string");
        refuse(state, "{ \"jid\": \"nobody\" }", "bare JID", "nobody");
        refuse(state, "{ \"jid\": \"c@lab/res\" }", "bare JID", "c@lab/res");
        refuse(state, "{ \"jid\": \"c@lab\", \"accept\": [\"*lab\"] }", "*@domain", "*lab");
        refuse(state, "{ \"jid\": \"c@lab\", \"free_min\": \"many\" }", "free_min", "");
        refuse(state, "{ \"password_file\": \"secret\" }", "\"jid\" is missing", "");
        refuse(state, "{ \"jid\": \"c@lab\" }", "\"password_file\" is missing", "");
        refuse(state, "{ \"jid\": \"c@lab\", \"password_file\": \"none\" }",
               "cannot read the password file", "chmod 600");
        refuse(state, "[]", "expected an object", "");
        refuse(state, "{ \"jid\": \"c@lab\", \"password\": \"x\" }", "holds a password",
               "chmod 600");
}

static void a_password_for_everybody_is_refused(void **state) {
        struct fixture *f = *state;

        put(f, "secret", "swordfish\n", 0644);
        refuse(state, GOOD, "may be read by everybody (mode 0644)", "chmod 600");
        put(f, "secret", "\n", 0600);
        refuse(state, GOOD, "empty or too long", "first line");
}

static void names_a_missing_file(void **state) {
        CLEANUP(config_done) struct config c = {0};
        CLEANUP(mem_free) char *why = NULL;

        (void)state;
        assert_int_equal(config_read(&c, "/nonexistent/controller.json", &why), CONFIG_BAD);
        assert_non_null(strstr(why, "cannot read /nonexistent/controller.json"));
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(reads_with_comments_and_defaults),
                T(drop_ins_win_in_their_order),
                T(says_where_and_what),
                T(a_password_for_everybody_is_refused),
                T(names_a_missing_file),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
