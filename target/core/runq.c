#include "target/core/runq.h"

#include "proto/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BUCKETS 1024
#define RETRY_USEC USEC_PER_SEC
#define RETIRE_RETRY_USEC USEC_PER_HOUR

struct runq {
        struct runq_limits limits;
        struct list active; /* not over, in order of acceptance */
        struct list over;
        struct runq_run *buckets[BUCKETS];
        unsigned n_on;
        unsigned n_waiting;
        unsigned n_reboots;   /* runs whose open step is a reboot */
        uint64_t retire_usec; /* earliest of all that are over */
        bool held;
        bool quarantined;
        bool away;
        uint64_t reserved; /* token of the lease in force; 0: none */
        bool frozen;
};

static struct runq_run *run_at(const struct list *l) {
        return list_entry(l, struct runq_run, link);
}

static size_t bucket_of(const char *id) {
        uint32_t h = 2166136261u; /* FNV-1a */
        for (; *id; id++)
                h = (h ^ (uint8_t)*id) * 16777619u;
        return h % BUCKETS;
}

static void result_clear(struct runq_kept_result *r) {
        free(r->cause);
        *r = (struct runq_kept_result){.exit_status = -1};
}

static struct runq_run *run_free(struct runq_run *run) {
        if (!run)
                return NULL;
        result_clear(&run->result);
        free(run->owner);
        free(run->by);
        free(run->name);
        free(run->steps);
        free(run->cancel_by);
        free(run->end_cause);
        free(run);
        return NULL;
}
DEFINE_CLEANUP_FREE(struct runq_run, run_free)

static int text_copy(char **ret, const char *text) {
        if (!text)
                return 0;
        char *copy = strdup(text);
        if (!copy)
                return -ENOMEM;
        free(*ret);
        *ret = copy;
        return 0;
}

int runq_new(struct runq **ret, const struct runq_limits *limits) {
        struct runq *q = calloc(1, sizeof(*q));
        if (!q)
                return -ENOMEM;
        list_init(&q->active);
        list_init(&q->over);
        q->retire_usec = USEC_NEVER;
        runq_set_limits(q, limits);
        *ret = q;
        return 0;
}

struct runq *runq_free(struct runq *q) {
        if (!q)
                return NULL;
        list_foreach_safe (at, &q->active)
                run_free(run_at(at));
        list_foreach_safe (at, &q->over)
                run_free(run_at(at));
        free(q);
        return NULL;
}

void runq_set_limits(struct runq *q, const struct runq_limits *limits) {
        q->limits = *limits;
        if (q->limits.slots == 0)
                q->limits.slots = 1;
}

/* Phases in which a run holds a slot. */
static bool phase_on(enum runq_phase p) {
        return p > RUNQ_WAITING && p < RUNQ_OVER;
}

static bool phase_reboots(enum runq_phase p) {
        return p == RUNQ_DRAINING || p == RUNQ_REBOOTING;
}

static void run_phase(struct runq *q, struct runq_run *run, enum runq_phase phase) {
        q->n_on -= phase_on(run->phase) ? 1u : 0u;
        q->n_reboots -= phase_reboots(run->phase) ? 1u : 0u;
        q->n_waiting -= run->phase == RUNQ_WAITING ? 1u : 0u;
        run->phase = phase;
        run->handed_out = false;
        q->n_on += phase_on(phase) ? 1u : 0u;
        q->n_reboots += phase_reboots(phase) ? 1u : 0u;
        q->n_waiting += phase == RUNQ_WAITING ? 1u : 0u;
}

static const struct runq_step *step_at(const struct runq_run *run) {
        static const struct runq_step plain = {0};

        if (!run->steps || run->step == 0 || run->step > run->n_steps)
                return &plain;
        return &run->steps[run->step - 1];
}

bool runq_at_leave(const struct runq_run *run) {
        return step_at(run)->leaves;
}

bool runq_at_reboot(const struct runq_run *run) {
        return step_at(run)->reboot;
}

struct runq_run *runq_find(const struct runq *q, const char *id) {
        for (struct runq_run *run = q->buckets[bucket_of(id)]; run; run = run->bucket_next)
                if (strcmp(run->id, id) == 0)
                        return run;
        return NULL;
}

/* Does what the target is kept for let a run start that was submitted under @lease, or to heal? */
static bool admitted(const struct runq *q, uint64_t lease, bool heal) {
        bool holder = q->reserved != 0 && lease == q->reserved;

        if (q->away || (q->reserved != 0 && !holder))
                return false;
        return !q->quarantined || heal || holder;
}

static bool run_admitted(const struct runq *q, const struct runq_run *run) {
        return admitted(q, run->lease, run->heal);
}

/* Those that would start, if there were a slot. */
static unsigned count_admitted(const struct runq *q) {
        unsigned n = 0;

        if (q->reserved == 0 && !q->quarantined && !q->away)
                return q->n_waiting;
        list_foreach (at, &q->active)
                n += run_at(at)->phase == RUNQ_WAITING && run_admitted(q, run_at(at));
        return n;
}

int runq_admits(const struct runq *q, const struct runq_new_run *n, bool if_idle) {
        /* what is kept from starting stands in nobody's way, in a queue of its own length */
        bool starts = admitted(q, n->lease, n->heal);
        unsigned before = starts ? count_admitted(q) : q->n_waiting;

        if (runq_find(q, n->id))
                return RUNQ_KNOWN;
        if (if_idle &&
            (q->n_on >= q->limits.slots || before > 0 || q->held || q->frozen || q->n_reboots > 0))
                return RUNQ_BUSY;
        if (before >= q->limits.queue_max || q->n_waiting / 2 >= q->limits.queue_max)
                return RUNQ_FULL;
        return 0;
}

static int run_add(struct runq *q, const struct runq_new_run *n, struct runq_run **ret) {
        CLEANUP(run_free) struct runq_run *run = NULL;

        assert(id_valid(n->id));
        if (runq_find(q, n->id))
                return RUNQ_KNOWN;
        run = calloc(1, sizeof(*run));
        if (!run)
                return -ENOMEM;
        snprintf(run->id, sizeof(run->id), "%s", n->id);
        run->n_steps = n->n_steps;
        run->lease = n->lease;
        run->heal = n->heal;
        run->seq = n->seq;
        run->expires_usec = n->expires_usec;
        run->retire_usec = USEC_NEVER;
        run->within_usec = USEC_NEVER;
        run->fold.exit_status = -1;
        run->result.exit_status = -1;
        if (text_copy(&run->owner, n->owner) < 0 || text_copy(&run->by, n->by) < 0 ||
            text_copy(&run->name, n->name) < 0 || text_copy(&run->end_cause, n->last_cause) < 0)
                return -ENOMEM;
        if (n->steps && n->n_steps > 0) {
                run->steps = calloc(n->n_steps, sizeof(*run->steps));
                if (!run->steps)
                        return -ENOMEM;
                memcpy(run->steps, n->steps, n->n_steps * sizeof(*run->steps));
        }

        size_t b = bucket_of(run->id);
        run->bucket_next = q->buckets[b];
        q->buckets[b] = run;
        list_append(&q->active, &run->link);
        run->phase = RUNQ_WAITING;
        q->n_waiting++;
        *ret = TAKE(run);
        return 0;
}

int runq_accepted(struct runq *q, const struct runq_new_run *n, const struct event *accepted,
                  struct runq_run **ret) {
        struct runq_run *run = NULL;
        int r = run_add(q, n, &run);
        if (r != 0)
                return r;
        run_fold_event(&run->fold, accepted);
        run->asked_usec = accepted->realtime_usec;
        *ret = run;
        return 0;
}

/* All steps are behind, or one that did not pass: what the run comes to. */
static void run_conclude(struct runq *q, struct runq_run *run) {
        enum verdict worst = run->fold.worst;
        run->end_verdict = worst == VERDICT_NONE ? VERDICT_PASSED : worst;
        run_phase(q, run, RUNQ_ENDING);
}

/* What follows a step that was recorded as over. */
static void run_continue(struct runq *q, struct runq_run *run) {
        const struct run_fold *f = &run->fold;
        bool again = f->interrupted == EVENT_INTERRUPT_RETRY;
        bool on = again || f->interrupted == EVENT_INTERRUPT_CONTINUE || f->last == VERDICT_PASSED;
        bool more = again || run->step < run->n_steps;

        if (run->cancel_asked && ((on && more) || f->interrupted != EVENT_WHOLE)) {
                run->end_verdict = VERDICT_CANCELLED;
                run_phase(q, run, RUNQ_ENDING);
                return;
        }
        if (!on || !more) {
                run_conclude(q, run);
                return;
        }
        run->step += again ? 0 : 1;
        run->attempt = again ? run->attempt + 1 : 1;
        run->killed = false;
        run->within_usec = USEC_NEVER;
        run->order_usec = 0;
        run_phase(q, run, RUNQ_STARTING);
}

static void run_over(struct runq *q, struct runq_run *run) {
        run_phase(q, run, RUNQ_OVER);
        list_remove(&run->link);
        list_append(&q->over, &run->link);
        free(run->steps);
        run->steps = NULL;
        free(run->end_cause);
        run->end_cause = NULL;
        free(run->cancel_by);
        run->cancel_by = NULL;
        result_clear(&run->result);
}

/* A reboot is done by the hour of the boot under which it began, however often the caller is started anew. */
static void set_within(struct runq_run *run, uint64_t up_usec) {
        uint64_t within_usec = step_at(run)->within_usec;

        run->within_usec = up_usec < USEC_NEVER - within_usec ? up_usec + within_usec : USEC_NEVER;
}

/* The boot id is the proof, and the only one: no clock of another boot is asked. */
static void restore_reboot(struct runq *q, struct runq_run *run, bool rebooted) {
        if (rebooted) {
                run->result.verdict = VERDICT_PASSED;
                run_phase(q, run, RUNQ_STEPPING);
                return;
        }
        set_within(run, run->fold.started_up_usec);
        if (run->fold.rebooting)
                run->order_usec = run->fold.rebooting_up_usec + q->limits.settle_usec;
        run_phase(q, run, RUNQ_DRAINING);
}

int runq_restored(struct runq *q, const struct runq_new_run *n, const struct run_fold *fold,
                  uint64_t retire_usec, struct runq_run **ret) {
        struct runq_run *run = NULL;
        int r = run_add(q, n, &run);
        if (r != 0)
                return r;
        run->fold = *fold;
        run->asked_usec = fold->accepted_usec;
        run->step = fold->step;
        run->attempt = fold->attempt;
        run->cancel_asked = run->cancel_recorded = fold->cancel_asked;
        switch (fold->state) {
        case RUN_UNKNOWN:
        case RUN_QUEUED:
                break;
        case RUN_RUNNING:
                if (fold->step_open && step_at(run)->reboot)
                        restore_reboot(q, run, n->rebooted);
                else if (fold->step_open)
                        run_phase(q, run, RUNQ_ADOPTING);
                else
                        run_continue(q, run);
                break;
        case RUN_ENDED:
                run_over(q, run);
                run->retire_usec = retire_usec;
                if (retire_usec < q->retire_usec)
                        q->retire_usec = retire_usec;
                break;
        }
        *ret = run;
        return 0;
}

int runq_cancelled(struct runq *q, const char *id, const char *by) {
        struct runq_run *run = runq_find(q, id);
        if (!run)
                return RUNQ_UNKNOWN;
        if (run->phase == RUNQ_OVER || run->phase == RUNQ_ENDING)
                return RUNQ_ENDED;
        if (run->cancel_asked)
                return 0;
        if (text_copy(&run->cancel_by, by) < 0)
                return -ENOMEM;
        run->cancel_asked = true;
        return 0;
}

void runq_recorded(struct runq *q, struct runq_run *run, const struct event *events, size_t n) {
        run->retry_usec = 0;
        for (size_t i = 0; i < n; i++) {
                const struct event *e = &events[i];
                run_fold_event(&run->fold, e);
                switch (e->kind) {
                case EVENT_ACCEPTED:
                        break;
                case EVENT_CANCEL:
                        run->cancel_recorded = true;
                        break;
                case EVENT_STARTED:
                        assert(run->phase == RUNQ_STARTING);
                        if (step_at(run)->reboot)
                                set_within(run, e->up_usec);
                        run_phase(q, run, step_at(run)->reboot ? RUNQ_DRAINING : RUNQ_LAUNCHING);
                        break;
                case EVENT_REBOOTING:
                        assert(run->phase == RUNQ_DRAINING);
                        run_phase(q, run, RUNQ_REBOOTING);
                        break;
                case EVENT_STEPPED:
                        assert(run->phase == RUNQ_STEPPING);
                        run_continue(q, run);
                        break;
                case EVENT_ENDED:
                        assert(run->phase == RUNQ_ENDING);
                        run_over(q, run);
                        break;
                }
        }
}

void runq_record_failed(struct runq *q, struct runq_run *run, uint64_t now_usec) {
        if (run->phase == RUNQ_OVER) {
                run->retire_usec = now_usec + RETIRE_RETRY_USEC;
                if (run->retire_usec < q->retire_usec)
                        q->retire_usec = run->retire_usec;
        } else {
                run->retry_usec = now_usec + RETRY_USEC;
                run->handed_out = false;
                run->killed = false;
        }
}

void runq_spawned(struct runq *q, struct runq_run *run, unsigned step) {
        run->retry_usec = 0;
        if (run->step == step && (run->phase == RUNQ_LAUNCHING || run->phase == RUNQ_ADOPTING))
                run_phase(q, run, RUNQ_ON);
}

void runq_unstarted(struct runq *q, struct runq_run *run, unsigned step) {
        if (run->step == step && run->phase == RUNQ_ADOPTING)
                run_phase(q, run, RUNQ_LAUNCHING);
}

/* The sentence of the run about the step that did not pass. */
static int end_cause_from(struct runq_run *run) {
        const struct runq_kept_result *k = &run->result;
        char *text = NULL;
        int n;

        if (k->verdict == VERDICT_PASSED || k->verdict == VERDICT_CANCELLED ||
            k->interrupted == EVENT_INTERRUPT_RETRY)
                return 0;
        if (k->cause)
                n = asprintf(&text, "step %u: %s", run->step, k->cause);
        else if (k->signal)
                n = asprintf(&text, "step %u was ended by signal %d", run->step, k->signal);
        else
                n = asprintf(&text, "step %u exited with %d", run->step, k->exit_status);
        if (n < 0)
                return -ENOMEM;
        free(run->end_cause);
        run->end_cause = text;
        return 0;
}

/* What follows an interruption, and the sentence about it. */
static int judge_interrupt(struct runq_run *run) {
        struct runq_kept_result *k = &run->result;
        const struct runq_step *s = step_at(run);
        const unsigned n = run->fold.interruptions + 1;
        int r = 0;

        k->verdict = VERDICT_NOT_RUN;
        k->interrupted = EVENT_INTERRUPT_FAIL;
        free(k->cause);
        k->cause = NULL;
        if (n > RUNQ_INTERRUPTIONS_MAX && s->on_interrupt != PLAN_INTERRUPT_FAIL) {
                r = asprintf(&k->cause,
                             "interrupted by a reboot, the %uth in a row without a step that ended "
                             "by itself: the machine is in a boot loop",
                             n);
        } else if (s->on_interrupt == PLAN_INTERRUPT_RETRY && run->attempt > s->retries) {
                r = asprintf(&k->cause, "interrupted by a reboot in attempt %u of %u", run->attempt,
                             s->retries + 1);
        } else {
                if (s->on_interrupt == PLAN_INTERRUPT_RETRY)
                        k->interrupted = EVENT_INTERRUPT_RETRY;
                else if (s->on_interrupt == PLAN_INTERRUPT_CONTINUE)
                        k->interrupted = EVENT_INTERRUPT_CONTINUE;
                r = text_copy(&k->cause, "interrupted by a reboot");
        }
        if (r < 0)
                k->cause = NULL;
        return r < 0 ? -ENOMEM : 0;
}

/* Phases in which a step is open. */
static bool phase_open(enum runq_phase p) {
        return p == RUNQ_ADOPTING || p == RUNQ_LAUNCHING || p == RUNQ_ON || phase_reboots(p);
}

int runq_exited(struct runq *q, struct runq_run *run, unsigned step, const struct runq_result *r) {
        struct runq_kept_result *k = &run->result;

        if (run->step != step || !phase_open(run->phase))
                return 0;
        run->retry_usec = 0;
        result_clear(k);
        if (text_copy(&k->cause, r->cause) < 0)
                return -ENOMEM;
        k->verdict = r->verdict;
        k->limit = r->limit;
        k->exit_status = r->exit_status;
        k->signal = r->signal;
        k->elapsed_usec = r->elapsed_usec;
        if (r->stream) {
                k->has_stream = true;
                snprintf(k->stream_name, sizeof(k->stream_name), "%s", r->stream->name);
                snprintf(k->sha256, sizeof(k->sha256), "%s", r->stream->sha256);
                k->stream.size = r->stream->size;
                k->stream.dropped = r->stream->dropped;
                k->stream.name = k->stream_name;
                k->stream.sha256 = k->sha256;
        }
        if (r->interrupted && judge_interrupt(run) < 0)
                return -ENOMEM;
        if (end_cause_from(run) < 0)
                return -ENOMEM;
        run_phase(q, run, RUNQ_STEPPING);
        return 0;
}

bool runq_delivered(struct runq *q, struct runq_run *run, uint64_t now_usec) {
        if (run->phase != RUNQ_OVER || run->retire_usec != USEC_NEVER)
                return false;
        run->retire_usec = now_usec + q->limits.keep_usec;
        if (run->retire_usec < q->retire_usec)
                q->retire_usec = run->retire_usec;
        return true;
}

void runq_retired(struct runq *q, struct runq_run *run) {
        assert(run->phase == RUNQ_OVER);
        for (struct runq_run **at = &q->buckets[bucket_of(run->id)]; *at;
             at = &(*at)->bucket_next) {
                if (*at == run) {
                        *at = run->bucket_next;
                        break;
                }
        }
        list_remove(&run->link);
        run_free(run);
}

void runq_hold(struct runq *q, bool hold) {
        q->held = hold;
}

void runq_quarantine(struct runq *q, bool on) {
        q->quarantined = on;
}

void runq_leave(struct runq *q, bool away) {
        q->away = away;
}

void runq_reserve(struct runq *q, uint64_t token) {
        q->reserved = token;
}

void runq_freeze(struct runq *q, bool freeze) {
        q->frozen = freeze;
}

static void event_of(struct runq_action *a, struct event e) {
        if (a->what != RUNQ_RECORD)
                a->n_events = 0;
        a->what = RUNQ_RECORD;
        if (e.kind != EVENT_STEPPED)
                e.exit_status = -1;
        a->events[a->n_events++] = e;
}

static void record_end(struct runq_run *run, enum verdict verdict, struct runq_action *a) {
        event_of(a, (struct event){.kind = EVENT_ENDED,
                                   .verdict = verdict,
                                   .cause = verdict == VERDICT_PASSED ? NULL : run->end_cause});
}

static void record_stepped(struct runq_run *run, struct runq_action *a) {
        const struct runq_kept_result *k = &run->result;

        event_of(a, (struct event){.kind = EVENT_STEPPED,
                                   .step = run->step,
                                   .attempt = run->attempt,
                                   .verdict = k->verdict,
                                   .cause = k->cause,
                                   .limit = k->limit,
                                   .exit_status = k->exit_status,
                                   .signal = k->signal,
                                   .elapsed_usec = k->elapsed_usec,
                                   .interrupted = k->interrupted,
                                   .streams = k->has_stream ? &k->stream : NULL,
                                   .n_streams = k->has_stream ? 1 : 0});
        /* The end is known with it: one write, one sync. */
        if (k->interrupted != EVENT_WHOLE && run->cancel_asked)
                record_end(run, VERDICT_CANCELLED, a);
        else if (k->interrupted == EVENT_INTERRUPT_RETRY)
                return;
        else if (run->step >= run->n_steps ||
                 (k->verdict != VERDICT_PASSED && k->interrupted != EVENT_INTERRUPT_CONTINUE))
                record_end(run, verdict_worse(run->fold.worst, k->verdict), a);
}

static bool record_cancelled(struct runq *q, struct runq_run *run, struct runq_action *a) {
        run->end_verdict = VERDICT_CANCELLED;
        run_phase(q, run, RUNQ_ENDING);
        record_end(run, run->end_verdict, a);
        return true;
}

static bool next_waiting(struct runq *q, struct runq_run *run, uint64_t now_usec,
                         struct runq_action *a) {
        if (run->cancel_asked)
                return record_cancelled(q, run, a);
        if (now_usec >= run->expires_usec) {
                if (text_copy(&run->end_cause,
                              "its time to live ended while it waited in the queue") < 0)
                        return false;
                run->end_verdict = VERDICT_NOT_RUN;
                run_phase(q, run, RUNQ_ENDING);
                record_end(run, run->end_verdict, a);
                return true;
        }
        if (q->held || q->frozen || q->n_reboots > 0 || q->n_on >= q->limits.slots ||
            !run_admitted(q, run))
                return false;
        run->step = run->attempt = 1;
        run_phase(q, run, RUNQ_STARTING);
        return true;
}

static bool next_starting(struct runq *q, struct runq_run *run, struct runq_action *a) {
        if (run->cancel_asked)
                return record_cancelled(q, run, a);
        if (q->frozen || q->n_reboots > 0)
                return false;
        event_of(a, (struct event){.kind = EVENT_STARTED,
                                   .step = run->step,
                                   .attempt = run->attempt,
                                   .of = run->n_steps});
        return true;
}

/* A program of another run is on, or what became of one is not written down yet. */
static bool others_are_on(const struct runq *q, const struct runq_run *run) {
        list_foreach (at, &q->active) {
                const struct runq_run *o = run_at(at);
                if (o != run && (o->phase == RUNQ_STEPPING || phase_open(o->phase)))
                        return true;
        }
        return false;
}

/* A reboot that came to an end without another boot. */
static bool reboot_ends(struct runq *q, struct runq_run *run, enum verdict verdict,
                        const char *cause, struct runq_action *a) {
        const struct runq_result result = {.verdict = verdict, .cause = cause, .exit_status = -1};

        if (runq_exited(q, run, run->step, &result) < 0)
                return false;
        record_stepped(run, a);
        return true;
}

static const char *still_up(const struct runq_run *run) {
        return step_at(run)->leaves
                       ? "it was to leave, and is still up under the same boot id at the "
                         "end of its time"
                       : "the reboot was ordered, and the machine is still up under the "
                         "same boot id at the end of its time";
}

static bool next_draining(struct runq *q, struct runq_run *run, uint64_t now_usec,
                          struct runq_action *a) {
        if (run->cancel_asked)
                return reboot_ends(q, run, VERDICT_CANCELLED, NULL, a);
        if (now_usec >= run->within_usec)
                return run->fold.rebooting
                               ? reboot_ends(q, run, VERDICT_FAILED, still_up(run), a)
                               : reboot_ends(q, run, VERDICT_NOT_RUN,
                                             "steps of other runs did not end within the time of "
                                             "the reboot",
                                             a);
        if (now_usec < run->order_usec)
                return false;
        run->order_usec = 0;
        if (q->frozen || (!step_at(run)->force && others_are_on(q, run)))
                return false;
        event_of(a, (struct event){.kind = EVENT_REBOOTING, .step = run->step});
        return true;
}

static bool next_rebooting(struct runq *q, struct runq_run *run, uint64_t now_usec,
                           struct runq_action *a) {
        if (now_usec >= run->within_usec)
                return reboot_ends(q, run, VERDICT_FAILED, still_up(run), a);
        if (run->cancel_asked && !run->killed) {
                run->killed = true;
                a->what = RUNQ_KILL;
                return true;
        }
        if (run->handed_out)
                return false;
        run->handed_out = true;
        run->retry_usec = 0;
        a->what = RUNQ_REBOOT;
        return true;
}

/* One run's next action; false when it has none now. */
static bool run_next(struct runq *q, struct runq_run *run, uint64_t now_usec,
                     struct runq_action *a) {
        if (run->retry_usec > now_usec)
                return false;
        if (run->cancel_asked && !run->cancel_recorded) {
                event_of(a, (struct event){.kind = EVENT_CANCEL, .by = run->cancel_by});
                return true;
        }
        switch (run->phase) {
        case RUNQ_WAITING:
                if (!next_waiting(q, run, now_usec, a))
                        return false;
                return run->phase == RUNQ_STARTING ? next_starting(q, run, a) : true;
        case RUNQ_STARTING:
                return next_starting(q, run, a);
        case RUNQ_LAUNCHING:
        case RUNQ_ADOPTING:
                if (run->handed_out)
                        return false;
                run->handed_out = true;
                a->what = run->phase == RUNQ_ADOPTING ? RUNQ_ADOPT : RUNQ_SPAWN;
                return true;
        case RUNQ_ON:
                if (!run->cancel_asked || run->killed)
                        return false;
                run->killed = true;
                a->what = RUNQ_KILL;
                return true;
        case RUNQ_DRAINING:
                return next_draining(q, run, now_usec, a);
        case RUNQ_REBOOTING:
                return next_rebooting(q, run, now_usec, a);
        case RUNQ_STEPPING:
                record_stepped(run, a);
                return true;
        case RUNQ_ENDING:
                record_end(run, run->end_verdict, a);
                return true;
        case RUNQ_OVER:
                return false;
        }
        return false;
}

static struct runq_run *next_to_retire(struct runq *q, uint64_t now_usec) {
        struct runq_run *found = NULL;

        if (q->retire_usec > now_usec)
                return NULL;
        q->retire_usec = USEC_NEVER;
        list_foreach (at, &q->over) {
                struct runq_run *run = run_at(at);
                if (!found && run->retire_usec <= now_usec)
                        found = run;
                if (run->retire_usec < q->retire_usec)
                        q->retire_usec = run->retire_usec;
        }
        return found;
}

enum runq_do runq_next(struct runq *q, uint64_t now_usec, struct runq_action *ret) {
        *ret = (struct runq_action){.what = RUNQ_NOTHING};
        list_foreach (at, &q->active) {
                struct runq_run *run = run_at(at);
                if (run_next(q, run, now_usec, ret)) {
                        ret->run = run;
                        ret->step = run->step;
                        return ret->what;
                }
        }
        ret->run = next_to_retire(q, now_usec);
        if (ret->run)
                ret->what = RUNQ_RETIRE;
        return ret->what;
}

uint64_t runq_deadline(const struct runq *q) {
        uint64_t min = q->retire_usec;

        list_foreach (at, &q->active) {
                const struct runq_run *run = run_at(at);
                if (run->retry_usec > 0 && run->retry_usec < min)
                        min = run->retry_usec;
                else if (run->phase == RUNQ_WAITING && run->expires_usec < min)
                        min = run->expires_usec;
                if (run->retry_usec > 0 || !phase_reboots(run->phase))
                        continue;
                if (run->within_usec < min)
                        min = run->within_usec;
                if (run->phase == RUNQ_DRAINING && run->order_usec > 0 && run->order_usec < min)
                        min = run->order_usec;
        }
        return min;
}

struct runq_run *runq_first(const struct runq *q) {
        if (!list_empty(&q->active))
                return run_at(q->active.next);
        return list_empty(&q->over) ? NULL : run_at(q->over.next);
}

struct runq_run *runq_after(const struct runq *q, const struct runq_run *run) {
        if (run->link.next == &q->active)
                return list_empty(&q->over) ? NULL : run_at(q->over.next);
        return run->link.next == &q->over ? NULL : run_at(run->link.next);
}

struct runq_run *runq_on(const struct runq *q) {
        list_foreach (at, &q->active)
                if (phase_on(run_at(at)->phase))
                        return run_at(at);
        return NULL;
}

unsigned runq_count_on(const struct runq *q) {
        return q->n_on;
}

unsigned runq_count_waiting(const struct runq *q) {
        return q->n_waiting;
}
