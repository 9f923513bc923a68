#include "tests/support/check.h"

#include "proto/base/clock.h"
#include "target/core/runq.h"

#define NOW (UINT64_C(1000) * USEC_PER_SEC)

struct fixture {
        struct runq *q;
        struct runq_action a;
};

static int setup(void **state) {
        const struct runq_limits limits = {.slots = 1, .queue_max = 3, .keep_usec = USEC_PER_HOUR};
        struct fixture *f = calloc(1, sizeof(*f));
        assert_int_equal(runq_new(&f->q, &limits), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;
        runq_free(f->q);
        free(f);
        return 0;
}

static struct runq_run *submit(struct fixture *f, const char *id, unsigned steps,
                               uint64_t expires) {
        const struct runq_new_run n = {.id = id,
                                       .owner = "ctl@lab",
                                       .by = "ana",
                                       .name = "memory",
                                       .n_steps = steps,
                                       .expires_usec = expires};
        const struct event e = {
                .kind = EVENT_ACCEPTED, .run = id, .owner = "ctl@lab", .exit_status = -1};
        struct runq_run *run = NULL;

        assert_int_equal(runq_admits(f->q, &(struct runq_new_run){.id = id}, false), 0);
        assert_int_equal(runq_accepted(f->q, &n, &e, &run), 0);
        return run;
}

/* The next thing is to record just these kinds; they become durable. */
static void recorded(struct fixture *f, const char *id, size_t n, const enum event_kind *kinds) {
        assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_RECORD);
        assert_string_equal(f->a.run->id, id);
        assert_int_equal(f->a.n_events, n);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(f->a.events[i].kind, kinds[i]);
                if (kinds[i] == EVENT_STARTED)
                        f->a.events[i].boot = "b00t";
        }
        runq_recorded(f->q, f->a.run, f->a.events, n);
}
#define RECORDED(f, id, ...)                                                                       \
        recorded(f, id, sizeof((enum event_kind[]){__VA_ARGS__}) / sizeof(enum event_kind),        \
                 (enum event_kind[]){__VA_ARGS__})

static void spawned(struct fixture *f, const char *id, unsigned step) {
        assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_SPAWN);
        assert_string_equal(f->a.run->id, id);
        assert_int_equal(f->a.step, step);
        runq_spawned(f->q, f->a.run, step);
}

static void nothing(struct fixture *f) {
        assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_NOTHING);
}

static void exited(struct fixture *f, struct runq_run *run, unsigned step, enum verdict v,
                   const char *cause) {
        const struct event_stream out = {.name = "1.out", .size = 7, .sha256 = "ab12"};
        const struct runq_result r = {.verdict = v,
                                      .cause = cause,
                                      .exit_status = v == VERDICT_PASSED ? 0 : 3,
                                      .stream = &out};
        assert_int_equal(runq_exited(f->q, run, step, &r), 0);
}

static void two_steps_pass(void **state) {
        struct fixture *f = *state;
        struct runq_run *run = submit(f, "r1", 2, USEC_NEVER);

        RECORDED(f, "r1", EVENT_STARTED);
        assert_int_equal(f->a.events[0].step, 1);
        assert_int_equal(f->a.events[0].of, 2);
        spawned(f, "r1", 1);
        nothing(f);
        assert_int_equal(runq_count_on(f->q), 1);
        exited(f, run, 1, VERDICT_PASSED, NULL);
        RECORDED(f, "r1", EVENT_STEPPED);
        assert_int_equal(f->a.events[0].n_streams, 1);
        assert_string_equal(f->a.events[0].streams[0].sha256, "ab12");
        RECORDED(f, "r1", EVENT_STARTED);
        spawned(f, "r1", 2);
        exited(f, run, 2, VERDICT_PASSED, NULL);
        RECORDED(f, "r1", EVENT_STEPPED, EVENT_ENDED);
        assert_int_equal(run->fold.verdict, VERDICT_PASSED);
        assert_int_equal(run->phase, RUNQ_OVER);
        assert_int_equal(runq_count_on(f->q), 0);
        nothing(f);
}

static void failed_step_ends_the_run(void **state) {
        struct fixture *f = *state;
        struct runq_run *run = submit(f, "r1", 3, USEC_NEVER);

        RECORDED(f, "r1", EVENT_STARTED);
        spawned(f, "r1", 1);
        exited(f, run, 1, VERDICT_FAILED, "exited with 3");
        assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_RECORD);
        assert_int_equal(f->a.n_events, 2);
        assert_int_equal(f->a.events[1].verdict, VERDICT_FAILED);
        assert_string_equal(f->a.events[1].cause, "step 1: exited with 3");
        runq_recorded(f->q, run, f->a.events, 2);
        assert_int_equal(run->fold.verdict, VERDICT_FAILED);
        nothing(f);
}

static void order_of_acceptance_one_slot(void **state) {
        struct fixture *f = *state;
        struct runq_run *a = submit(f, "a", 1, USEC_NEVER);

        submit(f, "b", 1, USEC_NEVER);
        submit(f, "c", 1, USEC_NEVER);
        RECORDED(f, "a", EVENT_STARTED);
        assert_int_equal(runq_count_waiting(f->q), 2);
        spawned(f, "a", 1);
        nothing(f);
        exited(f, a, 1, VERDICT_FAILED, "x");
        RECORDED(f, "a", EVENT_STEPPED, EVENT_ENDED);
        RECORDED(f, "b", EVENT_STARTED);
        spawned(f, "b", 1);
        nothing(f);
}

static void two_slots(void **state) {
        struct fixture *f = *state;
        const struct runq_limits two = {.slots = 2, .queue_max = 3};

        runq_set_limits(f->q, &two);
        submit(f, "a", 1, USEC_NEVER);
        submit(f, "b", 1, USEC_NEVER);
        submit(f, "c", 1, USEC_NEVER);
        RECORDED(f, "a", EVENT_STARTED);
        spawned(f, "a", 1);
        RECORDED(f, "b", EVENT_STARTED);
        spawned(f, "b", 1);
        nothing(f);
}

static void ids_are_accepted_once(void **state) {
        struct fixture *f = *state;
        const struct runq_new_run n = {.id = "r1", .owner = "o", .name = "n", .n_steps = 1};
        const struct event e = {.kind = EVENT_ACCEPTED};
        struct runq_run *run = NULL;

        submit(f, "r1", 1, USEC_NEVER);
        assert_int_equal(runq_admits(f->q, &(struct runq_new_run){.id = "r1"}, false), RUNQ_KNOWN);
        assert_int_equal(runq_accepted(f->q, &n, &e, &run), RUNQ_KNOWN);
        assert_null(run);
        assert_int_equal(runq_count_waiting(f->q), 1);
}

static void full_and_busy(void **state) {
        struct fixture *f = *state;

        assert_int_equal(runq_admits(f->q, &(struct runq_new_run){.id = "x"}, true), 0);
        submit(f, "a", 1, USEC_NEVER);
        assert_int_equal(runq_admits(f->q, &(struct runq_new_run){.id = "x"}, true), RUNQ_BUSY);
        submit(f, "b", 1, USEC_NEVER);
        submit(f, "c", 1, USEC_NEVER);
        assert_int_equal(runq_admits(f->q, &(struct runq_new_run){.id = "x"}, false), RUNQ_FULL);
        RECORDED(f, "a", EVENT_STARTED);
        assert_int_equal(runq_admits(f->q, &(struct runq_new_run){.id = "x"}, false), 0);
        assert_int_equal(runq_admits(f->q, &(struct runq_new_run){.id = "x"}, true), RUNQ_BUSY);
}

static struct runq_run *put(struct fixture *f, const char *id, uint64_t lease, bool heal) {
        const struct runq_new_run n = {.id = id,
                                       .owner = "ctl@lab",
                                       .name = "memory",
                                       .n_steps = 1,
                                       .lease = lease,
                                       .heal = heal,
                                       .expires_usec = USEC_NEVER};
        const struct event e = {
                .kind = EVENT_ACCEPTED, .run = id, .owner = "ctl@lab", .exit_status = -1};
        struct runq_run *run = NULL;

        assert_int_equal(runq_admits(f->q, &n, false), 0);
        assert_int_equal(runq_accepted(f->q, &n, &e, &run), 0);
        return run;
}

/* Every state of a target, every kind of run: which of them starts. */
static void what_starts(void **state) {
        enum { PLAIN, OLD_TOKEN, HOLDER, HEAL, HEAL_OF_HOLDER };
        static const struct {
                uint64_t lease;
                bool heal;
        } kinds[] = {
                {0, false},
                {6, false},
                {7, false},
                {0, true },
                {7, true }
        };

        for (unsigned bits = 0; bits < 16; bits++) {
                bool reserved = bits & 1, quarantined = bits & 2, away = bits & 4,
                     slot = !(bits & 8);

                for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
                        bool holder = k == HOLDER || k == HEAL_OF_HOLDER;
                        bool heals = k == HEAL || k == HEAL_OF_HOLDER;
                        bool starts = !away && slot && (!reserved || holder) &&
                                      (!quarantined || heals || (reserved && holder));
                        struct fixture *f;

                        setup(state);
                        f = *state;
                        if (!slot) {
                                submit(f, "on", 1, USEC_NEVER);
                                RECORDED(f, "on", EVENT_STARTED);
                                spawned(f, "on", 1);
                        }
                        runq_reserve(f->q, reserved ? 7 : 0);
                        runq_quarantine(f->q, quarantined);
                        runq_leave(f->q, away);
                        put(f, "x", kinds[k].lease, kinds[k].heal);
                        if (runq_next(f->q, NOW, &f->a) != (starts ? RUNQ_RECORD : RUNQ_NOTHING))
                                fail_msg("state %x, kind %zu: starts is not %d", bits, k, starts);
                        if (!starts && slot) {
                                /* it starts as soon as nothing is in its way, whatever its token was */
                                runq_reserve(f->q, 0);
                                runq_quarantine(f->q, false);
                                runq_leave(f->q, false);
                                RECORDED(f, "x", EVENT_STARTED);
                        }
                        teardown(state);
                }
        }
}

/* What began before the target was reserved, quarantined or away goes on, through all of its steps. */
static void what_is_on_goes_on(void **state) {
        struct fixture *f = *state;

        struct runq_run *two = submit(f, "two", 2, USEC_NEVER);

        RECORDED(f, "two", EVENT_STARTED);
        spawned(f, "two", 1);
        runq_reserve(f->q, 7);
        runq_quarantine(f->q, true);
        runq_leave(f->q, true);
        put(f, "mine", 7, true);
        exited(f, two, 1, VERDICT_PASSED, 0);
        RECORDED(f, "two", EVENT_STEPPED);
        RECORDED(f, "two", EVENT_STARTED);
        spawned(f, "two", 2);
        exited(f, two, 2, VERDICT_PASSED, 0);
        RECORDED(f, "two", EVENT_STEPPED, EVENT_ENDED);
        nothing(f);
        runq_leave(f->q, false);
        RECORDED(f, "mine", EVENT_STARTED);
}

/* The holder finds his machine idle, and room in its queue, however many others wait for its end. */
static void others_take_no_place(void **state) {
        const struct runq_new_run plain = {.id = "x"}, holder = {.id = "x", .lease = 7};
        const struct runq_new_run heal = {.id = "x", .heal = true};
        struct fixture *f = *state;
        char id[16];

        runq_reserve(f->q, 7);
        for (int i = 0; i < 3; i++) {
                snprintf(id, sizeof(id), "w%d", i);
                put(f, id, 0, false);
        }
        assert_int_equal(runq_admits(f->q, &plain, false), RUNQ_FULL);
        assert_int_equal(runq_admits(f->q, &holder, false), 0);
        assert_int_equal(runq_admits(f->q, &holder, true), 0);
        runq_reserve(f->q, 0);
        assert_int_equal(runq_admits(f->q, &holder, false), RUNQ_FULL);
        runq_quarantine(f->q, true);
        assert_int_equal(runq_admits(f->q, &plain, false), RUNQ_FULL);
        assert_int_equal(runq_admits(f->q, &heal, true), 0);
        runq_leave(f->q, true);
        assert_int_equal(runq_admits(f->q, &heal, false), RUNQ_FULL);
        runq_leave(f->q, false);
        /* one reservation after the other does not make it grow without end */
        runq_reserve(f->q, 7);
        for (int i = 0; i < 3; i++) {
                snprintf(id, sizeof(id), "h%d", i);
                put(f, id, 7, false);
        }
        assert_int_equal(runq_admits(f->q, &holder, false), RUNQ_FULL);
        runq_reserve(f->q, 8);
        assert_int_equal(runq_admits(f->q, &(struct runq_new_run){.id = "x", .lease = 8}, false),
                         RUNQ_FULL);
}

static void waits_no_longer_than_its_ttl(void **state) {
        struct fixture *f = *state;
        struct runq_run *b;

        submit(f, "a", 1, USEC_NEVER);
        b = submit(f, "b", 1, NOW + 5);
        RECORDED(f, "a", EVENT_STARTED);
        spawned(f, "a", 1);
        nothing(f);
        assert_int_equal(runq_deadline(f->q), NOW + 5);
        assert_int_equal(runq_next(f->q, NOW + 5, &f->a), RUNQ_RECORD);
        assert_ptr_equal(f->a.run, b);
        assert_int_equal(f->a.events[0].kind, EVENT_ENDED);
        assert_int_equal(f->a.events[0].verdict, VERDICT_NOT_RUN);
        assert_non_null(f->a.events[0].cause);
        runq_recorded(f->q, b, f->a.events, f->a.n_events);
        assert_int_equal(b->fold.verdict, VERDICT_NOT_RUN);
        assert_int_equal(runq_deadline(f->q), USEC_NEVER);
}

static void a_run_that_is_on_does_not_expire(void **state) {
        struct fixture *f = *state;

        submit(f, "a", 1, NOW + 5);
        RECORDED(f, "a", EVENT_STARTED);
        spawned(f, "a", 1);
        assert_int_equal(runq_next(f->q, NOW + 100, &f->a), RUNQ_NOTHING);
        assert_int_equal(runq_deadline(f->q), USEC_NEVER);
}

static void cancelled_while_it_waits(void **state) {
        struct fixture *f = *state;
        struct runq_run *a = submit(f, "a", 1, USEC_NEVER);

        runq_hold(f->q, true);
        assert_int_equal(runq_cancelled(f->q, "a", "bob"), 0);
        assert_int_equal(runq_cancelled(f->q, "a", "eve"), 0);
        RECORDED(f, "a", EVENT_CANCEL);
        assert_string_equal(f->a.events[0].by, "bob");
        RECORDED(f, "a", EVENT_ENDED);
        assert_int_equal(a->fold.verdict, VERDICT_CANCELLED);
        assert_int_equal(runq_cancelled(f->q, "a", "bob"), RUNQ_ENDED);
        assert_int_equal(runq_cancelled(f->q, "zz", "bob"), RUNQ_UNKNOWN);
        nothing(f);
}

static void cancelled_while_it_runs(void **state) {
        struct fixture *f = *state;
        struct runq_run *a = submit(f, "a", 2, USEC_NEVER);

        RECORDED(f, "a", EVENT_STARTED);
        spawned(f, "a", 1);
        assert_int_equal(runq_cancelled(f->q, "a", "bob"), 0);
        RECORDED(f, "a", EVENT_CANCEL);
        assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_KILL);
        assert_int_equal(f->a.step, 1);
        nothing(f);
        exited(f, a, 1, VERDICT_CANCELLED, "cancelled");
        RECORDED(f, "a", EVENT_STEPPED, EVENT_ENDED);
        assert_int_equal(a->fold.verdict, VERDICT_CANCELLED);
        nothing(f);
}

static void cancelled_step_passed_all_the_same(void **state) {
        struct fixture *f = *state;
        struct runq_run *a = submit(f, "a", 2, USEC_NEVER);

        RECORDED(f, "a", EVENT_STARTED);
        spawned(f, "a", 1);
        runq_cancelled(f->q, "a", "bob");
        RECORDED(f, "a", EVENT_CANCEL);
        exited(f, a, 1, VERDICT_PASSED, NULL);
        RECORDED(f, "a", EVENT_STEPPED);
        RECORDED(f, "a", EVENT_ENDED);
        assert_int_equal(a->fold.verdict, VERDICT_CANCELLED);
}

static void nothing_before_it_is_durable(void **state) {
        struct fixture *f = *state;
        struct runq_run *a = submit(f, "a", 1, USEC_NEVER);

        assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_RECORD);
        runq_record_failed(f->q, a, NOW);
        nothing(f);
        assert_int_equal(runq_deadline(f->q), NOW + USEC_PER_SEC);
        assert_int_equal(runq_next(f->q, NOW + USEC_PER_SEC, &f->a), RUNQ_RECORD);
        assert_int_equal(f->a.events[0].kind, EVENT_STARTED);
        runq_recorded(f->q, a, f->a.events, 1);
        spawned(f, "a", 1);
        exited(f, a, 1, VERDICT_FAILED, "exited with 3");
        /* The result survives any number of failures to write it down. */
        for (int i = 0; i < 3; i++) {
                assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_RECORD);
                assert_int_equal(f->a.n_events, 2);
                assert_int_equal(f->a.events[0].exit_status, 3);
                runq_record_failed(f->q, a, NOW - 2 * USEC_PER_SEC);
        }
        RECORDED(f, "a", EVENT_STEPPED, EVENT_ENDED);
}

static void a_spawn_that_failed_for_now_comes_again(void **state) {
        struct fixture *f = *state;
        struct runq_run *a = submit(f, "a", 1, USEC_NEVER);

        RECORDED(f, "a", EVENT_STARTED);
        assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_SPAWN);
        nothing(f);
        runq_record_failed(f->q, a, NOW);
        nothing(f);
        assert_int_equal(runq_next(f->q, NOW + USEC_PER_SEC, &f->a), RUNQ_SPAWN);
}

static void a_kill_that_failed_comes_again(void **state) {
        struct fixture *f = *state;
        struct runq_run *a = submit(f, "a", 1, USEC_NEVER);

        RECORDED(f, "a", EVENT_STARTED);
        spawned(f, "a", 1);
        assert_int_equal(runq_cancelled(f->q, "a", "ana"), 0);
        RECORDED(f, "a", EVENT_CANCEL);
        assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_KILL);
        nothing(f);
        runq_record_failed(f->q, a, NOW);
        nothing(f);
        assert_int_equal(runq_deadline(f->q), NOW + USEC_PER_SEC);
        assert_int_equal(runq_next(f->q, NOW + USEC_PER_SEC, &f->a), RUNQ_KILL);
        exited(f, a, 1, VERDICT_CANCELLED, NULL);
        RECORDED(f, "a", EVENT_STEPPED, EVENT_ENDED);
}

static void held(void **state) {
        struct fixture *f = *state;
        struct runq_run *a = submit(f, "a", 2, USEC_NEVER);

        RECORDED(f, "a", EVENT_STARTED);
        spawned(f, "a", 1);
        submit(f, "b", 1, USEC_NEVER);
        runq_hold(f->q, true);
        exited(f, a, 1, VERDICT_PASSED, NULL);
        RECORDED(f, "a", EVENT_STEPPED);
        RECORDED(f, "a", EVENT_STARTED); /* what is on goes on */
        spawned(f, "a", 2);
        exited(f, a, 2, VERDICT_PASSED, NULL);
        RECORDED(f, "a", EVENT_STEPPED, EVENT_ENDED);
        nothing(f);
        runq_hold(f->q, false);
        RECORDED(f, "b", EVENT_STARTED);
}

static struct runq_run *restore(struct fixture *f, const char *id, struct run_fold fold,
                                const char *last_cause, uint64_t retire) {
        const struct runq_new_run n = {.id = id,
                                       .owner = "ctl@lab",
                                       .name = "memory",
                                       .n_steps = 2,
                                       .expires_usec = USEC_NEVER,
                                       .last_cause = last_cause};
        struct runq_run *run = NULL;
        assert_int_equal(runq_restored(f->q, &n, &fold, retire, &run), 0);
        return run;
}

static const struct run_fold fold_open = {
        .state = RUN_RUNNING, .step = 1, .of = 2, .step_open = true, .exit_status = -1};

static void restored_open_step_is_adopted(void **state) {
        struct fixture *f = *state;
        struct runq_run *a = restore(f, "a", fold_open, NULL, USEC_NEVER);

        assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_ADOPT);
        assert_int_equal(f->a.step, 1);
        nothing(f);
        runq_spawned(f->q, a, 1);
        nothing(f);
        exited(f, a, 1, VERDICT_PASSED, NULL);
        RECORDED(f, "a", EVENT_STEPPED);
        RECORDED(f, "a", EVENT_STARTED);
        assert_int_equal(f->a.events[0].step, 2);
}

static void restored_step_that_never_began_is_spawned(void **state) {
        struct fixture *f = *state;
        struct runq_run *a = restore(f, "a", fold_open, NULL, USEC_NEVER);

        assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_ADOPT);
        runq_unstarted(f->q, a, 1);
        spawned(f, "a", 1); /* without a second "started" */
}

static void restored_step_that_was_interrupted(void **state) {
        struct fixture *f = *state;
        struct runq_run *a = restore(f, "a", fold_open, NULL, USEC_NEVER);

        assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_ADOPT);
        exited(f, a, 1, VERDICT_NOT_RUN, "interrupted by a reboot");
        RECORDED(f, "a", EVENT_STEPPED, EVENT_ENDED);
        assert_int_equal(a->fold.verdict, VERDICT_NOT_RUN);
}

static void restored_between_steps(void **state) {
        struct fixture *f = *state;
        struct run_fold fold = {.state = RUN_RUNNING,
                                .step = 1,
                                .of = 2,
                                .worst = VERDICT_PASSED,
                                .last = VERDICT_PASSED,
                                .exit_status = 0};

        restore(f, "a", fold, NULL, USEC_NEVER);
        RECORDED(f, "a", EVENT_STARTED);
        assert_int_equal(f->a.events[0].step, 2);
}

static void restored_between_the_last_step_and_the_end(void **state) {
        struct fixture *f = *state;
        struct run_fold fold = {.state = RUN_RUNNING,
                                .step = 1,
                                .of = 2,
                                .worst = VERDICT_FAILED,
                                .last = VERDICT_FAILED,
                                .exit_status = 3};
        struct runq_run *a = restore(f, "a", fold, "step 1: exited with 3", USEC_NEVER);

        assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_RECORD);
        assert_int_equal(f->a.events[0].kind, EVENT_ENDED);
        assert_int_equal(f->a.events[0].verdict, VERDICT_FAILED);
        assert_string_equal(f->a.events[0].cause, "step 1: exited with 3");
        runq_recorded(f->q, a, f->a.events, 1);
        nothing(f);
}

static void restored_cancel_is_not_forgotten(void **state) {
        struct fixture *f = *state;
        struct run_fold fold = fold_open;
        struct runq_run *a;

        fold.cancel_asked = true;
        a = restore(f, "a", fold, NULL, USEC_NEVER);
        assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_ADOPT);
        runq_spawned(f->q, a, 1);
        assert_int_equal(runq_next(f->q, NOW, &f->a), RUNQ_KILL);
        nothing(f);
}

static void retired_after_delivery(void **state) {
        struct fixture *f = *state;
        struct run_fold over = {.state = RUN_ENDED, .step = 2, .verdict = VERDICT_PASSED};
        struct runq_run *a = restore(f, "a", over, NULL, USEC_NEVER);

        restore(f, "b", over, NULL, NOW + 50);
        nothing(f);
        assert_int_equal(runq_deadline(f->q), NOW + 50);
        assert_true(runq_delivered(f->q, a, NOW));
        assert_false(runq_delivered(f->q, a, NOW + 1));
        assert_int_equal(runq_next(f->q, NOW + 50, &f->a), RUNQ_RETIRE);
        assert_string_equal(f->a.run->id, "b");
        runq_retired(f->q, f->a.run);
        assert_null(runq_find(f->q, "b"));
        assert_int_equal(runq_next(f->q, NOW + USEC_PER_HOUR - 1, &f->a), RUNQ_NOTHING);
        assert_int_equal(runq_deadline(f->q), NOW + USEC_PER_HOUR);
        assert_int_equal(runq_next(f->q, NOW + USEC_PER_HOUR, &f->a), RUNQ_RETIRE);
        runq_record_failed(f->q, a, NOW + USEC_PER_HOUR);
        assert_int_equal(runq_next(f->q, NOW + USEC_PER_HOUR, &f->a), RUNQ_NOTHING);
        assert_int_equal(runq_next(f->q, NOW + 2 * USEC_PER_HOUR, &f->a), RUNQ_RETIRE);
        runq_retired(f->q, a);
        assert_null(runq_first(f->q));
}

static void walks_all(void **state) {
        struct fixture *f = *state;
        struct run_fold over = {.state = RUN_ENDED};
        struct runq_run *a, *b;

        b = restore(f, "b", over, NULL, USEC_NEVER);
        a = submit(f, "a", 1, USEC_NEVER);
        assert_ptr_equal(runq_first(f->q), a);
        assert_ptr_equal(runq_after(f->q, a), b);
        assert_null(runq_after(f->q, b));
        assert_null(runq_on(f->q));
}

static void late_facts_change_nothing(void **state) {
        struct fixture *f = *state;
        struct runq_run *a = submit(f, "a", 2, USEC_NEVER);

        RECORDED(f, "a", EVENT_STARTED);
        spawned(f, "a", 1);
        exited(f, a, 2, VERDICT_FAILED, "of another step");
        nothing(f);
        exited(f, a, 1, VERDICT_PASSED, NULL);
        exited(f, a, 1, VERDICT_FAILED, "told twice");
        RECORDED(f, "a", EVENT_STEPPED);
        assert_int_equal(a->fold.worst, VERDICT_PASSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(two_steps_pass),
                TEST(failed_step_ends_the_run),
                TEST(order_of_acceptance_one_slot),
                TEST(two_slots),
                TEST(ids_are_accepted_once),
                TEST(full_and_busy),
                cmocka_unit_test(what_starts),
                TEST(what_is_on_goes_on),
                TEST(others_take_no_place),
                TEST(waits_no_longer_than_its_ttl),
                TEST(a_run_that_is_on_does_not_expire),
                TEST(cancelled_while_it_waits),
                TEST(cancelled_while_it_runs),
                TEST(cancelled_step_passed_all_the_same),
                TEST(nothing_before_it_is_durable),
                TEST(a_spawn_that_failed_for_now_comes_again),
                TEST(a_kill_that_failed_comes_again),
                TEST(held),
                TEST(restored_open_step_is_adopted),
                TEST(restored_step_that_never_began_is_spawned),
                TEST(restored_step_that_was_interrupted),
                TEST(restored_between_steps),
                TEST(restored_between_the_last_step_and_the_end),
                TEST(restored_cancel_is_not_forgotten),
                TEST(retired_after_delivery),
                TEST(walks_all),
                TEST(late_facts_change_nothing),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
