/*
 * Flow: how many bytes of bulk may be on their way at once, so that what is urgent does not wait behind them.
 *
 * A mark is put on what is sent. When it has landed, the time it took and what landed meanwhile give the rate of the
 * path; the window is that rate times (the shortest such time + a slack). So the path stays full, and what is sent
 * now waits for no longer than the slack. The window grows by half of what has landed and shrinks to its
 * half, at most, at each mark: what a path lets through for free in a burst misleads it by no more than that.
 *
 * Pure: counts and times are arguments. Which bytes are counted, and how it is known that they landed, is the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FLOW_FLOOR UINT64_C(3072)
#define FLOW_START UINT64_C(4096)
#define FLOW_CEILING (UINT64_C(2) << 20)

struct flow {
        uint64_t slack_usec;
        uint64_t window;
        uint64_t base_usec; /* the shortest time to land */
        uint64_t rate;      /* bytes a second, by the last mark; 0: not known */
        uint64_t sent;      /* since the beginning, as the two below */
        uint64_t landed;
        uint64_t lost;
        uint64_t busy_usec; /* when something was under way last */
        bool marked;
        bool filled;          /* since the mark the window was in the way */
        uint64_t peak;        /* of what was under way since the mark */
        uint64_t mark_usec;   /* when it was put, */
        uint64_t mark_sent;   /* behind which byte, */
        uint64_t mark_landed; /* and what had landed then */
};

void flow_init(struct flow *f, uint64_t slack_usec);
/*
 * What the path has done since flow_init(). @lost will not land, or nobody will know. Call it right after something was
 * sent, and as soon as something has landed.
 */
void flow_counted(struct flow *f, uint64_t sent, uint64_t landed, uint64_t lost, uint64_t now_usec);

/* What to send at a time: small enough that several fit into the window. */
uint64_t flow_piece(const struct flow *f);
/* May one more piece be sent? */
bool flow_open(const struct flow *f);
/* When it is not open and nobody tells what landed: in how long it is worth another look. */
uint64_t flow_wait_usec(const struct flow *f);
