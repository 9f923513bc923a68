/*
 * To add an extension (a room):
 *   1. ext/NAME.h and ext/NAME.c: the payload structs, one field table for each element, an ops struct of
 *      typed callbacks, and one descriptor `const struct ext NAME_ext`.
 *   2. tests/rooms/test_NAME.c: golden XML both ways, and what must be refused.
 *   3. one line in ext/CMakeLists.txt and one in tests/rooms/CMakeLists.txt.
 *   4. one line in target/rooms.c or controller/rooms.c for each role that speaks it.
 *
 * disco#info, routing and required roles come from the descriptor. A room knows neither who calls it nor
 * any other room.
 *
 *   peer                     router                          room                role
 *    | <iq><challenge/></iq>   |                               |                   |
 *    |------------------------>| match row, check role, decode |                   |
 *    |                         |--------- row->call ---------->| ops->challenge -->|
 *    |   <iq type='result'/>   |<------ reply or error --------|<------------------|
 *    |<------------------------|
 */
#pragma once

#include "proto/fields.h"
#include "proto/role.h"
#include "proto/stanza_error.h"

enum ext_kind {
        EXT_IQ_GET = 1,
        EXT_IQ_SET,
        EXT_MESSAGE,  /* a child of <message/>; each matching child is one call */
        EXT_PRESENCE, /* a child of <presence/> of type available or unavailable */
};

struct ext_request {
        enum ext_kind kind;
        const char *from; /* full JID as the server stamped it; "" is our own server */
        const char *id;   /* of the stanza, may be NULL */
        const struct xml *stanza;
        bool unavailable; /* presence */
        bool delayed;     /* has a XEP-0203 stamp: it waited somewhere */
        enum role role;   /* of the sender */
        struct arena
                *arena; /* decoded values and reply strings live here until the reply is written */
};

enum {
        EXT_ERROR = 1, /* the callback filled *ret_error */
};

/* Calls the right member of @ops with the decoded payload. Returns 0 (reply filled), EXT_ERROR or -errno. A NULL
 * member is answered with service-unavailable: return EXT_ERROR with that condition. */
typedef int ext_call(const void *ops, void *userdata, const struct ext_request *rq,
                     const void *payload, void *ret_reply, struct stanza_error *ret_error);

/* One element that may arrive. A row without a role does not compile: use EXT_ROW. */
struct ext_row {
        enum ext_kind kind;
        const struct element *element;
        const struct element *reply; /* of an IQ result; NULL: the result is empty */
        enum role role;              /* needed by the sender; ROLE_NONE: anybody */
        bool immediate;              /* refused when delayed, forwarded or copied */
        ext_call *call;
};

/* EXT_ROW(EXT_IQ_SET, ROLE_REBOOT, &power_reboot_element, &power_done_element, call_reboot, .immediate = true) */
#define NS_DELAY "urn:xmpp:delay" /* XEP-0203: what carries it was kept somewhere */
#define EXT_ROW(kind_, role_, element_, reply_, call_, ...)                                        \
        {                                                                                          \
                .kind = (kind_), .role = (role_), .element = (element_), .reply = (reply_),        \
                .call = (call_), __VA_ARGS__                                                       \
        }

struct ext {
        const char *name;
        const char *const *features; /* disco#info feature namespaces, ends with NULL */
        const struct ext_row *rows;  /* ends with a NULL element */
};

/* A room and the role's callbacks for it. */
struct ext_binding {
        const struct ext *ext;
        const void *ops;
};

/* The ops must be of this room: `const struct NAME_ops`. */
#define EXT_BIND(room, ops_)                                                                       \
        { .ext = &room##_ext, .ops = (1 ? (ops_) : (const struct room##_ops *)NULL) }

struct router;

struct router_ops {
        /* The role of a sender. */
        enum role (*role_of)(void *userdata, const char *from);
        /* One decision, for the journal: what was refused and why. May be NULL. */
        void (*refused)(void *userdata, const struct ext_request *rq, const char *what,
                        const struct stanza_error *error);
};

/* @bindings ends with a NULL ext and outlives the router. */
int router_new(struct router **ret, const struct ext_binding *bindings,
               const struct router_ops *ops, void *userdata);
struct router *router_free(struct router *r);
DEFINE_CLEANUP_FREE(struct router, router_free)

enum {
        ROUTER_UNHANDLED =
                1, /* a message or presence no row matches: the role may look at it itself */
};

/*
 * Routes a stanza (not an IQ result or error: those are iqtrack's). An IQ request is always answered, in
 * exactly one place: the answer is appended to @reply as a whole stanza. A message that is refused is not answered
 * (its room answers if it must). Returns 0, ROUTER_UNHANDLED or -errno (the request is then
 * answered with internal-server-error).
 */
int router_dispatch(struct router *r, const struct xml *stanza, struct buf *reply);

/* Features of all bound rooms, sorted, without doubles: the answer of disco#info and the input of caps. */
size_t router_features(const struct router *r, const char *const **ret);

/* <iq type='…' to='…' id='…'>payload</iq>, as text. */
int ext_write_iq(struct buf *out, enum ext_kind kind, const char *to, const char *id,
                 const struct element *e, const void *payload);
/* <message to='…' type='…' id='…'>payload</message>, as text. @type NULL: normal. */
int ext_write_message(struct buf *out, const char *to, const char *type, const char *id,
                      const struct element *e, const void *payload);
