/*
 * Time in microseconds. Monotonic unless the name says realtime; boottime counts through suspend.
 */
#pragma once

#include <stdint.h>

#define USEC_PER_MSEC UINT64_C(1000)
#define USEC_PER_SEC UINT64_C(1000000)
#define USEC_PER_MINUTE (60 * USEC_PER_SEC)
#define USEC_PER_HOUR (60 * USEC_PER_MINUTE)
#define USEC_NEVER UINT64_MAX

uint64_t clock_monotonic_usec(void);
uint64_t clock_boottime_usec(void);
uint64_t clock_realtime_usec(void);
