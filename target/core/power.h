/*
 * Challenges: the proof that a reboot was asked for just now, by this peer, of this boot.
 *
 * A challenge is good for ten seconds, for one full JID, on one connection of ours (sid), under one boot, once.
 * At most POWER_OPEN_MAX are open; a new one pushes out the oldest. A peer has one at a time.
 *
 * Pure: the random bytes and the time (a clock that counts through suspend) are arguments.
 */
#pragma once

#include "proto/base/cleanup.h"

#include <stdint.h>

#define POWER_OPEN_MAX 64
#define POWER_RANDOM_SIZE 32
#define POWER_NONCE_SIZE (2 * POWER_RANDOM_SIZE + 1)

struct power;

int power_new(struct power **ret);
struct power *power_free(struct power *p);
DEFINE_CLEANUP_FREE(struct power, power_free)

/* Opens a challenge; @ret_nonce in hex. Returns 0 or -ENOMEM. */
int power_challenged(struct power *p, const char *peer, const char *sid, const char *boot,
                     uint64_t now_usec, const uint8_t random[static POWER_RANDOM_SIZE],
                     char ret_nonce[static POWER_NONCE_SIZE]);

enum {
        POWER_STALE = 1,      /* used, too old, or never given */
        POWER_OTHER_PEER = 2, /* given to somebody else, or on an earlier connection */
        POWER_OTHER_BOOT = 3, /* it names a boot that is over */
};

/* Uses the challenge up, whatever comes out. @boot is what the request names, @boot_now what runs. */
int power_answered(struct power *p, const char *nonce, const char *peer, const char *sid,
                   const char *boot, const char *boot_now, uint64_t now_usec);
/* Our connection ended: none is good any more. */
void power_forget(struct power *p);
unsigned power_count(const struct power *p);
