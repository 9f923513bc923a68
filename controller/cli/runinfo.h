/*
 * RUN and TARGET of controller/api.h as structs: what the verbs read of the controller's documents.
 *
 * Strings belong to the document; absent ones are NULL, absent numbers 0 (or as told below). Unknown members
 * are passed over, so that a newer controller can be asked.
 */
#pragma once

#include "controller/cli/table.h"
#include "proto/json.h"

#include <stdbool.h>
#include <stdint.h>

struct runinfo {
        const char *run;
        const char *batch;
        const char *target;
        const char *title;
        const char *state;
        const char *verdict;
        const char *cause;
        const char *refusal;
        const char *by;
        const char *note;
        uint64_t step;
        uint64_t of;
        uint64_t submitted_usec;
        uint64_t started_usec;
        uint64_t ended_usec;
        bool has_exit;
        int64_t exit;
};

/* Returns 0 or JSON_BAD (json_error()). */
int runinfo_read(const struct json_at *at, struct runinfo *ret);
bool runinfo_ended(const struct runinfo *r);
/* "passed", or the state while there is no verdict. */
const char *runinfo_outcome(const struct runinfo *r);
enum table_tone runinfo_tone(const struct runinfo *r);
/* The cause, or why it waits. "" when there is nothing to say. */
const char *runinfo_why(const struct runinfo *r);

struct runinfo_stream {
        const char *name;
        uint64_t next;
        bool has_size;
        uint64_t size;
};

int runinfo_read_stream(const struct json_at *at, struct runinfo_stream *ret);
/* Where an output stands among those of its run: "N.out", then "N.2.out" of the step's second attempt. 0 for other
 * streams. */
unsigned runinfo_order(const char *stream);

struct targetinfo {
        const char *name;
        const char *jid;
        const char *state;
        const char *location;
        const char *title;
        const char *boot;
        const char *version;
        uint64_t since_usec;
        uint64_t last_answer_usec;
        uint64_t queue;
        uint64_t pending_runs;
        bool online;
};

int targetinfo_read(const struct json_at *at, struct targetinfo *ret);
enum table_tone targetinfo_tone(const char *state);
