#include "controller/core/avail.h"

#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define SUSPECT_PINGS_USEC (10 * USEC_PER_SEC) /* so long every second, then every five */
#define SILENT_PERIOD_USEC (5 * USEC_PER_SEC)
#define LOST_PERIOD_USEC (15 * USEC_PER_SEC)

static const char *const state_names[] = {
        [AVAIL_READY] = "ready",
        [AVAIL_BUSY] = "busy",
        [AVAIL_RESERVED] = "reserved",
        [AVAIL_DRAINING] = "draining",
        [AVAIL_QUARANTINED] = "quarantined",
        [AVAIL_REBOOTING] = "rebooting",
        [AVAIL_AWAY] = "away",
        [AVAIL_SILENT] = "silent",
        [AVAIL_OFFLINE] = "offline",
        [AVAIL_SUSPECT] = "suspect",
        [AVAIL_OVERDUE] = "overdue",
};

const char *avail_state_name(enum avail_state s) {
        assert((size_t)s < ARRAY_SIZE(state_names));
        return state_names[s];
}

int avail_state_parse(const char *name, enum avail_state *ret) {
        for (size_t i = 0; i < ARRAY_SIZE(state_names); i++)
                if (strcmp(name, state_names[i]) == 0) {
                        *ret = (enum avail_state)i;
                        return 0;
                }
        return 1;
}

void avail_init(struct avail *a) {
        *a = (struct avail){.state = AVAIL_OFFLINE, .part = 256};
}

/* ---- how long ---- */

uint64_t avail_usual_usec(const struct avail *a) {
        uint64_t sorted[AVAIL_TOOK_MAX];
        size_t n = 0;

        for (size_t i = 0; i < a->n_took; i++) {
                size_t at = n++;

                for (; at > 0 && sorted[at - 1] > a->took[i]; at--)
                        sorted[at] = sorted[at - 1];
                sorted[at] = a->took[i];
        }
        return n > 0 ? sorted[n / 2] : 0;
}

void avail_took(struct avail *a, uint64_t usec) {
        if (a->n_took == AVAIL_TOOK_MAX)
                memmove(a->took, a->took + 1, --a->n_took * sizeof(a->took[0]));
        a->took[a->n_took++] = usec;
}

uint64_t avail_back_usec(const struct avail *a) {
        uint64_t usual = avail_usual_usec(a);

        if (a->leave == AVAIL_STAYS)
                return 0;
        if (a->promised_usec > 0)
                return a->back_realtime_usec;
        return a->leave == AVAIL_REBOOTS && usual > 0 ? a->left_realtime_usec + usual : 0;
}

/* After how long an absence is overdue. A promise is a promise; what is only usual may take longer. */
static uint64_t patience(const struct avail *a) {
        uint64_t usual = avail_usual_usec(a);

        if (a->promised_usec > 0)
                return a->promised_usec;
        if (a->leave == AVAIL_LEAVES)
                return USEC_NEVER;
        if (usual == 0)
                return AVAIL_REBOOT_USEC;
        return usual > AVAIL_MARGIN_USEC ? 2 * usual : usual + AVAIL_MARGIN_USEC;
}

static uint64_t after(uint64_t from, uint64_t span) {
        return span > USEC_NEVER - from ? USEC_NEVER : from + span;
}

uint64_t avail_late_usec(const struct avail *a, const struct avail_link *l) {
        /* a server or a network that is busy is slow for all of them */
        uint64_t usual = 2 * (a->worst_usec > l->slow_usec ? a->worst_usec : l->slow_usec);

        if (usual < AVAIL_LATE_USEC)
                return AVAIL_LATE_USEC;
        return usual < AVAIL_LATE_MAX_USEC ? usual : AVAIL_LATE_MAX_USEC;
}

static uint64_t silent_usec(const struct avail *a, const struct avail_link *l) {
        uint64_t late = avail_late_usec(a, l) + USEC_PER_SEC;

        return late > AVAIL_SILENT_USEC ? late : AVAIL_SILENT_USEC;
}

/* ---- facts ---- */

static void forget_pings(struct avail *a, uint64_t now_usec, unsigned part) {
        a->unanswered = 0;
        a->first_usec = a->last_usec = a->first_realtime_usec = 0;
        a->base_usec = now_usec;
        a->part = part;
}

static void stay(struct avail *a) {
        a->leave = AVAIL_STAYS;
        a->left_usec = a->left_realtime_usec = a->promised_usec = a->back_realtime_usec = 0;
        a->overdue_usec = 0;
}

void avail_leaves(struct avail *a, enum avail_leave leave, uint64_t promised_usec,
                  uint64_t realtime_usec, uint64_t now_usec) {
        if (a->leave != leave) {
                a->leave = leave;
                a->left_usec = now_usec;
                a->left_realtime_usec = realtime_usec;
        } else if (promised_usec == a->promised_usec) {
                return; /* said again: the time runs from the first word */
        }
        a->promised_usec = promised_usec;
        a->back_realtime_usec = promised_usec > 0 ? after(realtime_usec, promised_usec) : 0;
        a->overdue_usec = after(now_usec, patience(a));
}

bool avail_announced(struct avail *a, const struct avail_news *news, uint64_t realtime_usec,
                     uint64_t now_usec) {
        bool returned = false;

        if (news->announced == AVAIL_REBOOTING) {
                avail_leaves(a, AVAIL_REBOOTS, news->promised_usec, realtime_usec, now_usec);
        } else if (news->announced == AVAIL_AWAY) {
                avail_leaves(a, AVAIL_LEAVES, news->promised_usec, realtime_usec, now_usec);
        } else if (news->rebooted || news->fresh || a->leave == AVAIL_LEAVES) {
                /* the promise to reboot ends with the new boot, not with a presence that was already under way */
                if (a->leave == AVAIL_REBOOTS && news->rebooted && a->left_usec > 0) {
                        avail_took(a, now_usec - a->left_usec);
                        returned = true;
                }
                stay(a);
        }
        /* the server may have kept a presence since long before: the first one of a session is no sign of life */
        if (a->present && a->confirmed && !news->fresh) {
                avail_heard(a, realtime_usec, now_usec);
        } else {
                forget_pings(a, now_usec, news->part);
                a->last_answer_usec = realtime_usec;
        }
        a->announced = news->announced;
        a->present = a->confirmed = true;
        a->doubt_usec = 0;
        a->word_usec = realtime_usec;
        a->words[0] = '\0';
        return returned;
}

static void leave_now(struct avail *a, enum avail_gone how, uint64_t realtime_usec) {
        a->present = false;
        a->confirmed = true;
        a->gone = how;
        a->word_usec = realtime_usec;
        a->unanswered = 0;
        a->words[0] = '\0';
}

void avail_gone(struct avail *a, const char *words, uint64_t realtime_usec, uint64_t now_usec) {
        /* the word may follow a ping that was returned: then it adds its reason */
        if (a->present)
                a->doubt_usec = now_usec;
        leave_now(a, AVAIL_GONE_UNAVAILABLE, realtime_usec);
        if (words)
                snprintf(a->words, sizeof(a->words), "%s", words);
}

void avail_bounced(struct avail *a, uint64_t realtime_usec, uint64_t now_usec) {
        if (!a->present)
                return;
        leave_now(a, AVAIL_GONE_BOUNCED, realtime_usec);
        a->doubt_usec = now_usec;
}

void avail_heard(struct avail *a, uint64_t realtime_usec, uint64_t now_usec) {
        a->last_answer_usec = realtime_usec;
        forget_pings(a, now_usec, a->part);
}

void avail_pinged(struct avail *a, unsigned part, uint64_t realtime_usec, uint64_t now_usec) {
        if (a->unanswered == 0) {
                a->first_usec = now_usec;
                a->first_realtime_usec = realtime_usec;
        }
        if (a->unanswered < UINT32_MAX)
                a->unanswered++;
        a->last_usec = now_usec;
        a->part = part;
}

void avail_ponged(struct avail *a, uint64_t rtt_usec, uint64_t realtime_usec, uint64_t now_usec) {
        a->worst_usec /= 2;
        if (a->worst_usec < rtt_usec)
                a->worst_usec = rtt_usec;
        /* 0 is no measurement */
        a->rtt_usec =
                a->rtt_usec == 0 ? rtt_usec + (rtt_usec == 0) : (7 * a->rtt_usec + rtt_usec) / 8;
        avail_heard(a, realtime_usec, now_usec);
}

void avail_unconfirm(struct avail *a) {
        /* a word that went down together with our connection proves nothing */
        if (a->doubt_usec > 0) {
                a->present = true;
                a->doubt_usec = 0;
        }
        a->confirmed = false;
        a->unanswered = 0;
}

void avail_not_back(struct avail *a, uint64_t realtime_usec) {
        if (!a->present || a->confirmed)
                return;
        leave_now(a, AVAIL_GONE_NOT_BACK, realtime_usec);
}

void avail_remember(struct avail *a, const struct avail_past *past, uint64_t realtime_usec,
                    uint64_t now_usec) {
        uint64_t end;

        a->state = past->state;
        a->since_usec = a->word_usec = past->since_usec;
        a->last_answer_usec = past->last_answer_usec;
        /* what was present when we stopped counts so until it had time to announce itself */
        a->present = past->state != AVAIL_OFFLINE && past->leave == AVAIL_STAYS;
        a->gone = AVAIL_GONE_REMEMBERED;
        if (past->leave == AVAIL_STAYS)
                return;
        a->leave = past->leave;
        a->left_realtime_usec = past->left_usec;
        a->back_realtime_usec = past->back_usec;
        if (past->back_usec > past->left_usec)
                a->promised_usec = past->back_usec - past->left_usec;
        end = after(past->left_usec, patience(a));
        a->overdue_usec = end == USEC_NEVER
                                  ? end
                                  : now_usec + (end > realtime_usec ? end - realtime_usec : 0);
}

/* ---- what follows ---- */

static bool proven(const struct avail_link *l, uint64_t asked_usec) {
        return l->online && l->proof_usec >= asked_usec;
}

/* The server's word that it is gone, some time ago: it has not been the last word of a server that stops. */
static bool confirmed_gone(const struct avail *a, const struct avail_link *l) {
        return l->online && l->alive_usec >= a->doubt_usec + AVAIL_HOLD_USEC;
}

/* From when on its silence counts. */
static uint64_t from_usec(const struct avail *a, const struct avail_link *l) {
        return a->first_usec > l->calm_usec ? a->first_usec : l->calm_usec;
}

static enum avail_state judge(const struct avail *a, const struct avail_link *l,
                              uint64_t now_usec) {
        if (a->leave != AVAIL_STAYS) {
                if (a->overdue_usec <= now_usec)
                        return AVAIL_OVERDUE;
                return a->leave == AVAIL_REBOOTS ? AVAIL_REBOOTING : AVAIL_AWAY;
        }
        if (!a->present) {
                if (a->doubt_usec > 0 && !confirmed_gone(a, l))
                        return a->state;
                return AVAIL_OFFLINE;
        }
        if (!a->confirmed)
                return a->state;
        if (a->unanswered == 0)
                return a->announced;
        if (a->unanswered >= AVAIL_PROOF_PINGS && proven(l, from_usec(a, l) + AVAIL_PROOF_USEC))
                return AVAIL_OFFLINE;
        if (a->unanswered >= 2 && proven(l, from_usec(a, l) + silent_usec(a, l)))
                return AVAIL_SILENT;
        if (proven(l, from_usec(a, l) + avail_late_usec(a, l)))
                return AVAIL_SUSPECT;
        /* what was said of it stays until it is refuted */
        return a->state == AVAIL_SILENT || a->state == AVAIL_SUSPECT ? a->state : a->announced;
}

bool avail_judge(struct avail *a, const struct avail_link *l, uint64_t realtime_usec,
                 uint64_t now_usec) {
        enum avail_state s = judge(a, l, now_usec);

        if (a->doubt_usec > 0 && confirmed_gone(a, l))
                a->doubt_usec = 0;
        if (s == a->state)
                return false;
        a->state = s;
        a->since_usec = realtime_usec;
        return true;
}

bool avail_in_doubt(const struct avail *a) {
        return !a->present && a->doubt_usec > 0 && a->leave == AVAIL_STAYS;
}

/* The moments at which a question to our own server says something, in order. */
static size_t steps(const struct avail *a, const struct avail_link *l, uint64_t ret[static 3]) {
        if (a->leave != AVAIL_STAYS)
                return 0;
        if (!a->present) {
                ret[0] = a->doubt_usec + AVAIL_HOLD_USEC;
                return a->doubt_usec > 0 ? 1 : 0;
        }
        if (!a->confirmed || a->unanswered == 0)
                return 0;
        ret[0] = from_usec(a, l) + avail_late_usec(a, l);
        ret[1] = from_usec(a, l) + silent_usec(a, l);
        ret[2] = from_usec(a, l) + AVAIL_PROOF_USEC;
        return 3;
}

bool avail_wants_proof(const struct avail *a, const struct avail_link *l, uint64_t now_usec) {
        uint64_t at[3];
        size_t n = steps(a, l, at);

        if (!a->present)
                return n > 0 && at[0] <= now_usec && !confirmed_gone(a, l);
        for (size_t i = 0; i < n; i++)
                if (at[i] <= now_usec && !proven(l, at[i]))
                        return true;
        return false;
}

uint64_t avail_deadline(const struct avail *a, const struct avail_link *l, uint64_t now_usec) {
        uint64_t at[3], next = USEC_NEVER;
        size_t n = steps(a, l, at);

        for (size_t i = 0; i < n; i++)
                if (at[i] > now_usec && at[i] < next)
                        next = at[i];
        if (a->leave != AVAIL_STAYS && a->overdue_usec > now_usec && a->overdue_usec < next)
                next = a->overdue_usec;
        return next;
}

bool avail_urgent(const struct avail *a) {
        return a->leave == AVAIL_STAYS &&
               (a->unanswered > 0 || a->announced == AVAIL_BUSY || a->announced == AVAIL_DRAINING);
}

uint64_t avail_ping_at(const struct avail *a, const struct avail_link *l, uint64_t period_usec,
                       uint64_t now_usec) {
        uint64_t late;

        if (!a->present || !a->confirmed)
                return USEC_NEVER;
        if (a->unanswered > 0 && avail_urgent(a)) {
                late = now_usec > a->first_usec ? now_usec - a->first_usec : 0;
                if (a->unanswered == 1)
                        return a->last_usec + avail_late_usec(a, l);
                if (late < SUSPECT_PINGS_USEC)
                        return a->last_usec + AVAIL_BUSY_PERIOD_USEC;
                return a->last_usec +
                       (late < AVAIL_PROOF_USEC ? SILENT_PERIOD_USEC : LOST_PERIOD_USEC);
        }
        if (a->unanswered > 0)
                return a->last_usec + period_usec;
        if (avail_urgent(a))
                return a->base_usec + AVAIL_BUSY_PERIOD_USEC;
        return a->base_usec + period_usec / 256 * a->part;
}
