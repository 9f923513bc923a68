#include "proto/param.h"

#include "proto/base/clock.h"
#include "proto/units.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <regex.h>
#include <stdlib.h>
#include <string.h>

#define QUOTE_MAX 64
#define VALUES_MAX 64

static const char *const type_names[] = {
        [PARAM_INT] = "int",
        [PARAM_BYTES] = "bytes",
        [PARAM_DURATION] = "duration",
        [PARAM_STRING] = "string",
        [PARAM_ENUM] = "enum",
        [PARAM_BOOL] = "bool",
        NULL,
};

const char *param_type_name(enum param_type type) {
        return type_names[type];
}

const char *param_quote(const char *text, struct arena *a) {
        size_t len = strnlen(text, QUOTE_MAX + 1);
        bool cut = len > QUOTE_MAX;
        char *copy, *quoted;

        if (cut) {
                len = QUOTE_MAX;
                while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
                        len--;
        }
        copy = arena_strndup(a, text, len);
        if (!copy)
                return NULL;
        for (char *p = copy; *p; p++)
                if (iscntrl((unsigned char)*p))
                        *p = '?';
        quoted = arena_printf(a, "\"%s%s\"", copy, cut ? "…" : "");
        return quoted;
}

static const char *join(const char *const *values, struct arena *a) {
        const char *text = "";

        for (size_t i = 0; text && values[i]; i++)
                text = arena_printf(a, "%s%s%s", text, i > 0 ? ", " : "", values[i]);
        return text;
}

const char *param_describe(const struct param *p, struct arena *a) {
        switch (p->type) {
        case PARAM_INT:
                return "a whole number";
        case PARAM_BYTES:
                return "a number of bytes such as 64M";
        case PARAM_DURATION:
                return "a duration such as 30s or 1h30m";
        case PARAM_STRING:
                if (p->pattern)
                        return arena_printf(a, "a text that matches %s", p->pattern);
                return "a text that does not begin with a dash";
        case PARAM_ENUM: {
                const char *list = join(p->values, a);

                return list ? arena_printf(a, "one of %s", list) : NULL;
        }
        case PARAM_BOOL:
                return "true or false";
        }
        return NULL;
}

static int refuse(const struct param *p, const char *text, struct arena *a, const char **ret_why) {
        const char *what = param_describe(p, a), *quoted = param_quote(text, a);

        if (!what || !quoted)
                return -ENOMEM;
        *ret_why = arena_printf(a, "must be %s, not %s", what, quoted);
        return *ret_why ? PARAM_REFUSED : -ENOMEM;
}

static int refuse_range(const struct param *p, const char *text, struct arena *a,
                        const char **ret_why) {
        if (p->min && p->max)
                *ret_why =
                        arena_printf(a, "must be between %s and %s, not %s", p->min, p->max, text);
        else if (p->min)
                *ret_why = arena_printf(a, "must be at least %s, not %s", p->min, text);
        else
                *ret_why = arena_printf(a, "must be at most %s, not %s", p->max, text);
        return *ret_why ? PARAM_REFUSED : -ENOMEM;
}

/* Returns 0, or 1 when @text is no number of that type. */
static int parse_number(enum param_type type, const char *text, int64_t *ret) {
        uint64_t value = 0;
        char *end;

        if (type == PARAM_INT) {
                if (!isdigit((unsigned char)text[text[0] == '-']))
                        return 1;
                errno = 0;
                *ret = strtoll(text, &end, 10);
                return errno != 0 || *end ? 1 : 0;
        }
        if (type == PARAM_BYTES ? units_parse_bytes(text, &value)
                                : units_parse_duration(text, &value))
                return 1;
        if (value > INT64_MAX)
                return 1;
        *ret = (int64_t)value;
        return 0;
}

/* "90", or "0.25": no more digits than it takes. */
static int seconds_value(int64_t usec, struct arena *a, const char **ret_value) {
        char *text = arena_printf(a, "%" PRId64 ".%06" PRId64, usec / (int64_t)USEC_PER_SEC,
                                  usec % (int64_t)USEC_PER_SEC);
        size_t len;

        if (!text)
                return -ENOMEM;
        len = strlen(text);
        while (text[len - 1] == '0')
                len--;
        text[text[len - 1] == '.' ? len - 1 : len] = '\0';
        *ret_value = text;
        return 0;
}

static int number_value(const struct param *p, const char *text, struct arena *a,
                        const char **ret_value, const char **ret_why) {
        int64_t value;

        if (parse_number(p->type, text, &value) != 0)
                return refuse(p, text, a, ret_why);
        if ((p->min && value < p->min_value) || (p->max && value > p->max_value))
                return refuse_range(p, text, a, ret_why);
        if (p->type == PARAM_DURATION)
                return seconds_value(value, a, ret_value);
        *ret_value = arena_printf(a, "%" PRId64, value);
        return *ret_value ? 0 : -ENOMEM;
}

/* Returns 0 when @text as a whole matches, 1 when not, -EINVAL for a bad pattern (ret_why), -ENOMEM. */
static int match(const char *pattern, const char *text, struct arena *a, const char **ret_why) {
        char *whole = arena_printf(a, "^(%s)$", pattern), why[128];
        regex_t regex;
        int r;

        if (!whole)
                return -ENOMEM;
        r = regcomp(&regex, whole, REG_EXTENDED | REG_NOSUB);
        if (r == REG_ESPACE)
                return -ENOMEM;
        if (r != 0) {
                regerror(r, &regex, why, sizeof(why));
                *ret_why = arena_strdup(a, why);
                return *ret_why ? -EINVAL : -ENOMEM;
        }
        r = regexec(&regex, text, 0, NULL, 0);
        regfree(&regex);
        return r == REG_ESPACE ? -ENOMEM : r != 0;
}

static int string_value(const struct param *p, const char *text, struct arena *a,
                        const char **ret_value, const char **ret_why) {
        int r = p->pattern ? match(p->pattern, text, a, ret_why) : text[0] == '-';

        if (r < 0)
                return r;
        for (const char *c = text; *c; c++)
                r |= iscntrl((unsigned char)*c) != 0;
        if (r != 0)
                return refuse(p, text, a, ret_why);
        *ret_value = text;
        return 0;
}

static int word_value(const struct param *p, const char *text, struct arena *a,
                      const char **ret_value, const char **ret_why) {
        static const char *const bools[] = {"true", "false", NULL};
        const char *const *words = p->type == PARAM_BOOL ? bools : p->values;

        for (size_t i = 0; words[i]; i++)
                if (strcmp(words[i], text) == 0) {
                        *ret_value = words[i];
                        return 0;
                }
        return refuse(p, text, a, ret_why);
}

int param_value(const struct param *p, const char *text, struct arena *a, const char **ret_value,
                const char **ret_why) {
        if (!text[0] && p->fallback && !p->fallback[0]) {
                *ret_value = "";
                return 0;
        }
        switch (p->type) {
        case PARAM_INT:
        case PARAM_BYTES:
        case PARAM_DURATION:
                return number_value(p, text, a, ret_value, ret_why);
        case PARAM_STRING:
                return string_value(p, text, a, ret_value, ret_why);
        case PARAM_ENUM:
        case PARAM_BOOL:
                return word_value(p, text, a, ret_value, ret_why);
        }
        return -EINVAL;
}

/* A string, or a number or boolean as it was written. @ret stays NULL when the key is absent. */
static int read_written(const struct json_at *at, const char *key, struct arena *a,
                        const char **ret) {
        CLEANUP(buf_done) struct buf printed = {0};
        struct json_at value;
        const char *text = NULL;
        int r;

        r = json_get(at, key, &value);
        if (r == JSON_ABSENT)
                return 0;
        if (r != 0)
                return r;
        if (json_type(&value) == JSON_NUMBER || json_type(&value) == JSON_BOOL) {
                r = json_print(&value, &printed);
                text = buf_text(&printed);
        } else {
                r = json_str(&value, &text);
        }
        if (r != 0)
                return r;
        *ret = arena_strdup(a, text);
        return *ret ? 0 : -ENOMEM;
}

static int read_bound(const struct json_at *at, const char *key, struct arena *a,
                      const struct param *p, const char **ret, int64_t *ret_value) {
        int r = read_written(at, key, a, ret);

        if (r != 0 || !*ret)
                return r;
        if (p->type != PARAM_INT && p->type != PARAM_BYTES && p->type != PARAM_DURATION)
                return json_fail(at, "%s goes with int, bytes and duration only", key);
        if (parse_number(p->type, *ret, ret_value) != 0)
                return json_fail(at, "%s must be %s, not \"%s\"", key, param_describe(p, a), *ret);
        return 0;
}

static int read_pattern(const struct json_at *at, struct arena *a, struct param *p) {
        const char *text = NULL, *why = NULL;
        int r;

        r = json_get_str(at, "pattern", &text);
        if (r != 0 || !text)
                return r;
        if (p->type != PARAM_STRING)
                return json_fail(at, "pattern goes with string only");
        p->pattern = arena_strdup(a, text);
        if (!p->pattern)
                return -ENOMEM;
        r = match(p->pattern, "", a, &why);
        if (r == -EINVAL)
                return json_fail(at, "pattern \"%s\" is no extended regular expression: %s",
                                 p->pattern, why);
        return r < 0 ? r : 0;
}

static int read_values(const struct json_at *at, struct arena *a, struct param *p) {
        struct json_at list, item;
        const char **values, *text;
        size_t n;
        int r;

        r = json_get(at, "values", &list);
        if (r == JSON_ABSENT)
                return p->type == PARAM_ENUM ? json_fail(at, "an enum needs values") : 0;
        if (r != 0)
                return r;
        if (p->type != PARAM_ENUM)
                return json_fail(at, "values goes with enum only");
        n = json_length(&list);
        if (json_type(&list) != JSON_ARRAY || n == 0 || n > VALUES_MAX)
                return json_fail(&list, "values is a list of 1 to %d words", VALUES_MAX);
        values = arena_alloc(a, (n + 1) * sizeof(*values));
        if (!values)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = json_item(&list, i, &item);
                if (r == 0)
                        r = json_str(&item, &text);
                if (r != 0)
                        return r;
                values[i] = arena_strdup(a, text);
                if (!values[i])
                        return -ENOMEM;
        }
        p->values = values;
        return 0;
}

static bool good_name(const char *name) {
        size_t len = strlen(name);

        return len > 0 && len <= 32 && islower((unsigned char)name[0]) &&
               len == strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
}

static int read_type(const struct json_at *at, struct param *p) {
        struct json_at type;
        int r, i;

        r = json_get(at, "type", &type);
        if (r == JSON_ABSENT)
                return json_fail(at, "type is missing: int, bytes, duration, string, enum or bool");
        if (r == 0)
                r = json_enum(&type, type_names, &i);
        if (r == 0)
                p->type = (enum param_type)i;
        return r;
}

int param_read(const struct json_at *at, struct arena *a, struct param *ret) {
        static const char *const known[] = {"type", "default", "help",   "min",
                                            "max",  "pattern", "values", NULL};
        struct param p = {0};
        const char *help = NULL, *value, *why = "";
        int r;

        if (json_type(at) != JSON_OBJECT || !at->key)
                return json_fail(at, "a parameter is an object with a type");
        if (!good_name(at->key))
                return json_fail(at, "a parameter's name is made of a-z, 0-9 and _");
        r = json_only(at, known);
        if (r == 0)
                r = read_type(at, &p);
        if (r == 0)
                r = read_pattern(at, a, &p);
        if (r == 0)
                r = read_values(at, a, &p);
        if (r == 0)
                r = read_bound(at, "min", a, &p, &p.min, &p.min_value);
        if (r == 0)
                r = read_bound(at, "max", a, &p, &p.max, &p.max_value);
        if (r == 0)
                r = read_written(at, "default", a, &p.fallback);
        if (r == 0)
                r = json_get_str(at, "help", &help);
        if (r != 0)
                return r;
        p.name = arena_strdup(a, at->key);
        p.help = help ? arena_strdup(a, help) : NULL;
        if (!p.name || (help && !p.help))
                return -ENOMEM;
        if (p.min && p.max && p.min_value > p.max_value)
                return json_fail(at, "min is greater than max");
        if (p.fallback && p.fallback[0]) {
                r = param_value(&p, p.fallback, a, &value, &why);
                if (r < 0)
                        return r;
                if (r != 0)
                        return json_fail(at, "the default %s", why);
        }
        *ret = p;
        return 0;
}
