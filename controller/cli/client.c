#include "controller/cli/client.h"

#include "controller/api.h"
#include "controller/cli/say.h"
#include "controller/cli/start.h"
#include "controller/cli/status.h"
#include "proto/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define CLIENT_LOCAL "org.freedesktop.DBus.Local" /* sd-bus says "Disconnected" there */

struct client {
        sd_bus *bus;
        char *socket;
        unsigned watch; /* enum client_watch, a set */
        client_signal *on_signal;
        void *userdata;
};

static void sd_bus_error_done(sd_bus_error *e) {
        sd_bus_error_free(e);
}
DEFINE_CLEANUP_DONE(sd_bus_error, sd_bus_error_done)
DEFINE_CLEANUP_FREE(sd_bus_message, sd_bus_message_unref)

static int client_filter(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct client *c = userdata;
        uint8_t type = 0;
        const char *interface = sd_bus_message_get_interface(m);
        int r;

        (void)error;
        if (sd_bus_message_get_type(m, &type) < 0 || type != SD_BUS_MESSAGE_SIGNAL || !interface ||
            !c->on_signal)
                return 0;
        if (strcmp(interface, API_INTERFACE) != 0 && strcmp(interface, CLIENT_LOCAL) != 0)
                return 0;
        r = c->on_signal(c->userdata, sd_bus_message_get_member(m), m);
        return r < 0 ? r : 1;
}

/* Takes @fd. */
static int client_attach(struct client *c, int fd) {
        sd_bus *bus = NULL;
        int r;

        r = sd_bus_new(&bus);
        if (r < 0) {
                fd_close(fd);
                return r;
        }
        r = sd_bus_set_fd(bus, fd, fd);
        if (r < 0)
                fd_close(fd);
        if (r >= 0)
                r = sd_bus_negotiate_fds(bus, true);
        if (r >= 0)
                r = sd_bus_add_filter(bus, NULL, client_filter, c);
        if (r >= 0)
                r = sd_bus_start(bus);
        if (r < 0) {
                sd_bus_unref(bus);
                return r;
        }
        c->bus = bus;
        return 0;
}

static int client_refused(const char *socket, int error) {
        if (error == -EACCES || error == -EPERM) {
                say_error("you may not use the controller on %s", socket);
                say_hint("it serves its own user, root, the members of the socket's group, and the "
                         "users in its \"trusted_users\"");
                say_hint("try: ls -l %s; then ask for the group, or: sudo rota …", socket);
                return STATUS_DENIED;
        }
        if (error == -ENAMETOOLONG) {
                say_error(
                        "the socket's path is longer than the 107 bytes that the system allows: %s",
                        socket);
                return STATUS_USAGE;
        }
        say_error("the controller does not answer on %s: %s", socket, strerror(-error));
        return STATUS_INFRA;
}

static int client_nobody(const struct where *w) {
        say_error("the controller is not running and there is no configuration for it");
        say_hint("looked for: %s", w->looked);
        if (strcmp(w->socket, WHERE_SYSTEM_SOCKET) != 0)
                say_hint("            %s", w->socket);
        say_hint("            %s", WHERE_SYSTEM_SOCKET);
        say_hint("try: deploy/try for a lab of its own, or write %.*s",
                 (int)strcspn(w->looked, " "), w->looked);
        say_hint("     (an example is in deploy/config/controller.json, installed under "
                 "share/rota/config)");
        return STATUS_INFRA;
}

/* Returns a descriptor, or -1 with *ret_status set, after it was said. */
static int client_find(const struct where *w, char **ret_socket, int *ret_status) {
        const char *socket = w->socket;
        int fd = start_connect(socket);

        *ret_status = STATUS_INFRA;
        if (fd < 0 && w->named) {
                *ret_status = client_refused(socket, fd);
                if (fd == -ENOENT || fd == -ECONNREFUSED)
                        say_hint("this socket was named by --socket or ROTA_SOCKET, so nothing is "
                                 "started; try: unset ROTA_SOCKET");
                return -1;
        }
        if (fd == -EACCES || fd == -EPERM || fd == -ENAMETOOLONG) {
                *ret_status = client_refused(socket, fd);
                return -1;
        }
        if (fd < 0 && w->config) {
                fd = start_controller(w, ret_status);
                if (fd < 0)
                        return -1;
        }
        if (fd < 0) {
                socket = WHERE_SYSTEM_SOCKET;
                fd = start_connect(socket);
                if (fd == -ENOENT || fd == -ECONNREFUSED)
                        *ret_status = client_nobody(w);
                else if (fd < 0)
                        *ret_status = client_refused(socket, fd);
                if (fd < 0)
                        return -1;
        }
        *ret_socket = strdup(socket);
        if (!*ret_socket) {
                say_no_memory();
                return fd_close(fd);
        }
        return fd;
}

int client_new(struct client **ret, const char *socket) {
        CLEANUP(client_free) struct client *c = calloc(1, sizeof(*c));
        CLEANUP(mem_free) char *why = NULL;
        struct where w = {0};
        int status = STATUS_INFRA;
        int fd;
        int r;

        if (!c) {
                say_no_memory();
                return STATUS_INFRA;
        }
        r = where_find(socket, &w, &why);
        if (r < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        if (r > 0) {
                say_error("the controller's configuration is wrong\n%s", why);
                say_hint("correct it, then check with: rota-controller --check");
                return STATUS_USAGE;
        }
        fd = client_find(&w, &c->socket, &status);
        where_done(&w);
        if (fd < 0)
                return status;
        r = client_attach(c, fd);
        if (r < 0)
                return client_refused(c->socket, r);
        *ret = TAKE(c);
        return 0;
}

struct client *client_free(struct client *c) {
        if (!c)
                return NULL;
        if (c->bus)
                sd_bus_close(c->bus);
        sd_bus_unref(c->bus);
        free(c->socket);
        free(c);
        return NULL;
}

sd_bus *client_bus(struct client *c) {
        return c->bus;
}

const char *client_socket(const struct client *c) {
        return c->socket;
}

static int client_send_watch(struct client *c) {
        return client_send(c, "Watch", "bbbb", (c->watch & CLIENT_TARGETS) != 0,
                           (c->watch & CLIENT_RUNS) != 0, (c->watch & CLIENT_STREAMS) != 0,
                           (c->watch & CLIENT_TRACE) != 0);
}

int client_again(struct client *c) {
        int fd = start_connect(c->socket);
        int r;

        if (fd < 0)
                return fd;
        sd_bus_detach_event(c->bus);
        sd_bus_close(c->bus);
        c->bus = sd_bus_unref(c->bus);
        r = client_attach(c, fd);
        return r < 0 || c->watch == 0 ? r : client_send_watch(c);
}

bool client_gone(const sd_bus_error *error, int r) {
        return r == -ECONNRESET || r == -ENOTCONN || r == -EPIPE || r == -ECONNABORTED ||
               (error && sd_bus_error_has_name(error, "org.freedesktop.DBus.Error.Disconnected"));
}

int client_failed(const struct client *c, const sd_bus_error *error, int r) {
        int status;

        if (client_gone(error, r)) {
                say_error("the connection to the controller ended (%s)", c->socket);
                say_hint("it may be restarting; try again, then: rota doctor");
                return STATUS_INFRA;
        }
        if (r == -ETIMEDOUT || (error && (sd_bus_error_has_name(error, SD_BUS_ERROR_TIMEOUT) ||
                                          sd_bus_error_has_name(error, SD_BUS_ERROR_NO_REPLY)))) {
                say_error("the controller did not answer in time (%s)", c->socket);
                say_hint("try: rota doctor");
                return STATUS_TIMEOUT;
        }
        if (r == -EACCES || r == -EPERM)
                return client_refused(c->socket, r);
        if (error && error->message && *error->message)
                say_error("%s", error->message);
        else if (error && error->name)
                say_error("the controller refused: %s", error->name);
        else
                say_error("the controller could not be asked: %s", strerror(-r));
        status = error && error->name ? (int)status_of_error(error->name) : STATUS_INFRA;
        if (status == STATUS_INFRA && !(error && error->message && strstr(error->message, "rota ")))
                say_hint("try: rota doctor");
        return status;
}

static int client_message(struct client *c, sd_bus_message **ret, const char *method,
                          const char *types, va_list ap) {
        CLEANUP(sd_bus_message_unref) sd_bus_message *m = NULL;
        int r;

        r = sd_bus_message_new_method_call(c->bus, &m, NULL, API_PATH, API_INTERFACE, method);
        if (r >= 0)
                r = sd_bus_message_appendv(m, types, ap);
        if (r < 0)
                return r;
        *ret = TAKE(m);
        return 0;
}

/* Returns 0, or a negative errno with @error perhaps set. */
static int client_ask_once(struct client *c, char **ret_json, uint64_t timeout_usec,
                           const char *method, const char *types, va_list ap, sd_bus_error *error) {
        CLEANUP(sd_bus_message_unref) sd_bus_message *m = NULL;
        CLEANUP(sd_bus_message_unref) sd_bus_message *reply = NULL;
        const char *json = NULL;
        int r;

        if (!c->bus)
                return -ENOTCONN;
        r = client_message(c, &m, method, types, ap);
        if (r >= 0)
                r = sd_bus_call(c->bus, m, timeout_usec ? timeout_usec : CLIENT_TIMEOUT_USEC, error,
                                &reply);
        if (r >= 0)
                r = sd_bus_message_read(reply, "s", &json);
        if (r < 0)
                return r;
        *ret_json = strdup(json);
        return *ret_json ? 0 : -ENOMEM;
}

/* A Ctrl-C in the middle of it is seen by whoever waits for it (interrupt.h): it is no failure of the question. */
static int client_ask(struct client *c, char **ret_json, uint64_t timeout_usec, const char *method,
                      const char *types, va_list ap, sd_bus_error *error) {
        va_list again;
        int r;

        va_copy(again, ap);
        r = client_ask_once(c, ret_json, timeout_usec, method, types, ap, error);
        if (r == -EINTR) {
                sd_bus_error_free(error);
                r = client_ask_once(c, ret_json, timeout_usec, method, types, again, error);
        }
        va_end(again);
        return r;
}

int client_call(struct client *c, char **ret_json, uint64_t timeout_usec, const char *method,
                const char *types, ...) {
        CLEANUP(sd_bus_error_done) sd_bus_error error = SD_BUS_ERROR_NULL;
        va_list ap;
        int r;

        va_start(ap, types);
        r = client_ask(c, ret_json, timeout_usec, method, types, ap, &error);
        va_end(ap);
        return r < 0 ? client_failed(c, &error, r) : 0;
}

int client_call_surely(struct client *c, char **ret_json, const char *method, const char *types,
                       ...) {
        const struct timespec pause = {.tv_nsec = (long)(CLIENT_AGAIN_USEC * 1000)};
        uint64_t until = 0;

        for (;;) {
                CLEANUP(sd_bus_error_done) sd_bus_error error = SD_BUS_ERROR_NULL;
                va_list ap;
                int r;

                va_start(ap, types);
                r = client_ask(c, ret_json, 0, method, types, ap, &error);
                va_end(ap);
                if (r >= 0)
                        return 0;
                if (until == 0)
                        until = clock_monotonic_usec() + CLIENT_GIVE_UP_USEC;
                if (!client_gone(&error, r) || clock_monotonic_usec() >= until)
                        return client_failed(c, &error, r);
                /* there is nothing to wait on while there is no socket */
                do
                        (void)nanosleep(&pause, NULL);
                while (client_again(c) < 0 && clock_monotonic_usec() < until);
        }
}

int client_send(struct client *c, const char *method, const char *types, ...) {
        CLEANUP(sd_bus_message_unref) sd_bus_message *m = NULL;
        va_list ap;
        int r;

        va_start(ap, types);
        r = client_message(c, &m, method, types, ap);
        va_end(ap);
        if (r >= 0)
                r = sd_bus_message_set_expect_reply(m, false);
        if (r >= 0)
                r = sd_bus_send(c->bus, m, NULL);
        return r < 0 ? r : 0;
}

int client_watch(struct client *c, unsigned what) {
        c->watch = what;
        return client_send_watch(c);
}

int client_parse(struct json_doc **ret, const char *json) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        int r = json_parse(&doc, "the controller's answer", json, strlen(json));

        if (r < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        if (r > 0) {
                say_error("the controller's answer cannot be read: %s", json_error(doc));
                say_hint("are rota and rota-controller of the same version? try: rota version");
                return STATUS_INFRA;
        }
        *ret = TAKE(doc);
        return 0;
}

void client_on_signal(struct client *c, client_signal *fn, void *userdata) {
        c->on_signal = fn;
        c->userdata = userdata;
}
