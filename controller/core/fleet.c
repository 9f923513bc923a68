#include "controller/core/fleet.h"

#include "proto/base/clock.h"
#include "proto/units.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const state_names[] = {
        [FLEET_READY] = "ready",
        [FLEET_BUSY] = "busy",
        [FLEET_RESERVED] = "reserved",
        [FLEET_DRAINING] = "draining",
        [FLEET_QUARANTINED] = "quarantined",
        [FLEET_REBOOTING] = "rebooting",
        [FLEET_AWAY] = "away",
        [FLEET_SILENT] = "silent",
        [FLEET_OFFLINE] = "offline",
};

const char *fleet_state_name(enum fleet_state s) {
        return state_names[s];
}

int fleet_state_parse(const char *name, enum fleet_state *ret) {
        for (size_t i = 0; i < ARRAY_SIZE(state_names); i++)
                if (strcmp(name, state_names[i]) == 0) {
                        *ret = (enum fleet_state)i;
                        return 0;
                }
        return 1;
}

static struct target *target_free(struct target *t) {
        if (!t)
                return NULL;
        arena_done(&t->arena);
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
        t->shown = FLEET_OFFLINE;
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
        if (failed)
                return -ENOMEM;
        arena_done(&t->arena);
        t->arena = a;
        a = (struct arena){0};
        t->facts = facts;
        return 0;
}

static enum fleet_state judge(const struct target *t, uint64_t now_usec) {
        if (!t->present)
                return t->rebooting_until > now_usec ? FLEET_REBOOTING : FLEET_OFFLINE;
        return t->silent ? FLEET_SILENT : t->facts.state;
}

/* Returns true when the shown state changed. */
static bool show(struct target *t, uint64_t realtime_usec, uint64_t now_usec) {
        enum fleet_state s = judge(t, now_usec);

        if (s == t->shown)
                return false;
        t->shown = s;
        t->since_usec = realtime_usec;
        t->dirty = true;
        return true;
}

static bool same(const char *a, const char *b) {
        return a && b ? strcmp(a, b) == 0 : a == b;
}

int fleet_announced(struct target *t, const char *full, const struct fleet_facts *facts,
                    uint64_t realtime_usec, uint64_t now_usec) {
        bool fresh = !t->present || !t->confirmed || !same(t->full, full) ||
                     !same(t->facts.sid, facts->sid);
        bool rebooted = facts->boot && t->facts.boot && !same(facts->boot, t->facts.boot);
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
        t->present = true;
        t->confirmed = true;
        t->silent = false;
        t->last_answer_usec = realtime_usec;
        t->dirty = true;
        /* the promise to reboot ends with the new boot, not with a presence that was already under way */
        if (facts->state != FLEET_REBOOTING && (rebooted || fresh))
                t->rebooting_until = 0;
        if (facts->state == FLEET_REBOOTING)
                t->rebooting_until = now_usec + FLEET_REBOOT_USEC;
        show(t, realtime_usec, now_usec);
        return fresh ? FLEET_NEW_SESSION : 0;
}

int fleet_remember(struct target *t, const struct fleet_facts *facts, enum fleet_state shown,
                   uint64_t since_usec, uint64_t last_answer_usec) {
        int r = take_facts(t, facts);

        if (r < 0)
                return r;
        t->last_answer_usec = last_answer_usec;
        t->shown = shown;
        t->since_usec = since_usec;
        /* what was present when we stopped counts so until fleet_settle() has waited for it */
        t->present = shown != FLEET_OFFLINE;
        t->silent = shown == FLEET_SILENT;
        t->dirty = false;
        return 0;
}

bool fleet_gone(struct target *t, const char *full, uint64_t realtime_usec, uint64_t now_usec) {
        if (!t->present || (t->full && full && !same(t->full, full)))
                return false;
        t->present = false;
        t->confirmed = true;
        t->silent = false;
        t->synced_sid[0] = t->asked_sid[0] = '\0';
        t->sync_at = USEC_NEVER;
        t->dirty = true;
        show(t, realtime_usec, now_usec);
        return true;
}

bool fleet_heard(struct target *t, uint64_t realtime_usec, uint64_t now_usec) {
        t->last_answer_usec = realtime_usec;
        if (!t->silent)
                return false;
        t->silent = false;
        return show(t, realtime_usec, now_usec);
}

void fleet_silent(struct target *t, uint64_t realtime_usec, uint64_t now_usec) {
        if (!t->present)
                return;
        t->silent = true;
        t->silent_usec = realtime_usec;
        show(t, realtime_usec, now_usec);
}

void fleet_rebooting(struct target *t, uint64_t realtime_usec, uint64_t now_usec) {
        t->rebooting_until = now_usec + FLEET_REBOOT_USEC;
        show(t, realtime_usec, now_usec);
}

void fleet_unconfirm(struct fleet *f) {
        for (size_t i = 0; i < f->n_targets; i++) {
                struct target *t = f->targets[i];

                t->dirty |= t->present && t->confirmed;
                t->confirmed = false;
                t->synced_sid[0] = t->asked_sid[0] = '\0';
                t->sync_at = USEC_NEVER;
        }
}

void fleet_settle(struct fleet *f, uint64_t realtime_usec, uint64_t now_usec) {
        for (size_t i = 0; i < f->n_targets; i++) {
                struct target *t = f->targets[i];

                if (t->present && !t->confirmed)
                        fleet_gone(t, NULL, realtime_usec, now_usec);
        }
}

uint64_t fleet_expire(struct fleet *f, uint64_t realtime_usec, uint64_t now_usec) {
        uint64_t next = USEC_NEVER;

        for (size_t i = 0; i < f->n_targets; i++) {
                struct target *t = f->targets[i];

                if (t->rebooting_until == 0)
                        continue;
                if (t->rebooting_until <= now_usec) {
                        t->rebooting_until = 0;
                        show(t, realtime_usec, now_usec);
                } else if (t->rebooting_until < next) {
                        next = t->rebooting_until;
                }
        }
        return next;
}

bool fleet_reachable(const struct target *t) {
        return t->kind == FLEET_TARGET && t->present && t->confirmed && t->full;
}

/* "14:02", or with the date when it was another day. */
static int put_time(struct buf *out, uint64_t usec, uint64_t realtime_usec) {
        time_t then = (time_t)(usec / USEC_PER_SEC), today = (time_t)(realtime_usec / USEC_PER_SEC);
        struct tm tm = {0}, now = {0};
        char text[64];

        localtime_r(&then, &tm);
        localtime_r(&today, &now);
        if (tm.tm_year == now.tm_year && tm.tm_yday == now.tm_yday)
                strftime(text, sizeof(text), "%H:%M:%S", &tm);
        else
                strftime(text, sizeof(text), "%Y-%m-%d %H:%M", &tm);
        return buf_puts(out, text);
}

static int put_run(const struct fleet_facts *f, struct buf *out) {
        const char *person = f->run_by ? f->run_by : f->run_owner;

        buf_puts(out, f->run_title ? f->run_title : f->run);
        if (f->run_step > 0 && f->run_of > 0)
                buf_printf(out, ", step %llu of %llu", (unsigned long long)f->run_step,
                           (unsigned long long)f->run_of);
        if (person)
                buf_printf(out, ", for %s", person);
        return buf_check(out);
}

int fleet_sentence(const struct target *t, uint64_t realtime_usec, struct buf *out) {
        buf_printf(out, "%s is %s", t->name, state_names[t->shown]);
        switch (t->shown) {
        case FLEET_BUSY:
        case FLEET_DRAINING:
                if (t->facts.run) {
                        buf_puts(out, " (");
                        put_run(&t->facts, out);
                        buf_putc(out, ')');
                }
                break;
        case FLEET_OFFLINE:
        case FLEET_REBOOTING:
        case FLEET_AWAY:
        case FLEET_SILENT:
                if (t->since_usec > 0) {
                        buf_puts(out, " since ");
                        put_time(out, t->since_usec, realtime_usec);
                } else if (t->kind == FLEET_EXPECTED) {
                        buf_puts(out, " and was never seen");
                }
                break;
        case FLEET_READY:
        case FLEET_RESERVED:
        case FLEET_QUARANTINED:
                break;
        }
        return buf_check(out);
}

/* Of a peer: one line, whatever is in it. */
static void put_line(struct buf *out, const char *text) {
        for (; *text; text++)
                buf_putc(out, *text == '\n' || *text == '\r' ? ' ' : *text);
        buf_putc(out, '\n');
}

int fleet_evidence(const struct target *t, bool we_are_online, uint64_t realtime_usec,
                   struct buf *out) {
        if (!we_are_online)
                buf_puts(out,
                         "this controller has no connection to its server; the state is the last "
                         "one known\n");
        else if (t->present && !t->confirmed)
                buf_puts(out, "it has not announced itself since this controller connected\n");
        if (t->kind == FLEET_EXPECTED)
                buf_puts(out, "it is in the roster and has never announced itself\n");
        else if (t->present) {
                buf_printf(out, "its presence says %s", state_names[t->facts.state]);
                if (t->facts.run) {
                        buf_puts(out, " (");
                        put_run(&t->facts, out);
                        buf_putc(out, ')');
                }
                if (t->facts.queue > 0)
                        buf_printf(out, ", %llu waiting", (unsigned long long)t->facts.queue);
                buf_putc(out, '\n');
                if (t->facts.status && !same(t->facts.status, state_names[t->facts.state])) {
                        buf_puts(out, "in its own words: ");
                        put_line(out, t->facts.status);
                }
        } else {
                buf_puts(out, "the server says it is gone");
                if (t->since_usec > 0) {
                        buf_puts(out, ", since ");
                        put_time(out, t->since_usec, realtime_usec);
                }
                buf_putc(out, '\n');
        }
        if (t->silent) {
                buf_puts(out, "a question was not answered at ");
                put_time(out, t->silent_usec, realtime_usec);
                buf_putc(out, '\n');
        }
        if (t->shown == FLEET_REBOOTING)
                buf_puts(out, "it agreed to reboot and is expected back with another boot id\n");
        if (t->last_answer_usec > 0) {
                buf_puts(out, "last heard ");
                units_print_duration(out, realtime_usec > t->last_answer_usec
                                                  ? realtime_usec - t->last_answer_usec
                                                  : 0);
                buf_puts(out, " ago\n");
        }
        if (t->facts.boot)
                buf_printf(out, "boot id %s\n", t->facts.boot);
        if (!t->subscribed)
                buf_puts(out, "it does not share its presence with this controller\n");
        return buf_check(out);
}
