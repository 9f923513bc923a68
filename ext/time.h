/* Entity time (XEP-0202). Shown to people; never compared for correctness. */
#pragma once

#include "proto/ext.h"

#define NS_TIME "urn:xmpp:time"

struct time_query {
        char unused;
};

struct time_info {
        const char *tzo; /* "+02:00" */
        const char *utc; /* "2026-01-31T22:00:00.123Z" */
};

struct time_ops {
        /* NULL: answered from the clock by time_now(). */
        int (*time)(void *userdata, const struct ext_request *rq, struct time_info *ret);
};

/* The local clock in the shape of XEP-0202, in @a. */
int time_now(struct arena *a, struct time_info *ret);

extern const struct element time_query_element;
extern const struct element time_info_element;
extern const struct ext time_ext;
