/*
 * Lines of several targets on one screen.
 *
 * Each source has a name; with more than one source every line begins with "name | ", padded to the
 * longest. No line ever holds text of two sources: a line that is open when another source speaks is
 * ended first. On a terminal a line that stays open is shown after a tenth of a second, and
 * repainted as it changes. Where there is no terminal one source passes through byte for byte, and several
 * are cut at their line ends only.
 *
 * Pure: no clock, no descriptor. The caller tells the time and writes out what is in `out`.
 */
#pragma once

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define LINES_PARTIAL_USEC UINT64_C(100000)
#define LINES_HELD_MAX 65536 /* of an open line, without a terminal */

struct lines;

struct lines_look {
        bool terminal; /* filter, show open lines */
        bool raw;      /* terminal, but bytes as they are; only with one source */
        bool colour;
        bool prefix;
        size_t columns; /* of the terminal; 0: unknown */
};

int lines_new(struct lines **ret, const struct lines_look *look);
struct lines *lines_free(struct lines *l);
DEFINE_CLEANUP_FREE(struct lines, lines_free)

/* Returns the number of the source (0, 1, …) or -ENOMEM. */
int lines_add(struct lines *l, const char *name);
int lines_feed(struct lines *l, int source, const char *data, size_t len, uint64_t now_usec);
/* The source will say nothing more: ends its open line. */
int lines_end(struct lines *l, int source);
/* Ends the open line on the screen, so that something else can be written. */
int lines_break(struct lines *l);
/* When lines_tick() has something to show; USEC_NEVER. */
uint64_t lines_deadline(const struct lines *l);
int lines_tick(struct lines *l, uint64_t now_usec);
void lines_resize(struct lines *l, size_t columns);
/* What is to be written; the caller empties it. */
struct buf *lines_out(struct lines *l);
