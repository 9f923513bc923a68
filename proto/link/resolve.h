/*
 * From the name of a server to addresses to try, in order.
 *
 * A literal address is taken as it is. A host is looked up. Without either, the SRV records of the domain
 * (RFC 6120 section 3.2) lead to hosts, else the domain itself is the host. The C library's
 * resolver blocks, so it runs in a child process that lives for this one question, at most RESOLVE_TIMEOUT
 * seconds, and answers on a pipe.
 *
 * It connects to nothing and remembers nothing: the next question asks again.
 */
#pragma once

#include "proto/base/cleanup.h"

#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#define RESOLVE_TIMEOUT 10
#define RESOLVE_MAX 16
#define RESOLVE_HOST_SIZE 256
#define RESOLVE_PORT 5222

struct resolve_address {
        char host[RESOLVE_HOST_SIZE]; /* literal, with a zone where it has one */
        uint16_t port;
};

/* @n is 0 when there is no address, and @error says why. The question may be freed from here. */
typedef void resolve_done(void *userdata, const struct resolve_address *addresses, size_t n,
                          const char *error);

struct resolve;

/* "host", "host:port", "v4:port", "v6", "[v6]:port". Returns 0, or 1 when it is none of these. */
int resolve_parse(const char *server, struct resolve_address *ret);

/* @server NULL: ask for @domain. @done is called once, from the loop. Returns 0 or -errno. */
int resolve_start(struct resolve **ret, sd_event *event, const char *server, const char *domain,
                  resolve_done *done, void *userdata);
/* An unanswered question ends without callback. */
struct resolve *resolve_free(struct resolve *r);
DEFINE_CLEANUP_FREE(struct resolve, resolve_free)

/* The order of RFC 2782: by priority, within one by chance according to weight. */
struct resolve_service {
        uint16_t priority;
        uint16_t weight;
        struct resolve_address address; /* its host is a name */
};
void resolve_order(struct resolve_service *services, size_t n, uint64_t seed);
