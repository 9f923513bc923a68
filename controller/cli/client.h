/*
 * The connection to the controller: calls, signals, and what to say when there is nobody.
 *
 * A call that fails has said why when it returns; what it returns is the exit status. Signals are
 * handed to one function, in the order in which they arrived; those that come while a call waits
 * for its answer are kept and handed over later. The connection may end at any time (a controller is
 * restarted): client_again() makes another.
 */
#pragma once

#include "controller/cli/where.h"
#include "proto/base/cleanup.h"
#include "proto/json.h"

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#define CLIENT_TIMEOUT_USEC (UINT64_C(25) * 1000000)
#define CLIENT_AGAIN_USEC (UINT64_C(50) * 1000) /* between attempts to connect again */
#define CLIENT_GIVE_UP_USEC                                                                        \
        (UINT64_C(30) * 1000000) /* a controller that is restarted is back by then */

struct client;

/* Returns 0 or the exit status, after it was said. */
int client_new(struct client **ret, const char *socket);
struct client *client_free(struct client *c);
DEFINE_CLEANUP_FREE(struct client, client_free)
sd_bus *client_bus(struct client *c);
const char *client_socket(const struct client *c);
/* One attempt to connect again to the same socket, with the same signals wanted. Returns 0 or -errno; says nothing. */
int client_again(struct client *c);

/* @types: s (const char *), t (uint64_t), b (int). Two strings come as "ss". The answer is one string, from malloc.
 * @timeout_usec 0: CLIENT_TIMEOUT_USEC. */
int client_call(struct client *c, char **ret_json, uint64_t timeout_usec, const char *method,
                const char *types, ...);
/* For what may be asked twice: when the connection ends before the answer, the controller is waited for (30 s) and
 * asked again. */
int client_call_surely(struct client *c, char **ret_json, const char *method, const char *types,
                       ...);
/* The same without waiting: nothing can be learned of a failure but by a later call. */
int client_send(struct client *c, const char *method, const char *types, ...);
/* Parses the controller's answer; a bad one is said. */
int client_parse(struct json_doc **ret, const char *json);
/* Says the error of a call and returns its exit status. */
int client_failed(const struct client *c, const sd_bus_error *error, int r);
/* Whether that error means that the connection is gone. */
bool client_gone(const sd_bus_error *error, int r);

enum client_watch {
        CLIENT_TARGETS = 1 << 0,
        CLIENT_RUNS = 1 << 1,
        CLIENT_STREAMS = 1 << 2,
        CLIENT_TRACE = 1 << 3,
};
int client_watch(struct client *c, unsigned what);

/* @signal is the name, or "Disconnected" when the connection has ended; @m stands at its first argument. Returns 0 or -errno, which ends the loop. */
typedef int client_signal(void *userdata, const char *signal, sd_bus_message *m);
/* Survives client_again(). */
void client_on_signal(struct client *c, client_signal *fn, void *userdata);
