#include "target/core/flow.h"

#include "proto/base/clock.h"

#define PIECE_MIN UINT64_C(1536) /* below that the envelope is most of it */
#define PIECE_MAX (UINT64_C(96) << 10)
/* What was measured before so long a silence is not believed: it takes no time on a fast path to measure again. */
#define MEMORY_USEC (200 * USEC_PER_MSEC)
#define LOOK_MIN_USEC USEC_PER_MSEC
#define LOOK_MAX_USEC (20 * USEC_PER_MSEC)

void flow_init(struct flow *f, uint64_t slack_usec) {
        *f = (struct flow){.slack_usec = slack_usec, .window = FLOW_START, .base_usec = USEC_NEVER};
}

static uint64_t larger(uint64_t a, uint64_t b) {
        return a > b ? a : b;
}

static uint64_t under_way(const struct flow *f) {
        return f->sent - f->landed - f->lost;
}

/* The mark has landed, @bytes since it was put. */
static void reached(struct flow *f, uint64_t bytes, uint64_t took_usec) {
        uint64_t wanted, half = f->window / 2, more = f->window + bytes / 2;

        if (took_usec == 0)
                took_usec = 1;
        f->rate = bytes * USEC_PER_SEC / took_usec;
        if (took_usec < f->base_usec)
                f->base_usec = took_usec;
        wanted = f->rate * (f->base_usec + f->slack_usec) / USEC_PER_SEC;
        /* hardly anything queued: what goes at a time may be too coarse to show the rate */
        if (f->filled && took_usec <= f->base_usec + f->slack_usec / 2)
                wanted = larger(wanted, more);
        if (!f->filled && took_usec <= f->base_usec + 2 * f->slack_usec) {
                /* a width that nobody needs would only be filled at the moment the path gets slow */
                if (f->window > larger(2 * f->peak, FLOW_START))
                        f->window = larger(half, larger(2 * f->peak, FLOW_START));
        } else if (wanted >= f->window) {
                f->window = wanted < more ? wanted : more;
                if (f->window > FLOW_CEILING)
                        f->window = FLOW_CEILING;
        } else {
                /* so little waits for nothing: the path itself takes so long now */
                if (f->window == FLOW_FLOOR && took_usec > f->base_usec)
                        f->base_usec = took_usec;
                f->window = larger(larger(wanted, half), FLOW_FLOOR);
        }
}

void flow_counted(struct flow *f, uint64_t sent, uint64_t landed, uint64_t lost,
                  uint64_t now_usec) {
        bool grew = sent > f->sent, idle = under_way(f) == 0;

        /* a count that is put together from several may shrink a little */
        if (landed < f->landed)
                landed = f->landed;
        if (lost > f->lost)
                f->marked = false;
        if (f->marked && landed + lost >= f->mark_sent) {
                f->marked = false;
                reached(f, landed - f->mark_landed, now_usec - f->mark_usec);
        }
        if (grew && idle && now_usec - f->busy_usec > MEMORY_USEC && f->window > FLOW_START)
                f->window = FLOW_START;
        if (grew || !idle)
                f->busy_usec = now_usec;
        f->sent = sent > landed + lost ? sent : landed + lost;
        f->landed = landed;
        f->lost = lost;
        if (grew) {
                if (!f->marked && under_way(f) > 0) {
                        f->marked = true;
                        f->filled = false;
                        f->peak = 0;
                        f->mark_usec = now_usec;
                        f->mark_sent = f->sent;
                        f->mark_landed = landed;
                }
        }
        f->peak = larger(f->peak, under_way(f));
        if (!flow_open(f))
                f->filled = true;
}

uint64_t flow_piece(const struct flow *f) {
        uint64_t piece = f->window / 4;

        if (piece < PIECE_MIN)
                return PIECE_MIN;
        return piece < PIECE_MAX ? piece : PIECE_MAX;
}

bool flow_open(const struct flow *f) {
        return under_way(f) == 0 || under_way(f) + flow_piece(f) <= f->window;
}

uint64_t flow_wait_usec(const struct flow *f) {
        uint64_t over = under_way(f) + flow_piece(f), wait;

        if (f->rate == 0 || over <= f->window)
                return LOOK_MIN_USEC;
        wait = (over - f->window) * USEC_PER_SEC / f->rate;
        if (wait < LOOK_MIN_USEC)
                return LOOK_MIN_USEC;
        return wait < LOOK_MAX_USEC ? wait : LOOK_MAX_USEC;
}
