#include "controller/cli/term.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define REPLACEMENT 0xfffdu
#define TAB_STOP 8

/*
 * Reads one character. Returns its length; 0 when @len bytes are a valid beginning and more is needed.
 * Bad bytes give REPLACEMENT and length 1 (RFC 3629: no overlong forms, surrogates, or beyond 0x10ffff).
 */
static size_t utf8_read(const unsigned char *s, size_t len, uint32_t *ret) {
        uint32_t c = s[0];
        size_t want;
        uint32_t low = 0x80;
        uint32_t high = 0xbf;

        if (c < 0x80) {
                *ret = c;
                return 1;
        }
        *ret = REPLACEMENT;
        if (c >= 0xc2 && c <= 0xdf) {
                want = 2;
                c &= 0x1f;
        } else if (c >= 0xe0 && c <= 0xef) {
                want = 3;
                low = c == 0xe0 ? 0xa0 : 0x80;
                high = c == 0xed ? 0x9f : 0xbf;
                c &= 0x0f;
        } else if (c >= 0xf0 && c <= 0xf4) {
                want = 4;
                low = c == 0xf0 ? 0x90 : 0x80;
                high = c == 0xf4 ? 0x8f : 0xbf;
                c &= 0x07;
        } else {
                return 1;
        }
        for (size_t i = 1; i < want; i++) {
                if (i == len)
                        return 0;
                if (s[i] < low || s[i] > high)
                        return 1;
                c = c << 6 | (s[i] & 0x3fu);
                low = 0x80;
                high = 0xbf;
        }
        *ret = c;
        return want;
}

static int utf8_write(struct buf *out, uint32_t c) {
        char s[4];

        if (c < 0x80)
                return buf_putc(out, (char)c);
        if (c < 0x800) {
                s[0] = (char)(0xc0 | c >> 6);
                s[1] = (char)(0x80 | (c & 0x3f));
                return buf_append(out, s, 2);
        }
        if (c < 0x10000) {
                s[0] = (char)(0xe0 | c >> 12);
                s[1] = (char)(0x80 | (c >> 6 & 0x3f));
                s[2] = (char)(0x80 | (c & 0x3f));
                return buf_append(out, s, 3);
        }
        s[0] = (char)(0xf0 | c >> 18);
        s[1] = (char)(0x80 | (c >> 12 & 0x3f));
        s[2] = (char)(0x80 | (c >> 6 & 0x3f));
        s[3] = (char)(0x80 | (c & 0x3f));
        return buf_append(out, s, 4);
}

/* Controls of C0 and C1, DEL, line and paragraph separators, direction marks and overrides: they change what stands
 * elsewhere on the screen, or the order in which it is read. */
static bool char_hidden(uint32_t c) {
        return c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x2028 && c <= 0x202e) ||
               (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f || c == 0x061c ||
               c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe007f);
}

static const char *char_visible(uint32_t c, char text[static 16]) {
        if (c < 0x80)
                snprintf(text, 16, "\\x%02x", c);
        else
                snprintf(text, 16, "\\u%04x", c);
        return text;
}

static size_t char_columns(uint32_t c) {
        static const struct {
                uint32_t first;
                uint32_t last;
                size_t columns;
        } rows[] = {
                {0x0300,  0x036f,  0},
                {0x1100,  0x115f,  2},
                {0x200b,  0x200d,  0},
                {0x20d0,  0x20ff,  0},
                {0x2e80,  0xa4cf,  2},
                {0xac00,  0xd7a3,  2},
                {0xf900,  0xfaff,  2},
                {0xfe00,  0xfe0f,  0},
                {0xfe30,  0xfe6f,  2},
                {0xff00,  0xff60,  2},
                {0xffe0,  0xffe6,  2},
                {0x1f300, 0x1faff, 2},
                {0x20000, 0x3fffd, 2},
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (c >= rows[i].first && c <= rows[i].last)
                        return rows[i].columns;
        return 1;
}

static int term_reserve(struct term *t, size_t n) {
        uint32_t *cells;
        size_t cap = t->cap ? t->cap : 128;

        if (n <= t->cap)
                return 0;
        while (cap < n)
                cap *= 2;
        cells = realloc(t->cells, cap * sizeof(*cells));
        if (!cells)
                return -ENOMEM;
        t->cells = cells;
        t->cap = cap;
        return 0;
}

static int term_put(struct term *t, uint32_t c) {
        int r;

        r = term_reserve(t, t->cursor + 1);
        if (r < 0)
                return r;
        t->cells[t->cursor++] = c;
        if (t->cursor > t->n)
                t->n = t->cursor;
        t->changed = true;
        return 0;
}

static int term_put_visible(struct term *t, uint32_t c) {
        char text[16];
        int r = 0;

        if (!char_hidden(c))
                return term_put(t, c);
        char_visible(c, text);
        for (const char *p = text; *p && r == 0; p++)
                r = term_put(t, (unsigned char)*p);
        return r;
}

static int term_put_tab(struct term *t) {
        int r;

        do
                r = term_put(t, ' ');
        while (r == 0 && t->cursor % TAB_STOP != 0);
        return r;
}

static void term_erase(struct term *t, char parameter) {
        t->changed = true;
        if (parameter == '1' || parameter == '2')
                for (size_t i = 0; i < t->cursor && i < t->n; i++)
                        t->cells[i] = ' ';
        if (parameter != '1' && t->cursor < t->n)
                t->n = t->cursor;
}

/* ESC [ … with everything of it known to be well formed so far. Returns whether it is complete. */
static bool escape_complete(const char *s, size_t len) {
        return len > 2 && (unsigned char)s[len - 1] >= 0x40;
}

static bool escape_goes_on(const char *s, size_t len, unsigned char c) {
        if (len == 1)
                return c == '[';
        (void)s;
        return (c >= '0' && c <= '9') || c == ';' || c == ':' || c == 'm' || c == 'K';
}

static int term_show_escape(struct term *t) {
        size_t len = t->escape_len;
        int r = 0;

        t->escape_len = 0;
        for (size_t i = 0; i < len && r == 0; i++) {
                unsigned char c = (unsigned char)t->escape[i];

                r = term_put_visible(t, c < 0x80 ? c : REPLACEMENT);
        }
        return r;
}

/* Goes on with what is held. Returns how many bytes were eaten: 0 or 1. */
static int term_feed_held(struct term *t, unsigned char c, size_t *ret_eaten) {
        uint32_t got;
        int r;

        *ret_eaten = 0;
        if (t->escape[0] == '\x1b') {
                if (t->escape_len == TERM_ESCAPE_MAX ||
                    !escape_goes_on(t->escape, t->escape_len, c))
                        return term_show_escape(t);
                t->escape[t->escape_len++] = (char)c;
                *ret_eaten = 1;
                if (escape_complete(t->escape, t->escape_len)) {
                        if (c == 'K')
                                term_erase(t, t->escape[2]);
                        t->escape_len = 0;
                }
                return 0;
        }
        t->escape[t->escape_len] = (char)c;
        switch (utf8_read((unsigned char *)t->escape, t->escape_len + 1, &got)) {
        case 0:
                t->escape_len++;
                *ret_eaten = 1;
                return 0;
        case 1: /* the new byte does not belong here: every held byte was bad */
                return term_show_escape(t);
        }
        r = term_put_visible(t, got);
        t->escape_len = 0;
        *ret_eaten = 1;
        return r;
}

static int term_feed_control(struct term *t, unsigned char c) {
        switch (c) {
        case '\r':
                t->cursor = 0;
                return 0;
        case '\b':
                if (t->cursor > 0)
                        t->cursor--;
                return 0;
        case '\t':
                return term_put_tab(t);
        case '\a': /* a bell changes nothing on the screen, and shows nothing */
                return 0;
        case '\x1b':
                t->escape[0] = (char)c;
                t->escape_len = 1;
                return 0;
        }
        return term_put_visible(t, c);
}

int term_feed(struct term *t, const char *data, size_t len, size_t *ret_eaten,
              enum term_event *ret_event) {
        const unsigned char *s = (const unsigned char *)data;
        size_t i = 0;
        int r = 0;

        *ret_event = TERM_MORE;
        while (i < len && r == 0) {
                size_t eaten = 1;

                if (t->n >= TERM_CELLS_MAX && t->cursor == t->n) {
                        *ret_event = TERM_PIECE;
                        break;
                }
                if (t->escape_len > 0) {
                        r = term_feed_held(t, s[i], &eaten);
                } else if (s[i] == '\n') {
                        *ret_event = TERM_LINE;
                        i++;
                        break;
                } else if (s[i] < 0x20) {
                        r = term_feed_control(t, s[i]);
                } else {
                        uint32_t c;

                        eaten = utf8_read(s + i, len - i, &c);
                        if (eaten == 0) {
                                eaten = len - i;
                                memcpy(t->escape, s + i, eaten);
                                t->escape_len = eaten;
                        } else {
                                r = term_put_visible(t, c);
                        }
                }
                i += eaten;
        }
        *ret_eaten = i;
        return r;
}

int term_finish(struct term *t) {
        return term_show_escape(t);
}

int term_text(struct term *t, struct buf *out) {
        t->changed = false;
        for (size_t i = 0; i < t->n; i++)
                utf8_write(out, t->cells[i]);
        return buf_check(out);
}

void term_next(struct term *t) {
        t->n = t->cursor = 0;
        t->changed = false;
}

void term_done(struct term *t) {
        free(t->cells);
        *t = (struct term){0};
}

static int term_safe_keeping(struct buf *out, const char *text, size_t len, const char *keep) {
        const unsigned char *s = (const unsigned char *)text;
        char visible[16];

        for (size_t i = 0; i < len;) {
                uint32_t c = REPLACEMENT;
                size_t n = utf8_read(s + i, len - i, &c);

                if (n == 0) { /* cut off */
                        c = REPLACEMENT;
                        n = 1;
                }
                if (c != 0 && c < 0x80 && strchr(keep, (int)c))
                        buf_putc(out, (char)c);
                else if (char_hidden(c))
                        buf_puts(out, char_visible(c, visible));
                else
                        utf8_write(out, c);
                i += n;
        }
        return buf_check(out);
}

int term_safe(struct buf *out, const char *text, size_t len) {
        return term_safe_keeping(out, text, len, "");
}

int term_safe_lines(struct buf *out, const char *text, size_t len) {
        return term_safe_keeping(out, text, len, "\n\t");
}

size_t term_columns(const char *text, size_t len) {
        size_t columns = 0;

        for (size_t i = 0; i < len;) {
                uint32_t c = REPLACEMENT;
                size_t n = utf8_read((const unsigned char *)text + i, len - i, &c);

                columns += char_columns(c);
                i += n ? n : 1;
        }
        return columns;
}

size_t term_fit(const char *text, size_t len, size_t columns) {
        size_t i = 0;

        while (i < len) {
                uint32_t c = REPLACEMENT;
                size_t n = utf8_read((const unsigned char *)text + i, len - i, &c);
                size_t wide = char_columns(c);

                if (wide > columns)
                        break;
                columns -= wide;
                i += n ? n : 1;
        }
        return i < len ? i : len;
}
