#include "tests/support/check.h"

#include "proto/link/resolve.h"

#include <errno.h>
#include <sys/wait.h>

static void check_parse(const char *server, const char *host, unsigned port) {
        struct resolve_address a;

        assert_int_equal(resolve_parse(server, &a), 0);
        assert_string_equal(a.host, host);
        assert_int_equal(a.port, port);
}

static void test_parse(void **state) {
        static const char *const bad[] = {
                "",        ":5222",     "host:",  "host:0", "host:65536", "host:x",
                "host:-1", "host: 1",   "[::1",   "[]:1",   "[::1]x",     "[::1]:",
                "a b",     "user@host", "host/x", "host\n",
        };
        struct resolve_address a;
        char text[300];

        (void)state;
        check_parse("xmpp.lab.example", "xmpp.lab.example", 5222);
        check_parse("xmpp.lab.example:15222", "xmpp.lab.example", 15222);
        check_parse("10.1.2.3:65535", "10.1.2.3", 65535);
        check_parse("::1", "::1", 5222);
        check_parse("[::1]", "::1", 5222);
        check_parse("[fe80::1%eth0]:1", "fe80::1%eth0", 1);
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
                assert_int_equal(resolve_parse(bad[i], &a), 1);
        memset(text, 'a', sizeof(text));
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(resolve_parse(text, &a), 1);
}

static void test_order(void **state) {
        unsigned first[3] = {0};

        (void)state;
        for (uint64_t seed = 1; seed <= 2000; seed++) {
                struct resolve_service s[] = {
                        {.priority = 20, .weight = 100, .address.port = 9},
                        {.priority = 10, .weight = 90,  .address.port = 0},
                        {.priority = 10, .weight = 10,  .address.port = 1},
                        {.priority = 10, .weight = 0,   .address.port = 2},
                };

                resolve_order(s, 4, seed * UINT64_C(0x9e3779b97f4a7c15));
                assert_int_equal(s[3].address.port, 9);
                assert_true(s[0].address.port < 3);
                assert_int_equal(s[0].address.port + s[1].address.port + s[2].address.port, 3);
                first[s[0].address.port]++;
        }
        assert_true(first[0] > 1600 && first[0] < 1950);
        assert_true(first[1] > 50 && first[1] < 400);
        assert_true(first[2] < 50);
}

struct answer {
        sd_event *event;
        unsigned called;
        size_t n;
        struct resolve_address addresses[RESOLVE_MAX];
        char error[256];
};

static void on_done(void *userdata, const struct resolve_address *addresses, size_t n,
                    const char *error) {
        struct answer *a = userdata;

        a->called++;
        a->n = n;
        if (n > 0)
                memcpy(a->addresses, addresses, n * sizeof(*addresses));
        else
                snprintf(a->error, sizeof(a->error), "%s", error);
        sd_event_exit(a->event, 0);
}

static struct answer asked(const char *server, const char *domain) {
        CLEANUP(resolve_free) struct resolve *r = NULL;
        struct answer a = {0};

        assert_true(sd_event_new(&a.event) >= 0);
        assert_int_equal(resolve_start(&r, a.event, server, domain, on_done, &a), 0);
        assert_int_equal(a.called, 0); /* never from within */
        assert_int_equal(sd_event_loop(a.event), 0);
        assert_int_equal(a.called, 1);
        r = resolve_free(r);
        sd_event_unref(a.event);
        return a;
}

static void test_literal(void **state) {
        struct answer a;

        (void)state;
        a = asked("[::1]:77", "lab.test");
        assert_int_equal(a.n, 1);
        assert_string_equal(a.addresses[0].host, "::1");
        assert_int_equal(a.addresses[0].port, 77);
        a = asked(NULL, "192.0.2.7");
        assert_int_equal(a.n, 1);
        assert_string_equal(a.addresses[0].host, "192.0.2.7");
        assert_int_equal(a.addresses[0].port, 5222);
}

static void test_host(void **state) {
        struct answer a;
        bool loopback = false;

        (void)state;
        a = asked("localhost:1234", "lab.test");
        assert_true(a.n >= 1);
        for (size_t i = 0; i < a.n; i++) {
                assert_int_equal(a.addresses[i].port, 1234);
                if (strcmp(a.addresses[i].host, "127.0.0.1") == 0 ||
                    strcmp(a.addresses[i].host, "::1") == 0)
                        loopback = true;
        }
        assert_true(loopback);
}

static void test_no_address(void **state) {
        struct answer a;

        (void)state;
        a = asked("no-such-host.invalid", "lab.test");
        assert_int_equal(a.n, 0);
        assert_non_null(strstr(a.error, "no-such-host.invalid"));
}

static void test_malformed(void **state) {
        struct resolve *r = NULL;
        sd_event *event = NULL;

        (void)state;
        assert_true(sd_event_new(&event) >= 0);
        assert_int_equal(resolve_start(&r, event, "a b", "lab.test", on_done, NULL), -EINVAL);
        assert_null(r);
        sd_event_unref(event);
}

/* A question that is taken back leaves no process and no callback. */
static void test_cancel(void **state) {
        struct answer a = {0};

        (void)state;
        assert_true(sd_event_new(&a.event) >= 0);
        for (int i = 0; i < 20; i++) {
                CLEANUP(resolve_free) struct resolve *r = NULL;

                assert_int_equal(
                        resolve_start(&r, a.event, "no-such-host.invalid", "lab.test", on_done, &a),
                        0);
        }
        while (sd_event_run(a.event, 0) > 0)
                ;
        assert_int_equal(a.called, 0);
        assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
        assert_int_equal(errno, ECHILD);
        sd_event_unref(a.event);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_parse),      cmocka_unit_test(test_order),
                cmocka_unit_test(test_literal),    cmocka_unit_test(test_host),
                cmocka_unit_test(test_no_address), cmocka_unit_test(test_malformed),
                cmocka_unit_test(test_cancel),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
