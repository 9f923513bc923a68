/*
 * Runs: submitted, cancelled, refused. Messages, so that servers queue them for absent machines; hence idempotent:
 * the run id is the key.
 *
 *   controller                                   target
 *    |  <message><run id ttl if-idle><json/></run>  |   (again whenever the target appears and has
 *    |--------------------------------------------->|    not accepted)
 *    |      stream "events", {"ev":"accepted"…}     |
 *    |<---------------------------------------------|
 *    |   or <message><refused run why/></message>   |
 *
 *    |  <iq get><list id limit before/></iq>        |   whoever may view: runs of all accounts, newest first
 *    |--------------------------------------------->|
 *    |  <runs more><item id owner by name …/>…</runs>
 *    |<---------------------------------------------|
 *
 * Acceptance is the first line of the run's events (ext/stream.h). The plan is JSON in
 * <json xmlns='urn:xmpp:json:0'/> (XEP-0335).
 */
#pragma once

#include "proto/ext.h"

#define NS_ROTA_RUN "urn:rota:run:1"
#define NS_JSON "urn:xmpp:json:0"
#define RUN_PLAN_MAX 65536               /* bytes */
#define RUN_TTL_MAX UINT64_C(4000000000) /* seconds: a century and some */
#define RUN_REFUSED_TEXT_MAX 1024

struct run_plan {
        const char *text;
};

struct run_submit {
        const char *id;
        /* Seconds that the run may wait in the target's queue; 0: for ever. With one, a submission that waited at a
         * server (XEP-0203) is passed over: its sender says again what is left. */
        uint64_t ttl;
        bool if_idle; /* refuse instead of queueing (attribute if-idle) */
        bool heal; /* starts in quarantine too, and ends it when it passes; needs the role reboot */
        uint64_t lease; /* token of the lease under which it runs; 0: none */
        const char *by; /* the person, for people */
        const struct run_plan *plan;
};

struct run_cancel {
        const char *run;
        const char *by;
};

enum run_refusal {
        RUN_REFUSED_NOT_ALLOWED, /* the sender's role does not cover it */
        RUN_REFUSED_INVALID,     /* the plan is malformed, or names what the target does not have */
        RUN_REFUSED_BUSY,        /* if-idle, and it is not */
        RUN_REFUSED_FULL,        /* no disk space or queue room */
        RUN_REFUSED_UNKNOWN,     /* cancel of a run that this target does not know */
        RUN_REFUSED_LEASED, /* somebody has reserved the target, or the reservation it was for is over */
        RUN_REFUSED_OVER, /* submitted again after its directory was retired: it ran already */
};

struct run_refused {
        const char *run;
        int why;          /* enum run_refusal */
        const char *text; /* a sentence; text_fit() it, since it may quote what the peer sent */
};

#define RUN_LIST_MAX 100

struct run_list {
        const char *id;  /* those whose id begins so; NULL: all */
        uint64_t limit;  /* 0: RUN_LIST_MAX */
        uint64_t before; /* `seq` of the last item of the page before; 0: the first page */
};

struct run_item {
        const char *id;
        uint64_t seq; /* order of acceptance */
        const char *owner;
        const char *by;
        const char *name;
        const char *state;   /* "queued" "running" "ended" */
        const char *verdict; /* once ended */
        uint64_t step;
        uint64_t of;
        uint64_t accepted; /* seconds since 1970, on the target's clock */
        uint64_t ended;    /* 0: not yet */
};

struct run_items {
        const struct run_item *item;
        size_t n_item;
        bool more;
};

const char *run_refusal_name(enum run_refusal why);

struct run_ops {
        int (*submit)(void *userdata, const struct ext_request *rq, const struct run_submit *m);
        int (*cancel)(void *userdata, const struct ext_request *rq, const struct run_cancel *m);
        int (*list)(void *userdata, const struct ext_request *rq, const struct run_list *m,
                    struct run_items *ret, struct stanza_error *ret_error);
        int (*refused)(void *userdata, const struct ext_request *rq, const struct run_refused *m);
};

/* Submit and cancel rows require no role here: the target answers a refusal with <refused/>, which says why, instead of
 * the silence the router gives to messages. */
extern const struct element run_submit_element;
extern const struct element run_cancel_element;
extern const struct element run_refused_element;
extern const struct element run_list_element;
extern const struct element run_items_element;
extern const struct ext run_ext;
