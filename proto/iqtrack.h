/*
 * Requests (IQs) under way: which answer belongs to which question, and until when to wait.
 *
 * An answer counts only from the full JID that was asked (RFC 6120 section 8.1.2.1); ids are
 * random. Every request ends exactly once: answered, refused, timed out or lost with the connection. Pure: time is an
 * argument.
 */
#pragma once

#include "proto/base/cleanup.h"
#include "proto/base/id.h"
#include "proto/xml.h"

#include <stdint.h>

enum iq_end {
        IQ_RESULT,
        IQ_ERROR,   /* a stanza error came back */
        IQ_TIMEOUT, /* no answer by the deadline */
        IQ_LOST,    /* our connection ended first */
};

struct iq_answer {
        enum iq_end end;
        const char *from;
        const struct xml *stanza; /* the whole <iq/>; NULL for timeout and lost. Borrowed. */
        uint64_t rtt_usec;
};

typedef void iq_done(void *userdata, const struct iq_answer *answer);

struct iqtrack;

int iqtrack_new(struct iqtrack **ret);
/* Requests still under way end without their callback: their owners are gone. */
struct iqtrack *iqtrack_free(struct iqtrack *t);
DEFINE_CLEANUP_FREE(struct iqtrack, iqtrack_free)
/* Returns 0 or -errno; ret_id goes into the stanza. */
int iqtrack_ask(struct iqtrack *t, const char *to, uint64_t now_usec, uint64_t deadline_usec,
                iq_done *done, void *userdata, char ret_id[static ID_SIZE]);

enum {
        IQTRACK_UNKNOWN = 1, /* nobody asked, or it came too late or from someone else: ignore it */
};

/* An <iq type='result'|'error'/> arrived. Calls the callback. Returns 0 or IQTRACK_UNKNOWN. */
int iqtrack_answered(struct iqtrack *t, uint64_t now_usec, const struct xml *stanza);
/* USEC_NEVER when nothing is under way. */
uint64_t iqtrack_deadline(const struct iqtrack *t);
void iqtrack_expired(struct iqtrack *t, uint64_t now_usec);
/* The connection ended: every request ends as IQ_LOST. */
void iqtrack_lost(struct iqtrack *t);
/* Requests of this owner end without callback. */
void iqtrack_forget(struct iqtrack *t, const void *userdata);
