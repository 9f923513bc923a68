/*
 * The fleet: what is known of every machine, by bare JID.
 *
 * Presence is a hint and the last answer is the fact: both are kept, with the time. Losing our own
 * connection changes nothing about a target; after we are back, what has not announced itself again when
 * fleet_settle() is called was lost meanwhile. Only the resource that announced role='target' speaks for a machine:
 * an old one that ends late changes nothing.
 *
 * Pure: times are arguments; `realtime` ones are for people, the monotonic ones for decisions.
 */
#pragma once

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
/* How long a machine that said "rebooting" may be gone before it counts as offline. */
#define FLEET_REBOOT_USEC (UINT64_C(15) * 60 * 1000000)

enum fleet_kind {
        FLEET_EXPECTED, /* in the roster, never seen */
        FLEET_TARGET,
        FLEET_PEER,  /* another controller */
        FLEET_OTHER, /* present without our element: a person */
};

enum fleet_state {
        FLEET_READY, /* the first seven are announced, in the order of enum presence_state */
        FLEET_BUSY,
        FLEET_RESERVED,
        FLEET_DRAINING,
        FLEET_QUARANTINED,
        FLEET_REBOOTING,
        FLEET_AWAY,
        FLEET_SILENT, /* present for the server, but a question was not answered */
        FLEET_OFFLINE,
};

struct fleet_label {
        const char *name;
        const char *value;
};

/* What a machine says of itself; borrowed strings on input. */
struct fleet_facts {
        enum fleet_state state;
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
        const struct fleet_label *labels;
        size_t n_labels;
};

struct target {
        char *jid;
        char *name; /* the local part, or the bare JID when two domains have the same */
        enum fleet_kind kind;
        bool subscribed;
        bool present;   /* the server says so */
        bool confirmed; /* announced since our own connection stands */
        bool silent;
        char *full; /* the resource that speaks; NULL before the first presence */
        struct fleet_facts facts;
        struct arena arena; /* of `facts` */
        enum fleet_state shown;
        uint64_t since_usec;       /* realtime: in `shown` */
        uint64_t last_answer_usec; /* realtime: anything that came from it; 0 never */
        uint64_t rebooting_until;  /* monotonic; 0: none is expected */
        uint64_t silent_usec;      /* realtime: of the question that was not answered */
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

/* A target announced itself from @full. Returns 0, FLEET_NEW_SESSION or -ENOMEM. */
int fleet_announced(struct target *t, const char *full, const struct fleet_facts *facts,
                    uint64_t realtime_usec, uint64_t now_usec);
/* Facts from the store, before anything was heard. */
int fleet_remember(struct target *t, const struct fleet_facts *facts, enum fleet_state shown,
                   uint64_t since_usec, uint64_t last_answer_usec);
/* Unavailable presence. Returns true when it ended what was known as present. */
bool fleet_gone(struct target *t, const char *full, uint64_t realtime_usec, uint64_t now_usec);
/* Anything else arrived from it. Returns true when the shown state changed by that. */
bool fleet_heard(struct target *t, uint64_t realtime_usec, uint64_t now_usec);
/* A question was not answered in time. */
void fleet_silent(struct target *t, uint64_t realtime_usec, uint64_t now_usec);
/* We asked it to reboot and it agreed. */
void fleet_rebooting(struct target *t, uint64_t realtime_usec, uint64_t now_usec);
/* Our own connection ended. */
void fleet_unconfirm(struct fleet *f);
/* Long enough online: who has not announced itself is gone. */
void fleet_settle(struct fleet *f, uint64_t realtime_usec, uint64_t now_usec);
/* Expected reboots that took too long become offline. Returns when to call again; USEC_NEVER. */
uint64_t fleet_expire(struct fleet *f, uint64_t realtime_usec, uint64_t now_usec);

/* Present, and able to take messages. */
bool fleet_reachable(const struct target *t);
const char *fleet_state_name(enum fleet_state s);
int fleet_state_parse(const char *name, enum fleet_state *ret); /* 0 or 1 */
/* "pc2 is busy (memory, step 2 of 5, for ana)", "pc2 is offline since 14:02": today without the date. */
int fleet_sentence(const struct target *t, uint64_t realtime_usec, struct buf *out);
/* The reasons for the shown state, a sentence each, ended by a line break. */
int fleet_evidence(const struct target *t, bool we_are_online, uint64_t realtime_usec,
                   struct buf *out);
