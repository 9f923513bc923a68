/*
 * One connection to one address, from the first packet to its end: libstrophe under sd-event.
 *
 * libstrophe wants to be called when something can be read or written, reads 4 KiB a call, and may hold
 * decrypted bytes that no descriptor shows. So the descriptor is watched edge-triggered, and each event runs the
 * library until the kernel's own counters for this socket stand still. No timer runs while a session is up and
 * idle, except the keep-alive.
 *
 * A connection ends exactly once and is not used again: link.c makes the next one.
 */
#pragma once

#include "proto/link/link.h"
#include "proto/link/resolve.h"

struct conn_config {
        const char *jid; /* with the resource to ask for */
        const char *password;
        const char *ca_file;
        const struct resolve_address *address;
        uint64_t tcp_deadline_usec; /* of the TCP connection; monotonic */
        uint64_t deadline_usec;     /* of the session */
        uint64_t keepalive_usec;
        bool trace;
};

/* Called from the event loop or a library callback; only from `ended` may the connection be freed. */
struct conn_ops {
        void (*online)(void *userdata, const char *full_jid);
        void (*stanza)(void *userdata, const struct xml *stanza);
        void (*trace)(void *userdata, enum link_direction direction, const char *text, size_t len);
        void (*drained)(void *userdata);
        void (*ended)(void *userdata, enum link_cause cause, const char *detail);
};

struct conn;

int conn_new(struct conn **ret, sd_event *event, const struct conn_config *config,
             const struct conn_ops *ops, void *userdata);
/* Ends it without a word when it has not ended; `ended` is not called. */
struct conn *conn_free(struct conn *c);
DEFINE_CLEANUP_FREE(struct conn, conn_free)

/* Returns 0, LINK_OFFLINE or -ENOMEM. */
int conn_send(struct conn *c, const char *text, size_t len);
/* Says goodbye; `ended` follows with LINK_CLOSED, within 2 s. */
void conn_close(struct conn *c);
bool conn_online(const struct conn *c);
bool conn_full(const struct conn *c);
void conn_backlog(const struct conn *c, struct link_backlog *ret);
uint64_t conn_heard_usec(const struct conn *c);
const char *conn_full_jid(const struct conn *c);
void conn_set_trace(struct conn *c, bool on);
