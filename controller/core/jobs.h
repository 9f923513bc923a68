/*
 * Runs that are not over: what was asked for, what the target has said about it, and what to send next.
 *
 *   pending -> sent -> queued -> running -> ended      (ended -> done: all bytes are here, and verified)
 *
 * A run is submitted again whenever its target appears with a new session and has not accepted it; the same holds for a
 * wish to cancel until the run has ended. Its state is the fold of its events; an event that ends a step counts only
 * when all streams that it names have arrived and been verified, so that nobody sees an end before the output.
 * What ends here without the target's word (refused, expired, cancelled before it was sent) is `local`, and
 * is undone when the target turns out to know the run.
 *
 * Pure: no clock, no socket, no disk. Runs live in lanes, one for each target, in the order of submission.
 */
#pragma once

#include "controller/core/fleet.h"
#include "proto/base/id.h"
#include "proto/base/list.h"
#include "proto/events.h"
#include "proto/stream_receiver.h"

#define JOBS_MAX 100000                           /* live runs */
#define JOBS_LANE_MAX 10000                       /* of one target */
#define JOBS_STREAMS_MAX 1024                     /* of one run */
#define JOBS_RESEND_USEC (UINT64_C(30) * 1000000) /* not accepted for so long in one session */
#define JOBS_SIZE_UNKNOWN UINT64_MAX
#define JOBS_EVENTS "events" /* the stream that is the journal */

struct run_stream {
        char name[ID_MAX + 1];
        uint64_t next;      /* durable here */
        struct receiver in; /* written here */
        uint64_t size; /* as the end of its step says, or JOBS_SIZE_UNKNOWN; below `next` when a
                               power cut took bytes from the target that are durable here */
        char sha256[SHA256_HEX_SIZE];
        bool verified;
        unsigned mismatches; /* of the SHA-256 */
        bool waits;          /* a gap or a full disk: asked again, and `in.next` has not come yet */
        bool again;          /* ask again with the next acknowledgement */
        bool fresh;          /* received since the last acknowledgement */
        bool cut;            /* a write or sync failed: bring the file back to `next` */
        uint64_t shown;      /* how much whoever watches was told of */
        bool dirty;          /* differs from what is stored */
};

struct run {
        struct list link; /* in its lane */
        struct lane *lane;
        char id[ID_MAX + 1];
        char batch[ID_MAX + 1]; /* "" for a run found on a target */
        char *target;           /* bare JID */
        char *title;
        char *plan; /* JSON; NULL for a run found on a target */
        char *by;
        char *owner; /* another account, whose run is followed; NULL: ours */
        uint64_t ttl_usec;
        bool if_idle;
        bool heal;               /* starts in quarantine too, and ends it */
        uint64_t lease;          /* the token under which it was submitted; 0: none */
        uint64_t submitted_usec; /* realtime */
        unsigned steps;

        struct run_fold fold;
        char *cause;
        char *refusal;   /* why it never ran, in a word: busy, not-allowed, expired, …; NULL */
        uint64_t folded; /* offset in the events */
        bool sent;       /* at least once, to whomever */
        char sent_sid[ID_MAX + 1];
        uint64_t sent_usec; /* monotonic, in this session */
        char *cancel_by;    /* NULL: nobody wants that */
        char cancel_sid[ID_MAX + 1];
        bool local; /* ended here */
        bool done;
        char *problem; /* what is wrong with its output */

        struct run_stream **streams;
        size_t n_streams;
        bool dirty;
        bool changed; /* since it was last shown */
        int told;     /* the target's state, when whoever watches last heard of a run that is on */
        bool touched; /* in the user's list of runs to look at */
        bool more;    /* a hash of it is not finished */
};

struct lane {
        char *target;
        struct list runs;
        size_t n_runs;
        uint64_t due_usec; /* monotonic: when to look at it; 0 now, USEC_NEVER */
};

struct jobs {
        struct lane **lanes; /* by target */
        size_t n_lanes, cap_lanes;
        struct run **runs; /* by id */
        size_t n_runs, cap_runs;
};

enum {
        JOBS_FULL = 1,   /* beyond a limit */
        JOBS_EXISTS = 2, /* the id is taken */
        RUN_WAITS = 3, /* run_event(): not yet; offer the event again when a stream was verified */
};

void jobs_init(struct jobs *j);
void jobs_done(struct jobs *j);
DEFINE_CLEANUP_DONE(struct jobs, jobs_done)

/* An order for one target. Returns 0, JOBS_FULL, JOBS_EXISTS or -ENOMEM. */
int jobs_add(struct jobs *j, const char *id, const char *target, struct run **ret);
struct run *jobs_find(const struct jobs *j, const char *id);
/* NULL when it has no runs. */
struct lane *jobs_lane(const struct jobs *j, const char *target);
/* Leaves the live runs; frees it. */
void jobs_remove(struct jobs *j, struct run *r);
/* The earliest due time of all lanes. */
uint64_t jobs_due(const struct jobs *j);

/* A run on its own, for showing what is stored. */
int run_new(const char *id, const char *target, struct run **ret);
struct run *run_free(struct run *r);
DEFINE_CLEANUP_FREE(struct run, run_free)
/* Replaces a text of a run (@text NULL: none). Returns 0 or -ENOMEM. */
int run_set(char **at, const char *text);

struct run_stream *run_stream_find(const struct run *r, const char *name);
/* Finds or makes. Returns 0, JOBS_FULL or -ENOMEM. */
int run_stream_add(struct run *r, const char *name, struct run_stream **ret);
/* Everything that its step says is durable here and was compared; there may be more. */
bool run_stream_complete(const struct run_stream *s);

/* The next event of its journal. Returns 0, RUN_WAITS, JOBS_FULL or -ENOMEM. */
int run_event(struct run *r, const struct event *e);
/* It will not run: ends it here. @refusal is a word or NULL, @why a sentence. */
int run_refused(struct run *r, enum verdict verdict, const char *refusal, const char *why,
                uint64_t realtime_usec);
/* Somebody wants it cancelled. A run that was never sent ends here. Returns 0 or -ENOMEM. */
int run_cancelled(struct run *r, const char *by, uint64_t realtime_usec);
/* Its time to live is over and the target never had it. Returns true when it ended by that. */
bool run_expired(struct run *r, uint64_t realtime_usec);
/* Does its time to live still count? Not from the first byte of its journal on: the target took it. */
bool run_may_expire(const struct run *r);
/* It ended here, but the target knows it. */
void run_revive(struct run *r);

enum run_want {
        RUN_WANT_NOTHING,
        RUN_WANT_SUBMIT,
        RUN_WANT_CANCEL,
};

/* What to send to the target's session @sid now. *ret_at: when to ask again. */
enum run_want run_want(const struct run *r, const char *sid, uint64_t now_usec, uint64_t *ret_at);
void run_submitted(struct run *r, const char *sid, uint64_t now_usec);
void run_cancel_sent(struct run *r, const char *sid, uint64_t now_usec);
/* Seconds to live that are left, for the wire; 0: for ever. */
uint64_t run_ttl_left(const struct run *r, uint64_t realtime_usec);

bool run_ended(const struct run *r);
const char *run_shown_state(const struct run *r);
/* Why it waits, or what is wrong: a sentence, or nothing. @t may be NULL. */
int run_note(const struct run *r, const struct target *t, bool we_are_online,
             uint64_t realtime_usec, struct buf *out);
