/*
 * XML: a view of elements received, and a writer of elements to send.
 *
 * A `struct xml` is an element of a received stanza (libstrophe's tree) or of a text parsed here. It is only borrowed,
 * except from xml_parse(). What is sent is text written into a buf: the writer escapes, and
 * replaces what XML 1.0 section 2.2 does not allow (control characters, U+FFFE, invalid UTF-8) by
 * U+FFFD, because one such byte makes a server close the stream.
 */
#pragma once

#include "proto/base/arena.h"
#include "proto/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct xml;

/* Attributes of foreign namespaces (p:from) never pass for plain ones, in libstrophe's trees neither. The
 * link asks once, before it connects: false means that the build lost the guard (see xml.c), and
 * that senders could be forged. */
bool xml_is_guarded(void);
/* From now on libstrophe makes no text of the stanzas of this context (an xmpp_ctx_t, one at a time) for its log; NULL
 * ends that. Only for a session that sends nothing but text of its own. */
void xml_silence(const void *context);

const char *xml_name(const struct xml *x);
/* "" when the element has none. */
const char *xml_ns(const struct xml *x);
/* NULL when absent. */
const char *xml_attr(const struct xml *x, const char *name);
/* First child element; NULL for @name or @ns matches any. NULL when there is none. A child without
 * a namespace of its own has its parent's. */
const struct xml *xml_child(const struct xml *x, const char *name, const char *ns);
/* The next sibling element that matches. */
const struct xml *xml_next(const struct xml *x, const char *name, const char *ns);
/* The element's own text, "" when none: borrowed from the tree when it is one piece, else copied
 * into @a. NULL when out of memory. */
const char *xml_text(const struct xml *x, struct arena *a);

/* Limits of xml_parse(); 0 takes the default. */
struct xml_limits {
        size_t size;    /* bytes; default 256 KiB, the servers' stanza limit */
        unsigned depth; /* default 32 */
        unsigned nodes; /* elements and text runs; default 20,000 */
        unsigned attrs; /* of one element; default 64 */
};

enum {
        XML_MALFORMED = 1, /* not well-formed, or has a DTD or processing instruction */
        XML_LIMIT = 2,     /* beyond a limit */
};

/* Returns 0, XML_MALFORMED, XML_LIMIT or -ENOMEM. The result is owned: xml_free(). */
int xml_parse(struct xml **ret, const char *text, size_t len, const struct xml_limits *limits);
struct xml *xml_free(struct xml *x);
DEFINE_CLEANUP_FREE(struct xml, xml_free)

/* Writes @x as text; @indent: pretty, a line an element. */
int xml_print(struct buf *out, const struct xml *x, bool indent);

/*
 * Writer: xml_begin() xml_put()… (text or children)… xml_end(). Attributes come before content.
 * Errors stick in the buf.
 */
#define XML_WRITER_DEPTH 16

struct xml_writer {
        struct buf *out; /* borrowed */
        const char *names[XML_WRITER_DEPTH];
        unsigned depth;
        bool tag_open;
};

void xml_writer_init(struct xml_writer *w, struct buf *out);
/* @name must outlive the matching xml_end(); @ns NULL writes no xmlns. */
void xml_begin(struct xml_writer *w, const char *name, const char *ns);
/* @value NULL: nothing is written. */
void xml_put(struct xml_writer *w, const char *attr, const char *value);
void xml_put_u64(struct xml_writer *w, const char *attr, uint64_t value);
void xml_put_text(struct xml_writer *w, const char *text);
/* Closes the start tag and lends the buf for text that is known to need no escaping (base64) or is XML
 * already. */
struct buf *xml_raw(struct xml_writer *w);
void xml_end(struct xml_writer *w);
/* <name>text</name>; nothing when @text is NULL. */
void xml_put_element(struct xml_writer *w, const char *name, const char *text);
