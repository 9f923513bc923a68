/* controller/io/bus.h for people who are part of the simulation. */
#include "controller/io/bus.h"

#include "tests/sim/calls.h"
#include "tests/sim/people.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct bus {
        const struct bus_ops *ops;
        void *userdata;
        struct desk *desk;
        sd_event_source *io;
};

struct bus_call {
        struct ask *ask;
};

static void serve(struct bus *b, struct ask *a) {
        struct bus_call *c = calloc(1, sizeof(*c));

        if (!c)
                return;
        c->ask = a;
        switch (a->verb) {
        case ASK_SUBMIT:
                b->ops->submit(b->userdata, c, a->first, a->second);
                break;
        case ASK_CANCEL:
                b->ops->cancel(b->userdata, c, a->first);
                break;
        case ASK_REBOOT:
                b->ops->reboot(b->userdata, c, a->first, a->second);
                break;
        case ASK_PING:
                b->ops->ping(b->userdata, c, a->first, 2000000);
                break;
        case ASK_RUNS:
                b->ops->runs(b->userdata, c, "{\"limit\":10000}");
                break;
        case ASK_TARGETS:
                b->ops->targets(b->userdata, c, "");
                break;
        }
}

static int on_io(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        struct bus *b = userdata;
        struct ask *a = desk_next(b->desk);

        (void)s;
        (void)fd;
        (void)events;
        if (a)
                serve(b, a);
        return 0;
}

int bus_new(struct bus **ret, sd_event *event, const struct bus_config *config,
            const struct bus_ops *ops, void *userdata) {
        struct bus *b = calloc(1, sizeof(*b));
        int fd;

        (void)config;
        if (!b)
                return -ENOMEM;
        b->ops = ops;
        b->userdata = userdata;
        fd = desk_open(&b->desk);
        if (fd < 0)
                return fd;
        *ret = b;
        return sd_event_add_io(event, &b->io, fd, 1, on_io, b);
}

struct bus *bus_free(struct bus *b) {
        if (!b)
                return NULL;
        sd_event_source_disable_unref(b->io);
        desk_close(b->desk);
        free(b);
        return NULL;
}

const char *bus_call_user(const struct bus_call *c) {
        return c->ask->user;
}

void bus_reply(struct bus_call *c, const char *json) {
        desk_answer(c->ask, NULL, json);
        free(c);
}

void bus_reply_open(struct bus_call *c, int fd, uint64_t next, bool complete) {
        (void)fd;
        (void)next;
        (void)complete;
        bus_reply(c, "");
}

void bus_hang_up(struct bus_call *c) {
        desk_answer(c->ask, "gone", "the connection ended");
        free(c);
}

void bus_reply_nothing(struct bus_call *c) {
        bus_reply(c, "");
}

void bus_fail(struct bus_call *c, const char *error, const char *text) {
        desk_answer(c->ask, error, text);
        free(c);
}

void bus_progress(struct bus_call *c, const char *json) {
        (void)c;
        (void)json;
}

void bus_tell_target(struct bus *b, struct bus_client *only, const char *json) {
        (void)b;
        (void)only;
        (void)json;
}

void bus_tell_run(struct bus *b, struct bus_client *only, const char *json) {
        (void)only;
        desk_told_run(b->desk, json);
}

void bus_tell_grew(struct bus *b, struct bus_client *only, const char *run, const char *stream,
                   uint64_t next) {
        (void)only;
        desk_told_grew(b->desk, run, stream, next);
}

void bus_tell_trace(struct bus *b, const char *direction, const char *text) {
        (void)b;
        (void)direction;
        (void)text;
}

bool bus_watches_targets(const struct bus *b) {
        (void)b;
        return false;
}

bool bus_watches_runs(const struct bus *b) {
        (void)b;
        return true;
}

bool bus_watches_streams(const struct bus *b) {
        (void)b;
        return true;
}

bool bus_watches_trace(const struct bus *b) {
        (void)b;
        return false;
}
