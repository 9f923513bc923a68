#include "ext/power.h"

#include "proto/jid.h"

#include <string.h>

static const struct field ask_fields[] = {
        F_END,
};

const struct element power_ask_element = {
        .name = "challenge",
        .ns = NS_ROTA_POWER,
        .size = sizeof(struct power_ask),
        .fields = ask_fields,
};

static const struct field challenge_fields[] = {
        F_STR(struct power_challenge, nonce, .flags = FIELD_REQUIRED, .max = POWER_NONCE_HEX),
        F_STR(struct power_challenge, boot, .flags = FIELD_REQUIRED, .max = POWER_BOOT_MAX),
        F_BOOL(struct power_challenge, busy),
        F_STR(struct power_challenge, run, .flags = FIELD_IS_ID),
        F_STR(struct power_challenge, owner, .max = JID_MAX),
        F_BOOL(struct power_challenge, simulated),
        F_END,
};

const struct element power_challenge_element = {
        .name = "challenge",
        .ns = NS_ROTA_POWER,
        .size = sizeof(struct power_challenge),
        .fields = challenge_fields,
};

static const char *const mode_names[] = {
        [POWER_GRACEFUL] = "graceful",
        [POWER_FORCE] = "force",
        [POWER_DRAIN] = "drain",
        NULL,
};

static const struct field reboot_fields[] = {
        F_STR(struct power_reboot, nonce, .flags = FIELD_REQUIRED, .max = POWER_NONCE_HEX),
        F_STR(struct power_reboot, boot, .flags = FIELD_REQUIRED, .max = POWER_BOOT_MAX),
        F_ENUM(struct power_reboot, mode, mode_names, .flags = FIELD_REQUIRED),
        F_U64(struct power_reboot, lease),
        F_STR(struct power_reboot, reason),
        F_STR(struct power_reboot, by),
        F_END,
};

const struct element power_reboot_element = {
        .name = "reboot",
        .ns = NS_ROTA_POWER,
        .size = sizeof(struct power_reboot),
        .fields = reboot_fields,
};

static const struct field rebooting_fields[] = {
        F_STR(struct power_rebooting, boot, .flags = FIELD_REQUIRED, .max = POWER_BOOT_MAX),
        F_BOOL(struct power_rebooting, simulated),
        F_BOOL(struct power_rebooting, draining),
        F_END,
};

const struct element power_rebooting_element = {
        .name = "rebooting",
        .ns = NS_ROTA_POWER,
        .size = sizeof(struct power_rebooting),
        .fields = rebooting_fields,
};

static int call_challenge(const void *ops, void *userdata, const struct ext_request *rq,
                          const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct power_ops *o = ops;

        (void)payload;
        if (!o->challenge) {
                ret_error->condition = STANZA_SERVICE_UNAVAILABLE;
                return EXT_ERROR;
        }
        return o->challenge(userdata, rq, ret_reply, ret_error);
}

static int call_reboot(const void *ops, void *userdata, const struct ext_request *rq,
                       const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct power_ops *o = ops;
        const struct power_reboot *m = payload;

        if (!o->reboot) {
                ret_error->condition = STANZA_SERVICE_UNAVAILABLE;
                return EXT_ERROR;
        }
        if (strspn(m->nonce, "0123456789abcdef") != POWER_NONCE_HEX) {
                ret_error->condition = STANZA_BAD_REQUEST;
                ret_error->text = "a nonce is 64 lower-case hexadecimal digits";
                return EXT_ERROR;
        }
        return o->reboot(userdata, rq, m, ret_reply, ret_error);
}

static const struct ext_row power_rows[] = {
        EXT_ROW(EXT_IQ_GET, ROLE_REBOOT, &power_ask_element, &power_challenge_element,
                call_challenge, .immediate = true),
        EXT_ROW(EXT_IQ_SET, ROLE_REBOOT, &power_reboot_element, &power_rebooting_element,
                call_reboot, .immediate = true),
        {0},
};

static const char *const power_features[] = {NS_ROTA_POWER, NULL};

const struct ext power_ext = {
        .name = "power",
        .features = power_features,
        .rows = power_rows,
};
