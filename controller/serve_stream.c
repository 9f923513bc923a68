/*
 * Streams: chunks that arrive, the offsets we tell, and runs of ours that a target knows and we do not.
 */
#include "controller/controller.h"
#include "controller/rooms.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What fits into one stanza: servers close the stream beyond 256 KiB. */
#define SYNC_HAVE_MAX 1200
#define SYNC_DONE_MAX 800
/* Runs of one target that nobody here has submitted. */
#define ADOPTED_MAX 1000

static const uint64_t sync_delays[] = {USEC_PER_SEC, 2 * USEC_PER_SEC, 5 * USEC_PER_SEC};

/* ---- chunks ---- */

static int adopt(struct controller *c, struct target *t, const char *id, struct run **ret) {
        struct lane *lane = jobs_lane(&c->jobs, t->jid);
        int r;

        if (lane && lane->n_runs >= ADOPTED_MAX)
                return JOBS_FULL;
        r = jobs_add(&c->jobs, id, t->jid, ret);
        if (r != 0)
                return r;
        (*ret)->sent = true;
        log_line(LOG_LEVEL_NOTICE,
                 (struct log_field[]){
                         {"ROTA_RUN",    id    },
                         {"ROTA_TARGET", t->jid},
                         {NULL,          NULL  }
        },
                 "%s has a run %s of this account that is not in the store; taking it in", t->name,
                 id);
        return pump_touch(c, *ret);
}

/* Moves what is stored of a run back among the live ones. */
static int bring_back(struct controller *c, struct run *stored, struct run **ret) {
        struct run *live;
        int r = jobs_add(&c->jobs, stored->id, stored->target, &live);

        if (r != 0)
                return r;
        /* the list, lane and keys stay those of the live one */
        memcpy(live->batch, stored->batch, sizeof(live->batch));
        live->title = TAKE(stored->title);
        live->plan = TAKE(stored->plan);
        live->by = TAKE(stored->by);
        live->owner = TAKE(stored->owner);
        live->cause = TAKE(stored->cause);
        live->refusal = TAKE(stored->refusal);
        live->cancel_by = TAKE(stored->cancel_by);
        live->problem = TAKE(stored->problem);
        live->ttl_usec = stored->ttl_usec;
        live->if_idle = stored->if_idle;
        live->heal = stored->heal;
        live->lease = stored->lease;
        live->submitted_usec = stored->submitted_usec;
        live->steps = stored->steps;
        live->fold = stored->fold;
        live->local = stored->local;
        live->done = stored->done;
        live->streams = TAKE(stored->streams);
        live->n_streams = stored->n_streams;
        stored->n_streams = 0;
        run_revive(live);
        *ret = live;
        return pump_touch(c, live);
}

static void say_done(struct controller *c, const struct target *t, const char *id) {
        CLEANUP(buf_done) struct buf out = {0};
        const struct stream_done m = {.run = id};

        if (ext_write_message(&out, t->full, NULL, NULL, &stream_done_element, &m) == 0)
                link_send(c->link, out.data, out.len);
}

struct run *stream_run_of(struct controller *c, struct target *t, const char *id) {
        CLEANUP(run_free) struct run *stored = NULL;
        struct run *r = jobs_find(&c->jobs, id);
        int q;

        if (!r) {
                q = store_load_run(c->store, id, &stored);
                if (q < 0) {
                        pump_trouble(c, "the store", q);
                        return NULL;
                }
                if (q == 0 && strcmp(stored->target, t->jid) == 0 && !stored->local) {
                        if (fleet_reachable(t))
                                say_done(c, t, id);
                        return NULL;
                }
                if (q == 0 && strcmp(stored->target, t->jid) == 0)
                        q = bring_back(c, stored, &r);
                else if (q == STORE_NONE)
                        q = adopt(c, t, id, &r);
                if (q < 0)
                        log_error("run %s on %s: %s", id, t->name, strerror(-q));
        }
        if (r && strcmp(r->target, t->jid) != 0)
                r = NULL;
        if (!r)
                log_line(LOG_LEVEL_WARNING,
                         (struct log_field[]){
                                 {"ROTA_RUN",    id    },
                                 {"ROTA_TARGET", t->jid},
                                 {NULL,          NULL  }
                },
                         "%s sends for run %s, which is not one of its own", t->name, id);
        return r;
}

/* The part of the chunk that is new, into the file. */
static void take_bytes(struct controller *c, struct run *r, struct run_stream *s,
                       const struct stream_chunk *m, const struct bytes *data) {
        struct receiver before = s->in;
        uint32_t skip = 0;
        int q;

        switch (receiver_chunk(&s->in, m->offset, (uint32_t)data->size, &skip)) {
        case RECEIVER_GAP:
                /* once is enough: what follows in the window has the same gap before it */
                if (!s->waits)
                        s->again = s->fresh = true;
                break;
        case RECEIVER_DUPLICATE:
                s->fresh = true;
                break;
        default:
                q = sink_write(c->sink, r->id, s->name, m->offset + skip, data->data + skip,
                               data->size - skip);
                if (q == SINK_FULL) {
                        pump_sync(c);
                        q = sink_write(c->sink, r->id, s->name, m->offset + skip, data->data + skip,
                                       data->size - skip);
                }
                if (q != 0) {
                        s->in = before;
                        s->cut = s->waits = true;
                        pump_trouble(c, s->name, q < 0 ? q : -EMFILE);
                        break;
                }
                s->fresh = true;
                s->waits = false;
                gather_add(&c->gather, data->size - skip);
        }
}

static int on_chunk(void *userdata, const struct ext_request *rq, const struct stream_chunk *m) {
        struct controller *c = userdata;
        struct target *t = fleet_find(&c->fleet, rq->from);
        struct run_stream *s;
        struct bytes data;
        struct run *r;
        int q;

        if (!t || t->kind != FLEET_TARGET)
                return 0;
        r = stream_run_of(c, t, m->run);
        if (!r)
                return 0;
        q = run_stream_add(r, m->stream, &s);
        if (q != 0) {
                if (q == JOBS_FULL)
                        log_warning("run %s on %s has too many streams", r->id, t->name);
                return q < 0 ? q : 0;
        }
        if (c->trouble) {
                s->waits = true;
                return pump_touch(c, r);
        }
        q = codec_unpack(c->codec, (enum codec_kind)m->codec, m->data, m->size, &data);
        if (q != 0) {
                log_warning("run %s on %s: a chunk of %s is malformed", r->id, t->name, m->stream);
                return q < 0 ? q : 0;
        }
        if (s->verified)
                s->fresh = true; /* all of it is here: only the acknowledgement was lost */
        else
                take_bytes(c, r, s, m, &data);
        if (s->fresh)
                gather_add(&c->gather, 0);
        return pump_touch(c, r);
}

const struct stream_ops controller_stream_ops = {.chunk = on_chunk};

/* ---- our offsets ---- */

/* So many at a time: a thousand at once would stand between the server and our own answers to it. */
#define SYNCS_MAX 64

struct sync {
        struct controller *controller;
        char target[JID_SIZE];
        char sid[ID_MAX + 1];
        struct buf done; /* ids, NUL-terminated */
};

static void sync_done(struct sync *s) {
        buf_done(&s->done);
        free(s);
}

static void try_later(struct controller *c, struct target *t, uint64_t now) {
        size_t i = t->sync_tries < ARRAY_SIZE(sync_delays) ? t->sync_tries
                                                           : ARRAY_SIZE(sync_delays) - 1;

        t->sync_tries++;
        t->sync_at = now + sync_delays[i];
        c->sync_due = true;
}

static void on_synced(void *userdata, const struct iq_answer *answer) {
        struct sync *s = userdata;
        struct controller *c = s->controller;
        struct target *t = fleet_find(&c->fleet, s->target);
        uint64_t now = clock_monotonic_usec();

        c->n_syncs--;
        controller_wake(c); /* another one may go */
        if (!t || !t->facts.sid || strcmp(t->facts.sid, s->sid) != 0 || !t->avail.present ||
            answer->end == IQ_LOST) {
                sync_done(s); /* that session is over; the next one has its own */
                return;
        }
        switch (answer->end) {
        case IQ_RESULT: {
                struct lane *lane = jobs_lane(&c->jobs, t->jid);

                memcpy(t->synced_sid, s->sid, sizeof(t->synced_sid));
                t->sync_tries = 0;
                buf_append(&c->told, s->done.data, s->done.len);
                if (lane)
                        lane->due_usec = 0;
                break;
        }
        case IQ_TIMEOUT:
                try_later(c, t, now);
                break;
        case IQ_ERROR:
                log_warning("%s refuses our offsets; trying again", t->name);
                try_later(c, t, now);
                break;
        case IQ_LOST:
                break;
        }
        c->fleet_dirty |= t->dirty;
        sync_done(s);
        controller_wake(c);
}

static int add_done(void *userdata, const char *id) {
        return buf_append(userdata, id, strlen(id) + 1);
}

static int is_there(void *userdata, const char *id) {
        (void)userdata;
        (void)id;
        return 1;
}

static bool knows_target(struct controller *c, const char *jid) {
        const struct store_filter f = {.limit = 1, .target = jid};

        return store_find_runs(c->store, &f, is_there, NULL) != 0;
}

static int send_sync(struct controller *c, struct target *t) {
        CLEANUP(arena_done) struct arena arena = {0};
        struct lane *lane = jobs_lane(&c->jobs, t->jid);
        struct stream_have *have = arena_alloc(&arena, SYNC_HAVE_MAX * sizeof(*have));
        struct stream_done *done = arena_alloc(&arena, SYNC_DONE_MAX * sizeof(*done));
        struct stream_sync m = {.have = have, .done = done};
        struct sync *s = calloc(1, sizeof(*s));
        int r;

        if (!have || !done || !s) {
                free(s);
                return -ENOMEM;
        }
        s->controller = c;
        memcpy(s->target, t->jid, strlen(t->jid) + 1);
        memcpy(s->sid, t->asked_sid, sizeof(s->sid));
        /* a store that knows nothing of this target may have been lost: what it still holds fills it again */
        m.all = !lane && !knows_target(c, t->jid);
        if (lane)
                list_foreach (at, &lane->runs) {
                        const struct run *run = list_entry(at, struct run, link);

                        for (size_t i = 0; i < run->n_streams && m.n_have < SYNC_HAVE_MAX; i++)
                                have[m.n_have++] = (struct stream_have){
                                        run->id, run->streams[i]->name, run->streams[i]->next};
                }
        r = store_untold(c->store, t->jid, SYNC_DONE_MAX, add_done, &s->done);
        for (size_t at = 0; r == 0 && at < s->done.len; at += strlen(s->done.data + at) + 1)
                done[m.n_done++].run = s->done.data + at;
        if (r == 0)
                r = controller_ask(c, EXT_IQ_SET, t->full, &stream_sync_element, &m,
                                   CONTROLLER_IQ_USEC, on_synced, s);
        if (r != 0)
                sync_done(s);
        else
                c->n_syncs++;
        return r;
}

uint64_t stream_sync_due(struct controller *c, uint64_t now_usec) {
        uint64_t next = USEC_NEVER;

        if (!c->sync_due || !link_online(c->link))
                return USEC_NEVER;
        c->sync_due = false;
        for (size_t i = 0; i < c->fleet.n_targets; i++) {
                struct target *t = c->fleet.targets[i];

                if (t->sync_at == USEC_NEVER || !fleet_reachable(t) || !t->facts.sid)
                        continue;
                if (t->sync_at <= now_usec && c->n_syncs >= SYNCS_MAX) {
                        c->sync_due = true; /* when one is answered */
                        continue;
                }
                if (t->sync_at <= now_usec) {
                        t->sync_at = USEC_NEVER;
                        strncpy(t->asked_sid, t->facts.sid, sizeof(t->asked_sid) - 1);
                        if (send_sync(c, t) != 0)
                                try_later(c, t, now_usec);
                }
                if (t->sync_at < next)
                        next = t->sync_at;
        }
        if (next != USEC_NEVER)
                c->sync_due = true;
        return next;
}
