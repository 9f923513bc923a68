#include "proto/iqtrack.h"

#include "proto/base/clock.h"
#include "proto/base/list.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct request {
        struct list link;
        uint64_t asked_usec;
        uint64_t deadline_usec;
        iq_done *done;
        void *userdata;
        char id[ID_SIZE];
        char to[];
};

struct iqtrack {
        struct list under_way; /* by deadline */
        struct list ending;    /* their callbacks are about to be called */
};

int iqtrack_new(struct iqtrack **ret) {
        struct iqtrack *t = calloc(1, sizeof(*t));

        if (!t)
                return -ENOMEM;
        list_init(&t->under_way);
        list_init(&t->ending);
        *ret = t;
        return 0;
}

static void list_free(struct list *head) {
        while (!list_empty(head)) {
                struct request *q = list_entry(head->next, struct request, link);

                list_remove(&q->link);
                free(q);
        }
}

struct iqtrack *iqtrack_free(struct iqtrack *t) {
        if (!t)
                return NULL;
        list_free(&t->under_way);
        list_free(&t->ending);
        free(t);
        return NULL;
}

/* Most requests have the same patience, so the place is found from the end at once. */
static void insert_by_deadline(struct iqtrack *t, struct request *q) {
        struct list *at = t->under_way.prev;

        while (at != &t->under_way &&
               list_entry(at, struct request, link)->deadline_usec > q->deadline_usec)
                at = at->prev;
        list_before(at->next, &q->link);
}

int iqtrack_ask(struct iqtrack *t, const char *to, uint64_t now_usec, uint64_t deadline_usec,
                iq_done *done, void *userdata, char ret_id[static ID_SIZE]) {
        CLEANUP(mem_free) struct request *q = NULL;
        size_t len;
        int r;

        assert(done);

        to = to ? to : "";
        len = strlen(to) + 1;
        q = calloc(1, sizeof(*q) + len);
        if (!q)
                return -ENOMEM;
        r = id_new(q->id);
        if (r < 0)
                return r;
        memcpy(q->to, to, len);
        q->asked_usec = now_usec;
        q->deadline_usec = deadline_usec;
        q->done = done;
        q->userdata = userdata;
        memcpy(ret_id, q->id, ID_SIZE);
        insert_by_deadline(t, TAKE(q));
        return 0;
}

/* @q is unlinked: the callback may do to the tracker what it likes, except free it. */
static void request_end(struct request *q, const struct iq_answer *answer) {
        q->done(q->userdata, answer);
        free(q);
}

/* The bare part of an address ignores case, the resource does not. */
static bool jid_same(const char *a, const char *b) {
        size_t bare_a = strcspn(a, "/"), bare_b = strcspn(b, "/");

        return bare_a == bare_b && strncasecmp(a, b, bare_a) == 0 &&
               strcmp(a + bare_a, b + bare_b) == 0;
}

/* Is @from, in a stanza addressed @to us, our own server or account? (RFC 6120 8.1.2.1) */
static bool from_own_server(const char *from, const char *to) {
        size_t bare = strcspn(to, "/");
        const char *at = memchr(to, '@', bare);
        size_t len = strlen(from);

        if (len == 0)
                return true;
        if (len == bare && strncasecmp(from, to, bare) == 0)
                return true;
        if (!at)
                return false;
        bare -= (size_t)(at + 1 - to);
        return len == bare && strncasecmp(from, at + 1, bare) == 0;
}

static bool answers(const struct request *q, const char *id, const char *from, const char *to) {
        if (strcmp(q->id, id) != 0)
                return false;
        return *q->to ? jid_same(q->to, from) : from_own_server(from, to);
}

int iqtrack_answered(struct iqtrack *t, uint64_t now_usec, const struct xml *stanza) {
        const char *id = xml_attr(stanza, "id"), *type = xml_attr(stanza, "type");
        const char *from = xml_attr(stanza, "from"), *to = xml_attr(stanza, "to");
        struct iq_answer answer = {.stanza = stanza};

        if (!id || !type)
                return IQTRACK_UNKNOWN;
        if (strcmp(type, "result") == 0)
                answer.end = IQ_RESULT;
        else if (strcmp(type, "error") == 0)
                answer.end = IQ_ERROR;
        else
                return IQTRACK_UNKNOWN;
        answer.from = from ? from : "";

        list_foreach (it, &t->under_way) {
                struct request *q = list_entry(it, struct request, link);

                if (!answers(q, id, answer.from, to ? to : ""))
                        continue;
                /* it was there in time only if expired() has not been told so */
                list_remove(&q->link);
                answer.rtt_usec = now_usec > q->asked_usec ? now_usec - q->asked_usec : 0;
                request_end(q, &answer);
                return 0;
        }
        return IQTRACK_UNKNOWN;
}

uint64_t iqtrack_deadline(const struct iqtrack *t) {
        if (list_empty(&t->under_way))
                return USEC_NEVER;
        return list_entry(t->under_way.next, struct request, link)->deadline_usec;
}

/* Callbacks may ask anew (not ended here) or forget others (which must not be called then). */
static void end_all(struct iqtrack *t, enum iq_end end, uint64_t now_usec) {
        while (!list_empty(&t->ending)) {
                struct request *q = list_entry(t->ending.next, struct request, link);
                struct iq_answer answer = {
                        .end = end,
                        .from = q->to,
                        .rtt_usec = now_usec > q->asked_usec ? now_usec - q->asked_usec : 0,
                };

                list_remove(&q->link);
                request_end(q, &answer);
        }
}

void iqtrack_expired(struct iqtrack *t, uint64_t now_usec) {
        list_foreach_safe (it, &t->under_way) {
                if (list_entry(it, struct request, link)->deadline_usec > now_usec)
                        break;
                list_remove(it);
                list_append(&t->ending, it);
        }
        end_all(t, IQ_TIMEOUT, now_usec);
}

void iqtrack_lost(struct iqtrack *t) {
        list_foreach_safe (it, &t->under_way) {
                list_remove(it);
                list_append(&t->ending, it);
        }
        end_all(t, IQ_LOST, 0);
}

static void list_forget(struct list *head, const void *userdata) {
        list_foreach_safe (it, head) {
                struct request *q = list_entry(it, struct request, link);

                if (q->userdata != userdata)
                        continue;
                list_remove(it);
                free(q);
        }
}

void iqtrack_forget(struct iqtrack *t, const void *userdata) {
        list_forget(&t->under_way, userdata);
        list_forget(&t->ending, userdata);
}
