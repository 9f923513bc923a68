#include "controller/cli/followed.h"

#include "proto/base/clock.h"

#include <errno.h>
#include <string.h>

void followed_init(struct followed *r, const char *stream) {
        *r = (struct followed){.stream = stream, .note_usec = USEC_NEVER};
}

void followed_done(struct followed *r) {
        for (size_t k = 0; k < r->n_tails; k++)
                tail_done(&r->tails[k]);
        free(r->tails);
        json_free(r->doc);
        free(r->json);
        free(r->note);
        free(r->note_said);
        free(r->run);
}

static bool followed_wants(const struct followed *r, const char *stream) {
        return r->stream ? strcmp(stream, r->stream) == 0 : runinfo_order(stream) > 0;
}

/* Finds or makes. Returns 0 or -ENOMEM. */
static int followed_tail(struct followed *r, const char *stream, struct tail **ret) {
        struct tail tail;
        struct tail *tails;
        size_t at;

        for (size_t i = 0; i < r->n_tails; i++)
                if (strcmp(r->tails[i].stream, stream) == 0) {
                        *ret = &r->tails[i];
                        return 0;
                }
        tails = realloc(r->tails, (r->n_tails + 1) * sizeof(*tails));
        if (!tails)
                return -ENOMEM;
        r->tails = tails;
        if (tail_init(&tail, stream) < 0)
                return -ENOMEM;
        for (at = r->n_tails; at > 0 && tails[at - 1].order > tail.order; at--)
                tails[at] = tails[at - 1];
        tails[at] = tail;
        r->n_tails++;
        *ret = &tails[at];
        return 0;
}

int followed_grew(struct followed *r, const char *stream, uint64_t next) {
        struct tail *t;
        int q;

        if (!followed_wants(r, stream))
                return 0;
        q = followed_tail(r, stream, &t);
        if (q == 0)
                tail_grew(t, next);
        return q;
}

static int followed_streams(struct followed *r) {
        struct json_at root = json_root(r->doc);
        struct json_at streams;

        if (json_get(&root, "streams", &streams) != 0)
                return 0;
        for (size_t i = 0; i < json_length(&streams); i++) {
                struct json_at at;
                struct runinfo_stream s;
                struct tail *t;

                if (json_item(&streams, i, &at) != 0 || runinfo_read_stream(&at, &s) != 0 ||
                    !followed_wants(r, s.name))
                        continue;
                if (followed_tail(r, s.name, &t) < 0)
                        return -ENOMEM;
                tail_grew(t, s.next);
                if (s.has_size)
                        t->size = s.size;
        }
        return 0;
}

/* What stands in the note now; what had stood there is not worth saying any more. */
static int followed_take_note(struct followed *r, uint64_t now_usec) {
        const char *note = followed_ended(r) || !r->info.note ? "" : r->info.note;

        if (r->note && strcmp(r->note, note) == 0)
                return 0;
        free(r->note);
        r->note = strdup(note);
        r->note_usec = USEC_NEVER;
        if (!r->note)
                return -ENOMEM;
        if (*note && (!r->note_said || strcmp(r->note_said, note) != 0))
                r->note_usec = now_usec + FOLLOWED_NOTE_USEC;
        return 0;
}

int followed_heard(struct followed *r, const char *json, uint64_t now_usec, struct buf *ret_why) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(mem_free) char *copy = strdup(json);
        struct runinfo info;
        struct json_at root;
        struct tail *named;
        int q;

        if (!copy)
                return -ENOMEM;
        q = json_parse(&doc, "the controller's answer", json, strlen(json));
        if (q == 0) {
                root = json_root(doc);
                q = runinfo_read(&root, &info);
        }
        if (q > 0) {
                buf_puts(ret_why, json_error(doc));
                return FOLLOWED_BAD;
        }
        if (q == 0 && !r->run) {
                r->run = strdup(info.run);
                if (!r->run)
                        return -ENOMEM;
        }
        if (q < 0)
                return q;
        json_free(r->doc);
        free(r->json);
        r->doc = TAKE(doc);
        r->json = TAKE(copy);
        r->info = info;
        q = followed_streams(r);
        if (q == 0 && r->stream) /* it may be one that the document does not list */
                q = followed_tail(r, r->stream, &named);
        return q == 0 ? followed_take_note(r, now_usec) : q;
}

void followed_skip(struct followed *r) {
        for (size_t i = 0; i < r->n_tails; i++)
                r->tails[i].offset = r->tails[i].next;
}

void followed_close(struct followed *r) {
        for (size_t i = 0; i < r->n_tails; i++)
                tail_close(&r->tails[i]);
}

bool followed_ended(const struct followed *r) {
        return runinfo_ended(&r->info);
}

struct tail *followed_turn(struct followed *r) {
        for (size_t i = 0; i < r->n_tails; i++)
                if (!tail_finished(&r->tails[i], followed_ended(r)))
                        return &r->tails[i];
        return NULL;
}

const char *followed_note(struct followed *r, uint64_t now_usec) {
        if (r->note_usec > now_usec)
                return NULL;
        r->note_usec = USEC_NEVER;
        free(r->note_said);
        r->note_said = strdup(r->note);
        return r->note;
}
