/*
 * The two small files of a step: what to do (N.spec) and how it ended (N.exit). Shape only.
 */
#include "target/step/step.h"

#include "proto/base/log.h"
#include "proto/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const over_names[] = {"block", "head+tail", NULL};

const char *step_name(unsigned step, unsigned attempt, char ret[static STEP_NAME_SIZE]) {
        if (attempt > 1)
                snprintf(ret, STEP_NAME_SIZE, "%u.%u", step, attempt);
        else
                snprintf(ret, STEP_NAME_SIZE, "%u", step);
        return ret;
}

const char *step_file(unsigned step, unsigned attempt, const char *suffix,
                      char ret[static STEP_NAME_SIZE]) {
        size_t n;

        step_name(step, attempt, ret);
        n = strlen(ret);
        snprintf(ret + n, STEP_NAME_SIZE - n, ".%s", suffix);
        return ret;
}

static void put_strings(struct json_writer *w, const char *key, const char *const *strings) {
        json_begin_array(w, key);
        for (size_t i = 0; strings && strings[i]; i++)
                json_put_str(w, NULL, strings[i]);
        json_end_array(w);
}

static int put_env(struct json_writer *w, const char *const *env) {
        json_begin_object(w, "env");
        for (size_t i = 0; env && env[i]; i++) {
                CLEANUP(buf_done) struct buf name = {0};
                const char *equals = strchr(env[i], '=');

                if (!equals)
                        return -EINVAL;
                if (buf_append(&name, env[i], (size_t)(equals - env[i])) < 0)
                        return -ENOMEM;
                json_put_str(w, buf_text(&name), equals + 1);
        }
        json_end_object(w);
        return 0;
}

int step_spec_write(const struct step_spec *s, struct buf *out) {
        struct json_writer w;
        int r;

        json_writer_init(&w, out);
        json_begin_object(&w, NULL);
        put_strings(&w, "argv", s->argv);
        r = put_env(&w, s->env);
        if (r < 0)
                return r;
        if (s->cwd)
                json_put_str(&w, "cwd", s->cwd);
        json_put_u64(&w, "timeout", s->timeout_usec);
        json_put_u64(&w, "silence", s->silence_usec);
        json_put_u64(&w, "grace", s->grace_usec);
        json_put_u64(&w, "cancel_grace", s->cancel_grace_usec);
        if (s->budget) {
                json_put_u64(&w, "budget", s->budget);
                json_put_str(&w, "over", over_names[s->head_tail]);
                json_put_u64(&w, "hold", s->hold_usec);
        }
        json_put_bool(&w, "pty", s->pty);
        if (s->boot)
                json_put_str(&w, "boot", s->boot);
        json_end_object(&w);
        return buf_check(out);
}

static int read_argv(const struct json_at *root, struct arena *a, struct step_spec *s) {
        struct json_at argv, at;
        const char **strings;
        size_t n;
        int r;

        r = json_get(root, "argv", &argv);
        if (r == JSON_ABSENT || (r == 0 && json_length(&argv) == 0))
                return json_fail(root, "argv is missing or empty");
        if (r != 0)
                return r;
        n = json_length(&argv);
        strings = arena_alloc(a, (n + 1) * sizeof(*strings));
        if (!strings)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const char *text;

                r = json_item(&argv, i, &at);
                if (r == 0)
                        r = json_str(&at, &text);
                if (r != 0)
                        return r;
                strings[i] = arena_strdup(a, text);
                if (!strings[i])
                        return -ENOMEM;
        }
        s->argv = strings;
        return 0;
}

static int read_env(const struct json_at *root, struct arena *a, struct step_spec *s) {
        struct json_at env, at;
        const char **strings;
        size_t n = 0;
        int r;

        r = json_get(root, "env", &env);
        if (r != 0 && r != JSON_ABSENT)
                return r;
        if (r == 0)
                n = json_length(&env);
        strings = arena_alloc(a, (n + 1) * sizeof(*strings));
        if (!strings)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                const char *text;

                r = json_item(&env, i, &at);
                if (r == 0)
                        r = json_str(&at, &text);
                if (r != 0)
                        return r;
                strings[i] = arena_printf(a, "%s=%s", at.key, text);
                if (!strings[i])
                        return -ENOMEM;
        }
        s->env = strings;
        return 0;
}

/* A string that outlives the document. @ret stays as it is when the key is absent. */
static int read_str(const struct json_at *root, const char *key, struct arena *a,
                    const char **ret) {
        const char *text = NULL;
        int r;

        r = json_get_str(root, key, &text);
        if (r != 0 || !text)
                return r;
        *ret = arena_strdup(a, text);
        return *ret ? 0 : -ENOMEM;
}

static int read_budget(const struct json_at *root, struct step_spec *s) {
        struct json_at at;
        int over = 0;
        int r;

        r = json_get_u64(root, "budget", &s->budget);
        if (r == 0)
                r = json_get_u64(root, "hold", &s->hold_usec);
        if (r != 0)
                return r;
        r = json_get(root, "over", &at);
        if (r == 0)
                r = json_enum(&at, over_names, &over);
        s->head_tail = over == 1;
        return r == JSON_ABSENT ? 0 : r;
}

static int read_spec(const struct json_at *root, struct arena *a, struct step_spec *s) {
        int r;

        r = read_argv(root, a, s);
        if (r == 0)
                r = read_env(root, a, s);
        if (r == 0)
                r = read_str(root, "cwd", a, &s->cwd);
        if (r == 0)
                r = read_str(root, "boot", a, &s->boot);
        if (r == 0)
                r = json_get_u64(root, "timeout", &s->timeout_usec);
        if (r == 0)
                r = json_get_u64(root, "silence", &s->silence_usec);
        if (r == 0)
                r = json_get_u64(root, "grace", &s->grace_usec);
        s->cancel_grace_usec = s->grace_usec; /* a spec of before it was told apart */
        if (r == 0)
                r = json_get_u64(root, "cancel_grace", &s->cancel_grace_usec);
        if (r == 0)
                r = read_budget(root, s);
        if (r == 0)
                r = json_get_bool(root, "pty", &s->pty);
        return r;
}

int step_spec_read(const char *path, struct arena *a, struct step_spec *ret) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct step_spec s = {.grace_usec = 5000000, .pty = true};
        struct json_at root;
        int r;

        r = json_parse_file(&doc, path);
        if (r == 0) {
                root = json_root(doc);
                r = read_spec(&root, a, &s);
        }
        if (r == JSON_BAD)
                log_error("%s", json_error(doc));
        if (r != 0)
                return r;
        *ret = s;
        return 0;
}

int step_exit_write(const struct step_exit *e, struct buf *out) {
        struct json_writer w;

        json_writer_init(&w, out);
        json_begin_object(&w, NULL);
        if (e->exit_status >= 0)
                json_put_i64(&w, "exit", e->exit_status);
        if (e->signal > 0)
                json_put_i64(&w, "signal", e->signal);
        if (e->cause)
                json_put_str(&w, "cause", e->cause);
        if (e->text)
                json_put_str(&w, "text", e->text);
        json_put_u64(&w, "elapsed", e->elapsed_usec);
        json_put_u64(&w, "size", e->size);
        if (e->dropped)
                json_put_u64(&w, "dropped", e->dropped);
        if (e->sha256)
                json_put_str(&w, "sha256", e->sha256);
        json_end_object(&w);
        return buf_check(out);
}

static int read_small(const struct json_at *root, const char *key, int *ret) {
        int64_t value = *ret;
        int r;

        r = json_get_i64(root, key, &value);
        if (r != 0)
                return r;
        if (value < -1 || value > 255)
                return json_fail(root, "%s is out of range", key);
        *ret = (int)value;
        return 0;
}

static int read_exit(const struct json_at *root, struct arena *a, struct step_exit *e) {
        int r;

        r = read_small(root, "exit", &e->exit_status);
        if (r == 0)
                r = read_small(root, "signal", &e->signal);
        if (r == 0)
                r = read_str(root, "cause", a, &e->cause);
        if (r == 0)
                r = read_str(root, "text", a, &e->text);
        if (r == 0)
                r = json_get_u64(root, "elapsed", &e->elapsed_usec);
        if (r == 0)
                r = json_get_u64(root, "size", &e->size);
        if (r == 0)
                r = json_get_u64(root, "dropped", &e->dropped);
        if (r == 0)
                r = read_str(root, "sha256", a, &e->sha256);
        if (r == 0 && e->exit_status < 0 && e->signal <= 0 && !e->cause)
                r = json_fail(root, "one of exit, signal, cause is required");
        return r;
}

int step_exit_read(const char *path, struct arena *a, struct step_exit *ret) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct step_exit e = {.exit_status = -1};
        struct json_at root;
        int r;

        r = json_parse_file(&doc, path);
        if (r == 0) {
                root = json_root(doc);
                r = read_exit(&root, a, &e);
        }
        if (r == JSON_BAD)
                log_error("%s", json_error(doc));
        if (r != 0)
                return r;
        *ret = e;
        return 0;
}
