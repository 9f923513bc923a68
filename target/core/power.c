#include "target/core/power.h"

#include "proto/base/clock.h"
#include "proto/base/id.h"
#include "proto/jid.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define GOOD_FOR_USEC (10 * USEC_PER_SEC)

struct challenge {
        char nonce[POWER_NONCE_SIZE]; /* "": free */
        char peer[JID_SIZE];
        char sid[ID_SIZE];
        char boot[64];
        uint64_t opened_usec;
};

struct power {
        struct challenge *open[POWER_OPEN_MAX]; /* oldest first, then NULL */
};

int power_new(struct power **ret) {
        struct power *p = calloc(1, sizeof(*p));
        if (!p)
                return -ENOMEM;
        *ret = p;
        return 0;
}

static void challenge_drop(struct power *p, size_t i) {
        explicit_bzero(p->open[i], sizeof(*p->open[i]));
        free(p->open[i]);
        memmove(&p->open[i], &p->open[i + 1], (POWER_OPEN_MAX - 1 - i) * sizeof(p->open[0]));
        p->open[POWER_OPEN_MAX - 1] = NULL;
}

void power_forget(struct power *p) {
        while (p->open[0])
                challenge_drop(p, 0);
}

struct power *power_free(struct power *p) {
        if (!p)
                return NULL;
        power_forget(p);
        free(p);
        return NULL;
}

unsigned power_count(const struct power *p) {
        unsigned n = 0;
        while (n < POWER_OPEN_MAX && p->open[n])
                n++;
        return n;
}

/* Drops what is too old, and what @peer had. */
static void prune(struct power *p, const char *peer, uint64_t now_usec) {
        for (size_t i = 0; i < POWER_OPEN_MAX && p->open[i];) {
                const struct challenge *c = p->open[i];
                if (now_usec - c->opened_usec > GOOD_FOR_USEC || strcmp(c->peer, peer) == 0)
                        challenge_drop(p, i);
                else
                        i++;
        }
}

int power_challenged(struct power *p, const char *peer, const char *sid, const char *boot,
                     uint64_t now_usec, const uint8_t random[static POWER_RANDOM_SIZE],
                     char ret_nonce[static POWER_NONCE_SIZE]) {
        struct challenge *c = NULL;

        prune(p, peer, now_usec);
        if (p->open[POWER_OPEN_MAX - 1])
                challenge_drop(p, 0);
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        for (size_t i = 0; i < POWER_RANDOM_SIZE; i++)
                snprintf(c->nonce + 2 * i, 3, "%02x", random[i]);
        snprintf(c->peer, sizeof(c->peer), "%s", peer);
        snprintf(c->sid, sizeof(c->sid), "%s", sid);
        snprintf(c->boot, sizeof(c->boot), "%s", boot);
        c->opened_usec = now_usec;
        memcpy(ret_nonce, c->nonce, POWER_NONCE_SIZE);
        p->open[power_count(p)] = c;
        return 0;
}

int power_answered(struct power *p, const char *nonce, const char *peer, const char *sid,
                   const char *boot, const char *boot_now, uint64_t now_usec) {
        int r = POWER_STALE;

        for (size_t i = 0; i < POWER_OPEN_MAX && p->open[i]; i++) {
                const struct challenge *c = p->open[i];
                if (strcmp(c->nonce, nonce) != 0)
                        continue;
                if (strcmp(c->peer, peer) != 0 || strcmp(c->sid, sid) != 0)
                        r = POWER_OTHER_PEER;
                else if (strcmp(c->boot, boot_now) != 0 || strcmp(boot, boot_now) != 0)
                        r = POWER_OTHER_BOOT;
                else if (now_usec - c->opened_usec <= GOOD_FOR_USEC)
                        r = 0;
                challenge_drop(p, i);
                break;
        }
        return r;
}
