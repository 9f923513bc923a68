#include "proto/base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static int buf_fail(struct buf *b) {
        b->failed = true;
        return -ENOMEM;
}

int buf_reserve(struct buf *b, size_t extra) {
        size_t need, cap;
        char *data;

        if (b->failed)
                return -ENOMEM;
        if (extra >= SIZE_MAX / 2 - b->len)
                return buf_fail(b);
        need = b->len + extra + 1;
        if (need <= b->cap)
                return 0;
        cap = b->cap * 2 > need ? b->cap * 2 : need;
        if (cap < 64)
                cap = 64;
        data = realloc(b->data, cap);
        if (!data)
                return buf_fail(b);
        if (!b->data)
                data[0] = '\0';
        b->data = data;
        b->cap = cap;
        return 0;
}

int buf_append(struct buf *b, const void *data, size_t len) {
        int r = buf_reserve(b, len);

        if (r < 0)
                return r;
        if (len > 0)
                memcpy(b->data + b->len, data, len);
        b->len += len;
        b->data[b->len] = '\0';
        return 0;
}

int buf_puts(struct buf *b, const char *text) {
        return buf_append(b, text, strlen(text));
}

int buf_putc(struct buf *b, char c) {
        return buf_append(b, &c, 1);
}

int buf_vprintf(struct buf *b, const char *format, va_list ap) {
        va_list again;
        int n, r;

        r = buf_reserve(b, 0);
        if (r < 0)
                return r;
        va_copy(again, ap);
        n = vsnprintf(b->data + b->len, b->cap - b->len, format, ap);
        if (n >= 0 && (size_t)n >= b->cap - b->len) {
                r = buf_reserve(b, (size_t)n);
                if (r == 0)
                        n = vsnprintf(b->data + b->len, b->cap - b->len, format, again);
        }
        va_end(again);
        if (r < 0) {
                b->data[b->len] = '\0';
                return r;
        }
        if (n < 0) {
                b->data[b->len] = '\0';
                return buf_fail(b);
        }
        b->len += (size_t)n;
        return 0;
}

int buf_printf(struct buf *b, const char *format, ...) {
        va_list ap;
        int r;

        va_start(ap, format);
        r = buf_vprintf(b, format, ap);
        va_end(ap);
        return r;
}

int buf_check(const struct buf *b) {
        return b->failed ? -ENOMEM : 0;
}

void buf_consume(struct buf *b, size_t n) {
        assert(n <= b->len);
        if (n == 0)
                return;
        b->len -= n;
        memmove(b->data, b->data + n, b->len + 1);
}

void buf_truncate(struct buf *b, size_t len) {
        assert(len <= b->len);
        b->len = len;
        if (b->data)
                b->data[len] = '\0';
}

void buf_clear(struct buf *b) {
        b->len = 0;
        b->failed = false;
        if (b->data)
                b->data[0] = '\0';
}

const char *buf_text(const struct buf *b) {
        return b->data ? b->data : "";
}

char *buf_steal(struct buf *b) {
        char *data = NULL;

        if (!b->failed && buf_reserve(b, 0) == 0)
                data = TAKE(b->data);
        buf_done(b);
        return data;
}

void buf_done(struct buf *b) {
        free(b->data);
        *b = (struct buf){0};
}
