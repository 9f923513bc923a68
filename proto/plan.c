#include "proto/plan.h"

#include "proto/base/clock.h"
#include "proto/units.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

#define NAME_MAX_LEN 128
#define PARAM_NAME_MAX 64
#define VALUE_MAX 4096
#define ARG_MAX_LEN 32768
#define TITLE_MAX 160
#define WITHIN_MAX_USEC (24 * USEC_PER_HOUR)
#define RETURN_MAX_USEC (366 * 24 * USEC_PER_HOUR)

static const char *const mode_names[] = {"graceful", "force", NULL};
static const char *const interrupt_names[] = {
        [PLAN_INTERRUPT_FAIL] = "fail",
        [PLAN_INTERRUPT_CONTINUE] = "continue",
        [PLAN_INTERRUPT_RETRY] = "retry",
        NULL,
};

static const char *const over_names[] = {"block", "head+tail", NULL};

/* A string for people or for a command line: limited, and one line of text where @line says so. */
static int read_text(const struct json_at *at, struct arena *a, size_t max, bool line,
                     const char **ret) {
        const char *text;
        int r;

        r = json_str(at, &text);
        if (r != 0)
                return r;
        if (strlen(text) > max)
                return json_fail(at, "is longer than %zu bytes", max);
        for (const char *p = text; line && *p; p++)
                if (iscntrl((unsigned char)*p))
                        return json_fail(at, "has a control character in it");
        *ret = arena_strdup(a, text);
        return *ret ? 0 : -ENOMEM;
}

static int read_value(const struct json_at *at, struct arena *a, const char **ret) {
        CLEANUP(buf_done) struct buf text = {0};
        int r;

        switch (json_type(at)) {
        case JSON_STRING:
                return read_text(at, a, VALUE_MAX, true, ret);
        case JSON_NUMBER:
        case JSON_BOOL:
                r = json_print(at, &text);
                if (r != 0)
                        return r;
                *ret = arena_strdup(a, buf_text(&text));
                return *ret ? 0 : -ENOMEM;
        case JSON_NULL:
        case JSON_ARRAY:
        case JSON_OBJECT:
                break;
        }
        return json_fail(at, "a parameter is a string, a number, true or false");
}

static int read_params(const struct json_at *at, struct arena *a, struct plan_step *s) {
        size_t n = json_length(at);
        struct plan_param *params;
        struct json_at value;
        int r;

        if (json_type(at) != JSON_OBJECT)
                return json_fail(at, "params is an object such as { \"size\": \"64M\" }");
        if (n > PLAN_PARAMS_MAX)
                return json_fail(at, "more than %d parameters", PLAN_PARAMS_MAX);
        params = arena_alloc(a, (n + 1) * sizeof(*params));
        if (!params)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = json_item(at, i, &value);
                if (r != 0)
                        return r;
                if (!value.key[0] || strlen(value.key) > PARAM_NAME_MAX)
                        return json_fail(&value, "a parameter's name has 1 to %d bytes",
                                         PARAM_NAME_MAX);
                params[i].name = arena_strdup(a, value.key);
                if (!params[i].name)
                        return -ENOMEM;
                r = read_value(&value, a, &params[i].value);
                if (r != 0)
                        return r;
        }
        s->params = params;
        s->n_params = n;
        return 0;
}

static int read_argv(const struct json_at *at, struct arena *a, struct plan_step *s) {
        size_t n = json_length(at);
        const char **argv;
        struct json_at arg;
        int r;

        if (json_type(at) != JSON_ARRAY || n == 0)
                return json_fail(at, "exec is a list of the program and its arguments, such as "
                                     "[\"ls\", \"-l\"]");
        if (n > PLAN_ARGV_MAX)
                return json_fail(at, "more than %d arguments", PLAN_ARGV_MAX);
        argv = arena_alloc(a, (n + 1) * sizeof(*argv));
        if (!argv)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = json_item(at, i, &arg);
                if (r == 0)
                        r = read_text(&arg, a, ARG_MAX_LEN, false, &argv[i]);
                if (r != 0)
                        return r;
        }
        if (!argv[0][0])
                return json_fail(at, "the program's name is empty");
        s->argv = argv;
        s->n_argv = n;
        return 0;
}

static int read_diag(const struct json_at *step, const struct json_at *diag, struct arena *a,
                     struct plan_step *s) {
        struct json_at params;
        int r;

        s->kind = PLAN_DIAG;
        r = read_text(diag, a, NAME_MAX_LEN, true, &s->diag);
        if (r != 0)
                return r;
        assert(s->diag);
        if (!s->diag[0])
                return json_fail(diag, "the diagnostic's name is empty");
        r = json_get(step, "params", &params);
        if (r == JSON_ABSENT)
                return 0;
        return r == 0 ? read_params(&params, a, s) : r;
}

static int read_exec(const struct json_at *step, const struct json_at *exec, struct arena *a,
                     struct plan_step *s) {
        struct json_at params;

        s->kind = PLAN_EXEC;
        if (json_get(step, "params", &params) == 0)
                return json_fail(&params, "params go with a diag; an exec has its arguments");
        return read_argv(exec, a, s);
}

/* true, or { "mode": …, "within": … }. */
static int read_reboot(const struct json_at *step, const struct json_at *reboot,
                       struct plan_step *s) {
        static const char *const known[] = {"mode", "within", NULL};
        static const char *const foreign[] = {"params", "timeout",      "silence",
                                              "pty",    "on_interrupt", NULL};
        struct json_at at;
        bool flag;
        int r, mode = 0;

        s->kind = PLAN_REBOOT;
        s->within_usec = PLAN_WITHIN_USEC;
        for (size_t i = 0; foreign[i]; i++)
                if (json_get(step, foreign[i], &at) == 0)
                        return json_fail(&at,
                                         "%s goes with a diag or an exec; a reboot has mode and "
                                         "within, such as { \"reboot\": { \"within\": \"5m\" } }",
                                         foreign[i]);
        if (json_type(reboot) == JSON_BOOL) {
                r = json_bool(reboot, &flag);
                if (r == 0 && !flag)
                        return json_fail(reboot, "a step that does not reboot is left out");
                return r;
        }
        if (json_type(reboot) != JSON_OBJECT)
                return json_fail(reboot, "reboot is true or an object such as "
                                         "{ \"mode\": \"graceful\", \"within\": \"10m\" }");
        r = json_only(reboot, known);
        if (r == 0)
                r = json_get(reboot, "mode", &at);
        if (r == 0)
                r = json_enum(&at, mode_names, &mode);
        else if (r == JSON_ABSENT)
                r = 0;
        if (r != 0)
                return r;
        s->force = mode == 1;
        r = json_get(reboot, "within", &at);
        if (r == JSON_ABSENT)
                return 0;
        if (r == 0)
                r = json_duration(&at, &s->within_usec);
        if (r == 0 && (s->within_usec < USEC_PER_SEC || s->within_usec > WITHIN_MAX_USEC))
                return json_fail(&at, "within is a time from 1s to 24h");
        return r;
}

/* "3d" */
static int read_return(const struct json_at *step, const struct json_at *within,
                       struct plan_step *s) {
        static const char *const foreign[] = {"params", "timeout",      "silence",
                                              "pty",    "on_interrupt", NULL};
        struct json_at at;
        int r;

        s->kind = PLAN_RETURN;
        for (size_t i = 0; foreign[i]; i++)
                if (json_get(step, foreign[i], &at) == 0)
                        return json_fail(&at,
                                         "%s goes with a diag or an exec; expect_return is a time "
                                         "alone, such as { \"expect_return\": \"3d\" }",
                                         foreign[i]);
        r = json_duration(within, &s->within_usec);
        if (r == 0 && (s->within_usec < USEC_PER_SEC || s->within_usec > RETURN_MAX_USEC))
                return json_fail(within, "a machine is expected back within 1s to 366d");
        return r;
}

/* "fail", "continue", "retry", or { "retry": 3 }. */
static int read_interrupt(const struct json_at *at, struct plan_step *s) {
        static const char *const known[] = {"retry", NULL};
        struct json_at count;
        uint64_t retries = 1;
        int r, which = PLAN_INTERRUPT_RETRY;

        if (json_type(at) == JSON_OBJECT) {
                r = json_only(at, known);
                if (r == 0)
                        r = json_get(at, "retry", &count);
                if (r == JSON_ABSENT)
                        return json_fail(at, "on_interrupt is fail, continue, retry or "
                                             "{ \"retry\": 3 }");
                if (r == 0)
                        r = json_u64(&count, &retries);
                if (r == 0 && (retries == 0 || retries > PLAN_RETRIES_MAX))
                        return json_fail(&count, "retry is a number from 1 to %d",
                                         PLAN_RETRIES_MAX);
        } else {
                r = json_enum(at, interrupt_names, &which);
        }
        if (r != 0)
                return r;
        s->on_interrupt = (enum plan_interrupt)which;
        s->retries = s->on_interrupt == PLAN_INTERRUPT_RETRY ? (unsigned)retries : 0;
        return 0;
}

/* What a diag and an exec have in common. */
static int read_process(const struct json_at *at, struct plan_step *s) {
        struct json_at pty, interrupt;
        bool flag;
        int r;

        r = json_get_duration(at, "timeout", &s->timeout_usec);
        if (r == 0)
                r = json_get_duration(at, "silence", &s->silence_usec);
        if (r == 0)
                r = json_get(at, "on_interrupt", &interrupt);
        if (r == 0)
                r = read_interrupt(&interrupt, s);
        else if (r == JSON_ABSENT)
                r = 0;
        if (r != 0)
                return r;
        r = json_get(at, "pty", &pty);
        if (r == JSON_ABSENT)
                return 0;
        if (r == 0)
                r = json_bool(&pty, &flag);
        if (r != 0)
                return r;
        s->pty = flag;
        s->pty_given = true;
        return 0;
}

static int read_step(const struct json_at *at, struct arena *a, struct plan_step *s) {
        static const char *const known[] = {"diag",          "params", "exec",         "timeout",
                                            "silence",       "pty",    "on_interrupt", "reboot",
                                            "expect_return", NULL};
        static const char *const kinds[] = {"diag", "exec", "reboot", "expect_return"};
        struct json_at what = {0}, other;
        size_t kind = ARRAY_SIZE(kinds);
        int r;

        *s = (struct plan_step){.pty = -1};
        r = json_only(at, known);
        if (r != 0)
                return r;
        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
                if (json_get(at, kinds[i], &other) != 0)
                        continue;
                if (kind < ARRAY_SIZE(kinds))
                        return json_fail(at,
                                         "a step has one of diag, exec, reboot, "
                                         "expect_return; this one has both %s and %s",
                                         kinds[kind], kinds[i]);
                kind = i;
                what = other;
        }
        if (kind == ARRAY_SIZE(kinds))
                return json_fail(
                        at, "a step has one of diag, exec, reboot, expect_return; this one has "
                            "none of them");
        if (kind == 2)
                return read_reboot(at, &what, s);
        if (kind == 3)
                return read_return(at, &what, s);
        r = kind == 0 ? read_diag(at, &what, a, s) : read_exec(at, &what, a, s);
        return r == 0 ? read_process(at, s) : r;
}

static int read_steps(const struct json_at *at, struct arena *a, struct plan *p) {
        struct plan_step *steps;
        struct json_at list, at_step;
        size_t n;
        int r;

        r = json_get(at, "steps", &list);
        if (r == JSON_ABSENT)
                return json_fail(at, "a plan has \"steps\": [ … ]; there are none");
        if (r != 0)
                return r;
        n = json_length(&list);
        if (json_type(&list) != JSON_ARRAY || n == 0)
                return json_fail(&list, "steps is a list of at least one step");
        if (n > PLAN_STEPS_MAX)
                return json_fail(&list, "more than %d steps", PLAN_STEPS_MAX);
        steps = arena_alloc(a, n * sizeof(*steps));
        if (!steps)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = json_item(&list, i, &at_step);
                if (r == 0)
                        r = read_step(&at_step, a, &steps[i]);
                if (r != 0)
                        return r;
        }
        p->steps = steps;
        p->n_steps = n;
        return 0;
}

/* The first step's diagnostic, or its program without the directory. */
static int name_by_step(const struct plan_step *s, struct arena *a, const char **ret) {
        const char *name = NULL, *slash;
        size_t len;

        switch (s->kind) {
        case PLAN_DIAG:
                name = s->diag;
                break;
        case PLAN_EXEC:
                slash = strrchr(s->argv[0], '/');
                name = slash && slash[1] ? slash + 1 : s->argv[0];
                break;
        case PLAN_REBOOT:
                name = "reboot";
                break;
        case PLAN_RETURN:
                name = "away";
                break;
        }
        assert(name);
        len = strnlen(name, NAME_MAX_LEN);
        while (name[len] && len > 0 && ((unsigned char)name[len] & 0xc0) == 0x80)
                len--;
        char *copy = arena_strndup(a, name, len);
        if (!copy)
                return -ENOMEM;
        for (char *p = copy; *p; p++)
                if (iscntrl((unsigned char)*p))
                        *p = '?';
        *ret = copy;
        return 0;
}

static int read_budget(const struct json_at *at, struct plan *p) {
        struct json_at budget, over;
        int r, k = 0;

        r = json_get(at, "disk_budget", &budget);
        if (r == 0)
                r = json_bytes(&budget, &p->disk_budget);
        if (r == 0 && p->disk_budget < PLAN_BUDGET_MIN)
                return json_fail(&budget, "disk_budget is at least %d bytes", PLAN_BUDGET_MIN);
        if (r != 0 && r != JSON_ABSENT)
                return r;
        r = json_get(at, "over_budget", &over);
        if (r == 0)
                r = json_enum(&over, over_names, &k);
        p->head_tail = k == 1;
        return r == JSON_ABSENT ? 0 : r;
}

int plan_read(const struct json_at *at, struct arena *a, struct plan *ret) {
        static const char *const known[] = {"name", "steps", "disk_budget", "over_budget", NULL};
        struct plan p = {0};
        struct json_at name;
        int r;

        if (json_type(at) != JSON_OBJECT)
                return json_fail(at, "a plan is an object such as "
                                     "{ \"steps\": [ { \"diag\": \"memory\" } ] }");
        r = json_only(at, known);
        if (r == 0)
                r = read_steps(at, a, &p);
        if (r != 0)
                return r;
        assert(p.steps);
        r = read_budget(at, &p);
        if (r != 0)
                return r;
        r = json_get(at, "name", &name);
        if (r == 0) {
                r = read_text(&name, a, NAME_MAX_LEN, true, &p.name);
                if (r == 0 && !p.name[0])
                        r = json_fail(&name, "the name is empty");
        } else if (r == JSON_ABSENT) {
                r = name_by_step(&p.steps[0], a, &p.name);
        }
        if (r != 0)
                return r;
        *ret = p;
        return 0;
}

static void put_duration(struct json_writer *w, const char *key, uint64_t usec) {
        CLEANUP(buf_done) struct buf text = {0};

        if (usec == 0)
                return;
        if (usec % USEC_PER_SEC == 0) {
                json_put_u64(w, key, usec / USEC_PER_SEC);
                return;
        }
        if (buf_printf(&text, "%juus", (uintmax_t)usec) < 0)
                w->out->failed = true;
        json_put_str(w, key, buf_text(&text));
}

static void put_diag(struct json_writer *w, const struct plan_step *s) {
        json_put_str(w, "diag", s->diag);
        if (s->n_params == 0)
                return;
        json_begin_object(w, "params");
        for (size_t i = 0; i < s->n_params; i++)
                json_put_str(w, s->params[i].name, s->params[i].value);
        json_end_object(w);
}

static void put_exec(struct json_writer *w, const struct plan_step *s) {
        json_begin_array(w, "exec");
        for (size_t i = 0; i < s->n_argv; i++)
                json_put_str(w, NULL, s->argv[i]);
        json_end_array(w);
}

static void put_reboot(struct json_writer *w, const struct plan_step *s) {
        json_begin_object(w, "reboot");
        json_put_str(w, "mode", mode_names[s->force]);
        put_duration(w, "within", s->within_usec);
        json_end_object(w);
}

static void put_interrupt(struct json_writer *w, const struct plan_step *s) {
        switch (s->on_interrupt) {
        case PLAN_INTERRUPT_FAIL:
                break;
        case PLAN_INTERRUPT_CONTINUE:
                json_put_str(w, "on_interrupt", interrupt_names[s->on_interrupt]);
                break;
        case PLAN_INTERRUPT_RETRY:
                json_begin_object(w, "on_interrupt");
                json_put_u64(w, "retry", s->retries);
                json_end_object(w);
                break;
        }
}

static void put_step(struct json_writer *w, const struct plan_step *s) {
        json_begin_object(w, NULL);
        switch (s->kind) {
        case PLAN_DIAG:
                put_diag(w, s);
                break;
        case PLAN_EXEC:
                put_exec(w, s);
                break;
        case PLAN_REBOOT:
                put_reboot(w, s);
                break;
        case PLAN_RETURN:
                put_duration(w, "expect_return", s->within_usec);
                break;
        }
        put_duration(w, "timeout", s->timeout_usec);
        put_duration(w, "silence", s->silence_usec);
        if (s->pty_given)
                json_put_bool(w, "pty", s->pty != 0);
        put_interrupt(w, s);
        json_end_object(w);
}

int plan_write(const struct plan *p, struct buf *out) {
        struct json_writer w;

        json_writer_init(&w, out);
        json_begin_object(&w, NULL);
        json_put_str(&w, "name", p->name);
        json_begin_array(&w, "steps");
        for (size_t i = 0; i < p->n_steps; i++)
                put_step(&w, &p->steps[i]);
        json_end_array(&w);
        if (p->disk_budget)
                json_put_u64(&w, "disk_budget", p->disk_budget);
        if (p->head_tail)
                json_put_str(&w, "over_budget", over_names[1]);
        json_end_object(&w);
        return buf_check(out);
}

/* As one would type it: quoted where a shell would ask for it, without control characters. */
static void title_word(struct buf *out, const char *word) {
        static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    "_-+=./:,@%";
        bool quote = !word[0] || word[strspn(word, plain)];

        if (quote)
                buf_putc(out, '\'');
        for (size_t i = 0; word[i] && i < TITLE_MAX; i++)
                buf_putc(out, iscntrl((unsigned char)word[i]) ? '?' : word[i]);
        if (quote)
                buf_putc(out, '\'');
}

int plan_step_title(const struct plan_step *s, struct buf *out) {
        size_t from = out->len, len;

        if (s->kind == PLAN_DIAG)
                title_word(out, s->diag);
        if (s->kind == PLAN_REBOOT)
                buf_puts(out, s->force ? "reboot (force)" : "reboot");
        if (s->kind == PLAN_RETURN) {
                buf_puts(out, "away, back within ");
                units_print_duration(out, s->within_usec);
        }
        for (size_t i = 0; i < s->n_params && out->len - from <= TITLE_MAX; i++) {
                buf_putc(out, ' ');
                title_word(out, s->params[i].name);
                buf_putc(out, '=');
                title_word(out, s->params[i].value);
        }
        for (size_t i = 0; i < s->n_argv && out->len - from <= TITLE_MAX; i++) {
                if (i > 0)
                        buf_putc(out, ' ');
                title_word(out, s->argv[i]);
        }
        if (buf_check(out) == 0 && out->len - from > TITLE_MAX) {
                len = from + TITLE_MAX - 3;
                while (len > from && ((unsigned char)out->data[len] & 0xc0) == 0x80)
                        len--;
                buf_truncate(out, len);
                buf_puts(out, "…");
        }
        return buf_check(out);
}
