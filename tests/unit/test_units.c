#include "tests/support/check.h"

#include "proto/base/clock.h"
#include "proto/units.h"

static void test_durations(void **state) {
        static const struct {
                const char *text;
                uint64_t usec;
        } rows[] = {
                {"0",                      0                     },
                {"90",                     90 * USEC_PER_SEC     },
                {"1.5",                    1500 * USEC_PER_MSEC  },
                {"90s",                    90 * USEC_PER_SEC     },
                {"1h30m",                  90 * USEC_PER_MINUTE  },
                {"1h 30m",                 90 * USEC_PER_MINUTE  },
                {"250ms",                  250 * USEC_PER_MSEC   },
                {"7us",                    7                     },
                {"1.5h",                   90 * USEC_PER_MINUTE  },
                {"0.000001s",              1                     },
                {"1w2d",                   9 * 24 * USEC_PER_HOUR},
                {" 2 m ",                  2 * USEC_PER_MINUTE   },
                {"18446744073709551615us", UINT64_MAX            },
        };
        static const char *const bad[] = {"",
                                          " ",
                                          "s",
                                          "-1s",
                                          "+1s",
                                          "1x",
                                          "1h30",
                                          "1 2",
                                          "1.s",
                                          "1.",
                                          ".5s",
                                          "1e3",
                                          "1sm",
                                          "1s,2m",
                                          "1S",
                                          "inf",
                                          "0x1",
                                          "18446744073710s",
                                          "18446744073709551616us",
                                          "18446744073709551615us1us"};
        uint64_t usec = 0;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_int_equal(units_parse_duration(rows[i].text, &usec), 0);
                assert_true(usec == rows[i].usec);
        }
        usec = 77;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(units_parse_duration(bad[i], &usec), 1);
        assert_int_equal(usec, 77);
}

static void test_bytes(void **state) {
        static const struct {
                const char *text;
                uint64_t bytes;
        } rows[] = {
                {"0",                    0                },
                {"4096",                 4096             },
                {"812 B",                812              },
                {"512k",                 512 << 10        },
                {"512K",                 512 << 10        },
                {"64M",                  64 << 20         },
                {"64MiB",                64 << 20         },
                {"64 MB",                64 << 20         },
                {"1.5G",                 UINT64_C(3) << 29},
                {"2T",                   UINT64_C(2) << 40},
                {"18446744073709551615", UINT64_MAX       },
        };
        static const char *const bad[] = {"",         "M",   "-1",   "1X",
                                          "1Mi",      "1MM", "1 2",  "1iB",
                                          "1e3",      "1.",  "1MBB", "18446744073709551616",
                                          "16777216T"};
        uint64_t bytes = 0;

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_int_equal(units_parse_bytes(rows[i].text, &bytes), 0);
                assert_true(bytes == rows[i].bytes);
        }
        bytes = 77;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_int_equal(units_parse_bytes(bad[i], &bytes), 1);
        assert_int_equal(bytes, 77);
}

static void test_printing_durations(void **state) {
        static const struct {
                uint64_t usec;
                const char *text;
        } rows[] = {
                {0,                                 "0s"    },
                {999,                               "999 us"},
                {1000,                              "1 ms"  },
                {340999,                            "340 ms"},
                {USEC_PER_SEC,                      "1.0s"  },
                {5340000,                           "5.3s"  },
                {59 * USEC_PER_SEC,                 "59s"   },
                {60 * USEC_PER_SEC,                 "1m"    },
                {125 * USEC_PER_SEC,                "2m 5s" },
                {USEC_PER_HOUR,                     "1h"    },
                {USEC_PER_HOUR + 59 * USEC_PER_SEC, "1h"    },
                {5400 * USEC_PER_SEC,               "1h 30m"},
                {50 * USEC_PER_HOUR,                "2d 2h" },
        };
        CLEANUP(buf_done) struct buf b = {0};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                uint64_t again;

                buf_clear(&b);
                assert_int_equal(units_print_duration(&b, rows[i].usec), 0);
                check_buf(&b, rows[i].text);
                assert_int_equal(units_parse_duration(buf_text(&b), &again), 0);
                assert_true(again <= rows[i].usec);
        }
}

static void test_printing_bytes(void **state) {
        static const struct {
                uint64_t bytes;
                const char *text;
        } rows[] = {
                {0,                 "0 B"    },
                {812,               "812 B"  },
                {1023,              "1023 B" },
                {1024,              "1 KiB"  },
                {1536,              "1.5 KiB"},
                {64 << 20,          "64 MiB" },
                {(64 << 20) - 1,    "64 MiB" },
                {(1 << 20) - 1,     "1 MiB"  },
                {UINT64_C(3) << 29, "1.5 GiB"},
                {UINT64_MAX,        "16 EiB" },
        };
        CLEANUP(buf_done) struct buf b = {0};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                buf_clear(&b);
                assert_int_equal(units_print_bytes(&b, rows[i].bytes), 0);
                check_buf(&b, rows[i].text);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_durations),
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_printing_durations),
                cmocka_unit_test(test_printing_bytes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
