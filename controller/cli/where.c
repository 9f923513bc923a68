#include "controller/cli/where.h"

#include "proto/json.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *env(const char *name) {
        const char *value = getenv(name);

        return value && *value ? value : NULL;
}

static char *joined(const char *a, const char *b) {
        char *text;

        return asprintf(&text, "%s%s", a, b) < 0 ? NULL : text;
}

/* XDG: $@name/rota, else $HOME/@fallback/rota. */
static char *where_xdg(const char *name, const char *fallback) {
        char *text;
        const char *home = env("HOME");

        if (env(name))
                return joined(env(name), "/rota");
        if (asprintf(&text, "%s/%s/rota", home ? home : "", fallback) < 0)
                return NULL;
        return text;
}

static char *where_user_socket(void) {
        if (env("XDG_RUNTIME_DIR"))
                return joined(env("XDG_RUNTIME_DIR"), "/rota/controller.sock");
        return strdup(WHERE_SYSTEM_SOCKET);
}

/* A path of the file @config, relative to its folder. */
static int where_take_path(char **at, const char *config, const char *path) {
        const char *slash = strrchr(config, '/');
        char *text;

        if (path[0] == '/' || !slash)
                text = strdup(path);
        else if (asprintf(&text, "%.*s/%s", (int)(slash - config), config, path) < 0)
                text = NULL;
        if (!text)
                return -ENOMEM;
        free(*at);
        *at = text;
        return 0;
}

/* What of the controller's own configuration concerns whoever looks for it. */
static int where_read_file(struct where *w, const char *path, char **ret_why) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        const char *socket = NULL;
        const char *state_dir = NULL;
        struct json_at root;
        int r;

        r = json_parse_file(&doc, path);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                if (asprintf(ret_why, "%s cannot be read: %s", path, strerror(-r)) < 0)
                        *ret_why = NULL;
                return *ret_why ? 1 : -ENOMEM;
        }
        if (r == 0) {
                root = json_root(doc);
                r = json_get_str(&root, "socket", &socket);
                if (r == 0)
                        r = json_get_str(&root, "state_dir", &state_dir);
        }
        if (r != 0) {
                *ret_why = strdup(json_error(doc));
                return *ret_why ? 1 : -ENOMEM;
        }
        if (socket)
                r = where_take_path(&w->socket, path, socket);
        if (r == 0 && state_dir)
                r = where_take_path(&w->state_dir, path, state_dir);
        return r;
}

static int where_is_json(const struct dirent *e) {
        size_t n = strlen(e->d_name);

        return e->d_name[0] != '.' && n > 5 && strcmp(e->d_name + n - 5, ".json") == 0;
}

/* controller.json, then controller.d/ with its files in the order of their names. */
static int where_read_config(struct where *w, char **ret_why) {
        CLEANUP(mem_free) char *dir = NULL;
        struct dirent **list = NULL;
        size_t n = strlen(w->config);
        int count;
        int r;

        r = where_read_file(w, w->config, ret_why);
        if (r != 0)
                return r;
        if (n > 5 && strcmp(w->config + n - 5, ".json") == 0)
                n -= 5;
        if (asprintf(&dir, "%.*s.d", (int)n, w->config) < 0) {
                dir = NULL;
                return -ENOMEM;
        }
        count = scandir(dir, &list, where_is_json, alphasort);
        for (int i = 0; i < count; i++) {
                CLEANUP(mem_free) char *file = NULL;

                if (asprintf(&file, "%s/%s", dir, list[i]->d_name) < 0) {
                        file = NULL;
                        r = r == 0 ? -ENOMEM : r;
                }
                if (r == 0)
                        r = where_read_file(w, file, ret_why);
                free(list[i]);
        }
        free(list);
        return r;
}

static int where_find_user(struct where *w, char **ret_why) {
        CLEANUP(mem_free) char *dir = where_xdg("XDG_CONFIG_HOME", ".config");
        CLEANUP(mem_free) char *path = NULL;

        w->socket = where_user_socket();
        w->state_dir = where_xdg("XDG_STATE_HOME", ".local/state");
        if (!dir || !w->socket || !w->state_dir)
                return -ENOMEM;
        path = env("ROTA_CONFIG") ? strdup(env("ROTA_CONFIG")) : joined(dir, "/controller.json");
        if (!path)
                return -ENOMEM;
        if (asprintf(&w->looked, "%s%s", path, env("ROTA_CONFIG") ? " (from ROTA_CONFIG)" : "") <
            0) {
                w->looked = NULL;
                return -ENOMEM;
        }
        if (access(path, F_OK) < 0)
                return 0;
        w->config = TAKE(path);
        return where_read_config(w, ret_why);
}

int where_find(const char *socket, struct where *ret, char **ret_why) {
        struct where w = {0};
        int r = 0;

        if (!socket)
                socket = env("ROTA_SOCKET");
        if (socket) {
                w.named = true;
                w.socket = strdup(socket);
                if (!w.socket)
                        r = -ENOMEM;
        } else {
                r = where_find_user(&w, ret_why);
        }
        if (r != 0) {
                where_done(&w);
                return r;
        }
        *ret = w;
        return 0;
}

void where_done(struct where *w) {
        free(w->socket);
        free(w->config);
        free(w->looked);
        free(w->state_dir);
        *w = (struct where){0};
}
