#include "controller/core/fleet.h"

#include "proto/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct target *target_free(struct target *t) {
        if (!t)
                return NULL;
        arena_done(&t->arena);
        free(t->lost);
        free(t->full);
        free(t->name);
        free(t->jid);
        free(t);
        return NULL;
}
DEFINE_CLEANUP_FREE(struct target, target_free)

void fleet_init(struct fleet *f) {
        *f = (struct fleet){0};
}

void fleet_done(struct fleet *f) {
        for (size_t i = 0; i < f->n_targets; i++)
                target_free(f->targets[i]);
        free(f->targets);
        *f = (struct fleet){0};
}

/* The index of @bare, or where it would be. */
static size_t find_slot(const struct fleet *f, const char *bare, bool *ret_there) {
        size_t lo = 0, hi = f->n_targets;

        while (lo < hi) {
                size_t mid = lo + (hi - lo) / 2;
                int r = strcmp(f->targets[mid]->jid, bare);

                if (r == 0) {
                        *ret_there = true;
                        return mid;
                }
                if (r < 0)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        *ret_there = false;
        return lo;
}

struct target *fleet_find(const struct fleet *f, const char *jid) {
        char bare[JID_SIZE];
        bool there;
        size_t i;

        if (jid_bare(jid, bare) != 0)
                return NULL;
        i = find_slot(f, bare, &there);
        return there ? f->targets[i] : NULL;
}

struct target *fleet_find_name(const struct fleet *f, const char *name) {
        for (size_t i = 0; i < f->n_targets; i++)
                if (strcmp(f->targets[i]->name, name) == 0)
                        return f->targets[i];
        return NULL;
}

/* Two machines with one local part are both shown with their domain. */
static int give_name(struct fleet *f, struct target *t) {
        char local[JID_SIZE], other[JID_SIZE];
        bool clash = false;

        if (jid_local(t->jid, local) != 0)
                return -EINVAL;
        for (size_t i = 0; i < f->n_targets; i++) {
                struct target *o = f->targets[i];
                char *name;

                if (jid_local(o->jid, other) != 0 || strcmp(local, other) != 0)
                        continue;
                clash = true;
                if (strcmp(o->name, o->jid) == 0)
                        continue;
                name = strdup(o->jid);
                if (!name)
                        return -ENOMEM;
                free(o->name);
                o->name = name;
                o->dirty = true;
        }
        t->name = strdup(clash ? t->jid : local);
        return t->name ? 0 : -ENOMEM;
}

int fleet_add(struct fleet *f, const char *jid, struct target **ret) {
        CLEANUP(target_free) struct target *t = NULL;
        char bare[JID_SIZE];
        bool there;
        size_t at;
        int r;

        if (jid_bare(jid, bare) != 0)
                return -EINVAL;
        at = find_slot(f, bare, &there);
        if (there) {
                *ret = f->targets[at];
                return 0;
        }
        if (f->n_targets >= FLEET_MAX)
                return FLEET_FULL;
        t = calloc(1, sizeof(*t));
        if (!t)
                return -ENOMEM;
        t->jid = strdup(bare);
        if (!t->jid)
                return -ENOMEM;
        r = give_name(f, t);
        if (r < 0)
                return r;
        avail_init(&t->avail);
        t->sync_at = USEC_NEVER;
        if (f->n_targets == f->cap) {
                size_t cap = f->cap ? f->cap * 2 : 16;
                struct target **grown = realloc(f->targets, cap * sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                f->targets = grown;
                f->cap = cap;
        }
        memmove(f->targets + at + 1, f->targets + at, (f->n_targets - at) * sizeof(*f->targets));
        f->n_targets++;
        *ret = f->targets[at] = TAKE(t);
        return 0;
}

static const char *keep(struct arena *a, const char *text, bool *failed) {
        char *copy;

        if (!text)
                return NULL;
        copy = arena_strdup(a, text);
        if (!copy)
                *failed = true;
        return copy;
}

static const struct fleet_lease *keep_lease(struct arena *a, const struct fleet_lease *in,
                                            bool *failed) {
        struct fleet_lease *l;

        if (!in)
                return NULL;
        l = arena_alloc(a, sizeof(*l));
        if (!l) {
                *failed = true;
                return NULL;
        }
        *l = *in;
        l->id = keep(a, in->id ? in->id : "", failed);
        l->holder = keep(a, in->holder ? in->holder : "", failed);
        l->by = keep(a, in->by, failed);
        l->reason = keep(a, in->reason, failed);
        return l;
}

static const struct fleet_note *keep_note(struct arena *a, const struct fleet_note *in,
                                          bool *failed) {
        struct fleet_note *n;

        if (!in)
                return NULL;
        n = arena_alloc(a, sizeof(*n));
        if (!n) {
                *failed = true;
                return NULL;
        }
        n->by = keep(a, in->by, failed);
        n->reason = keep(a, in->reason, failed);
        return n;
}

void fleet_released(struct target *t) {
        t->facts.lease = NULL;
}

static int take_facts(struct target *t, const struct fleet_facts *in) {
        CLEANUP(arena_done) struct arena a = {0};
        struct fleet_facts facts = *in;
        struct fleet_label *labels = NULL;
        bool failed = false;

        facts.n_labels = in->n_labels < FLEET_LABELS_MAX ? in->n_labels : FLEET_LABELS_MAX;
        if (facts.n_labels > 0) {
                labels = arena_alloc(&a, facts.n_labels * sizeof(*labels));
                if (!labels)
                        return -ENOMEM;
        }
        for (size_t i = 0; i < facts.n_labels; i++) {
                labels[i].name = keep(&a, in->labels[i].name ? in->labels[i].name : "", &failed);
                labels[i].value = keep(&a, in->labels[i].value ? in->labels[i].value : "", &failed);
        }
        facts.labels = labels;
        facts.boot = keep(&a, in->boot, &failed);
        facts.sid = keep(&a, in->sid, &failed);
        facts.version = keep(&a, in->version, &failed);
        facts.title = keep(&a, in->title, &failed);
        facts.location = keep(&a, in->location, &failed);
        facts.status = keep(&a, in->status, &failed);
        facts.run = keep(&a, in->run, &failed);
        facts.run_owner = keep(&a, in->run_owner, &failed);
        facts.run_by = keep(&a, in->run_by, &failed);
        facts.run_title = keep(&a, in->run_title, &failed);
        facts.lease = keep_lease(&a, in->lease, &failed);
        facts.quarantine = keep_note(&a, in->quarantine, &failed);
        facts.away = keep_note(&a, in->away, &failed);
        if (failed)
                return -ENOMEM;
        arena_done(&t->arena);
        t->arena = a;
        a = (struct arena){0};
        t->facts = facts;
        return 0;
}

static bool same(const char *a, const char *b) {
        return a && b ? strcmp(a, b) == 0 : a == b;
}

int fleet_announced(struct target *t, const char *full, const struct fleet_facts *facts,
                    unsigned part, uint64_t realtime_usec, uint64_t now_usec) {
        bool known = t->avail.present && same(t->full, full) && same(t->facts.sid, facts->sid);
        bool fresh = !known || !t->avail.confirmed;
        const struct avail_news news = {
                .announced = facts->state,
                .fresh = !known,
                .rebooted = facts->boot && t->facts.boot && !same(facts->boot, t->facts.boot),
                .promised_usec = facts->back_within_usec,
                .part = part,
        };
        char *copy = NULL;
        int r;

        if (!same(t->full, full)) {
                copy = strdup(full);
                if (!copy)
                        return -ENOMEM;
        }
        r = take_facts(t, facts);
        if (r < 0) {
                free(copy);
                return r;
        }
        if (copy) {
                free(t->full);
                t->full = copy;
        }
        t->kind = FLEET_TARGET;
        t->dirty = true;
        avail_announced(&t->avail, &news, realtime_usec, now_usec);
        /* with no ping under way the state does not hang on our own link */
        avail_judge(&t->avail, &(struct avail_link){0}, realtime_usec, now_usec);
        return fresh ? FLEET_NEW_SESSION : 0;
}

int fleet_remember(struct target *t, const struct fleet_facts *facts, const struct avail_past *past,
                   uint64_t realtime_usec, uint64_t now_usec) {
        int r = take_facts(t, facts);

        if (r < 0)
                return r;
        avail_remember(&t->avail, past, realtime_usec, now_usec);
        t->dirty = false;
        return 0;
}

static void lose_session(struct target *t) {
        t->synced_sid[0] = t->asked_sid[0] = '\0';
        t->sync_at = USEC_NEVER;
        t->dirty = true;
}

bool fleet_gone(struct target *t, const char *full, const char *words, uint64_t realtime_usec,
                uint64_t now_usec) {
        bool was = t->avail.present;

        /* after a restart a server says so of everybody who is not back yet: fleet_settle() waits for them */
        if (was && !t->avail.confirmed)
                return false;
        if ((!was && t->avail.gone != AVAIL_GONE_BOUNCED) ||
            (t->full && full && !same(t->full, full)))
                return false;
        avail_gone(&t->avail, words, realtime_usec, now_usec);
        if (was)
                lose_session(t);
        return was;
}

bool fleet_bounced(struct target *t, const char *full, uint64_t realtime_usec, uint64_t now_usec) {
        if (!t->avail.present || !t->avail.confirmed || !same(t->full, full))
                return false;
        avail_bounced(&t->avail, realtime_usec, now_usec);
        lose_session(t);
        return true;
}

void fleet_unconfirm(struct fleet *f) {
        for (size_t i = 0; i < f->n_targets; i++) {
                struct target *t = f->targets[i];

                if (t->avail.confirmed || f->settled)
                        lose_session(t);
                avail_unconfirm(&t->avail);
        }
        f->settled = false;
}

void fleet_settle(struct fleet *f, uint64_t realtime_usec) {
        f->settled = true;
        for (size_t i = 0; i < f->n_targets; i++) {
                struct target *t = f->targets[i];

                if (!t->avail.confirmed)
                        t->dirty = true;
                if (t->avail.present && !t->avail.confirmed) {
                        avail_not_back(&t->avail, realtime_usec);
                        lose_session(t);
                }
        }
}

bool fleet_awaits(const struct fleet *f) {
        for (size_t i = 0; i < f->n_targets; i++)
                if (f->targets[i]->avail.present && !f->targets[i]->avail.confirmed)
                        return true;
        return false;
}

bool fleet_known(const struct fleet *f, const struct target *t) {
        return f->link.online && !f->link.mute && (t->avail.confirmed || f->settled);
}

const char *fleet_shown(const struct fleet *f, const struct target *t) {
        return fleet_known(f, t) ? avail_state_name(t->avail.state) : "unknown";
}

bool fleet_reachable(const struct target *t) {
        return t->kind == FLEET_TARGET && t->avail.present && t->avail.confirmed && t->full;
}
