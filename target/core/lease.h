/*
 * The lease of a target: who has it for himself, until when, and under which token.
 *
 * There is one or none. Each new lease gets the next token; a command that carries a token is good only while that is
 * the lease in force. A lease ends by itself: on the clock that counts through suspend while the machine is up, and after
 * a reboot when the calendar says so, but never later than its whole length after that boot, whatever the calendar did.
 *
 * Pure: times are arguments, nothing is written. A change is decided as a new record; the caller makes it durable and
 * then says lease_set().
 *
 *          acquire                      release, the end of its time
 *   none ----------> in force (token n) ------------------------------> none
 *                      |    ^  extend
 *                      |    +--------
 *                      +-- take ----> in force for another (token n+1)
 */
#pragma once

#include "proto/base/id.h"
#include "proto/jid.h"

#include <stdbool.h>
#include <stdint.h>

#define LEASE_WORDS_SIZE 256

/* What is durable. Without an id nobody has it, and `token` is the last that was given. */
struct lease_record {
        uint64_t token;
        uint64_t change; /* grows with every change of the record */
        char id[ID_MAX + 1];
        char holder[JID_SIZE];
        char by[LEASE_WORDS_SIZE];
        char reason[LEASE_WORDS_SIZE];
        uint64_t since_usec; /* realtime */
        uint64_t until_usec; /* realtime */
        uint64_t length_usec;
};

struct lease {
        struct lease_record record;
        uint64_t
                until_usec; /* of the clock that counts through suspend; USEC_NEVER: none in force */
};

struct lease_ask {
        const char *id;
        const char *holder; /* bare JID */
        const char *by;     /* may be NULL */
        const char *reason; /* may be NULL */
        uint64_t length_usec;
};

struct lease_times {
        uint64_t now_usec; /* counts through suspend */
        uint64_t realtime_usec;
};

enum {
        LEASE_SAME = 1,  /* this very lease is in force already: nothing changes */
        LEASE_HELD = 2,  /* by somebody else */
        LEASE_STALE = 3, /* that lease is not in force */
        LEASE_OTHER = 4, /* it is in force, and another account holds it */
};

/* Before anything was restored: nobody has had it. */
void lease_init(struct lease *l);
/* What was durable, read in the boot that has just begun (@same_boot: a restart of this program only; then
 * @until_usec is of the same clock as `now`). */
void lease_restore(struct lease *l, const struct lease_record *record, bool same_boot,
                   uint64_t until_usec, struct lease_times at);

/* Each decides what the record would become. 0, or an outcome; then *ret is not written. */
int lease_acquire(const struct lease *l, const struct lease_ask *ask, bool take,
                  struct lease_times at, struct lease_record *ret);
int lease_extend(const struct lease *l, const char *id, const char *holder, uint64_t token,
                 uint64_t length_usec, struct lease_times at, struct lease_record *ret);
int lease_release(const struct lease *l, const char *id, const char *holder,
                  struct lease_record *ret);
/* Its time is over: true, and what is left of the record. */
bool lease_over(const struct lease *l, uint64_t now_usec, struct lease_record *ret);
/* The record is durable, and in force from now on. */
void lease_set(struct lease *l, const struct lease_record *record, uint64_t now_usec);

bool lease_in_force(const struct lease *l);
/* May somebody who shows @token (0: none) use the machine? */
bool lease_admits(const struct lease *l, uint64_t token);
/* How long it goes on; 0: nobody has it. */
uint64_t lease_left(const struct lease *l, uint64_t now_usec);
/* USEC_NEVER when nobody has it. */
uint64_t lease_deadline(const struct lease *l);
