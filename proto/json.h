/*
 * JSON with comments: reading with positions, and writing.
 *
 * A reader walks with `struct json_at`, a place on the caller's stack that knows its way up to the
 * root. The first failure is kept in the document as one sentence with file:line:column and the path;
 * readers return JSON_BAD and the root prints json_error(). Configuration, plans, the catalogue and
 * events are all read this way.
 *
 * Limits: 1 MiB in a file, 32 MiB of other text (what comes from a peer is cut far below that before
 * it is read), depth 16. Comments are C and C++ style. Duplicate keys are refused.
 */
#pragma once

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

enum {
        JSON_BAD = 1,    /* refused; json_error() says why */
        JSON_ABSENT = 2, /* json_get(): no such key (or null) */
};

struct json_doc;

struct json_at {
        struct json_doc *doc;
        void *value;
        const struct json_at *up; /* NULL at the root; must outlive this place */
        const char *key;          /* in an object */
        size_t index;             /* in an array */
};

enum json_type {
        JSON_NULL,
        JSON_BOOL,
        JSON_NUMBER,
        JSON_STRING,
        JSON_ARRAY,
        JSON_OBJECT,
};

/* @name is what errors call the text (a file name). Returns 0, JSON_BAD or -ENOMEM. *ret is set in
 * the first two cases, so that json_error() can be read. */
int json_parse(struct json_doc **ret, const char *name, const char *text, size_t len);
/* Reads the file. Returns also -errno of open and read. */
int json_parse_file(struct json_doc **ret, const char *path);
struct json_doc *json_free(struct json_doc *doc);
DEFINE_CLEANUP_FREE(struct json_doc, json_free)

/* "target.json:3:12: controllers.ana@lab: expected one of view, run, reboot, admin, found "root"".
 * "" when nothing failed. */
const char *json_error(const struct json_doc *doc);

struct json_at json_root(struct json_doc *doc);
enum json_type json_type(const struct json_at *at);
/* Member @key of object @at. Returns 0, JSON_ABSENT, or JSON_BAD when @at is no object. */
int json_get(const struct json_at *at, const char *key, struct json_at *ret);
/* Elements of an array, members of an object; 0 for others. */
size_t json_length(const struct json_at *at);
/* The @i-th element or member (ret->key is set for members). Returns 0 or JSON_BAD. */
int json_item(const struct json_at *at, size_t i, struct json_at *ret);

/* Typed values; strings live as long as the document. 0 or JSON_BAD with "expected …, found …". */
int json_str(const struct json_at *at, const char **ret);
int json_u64(const struct json_at *at, uint64_t *ret);
int json_i64(const struct json_at *at, int64_t *ret);
int json_double(const struct json_at *at, double *ret);
int json_bool(const struct json_at *at, bool *ret);
/* "90s", "1h30m", "250ms", or a number of seconds. */
int json_duration(const struct json_at *at, uint64_t *ret_usec);
/* "64M", "1G", "512k" (powers of 1024), or a number of bytes. */
int json_bytes(const struct json_at *at, uint64_t *ret);
/* Index into @names (ends with NULL). */
int json_enum(const struct json_at *at, const char *const *names, int *ret);
/* Every key of object @at must be in @known (ends with NULL); the error suggests the nearest. */
int json_only(const struct json_at *at, const char *const *known);
/* Records a failure at this place in words of the caller; returns JSON_BAD. */
int json_fail(const struct json_at *at, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
/* Shorthands: value of a key, *ret untouched when absent. 0 or JSON_BAD. */
int json_get_str(const struct json_at *at, const char *key, const char **ret);
int json_get_u64(const struct json_at *at, const char *key, uint64_t *ret);
int json_get_i64(const struct json_at *at, const char *key, int64_t *ret);
int json_get_bool(const struct json_at *at, const char *key, bool *ret);
int json_get_duration(const struct json_at *at, const char *key, uint64_t *ret_usec);
int json_get_bytes(const struct json_at *at, const char *key, uint64_t *ret);

/* The value as JSON text again, on one line (for passing a part on). */
int json_print(const struct json_at *at, struct buf *out);

/*
 * Writer. Commas are kept right by itself; errors stick in the buf. One line, no blanks (a journal line
 * is one line). Strings that are not UTF-8 are written with U+FFFD for each bad byte.
 */
struct json_writer {
        struct buf *out; /* borrowed */
        bool comma;
};

void json_writer_init(struct json_writer *w, struct buf *out);
void json_begin_object(struct json_writer *w,
                       const char *key); /* @key NULL in arrays and at the root */
void json_end_object(struct json_writer *w);
void json_begin_array(struct json_writer *w, const char *key);
void json_end_array(struct json_writer *w);
void json_put_str(struct json_writer *w, const char *key, const char *value); /* NULL: null */
void json_put_u64(struct json_writer *w, const char *key, uint64_t value);
void json_put_i64(struct json_writer *w, const char *key, int64_t value);
void json_put_double(struct json_writer *w, const char *key, double value);
void json_put_bool(struct json_writer *w, const char *key, bool value);
/* @json is JSON text already. */
void json_put_raw(struct json_writer *w, const char *key, const char *json);
