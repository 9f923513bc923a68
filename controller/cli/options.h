/*
 * Options: rows that parse themselves, and say what they are.
 *
 * A verb has a struct for its options and a table of rows, each with the member it sets and its own
 * help; usage, manual and completion are made from the same rows. A row whose member has the wrong
 * C type does not compile. Options may stand between operands; "--" ends them.
 *
 * Pure: errors are sentences for the caller to print.
 */
#pragma once

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
        OPTION_FLAG,     /* bool */
        OPTION_TEXT,     /* const char * */
        OPTION_DURATION, /* uint64_t, microseconds */
        OPTION_NUMBER,   /* uint64_t */
};

struct option_row {
        char letter;         /* 0: none */
        const char *name;    /* without the dashes; NULL ends the table */
        const char *metavar; /* NULL for flags */
        const char *help;    /* a phrase, begins with a capital letter, no full stop */
        enum option_kind kind;
        size_t offset;
};

/* 0, and an error unless member @m of @s is of type @t. */
#define OPTION_IS(s, m, t)                                                                         \
        (sizeof(struct {                                                                           \
                 _Static_assert(__builtin_types_compatible_p(__typeof__(((s *)0)->m), t),          \
                                "wrong type for this row: " #s "." #m);                            \
                 char ok;                                                                          \
         }) *                                                                                      \
         0)
#define OPTION_FLAG_ROW(s, m, letter_, name_, help_)                                               \
        { letter_, name_, NULL, help_, OPTION_FLAG, offsetof(s, m) + OPTION_IS(s, m, bool) }
#define OPTION_TEXT_ROW(s, m, letter_, name_, metavar_, help_)                                     \
        {                                                                                          \
                letter_, name_, metavar_, help_, OPTION_TEXT,                                      \
                        offsetof(s, m) + OPTION_IS(s, m, const char *)                             \
        }
#define OPTION_DURATION_ROW(s, m, letter_, name_, metavar_, help_)                                 \
        {                                                                                          \
                letter_, name_, metavar_, help_, OPTION_DURATION,                                  \
                        offsetof(s, m) + OPTION_IS(s, m, uint64_t)                                 \
        }
#define OPTION_NUMBER_ROW(s, m, letter_, name_, metavar_, help_)                                   \
        {                                                                                          \
                letter_, name_, metavar_, help_, OPTION_NUMBER,                                    \
                        offsetof(s, m) + OPTION_IS(s, m, uint64_t)                                 \
        }
#define OPTION_END_ROW                                                                             \
        { 0, NULL, NULL, NULL, OPTION_FLAG, 0 }

/* A table and where its values go. */
struct option_set {
        const struct option_row *rows; /* NULL: none */
        void *values;
};

enum {
        OPTIONS_BAD = 1,
};

/*
 * Reads @argv[0..@argc-1] into the @n_sets sets (earlier ones win). Operands are moved to the front of @argv, in
 * order; *ret_n is how many there are and *ret_dashes how many stood before "--" (*ret_n when there
 * was none); @ret_dashed tells the two cases apart. With @until_operand the first operand ends the
 * options too, and it and the rest are the operands.
 *
 * Returns 0, OPTIONS_BAD with a sentence in @error, or -ENOMEM.
 */
int options_read(char **argv, int argc, const struct option_set *sets, size_t n_sets,
                 bool until_operand, int *ret_n, int *ret_dashes, bool *ret_dashed,
                 struct buf *error);

/* "-x, --name VALUE" */
int options_print_name(const struct option_row *row, struct buf *out);
/* One aligned line a row. */
int options_print_help(const struct option_row *rows, struct buf *out);
