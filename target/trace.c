/* The stanza trace: what goes over the wire, indented, with the bytes of chunks readable. */
#include "ext/stream.h"
#include "proto/base/clock.h"
#include "proto/codec.h"
#include "target/target.h"

#include <stdio.h>
#include <string.h>

#define SHOWN 240 /* bytes of a chunk */

static void put_bytes(struct buf *out, struct bytes b) {
        size_t n = b.size < SHOWN ? b.size : SHOWN;

        buf_putc(out, '"');
        for (size_t i = 0; i < n; i++) {
                uint8_t c = b.data[i];
                if (c == '\n')
                        buf_puts(out, "\\n");
                else if (c == '"' || c == '\\')
                        buf_printf(out, "\\%c", c);
                else if (c < 0x20 || c >= 0x7f)
                        buf_printf(out, "\\x%02x", c);
                else
                        buf_putc(out, (char)c);
        }
        buf_puts(out, b.size > SHOWN ? "\"…\n" : "\"\n");
}

static void put_chunks(struct buf *out, const struct xml *stanza) {
        CLEANUP(codec_free) struct codec *codec = NULL;

        for (const struct xml *x = xml_child(stanza, "chunk", NS_ROTA_STREAM); x;
             x = xml_next(x, "chunk", NS_ROTA_STREAM)) {
                CLEANUP(arena_done) struct arena a = {0};
                struct stream_chunk c = {0};
                struct bytes data;

                if (!codec && codec_new(&codec) < 0)
                        return;
                if (fields_decode(&stream_chunk_element, x, &a, &c, NULL) != 0 ||
                    codec_unpack(codec, (enum codec_kind)c.codec, c.data, c.size, &data) != 0)
                        continue;
                buf_printf(out, "  %s %s %ju+%ju: ", c.run, c.stream, (uintmax_t)c.offset,
                           (uintmax_t)c.size);
                put_bytes(out, data);
        }
}

/* The base64 of a chunk says nothing to anybody: it is left out, put_chunks() shows the bytes. */
static void put_indented(struct buf *out, const char *text) {
        while (*text) {
                size_t len = strcspn(text, "\n"), indent = strspn(text, " ");
                bool chunk = strncmp(text + indent, "<chunk ", 7) == 0;
                size_t shown = chunk ? strcspn(text, ">\n") + 1 : len;
                buf_append(out, text, shown < len ? shown : len);
                buf_puts(out, chunk ? "…\n" : "\n");
                text += len + (text[len] == '\n');
        }
}

void trace_stanza(enum link_direction direction, const char *text, size_t len) {
        CLEANUP(buf_done) struct buf out = {0}, pretty = {0};
        CLEANUP(xml_free) struct xml *x = NULL;
        uint64_t usec = clock_realtime_usec();

        buf_printf(&out, "%s %ju.%03ju\n", direction == LINK_IN ? "<--" : "-->",
                   (uintmax_t)(usec / USEC_PER_SEC),
                   (uintmax_t)(usec % USEC_PER_SEC / USEC_PER_MSEC));
        if (xml_parse(&x, text, len, NULL) == 0 && xml_print(&pretty, x, true) == 0) {
                put_indented(&out, buf_text(&pretty));
                put_chunks(&out, x);
        } else {
                buf_append(&out, text, len < 2000 ? len : 2000);
                buf_putc(&out, '\n');
        }
        if (buf_check(&out) == 0)
                fwrite(out.data, 1, out.len, stderr);
}
