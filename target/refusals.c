/* Refusals in the journal: who is refused by the thousand is told with a count (core/hush.h). */
#include "target/target.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/jid.h"

#include <stdio.h>

static const char *name_of(const char *from, char bare[static JID_SIZE]) {
        if (!*from)
                return "the server";
        return jid_bare(from, bare) == 0 ? bare : from;
}

bool refusal_heard(struct target *t, const char *from) {
        char bare[JID_SIZE];
        bool before = hush_deadline(t->hush) != USEC_NEVER;
        bool told = hush_heard(t->hush, name_of(from, bare), target_now());

        if (!told && !before)
                target_kick(t); /* for the timer */
        return told;
}

bool refusal_open(const struct target *t, const char *from) {
        char bare[JID_SIZE];

        return hush_open(t->hush, name_of(from, bare), target_now());
}

void refusals_pump(struct target *t, uint64_t now_usec) {
        struct hush_sum sum;

        while (hush_next(t->hush, now_usec, &sum)) {
                const struct log_field fields[] = {
                        {"ROTA_PEER", sum.who},
                        {NULL,        NULL   }
                };

                log_line(LOG_LEVEL_NOTICE, fields, "%ju more requests of %s were refused in %ju s",
                         (uintmax_t)sum.count, sum.who ? sum.who : "several others",
                         (uintmax_t)(sum.usec / USEC_PER_SEC));
        }
}
