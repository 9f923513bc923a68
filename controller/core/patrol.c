#include "controller/core/patrol.h"

#include "proto/base/clock.h"

#include <assert.h>

#define TOKEN USEC_PER_SEC                  /* one ping */
#define TOKENS_MAX (25 * TOKEN)             /* a burst */
#define BEST_MAX_USEC (500 * USEC_PER_MSEC) /* no network of a lab is slower than that */
#define SLOW_HALF_USEC (2 * USEC_PER_SEC)
#define TOKENS_FOR_IDLE (3 * TOKEN) /* the urgent leave so many */

void patrol_init(struct patrol *p, struct fleet *f, uint64_t seed) {
        assert(seed != 0);
        *p = (struct patrol){.fleet = f, .seed = seed, .period_usec = PATROL_PERIOD_USEC};
}

unsigned patrol_part(struct patrol *p) {
        /* xorshift64 */
        p->seed ^= p->seed << 13;
        p->seed ^= p->seed >> 7;
        p->seed ^= p->seed << 17;
        return (unsigned)(p->seed >> 32) % 256 + 1;
}

void patrol_look(struct patrol *p) {
        p->next_usec = 0;
}

void patrol_online(struct patrol *p, uint64_t now_usec) {
        struct avail_link *l = &p->fleet->link;

        *l = (struct avail_link){.online = true, .proof_usec = now_usec, .alive_usec = now_usec};
        p->asked_usec = p->asked_last_usec = p->best_usec = 0;
        p->n_open = 0;
        p->heard_usec = now_usec;
        patrol_look(p);
}

void patrol_offline(struct patrol *p) {
        p->fleet->link = (struct avail_link){0};
        p->asked_usec = 0;
        patrol_look(p);
}

void patrol_heard(struct patrol *p, uint64_t now_usec) {
        p->heard_usec = now_usec;
        p->asked_usec = 0;
        if (p->fleet->link.mute)
                patrol_look(p);
}

/* The worst of late, forgotten by half every two seconds. */
static void note_delay(struct patrol *p, uint64_t usec, uint64_t now_usec) {
        struct avail_link *l = &p->fleet->link;

        if (p->best_usec == 0 || usec < p->best_usec)
                p->best_usec = usec < BEST_MAX_USEC ? usec : BEST_MAX_USEC;
        for (; l->slow_usec > 0 && now_usec >= p->slow_at_usec + SLOW_HALF_USEC;
             p->slow_at_usec += SLOW_HALF_USEC)
                l->slow_usec /= 2;
        /* who answers later than that had trouble of its own */
        if (usec < l->slow_usec || usec > AVAIL_LATE_MAX_USEC)
                return;
        l->slow_usec = usec;
        p->slow_at_usec = now_usec;
}

/* Returns false when it took so long that it proves nothing. */
static bool prove(struct patrol *p, uint64_t asked_usec, uint64_t now_usec) {
        struct avail_link *l = &p->fleet->link;
        uint64_t took = now_usec > asked_usec ? now_usec - asked_usec : 0;

        note_delay(p, took, now_usec);
        if (asked_usec > l->alive_usec)
                l->alive_usec = asked_usec;
        if (took > PATROL_PROMPT_USEC + 2 * p->best_usec)
                return false;
        if (asked_usec > l->proof_usec)
                l->proof_usec = asked_usec;
        return true;
}

void patrol_proven(struct patrol *p, uint64_t asked_usec, uint64_t now_usec) {
        /* while our server owes us an answer, that one decides: it may have hung, and all that comes now was late */
        if (p->n_open == 0)
                prove(p, asked_usec, now_usec);
        else
                note_delay(p, now_usec > asked_usec ? now_usec - asked_usec : 0, now_usec);
        /* somebody may have waited for it */
        if (p->wants_proof)
                patrol_look(p);
}

void patrol_unanswered(struct patrol *p) {
        if (p->n_open > 0)
                p->n_open--;
}

void patrol_answered(struct patrol *p, uint64_t asked_usec, uint64_t now_usec) {
        patrol_unanswered(p);
        /* until now whoever was asked may have been asked in vain: their time begins again */
        if (!prove(p, asked_usec, now_usec))
                p->fleet->link.calm_usec = now_usec;
        patrol_look(p);
}

void patrol_pinged(struct patrol *p, struct target *t, uint64_t realtime_usec, uint64_t now_usec) {
        /* nine to ten tenths of the period */
        avail_pinged(&t->avail, 256 - patrol_part(p) / 10, realtime_usec, now_usec);
}

void patrol_asked(struct patrol *p, uint64_t now_usec) {
        if (p->asked_usec == 0)
                p->asked_usec = now_usec;
        p->asked_last_usec = now_usec;
        p->n_open++;
}

static void sooner(struct patrol *p, uint64_t at_usec) {
        if (at_usec < p->soonest_usec)
                p->soonest_usec = at_usec;
}

static void begin(struct patrol *p, uint64_t now_usec) {
        uint64_t earned = (now_usec - p->refilled_usec) * PATROL_RATE;

        p->tokens = p->tokens + earned < TOKENS_MAX ? p->tokens + earned : TOKENS_MAX;
        p->refilled_usec = p->round_usec = now_usec;
        p->pass = PATROL_JUDGES;
        p->at = 0;
        p->wants_proof = false;
        p->n_idle = p->n_asked = 0;
        p->soonest_usec = USEC_NEVER;
}

static void next_pass(struct patrol *p) {
        p->pass++;
        p->at = p->visited = 0;
}

/* Not counted as a machine: a person, another controller. */
static bool concerns(const struct target *t) {
        return t->kind == FLEET_TARGET;
}

static bool judge(struct patrol *p, uint64_t realtime_usec, uint64_t now_usec,
                  struct patrol_action *ret) {
        struct fleet *f = p->fleet;

        while (p->at < f->n_targets) {
                struct target *t = f->targets[p->at++];
                bool changed;

                if (!concerns(t))
                        continue;
                changed = avail_judge(&t->avail, &f->link, realtime_usec, now_usec);
                if (avail_wants_proof(&t->avail, &f->link, now_usec))
                        p->wants_proof = true;
                if (!avail_urgent(&t->avail) && t->avail.present && t->avail.confirmed)
                        p->n_idle++;
                if (t->avail.unanswered == 1 &&
                    now_usec < t->avail.first_usec + avail_late_usec(&t->avail, &f->link))
                        p->n_asked++;
                sooner(p, avail_deadline(&t->avail, &f->link, now_usec));
                if (changed) {
                        *ret = (struct patrol_action){.kind = PATROL_TELL, .target = t};
                        return true;
                }
        }
        p->period_usec = p->n_idle * USEC_PER_SEC / PATROL_IDLE_RATE;
        if (p->period_usec < PATROL_PERIOD_USEC)
                p->period_usec = PATROL_PERIOD_USEC;
        return false;
}

static bool ask(struct patrol *p, uint64_t now_usec, struct patrol_action *ret) {
        struct avail_link *l = &p->fleet->link;
        bool mute = p->asked_usec > 0 && now_usec >= p->asked_usec + PATROL_MUTE_USEC;
        uint64_t pause = mute ? USEC_PER_SEC : PATROL_ASK_USEC;

        if (!l->online)
                return false;
        if (mute != l->mute) {
                l->mute = mute;
                *ret = (struct patrol_action){.kind = PATROL_LINK};
                return true;
        }
        if (p->asked_usec > 0 && !mute)
                sooner(p, p->asked_usec + PATROL_MUTE_USEC);
        /* the first question tells how long an answer takes when nothing is wrong */
        if (!p->wants_proof && !mute && (p->best_usec > 0 || p->n_open > 0)) {
                if (now_usec < p->heard_usec + PATROL_QUIET_USEC) {
                        sooner(p, p->heard_usec + PATROL_QUIET_USEC);
                        return false;
                }
                pause = PATROL_QUIET_USEC;
        }
        if (p->asked_last_usec > 0 && now_usec < p->asked_last_usec + pause) {
                sooner(p, p->asked_last_usec + pause);
                return false;
        }
        *ret = (struct patrol_action){.kind = PATROL_ASK_SERVER};
        return true;
}

enum turn {
        TURN_NOT_DUE,
        TURN_PING,
        TURN_LATER, /* due, and there are no pings left in this round */
};

static enum turn turn(struct patrol *p, const struct target *t, uint64_t reserve,
                      uint64_t now_usec) {
        uint64_t at = avail_ping_at(&t->avail, &p->fleet->link, p->period_usec, now_usec);

        sooner(p, at);
        if (at > now_usec)
                return TURN_NOT_DUE;
        if (p->tokens < reserve + TOKEN || (reserve == 0 && p->n_asked >= PATROL_WINDOW))
                return TURN_LATER;
        p->n_asked++;
        p->tokens -= TOKEN;
        return TURN_PING;
}

/* One round among the urgent, or the others, from where the last one ran out of pings: nobody is left out. */
static bool round_of(struct patrol *p, bool urgent, uint64_t reserve, uint64_t now_usec,
                     struct patrol_action *ret) {
        struct fleet *f = p->fleet;
        size_t *cursor = &p->cursors[urgent];

        for (; p->visited < f->n_targets; p->visited++) {
                size_t at = *cursor < f->n_targets ? *cursor : 0;
                struct target *t = f->targets[at];

                *cursor = at + 1;
                if (!concerns(t) || avail_urgent(&t->avail) != urgent)
                        continue;
                switch (turn(p, t, reserve, now_usec)) {
                case TURN_NOT_DUE:
                        break;
                case TURN_PING:
                        p->visited++;
                        *ret = (struct patrol_action){.kind = PATROL_PING, .target = t};
                        return true;
                case TURN_LATER:
                        *cursor = at;
                        return false;
                }
        }
        return false;
}

bool patrol_next(struct patrol *p, uint64_t realtime_usec, uint64_t now_usec,
                 struct patrol_action *ret) {
        bool calls = p->fleet->link.online && !p->fleet->link.mute;

        if (p->pass == PATROL_RESTS) {
                if (now_usec < patrol_deadline(p))
                        return false;
                begin(p, now_usec);
        }
        if (p->pass == PATROL_JUDGES) {
                if (judge(p, realtime_usec, now_usec, ret))
                        return true;
                next_pass(p);
        }
        if (p->pass == PATROL_ASKS) {
                if (p->visited++ < 3 && ask(p, now_usec, ret))
                        return true;
                next_pass(p);
        }
        if (p->pass == PATROL_URGENT) {
                if (calls && round_of(p, true, TOKENS_FOR_IDLE, now_usec, ret))
                        return true;
                next_pass(p);
        }
        if (p->pass == PATROL_IDLE && calls && round_of(p, false, 0, now_usec, ret))
                return true;
        p->pass = PATROL_RESTS;
        p->next_usec = p->soonest_usec;
        return false;
}

uint64_t patrol_deadline(const struct patrol *p) {
        uint64_t least = p->round_usec + PATROL_TICK_USEC;

        return p->next_usec > least ? p->next_usec : least;
}
