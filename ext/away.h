/*
 * Away: a machine that leaves on purpose (for its firmware's own diagnostics, for another operating system, for repair)
 * and is expected back within a promised time.
 *
 *   controller                                          target
 *    | <iq set><leave sid seconds by reason/></iq>        |
 *    | <iq set><stay by/></iq>                            |  it does not leave after all, or is back in this very boot
 *    |--------------------------------------------------->|
 *    | <state away left since by reason/>, or an error    |
 *    |<---------------------------------------------------|
 *
 * A machine that is away starts no run. It is back when it has another boot id.
 */
#pragma once

#include "proto/ext.h"

#define NS_ROTA_AWAY "urn:rota:away:1"
#define AWAY_SECONDS_MAX UINT64_C(31622400) /* a year */
#define AWAY_TEXT_MAX 255

struct away_leave {
        const char *sid; /* the session that the target announced: not for another one */
        uint64_t seconds;
        const char *by;
        const char *reason;
};

struct away_stay {
        const char *by;
};

struct away_state {
        bool away;
        uint64_t left;   /* seconds of the promise */
        uint64_t since;  /* seconds ago */
        const char *who; /* bare JID */
        const char *by;
        const char *reason;
};

struct away_ops {
        int (*leave)(void *userdata, const struct ext_request *rq, const struct away_leave *m,
                     struct away_state *ret, struct stanza_error *ret_error);
        int (*stay)(void *userdata, const struct ext_request *rq, const struct away_stay *m,
                    struct away_state *ret, struct stanza_error *ret_error);
};

extern const struct element away_leave_element;
extern const struct element away_stay_element;
extern const struct element away_state_element;
extern const struct ext away_ext;
