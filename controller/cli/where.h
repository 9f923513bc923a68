/*
 * Where the controller is: its socket, its configuration, the folder of its log.
 *
 * A socket that was named ($ROTA_SOCKET, --socket) is the only one tried, and nothing is started.
 * Otherwise a user with a configuration of his own has a controller of his own, which is started when it does not
 * answer; a user without one uses the system's.
 */
#pragma once

#include <stdbool.h>

#define WHERE_SYSTEM_SOCKET "/run/rota/controller.sock"

struct where {
        char *socket; /* named, or the user's */
        bool named;
        char *config;    /* the user's; NULL when there is none */
        char *looked;    /* where a configuration was looked for, one path a line */
        char *state_dir; /* of the user's controller */
};

/* @socket may be NULL. Returns 0, 1 when the configuration cannot be read (*ret_why, from malloc), or -ENOMEM. */
int where_find(const char *socket, struct where *ret, char **ret_why);
void where_done(struct where *w);
