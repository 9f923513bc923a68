#include "controller/cli/tail.h"

#include "controller/api.h"
#include "controller/cli/runinfo.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

int tail_init(struct tail *t, const char *stream) {
        *t = (struct tail){.fd = -1, .size = UINT64_MAX, .order = runinfo_order(stream)};
        t->stream = strdup(stream);
        return t->stream ? 0 : -ENOMEM;
}

void tail_done(struct tail *t) {
        free(t->stream);
        tail_close(t);
}

void tail_close(struct tail *t) {
        t->fd = fd_close(t->fd);
}

void tail_grew(struct tail *t, uint64_t next) {
        if (next > t->next)
                t->next = next;
}

bool tail_finished(const struct tail *t, bool run_ended) {
        if (t->size != UINT64_MAX)
                return t->offset >= t->size;
        return run_ended && t->asked && t->offset >= t->next;
}

static int tail_open(struct tail *t, struct client *c, const char *run, sd_bus_error *error) {
        sd_bus_message *reply = NULL;
        uint64_t next = 0;
        int complete = 0;
        int fd = -1;
        int r;

        r = sd_bus_call_method(client_bus(c), NULL, API_PATH, API_INTERFACE, "Open", error, &reply,
                               "ss", run, t->stream);
        if (r < 0)
                return client_gone(error, r) || !sd_bus_error_is_set(error) ? r : -EREMOTEIO;
        r = sd_bus_message_read(reply, "htb", &fd, &next, &complete);
        if (r >= 0) {
                t->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                if (t->fd < 0)
                        r = -errno;
        }
        sd_bus_message_unref(reply);
        if (r < 0)
                return r;
        tail_grew(t, next);
        if (complete)
                t->size = next;
        t->asked = true;
        return 0;
}

int tail_read(struct tail *t, struct client *c, const char *run, void *data, size_t size,
              size_t *ret_n, sd_bus_error *error) {
        ssize_t n;
        int r;

        if (t->fd < 0) {
                r = tail_open(t, c, run, error);
                if (r < 0)
                        return r;
        }
        if (t->offset >= t->next)
                return TAIL_MORE;
        if (t->next - t->offset < size)
                size = (size_t)(t->next - t->offset);
        n = pread(t->fd, data, size, (off_t)t->offset);
        if (n < 0)
                return errno == EINTR ? TAIL_MORE : -errno;
        if (n == 0)
                return TAIL_SHORT;
        t->offset += (uint64_t)n;
        *ret_n = (size_t)n;
        return 0;
}
