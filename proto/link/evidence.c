#include "proto/link/evidence.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/arena.h"
#include "proto/sm.h"

static const char *const silences[] = {
        [STAGE_TCP] = "no answer to the attempt to connect",
        [STAGE_STREAM] = "the server accepted the connection and then said nothing",
        [STAGE_TLS] = "the server went silent in the TLS handshake",
        [STAGE_LOGIN] = "the server went silent during the login",
};

static const char *const stream_errors[] = {
        [XMPP_SE_BAD_FORMAT] = "bad-format",
        [XMPP_SE_BAD_NS_PREFIX] = "bad-namespace-prefix",
        [XMPP_SE_CONFLICT] = "conflict",
        [XMPP_SE_CONN_TIMEOUT] = "connection-timeout",
        [XMPP_SE_HOST_GONE] = "host-gone",
        [XMPP_SE_HOST_UNKNOWN] = "host-unknown: the server does not serve this domain",
        [XMPP_SE_IMPROPER_ADDR] = "improper-addressing",
        [XMPP_SE_INTERNAL_SERVER_ERROR] = "internal-server-error",
        [XMPP_SE_INVALID_FROM] = "invalid-from",
        [XMPP_SE_INVALID_ID] = "invalid-id",
        [XMPP_SE_INVALID_NS] = "invalid-namespace",
        [XMPP_SE_INVALID_XML] = "invalid-xml",
        [XMPP_SE_NOT_AUTHORIZED] = "not-authorized",
        [XMPP_SE_POLICY_VIOLATION] = "policy-violation",
        [XMPP_SE_REMOTE_CONN_FAILED] = "remote-connection-failed",
        [XMPP_SE_RESOURCE_CONSTRAINT] = "resource-constraint",
        [XMPP_SE_RESTRICTED_XML] = "restricted-xml",
        [XMPP_SE_SEE_OTHER_HOST] = "see-other-host",
        [XMPP_SE_SYSTEM_SHUTDOWN] = "system-shutdown: the server is being stopped",
        [XMPP_SE_UNDEFINED_CONDITION] = "undefined-condition",
        [XMPP_SE_UNSUPPORTED_ENCODING] = "unsupported-encoding",
        [XMPP_SE_UNSUPPORTED_STANZA_TYPE] = "unsupported-stanza-type",
        [XMPP_SE_UNSUPPORTED_VERSION] = "unsupported-version",
        [XMPP_SE_XML_NOT_WELL_FORMED] = "not-well-formed",
};

__attribute__((format(printf, 2, 3))) static void note(struct evidence *e, const char *format,
                                                       ...) {
        va_list ap;

        va_start(ap, format);
        vsnprintf(e->detail, sizeof(e->detail), format, ap);
        va_end(ap);
}

static void give_up(struct evidence *e, enum link_cause cause) {
        e->hopeless = true;
        e->cause = cause;
}

static const char *after(const char *text, const char *prefix) {
        size_t len = strlen(prefix);

        return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

/* <failure><account-disabled/><text>…</text></failure> (RFC 6120 6.5) */
static void heard_failure(struct evidence *e, const char *text) {
        CLEANUP(xml_free) struct xml *failure = NULL;
        CLEANUP(arena_done) struct arena arena = {0};
        const struct xml *condition, *words;
        const char *said = NULL;

        if (xml_parse(&failure, text, strlen(text), NULL) != 0)
                return;
        condition = xml_child(failure, NULL, NULL);
        words = xml_child(failure, "text", NULL);
        if (!condition)
                return;
        if (words)
                said = xml_text(words, &arena);
        note(e, "%.60s%s%.300s", xml_name(condition), said ? ": " : "", said ? said : "");
}

static void heard_element(struct evidence *e, const char *text) {
        if (after(text, "<stream:stream")) {
                /* the first thing that comes through TLS */
                if (e->stage == STAGE_TLS)
                        e->stage = STAGE_LOGIN;
        } else if (after(text, "<features") || after(text, "<stream:features")) {
                e->sm_offered = strstr(text, NS_SM) != NULL;
        } else if (after(text, "<failure")) {
                heard_failure(e, text);
        }
}

void evidence_log(struct evidence *e, const char *line, const char *ca_file) {
        const char *rest;

        if (e->hopeless)
                return;
        if ((rest = after(line, "RECV: "))) {
                heard_element(e, rest);
        } else if (after(line, "connection successful")) {
                e->stage = STAGE_STREAM;
        } else if ((rest = after(line, "connection failed, error "))) {
                e->connect_errno = atoi(rest);
        } else if (after(line, "proceeding with TLS")) {
                e->stage = STAGE_TLS;
        } else if ((rest = after(line, "error:"))) {
                /* error:NUMBER:LIBRARY:FUNCTION:REASON */
                if (e->stage == STAGE_TLS && !e->untrusted && strchr(rest, ':'))
                        note(e, "%s", strrchr(rest, ':') + 1);
        } else if (after(line, "Couldn't start TLS!")) {
                e->tls_failed = true;
        } else if (after(line, "SASL ") && strstr(line, "auth failed")) {
                e->login_refused = true;
        } else if (after(line, "Cannot authenticate with known methods")) {
                if (e->login_refused)
                        return;
                note(e, "the server offers no way to log in that we know");
                give_up(e, LINK_AUTH);
        } else if (after(line, "SSL_CTX_load_verify_locations() failed")) {
                note(e, "cannot read certificates from %s",
                     ca_file ? ca_file : "the system's folder");
                give_up(e, LINK_CERTIFICATE);
        } else if (after(line, "TLS is not supported")) {
                note(e, "the server offers no TLS");
                give_up(e, LINK_CERTIFICATE);
        } else if (after(line, "Server did not open valid stream") || after(line, "parse error")) {
                note(e, "what answers there does not speak XMPP");
                give_up(e, LINK_STREAM_ERROR);
        } else if (after(line, "Binding failed")) {
                note(e, "the server refused our resource");
                give_up(e, LINK_STREAM_ERROR);
        }
}

void evidence_untrusted(struct evidence *e, const char *why, const char *subject) {
        e->untrusted = true;
        note(e, "%.200s%s%.150s%s", why, subject ? " (certificate of " : "", subject ? subject : "",
             subject ? ")" : "");
}

/* Of the TLS library's reasons, the one that says nothing about trust. */
static bool is_eof(const char *reason) {
        return !*reason || strstr(reason, "unexpected eof");
}

static void conclude_tls(struct evidence *e) {
        char reason[200];

        snprintf(reason, sizeof(reason), "%.199s", e->detail);
        e->cause = is_eof(reason) ? LINK_LOST : LINK_CERTIFICATE;
        note(e, "the TLS handshake failed: %s",
             *reason ? reason : "the server closed the connection");
}

void evidence_conclude(struct evidence *e, bool silent) {
        if (e->hopeless)
                return;
        if (e->untrusted) {
                e->cause = LINK_CERTIFICATE;
        } else if (silent) {
                e->cause = LINK_TIMEOUT;
                note(e, "%s", silences[e->stage]);
        } else if (e->tls_failed) {
                conclude_tls(e);
        } else if (e->login_refused) {
                e->cause = LINK_AUTH;
                if (!*e->detail)
                        note(e, "the server refused the login");
        } else if (e->connect_errno) {
                e->cause = e->connect_errno == ETIMEDOUT ? LINK_TIMEOUT : LINK_REFUSED;
                note(e, "%s", strerror(e->connect_errno));
        } else {
                e->cause = LINK_LOST;
                note(e, "the server closed the connection during the login");
        }
}

void evidence_stream_error(struct evidence *e, const xmpp_stream_error_t *error) {
        size_t at = (size_t)error->type;
        const char *name = at < ARRAY_SIZE(stream_errors) ? stream_errors[at] : "unknown";

        e->cause = error->type == XMPP_SE_CONFLICT ? LINK_CONFLICT : LINK_STREAM_ERROR;
        note(e, "%s%s%.300s", name, error->text ? ": " : "", error->text ? error->text : "");
}
