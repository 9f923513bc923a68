/*
 * Configuration of the controller: controller.json, and *.json in controller.d/ beside it merged over it in the order of
 * their names.
 *
 * A later file replaces single keys (lists as a whole). Every mistake is one sentence with file:line:column. A password
 * file that others may read is refused. Relative paths are relative to the file that names them.
 */
#pragma once

#include "proto/base/arena.h"

#include <stdbool.h>
#include <stdint.h>

struct config {
        const char *jid;
        const char *password; /* wiped by config_done() */
        const char *server;   /* NULL: SRV */
        const char *ca_file;
        const char *const *accept; /* ends with NULL */
        const char *state_dir;
        const char *socket;
        const char *const *trusted_users; /* ends with NULL */
        const char *const *catalogue;     /* ends with NULL */
        uint64_t free_min;
        bool system; /* runs as the system's service: the socket is for its group too */
        struct arena arena;
};

enum {
        CONFIG_BAD = 1, /* *ret_error says what, why and what to do */
};

/* @path NULL: searched as $ROTA_CONFIG, then ~/.config/rota/controller.json, then /etc/rota/controller.json. Returns
 * 0, CONFIG_BAD (ret_error from malloc) or -errno. */
int config_read(struct config *ret, const char *path, char **ret_error);
void config_done(struct config *c);
DEFINE_CLEANUP_DONE(struct config, config_done)
/* $ROTA_SOCKET, $XDG_RUNTIME_DIR/rota/controller.sock or /run/rota/controller.sock. */
const char *config_default_socket(struct arena *a);
