#include "proto/json_text.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_MAX 64 /* more than json.c lets through */

/*
 * Preparing
 */

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

static bool is_blank(char c) {
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_word(char c) {
        return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' ||
               c == '-' || c == '.';
}

/* RFC 8259 section 6, and within 64 bits where it is an integer. */
static bool is_number(const char *word, size_t len) {
        const char *p = word, *digits;
        bool fraction = false;

        if (*p == '-')
                p++;
        digits = p;
        while (is_digit(*p))
                p++;
        if (p == digits || (*digits == '0' && p - digits > 1))
                return false;
        if (*p == '.') {
                fraction = true;
                if (!is_digit(*++p))
                        return false;
                while (is_digit(*p))
                        p++;
        }
        if (*p == 'e' || *p == 'E') {
                fraction = true;
                p++;
                if (*p == '+' || *p == '-')
                        p++;
                if (!is_digit(*p))
                        return false;
                while (is_digit(*p))
                        p++;
        }
        if ((size_t)(p - word) != len)
                return false;
        if (fraction)
                return true;
        errno = 0;
        if (*word == '-')
                strtoll(word, NULL, 10);
        else
                strtoull(word, NULL, 10);
        return errno == 0;
}

static int flaw(struct json_text_flaw *ret, size_t at, const char *what) {
        *ret = (struct json_text_flaw){.at = at, .what = what};
        return 1;
}

/* *at is at the slash. */
static int blank_comment(char *text, size_t len, size_t *at, struct json_text_flaw *ret_flaw) {
        size_t from = *at, to = from + 2;

        if (text[from + 1] == '/') {
                while (to < len && text[to] != '\n')
                        to++;
        } else if (text[from + 1] == '*') {
                while (to < len && !(text[to] == '*' && text[to + 1] == '/'))
                        to++;
                if (to >= len)
                        return flaw(ret_flaw, from, "this comment does not end");
                to += 2;
        } else {
                return flaw(ret_flaw, from, "unexpected character");
        }
        for (size_t i = from; i < to; i++)
                if (text[i] != '\n')
                        text[i] = ' ';
        *at = to;
        return 0;
}

/* *at is at the opening quote. */
static int check_string(const char *text, size_t len, size_t *at, struct json_text_flaw *ret_flaw) {
        size_t i = *at + 1;

        for (; i < len && text[i] != '"'; i++) {
                if ((unsigned char)text[i] < 0x20)
                        return flaw(ret_flaw, i,
                                    text[i] == '\n' ? "this line ends inside a string"
                                                    : "control character in a string");
                if (text[i] != '\\')
                        continue;
                if (strncmp(text + i, "\\u0000", 6) == 0)
                        return flaw(ret_flaw, i, "a string cannot hold a NUL character");
                i++;
        }
        if (i >= len)
                return flaw(ret_flaw, *at, "this string does not end");
        *at = i + 1;
        return 0;
}

static int check_word(const char *text, size_t len, size_t *at, struct json_text_flaw *ret_flaw) {
        static const char *const words[] = {"true", "false", "null"};
        size_t from = *at, to = from, n;

        while (to < len && is_word(text[to]))
                to++;
        n = to - from;
        *at = to;
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
                if (strlen(words[i]) == n && strncmp(words[i], text + from, n) == 0)
                        return 0;
        if (is_number(text + from, n))
                return 0;
        return flaw(ret_flaw, from,
                    is_digit(text[from]) || text[from] == '-'
                            ? "not a number that fits (64 bits, no leading zeros)"
                            : "this word is no value (a string needs double quotes)");
}

int json_text_prepare(char *text, size_t len, size_t *ret_keys, struct json_text_flaw *ret_flaw) {
        size_t keys = 0, at = 0;

        if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
                memset(text, ' ', 3);
        while (at < len) {
                int r = 0;

                if (text[at] == '/')
                        r = blank_comment(text, len, &at, ret_flaw);
                else if (text[at] == '"')
                        r = check_string(text, len, &at, ret_flaw);
                else if (is_word(text[at]))
                        r = check_word(text, len, &at, ret_flaw);
                else if (text[at] == ':')
                        keys++, at++;
                else if (text[at] != '\0' && (is_blank(text[at]) || strchr("{}[],", text[at])))
                        at++;
                else
                        r = flaw(ret_flaw, at, "unexpected character");
                if (r != 0)
                        return r;
        }
        *ret_keys = keys;
        return 0;
}

/*
 * Finding
 */

static size_t after_string(const char *text, size_t at) {
        for (at++; text[at] != '"'; at++)
                if (text[at] == '\\')
                        at++;
        return at + 1;
}

/* Past the value at @at. */
static size_t after_value(const char *text, size_t at) {
        size_t depth = 0;

        do {
                char c = text[at];

                if (c == '\0')
                        return at;
                if (c == '"') {
                        at = after_string(text, at);
                } else if (is_word(c)) {
                        while (is_word(text[at]))
                                at++;
                } else {
                        depth += c == '{' || c == '[';
                        depth -= c == '}' || c == ']';
                        at++;
                }
        } while (depth > 0);
        return at;
}

size_t json_text_value(const char *text, size_t at) {
        while (is_blank(text[at]))
                at++;
        return at;
}

/* The value of the member whose key begins at @at. */
static size_t member_value(const char *text, size_t at) {
        at = json_text_value(text, after_string(text, at));
        return json_text_value(text, at + 1);
}

/* From the end of one item to the beginning of the next; 0 when there is none. */
static size_t next_item(const char *text, size_t at) {
        at = json_text_value(text, at);
        return text[at] == ',' ? json_text_value(text, at + 1) : 0;
}

static bool key_is(const char *text, size_t at, const char *key) {
        size_t len = strlen(key), end = after_string(text, at);

        return end - at == len + 2 && memcmp(text + at + 1, key, len) == 0;
}

size_t json_text_member(const char *text, size_t at, const char *key) {
        size_t item = json_text_value(text, at + 1);

        if (text[at] != '{')
                return at;
        while (item != 0 && text[item] == '"') {
                size_t value = member_value(text, item);

                if (key_is(text, item, key))
                        return value;
                item = next_item(text, after_value(text, value));
        }
        return at;
}

size_t json_text_element(const char *text, size_t at, size_t index) {
        size_t item = json_text_value(text, at + 1);

        if (text[at] != '[' || text[item] == ']')
                return at;
        for (size_t i = 0; item != 0; i++) {
                if (i == index)
                        return item;
                item = next_item(text, after_value(text, item));
        }
        return at;
}

struct key {
        size_t object; /* which one, in order of their beginnings */
        size_t at;
        const char *text; /* with its quotes */
        size_t len;
};

static int key_compare(const void *left, const void *right) {
        const struct key *a = left, *b = right;
        int r;

        if (a->object != b->object)
                return a->object < b->object ? -1 : 1;
        if (a->len != b->len)
                return a->len < b->len ? -1 : 1;
        r = memcmp(a->text, b->text, a->len);
        if (r != 0)
                return r;
        return a->at < b->at ? -1 : a->at > b->at;
}

static size_t collect_keys(const char *text, struct key *keys, size_t max) {
        size_t open[OPEN_MAX], depth = 0, objects = 0, n = 0;

        for (size_t at = 0; text[at] != '\0';) {
                char c = text[at];

                if (c == '"') {
                        size_t end = after_string(text, at);

                        if (text[json_text_value(text, end)] == ':' && n < max && depth > 0)
                                keys[n++] = (struct key){.object = open[depth - 1],
                                                         .at = at,
                                                         .text = text + at,
                                                         .len = end - at};
                        at = end;
                        continue;
                }
                if ((c == '{' || c == '[') && depth < OPEN_MAX)
                        open[depth++] = objects++;
                if ((c == '}' || c == ']') && depth > 0)
                        depth--;
                at++;
        }
        return n;
}

int json_text_double_key(const char *text, size_t n_keys, size_t *ret_at) {
        struct key *keys = calloc(n_keys + 1, sizeof(*keys));
        size_t n;
        int r = 1;

        if (!keys)
                return -ENOMEM;
        n = collect_keys(text, keys, n_keys);
        qsort(keys, n, sizeof(*keys), key_compare);
        for (size_t i = 1; i < n && r != 0; i++)
                if (keys[i].object == keys[i - 1].object && keys[i].len == keys[i - 1].len &&
                    memcmp(keys[i].text, keys[i - 1].text, keys[i].len) == 0) {
                        *ret_at = keys[i].at;
                        r = 0;
                }
        free(keys);
        return r;
}

void json_text_position(const char *text, size_t at, size_t *ret_line, size_t *ret_column) {
        size_t line = 1, column = 1;

        for (size_t i = 0; i < at && text[i] != '\0'; i++) {
                if (text[i] == '\n') {
                        line++;
                        column = 1;
                } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
                        column++;
                }
        }
        *ret_line = line;
        *ret_column = column;
}
