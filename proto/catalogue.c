#include "proto/catalogue.h"

#include "proto/base/id.h"
#include "proto/base/nearest.h"
#include "proto/diagnostic.h"
#include "proto/param.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 1024

struct catalogue {
        struct arena arena;
        struct diagnostic *diagnostics; /* sorted by name */
        size_t n;
};

struct catalogue *catalogue_free(struct catalogue *c) {
        if (!c)
                return NULL;
        free(c->diagnostics);
        arena_done(&c->arena);
        free(c);
        return NULL;
}

size_t catalogue_count(const struct catalogue *c) {
        return c->n;
}

const struct catalogue_entry *catalogue_at(const struct catalogue *c, size_t i) {
        return &c->diagnostics[i].entry;
}

static struct diagnostic *find(const struct catalogue *c, const char *name) {
        for (size_t i = 0; i < c->n; i++)
                if (strcmp(c->diagnostics[i].entry.name, name) == 0)
                        return &c->diagnostics[i];
        return NULL;
}

const struct catalogue_entry *catalogue_find(const struct catalogue *c, const char *name) {
        const struct diagnostic *d = find(c, name);

        return d ? &d->entry : NULL;
}

const char *catalogue_nearest(const struct catalogue *c, const char *name) {
        const char *names[ENTRIES_MAX + 1];

        for (size_t i = 0; i < c->n; i++)
                names[i] = c->diagnostics[i].entry.name;
        names[c->n] = NULL;
        return nearest(name, names);
}

static int add(struct catalogue *c, const struct diagnostic *d) {
        struct diagnostic *same = find(c, d->entry.name), *more;

        if (same) {
                *same = *d;
                return 0;
        }
        if (c->n == ENTRIES_MAX)
                return -E2BIG;
        more = reallocarray(c->diagnostics, c->n + 1, sizeof(*more));
        if (!more)
                return -ENOMEM;
        c->diagnostics = more;
        c->diagnostics[c->n++] = *d;
        return 0;
}

static int load_file(struct catalogue *c, const char *dir, const char *file, const char *libexec,
                     char **ret_error) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(buf_done) struct buf path = {0};
        struct diagnostic d = {.libexec = libexec};
        struct json_at root;
        char *name;
        int r;

        buf_printf(&path, "%s/%s", dir, file);
        name = arena_strndup(&c->arena, file, strlen(file) - strlen(".json"));
        if (buf_check(&path) < 0 || !name)
                return -ENOMEM;
        r = json_parse_file(&doc, path.data);
        if (r == 0) {
                root = json_root(doc);
                r = diagnostic_read(&root, &c->arena, name, &d);
        }
        if (r == JSON_BAD) {
                *ret_error = strdup(json_error(doc));
                return *ret_error ? JSON_BAD : -ENOMEM;
        }
        return r == 0 ? add(c, &d) : r;
}

static int is_diagnostic(const struct dirent *entry) {
        size_t len = strlen(entry->d_name);

        return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".json") == 0;
}

static int load_dir(struct catalogue *c, const char *dir, char **ret_error) {
        CLEANUP(mem_free) char *absolute = NULL;
        struct dirent **files;
        char *libexec;
        int n, r = 0;

        absolute = realpath(dir, NULL);
        if (!absolute)
                return errno == ENOENT ? 0 : -errno;
        libexec = arena_printf(&c->arena, "%s/libexec", absolute);
        if (!libexec)
                return -ENOMEM;
        n = scandir(dir, &files, is_diagnostic, alphasort);
        if (n < 0)
                return -errno;
        for (int i = 0; i < n; i++) {
                if (r == 0)
                        r = load_file(c, dir, files[i]->d_name, libexec, ret_error);
                free(files[i]);
        }
        free(files);
        return r;
}

static int by_name(const void *a, const void *b) {
        const struct diagnostic *x = a, *y = b;

        return strcmp(x->entry.name, y->entry.name);
}

int catalogue_load(struct catalogue **ret, const char *const *dirs, char **ret_error) {
        CLEANUP(catalogue_free) struct catalogue *c = calloc(1, sizeof(*c));
        int r;

        *ret_error = NULL;
        if (!c)
                return -ENOMEM;
        for (size_t i = 0; dirs[i]; i++) {
                r = load_dir(c, dirs[i], ret_error);
                if (r != 0)
                        return r;
        }
        if (c->n > 0)
                qsort(c->diagnostics, c->n, sizeof(*c->diagnostics), by_name);
        *ret = TAKE(c);
        return 0;
}

static int no_such_diagnostic(const struct catalogue *c, const char *name, struct arena *a,
                              const char **ret_why) {
        const char *meant = catalogue_nearest(c, name), *quoted = param_quote(name, a);

        if (!quoted)
                return -ENOMEM;
        if (meant)
                *ret_why = arena_printf(a,
                                        "there is no diagnostic %s; did you mean \"%s\"? "
                                        "\"rota diag\" lists them",
                                        quoted, meant);
        else
                *ret_why = arena_printf(a, "there is no diagnostic %s; \"rota diag\" lists them",
                                        quoted);
        return *ret_why ? CATALOGUE_REFUSED : -ENOMEM;
}

int catalogue_expand(const struct catalogue *c, const struct plan_step *step, struct arena *a,
                     const char *const **ret_argv, const char **ret_why) {
        const struct diagnostic *d = find(c, step->diag);

        if (!d)
                return no_such_diagnostic(c, step->diag, a, ret_why);
        return diagnostic_expand(d, step, a, ret_argv, ret_why);
}
