/*
 * Streams to controllers: for each full JID that asked (sync), a sender that knows what it lacks.
 *
 * A peer comes into being by its sync and ends with its presence, its connection or ours. It gets the runs of its own
 * account. Bytes are read from the files when they are sent; nothing is buffered but what the link has taken.
 *
 * That is no more than passes in a moment (core/flow.h): once over the way to our server, so that answers do not wait
 * behind output, and once over the whole way to the peer, whose own link or disk may be the slow one.
 */
#include "ext/stream.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/jid.h"
#include "proto/stream_sender.h"
#include "target/step/step.h"
#include "target/target.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_RAW_MAX                                                                            \
        65536 /* raw bytes in one message: base64 of it is well below the servers' limit */
#define PIECE_SIZE STREAM_CHUNK_MAX
#define PEERS_OF_ACCOUNT_MAX 8

/* How long what is urgent may wait behind output: in our link, and on the whole way to a peer (with its disk). */
#define LINK_SLACK_USEC (300 * USEC_PER_MSEC)
#define PEER_SLACK_USEC (400 * USEC_PER_MSEC)
#define CHUNK_MIN UINT64_C(1024)
#define CHUNK_TRIES 3
#define RATIO_ONE UINT64_C(256) /* of raw bytes to bytes on the wire */

#define FOLLOWED_MAX 256 /* runs of other accounts, by one peer */

/* A run of another account that a peer wants. */
struct followed {
        struct list link;
        char run[ID_MAX + 1];
};

struct peer {
        struct list link;
        struct list followed;
        size_t n_followed;
        char full[JID_SIZE];
        char bare[JID_SIZE];
        struct sender *sender;
        struct flow flow;
        uint64_t ratio; /* raw bytes to a wire byte of late, in RATIO_ONE */
};

static struct peer *peer_at(const struct list *l) {
        return list_entry(l, struct peer, link);
}

static struct peer *peer_free(struct peer *p) {
        if (!p)
                return NULL;
        list_remove(&p->link);
        list_foreach_safe (at, &p->followed)
                free(list_entry(at, struct followed, link));
        sender_free(p->sender);
        free(p);
        return NULL;
}
DEFINE_CLEANUP_FREE(struct peer, peer_free)

static struct peer *peer_find(const struct target *t, const char *full) {
        list_foreach (at, &t->peers)
                if (strcmp(peer_at(at)->full, full) == 0)
                        return peer_at(at);
        return NULL;
}

void peers_drop(struct target *t, const char *from) {
        list_foreach_safe (at, &t->peers)
                if (!from || strcmp(peer_at(at)->full, from) == 0)
                        peer_free(peer_at(at));
}

void peers_revoke(struct target *t) {
        list_foreach_safe (at, &t->peers)
                if (target_role_of(t, peer_at(at)->full) < ROLE_VIEW)
                        peer_free(peer_at(at));
}

bool peers_present(const struct target *t, const char *owner) {
        list_foreach (at, &t->peers)
                if (strcmp(peer_at(at)->bare, owner) == 0 && !sender_stalled(peer_at(at)->sender))
                        return true;
        return false;
}

/*
 * Whose place may be taken by one more of @bare; NULL: nobody's. An account has its share of places, and whoever
 * may only look, and so has no runs here, keeps nobody out.
 */
static struct peer *peer_to_go(const struct target *t, const char *from, const char *bare) {
        struct peer *own = NULL, *lesser = NULL;
        enum role role = target_role_of(t, from);
        size_t n = 0, n_own = 0;

        list_foreach (at, &t->peers) {
                struct peer *p = peer_at(at);

                n++;
                if (strcmp(p->bare, bare) == 0) {
                        n_own++;
                        own = own ? own : p;
                } else if (!lesser && role >= ROLE_RUN && target_role_of(t, p->full) < ROLE_RUN) {
                        lesser = p;
                }
        }
        if (n_own >= PEERS_OF_ACCOUNT_MAX)
                return own;
        return n >= PEERS_MAX ? lesser : NULL;
}

static int peer_new(struct target *t, const char *from, struct peer **ret) {
        CLEANUP(peer_free) struct peer *p = NULL;
        char bare[JID_SIZE];
        size_t n = 0;
        int r;

        if (jid_bare(from, bare) != 0)
                return -EINVAL;
        peer_free(peer_to_go(t, from, bare));
        list_foreach (at, &t->peers)
                n++;
        if (n >= PEERS_MAX)
                return -ENOBUFS;
        p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        list_init(&p->link);
        list_init(&p->followed);
        snprintf(p->full, sizeof(p->full), "%s", from);
        memcpy(p->bare, bare, sizeof(p->bare));
        r = sender_new(&p->sender, NULL);
        if (r < 0)
                return r;
        flow_init(&p->flow, PEER_SLACK_USEC);
        p->ratio = RATIO_ONE * 3 / 4; /* base64 */
        list_append(&t->peers, &p->link);
        *ret = TAKE(p);
        return 0;
}

void peers_connected(struct target *t) {
        flow_init(&t->flow, LINK_SLACK_USEC);
}

static void look_at_link(struct target *t) {
        struct link_backlog b;

        link_backlog(t->link, &b);
        flow_counted(&t->flow, b.sent, b.sent > b.waiting ? b.sent - b.waiting : 0, 0,
                     target_now());
}

static void look_at_peer(struct peer *p) {
        const struct sender_weight *w = sender_weight(p->sender);

        flow_counted(&p->flow, w->sent, w->landed, w->lost, target_now());
}

static struct followed *followed_find(const struct peer *p, const char *run) {
        list_foreach (at, &p->followed) {
                struct followed *f = list_entry(at, struct followed, link);

                if (strcmp(f->run, run) == 0)
                        return f;
        }
        return NULL;
}

/* Does it get the streams of this run: its own, or followed? */
static bool wants(const struct peer *p, const struct runq_run *run) {
        return strcmp(p->bare, run->owner) == 0 || followed_find(p, run->id);
}

static int follow(struct peer *p, const struct runq_run *run) {
        struct followed *f;

        if (wants(p, run))
                return 0;
        if (p->n_followed >= FOLLOWED_MAX)
                return -ENOBUFS;
        f = calloc(1, sizeof(*f));
        if (!f)
                return -ENOMEM;
        snprintf(f->run, sizeof(f->run), "%s", run->id);
        list_append(&p->followed, &f->link);
        p->n_followed++;
        return 0;
}

static void unfollow(struct peer *p, const char *run) {
        struct followed *f = followed_find(p, run);

        if (!f)
                return;
        list_remove(&f->link);
        free(f);
        p->n_followed--;
}

static int open_at(struct peer *p, const char *run, const char *stream, uint64_t next,
                   uint64_t size) {
        int r = sender_open(p->sender, run, stream, next, size);
        if (r == SENDER_BAD_ACK) {
                /* A power cut took bytes here that the peer has durably: nothing to add to them. */
                log_warning("run %s: %s has %ju bytes of %s, we have %ju left", run, p->full,
                            (uintmax_t)next, stream, (uintmax_t)size);
                r = sender_open(p->sender, run, stream, size, size);
        }
        return r;
}

/* What a sync says, in order, so that looking up is cheap: thousands of entries meet thousands of runs. */
struct offsets {
        const struct stream_have **sorted;
        size_t n;
};

static void offsets_done(struct offsets *o) {
        free(o->sorted);
}
DEFINE_CLEANUP_DONE(struct offsets, offsets_done)

static int compare_names(const struct stream_have *h, const char *run, const char *stream) {
        int r = strcmp(h->run, run);
        return r != 0 ? r : strcmp(h->stream, stream);
}

static int compare_haves(const void *a, const void *b) {
        const struct stream_have *x = *(const struct stream_have *const *)a;
        const struct stream_have *y = *(const struct stream_have *const *)b;
        return compare_names(x, y->run, y->stream);
}

static int offsets_of(const struct stream_sync *m, struct offsets *ret) {
        const struct stream_have **sorted = calloc(m->n_have + 1, sizeof(*sorted));
        if (!sorted)
                return -ENOMEM;
        for (size_t i = 0; i < m->n_have; i++)
                sorted[i] = &m->have[i];
        qsort(sorted, m->n_have, sizeof(*sorted), compare_haves);
        *ret = (struct offsets){.sorted = sorted, .n = m->n_have};
        return 0;
}

/* The first entry that is not before these names; NULL: none. */
static const struct stream_have *offsets_from(const struct offsets *o, const char *run,
                                              const char *stream) {
        size_t lo = 0, hi = o->n;

        while (lo < hi) {
                size_t mid = lo + (hi - lo) / 2;
                if (compare_names(o->sorted[mid], run, stream) < 0)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo < o->n ? o->sorted[lo] : NULL;
}

static bool mentioned(const struct offsets *o, const char *run) {
        const struct stream_have *h = offsets_from(o, run, "");
        return h && strcmp(h->run, run) == 0;
}

static uint64_t have_next(const struct offsets *o, const char *run, const char *stream) {
        const struct stream_have *h = offsets_from(o, run, stream);
        return h && compare_names(h, run, stream) == 0 ? h->next : 0;
}

/* The name of each output that @run may have by now: of every attempt of every step. */
static bool nth_output(const struct runq_run *run, unsigned n, char ret[static STEP_NAME_SIZE]) {
        unsigned attempts = PLAN_RETRIES_MAX + 1;

        if (n / attempts >= run->step)
                return false;
        step_file(n / attempts + 1, n % attempts + 1, "out", ret);
        return true;
}

static int open_run(struct target *t, struct peer *p, const struct runq_run *run,
                    const struct offsets *o) {
        char name[32];
        int r = open_at(p, run->id, "events", have_next(o, run->id, "events"),
                        work_events_size(t, run));

        for (unsigned n = 0; nth_output(run, n, name) && r == 0; n++) {
                uint64_t size = 0;
                if (rundir_has(t->rundir, run->id, name, &size) > 0)
                        r = open_at(p, run->id, name, have_next(o, run->id, name), size);
        }
        return r;
}

static void mark_delivered(struct target *t, struct runq_run *run) {
        int r;

        if (!runq_delivered(t->runq, run, target_now()))
                return;
        r = rundir_delivered(t->rundir, run->id);
        if (r < 0)
                log_warning("cannot mark run %s as delivered: %s", run->id, strerror(-r));
}

/* Without this word its controller would take such a run for running for ever. */
static void refuse_unknown(struct target *t, const char *from, const struct stream_sync *m) {
        for (size_t i = 0; i < m->n_have; i++)
                if (strcmp(m->have[i].stream, "events") == 0 && !runq_find(t->runq, m->have[i].run))
                        run_refuse_lost(t, from, m->have[i].run);
}

int peers_sync(struct target *t, const char *from, const struct stream_sync *m) {
        CLEANUP(offsets_done) struct offsets offsets = {0};
        struct peer *p = NULL;
        int r = offsets_of(m, &offsets);

        if (r < 0)
                return r;
        peers_drop(t, from);
        r = peer_new(t, from, &p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < m->n_done; i++)
                peers_done(t, from, m->done[i].run);
        for (struct runq_run *run = runq_first(t->runq); run && r == 0;
             run = runq_after(t->runq, run)) {
                /* Another instance of the account may have got all of it while this one was away. */
                bool own = strcmp(run->owner, p->bare) == 0;
                bool named = mentioned(&offsets, run->id);

                if (!named && (!own || (run->retire_usec != USEC_NEVER && !m->all)))
                        continue;
                if (!own && follow(p, run) < 0)
                        continue;
                r = open_run(t, p, run, &offsets);
        }
        if (r < 0)
                peer_free(p);
        else if (target_role_of(t, from) >= ROLE_RUN) /* who may not start runs has lost none */
                refuse_unknown(t, from, m);
        target_kick(t);
        return r;
}

/* What there is of @run now. Returns 0 or -ENOMEM; what is beyond the limit is left out, and comes nevertheless. */
static int list_streams(struct target *t, const struct runq_run *run, struct arena *a,
                        struct stream_have *have, size_t *n) {
        const char *id = arena_strdup(a, run->id);
        char name[STEP_NAME_SIZE];
        uint64_t size;

        if (!id)
                return -ENOMEM;
        if (*n < STREAM_FOLLOW_MAX)
                have[(*n)++] = (struct stream_have){id, "events", work_events_size(t, run)};
        for (unsigned i = 0; *n < STREAM_FOLLOW_MAX && nth_output(run, i, name); i++) {
                char *copy;

                if (rundir_has(t->rundir, run->id, name, &size) <= 0)
                        continue;
                copy = arena_strdup(a, name);
                if (!copy)
                        return -ENOMEM;
                have[(*n)++] = (struct stream_have){id, copy, size};
        }
        return 0;
}

int peers_follow(struct target *t, const char *from, const struct stream_follow *m, struct arena *a,
                 struct stream_follow *ret) {
        CLEANUP(offsets_done) struct offsets offsets = {0};
        const struct stream_sync named = {.have = m->have, .n_have = m->n_have};
        struct stream_have *have = arena_alloc(a, STREAM_FOLLOW_MAX * sizeof(*have));
        struct peer *p = peer_find(t, from);
        const char *last = "";
        size_t n = 0;
        int r = have ? offsets_of(&named, &offsets) : -ENOMEM;

        if (r == 0 && !p)
                r = peer_new(t, from, &p);
        for (size_t i = 0; r == 0 && i < offsets.n; i++) {
                const struct runq_run *run = runq_find(t->runq, offsets.sorted[i]->run);

                if (!run || strcmp(run->id, last) == 0)
                        continue;
                last = run->id;
                r = follow(p, run);
                if (r == 0)
                        r = open_run(t, p, run, &offsets);
                if (r == 0)
                        r = list_streams(t, run, a, have, &n);
        }
        if (r < 0)
                return r;
        *ret = (struct stream_follow){.have = have, .n_have = n};
        target_kick(t);
        return 0;
}

void peers_offer(struct target *t, const char *from, const struct runq_run *run) {
        static const struct offsets nothing = {0};
        struct peer *p = peer_find(t, from);

        if (!p || run->retire_usec == USEC_NEVER || strcmp(p->bare, run->owner) != 0)
                return;
        if (open_run(t, p, run, &nothing) < 0)
                target_starve(t);
        target_kick(t);
}

void peers_done(struct target *t, const char *from, const char *id) {
        struct peer *p = peer_find(t, from);
        struct runq_run *run = runq_find(t->runq, id);

        if (p) {
                sender_close_run(p->sender, id);
                unfollow(p, id);
        }
        if (run && run->phase == RUNQ_OVER && jid_same_bare(from, run->owner))
                mark_delivered(t, run);
}

static bool all_drained(const struct peer *p, const struct runq_run *run) {
        char name[32];

        if (!sender_drained(p->sender, run->id, "events"))
                return false;
        for (unsigned n = 0; nth_output(run, n, name); n++)
                if (!sender_drained(p->sender, run->id, name))
                        return false;
        return true;
}

void peers_acked(struct target *t, const char *from, const struct stream_ack *m) {
        struct peer *p = peer_find(t, from);
        struct runq_run *run = runq_find(t->runq, m->run);
        int r;

        if (!p || !run)
                return;
        r = m->again ? sender_rewind(p->sender, m->run, m->stream, m->next, target_now())
                     : sender_acked(p->sender, m->run, m->stream, m->next, target_now());
        look_at_peer(p);
        if (r == SENDER_BAD_ACK)
                log_warning("run %s: %s acknowledges %ju bytes of %s, more than there are", m->run,
                            from, (uintmax_t)m->next, m->stream);
        else if (run->phase == RUNQ_OVER && jid_same_bare(from, run->owner) &&
                 run->retire_usec == USEC_NEVER && all_drained(p, run))
                mark_delivered(t, run);
        target_kick(t);
}

void peers_opened(struct target *t, const struct runq_run *run, const char *stream, uint64_t size) {
        list_foreach_safe (at, &t->peers) {
                struct peer *p = peer_at(at);
                if (wants(p, run) && open_at(p, run->id, stream, 0, size) < 0)
                        target_starve(t); /* without it that controller would wait for ever */
        }
        target_kick(t);
}

void peers_grew(struct target *t, const struct runq_run *run, const char *stream, uint64_t size) {
        list_foreach (at, &t->peers)
                if (wants(peer_at(at), run))
                        sender_grew(peer_at(at)->sender, run->id, stream, size, target_now());
        target_kick(t);
}

void peers_retired(struct target *t, const char *run) {
        list_foreach (at, &t->peers) {
                sender_close_run(peer_at(at)->sender, run);
                unfollow(peer_at(at), run);
        }
}

enum {
        CHUNK_UNREADABLE = 1, /* left out */
};

/*
 * Appends one chunk: of @c what weighs about @piece, for which @c is shortened when it does not compress as what
 * came before. Returns 0, CHUNK_UNREADABLE or -ENOMEM.
 */
static int put_chunk(struct target *t, struct xml_writer *w, struct sender_chunk *c,
                     uint64_t piece) {
        struct stream_chunk chunk = {.run = c->run, .stream = c->stream, .offset = c->offset};
        enum codec_kind kind = CODEC_RAW;
        ssize_t n = rundir_read(t->rundir, c->run, c->stream, c->offset, t->piece, c->size);

        if (n != (ssize_t)c->size) {
                log_error("run %s: cannot read %u bytes of %s at %ju: %s; trying again", c->run,
                          c->size, c->stream, (uintmax_t)c->offset,
                          n < 0 ? strerror((int)-n) : "the file is shorter than it was");
                return CHUNK_UNREADABLE;
        }
        for (unsigned tries = 0; tries < CHUNK_TRIES; tries++) {
                uint64_t size = c->size;
                int r = codec_pack(t->codec, (struct bytes){.data = t->piece, .size = c->size},
                                   &kind, &chunk.data);

                if (r < 0)
                        return r;
                if (chunk.data.size <= piece || size <= CHUNK_MIN)
                        break;
                size = size * piece / 2 / chunk.data.size;
                c->size = (uint32_t)(size > CHUNK_MIN ? size : CHUNK_MIN);
        }
        chunk.size = c->size;
        chunk.codec = (int)kind;
        return fields_write(&stream_chunk_element, &chunk, w);
}

static uint64_t less(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

/* What is sent at a time to @p now. */
static uint64_t piece_of(const struct target *t, const struct peer *p) {
        return less(flow_piece(&t->flow), flow_piece(&p->flow));
}

/* Tells the sender of @p what the way to it takes. */
static void pace(const struct target *t, struct peer *p) {
        uint64_t raw = piece_of(t, p) * p->ratio / RATIO_ONE;

        sender_hold(p->sender, !flow_open(&p->flow),
                    (uint32_t)less(raw > CHUNK_MIN ? raw : CHUNK_MIN, PIECE_SIZE));
}

static void went(struct peer *p, const struct sender_chunk *c, uint64_t weight) {
        sender_weighed(p->sender, c, weight, target_now());
        look_at_peer(p);
        if (c->size >= CHUNK_MIN && weight > 0)
                p->ratio = (p->ratio * 3 + c->size * RATIO_ONE / weight) / 4;
}

/*
 * One message to @p. Returns whether there was anything to send. What cannot be read counts as under way and is
 * tried again when nothing was heard of it for long; other streams go on meanwhile.
 */
static bool send_message(struct target *t, struct peer *p, uint64_t now_usec) {
        uint64_t piece = piece_of(t, p);
        struct sender_chunk c;
        struct xml_writer w;
        size_t raw = 0, begin = 0;
        bool more = false;
        int r;

        pace(t, p);
        while (raw < MESSAGE_RAW_MAX && t->out.len < piece &&
               sender_next(p->sender, now_usec, &c) == SENDER_CHUNK) {
                more = true;
                if (raw == 0) {
                        xml_writer_init(&w, &t->out);
                        xml_begin(&w, "message", NULL);
                        xml_put(&w, "to", p->full);
                        xml_put(&w, "type", "headline");
                        begin = 0;
                }
                r = c.size <= PIECE_SIZE ? put_chunk(t, &w, &c, piece) : -EMSGSIZE;
                if (r == 0) {
                        raw += c.size;
                        went(p, &c, t->out.len - begin);
                        begin = t->out.len;
                        pace(t, p);
                } else if (raw == 0) {
                        buf_clear(&t->out);
                }
                if (r == CHUNK_UNREADABLE)
                        sender_unreadable(p->sender, c.run, c.stream);
                if (r < 0)
                        break;
        }
        if (raw > 0) {
                xml_end(&w);
                target_send(t);
                look_at_link(t);
        }
        return more;
}

static bool link_open(const struct target *t) {
        return !link_full(t->link) && flow_open(&t->flow);
}

bool peers_pump(struct target *t, uint64_t now_usec) {
        bool sent = false, more = true;

        if (!link_online(t->link) || list_empty(&t->peers))
                return false;
        if (!t->piece) {
                t->piece = malloc(PIECE_SIZE);
                if (!t->piece)
                        return false;
        }
        look_at_link(t);
        while (more) {
                more = false;
                list_foreach (at, &t->peers) {
                        if (!link_open(t))
                                return sent;
                        more |= send_message(t, peer_at(at), now_usec);
                }
                sent |= more;
        }
        return sent;
}

uint64_t peers_deadline(const struct target *t, uint64_t now_usec) {
        uint64_t min = USEC_NEVER;

        if (!link_online(t->link) || link_full(t->link))
                return min;
        list_foreach (at, &t->peers)
                min = less(min, sender_deadline(peer_at(at)->sender, now_usec));
        /* the kernel does not say when it has sent something */
        if (min != USEC_NEVER && !flow_open(&t->flow) && min < now_usec + flow_wait_usec(&t->flow))
                min = now_usec + flow_wait_usec(&t->flow);
        return min;
}
