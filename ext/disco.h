/*
 * Service discovery, information only (XEP-0030 section 3), and the caps hash over it (XEP-0115
 * section 5.1, sha-1). What is answered is computed from the rooms that are bound.
 */
#pragma once

#include "proto/ext.h"

#define NS_DISCO_INFO "http://jabber.org/protocol/disco#info"
#define NS_CAPS "http://jabber.org/protocol/caps"
#define CAPS_VER_SIZE 29 /* base64 of 20 bytes, and a NUL */

struct disco_identity {
        const char *category;
        const char *type;
        const char *name;
};

struct disco_feature {
        const char *var;
};

struct disco_query {
        const char *node; /* may be NULL */
};

struct disco_info {
        const char *node;
        const struct disco_identity *identities;
        size_t n_identities;
        const struct disco_feature *features;
        size_t n_features;
};

struct disco_ops {
        int (*info)(void *userdata, const struct ext_request *rq, const struct disco_query *q,
                    struct disco_info *ret, struct stanza_error *ret_error);
};

extern const struct element disco_query_element;
extern const struct element disco_info_element;
extern const struct ext disco_ext;

/* The verification string. @features sorted. Returns 0 or -errno. */
int caps_ver(const struct disco_identity *identity, const char *const *features, size_t n_features,
             char ret[static CAPS_VER_SIZE]);
