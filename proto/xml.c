#include "proto/xml.h"

#include "proto/xml_write.h"

#include <errno.h>
#include <dlfcn.h>
#include <expat.h>
#include <string.h>
#include <strophe.h>

/* expat joins namespace and name with it: the byte libstrophe chose, which XML cannot contain */
#define NS_SEPARATOR '\x1f'

#define INDENT_MAX 32

/* libstrophe's getters take non-const pointers and change nothing. */
static xmpp_stanza_t *stanza_of(const struct xml *x) {
        return (xmpp_stanza_t *)x;
}

static struct xml *xml_of(xmpp_stanza_t *stanza) {
        return (struct xml *)stanza;
}

/*
 * The view
 */

const char *xml_name(const struct xml *x) {
        const char *name = xmpp_stanza_get_name(stanza_of(x));

        return name ? name : "";
}

const char *xml_ns(const struct xml *x) {
        const char *ns = xmpp_stanza_get_ns(stanza_of(x));

        return ns ? ns : "";
}

const char *xml_attr(const struct xml *x, const char *name) {
        return xmpp_stanza_get_attribute(stanza_of(x), name);
}

/* Both parsers write the namespace in force on each element, so that nothing is inherited here. */
static const struct xml *first_match(xmpp_stanza_t *at, const char *name, const char *ns) {
        for (; at; at = xmpp_stanza_get_next(at)) {
                if (!xmpp_stanza_is_tag(at))
                        continue;
                if (name && strcmp(xml_name(xml_of(at)), name) != 0)
                        continue;
                if (ns && strcmp(xml_ns(xml_of(at)), ns) != 0)
                        continue;
                return xml_of(at);
        }
        return NULL;
}

const struct xml *xml_child(const struct xml *x, const char *name, const char *ns) {
        return first_match(xmpp_stanza_get_children(stanza_of(x)), name, ns);
}

const struct xml *xml_next(const struct xml *x, const char *name, const char *ns) {
        return first_match(xmpp_stanza_get_next(stanza_of(x)), name, ns);
}

static const char *piece_of(xmpp_stanza_t *node) {
        const char *text;

        if (!xmpp_stanza_is_text(node))
                return NULL;
        text = xmpp_stanza_get_text_ptr(node);
        return text ? text : "";
}

const char *xml_text(const struct xml *x, struct arena *a) {
        xmpp_stanza_t *children = xmpp_stanza_get_children(stanza_of(x));
        const char *only = "";
        size_t pieces = 0, len = 0;
        char *text, *at;

        for (xmpp_stanza_t *c = children; c; c = xmpp_stanza_get_next(c)) {
                const char *piece = piece_of(c);

                if (!piece)
                        continue;
                only = piece;
                pieces++;
                len += pieces > 1 || xmpp_stanza_get_next(c) ? strlen(piece) : 0;
        }
        if (pieces <= 1)
                return only;
        text = at = arena_alloc(a, len + 1);
        if (!text)
                return NULL;
        for (xmpp_stanza_t *c = children; c; c = xmpp_stanza_get_next(c)) {
                const char *piece = piece_of(c);

                if (piece)
                        at = stpcpy(at, piece);
        }
        return text;
}

/*
 * The guard. libstrophe 0.12 forgets the namespaces of attributes: it takes p:from='admin@lab' for
 * from='admin@lab', after the one that the server stamped, and a server passes it on (Prosody does).
 * Any account could speak for any other. So we stand between the library and expat, under the name
 * of the function by which it installs its handlers, and take such attributes away.
 */

static XML_StartElementHandler library_start; /* always the same function */

/* "uri\x1fname" or "name" */
static const char *local_name(const char *name) {
        const char *at = strchr(name, NS_SEPARATOR);

        return at ? at + 1 : name;
}

/* The array is expat's scratch, good for this call alone. */
static void guarded_start(void *userdata, const XML_Char *name, const XML_Char **attrs) {
        const XML_Char **to = attrs;

        for (const XML_Char **from = attrs; *from; from += 2) {
                if (local_name(from[0]) != from[0])
                        continue;
                to[0] = from[0];
                to[1] = from[1];
                to += 2;
        }
        *to = NULL;
        library_start(userdata, name, attrs);
}

void XML_SetElementHandler(XML_Parser parser, XML_StartElementHandler start,
                           XML_EndElementHandler end) {
        library_start = start;
        XML_SetStartElementHandler(parser, start ? guarded_start : NULL);
        XML_SetEndElementHandler(parser, end);
}

bool xml_is_guarded(void) {
        static const char probe[] = "<a from='server' xmlns:p='urn:p' p:from='forger'/>";
        xmpp_ctx_t *ctx = xmpp_ctx_new(NULL, NULL);
        xmpp_stanza_t *s = ctx ? xmpp_stanza_new_from_string(ctx, probe) : NULL;
        const char *from = s ? xmpp_stanza_get_attribute(s, "from") : NULL;
        bool guarded = from && strcmp(from, "server") == 0;

        if (s)
                xmpp_stanza_release(s);
        if (ctx)
                xmpp_ctx_free(ctx);
        return guarded;
}

/*
 * The silence. libstrophe writes every stanza that arrives as text, twice over, for a log that
 * nobody reads: more than half of what receiving costs. Of a context that was silenced its text is
 * refused, which the library takes as one more line for the log; everything else gets it.
 */

static const xmpp_ctx_t *silenced;

int xmpp_stanza_to_text(xmpp_stanza_t *stanza, char **buf, size_t *buflen) {
        static int (*library_text)(xmpp_stanza_t *, char **, size_t *);

        if (silenced && xmpp_stanza_get_context(stanza) == silenced)
                return XMPP_EINVOP;
        if (!library_text)
                *(void **)&library_text = dlsym(RTLD_NEXT, "xmpp_stanza_to_text");
        return library_text ? library_text(stanza, buf, buflen) : XMPP_EINVOP;
}

void xml_silence(const void *context) {
        silenced = context;
}

/*
 * Parsing
 */

struct parse {
        XML_Parser parser;
        xmpp_ctx_t *ctx;
        struct xml_limits limits;
        xmpp_stanza_t *root;
        xmpp_stanza_t **open; /* limits.depth of them */
        unsigned depth;
        unsigned nodes;
        struct buf text; /* the current run: expat gives it in pieces */
        int result;
};

static void parse_stop(struct parse *p, int result) {
        if (p->result == 0)
                p->result = result;
        XML_StopParser(p->parser, XML_FALSE);
}

static bool parse_count(struct parse *p) {
        if (p->nodes < p->limits.nodes) {
                p->nodes++;
                return true;
        }
        parse_stop(p, XML_LIMIT);
        return false;
}

static bool parse_flush_text(struct parse *p) {
        xmpp_stanza_t *node;
        int r;

        if (buf_check(&p->text) < 0) {
                parse_stop(p, -ENOMEM);
                return false;
        }
        if (p->text.len == 0)
                return true;
        if (!parse_count(p))
                return false;
        node = xmpp_stanza_new(p->ctx);
        if (!node) {
                parse_stop(p, -ENOMEM);
                return false;
        }
        r = xmpp_stanza_set_text_with_size(node, p->text.data, p->text.len);
        buf_clear(&p->text);
        if (r == XMPP_EOK)
                r = xmpp_stanza_add_child_ex(p->open[p->depth - 1], node, 0);
        if (r != XMPP_EOK) {
                xmpp_stanza_release(node);
                parse_stop(p, -ENOMEM);
                return false;
        }
        return true;
}

static int parse_fill(struct parse *p, xmpp_stanza_t *node, const char *name, const char **attrs) {
        const char *local = local_name(name);
        unsigned n = 0;

        if (xmpp_stanza_set_name(node, local) != XMPP_EOK)
                return -ENOMEM;
        if (local != name) {
                CLEANUP(mem_free) char *ns = strndup(name, (size_t)(local - 1 - name));

                if (!ns || xmpp_stanza_set_ns(node, ns) != XMPP_EOK)
                        return -ENOMEM;
        }
        for (; *attrs; attrs += 2) {
                if (++n > p->limits.attrs)
                        return XML_LIMIT;
                /* attributes of foreign namespaces must not pass for ours */
                if (local_name(attrs[0]) != attrs[0])
                        continue;
                if (xmpp_stanza_set_attribute(node, attrs[0], attrs[1]) != XMPP_EOK)
                        return -ENOMEM;
        }
        return 0;
}

static void on_start(void *userdata, const XML_Char *name, const XML_Char **attrs) {
        struct parse *p = userdata;
        xmpp_stanza_t *node;
        int r;

        if (p->result != 0)
                return;
        if (p->depth > 0 && !parse_flush_text(p))
                return;
        if (p->depth == p->limits.depth) {
                parse_stop(p, XML_LIMIT);
                return;
        }
        if (!parse_count(p))
                return;
        node = xmpp_stanza_new(p->ctx);
        if (!node) {
                parse_stop(p, -ENOMEM);
                return;
        }
        r = parse_fill(p, node, name, attrs);
        if (r == 0 && p->depth > 0 &&
            xmpp_stanza_add_child_ex(p->open[p->depth - 1], node, 0) != XMPP_EOK)
                r = -ENOMEM;
        if (r != 0) {
                xmpp_stanza_release(node);
                parse_stop(p, r);
                return;
        }
        if (p->depth == 0)
                p->root = node;
        p->open[p->depth++] = node;
}

static void on_end(void *userdata, const XML_Char *name) {
        struct parse *p = userdata;

        (void)name;
        if (p->result == 0 && parse_flush_text(p))
                p->depth--;
}

static void on_text(void *userdata, const XML_Char *text, int len) {
        struct parse *p = userdata;

        if (p->result == 0 && p->depth > 0)
                buf_append(&p->text, text, (size_t)len);
}

static void on_doctype(void *userdata, const XML_Char *name, const XML_Char *sysid,
                       const XML_Char *pubid, int has_internal_subset) {
        (void)name;
        (void)sysid;
        (void)pubid;
        (void)has_internal_subset;
        parse_stop(userdata, XML_MALFORMED);
}

static void on_instruction(void *userdata, const XML_Char *target, const XML_Char *data) {
        (void)target;
        (void)data;
        parse_stop(userdata, XML_MALFORMED);
}

static int parse_run(struct parse *p, const char *text, size_t len) {
        enum XML_Status status;

        XML_SetUserData(p->parser, p);
        XML_SetStartElementHandler(p->parser, on_start);
        XML_SetEndElementHandler(p->parser, on_end);
        XML_SetCharacterDataHandler(p->parser, on_text);
        XML_SetStartDoctypeDeclHandler(p->parser, on_doctype);
        XML_SetProcessingInstructionHandler(p->parser, on_instruction);
        status = XML_Parse(p->parser, text, (int)len, 1);
        if (p->result != 0)
                return p->result;
        if (status == XML_STATUS_OK)
                return 0;
        return XML_GetErrorCode(p->parser) == XML_ERROR_NO_MEMORY ? -ENOMEM : XML_MALFORMED;
}

int xml_parse(struct xml **ret, const char *text, size_t len, const struct xml_limits *limits) {
        struct parse p = {.limits = limits ? *limits : (struct xml_limits){0}};
        int r = -ENOMEM;

        if (p.limits.size == 0)
                p.limits.size = 256 * 1024;
        if (p.limits.depth == 0)
                p.limits.depth = 32;
        if (p.limits.nodes == 0)
                p.limits.nodes = 20000;
        if (p.limits.attrs == 0)
                p.limits.attrs = 64;
        if (len > p.limits.size || len > INT32_MAX)
                return XML_LIMIT;

        p.open = calloc(p.limits.depth, sizeof(*p.open));
        p.parser = XML_ParserCreateNS("UTF-8", NS_SEPARATOR);
        p.ctx = xmpp_ctx_new(NULL, NULL);
        if (p.open && p.parser && p.ctx)
                r = parse_run(&p, text, len);
        if (p.parser)
                XML_ParserFree(p.parser);
        free(p.open);
        buf_done(&p.text);
        if (r == 0) {
                *ret = xml_of(p.root);
                return 0;
        }
        if (p.root)
                xmpp_stanza_release(p.root);
        if (p.ctx)
                xmpp_ctx_free(p.ctx);
        return r;
}

/* A parsed tree has a context to itself, which a stanza needs until it is gone. */
struct xml *xml_free(struct xml *x) {
        if (x) {
                xmpp_ctx_t *ctx = xmpp_stanza_get_context(stanza_of(x));

                xmpp_stanza_release(stanza_of(x));
                xmpp_ctx_free(ctx);
        }
        return NULL;
}

/*
 * Printing a tree
 */

struct printer {
        struct buf *out;
        bool indent;
        struct buf stack; /* of xmpp_stanza_t *: the elements that are open */
};

static size_t printer_depth(const struct printer *p) {
        return p->stack.len / sizeof(xmpp_stanza_t *);
}

static xmpp_stanza_t *printer_top(const struct printer *p) {
        xmpp_stanza_t *top = NULL;

        if (p->stack.len > 0)
                memcpy(&top, p->stack.data + p->stack.len - sizeof(top), sizeof(top));
        return top;
}

static void printer_line(struct printer *p) {
        size_t depth = printer_depth(p);

        if (!p->indent)
                return;
        if (p->out->len > 0)
                buf_putc(p->out, '\n');
        for (size_t i = 0; i < depth && i < INDENT_MAX; i++)
                buf_puts(p->out, "  ");
}

struct attr {
        const char *name;
        const char *value;
};

static int attr_compare(const void *left, const void *right) {
        const struct attr *a = left, *b = right;

        return strcmp(a->name, b->name);
}

/* By name: the tree keeps them in the order of a hash. */
static int printer_attrs(struct printer *p, xmpp_stanza_t *node) {
        int n = xmpp_stanza_get_attribute_count(node);
        CLEANUP(mem_free) struct attr *attrs = NULL;

        if (n <= 0)
                return 0;
        attrs = calloc((size_t)n, sizeof(*attrs));
        if (!attrs)
                return -ENOMEM;
        n = xmpp_stanza_get_attributes(node, (const char **)attrs, n * 2) / 2;
        qsort(attrs, (size_t)n, sizeof(*attrs), attr_compare);
        for (int i = 0; i < n; i++)
                if (strcmp(attrs[i].name, "xmlns") != 0)
                        xml_write_attr(p->out, attrs[i].name, attrs[i].value);
        return 0;
}

static int printer_open(struct printer *p, xmpp_stanza_t *node) {
        xmpp_stanza_t *parent = printer_top(p);
        const char *parent_ns = parent ? xml_ns(xml_of(parent)) : "";

        buf_putc(p->out, '<');
        buf_puts(p->out, xml_name(xml_of(node)));
        if (strcmp(xml_ns(xml_of(node)), parent_ns) != 0)
                xml_write_attr(p->out, "xmlns", xml_ns(xml_of(node)));
        return printer_attrs(p, node);
}

static void printer_close(struct printer *p, xmpp_stanza_t *node) {
        buf_puts(p->out, "</");
        buf_puts(p->out, xml_name(xml_of(node)));
        buf_putc(p->out, '>');
}

/* Elements and text in document order; no recursion, because the depth is the peer's. */
static int printer_walk(struct printer *p, xmpp_stanza_t *node) {
        for (;;) {
                xmpp_stanza_t *next = NULL;
                const char *piece = piece_of(node);
                int r = 0;

                if (piece) {
                        xml_write_escaped(p->out, piece, strlen(piece), false);
                } else {
                        printer_line(p);
                        r = printer_open(p, node);
                        next = xmpp_stanza_get_children(node);
                        buf_puts(p->out, next ? ">" : "/>");
                        if (next)
                                r = r < 0 ? r : buf_append(&p->stack, &node, sizeof(node));
                }
                if (r < 0)
                        return r;
                if (next) {
                        node = next;
                        continue;
                }
                while (printer_depth(p) > 0 && !(next = xmpp_stanza_get_next(node))) {
                        node = printer_top(p);
                        buf_truncate(&p->stack, p->stack.len - sizeof(node));
                        if (first_match(xmpp_stanza_get_children(node), NULL, NULL))
                                printer_line(p);
                        printer_close(p, node);
                }
                if (!next)
                        return buf_check(p->out);
                node = next;
        }
}

int xml_print(struct buf *out, const struct xml *x, bool indent) {
        struct printer p = {.out = out, .indent = indent};
        int r = printer_walk(&p, stanza_of(x));

        buf_done(&p.stack);
        return r;
}
