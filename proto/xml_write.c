/* The writer of proto/xml.h. */
#include "proto/xml_write.h"

#include "proto/base/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/*
 * Escaping
 */

/* What may stand as it is: printable ASCII without the five special characters. */
static bool is_plain(unsigned char c) {
        return c >= 0x20 && c < 0x7f && c != '<' && c != '>' && c != '&' && c != '"' && c != '\'';
}

static const char *entity_of(uint32_t c, bool in_attr) {
        switch (c) {
        case '<':
                return "&lt;";
        case '>':
                return "&gt;";
        case '&':
                return "&amp;";
        case '"':
                return in_attr ? "&quot;" : NULL;
        case '\'':
                return in_attr ? "&apos;" : NULL;
        case '\r':
                return "&#13;";
        case '\n':
                return in_attr ? "&#10;" : NULL;
        case '\t':
                return in_attr ? "&#9;" : NULL;
        default:
                return NULL;
        }
}

/* XML 1.0 section 2.2 */
static bool is_xml_char(uint32_t c) {
        return c >= 0x20 ? c != 0xfffe && c != 0xffff : c == '\t' || c == '\n' || c == '\r';
}

void xml_write_escaped(struct buf *out, const char *text, size_t len, bool in_attr) {
        size_t from = 0, at = 0;

        buf_reserve(out, len);
        while (at < len) {
                const char *instead;
                uint32_t c = 0;
                size_t n;

                if (is_plain((unsigned char)text[at])) {
                        at++;
                        continue;
                }
                n = utf8_char(text + at, len - at, &c);
                if (n == 0 || !is_xml_char(c))
                        instead = UTF8_REPLACEMENT;
                else
                        instead = entity_of(c, in_attr);
                if (n == 0)
                        n = 1;
                if (instead) {
                        buf_append(out, text + from, at - from);
                        buf_puts(out, instead);
                        from = at + n;
                }
                at += n;
        }
        buf_append(out, text + from, at - from);
}

void xml_write_attr(struct buf *out, const char *name, const char *value) {
        buf_putc(out, ' ');
        buf_puts(out, name);
        buf_puts(out, "='");
        xml_write_escaped(out, value, strlen(value), true);
        buf_putc(out, '\'');
}

/*
 * The writer
 */

void xml_writer_init(struct xml_writer *w, struct buf *out) {
        *w = (struct xml_writer){.out = out};
}

static void close_start_tag(struct xml_writer *w) {
        if (w->tag_open)
                buf_putc(w->out, '>');
        w->tag_open = false;
}

void xml_begin(struct xml_writer *w, const char *name, const char *ns) {
        assert(w->depth < XML_WRITER_DEPTH);
        close_start_tag(w);
        buf_putc(w->out, '<');
        buf_puts(w->out, name);
        if (ns)
                xml_write_attr(w->out, "xmlns", ns);
        w->names[w->depth++] = name;
        w->tag_open = true;
}

void xml_put(struct xml_writer *w, const char *attr, const char *value) {
        assert(w->tag_open);
        if (value)
                xml_write_attr(w->out, attr, value);
}

void xml_put_u64(struct xml_writer *w, const char *attr, uint64_t value) {
        char text[24];

        snprintf(text, sizeof(text), "%" PRIu64, value);
        xml_put(w, attr, text);
}

void xml_put_text(struct xml_writer *w, const char *text) {
        close_start_tag(w);
        xml_write_escaped(w->out, text, strlen(text), false);
}

struct buf *xml_raw(struct xml_writer *w) {
        close_start_tag(w);
        return w->out;
}

void xml_end(struct xml_writer *w) {
        assert(w->depth > 0);
        w->depth--;
        if (w->tag_open) {
                buf_puts(w->out, "/>");
                w->tag_open = false;
                return;
        }
        buf_puts(w->out, "</");
        buf_puts(w->out, w->names[w->depth]);
        buf_putc(w->out, '>');
}

void xml_put_element(struct xml_writer *w, const char *name, const char *text) {
        if (!text)
                return;
        xml_begin(w, name, NULL);
        if (text[0] != '\0')
                xml_put_text(w, text);
        xml_end(w);
}
