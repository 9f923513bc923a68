/*
 * A growable run of bytes.
 *
 * `data` is NUL-terminated one past `len` whenever it is not NULL, so text can be used as a C string.
 * A failed allocation makes the buffer sticky-failed: later appends do nothing and report -ENOMEM
 * too, so that a long build-up is checked once, at its end, with buf_check().
 */
#pragma once

#include "proto/base/cleanup.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
        char *data;
        size_t len;
        size_t cap;
        bool failed;
};

/* Borrowed bytes. */
struct bytes {
        const uint8_t *data;
        size_t size;
};

/* All return 0 or -ENOMEM. */
int buf_reserve(struct buf *b, size_t extra);
int buf_append(struct buf *b, const void *data, size_t len);
int buf_puts(struct buf *b, const char *text);
int buf_putc(struct buf *b, char c);
int buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
int buf_vprintf(struct buf *b, const char *format, va_list ap)
        __attribute__((format(printf, 2, 0)));

/* 0, or -ENOMEM when any append since the last buf_clear() failed. */
int buf_check(const struct buf *b);

/* Drops the first @n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);
/* Shortens to @len (<= b->len). */
void buf_truncate(struct buf *b, size_t len);
/* len = 0 and not failed; keeps the memory. */
void buf_clear(struct buf *b);
/* "" for an empty buffer, never NULL. */
const char *buf_text(const struct buf *b);
/* Hands the memory to the caller (NUL-terminated; NULL if failed) and leaves an empty buffer. */
char *buf_steal(struct buf *b);
void buf_done(struct buf *b);
DEFINE_CLEANUP_DONE(struct buf, buf_done)
