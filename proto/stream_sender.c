#include "proto/stream_sender.h"

#include "proto/base/clock.h"
#include "proto/base/list.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define BUCKETS_MIN 16

/* A chunk under way. */
struct flight {
        struct flight *next;
        uint64_t end; /* the offset behind it */
        uint64_t weight;
};

/*
 *   0 ........ acked ........ sent ........ size
 *     durable        under way      unsent
 *
 * A stream is in `ready` or `waiting` while it has unsent bytes that can be read, in `pace` while it has flights.
 */
struct stream {
        struct stream *chain; /* of its bucket */
        uint32_t hash;
        struct list turn; /* ready or waiting */
        struct list pace;
        uint64_t acked;
        uint64_t sent;
        uint64_t size;
        uint64_t grew_usec;     /* when it grew last */
        uint64_t fresh_usec;    /* when the first unsent byte came, at the latest */
        uint64_t progress_usec; /* in `pace`: of the last ack, or of the first flight */
        uint64_t rewound_usec;  /* of the last gap */
        uint64_t rewound_next;  /* UINT64_MAX: none */
        struct flight *first;
        struct flight *last;
        const char *name; /* behind run */
        char run[];
};

struct sender {
        struct sender_limits limits;
        struct stream **buckets;
        size_t n_buckets; /* a power of two */
        size_t n_streams;
        struct list ready;   /* may send now, in turns */
        struct list waiting; /* hope for more bytes, by fresh_usec */
        struct list pace;    /* by progress_usec */
        struct flight *flights;
        struct flight *spare;
        unsigned under_way_chunks;
        uint64_t under_way_bytes;
        struct sender_weight weight;
        uint32_t chunk_max; /* at present */
        bool held;
        bool stalled;
};

static uint32_t hash_add(uint32_t hash, const char *text) {
        /* FNV-1a, with the NUL so that "a","bc" differs from "ab","c" */
        do {
                hash = (hash ^ (uint8_t)*text) * UINT32_C(16777619);
        } while (*text++);
        return hash;
}

static uint32_t hash_names(const char *run, const char *stream) {
        return hash_add(hash_add(UINT32_C(2166136261), run), stream);
}

static struct stream **bucket_of(const struct sender *s, uint32_t hash) {
        return &s->buckets[hash & (s->n_buckets - 1)];
}

static struct stream *find(const struct sender *s, const char *run, const char *stream) {
        uint32_t hash = hash_names(run, stream);

        for (struct stream *t = *bucket_of(s, hash); t; t = t->chain)
                if (t->hash == hash && strcmp(t->run, run) == 0 && strcmp(t->name, stream) == 0)
                        return t;
        return NULL;
}

/* Without memory the table stays as it is, with longer chains. */
static void grow_table(struct sender *s) {
        size_t n_old = s->n_buckets;
        struct stream **old = s->buckets;
        struct stream **buckets = calloc(n_old * 2, sizeof(*buckets));

        if (!buckets)
                return;
        s->buckets = buckets;
        s->n_buckets = n_old * 2;
        for (size_t i = 0; i < n_old; i++)
                for (struct stream *t = old[i], *after; t; t = after) {
                        struct stream **at = bucket_of(s, t->hash);

                        after = t->chain;
                        t->chain = *at;
                        *at = t;
                }
        free(old);
}

static struct stream *add(struct sender *s, const char *run, const char *stream) {
        size_t run_size = strlen(run) + 1, name_size = strlen(stream) + 1;
        struct stream *t = calloc(1, sizeof(*t) + run_size + name_size);
        struct stream **at;

        if (!t)
                return NULL;
        if (s->n_streams >= s->n_buckets)
                grow_table(s);
        memcpy(t->run, run, run_size);
        memcpy(t->run + run_size, stream, name_size);
        t->name = t->run + run_size;
        t->hash = hash_names(run, stream);
        t->rewound_next = UINT64_MAX;
        list_init(&t->turn);
        list_init(&t->pace);
        at = bucket_of(s, t->hash);
        t->chain = *at;
        *at = t;
        s->n_streams++;
        return t;
}

/* Frees the flights that end at or before @upto; their weight goes to @account. */
static void land(struct sender *s, struct stream *t, uint64_t upto, uint64_t *account) {
        while (t->first && t->first->end <= upto) {
                struct flight *f = t->first;

                *account += f->weight;
                t->first = f->next;
                f->next = s->spare;
                s->spare = f;
                s->under_way_chunks--;
        }
        if (!t->first) {
                t->last = NULL;
                list_remove(&t->pace);
        }
}

/* Puts the stream where its unsent bytes say, last in turn. */
static void take_turn(struct sender *s, struct stream *t, uint64_t now_usec) {
        struct list *at = &s->waiting;

        list_remove(&t->turn);
        if (t->sent == t->size)
                return;
        if (t->size - t->sent >= s->chunk_max ||
            now_usec - t->fresh_usec >= s->limits.coalesce_usec) {
                list_append(&s->ready, &t->turn);
                return;
        }
        /* from the end: only what grew within the last `coalesce` can be behind */
        while (at->prev != &s->waiting &&
               list_entry(at->prev, struct stream, turn)->fresh_usec > t->fresh_usec)
                at = at->prev;
        list_before(at, &t->turn);
}

/* Everything from the last ack is unsent again, and waits for nobody. */
static void forget_flights(struct sender *s, struct stream *t) {
        land(s, t, UINT64_MAX, &s->weight.lost);
        s->under_way_bytes -= t->sent - t->acked;
        t->sent = t->acked;
        t->fresh_usec = 0;
        list_remove(&t->turn);
        if (t->sent < t->size)
                list_append(&s->ready, &t->turn);
}

static void drop(struct sender *s, struct stream **at) {
        struct stream *t = *at;

        land(s, t, UINT64_MAX, &s->weight.lost);
        s->under_way_bytes -= t->sent - t->acked;
        list_remove(&t->turn);
        *at = t->chain;
        s->n_streams--;
        free(t);
}

int sender_new(struct sender **ret, const struct sender_limits *limits) {
        CLEANUP(sender_free) struct sender *s = calloc(1, sizeof(*s));
        struct sender_limits *l;

        if (!s)
                return -ENOMEM;
        l = &s->limits;
        if (limits)
                *l = *limits;
        if (l->window_bytes == 0)
                l->window_bytes = UINT64_C(4) << 20;
        if (l->window_chunks == 0)
                l->window_chunks = 200;
        if (l->chunk_max == 0)
                l->chunk_max = UINT32_C(32) << 10;
        if (l->coalesce_usec == 0)
                l->coalesce_usec = USEC_PER_MSEC;
        if (l->stall_usec == 0)
                l->stall_usec = 20 * USEC_PER_SEC;
        /* else a whole chunk would never fit */
        if (l->chunk_max > l->window_bytes)
                l->chunk_max = (uint32_t)l->window_bytes;
        s->chunk_max = l->chunk_max;
        list_init(&s->ready);
        list_init(&s->waiting);
        list_init(&s->pace);
        s->n_buckets = BUCKETS_MIN;
        s->buckets = calloc(s->n_buckets, sizeof(*s->buckets));
        s->flights = calloc(l->window_chunks, sizeof(*s->flights));
        if (!s->buckets || !s->flights)
                return -ENOMEM;
        for (unsigned i = 0; i < l->window_chunks; i++) {
                s->flights[i].next = s->spare;
                s->spare = &s->flights[i];
        }
        *ret = TAKE(s);
        return 0;
}

struct sender *sender_free(struct sender *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; s->buckets && i < s->n_buckets; i++)
                while (s->buckets[i])
                        drop(s, &s->buckets[i]);
        free(s->buckets);
        free(s->flights);
        free(s);
        return NULL;
}

int sender_open(struct sender *s, const char *run, const char *stream, uint64_t next,
                uint64_t size) {
        struct stream *t = find(s, run, stream);

        if (t && size < t->size)
                size = t->size;
        if (next > size)
                return SENDER_BAD_ACK;
        if (!t)
                t = add(s, run, stream);
        if (!t)
                return -ENOMEM;
        land(s, t, UINT64_MAX, &s->weight.lost);
        s->under_way_bytes -= t->sent - t->acked;
        t->acked = t->sent = next;
        t->size = size;
        t->rewound_next = UINT64_MAX;
        forget_flights(s, t);
        return 0;
}

void sender_grew(struct sender *s, const char *run, const char *stream, uint64_t size,
                 uint64_t now_usec) {
        struct stream *t = find(s, run, stream);
        bool turn;

        if (!t || size <= t->size)
                return;
        if (t->sent == t->size)
                t->fresh_usec = now_usec;
        t->grew_usec = now_usec;
        /* who waits already keeps its place until it has a whole chunk; who is ready keeps its turn */
        turn = t->sent == t->size ||
               (t->size - t->sent < s->chunk_max && size - t->sent >= s->chunk_max &&
                now_usec - t->fresh_usec < s->limits.coalesce_usec);
        t->size = size;
        if (turn)
                take_turn(s, t, now_usec);
}

int sender_acked(struct sender *s, const char *run, const char *stream, uint64_t next,
                 uint64_t now_usec) {
        struct stream *t = find(s, run, stream);

        s->stalled = false;
        if (!t)
                return 0;
        if (next > t->size)
                return SENDER_BAD_ACK;
        if (next <= t->acked)
                return 0;
        s->under_way_bytes -= (next < t->sent ? next : t->sent) - t->acked;
        t->acked = next;
        if (t->sent < next) {
                t->sent = next;
                if (t->sent == t->size)
                        list_remove(&t->turn);
        }
        t->progress_usec = now_usec;
        land(s, t, next, &s->weight.landed);
        if (t->first) {
                list_remove(&t->pace);
                list_append(&s->pace, &t->pace);
        }
        return 0;
}

int sender_rewind(struct sender *s, const char *run, const char *stream, uint64_t next,
                  uint64_t now_usec) {
        struct stream *t = find(s, run, stream);
        int r;

        r = sender_acked(s, run, stream, next, now_usec);
        /* below the last ack: an old request, overtaken by what came since */
        if (r != 0 || !t || next < t->acked)
                return r;
        if (t->rewound_next == next && now_usec - t->rewound_usec < s->limits.stall_usec / 4)
                return 0;
        if (!t->first)
                return 0;
        t->rewound_next = next;
        t->rewound_usec = now_usec;
        forget_flights(s, t);
        return 0;
}

void sender_close(struct sender *s, const char *run, const char *stream) {
        struct stream *t = find(s, run, stream);
        struct stream **at;

        if (!t)
                return;
        for (at = bucket_of(s, t->hash); *at != t; at = &(*at)->chain)
                ;
        drop(s, at);
}

void sender_close_run(struct sender *s, const char *run) {
        for (size_t i = 0; i < s->n_buckets; i++)
                for (struct stream **at = &s->buckets[i]; *at;) {
                        if (strcmp((*at)->run, run) == 0)
                                drop(s, at);
                        else
                                at = &(*at)->chain;
                }
}

/* Whose turn it is, or would be once the window has room; NULL when everything is sent. */
static struct stream *head(const struct sender *s) {
        if (!list_empty(&s->ready))
                return list_entry(s->ready.next, struct stream, turn);
        if (!list_empty(&s->waiting))
                return list_entry(s->waiting.next, struct stream, turn);
        return NULL;
}

static uint32_t next_size(const struct sender *s, const struct stream *t) {
        uint64_t unsent = t->size - t->sent;

        return unsent < s->chunk_max ? (uint32_t)unsent : s->chunk_max;
}

/* A chunk is not shortened to fit: the window opens a whole chunk later. */
static bool fits(const struct sender *s, uint32_t size) {
        if ((s->stalled || s->held) && s->under_way_chunks > 0)
                return false;
        return s->under_way_chunks < s->limits.window_chunks &&
               size <= s->limits.window_bytes - s->under_way_bytes;
}

static uint64_t usec_add(uint64_t a, uint64_t b) {
        return b > USEC_NEVER - a ? USEC_NEVER : a + b;
}

static void expire(struct sender *s, uint64_t now_usec) {
        while (!list_empty(&s->pace)) {
                struct stream *t = list_entry(s->pace.next, struct stream, pace);

                if (now_usec - t->progress_usec < s->limits.stall_usec)
                        break;
                forget_flights(s, t);
                s->stalled = true;
        }
        while (!list_empty(&s->waiting)) {
                struct stream *t = list_entry(s->waiting.next, struct stream, turn);

                if (now_usec - t->fresh_usec < s->limits.coalesce_usec)
                        break;
                list_remove(&t->turn);
                list_append(&s->ready, &t->turn);
        }
}

static void take_off(struct sender *s, struct stream *t, uint32_t size, uint64_t now_usec) {
        struct flight *f = s->spare;

        assert(f);
        s->spare = f->next;
        t->sent += size;
        *f = (struct flight){.end = t->sent};
        if (t->last) {
                t->last->next = f;
        } else {
                t->first = f;
                t->progress_usec = now_usec;
                list_append(&s->pace, &t->pace);
        }
        t->last = f;
        s->under_way_chunks++;
        s->under_way_bytes += size;
        t->fresh_usec = t->grew_usec;
        take_turn(s, t, now_usec);
}

int sender_next(struct sender *s, uint64_t now_usec, struct sender_chunk *ret) {
        struct stream *t;
        uint32_t size;

        expire(s, now_usec);
        t = head(s);
        if (!t || (list_empty(&s->ready) && s->under_way_chunks > 0))
                return 0;
        size = next_size(s, t);
        if (!fits(s, size))
                return 0;
        *ret = (struct sender_chunk){
                .run = t->run, .stream = t->name, .offset = t->sent, .size = size};
        take_off(s, t, size, now_usec);
        return SENDER_CHUNK;
}

void sender_weighed(struct sender *s, const struct sender_chunk *went, uint64_t weight,
                    uint64_t now_usec) {
        struct stream *t = find(s, went->run, went->stream);
        uint64_t end = went->offset + went->size;

        if (!t || !t->last)
                return;
        t->last->weight = weight;
        s->weight.sent += weight;
        if (end < t->last->end) {
                s->under_way_bytes -= t->last->end - end;
                t->last->end = t->sent = end;
                t->fresh_usec = 0; /* the rest has waited long enough */
                take_turn(s, t, now_usec);
        }
}

const struct sender_weight *sender_weight(const struct sender *s) {
        return &s->weight;
}

void sender_hold(struct sender *s, bool hold, uint32_t chunk_max) {
        s->held = hold;
        s->chunk_max = chunk_max < s->limits.chunk_max ? chunk_max : s->limits.chunk_max;
}

void sender_unreadable(struct sender *s, const char *run, const char *stream) {
        struct stream *t = find(s, run, stream);

        if (t)
                list_remove(&t->turn);
}

uint64_t sender_deadline(const struct sender *s, uint64_t now_usec) {
        const struct stream *t = head(s);
        uint64_t deadline = USEC_NEVER;

        if (!list_empty(&s->pace))
                deadline = usec_add(list_entry(s->pace.next, struct stream, pace)->progress_usec,
                                    s->limits.stall_usec);
        if (t && fits(s, next_size(s, t))) {
                uint64_t at = now_usec;

                if (list_empty(&s->ready) && s->under_way_chunks > 0)
                        at = usec_add(t->fresh_usec, s->limits.coalesce_usec);
                if (at < deadline)
                        deadline = at;
        }
        return deadline > now_usec ? deadline : now_usec;
}

bool sender_drained(const struct sender *s, const char *run, const char *stream) {
        const struct stream *t = find(s, run, stream);

        return !t || t->acked == t->size;
}

bool sender_stalled(const struct sender *s) {
        return s->stalled;
}
