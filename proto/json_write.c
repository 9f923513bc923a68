/* The writer of proto/json.h. */
#include "proto/json.h"

#include "proto/base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void json_writer_init(struct json_writer *w, struct buf *out) {
        *w = (struct json_writer){.out = out};
}

static bool is_plain(unsigned char c) {
        return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

static void put_control(struct buf *out, unsigned char c) {
        switch (c) {
        case '\n':
                buf_puts(out, "\\n");
                break;
        case '\r':
                buf_puts(out, "\\r");
                break;
        case '\t':
                buf_puts(out, "\\t");
                break;
        case '"':
        case '\\':
                buf_putc(out, '\\');
                buf_putc(out, (char)c);
                break;
        default:
                buf_printf(out, "\\u%04x", (unsigned)c);
                break;
        }
}

static void put_string(struct buf *out, const char *text) {
        size_t len = strlen(text), from = 0, at = 0;

        buf_putc(out, '"');
        while (at < len) {
                unsigned char c = (unsigned char)text[at];
                uint32_t character = 0;
                size_t n;

                if (is_plain(c)) {
                        at++;
                        continue;
                }
                n = utf8_char(text + at, len - at, &character);
                if (n > 1) {
                        at += n;
                        continue;
                }
                buf_append(out, text + from, at - from);
                if (n == 1)
                        put_control(out, c);
                else
                        buf_puts(out, UTF8_REPLACEMENT);
                from = ++at;
        }
        buf_append(out, text + from, at - from);
        buf_putc(out, '"');
}

/* What comes before every value. */
static struct buf *begin(struct json_writer *w, const char *key) {
        if (w->comma)
                buf_putc(w->out, ',');
        w->comma = true;
        if (key) {
                put_string(w->out, key);
                buf_putc(w->out, ':');
        }
        return w->out;
}

void json_begin_object(struct json_writer *w, const char *key) {
        buf_putc(begin(w, key), '{');
        w->comma = false;
}

void json_end_object(struct json_writer *w) {
        buf_putc(w->out, '}');
        w->comma = true;
}

void json_begin_array(struct json_writer *w, const char *key) {
        buf_putc(begin(w, key), '[');
        w->comma = false;
}

void json_end_array(struct json_writer *w) {
        buf_putc(w->out, ']');
        w->comma = true;
}

void json_put_str(struct json_writer *w, const char *key, const char *value) {
        begin(w, key);
        if (value)
                put_string(w->out, value);
        else
                buf_puts(w->out, "null");
}

void json_put_u64(struct json_writer *w, const char *key, uint64_t value) {
        buf_printf(begin(w, key), "%" PRIu64, value);
}

void json_put_i64(struct json_writer *w, const char *key, int64_t value) {
        buf_printf(begin(w, key), "%" PRId64, value);
}

void json_put_double(struct json_writer *w, const char *key, double value) {
        char text[40];
        char *point;

        begin(w, key);
        if (!isfinite(value)) {
                buf_puts(w->out, "null"); /* JSON has no word for these */
                return;
        }
        snprintf(text, sizeof(text), "%.15g", value);
        if (strtod(text, NULL) != value)
                snprintf(text, sizeof(text), "%.17g", value);
        point = strchr(text, ','); /* of the locale */
        if (point)
                *point = '.';
        buf_puts(w->out, text);
}

void json_put_bool(struct json_writer *w, const char *key, bool value) {
        buf_puts(begin(w, key), value ? "true" : "false");
}

void json_put_raw(struct json_writer *w, const char *key, const char *json) {
        buf_puts(begin(w, key), json);
}
