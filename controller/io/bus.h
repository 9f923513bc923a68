/*
 * The private socket for people and scripts: sd-bus peer to peer, as controller/api.h says.
 *
 * It listens, knows who connects (socket peer credentials), turns method calls into `struct bus_call`, and sends
 * signals to the connections that asked for them. It knows nothing of what is asked.
 *
 * A call is ended exactly once, now or later, by bus_reply…() or bus_fail(); when its connection has gone meanwhile
 * that does nothing. A connection that does not read is not waited for: what it missed is named again by
 * `caught_up` when it reads on.
 */
#pragma once

#include "proto/base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct bus;
struct bus_client;

struct bus_call;

struct bus_ops {
        void (*targets)(void *userdata, struct bus_call *c, const char *selector);
        void (*why)(void *userdata, struct bus_call *c, const char *selector);
        void (*submit)(void *userdata, struct bus_call *c, const char *selector,
                       const char *request);
        void (*runs)(void *userdata, struct bus_call *c, const char *filter);
        void (*run)(void *userdata, struct bus_call *c, const char *id);
        void (*cancel)(void *userdata, struct bus_call *c, const char *id);
        void (*ping)(void *userdata, struct bus_call *c, const char *selector,
                     uint64_t timeout_usec);
        void (*reboot)(void *userdata, struct bus_call *c, const char *selector,
                       const char *options);
        void (*runs_on)(void *userdata, struct bus_call *c, const char *selector, uint64_t limit);
        void (*order)(void *userdata, struct bus_call *c, const char *selector,
                      const char *options);
        void (*open)(void *userdata, struct bus_call *c, const char *run, const char *stream);
        void (*diagnostics)(void *userdata, struct bus_call *c);
        void (*status)(void *userdata, struct bus_call *c);
        void (*accept)(void *userdata, struct bus_call *c, const char *jid);
        /* What anybody watches has changed. */
        void (*watched)(void *userdata);
        /* A slow connection reads again: say everything that may have changed, by bus_tell_…(). */
        void (*caught_up)(void *userdata, struct bus_client *client);
};

struct bus_config {
        const char *path;
        unsigned mode; /* of the socket */
        const char *const
                *trusted_users; /* beside the own user, root and the socket's group; may be NULL */
};

enum {
        BUS_TAKEN = 1, /* somebody answers on this socket already */
};

/* Returns 0, BUS_TAKEN or -errno. */
int bus_new(struct bus **ret, sd_event *event, const struct bus_config *config,
            const struct bus_ops *ops, void *userdata);
struct bus *bus_free(struct bus *b);
DEFINE_CLEANUP_FREE(struct bus, bus_free)

/* The login name of who calls, or its number. Lives as long as the call. */
const char *bus_call_user(const struct bus_call *c);
/* These end the call. */
void bus_reply(struct bus_call *c, const char *json);
void bus_reply_open(struct bus_call *c, int fd, uint64_t next, bool complete);
void bus_reply_nothing(struct bus_call *c);
void bus_fail(struct bus_call *c, const char *error, const char *text);
/* What was asked for is done, and that cannot be said: hangs up, so that it is asked again. */
void bus_hang_up(struct bus_call *c);
/* A Progress signal to the connection of this call. */
void bus_progress(struct bus_call *c, const char *json);

/* To all connections that watch, or to @only. */
void bus_tell_target(struct bus *b, struct bus_client *only, const char *json);
void bus_tell_run(struct bus *b, struct bus_client *only, const char *json);
void bus_tell_grew(struct bus *b, struct bus_client *only, const char *run, const char *stream,
                   uint64_t next);
void bus_tell_trace(struct bus *b, const char *direction, const char *text);
bool bus_watches_targets(const struct bus *b);
bool bus_watches_runs(const struct bus *b);
bool bus_watches_streams(const struct bus *b);
bool bus_watches_trace(const struct bus *b);
