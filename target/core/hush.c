#include "target/core/hush.h"

#include "proto/base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct place {
        char *who; /* NULL: nobody's; always of the shared one */
        uint64_t begin_usec;
        unsigned lines; /* 0: nothing was heard */
        uint64_t count;
};

struct hush {
        struct place places[HUSH_MANY];
        struct place shared;
        char *told; /* whose count was given out last */
};

int hush_new(struct hush **ret) {
        *ret = calloc(1, sizeof(**ret));
        return *ret ? 0 : -ENOMEM;
}

struct hush *hush_free(struct hush *h) {
        if (!h)
                return NULL;
        for (size_t i = 0; i < HUSH_MANY; i++)
                free(h->places[i].who);
        free(h->told);
        free(h);
        return NULL;
}

static bool is_over(const struct place *p, uint64_t now_usec) {
        return now_usec - p->begin_usec >= HUSH_USEC;
}

/* Its time is over and everything of it was told. */
static bool is_free(const struct place *p, uint64_t now_usec) {
        return p->lines == 0 || (p->count == 0 && is_over(p, now_usec));
}

static const struct place *find(const struct hush *h, const char *who) {
        for (size_t i = 0; i < HUSH_MANY; i++)
                if (h->places[i].who && strcmp(h->places[i].who, who) == 0)
                        return &h->places[i];
        return NULL;
}

static struct place *place_for(struct hush *h, const char *who, uint64_t now_usec) {
        struct place *p = (struct place *)find(h, who);

        for (size_t i = 0; !p && i < HUSH_MANY; i++) {
                if (!is_free(&h->places[i], now_usec))
                        continue;
                free(h->places[i].who);
                h->places[i] = (struct place){.who = strdup(who)};
                if (!h->places[i].who)
                        break;
                p = &h->places[i];
        }
        if (!p)
                p = &h->shared;
        if (is_free(p, now_usec)) {
                p->lines = 0;
                p->begin_usec = now_usec;
        }
        return p;
}

bool hush_heard(struct hush *h, const char *who, uint64_t now_usec) {
        struct place *p = place_for(h, who, now_usec);

        if (p->lines >= HUSH_LINES) {
                p->count++;
                return false;
        }
        p->lines++;
        return true;
}

bool hush_open(const struct hush *h, const char *who, uint64_t now_usec) {
        const struct place *p = find(h, who);

        for (size_t i = 0; !p && i < HUSH_MANY; i++)
                if (is_free(&h->places[i], now_usec))
                        return true;
        if (!p)
                p = &h->shared;
        return is_free(p, now_usec) || p->lines < HUSH_LINES;
}

static bool sum_up(struct hush *h, struct place *p, uint64_t now_usec, struct hush_sum *ret) {
        if (p->count == 0 || (now_usec != USEC_NEVER && !is_over(p, now_usec)))
                return false;
        free(h->told);
        h->told = p->who;
        *ret = (struct hush_sum){
                .who = p->who,
                .count = p->count,
                .usec = now_usec == USEC_NEVER ? HUSH_USEC : now_usec - p->begin_usec,
        };
        *p = (struct place){0};
        return true;
}

bool hush_next(struct hush *h, uint64_t now_usec, struct hush_sum *ret) {
        for (size_t i = 0; i < HUSH_MANY; i++)
                if (sum_up(h, &h->places[i], now_usec, ret))
                        return true;
        return sum_up(h, &h->shared, now_usec, ret);
}

static uint64_t due_usec(const struct place *p) {
        return p->count > 0 ? p->begin_usec + HUSH_USEC : USEC_NEVER;
}

uint64_t hush_deadline(const struct hush *h) {
        uint64_t min = due_usec(&h->shared);

        for (size_t i = 0; i < HUSH_MANY; i++)
                if (due_usec(&h->places[i]) < min)
                        min = due_usec(&h->places[i]);
        return min;
}
