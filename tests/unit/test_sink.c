#include "tests/support/check.h"

#include "controller/io/sink.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
        char dir[64];
        struct sink *s;
        int synced;
        int failed;
};

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        strcpy(f->dir, "/tmp/test_sink.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        assert_int_equal(sink_new(&f->s, f->dir), 0);
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

        sink_free(f->s);
        nftw(f->dir, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
        free(f);
        return 0;
}

static void on_synced(void *userdata, const char *run, const char *name, int error) {
        struct fixture *f = userdata;

        (void)run;
        (void)name;
        f->synced++;
        f->failed += error < 0;
}

static void appends_syncs_and_reads(void **state) {
        struct fixture *f = *state;
        char text[16] = {0};

        assert_int_equal(sink_write(f->s, "r1", "1.out", 0, "hello ", 6), 0);
        assert_int_equal(sink_write(f->s, "r1", "1.out", 6, "world", 5), 0);
        assert_int_equal(sink_write(f->s, "r1", "events", 0, "{}", 2), 0);
        sink_sync(f->s, on_synced, f);
        assert_int_equal(f->synced, 2);
        assert_int_equal(f->failed, 0);
        sink_sync(f->s, on_synced, f);
        assert_int_equal(f->synced, 2); /* nothing is dirty any more */
        assert_int_equal(sink_read(f->s, "r1", "1.out", 3, text, 15), 8);
        assert_string_equal(text, "lo world");
}

static void cuts_to_its_row(void **state) {
        struct fixture *f = *state;
        uint64_t size;

        assert_int_equal(sink_write(f->s, "r1", "1.out", 0, "hello world", 11), 0);
        assert_int_equal(sink_cut(f->s, "r1", "1.out", 5, &size), 0);
        assert_int_equal(size, 5);
        assert_int_equal(sink_cut(f->s, "r1", "1.out", 9, &size), SINK_SHORT);
        assert_int_equal(size, 5);
        assert_int_equal(sink_cut(f->s, "r1", "missing", 9, &size), SINK_SHORT);
        assert_int_equal(size, 0);
}

#define HELLO_WORLD "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"

static void hashes_as_bytes_pass_and_from_the_file(void **state) {
        struct fixture *f = *state;
        char hex[SHA256_HEX_SIZE];
        uint64_t size;

        assert_int_equal(sink_write(f->s, "r1", "1.out", 0, "hello ", 6), 0);
        assert_int_equal(sink_write(f->s, "r1", "1.out", 6, "world", 5), 0);
        assert_int_equal(sink_hash(f->s, "r1", "1.out", 11, 0, hex), 0); /* nothing to read */
        assert_string_equal(hex, HELLO_WORLD);
        /* a cut takes it back */
        assert_int_equal(sink_write(f->s, "r1", "1.out", 11, "!", 1), 0);
        assert_int_equal(sink_cut(f->s, "r1", "1.out", 11, &size), 0);
        assert_int_equal(sink_hash(f->s, "r1", "1.out", 11, 0, hex), SINK_MORE);
        assert_int_equal(sink_hash(f->s, "r1", "1.out", 11, 100, hex), 0);
        assert_string_equal(hex, HELLO_WORLD);
        /* a new daemon has only the file */
        f->s = sink_free(f->s);
        assert_int_equal(sink_new(&f->s, f->dir), 0);
        assert_int_equal(sink_hash(f->s, "r1", "1.out", 11, 100, hex), 0);
        assert_string_equal(hex, HELLO_WORLD);
}

static int open_files(void) {
        DIR *d = opendir("/proc/self/fd");
        int n = 0;

        assert_non_null(d);
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

static void bounds_what_is_open(void **state) {
        struct fixture *f = *state;
        int before = open_files();
        char name[32];

        for (int i = 0; i < 3 * SINK_OPEN_MAX; i++) {
                snprintf(name, sizeof(name), "%d.out", i);
                assert_int_equal(sink_write(f->s, "r1", name, 0, "x", 1), 0);
                sink_sync(f->s, on_synced, f);
        }
        assert_true(open_files() - before <= SINK_OPEN_MAX);
        assert_int_equal(f->synced, 3 * SINK_OPEN_MAX);
        sink_forget(f->s, "r1");
        assert_int_equal(open_files(), before);
}

static void refuses_names_that_lead_elsewhere(void **state) {
        struct fixture *f = *state;
        char link[96];

        assert_int_equal(sink_write(f->s, "..", "1.out", 0, "x", 1), -EINVAL);
        assert_int_equal(sink_write(f->s, "r1", "../x", 0, "x", 1), -EINVAL);
        assert_int_equal(sink_open(f->s, "r1", "a/b"), -EINVAL);
        assert_int_equal(sink_write(f->s, "r1", "1.out", 0, "x", 1), 0);
        snprintf(link, sizeof(link), "%s/r1/evil", f->dir);
        assert_int_equal(symlink("/etc/passwd", link), 0);
        assert_int_equal(sink_open(f->s, "r1", "evil"), -ELOOP);
        assert_int_equal(sink_write(f->s, "r1", "evil", 0, "x", 1), -ELOOP);
}

static void opened_for_others_is_read_only(void **state) {
        struct fixture *f = *state;
        int fd;

        assert_int_equal(sink_write(f->s, "r1", "1.out", 0, "x", 1), 0);
        fd = sink_open(f->s, "r1", "1.out");
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "y", 1), -1);
        assert_int_equal(errno, EBADF);
        close(fd);
}

/* Many targets begin at the same moment. */
static void more_files_than_may_be_open_wait_for_a_sync(void **state) {
        struct fixture *f = *state;
        char name[16], text[16] = {0};
        uint64_t size = 1;

        for (int i = 0; i < SINK_OPEN_MAX; i++) {
                snprintf(name, sizeof(name), "%d.out", i);
                assert_int_equal(sink_write(f->s, "r1", name, 0, "x", 1), 0);
        }
        assert_int_equal(sink_write(f->s, "r1", "late", 0, "late", 4), SINK_FULL);
        assert_int_equal(sink_open(f->s, "r1", "late"), -ENOENT);
        /* who reads does not wait for that */
        assert_int_equal(sink_read(f->s, "r1", "0.out", 0, text, sizeof(text)), 1);
        sink_sync(f->s, on_synced, f);
        assert_int_equal(f->synced, SINK_OPEN_MAX);
        assert_int_equal(f->failed, 0);
        assert_int_equal(sink_write(f->s, "r1", "late", 0, "late", 4), 0);
        assert_int_equal(sink_read(f->s, "r1", "late", 0, text, sizeof(text)), 4);
        /* what never had a byte needs no file */
        assert_int_equal(sink_cut(f->s, "r2", "1.out", 0, &size), 0);
        assert_int_equal(size, 0);
        assert_int_equal(sink_cut(f->s, "r2", "1.out", 1, &size), SINK_SHORT);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(appends_syncs_and_reads),
                T(cuts_to_its_row),
                T(hashes_as_bytes_pass_and_from_the_file),
                T(bounds_what_is_open),
                T(more_files_than_may_be_open_wait_for_a_sync),
                T(refuses_names_that_lead_elsewhere),
                T(opened_for_others_is_read_only),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
