/*
 * One run that is followed: what was last heard of it, its streams, and what is to be read next.
 *
 * A note (why it waits) is worth a line only when it has stood for a moment: most waits are shorter.
 * It reads no bytes and says nothing; follow.h does.
 */
#pragma once

#include "controller/cli/runinfo.h"
#include "controller/cli/tail.h"

#include <stdbool.h>
#include <stdint.h>

#define FOLLOWED_NOTE_USEC UINT64_C(300000)

struct followed {
        char *run;
        char *json;           /* as last heard */
        struct json_doc *doc; /* of it */
        struct runinfo info;  /* points into it */
        const char *stream;   /* the only one wanted; NULL: those of the steps */
        struct tail *tails;   /* in the order of steps */
        size_t n_tails;
        char *note;         /* waits to be said */
        uint64_t note_usec; /* when; USEC_NEVER */
        char *note_said;
        unsigned shorts; /* in a row */
        bool finished;
        int source;
};

enum {
        FOLLOWED_BAD = 1, /* not a RUN; *ret_why says what is wrong */
};

void followed_init(struct followed *r, const char *stream);
void followed_done(struct followed *r);
/* Takes a RUN. Returns 0, FOLLOWED_BAD or -ENOMEM. */
int followed_heard(struct followed *r, const char *json, uint64_t now_usec, struct buf *ret_why);
/* Returns 0 or -ENOMEM. */
int followed_grew(struct followed *r, const char *stream, uint64_t next);
/* What is there already is passed over. */
void followed_skip(struct followed *r);
/* Descriptors of a controller that has gone. */
void followed_close(struct followed *r);
bool followed_ended(const struct followed *r);
/* The stream whose turn it is: steps are printed in their order. NULL when there is none. */
struct tail *followed_turn(struct followed *r);
/* The note that is due: to be said now, once. NULL when there is none. */
const char *followed_note(struct followed *r, uint64_t now_usec);
