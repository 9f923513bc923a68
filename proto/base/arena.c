#include "proto/base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_SIZE 2048
#define ALIGN alignof(max_align_t)

struct arena_block {
        struct arena_block *next;
        size_t used;
        size_t size;
        alignas(max_align_t) char data[];
};

static struct arena_block *block_new(size_t size) {
        struct arena_block *b;

        b = calloc(1, sizeof(*b) + size);
        if (b)
                b->size = size;
        return b;
}

void *arena_alloc(struct arena *a, size_t size) {
        struct arena_block *b = a->blocks;
        void *at;

        if (size > SIZE_MAX / 2)
                return NULL;
        size = size == 0 ? ALIGN : (size + ALIGN - 1) / ALIGN * ALIGN;
        if (!b || size > b->size - b->used) {
                bool big = size > BLOCK_SIZE / 4;

                b = block_new(big ? size : BLOCK_SIZE);
                if (!b)
                        return NULL;
                /* a big one goes behind the first block, whose rest stays in use */
                if (big && a->blocks) {
                        b->next = a->blocks->next;
                        a->blocks->next = b;
                } else {
                        b->next = a->blocks;
                        a->blocks = b;
                }
        }
        at = b->data + b->used;
        b->used += size;
        return at;
}

char *arena_strdup(struct arena *a, const char *text) {
        return arena_strndup(a, text, strlen(text));
}

char *arena_strndup(struct arena *a, const char *text, size_t len) {
        char *copy;

        if (len == SIZE_MAX)
                return NULL;
        copy = arena_alloc(a, len + 1);
        if (copy && len > 0)
                memcpy(copy, text, len);
        return copy;
}

char *arena_printf(struct arena *a, const char *format, ...) {
        va_list ap;
        char *text;
        int n;

        va_start(ap, format);
        n = vsnprintf(NULL, 0, format, ap);
        va_end(ap);
        if (n < 0)
                return NULL;
        text = arena_alloc(a, (size_t)n + 1);
        if (!text)
                return NULL;
        va_start(ap, format);
        vsnprintf(text, (size_t)n + 1, format, ap);
        va_end(ap);
        return text;
}

void arena_done(struct arena *a) {
        struct arena_block *b = TAKE(a->blocks);

        while (b) {
                struct arena_block *next = b->next;

                free(b);
                b = next;
        }
}
