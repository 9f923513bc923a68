#include "tests/sim/people.h"

#include "proto/json.h"
#include "tests/sim/calls.h"
#include "tests/sim/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCHES_MAX 24
#define REBOOTS_MAX 8

struct batch {
        char id[24];
        char selector[24];
        char request[2048];
        struct truth_plan_step steps[STEPS_MAX];
        size_t n_steps;
        bool waits_in_vain; /* it may */
        bool answered;
        bool asking;
        unsigned tries;
        char runs[MACHINES_MAX][72];
        struct machine *machines[MACHINES_MAX];
        size_t n_runs;
        bool cancel_wanted, cancelled[MACHINES_MAX];
};

struct reboot_wish {
        char selector[24];
        char options[128];
        struct machine *machine;
        uint64_t asked_usec, timeout_usec;
        bool over;
};

struct desk {
        struct proc *proc;
        struct ask *first;
        bool closed;
};

/* One crowd, as there is one world. */
static struct {
        struct rng rng;
        struct people_ways ways;
        struct machine *controller;
        struct machine *targets[MACHINES_MAX];
        size_t n_targets;
        struct desk *desk;
        struct ask *asks;
        struct batch batches[BATCHES_MAX];
        size_t n_batches;
        struct reboot_wish reboots[REBOOTS_MAX];
        size_t n_reboots;
        bool settling;
        uint64_t deadline_usec;
        char why_not[200];
        bool runs_well, targets_well;
} people;

/* ---- the desk ---- */

static struct ask *waiting_at(const struct desk *d) {
        for (struct ask *a = d->first; a; a = a->next)
                if (!a->served && !a->over)
                        return a;
        return NULL;
}

static bool desk_ready(const void *subject) {
        const struct desk *d = subject;

        return !d->closed && waiting_at(d) != NULL;
}

int desk_open(struct desk **ret) {
        struct desk *d = calloc(1, sizeof(*d));
        struct file f = {.kind = FILE_INBOX, .ready = desk_ready, .subject = d};

        if (!d)
                abort();
        d->proc = world->current;
        people.desk = d;
        *ret = d;
        return calls_open_file(&f);
}

static void close_desk(struct desk *d) {
        d->closed = true;
        if (people.desk == d)
                people.desk = NULL;
        for (struct ask *a = d->first; a; a = a->next)
                if (!a->over) {
                        a->over = true;
                        a->answered(a, "", "the controller is gone");
                }
}

void desk_close(struct desk *d) {
        close_desk(d);
}

void people_proc_died(struct proc *p) {
        if (people.desk && people.desk->proc == p)
                close_desk(people.desk);
}

static void on_overdue(void *subject, uint64_t unused) {
        struct reboot_wish *w = subject;

        (void)unused;
        if (w->over)
                return;
        /* who stood still gets the time back */
        if (people.desk && people.desk->proc->frozen_until + 5 * SEC > world->now) {
                world_at(people.desk->proc->frozen_until + 5 * SEC, on_overdue, w, 0);
                return;
        }
        world_wrong("reboot", "nobody says what became of a reboot of %s, asked for %llu s ago",
                    w->machine->name, (unsigned long long)((world->now - w->asked_usec) / SEC));
}

struct ask *desk_next(struct desk *d) {
        struct ask *a = waiting_at(d);

        if (!a)
                return NULL;
        a->served = true;
        if (a->verb == ASK_REBOOT) {
                struct reboot_wish *w = a->subject;

                /* a controller that has just started waits for its targets first */
                world_after(w->timeout_usec + 10 * SEC, on_overdue, w, 0);
        }
        return a;
}

void desk_answer(struct ask *a, const char *error, const char *text) {
        if (a->over)
                return;
        proc_call("answer");
        a->over = true;
        a->answered(a, error, text);
}

static void ask(enum ask_verb verb, const char *first, const char *second, answered *fn,
                void *subject, uint64_t argument) {
        struct ask *a = calloc(1, sizeof(*a)), **at;

        if (!a)
                abort();
        *a = (struct ask){.verb = verb,
                          .first = first,
                          .second = second,
                          .user = "ana",
                          .answered = fn,
                          .subject = subject,
                          .argument = argument};
        if (!people.desk) {
                fn(a, "", "nobody listens");
                return;
        }
        for (at = &people.desk->first; *at; at = &(*at)->next)
                ;
        *at = a;
        proc_wake(people.desk->proc);
}

/* ---- submissions ---- */

static struct machine *machine_of(const char *name) {
        for (size_t i = 0; i < people.n_targets; i++)
                if (strcmp(people.targets[i]->name, name) == 0)
                        return people.targets[i];
        return NULL;
}

static void read_batch(struct batch *b, const char *text) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root, runs;

        if (json_parse(&doc, "answer", text, strlen(text)) != 0)
                return;
        root = json_root(doc);
        if (json_get(&root, "runs", &runs) != 0)
                return;
        for (size_t i = 0; i < json_length(&runs) && i < MACHINES_MAX; i++) {
                const char *id = NULL, *target = NULL;
                struct json_at run;

                json_item(&runs, i, &run);
                json_get_str(&run, "run", &id);
                json_get_str(&run, "target", &target);
                if (!id || !target)
                        continue;
                if (b->answered && strcmp(b->runs[i], id) != 0)
                        world_wrong("repeated",
                                    "submission %s was answered with run %s, and now with %s",
                                    b->id, b->runs[i], id);
                snprintf(b->runs[i], sizeof(b->runs[i]), "%s", id);
                b->machines[i] = machine_of(target);
                truth_run_of(id);
        }
        if (b->answered && b->n_runs != json_length(&runs))
                world_wrong("repeated", "submission %s had %zu runs, and now has %zu", b->id,
                            b->n_runs, json_length(&runs));
        b->n_runs = json_length(&runs);
}

static void submit(void *subject, uint64_t again);

static void cancel(void *subject, uint64_t which);

static void on_cancelled(struct ask *a, const char *error, const char *text) {
        (void)text;
        /* an answer that was lost: again */
        if (error && !error[0])
                world_after(rng_range(&people.rng, 300 * MSEC, 3 * SEC), cancel, a->subject,
                            a->argument);
}

static void cancel(void *subject, uint64_t which) {
        struct batch *b = subject;

        if (!b->cancelled[which])
                world_count(TALLY_CANCELS, 1);
        b->cancelled[which] = true;
        ask(ASK_CANCEL, b->runs[which], "", on_cancelled, b, which);
}

static void on_submitted(struct ask *a, const char *error, const char *text) {
        struct batch *b = a->subject;
        bool first = !b->answered;

        b->asking = false;
        if (error) {
                if (!b->answered)
                        world_after(rng_range(&people.rng, 300 * MSEC, 3 * SEC), submit, b, 0);
                return;
        }
        read_batch(b, text);
        b->answered = true;
        if (!first)
                return;
        if (b->cancel_wanted && b->n_runs > 0)
                world_after(rng_below(&people.rng, 12 * SEC), cancel, b,
                            rng_below(&people.rng, b->n_runs));
        if (rng_chance(&people.rng, people.ways.repeat_permille)) {
                world_count(TALLY_DUPLICATES, 1);
                world_after(rng_below(&people.rng, 20 * SEC), submit, b, 1);
        }
}

static void submit(void *subject, uint64_t again) {
        struct batch *b = subject;

        if (b->asking || (b->answered && !again))
                return;
        b->asking = true;
        b->tries++;
        ask(ASK_SUBMIT, b->selector, b->request, on_submitted, b, 0);
}

static void make_batch(struct batch *b) {
        struct rng *r = &people.rng;
        size_t n = 0;

#define PUT(...) (n += (size_t)snprintf(b->request + n, sizeof(b->request) - n, __VA_ARGS__))
        snprintf(b->id, sizeof(b->id), "batch%zu", (size_t)(b - people.batches));
        snprintf(b->selector, sizeof(b->selector), "%s",
                 rng_chance(r, 200) ? "pc*" : people.targets[rng_below(r, people.n_targets)]->name);
        b->n_steps = 1 + (rng_chance(r, 500) ? rng_below(r, STEPS_MAX) : 0);
        b->cancel_wanted = rng_chance(r, people.ways.cancel_permille);
        PUT("{\"id\":\"%s\",", b->id);
        if (rng_chance(r, people.ways.ttl_permille)) {
                PUT("\"ttl_usec\":%llu,", (unsigned long long)(rng_range(r, 2, 60) * SEC));
                b->waits_in_vain = true;
        }
        if (rng_chance(r, people.ways.if_idle_permille)) {
                PUT("\"if_idle\":true,");
                b->waits_in_vain = true;
        }
        PUT("\"plan\":{\"name\":\"%s\",\"steps\":[", b->id);
        for (size_t i = 0; i < b->n_steps; i++) {
                struct truth_plan_step *t = &b->steps[i];

                PUT("%s{", i ? "," : "");
                if (rng_chance(r, people.ways.reboot_step_permille)) {
                        t->reboot = true;
                        PUT("\"reboot\":{\"mode\":\"%s\",\"within\":\"%us\"}}",
                            rng_chance(r, 500) ? "force" : "graceful",
                            (unsigned)rng_range(r, 20, 200));
                        continue;
                }
                PUT("\"exec\":[\"/test\",\"bytes=%llu\",\"usec=%llu\",\"exit=%u\"%s],\"pty\":%s",
                    (unsigned long long)(rng_chance(r, 200)
                                                 ? 0
                                                 : rng_below(r,
                                                             rng_chance(r, 150) ? 200000 : 5000)),
                    (unsigned long long)(rng_chance(r, 400) ? rng_below(r, 200 * MSEC)
                                                            : rng_below(r, 8 * SEC)),
                    rng_chance(r, 120) ? 1 + (unsigned)rng_below(r, 3) : 0U,
                    rng_chance(r, 100) ? ",\"stubborn\"" : "",
                    rng_chance(r, 500) ? "true" : "false");
                if (rng_chance(r, people.ways.interrupt_permille)) {
                        if (rng_chance(r, 700)) {
                                t->retries = 1 + (unsigned)rng_below(r, 3);
                                PUT(",\"on_interrupt\":{\"retry\":%u}", t->retries);
                        } else {
                                PUT(",\"on_interrupt\":\"continue\"");
                        }
                }
                PUT("}");
        }
        PUT("]}}");
#undef PUT
}

/* ---- reboots ---- */

static void on_rebooted(struct ask *a, const char *error, const char *text) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct reboot_wish *w = a->subject;
        const char *before = NULL, *after = NULL;
        struct json_at root, item;
        bool ok = false;

        w->over = true;
        if (error)
                return;
        if (json_parse(&doc, "answer", text, strlen(text)) != 0)
                return;
        root = json_root(doc);
        if (json_item(&root, 0, &item) != 0)
                return;
        json_get_bool(&item, "ok", &ok);
        json_get_str(&item, "boot_before", &before);
        json_get_str(&item, "boot_after", &after);
        world_tell("reboot of %s: %s", w->machine->name, text);
        if (ok && (!before || !after || strcmp(before, after) == 0))
                world_wrong("reboot",
                            "a reboot of %s is said to be done, and its boot id is the same",
                            w->machine->name);
        else if (ok && w->machine->boots < 2)
                world_wrong("reboot", "a reboot of %s is said to be done, and it has booted once",
                            w->machine->name);
}

static void replay(void *subject, uint64_t unused) {
        (void)subject;
        (void)unused;
        server_replay();
}

static void want_reboot(void *subject, uint64_t unused) {
        static const char *const modes[] = {"graceful", "force", "drain"};
        struct reboot_wish *w = subject;
        (void)unused;
        world_count(TALLY_REBOOTS_ASKED, 1);
        w->timeout_usec = rng_range(&people.rng, 20, 120) * SEC;
        snprintf(w->selector, sizeof(w->selector), "%s", w->machine->name);
        snprintf(w->options, sizeof(w->options),
                 "{\"mode\":\"%s\",\"reason\":\"a test\",\"timeout_usec\":%llu}",
                 modes[rng_below(&people.rng, 3)], (unsigned long long)w->timeout_usec);
        w->asked_usec = world->now;
        /* servers do that, and most where somebody waits for an answer */
        for (unsigned i = 0; i < people.ways.replays; i++)
                world_after(rng_range(&people.rng, 10 * MSEC, 15 * SEC), replay, NULL, 0);
        ask(ASK_REBOOT, w->selector, w->options, on_rebooted, w, 0);
}

/* ---- looking on ---- */

void desk_told_run(struct desk *d, const char *json) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        const char *state = NULL, *verdict = NULL, *id = NULL;
        struct json_at root;

        (void)d;
        if (!strstr(json, "\"ended\"") || json_parse(&doc, "run", json, strlen(json)) != 0)
                return;
        root = json_root(doc);
        json_get_str(&root, "state", &state);
        json_get_str(&root, "verdict", &verdict);
        json_get_str(&root, "run", &id);
        if (state && verdict && id && strcmp(state, "ended") == 0)
                truth_shown_ended(id, verdict);
}

void desk_told_grew(struct desk *d, const char *run, const char *stream, uint64_t next) {
        (void)d;
        truth_shown_bytes(run, stream, next);
}

#define NOT_YET(...) snprintf(people.why_not, sizeof(people.why_not), __VA_ARGS__)

static struct batch *batch_of(const char *run, size_t *ret_which) {
        for (size_t i = 0; i < people.n_batches; i++)
                for (size_t k = 0; k < people.batches[i].n_runs; k++)
                        if (strcmp(people.batches[i].runs[k], run) == 0) {
                                *ret_which = k;
                                return &people.batches[i];
                        }
        return NULL;
}

/* Everything is at rest: now it must be right. */
static void check_runs(const struct json_at *root) {
        size_t expected = 0;

        for (size_t i = 0; i < people.n_batches; i++)
                expected += people.batches[i].n_runs;
        for (size_t i = 0; i < truth_count() && !world->over; i++) {
                size_t which;

                if (!batch_of(truth_at(i)->id, &which))
                        world_wrong("unknown",
                                    "run %s was executed or spoken of, and no submission has it",
                                    truth_at(i)->id);
        }
        if (json_length(root) != expected)
                world_wrong("unknown", "%zu runs were submitted, and the controller has %zu",
                            expected, json_length(root));
        for (size_t i = 0; i < json_length(root) && !world->over; i++) {
                const char *id = NULL, *verdict = "";
                struct json_at run;
                struct batch *b;
                size_t which = 0;

                json_item(root, i, &run);
                json_get_str(&run, "run", &id);
                json_get_str(&run, "verdict", &verdict);
                b = batch_of(id, &which);
                if (!b) {
                        world_wrong("unknown", "the controller has a run %s that nobody submitted",
                                    id);
                        return;
                }
                if (truth_is_lost(b->machines[which], id))
                        continue;
                truth_check_run(b->machines[which], id, verdict,
                                &(struct truth_expectation){.steps = b->steps,
                                                            .n_steps = b->n_steps,
                                                            .cancelled = b->cancelled[which],
                                                            .may_wait_in_vain = b->waits_in_vain});
        }
}

static bool runs_at_rest(const struct json_at *root) {
        for (size_t i = 0; i < json_length(root); i++) {
                const char *state = NULL, *id = NULL, *why = "";
                struct json_at run;
                struct batch *b;
                size_t which;

                json_item(root, i, &run);
                json_get_str(&run, "state", &state);
                json_get_str(&run, "run", &id);
                b = batch_of(id ? id : "", &which);
                if (b && truth_is_lost(b->machines[which], id))
                        continue;
                if (!state || strcmp(state, "ended") != 0) {
                        NOT_YET("run %s is %s", id ? id : "?", state ? state : "?");
                        return false;
                }
                if (b && !truth_delivered(b->machines[which], id, &why)) {
                        NOT_YET("run %s %s", id, why);
                        return false;
                }
        }
        return true;
}

static void look(void *subject, uint64_t unused);

static void on_runs(struct ask *a, const char *error, const char *text) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root;

        (void)a;
        world_after(2 * SEC, look, NULL, 0);
        if (error || json_parse(&doc, "runs", text, strlen(text)) != 0) {
                NOT_YET("the controller does not list its runs: %s", text);
                return;
        }
        root = json_root(doc);
        if (!runs_at_rest(&root) || !people.targets_well)
                return;
        check_runs(&root);
        world->over = true;
}

static void on_targets(struct ask *a, const char *error, const char *text) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root;

        (void)a;
        people.targets_well = false;
        if (error || json_parse(&doc, "targets", text, strlen(text)) != 0) {
                NOT_YET("the controller does not list its targets: %s", text);
                return;
        }
        root = json_root(doc);
        for (size_t i = 0; i < people.n_targets; i++) {
                bool found = false;

                for (size_t k = 0; k < json_length(&root); k++) {
                        const char *name = NULL, *state = NULL, *boot = NULL;
                        struct json_at t;

                        json_item(&root, k, &t);
                        json_get_str(&t, "name", &name);
                        json_get_str(&t, "state", &state);
                        json_get_str(&t, "boot", &boot);
                        found |= name && state && boot &&
                                 strcmp(name, people.targets[i]->name) == 0 &&
                                 strcmp(state, "ready") == 0 &&
                                 strcmp(boot, people.targets[i]->boot) == 0;
                }
                if (!found) {
                        NOT_YET("%s is up and idle, and the controller does not show it so",
                                people.targets[i]->name);
                        return;
                }
        }
        people.targets_well = true;
}

/* Is everything over? */
static bool at_rest(void) {
        for (size_t i = 0; i < people.n_batches; i++)
                if (!people.batches[i].answered) {
                        NOT_YET("submission %s was never accepted", people.batches[i].id);
                        return false;
                }
        for (size_t i = 0; i < people.n_reboots; i++)
                if (!people.reboots[i].over) {
                        NOT_YET("a reboot is not over");
                        return false;
                }
        return true;
}

static void ping(void *subject, uint64_t unused);

static void look(void *subject, uint64_t unused) {
        (void)subject;
        (void)unused;
        ping(NULL, 0);
        if (world->now > people.deadline_usec) {
                world_wrong("settled", "long after the last fault %s", people.why_not);
                return;
        }
        if (!at_rest()) {
                world_after(2 * SEC, look, NULL, 0);
                return;
        }
        ask(ASK_TARGETS, "", "", on_targets, NULL, 0);
        ask(ASK_RUNS, "", "", on_runs, NULL, 0);
}

void people_settle(uint64_t deadline_usec) {
        people.deadline_usec = deadline_usec;
        look(NULL, 0);
}

static void on_ponged(struct ask *a, const char *error, const char *text) {
        (void)a;
        (void)error;
        (void)text;
}

static void ping(void *subject, uint64_t unused) {
        (void)subject;
        (void)unused;
        ask(ASK_PING, "pc*", "", on_ponged, NULL, 0);
}

void people_start(const struct people_ways *ways, struct machine *controller,
                  struct machine *const *targets, size_t n_targets, uint64_t seed) {
        memset(&people, 0, sizeof(people));
        people.rng.state = seed;
        people.ways = *ways;
        people.controller = controller;
        memcpy(people.targets, targets, n_targets * sizeof(*targets));
        people.n_targets = n_targets;
        people.n_batches = ways->n_batches;
        people.n_reboots = ways->n_reboots;
        for (size_t i = 0; i < people.n_batches; i++) {
                make_batch(&people.batches[i]);
                world_count(TALLY_BATCHES, 1);
                world_after(rng_range(&people.rng, SEC, ways->until_usec), submit,
                            &people.batches[i], 0);
        }
        for (size_t i = 0; i < people.n_reboots; i++) {
                people.reboots[i].machine = targets[rng_below(&people.rng, n_targets)];
                world_after(rng_range(&people.rng, 3 * SEC, ways->until_usec), want_reboot,
                            &people.reboots[i], 0);
        }
        world_after(rng_below(&people.rng, ways->until_usec), ping, NULL, 0);
}
