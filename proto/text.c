#include "proto/text.h"

#include "proto/base/utf8.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define ELLIPSIS "\xe2\x80\xa6"

/* One character: what is written for it and how long that is; returns how far it reaches in @text. */
static size_t step(const char *text, size_t len, const char **ret_written, size_t *ret_size) {
        uint32_t c;
        size_t n = utf8_char(text, len, &c);

        /* XML 1.0 section 2.2 */
        if (n == 0 || c == 0xfffe || c == 0xffff ||
            (c < 0x20 && c != '\t' && c != '\n' && c != '\r')) {
                *ret_written = UTF8_REPLACEMENT;
                *ret_size = strlen(UTF8_REPLACEMENT);
                return n == 0 ? 1 : n;
        }
        *ret_written = text;
        *ret_size = n;
        return n;
}

const char *text_fit(struct arena *a, const char *text, size_t max) {
        size_t len, out = 0, room = 0; /* room: what fits beside an ellipsis */
        bool changed = false, cut = false;
        const char *written;
        size_t size;
        char *copy;

        assert(max >= strlen(ELLIPSIS));
        if (!text)
                return NULL;
        len = strlen(text);
        for (size_t at = 0; at < len;) {
                const char *from = text + at;

                at += step(from, len - at, &written, &size);
                changed |= written != from;
                if (out + size > max) {
                        cut = true;
                        break;
                }
                out += size;
                if (out + strlen(ELLIPSIS) <= max)
                        room = out;
        }
        if (!changed && !cut)
                return text;
        if (cut)
                out = room;
        copy = arena_alloc(a, out + strlen(ELLIPSIS) + 1);
        if (!copy)
                return NULL;
        for (size_t at = 0, done = 0; done < out; done += size) {
                at += step(text + at, len - at, &written, &size);
                memcpy(copy + done, written, size);
        }
        if (cut)
                memcpy(copy + out, ELLIPSIS, strlen(ELLIPSIS));
        return copy;
}
