#include "controller/cli/options.h"

#include "proto/base/nearest.h"
#include "proto/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OPTIONS_NAMES_MAX 64

static const struct option_row *options_by_name(const struct option_set *sets, size_t n_sets,
                                                const char *name, size_t len, void **ret_values) {
        for (size_t s = 0; s < n_sets; s++)
                for (const struct option_row *row = sets[s].rows; row && row->name; row++)
                        if (strncmp(row->name, name, len) == 0 && row->name[len] == '\0') {
                                *ret_values = sets[s].values;
                                return row;
                        }
        return NULL;
}

static const struct option_row *options_by_letter(const struct option_set *sets, size_t n_sets,
                                                  char letter, void **ret_values) {
        for (size_t s = 0; s < n_sets; s++)
                for (const struct option_row *row = sets[s].rows; row && row->name; row++)
                        if (row->letter == letter) {
                                *ret_values = sets[s].values;
                                return row;
                        }
        return NULL;
}

static int options_unknown(const struct option_set *sets, size_t n_sets, const char *name,
                           struct buf *error) {
        const char *names[OPTIONS_NAMES_MAX + 1];
        const char *near;
        size_t n = 0;

        for (size_t s = 0; s < n_sets; s++)
                for (const struct option_row *row = sets[s].rows; row && row->name; row++)
                        if (n < OPTIONS_NAMES_MAX)
                                names[n++] = row->name;
        names[n] = NULL;
        near = nearest(name, names);
        buf_printf(error, "there is no option --%s", name);
        if (near)
                buf_printf(error, "; did you mean --%s?", near);
        return buf_check(error) < 0 ? -ENOMEM : OPTIONS_BAD;
}

/* @value is "" for flags. */
static int options_set(const struct option_row *row, void *values, const char *value,
                       struct buf *error) {
        void *at = (char *)values + row->offset;
        char *end = NULL;
        unsigned long long number;

        switch (row->kind) {
        case OPTION_FLAG:
                *(bool *)at = true;
                return 0;
        case OPTION_TEXT:
                *(const char **)at = value;
                return 0;
        case OPTION_DURATION:
                if (units_parse_duration(value, (uint64_t *)at) == 0)
                        return 0;
                buf_printf(error,
                           "--%s: \"%s\" is not a duration; examples: 90s, 10m, 1h30m, 250ms",
                           row->name, value);
                break;
        case OPTION_NUMBER:
                errno = 0;
                number = strtoull(value, &end, 10);
                if (errno == 0 && *value >= '0' && *value <= '9' && *end == '\0') {
                        *(uint64_t *)at = number;
                        return 0;
                }
                buf_printf(error, "--%s: \"%s\" is not a number", row->name, value);
                break;
        }
        return buf_check(error) < 0 ? -ENOMEM : OPTIONS_BAD;
}

/* One word that begins with "--". Returns how many words more it took in *ret_taken. */
static int options_long(const char *word, const char *next, const struct option_set *sets,
                        size_t n_sets, int *ret_taken, struct buf *error) {
        const char *name = word + 2;
        const char *equals = strchr(name, '=');
        size_t len = equals ? (size_t)(equals - name) : strlen(name);
        const char *value;
        void *values = NULL;
        const struct option_row *row = options_by_name(sets, n_sets, name, len, &values);

        *ret_taken = 0;
        if (!row) {
                CLEANUP(mem_free) char *copy = strndup(name, len);

                return copy ? options_unknown(sets, n_sets, copy, error) : -ENOMEM;
        }
        if (!row->metavar && equals) {
                buf_printf(error, "--%s takes no value", row->name);
                return buf_check(error) < 0 ? -ENOMEM : OPTIONS_BAD;
        }
        value = equals ? equals + 1 : next;
        if (row->metavar && !value) {
                buf_printf(error, "--%s needs a value: --%s %s", row->name, row->name,
                           row->metavar);
                return buf_check(error) < 0 ? -ENOMEM : OPTIONS_BAD;
        }
        *ret_taken = row->metavar && !equals;
        return options_set(row, values, row->metavar && value ? value : "", error);
}

/* One word of letters, "-fn5". */
static int options_short(const char *word, const char *next, const struct option_set *sets,
                         size_t n_sets, int *ret_taken, struct buf *error) {
        *ret_taken = 0;
        for (const char *p = word + 1; *p; p++) {
                void *values = NULL;
                const struct option_row *row = options_by_letter(sets, n_sets, *p, &values);
                int r;

                if (!row) {
                        buf_printf(error, "there is no option -%c", *p);
                        return buf_check(error) < 0 ? -ENOMEM : OPTIONS_BAD;
                }
                if (!row->metavar) {
                        r = options_set(row, values, "", error);
                        if (r != 0)
                                return r;
                        continue;
                }
                if (p[1])
                        return options_set(row, values, p + 1, error);
                if (!next) {
                        buf_printf(error, "-%c needs a value: -%c %s", *p, *p, row->metavar);
                        return buf_check(error) < 0 ? -ENOMEM : OPTIONS_BAD;
                }
                *ret_taken = 1;
                return options_set(row, values, next, error);
        }
        return 0;
}

int options_read(char **argv, int argc, const struct option_set *sets, size_t n_sets,
                 bool until_operand, int *ret_n, int *ret_dashes, bool *ret_dashed,
                 struct buf *error) {
        int n = 0;
        int i = 0;
        int before = -1;

        for (; i < argc; i++) {
                const char *word = argv[i];
                const char *next = i + 1 < argc ? argv[i + 1] : NULL;
                int taken = 0;
                int r;

                if (strcmp(word, "--") == 0) {
                        before = n;
                        i++;
                        break;
                }
                if (word[0] != '-' || word[1] == '\0') {
                        if (until_operand)
                                break;
                        argv[n++] = argv[i];
                        continue;
                }
                r = word[1] == '-' ? options_long(word, next, sets, n_sets, &taken, error)
                                   : options_short(word, next, sets, n_sets, &taken, error);
                if (r != 0)
                        return r;
                i += taken;
        }
        for (; i < argc; i++)
                argv[n++] = argv[i];
        *ret_n = n;
        *ret_dashed = before >= 0;
        *ret_dashes = before >= 0 ? before : n;
        return 0;
}

int options_print_name(const struct option_row *row, struct buf *out) {
        if (row->letter)
                buf_printf(out, "-%c, ", row->letter);
        buf_printf(out, "--%s", row->name);
        if (row->metavar)
                buf_printf(out, " %s", row->metavar);
        return buf_check(out);
}

int options_print_help(const struct option_row *rows, struct buf *out) {
        for (const struct option_row *row = rows; row && row->name; row++) {
                CLEANUP(buf_done) struct buf name = {0};

                options_print_name(row, &name);
                buf_printf(out, "  %s%-*s  %s\n", row->letter ? "" : "    ", row->letter ? 26 : 22,
                           buf_text(&name), row->help);
        }
        return buf_check(out);
}
