#include "controller/config.h"

#include "proto/jid.h"
#include "proto/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSWORD_MAX 1023
#define LIST_MAX 256

static const char *const known[] = {
        "jid",       "password", "password_file", "server",    "ca_file",  "accept",
        "state_dir", "socket",   "trusted_users", "catalogue", "free_min", NULL,
};

static int fail(char **ret_error, const char *format, ...) __attribute__((format(printf, 2, 3)));

static int fail(char **ret_error, const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        if (vasprintf(ret_error, format, ap) < 0)
                *ret_error = NULL;
        va_end(ap);
        return *ret_error ? CONFIG_BAD : -ENOMEM;
}

/* Relative to the directory of @file. */
static const char *resolve(struct arena *a, const char *file, const char *path) {
        const char *slash = strrchr(file, '/');

        if (path[0] == '/' || !slash)
                return arena_strdup(a, path);
        return arena_printf(a, "%.*s/%s", (int)(slash - file), file, path);
}

/* ---- passwords ---- */

static int read_password(struct config *c, const char *path, char **ret_error) {
        CLEANUP(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
        char text[PASSWORD_MAX + 2];
        struct stat st;
        ssize_t n;
        size_t len;

        if (fd < 0)
                return fail(
                        ret_error,
                        "cannot read the password file %s: %s; write the password of %s into it "
                        "and protect it with: chmod 600 %s",
                        path, strerror(errno), c->jid, path);
        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_mode & 07)
                return fail(ret_error,
                            "the password file %s may be read by everybody (mode %04o); a password "
                            "that "
                            "others can read is no password; protect it with: chmod 600 %s",
                            path, (unsigned)(st.st_mode & 07777), path);
        n = read(fd, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        text[n] = '\0';
        len = strcspn(text, "\r\n");
        if (len == 0 || len > PASSWORD_MAX)
                return fail(ret_error,
                            "the password file %s is empty or too long; its first line must be "
                            "the password",
                            path);
        c->password = arena_strndup(&c->arena, text, len);
        explicit_bzero(text, sizeof(text));
        return c->password ? 0 : -ENOMEM;
}

/* ---- one file ---- */

static int get_path(const struct json_at *at, const char *key, const char *file, struct arena *a,
                    const char **ret) {
        const char *text = NULL;
        int r = json_get_str(at, key, &text);

        if (r != 0 || !text)
                return r;
        *ret = resolve(a, file, text);
        return *ret ? 0 : -ENOMEM;
}

static int get_copy(const struct json_at *at, const char *key, struct arena *a, const char **ret) {
        const char *text = NULL;
        int r = json_get_str(at, key, &text);

        if (r != 0 || !text)
                return r;
        *ret = arena_strdup(a, text);
        return *ret ? 0 : -ENOMEM;
}

/* @file NULL: the items are no paths. */
static int get_list(const struct json_at *at, const char *key, const char *file, struct arena *a,
                    const char *const **ret) {
        struct json_at list, item;
        const char **out;
        size_t n;
        int r = json_get(at, key, &list);

        if (r == JSON_ABSENT)
                return 0;
        if (r != 0)
                return r;
        if (json_type(&list) != JSON_ARRAY)
                return json_fail(&list, "expected a list of strings");
        n = json_length(&list);
        if (n > LIST_MAX)
                return json_fail(&list, "at most %d items", LIST_MAX);
        out = arena_alloc(a, (n + 1) * sizeof(*out));
        if (!out)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const char *text;

                r = json_item(&list, i, &item);
                if (r == 0)
                        r = json_str(&item, &text);
                if (r != 0)
                        return r;
                out[i] = file ? resolve(a, file, text) : arena_strdup(a, text);
                if (!out[i])
                        return -ENOMEM;
        }
        *ret = out;
        return 0;
}

static int check_accept(const struct json_at *at) {
        struct json_at list, item;
        int r = json_get(at, "accept", &list);

        if (r != 0)
                return r == JSON_ABSENT ? 0 : r;
        for (size_t i = 0; i < json_length(&list); i++) {
                const char *text;

                r = json_item(&list, i, &item);
                if (r == 0)
                        r = json_str(&item, &text);
                if (r != 0)
                        return r;
                if (!jid_pattern_valid(text))
                        return json_fail(&item, "expected a bare JID or *@domain, found \"%s\"",
                                         text);
        }
        return 0;
}

/* *ret_password_file is set when this file names one. */
static int merge(struct config *c, const struct json_at *at, const char *file,
                 const char **ret_password_file) {
        struct arena *a = &c->arena;
        struct json_at jid;
        int r = json_only(at, known);

        if (r == 0)
                r = get_copy(at, "jid", a, &c->jid);
        if (r == 0 && json_get(at, "jid", &jid) == 0 && (!jid_valid(c->jid) || strchr(c->jid, '/')))
                return json_fail(&jid,
                                 "expected a bare JID such as controller@lab.example, found \"%s\"",
                                 c->jid);
        if (r == 0)
                r = get_copy(at, "password", a, &c->password);
        if (r == 0)
                r = get_path(at, "password_file", file, a, ret_password_file);
        if (r == 0)
                r = get_copy(at, "server", a, &c->server);
        if (r == 0)
                r = get_path(at, "ca_file", file, a, &c->ca_file);
        if (r == 0)
                r = get_list(at, "accept", NULL, a, &c->accept);
        if (r == 0)
                r = check_accept(at);
        if (r == 0)
                r = get_path(at, "state_dir", file, a, &c->state_dir);
        if (r == 0)
                r = get_path(at, "socket", file, a, &c->socket);
        if (r == 0)
                r = get_list(at, "trusted_users", NULL, a, &c->trusted_users);
        if (r == 0)
                r = get_list(at, "catalogue", file, a, &c->catalogue);
        if (r == 0)
                r = json_get_bytes(at, "free_min", &c->free_min);
        return r;
}

static int read_file(struct config *c, const char *main_path, const char *path,
                     const char **ret_password_file, char **ret_error) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root;
        struct stat st;
        int r = json_parse_file(&doc, path);

        if (r < 0)
                return fail(ret_error, "cannot read %s: %s\nName another with --config.", path,
                            strerror(-r));
        if (r == 0) {
                root = json_root(doc);
                if (json_type(&root) != JSON_OBJECT)
                        r = json_fail(&root, "expected an object { … }");
                else
                        r = merge(c, &root, path, ret_password_file);
        }
        if (r == JSON_BAD)
                return fail(ret_error,
                            "%s\nCorrect it, then check with: rota-controller --check --config %s",
                            json_error(doc), main_path);
        if (r == 0 && c->password && stat(path, &st) == 0 && (st.st_mode & 07))
                return fail(ret_error,
                            "%s holds a password and may be read by everybody (mode %04o); use "
                            "\"password_file\", or protect it with: chmod 600 %s",
                            path, (unsigned)(st.st_mode & 07777), path);
        return r;
}

/* ---- all of it ---- */

static int is_json(const struct dirent *e) {
        size_t n = strlen(e->d_name);

        return e->d_name[0] != '.' && n > 5 && strcmp(e->d_name + n - 5, ".json") == 0;
}

/* controller.json -> controller.d/ *.json */
static int read_drop_ins(struct config *c, const char *path, const char **ret_password_file,
                         char **ret_error) {
        size_t n = strlen(path);
        const char *dir;
        struct dirent **list = NULL;
        int count, r = 0;

        if (n > 5 && strcmp(path + n - 5, ".json") == 0)
                n -= 5;
        dir = arena_printf(&c->arena, "%.*s.d", (int)n, path);
        if (!dir)
                return -ENOMEM;
        count = scandir(dir, &list, is_json, alphasort);
        for (int i = 0; i < count; i++) {
                const char *file = arena_printf(&c->arena, "%s/%s", dir, list[i]->d_name);

                if (r == 0)
                        r = file ? read_file(c, path, file, ret_password_file, ret_error) : -ENOMEM;
                free(list[i]);
        }
        free(list);
        return r;
}

static const char *home(void) {
        const char *dir = getenv("HOME");
        struct passwd *pw;

        if (dir && dir[0] == '/')
                return dir;
        pw = getpwuid(geteuid());
        return pw ? pw->pw_dir : "/";
}

const char *config_default_socket(struct arena *a) {
        const char *dir = getenv("ROTA_SOCKET");

        if (dir && dir[0])
                return arena_strdup(a, dir);
        dir = getenv("XDG_RUNTIME_DIR");
        if (dir && dir[0] == '/')
                return arena_printf(a, "%s/rota/controller.sock", dir);
        return arena_strdup(a, "/run/rota/controller.sock");
}

static int find_file(struct config *c, const char **ret, char **ret_error) {
        const char *named = getenv("ROTA_CONFIG"), *dir = getenv("XDG_CONFIG_HOME"), *user;

        if (named && named[0]) {
                *ret = named;
                return 0;
        }
        user = dir && dir[0] == '/'
                       ? arena_printf(&c->arena, "%s/rota/controller.json", dir)
                       : arena_printf(&c->arena, "%s/.config/rota/controller.json", home());
        if (!user)
                return -ENOMEM;
        if (access(user, F_OK) == 0) {
                *ret = user;
                return 0;
        }
        if (access("/etc/rota/controller.json", F_OK) == 0) {
                c->system = true;
                *ret = "/etc/rota/controller.json";
                return 0;
        }
        return fail(ret_error,
                    "there is no configuration: neither %s nor /etc/rota/controller.json exists; "
                    "copy the "
                    "example controller.json there, or name a file with --config",
                    user);
}

static int set_defaults(struct config *c) {
        static const char *const none[] = {NULL};
        static const char *const catalogue[] = {"/usr/share/rota/diagnostics",
                                                "/etc/rota/diagnostics", NULL};
        const char *state = getenv("STATE_DIRECTORY"), *dir = getenv("XDG_STATE_HOME");

        if (!c->state_dir) {
                if (state && state[0]) /* systemd's StateDirectory= */
                        c->state_dir = arena_strdup(&c->arena, state);
                else if (c->system)
                        c->state_dir = "/var/lib/rota/controller";
                else if (dir && dir[0] == '/')
                        c->state_dir = arena_printf(&c->arena, "%s/rota", dir);
                else
                        c->state_dir = arena_printf(&c->arena, "%s/.local/state/rota", home());
        }
        if (!c->socket)
                c->socket = c->system && !getenv("ROTA_SOCKET") ? "/run/rota/controller.sock"
                                                                : config_default_socket(&c->arena);
        if (!c->accept)
                c->accept = none;
        if (!c->trusted_users)
                c->trusted_users = none;
        if (!c->catalogue)
                c->catalogue = catalogue;
        return c->state_dir && c->socket ? 0 : -ENOMEM;
}

int config_read(struct config *ret, const char *path, char **ret_error) {
        CLEANUP(config_done) struct config c = {.free_min = UINT64_C(200) << 20};
        const char *password_file = NULL;
        int r = 0;

        *ret_error = NULL;
        if (!path)
                r = find_file(&c, &path, ret_error);
        if (r == 0 && strncmp(path, "/etc/", 5) == 0)
                c.system = true;
        if (r == 0)
                r = read_file(&c, path, path, &password_file, ret_error);
        if (r == 0)
                r = read_drop_ins(&c, path, &password_file, ret_error);
        if (r != 0)
                return r;
        if (!c.jid)
                return fail(ret_error,
                            "%s: \"jid\" is missing: the account of this controller, such as "
                            "\"controller@lab.example\"",
                            path);
        if (password_file)
                r = read_password(&c, password_file, ret_error);
        if (r != 0)
                return r;
        if (!c.password)
                return fail(ret_error,
                            "%s: \"password_file\" is missing: the file whose first line is the "
                            "password of %s",
                            path, c.jid);
        if (c.ca_file && access(c.ca_file, R_OK) < 0)
                return fail(ret_error,
                            "cannot read the ca_file %s: %s\nIt holds the certificate of the "
                            "authority that signed the "
                            "server's; without it the system's authorities count.",
                            c.ca_file, strerror(errno));
        r = set_defaults(&c);
        if (r < 0)
                return r;
        *ret = c;
        c = (struct config){0};
        return 0;
}

void config_done(struct config *c) {
        if (c->password)
                explicit_bzero((char *)(uintptr_t)c->password, strlen(c->password));
        arena_done(&c->arena);
        *c = (struct config){0};
}
