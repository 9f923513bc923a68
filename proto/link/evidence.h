/*
 * Why an attempt to connect failed, put together from what libstrophe lets slip.
 *
 * The library reports a wrong password, the errno of a refused connection and the server's features nowhere but
 * in its log, and ends most attempts with the same event and error 0. So its log lines are read until the session is
 * up; at the end the most telling of what was seen is the cause. The lines are those of libstrophe
 * 0.12 to 0.14; one that is not understood leaves the cause vaguer, never wrong.
 *
 * Pure: it connects to nothing.
 */
#pragma once

#include "proto/link/link.h"

#include <strophe.h>

enum stage {
        STAGE_TCP,
        STAGE_STREAM, /* connected, nothing heard */
        STAGE_TLS,
        STAGE_LOGIN,
};

struct evidence {
        enum stage stage;
        int connect_errno;
        bool sm_offered; /* the server's features have XEP-0198 */
        bool untrusted;
        bool tls_failed;
        bool login_refused;
        bool hopeless; /* @cause and @detail are final: do not wait for the library */
        enum link_cause cause;
        char detail[400];
};

/* One line of the library's log. @ca_file is for the text. */
void evidence_log(struct evidence *e, const char *line, const char *ca_file);
/* The certificate was refused: the TLS library's sentence, and whose certificate it is (or NULL). */
void evidence_untrusted(struct evidence *e, const char *why, const char *subject);
/* The attempt ended; @silent: because we lost patience. Fills @e->cause and @e->detail. */
void evidence_conclude(struct evidence *e, bool silent);
/* The stream ended with an error (RFC 6120 4.9). */
void evidence_stream_error(struct evidence *e, const xmpp_stream_error_t *error);
