#include "ext/roster.h"

static const struct field item_fields[] = {
        F_STR(struct roster_item, jid, .flags = FIELD_REQUIRED, .max = 1023),
        F_STR(struct roster_item, subscription, .max = 15),
        F_STR(struct roster_item, ask, .max = 15),
        F_END,
};

static const struct element item_element = {
        .name = "item",
        .ns = NS_ROSTER,
        .size = sizeof(struct roster_item),
        .fields = item_fields,
};

static const struct field roster_fields[] = {
        F_LIST(struct roster, items, roster_item, &item_element, .max = ROSTER_ITEMS_MAX),
        F_END,
};

const struct element roster_element = {
        .name = "query",
        .ns = NS_ROSTER,
        .size = sizeof(struct roster),
        .fields = roster_fields,
};

static int call_push(const void *ops, void *userdata, const struct ext_request *rq,
                     const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct roster_ops *o = ops;

        (void)ret_reply;
        if (!o->pushed) {
                ret_error->condition = STANZA_SERVICE_UNAVAILABLE;
                return EXT_ERROR;
        }
        return o->pushed(userdata, rq, payload);
}

static const struct ext_row roster_rows[] = {
        EXT_ROW(EXT_IQ_SET, ROLE_NONE, &roster_element, NULL, call_push),
        {0},
};

static const char *const roster_features[] = {NULL};

const struct ext roster_ext = {
        .name = "roster",
        .features = roster_features,
        .rows = roster_rows,
};
