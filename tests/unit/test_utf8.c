#include "tests/support/check.h"

#include "proto/base/utf8.h"

struct sample {
        const char *text;
        size_t len;
        size_t taken;
        uint32_t character;
};

static void test_samples(void **state) {
        static const struct sample samples[] = {
                {"a",                1, 1, 'a'     },
                {"\0",               1, 1, 0       },
                {"\xc3\xa4x",        3, 2, 0xe4    },
                {"\xe2\x82\xac",     3, 3, 0x20ac  },
                {"\xf0\x9f\x90\xa7", 4, 4, 0x1f427 },
                {"\xf4\x8f\xbf\xbf", 4, 4, 0x10ffff},
                {"\xc3",             1, 0, 0       }, /* cut */
                {"\xe2\x82",         2, 0, 0       }, /* cut */
                {"\xc3x",            2, 0, 0       }, /* no continuation */
                {"\x80",             1, 0, 0       }, /* nothing before it */
                {"\xc0\x80",         2, 0, 0       }, /* overlong */
                {"\xc1\xbf",         2, 0, 0       }, /* overlong */
                {"\xe0\x9f\xbf",     3, 0, 0       }, /* overlong */
                {"\xf0\x8f\xbf\xbf", 4, 0, 0       }, /* overlong */
                {"\xed\xa0\x80",     3, 0, 0       }, /* surrogate */
                {"\xf4\x90\x80\x80", 4, 0, 0       }, /* beyond U+10FFFF */
                {"\xff",             1, 0, 0       },
        };

        (void)state;
        for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
                uint32_t c = 0;

                assert_int_equal(utf8_char(samples[i].text, samples[i].len, &c), samples[i].taken);
                assert_int_equal(c, samples[i].character);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_samples)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
