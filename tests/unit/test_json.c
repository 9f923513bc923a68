#include "tests/support/check.h"

#include "proto/base/clock.h"
#include "proto/json.h"
#include "tests/support/starve.h"

#include <errno.h>
#include <math.h>
#include <unistd.h>

static struct json_doc *parsed(const char *text) {
        struct json_doc *doc = NULL;

        if (json_parse(&doc, "t.json", text, strlen(text)) != 0)
                fail_msg("%s", json_error(doc));
        assert_string_equal(json_error(doc), "");
        return doc;
}

static void refused(const char *text, const char *expected) {
        CLEANUP(json_free) struct json_doc *doc = NULL;

        assert_int_equal(json_parse(&doc, "t.json", text, strlen(text)), JSON_BAD);
        assert_string_equal(json_error(doc), expected);
}

/*
 * The text
 */

static void test_comments(void **state) {
        CLEANUP(json_free)
        struct json_doc *doc =
                parsed("\xef\xbb\xbf// first\n{ /* a \" in here */ \"a\": 1, // and ' here\n"
                       "\"b\": \"no // comment /* in */ a string\" /**/ } // last");
        struct json_at root = json_root(doc);
        const char *b = NULL;
        uint64_t a = 0;

        (void)state;
        assert_int_equal(json_get_u64(&root, "a", &a), 0);
        assert_int_equal(a, 1);
        assert_int_equal(json_get_str(&root, "b", &b), 0);
        assert_string_equal(b, "no // comment /* in */ a string");
}

static void test_malformed(void **state) {
        static const char *const rows[][2] = {
                {"",                                                         "t.json:1:1: the text ends too early"                             },
                {"// nothing",                                               "t.json:1:11: the text ends too early"                            },
                {"{\n \"a\": 1",                                             "t.json:2:8: the text ends too early"                             },
                {"{\"a\":1,}",                                               "t.json:1:8: unexpected character"                                },
                {"[1,\n2,\n]",                                               "t.json:3:1: unexpected character"                                },
                {"[1 2]",                                                    "t.json:1:4: array value separator ',' expected"                  },
                {"{\"a\" 1}",                                                "t.json:1:6: object property name separator ':' expected"         },
                {"[1] x",                                                    "t.json:1:5: this word is no value (a string needs double quotes)"},
                {"[1] 2",                                                    "t.json:1:5: unexpected character"                                },
                {"{} {}",                                                    "t.json:1:4: unexpected character"                                },
                {"{'a':1}",                                                  "t.json:1:2: unexpected character"                                },
                {"{a:1}",                                                    "t.json:1:2: this word is no value (a string needs double quotes)"},
                {"[NaN]",                                                    "t.json:1:2: this word is no value (a string needs double quotes)"},
                {"[Infinity]",                                               "t.json:1:2: this word is no value (a string needs double quotes)"},
                {"[True]",                                                   "t.json:1:2: this word is no value (a string needs double quotes)"},
                {"[-Infinity]",                                              "t.json:1:2: not a number that fits (64 bits, no leading zeros)"  },
                {"[01]",                                                     "t.json:1:2: not a number that fits (64 bits, no leading zeros)"  },
                {"[-01]",                                                    "t.json:1:2: not a number that fits (64 bits, no leading zeros)"  },
                {"[1.]",                                                     "t.json:1:2: not a number that fits (64 bits, no leading zeros)"  },
                {"[0x10]",                                                   "t.json:1:2: not a number that fits (64 bits, no leading zeros)"  },
                {"[1e]",                                                     "t.json:1:2: not a number that fits (64 bits, no leading zeros)"  },
                {"18446744073709551616",
                 "t.json:1:1: not a number that fits (64 bits, no leading zeros)"                                                              },
                {"-9223372036854775809",
                 "t.json:1:1: not a number that fits (64 bits, no leading zeros)"                                                              },
                {"[.5]",                                                     "t.json:1:2: this word is no value (a string needs double quotes)"},
                {"[+1]",                                                     "t.json:1:2: this word is no value (a string needs double quotes)"},
                {"[\"a\x1b\"]",                                              "t.json:1:4: control character in a string"                       },
                {"[\"a\nb\"]",                                               "t.json:1:4: this line ends inside a string"                      },
                {"[\"abc]",                                                  "t.json:1:2: this string does not end"                            },
                {"[\"\\u0000\"]",                                            "t.json:1:3: a string cannot hold a NUL character"                },
                {"[\"\\x\"]",                                                "t.json:1:4: invalid string sequence"                             },
                {"[\"\xff\"]",                                               "t.json:1:3: invalid utf-8 string"                                },
                {"[1, /* open",                                              "t.json:1:5: this comment does not end"                           },
                {"/",                                                        "t.json:1:1: unexpected character"                                },
                {"[1] #",                                                    "t.json:1:5: unexpected character"                                },
                {"{\"\xc3\xa4\xc3\xb6\": 1,\n \"b\": {\"c\": 1, \"c\": 2}}",
                 "t.json:2:16: this key is here twice"                                                                                         },
                {"{\"a\": 1, \"\\u0061\": 2}",                               "t.json:1:1: a key is here twice, in two spellings"               },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                refused(rows[i][0], rows[i][1]);
}

static void test_nul_in_the_text(void **state) {
        CLEANUP(json_free) struct json_doc *doc = NULL;

        (void)state;
        assert_int_equal(json_parse(&doc, "t.json", "[1]\0x", 5), JSON_BAD);
        assert_string_equal(json_error(doc), "t.json:1:4: unexpected character");
}

static void nest(struct buf *b, size_t depth) {
        buf_clear(b);
        for (size_t i = 0; i < depth; i++)
                buf_putc(b, '[');
        for (size_t i = 0; i < depth; i++)
                buf_putc(b, ']');
}

static void test_limits(void **state) {
        CLEANUP(buf_done) struct buf b = {0};

        (void)state;
        nest(&b, 15);
        json_free(parsed(buf_text(&b)));
        nest(&b, 17);
        refused(buf_text(&b), "t.json:1:17: nesting too deep");
        nest(&b, 100000);
        refused(buf_text(&b), "t.json:1:17: nesting too deep");

        buf_clear(&b);
        buf_puts(&b, "[]");
        while (b.len < 32 * 1024 * 1024)
                buf_putc(&b, ' ');
        json_free(parsed(buf_text(&b)));
        buf_putc(&b, ' ');
        refused(buf_text(&b), "t.json:1:1: longer than 32 MiB");
}

/*
 * Values
 */

static void test_values(void **state) {
        CLEANUP(json_free)
        struct json_doc *doc = parsed(
                "{ \"s\": \"\\u00e4\\n\", \"u\": 18446744073709551615, \"i\": -9223372036854775808,"
                "  \"d\": 2.5e-1, \"t\": true, \"f\": false, \"n\": null, \"w\": \"1h30m\", "
                "\"ws\": 1.5,"
                "  \"b\": \"64M\", \"bs\": 4096, \"e\": \"run\", \"a\": [1, [2, 3]] }");
        static const char *const roles[] = {"view", "run", NULL};
        struct json_at root = json_root(doc), at, deeper;
        const char *s = NULL, *untouched = "untouched";
        uint64_t u = 0;
        int64_t i = 0;
        double d = 0;
        bool flag = false;
        int e = -1;

        (void)state;
        assert_int_equal(json_type(&root), JSON_OBJECT);
        assert_int_equal(json_length(&root), 13);
        assert_int_equal(json_get_str(&root, "s", &s), 0);
        assert_string_equal(s, "\xc3\xa4\n");
        assert_int_equal(json_get_u64(&root, "u", &u), 0);
        assert_true(u == UINT64_MAX);
        assert_int_equal(json_get_i64(&root, "i", &i), 0);
        assert_true(i == INT64_MIN);
        assert_int_equal(json_get(&root, "d", &at), 0);
        assert_int_equal(json_double(&at, &d), 0);
        assert_true(d > 0.2499 && d < 0.2501);
        assert_int_equal(json_get_bool(&root, "t", &flag), 0);
        assert_true(flag);
        assert_int_equal(json_get_bool(&root, "f", &flag), 0);
        assert_false(flag);
        assert_int_equal(json_get(&root, "n", &at), JSON_ABSENT);
        assert_int_equal(json_get(&root, "none", &at), JSON_ABSENT);
        assert_int_equal(json_get_str(&root, "none", &untouched), 0);
        assert_string_equal(untouched, "untouched");
        assert_int_equal(json_get_duration(&root, "w", &u), 0);
        assert_int_equal(u, 90 * USEC_PER_MINUTE);
        assert_int_equal(json_get_duration(&root, "ws", &u), 0);
        assert_int_equal(u, 1500 * USEC_PER_MSEC);
        assert_int_equal(json_get_bytes(&root, "b", &u), 0);
        assert_int_equal(u, 64 << 20);
        assert_int_equal(json_get_bytes(&root, "bs", &u), 0);
        assert_int_equal(u, 4096);
        assert_int_equal(json_get(&root, "e", &at), 0);
        assert_int_equal(json_enum(&at, roles, &e), 0);
        assert_int_equal(e, 1);
        assert_int_equal(json_get(&root, "a", &at), 0);
        assert_int_equal(json_length(&at), 2);
        assert_int_equal(json_item(&at, 1, &deeper), 0);
        assert_int_equal(json_length(&deeper), 2);
        assert_int_equal(json_item(&root, 1, &at), 0);
        assert_string_equal(at.key, "u");
        assert_string_equal(json_error(doc), "");
}

typedef int reader(const struct json_at *at);

static int as_str(const struct json_at *at) {
        const char *s;

        return json_str(at, &s);
}

static int as_u64(const struct json_at *at) {
        uint64_t u;

        return json_u64(at, &u);
}

static int as_i64(const struct json_at *at) {
        int64_t i;

        return json_i64(at, &i);
}

static int as_double(const struct json_at *at) {
        double d;

        return json_double(at, &d);
}

static int as_bool(const struct json_at *at) {
        bool b;

        return json_bool(at, &b);
}

static int as_duration(const struct json_at *at) {
        uint64_t u;

        return json_duration(at, &u);
}

static int as_bytes(const struct json_at *at) {
        uint64_t u;

        return json_bytes(at, &u);
}

static int as_role(const struct json_at *at) {
        static const char *const roles[] = {"view", "run", "reboot", "admin", NULL};
        int e;

        return json_enum(at, roles, &e);
}

static int as_member(const struct json_at *at) {
        struct json_at m;

        return json_get(at, "key", &m);
}

static void test_wrong_types(void **state) {
        static const struct {
                const char *value;
                reader *read;
                const char *error;
        } rows[] = {
                {"3",                                                                             as_str,      "expected a string, found 3"                              },
                {"null",                                                                          as_str,      "expected a string, found null"                           },
                {"[3]",                                                                           as_str,      "expected a string, found an array"                       },
                {"-1",                                                                            as_u64,      "expected a whole number of 0 or more, found -1"          },
                {"1.0",                                                                           as_u64,      "expected a whole number of 0 or more, found 1.0"         },
                {"1e3",                                                                           as_u64,      "expected a whole number of 0 or more, found 1e3"         },
                {"\"1\"",                                                                         as_u64,      "expected a whole number of 0 or more, found \"1\""       },
                {"true",                                                                          as_u64,      "expected a whole number of 0 or more, found true"        },
                {"9223372036854775808",                                                           as_i64,
                 "expected a whole number, found 9223372036854775808"                                                                                                    },
                {"1e400",                                                                         as_double,   "expected a number, found 1e400"                          },
                {"\"1\"",                                                                         as_double,   "expected a number, found \"1\""                          },
                {"0",                                                                             as_bool,     "expected true or false, found 0"                         },
                {"\"10 apples\"",                                                                 as_duration,
                 "expected a duration such as \"90s\", \"1h30m\" or a number of seconds, found "
                 "\"10 apples\""                                                                                                                                         },
                {"-5",                                                                            as_duration,
                 "expected a duration such as \"90s\", \"1h30m\" or a number of seconds, found -5"                                                                       },
                {"{}",                                                                            as_bytes,
                 "expected a size such as \"64M\", \"1G\" or a number of bytes, found an object"                                                                         },
                {"\"root\"",                                                                      as_role,     "expected one of view, run, reboot, admin, found \"root\""},
                {"2",                                                                             as_role,     "expected one of view, run, reboot, admin, found 2"       },
                {"2",                                                                             as_member,   "expected an object, found 2"                             },
                {"\"0123456789012345678901234567890123456789012345678901234567\xc3\xa4 and on\"",
                 as_bool,                                                                                      "expected true or false, found "
                 "\"0123456789012345678901234567890123456789012345678901234567\xc3\xa4…"                                                      },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                CLEANUP(json_free) struct json_doc *doc = NULL;
                CLEANUP(buf_done) struct buf text = {0}, error = {0};
                struct json_at root, list, at;

                buf_printf(&text, "// one\n{ \"x\": \"[{\\\"\", \"list\": [{\"b\": 1},\n  %s] }",
                           rows[i].value);
                doc = parsed(buf_text(&text));
                root = json_root(doc);
                assert_int_equal(json_get(&root, "list", &list), 0);
                assert_int_equal(json_item(&list, 1, &at), 0);
                assert_int_equal(rows[i].read(&at), JSON_BAD);
                buf_printf(&error, "t.json:3:3: list[1]: %s", rows[i].error);
                assert_string_equal(json_error(doc), buf_text(&error));
        }
}

static void test_errors_name_place_and_path(void **state) {
        CLEANUP(json_free)
        struct json_doc *doc = parsed(
                "{\n  // who\n  \"controllers\": { \"ana@lab\": \"root\" },\n  \"name\": 3\n}\n");
        struct json_at root = json_root(doc), who, at;

        (void)state;
        assert_int_equal(json_get(&root, "controllers", &who), 0);
        assert_int_equal(json_get(&who, "ana@lab", &at), 0);
        assert_int_equal(as_role(&at), JSON_BAD);
        assert_string_equal(json_error(doc),
                            "t.json:3:31: controllers.ana@lab: expected one of view, run, reboot, "
                            "admin, found \"root\"");
        /* the first one is kept */
        assert_int_equal(json_get(&root, "name", &at), 0);
        assert_int_equal(as_str(&at), JSON_BAD);
        assert_int_equal(json_fail(&at, "else"), JSON_BAD);
        assert_non_null(strstr(json_error(doc), "found \"root\""));
}

static void test_only(void **state) {
        static const char *const known[] = {"timeout", "silence", "argv", NULL};
        CLEANUP(json_free) struct json_doc *good = parsed("{\"argv\": 1, \"silence\": 2}");
        CLEANUP(json_free) struct json_doc *near = parsed("{\"argv\": 1,\n \"timeuot\": 2}");
        CLEANUP(json_free) struct json_doc *far = parsed("{\"colour\": 2}");
        struct json_at at = json_root(good);

        (void)state;
        assert_int_equal(json_only(&at, known), 0);
        at = json_root(near);
        assert_int_equal(json_only(&at, known), JSON_BAD);
        assert_string_equal(json_error(near),
                            "t.json:2:13: timeuot: unknown key, did you mean \"timeout\"?");
        at = json_root(far);
        assert_int_equal(json_only(&at, known), JSON_BAD);
        assert_string_equal(json_error(far), "t.json:1:12: colour: unknown key, expected one of "
                                             "timeout, silence, argv");
}

static void test_print(void **state) {
        CLEANUP(json_free)
        struct json_doc *doc = parsed(
                "{ \"a\": [1, -2.50, 1e5, true, null], // c\n \"b\": \"x/y \\\"\\n\\u00e4\" }");
        CLEANUP(buf_done) struct buf b = {0};
        struct json_at root = json_root(doc);

        (void)state;
        assert_int_equal(json_print(&root, &b), 0);
        check_buf(&b, "{\"a\":[1,-2.50,1e5,true,null],\"b\":\"x/y \\\"\\n\xc3\xa4\"}");
}

static void test_files(void **state) {
        char path[] = "/tmp/rota-json-XXXXXX";
        CLEANUP(json_free) struct json_doc *doc = NULL, *other = NULL;
        CLEANUP(buf_done) struct buf error = {0};
        struct json_at root;
        int fd = mkstemp(path);
        uint64_t n = 0;

        (void)state;
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "{\"n\": 7}\n", 9), 9);
        assert_int_equal(json_parse_file(&doc, path), 0);
        root = json_root(doc);
        assert_int_equal(json_get_u64(&root, "n", &n), 0);
        assert_int_equal(n, 7);
        assert_int_equal(write(fd, "x", 1), 1);
        close(fd);
        assert_int_equal(json_parse_file(&other, path), JSON_BAD);
        buf_printf(&error, "%s:2:1: ", path);
        assert_memory_equal(json_error(other), buf_text(&error), error.len);
        unlink(path);
        other = json_free(other);
        assert_int_equal(json_parse_file(&other, path), -ENOENT);
        assert_int_equal(json_parse_file(&other, "/"), -EISDIR);
        assert_null(other);
}

/*
 * The writer
 */

static void test_writer(void **state) {
        CLEANUP(buf_done) struct buf b = {0};
        struct json_writer w;

        (void)state;
        json_writer_init(&w, &b);
        json_begin_object(&w, NULL);
        json_put_str(&w, "s", "a\"b\\c\n\r\t\x01/\x7f \xc3\xa4 \xff\xe2\x82|");
        json_put_str(&w, "none", NULL);
        json_put_u64(&w, "u", UINT64_MAX);
        json_put_i64(&w, "i", INT64_MIN);
        json_put_double(&w, "d", 0.1);
        json_put_double(&w, "third", 1.0 / 3);
        json_put_double(&w, "inf", HUGE_VAL);
        json_put_bool(&w, "t", true);
        json_begin_array(&w, "a");
        json_put_u64(&w, NULL, 1);
        json_begin_object(&w, NULL);
        json_end_object(&w);
        json_begin_array(&w, NULL);
        json_end_array(&w);
        json_put_raw(&w, NULL, "{\"x\":1}");
        json_end_array(&w);
        json_put_bool(&w, "last\n", false);
        json_end_object(&w);
        check_buf(&b, "{\"s\":\"a\\\"b\\\\c\\n\\r\\t\\u0001/\\u007f \xc3\xa4 "
                      "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd|\",\"none\":null,"
                      "\"u\":18446744073709551615,\"i\":-9223372036854775808,\"d\":0.1,"
                      "\"third\":0.33333333333333331,\"inf\":null,\"t\":true,"
                      "\"a\":[1,{},[],{\"x\":1}],\"last\\n\":false}");
        json_free(parsed(buf_text(&b)));
}

/* Every byte that a string can hold comes back, or as U+FFFD. */
static void test_writer_and_reader(void **state) {
        (void)state;
        for (unsigned c = 1; c < 256; c++) {
                char text[3] = {(char)c, 'x', '\0'};
                CLEANUP(buf_done) struct buf b = {0};
                CLEANUP(json_free) struct json_doc *doc = NULL;
                struct json_writer w;
                struct json_at root;
                const char *s = NULL;

                json_writer_init(&w, &b);
                json_put_str(&w, NULL, text);
                doc = parsed(buf_text(&b));
                root = json_root(doc);
                assert_int_equal(json_str(&root, &s), 0);
                assert_string_equal(s, c < 0x80 ? text : "\xef\xbf\xbdx");
        }
}

static int read_and_write(void *userdata) {
        static const char text[] = "{\"a\": [1, {\"b\": \"c\"}]}";
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(buf_done) struct buf b = {0};
        struct json_at root, a;
        int r = json_parse(&doc, "t", text, strlen(text));

        (void)userdata;
        if (r != 0)
                return r;
        root = json_root(doc);
        r = json_print(&root, &b);
        if (r < 0)
                return r;
        assert_int_equal(json_get(&root, "a", &a), 0);
        /* a failure is told even where there is no memory to tell it in */
        assert_int_equal(as_str(&a), JSON_BAD);
        assert_true(strlen(json_error(doc)) > 0);
        return 0;
}

static int refuse_doubles(void *userdata) {
        static const char text[] = "{\"a\": 1, \"a\": 2}";
        CLEANUP(json_free) struct json_doc *doc = NULL;
        int r = json_parse(&doc, "t", text, strlen(text));

        (void)userdata;
        if (r != JSON_BAD)
                return r;
        assert_true(strlen(json_error(doc)) > 0);
        return 0;
}

static void test_starved(void **state) {
        (void)state;
        assert_true(starve_each_lenient(read_and_write, NULL) >= 5);
        assert_true(starve_each_lenient(refuse_doubles, NULL) >= 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_comments),
                cmocka_unit_test(test_malformed),
                cmocka_unit_test(test_nul_in_the_text),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_values),
                cmocka_unit_test(test_wrong_types),
                cmocka_unit_test(test_errors_name_place_and_path),
                cmocka_unit_test(test_only),
                cmocka_unit_test(test_print),
                cmocka_unit_test(test_files),
                cmocka_unit_test(test_writer),
                cmocka_unit_test(test_writer_and_reader),
                cmocka_unit_test(test_starved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
