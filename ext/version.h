/* Software version (XEP-0092). */
#pragma once

#include "proto/ext.h"

#define NS_VERSION "jabber:iq:version"

struct version_query {
        char unused;
};

struct version_info {
        const char *name;
        const char *version;
        const char *os;
};

struct version_ops {
        int (*version)(void *userdata, const struct ext_request *rq, struct version_info *ret);
};

extern const struct element version_query_element;
extern const struct element version_info_element;
extern const struct ext version_ext;
