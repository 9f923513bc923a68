/*
 * XMPP Ping (XEP-0199), both directions. Sent to full JIDs only: a server answers for bare ones.
 */
#pragma once

#include "proto/ext.h"

#define NS_PING "urn:xmpp:ping"

struct ping {
        char unused;
};

struct ping_ops {
        /* NULL: answered all the same. */
        int (*pinged)(void *userdata, const struct ext_request *rq);
};

extern const struct element ping_element;
extern const struct ext ping_ext; /* anybody may ping: ROLE_VIEW, and our own server */
