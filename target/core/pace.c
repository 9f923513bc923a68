#include "target/core/pace.h"

#include "proto/base/clock.h"

uint64_t pace_ready_usec(const struct pace *p) {
        uint64_t oldest = p->sent_usec[p->next];
        return oldest == 0 ? 0 : oldest + USEC_PER_SEC;
}

bool pace_take(struct pace *p, uint64_t now_usec) {
        if (now_usec < pace_ready_usec(p))
                return false;
        p->sent_usec[p->next] = now_usec;
        p->next = (p->next + 1) % PACE_BURST;
        return true;
}
