#include "tests/support/check.h"
#include "tests/support/starve.h"

#include "controller/cli/term.h"

#include <errno.h>

/* Everything that a terminal would be shown: lines end with \n, pieces with a pipe, what is open stands at the end. */
static int show(struct term *t, const char *data, size_t len, size_t step, struct buf *out) {
        for (size_t at = 0; at < len;) {
                size_t n = len - at < step ? len - at : step;

                at += n;
                for (const char *p = data + at - n; n > 0;) {
                        enum term_event event;
                        size_t eaten;
                        int r = term_feed(t, p, n, &eaten, &event);

                        if (r < 0)
                                return r;
                        p += eaten;
                        n -= eaten;
                        if (event == TERM_MORE)
                                continue;
                        if (term_text(t, out) < 0 ||
                            buf_putc(out, event == TERM_LINE ? '\n' : '|') < 0)
                                return -ENOMEM;
                        term_next(t);
                }
        }
        if (term_finish(t) < 0)
                return -ENOMEM;
        return term_text(t, out);
}

#define shows(data, want) shows_((data), sizeof(data) - 1, want)

/* Whatever the pieces in which the bytes arrive, the screen is the same. */
static void shows_(const char *data, size_t len, const char *want) {
        for (size_t step = 1; step <= len + 1; step++) {
                CLEANUP(term_done) struct term t = {0};
                CLEANUP(buf_done) struct buf out = {0};

                assert_int_equal(show(&t, data, len, step, &out), 0);
                check_buf(&out, want);
        }
}

static void test_plain(void **state) {
        (void)state;
        shows("", "");
        shows("one\ntwo\n", "one\ntwo\n");
        shows("no end", "no end");
        shows("\n\n", "\n\n");
        shows("a\tb", "a       b");
        shows("12345678\tb", "12345678        b");
        shows("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\n",
              "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\n");
}

static void test_carriage_returns(void **state) {
        (void)state;
        shows("dos\r\nline\r\n", "dos\nline\n");
        shows("pty\r\r\n", "pty\n");
        shows(" 10%\r 20%\r100%\n", "100%\n");
        shows("long text\rshort\n", "shorttext\n");
        shows("setting  1\b\b\b\b\b\b\b\b\b\btesting  7\n", "testing  7\n");
        shows("a\b\b\bb\n", "b\n");
        shows("downloading\r\x1b[Kdone\n", "done\n");
        shows("abc\x1b[2Kd\n", "   d\n");
        shows("abcd\b\b\x1b[1Kd\n", "  dd\n");
}

static void test_nothing_gets_through(void **state) {
        (void)state;
        shows("\x1b[31mred\x1b[0m \x1b[1;38:5:9mx\x1b[m\n", "red x\n");
        shows("\x1b[2J\x1b[H", "\\x1b[2J\\x1b[H");
        shows("\x1b]0;title\x07.", "\\x1b]0;title.");
        shows("\x1b[6n", "\\x1b[6n");
        shows("\x1b[?1049h", "\\x1b[?1049h");
        shows("\x1bP$q\x1b\\", "\\x1bP$q\\x1b\\");
        shows("\x1b\x1b[31m!", "\\x1b!");
        shows("\x1b[3", "\\x1b[3");
        shows("\x1b[3\ny", "\\x1b[3\ny");
        shows("\x00\x01\x0e\x7f", "\\x00\\x01\\x0e\\x7f");
        shows("\xc2\x9b"
              "31m",
              "\\u009b31m");
        shows("\xe2\x80\xae"
              "evil",
              "\\u202e"
              "evil");
        shows("\x1b[11111111111111111111111111111111111m",
              "\\x1b[11111111111111111111111111111111111m");
}

static void test_bad_utf8(void **state) {
        (void)state;
        shows("\x9b"
              "31m",
              "\xef\xbf\xbd"
              "31m");
        shows("\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd");
        shows("\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd");
        shows("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
        shows("\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
        shows("\xe2\x82\n", "\xef\xbf\xbd\xef\xbf\xbd\n");
        shows("\xe2\x82"
              "a",
              "\xef\xbf\xbd\xef\xbf\xbd"
              "a");
        shows("\xe2\x82\x1b[H", "\xef\xbf\xbd\xef\xbf\xbd\\x1b[H");
        shows("\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

/* No byte that means something to a terminal leaves, whatever goes in. */
static void test_every_pair(void **state) {
        (void)state;
        for (unsigned a = 0; a < 256; a++)
                for (unsigned b = 0; b < 256; b++) {
                        const char data[] = {(char)a, (char)b, '[', 'H'};
                        CLEANUP(term_done) struct term t = {0};
                        CLEANUP(buf_done) struct buf out = {0};

                        assert_int_equal(show(&t, data, sizeof(data), 2, &out), 0);
                        for (size_t i = 0; i < out.len; i++) {
                                unsigned char c = (unsigned char)out.data[i];

                                assert_true(c >= 0x20 || c == '\n');
                                assert_true(c != 0x7f);
                                if (c == 0xc2)
                                        assert_true((unsigned char)out.data[i + 1] >= 0xa0);
                        }
                }
}

static void test_long_line(void **state) {
        enum { LEN = 100000 };
        CLEANUP(mem_free) char *data = malloc(LEN);
        CLEANUP(term_done) struct term t = {0};
        CLEANUP(buf_done) struct buf out = {0};
        size_t bytes = 0;
        size_t pieces = 0;

        (void)state;
        assert_non_null(data);
        memset(data, 'x', LEN);
        assert_int_equal(show(&t, data, LEN, 4096, &out), 0);
        for (size_t i = 0; i < out.len; i++) {
                bytes += out.data[i] == 'x';
                pieces += out.data[i] == '|';
        }
        assert_int_equal(bytes, LEN);
        assert_int_equal(pieces, LEN / TERM_CELLS_MAX);
        assert_true(t.cap <= 4 * TERM_CELLS_MAX);
}

static void test_safe(void **state) {
        CLEANUP(buf_done) struct buf out = {0};

        (void)state;
        assert_int_equal(term_safe(&out, "pc1\n\x1b[2J\t\xff", 10), 0);
        check_buf(&out, "pc1\\x0a\\x1b[2J\\x09\xef\xbf\xbd");
        buf_clear(&out);
        assert_int_equal(term_safe_lines(&out, "a\n\tb\r\0c", 7), 0);
        check_buf(&out, "a\n\tb\\x0d\\x00c");
        assert_int_equal(term_columns("gr\xc3\xbc\xc3\x9f", 6), 4);
        assert_int_equal(term_columns("\xe6\x97\xa5\xe6\x9c\xac", 6), 4);
        assert_int_equal(term_columns("e\xcc\x81", 3), 1);
        assert_int_equal(term_fit("\xe6\x97\xa5\xe6\x9c\xac", 6, 3), 3);
        assert_int_equal(term_fit("abc", 3, 9), 3);
}

static int starved(void *userdata) {
        static const char data[] = "some text \x1b[H of \xc3\xbc\r\nand more\n";
        CLEANUP(term_done) struct term t = {0};
        CLEANUP(buf_done) struct buf out = {0};

        (void)userdata;
        return show(&t, data, sizeof(data) - 1, 5, &out);
}

static void test_starved(void **state) {
        (void)state;
        assert_true(starve_each(starved, NULL) >= 2);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_plain),
                cmocka_unit_test(test_carriage_returns),
                cmocka_unit_test(test_nothing_gets_through),
                cmocka_unit_test(test_bad_utf8),
                cmocka_unit_test(test_every_pair),
                cmocka_unit_test(test_long_line),
                cmocka_unit_test(test_safe),
                cmocka_unit_test(test_starved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
