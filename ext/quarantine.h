/*
 * Quarantine: a machine that is not trusted starts no run, until it has passed its health diagnostic or somebody frees it.
 *
 *   controller                                          target
 *    | <iq set><quarantine by reason/></iq>               |
 *    | <iq set><free by reason/></iq>                     |
 *    |--------------------------------------------------->|
 *    | <state on by who reason since/>, or an error       |
 *    |<---------------------------------------------------|
 *
 * A target also quarantines itself, after several runs in a row that could not be carried out. A run with heal='true'
 * (ext/run.h) starts nevertheless, and frees it when it passes.
 */
#pragma once

#include "proto/ext.h"

#define NS_ROTA_QUARANTINE "urn:rota:quarantine:1"
#define QUARANTINE_TEXT_MAX 255 /* bytes of `by` and `reason`; see text_fit() */

/* Of <quarantine/> and <free/>. */
struct quarantine_order {
        const char *by;
        const char *reason;
};

struct quarantine_state {
        bool on;
        const char *who; /* bare JID; NULL: the target itself */
        const char *by;
        const char *reason;
        uint64_t since; /* seconds ago */
};

struct quarantine_ops {
        int (*impose)(void *userdata, const struct ext_request *rq,
                      const struct quarantine_order *m, struct quarantine_state *ret,
                      struct stanza_error *ret_error);
        int (*free)(void *userdata, const struct ext_request *rq, const struct quarantine_order *m,
                    struct quarantine_state *ret, struct stanza_error *ret_error);
};

extern const struct element quarantine_impose_element;
extern const struct element quarantine_free_element;
extern const struct element quarantine_state_element;
extern const struct ext quarantine_ext;
