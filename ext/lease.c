#include "ext/lease.h"

#include "proto/base/id.h"
#include "proto/jid.h"

static const struct field acquire_fields[] = {
        F_STR(struct lease_acquire, id, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_STR(struct lease_acquire, sid, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_U64(struct lease_acquire, seconds, .flags = FIELD_REQUIRED, .max = LEASE_SECONDS_MAX),
        F_STR(struct lease_acquire, by, .max = LEASE_TEXT_MAX),
        F_STR(struct lease_acquire, reason, .max = LEASE_TEXT_MAX),
        F_END,
};

const struct element lease_acquire_element = {
        .name = "acquire",
        .ns = NS_ROTA_LEASE,
        .size = sizeof(struct lease_acquire),
        .fields = acquire_fields,
};

const struct element lease_take_element = {
        .name = "take",
        .ns = NS_ROTA_LEASE,
        .size = sizeof(struct lease_acquire),
        .fields = acquire_fields,
};

static const struct field extend_fields[] = {
        F_STR(struct lease_extend, id, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_U64(struct lease_extend, token, .flags = FIELD_REQUIRED),
        F_U64(struct lease_extend, seconds, .flags = FIELD_REQUIRED, .max = LEASE_SECONDS_MAX),
        F_STR(struct lease_extend, by, .max = LEASE_TEXT_MAX),
        F_END,
};

const struct element lease_extend_element = {
        .name = "extend",
        .ns = NS_ROTA_LEASE,
        .size = sizeof(struct lease_extend),
        .fields = extend_fields,
};

static const struct field release_fields[] = {
        F_STR(struct lease_release, id, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_STR(struct lease_release, by, .max = LEASE_TEXT_MAX),
        F_END,
};

const struct element lease_release_element = {
        .name = "release",
        .ns = NS_ROTA_LEASE,
        .size = sizeof(struct lease_release),
        .fields = release_fields,
};

static const struct field held_fields[] = {
        F_STR(struct lease_held, id, .flags = FIELD_IS_ID, .max = ID_MAX),
        F_U64(struct lease_held, token),
        F_STR(struct lease_held, holder, .max = JID_MAX),
        F_STR(struct lease_held, by, .max = LEASE_TEXT_MAX),
        F_STR(struct lease_held, reason, .max = LEASE_TEXT_MAX),
        F_U64(struct lease_held, left, .max = LEASE_SECONDS_MAX),
        F_U64(struct lease_held, since),
        F_END,
};

const struct element lease_held_element = {
        .name = "lease",
        .ns = NS_ROTA_LEASE,
        .size = sizeof(struct lease_held),
        .fields = held_fields,
};

static int nobody_serves(struct stanza_error *ret_error) {
        ret_error->condition = STANZA_SERVICE_UNAVAILABLE;
        return EXT_ERROR;
}

static int for_no_time(struct stanza_error *ret_error) {
        ret_error->condition = STANZA_BAD_REQUEST;
        ret_error->text = "a lease lasts at least a second";
        return EXT_ERROR;
}

static int call_acquire(const void *ops, void *userdata, const struct ext_request *rq,
                        const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct lease_ops *o = ops;
        const struct lease_acquire *m = payload;

        if (!o->acquire)
                return nobody_serves(ret_error);
        if (m->seconds == 0)
                return for_no_time(ret_error);
        return o->acquire(userdata, rq, m, ret_reply, ret_error);
}

static int call_take(const void *ops, void *userdata, const struct ext_request *rq,
                     const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct lease_ops *o = ops;
        const struct lease_acquire *m = payload;

        if (!o->take)
                return nobody_serves(ret_error);
        if (m->seconds == 0)
                return for_no_time(ret_error);
        return o->take(userdata, rq, m, ret_reply, ret_error);
}

static int call_extend(const void *ops, void *userdata, const struct ext_request *rq,
                       const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct lease_ops *o = ops;
        const struct lease_extend *m = payload;

        if (!o->extend)
                return nobody_serves(ret_error);
        if (m->seconds == 0)
                return for_no_time(ret_error);
        return o->extend(userdata, rq, m, ret_reply, ret_error);
}

static int call_release(const void *ops, void *userdata, const struct ext_request *rq,
                        const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct lease_ops *o = ops;

        return o->release ? o->release(userdata, rq, payload, ret_reply, ret_error)
                          : nobody_serves(ret_error);
}

static const struct ext_row lease_rows[] = {
        EXT_ROW(EXT_IQ_SET, ROLE_RUN, &lease_acquire_element, &lease_held_element, call_acquire,
                .immediate = true),
        EXT_ROW(EXT_IQ_SET, ROLE_ADMIN, &lease_take_element, &lease_held_element, call_take,
                .immediate = true),
        EXT_ROW(EXT_IQ_SET, ROLE_RUN, &lease_extend_element, &lease_held_element, call_extend,
                .immediate = true),
        EXT_ROW(EXT_IQ_SET, ROLE_RUN, &lease_release_element, &lease_held_element, call_release,
                .immediate = true),
        {0},
};

static const char *const lease_features[] = {NS_ROTA_LEASE, NULL};

const struct ext lease_ext = {
        .name = "lease",
        .features = lease_features,
        .rows = lease_rows,
};
