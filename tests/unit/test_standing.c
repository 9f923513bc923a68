#include "tests/support/check.h"

#include "proto/base/clock.h"
#include "target/io/standing.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
        char path[64];
        char file[96];
        char fresh[96];
};

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        snprintf(f->path, sizeof(f->path), "/tmp/standing-XXXXXX");
        assert_non_null(mkdtemp(f->path));
        snprintf(f->file, sizeof(f->file), "%s/standing.json", f->path);
        snprintf(f->fresh, sizeof(f->fresh), "%s/standing.json.new", f->path);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        unlink(f->file);
        unlink(f->fresh);
        rmdir(f->fresh);
        rmdir(f->path);
        free(f);
        return 0;
}

/* Everything in it, of the longest that it may be. */
static struct standing full(void) {
        struct standing s = {
                .boot = "6f1c2c1e-0000-4000-8000-000000000001",
                .lease = {.token = UINT64_MAX - 1,
                          .change = 40,
                          .id = "k3",
                          .holder = "ctl@lab",
                          .by = "ana \"the\" \\ <admin>",
                          .since_usec = 1,
                          .until_usec = 3,
                          .length_usec = 2},
                .lease_ends_usec = USEC_NEVER - 1,
                .quarantine = {.on = true,         .reason = "bad DIMM",                                .since_usec = 5                                                               },
                .away = {.on = true,.who = "ops@lab",.by = "bob",.since_usec = 6 },
                .away_until_usec = 7,
                .away_boot = "6f1c2c1e-0000-4000-8000-000000000000",
                .not_run = 2,
        };

        memset(s.lease.reason, 'x', sizeof(s.lease.reason) - 1);
        return s;
}

static void put(const struct fixture *f, const char *text) {
        CLEANUP(fd_close)
        int fd = open(f->file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void said_again(void **state) {
        const struct standing s = full();
        struct fixture *f = *state;
        struct standing got;
        struct stat st;

        assert_int_equal(standing_read(f->path, &got), 0);
        assert_int_equal(got.lease.token, 0);
        assert_string_equal(got.boot, "");
        assert_false(got.quarantine.on || got.away.on);
        assert_int_equal(standing_write(f->path, &s), 0);
        assert_int_equal(stat(f->fresh, &st), -1);
        assert_int_equal(standing_read(f->path, &got), 0);
        assert_memory_equal(&got, &s, sizeof(s));
}

static void nothing_in_force(void **state) {
        const struct standing s = {
                .boot = "b", .lease = {.token = 17, .change = 40},
                     .not_run = 1
        };
        struct fixture *f = *state;
        struct standing got;

        assert_int_equal(standing_write(f->path, &s), 0);
        assert_int_equal(standing_read(f->path, &got), 0);
        assert_memory_equal(&got, &s, sizeof(s));
}

/* Cut anywhere, it is no standing at all: who has the machine is unknown then. */
static void torn(void **state) {
        const struct standing s = full();
        struct fixture *f = *state;
        struct standing got = {.not_run = 99};
        char text[4096];
        ssize_t n;
        int fd;

        assert_int_equal(standing_write(f->path, &s), 0);
        fd = open(f->file, O_RDONLY | O_CLOEXEC);
        n = read(fd, text, sizeof(text) - 1);
        close(fd);
        assert_true(n > 500 && text[n - 1] == '\n');
        for (ssize_t cut = 0; cut < n - 1; cut += 7) {
                put(f, "");
                assert_int_equal(truncate(f->file, 0), 0);
                fd = open(f->file, O_WRONLY | O_CLOEXEC);
                assert_int_equal(write(fd, text, (size_t)cut), cut);
                close(fd);
                assert_int_equal(standing_read(f->path, &got), -EUCLEAN);
        }
        assert_int_equal(got.not_run, 99);
}

static void nonsense(void **state) {
        static const char *const bad[] = {
                "[]",
                "{\"boot\":7}",
                "{\"lease\":[]}",
                "{\"lease\":{\"token\":-1}}",
                "{\"lease\":{\"token\":1,\"id\":\"k1\"}}",
                "{\"lease\":{\"token\":1,\"id\":\"../k1\",\"holder\":\"a@lab\"}}",
                "{\"quarantine\":true}",
                "{\"away\":{\"until\":\"soon\"}}",
                "{\"not_run\":\"two\"}",
        };
        struct fixture *f = *state;
        struct standing got;

        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                put(f, bad[i]);
                assert_int_equal(standing_read(f->path, &got), -EUCLEAN);
        }
}

/* A write that fails leaves what was there, and is no obstacle to the next. */
static void failed_write(void **state) {
        const struct standing before = {
                .boot = "b", .lease = {.token = 17, .change = 40}
        };
        const struct standing s = full();
        struct fixture *f = *state;
        struct rlimit limit, unlimited;
        struct standing got;

        assert_int_equal(standing_write(f->path, &before), 0);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
        signal(SIGXFSZ, SIG_IGN);
        limit = unlimited;
        limit.rlim_cur = 100;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(standing_write(f->path, &s), -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
        assert_int_equal(standing_read(f->path, &got), 0);
        assert_memory_equal(&got, &before, sizeof(before));
        unlink(f->fresh);
        assert_int_equal(mkdir(f->fresh, 0700), 0);
        assert_int_equal(standing_write(f->path, &s), -EISDIR);
        assert_int_equal(rmdir(f->fresh), 0);
        assert_int_equal(standing_write(f->path, &s), 0);
        assert_int_equal(standing_read(f->path, &got), 0);
        assert_memory_equal(&got, &s, sizeof(s));
        assert_int_equal(standing_write("/nowhere", &s), -ENOENT);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(said_again, setup, teardown),
                cmocka_unit_test_setup_teardown(nothing_in_force, setup, teardown),
                cmocka_unit_test_setup_teardown(torn, setup, teardown),
                cmocka_unit_test_setup_teardown(nonsense, setup, teardown),
                cmocka_unit_test_setup_teardown(failed_write, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
