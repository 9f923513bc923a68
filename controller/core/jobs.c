#include "controller/core/jobs.h"
#include "controller/core/why.h"

#include "proto/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int run_set(char **at, const char *text) {
        char *copy = NULL;

        if (text) {
                copy = strdup(text);
                if (!copy)
                        return -ENOMEM;
        }
        free(*at);
        *at = copy;
        return 0;
}

int run_new(const char *id, const char *target, struct run **ret) {
        CLEANUP(run_free) struct run *r = calloc(1, sizeof(*r));

        if (!r)
                return -ENOMEM;
        list_init(&r->link);
        snprintf(r->id, sizeof(r->id), "%s", id);
        r->fold.exit_status = -1;
        r->target = strdup(target);
        if (!r->target)
                return -ENOMEM;
        *ret = TAKE(r);
        return 0;
}

struct run *run_free(struct run *r) {
        if (!r)
                return NULL;
        for (size_t i = 0; i < r->n_streams; i++)
                free(r->streams[i]);
        free(r->streams);
        free(r->target);
        free(r->title);
        free(r->plan);
        free(r->by);
        free(r->owner);
        free(r->cause);
        free(r->refusal);
        free(r->cancel_by);
        free(r->problem);
        free(r);
        return NULL;
}

static struct lane *lane_free(struct lane *l) {
        if (l)
                free(l->target);
        free(l);
        return NULL;
}
DEFINE_CLEANUP_FREE(struct lane, lane_free)

void jobs_init(struct jobs *j) {
        *j = (struct jobs){0};
}

void jobs_done(struct jobs *j) {
        for (size_t i = 0; i < j->n_runs; i++)
                run_free(j->runs[i]);
        for (size_t i = 0; i < j->n_lanes; i++)
                lane_free(j->lanes[i]);
        free(j->runs);
        free(j->lanes);
        *j = (struct jobs){0};
}

/* Room for one more in an array of pointers. */
static int grow(void *array, size_t n, size_t *cap) {
        void **at = *(void ***)array, **grown;
        size_t more = *cap ? *cap * 2 : 16;

        if (n < *cap)
                return 0;
        grown = realloc(at, more * sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        *(void ***)array = grown;
        *cap = more;
        return 0;
}

static size_t run_slot(const struct jobs *j, const char *id, bool *ret_there) {
        size_t lo = 0, hi = j->n_runs;

        *ret_there = false;
        while (lo < hi) {
                size_t mid = lo + (hi - lo) / 2;
                int r = strcmp(j->runs[mid]->id, id);

                if (r == 0) {
                        *ret_there = true;
                        return mid;
                }
                if (r < 0)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo;
}

static size_t lane_slot(const struct jobs *j, const char *target, bool *ret_there) {
        size_t lo = 0, hi = j->n_lanes;

        *ret_there = false;
        while (lo < hi) {
                size_t mid = lo + (hi - lo) / 2;
                int r = strcmp(j->lanes[mid]->target, target);

                if (r == 0) {
                        *ret_there = true;
                        return mid;
                }
                if (r < 0)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo;
}

struct run *jobs_find(const struct jobs *j, const char *id) {
        bool there;
        size_t i = run_slot(j, id, &there);

        return there ? j->runs[i] : NULL;
}

struct lane *jobs_lane(const struct jobs *j, const char *target) {
        bool there;
        size_t i = lane_slot(j, target, &there);

        return there ? j->lanes[i] : NULL;
}

static int lane_add(struct jobs *j, const char *target, struct lane **ret) {
        CLEANUP(lane_free) struct lane *l = NULL;
        bool there;
        size_t at = lane_slot(j, target, &there);
        int r;

        if (there) {
                *ret = j->lanes[at];
                return 0;
        }
        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        list_init(&l->runs);
        l->due_usec = USEC_NEVER;
        l->target = strdup(target);
        if (!l->target)
                return -ENOMEM;
        r = grow(&j->lanes, j->n_lanes, &j->cap_lanes);
        if (r < 0)
                return r;
        memmove(j->lanes + at + 1, j->lanes + at, (j->n_lanes - at) * sizeof(struct lane *));
        j->n_lanes++;
        *ret = j->lanes[at] = TAKE(l);
        return 0;
}

int jobs_add(struct jobs *j, const char *id, const char *target, struct run **ret) {
        CLEANUP(run_free) struct run *run = NULL;
        struct lane *lane;
        bool there;
        size_t at = run_slot(j, id, &there);
        int r;

        if (there)
                return JOBS_EXISTS;
        if (j->n_runs >= JOBS_MAX)
                return JOBS_FULL;
        r = run_new(id, target, &run);
        if (r < 0)
                return r;
        r = lane_add(j, target, &lane);
        if (r < 0)
                return r;
        if (lane->n_runs >= JOBS_LANE_MAX)
                return JOBS_FULL;
        r = grow(&j->runs, j->n_runs, &j->cap_runs);
        if (r < 0)
                return r;
        memmove(j->runs + at + 1, j->runs + at, (j->n_runs - at) * sizeof(struct run *));
        j->n_runs++;
        run->lane = lane;
        list_append(&lane->runs, &run->link);
        lane->n_runs++;
        lane->due_usec = 0;
        run->dirty = run->changed = true;
        *ret = j->runs[at] = TAKE(run);
        return 0;
}

void jobs_remove(struct jobs *j, struct run *r) {
        bool there;
        size_t at = run_slot(j, r->id, &there);

        if (there) {
                memmove(j->runs + at, j->runs + at + 1,
                        (j->n_runs - at - 1) * sizeof(struct run *));
                j->n_runs--;
        }
        if (r->lane)
                r->lane->n_runs--;
        list_remove(&r->link);
        run_free(r);
}

uint64_t jobs_due(const struct jobs *j) {
        uint64_t due = USEC_NEVER;

        for (size_t i = 0; i < j->n_lanes; i++)
                if (j->lanes[i]->due_usec < due)
                        due = j->lanes[i]->due_usec;
        return due;
}

/* ---- streams ---- */

struct run_stream *run_stream_find(const struct run *r, const char *name) {
        for (size_t i = 0; i < r->n_streams; i++)
                if (strcmp(r->streams[i]->name, name) == 0)
                        return r->streams[i];
        return NULL;
}

int run_stream_add(struct run *r, const char *name, struct run_stream **ret) {
        struct run_stream *s = run_stream_find(r, name), **grown;

        if (!s) {
                if (r->n_streams >= JOBS_STREAMS_MAX)
                        return JOBS_FULL;
                grown = realloc(r->streams, (r->n_streams + 1) * sizeof(struct run_stream *));
                if (!grown)
                        return -ENOMEM;
                r->streams = grown;
                s = calloc(1, sizeof(*s));
                if (!s)
                        return -ENOMEM;
                snprintf(s->name, sizeof(s->name), "%s", name);
                s->size = JOBS_SIZE_UNKNOWN;
                s->dirty = true;
                r->streams[r->n_streams++] = s;
                r->changed = true;
        }
        *ret = s;
        return 0;
}

bool run_stream_complete(const struct run_stream *s) {
        return s->verified && s->next >= s->size;
}

/* ---- what happened ---- */

/* Learns sizes and hashes from the end of a step; RUN_WAITS until all of it is here. */
static int await_streams(struct run *r, const struct event *e) {
        bool complete = true;

        for (size_t i = 0; i < e->n_streams; i++) {
                const struct event_stream *es = &e->streams[i];
                struct run_stream *s;
                int q;

                if (!es->name || !id_valid(es->name) || strcmp(es->name, JOBS_EVENTS) == 0)
                        continue;
                q = run_stream_add(r, es->name, &s);
                if (q != 0)
                        return q;
                if (s->size != es->size) {
                        s->size = es->size;
                        s->verified = false;
                        s->dirty = r->changed = true;
                }
                snprintf(s->sha256, sizeof(s->sha256), "%s", es->sha256 ? es->sha256 : "");
                if (s->size == 0 && s->next == 0)
                        s->verified = true;
                complete = complete && run_stream_complete(s);
        }
        return complete ? 0 : RUN_WAITS;
}

int run_event(struct run *r, const struct event *e) {
        int q;

        switch (e->kind) {
        case EVENT_ACCEPTED:
                if (!r->by && e->by && run_set(&r->by, e->by) < 0)
                        return -ENOMEM;
                if (!r->submitted_usec)
                        r->submitted_usec = e->realtime_usec;
                break;
        case EVENT_STARTED:
                if (!r->title && e->title && run_set(&r->title, e->title) < 0)
                        return -ENOMEM;
                if (e->of > 0)
                        r->steps = e->of;
                run_set(&r->cause, NULL); /* of a step that is behind; the end will say it again */
                break;
        case EVENT_REBOOTING:
                break;
        case EVENT_STEPPED:
                q = await_streams(r, e);
                if (q != 0)
                        return q;
                if (e->cause && e->verdict != VERDICT_PASSED && run_set(&r->cause, e->cause) < 0)
                        return -ENOMEM;
                break;
        case EVENT_CANCEL:
                break;
        case EVENT_ENDED:
                if (run_set(&r->cause, e->cause) < 0)
                        return -ENOMEM;
                break;
        }
        run_fold_event(&r->fold, e);
        if (e->kind == EVENT_ENDED)
                r->done = true;
        r->dirty = r->changed = true;
        return 0;
}

static int end_here(struct run *r, enum verdict verdict, const char *refusal, const char *why,
                    uint64_t realtime_usec) {
        if (run_set(&r->cause, why) < 0 || run_set(&r->refusal, refusal) < 0)
                return -ENOMEM;
        r->fold.state = RUN_ENDED;
        r->fold.verdict = verdict;
        r->fold.ended_usec = realtime_usec;
        r->local = r->done = true;
        r->dirty = r->changed = true;
        return 0;
}

int run_refused(struct run *r, enum verdict verdict, const char *refusal, const char *why,
                uint64_t realtime_usec) {
        return run_ended(r) ? 0 : end_here(r, verdict, refusal, why, realtime_usec);
}

int run_cancelled(struct run *r, const char *by, uint64_t realtime_usec) {
        if (run_ended(r) || r->cancel_by)
                return 0;
        if (run_set(&r->cancel_by, by) < 0)
                return -ENOMEM;
        r->dirty = r->changed = true;
        if (r->lane)
                r->lane->due_usec = 0;
        if (!r->sent && r->fold.state == RUN_UNKNOWN)
                return end_here(r, VERDICT_CANCELLED, NULL, "cancelled before it was sent",
                                realtime_usec);
        return 0;
}

bool run_may_expire(const struct run *r) {
        return r->ttl_usec > 0 && r->fold.state == RUN_UNKNOWN && !run_stream_find(r, JOBS_EVENTS);
}

bool run_expired(struct run *r, uint64_t realtime_usec) {
        if (!run_may_expire(r) || realtime_usec < r->submitted_usec + r->ttl_usec)
                return false;
        if (end_here(r, VERDICT_NOT_RUN, "expired",
                     "its time to live ended before the target took it", realtime_usec) < 0)
                return false;
        /* a copy in a server's queue may still arrive there: then it is to be cancelled */
        return r->cancel_by || run_set(&r->cancel_by, "time to live") == 0;
}

void run_revive(struct run *r) {
        if (!r->local)
                return;
        r->local = r->done = false;
        r->fold = (struct run_fold){.exit_status = -1};
        r->folded = 0;
        run_set(&r->cause, NULL);
        run_set(&r->refusal, NULL);
        r->sent = true;
        r->cancel_sid[0] = '\0';
        r->dirty = r->changed = true;
        if (r->lane)
                r->lane->due_usec = 0;
}

/* ---- what to send ---- */

static bool retry(const char *sent_sid, uint64_t sent_usec, const char *sid, uint64_t now_usec,
                  uint64_t *ret_at) {
        if (strcmp(sent_sid, sid) != 0 || now_usec >= sent_usec + JOBS_RESEND_USEC)
                return true;
        *ret_at = sent_usec + JOBS_RESEND_USEC;
        return false;
}

enum run_want run_want(const struct run *r, const char *sid, uint64_t now_usec, uint64_t *ret_at) {
        *ret_at = USEC_NEVER;
        if (run_ended(r))
                return RUN_WANT_NOTHING;
        if (r->cancel_by && r->sent)
                return retry(r->cancel_sid, r->sent_usec, sid, now_usec, ret_at) ? RUN_WANT_CANCEL
                                                                                 : RUN_WANT_NOTHING;
        if (r->fold.state == RUN_UNKNOWN && r->plan)
                return retry(r->sent_sid, r->sent_usec, sid, now_usec, ret_at) ? RUN_WANT_SUBMIT
                                                                               : RUN_WANT_NOTHING;
        return RUN_WANT_NOTHING;
}

void run_submitted(struct run *r, const char *sid, uint64_t now_usec) {
        if (!r->sent)
                r->dirty = r->changed = true;
        r->sent = true;
        snprintf(r->sent_sid, sizeof(r->sent_sid), "%s", sid);
        r->sent_usec = now_usec;
}

void run_cancel_sent(struct run *r, const char *sid, uint64_t now_usec) {
        snprintf(r->cancel_sid, sizeof(r->cancel_sid), "%s", sid);
        r->sent_usec = now_usec;
}

uint64_t run_ttl_left(const struct run *r, uint64_t realtime_usec) {
        uint64_t end = r->submitted_usec + r->ttl_usec;

        if (r->ttl_usec == 0)
                return 0;
        if (end <= realtime_usec + USEC_PER_SEC)
                return 1;
        return (end - realtime_usec) / USEC_PER_SEC;
}

/* ---- what people see ---- */

bool run_ended(const struct run *r) {
        return r->fold.state == RUN_ENDED;
}

const char *run_shown_state(const struct run *r) {
        switch (r->fold.state) {
        case RUN_UNKNOWN:
                return r->sent ? "sent" : "pending";
        case RUN_QUEUED:
        case RUN_RUNNING:
        case RUN_ENDED:
                return run_state_name(r->fold.state);
        }
        return "pending";
}

/* How many runs of ours the target does first. */
static unsigned ahead_of(const struct run *r, const struct target *t) {
        unsigned ahead = 0;
        bool ours = false;

        if (r->lane)
                list_foreach (at, &r->lane->runs) {
                        const struct run *o = list_entry(at, struct run, link);

                        if (o == r)
                                break;
                        if (run_ended(o))
                                continue;
                        ahead++;
                        ours |= t->facts.run && strcmp(o->id, t->facts.run) == 0;
                }
        if (t->facts.run && !ours && strcmp(t->facts.run, r->id) != 0)
                ahead++;
        return ahead;
}

/* Its machine reboots: because a step says so, or in the midst of one. */
static bool rebooting(const struct run *r, const struct target *t) {
        if (r->fold.state != RUN_RUNNING)
                return false;
        return r->fold.rebooting || (t && t->avail.state == AVAIL_REBOOTING);
}

/* What the target said last is newer than the journal, which waits for the output of the steps before. */
static void note_step(const struct run *r, const struct target *t, const char *what,
                      struct buf *out) {
        bool told = t->facts.run && strcmp(t->facts.run, r->id) == 0 &&
                    t->facts.run_step > r->fold.step;

        buf_printf(out, "%s, step %llu of %u", what,
                   (unsigned long long)(told ? t->facts.run_step : r->fold.step), r->fold.of);
}

int run_note(const struct run *r, const struct target *t, bool we_are_online,
             uint64_t realtime_usec, struct buf *out) {
        const char *wish = r->cancel_by ? "asked to cancel; " : "";
        unsigned ahead;

        if (r->problem)
                return buf_puts(out, r->problem);
        if (run_ended(r) || !t)
                return 0;
        if (!we_are_online) {
                buf_printf(out, "%sthis controller has no connection to its server; ", wish);
                if (r->fold.state == RUN_UNKNOWN && !r->cancel_by)
                        buf_printf(out, "%s gets the run when it is back", t->name);
                else
                        buf_printf(out, "the state on %s is the last one known", t->name);
                return buf_check(out);
        }
        if (!t->avail.present) {
                buf_puts(out, wish);
                if (rebooting(r, t)) {
                        note_step(r, t, "rebooting", out);
                        buf_puts(out, "; ");
                }
                why_sentence(t, realtime_usec, out);
                buf_puts(out, r->cancel_by      ? " and is told when it returns"
                              : rebooting(r, t) ? "; the run goes on when it returns"
                              : r->fold.state == RUN_RUNNING
                                      ? "; the run's state is the last one known"
                                      : "; the run starts when it returns");
                return buf_check(out);
        }
        if (r->cancel_by)
                return buf_printf(out, "%swaiting for the target's word", wish);
        if (rebooting(r, t)) {
                note_step(r, t, "rebooting", out);
                return buf_check(out);
        }
        if (r->fold.state == RUN_RUNNING && r->fold.step_open && r->fold.attempt > 1) {
                note_step(r, t, "a reboot interrupted it", out);
                return buf_printf(out, ", attempt %u", r->fold.attempt);
        }
        if (r->fold.state == RUN_RUNNING)
                return 0;
        ahead = ahead_of(r, t);
        if (t->avail.state == AVAIL_READY && ahead == 0)
                return 0;
        why_sentence(t, realtime_usec, out);
        if (ahead > 0)
                buf_printf(out, "; %u run%s ahead", ahead, ahead == 1 ? "" : "s");
        return buf_check(out);
}
