#include "ext/ping.h"

static const struct field ping_fields[] = {
        F_END,
};

const struct element ping_element = {
        .name = "ping",
        .ns = NS_PING,
        .size = sizeof(struct ping),
        .fields = ping_fields,
};

static int call_ping(const void *ops, void *userdata, const struct ext_request *rq,
                     const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct ping_ops *o = ops;

        (void)payload, (void)ret_reply, (void)ret_error;
        return o->pinged ? o->pinged(userdata, rq) : 0;
}

static const struct ext_row ping_rows[] = {
        EXT_ROW(EXT_IQ_GET, ROLE_VIEW, &ping_element, NULL, call_ping),
        {0},
};

static const char *const ping_features[] = {NS_PING, NULL};

const struct ext ping_ext = {
        .name = "ping",
        .features = ping_features,
        .rows = ping_rows,
};
