#include "tests/support/check.h"

#include "proto/base/buf.h"
#include "proto/digest.h"
#include "target/io/audit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
        char path[64];
        struct audit *a;
};

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        snprintf(f->path, sizeof(f->path), "/tmp/audit-XXXXXX");
        assert_non_null(mkdtemp(f->path));
        assert_int_equal(audit_open(&f->a, f->path), 0);
        *state = f;
        return 0;
}

static const char *name_of(const struct fixture *f, const char *file) {
        static char path[128];

        snprintf(path, sizeof(path), "%s/%s", f->path, file);
        return path;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        audit_free(f->a);
        unlink(name_of(f, "audit"));
        rmdir(name_of(f, "audit"));
        unlink(name_of(f, "audit.1"));
        rmdir(f->path);
        free(f);
        return 0;
}

static void again(struct fixture *f) {
        f->a = audit_free(f->a);
        assert_int_equal(audit_open(&f->a, f->path), 0);
}

static int add(struct fixture *f, const char *what, const char *text, uint64_t number) {
        return audit_add(f->a,
                         &(struct audit_entry){
                                 .what = what, .who = "ctl@lab", .text = text, .number = number});
}

static void read_file(const struct fixture *f, const char *file, struct buf *out) {
        CLEANUP(fd_close) int fd = open(name_of(f, file), O_RDONLY | O_CLOEXEC);
        char part[65536];
        ssize_t n;

        assert_true(fd >= 0);
        while ((n = read(fd, part, sizeof(part))) > 0)
                assert_int_equal(buf_append(out, part, (size_t)n), 0);
        assert_int_equal(n, 0);
        assert_int_equal(buf_check(out), 0);
}

static void put_behind(const struct fixture *f, const char *text) {
        CLEANUP(fd_close) int fd = open(name_of(f, "audit"), O_WRONLY | O_APPEND | O_CLOEXEC);

        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static uint64_t number_in(const char *line, size_t len, const char *key) {
        const char *at = memmem(line, len, key, strlen(key));

        assert_non_null(at);
        return strtoull(at + strlen(key), NULL, 10);
}

/* Each line of @text names the one before it, and counts on. */
static void check_chain(const struct buf *text, uint64_t *seq, char prev[static SHA256_HEX_SIZE]) {
        size_t at = 0;

        while (at < text->len) {
                CLEANUP(sha256_free) struct sha256 *s = NULL;
                const char *line = text->data + at, *end = memchr(line, '\n', text->len - at);
                char expected[128];
                size_t len;

                assert_non_null(end);
                len = (size_t)(end - line);
                snprintf(expected, sizeof(expected), "\"prev\":\"%s\"}", prev);
                assert_memory_equal(end - strlen(expected), expected, strlen(expected));
                assert_int_equal(number_in(line, len, "{\"seq\":"), ++*seq);
                assert_int_equal(sha256_new(&s), 0);
                assert_int_equal(sha256_add(s, line, len), 0);
                assert_int_equal(sha256_hex(s, prev), 0);
                at += len + 1;
        }
}

/* Returns how many lines there are, in a whole chain. */
static uint64_t whole(const struct fixture *f) {
        CLEANUP(buf_done) struct buf text = {0};
        char prev[SHA256_HEX_SIZE] = "";
        uint64_t seq = 0;

        read_file(f, "audit", &text);
        check_chain(&text, &seq, prev);
        return seq;
}

static void chained(void **state) {
        struct fixture *f = *state;

        assert_int_equal(audit_number(f->a), 0);
        assert_int_equal(add(f, "lease-acquired", "a \"quoted\"\nreason", 7), 0);
        assert_int_equal(add(f, "quarantined", NULL, 0), 0);
        assert_int_equal(audit_number(f->a), 7);
        assert_int_equal(whole(f), 2);
        again(f);
        assert_int_equal(audit_number(f->a), 7);
        assert_int_equal(add(f, "freed", NULL, 0), 0);
        assert_int_equal(whole(f), 3);
}

static void torn_at_each_byte(void **state) {
        static const char half[] = "{\"seq\":3,\"t\":1,\"what\":\"lease-taken\",\"number\":9}";
        struct fixture *f = *state;

        assert_int_equal(add(f, "one", NULL, 1), 0);
        assert_int_equal(add(f, "two", NULL, 2), 0);
        for (size_t n = 1; n <= strlen(half); n++) {
                char part[sizeof(half)];

                snprintf(part, n + 1, "%s", half);
                put_behind(f, part);
                again(f);
                assert_int_equal(audit_number(f->a), 2);
                assert_int_equal(whole(f), 2);
        }
        assert_int_equal(add(f, "three", NULL, 3), 0);
        assert_int_equal(whole(f), 3);
}

/* A line that is none stays, and the next one says of which it is the successor. */
static void unreadable_line(void **state) {
        CLEANUP(buf_done) struct buf text = {0};
        struct fixture *f = *state;
        char hash[SHA256_HEX_SIZE];
        CLEANUP(sha256_free) struct sha256 *s = NULL;

        assert_int_equal(add(f, "one", NULL, 1), 0);
        put_behind(f, "what is this?\n");
        again(f);
        assert_int_equal(add(f, "two", NULL, 2), 0);
        assert_int_equal(sha256_new(&s), 0);
        assert_int_equal(sha256_add(s, "what is this?", 13), 0);
        assert_int_equal(sha256_hex(s, hash), 0);
        read_file(f, "audit", &text);
        assert_non_null(memmem(text.data, text.len, hash, strlen(hash)));
        assert_non_null(memmem(text.data, text.len, "{\"seq\":2,", 9));
}

/* What failed in the middle leaves nothing, whatever comes after it, and whenever the program ends. */
static void failed_write(void **state) {
        struct fixture *f = *state;
        struct rlimit limit, before;
        struct stat st;

        assert_int_equal(add(f, "one", NULL, 1), 0);
        assert_int_equal(stat(name_of(f, "audit"), &st), 0);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        signal(SIGXFSZ, SIG_IGN);
        limit = before;
        limit.rlim_cur = (rlim_t)st.st_size + 100;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        assert_int_equal(
                add(f, "two", "a text that is longer than there is room for, and so cut off", 2),
                -EFBIG);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(audit_number(f->a), 1);
        assert_int_equal(add(f, "two", NULL, 2), 0);
        assert_int_equal(whole(f), 2);
        again(f);
        assert_int_equal(whole(f), 2);
}

static void begins_anew(struct fixture *f) {
        static char text[4000];

        memset(text, 'x', sizeof(text) - 1);
        for (int i = 0; access(name_of(f, "audit.1"), F_OK) < 0; i++) {
                assert_true(i < 2300);
                assert_int_equal(add(f, "long", text, (uint64_t)i + 1), 0);
        }
}

static uint64_t both_whole(const struct fixture *f) {
        CLEANUP(buf_done) struct buf first = {0}, second = {0};
        char prev[SHA256_HEX_SIZE] = "";
        uint64_t seq = 0;

        read_file(f, "audit.1", &first);
        read_file(f, "audit", &second);
        assert_true(first.len >= 8u << 20 && first.len < (8u << 20) + 5000);
        check_chain(&first, &seq, prev);
        check_chain(&second, &seq, prev);
        return seq;
}

static void new_file(void **state) {
        struct fixture *f = *state;
        uint64_t n, number;

        begins_anew(f);
        n = both_whole(f);
        number = audit_number(f->a);
        assert_int_equal(n, number);
        /* ended between the two: nothing is in the new file, or it is not even there */
        for (int i = 0; i < 2; i++) {
                f->a = audit_free(f->a);
                if (i == 0)
                        assert_int_equal(truncate(name_of(f, "audit"), 0), 0);
                else
                        assert_int_equal(unlink(name_of(f, "audit")), 0);
                assert_int_equal(audit_open(&f->a, f->path), 0);
                assert_int_equal(audit_number(f->a), number - 1);
                assert_int_equal(add(f, "goes-on", NULL, 0), 0);
                assert_int_equal(both_whole(f), n);
        }
        /* the changes in the file before are known ones */
        again(f);
        assert_int_equal(audit_number(f->a), number - 1);
        assert_int_equal(add(f, "goes-on", NULL, 0), 0);
        assert_int_equal(both_whole(f), n + 1);
}

static void unusable(void **state) {
        struct fixture *f = *state;

        f->a = audit_free(f->a);
        assert_int_equal(unlink(name_of(f, "audit")), 0);
        assert_int_equal(mkdir(name_of(f, "audit"), 0700), 0);
        assert_int_equal(audit_open(&f->a, f->path), -EISDIR);
        rmdir(name_of(f, "audit"));
        assert_int_equal(symlink("/dev/null", name_of(f, "audit")), 0);
        assert_int_equal(audit_open(&f->a, f->path), -ELOOP);
        assert_int_equal(audit_open(&f->a, "/nowhere"), -ENOENT);
        assert_null(f->a);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(chained, setup, teardown),
                cmocka_unit_test_setup_teardown(torn_at_each_byte, setup, teardown),
                cmocka_unit_test_setup_teardown(unreadable_line, setup, teardown),
                cmocka_unit_test_setup_teardown(failed_write, setup, teardown),
                cmocka_unit_test_setup_teardown(new_file, setup, teardown),
                cmocka_unit_test_setup_teardown(unusable, setup, teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
