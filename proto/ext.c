#include "proto/ext.h"

#include "proto/base/arena.h"
#include "proto/base/buf.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define NS_DELAY_OLD "jabber:x:delay" /* XEP-0091, still stamped by some servers */
#define NS_FORWARD "urn:xmpp:forward:0"
#define NS_CARBONS "urn:xmpp:carbons:2"

struct router {
        const struct ext_binding *bindings;
        struct router_ops ops;
        void *userdata;
        const char **features; /* sorted, borrowed from the rooms */
        size_t n_features;
};

/* A row and the callbacks its room was bound with. */
struct match {
        const struct ext_row *row;
        const void *ops;
};

static int compare_strings(const void *a, const void *b) {
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int collect_features(struct router *r) {
        size_t n = 0, kept = 0;

        for (const struct ext_binding *b = r->bindings; b->ext; b++)
                for (const char *const *f = b->ext->features; f && *f; f++)
                        n++;
        if (n == 0)
                return 0;
        r->features = calloc(n, sizeof(*r->features));
        if (!r->features)
                return -ENOMEM;
        n = 0;
        for (const struct ext_binding *b = r->bindings; b->ext; b++)
                for (const char *const *f = b->ext->features; f && *f; f++)
                        r->features[n++] = *f;
        qsort(r->features, n, sizeof(*r->features), compare_strings);
        for (size_t i = 0; i < n; i++)
                if (kept == 0 || strcmp(r->features[kept - 1], r->features[i]) != 0)
                        r->features[kept++] = r->features[i];
        r->n_features = kept;
        return 0;
}

int router_new(struct router **ret, const struct ext_binding *bindings,
               const struct router_ops *ops, void *userdata) {
        CLEANUP(router_free) struct router *r = NULL;
        int e;

        assert(ops->role_of);

        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->bindings = bindings;
        r->ops = *ops;
        r->userdata = userdata;
        e = collect_features(r);
        if (e < 0)
                return e;
        *ret = TAKE(r);
        return 0;
}

struct router *router_free(struct router *r) {
        if (!r)
                return NULL;
        free(r->features);
        free(r);
        return NULL;
}

size_t router_features(const struct router *r, const char *const **ret) {
        *ret = r->features;
        return r->n_features;
}

/*
 * Who asks, and is it live?
 */

/* Our own server writes as nobody, as its domain, or as our bare account (RFC 6120 8.1.2.1). Everybody
 * else's stanzas carry the address the server stamped on them. */
static bool from_own_server(const char *from, const char *to) {
        size_t bare, len = strlen(from);
        const char *domain;

        if (len == 0)
                return true;
        if (!to)
                return strcspn(from, "@/") == len;
        bare = strcspn(to, "/");
        if (len == bare && strncasecmp(from, to, bare) == 0)
                return true;
        domain = memchr(to, '@', bare);
        if (!domain)
                return false;
        bare -= (size_t)(domain + 1 - to);
        return len == bare && strncasecmp(from, domain + 1, bare) == 0;
}

static enum role sender_role(const struct router *r, const char *from, const struct xml *stanza) {
        if (from_own_server(from, xml_attr(stanza, "to")))
                return ROLE_VIEW;
        return r->ops.role_of(r->userdata, from);
}

static bool is_delayed(const struct xml *stanza) {
        return xml_child(stanza, "delay", NS_DELAY) || xml_child(stanza, "x", NS_DELAY_OLD);
}

/* Somebody else's words, or our own of some other time. */
static bool is_copied(const struct xml *stanza) {
        return xml_child(stanza, NULL, NS_FORWARD) || xml_child(stanza, NULL, NS_CARBONS);
}

/*
 * One payload
 */

/* The next row that takes @payload, after @after (NULL: the first). */
static bool find_row(const struct router *r, enum ext_kind kind, const struct xml *payload,
                     const struct ext_row *after, struct match *ret) {
        bool passed = after == NULL;

        for (const struct ext_binding *b = r->bindings; b->ext; b++)
                for (const struct ext_row *row = b->ext->rows; row && row->element; row++) {
                        if (!passed) {
                                passed = row == after;
                                continue;
                        }
                        if (row->kind != kind || !element_is(row->element, payload))
                                continue;
                        *ret = (struct match){.row = row, .ops = b->ops};
                        return true;
                }
        return false;
}

/* Returns 0 or EXT_ERROR. */
static int check_allowed(const struct ext_row *row, const struct ext_request *rq,
                         struct stanza_error *ret) {
        if (rq->role < row->role) {
                *ret = (struct stanza_error){
                        .condition = STANZA_FORBIDDEN,
                        .why = STANZA_WHY_NOT_ALLOWED,
                        .role = role_name(row->role),
                        .text = arena_printf(rq->arena, "this needs the role %s; %s has %s",
                                             role_name(row->role),
                                             *rq->from ? rq->from : "the server",
                                             role_name(rq->role)),
                };
                return EXT_ERROR;
        }
        if (row->immediate && (rq->delayed || is_copied(rq->stanza))) {
                *ret = (struct stanza_error){
                        .condition = STANZA_UNEXPECTED_REQUEST,
                        .why = STANZA_WHY_STALE,
                        .text = "this happens now or not at all, and the request was delayed or "
                                "forwarded",
                };
                return EXT_ERROR;
        }
        return 0;
}

/* Checks, decodes and calls. Returns 0, EXT_ERROR or -errno; *ret_reply is from the arena. */
static int call_row(struct router *r, const struct match *m, const struct ext_request *rq,
                    const struct xml *payload, void **ret_reply, struct stanza_error *ret_error) {
        const char *why = NULL;
        void *value, *reply;
        int e;

        e = check_allowed(m->row, rq, ret_error);
        if (e != 0)
                return e;
        value = arena_alloc(rq->arena, m->row->element->size);
        reply = arena_alloc(rq->arena, m->row->reply ? m->row->reply->size : 1);
        if (!value || !reply)
                return -ENOMEM;
        e = fields_decode(m->row->element, payload, rq->arena, value, &why);
        if (e < 0)
                return e;
        if (e == FIELDS_REFUSED) {
                *ret_error = (struct stanza_error){.condition = STANZA_BAD_REQUEST, .text = why};
                return EXT_ERROR;
        }
        *ret_reply = reply;
        return m->row->call(m->ops, r->userdata, rq, value, reply, ret_error);
}

static void tell_refused(struct router *r, const struct ext_request *rq, const char *what,
                         const struct stanza_error *error) {
        if (r->ops.refused)
                r->ops.refused(r->userdata, rq, what, error);
}

/*
 * IQs
 */

static void begin_answer(struct xml_writer *w, const struct ext_request *rq, const char *type) {
        xml_begin(w, "iq", NULL);
        xml_put(w, "type", type);
        xml_put(w, "to", *rq->from ? rq->from : NULL);
        xml_put(w, "id", rq->id);
}

static void write_error(struct buf *out, const struct ext_request *rq,
                        const struct stanza_error *error) {
        struct xml_writer w;

        xml_writer_init(&w, out);
        begin_answer(&w, rq, "error");
        stanza_error_write(&w, error);
        xml_end(&w);
}

static int write_result(struct buf *out, const struct ext_request *rq, const struct element *e,
                        const void *value) {
        struct xml_writer w;
        int r = 0;

        xml_writer_init(&w, out);
        begin_answer(&w, rq, "result");
        if (e)
                r = fields_write(e, value, &w);
        xml_end(&w);
        return r;
}

/* The only child element of an IQ; returns 0 or EXT_ERROR (RFC 6120 8.2.3). */
static int only_payload(const struct xml *stanza, const struct xml **ret,
                        struct stanza_error *ret_error) {
        const struct xml *payload = xml_child(stanza, NULL, NULL);

        if (payload && !xml_next(payload, NULL, NULL)) {
                *ret = payload;
                return 0;
        }
        *ret_error = (struct stanza_error){
                .condition = STANZA_BAD_REQUEST,
                .text = payload ? "an iq carries one element, this one has more"
                                : "an iq carries one element, this one has none",
        };
        return EXT_ERROR;
}

/* Returns 0 with a reply, EXT_ERROR or -errno. */
static int answer_iq(struct router *r, struct ext_request *rq, struct match *m, void **ret_reply,
                     const char **ret_what, struct stanza_error *ret_error) {
        const char *type = xml_attr(rq->stanza, "type");
        const struct xml *payload;
        int e;

        *ret_what = "iq";
        if (type && strcmp(type, "get") == 0) {
                rq->kind = EXT_IQ_GET;
        } else if (type && strcmp(type, "set") == 0) {
                rq->kind = EXT_IQ_SET;
        } else {
                *ret_error = (struct stanza_error){
                        .condition = STANZA_BAD_REQUEST,
                        .text = "an iq is a get, a set, a result or an error",
                };
                return EXT_ERROR;
        }
        e = only_payload(rq->stanza, &payload, ret_error);
        if (e != 0)
                return e;
        *ret_what = xml_name(payload);
        if (!find_row(r, rq->kind, payload, NULL, m)) {
                *ret_error = (struct stanza_error){.condition = STANZA_SERVICE_UNAVAILABLE};
                return EXT_ERROR;
        }
        return call_row(r, m, rq, payload, ret_reply, ret_error);
}

static int dispatch_iq(struct router *r, struct ext_request *rq, struct buf *out) {
        struct stanza_error error = {0};
        struct match m = {0};
        size_t begin = out->len;
        const char *what;
        void *reply;
        int e;

        e = answer_iq(r, rq, &m, &reply, &what, &error);
        if (e == 0)
                e = write_result(out, rq, m.row->reply, reply);
        if (e < 0) {
                if (buf_check(out) < 0)
                        return e;
                buf_truncate(out, begin);
                error = (struct stanza_error){
                        .condition = STANZA_INTERNAL_SERVER_ERROR,
                        .text = strerror(-e),
                };
        }
        if (e != 0) {
                tell_refused(r, rq, what, &error);
                write_error(out, rq, &error);
        }
        if (e >= 0)
                e = buf_check(out);
        return e;
}

/*
 * Messages and presences
 */

static int dispatch_children(struct router *r, struct ext_request *rq) {
        int result = ROUTER_UNHANDLED;

        for (const struct xml *x = xml_child(rq->stanza, NULL, NULL); x;
             x = xml_next(x, NULL, NULL)) {
                struct match m = {0};

                while (find_row(r, rq->kind, x, m.row, &m)) {
                        struct stanza_error error = {0};
                        void *reply;
                        int e;

                        e = call_row(r, &m, rq, x, &reply, &error);
                        if (e < 0)
                                return e;
                        if (e != 0)
                                tell_refused(r, rq, xml_name(x), &error);
                        result = 0;
                }
        }
        return result;
}

/* A bounced message carries back what we sent: never a request. */
static bool is_type(const struct xml *stanza, const char *type) {
        const char *has = xml_attr(stanza, "type");

        return has && strcmp(has, type) == 0;
}

int router_dispatch(struct router *r, const struct xml *stanza, struct buf *reply) {
        CLEANUP(arena_done) struct arena arena = {0};
        const char *name = xml_name(stanza), *from = xml_attr(stanza, "from");
        struct ext_request rq = {
                .from = from ? from : "",
                .id = xml_attr(stanza, "id"),
                .stanza = stanza,
                .delayed = is_delayed(stanza),
                .arena = &arena,
        };

        rq.role = sender_role(r, rq.from, stanza);
        if (strcmp(name, "iq") == 0) {
                if (is_type(stanza, "result") || is_type(stanza, "error"))
                        return ROUTER_UNHANDLED;
                return dispatch_iq(r, &rq, reply);
        }
        if (strcmp(name, "message") == 0) {
                if (is_type(stanza, "error"))
                        return ROUTER_UNHANDLED;
                rq.kind = EXT_MESSAGE;
                return dispatch_children(r, &rq);
        }
        if (strcmp(name, "presence") == 0) {
                rq.unavailable = is_type(stanza, "unavailable");
                if (xml_attr(stanza, "type") && !rq.unavailable)
                        return ROUTER_UNHANDLED;
                rq.kind = EXT_PRESENCE;
                return dispatch_children(r, &rq);
        }
        return ROUTER_UNHANDLED;
}

/*
 * Writing
 */

int ext_write_iq(struct buf *out, enum ext_kind kind, const char *to, const char *id,
                 const struct element *e, const void *payload) {
        struct xml_writer w;
        int r;

        assert(kind == EXT_IQ_GET || kind == EXT_IQ_SET);

        xml_writer_init(&w, out);
        xml_begin(&w, "iq", NULL);
        xml_put(&w, "type", kind == EXT_IQ_GET ? "get" : "set");
        xml_put(&w, "to", to);
        xml_put(&w, "id", id);
        r = fields_write(e, payload, &w);
        xml_end(&w);
        return r < 0 ? r : buf_check(out);
}

int ext_write_message(struct buf *out, const char *to, const char *type, const char *id,
                      const struct element *e, const void *payload) {
        struct xml_writer w;
        int r;

        xml_writer_init(&w, out);
        xml_begin(&w, "message", NULL);
        xml_put(&w, "to", to);
        xml_put(&w, "type", type);
        xml_put(&w, "id", id);
        r = fields_write(e, payload, &w);
        xml_end(&w);
        return r < 0 ? r : buf_check(out);
}
