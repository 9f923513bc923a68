#include "ext/version.h"

static const struct field query_fields[] = {
        F_END,
};

const struct element version_query_element = {
        .name = "query",
        .ns = NS_VERSION,
        .size = sizeof(struct version_query),
        .fields = query_fields,
};

static const struct field info_fields[] = {
        F_CHILD_STR(struct version_info, name, .flags = FIELD_REQUIRED),
        F_CHILD_STR(struct version_info, version, .flags = FIELD_REQUIRED),
        F_CHILD_STR(struct version_info, os),
        F_END,
};

const struct element version_info_element = {
        .name = "query",
        .ns = NS_VERSION,
        .size = sizeof(struct version_info),
        .fields = info_fields,
};

static int call_version(const void *ops, void *userdata, const struct ext_request *rq,
                        const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct version_ops *o = ops;

        (void)payload;
        if (!o->version) {
                ret_error->condition = STANZA_SERVICE_UNAVAILABLE;
                return EXT_ERROR;
        }
        return o->version(userdata, rq, ret_reply);
}

static const struct ext_row version_rows[] = {
        EXT_ROW(EXT_IQ_GET, ROLE_VIEW, &version_query_element, &version_info_element, call_version),
        {0},
};

static const char *const version_features[] = {NS_VERSION, NULL};

const struct ext version_ext = {
        .name = "version",
        .features = version_features,
        .rows = version_rows,
};
