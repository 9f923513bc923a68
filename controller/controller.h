/*
 * The controller daemon: what its parts share.
 *
 *   link ──stanzas──> router ──> serve_*.c ──facts──> fleet, jobs, sink          (record, and return)
 *   bus  ──calls────> desk.c ──────────────────────────┘
 *                     pump.c: sync bytes, fold events, decide what to send, persist, commit,
 *                             and only then acknowledge, send and tell
 *
 * One thread, one loop. Callbacks record and call controller_wake(); pump.c alone acts.
 */
#pragma once

#include "controller/config.h"
#include "controller/core/fleet.h"
#include "controller/core/gather.h"
#include "controller/core/jobs.h"
#include "controller/core/patrol.h"
#include "controller/core/select.h"
#include "controller/facts.h"
#include "controller/io/bus.h"
#include "controller/io/sink.h"
#include "controller/io/store.h"
#include "proto/base/buf.h"
#include "proto/catalogue.h"
#include "proto/codec.h"
#include "proto/ext.h"
#include "proto/iqtrack.h"
#include "proto/link/link.h"

#include <systemd/sd-event.h>

#define CONTROLLER_PENDING_MAX 1000
#define CONTROLLER_IQ_USEC (5 * USEC_PER_SEC)

struct controller_options {
        bool trace;
};

struct controller {
        sd_event *event;
        const struct config *config;
        struct controller_options options;

        struct store *store;
        struct sink *sink;
        struct bus *bus;
        struct link *link;
        struct router *router;
        struct iqtrack *iqs;
        struct codec *codec;
        struct catalogue *catalogue;
        int lock_fd;

        struct fleet fleet;
        struct jobs jobs;
        struct gather gather;
        struct patrol patrol;

        /* the connection */
        char resource[64];
        char sid[ID_SIZE];
        enum link_cause cause;
        char *cause_detail;
        bool tried;         /* at least one try has ended, well or not */
        uint64_t retry_at;  /* monotonic; USEC_NEVER */
        uint64_t online_at; /* monotonic: since when; 0 offline */
        uint64_t heard_at;  /* monotonic: the last target that announced itself */
        bool roster_known;
        bool once;  /* it has stood before */
        bool kept;  /* the server still has sessions of before: it has not been restarted */
        bool hasty; /* but it had, and some were still to come when the last connection ended */

        char *pending[CONTROLLER_PENDING_MAX]; /* JIDs that asked and match no rule */
        size_t n_pending;

        /* the pump's work */
        sd_event_source *pump;
        sd_event_source *timer;
        struct run **touched; /* live runs to persist, fold, acknowledge or show */
        size_t n_touched, cap_touched;
        bool fleet_dirty;
        bool sync_due;    /* some target waits for our offsets */
        unsigned n_syncs; /* of those, under way */
        uint64_t sync_at;
        struct buf outbox; /* stanzas that leave after the commit */
        struct buf told;   /* run ids, NUL-terminated, whose targets know that we have all */

        /* trouble with the disk: nothing is acknowledged while there is some */
        char *trouble;
        uint64_t trouble_at; /* monotonic: when to look again */
        bool revive;         /* it is over: ask again for what was dropped */

        struct list asks; /* pings and reboots that people wait for: serve_ping.c, serve_power.c */
        struct list held; /* calls that came before we knew anything: desk.c */
        bool stopping;
};

/* ---- controller.c ---- */

/* Fails with -errno after saying why. */
int controller_new(struct controller **ret, const struct config *config,
                   const struct controller_options *options);
struct controller *controller_free(struct controller *c);
DEFINE_CLEANUP_FREE(struct controller, controller_free)
/* Until SIGTERM or SIGINT. */
int controller_run(struct controller *c);
/* Lets the pump run soon. */
void controller_wake(struct controller *c);
/* Out of memory where nothing can be taken back: this process ends, the next one begins with what is stored. */
void controller_starve(struct controller *c);
struct facts_now controller_now(const struct controller *c);
/* "the controller has no connection to its server (…)" */
int controller_offline_text(const struct controller *c, struct buf *out);
/* Writes and sends an IQ at once; @done is called exactly once unless 0 is not returned (LINK_OFFLINE or -errno). */
int controller_ask(struct controller *c, enum ext_kind kind, const char *to,
                   const struct element *e, const void *payload, uint64_t timeout_usec,
                   iq_done *done, void *userdata);

/* ---- pump.c ---- */

void pump_run(struct controller *c);
/* When to run it again though nothing happens. */
uint64_t pump_deadline(struct controller *c, uint64_t now_usec);
/* The run is looked at by the next pump. */
int pump_touch(struct controller *c, struct run *r);
/* Makes the received bytes durable now. The pump does it by itself; others when the sink is full. */
void pump_sync(struct controller *c);
/* Everything recorded so far, now. Returns 0 or -errno (which is also the controller's trouble from then on). */
int pump_persist(struct controller *c);
/* Something could not be written: stop acknowledging, say so, look again in a second. */
void pump_trouble(struct controller *c, const char *what, int error);

/* ---- serve_presence.c ---- */

void presence_online(struct controller *c);
/* A presence that no room takes. */
void presence_other(struct controller *c, const struct xml *stanza);
/* Subscribes to a pending or any other JID. */
int presence_accept(struct controller *c, const char *jid);
bool presence_accepted(const struct controller *c, const char *jid);
/* The connection settled. Returns when to call again. */
uint64_t presence_tick(struct controller *c, uint64_t now_usec);

/* ---- serve_avail.c ---- */

/* Pings who is due, and tells whose state changed. Returns when to call again. */
uint64_t avail_tick(struct controller *c, uint64_t now_usec);
/* Something arrived, from whomever. */
void avail_traffic(struct controller *c, const struct xml *stanza);
/* A ping to @t has ended. */
void avail_answered(struct controller *c, struct target *t, const struct iq_answer *answer);

/* ---- serve_why.c ---- */

void why_begin(struct controller *c, struct bus_call *call, const struct selection *s);

/* ---- serve_stream.c ---- */

/* Sends our offsets to whoever waits for them. Returns when to call again. */
uint64_t stream_sync_due(struct controller *c, uint64_t now_usec);
/* The live run @id of @t, which may be revived from the store or found new; NULL: none. */
struct run *stream_run_of(struct controller *c, struct target *t, const char *id);

/* ---- serve_ping.c, serve_power.c ---- */

struct ask_ops {
        void (*end)(struct list *ask); /* frees it, answering its call */
        /* News of a target: it announced itself (@boot), or went (NULL). */
        void (*news)(struct list *ask, const struct target *t, const char *boot);
        /* Returns when to call again. May end. */
        uint64_t (*tick)(struct list *ask, uint64_t now_usec);
};

/* What an ask begins with. */
struct ask {
        struct list link; /* first */
        const struct ask_ops *ops;
        struct controller *controller;
        struct bus_call *call;
};

void asks_news(struct controller *c, const struct target *t, const char *boot);
uint64_t asks_tick(struct controller *c, uint64_t now_usec);
void asks_end(struct controller *c);

void ping_begin(struct controller *c, struct bus_call *call, const struct selection *s,
                uint64_t timeout_usec);
/* Ends the call when @options are bad. */
void power_begin(struct controller *c, struct bus_call *call, const struct selection *s,
                 const char *options);

/* ---- serve_order.c ---- */

/* Ends the call when @options are bad. */
void order_begin(struct controller *c, struct bus_call *call, const struct selection *s,
                 const char *options);
/* The lease of @t when it is for @by, who uses this controller; else NULL. */
const struct fleet_lease *controller_lease(const struct controller *c, const struct target *t,
                                           const char *by);

/* ---- serve_follow.c ---- */

/* The run of anybody whose id is @typed, or begins so: looked for on the targets, and followed; then it is answered. */
void follow_find(struct controller *c, struct bus_call *call, const char *typed);
/* The run that @t announces as the one that is on. */
void follow_announced(struct controller *c, struct bus_call *call, struct target *t);
void follow_list(struct controller *c, struct bus_call *call, const struct selection *s,
                 uint64_t limit);

/* ---- desk.c, submit.c ---- */

/* The answer of Run, for an id that is known here. */
void desk_answer_run(struct controller *c, struct bus_call *call, const char *id);

extern const struct bus_ops desk_ops;
/* Serves what was held back, when there is something to say. Returns when to call again. */
uint64_t desk_tick(struct controller *c, uint64_t now_usec);
void desk_drop_held(struct controller *c);
void desk_submit(struct controller *c, struct bus_call *call, const char *selector,
                 const char *request);
/* Ends the call and returns false when nothing matches. */
bool desk_select(struct controller *c, struct bus_call *call, const char *selector,
                 struct selection *ret);

/* ---- rooms.c ---- */

extern const struct ext_binding controller_rooms[];
struct disco_identity;
extern const struct disco_identity controller_identity;
