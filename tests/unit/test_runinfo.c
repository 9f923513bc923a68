#include "tests/support/check.h"

#include "controller/api.h"
#include "controller/cli/runinfo.h"
#include "controller/cli/status.h"
#include "controller/cli/when.h"

static const char run_text[] =
        "{\"run\":\"k3\",\"batch\":null,\"target\":\"pc1\",\"title\":\"memory\",\"state\":"
        "\"ended\","
        "\"verdict\":\"failed\",\"cause\":\"step 1: exited with 3\",\"step\":1,\"of\":2,"
        "\"by\":\"ana\",\"submitted_usec\":5,\"started_usec\":null,\"exit\":3,\"note\":null,"
        "\"new\":{},\"streams\":[{\"name\":\"1.out\",\"next\":7,\"size\":null},"
        "{\"name\":\"2.out\",\"next\":9,\"size\":9}]}";

static void test_run(void **state) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root;
        struct json_at streams;
        struct json_at at;
        struct runinfo_stream s;
        struct runinfo r;

        (void)state;
        assert_int_equal(json_parse(&doc, "run", run_text, sizeof(run_text) - 1), 0);
        root = json_root(doc);
        assert_int_equal(runinfo_read(&root, &r), 0);
        assert_string_equal(r.run, "k3");
        assert_null(r.batch);
        assert_true(runinfo_ended(&r));
        assert_string_equal(runinfo_outcome(&r), "failed");
        assert_string_equal(runinfo_why(&r), "step 1: exited with 3");
        assert_int_equal(runinfo_tone(&r), TABLE_BAD);
        assert_true(r.has_exit && r.exit == 3);
        assert_int_equal(r.started_usec, 0);
        assert_int_equal(json_get(&root, "streams", &streams), 0);
        assert_int_equal(json_item(&streams, 0, &at), 0);
        assert_int_equal(runinfo_read_stream(&at, &s), 0);
        assert_true(!s.has_size && s.next == 7);
        assert_int_equal(json_item(&streams, 1, &at), 0);
        assert_int_equal(runinfo_read_stream(&at, &s), 0);
        assert_true(s.has_size && s.size == 9);
}

static void test_run_refused(void **state) {
        static const char *const bad[] = {
                "[]",
                "{\"run\":\"k3\",\"target\":\"pc1\"}",
                "{\"run\":3,\"target\":\"pc1\",\"state\":\"sent\"}",
                "{\"run\":\"k3\",\"target\":\"pc1\",\"state\":\"sent\",\"step\":\"one\"}",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                CLEANUP(json_free) struct json_doc *doc = NULL;
                struct json_at root;
                struct runinfo r;

                assert_int_equal(json_parse(&doc, "run", bad[i], strlen(bad[i])), 0);
                root = json_root(doc);
                assert_int_equal(runinfo_read(&root, &r), JSON_BAD);
                assert_true(json_error(doc)[0] != '\0');
        }
}

static void test_stream_names(void **state) {
        (void)state;
        static const char *const in_order[] = {"1.out",  "1.2.out",  "1.10.out", "2.out",
                                               "12.out", "12.2.out", "256.out",  "256.6.out"};
        static const char *const others[] = {"events", "1.out.gz", ".out",      "1..out", "1.x.out",
                                             "0.out",  "1.0.out",  "1.2.3.out", "x.out",  "1.2"};

        for (size_t i = 0; i + 1 < ARRAY_SIZE(in_order); i++)
                assert_true(runinfo_order(in_order[i]) < runinfo_order(in_order[i + 1]));
        assert_true(runinfo_order(in_order[0]) > 0);
        for (size_t i = 0; i < ARRAY_SIZE(others); i++)
                assert_int_equal(runinfo_order(others[i]), 0);
}

static void test_status(void **state) {
        static const struct {
                const char *verdict;
                const char *refusal;
                enum status status;
        } rows[] = {
                {"passed",    NULL,          STATUS_PASSED   },
                {"failed",    NULL,          STATUS_FAILED   },
                {"cancelled", NULL,          STATUS_CANCELLED},
                {"not-run",   NULL,          STATUS_INFRA    },
                {"not-run",   "not-allowed", STATUS_DENIED   },
                {"not-run",   "busy",        STATUS_BUSY     },
                {"not-run",   "invalid",     STATUS_USAGE    },
                {"not-run",   "full",        STATUS_INFRA    },
                {"not-run",   "over",        STATUS_INFRA    },
                {"surprise",  NULL,          STATUS_INFRA    },
                {NULL,        NULL,          STATUS_INFRA    },
        };
        static const struct {
                const char *cause;
                enum status status;
        } causes[] = {
                {"pc1 refused it (not-allowed)",                                    STATUS_DENIED },
                {"pc1 refused it (busy): run k3 for ana",                           STATUS_BUSY   },
                {"pc1 refused it (invalid): no such diagnostic",                    STATUS_USAGE  },
                {"pc1 refused it (full)",                                           STATUS_INFRA  },
                {"its time to live ended before the target took it",                STATUS_TIMEOUT},
                {"step 1: there is no program memtester",                           STATUS_INFRA  },
                {"pc1 refused it (a word that is much longer than any of them is)", STATUS_INFRA  },
        };
        static const enum status order[] = {STATUS_PASSED,  STATUS_FAILED, STATUS_CANCELLED,
                                            STATUS_TIMEOUT, STATUS_BUSY,   STATUS_NOTHING,
                                            STATUS_USAGE,   STATUS_DENIED, STATUS_INFRA};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                assert_int_equal(status_of_run(rows[i].verdict, rows[i].refusal, NULL),
                                 rows[i].status);
        for (size_t i = 0; i < ARRAY_SIZE(causes); i++)
                assert_int_equal(status_of_run("not-run", NULL, causes[i].cause), causes[i].status);
        for (size_t i = 0; i < ARRAY_SIZE(order); i++)
                for (size_t k = 0; k < ARRAY_SIZE(order); k++)
                        assert_int_equal(status_worst(order[i], order[k]), order[i > k ? i : k]);
        assert_int_equal(status_of_error(API_ERROR_BUSY), STATUS_BUSY);
        assert_int_equal(status_of_error(API_ERROR_UNKNOWN), STATUS_USAGE);
        assert_int_equal(status_of_error("org.freedesktop.DBus.Error.UnknownMethod"), STATUS_INFRA);
        assert_int_equal(status_of_error(NULL), STATUS_INFRA);
}

static void test_when(void **state) {
        const uint64_t now = UINT64_C(1767323045000000); /* 2026-01-02 03:04:05 UTC */
        const uint64_t hour = UINT64_C(3600000000);
        CLEANUP(buf_done) struct buf out = {0};

        (void)state;
        setenv("TZ", "UTC", 1);
        when_print(&out, now, now);
        buf_putc(&out, ' ');
        when_print(&out, now - 4 * hour, now);
        buf_putc(&out, ' ');
        when_print(&out, now - 24 * hour, now);
        buf_putc(&out, ' ');
        when_print(&out, now - 48 * hour, now);
        buf_putc(&out, ' ');
        when_print(&out, 0, now);
        when_print_exact(&out, now);
        buf_putc(&out, ' ');
        when_print_span(&out, now, now + hour);
        when_print_span(&out, now, 0);
        check_buf(&out, "03:04 Jan  1 23:04 Jan  1 03:04 2025-12-31 2026-01-02 03:04:05 1h");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_run),          cmocka_unit_test(test_run_refused),
                cmocka_unit_test(test_stream_names), cmocka_unit_test(test_status),
                cmocka_unit_test(test_when),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
