#include "ext/disco.h"

#include "proto/digest.h"

#include <assert.h>
#include <string.h>

static const struct field query_fields[] = {
        F_STR(struct disco_query, node, .max = 1023),
        F_END,
};

const struct element disco_query_element = {
        .name = "query",
        .ns = NS_DISCO_INFO,
        .size = sizeof(struct disco_query),
        .fields = query_fields,
};

static const struct field identity_fields[] = {
        F_STR(struct disco_identity, category, .flags = FIELD_REQUIRED),
        F_STR(struct disco_identity, type, .flags = FIELD_REQUIRED),
        F_STR(struct disco_identity, name),
        F_END,
};

static const struct element identity_element = {
        .name = "identity",
        .ns = NS_DISCO_INFO,
        .size = sizeof(struct disco_identity),
        .fields = identity_fields,
};

static const struct field feature_fields[] = {
        F_STR(struct disco_feature, var, .flags = FIELD_REQUIRED),
        F_END,
};

static const struct element feature_element = {
        .name = "feature",
        .ns = NS_DISCO_INFO,
        .size = sizeof(struct disco_feature),
        .fields = feature_fields,
};

static const struct field info_fields[] = {
        F_STR(struct disco_info, node, .max = 1023),
        F_LIST(struct disco_info, identities, disco_identity, &identity_element),
        F_LIST(struct disco_info, features, disco_feature, &feature_element, .max = 512),
        F_END,
};

const struct element disco_info_element = {
        .name = "query",
        .ns = NS_DISCO_INFO,
        .size = sizeof(struct disco_info),
        .fields = info_fields,
};

static int call_info(const void *ops, void *userdata, const struct ext_request *rq,
                     const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct disco_ops *o = ops;

        if (!o->info) {
                ret_error->condition = STANZA_SERVICE_UNAVAILABLE;
                return EXT_ERROR;
        }
        return o->info(userdata, rq, payload, ret_reply, ret_error);
}

static const struct ext_row disco_rows[] = {
        EXT_ROW(EXT_IQ_GET, ROLE_VIEW, &disco_query_element, &disco_info_element, call_info),
        {0},
};

static const char *const disco_features[] = {NS_DISCO_INFO, NS_CAPS, NULL};

const struct ext disco_ext = {
        .name = "disco",
        .features = disco_features,
        .rows = disco_rows,
};

/* category/type/lang/name<feature<feature<…, its SHA-1, in base64; we have no xml:lang and no forms. */
int caps_ver(const struct disco_identity *identity, const char *const *features, size_t n_features,
             char ret[static CAPS_VER_SIZE]) {
        CLEANUP(buf_done) struct buf text = {0}, ver = {0};
        uint8_t hash[20];
        int r;

        buf_printf(&text, "%s/%s//%s<", identity->category, identity->type,
                   identity->name ? identity->name : "");
        for (size_t i = 0; i < n_features; i++) {
                /* byte order, no doubles: what the other side computes */
                assert(i == 0 || strcmp(features[i - 1], features[i]) < 0);
                buf_puts(&text, features[i]);
                buf_putc(&text, '<');
        }
        r = buf_check(&text);
        if (r < 0)
                return r;
        r = sha1(text.data, text.len, hash);
        if (r < 0)
                return r;
        r = base64_encode(&ver, hash, sizeof(hash));
        if (r < 0)
                return r;
        assert(ver.len == CAPS_VER_SIZE - 1);
        memcpy(ret, ver.data, CAPS_VER_SIZE);
        return 0;
}
