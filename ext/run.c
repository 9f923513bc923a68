#include "ext/run.h"

#include "proto/base/id.h"
#include "proto/jid.h"

static const struct field plan_fields[] = {
        F_TEXT(struct run_plan, text, .flags = FIELD_REQUIRED, .max = RUN_PLAN_MAX),
        F_END,
};

static const struct element plan_element = {
        .name = "json",
        .ns = NS_JSON,
        .size = sizeof(struct run_plan),
        .fields = plan_fields,
};

static const struct field submit_fields[] = {
        F_STR(struct run_submit, id, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_U64(struct run_submit, ttl, .max = RUN_TTL_MAX),
        {.kind = FIELD_BOOL, .name = "if-idle", FIELD_AT_(struct run_submit, if_idle, bool)},
        F_U64(struct run_submit, lease),
        F_BOOL(struct run_submit, heal),
        F_STR(struct run_submit, by),
        F_CHILD(struct run_submit, plan, run_plan, &plan_element, .flags = FIELD_REQUIRED),
        F_END,
};

const struct element run_submit_element = {
        .name = "run",
        .ns = NS_ROTA_RUN,
        .size = sizeof(struct run_submit),
        .fields = submit_fields,
};

static const struct field cancel_fields[] = {
        F_STR(struct run_cancel, run, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_STR(struct run_cancel, by),
        F_END,
};

const struct element run_cancel_element = {
        .name = "cancel",
        .ns = NS_ROTA_RUN,
        .size = sizeof(struct run_cancel),
        .fields = cancel_fields,
};

static const char *const refusal_names[] = {
        [RUN_REFUSED_NOT_ALLOWED] = "not-allowed",
        [RUN_REFUSED_INVALID] = "invalid",
        [RUN_REFUSED_BUSY] = "busy",
        [RUN_REFUSED_FULL] = "full",
        [RUN_REFUSED_UNKNOWN] = "unknown",
        [RUN_REFUSED_LEASED] = "leased",
        [RUN_REFUSED_OVER] = "over",
        NULL,
};

const char *run_refusal_name(enum run_refusal why) {
        return why <= RUN_REFUSED_OVER ? refusal_names[why] : NULL;
}

static const struct field refused_fields[] = {
        F_STR(struct run_refused, run, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_ENUM(struct run_refused, why, refusal_names, .flags = FIELD_REQUIRED),
        F_TEXT(struct run_refused, text, .max = RUN_REFUSED_TEXT_MAX),
        F_END,
};

const struct element run_refused_element = {
        .name = "refused",
        .ns = NS_ROTA_RUN,
        .size = sizeof(struct run_refused),
        .fields = refused_fields,
};

static const struct field list_fields[] = {
        F_STR(struct run_list, id, .flags = FIELD_IS_ID, .max = ID_MAX),
        F_U64(struct run_list, limit, .max = RUN_LIST_MAX),
        F_U64(struct run_list, before),
        F_END,
};

const struct element run_list_element = {
        .name = "list",
        .ns = NS_ROTA_RUN,
        .size = sizeof(struct run_list),
        .fields = list_fields,
};

static const struct field item_fields[] = {
        F_STR(struct run_item, id, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_U64(struct run_item, seq),
        F_STR(struct run_item, owner, .max = JID_MAX),
        F_STR(struct run_item, by),
        F_STR(struct run_item, name),
        F_STR(struct run_item, state),
        F_STR(struct run_item, verdict),
        F_U64(struct run_item, step),
        F_U64(struct run_item, of),
        F_U64(struct run_item, accepted),
        F_U64(struct run_item, ended),
        F_END,
};

static const struct element item_element = {
        .name = "item",
        .ns = NS_ROTA_RUN,
        .size = sizeof(struct run_item),
        .fields = item_fields,
};

static const struct field items_fields[] = {
        F_LIST(struct run_items, item, run_item, &item_element, .max = RUN_LIST_MAX),
        F_BOOL(struct run_items, more),
        F_END,
};

const struct element run_items_element = {
        .name = "runs",
        .ns = NS_ROTA_RUN,
        .size = sizeof(struct run_items),
        .fields = items_fields,
};

static int unavailable(struct stanza_error *ret_error) {
        ret_error->condition = STANZA_SERVICE_UNAVAILABLE;
        return EXT_ERROR;
}

static int call_submit(const void *ops, void *userdata, const struct ext_request *rq,
                       const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct run_ops *o = ops;

        (void)ret_reply;
        return o->submit ? o->submit(userdata, rq, payload) : unavailable(ret_error);
}

static int call_cancel(const void *ops, void *userdata, const struct ext_request *rq,
                       const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct run_ops *o = ops;

        (void)ret_reply;
        return o->cancel ? o->cancel(userdata, rq, payload) : unavailable(ret_error);
}

static int call_refused(const void *ops, void *userdata, const struct ext_request *rq,
                        const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct run_ops *o = ops;

        (void)ret_reply;
        return o->refused ? o->refused(userdata, rq, payload) : unavailable(ret_error);
}

static int call_list(const void *ops, void *userdata, const struct ext_request *rq,
                     const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct run_ops *o = ops;

        return o->list ? o->list(userdata, rq, payload, ret_reply, ret_error)
                       : unavailable(ret_error);
}

static const struct ext_row run_rows[] = {
        EXT_ROW(EXT_MESSAGE, ROLE_NONE, &run_submit_element, NULL, call_submit),
        EXT_ROW(EXT_MESSAGE, ROLE_NONE, &run_cancel_element, NULL, call_cancel),
        EXT_ROW(EXT_MESSAGE, ROLE_NONE, &run_refused_element, NULL, call_refused),
        EXT_ROW(EXT_IQ_GET, ROLE_VIEW, &run_list_element, &run_items_element, call_list),
        {0},
};

static const char *const run_features[] = {NS_JSON, NS_ROTA_RUN, NULL};

const struct ext run_ext = {
        .name = "run",
        .features = run_features,
        .rows = run_rows,
};
