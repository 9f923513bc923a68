#include "tests/support/check.h"

#include "proto/codec.h"
#include "tests/support/starve.h"

#include <errno.h>

#define CHUNK 32768

static uint8_t noise[CHUNK];
static uint8_t text[CHUNK];

static int setup(void **state) {
        uint64_t x = 88172645463325252;

        (void)state;
        for (size_t i = 0; i < CHUNK; i++) {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                noise[i] = (uint8_t)x;
                text[i] = (uint8_t) "a line of output, which says the same as all the others\n"[i %
                                                                                                56];
        }
        return 0;
}

static struct codec *opened(void) {
        struct codec *c = NULL;

        assert_int_equal(codec_new(&c), 0);
        return c;
}

static enum codec_kind pack(struct codec *c, const void *data, size_t size, struct bytes *ret) {
        const struct bytes in = {data, size};
        enum codec_kind kind;

        assert_int_equal(codec_pack(c, in, &kind, ret), 0);
        if (kind == CODEC_RAW)
                assert_ptr_equal(ret->data, data);
        return kind;
}

static void test_text_shrinks_and_comes_back(void **state) {
        CLEANUP(codec_free) struct codec *c = opened(), *other = opened();
        struct bytes packed, back;

        (void)state;
        for (size_t size = 1000; size <= CHUNK; size += 1271) {
                assert_int_equal(pack(c, text, size, &packed), CODEC_ZSTD);
                assert_true(packed.size < size / 4);
                assert_int_equal(codec_unpack(other, CODEC_ZSTD, packed, size, &back), 0);
                check_bytes(back, text, size);
                codec_rest(other);
        }
}

static void test_noise_and_small_go_raw(void **state) {
        CLEANUP(codec_free) struct codec *c = opened();
        struct bytes out;

        (void)state;
        assert_int_equal(pack(c, noise, CHUNK, &out), CODEC_RAW);
        assert_int_equal(out.size, CHUNK);
        codec_rest(c);
        assert_int_equal(pack(c, text, 20, &out), CODEC_RAW);
        assert_int_equal(pack(c, NULL, 0, &out), CODEC_RAW);
}

/* How many chunks of text go raw before one is tried again. */
static unsigned raw_after_noise(struct codec *c, unsigned n_noise) {
        struct bytes out;
        unsigned n = 0;

        for (unsigned i = 0; i < n_noise; i++)
                assert_int_equal(pack(c, noise, CHUNK, &out), CODEC_RAW);
        while (pack(c, text, CHUNK, &out) == CODEC_RAW)
                n++;
        return n;
}

static void test_tries_less_and_less(void **state) {
        CLEANUP(codec_free) struct codec *c = opened();

        (void)state;
        assert_int_equal(raw_after_noise(c, 1), 1);
        assert_int_equal(raw_after_noise(c, 3), 2);
        assert_int_equal(raw_after_noise(c, 6), 4);
        assert_true(raw_after_noise(c, 1000) <= 64);
        /* one that shrank is trusted again */
        assert_int_equal(raw_after_noise(c, 1), 1);
}

static void test_rest(void **state) {
        CLEANUP(codec_free) struct codec *c = opened();
        struct bytes packed;

        (void)state;
        codec_rest(c);
        assert_int_equal(pack(c, text, CHUNK, &packed), CODEC_ZSTD);
        codec_rest(c);
        codec_rest(c);
        assert_int_equal(pack(c, text, CHUNK, &packed), CODEC_ZSTD);
}

static void test_malformed(void **state) {
        CLEANUP(codec_free) struct codec *c = opened(), *other = opened();
        static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4};
        uint8_t copy[CHUNK];
        struct bytes packed, back, cut;

        (void)state;
        assert_int_equal(pack(c, text, 10000, &packed), CODEC_ZSTD);
        assert_int_equal(codec_unpack(other, CODEC_ZSTD, packed, 9999, &back), 1);
        assert_int_equal(codec_unpack(other, CODEC_ZSTD, packed, 10001, &back), 1);
        assert_int_equal(codec_unpack(other, CODEC_ZSTD, packed, 0, &back), 1);
        for (size_t n = 0; n < packed.size; n++) {
                cut = (struct bytes){packed.data, n};
                assert_int_equal(codec_unpack(other, CODEC_ZSTD, cut, 10000, &back), 1);
        }
        /* one frame, and nothing behind it */
        memcpy(copy, packed.data, packed.size);
        memcpy(copy + packed.size, packed.data, packed.size);
        cut = (struct bytes){copy, 2 * packed.size};
        assert_int_equal(codec_unpack(other, CODEC_ZSTD, cut, 20000, &back), 1);
        assert_int_equal(codec_unpack(other, CODEC_ZSTD, cut, 10000, &back), 1);
        cut.size = packed.size + 1;
        assert_int_equal(codec_unpack(other, CODEC_ZSTD, cut, 10000, &back), 1);
        cut = (struct bytes){skippable, sizeof(skippable)};
        assert_int_equal(codec_unpack(other, CODEC_ZSTD, cut, 0, &back), 1);
        cut = (struct bytes){noise, 1000};
        assert_int_equal(codec_unpack(other, CODEC_ZSTD, cut, 1000, &back), 1);
        assert_int_equal(codec_unpack(other, CODEC_RAW, cut, 999, &back), 1);
        assert_int_equal(codec_unpack(other, CODEC_RAW, cut, 1000, &back), 0);
        assert_ptr_equal(back.data, noise);
}

/* Any bit may be wrong: a result of the right size or a refusal, and no read or write outside. */
static void test_damaged(void **state) {
        CLEANUP(codec_free) struct codec *c = opened(), *other = opened();
        struct bytes packed, back;
        uint8_t *copy;

        (void)state;
        assert_int_equal(pack(c, text, 2000, &packed), CODEC_ZSTD);
        copy = malloc(packed.size);
        assert_non_null(copy);
        for (size_t bit = 0; bit < packed.size * 8; bit++) {
                const struct bytes damaged = {copy, packed.size};
                int r;

                memcpy(copy, packed.data, packed.size);
                copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
                r = codec_unpack(other, CODEC_ZSTD, damaged, 2000, &back);
                assert_in_range(r, 0, 1);
                if (r == 0)
                        assert_int_equal(back.size, 2000);
        }
        free(copy);
}

static int round_trip(void *userdata) {
        CLEANUP(codec_free) struct codec *c = NULL, *other = NULL;
        struct bytes in = {text, CHUNK}, packed, back;
        enum codec_kind kind;
        int r;

        (void)userdata;
        r = codec_new(&c);
        if (r == 0)
                r = codec_new(&other);
        if (r == 0)
                r = codec_pack(c, in, &kind, &packed);
        if (r == 0)
                r = codec_unpack(other, kind, packed, CHUNK, &back);
        return r;
}

static void test_starved(void **state) {
        (void)state;
        assert_int_equal(starve_each(round_trip, NULL), 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_text_shrinks_and_comes_back),
                cmocka_unit_test(test_noise_and_small_go_raw),
                cmocka_unit_test(test_tries_less_and_less),
                cmocka_unit_test(test_rest),
                cmocka_unit_test(test_malformed),
                cmocka_unit_test(test_damaged),
                cmocka_unit_test(test_starved),
        };

        return cmocka_run_group_tests(tests, setup, NULL);
}
