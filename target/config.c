#include "target/config.h"

#include "proto/base/clock.h"
#include "proto/jid.h"
#include "proto/json.h"
#include "target/io/facts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define PASSWORD_MAX 1024

static const char *const known_keys[] = {
        "jid",          "resource",     "password_file",    "server",
        "ca_file",      "name",         "location",         "labels",
        "controllers",  "state_dir",    "catalogue",        "slots",
        "queue_max",    "keep",         "lease_max",        "quarantine_after",
        "free_min",     "disk_budget",  "disk_budget_wait", "power",
        "boot_id_file", "step_program", "step_unit",        NULL,
};

struct config *config_free(struct config *c) {
        if (!c)
                return NULL;
        if (c->password)
                explicit_bzero((char *)(uintptr_t)c->password, strlen(c->password));
        arena_done(&c->arena);
        free(c);
        return NULL;
}

/* Paths in a file are relative to it. */
static int get_path(struct config *c, const struct json_at *at, const char *key, const char *dir,
                    const char **ret) {
        const char *text = NULL;
        int r = json_get_str(at, key, &text);
        if (r != 0 || !text)
                return r;
        *ret = *text == '/' ? arena_strdup(&c->arena, text)
                            : arena_printf(&c->arena, "%s/%s", dir, text);
        return *ret ? 0 : -ENOMEM;
}

static int get_text(struct config *c, const struct json_at *at, const char *key, size_t max,
                    const char **ret) {
        struct json_at value;
        const char *text = NULL;
        int r = json_get(at, key, &value);
        if (r == JSON_ABSENT)
                return 0;
        if (r == 0)
                r = json_str(&value, &text);
        if (r != 0)
                return r;
        if (!*text || strlen(text) > max)
                return json_fail(&value, "expected 1 to %zu bytes, found %zu", max, strlen(text));
        *ret = arena_strdup(&c->arena, text);
        return *ret ? 0 : -ENOMEM;
}

static int get_unsigned(const struct json_at *at, const char *key, unsigned min, unsigned max,
                        unsigned *ret) {
        struct json_at value;
        uint64_t n = 0;
        int r = json_get(at, key, &value);
        if (r == JSON_ABSENT)
                return 0;
        if (r == 0)
                r = json_u64(&value, &n);
        if (r != 0)
                return r;
        if (n < min || n > max)
                return json_fail(&value, "expected a number from %u to %u, found %ju", min, max,
                                 (uintmax_t)n);
        *ret = (unsigned)n;
        return 0;
}

/* "paths": relative ones are relative to the file. */
static int get_strings(struct config *c, const struct json_at *at, const char *dir,
                       const char **list, size_t max) {
        size_t n = json_length(at);

        if (json_type(at) != JSON_ARRAY || n > max)
                return json_fail(at, "expected an array of at most %zu strings", max);
        for (size_t i = 0; i < n; i++) {
                struct json_at item;
                const char *text = NULL;
                int r = json_item(at, i, &item);
                if (r == 0)
                        r = json_str(&item, &text);
                if (r != 0)
                        return r;
                list[i] = dir && *text != '/' ? arena_printf(&c->arena, "%s/%s", dir, text)
                                              : arena_strdup(&c->arena, text);
                if (!list[i])
                        return -ENOMEM;
        }
        list[n] = NULL;
        return 0;
}

static int read_labels(struct config *c, const struct json_at *at) {
        for (size_t i = 0; i < json_length(at); i++) {
                struct json_at item;
                const char *value = NULL;
                size_t k = 0;
                int r = json_item(at, i, &item);
                if (r == 0)
                        r = json_str(&item, &value);
                if (r != 0)
                        return r;
                if (!*item.key || strlen(item.key) > 64 || strlen(value) > 255)
                        return json_fail(&item, "expected a name of 1 to 64 bytes and a value of "
                                                "at most 255");
                while (k < c->n_labels && strcmp(c->labels[k].name, item.key) != 0)
                        k++;
                if (k == CONFIG_LABELS_MAX)
                        return json_fail(&item, "more than %d labels", CONFIG_LABELS_MAX);
                c->labels[k].name = arena_strdup(&c->arena, item.key);
                c->labels[k].value = arena_strdup(&c->arena, value);
                if (!c->labels[k].name || !c->labels[k].value)
                        return -ENOMEM;
                if (k == c->n_labels)
                        c->n_labels++;
        }
        return 0;
}

static int read_rules(struct config *c, const struct json_at *at) {
        static const char *const names[] = {"view", "run", "reboot", "admin", NULL};

        for (size_t i = 0; i < json_length(at); i++) {
                struct json_at item;
                size_t k = 0;
                int role = 0;
                int r = json_item(at, i, &item);
                if (r == 0)
                        r = json_enum(&item, names, &role);
                if (r != 0)
                        return r;
                if (!jid_pattern_valid(item.key))
                        return json_fail(&item,
                                         "expected a bare JID (ana@lab.example) or "
                                         "*@domain, found \"%s\"",
                                         item.key);
                while (k < c->n_rules && strcmp(c->rules[k].pattern, item.key) != 0)
                        k++;
                if (k == CONFIG_RULES_MAX)
                        return json_fail(&item, "more than %d rules", CONFIG_RULES_MAX);
                c->rules[k].pattern = arena_strdup(&c->arena, item.key);
                if (!c->rules[k].pattern || role_parse(names[role], &c->rules[k].role) != 0)
                        return -ENOMEM;
                if (k == c->n_rules)
                        c->n_rules++;
        }
        return 0;
}

static int read_power(struct config *c, const struct json_at *at, const char *dir) {
        static const char *const known[] = {"command", "simulated", NULL};
        struct json_at command;
        int r = json_only(at, known);
        if (r == 0)
                r = json_get_bool(at, "simulated", &c->reboot_simulated);
        if (r != 0)
                return r;
        r = json_get(at, "command", &command);
        if (r == JSON_ABSENT)
                return 0;
        if (r == 0)
                r = get_strings(c, &command, NULL, c->reboot_command, CONFIG_COMMAND_MAX);
        if (r != 0)
                return r;
        if (!c->reboot_command[0])
                return json_fail(&command, "expected a program and its arguments");
        if (c->reboot_command[0][0] != '/') {
                c->reboot_command[0] = arena_printf(&c->arena, "%s/%s", dir, c->reboot_command[0]);
                if (!c->reboot_command[0])
                        return -ENOMEM;
        }
        c->reboot_by_command = true;
        return 0;
}

/* An object or array under @key, if it is there. */
static int with(const struct json_at *at, const char *key, enum json_type type,
                struct json_at *ret) {
        int r = json_get(at, key, ret);
        if (r == 0 && json_type(ret) != type)
                return json_fail(ret, "expected an %s", type == JSON_OBJECT ? "object" : "array");
        return r;
}

static int read_who(struct config *c, const struct json_at *root, const char *dir) {
        struct json_at at;
        int r = json_get(root, "jid", &at);
        if (r == 0) {
                r = get_text(c, root, "jid", JID_MAX, &c->jid);
                if (r == 0 && (!jid_valid(c->jid) || *jid_resource(c->jid)))
                        r = json_fail(&at, "expected local@domain, found \"%s\"", c->jid);
        }
        if (r == 0 || r == JSON_ABSENT)
                r = get_text(c, root, "resource", 64, &c->resource);
        if (r == 0)
                r = get_path(c, root, "password_file", dir, &c->password_file);
        if (r == 0)
                r = get_text(c, root, "server", 255, &c->server);
        if (r == 0)
                r = get_path(c, root, "ca_file", dir, &c->ca_file);
        if (r == 0)
                r = get_text(c, root, "name", 255, &c->name);
        if (r == 0)
                r = get_text(c, root, "location", 255, &c->location);
        if (r == 0) {
                r = with(root, "labels", JSON_OBJECT, &at);
                r = r == 0 ? read_labels(c, &at) : r == JSON_ABSENT ? 0 : r;
        }
        if (r == 0) {
                r = with(root, "controllers", JSON_OBJECT, &at);
                r = r == 0 ? read_rules(c, &at) : r == JSON_ABSENT ? 0 : r;
        }
        return r;
}

static int read_how(struct config *c, const struct json_at *root, const char *dir) {
        struct json_at at;
        int r = get_path(c, root, "state_dir", dir, &c->state_dir);
        if (r == 0) {
                r = with(root, "catalogue", JSON_ARRAY, &at);
                r = r == 0             ? get_strings(c, &at, dir, c->catalogue, CONFIG_DIRS_MAX)
                    : r == JSON_ABSENT ? 0
                                       : r;
        }
        if (r == 0)
                r = get_unsigned(root, "slots", 1, 64, &c->slots);
        if (r == 0)
                r = get_unsigned(root, "queue_max", 1, 100000, &c->queue_max);
        if (r == 0)
                r = json_get_duration(root, "keep", &c->keep_usec);
        if (r == 0)
                r = get_unsigned(root, "quarantine_after", 0, 1000, &c->quarantine_after);
        if (r == 0)
                r = json_get_duration(root, "lease_max", &c->lease_max_usec);
        if (r == 0)
                r = json_get_bytes(root, "free_min", &c->free_min);
        if (r == 0)
                r = json_get_bytes(root, "disk_budget", &c->disk_budget);
        if (r == 0)
                r = json_get_duration(root, "disk_budget_wait", &c->disk_budget_wait_usec);
        if (r == 0) {
                r = with(root, "power", JSON_OBJECT, &at);
                r = r == 0 ? read_power(c, &at, dir) : r == JSON_ABSENT ? 0 : r;
        }
        if (r == 0)
                r = get_path(c, root, "boot_id_file", dir, &c->boot_id_file);
        if (r == 0)
                r = get_path(c, root, "step_program", dir, &c->step_program);
        if (r == 0)
                r = json_get_bool(root, "step_unit", &c->step_unit);
        return r;
}

static int read_file(struct config *c, const char *path, struct buf *error) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(mem_free) char *copy = strdup(path);
        const char *dir;
        struct json_at root;
        int r;

        if (!copy)
                return -ENOMEM;
        dir = dirname(copy);
        r = json_parse_file(&doc, path);
        if (r == -ENOMEM)
                return r;
        if (r < 0) {
                buf_printf(error,
                           "cannot read the configuration %s: %s\n"
                           "Write one after the example target.json, or name another with "
                           "--config FILE.",
                           path, strerror(-r));
                return CONFIG_BAD;
        }
        if (r == 0) {
                root = json_root(doc);
                r = json_type(&root) == JSON_OBJECT ? json_only(&root, known_keys)
                                                    : json_fail(&root, "expected an object");
                if (r == 0)
                        r = read_who(c, &root, dir);
                if (r == 0)
                        r = read_how(c, &root, dir);
        }
        if (r < 0)
                return r;
        if (r != 0) {
                buf_printf(error,
                           "%s\nCorrect it, then check with: rota-target --check --config %s",
                           json_error(doc), path);
                return CONFIG_BAD;
        }
        return 0;
}

static int only_json(const struct dirent *e) {
        size_t len = strlen(e->d_name);
        return e->d_name[0] != '.' && len > 5 && strcmp(e->d_name + len - 5, ".json") == 0;
}

static int read_drop_ins(struct config *c, const char *path, struct buf *error) {
        CLEANUP(buf_done) struct buf dir = {0};
        struct dirent **list = NULL;
        size_t len = strlen(path);
        int n, r = 0;

        if (len > 5 && strcmp(path + len - 5, ".json") == 0)
                len -= 5;
        if (buf_append(&dir, path, len) < 0 || buf_puts(&dir, ".d") < 0)
                return -ENOMEM;
        n = scandir(dir.data, &list, only_json, alphasort);
        if (n < 0 && errno == ENOENT)
                return 0;
        if (n < 0) {
                buf_printf(error, "cannot read the directory %s: %s", dir.data, strerror(errno));
                return CONFIG_BAD;
        }
        for (int i = 0; i < n; i++) {
                CLEANUP(buf_done) struct buf file = {0};
                if (r == 0)
                        r = buf_printf(&file, "%s/%s", dir.data, list[i]->d_name);
                if (r == 0)
                        r = read_file(c, file.data, error);
                free(list[i]);
        }
        free(list);
        return r;
}

static int read_password(struct config *c, struct buf *error) {
        CLEANUP(fd_close) int fd = open(c->password_file, O_RDONLY | O_CLOEXEC);
        char text[PASSWORD_MAX + 1];
        struct stat st;
        ssize_t n;

        if (fd < 0 || fstat(fd, &st) < 0) {
                buf_printf(error,
                           "cannot read the password file %s: %s\n"
                           "It is named by password_file in the configuration; write the "
                           "password of %s into it, on one line.",
                           c->password_file, strerror(errno), c->jid);
                return CONFIG_BAD;
        }
        if (st.st_mode & S_IRWXO) {
                buf_printf(error,
                           "the password file %s can be read by every user (mode %03o)\n"
                           "Whoever has the password is this machine to the server.\n"
                           "Close it with: chmod 600 %s",
                           c->password_file, (unsigned)(st.st_mode & 0777), c->password_file);
                return CONFIG_BAD;
        }
        n = read(fd, text, PASSWORD_MAX);
        if (n < 0)
                n = 0;
        text[n] = '\0';
        text[strcspn(text, "\r\n")] = '\0';
        c->password = *text ? arena_strdup(&c->arena, text) : NULL;
        explicit_bzero(text, sizeof(text));
        if (!c->password) {
                buf_printf(error,
                           "the password file %s is empty\n"
                           "Write the password of %s into it, on one line.",
                           c->password_file, c->jid);
                return CONFIG_BAD;
        }
        return 0;
}

static int check_whole(struct config *c, const char *path, struct buf *error) {
        CLEANUP(buf_done) struct buf host = {0};
        const char *missing = !c->jid ? "jid" : !c->password_file ? "password_file" : NULL;

        if (missing) {
                buf_printf(error, "%s: \"%s\" is missing\nAdd it; the example target.json has it.",
                           path, missing);
                return CONFIG_BAD;
        }
        if (!c->name) {
                facts_host_name(&host);
                c->name = arena_strdup(&c->arena, host.len > 0 ? host.data : c->jid);
                if (!c->name)
                        return -ENOMEM;
        }
        if (c->ca_file && access(c->ca_file, R_OK) < 0) {
                buf_printf(error,
                           "cannot read the ca_file %s: %s\n"
                           "It holds the certificate of the authority that signed the server's; "
                           "without the line the system's authorities count.",
                           c->ca_file, strerror(errno));
                return CONFIG_BAD;
        }
        return read_password(c, error);
}

int config_load(struct config **ret, const char *path, struct buf *ret_error) {
        CLEANUP(config_free) struct config *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->resource = "target";
        c->state_dir = "/var/lib/rota/target";
        c->catalogue[0] = "/usr/share/rota/diagnostics";
        c->catalogue[1] = "/etc/rota/diagnostics";
        c->slots = 1;
        c->queue_max = 1000;
        c->quarantine_after = 5;
        c->lease_max_usec = 7 * 24 * USEC_PER_HOUR;
        c->keep_usec = 7 * 24 * USEC_PER_HOUR;
        c->free_min = UINT64_C(100) << 20;
        c->disk_budget = UINT64_C(10) << 30;
        c->disk_budget_wait_usec = USEC_PER_HOUR;
        c->boot_id_file = "/proc/sys/kernel/random/boot_id";
        c->step_unit = true;
        r = read_file(c, path, ret_error);
        if (r == 0)
                r = read_drop_ins(c, path, ret_error);
        if (r == 0)
                r = check_whole(c, path, ret_error);
        if (r != 0)
                return r;
        *ret = TAKE(c);
        return 0;
}
