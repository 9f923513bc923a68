/*
 * Memory that lives and ends together: everything decoded from one stanza or one document.
 *
 * Nothing is freed singly; arena_done() frees all. Zero-initialised is valid and empty.
 */
#pragma once

#include "proto/base/cleanup.h"

#include <stddef.h>

struct arena_block;

struct arena {
        struct arena_block *blocks;
};

/* Zeroed, aligned for any type; NULL when out of memory. */
void *arena_alloc(struct arena *a, size_t size);
char *arena_strdup(struct arena *a, const char *text);
char *arena_strndup(struct arena *a, const char *text, size_t len);
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Frees everything; the arena is empty and usable again. */
void arena_done(struct arena *a);
DEFINE_CLEANUP_DONE(struct arena, arena_done)
