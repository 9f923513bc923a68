/* proto/base/clock.h on the virtual time of a machine. */
#include "proto/base/clock.h"

#include "tests/sim/calls.h"

uint64_t clock_monotonic_usec(void) {
        return sim_clock_usec(SIM_UPTIME);
}

uint64_t clock_boottime_usec(void) {
        return sim_clock_usec(SIM_UPTIME);
}

uint64_t clock_realtime_usec(void) {
        return sim_clock_usec(SIM_REALTIME);
}
