/*
 * One reboot that somebody waits for: challenge, order, gone, back under another boot id.
 *
 * The proof is the boot id, never a presence that comes and goes. An order whose answer is lost is not repeated: it may
 * have been carried out; waiting for the boot id tells. Pure: facts go in, the state says what
 * to do next, and when it has ended `result` holds what to say.
 */
#pragma once

#include "proto/base/buf.h"

#include <stdbool.h>
#include <stdint.h>

#define REBOOT_ANSWER_USEC (UINT64_C(5) * 1000000)    /* for each of the two questions */
#define REBOOT_TIMEOUT_USEC (UINT64_C(900) * 1000000) /* when nobody gave another */

enum reboot_mode {
        REBOOT_GRACEFUL, /* the order of enum power_mode */
        REBOOT_FORCE,
        REBOOT_DRAIN,
};

enum reboot_state {
        REBOOT_ASKING,   /* for the challenge */
        REBOOT_ORDERING, /* the order is to be sent, or was */
        REBOOT_WAITING,  /* for another boot id */
        REBOOT_ENDED,
};

/* The numbers are exit statuses of `rota`. */
enum reboot_exit {
        REBOOT_OK = 0,
        REBOOT_INFRA = 3,
        REBOOT_DENIED = 4,
        REBOOT_BUSY = 6,
        REBOOT_TIMEOUT = 7,
};

struct reboot {
        enum reboot_state state;
        enum reboot_mode mode;
        bool wait;
        uint64_t started_usec;
        uint64_t deadline_usec; /* of the whole */
        char name[128];         /* of the target, for sentences */
        char nonce[129];
        char boot_before[65];
        char boot_after[65];
        bool simulated;
        bool draining;
        bool went;          /* seen gone */
        uint64_t went_usec; /* after so long */
        bool overdue;       /* said so */
        enum reboot_exit exit;
        uint64_t took_usec;
        struct buf error; /* a sentence; empty when all is well */
};

/* @timeout_usec 0: REBOOT_TIMEOUT_USEC. */
void reboot_init(struct reboot *r, const char *name, enum reboot_mode mode, bool wait,
                 uint64_t timeout_usec, uint64_t now_usec);
void reboot_done(struct reboot *r);

struct reboot_challenge {
        const char *nonce;
        const char *boot;
        bool busy;
        const char *run;
        const char *owner;
        bool simulated;
};

/* It is not there: ends. @sentence says since when. */
void reboot_absent(struct reboot *r, const char *sentence);
void reboot_challenged(struct reboot *r, const struct reboot_challenge *c);
/* The order was accepted. */
void reboot_agreed(struct reboot *r, bool simulated, bool draining, uint64_t now_usec);
/* Either question was refused. @run and @owner may be NULL. */
void reboot_busy(struct reboot *r, const char *run, const char *owner);
/* Somebody else has reserved it; @text says who. */
void reboot_leased(struct reboot *r, const char *text);
void reboot_denied(struct reboot *r, const char *text);
void reboot_failed(struct reboot *r, const char *text);
/* No answer in time, or our own connection ended. */
void reboot_unanswered(struct reboot *r, bool lost);
/* Presence. Return true when that is news to whoever watches. */
bool reboot_announced(struct reboot *r, const char *boot, uint64_t now_usec);
bool reboot_gone(struct reboot *r, uint64_t now_usec);
/* The whole took too long. @sentence: how the target is now. */
void reboot_expired(struct reboot *r, const char *sentence, uint64_t now_usec);
