/*
 * The pump: the one place that acts. In this order: sync received bytes, fold what they say, decide what to
 * send, persist, commit; then acknowledge, send, and tell whoever watches.
 */
#include "controller/controller.h"
#include "controller/facts.h"
#include "ext/run.h"
#include "ext/stream.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/units.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EVENT_LINE_MAX 65536
#define HASH_BUDGET (8 * 1024 * 1024)
#define TROUBLE_USEC USEC_PER_SEC
/* At most so much is handed to the link at once; the rest follows when it has drained. */
#define OUTBOX_MAX (4 * 1024 * 1024)
#define ABSENT_SID "@" /* no session has this name */
#define MISMATCHES_TOLD 3

int pump_touch(struct controller *c, struct run *r) {
        if (r->touched)
                return 0;
        if (c->n_touched == c->cap_touched) {
                size_t cap = c->cap_touched ? c->cap_touched * 2 : 64;
                struct run **grown = realloc(c->touched, cap * sizeof(struct run *));

                if (!grown)
                        return -ENOMEM;
                c->touched = grown;
                c->cap_touched = cap;
        }
        c->touched[c->n_touched++] = r;
        r->touched = true;
        controller_wake(c);
        return 0;
}

/* ---- trouble ---- */

void pump_trouble(struct controller *c, const char *what, int error) {
        CLEANUP(buf_done) struct buf text = {0};

        if (error == -ENOSPC || error == -EDQUOT)
                buf_printf(
                        &text,
                        "the disk of %s is full (%s); nothing is lost, targets keep their output "
                        "until there is space",
                        c->config->state_dir, what);
        else
                buf_printf(
                        &text,
                        "cannot write to %s: %s (%s); nothing is acknowledged until it works again",
                        c->config->state_dir, strerror(-error), what);
        if (!c->trouble || strcmp(c->trouble, buf_text(&text)) != 0)
                log_error("%s", buf_text(&text));
        free(c->trouble);
        c->trouble = buf_steal(&text);
        c->trouble_at = clock_monotonic_usec() + TROUBLE_USEC;
        /* who looks again then is the pump, also when somebody else ran into it */
        controller_wake(c);
}

/* Returns 0 when there is room enough to go on. */
static int check_space(struct controller *c) {
        uint64_t free_bytes;
        int r = sink_free_bytes(c->sink, &free_bytes);

        if (r == 0 && free_bytes < c->config->free_min)
                r = -ENOSPC;
        if (r < 0)
                pump_trouble(c, "below free_min", r);
        return r;
}

/* Everything that was dropped meanwhile is asked for again. */
static void trouble_over(struct controller *c) {
        log_notice("%s can be written again; going on", c->config->state_dir);
        c->trouble = mem_free(c->trouble);
        for (size_t i = 0; i < c->jobs.n_runs; i++) {
                struct run *r = c->jobs.runs[i];

                for (size_t j = 0; j < r->n_streams; j++) {
                        struct run_stream *s = r->streams[j];

                        if (!s->waits && !s->cut)
                                continue;
                        s->again = s->fresh = true;
                        pump_touch(c, r);
                }
        }
        gather_add(&c->gather, 0);
}

/* ---- bytes ---- */

static void on_synced(void *userdata, const char *run, const char *name, int error) {
        struct controller *c = userdata;
        struct run *r = jobs_find(&c->jobs, run);
        struct run_stream *s = r ? run_stream_find(r, name) : NULL;

        if (!s)
                return;
        if (error < 0) {
                s->cut = true;
                pump_trouble(c, name, error);
        } else if (s->next != s->in.next && !s->cut) {
                s->next = s->in.next;
                s->dirty = true;
        }
        pump_touch(c, r);
}

/* After a failed write or sync only what the row says is believed. */
static void cut_back(struct controller *c, struct run *r) {
        for (size_t i = 0; i < r->n_streams; i++) {
                struct run_stream *s = r->streams[i];
                uint64_t size;
                int q;

                if (!s->cut)
                        continue;
                q = sink_cut(c->sink, r->id, s->name, s->next, &size);
                if (q < 0) {
                        pump_trouble(c, s->name, q);
                        continue;
                }
                if (q == SINK_SHORT) {
                        s->next = size;
                        s->dirty = true;
                }
                s->in.next = s->next;
                s->cut = false;
                s->again = s->fresh = true;
        }
}

void pump_sync(struct controller *c) {
        sink_sync(c->sink, on_synced, c);
        gather_synced(&c->gather, clock_monotonic_usec());
}

/* ---- events ---- */

static void tell_problem(struct run *r, struct run_stream *s, const char *text) {
        /* a target that goes on saying so does not fill our log */
        if (s->mismatches < MISMATCHES_TOLD)
                log_line(LOG_LEVEL_ERROR,
                         (struct log_field[]){
                                 {"ROTA_RUN",    r->id    },
                                 {"ROTA_TARGET", r->target},
                                 {NULL,          NULL     }
                },
                         "integrity: run %s on %s: %s", r->id, r->target, text);
        s->mismatches++;
        run_set(&r->problem, text);
        r->dirty = r->changed = s->dirty = true;
}

static void problem_over(struct run *r, const struct run_stream *s) {
        size_t len = strlen(s->name);

        if (r->problem && strncmp(r->problem, s->name, len) == 0 && r->problem[len] == ' ')
                run_set(&r->problem, NULL);
}

/* All of it is here, and it is not what the target computed: once it is fetched again. */
static void differs(struct controller *c, struct run *r, struct run_stream *s) {
        CLEANUP(buf_done) struct buf text = {0};
        struct target *t = fleet_find(&c->fleet, r->target);
        bool again = s->mismatches == 0;
        uint64_t size;
        int q;

        buf_printf(&text, "%s of this run does not have the SHA-256 that its target computed%s",
                   s->name,
                   again ? "; it is fetched again from the start" : "; what arrived is kept");
        tell_problem(r, s, buf_text(&text));
        if (!again) {
                s->verified = true;
                return;
        }
        s->next = s->in.next = 0;
        q = sink_cut(c->sink, r->id, s->name, 0, &size);
        if (q < 0)
                pump_trouble(c, s->name, q);
        if (t) {
                t->sync_at = 0;
                c->sync_due = true;
        }
}

/* A power cut took from the target what was durable here already: ours is the better copy, and stays. */
static void beyond(struct run *r, struct run_stream *s, bool same) {
        CLEANUP(buf_done) struct buf text = {0};

        buf_printf(&text,
                   "%s of this run has %ju bytes here and %ju on its target, as after a power cut "
                   "there; what arrived is kept%s",
                   s->name, (uintmax_t)s->next, (uintmax_t)s->size,
                   same ? "" : ", although what both have differs");
        tell_problem(r, s, buf_text(&text));
        s->verified = true;
}

/* A file of ours is damaged: that is this run's trouble, and nobody else's. */
static void unreadable(struct run *r, const char *name, int error) {
        CLEANUP(buf_done) struct buf text = {0};

        buf_printf(&text, "%s of this run cannot be read on this controller: %s", name,
                   strerror(-error));
        if (r->problem && strcmp(r->problem, buf_text(&text)) == 0)
                return;
        log_line(LOG_LEVEL_ERROR,
                 (struct log_field[]){
                         {"ROTA_RUN",    r->id    },
                         {"ROTA_TARGET", r->target},
                         {NULL,          NULL     }
        },
                 "run %s on %s: %s", r->id, r->target, buf_text(&text));
        run_set(&r->problem, buf_text(&text));
        r->dirty = r->changed = true;
}

/* Compares what is complete with what the target computed. Returns true when something became verified. */
static bool verify(struct controller *c, struct run *r, bool *ret_more) {
        bool progress = false;

        for (size_t i = 0; i < r->n_streams; i++) {
                struct run_stream *s = r->streams[i];
                char hex[SHA256_HEX_SIZE];
                bool same;
                int q;

                if (s->verified || s->size == JOBS_SIZE_UNKNOWN || s->next < s->size)
                        continue;
                q = sink_hash(c->sink, r->id, s->name, s->size, HASH_BUDGET, hex);
                if (q == SINK_MORE) {
                        *ret_more = true;
                        continue;
                }
                if (q < 0) {
                        unreadable(r, s->name, q);
                        continue;
                }
                same = !s->sha256[0] || strcmp(hex, s->sha256) == 0;
                if (s->next > s->size) {
                        beyond(r, s, same);
                } else if (!same) {
                        differs(c, r, s);
                } else {
                        s->verified = s->dirty = true;
                        problem_over(r, s);
                }
                r->changed = true;
                progress |= s->verified;
        }
        return progress;
}

/* One line of the journal. Returns 0, RUN_WAITS or -errno. */
static int fold_line(struct run *r, const char *line, size_t len) {
        CLEANUP(arena_done) struct arena arena = {0};
        struct event e = {0};
        int q = event_read(line, len, &arena, &e);

        if (q < 0)
                return q;
        if (q > 0 || (e.kind == EVENT_ACCEPTED && e.run && strcmp(e.run, r->id) != 0)) {
                log_warning("run %s on %s: a line of its journal cannot be read", r->id, r->target);
                return 0;
        }
        q = run_event(r, &e);
        return q == JOBS_FULL ? 0 : q;
}

/* Folds the events that are durable here. */
static int advance(struct controller *c, struct run *r, bool *ret_more) {
        CLEANUP(mem_free) char *text = NULL;
        struct run_stream *s = run_stream_find(r, JOBS_EVENTS);

        if (!s || r->folded >= s->next || r->done)
                return 0;
        text = malloc(EVENT_LINE_MAX);
        if (!text)
                return -ENOMEM;
        while (r->folded < s->next && !r->done) {
                uint64_t left = s->next - r->folded;
                ssize_t n = sink_read(c->sink, r->id, s->name, r->folded, text,
                                      left < EVENT_LINE_MAX ? (size_t)left : EVENT_LINE_MAX);
                const char *end = n > 0 ? memchr(text, '\n', (size_t)n) : NULL;
                int q;

                if (n < 0) {
                        unreadable(r, s->name, (int)n);
                        return 0;
                }
                if (!end) {
                        if ((size_t)n < EVENT_LINE_MAX)
                                return 0; /* the rest of the line is still to come */
                        return run_refused(r, VERDICT_NOT_RUN, NULL,
                                           "the target sent a journal that cannot be read",
                                           clock_realtime_usec());
                }
                for (char *at = text; end; end = memchr(at, '\n', (size_t)(text + n - at))) {
                        q = fold_line(r, at, (size_t)(end - at));
                        if (q == RUN_WAITS && verify(c, r, ret_more))
                                break; /* again, from this line */
                        if (q != 0)
                                return q < 0 ? q : 0;
                        r->folded += (uint64_t)(end - at) + 1;
                        at += end - at + 1;
                        if (r->done || at == text + n)
                                break;
                }
        }
        return 0;
}

/* ---- what to send ---- */

static int write_submit(struct controller *c, const struct run *r, const char *to,
                        uint64_t realtime_usec) {
        const struct run_plan plan = {.text = r->plan};
        const struct run_submit m = {
                .id = r->id,
                .ttl = run_ttl_left(r, realtime_usec),
                .if_idle = r->if_idle,
                .heal = r->heal,
                .lease = r->lease,
                .by = r->by,
                .plan = &plan,
        };

        return ext_write_message(&c->outbox, to, NULL, r->id, &run_submit_element, &m);
}

static int write_cancel(struct controller *c, const struct run *r, const char *to) {
        const struct run_cancel m = {.run = r->id, .by = r->cancel_by};

        return ext_write_message(&c->outbox, to, NULL, NULL, &run_cancel_element, &m);
}

/* A present target, whose session has our offsets. */
static int lane_to_present(struct controller *c, struct lane *l, const struct target *t,
                           uint64_t now, uint64_t realtime) {
        list_foreach (at, &l->runs) {
                struct run *r = list_entry(at, struct run, link);
                uint64_t again;
                int q = 0;

                switch (run_want(r, t->facts.sid, now, &again)) {
                case RUN_WANT_SUBMIT:
                        q = write_submit(c, r, t->full, realtime);
                        run_submitted(r, t->facts.sid, now);
                        again = now + JOBS_RESEND_USEC;
                        break;
                case RUN_WANT_CANCEL:
                        q = write_cancel(c, r, t->full);
                        run_cancel_sent(r, t->facts.sid, now);
                        again = now + JOBS_RESEND_USEC;
                        break;
                case RUN_WANT_NOTHING:
                        break;
                }
                if (q == 0 && r->dirty)
                        q = pump_touch(c, r);
                if (q < 0)
                        return q;
                if (again < l->due_usec)
                        l->due_usec = again;
                if (c->outbox.len > OUTBOX_MAX) {
                        l->due_usec = now + USEC_PER_SEC / 10;
                        break;
                }
        }
        return 0;
}

/* An absent one: a copy goes to its account, once, for the server to keep if it does, and the wish to cancel it behind
 * that. A run with a time to live is not left where nobody counts it. */
static int lane_to_absent(struct controller *c, struct lane *l, uint64_t now, uint64_t realtime) {
        list_foreach (at, &l->runs) {
                struct run *r = list_entry(at, struct run, link);
                int q;

                if (run_ended(r))
                        continue;
                if (r->cancel_by) {
                        if (!r->sent || strcmp(r->cancel_sid, ABSENT_SID) == 0)
                                continue;
                        q = write_cancel(c, r, r->target);
                        run_cancel_sent(r, ABSENT_SID, now);
                } else {
                        if (r->sent || !r->plan || r->ttl_usec > 0)
                                continue;
                        q = write_submit(c, r, r->target, realtime);
                        run_submitted(r, "", now);
                }
                if (q == 0)
                        q = pump_touch(c, r);
                if (q < 0)
                        return q;
                if (c->outbox.len > OUTBOX_MAX) {
                        l->due_usec = now + USEC_PER_SEC / 10;
                        break;
                }
        }
        return 0;
}

static int lane_expire(struct controller *c, struct lane *l, uint64_t now, uint64_t realtime) {
        list_foreach (at, &l->runs) {
                struct run *r = list_entry(at, struct run, link);
                uint64_t end = r->submitted_usec + r->ttl_usec, due;

                if (!run_may_expire(r))
                        continue;
                if (run_expired(r, realtime)) {
                        if (pump_touch(c, r) < 0)
                                return -ENOMEM;
                        continue;
                }
                due = now + (end > realtime ? end - realtime : 0) + 1000;
                if (due < l->due_usec)
                        l->due_usec = due;
        }
        return 0;
}

static int lanes(struct controller *c, uint64_t now) {
        uint64_t realtime = clock_realtime_usec();

        for (size_t i = 0; i < c->jobs.n_lanes; i++) {
                struct lane *l = c->jobs.lanes[i];
                struct target *t;
                int r;

                if (l->due_usec > now)
                        continue;
                l->due_usec = USEC_NEVER;
                r = lane_expire(c, l, now, realtime);
                t = fleet_find(&c->fleet, l->target);
                if (r == 0 && link_online(c->link) && t) {
                        if (fleet_reachable(t) && t->facts.sid &&
                            strcmp(t->synced_sid, t->facts.sid) == 0)
                                r = lane_to_present(c, l, t, now, realtime);
                        else if (c->fleet.settled && !t->avail.present)
                                r = lane_to_absent(c, l, now, realtime);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

/* ---- persist ---- */

static int persist_run(struct controller *c, struct run *r) {
        int q = 0;

        if (r->dirty)
                q = store_put_run(c->store, r);
        for (size_t i = 0; q == 0 && i < r->n_streams; i++)
                if (r->streams[i]->dirty)
                        q = store_put_stream(c->store, r->id, r->streams[i]);
        return q;
}

static int persist_told(struct controller *c) {
        for (size_t at = 0; at < c->told.len; at += strlen(c->told.data + at) + 1) {
                int r = store_put_told(c->store, c->told.data + at);

                if (r < 0)
                        return r;
        }
        return 0;
}

static int persist_all(struct controller *c) {
        int r = 0;

        for (size_t i = 0; r == 0 && i < c->n_touched; i++)
                r = persist_run(c, c->touched[i]);
        for (size_t i = 0; r == 0 && c->fleet_dirty && i < c->fleet.n_targets; i++)
                if (c->fleet.targets[i]->dirty)
                        r = store_put_target(c->store, c->fleet.targets[i]);
        return r == 0 ? persist_told(c) : r;
}

static bool anything_dirty(const struct controller *c) {
        if (c->fleet_dirty || c->told.len > 0)
                return true;
        for (size_t i = 0; i < c->n_touched; i++) {
                const struct run *r = c->touched[i];

                if (r->dirty)
                        return true;
                for (size_t j = 0; j < r->n_streams; j++)
                        if (r->streams[j]->dirty)
                                return true;
        }
        return false;
}

int pump_persist(struct controller *c) {
        int r;

        if (c->trouble && clock_monotonic_usec() < c->trouble_at)
                return -ENOSPC;
        if (!anything_dirty(c))
                return 0;
        r = store_begin(c->store);
        if (r == 0) {
                r = persist_all(c);
                if (r == 0)
                        r = store_commit(c->store);
                else
                        store_rollback(c->store);
        }
        if (r < 0) {
                pump_trouble(c, "the store", r);
                return r;
        }
        for (size_t i = 0; i < c->n_touched; i++) {
                c->touched[i]->dirty = false;
                for (size_t j = 0; j < c->touched[i]->n_streams; j++)
                        c->touched[i]->streams[j]->dirty = false;
        }
        buf_clear(&c->told);
        return 0;
}

/* ---- publish ---- */

static int write_acks(struct controller *c, struct run *r, const struct target *t) {
        struct xml_writer w;
        bool begun = false;
        int q = 0;

        for (size_t i = 0; q == 0 && i < r->n_streams; i++) {
                struct run_stream *s = r->streams[i];
                struct stream_ack m = {
                        .run = r->id, .stream = s->name, .next = s->next, .again = s->again};

                /* what is not synced yet is acknowledged once, after the sync */
                if (!s->fresh || s->in.next > s->next)
                        continue;
                s->fresh = false;
                if (s->again)
                        s->waits = true;
                s->again = false;
                if (!t || !fleet_reachable(t))
                        continue;
                if (!begun) {
                        xml_writer_init(&w, &c->outbox);
                        xml_begin(&w, "message", NULL);
                        xml_put(&w, "to", t->full);
                        xml_put(&w, "type", "headline");
                        begun = true;
                }
                q = fields_write(&stream_ack_element, &m, &w);
        }
        if (begun)
                xml_end(&w);
        return q;
}

static void tell_run(struct controller *c, const struct run *r, const struct target *t) {
        CLEANUP(buf_done) struct buf text = {0};
        struct json_writer w;

        if (!bus_watches_runs(c->bus))
                return;
        json_writer_init(&w, &text);
        facts_run(&w, r, t, controller_now(c), false);
        if (buf_check(&text) == 0)
                bus_tell_run(c->bus, NULL, text.data);
}

/* It is durable here to the last event. */
static int write_done(struct controller *c, const struct run *r, const struct target *t) {
        const struct stream_done m = {.run = r->id};

        if (r->local || !t || !fleet_reachable(t))
                return 0;
        return ext_write_message(&c->outbox, t->full, NULL, NULL, &stream_done_element, &m);
}

static void log_ended(const struct run *r) {
        log_line(LOG_LEVEL_INFO,
                 (struct log_field[]){
                         {"ROTA_RUN",    r->id    },
                         {"ROTA_TARGET", r->target},
                         {NULL,          NULL     }
        },
                 "run %s on %s ended: %s%s%s", r->id, r->target, verdict_name(r->fold.verdict),
                 r->cause ? ": " : "", r->cause ? r->cause : "");
}

static int publish_runs(struct controller *c) {
        size_t n = c->n_touched;
        int q = 0;

        c->n_touched = 0;
        for (size_t i = 0; i < n; i++) {
                struct run *r = c->touched[i];
                const struct target *t = fleet_find(&c->fleet, r->target);

                r->touched = false;
                if (q == 0)
                        q = write_acks(c, r, t);
                for (size_t j = 0; j < r->n_streams; j++) {
                        struct run_stream *s = r->streams[j];

                        if (s->next != s->shown && strcmp(s->name, JOBS_EVENTS) != 0)
                                bus_tell_grew(c->bus, NULL, r->id, s->name, s->next);
                        s->shown = s->next;
                }
                if (r->changed)
                        tell_run(c, r, t);
                r->changed = false;
                if (r->more && !r->done && q == 0)
                        q = pump_touch(c, r);
                if (!r->done)
                        continue;
                log_ended(r);
                if (q == 0)
                        q = write_done(c, r, t);
                sink_forget(c->sink, r->id);
                jobs_remove(&c->jobs, r);
        }
        return q;
}

/* What is said of a run that is on depends on its target's state. */
static void publish_lane(struct controller *c, const struct lane *l, const struct target *t) {
        list_foreach (at, &l->runs) {
                struct run *r = list_entry(at, struct run, link);

                if (run_ended(r))
                        continue;
                if (r->fold.state != RUN_RUNNING)
                        break; /* they are done in order */
                if (r->told == (int)t->avail.state)
                        continue;
                r->told = (int)t->avail.state;
                tell_run(c, r, t);
        }
}

static void publish_targets(struct controller *c) {
        bool watched = bus_watches_targets(c->bus);

        c->fleet_dirty = false;
        for (size_t i = 0; i < c->fleet.n_targets; i++) {
                CLEANUP(buf_done) struct buf text = {0};
                struct target *t = c->fleet.targets[i];
                struct lane *lane;
                struct json_writer w;

                if (!t->dirty)
                        continue;
                t->dirty = false;
                lane = jobs_lane(&c->jobs, t->jid);
                if (lane)
                        publish_lane(c, lane, t);
                if (!watched || (t->kind != FLEET_TARGET && t->kind != FLEET_EXPECTED))
                        continue;
                json_writer_init(&w, &text);
                facts_target(&w, t, controller_now(c), lane ? lane->n_runs : 0);
                if (buf_check(&text) == 0)
                        bus_tell_target(c->bus, NULL, text.data);
        }
}

/* ---- the order of it all ---- */

void pump_run(struct controller *c) {
        uint64_t now = clock_monotonic_usec();
        int r = 0;

        if (c->trouble) {
                if (now < c->trouble_at || check_space(c) < 0)
                        return;
                trouble_over(c);
        }
        if (gather_deadline(&c->gather, now) == 0 && check_space(c) == 0)
                pump_sync(c);
        for (size_t i = 0; i < c->n_touched; i++) {
                struct run *run = c->touched[i];

                cut_back(c, run);
                run->more = false;
                r = advance(c, run, &run->more);
                if (r < 0)
                        pump_trouble(c, run->id, r);
        }
        if (c->trouble)
                return;
        r = lanes(c, now);
        if (r == 0 && pump_persist(c) < 0)
                return; /* what is in the outbox waits with the facts that it rests on */
        if (r == 0)
                r = publish_runs(c);
        if (c->fleet_dirty)
                publish_targets(c);
        if (r == 0)
                r = buf_check(&c->outbox);
        if (r == 0 && c->outbox.len > 0)
                r = link_send(c->link, c->outbox.data, c->outbox.len);
        buf_clear(&c->outbox);
        if (r < 0)
                controller_starve(c);
}

uint64_t pump_deadline(struct controller *c, uint64_t now_usec) {
        uint64_t due, gather;

        if (c->trouble)
                return c->trouble_at;
        due = jobs_due(&c->jobs);
        gather = gather_deadline(&c->gather, now_usec);
        return gather < due ? gather : due;
}
