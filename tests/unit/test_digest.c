#include "tests/support/check.h"

#include "proto/digest.h"
#include "tests/support/starve.h"

#include <errno.h>

/* FIPS 180-4 examples */
static void test_sha256(void **state) {
        CLEANUP(sha256_free) struct sha256 *s = NULL;
        char hex[SHA256_HEX_SIZE];

        (void)state;
        assert_int_equal(sha256_new(&s), 0);
        assert_int_equal(sha256_hex(s, hex), 0);
        assert_string_equal(hex,
                            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_int_equal(sha256_add(s, "ab", 2), 0);
        assert_int_equal(sha256_hex(s, hex), 0);
        assert_int_equal(sha256_add(s, "c", 1), 0);
        assert_int_equal(sha256_hex(s, hex), 0);
        assert_string_equal(hex,
                            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_int_equal(sha256_hex(s, hex), 0);
        assert_string_equal(hex,
                            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_sha1(void **state) {
        uint8_t sum[20];

        (void)state;
        assert_int_equal(sha1("abc", 3, sum), 0);
        assert_memory_equal(sum,
                            "\xa9\x99\x3e\x36\x47\x06\x81\x6a\xba\x3e\x25\x71\x78\x50\xc2\x6c\x9c"
                            "\xd0\xd8\x9d",
                            20);
}

/* RFC 4648 section 10 */
static void test_base64_examples(void **state) {
        static const char *const rows[][2] = {
                {"",       ""        },
                {"f",      "Zg=="    },
                {"fo",     "Zm8="    },
                {"foo",    "Zm9v"    },
                {"foob",   "Zm9vYg=="},
                {"fooba",  "Zm9vYmE="},
                {"foobar", "Zm9vYmFy"},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                CLEANUP(buf_done) struct buf b = {0};
                CLEANUP(arena_done) struct arena a = {0};
                struct bytes bytes;

                buf_puts(&b, ">");
                assert_int_equal(base64_encode(&b, rows[i][0], strlen(rows[i][0])), 0);
                assert_string_equal(buf_text(&b) + 1, rows[i][1]);
                assert_int_equal(b.len, strlen(rows[i][1]) + 1);
                assert_int_equal(base64_decode(rows[i][1], strlen(rows[i][1]), &a, &bytes), 0);
                check_bytes(bytes, rows[i][0], strlen(rows[i][0]));
        }
}

static void test_base64_all_bytes_and_lengths(void **state) {
        uint8_t data[600];
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf b = {0};
        struct bytes bytes;

        (void)state;
        for (size_t i = 0; i < sizeof(data); i++)
                data[i] = (uint8_t)(i * 37 + i / 256);
        for (size_t len = 0; len <= sizeof(data); len++) {
                buf_clear(&b);
                assert_int_equal(base64_encode(&b, data, len), 0);
                assert_int_equal(base64_decode(b.data, b.len, &a, &bytes), 0);
                check_bytes(bytes, data, len);
        }
}

static void test_base64_is_strict(void **state) {
        static const char *const bad[] = {
                "Z",
                "Zg",
                "Zg=",
                "Zm8",
                "=",
                "==",
                "===",
                "====",
                "Zg==Zg==",
                "Z===",
                "Zg=A",
                "Zm9v\n",
                "Zm 9",
                " Zm9v",
                "Zm9-",
                "Zm9_",
                "Zh==",
                "Zm9=",
                "=m9v",
                "Zm9v=",
                "Z\x80"
                "9v",
                "Zm9\xff",
                "A=AA",
        };
        CLEANUP(arena_done) struct arena a = {0};
        struct bytes bytes;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(base64_decode(bad[i], strlen(bad[i]), &a, &bytes), 1);
        assert_int_equal(base64_decode("Zm9\0", 4, &a, &bytes), 1);
        for (unsigned c = 1; c < 256; c++) {
                char text[5] = {'A', (char)c, 'A', 'A', '\0'};
                bool good =
                        strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
                               (int)c) != NULL;

                assert_int_equal(base64_decode(text, 4, &a, &bytes), good ? 0 : 1);
        }
}

static int round_trip(void *userdata) {
        CLEANUP(sha256_free) struct sha256 *s = NULL;
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf b = {0};
        struct bytes bytes;
        int r;

        (void)userdata;
        r = sha256_new(&s);
        if (r < 0)
                return r;
        r = base64_encode(&b, "foobar", 6);
        return r < 0 ? r : base64_decode(b.data, b.len, &a, &bytes);
}

static void test_starved(void **state) {
        (void)state;
        assert_int_equal(starve_each(round_trip, NULL), 3);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_sha256),
                cmocka_unit_test(test_sha1),
                cmocka_unit_test(test_base64_examples),
                cmocka_unit_test(test_base64_all_bytes_and_lengths),
                cmocka_unit_test(test_base64_is_strict),
                cmocka_unit_test(test_starved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
