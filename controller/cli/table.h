/*
 * Tables for people: columns as wide as their widest cell, two blanks between them.
 *
 * Cells are made safe (term_safe) when they are put in, so a name from a target cannot paint. A column
 * in which no row has text is left out. The last column is cut to the width of the terminal.
 *
 * Pure.
 */
#pragma once

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define TABLE_COLUMNS_MAX 12

enum table_tone {
        TABLE_PLAIN,
        TABLE_GOOD,
        TABLE_BAD,
        TABLE_WARN,
        TABLE_FAINT,
};

struct table_cell {
        char *text; /* NULL: empty */
        size_t columns;
        enum table_tone tone;
};

struct table {
        const char *const *heads; /* ends with NULL; borrowed */
        size_t n_columns;
        struct table_cell *cells; /* row by row */
        size_t n;
        size_t cap;
        bool failed;
};

/* A zeroed table with these columns. */
void table_init(struct table *t, const char *const *heads);
void table_done(struct table *t);
DEFINE_CLEANUP_DONE(struct table, table_done)

/* Puts in the next cell, from left to right, row by row. NULL: empty. Failures stick. */
void table_put(struct table *t, enum table_tone tone, const char *text);
void table_printf(struct table *t, enum table_tone tone, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
size_t table_rows(const struct table *t);
/* @width 0: as wide as it gets; @rows 0: all. Every line ends with @eol. Returns 0 or -ENOMEM. */
int table_print(const struct table *t, size_t width, size_t rows, bool colour, const char *eol,
                struct buf *out);
/* The escape sequence of a tone, "" without colour; tone_end ends it. */
const char *tone_begin(enum table_tone tone, bool colour);
const char *tone_end(enum table_tone tone, bool colour);
