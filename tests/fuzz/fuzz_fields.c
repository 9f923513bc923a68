/*
 * Whatever a peer sends is refused or decodes to a struct that can be encoded; and decoding that text gives
 * the same struct again, told by encoding it once more.
 */
#include "tests/fuzz/fuzz.h"

#include "proto/fields.h"

#include <stdlib.h>
#include <string.h>

struct leaf {
        const char *name;
        const char *value;
};

struct thing {
        const char *id;
        const char *note;
        uint64_t offset;
        int64_t shift;
        bool again;
        int codec;
        struct bytes data;
        const char *title;
        bool simulated;
        const struct leaf *only;
        const struct leaf *labels;
        size_t n_labels;
};

static const struct field leaf_fields[] = {
        F_STR(struct leaf, name, .flags = FIELD_REQUIRED),
        F_TEXT(struct leaf, value, .max = 40),
        F_END,
};
static const struct element only_element = {"only", "urn:fuzz", sizeof(struct leaf), leaf_fields};
static const struct element label_element = {"label", "urn:fuzz", sizeof(struct leaf), leaf_fields};

static const char *const codecs[] = {"raw", "zstd", NULL};
static const struct field thing_fields[] = {
        F_STR(struct thing, id, .flags = FIELD_REQUIRED | FIELD_IS_ID),
        F_STR(struct thing, note, .max = 20),
        F_U64(struct thing, offset, .max = 1000000),
        F_I64(struct thing, shift),
        F_BOOL(struct thing, again),
        F_ENUM(struct thing, codec, codecs),
        F_BYTES(struct thing, data, .max = 64),
        F_CHILD_STR(struct thing, title),
        F_FLAG(struct thing, simulated, .ns = "urn:other"),
        F_CHILD(struct thing, only, leaf, &only_element),
        F_LIST(struct thing, labels, leaf, &label_element, .max = 8),
        F_END,
};
static const struct element thing_element = {"thing", "urn:fuzz", sizeof(struct thing),
                                             thing_fields};

static int decode(const char *text, size_t size, struct arena *a, struct buf *out) {
        CLEANUP(xml_free) struct xml *x = NULL;
        struct thing t = {0};
        const char *why = NULL;
        int r;

        if (xml_parse(&x, text, size, NULL) != 0)
                return 1;
        r = fields_decode(&thing_element, x, a, &t, &why);
        if (r < 0)
                abort();
        if (r > 0) {
                if (!why || strlen(why) == 0)
                        abort();
                return 1;
        }
        if (fields_encode(&thing_element, &t, out) != 0)
                abort();
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf first = {0}, second = {0};

        if (decode((const char *)data, size, &a, &first) != 0)
                return 0;
        if (decode(first.data, first.len, &a, &second) != 0)
                abort();
        if (strcmp(first.data, second.data) != 0)
                abort();
        return 0;
}
