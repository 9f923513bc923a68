#include "controller/trace.h"

#include "ext/power.h"
#include "ext/stream.h"
#include "proto/codec.h"
#include "proto/xml.h"

#include <errno.h>
#include <string.h>

#define PREVIEW_MAX 120
#define NONCE_SHOWN 8
#define DEPTH_MAX 32

static void put_escaped(struct buf *out, const uint8_t *data, size_t size) {
        for (size_t i = 0; i < size; i++) {
                if (data[i] == '\n')
                        buf_puts(out, "\\n");
                else if (data[i] < ' ' || data[i] >= 127)
                        buf_printf(out, "\\x%02x", data[i]);
                else
                        buf_putc(out, (char)data[i]);
        }
}

/* What a chunk carries, instead of its base64. */
static int put_chunk(struct buf *out, const struct xml *x, unsigned depth) {
        CLEANUP(arena_done) struct arena arena = {0};
        CLEANUP(codec_free) struct codec *codec = NULL;
        struct stream_chunk m = {0};
        struct bytes data = {0};

        buf_printf(out, "%*s", (int)(depth * 2), "");
        if (fields_decode(&stream_chunk_element, x, &arena, &m, NULL) != 0 ||
            codec_new(&codec) < 0 ||
            codec_unpack(codec, (enum codec_kind)m.codec, m.data, m.size, &data) != 0)
                return buf_puts(out, "<chunk …/> that cannot be read\n");
        buf_printf(out,
                   "<chunk run='%s' stream='%s' offset='%llu' size='%llu' codec='%s'> %zu bytes on "
                   "the "
                   "wire: ",
                   m.run, m.stream, (unsigned long long)m.offset, (unsigned long long)m.size,
                   m.codec == CODEC_ZSTD ? "zstd" : "raw", m.data.size);
        put_escaped(out, data.data, data.size < PREVIEW_MAX ? data.size : PREVIEW_MAX);
        return buf_puts(out, data.size > PREVIEW_MAX ? "…\n" : "\n");
}

/* Hides the values of nonce='…' and the text of SASL elements in what xml_print() wrote. */
static void hide_nonces(struct buf *out, const char *text) {
        static const char mark[] = "nonce=";
        const char *at;

        while ((at = strstr(text, mark))) {
                size_t head = (size_t)(at - text) + strlen(mark);
                char quote = text[head];
                const char *end = quote ? strchr(text + head + 1, quote) : NULL;

                buf_append(out, text, head);
                text += head;
                if (!end)
                        continue;
                buf_append(out, text,
                           (size_t)(end - text) < NONCE_SHOWN + 1 ? (size_t)(end - text)
                                                                  : NONCE_SHOWN + 1);
                buf_puts(out, "…");
                text = end;
        }
        buf_puts(out, text);
}

static int put_stanza(struct buf *out, const struct xml *x) {
        CLEANUP(buf_done) struct buf plain = {0};
        const struct xml *chunk = xml_child(x, stream_chunk_element.name, NS_ROTA_STREAM);
        int r;

        if (chunk) {
                const char *from = xml_attr(x, "from"), *to = xml_attr(x, "to");

                buf_printf(out, "<%s from='%s' to='%s'>\n", xml_name(x), from ? from : "",
                           to ? to : "");
                for (; chunk; chunk = xml_next(chunk, stream_chunk_element.name, NS_ROTA_STREAM))
                        put_chunk(out, chunk, 1);
                return buf_printf(out, "</%s>\n", xml_name(x));
        }
        r = xml_print(&plain, x, true);
        if (r < 0)
                return r;
        hide_nonces(out, buf_text(&plain));
        if (plain.len > 0 && plain.data[plain.len - 1] != '\n')
                buf_putc(out, '\n');
        return buf_check(out);
}

int trace_print(struct buf *out, const char *text, size_t len) {
        CLEANUP(buf_done) struct buf whole = {0};
        CLEANUP(xml_free) struct xml *x = NULL;
        const struct xml *child;
        int r;

        /* several stanzas may go at once; an XML document has one root */
        buf_puts(&whole,
                 "<trace xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>");
        buf_append(&whole, text, len);
        buf_puts(&whole, "</trace>");
        if (buf_check(&whole) < 0)
                return -ENOMEM;
        r = xml_parse(&x, whole.data, whole.len,
                      &(struct xml_limits){.size = whole.len + 1, .depth = DEPTH_MAX});
        if (r < 0)
                return r;
        if (r > 0) { /* a stream header, or a piece */
                buf_append(out, text, len);
                return buf_putc(out, '\n');
        }
        for (child = xml_child(x, NULL, NULL); child && r == 0; child = xml_next(child, NULL, NULL))
                r = put_stanza(out, child);
        return r;
}
