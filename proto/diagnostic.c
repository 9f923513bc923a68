#include "proto/diagnostic.h"

#include "proto/base/clock.h"
#include "proto/base/id.h"
#include "proto/base/nearest.h"
#include "proto/param.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define STATUSES_MAX 64
#define NEEDS_MAX 32
#define GRACE_MAX_USEC (60 * USEC_PER_SEC)

/*
 * Templates: {name} is the parameter, {libexec} the folder of the catalogue's own programs, {{ a
 * brace. A whole argument "{name?}" is left out when the parameter is empty.
 */
struct piece {
        const char *text; /* literal text, or the name in the braces */
        size_t len;
        bool name;
        bool optional;
};

/* The piece at @*at, which is moved behind it. Returns false at the end or, with ret->text NULL, at a brace
 * that is never closed. */
static bool next_piece(const char **at, struct piece *ret) {
        const char *from = *at, *end;

        *ret = (struct piece){0};
        if (!*from)
                return false;
        if (from[0] == '{' && from[1] == '{') {
                *ret = (struct piece){.text = from, .len = 1};
                *at = from + 2;
                return true;
        }
        if (from[0] != '{') {
                *ret = (struct piece){.text = from, .len = strcspn(from, "{")};
                *at = from + ret->len;
                return true;
        }
        end = strchr(from, '}');
        if (!end)
                return false;
        *ret = (struct piece){.text = from + 1, .len = (size_t)(end - from - 1), .name = true};
        if (ret->len > 0 && end[-1] == '?') {
                ret->optional = true;
                ret->len--;
        }
        *at = end + 1;
        return true;
}

static bool piece_is(const struct piece *p, const char *name) {
        return p->name && strlen(name) == p->len && memcmp(p->text, name, p->len) == 0;
}

static size_t piece_param(const struct diagnostic *d, const struct piece *p) {
        size_t i = 0;

        while (i < d->entry.n_params && !piece_is(p, d->params[i].name))
                i++;
        return i;
}

static int check_template(const struct json_at *at, const struct diagnostic *d, const char *text) {
        const char *rest = text;
        struct piece p;

        while (next_piece(&rest, &p)) {
                if (!p.name || (piece_is(&p, "libexec") && !p.optional))
                        continue;
                if (piece_param(d, &p) == d->entry.n_params)
                        return json_fail(at, "there is no parameter {%.*s}", (int)p.len, p.text);
                if (at->index == 0)
                        return json_fail(at, "the program itself cannot be a parameter");
                if (p.optional && (p.text != text + 1 || *rest))
                        return json_fail(at, "{%.*s?} must be a whole argument", (int)p.len,
                                         p.text);
        }
        if (*rest)
                return json_fail(at, "a brace is not closed (a brace itself is written {{)");
        return 0;
}

static int read_copy(const struct json_at *at, struct arena *a, const char **ret) {
        const char *text;
        int r = json_str(at, &text);

        if (r != 0)
                return r;
        *ret = arena_strdup(a, text);
        return *ret ? 0 : -ENOMEM;
}

/* @ret stays NULL when the key is absent. */
static int read_optional(const struct json_at *at, const char *key, struct arena *a,
                         const char **ret) {
        struct json_at value;
        int r = json_get(at, key, &value);

        if (r == JSON_ABSENT)
                return 0;
        return r == 0 ? read_copy(&value, a, ret) : r;
}

static int read_argv(const struct json_at *at, struct arena *a, struct diagnostic *d) {
        struct json_at list, item;
        const char **argv;
        size_t n;
        int r;

        r = json_get(at, "argv", &list);
        if (r == JSON_ABSENT)
                return json_fail(at, "argv is missing");
        if (r != 0)
                return r;
        n = json_length(&list);
        if (json_type(&list) != JSON_ARRAY || n == 0 || n > PLAN_ARGV_MAX)
                return json_fail(&list, "argv is a list of the program and its arguments");
        argv = arena_alloc(a, (n + 1) * sizeof(*argv));
        if (!argv)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = json_item(&list, i, &item);
                if (r == 0)
                        r = read_copy(&item, a, &argv[i]);
                if (r == 0)
                        r = check_template(&item, d, argv[i]);
                if (r != 0)
                        return r;
        }
        if (!argv[0][0])
                return json_fail(&list, "the program's name is empty");
        d->argv = argv;
        return 0;
}

static int read_params(const struct json_at *at, struct arena *a, struct diagnostic *d) {
        struct catalogue_param *shown;
        struct json_at params, item;
        struct param *list;
        size_t n;
        int r;

        r = json_get(at, "params", &params);
        if (r == JSON_ABSENT)
                return 0;
        if (r != 0)
                return r;
        n = json_length(&params);
        if (json_type(&params) != JSON_OBJECT || n > PLAN_PARAMS_MAX)
                return json_fail(&params, "params is an object of at most %d", PLAN_PARAMS_MAX);
        list = arena_alloc(a, (n + 1) * sizeof(*list));
        shown = arena_alloc(a, (n + 1) * sizeof(*shown));
        if (!list || !shown)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = json_item(&params, i, &item);
                if (r == 0)
                        r = param_read(&item, a, &list[i]);
                if (r != 0)
                        return r;
                if (strcmp(list[i].name, "libexec") == 0)
                        return json_fail(&item, "the name libexec is taken");
                shown[i] = (struct catalogue_param){
                        .name = list[i].name,
                        .type = param_type_name(list[i].type),
                        .fallback = list[i].fallback,
                        .help = list[i].help,
                };
        }
        d->params = list;
        d->entry.params = shown;
        d->entry.n_params = n;
        return 0;
}

static int read_need(const struct json_at *at, struct arena *a, struct catalogue_need *need) {
        static const char *const known[] = {"program", "package", NULL};
        int r;

        r = json_only(at, known);
        if (r == 0)
                r = read_optional(at, "program", a, &need->program);
        if (r == 0)
                r = read_optional(at, "package", a, &need->package);
        if (r == 0 && (!need->program || !need->program[0] || !need->package))
                return json_fail(at, "a need is { \"program\": …, \"package\": … }");
        return r;
}

static int read_needs(const struct json_at *at, struct arena *a, struct catalogue_entry *e) {
        struct catalogue_need *needs;
        struct json_at list, item;
        size_t n;
        int r;

        r = json_get(at, "needs", &list);
        if (r == JSON_ABSENT)
                return 0;
        if (r != 0)
                return r;
        n = json_length(&list);
        if (json_type(&list) != JSON_ARRAY || n > NEEDS_MAX)
                return json_fail(&list, "needs is a list of at most %d", NEEDS_MAX);
        needs = arena_alloc(a, (n + 1) * sizeof(*needs));
        if (!needs)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = json_item(&list, i, &item);
                if (r == 0)
                        r = read_need(&item, a, &needs[i]);
                if (r != 0)
                        return r;
        }
        e->needs = needs;
        e->n_needs = n;
        return 0;
}

static int read_statuses(const struct json_at *at, const char *key, struct arena *a,
                         const int **ret, size_t *ret_n) {
        struct json_at list, item;
        uint64_t value;
        int *statuses;
        size_t n;
        int r;

        r = json_get(at, key, &list);
        if (r == JSON_ABSENT)
                return 0;
        if (r != 0)
                return r;
        n = json_length(&list);
        if (json_type(&list) != JSON_ARRAY || n > STATUSES_MAX)
                return json_fail(&list, "%s is a list of at most %d exit statuses", key,
                                 STATUSES_MAX);
        statuses = arena_alloc(a, (n + 1) * sizeof(*statuses));
        if (!statuses)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = json_item(&list, i, &item);
                if (r == 0)
                        r = json_u64(&item, &value);
                if (r != 0)
                        return r;
                if (value > 255)
                        return json_fail(&item, "an exit status is a number from 0 to 255");
                statuses[i] = (int)value;
        }
        *ret = statuses;
        *ret_n = n;
        return 0;
}

static int read_exit(const struct json_at *at, struct arena *a, struct catalogue_entry *e) {
        static const char *const known[] = {"passed", "not_run", NULL};
        static const int zero[] = {0};
        struct json_at exit;
        int r;

        e->passed = zero;
        e->n_passed = 1;
        r = json_get(at, "exit", &exit);
        if (r == JSON_ABSENT)
                return 0;
        if (r == 0)
                r = json_only(&exit, known);
        if (r == 0)
                r = read_statuses(&exit, "passed", a, &e->passed, &e->n_passed);
        if (r == 0)
                r = read_statuses(&exit, "not_run", a, &e->not_run, &e->n_not_run);
        if (r != 0)
                return r;
        for (size_t i = 0; i < e->n_passed; i++)
                for (size_t k = 0; k < e->n_not_run; k++)
                        if (e->passed[i] == e->not_run[k])
                                return json_fail(&exit, "%d cannot be both passed and not_run",
                                                 e->passed[i]);
        return 0;
}

/* Whoever cancels waits that long. */
static int read_grace(const struct json_at *at, uint64_t *ret_usec) {
        struct json_at grace;
        int r = json_get(at, "grace", &grace);

        if (r == 0)
                r = json_duration(&grace, ret_usec);
        if (r == 0 && *ret_usec > GRACE_MAX_USEC)
                return json_fail(&grace, "grace is at most 1m");
        return r == JSON_ABSENT ? 0 : r;
}

int diagnostic_read(const struct json_at *at, struct arena *a, const char *name,
                    struct diagnostic *d) {
        static const char *const known[] = {"$schema", "name",  "title", "help",    "params",
                                            "argv",    "needs", "exit",  "timeout", "silence",
                                            "grace",   "pty",   NULL};
        struct catalogue_entry *e = &d->entry;
        int r;

        r = json_only(at, known);
        if (r == 0)
                r = read_optional(at, "name", a, &e->name);
        if (r != 0)
                return r;
        if (!e->name || strcmp(e->name, name) != 0 || !id_valid(name))
                return json_fail(at, "the name must be that of the file, \"%s\"", name);
        r = read_optional(at, "title", a, &e->title);
        if (r != 0)
                return r;
        if (!e->title || !e->title[0])
                return json_fail(at, "title is missing");
        e->pty = true;
        r = read_optional(at, "help", a, &e->help);
        if (r == 0)
                r = read_params(at, a, d);
        if (r == 0)
                r = read_argv(at, a, d);
        if (r == 0)
                r = read_needs(at, a, e);
        if (r == 0)
                r = read_exit(at, a, e);
        if (r == 0)
                r = json_get_duration(at, "timeout", &e->timeout_usec);
        if (r == 0)
                r = json_get_duration(at, "silence", &e->silence_usec);
        if (r == 0)
                r = read_grace(at, &e->grace_usec);
        if (r == 0)
                r = json_get_bool(at, "pty", &e->pty);
        return r;
}

static int because(const char *sentence, const char **ret_why) {
        *ret_why = sentence;
        return sentence ? CATALOGUE_REFUSED : -ENOMEM;
}

/* "size (bytes, default 64M), passes (int, required)" */
static const char *list_params(const struct diagnostic *d, struct arena *a) {
        const char *list = "";

        if (d->entry.n_params == 0)
                return "no parameters";
        for (size_t i = 0; list && i < d->entry.n_params; i++) {
                const struct catalogue_param *p = &d->entry.params[i];
                const char *word = !p->fallback   ? "required"
                                   : *p->fallback ? "default "
                                                  : "optional";

                list = arena_printf(a, "%s%s%s (%s, %s%s)", list, i > 0 ? ", " : "", p->name,
                                    p->type, word, p->fallback ? p->fallback : "");
        }
        return list;
}

static int no_such_param(const struct diagnostic *d, const char *name, struct arena *a,
                         const char **ret_why) {
        const char *names[PLAN_PARAMS_MAX + 1], *meant, *list, *quoted;

        for (size_t i = 0; i < d->entry.n_params; i++)
                names[i] = d->params[i].name;
        names[d->entry.n_params] = NULL;
        meant = nearest(name, names);
        list = list_params(d, a);
        quoted = param_quote(name, a);
        if (!list || !quoted)
                return -ENOMEM;
        if (meant)
                return because(
                        arena_printf(a,
                                     "%s: unknown parameter %s; did you mean \"%s\"? It takes: %s",
                                     d->entry.name, quoted, meant, list),
                        ret_why);
        return because(arena_printf(a, "%s: unknown parameter %s. It takes: %s", d->entry.name,
                                    quoted, list),
                       ret_why);
}

/* @values has one place for each parameter, NULL at first. */
static int take_given(const struct diagnostic *d, const struct plan_step *step, struct arena *a,
                      const char **values, const char **ret_why) {
        for (size_t i = 0; i < step->n_params; i++) {
                const struct plan_param *given = &step->params[i];
                const char *why;
                size_t k = 0;
                int r;

                while (k < d->entry.n_params && strcmp(d->params[k].name, given->name) != 0)
                        k++;
                if (k == d->entry.n_params)
                        return no_such_param(d, given->name, a, ret_why);
                if (values[k])
                        return because(arena_printf(a, "%s: %s is given twice", d->entry.name,
                                                    d->params[k].name),
                                       ret_why);
                r = param_value(&d->params[k], given->value, a, &values[k], &why);
                if (r < 0)
                        return r;
                if (r != 0)
                        return because(
                                arena_printf(a, "%s: %s %s", d->entry.name, d->params[k].name, why),
                                ret_why);
        }
        return 0;
}

static int take_defaults(const struct diagnostic *d, struct arena *a, const char **values,
                         const char **ret_why) {
        for (size_t i = 0; i < d->entry.n_params; i++) {
                const struct param *p = &d->params[i];
                const char *what;
                int r;

                if (values[i])
                        continue;
                if (!p->fallback) {
                        what = param_describe(p, a);
                        if (!what)
                                return -ENOMEM;
                        return because(arena_printf(a, "%s: %s is required: %s", d->entry.name,
                                                    p->name, what),
                                       ret_why);
                }
                r = param_value(p, p->fallback, a, &values[i], ret_why);
                if (r != 0)
                        return r;
        }
        return 0;
}

/* Returns 0 with *ret NULL when the argument is left out. */
static int fill(const struct diagnostic *d, const char *template, const char *const *values,
                struct arena *a, const char **ret) {
        CLEANUP(buf_done) struct buf text = {0};
        const char *value;
        struct piece p;

        *ret = NULL;
        while (next_piece(&template, &p)) {
                if (!p.name) {
                        buf_append(&text, p.text, p.len);
                        continue;
                }
                value = piece_is(&p, "libexec") ? d->libexec : values[piece_param(d, &p)];
                assert(value);
                if (p.optional && !value[0])
                        return 0;
                buf_puts(&text, value);
        }
        if (buf_check(&text) < 0)
                return -ENOMEM;
        *ret = arena_strdup(a, buf_text(&text));
        return *ret ? 0 : -ENOMEM;
}

int diagnostic_expand(const struct diagnostic *d, const struct plan_step *step, struct arena *a,
                      const char *const **ret_argv, const char **ret_why) {
        const char *values[PLAN_PARAMS_MAX + 1] = {0}, **argv;
        size_t n = 0, m = 0;
        int r;

        r = take_given(d, step, a, values, ret_why);
        if (r == 0)
                r = take_defaults(d, a, values, ret_why);
        if (r != 0)
                return r;
        while (d->argv[n])
                n++;
        argv = arena_alloc(a, (n + 1) * sizeof(*argv));
        if (!argv)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = fill(d, d->argv[i], values, a, &argv[m]);
                if (r < 0)
                        return r;
                m += argv[m] != NULL;
        }
        *ret_argv = argv;
        return 0;
}
