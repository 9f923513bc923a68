/*
 * Leases: exclusive use of a target for a while. The target holds them, on its own clock; each ends by itself.
 *
 *   controller                                          target
 *    | <iq set><acquire id sid seconds by reason/></iq>       |  whoever asks chooses the id: asked twice is asked once
 *    |--------------------------------------------------->|
 *    | <lease id token holder by reason left since/>, or an error that says who has it
 *    |<---------------------------------------------------|
 *    | <extend id token seconds/>, <release id/>          |  as long as it is the lease in force
 *    | <take id sid seconds by reason/>                   |  from whoever has it; the others see it in presence
 *
 * `token` grows by one with every lease of a target: the fencing token. Runs and reboots of the holder carry it, and a
 * token that is not the one in force is refused, so that somebody who slept through the end of a lease does no harm.
 * `sid` is the session that the target announced: an order that waited anywhere for another one is refused.
 */
#pragma once

#include "proto/ext.h"

#define NS_ROTA_LEASE "urn:rota:lease:1"
#define LEASE_SECONDS_MAX UINT64_C(31622400) /* a year; a target may allow less */
#define LEASE_TEXT_MAX 255                   /* bytes of `by` and `reason`; see text_fit() */

/* Of <acquire/> and <take/>. */
struct lease_acquire {
        const char *id;
        const char *sid;
        uint64_t seconds;
        const char *by; /* the person; NULL: the account alone */
        const char *reason;
};

struct lease_extend {
        const char *id;
        uint64_t token;
        uint64_t seconds; /* from now */
        const char *by;
};

struct lease_release {
        const char *id;
        const char *by;
};

/* The answer; without an id: nobody has one. */
struct lease_held {
        const char *id;
        uint64_t token;
        const char *holder; /* bare JID */
        const char *by;
        const char *reason;
        uint64_t left;  /* seconds */
        uint64_t since; /* seconds ago */
};

struct lease_ops {
        int (*acquire)(void *userdata, const struct ext_request *rq, const struct lease_acquire *m,
                       struct lease_held *ret, struct stanza_error *ret_error);
        int (*take)(void *userdata, const struct ext_request *rq, const struct lease_acquire *m,
                    struct lease_held *ret, struct stanza_error *ret_error);
        int (*extend)(void *userdata, const struct ext_request *rq, const struct lease_extend *m,
                      struct lease_held *ret, struct stanza_error *ret_error);
        int (*release)(void *userdata, const struct ext_request *rq, const struct lease_release *m,
                       struct lease_held *ret, struct stanza_error *ret_error);
};

extern const struct element lease_acquire_element;
extern const struct element lease_take_element;
extern const struct element lease_extend_element;
extern const struct element lease_release_element;
extern const struct element lease_held_element;
extern const struct ext lease_ext;
