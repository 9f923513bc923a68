/*
 * Power: a reboot that happens now or not at all.
 *
 *   controller                                          target
 *    | <iq get><challenge/></iq>                          |
 *    |--------------------------------------------------->|
 *    | <challenge nonce='32 bytes, hex' boot busy run owner simulated/> |  good for 10 s, once, for this
 *    |<---------------------------------------------------|  full JID, connection and boot
 *    | <iq set><reboot nonce boot mode reason/></iq>      |
 *    |--------------------------------------------------->|
 *    | result <rebooting boot simulated/>, or an error that says why
 *    |<---------------------------------------------------|
 *
 * Two steps because servers deliver IQs late: a reboot that was queued anywhere carries a nonce that
 * is stale by the time it arrives.
 */
#pragma once

#include "proto/ext.h"

#define NS_ROTA_POWER "urn:rota:power:1"
#define POWER_NONCE_HEX 64
#define POWER_BOOT_MAX 63

struct power_ask {
        char unused;
};

struct power_challenge {
        const char *nonce;
        const char *boot;
        bool busy;
        const char *run;
        const char *owner;
        bool simulated;
};

enum power_mode {
        POWER_GRACEFUL, /* refused while a run is on the machine */
        POWER_FORCE,    /* now; a run is interrupted */
        POWER_DRAIN,    /* finish the running run, start no other, then reboot */
};

struct power_reboot {
        const char *nonce;
        const char *boot;
        int mode;           /* enum power_mode */
        uint64_t lease;     /* token, when the sender has reserved the target; 0: none */
        const char *reason; /* at most 255 bytes, as `by`; see text_fit() */
        const char *by;
};

struct power_rebooting {
        const char *boot; /* the boot that is about to end */
        bool simulated;
        bool draining; /* mode drain, and a run is still on */
};

struct power_ops {
        int (*challenge)(void *userdata, const struct ext_request *rq, struct power_challenge *ret,
                         struct stanza_error *ret_error);
        int (*reboot)(void *userdata, const struct ext_request *rq, const struct power_reboot *m,
                      struct power_rebooting *ret, struct stanza_error *ret_error);
};

extern const struct element power_ask_element;       /* <challenge/> of the request */
extern const struct element power_challenge_element; /* <challenge …/> of the answer */
extern const struct element power_reboot_element;
extern const struct element power_rebooting_element;
extern const struct ext power_ext;
