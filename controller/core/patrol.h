/*
 * The patrol: whom to ping next, and whose state has changed.
 *
 * Who is in doubt or busy is asked every second, the idle every 4.5 s or, when there are many, 200 of them a second; all
 * together never more than 300 a second. Whatever arrives from a machine counts as its answer, so a busy one is
 * hardly ever asked. Each waits a random part of its period, so that they do not bunch. When a machine is in doubt
 * and nothing proves our own connection, our own server is asked; when that does not answer for 3 s, the
 * connection is mute: nobody is judged, and nobody's state counts as known.
 *
 * Pure. The owner does what patrol_next() says until it says nothing more, and calls again at patrol_deadline().
 */
#pragma once

#include "controller/core/fleet.h"

#define PATROL_RATE 300      /* pings a second */
#define PATROL_IDLE_RATE 200 /* of these to the idle */
#define PATROL_WINDOW                                                                              \
        200 /* of the idle so many are asked at a time: a slow server is not given more */
#define PATROL_PERIOD_USEC UINT64_C(4500000)
#define PATROL_TICK_USEC UINT64_C(40000)
#define PATROL_QUIET_USEC UINT64_C(20000000) /* our server is asked when nothing came for so long */
#define PATROL_ASK_USEC UINT64_C(200000)     /* at most so often */
#define PATROL_MUTE_USEC UINT64_C(3000000)
#define PATROL_PROMPT_USEC UINT64_C(250000) /* and what the best answer took, twice */

enum patrol_kind {
        PATROL_PING,       /* @target, at its full JID; then patrol_pinged() */
        PATROL_ASK_SERVER, /* ping our own server; then patrol_asked() */
        PATROL_TELL,       /* the state of @target has changed */
        PATROL_LINK,       /* fleet.link.mute has changed */
};

struct patrol_action {
        enum patrol_kind kind;
        struct target *target;
};

enum patrol_pass {
        PATROL_RESTS,
        PATROL_JUDGES,
        PATROL_ASKS,
        PATROL_URGENT,
        PATROL_IDLE,
};

struct patrol {
        struct fleet *fleet;
        uint64_t seed;
        /* our server */
        uint64_t asked_usec; /* the first question that it has not answered; 0 */
        uint64_t asked_last_usec;
        unsigned n_open; /* questions to it that are under way */
        uint64_t heard_usec;
        uint64_t best_usec; /* the shortest delay of an answer on this connection; 0: none came */
        uint64_t slow_at_usec; /* when fleet.link.slow_usec was last halved, or raised */
        /* the present round */
        enum patrol_pass pass;
        size_t at;
        size_t visited;
        bool wants_proof;
        size_t n_idle;
        size_t n_asked; /* and not late yet */
        uint64_t soonest_usec;
        /* from round to round */
        size_t cursors[2]; /* where a round of the idle, and of the urgent, goes on */
        uint64_t period_usec;
        uint64_t round_usec; /* when it began */
        uint64_t next_usec;  /* of the next one */
        uint64_t tokens;     /* pings that may leave, in millionths */
        uint64_t refilled_usec;
};

/* @seed: any number but 0. */
void patrol_init(struct patrol *p, struct fleet *f, uint64_t seed);

/* Our connection stands; it ended. */
void patrol_online(struct patrol *p, uint64_t now_usec);
void patrol_offline(struct patrol *p);
/* Anything arrived from our server. */
void patrol_heard(struct patrol *p, uint64_t now_usec);
/* A question that was asked then has been answered: by our server; by a machine. */
void patrol_answered(struct patrol *p, uint64_t asked_usec, uint64_t now_usec);
void patrol_proven(struct patrol *p, uint64_t asked_usec, uint64_t now_usec);
/* Our server has not answered for so long that nobody waits any more. */
void patrol_unanswered(struct patrol *p);
/* Something happened to a machine: look soon. */
void patrol_look(struct patrol *p);
/* 1..256 */
unsigned patrol_part(struct patrol *p);

/* False: there is nothing to do. */
bool patrol_next(struct patrol *p, uint64_t realtime_usec, uint64_t now_usec,
                 struct patrol_action *ret);
void patrol_pinged(struct patrol *p, struct target *t, uint64_t realtime_usec, uint64_t now_usec);
void patrol_asked(struct patrol *p, uint64_t now_usec);
uint64_t patrol_deadline(const struct patrol *p);
