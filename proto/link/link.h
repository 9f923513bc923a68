/*
 * One XMPP client connection under sd-event: the one place where libstrophe meets the event loop.
 *
 * It resolves, connects, authenticates (TLS with verified certificate, SCRAM), counts and acknowledges
 * stanzas (XEP-0198 without resumption), and after a loss tries again for ever with jitter. Every
 * connection is a new session. Idle, it causes no wake-up but the keep-alive.
 *
 * What it does not do: remember stanzas. link_send() while offline is refused; whoever needs delivery
 * keeps the thing and sends again.
 */
#pragma once

#include "proto/base/cleanup.h"
#include "proto/xml.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

/* All strings are copied by link_new(). */
struct link_config {
        const char *jid; /* bare */
        const char *resource;
        const char *password; /* copied into memory that is wiped */
        const char *
                server; /* "host", "host:port", "[v6]:port"; NULL: SRV records of the domain, then the domain */
        const char *ca_file;           /* PEM, in place of the system's authorities; NULL: those */
        uint64_t connect_timeout_usec; /* TCP to session established; 0: 15 s */
        uint64_t keepalive_usec;       /* <r/> when nothing was heard for so long; 0: 60 s */
};

/* Why there is no session. Each has a sentence with what to do next: link_cause_text(). */
enum link_cause {
        LINK_CLOSED,       /* by us */
        LINK_RESOLVE,      /* the server's name has no address */
        LINK_REFUSED,      /* nobody listens there */
        LINK_TIMEOUT,      /* connected or half-way, then silence */
        LINK_CERTIFICATE,  /* TLS: not trusted, expired or for another name */
        LINK_AUTH,         /* wrong user or password */
        LINK_CONFLICT,     /* another connection took our resource */
        LINK_LOST,         /* the connection ended */
        LINK_STREAM_ERROR, /* the server ended the stream with an error; detail has it */
};

enum link_direction {
        LINK_IN,
        LINK_OUT,
};

struct link_ops {
        /* Session established: send presence now. */
        void (*online)(void *userdata, const char *full_jid);
        /* The session ended or a try failed; the next try starts in @retry_usec (USEC_NEVER: link_stop() was called).
         * Called once a try. */
        void (*offline)(void *userdata, enum link_cause cause, const char *detail,
                        uint64_t retry_usec);
        /* A message, presence or iq. Replies may be sent from here. */
        void (*stanza)(void *userdata, const struct xml *stanza);
        /* Everything that went over the wire, when tracing; passwords are hidden. May be NULL. */
        void (*trace)(void *userdata, enum link_direction direction, const char *text, size_t len);
        /* The send queue fell below half of what made link_full() true. May be NULL. */
        void (*drained)(void *userdata);
};

struct link;

/* -EPROTO when the guard against forged senders (xml_is_guarded()) is not in force: the program was linked wrongly. */
int link_new(struct link **ret, sd_event *event, const struct link_config *config,
             const struct link_ops *ops, void *userdata);
struct link *link_free(struct link *l);
DEFINE_CLEANUP_FREE(struct link, link_free)

/* Begins, and goes on for ever. */
int link_start(struct link *l);
/* Sends unavailable presence, closes the stream; `offline` is called with LINK_CLOSED when it is
 * done, at the latest after 2 s. */
void link_stop(struct link *l);

enum {
        LINK_OFFLINE = 1, /* no session: nothing was sent */
};

/* Queues whole stanzas, as text (several may be given at once). Returns 0, LINK_OFFLINE or -ENOMEM. */
int link_send(struct link *l, const char *text, size_t len);
bool link_online(const struct link *l);
/* More than 1 MiB waits to be written: bulk senders wait for `drained`. */
bool link_full(const struct link *l);
/* Of this connection; zeros while offline. */
struct link_backlog {
        uint64_t sent; /* bytes given to link_send(), and a few of its own */
        uint64_t
                waiting; /* of them: here, in the library and in the kernel, until the server's kernel has them */
};
void link_backlog(const struct link *l, struct link_backlog *ret);
/* When anything was last heard from the server; monotonic. */
uint64_t link_heard_usec(const struct link *l);
/* "" while offline. */
const char *link_full_jid(const struct link *l);
void link_set_trace(struct link *l, bool on);

/* "wrong-password", … for JSON; and a sentence for people. */
const char *link_cause_name(enum link_cause cause);
const char *link_cause_text(enum link_cause cause);
