#include "ext/quarantine.h"

#include "proto/jid.h"

static const struct field order_fields[] = {
        F_STR(struct quarantine_order, by, .max = QUARANTINE_TEXT_MAX),
        F_STR(struct quarantine_order, reason, .max = QUARANTINE_TEXT_MAX),
        F_END,
};

const struct element quarantine_impose_element = {
        .name = "quarantine",
        .ns = NS_ROTA_QUARANTINE,
        .size = sizeof(struct quarantine_order),
        .fields = order_fields,
};

const struct element quarantine_free_element = {
        .name = "free",
        .ns = NS_ROTA_QUARANTINE,
        .size = sizeof(struct quarantine_order),
        .fields = order_fields,
};

static const struct field state_fields[] = {
        F_BOOL(struct quarantine_state, on),
        F_STR(struct quarantine_state, who, .max = JID_MAX),
        F_STR(struct quarantine_state, by, .max = QUARANTINE_TEXT_MAX),
        F_STR(struct quarantine_state, reason, .max = QUARANTINE_TEXT_MAX),
        F_U64(struct quarantine_state, since),
        F_END,
};

const struct element quarantine_state_element = {
        .name = "state",
        .ns = NS_ROTA_QUARANTINE,
        .size = sizeof(struct quarantine_state),
        .fields = state_fields,
};

static int nobody_serves(struct stanza_error *ret_error) {
        ret_error->condition = STANZA_SERVICE_UNAVAILABLE;
        return EXT_ERROR;
}

static int call_impose(const void *ops, void *userdata, const struct ext_request *rq,
                       const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct quarantine_ops *o = ops;

        return o->impose ? o->impose(userdata, rq, payload, ret_reply, ret_error)
                         : nobody_serves(ret_error);
}

static int call_free(const void *ops, void *userdata, const struct ext_request *rq,
                     const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct quarantine_ops *o = ops;

        return o->free ? o->free(userdata, rq, payload, ret_reply, ret_error)
                       : nobody_serves(ret_error);
}

static const struct ext_row quarantine_rows[] = {
        EXT_ROW(EXT_IQ_SET, ROLE_REBOOT, &quarantine_impose_element, &quarantine_state_element,
                call_impose, .immediate = true),
        EXT_ROW(EXT_IQ_SET, ROLE_REBOOT, &quarantine_free_element, &quarantine_state_element,
                call_free, .immediate = true),
        {0},
};

static const char *const quarantine_features[] = {NS_ROTA_QUARANTINE, NULL};

const struct ext quarantine_ext = {
        .name = "quarantine",
        .features = quarantine_features,
        .rows = quarantine_rows,
};
