#include "target/step/record.h"

#include "tests/support/check.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static char dir[] = "/tmp/rota-record-XXXXXX";

/* A record in our directory, and the pipe that it reads. */
struct desk {
        struct record record;
        int in, out;
};

static void desk_open(struct desk *d) {
        int fds[2];

        (void)unlink("1.out");
        assert_int_equal(record_open(&d->record, "1.out"), 0);
        assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
        d->in = fds[0];
        d->out = fds[1];
}

static void desk_close(struct desk *d) {
        record_done(&d->record);
        close(d->in);
        close(d->out);
}

static void print(struct desk *d, const char *text, size_t len) {
        assert_int_equal(write(d->out, text, len), (ssize_t)len);
}

/* The file is @want, and what the record says of it is true. */
static void check_file(struct desk *d, const char *want, size_t len) {
        CLEANUP(sha256_free) struct sha256 *sha = NULL;
        char hex[SHA256_HEX_SIZE], own[SHA256_HEX_SIZE];
        char *got = calloc(1, len + 2);
        int fd = open("1.out", O_RDONLY | O_CLOEXEC);

        assert_non_null(got);
        assert_true(fd >= 0);
        assert_int_equal(read(fd, got, len + 1), (ssize_t)len);
        assert_memory_equal(got, want, len);
        assert_int_equal(d->record.size, len);
        assert_int_equal(record_finish(&d->record, hex), 0);
        assert_int_equal(sha256_new(&sha), 0);
        assert_int_equal(sha256_add(sha, want, len), 0);
        assert_int_equal(sha256_hex(sha, own), 0);
        assert_string_equal(hex, own);
        close(fd);
        free(got);
}

static void without_a_bound(void **state) {
        struct desk d;

        (void)state;
        desk_open(&d);
        record_bound(&d.record, 0, NULL);
        assert_int_equal(record_pull(&d.record, d.in), RECORD_DRY);
        print(&d, "hello\n", 6);
        assert_int_equal(record_pull(&d.record, d.in), 0);
        assert_int_equal(record_settle(&d.record), 0);
        check_file(&d, "hello\n", 6);
        desk_close(&d);
}

static void to_the_byte_and_no_further(void **state) {
        struct desk d;

        (void)state;
        desk_open(&d);
        record_bound(&d.record, 8, NULL);
        print(&d, "01234567", 8);
        assert_int_equal(record_pull(&d.record, d.in), 0);
        assert_int_equal(record_pull(&d.record, d.in), RECORD_DRY); /* it fits */
        print(&d, "89", 2);
        assert_int_equal(record_pull(&d.record, d.in), RECORD_HELD);
        assert_int_equal(record_pull(&d.record, d.in), RECORD_HELD);
        record_bound(&d.record, 9, NULL);
        assert_int_equal(record_pull(&d.record, d.in), 0);
        assert_int_equal(record_pull(&d.record, d.in), RECORD_HELD);
        assert_int_equal(record_drop(&d.record, d.in), 0);
        assert_int_equal(record_drop(&d.record, d.in), RECORD_DRY);
        assert_int_equal(d.record.dropped, 1);
        assert_int_equal(record_settle(&d.record), 0);
        check_file(&d, "012345678", 9);
        desk_close(&d);
}

static void what_is_there_counts(void **state) {
        struct desk d;

        (void)state;
        desk_open(&d);
        print(&d, "0123", 4);
        assert_int_equal(record_pull(&d.record, d.in), 0);
        record_done(&d.record);
        assert_int_equal(record_open(&d.record, "1.out"), 0);
        record_bound(&d.record, 3, NULL); /* less than there is */
        print(&d, "4", 1);
        assert_int_equal(record_pull(&d.record, d.in), RECORD_HELD);
        check_file(&d, "0123", 4);
        desk_close(&d);
}

#define BEYOND                                                                                     \
        "[rota: the output goes on beyond its disk budget; at most its last 4 bytes follow at "    \
        "its end]\n"

static void within_head_and_tail(void **state) {
        struct desk d;

        (void)state;
        desk_open(&d);
        record_bound(&d.record, 8, "1.tail");
        print(&d, "0123", 4);
        assert_int_equal(record_pull(&d.record, d.in), 0);
        assert_int_equal(record_pull(&d.record, d.in), RECORD_DRY);
        assert_int_equal(record_settle(&d.record), 0);
        assert_int_equal(access("1.tail", F_OK), -1);
        check_file(&d, "0123", 4);
        desk_close(&d);
}

/* More than the head, less than both: nothing is dropped, and that is said. */
static void all_of_it_but_marked(void **state) {
        const char want[] = "0123\n" BEYOND "[rota: 0 bytes are left out here]\n4567";
        struct desk d;

        (void)state;
        desk_open(&d);
        record_bound(&d.record, 8, "1.tail");
        print(&d, "01234567", 8);
        while (record_pull(&d.record, d.in) == 0)
                ;
        /* it is said at once */
        assert_int_equal(d.record.size, strlen("0123\n" BEYOND));
        assert_int_equal(record_settle(&d.record), 0);
        assert_int_equal(d.record.dropped, 0);
        assert_int_equal(access("1.tail", F_OK), -1);
        check_file(&d, want, sizeof(want) - 1);
        desk_close(&d);
}

static void head_hole_and_tail(void **state) {
        const char want[] = "abc\n" BEYOND "[rota: 15 bytes are left out here]\n6789";
        struct desk d;

        (void)state;
        desk_open(&d);
        record_bound(&d.record, 8, "1.tail");
        for (int i = 0; i < 3; i++) {
                /* a line before the hole: no newline of ours */
                print(&d, i == 0 ? "abc\n456" : "0123456789" + (i == 1 ? 4 : 0),
                      i == 1   ? 6
                      : i == 0 ? 7
                               : 10);
                while (record_pull(&d.record, d.in) == 0)
                        ;
        }
        assert_int_equal(record_settle(&d.record), 0);
        assert_int_equal(d.record.dropped, 15);
        check_file(&d, want, sizeof(want) - 1);
        desk_close(&d);
}

/* Against a plain model: every length around the bounds of head, ring and buffer. */
static void every_length(void **state) {
        static char data[700], want[1200];

        (void)state;
        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (char)('!' + i * 7 % 90);
        for (size_t budget = 2; budget <= 130; budget += 16)
                for (size_t len = 0; len < sizeof(data); len += 1 + len / 9) {
                        size_t head = budget - budget / 2, tail = budget / 2, n = 0;
                        struct desk d;

                        desk_open(&d);
                        record_bound(&d.record, budget, "1.tail");
                        for (size_t at = 0; at < len; at += 23) {
                                print(&d, data + at, len - at < 23 ? len - at : 23);
                                while (record_pull(&d.record, d.in) == 0)
                                        ;
                        }
                        assert_int_equal(record_settle(&d.record), 0);
                        if (len <= head) {
                                memcpy(want, data, len);
                                n = len;
                        } else {
                                size_t beyond = len - head, kept = beyond < tail ? beyond : tail;

                                memcpy(want, data, head);
                                n = head +
                                    (size_t)snprintf(want + head, sizeof(want) - head,
                                                     "\n[rota: the output goes on beyond its disk "
                                                     "budget; at "
                                                     "most its last %zu bytes follow at its end]\n"
                                                     "[rota: %zu bytes are left out here]\n",
                                                     tail, beyond - kept);
                                memcpy(want + n, data + len - kept, kept);
                                n += kept;
                                assert_int_equal(d.record.dropped, beyond - kept);
                        }
                        check_file(&d, want, n);
                        desk_close(&d);
                }
}

static int setup(void **state) {
        (void)state;
        return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int teardown(void **state) {
        (void)state;
        (void)unlink("1.out");
        (void)unlink("1.tail");
        return chdir("/") == 0 && rmdir(dir) == 0 ? 0 : -1;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(without_a_bound),
                cmocka_unit_test(to_the_byte_and_no_further),
                cmocka_unit_test(what_is_there_counts),
                cmocka_unit_test(within_head_and_tail),
                cmocka_unit_test(all_of_it_but_marked),
                cmocka_unit_test(head_hole_and_tail),
                cmocka_unit_test(every_length),
        };

        return cmocka_run_group_tests_name("record", tests, setup, teardown);
}
