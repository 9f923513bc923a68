/*
 * Roster (RFC 6121 section 2): who is subscribed to whom. Asked once a session; pushes keep it current.
 */
#pragma once

#include "proto/ext.h"

#define NS_ROSTER "jabber:iq:roster"
#define ROSTER_ITEMS_MAX 20000

struct roster_item {
        const char *jid;
        const char *subscription; /* "none" "to" "from" "both" "remove"; NULL is none */
        const char *ask;          /* "subscribe": our request waits for an answer */
};

struct roster {
        const struct roster_item *items;
        size_t n_items;
};

struct roster_ops {
        /* A push. The role checks that rq->from is its own account or its server (section 2.1.6). */
        int (*pushed)(void *userdata, const struct ext_request *rq, const struct roster *r);
};

extern const struct element roster_element; /* of the request, the answer and the push */
extern const struct ext roster_ext;
