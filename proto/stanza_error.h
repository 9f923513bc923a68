/*
 * Stanza errors (RFC 6120 section 8.3): a defined condition, a text for people, and one element of ours
 * that says why (namespace urn:rota:error:1).
 */
#pragma once

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/xml.h"

#define NS_STANZAS "urn:ietf:params:xml:ns:xmpp-stanzas"
#define NS_ROTA_ERROR "urn:rota:error:1"

enum stanza_condition {
        STANZA_BAD_REQUEST,
        STANZA_CONFLICT,
        STANZA_FORBIDDEN,
        STANZA_INTERNAL_SERVER_ERROR,
        STANZA_ITEM_NOT_FOUND,
        STANZA_NOT_ACCEPTABLE,
        STANZA_NOT_ALLOWED,
        STANZA_RESOURCE_CONSTRAINT,
        STANZA_SERVICE_UNAVAILABLE,
        STANZA_UNEXPECTED_REQUEST,
        STANZA_REMOTE_SERVER_NOT_FOUND,
        STANZA_REMOTE_SERVER_TIMEOUT,
        STANZA_RECIPIENT_UNAVAILABLE,
        STANZA_OTHER, /* received, and not in this list */
};

/* Why, in our own words: the name of the element in NS_ROTA_ERROR. */
enum stanza_why {
        STANZA_WHY_NONE,
        STANZA_WHY_BUSY,        /* run='', owner='' */
        STANZA_WHY_LEASED,      /* holder='' */
        STANZA_WHY_STALE,       /* the challenge is old, used, or of another boot or connection */
        STANZA_WHY_NOT_ALLOWED, /* role='' needed, has='' */
        STANZA_WHY_UNSUPPORTED,
};

struct stanza_error {
        enum stanza_condition condition;
        enum stanza_why why;
        const char *text; /* may be NULL */
        const char *run;  /* details of `why`, may be NULL */
        const char *owner;
        const char *role;
};

const char *stanza_condition_name(enum stanza_condition c);
/* Appends <error type='…'>…</error>; the type follows from the condition. */
int stanza_error_write(struct xml_writer *w, const struct stanza_error *e);
/* Reads the <error/> of @stanza (type='error'); strings live in @a or the stanza. Returns 0, 1 when there is none,
 * -ENOMEM. */
int stanza_error_read(const struct xml *stanza, struct arena *a, struct stanza_error *ret);
