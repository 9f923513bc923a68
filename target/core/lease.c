#include "target/core/lease.h"

#include "proto/base/clock.h"

#include <stdio.h>
#include <string.h>

void lease_init(struct lease *l) {
        *l = (struct lease){.until_usec = USEC_NEVER};
}

bool lease_in_force(const struct lease *l) {
        return l->record.id[0] != '\0';
}

static uint64_t later(uint64_t at_usec, uint64_t by_usec) {
        return by_usec > USEC_NEVER - 1 - at_usec ? USEC_NEVER - 1 : at_usec + by_usec;
}

void lease_restore(struct lease *l, const struct lease_record *record, bool same_boot,
                   uint64_t until_usec, struct lease_times at) {
        uint64_t left = 0;

        l->record = *record;
        l->until_usec = USEC_NEVER;
        if (!lease_in_force(l))
                return;
        if (same_boot) {
                l->until_usec = until_usec;
                return;
        }
        /* the calendar may have been set back while nobody looked: no more than the whole length */
        if (record->until_usec > at.realtime_usec)
                left = record->until_usec - at.realtime_usec;
        if (left > record->length_usec)
                left = record->length_usec;
        l->until_usec = later(at.now_usec, left);
}

static void fill_words(char *ret, size_t size, const char *words) {
        snprintf(ret, size, "%s", words ? words : "");
}

int lease_acquire(const struct lease *l, const struct lease_ask *ask, bool take,
                  struct lease_times at, struct lease_record *ret) {
        const struct lease_record *now = &l->record;

        if (lease_in_force(l) && strcmp(now->id, ask->id) == 0)
                return strcmp(now->holder, ask->holder) == 0 ? LEASE_SAME : LEASE_OTHER;
        if (lease_in_force(l) && !take)
                return LEASE_HELD;
        *ret = (struct lease_record){
                .token = now->token + 1,
                .change = now->change + 1,
                .since_usec = at.realtime_usec,
                .until_usec = later(at.realtime_usec, ask->length_usec),
                .length_usec = ask->length_usec,
        };
        fill_words(ret->id, sizeof(ret->id), ask->id);
        fill_words(ret->holder, sizeof(ret->holder), ask->holder);
        fill_words(ret->by, sizeof(ret->by), ask->by);
        fill_words(ret->reason, sizeof(ret->reason), ask->reason);
        return 0;
}

static int check_holder(const struct lease *l, const char *id, const char *holder) {
        if (!lease_in_force(l) || strcmp(l->record.id, id) != 0)
                return LEASE_STALE;
        return strcmp(l->record.holder, holder) == 0 ? 0 : LEASE_OTHER;
}

int lease_extend(const struct lease *l, const char *id, const char *holder, uint64_t token,
                 uint64_t length_usec, struct lease_times at, struct lease_record *ret) {
        int r = check_holder(l, id, holder);

        if (r == 0 && token != l->record.token)
                r = LEASE_STALE;
        if (r != 0)
                return r;
        *ret = l->record;
        ret->change++;
        ret->length_usec = length_usec;
        ret->until_usec = later(at.realtime_usec, length_usec);
        return 0;
}

static void empty(const struct lease *l, struct lease_record *ret) {
        *ret = (struct lease_record){
                .token = l->record.token,
                .change = l->record.change + 1,
        };
}

int lease_release(const struct lease *l, const char *id, const char *holder,
                  struct lease_record *ret) {
        int r = check_holder(l, id, holder);

        if (r == 0)
                empty(l, ret);
        return r;
}

bool lease_over(const struct lease *l, uint64_t now_usec, struct lease_record *ret) {
        if (!lease_in_force(l) || now_usec < l->until_usec)
                return false;
        empty(l, ret);
        return true;
}

void lease_set(struct lease *l, const struct lease_record *record, uint64_t now_usec) {
        l->record = *record;
        l->until_usec = lease_in_force(l) ? later(now_usec, record->length_usec) : USEC_NEVER;
}

bool lease_admits(const struct lease *l, uint64_t token) {
        return !lease_in_force(l) || token == l->record.token;
}

uint64_t lease_left(const struct lease *l, uint64_t now_usec) {
        return lease_in_force(l) && l->until_usec > now_usec ? l->until_usec - now_usec : 0;
}

uint64_t lease_deadline(const struct lease *l) {
        return l->until_usec;
}
