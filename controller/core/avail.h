/*
 * Availability of one machine: the state it is shown in, since when, and the evidence.
 *
 *   evidence                                                                       state
 *   it announced itself, and no ping of ours is late                               what it announced
 *   a ping is late, and our server has answered what was asked after it was        suspect
 *   pings unanswered, and our server has answered what was asked 2.5 s after       silent
 *     the first of them; the server still says online (a daemon that hangs, or a
 *     cable whose loss the server has not noticed yet: from here they look alike)
 *   the server says it is gone, and has answered us 0.4 s after that word          offline
 *   the server returns our ping: it has no such session; likewise                  offline
 *   it has not announced itself again when it had to (fleet_settle())              offline
 *   as silent, for 60 s and 10 pings: a server that never notices                  offline
 *   gone, or mute, after it agreed or announced to reboot or to be away            rebooting, away
 *   the same beyond the time promised or usual                                     overdue
 *
 * "Answered what was asked later" is the whole proof of our own link: not that something arrived (it may have lain in a
 * buffer), but that a question asked after the one in doubt made its way there and back, promptly. Without it
 * nothing changes, and with our connection gone nothing is known at all: the state is then the last one known. A server that
 * hung for a while has not shown anything: everybody's time begins again. One that stops says "gone" of everybody and
 * then closes our stream: that word is not proven, and is dropped with it.
 *
 * Pure: times are arguments; realtime ones are for people, the monotonic ones for decisions. Whom to ping when is
 * patrol.h's business, names and facts of a machine are fleet.h's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A ping is late after this, or after what is usual now, but at most: */
#define AVAIL_LATE_USEC UINT64_C(1500000)
#define AVAIL_LATE_MAX_USEC UINT64_C(4000000)
#define AVAIL_SILENT_USEC UINT64_C(2500000) /* or late and a second more */
#define AVAIL_PROOF_USEC UINT64_C(60000000)
#define AVAIL_PROOF_PINGS 10
#define AVAIL_HOLD_USEC UINT64_C(400000)
/* An absence of unknown length is overdue after this; a known one after twice its length, or this much more. */
#define AVAIL_REBOOT_USEC (UINT64_C(15) * 60 * 1000000)
#define AVAIL_MARGIN_USEC UINT64_C(30000000)
#define AVAIL_BUSY_PERIOD_USEC UINT64_C(1000000) /* between pings of who is busy, or in doubt */
#define AVAIL_TOOK_MAX 5
#define AVAIL_WORDS_SIZE 160

/* The numbers are stored: new ones go to the end. */
enum avail_state {
        AVAIL_READY, /* the first seven are announced, in the order of enum presence_state */
        AVAIL_BUSY,
        AVAIL_RESERVED,
        AVAIL_DRAINING,
        AVAIL_QUARANTINED,
        AVAIL_REBOOTING,
        AVAIL_AWAY,
        AVAIL_SILENT,
        AVAIL_OFFLINE,
        AVAIL_SUSPECT,
        AVAIL_OVERDUE,
};

/* How we know that it is not there. */
enum avail_gone {
        AVAIL_GONE_NEVER_SEEN,
        AVAIL_GONE_UNAVAILABLE, /* the server said so, or itself */
        AVAIL_GONE_BOUNCED,     /* the server returned a ping: no such session */
        AVAIL_GONE_NOT_BACK, /* it did not announce itself again after our own connection was back */
        AVAIL_GONE_REMEMBERED, /* so it was when this controller stopped */
};

/* Gone on purpose. */
enum avail_leave {
        AVAIL_STAYS,
        AVAIL_REBOOTS,
        AVAIL_LEAVES, /* for long, with a promise to return */
};

/* Our own connection, as far as it proves anything. */
struct avail_link {
        bool online;
        bool mute; /* our own server does not answer */
        /* monotonic: when the latest question was asked that was answered promptly */
        uint64_t proof_usec;
        uint64_t alive_usec; /* the same, however long the answer took */
        uint64_t slow_usec;  /* how long answers took lately, at worst: of anybody */
        uint64_t
                calm_usec; /* monotonic: until then our own server was slow, and nobody's delay counts */
};

struct avail {
        enum avail_state state;
        uint64_t since_usec; /* realtime: in `state` */

        /* the server's word */
        enum avail_state announced;
        bool present;
        bool confirmed;               /* announced since our own connection stands */
        enum avail_gone gone;         /* when it is not present */
        uint64_t doubt_usec;          /* monotonic: gone since then, not proven yet; 0 */
        uint64_t word_usec;           /* realtime: of the last word about it */
        char words[AVAIL_WORDS_SIZE]; /* what the server gave as reason; "" */

        /* signs of life */
        uint64_t last_answer_usec; /* realtime: anything that came from it; 0 never */
        uint64_t rtt_usec;         /* smoothed, of pings; 0: none was answered */
        uint64_t worst_usec;       /* the longest, each one before the last counting half as much */

        /* pings since the last of them */
        unsigned unanswered;
        uint64_t first_usec, last_usec; /* monotonic */
        uint64_t first_realtime_usec;
        uint64_t base_usec; /* monotonic: where the wait for the next one begins */
        unsigned part;      /* of the period, in 256ths: so that pings do not bunch */

        /* absence on purpose */
        enum avail_leave leave;
        uint64_t left_usec; /* monotonic; 0: before this controller started */
        uint64_t left_realtime_usec;
        uint64_t overdue_usec;         /* monotonic */
        uint64_t promised_usec;        /* how long, from when it said so; 0: it did not say */
        uint64_t back_realtime_usec;   /* the end of that promise */
        uint64_t took[AVAIL_TOOK_MAX]; /* the last reboots, oldest first */
        size_t n_took;
};

struct avail_news {
        enum avail_state announced;
        bool fresh;                  /* a session that was not known */
        bool rebooted;               /* with another boot id */
        uint64_t promised_usec;      /* how long, from when it said so; 0: it did not say */
        uint64_t back_realtime_usec; /* the end of that promise */
        unsigned part;               /* random, 1..256: how soon to ask it the first time */
};

/* As it is stored; the times are realtime. */
struct avail_past {
        enum avail_state state;
        uint64_t since_usec;
        uint64_t last_answer_usec;
        enum avail_leave leave;
        uint64_t left_usec; /* 0 unless it left */
        uint64_t back_usec; /* the end of its promise; 0: there was none */
};

const char *avail_state_name(enum avail_state s);
int avail_state_parse(const char *name, enum avail_state *ret); /* 0 or 1 */

void avail_init(struct avail *a);

/* ---- facts; the state follows by avail_judge() ---- */

/* A presence of its own. Returns true when a reboot ended that was waited for; its length is in `took` then. */
bool avail_announced(struct avail *a, const struct avail_news *news, uint64_t realtime_usec,
                     uint64_t now_usec);
/* Unavailable presence; @words (may be NULL) is the reason that came with it. */
void avail_gone(struct avail *a, const char *words, uint64_t realtime_usec, uint64_t now_usec);
/* Our ping came back: the server has no such session. */
void avail_bounced(struct avail *a, uint64_t realtime_usec, uint64_t now_usec);
/* Anything came from it that it sent now. */
void avail_heard(struct avail *a, uint64_t realtime_usec, uint64_t now_usec);
/* A ping left. @part: random, 1..256. */
void avail_pinged(struct avail *a, unsigned part, uint64_t realtime_usec, uint64_t now_usec);
/* A ping was answered by it. */
void avail_ponged(struct avail *a, uint64_t rtt_usec, uint64_t realtime_usec, uint64_t now_usec);
/* It agreed to go. @promised_usec 0: as usual. */
void avail_leaves(struct avail *a, enum avail_leave leave, uint64_t promised_usec,
                  uint64_t realtime_usec, uint64_t now_usec);
/* Our own connection ended. */
void avail_unconfirm(struct avail *a);
/* It had time enough to announce itself, and did not. */
void avail_not_back(struct avail *a, uint64_t realtime_usec);
/* What was known when this controller stopped; how long its reboots take comes before, by avail_took(). */
void avail_remember(struct avail *a, const struct avail_past *past, uint64_t realtime_usec,
                    uint64_t now_usec);
/* A reboot took so long. */
void avail_took(struct avail *a, uint64_t usec);

/* ---- what follows ---- */

/* Returns true when the state changed. */
bool avail_judge(struct avail *a, const struct avail_link *l, uint64_t realtime_usec,
                 uint64_t now_usec);
/* Something hangs on whether our server answers a question that is asked now. */
bool avail_wants_proof(const struct avail *a, const struct avail_link *l, uint64_t now_usec);
/* When avail_judge() or avail_wants_proof() may say something else though nothing happens; USEC_NEVER. */
uint64_t avail_deadline(const struct avail *a, const struct avail_link *l, uint64_t now_usec);
/* When to ping it; @period_usec is for who is idle. USEC_NEVER: not at all. */
uint64_t avail_ping_at(const struct avail *a, const struct avail_link *l, uint64_t period_usec,
                       uint64_t now_usec);
/* Its pings come before those of the idle. */
bool avail_urgent(const struct avail *a);

/* ---- for people ---- */

/* How long its reboots take: the median of the last; 0 unknown. */
uint64_t avail_usual_usec(const struct avail *a);
/* When it is expected back, realtime; 0: it did not leave, or nobody knows. */
uint64_t avail_back_usec(const struct avail *a);
/* How old a ping must be to be late. */
uint64_t avail_late_usec(const struct avail *a, const struct avail_link *l);
/* Its server session ended a moment ago, and that is not proven yet. */
bool avail_in_doubt(const struct avail *a);
