#include "tests/support/check.h"

#include "proto/link/evidence.h"

#include <errno.h>

#define CA "/etc/rota/ca.pem"

static void hear(struct evidence *e, const char *const *lines) {
        for (; *lines; lines++)
                evidence_log(e, *lines, CA);
}

static void check(const struct evidence *e, enum link_cause cause, const char *detail) {
        assert_int_equal(e->cause, cause);
        assert_string_equal(e->detail, detail);
}

#define TO_TLS                                                                                     \
        "connection successful", "RECV: <stream:stream from='lab'>",                               \
                "RECV: <features><starttls/></features>", "handle proceedtls called for proceed",  \
                "proceeding with TLS"
#define TO_LOGIN TO_TLS, "Certificate verification passed", "RECV: <stream:stream from='lab'>"

static void test_stages(void **state) {
        static const char *const lines[] = {TO_LOGIN, NULL};
        static const enum stage stages[] = {STAGE_STREAM, STAGE_STREAM, STAGE_STREAM, STAGE_STREAM,
                                            STAGE_TLS,    STAGE_TLS,    STAGE_LOGIN};
        struct evidence e = {0};

        (void)state;
        assert_int_equal(e.stage, STAGE_TCP);
        for (size_t i = 0; lines[i]; i++) {
                evidence_log(&e, lines[i], CA);
                assert_int_equal(e.stage, stages[i]);
        }
        assert_false(e.sm_offered);
        evidence_log(&e, "RECV: <features><bind/><sm xmlns=\"urn:xmpp:sm:3\"/></features>", CA);
        assert_true(e.sm_offered);
        assert_false(e.hopeless);
}

static void test_silence(void **state) {
        static const char *const texts[] = {
                "no answer to the attempt to connect",
                "the server accepted the connection and then said nothing",
                "the server went silent in the TLS handshake",
                "the server went silent during the login",
        };

        (void)state;
        for (int stage = STAGE_TCP; stage <= STAGE_LOGIN; stage++) {
                struct evidence e = {.stage = (enum stage)stage};

                evidence_conclude(&e, true);
                check(&e, LINK_TIMEOUT, texts[stage]);
        }
}

static void test_refused(void **state) {
        char line[64];
        struct evidence e = {0};

        (void)state;
        snprintf(line, sizeof(line), "connection failed, error %d", ECONNREFUSED);
        evidence_log(&e, line, CA);
        evidence_conclude(&e, false);
        check(&e, LINK_REFUSED, "Connection refused");
        e = (struct evidence){.connect_errno = ETIMEDOUT};
        evidence_conclude(&e, false);
        assert_int_equal(e.cause, LINK_TIMEOUT);
        e = (struct evidence){.connect_errno = EHOSTUNREACH};
        evidence_conclude(&e, false);
        check(&e, LINK_REFUSED, "No route to host");
}

static void test_login(void **state) {
        static const char *const twice[] = {
                TO_LOGIN,
                "RECV: <features><mechanisms/></features>",
                "RECV: <failure xmlns=\"urn:ietf:params:xml:ns:xmpp-sasl\"><not-authorized/>"
                "<text>Unable to authorize &amp; so on</text></failure>",
                "SASL SCRAM-SHA-256 auth failed",
                "Cannot authenticate with known methods",
                "error:0A000126:SSL routines::unexpected eof while reading",
                NULL,
        };
        static const char *const bare[] = {TO_LOGIN, "RECV: <failure", "SASL PLAIN auth failed",
                                           NULL};
        static const char *const none[] = {TO_LOGIN, "Cannot authenticate with known methods",
                                           NULL};
        struct evidence e = {0};

        (void)state;
        hear(&e, twice);
        assert_false(e.hopeless);
        evidence_conclude(&e, false);
        check(&e, LINK_AUTH, "not-authorized: Unable to authorize & so on");
        e = (struct evidence){0};
        hear(&e, bare);
        evidence_conclude(&e, false);
        check(&e, LINK_AUTH, "the server refused the login");
        e = (struct evidence){0};
        hear(&e, none);
        assert_true(e.hopeless);
        evidence_conclude(&e, false);
        check(&e, LINK_AUTH, "the server offers no way to log in that we know");
}

static void test_tls(void **state) {
        static const char *const broken[] = {TO_TLS, "Certificate verification passed",
                                             "error:0A00010B:SSL routines::wrong version number",
                                             "Couldn't start TLS! error -3", NULL};
        static const char *const cut_off[] = {
                TO_TLS, "error:0A000126:SSL routines::unexpected eof while reading",
                "Couldn't start TLS! error -3", NULL};
        static const char *const untrusted[] = {
                "error:0A000086:SSL routines::certificate verify failed",
                "Couldn't start TLS! error -3", NULL};
        static const char *const no_file[] = {TO_TLS, "SSL_CTX_load_verify_locations() failed",
                                              "error:80000002:system library::No such file", NULL};
        static const char *const no_tls[] = {
                "connection successful",
                "TLS is not supported, but set as mandatory for this connection", NULL};
        struct evidence e = {0};

        (void)state;
        hear(&e, broken);
        evidence_conclude(&e, false);
        check(&e, LINK_CERTIFICATE, "the TLS handshake failed: wrong version number");
        e = (struct evidence){0};
        hear(&e, cut_off);
        evidence_conclude(&e, false);
        assert_int_equal(e.cause, LINK_LOST);
        e = (struct evidence){.stage = STAGE_TLS};
        evidence_untrusted(&e, "certificate has expired", "CN=lab");
        hear(&e, untrusted);
        evidence_conclude(&e, false);
        check(&e, LINK_CERTIFICATE, "certificate has expired (certificate of CN=lab)");
        e = (struct evidence){0};
        hear(&e, no_file);
        assert_true(e.hopeless);
        check(&e, LINK_CERTIFICATE, "cannot read certificates from " CA);
        e = (struct evidence){0};
        hear(&e, no_tls);
        assert_true(e.hopeless);
        check(&e, LINK_CERTIFICATE, "the server offers no TLS");
}

static void test_not_xmpp(void **state) {
        static const char *const lines[] = {"connection successful",
                                            "Server did not open valid stream. name = html.", NULL};
        struct evidence e = {0};

        (void)state;
        hear(&e, lines);
        assert_true(e.hopeless);
        assert_int_equal(e.cause, LINK_STREAM_ERROR);
}

static void test_vague(void **state) {
        static const char *const lines[] = {
                "connection successful", "something new", "RECV: ", "RECV: <x", "", NULL};
        struct evidence e = {0};

        (void)state;
        hear(&e, lines);
        evidence_conclude(&e, false);
        assert_int_equal(e.cause, LINK_LOST);
        assert_true(*e.detail);
}

static void test_stream_errors(void **state) {
        char text[] = "Replaced by new connection";
        struct evidence e = {0};

        (void)state;
        evidence_stream_error(&e, &(xmpp_stream_error_t){.type = XMPP_SE_CONFLICT, .text = text});
        check(&e, LINK_CONFLICT, "conflict: Replaced by new connection");
        evidence_stream_error(&e, &(xmpp_stream_error_t){.type = XMPP_SE_HOST_UNKNOWN});
        check(&e, LINK_STREAM_ERROR, "host-unknown: the server does not serve this domain");
        evidence_stream_error(&e, &(xmpp_stream_error_t){.type = (xmpp_error_type_t)99});
        check(&e, LINK_STREAM_ERROR, "unknown");
}

static void test_words(void **state) {
        (void)state;
        for (int cause = LINK_CLOSED; cause <= LINK_STREAM_ERROR; cause++) {
                assert_true(strlen(link_cause_text((enum link_cause)cause)) > 20);
                for (int other = LINK_CLOSED; other < cause; other++)
                        assert_string_not_equal(link_cause_name((enum link_cause)cause),
                                                link_cause_name((enum link_cause)other));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_stages),  cmocka_unit_test(test_silence),
                cmocka_unit_test(test_refused), cmocka_unit_test(test_login),
                cmocka_unit_test(test_tls),     cmocka_unit_test(test_not_xmpp),
                cmocka_unit_test(test_vague),   cmocka_unit_test(test_stream_errors),
                cmocka_unit_test(test_words),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
