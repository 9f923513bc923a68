#include "ext/away.h"

#include "proto/base/id.h"
#include "proto/jid.h"

static const struct field leave_fields[] = {
        F_STR(struct away_leave, sid, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_U64(struct away_leave, seconds, .flags = FIELD_REQUIRED, .max = AWAY_SECONDS_MAX),
        F_STR(struct away_leave, by, .max = AWAY_TEXT_MAX),
        F_STR(struct away_leave, reason, .max = AWAY_TEXT_MAX),
        F_END,
};

const struct element away_leave_element = {
        .name = "leave",
        .ns = NS_ROTA_AWAY,
        .size = sizeof(struct away_leave),
        .fields = leave_fields,
};

static const struct field stay_fields[] = {
        F_STR(struct away_stay, by, .max = AWAY_TEXT_MAX),
        F_END,
};

const struct element away_stay_element = {
        .name = "stay",
        .ns = NS_ROTA_AWAY,
        .size = sizeof(struct away_stay),
        .fields = stay_fields,
};

static const struct field state_fields[] = {
        F_BOOL(struct away_state, away),
        F_U64(struct away_state, left, .max = AWAY_SECONDS_MAX),
        F_U64(struct away_state, since),
        F_STR(struct away_state, who, .max = JID_MAX),
        F_STR(struct away_state, by, .max = AWAY_TEXT_MAX),
        F_STR(struct away_state, reason, .max = AWAY_TEXT_MAX),
        F_END,
};

const struct element away_state_element = {
        .name = "state",
        .ns = NS_ROTA_AWAY,
        .size = sizeof(struct away_state),
        .fields = state_fields,
};

static int call_leave(const void *ops, void *userdata, const struct ext_request *rq,
                      const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct away_ops *o = ops;
        const struct away_leave *m = payload;

        if (!o->leave) {
                ret_error->condition = STANZA_SERVICE_UNAVAILABLE;
                return EXT_ERROR;
        }
        if (m->seconds == 0) {
                ret_error->condition = STANZA_BAD_REQUEST;
                ret_error->text = "a promise lasts at least a second";
                return EXT_ERROR;
        }
        return o->leave(userdata, rq, m, ret_reply, ret_error);
}

static int call_stay(const void *ops, void *userdata, const struct ext_request *rq,
                     const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct away_ops *o = ops;

        if (!o->stay) {
                ret_error->condition = STANZA_SERVICE_UNAVAILABLE;
                return EXT_ERROR;
        }
        return o->stay(userdata, rq, payload, ret_reply, ret_error);
}

static const struct ext_row away_rows[] = {
        EXT_ROW(EXT_IQ_SET, ROLE_REBOOT, &away_leave_element, &away_state_element, call_leave,
                .immediate = true),
        EXT_ROW(EXT_IQ_SET, ROLE_REBOOT, &away_stay_element, &away_state_element, call_stay,
                .immediate = true),
        {0},
};

static const char *const away_features[] = {NS_ROTA_AWAY, NULL};

const struct ext away_ext = {
        .name = "away",
        .features = away_features,
        .rows = away_rows,
};
