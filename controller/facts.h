/*
 * Facts as JSON, in the shapes of controller/api.h: what --json prints.
 */
#pragma once

#include "controller/core/fleet.h"
#include "controller/core/jobs.h"
#include "proto/catalogue.h"
#include "proto/json.h"

struct facts_now {
        bool online; /* this controller */
        const struct fleet *fleet;
        uint64_t realtime_usec;
        uint64_t monotonic_usec;
};

void facts_target(struct json_writer *w, const struct target *t, struct facts_now now,
                  size_t pending_runs);
/* @t may be NULL. The object is left open when @open, for more members. */
void facts_run(struct json_writer *w, const struct run *r, const struct target *t,
               struct facts_now now, bool open);
/* "steps":[…] from the lines of a journal. Returns 0 or -ENOMEM. */
int facts_steps(struct json_writer *w, const char *events, size_t len);
void facts_diagnostic(struct json_writer *w, const struct catalogue_entry *e);
