/*
 * Terminal filter: what a terminal may be shown of bytes that a target wrote.
 *
 * One line is held as cells, as a terminal would hold it: a carriage return goes back to its
 * beginning, a backspace one cell back, "erase in line" erases; so progress displays arrive as their
 * last state. Colours (SGR) and bells are dropped. Every other control byte, C1 control, escape sequence and
 * direction override becomes visible text ("\x1b"), every byte that is not UTF-8 becomes U+FFFD. Nothing that
 * leaves here can move a cursor, set a title or answer a query.
 *
 * Pure. It does not know whether there is a terminal; the caller does.
 */
#pragma once

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TERM_CELLS_MAX 8192 /* a longer line comes in pieces */
#define TERM_ESCAPE_MAX 32

struct term {
        uint32_t *cells;
        size_t n;
        size_t cap;
        size_t cursor;
        char escape[TERM_ESCAPE_MAX]; /* an escape sequence or character whose end has not come */
        size_t escape_len;
        bool changed; /* something was written since the last term_text() */
};

enum term_event {
        TERM_MORE,  /* everything was eaten, the line is open */
        TERM_LINE,  /* a line end was eaten: take the text, then term_next() */
        TERM_PIECE, /* the line is too long: take the text, then term_next(); the line goes on */
};

/* Eats up to the next event. Returns 0 or -ENOMEM. */
int term_feed(struct term *t, const char *data, size_t len, size_t *ret_eaten,
              enum term_event *ret_event);
/* No more bytes will come: what is held of an unfinished sequence becomes visible. */
int term_finish(struct term *t);
/* Appends the line as it is now, without a line end. */
int term_text(struct term *t, struct buf *out);
static inline bool term_empty(const struct term *t) {
        return t->n == 0 && t->escape_len == 0;
}
/* Begins an empty line. */
void term_next(struct term *t);
void term_done(struct term *t);
DEFINE_CLEANUP_DONE(struct term, term_done)

/* Appends @text with everything made visible, line ends too: for one cell, one sentence, one name. */
int term_safe(struct buf *out, const char *text, size_t len);
/* The same, but keeps line ends and tabs. */
int term_safe_lines(struct buf *out, const char *text, size_t len);
/* How many columns UTF-8 text takes. */
size_t term_columns(const char *text, size_t len);
/* How many bytes of @text fit into @columns. */
size_t term_fit(const char *text, size_t len, size_t columns);
