/*
 * The verdict on a step: what the exit of its program means.
 *
 * A program that ended by itself is judged by its exit status (a diagnostic's own lists, else 0 is passed);
 * one that was ended for its time, its silence or its disk budget failed; one that could not be run is not-run with the
 * cause. A failing test and a failing infrastructure are never the same word. Pure.
 */
#pragma once

#include "proto/base/buf.h"
#include "proto/events.h"

struct judge_step {
        const int *passed; /* exit statuses; none listed: 0 */
        size_t n_passed;
        const int *not_run;
        size_t n_not_run;
        uint64_t timeout_usec;
        uint64_t silence_usec;
};

struct judge_exit {
        int exit_status; /* -1 when there is none */
        int signal;
        const char *cause; /* of target/step/step.h; NULL: by itself */
        const char *text;
};

/* Which limit of the step ended it: "time", "silence", "disk"; NULL: none did. For machines. */
const char *judge_limit(const char *cause);
/* @ret_cause gets a sentence, empty when passed. Returns 0 or -ENOMEM. */
int judge_step(const struct judge_step *s, const struct judge_exit *e, enum verdict *ret,
               struct buf *ret_cause);
