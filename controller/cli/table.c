#include "controller/cli/table.h"

#include "controller/cli/term.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

void table_init(struct table *t, const char *const *heads) {
        *t = (struct table){.heads = heads};
        while (heads[t->n_columns])
                t->n_columns++;
        assert(t->n_columns > 0 && t->n_columns <= TABLE_COLUMNS_MAX);
}

void table_done(struct table *t) {
        for (size_t i = 0; i < t->n; i++)
                free(t->cells[i].text);
        free(t->cells);
        t->cells = NULL;
        t->n = t->cap = 0;
}

void table_put(struct table *t, enum table_tone tone, const char *text) {
        CLEANUP(buf_done) struct buf safe = {0};
        struct table_cell *cells;

        if (t->n == t->cap) {
                size_t cap = t->cap ? t->cap * 2 : 64;

                cells = realloc(t->cells, cap * sizeof(*cells));
                if (!cells) {
                        t->failed = true;
                        return;
                }
                t->cells = cells;
                t->cap = cap;
        }
        if (text && *text) {
                term_safe(&safe, text, strlen(text));
                if (buf_check(&safe) < 0)
                        t->failed = true;
        }
        t->cells[t->n].columns = term_columns(buf_text(&safe), safe.len);
        t->cells[t->n].tone = tone;
        t->cells[t->n].text = safe.len > 0 ? buf_steal(&safe) : NULL;
        t->n++;
}

void table_printf(struct table *t, enum table_tone tone, const char *format, ...) {
        CLEANUP(buf_done) struct buf text = {0};
        va_list ap;

        va_start(ap, format);
        buf_vprintf(&text, format, ap);
        va_end(ap);
        if (buf_check(&text) < 0)
                t->failed = true;
        table_put(t, tone, buf_text(&text));
}

size_t table_rows(const struct table *t) {
        return t->n / t->n_columns;
}

const char *tone_begin(enum table_tone tone, bool colour) {
        if (!colour)
                return "";
        switch (tone) {
        case TABLE_PLAIN:
                return "";
        case TABLE_GOOD:
                return "\x1b[32m";
        case TABLE_BAD:
                return "\x1b[31m";
        case TABLE_WARN:
                return "\x1b[33m";
        case TABLE_FAINT:
                return "\x1b[2m";
        }
        return "";
}

const char *tone_end(enum table_tone tone, bool colour) {
        return colour && tone != TABLE_PLAIN ? "\x1b[0m" : "";
}

/* One line; @cells NULL: the heads. */
static void table_line(const struct table *t, const struct table_cell *cells, const size_t *widths,
                       size_t width, bool colour, const char *eol, struct buf *out) {
        size_t used = 0; /* columns printed so far */
        size_t owed = 0; /* blanks before the next cell, only if one follows */

        for (size_t c = 0; c < t->n_columns; c++) {
                const char *text = cells ? cells[c].text : t->heads[c];
                size_t columns = cells ? cells[c].columns : term_columns(text, strlen(text));
                enum table_tone tone = cells ? cells[c].tone : TABLE_FAINT;
                size_t len;

                if (widths[c] == 0)
                        continue;
                if (text) {
                        len = strlen(text);
                        if (width > 0 && used + owed >= width)
                                break;
                        if (width > 0 && used + owed + columns > width)
                                len = term_fit(text, len, width - used - owed);
                        buf_printf(out, "%*s%s", (int)owed, "", tone_begin(tone, colour));
                        buf_append(out, text, len);
                        buf_puts(out, tone_end(tone, colour));
                        used += owed + columns;
                        owed = 0;
                } else {
                        columns = 0;
                }
                owed += widths[c] - columns + 2;
        }
        buf_puts(out, eol);
}

int table_print(const struct table *t, size_t width, size_t rows, bool colour, const char *eol,
                struct buf *out) {
        size_t widths[TABLE_COLUMNS_MAX] = {0};
        size_t n = table_rows(t);

        if (t->failed)
                return -ENOMEM;
        for (size_t i = 0; i < n * t->n_columns; i++)
                if (t->cells[i].columns > widths[i % t->n_columns])
                        widths[i % t->n_columns] = t->cells[i].columns;
        for (size_t c = 0; c < t->n_columns; c++) {
                size_t head = term_columns(t->heads[c], strlen(t->heads[c]));

                if (widths[c] > 0 && head > widths[c])
                        widths[c] = head;
        }
        table_line(t, NULL, widths, width, colour, eol, out);
        if (rows > 0 && rows < n)
                n = rows;
        for (size_t r = 0; r < n; r++)
                table_line(t, t->cells + r * t->n_columns, widths, width, colour, eol, out);
        return buf_check(out);
}
