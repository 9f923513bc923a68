/* proto/link/conn.h over a simulated wire; proto/link/resolve.h with one address. The link above is the real one. */
#include "proto/link/conn.h"

#include "proto/base/clock.h"
#include "proto/link/resolve.h"
#include "tests/sim/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct conn {
        struct conn_ops ops;
        void *userdata;
        struct wire *wire;
        sd_event_source *io;
        uint64_t heard_usec;
        bool online;
        bool ended;
};

static void take_stanza(struct conn *c, const char *text, size_t len) {
        struct xml *x = NULL;

        if (xml_parse(&x, text, len, NULL) == 0)
                c->ops.stanza(c->userdata, x);
        xml_free(x);
}

static int on_io(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        struct conn *c = userdata;
        struct wire_news n;
        unsigned turns = 0;

        (void)s;
        (void)fd;
        (void)events;
        while (turns++ < 8 && wire_next(c->wire, &n)) {
                switch (n.kind) {
                case WIRE_ONLINE:
                        c->online = true;
                        c->heard_usec = clock_monotonic_usec();
                        c->ops.online(c->userdata, n.text);
                        break;
                case WIRE_STANZA:
                        c->heard_usec = clock_monotonic_usec();
                        take_stanza(c, n.text, n.len);
                        wire_handled(c->wire);
                        break;
                case WIRE_DRAINED:
                        c->ops.drained(c->userdata);
                        break;
                case WIRE_ENDED:
                        c->online = false;
                        c->ended = true;
                        c->ops.ended(c->userdata, (enum link_cause)n.cause, n.text);
                        return 0; /* it may be gone */
                }
        }
        return 0;
}

int conn_new(struct conn **ret, sd_event *event, const struct conn_config *config,
             const struct conn_ops *ops, void *userdata) {
        struct conn *c = calloc(1, sizeof(*c));
        int fd, r;

        if (!c)
                return -ENOMEM;
        c->ops = *ops;
        c->userdata = userdata;
        fd = wire_new(
                &c->wire, config->jid,
                (const int[]){LINK_REFUSED, LINK_TIMEOUT, LINK_LOST, LINK_CONFLICT, LINK_CLOSED});
        if (fd < 0) {
                free(c);
                return fd;
        }
        r = sd_event_add_io(event, &c->io, fd, 1, on_io, c);
        if (r < 0)
                return r;
        *ret = c;
        return 0;
}

struct conn *conn_free(struct conn *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->io);
        wire_drop(c->wire);
        free(c);
        return NULL;
}

int conn_send(struct conn *c, const char *text, size_t len) {
        if (!c->online)
                return LINK_OFFLINE;
        wire_send(c->wire, text, len);
        return 0;
}

void conn_close(struct conn *c) {
        if (!c->ended)
                wire_close(c->wire);
}

bool conn_online(const struct conn *c) {
        return c->online;
}

bool conn_full(const struct conn *c) {
        return wire_full(c->wire);
}

void conn_backlog(const struct conn *c, struct link_backlog *ret) {
        wire_backlog(c->wire, &ret->sent, &ret->waiting);
}

uint64_t conn_heard_usec(const struct conn *c) {
        return c->heard_usec;
}

const char *conn_full_jid(const struct conn *c) {
        return wire_full_jid(c->wire);
}

void conn_set_trace(struct conn *c, bool on) {
        (void)c;
        (void)on;
}

/* ---- names ---- */

struct resolve {
        sd_event_source *source;
        resolve_done *done;
        void *userdata;
};

int resolve_parse(const char *server, struct resolve_address *ret) {
        *ret = (struct resolve_address){.port = RESOLVE_PORT};
        snprintf(ret->host, sizeof(ret->host), "%s", server);
        return 0;
}

static int on_resolved(sd_event_source *s, void *userdata) {
        struct resolve *r = userdata;
        const struct resolve_address one = {.host = "10.0.0.1", .port = RESOLVE_PORT};

        (void)s;
        r->done(r->userdata, &one, 1, NULL);
        return 0;
}

int resolve_start(struct resolve **ret, sd_event *event, const char *server, const char *domain,
                  resolve_done *done, void *userdata) {
        struct resolve *r = calloc(1, sizeof(*r));

        (void)server;
        (void)domain;
        if (!r)
                return -ENOMEM;
        r->done = done;
        r->userdata = userdata;
        *ret = r;
        return sd_event_add_defer(event, &r->source, on_resolved, r);
}

struct resolve *resolve_free(struct resolve *r) {
        if (!r)
                return NULL;
        sd_event_source_disable_unref(r->source);
        free(r);
        return NULL;
}
