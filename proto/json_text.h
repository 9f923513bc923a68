/*
 * JSON as text: what json-c does not do for us. Comments are blanked, forms it lets pass although they are no
 * JSON are refused, and the place of a value is found again when an error must be told.
 *
 * Only json.c uses this. Prepared text keeps its length, so that offsets are those of the file.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct json_text_flaw {
        size_t at;
        const char *what;
};

/* Returns 0, or 1 with *ret_flaw. *ret_keys counts the keys of all objects. @text is NUL-terminated. */
int json_text_prepare(char *text, size_t len, size_t *ret_keys, struct json_text_flaw *ret_flaw);

/*
 * For prepared text that json-c accepted.
 */

/* The value that begins at or after @at. */
size_t json_text_value(const char *text, size_t at);
/* The value behind key @key, or the @index-th element, of the object or array at @at. Returns @at when it is not found. */
size_t json_text_member(const char *text, size_t at, const char *key);
size_t json_text_element(const char *text, size_t at, size_t index);
/* Finds a key that its object has already. Returns 0, 1 when there is none in plain spelling, -ENOMEM. */
int json_text_double_key(const char *text, size_t n_keys, size_t *ret_at);

/* Both from 1; columns are characters. */
void json_text_position(const char *text, size_t at, size_t *ret_line, size_t *ret_column);
