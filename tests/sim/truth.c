#include "tests/sim/truth.h"

#include "proto/events.h"
#include "proto/json.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define NONCES_MAX 256

struct nonce {
        char text[72];
        const struct proc *proc; /* the daemon that gave it */
        char full[128];          /* on this connection */
        uint64_t at_usec;
        bool used;
};

/* There is one truth, as there is one world. */
static struct {
        struct machine *controller;
        struct machine *targets[MACHINES_MAX];
        size_t n_targets;
        bool disk_trouble[MACHINES_MAX];
        struct truth_run runs[RUNS_MAX];
        size_t n_runs;
        struct nonce nonces[NONCES_MAX];
        size_t n_nonces;
        /* a reboot that was granted and not carried out yet, of each target */
        struct {
                const struct proc *proc;
                uint64_t asked_usec, granted_usec;
                char nonce[72];
                bool draining, open;
        } grants[MACHINES_MAX];
} truth;

void truth_start(struct machine *controller, struct machine *const *targets, size_t n_targets) {
        memset(&truth, 0, sizeof(truth));
        truth.controller = controller;
        memcpy(truth.targets, targets, n_targets * sizeof(*targets));
        truth.n_targets = n_targets;
}

static size_t index_of(const struct machine *m) {
        for (size_t i = 0; i < truth.n_targets; i++)
                if (truth.targets[i] == m)
                        return i;
        return SIZE_MAX;
}

static struct truth_run *find(const char *id) {
        for (size_t i = 0; i < truth.n_runs; i++)
                if (strcmp(truth.runs[i].id, id) == 0)
                        return &truth.runs[i];
        return NULL;
}

struct truth_run *truth_run_of(const char *id) {
        struct truth_run *r = find(id);

        if (r)
                return r;
        if (truth.n_runs == RUNS_MAX)
                abort();
        r = &truth.runs[truth.n_runs++];
        snprintf(r->id, sizeof(r->id), "%s", id);
        world_count(TALLY_RUNS, 1);
        return r;
}

size_t truth_count(void) {
        return truth.n_runs;
}

struct truth_run *truth_at(size_t i) {
        return &truth.runs[i];
}

void truth_disk_trouble(struct machine *m) {
        size_t i = index_of(m);

        if (i != SIZE_MAX)
                truth.disk_trouble[i] = true;
}

bool truth_disk_was_troubled(const struct machine *m) {
        size_t i = index_of(m);

        return i != SIZE_MAX && truth.disk_trouble[i];
}

/* ---- files ---- */

static struct node *run_file(struct machine *m, const char *id, const char *name) {
        char path[256];

        snprintf(path, sizeof(path), "/state/runs/%.70s/%.40s", id, name);
        return disk_find(m->disk, NULL, path);
}

struct story {
        unsigned accepted, ended;
        enum verdict verdict;
        bool torn;
        /* of each attempt */
        unsigned started[SLOTS], stepped[SLOTS];
        enum verdict verdicts[SLOTS];
        enum event_interrupt interrupted[SLOTS];
        uint64_t sizes[SLOTS];
        bool rebooted[SLOTS]; /* a reboot, that ended under another boot */
        /* the open step */
        unsigned open; /* 0: none */
        bool rebooting;
        char boot[64]; /* that it began under, or is to reboot */
};

static unsigned slot_of(unsigned step, unsigned attempt) {
        if (attempt == 0)
                attempt = 1;
        return step == 0 || step > STEPS_MAX || attempt > ATTEMPTS_MAX
                       ? 0
                       : 1 + (step - 1) * ATTEMPTS_MAX + attempt - 1;
}

/* "2", "2.3", "2.out", "2.3.out"; 0: none of these. */
static unsigned slot_named(const char *name) {
        char *end;
        unsigned long step = strtoul(name, &end, 10), attempt = 1;

        if (end == name)
                return 0;
        if (*end == '.' && end[1] >= '0' && end[1] <= '9')
                attempt = strtoul(end + 1, NULL, 10);
        return slot_of((unsigned)step, (unsigned)attempt);
}

static const char *slot_file(unsigned slot, char ret[static 24]) {
        unsigned step = 1 + (slot - 1) / ATTEMPTS_MAX, attempt = 1 + (slot - 1) % ATTEMPTS_MAX;

        if (attempt == 1)
                snprintf(ret, 24, "%u.out", step);
        else
                snprintf(ret, 24, "%u.%u.out", step, attempt);
        return ret;
}

static void read_stepped(const struct event *e, unsigned slot, struct story *s) {
        s->open = 0;
        s->rebooting = false;
        s->stepped[slot]++;
        s->verdicts[slot] = e->verdict;
        s->interrupted[slot] = e->interrupted;
        s->sizes[slot] = e->n_streams > 0 ? e->streams[0].size : 0;
        s->rebooted[slot] = e->boot && s->boot[0] && strcmp(e->boot, s->boot) != 0;
}

/* What a journal tells. */
static void read_story(const char *text, size_t len, struct story *ret) {
        CLEANUP(arena_done) struct arena arena = {0};

        *ret = (struct story){0};
        while (len > 0) {
                const char *end = memchr(text, '\n', len);
                struct event e = {0};
                unsigned slot;

                if (!end || event_read(text, (size_t)(end - text), &arena, &e) != 0) {
                        ret->torn = true;
                        return;
                }
                len -= (size_t)(end - text) + 1;
                text = end + 1;
                slot = slot_of(e.step, e.attempt);
                switch (e.kind) {
                case EVENT_ACCEPTED:
                        ret->accepted++;
                        break;
                case EVENT_STARTED:
                        ret->started[slot]++;
                        ret->open = slot;
                        snprintf(ret->boot, sizeof(ret->boot), "%s", e.boot ? e.boot : "");
                        break;
                case EVENT_REBOOTING:
                        ret->rebooting = true;
                        snprintf(ret->boot, sizeof(ret->boot), "%s", e.boot ? e.boot : "");
                        break;
                case EVENT_STEPPED:
                        read_stepped(&e, slot, ret);
                        break;
                case EVENT_CANCEL:
                        break;
                case EVENT_ENDED:
                        ret->ended++;
                        ret->verdict = e.verdict;
                        break;
                }
        }
}

/* ---- programs ---- */

/* The machine goes down: what was on is interrupted, unless it is a reboot itself. */
static void interrupt_open_runs(struct machine *m) {
        for (size_t i = 0; i < truth.n_runs; i++) {
                struct truth_run *r = &truth.runs[i];
                struct node *events = run_file(m, r->id, "events");
                struct story s;
                char name[24];

                if (!events)
                        continue;
                read_story((const char *)events->data, events->size, &s);
                if (s.ended == 0 && s.open > 0 && !s.rebooting)
                        r->interruptions++;
                for (unsigned k = 1; k < SLOTS; k++) {
                        const struct node *f =
                                r->streams[k].n > 0 ? run_file(m, r->id, slot_file(k, name)) : NULL;

                        if (r->streams[k].n > 0 &&
                            (!f || !node_name_safe(f) || file_safe_size(f) < r->streams[k].n))
                                r->streams[k].cut = true;
                }
        }
}

void truth_power_cut(struct machine *m) {
        if (index_of(m) != SIZE_MAX)
                interrupt_open_runs(m);
}

void truth_rebooted(struct machine *m) {
        size_t i = index_of(m);

        world_count(TALLY_REBOOTS_DONE, 1);
        truth_power_cut(m);
        if (i != SIZE_MAX)
                truth.grants[i].open = false;
}

static struct truth_run *run_of_step(const struct proc *step) {
        const char *slash = step->argc > 2 ? strrchr(step->argv[1], '/') : NULL;

        return slash ? find(slash + 1) : NULL;
}

void truth_proc_died(struct proc *p) {
        struct truth_run *r =
                p->part == PART_STEP && p->status >= 128 && p->machine->on ? run_of_step(p) : NULL;

        if (r)
                r->excused = true;
}

/* May this attempt of this step begin, after what the journal says durably? */
static void check_order(const struct truth_run *r, unsigned number, unsigned attempt,
                        const struct story *s) {
        unsigned slot = slot_of(number, attempt);

        if (s->started[slot] == 0)
                world_wrong("announced", "run %s: step %u runs, and no durable event says so",
                            r->id, number);
        if (s->ended > 0 || s->stepped[slot] > 0)
                world_wrong("once", "run %s: step %u runs after its end", r->id, number);
        if (attempt > 1 && s->interrupted[slot - 1] != EVENT_INTERRUPT_RETRY)
                world_wrong("once", "run %s: step %u runs again, and was not interrupted before",
                            r->id, number);
        for (unsigned k = 1; k < number; k++) {
                bool good = false;

                for (unsigned a = 1; a <= ATTEMPTS_MAX; a++) {
                        unsigned before = slot_of(k, a);

                        good |= s->stepped[before] == 1 &&
                                (s->verdicts[before] == VERDICT_PASSED ||
                                 s->interrupted[before] == EVENT_INTERRUPT_CONTINUE);
                }
                if (!good)
                        world_wrong("order", "run %s: step %u runs, and step %u has not passed",
                                    r->id, number, k);
        }
}

struct truth_launch *truth_launched(struct proc *step) {
        struct machine *m = step->machine;
        const char *slash = strrchr(step->argv[1], '/');
        unsigned slot = slot_named(step->argv[2]);
        struct truth_run *r = truth_run_of(slash ? slash + 1 : step->argv[1]);
        struct node *events = run_file(m, r->id, "events");
        struct truth_launch *l;
        struct story s = {0};

        world_count(TALLY_LAUNCHES, 1);
        if (slot == 0 || r->n_launches == LAUNCHES_MAX)
                abort();
        l = &r->launches[r->n_launches];
        *l = (struct truth_launch){.run = r,
                                   .step = step,
                                   .number = 1 + (slot - 1) / ATTEMPTS_MAX,
                                   .attempt = 1 + (slot - 1) % ATTEMPTS_MAX,
                                   .boot = m->generation,
                                   .at_usec = world->now};
        if (events)
                read_story((const char *)events->safe, file_safe_size(events), &s);
        check_order(r, l->number, l->attempt, &s);
        if (r->machine && r->machine != m)
                world_wrong("once", "run %s runs on two machines", r->id);
        for (size_t i = 0; i < r->n_launches; i++)
                if (r->launches[i].number == l->number && r->launches[i].attempt == l->attempt)
                        world_wrong("once", "run %s: step %u is executed a second time", r->id,
                                    l->number);
        r->machine = m;
        r->n_launches++;
        return l;
}

void truth_printed(struct truth_launch *l, const uint8_t *data, size_t size) {
        (void)data;
        l->printed += size;
        world_count(TALLY_BYTES, size);
}

void truth_program_ended(struct truth_launch *l, int status) {
        l->ended = true;
        l->status = status;
}

void truth_wrote(struct proc *p, const struct node *n, uint64_t at, const void *data, size_t size) {
        struct truth_run *r = run_of_step(p);
        unsigned slot = r ? slot_named(p->argv[2]) : 0;
        struct truth_stream *t;

        (void)n;
        if (slot == 0)
                return;
        t = &r->streams[slot];
        if (at != t->n) {
                if (!t->cut)
                        world_wrong("bytes",
                                    "run %s: the output of step %s is written at %llu, and has %zu "
                                    "bytes",
                                    r->id, p->argv[2], (unsigned long long)at, t->n);
                if (at < t->n)
                        t->n = (size_t)at;
        }
        if (t->n + size > t->cap) {
                t->cap = (t->n + size) * 2;
                t->bytes = realloc(t->bytes, t->cap);
                if (!t->bytes)
                        abort();
        }
        memcpy(t->bytes + t->n, data, size);
        t->n += size;
}

void truth_removed(struct machine *m, const char *path, const struct node *n) {
        const char *at = strstr(path, "/runs/"), *slash;
        char id[72], tomb[128];
        struct truth_run *r;

        if (!at || index_of(m) == SIZE_MAX)
                return;
        at += strncmp(at, "/runs/.old-", 11) == 0 ? 11 : 6;
        slash = strchr(at, '/');
        if (!slash || strcmp(slash, "/events") != 0)
                return;
        snprintf(id, sizeof(id), "%.*s", (int)(slash - at), at);
        snprintf(tomb, sizeof(tomb), "/state/tombstones/%s", id);
        r = find(id);
        /* without a tombstone it was never accepted */
        if (!r || !disk_find(m->disk, NULL, tomb))
                return;
        free(r->journal);
        r->journal = malloc(n->size + 1);
        if (!r->journal)
                abort();
        memcpy(r->journal, n->data, n->size);
        r->journal_size = n->size;
}

void truth_turned(struct proc *p) {
        (void)p;
}

/* ---- what is said ---- */

static bool attribute(const char *at, const char *end, const char *name, char *ret, size_t size) {
        char pattern[32];
        const char *found;

        snprintf(pattern, sizeof(pattern), " %s='", name);
        found = strstr(at, pattern);
        ret[0] = '\0';
        if (!found || found > end)
                return false;
        found += strlen(pattern);
        snprintf(ret, size, "%.*s", (int)strcspn(found, "'"), found);
        return true;
}

static struct truth_stream *stream_of(const char *run, const char *name) {
        struct truth_run *r = truth_run_of(run);
        unsigned slot = slot_named(name);

        return slot > 0 || strcmp(name, "events") == 0 ? &r->streams[slot] : NULL;
}

static void controller_acks(struct proc *p, const char *at, const char *end) {
        char run[72], name[40], next[24];
        struct truth_stream *t;
        struct node *f;
        uint64_t n;

        attribute(at, end, "run", run, sizeof(run));
        attribute(at, end, "stream", name, sizeof(name));
        attribute(at, end, "next", next, sizeof(next));
        n = strtoull(next, NULL, 10);
        t = stream_of(run, name);
        f = run_file(p->machine, run, name);
        if (n > 0 && (!f || file_safe_size(f) < n || !node_name_safe(f)))
                world_wrong("acknowledged",
                            "%s of run %s is acknowledged up to %llu, and %llu bytes are durable%s",
                            name, run, (unsigned long long)n,
                            f ? (unsigned long long)file_safe_size(f) : 0ULL,
                            f && !node_name_safe(f) ? ", without a name" : "");
        if (t && n > t->acked)
                t->acked = n;
}

static bool any_disk_trouble(void) {
        for (size_t i = 0; i < truth.n_targets; i++)
                if (truth.disk_trouble[i])
                        return true;
        return false;
}

static void controller_has(const char *at, const char *end) {
        char run[72], name[40], next[24];
        const struct truth_stream *t;

        attribute(at, end, "run", run, sizeof(run));
        attribute(at, end, "stream", name, sizeof(name));
        attribute(at, end, "next", next, sizeof(next));
        t = stream_of(run, name);
        /* a target whose disk lost what was synced gives a false sum, and its bytes are fetched anew */
        if (t && strtoull(next, NULL, 10) < t->acked && !any_disk_trouble())
                world_wrong("acknowledged",
                            "%s of run %s was acknowledged up to %llu, and now there are %s", name,
                            run, (unsigned long long)t->acked, next);
}

static void controller_done(struct proc *p, const char *at, const char *end) {
        struct truth_run *r;
        char run[72];

        attribute(at, end, "run", run, sizeof(run));
        r = truth_run_of(run);
        /* what a target cannot read of its disk it cannot send */
        for (unsigned k = 1; k < SLOTS && !any_disk_trouble(); k++) {
                const struct truth_stream *t = &r->streams[k];
                char name[24];
                struct node *f;

                if (t->n == 0 || t->cut)
                        continue;
                f = run_file(p->machine, run, slot_file(k, name));
                if (!f || file_safe_size(f) < t->n)
                        world_wrong("acknowledged",
                                    "run %s is said to be done, and of %s %llu of %zu bytes are "
                                    "durable",
                                    run, name, f ? (unsigned long long)file_safe_size(f) : 0ULL,
                                    t->n);
        }
}

static void target_chunk(struct proc *p, const char *at, const char *end) {
        char run[72], name[40], offset[24], size[24];
        struct node *f;
        uint64_t n;

        attribute(at, end, "stream", name, sizeof(name));
        if (strcmp(name, "events") != 0)
                return;
        attribute(at, end, "run", run, sizeof(run));
        attribute(at, end, "offset", offset, sizeof(offset));
        attribute(at, end, "size", size, sizeof(size));
        n = strtoull(offset, NULL, 10) + strtoull(size, NULL, 10);
        f = run_file(p->machine, run, "events");
        if (!f || file_safe_size(f) < n || !node_name_safe(f))
                world_wrong("announced",
                            "events of run %s up to %llu are sent, and %llu bytes are durable", run,
                            (unsigned long long)n,
                            f ? (unsigned long long)file_safe_size(f) : 0ULL);
}

static struct nonce *nonce_of(const char *text) {
        for (size_t i = 0; i < truth.n_nonces; i++)
                if (strcmp(truth.nonces[i].text, text) == 0)
                        return &truth.nonces[i];
        return NULL;
}

static void target_challenges(struct proc *p, const char *full, const char *at, const char *end) {
        struct nonce *n =
                &truth.nonces[truth.n_nonces < NONCES_MAX ? truth.n_nonces++ : NONCES_MAX - 1];

        *n = (struct nonce){.proc = p, .at_usec = world->now};
        snprintf(n->full, sizeof(n->full), "%s", full);
        attribute(at, end, "nonce", n->text, sizeof(n->text));
}

/* It agreed to the order that it received last. */
static void target_agrees(struct proc *p, const char *full, const char *at, const char *end) {
        size_t i = index_of(p->machine);
        struct nonce *n = nonce_of(truth.grants[i].nonce);
        char draining[8];

        if (!n)
                world_wrong("challenge", "%s agrees to a reboot without a challenge of its own",
                            p->name);
        else if (n->used)
                world_wrong("challenge", "%s agrees twice to one challenge", p->name);
        else if (n->proc != p || strcmp(n->full, full) != 0)
                world_wrong("challenge", "%s agrees to a challenge of another boot or process",
                            p->name);
        else if (world->now - n->at_usec > 10 * SEC + 500 * MSEC)
                world_wrong("challenge", "%s agrees to a challenge that is %llu s old", p->name,
                            (unsigned long long)((world->now - n->at_usec) / SEC));
        if (n)
                n->used = true;
        attribute(at, end, "draining", draining, sizeof(draining));
        truth.grants[i].proc = p;
        truth.grants[i].granted_usec = world->now;
        truth.grants[i].draining = strcmp(draining, "true") == 0;
        truth.grants[i].open = true;
}

/* Does the journal of a run say, durably, that it reboots the machine now, out of this very boot? */
static bool reboots_by_plan(struct machine *m) {
        const struct node *runs = disk_find(m->disk, NULL, "/state/runs");

        for (size_t i = 0; runs && i < runs->now.n; i++) {
                struct node *events = run_file(m, runs->now.entries[i].name, "events");
                struct story s;

                if (!events)
                        continue;
                read_story((const char *)events->safe, file_safe_size(events), &s);
                if (s.rebooting && s.ended == 0 && strcmp(s.boot, m->boot) == 0)
                        return true;
        }
        return false;
}

void truth_reboot_command(struct proc *daemon) {
        size_t i = index_of(daemon->machine);

        if (reboots_by_plan(daemon->machine))
                return;
        if (!truth.grants[i].open || truth.grants[i].proc != daemon)
                world_wrong("challenge", "%s reboots, and nothing was granted", daemon->name);
        else if (!truth.grants[i].draining && world->now - truth.grants[i].granted_usec > 11 * SEC)
                world_wrong(
                        "late", "%s reboots %llu s after it was granted", daemon->name,
                        (unsigned long long)((world->now - truth.grants[i].granted_usec) / SEC));
        truth.grants[i].open = false;
}

void truth_sent(struct proc *p, const char *full, const char *text, size_t len) {
        const char *end = text + len;

        for (const char *at = strchr(text, '<'); at && at < end; at = strchr(at + 1, '<')) {
                const char *close = at + strcspn(at, ">");

                if (p->part == PART_CONTROLLER) {
                        if (strncmp(at, "<ack ", 5) == 0)
                                controller_acks(p, at, close);
                        else if (strncmp(at, "<have ", 6) == 0)
                                controller_has(at, close);
                        else if (strncmp(at, "<done ", 6) == 0)
                                controller_done(p, at, close);
                } else if (strncmp(at, "<chunk ", 7) == 0) {
                        target_chunk(p, at, close);
                } else if (strncmp(at, "<challenge ", 11) == 0) {
                        target_challenges(p, full, at, close);
                } else if (strncmp(at, "<rebooting ", 11) == 0) {
                        target_agrees(p, full, at, close);
                }
        }
}

void truth_received(struct proc *p, const char *full, const char *text) {
        const char *at = strstr(text, "<reboot ");
        size_t i = index_of(p->machine);

        (void)full;
        if (!at || i == SIZE_MAX)
                return;
        truth.grants[i].asked_usec = world->now;
        attribute(at, at + strcspn(at, ">"), "nonce", truth.grants[i].nonce,
                  sizeof(truth.grants[i].nonce));
}

/* ---- what the controller shows ---- */

void truth_shown_ended(const char *id, const char *verdict) {
        struct truth_run *r = find(id);

        if (!r || strcmp(verdict, "passed") != 0)
                return;
        for (size_t i = 0; i < r->n_launches; i++) {
                unsigned slot = slot_of(r->launches[i].number, r->launches[i].attempt);
                const struct truth_stream *t = &r->streams[slot];
                char name[24];
                struct node *f;

                if (!r->launches[i].ended) {
                        world_wrong("shown", "run %s is shown as passed, and a program of it runs",
                                    id);
                        return;
                }
                f = run_file(truth.controller, id, slot_file(slot, name));
                if (t->n > 0 && !t->cut && (!f || f->size < t->n))
                        world_wrong("shown",
                                    "run %s is shown as passed, and %s has %zu of %zu bytes here",
                                    id, name, f ? f->size : 0, t->n);
        }
}

void truth_shown_bytes(const char *id, const char *stream, uint64_t next) {
        struct node *f = run_file(truth.controller, id, stream);

        if (next > 0 && (!f || file_safe_size(f) < next))
                world_wrong("shown", "%s of run %s is shown up to %llu, and %llu bytes are durable",
                            stream, id, (unsigned long long)next,
                            f ? (unsigned long long)file_safe_size(f) : 0ULL);
}

/* ---- in the end ---- */

static void check_bytes(struct machine *target, struct truth_run *r, unsigned slot,
                        const struct story *s) {
        const struct truth_stream *t = &r->streams[slot];
        struct node *here, *there;
        char name[24];

        slot_file(slot, name);
        here = run_file(truth.controller, r->id, name);
        there = run_file(target, r->id, name);
        if (here && !(t->cut && truth_disk_was_troubled(target)) &&
            (here->size > t->n || memcmp(here->data, t->bytes, here->size) != 0))
                world_wrong("bytes",
                            "%s of run %s: the controller has %zu bytes that are not what "
                            "rota-step wrote (%zu)",
                            name, r->id, here->size, t->n);
        if (!t->cut && t->n > 0 && (!here || here->size != t->n))
                world_wrong("bytes",
                            "%s of run %s: rota-step wrote %zu bytes, the controller has %zu", name,
                            r->id, t->n, here ? here->size : 0);
        if (there && there->size > 0 && (!here || here->size < there->size))
                world_wrong("bytes", "%s of run %s: the target has %zu bytes, the controller %zu",
                            name, r->id, there->size, here ? here->size : 0);
        if (s->stepped[slot] > 0 && s->sizes[slot] > (here ? here->size : 0))
                world_wrong("bytes",
                            "%s of run %s: the step ended with %llu bytes, the controller has %zu",
                            name, r->id, (unsigned long long)s->sizes[slot], here ? here->size : 0);
        for (size_t i = 0; i < r->n_launches; i++)
                if (slot_of(r->launches[i].number, r->launches[i].attempt) == slot &&
                    s->verdicts[slot] == VERDICT_PASSED && r->launches[i].printed != t->n)
                        world_wrong(
                                "bytes",
                                "%s of run %s: the program printed %llu bytes, rota-step wrote %zu",
                                name, r->id, (unsigned long long)r->launches[i].printed, t->n);
}

static const struct truth_launch *last_launch(const struct truth_run *r, unsigned number) {
        const struct truth_launch *last = NULL;

        for (size_t i = 0; i < r->n_launches; i++)
                if (r->launches[i].number == number)
                        last = &r->launches[i];
        return last;
}

/* Could interruptions alone end the run? */
static bool outlasts(const struct truth_run *r, const struct truth_expectation *e) {
        for (size_t i = 0; i < e->n_steps; i++)
                if (!e->steps[i].reboot && e->steps[i].retries < r->interruptions)
                        return false;
        return true;
}

/* Does the verdict say what really happened? */
static void check_verdict(struct machine *target, struct truth_run *r, const char *verdict,
                          const struct story *s, const struct truth_expectation *e) {
        bool all = true, failed = false, no_reboot = false;

        for (unsigned k = 1; k <= e->n_steps; k++) {
                const struct truth_launch *l = last_launch(r, k);

                if (e->steps[k - 1].reboot) {
                        all &= s->rebooted[slot_of(k, 1)];
                        failed |= s->verdicts[slot_of(k, 1)] == VERDICT_FAILED;
                        /* the command failed, or the others took too long */
                        no_reboot |= s->verdicts[slot_of(k, 1)] == VERDICT_NOT_RUN;
                } else {
                        all &= l && l->ended && l->status == 0;
                        failed |= l && l->ended && WIFEXITED(l->status) && l->status != 0;
                }
        }
        if (strcmp(verdict, "passed") == 0 && !all)
                world_wrong("verdict", "run %s passed, and not all of its steps did", r->id);
        else if (strcmp(verdict, "failed") == 0 && !failed)
                world_wrong("verdict", "run %s failed, and none of its steps did", r->id);
        else if (strcmp(verdict, "cancelled") == 0 && !e->cancelled && !e->may_wait_in_vain)
                world_wrong("verdict", "run %s is cancelled, and nobody asked for that", r->id);
        else if (strcmp(verdict, "not-run") == 0 && !r->excused && !e->may_wait_in_vain &&
                 !e->cancelled && !no_reboot && outlasts(r, e) && !truth_disk_was_troubled(target))
                world_wrong("verdict", "run %s was not run, and nothing stood in its way", r->id);
}

static void check_story(const struct truth_run *r, const struct story *s) {
        if (s->torn || s->accepted != 1 || s->ended != 1)
                world_wrong("final", "run %s was accepted %u times and ended %u times%s", r->id,
                            s->accepted, s->ended, s->torn ? ", and its journal is torn" : "");
        for (unsigned k = 1; k < SLOTS; k++)
                if (s->started[k] > 1 || s->stepped[k] != s->started[k])
                        world_wrong("final",
                                    "run %s: step %u (attempt %u) was started %u times and ended "
                                    "%u times",
                                    r->id, 1 + (k - 1) / ATTEMPTS_MAX, 1 + (k - 1) % ATTEMPTS_MAX,
                                    s->started[k], s->stepped[k]);
}

void truth_check_run(struct machine *target, const char *id, const char *verdict,
                     const struct truth_expectation *e) {
        struct truth_run *r = truth_run_of(id);
        struct node *here = run_file(truth.controller, id, "events"),
                    *there = run_file(target, id, "events");
        const char *text = there ? (const char *)there->data : r->journal;
        size_t len = there ? there->size : r->journal_size;
        struct story s = {0};

        if (!text && r->n_launches > 0) {
                world_wrong("journal", "run %s was executed, and its target knows nothing of it",
                            id);
                return;
        }
        if (text) {
                read_story(text, len, &s);
                check_story(r, &s);
                if (!here || here->size != len || memcmp(here->data, text, len) != 0)
                        world_wrong(
                                "journal",
                                "run %s: the journals differ (target %zu bytes, controller %zu)",
                                id, len, here ? here->size : 0);
                if (strcmp(verdict_name(s.verdict), verdict) != 0)
                        world_wrong("final", "run %s: %s for its target, %s for the controller", id,
                                    verdict_name(s.verdict), verdict);
        }
        for (unsigned k = 1; k < SLOTS; k++)
                check_bytes(target, r, k, &s);
        check_verdict(target, r, verdict, &s, e);
}

bool truth_delivered(struct machine *target, const char *id, const char **ret_why) {
        struct node *there = run_file(target, id, "events"),
                    *here = run_file(truth.controller, id, "events");
        struct story s;

        if (!there)
                return true;
        read_story((const char *)there->data, there->size, &s);
        *ret_why = s.ended == 0 ? "has not ended on its target" : "is not delivered";
        if (s.ended == 0 || !here || here->size != there->size)
                return false;
        /* the mark is not tried again when there was no space for it: then the next start is told once more */
        return run_file(target, id, "delivered") || truth_disk_was_troubled(target);
}

/* The disk of the target lost, after it said that it could not sync, what its journal promises: nobody has it any more. */
bool truth_is_lost(struct machine *target, const char *id) {
        struct node *events = run_file(target, id, "events"), *here, *there;
        struct story s;
        char name[24];

        if (!events || !truth_disk_was_troubled(target))
                return false;
        read_story((const char *)events->data, events->size, &s);
        for (unsigned k = 1; k < SLOTS; k++) {
                if (s.stepped[k] == 0 || s.sizes[k] == 0)
                        continue;
                there = run_file(target, id, slot_file(k, name));
                here = run_file(truth.controller, id, name);
                if ((!there || there->size < s.sizes[k]) && (!here || here->size < s.sizes[k]))
                        return true;
        }
        return false;
}

void sim_log(enum log_level level, const char *text, const struct log_field *fields,
             size_t n_fields) {
        (void)fields;
        (void)n_fields;
        world_tell("<%d> %s", (int)level, text);
}
