#include "controller/io/bus.h"

#include "controller/api.h"
#include "proto/base/clock.h"
#include "proto/base/list.h"
#include "proto/base/log.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-id128.h>

/* Before the connection to the server: a command makes five or six exchanges, and in a flood each would wait for a turn. */
#define BUS_PRIORITY (SD_EVENT_PRIORITY_NORMAL - 10)
#define BUS_CLIENTS_MAX 256
#define BUS_CALLS_MAX 64   /* unanswered, of one connection */
#define BUS_QUEUE_HIGH 256 /* messages a connection may have unread before signals skip it */
#define BUS_QUEUE_LOW 16
#define BUS_LOOK_USEC 50000 /* how often a slow connection is looked at */

struct bus {
        sd_event *event;
        const struct bus_ops *ops;
        void *userdata;
        char *path;
        char **trusted;
        unsigned mode;
        gid_t gid; /* of the socket */
        int fd;
        sd_event_source *source;
        sd_event_source *look; /* timer, while somebody is behind */
        struct list clients;
        size_t n_clients;
};

struct bus_client {
        struct list link;
        struct bus *bus;
        sd_bus *peer;
        char user[64];
        struct list calls;
        size_t n_calls;
        int targets, runs, streams, trace;
        bool behind;
};

struct bus_call {
        struct list link;
        struct bus_client *client; /* NULL: gone */
        sd_bus_message *message;
        char user[64];
};

/* ---- calls ---- */

static struct bus_call *call_free(struct bus_call *c) {
        if (!c)
                return NULL;
        if (c->client)
                c->client->n_calls--;
        list_remove(&c->link);
        sd_bus_message_unref(c->message);
        free(c);
        return NULL;
}

static struct bus_call *call_new(struct bus_client *client, sd_bus_message *m) {
        struct bus_call *c;

        if (client->n_calls >= BUS_CALLS_MAX)
                return NULL;
        c = calloc(1, sizeof(*c));
        if (!c)
                return NULL;
        list_init(&c->link);
        c->client = client;
        c->message = sd_bus_message_ref(m);
        memcpy(c->user, client->user, sizeof(c->user));
        list_append(&client->calls, &c->link);
        client->n_calls++;
        return c;
}

const char *bus_call_user(const struct bus_call *c) {
        return c->user;
}

/* Who waits for an answer that cannot be given is hung up on: that is seen at once, and asked again. */
static void answered(struct bus_call *c, int r) {
        if (c->client && r < 0)
                shutdown(sd_bus_get_fd(c->client->peer), SHUT_RDWR);
        call_free(c);
}

void bus_hang_up(struct bus_call *c) {
        answered(c, -ECONNABORTED);
}

void bus_reply(struct bus_call *c, const char *json) {
        answered(c, c->client ? sd_bus_reply_method_return(c->message, "s", json) : 0);
}

void bus_reply_open(struct bus_call *c, int fd, uint64_t next, bool complete) {
        answered(c, c->client
                            ? sd_bus_reply_method_return(c->message, "htb", fd, next, (int)complete)
                            : 0);
}

void bus_reply_nothing(struct bus_call *c) {
        answered(c, c->client ? sd_bus_reply_method_return(c->message, NULL) : 0);
}

void bus_fail(struct bus_call *c, const char *error, const char *text) {
        const sd_bus_error e = SD_BUS_ERROR_MAKE_CONST(error, text);

        answered(c, c->client ? sd_bus_reply_method_error(c->message, &e) : 0);
}

/* ---- methods ---- */

/* Begins a call, or answers that there are too many. */
static struct bus_call *begin(void *userdata, sd_bus_message *m, int *ret) {
        struct bus_client *client = userdata;
        struct bus_call *c = call_new(client, m);

        *ret = c ? 1
                 : sd_bus_reply_method_errorf(
                           m, API_ERROR_INFRA,
                           "too many calls of this connection wait for an answer");
        return c;
}

#define METHOD_STRINGS_1(name)                                                                     \
        static int on_##name(sd_bus_message *m, void *userdata, sd_bus_error *error) {             \
                struct bus_client *client = userdata;                                              \
                const struct bus *b = client->bus;                                                 \
                const char *first;                                                                 \
                struct bus_call *c;                                                                \
                int r = sd_bus_message_read(m, "s", &first);                                       \
                                                                                                   \
                (void)error;                                                                       \
                if (r < 0)                                                                         \
                        return r;                                                                  \
                c = begin(client, m, &r);                                                          \
                if (c)                                                                             \
                        b->ops->name(b->userdata, c, first);                                       \
                return r;                                                                          \
        }

#define METHOD_STRINGS_2(name)                                                                     \
        static int on_##name(sd_bus_message *m, void *userdata, sd_bus_error *error) {             \
                struct bus_client *client = userdata;                                              \
                const struct bus *b = client->bus;                                                 \
                const char *first, *second;                                                        \
                struct bus_call *c;                                                                \
                int r = sd_bus_message_read(m, "ss", &first, &second);                             \
                                                                                                   \
                (void)error;                                                                       \
                if (r < 0)                                                                         \
                        return r;                                                                  \
                c = begin(client, m, &r);                                                          \
                if (c)                                                                             \
                        b->ops->name(b->userdata, c, first, second);                               \
                return r;                                                                          \
        }

#define METHOD_PLAIN(name)                                                                         \
        static int on_##name(sd_bus_message *m, void *userdata, sd_bus_error *error) {             \
                struct bus_client *client = userdata;                                              \
                const struct bus *b = client->bus;                                                 \
                struct bus_call *c;                                                                \
                int r;                                                                             \
                                                                                                   \
                (void)error;                                                                       \
                c = begin(client, m, &r);                                                          \
                if (c)                                                                             \
                        b->ops->name(b->userdata, c);                                              \
                return r;                                                                          \
        }

METHOD_STRINGS_1(targets)
METHOD_STRINGS_1(why)
METHOD_STRINGS_2(submit)
METHOD_STRINGS_1(runs)
METHOD_STRINGS_1(run)
METHOD_STRINGS_1(cancel)
METHOD_STRINGS_2(reboot)
METHOD_STRINGS_2(order)
METHOD_STRINGS_2(open)
METHOD_PLAIN(diagnostics)
METHOD_PLAIN(status)
METHOD_STRINGS_1(accept)

static int on_ping(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct bus_client *client = userdata;
        const struct bus *b = client->bus;
        const char *selector;
        uint64_t timeout;
        struct bus_call *c;
        int r = sd_bus_message_read(m, "st", &selector, &timeout);

        (void)error;
        if (r < 0)
                return r;
        c = begin(client, m, &r);
        if (c)
                b->ops->ping(b->userdata, c, selector, timeout);
        return r;
}

static int on_runs_on(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct bus_client *client = userdata;
        const struct bus *b = client->bus;
        const char *selector;
        uint64_t limit;
        struct bus_call *c;
        int r = sd_bus_message_read(m, "st", &selector, &limit);

        (void)error;
        if (r < 0)
                return r;
        c = begin(client, m, &r);
        if (c)
                b->ops->runs_on(b->userdata, c, selector, limit);
        return r;
}

static int on_watch(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct bus_client *c = userdata;
        int r = sd_bus_message_read(m, "bbbb", &c->targets, &c->runs, &c->streams, &c->trace);

        (void)error;
        if (r < 0)
                return r;
        r = sd_bus_reply_method_return(m, NULL);
        c->bus->ops->watched(c->bus->userdata);
        return r;
}

#define METHOD(name_, in, out, fn) SD_BUS_METHOD(name_, in, out, fn, SD_BUS_VTABLE_UNPRIVILEGED)

static const sd_bus_vtable vtable[] = {
        SD_BUS_VTABLE_START(0),
        METHOD("Targets", "s", "s", on_targets),
        METHOD("Why", "s", "s", on_why),
        METHOD("Submit", "ss", "s", on_submit),
        METHOD("Runs", "s", "s", on_runs),
        METHOD("Run", "s", "s", on_run),
        METHOD("Cancel", "s", "s", on_cancel),
        METHOD("Ping", "st", "s", on_ping),
        METHOD("Reboot", "ss", "s", on_reboot),
        METHOD("RunsOn", "st", "s", on_runs_on),
        METHOD("Order", "ss", "s", on_order),
        METHOD("Open", "ss", "htb", on_open),
        METHOD("Diagnostics", NULL, "s", on_diagnostics),
        METHOD("Status", NULL, "s", on_status),
        METHOD("Accept", "s", NULL, on_accept),
        METHOD("Watch", "bbbb", NULL, on_watch),
        SD_BUS_SIGNAL("Target", "s", 0),
        SD_BUS_SIGNAL("Run", "s", 0),
        SD_BUS_SIGNAL("Grew", "sst", 0),
        SD_BUS_SIGNAL("Progress", "s", 0),
        SD_BUS_SIGNAL("Trace", "ss", 0),
        SD_BUS_VTABLE_END,
};

/* ---- connections ---- */

static struct bus_client *client_free(struct bus_client *c) {
        if (!c)
                return NULL;
        list_foreach_safe (at, &c->calls) {
                struct bus_call *call = list_entry(at, struct bus_call, link);

                /* whoever works on it ends it later, into nothing */
                call->client = NULL;
                list_remove(&call->link);
        }
        list_remove(&c->link);
        if (c->bus)
                c->bus->n_clients--;
        sd_bus_close_unref(c->peer);
        free(c);
        return NULL;
}
DEFINE_CLEANUP_FREE(struct bus_client, client_free)

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct bus_client *c = userdata;
        struct bus *b = c->bus;
        bool watched = c->targets || c->runs || c->streams || c->trace;

        (void)m;
        (void)error;
        client_free(c);
        if (watched)
                b->ops->watched(b->userdata);
        return 0;
}

static bool in_group(int fd, gid_t gid, gid_t primary) {
        gid_t groups[256];
        socklen_t size = sizeof(groups);

        if (primary == gid)
                return true;
        if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
                return false;
        for (size_t i = 0; i < size / sizeof(gid_t); i++)
                if (groups[i] == gid)
                        return true;
        return false;
}

static bool allowed(const struct bus *b, int fd, const struct ucred *peer, const char *user) {
        if (peer->uid == 0 || peer->uid == geteuid())
                return true;
        for (size_t i = 0; b->trusted && b->trusted[i]; i++)
                if (strcmp(b->trusted[i], user) == 0)
                        return true;
        return (b->mode & 060) && in_group(fd, b->gid, peer->gid);
}

static void name_user(uid_t uid, char *ret, size_t size) {
        struct passwd pw, *found = NULL;
        char text[4096];

        if (getpwuid_r(uid, &pw, text, sizeof(text), &found) == 0 && found)
                snprintf(ret, size, "%s", pw.pw_name);
        else
                snprintf(ret, size, "%u", (unsigned)uid);
}

/* Owns @fd from here on. */
static int client_new(struct bus *b, int take_fd) {
        CLEANUP(fd_close) int fd = take_fd;
        CLEANUP(client_free) struct bus_client *c = NULL;
        struct ucred peer;
        socklen_t size = sizeof(peer);
        sd_id128_t id;
        int r;

        if (b->n_clients >= BUS_CLIENTS_MAX)
                return -EUSERS;
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        list_init(&c->link);
        list_init(&c->calls);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return -errno;
        name_user(peer.uid, c->user, sizeof(c->user));
        if (!allowed(b, fd, &peer, c->user)) {
                log_notice("user %s may not use the socket %s", c->user, b->path);
                return -EACCES;
        }
        r = sd_id128_randomize(&id);
        if (r >= 0)
                r = sd_bus_new(&c->peer);
        if (r >= 0)
                r = sd_bus_set_fd(c->peer, fd, fd);
        if (r < 0)
                return r;
        fd = -1;
        r = sd_bus_set_server(c->peer, 1, id);
        if (r >= 0)
                r = sd_bus_negotiate_fds(c->peer, 1);
        if (r >= 0)
                r = sd_bus_start(c->peer);
        if (r >= 0)
                r = sd_bus_match_signal(c->peer, NULL, NULL, "/org/freedesktop/DBus/Local",
                                        "org.freedesktop.DBus.Local", "Disconnected",
                                        on_disconnected, c);
        if (r >= 0)
                r = sd_bus_add_object_vtable(c->peer, NULL, API_PATH, API_INTERFACE, vtable, c);
        if (r >= 0)
                r = sd_bus_attach_event(c->peer, b->event, BUS_PRIORITY);
        if (r < 0)
                return r;
        c->bus = b;
        b->n_clients++;
        list_append(&b->clients, &c->link);
        c = NULL;
        return 0;
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        struct bus *b = userdata;
        int r, peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        (void)source;
        (void)events;
        if (peer < 0)
                return 0;
        r = client_new(b, peer);
        if (r < 0 && r != -EACCES)
                log_warning("a connection to %s was dropped: %s", b->path, strerror(-r));
        return 0;
}

/* ---- signals ---- */

static int on_look(sd_event_source *source, uint64_t usec, void *userdata) {
        struct bus *b = userdata;
        bool behind = false;

        list_foreach_safe (at, &b->clients) {
                struct bus_client *c = list_entry(at, struct bus_client, link);
                uint64_t n = 0;

                if (!c->behind)
                        continue;
                if (sd_bus_get_n_queued_write(c->peer, &n) >= 0 && n <= BUS_QUEUE_LOW) {
                        c->behind = false;
                        b->ops->caught_up(b->userdata, c);
                }
                behind |= c->behind;
        }
        if (!behind) {
                b->look = sd_event_source_unref(b->look);
                return 0;
        }
        sd_event_source_set_time(source, usec + BUS_LOOK_USEC);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* False when it does not read: it is told later. */
static bool ready(struct bus_client *c) {
        struct bus *b = c->bus;
        uint64_t n = 0;

        if (c->behind)
                return false;
        if (sd_bus_get_n_queued_write(c->peer, &n) < 0 || n < BUS_QUEUE_HIGH)
                return true;
        c->behind = true;
        if (!b->look &&
            sd_event_add_time(b->event, &b->look, CLOCK_MONOTONIC,
                              clock_monotonic_usec() + BUS_LOOK_USEC, 1000, on_look, b) < 0)
                b->look = NULL;
        return false;
}

#define TELL(b, only, wants, ...)                                                                  \
        do {                                                                                       \
                list_foreach (at_, &(b)->clients) {                                                \
                        struct bus_client *c_ = list_entry(at_, struct bus_client, link);          \
                                                                                                   \
                        if ((!(only) || c_ == (only)) && c_->wants && ready(c_))                   \
                                sd_bus_emit_signal(c_->peer, API_PATH, API_INTERFACE,              \
                                                   __VA_ARGS__);                                   \
                }                                                                                  \
        } while (0)

void bus_tell_target(struct bus *b, struct bus_client *only, const char *json) {
        TELL(b, only, targets, "Target", "s", json);
}

void bus_tell_run(struct bus *b, struct bus_client *only, const char *json) {
        TELL(b, only, runs, "Run", "s", json);
}

void bus_tell_grew(struct bus *b, struct bus_client *only, const char *run, const char *stream,
                   uint64_t next) {
        TELL(b, only, streams, "Grew", "sst", run, stream, next);
}

void bus_tell_trace(struct bus *b, const char *direction, const char *text) {
        struct bus_client *everybody = NULL;

        TELL(b, everybody, trace, "Trace", "ss", direction, text);
}

void bus_progress(struct bus_call *c, const char *json) {
        if (c->client && ready(c->client))
                sd_bus_emit_signal(c->client->peer, API_PATH, API_INTERFACE, "Progress", "s", json);
}

#define WATCHES(b, wants)                                                                          \
        do {                                                                                       \
                list_foreach (at_, &(b)->clients) {                                                \
                        if (list_entry(at_, struct bus_client, link)->wants)                       \
                                return true;                                                       \
                }                                                                                  \
                return false;                                                                      \
        } while (0)

bool bus_watches_targets(const struct bus *b) {
        WATCHES(b, targets);
}

bool bus_watches_runs(const struct bus *b) {
        WATCHES(b, runs);
}

bool bus_watches_streams(const struct bus *b) {
        WATCHES(b, streams);
}

bool bus_watches_trace(const struct bus *b) {
        WATCHES(b, trace);
}

/* ---- the socket ---- */

/* A socket file that nobody serves is left over from a crash. */
static int remove_stale(const struct sockaddr_un *addr) {
        CLEANUP(fd_close) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        if (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) == 0)
                return BUS_TAKEN;
        if (errno == ENOENT)
                return 0;
        if (errno != ECONNREFUSED)
                return -errno;
        return unlink(addr->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int listen_at(struct bus *b) {
        struct sockaddr_un addr = {.sun_family = AF_UNIX};
        struct stat st;
        mode_t mask;
        int r;

        if (strlen(b->path) >= sizeof(addr.sun_path))
                return -ENAMETOOLONG;
        memcpy(addr.sun_path, b->path, strlen(b->path) + 1);
        r = remove_stale(&addr);
        if (r != 0)
                return r;
        b->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (b->fd < 0)
                return -errno;
        mask = umask(0777 & ~b->mode);
        r = bind(b->fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0 ? -errno : 0;
        umask(mask);
        if (r < 0)
                return r;
        if (listen(b->fd, 64) < 0 || stat(b->path, &st) < 0)
                return -errno;
        b->gid = st.st_gid;
        r = sd_event_add_io(b->event, &b->source, b->fd, EPOLLIN, on_connection, b);
        return r < 0 ? r : sd_event_source_set_priority(b->source, BUS_PRIORITY);
}

static int copy_trusted(struct bus *b, const char *const *users) {
        size_t n = 0;

        while (users && users[n])
                n++;
        b->trusted = calloc(n + 1, sizeof(char *));
        if (!b->trusted)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                if (!(b->trusted[i] = strdup(users[i])))
                        return -ENOMEM;
        return 0;
}

int bus_new(struct bus **ret, sd_event *event, const struct bus_config *config,
            const struct bus_ops *ops, void *userdata) {
        CLEANUP(bus_free) struct bus *b = calloc(1, sizeof(*b));
        int r;

        if (!b)
                return -ENOMEM;
        b->fd = -1;
        list_init(&b->clients);
        b->event = sd_event_ref(event);
        b->ops = ops;
        b->userdata = userdata;
        b->mode = config->mode;
        b->path = strdup(config->path);
        if (!b->path || copy_trusted(b, config->trusted_users) < 0)
                return -ENOMEM;
        r = listen_at(b);
        if (r != 0)
                return r;
        *ret = TAKE(b);
        return 0;
}

struct bus *bus_free(struct bus *b) {
        if (!b)
                return NULL;
        list_foreach_safe (at, &b->clients) {
                struct bus_client *c = list_entry(at, struct bus_client, link);

                sd_bus_flush(c->peer);
                client_free(c);
        }
        sd_event_source_disable_unref(b->look);
        sd_event_source_disable_unref(b->source);
        if (b->source && b->path)
                unlink(b->path);
        fd_close(b->fd);
        for (size_t i = 0; b->trusted && b->trusted[i]; i++)
                free(b->trusted[i]);
        free(b->trusted);
        free(b->path);
        sd_event_unref(b->event);
        free(b);
        return NULL;
}
