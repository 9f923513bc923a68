#include "controller/facts.h"

#include "proto/events.h"

#include <errno.h>
#include <string.h>

static void put_note(struct json_writer *w, const char *key, const struct fleet_note *n) {
        if (!n) {
                json_put_str(w, key, NULL);
                return;
        }
        json_begin_object(w, key);
        json_put_str(w, "by", n->by);
        json_put_str(w, "reason", n->reason);
        json_end_object(w);
}

/* Reserved, in quarantine, away. */
static void put_duty(struct json_writer *w, const struct target *t, struct facts_now now) {
        const struct fleet_facts *f = &t->facts;

        if (f->lease) {
                uint64_t until = f->lease->until_usec;

                json_begin_object(w, "lease");
                json_put_str(w, "id", f->lease->id);
                json_put_u64(w, "token", f->lease->token);
                json_put_str(w, "holder", f->lease->holder);
                json_put_str(w, "by", f->lease->by);
                json_put_str(w, "reason", f->lease->reason);
                json_put_u64(w, "left_usec",
                             until > now.monotonic_usec ? until - now.monotonic_usec : 0);
                json_end_object(w);
        } else {
                json_put_str(w, "lease", NULL);
        }
        json_put_str(w, "lease_lost", t->lost);
        put_note(w, "quarantine", f->quarantine);
        put_note(w, "away", f->away);
}

static void put_time(struct json_writer *w, const char *key, uint64_t usec) {
        if (usec > 0)
                json_put_u64(w, key, usec);
        else
                json_put_str(w, key, NULL);
}

void facts_target(struct json_writer *w, const struct target *t, struct facts_now now,
                  size_t pending_runs) {
        const struct fleet_facts *f = &t->facts;

        json_begin_object(w, NULL);
        json_put_str(w, "name", t->name);
        json_put_str(w, "title", f->title ? f->title : t->name);
        json_put_str(w, "jid", t->jid);
        json_put_str(w, "state", fleet_shown(now.fleet, t));
        json_put_str(w, "last_state", avail_state_name(t->avail.state));
        json_put_u64(w, "since_usec", t->avail.since_usec);
        json_put_str(w, "location", f->location);
        json_begin_object(w, "labels");
        for (size_t i = 0; i < f->n_labels; i++)
                json_put_str(w, f->labels[i].name, f->labels[i].value);
        json_end_object(w);
        json_put_str(w, "boot", f->boot);
        json_put_u64(w, "queue", t->avail.present ? f->queue : 0);
        if (t->avail.present && f->run) {
                json_begin_object(w, "run");
                json_put_str(w, "id", f->run);
                json_put_u64(w, "step", f->run_step);
                json_put_u64(w, "of", f->run_of);
                json_put_str(w, "owner", f->run_owner);
                json_put_str(w, "by", f->run_by);
                json_put_str(w, "title", f->run_title);
                json_end_object(w);
        } else {
                json_put_str(w, "run", NULL);
        }
        put_duty(w, t, now);
        json_put_str(w, "version", f->version);
        json_put_bool(w, "online", now.online && fleet_reachable(t));
        if (t->avail.last_answer_usec > 0)
                json_put_u64(w, "last_answer_usec", t->avail.last_answer_usec);
        else
                json_put_str(w, "last_answer_usec", NULL);
        /* when it went on purpose: expected back; and how long its reboots usually take */
        put_time(w, "back_usec", avail_back_usec(&t->avail));
        put_time(w, "usual_reboot_usec", avail_usual_usec(&t->avail));
        json_put_u64(w, "pending_runs", pending_runs);
        json_end_object(w);
}

static void put_streams(struct json_writer *w, const struct run *r) {
        json_begin_array(w, "streams");
        for (size_t i = 0; i < r->n_streams; i++) {
                const struct run_stream *s = r->streams[i];

                /* the journal is no output; what it says is in the other members */
                if (strcmp(s->name, JOBS_EVENTS) == 0)
                        continue;
                json_begin_object(w, NULL);
                json_put_str(w, "name", s->name);
                json_put_u64(w, "next", s->next);
                /* the whole of it: more than its target has left, after a power cut there */
                if (s->size != JOBS_SIZE_UNKNOWN)
                        json_put_u64(w, "size", s->next > s->size ? s->next : s->size);
                else
                        json_put_str(w, "size", NULL);
                json_end_object(w);
        }
        json_end_array(w);
}

/* "pc2" of pc2@lab.example, when the fleet no longer knows it. */
static void put_name(struct json_writer *w, const struct run *r, const struct target *t) {
        char local[JID_SIZE];

        if (t)
                json_put_str(w, "target", t->name);
        else
                json_put_str(w, "target", jid_local(r->target, local) == 0 ? local : r->target);
}

void facts_run(struct json_writer *w, const struct run *r, const struct target *t,
               struct facts_now now, bool open) {
        CLEANUP(buf_done) struct buf note = {0};

        run_note(r, t, now.online, now.realtime_usec, &note);
        json_begin_object(w, NULL);
        json_put_str(w, "run", r->id);
        json_put_str(w, "batch", r->batch[0] ? r->batch : NULL);
        put_name(w, r, t);
        json_put_str(w, "title", r->title);
        json_put_str(w, "state", run_shown_state(r));
        json_put_str(w, "verdict",
                     r->fold.verdict != VERDICT_NONE ? verdict_name(r->fold.verdict) : NULL);
        json_put_str(w, "cause", r->cause);
        json_put_str(w, "refusal", r->refusal);
        json_put_u64(w, "step", r->fold.step);
        json_put_u64(w, "of", r->fold.of > 0 ? r->fold.of : r->steps);
        json_put_bool(w, "rebooting", r->fold.rebooting);
        json_put_str(w, "by", r->by);
        json_put_str(w, "owner", r->owner);
        json_put_u64(w, "submitted_usec", r->submitted_usec);
        put_time(w, "started_usec", r->fold.started_usec);
        put_time(w, "ended_usec", r->fold.ended_usec);
        if (r->fold.exit_status >= 0)
                json_put_i64(w, "exit", r->fold.exit_status);
        else
                json_put_str(w, "exit", NULL);
        json_put_str(w, "note", note.len > 0 ? note.data : NULL);
        put_streams(w, r);
        if (!open)
                json_end_object(w);
}

static void put_step(struct json_writer *w, const struct event *e, const char *title,
                     bool rebooting) {
        json_begin_object(w, NULL);
        json_put_u64(w, "step", e->step);
        json_put_u64(w, "attempt", e->attempt > 0 ? e->attempt : 1);
        json_put_str(w, "title", title);
        json_put_str(w, "boot", e->boot);
        if (e->kind == EVENT_STEPPED) {
                json_put_str(w, "verdict", verdict_name(e->verdict));
                json_put_str(w, "cause", e->cause);
                json_put_str(w, "limit", e->limit);
                if (e->exit_status >= 0)
                        json_put_i64(w, "exit", e->exit_status);
                else
                        json_put_str(w, "exit", NULL);
                if (e->signal > 0)
                        json_put_i64(w, "signal", e->signal);
                json_put_u64(w, "elapsed_usec", e->elapsed_usec);
                if (e->interrupted != EVENT_WHOLE)
                        json_put_str(w, "interrupted", event_interrupt_name(e->interrupted));
        } else {
                json_put_str(w, "verdict", NULL);
                json_put_bool(w, "rebooting", rebooting);
        }
        json_begin_array(w, "streams");
        for (size_t i = 0; i < e->n_streams; i++) {
                json_begin_object(w, NULL);
                json_put_str(w, "name", e->streams[i].name);
                json_put_u64(w, "size", e->streams[i].size);
                json_put_str(w, "sha256", e->streams[i].sha256);
                json_put_u64(w, "dropped", e->streams[i].dropped);
                json_end_object(w);
        }
        json_end_array(w);
        json_end_object(w);
}

int facts_steps(struct json_writer *w, const char *events, size_t len) {
        CLEANUP(arena_done) struct arena arena = {0};
        struct event open = {0};
        const char *title = NULL;
        bool rebooting = false;
        int r;

        json_begin_array(w, "steps");
        while (len > 0) {
                const char *end = memchr(events, '\n', len);
                struct event e = {0};

                if (!end)
                        break;
                r = event_read(events, (size_t)(end - events), &arena, &e);
                if (r < 0)
                        return r;
                len -= (size_t)(end - events) + 1;
                events = end + 1;
                if (r > 0)
                        continue;
                if (e.kind == EVENT_STARTED) {
                        open = e;
                        title = e.title;
                        rebooting = false;
                } else if (e.kind == EVENT_REBOOTING) {
                        rebooting = true;
                } else if (e.kind == EVENT_STEPPED) {
                        put_step(w, &e, open.step == e.step ? title : NULL, false);
                        open.step = 0;
                }
        }
        if (open.step > 0)
                put_step(w, &open, title, rebooting);
        json_end_array(w);
        return 0;
}

void facts_diagnostic(struct json_writer *w, const struct catalogue_entry *e) {
        json_begin_object(w, NULL);
        json_put_str(w, "name", e->name);
        json_put_str(w, "title", e->title);
        json_put_str(w, "help", e->help);
        json_begin_array(w, "params");
        for (size_t i = 0; i < e->n_params; i++) {
                json_begin_object(w, NULL);
                json_put_str(w, "name", e->params[i].name);
                json_put_str(w, "type", e->params[i].type);
                json_put_str(w, "default", e->params[i].fallback);
                json_put_str(w, "help", e->params[i].help);
                json_end_object(w);
        }
        json_end_array(w);
        json_begin_array(w, "needs");
        for (size_t i = 0; i < e->n_needs; i++) {
                json_begin_object(w, NULL);
                json_put_str(w, "program", e->needs[i].program);
                json_put_str(w, "package", e->needs[i].package);
                json_end_object(w);
        }
        json_end_array(w);
        json_end_object(w);
}
