/*
 * The fleet: what is known of every machine, by bare JID.
 *
 * What a machine says of itself is kept here; in which state it is shown, and why, is avail.h's business. Losing our
 * own connection changes nothing about a target, but nobody's state is known then (fleet_known()); after we are back, what has
 * not announced itself again when fleet_settle() is called was lost meanwhile. Only the resource that announced
 * role='target' speaks for a machine: an old one that ends late changes nothing.
 *
 * Pure: times are arguments; `realtime` ones are for people, the monotonic ones for decisions.
 */
#pragma once

#include "controller/core/avail.h"
#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "proto/base/id.h"
#include "proto/jid.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FLEET_MAX 20000
#define FLEET_LABELS_MAX 64
#define FLEET_STATUS_MAX 255 /* bytes */

enum fleet_kind {
        FLEET_EXPECTED, /* in the roster, never seen */
        FLEET_TARGET,
        FLEET_PEER,  /* another controller */
        FLEET_OTHER, /* present without our element: a person */
};

struct fleet_label {
        const char *name;
        const char *value;
};

/* Who has reserved it. */
struct fleet_lease {
        const char *id;
        uint64_t token;
        const char *holder; /* bare JID */
        const char *by;     /* NULL: the account alone */
        const char *reason;
        uint64_t until_usec; /* monotonic */
};

/* Quarantine, or absence on purpose. */
struct fleet_note {
        const char *by;
        const char *reason;
};

/* What a machine says of itself; borrowed strings on input. */
struct fleet_facts {
        enum avail_state state;
        const char *boot;
        const char *sid;
        const char *version;
        const char *title;
        const char *location;
        const char *status; /* its own words for people; NULL */
        uint64_t queue;
        const char *run; /* NULL: no run is on */
        uint64_t run_step;
        uint64_t run_of;
        const char *run_owner;
        const char *run_by;
        const char *run_title;
        const struct fleet_lease *lease;     /* NULL: nobody has it */
        const struct fleet_note *quarantine; /* NULL: it is not in quarantine */
        const struct fleet_note *away;       /* NULL: it does not leave */
        uint64_t back_within_usec;           /* when it leaves; 0: it did not say */
        const struct fleet_label *labels;
        size_t n_labels;
};

struct target {
        char *jid;
        char *name; /* the local part, or the bare JID when two domains have the same */
        enum fleet_kind kind;
        bool subscribed;
        char *full; /* the resource that speaks; NULL before the first presence */
        struct avail avail;
        struct fleet_facts facts;
        struct arena arena; /* of `facts` */
        char *lost;         /* a sentence about a lease of ours that somebody took; NULL */
        /* whoever uses the fleet marks here; the fleet itself does not look */
        bool dirty;                  /* differs from what was stored and shown */
        char synced_sid[ID_MAX + 1]; /* the session for which our offsets were accepted */
        char asked_sid[ID_MAX + 1];  /* the session for which they were sent */
        unsigned sync_tries;
        uint64_t sync_at; /* monotonic: when to send them (again); USEC_NEVER */
};

struct fleet {
        struct target **targets; /* by bare JID */
        size_t n_targets;
        size_t cap;
        struct avail_link link; /* our own connection: patrol.h */
        bool settled;           /* who has not announced itself since it stands is gone */
};

enum {
        FLEET_NEW_SESSION =
                1,      /* another connection than the one known: everything under way is gone */
        FLEET_FULL = 2, /* beyond FLEET_MAX */
};

void fleet_init(struct fleet *f);
void fleet_done(struct fleet *f);
DEFINE_CLEANUP_DONE(struct fleet, fleet_done)

/* NULL when unknown. @jid may have a resource. */
struct target *fleet_find(const struct fleet *f, const char *jid);
struct target *fleet_find_name(const struct fleet *f, const char *name);
/* Finds or makes. Returns 0, FLEET_FULL or -ENOMEM. */
int fleet_add(struct fleet *f, const char *jid, struct target **ret);

/* A target announced itself from @full. @part: random, 1..256. Returns 0, FLEET_NEW_SESSION or -ENOMEM. */
int fleet_announced(struct target *t, const char *full, const struct fleet_facts *facts,
                    unsigned part, uint64_t realtime_usec, uint64_t now_usec);
/* Facts from the store, before anything was heard. */
int fleet_remember(struct target *t, const struct fleet_facts *facts, const struct avail_past *past,
                   uint64_t realtime_usec, uint64_t now_usec);
/* Unavailable presence; @words: the reason that came with it, NULL. Returns true when it ended what was known as
 * present and confirmed. */
bool fleet_gone(struct target *t, const char *full, const char *words, uint64_t realtime_usec,
                uint64_t now_usec);
/* The server has no session of that name: a question to it came back. */
bool fleet_bounced(struct target *t, const char *full, uint64_t realtime_usec, uint64_t now_usec);
/* A lease of ours is over by our own wish: it is not lost. */
void fleet_released(struct target *t);
/* Our own connection ended. */
void fleet_unconfirm(struct fleet *f);
/* Long enough online: who has not announced itself is gone. */
void fleet_settle(struct fleet *f, uint64_t realtime_usec);
/* Somebody who was present has not announced itself since our connection stands. */
bool fleet_awaits(const struct fleet *f);

/* Is its state known, or only the last one that was? */
bool fleet_known(const struct fleet *f, const struct target *t);
/* The state it is shown in: "ready", or "unknown". */
const char *fleet_shown(const struct fleet *f, const struct target *t);
/* Present, and able to take messages. */
bool fleet_reachable(const struct target *t);
