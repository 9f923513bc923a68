#include "proto/fields.h"

#include "proto/base/id.h"
#include "proto/digest.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LENGTH_DEFAULT 255
#define LIST_DEFAULT 64

static uint64_t length_max(const struct field *f) {
        return f->max ? f->max : LENGTH_DEFAULT;
}

static uint64_t list_max(const struct field *f) {
        return f->max ? f->max : LIST_DEFAULT;
}

static bool is_required(const struct field *f) {
        return f->flags & FIELD_REQUIRED;
}

bool element_is(const struct element *e, const struct xml *x) {
        return strcmp(xml_name(x), e->name) == 0 && strcmp(xml_ns(x), e->ns ? e->ns : "") == 0;
}

/*
 * Decoding
 */

struct decoding {
        struct arena *arena;
        const char **ret_why;
};

static int decode_element(const struct decoding *d, const struct element *e, const struct xml *x,
                          void *ret);

/* Returns FIELDS_REFUSED, or -ENOMEM when the sentence does not fit into memory. */
__attribute__((format(printf, 4, 5))) static int refuse(const struct decoding *d,
                                                        const struct element *e,
                                                        const struct field *f, const char *format,
                                                        ...) {
        char what[160];
        va_list ap;

        if (!d->ret_why)
                return FIELDS_REFUSED;
        va_start(ap, format);
        vsnprintf(what, sizeof(what), format, ap);
        va_end(ap);
        if (!f)
                *d->ret_why = arena_printf(d->arena, "<%s>: %s", e->name, what);
        else if (f->kind == FIELD_TEXT || f->kind == FIELD_BYTES)
                *d->ret_why = arena_printf(d->arena, "<%s>: text %s", e->name, what);
        else if (f->kind == FIELD_CHILD || f->kind == FIELD_LIST)
                *d->ret_why = arena_printf(d->arena, "<%s>: child <%s> %s", e->name, f->child->name,
                                           what);
        else if (f->kind == FIELD_CHILD_STR || f->kind == FIELD_FLAG)
                *d->ret_why = arena_printf(d->arena, "<%s>: child <%s> %s", e->name, f->name, what);
        else
                *d->ret_why =
                        arena_printf(d->arena, "<%s>: attribute %s %s", e->name, f->name, what);
        return *d->ret_why ? FIELDS_REFUSED : -ENOMEM;
}

static int check_string(const struct decoding *d, const struct element *e, const struct field *f,
                        const char *value) {
        if (strnlen(value, length_max(f) + 1) > length_max(f))
                return refuse(d, e, f, "is longer than %" PRIu64 " bytes", length_max(f));
        if (f->flags & FIELD_IS_ID && !id_valid(value))
                return refuse(d, e, f, "is no identifier");
        return 0;
}

/* Digits only: no sign, no blanks, no overflow. Returns 0 or 1. */
static int parse_digits(const char *text, uint64_t *ret) {
        uint64_t value = 0;

        if (*text == '\0')
                return 1;
        for (; *text; text++) {
                uint64_t digit = (uint64_t)(*text - '0');

                if (*text < '0' || *text > '9')
                        return 1;
                if (value > (UINT64_MAX - digit) / 10)
                        return 1;
                value = value * 10 + digit;
        }
        *ret = value;
        return 0;
}

static int decode_u64(const struct decoding *d, const struct element *e, const struct field *f,
                      const char *value, uint64_t *ret) {
        uint64_t n;

        if (parse_digits(value, &n) != 0)
                return refuse(d, e, f, "is no whole number");
        if (f->max && n > f->max)
                return refuse(d, e, f, "is above %" PRIu64, f->max);
        *ret = n;
        return 0;
}

static int decode_i64(const struct decoding *d, const struct element *e, const struct field *f,
                      const char *value, int64_t *ret) {
        bool negative = value[0] == '-';
        uint64_t n;

        if (parse_digits(value + negative, &n) != 0 || n > (uint64_t)INT64_MAX + negative)
                return refuse(d, e, f, "is no whole number");
        if (f->max && !negative && n > f->max)
                return refuse(d, e, f, "is above %" PRIu64, f->max);
        *ret = negative ? (int64_t)-n : (int64_t)n;
        return 0;
}

static int decode_bool(const struct decoding *d, const struct element *e, const struct field *f,
                       const char *value, bool *ret) {
        if (strcmp(value, "true") == 0 || strcmp(value, "1") == 0)
                *ret = true;
        else if (strcmp(value, "false") == 0 || strcmp(value, "0") == 0)
                *ret = false;
        else
                return refuse(d, e, f, "is neither true nor false");
        return 0;
}

static int decode_enum(const struct decoding *d, const struct element *e, const struct field *f,
                       const char *value, int *ret) {
        for (int i = 0; f->names[i]; i++)
                if (strcmp(f->names[i], value) == 0) {
                        *ret = i;
                        return 0;
                }
        return refuse(d, e, f, "has an unknown value");
}

static int decode_attr(const struct decoding *d, const struct element *e, const struct field *f,
                       const struct xml *x, void *at) {
        const char *value = xml_attr(x, f->name);
        int r;

        if (!value) {
                if (is_required(f))
                        return refuse(d, e, f, "is missing");
                if (f->kind == FIELD_ENUM)
                        *(int *)at = -1;
                return 0;
        }
        switch (f->kind) {
        case FIELD_U64:
                return decode_u64(d, e, f, value, at);
        case FIELD_I64:
                return decode_i64(d, e, f, value, at);
        case FIELD_BOOL:
                return decode_bool(d, e, f, value, at);
        case FIELD_ENUM:
                return decode_enum(d, e, f, value, at);
        case FIELD_STR:
                r = check_string(d, e, f, value);
                if (r == 0)
                        *(const char **)at = value;
                return r;
        case FIELD_END:
        case FIELD_TEXT:
        case FIELD_BYTES:
        case FIELD_CHILD_STR:
        case FIELD_FLAG:
        case FIELD_CHILD:
        case FIELD_LIST:
                break;
        }
        assert(false);
}

static int decode_text(const struct decoding *d, const struct element *e, const struct field *f,
                       const struct xml *x, const char **ret) {
        const char *text = xml_text(x, d->arena);
        int r;

        if (!text)
                return -ENOMEM;
        if (is_required(f) && text[0] == '\0')
                return refuse(d, e, f, "is missing");
        r = check_string(d, e, f, text);
        if (r == 0)
                *ret = text;
        return r;
}

static int decode_bytes(const struct decoding *d, const struct element *e, const struct field *f,
                        const struct xml *x, struct bytes *ret) {
        const char *text = xml_text(x, d->arena);
        struct bytes bytes;
        size_t len;
        int r;

        if (!text)
                return -ENOMEM;
        len = strlen(text);
        if (is_required(f) && len == 0)
                return refuse(d, e, f, "is missing");
        /* refused by its length before any work is done for it */
        if (len / 4 > length_max(f) / 3 + 1)
                return refuse(d, e, f, "is longer than %" PRIu64 " bytes", length_max(f));
        r = base64_decode(text, len, d->arena, &bytes);
        if (r < 0)
                return r;
        if (r > 0)
                return refuse(d, e, f, "is no base64");
        if (bytes.size > length_max(f))
                return refuse(d, e, f, "is longer than %" PRIu64 " bytes", length_max(f));
        *ret = bytes;
        return 0;
}

static int decode_child_str(const struct decoding *d, const struct element *e,
                            const struct field *f, const struct xml *x, const char **ret) {
        const struct xml *child = xml_child(x, f->name, f->ns ? f->ns : xml_ns(x));
        const char *text;
        int r;

        if (!child)
                return is_required(f) ? refuse(d, e, f, "is missing") : 0;
        text = xml_text(child, d->arena);
        if (!text)
                return -ENOMEM;
        r = check_string(d, e, f, text);
        if (r == 0)
                *ret = text;
        return r;
}

static int decode_child(const struct decoding *d, const struct element *e, const struct field *f,
                        const struct xml *x, const void **ret) {
        const struct xml *child = xml_child(x, f->child->name, f->child->ns ? f->child->ns : "");
        void *value;
        int r;

        if (!child)
                return is_required(f) ? refuse(d, e, f, "is missing") : 0;
        value = arena_alloc(d->arena, f->child->size);
        if (!value)
                return -ENOMEM;
        r = decode_element(d, f->child, child, value);
        if (r == 0)
                *ret = value;
        return r;
}

static int decode_list(const struct decoding *d, const struct element *e, const struct field *f,
                       const struct xml *x, const void **ret, size_t *ret_n) {
        const char *name = f->child->name, *ns = f->child->ns ? f->child->ns : "";
        size_t n = 0;
        char *items;

        for (const struct xml *c = xml_child(x, name, ns); c; c = xml_next(c, name, ns))
                if (++n > list_max(f))
                        return refuse(d, e, f, "is there more than %" PRIu64 " times", list_max(f));
        if (n == 0)
                return is_required(f) ? refuse(d, e, f, "is missing") : 0;
        items = arena_alloc(d->arena, n * f->child->size);
        if (!items)
                return -ENOMEM;
        n = 0;
        for (const struct xml *c = xml_child(x, name, ns); c; c = xml_next(c, name, ns)) {
                int r = decode_element(d, f->child, c, items + n * f->child->size);

                if (r != 0)
                        return r;
                n++;
        }
        *ret = items;
        *ret_n = n;
        return 0;
}

/* Descends along our tables, never along the peer's tree. */
static int decode_element(const struct decoding *d, const struct element *e, const struct xml *x,
                          void *ret) {
        for (const struct field *f = e->fields; f->kind != FIELD_END; f++) {
                void *at = (char *)ret + f->offset;
                int r = 0;

                switch (f->kind) {
                case FIELD_END:
                        break;
                case FIELD_STR:
                case FIELD_U64:
                case FIELD_I64:
                case FIELD_BOOL:
                case FIELD_ENUM:
                        r = decode_attr(d, e, f, x, at);
                        break;
                case FIELD_TEXT:
                        r = decode_text(d, e, f, x, at);
                        break;
                case FIELD_BYTES:
                        r = decode_bytes(d, e, f, x, at);
                        break;
                case FIELD_CHILD_STR:
                        r = decode_child_str(d, e, f, x, at);
                        break;
                case FIELD_FLAG:
                        *(bool *)at = xml_child(x, f->name, f->ns ? f->ns : xml_ns(x)) != NULL;
                        break;
                case FIELD_CHILD:
                        r = decode_child(d, e, f, x, at);
                        break;
                case FIELD_LIST:
                        r = decode_list(d, e, f, x, at,
                                        (size_t *)(void *)((char *)ret + f->count_offset));
                        break;
                }
                if (r != 0)
                        return r;
        }
        return 0;
}

int fields_decode(const struct element *e, const struct xml *x, struct arena *arena, void *ret,
                  const char **ret_why) {
        struct decoding d = {.arena = arena, .ret_why = ret_why};

        if (!element_is(e, x))
                return refuse(&d, e, NULL, "expected, found another element");
        return decode_element(&d, e, x, ret);
}

/*
 * Encoding
 */

static void assert_string(const struct field *f, const char *value) {
        assert(strnlen(value, length_max(f) + 1) <= length_max(f));
        assert(!(f->flags & FIELD_IS_ID) || id_valid(value));
}

static const char *enum_name(const struct field *f, int value) {
        if (value < 0)
                return NULL;
        for (int i = 0; i < value; i++)
                assert(f->names[i]);
        assert(f->names[value]);
        return f->names[value];
}

static void write_u64(const struct field *f, uint64_t value, struct xml_writer *w) {
        assert(f->max == 0 || value <= f->max);
        if (value != 0 || is_required(f))
                xml_put_u64(w, f->name, value);
}

static void write_i64(const struct field *f, int64_t value, struct xml_writer *w) {
        char text[24];

        assert(f->max == 0 || value < 0 || (uint64_t)value <= f->max);
        if (value == 0 && !is_required(f))
                return;
        snprintf(text, sizeof(text), "%" PRId64, value);
        xml_put(w, f->name, text);
}

static void write_attr(const struct field *f, const void *at, struct xml_writer *w) {
        const char *text;

        switch (f->kind) {
        case FIELD_STR:
                text = *(const char *const *)at;
                assert(text || !is_required(f));
                if (text)
                        assert_string(f, text);
                xml_put(w, f->name, text);
                break;
        case FIELD_U64:
                write_u64(f, *(const uint64_t *)at, w);
                break;
        case FIELD_I64:
                write_i64(f, *(const int64_t *)at, w);
                break;
        case FIELD_BOOL:
                if (*(const bool *)at || is_required(f))
                        xml_put(w, f->name, *(const bool *)at ? "true" : "false");
                break;
        case FIELD_ENUM:
                text = enum_name(f, *(const int *)at);
                assert(text || !is_required(f));
                xml_put(w, f->name, text);
                break;
        case FIELD_END:
        case FIELD_TEXT:
        case FIELD_BYTES:
        case FIELD_CHILD_STR:
        case FIELD_FLAG:
        case FIELD_CHILD:
        case FIELD_LIST:
                break;
        }
}

static void write_element(const struct element *e, const void *value, const char *parent_ns,
                          struct xml_writer *w);

static void write_text(const struct field *f, const char *text, struct xml_writer *w) {
        assert((text && text[0]) || !is_required(f));
        if (!text || text[0] == '\0')
                return;
        assert_string(f, text);
        xml_put_text(w, text);
}

static void write_bytes(const struct field *f, const struct bytes *bytes, struct xml_writer *w) {
        assert(bytes->size > 0 || !is_required(f));
        assert(bytes->size <= length_max(f));
        if (bytes->size > 0)
                base64_encode(xml_raw(w), bytes->data, bytes->size);
}

static void write_child_str(const struct field *f, const char *text, struct xml_writer *w) {
        assert(text || !is_required(f));
        if (!text)
                return;
        assert_string(f, text);
        xml_begin(w, f->name, f->ns);
        if (text[0] != '\0')
                xml_put_text(w, text);
        xml_end(w);
}

static void write_list(const struct field *f, const char *items, size_t n, const char *ns,
                       struct xml_writer *w) {
        assert(n <= list_max(f));
        assert(n > 0 || !is_required(f));
        for (size_t i = 0; i < n; i++)
                write_element(f->child, items + i * f->child->size, ns, w);
}

static void write_content(const struct element *e, const struct field *f, const void *value,
                          struct xml_writer *w) {
        const void *at = (const char *)value + f->offset;

        switch (f->kind) {
        case FIELD_TEXT:
                write_text(f, *(const char *const *)at, w);
                break;
        case FIELD_BYTES:
                write_bytes(f, at, w);
                break;
        case FIELD_CHILD_STR:
                write_child_str(f, *(const char *const *)at, w);
                break;
        case FIELD_FLAG:
                if (*(const bool *)at) {
                        xml_begin(w, f->name, f->ns);
                        xml_end(w);
                }
                break;
        case FIELD_CHILD:
                assert(*(const void *const *)at || !is_required(f));
                if (*(const void *const *)at)
                        write_element(f->child, *(const void *const *)at, e->ns, w);
                break;
        case FIELD_LIST:
                write_list(f, *(const char *const *)at,
                           *(const size_t *)(const void *)((const char *)value + f->count_offset),
                           e->ns, w);
                break;
        case FIELD_END:
        case FIELD_STR:
        case FIELD_U64:
        case FIELD_I64:
        case FIELD_BOOL:
        case FIELD_ENUM:
                break;
        }
}

static void write_element(const struct element *e, const void *value, const char *parent_ns,
                          struct xml_writer *w) {
        bool same = parent_ns && e->ns && strcmp(parent_ns, e->ns) == 0;

        xml_begin(w, e->name, same ? NULL : e->ns);
        for (const struct field *f = e->fields; f->kind != FIELD_END; f++)
                write_attr(f, (const char *)value + f->offset, w);
        for (const struct field *f = e->fields; f->kind != FIELD_END; f++)
                write_content(e, f, value, w);
        xml_end(w);
}

int fields_write(const struct element *e, const void *value, struct xml_writer *w) {
        write_element(e, value, NULL, w);
        return buf_check(w->out);
}

int fields_encode(const struct element *e, const void *value, struct buf *out) {
        struct xml_writer w;

        xml_writer_init(&w, out);
        return fields_write(e, value, &w);
}
