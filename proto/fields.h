/*
 * Field tables: one XML element <-> one C struct. The only decoder and the only encoder of payloads.
 *
 * A table row says where a value lives in the XML (attribute, own text, child element) and in the
 * struct, and its limits. Decoded strings and lists are borrowed from the stanza or live in the arena
 * that the caller gives; a struct to encode borrows whatever its owner has. Unknown attributes and
 * children are ignored (a later version may add some); a missing required field, a value of the wrong
 * form and anything beyond its limit are refused as a whole.
 *
 * What is absent decodes to 0, false, NULL or -1 (enum), an own text to ""; and those values, where
 * they are not required, are not written. A required text or bytes is not empty.
 *
 * A row whose C member has the wrong type does not compile.
 */
#pragma once

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/xml.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum field_kind {
        FIELD_END,
        FIELD_STR,       /* attribute -> const char * */
        FIELD_U64,       /* attribute, decimal -> uint64_t */
        FIELD_I64,       /* attribute, decimal -> int64_t */
        FIELD_BOOL,      /* attribute true/false/1/0 -> bool; written only when true */
        FIELD_ENUM,      /* attribute -> int, by .names; -1 is absent */
        FIELD_TEXT,      /* the element's own text -> const char * */
        FIELD_BYTES,     /* the element's own text, base64 -> struct bytes */
        FIELD_CHILD_STR, /* <name>text</name> -> const char * */
        FIELD_FLAG,      /* <name/> present -> bool */
        FIELD_CHILD,     /* one child element -> pointer to a struct, NULL when absent */
        FIELD_LIST,      /* child elements -> pointer and count */
};

enum {
        FIELD_REQUIRED = 1 << 0,
        FIELD_IS_ID = 1 << 1, /* a string that must satisfy id_valid() */
};

struct element;

struct field {
        enum field_kind kind;
        const char *name; /* of the attribute or child */
        size_t offset;
        size_t count_offset; /* FIELD_LIST */
        unsigned flags;
        /* Strings and bytes: length in bytes, 0 means 255. Numbers: largest value, 0 means any.
         * Lists: items, 0 means 64. Too many or too long is refused, never cut. */
        uint64_t max;
        const char *const *names;    /* FIELD_ENUM, ends with NULL; the index is the value */
        const struct element *child; /* FIELD_CHILD, FIELD_LIST */
        const char *ns;              /* FIELD_CHILD_STR, FIELD_FLAG: when not the element's own */
};

/* An element: what an extension's payload looks like. */
struct element {
        const char *name;
        const char *ns;
        size_t size; /* of the struct */
        const struct field *fields;
};

#define FIELD_AT_(type, member, ctype)                                                             \
        .offset = offsetof(type, member) +                                                         \
                  0 * sizeof(char[_Generic(((type *)0)->member, ctype : 1)])

#define F_STR(type, member, ...)                                                                   \
        { .kind = FIELD_STR, .name = #member, FIELD_AT_(type, member, const char *), __VA_ARGS__ }
#define F_U64(type, member, ...)                                                                   \
        { .kind = FIELD_U64, .name = #member, FIELD_AT_(type, member, uint64_t), __VA_ARGS__ }
#define F_I64(type, member, ...)                                                                   \
        { .kind = FIELD_I64, .name = #member, FIELD_AT_(type, member, int64_t), __VA_ARGS__ }
#define F_BOOL(type, member, ...)                                                                  \
        { .kind = FIELD_BOOL, .name = #member, FIELD_AT_(type, member, bool), __VA_ARGS__ }
#define F_ENUM(type, member, names_, ...)                                                          \
        {                                                                                          \
                .kind = FIELD_ENUM, .name = #member, FIELD_AT_(type, member, int),                 \
                .names = names_, __VA_ARGS__                                                       \
        }
#define F_TEXT(type, member, ...)                                                                  \
        { .kind = FIELD_TEXT, .name = #member, FIELD_AT_(type, member, const char *), __VA_ARGS__ }
#define F_BYTES(type, member, ...)                                                                 \
        { .kind = FIELD_BYTES, .name = #member, FIELD_AT_(type, member, struct bytes), __VA_ARGS__ }
#define F_CHILD_STR(type, member, ...)                                                             \
        {                                                                                          \
                .kind = FIELD_CHILD_STR, .name = #member, FIELD_AT_(type, member, const char *),   \
                __VA_ARGS__                                                                        \
        }
#define F_FLAG(type, member, ...)                                                                  \
        { .kind = FIELD_FLAG, .name = #member, FIELD_AT_(type, member, bool), __VA_ARGS__ }
/* The member is `const struct item_type *`. */
#define F_CHILD(type, member, item_type, element_, ...)                                            \
        {                                                                                          \
                .kind = FIELD_CHILD, .child = (element_),                                          \
                FIELD_AT_(type, member, const struct item_type *), __VA_ARGS__                     \
        }
/* The member is `const struct item_type *`, with a `size_t n_member` beside it. */
#define F_LIST(type, member, item_type, element_, ...)                                             \
        {                                                                                          \
                .kind = FIELD_LIST, .child = (element_),                                           \
                .count_offset = offsetof(type, n_##member),                                        \
                FIELD_AT_(type, member, const struct item_type *), __VA_ARGS__                     \
        }
#define F_END                                                                                      \
        { .kind = FIELD_END }

enum {
        FIELDS_REFUSED = 1, /* the element does not satisfy its table; ret_why says where */
};

/* Fills the zeroed struct @ret. @ret_why (may be NULL) gets a sentence from @arena.
 * Returns 0, FIELDS_REFUSED or -ENOMEM. */
int fields_decode(const struct element *e, const struct xml *x, struct arena *arena, void *ret,
                  const char **ret_why);

/* Appends the element as XML text. Returns 0 or -ENOMEM. A struct that its own table would refuse is a
 * bug of ours: assert. */
int fields_encode(const struct element *e, const void *value, struct buf *out);
/* The same inside an element being written. */
int fields_write(const struct element *e, const void *value, struct xml_writer *w);

/* Does @x have this name and namespace? */
bool element_is(const struct element *e, const struct xml *x);
