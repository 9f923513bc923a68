/*
 * Reboots in the queue: as a step, from outside, at every moment.
 *
 * The second half is a machine in miniature: a journal that survives, programs that survive a restart of the daemon
 * and not a reboot, and a plan that is carried out on it with a restart or a power cut before and in the middle of
 * every single action, and two of them for every pair. What must hold is read from the journal afterwards.
 */
#include "tests/support/check.h"

#include "proto/base/clock.h"
#include "target/core/runq.h"

#define NOW (UINT64_C(1000) * USEC_PER_SEC)
#define WITHIN (10 * USEC_PER_MINUTE)
#define SETTLE (60 * USEC_PER_SEC)

static const struct runq_limits limits = {
        .slots = 2, .queue_max = 9, .keep_usec = USEC_PER_HOUR, .settle_usec = SETTLE};

static const struct runq_step reboot = {.reboot = true, .within_usec = WITHIN};
static const struct runq_step force = {.reboot = true, .force = true, .within_usec = WITHIN};
static const struct runq_step plain = {.on_interrupt = PLAN_INTERRUPT_FAIL};
static const struct runq_step goes_on = {.on_interrupt = PLAN_INTERRUPT_CONTINUE};

/* ---- by hand ---- */

struct fixture {
        struct runq *q;
        struct runq_action a;
        uint64_t now;
};

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        assert_int_equal(runq_new(&f->q, &limits), 0);
        f->now = NOW;
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        runq_free(f->q);
        free(f);
        return 0;
}

static struct runq_run *submit(struct fixture *f, const char *id, unsigned n,
                               const struct runq_step *steps) {
        const struct runq_new_run new_run = {.id = id,
                                             .owner = "ctl@lab",
                                             .name = "plan",
                                             .n_steps = n,
                                             .steps = steps,
                                             .expires_usec = USEC_NEVER};
        const struct event e = {.kind = EVENT_ACCEPTED, .exit_status = -1};
        struct runq_run *run = NULL;

        assert_int_equal(runq_accepted(f->q, &new_run, &e, &run), 0);
        return run;
}
#define SUBMIT(f, id, ...)                                                                         \
        submit(f, id, sizeof((struct runq_step[]){__VA_ARGS__}) / sizeof(struct runq_step),        \
               (struct runq_step[]){__VA_ARGS__})

static enum runq_do next(struct fixture *f) {
        return runq_next(f->q, f->now, &f->a);
}

/* The next thing is to record this event of @run, and perhaps its end; they become durable. */
static const struct event *recorded(struct fixture *f, const struct runq_run *run,
                                    enum event_kind kind) {
        static struct event first;
        static char cause[160];

        assert_int_equal(next(f), RUNQ_RECORD);
        assert_ptr_equal(f->a.run, run);
        assert_int_equal(f->a.events[0].kind, kind);
        for (size_t i = 0; i < f->a.n_events; i++) {
                f->a.events[i].boot = "b00t";
                f->a.events[i].up_usec = f->now;
        }
        first = f->a.events[0];
        /* the queue's own goes when the run is over */
        snprintf(cause, sizeof(cause), "%s", first.cause ? first.cause : "");
        first.cause = cause;
        runq_recorded(f->q, f->a.run, f->a.events, f->a.n_events);
        return &first;
}

static void asked(struct fixture *f, enum runq_do what, const struct runq_run *run) {
        assert_int_equal(next(f), what);
        assert_ptr_equal(f->a.run, run);
}

static void nothing(struct fixture *f) {
        assert_int_equal(next(f), RUNQ_NOTHING);
}

static void passed(struct fixture *f, struct runq_run *run) {
        const struct runq_result r = {.verdict = VERDICT_PASSED};

        assert_int_equal(runq_exited(f->q, run, run->step, &r), 0);
}

static void interrupted(struct fixture *f, struct runq_run *run) {
        const struct runq_result r = {.interrupted = true, .exit_status = -1};

        assert_int_equal(runq_exited(f->q, run, run->step, &r), 0);
}

/* To a program that is on. */
static void begins(struct fixture *f, struct runq_run *run) {
        recorded(f, run, EVENT_STARTED);
        asked(f, RUNQ_SPAWN, run);
        runq_spawned(f->q, run, run->step);
}

static void reboot_is_recorded_before_it_is_done(void **state) {
        struct fixture *f = *state;
        struct runq_run *run = SUBMIT(f, "r", reboot, plain);

        recorded(f, run, EVENT_STARTED);
        assert_int_equal(run->phase, RUNQ_DRAINING);
        recorded(f, run, EVENT_REBOOTING);
        assert_true(run->fold.rebooting);
        asked(f, RUNQ_REBOOT, run);
        nothing(f);
        assert_int_equal(runq_deadline(f->q), NOW + WITHIN);
        assert_int_equal(runq_count_on(f->q), 1);
}

static void reboot_waits_for_the_steps_of_others(void **state) {
        struct fixture *f = *state;
        struct runq_run *other = SUBMIT(f, "o", plain, plain), *run = SUBMIT(f, "r", reboot),
                        *late = SUBMIT(f, "l", plain);

        begins(f, other);
        recorded(f, run, EVENT_STARTED);
        nothing(f);
        passed(f, other);
        recorded(f, other, EVENT_STEPPED);
        /* its next step waits now, and so does the run that has not begun */
        recorded(f, run, EVENT_REBOOTING);
        asked(f, RUNQ_REBOOT, run);
        nothing(f);
        assert_int_equal(other->phase, RUNQ_STARTING);
        assert_int_equal(late->phase, RUNQ_WAITING);
        assert_int_equal(runq_admits(f->q, &(struct runq_new_run){.id = "x"}, true), RUNQ_BUSY);
}

static void force_waits_for_nobody(void **state) {
        struct fixture *f = *state;
        struct runq_run *other = SUBMIT(f, "o", plain), *run = SUBMIT(f, "r", force);

        begins(f, other);
        recorded(f, run, EVENT_STARTED);
        recorded(f, run, EVENT_REBOOTING);
        asked(f, RUNQ_REBOOT, run);
        assert_int_equal(other->phase, RUNQ_ON);
}

static void two_reboots_at_once_are_done_in_turn(void **state) {
        struct fixture *f = *state;
        struct runq_run *a = SUBMIT(f, "a", reboot), *b = SUBMIT(f, "b", reboot);

        recorded(f, a, EVENT_STARTED);
        recorded(f, a, EVENT_REBOOTING);
        asked(f, RUNQ_REBOOT, a);
        nothing(f);
        assert_int_equal(b->phase, RUNQ_WAITING);
        runq_exited(f->q, a, 1,
                    &(struct runq_result){
                            .verdict = VERDICT_NOT_RUN, .cause = "no", .exit_status = -1});
        recorded(f, a, EVENT_STEPPED);
        recorded(f, b, EVENT_STARTED);
}

static void frozen_nothing_starts(void **state) {
        struct fixture *f = *state;
        struct runq_run *a = SUBMIT(f, "a", plain, plain), *b = SUBMIT(f, "b", reboot);

        begins(f, a);
        recorded(f, b, EVENT_STARTED);
        passed(f, a);
        runq_freeze(f->q, true);
        recorded(f, a, EVENT_STEPPED);
        nothing(f);
        assert_int_equal(runq_admits(f->q, &(struct runq_new_run){.id = "x"}, true), RUNQ_BUSY);
        runq_freeze(f->q, false);
        recorded(f, b, EVENT_REBOOTING);
}

static void ends_by_its_deadline(void **state) {
        struct fixture *f = *state;
        struct runq_run *other = SUBMIT(f, "o", plain), *run = SUBMIT(f, "r", reboot, plain);
        const struct event *e;

        begins(f, other);
        recorded(f, run, EVENT_STARTED);
        nothing(f);
        assert_int_equal(runq_deadline(f->q), NOW + WITHIN);
        f->now = NOW + WITHIN - 1;
        nothing(f);
        f->now++;
        e = recorded(f, run, EVENT_STEPPED);
        assert_int_equal(e->verdict, VERDICT_NOT_RUN);
        assert_non_null(strstr(e->cause, "other runs"));
        assert_int_equal(run->phase, RUNQ_OVER);
        assert_int_equal(run->fold.verdict, VERDICT_NOT_RUN);

        passed(f, other);
        recorded(f, other, EVENT_STEPPED);
        run = SUBMIT(f, "r2", reboot, plain);
        recorded(f, run, EVENT_STARTED);
        recorded(f, run, EVENT_REBOOTING);
        asked(f, RUNQ_REBOOT, run);
        f->now += WITHIN;
        e = recorded(f, run, EVENT_STEPPED);
        assert_int_equal(e->verdict, VERDICT_FAILED);
        assert_non_null(strstr(e->cause, "same boot id"));
        assert_int_equal(run->fold.verdict, VERDICT_FAILED);
        assert_int_equal(runq_deadline(f->q), USEC_NEVER);
}

static void asked_again_when_it_could_not_be_taken(void **state) {
        struct fixture *f = *state;
        struct runq_run *run = SUBMIT(f, "r", reboot);

        recorded(f, run, EVENT_STARTED);
        recorded(f, run, EVENT_REBOOTING);
        asked(f, RUNQ_REBOOT, run);
        runq_record_failed(f->q, run, f->now);
        nothing(f);
        f->now = runq_deadline(f->q);
        assert_in_range(f->now, NOW + 1, NOW + 10 * USEC_PER_SEC);
        asked(f, RUNQ_REBOOT, run);
        nothing(f);
        assert_int_equal(runq_deadline(f->q), NOW + WITHIN);
}

static void cancel_in_each_phase(void **state) {
        struct fixture *f = *state;
        struct runq_run *other = SUBMIT(f, "o", plain), *run = SUBMIT(f, "r", reboot, plain);
        const struct runq_result stopped = {.verdict = VERDICT_CANCELLED, .exit_status = -1};

        begins(f, other);
        recorded(f, run, EVENT_STARTED);
        assert_int_equal(runq_cancelled(f->q, "r", "ana"), 0);
        recorded(f, run, EVENT_CANCEL);
        assert_int_equal(recorded(f, run, EVENT_STEPPED)->verdict, VERDICT_CANCELLED);
        assert_int_equal(run->fold.verdict, VERDICT_CANCELLED);
        assert_int_equal(run->phase, RUNQ_OVER);

        passed(f, other);
        recorded(f, other, EVENT_STEPPED);
        run = SUBMIT(f, "r2", reboot, plain);
        recorded(f, run, EVENT_STARTED);
        recorded(f, run, EVENT_REBOOTING);
        asked(f, RUNQ_REBOOT, run);
        assert_int_equal(runq_cancelled(f->q, "r2", "ana"), 0);
        recorded(f, run, EVENT_CANCEL);
        asked(f, RUNQ_KILL, run);
        nothing(f); /* it may be too late: then the boot tells, or the deadline */
        assert_int_equal(runq_exited(f->q, run, 1, &stopped), 0);
        recorded(f, run, EVENT_STEPPED);
        assert_int_equal(run->fold.verdict, VERDICT_CANCELLED);
        nothing(f);
}

static void interruption_fails_continues_or_retries(void **state) {
        struct fixture *f = *state;
        const struct runq_step twice = {.on_interrupt = PLAN_INTERRUPT_RETRY, .retries = 1};
        struct runq_run *run = SUBMIT(f, "f", plain, plain);
        const struct event *e;

        begins(f, run);
        interrupted(f, run);
        e = recorded(f, run, EVENT_STEPPED);
        assert_int_equal(e->interrupted, EVENT_INTERRUPT_FAIL);
        assert_string_equal(e->cause, "interrupted by a reboot");
        assert_int_equal(run->fold.verdict, VERDICT_NOT_RUN);

        run = SUBMIT(f, "c", goes_on, plain);
        begins(f, run);
        interrupted(f, run);
        assert_int_equal(recorded(f, run, EVENT_STEPPED)->interrupted, EVENT_INTERRUPT_CONTINUE);
        begins(f, run);
        assert_int_equal(run->step, 2);
        passed(f, run);
        assert_int_equal(next(f), RUNQ_RECORD);
        assert_string_equal(f->a.events[1].cause, "step 1: interrupted by a reboot");
        runq_recorded(f->q, run, f->a.events, f->a.n_events);
        assert_int_equal(run->fold.verdict, VERDICT_NOT_RUN); /* a step was not run */

        run = SUBMIT(f, "r", twice, plain);
        begins(f, run);
        interrupted(f, run);
        e = recorded(f, run, EVENT_STEPPED);
        assert_int_equal(e->interrupted, EVENT_INTERRUPT_RETRY);
        assert_int_equal(e->attempt, 1);
        assert_int_equal(recorded(f, run, EVENT_STARTED)->attempt, 2);
        assert_int_equal(run->step, 1);
        asked(f, RUNQ_SPAWN, run);
        runq_spawned(f->q, run, 1);
        passed(f, run);
        assert_int_equal(recorded(f, run, EVENT_STEPPED)->attempt, 2);
        begins(f, run);
        assert_int_equal(run->attempt, 1);
        passed(f, run);
        recorded(f, run, EVENT_STEPPED);
        assert_int_equal(run->fold.verdict, VERDICT_PASSED);

        run = SUBMIT(f, "r2", twice, plain);
        begins(f, run);
        interrupted(f, run);
        recorded(f, run, EVENT_STEPPED);
        begins(f, run);
        interrupted(f, run);
        e = recorded(f, run, EVENT_STEPPED);
        assert_int_equal(e->interrupted, EVENT_INTERRUPT_FAIL);
        assert_non_null(strstr(e->cause, "attempt 2 of 2"));
        assert_int_equal(run->fold.verdict, VERDICT_NOT_RUN);
}

static void boot_loop_ends(void **state) {
        struct fixture *f = *state;
        struct runq_run *run = SUBMIT(f, "r", goes_on, goes_on, goes_on, goes_on, goes_on, goes_on,
                                      goes_on, goes_on);
        const struct event *e;

        for (unsigned i = 0; i < RUNQ_INTERRUPTIONS_MAX; i++) {
                begins(f, run);
                interrupted(f, run);
                assert_int_equal(recorded(f, run, EVENT_STEPPED)->interrupted,
                                 EVENT_INTERRUPT_CONTINUE);
        }
        begins(f, run);
        interrupted(f, run);
        e = recorded(f, run, EVENT_STEPPED);
        assert_int_equal(e->interrupted, EVENT_INTERRUPT_FAIL);
        assert_non_null(strstr(e->cause, "boot loop"));
        assert_int_equal(run->phase, RUNQ_OVER);
}

static void a_whole_step_breaks_the_loop(void **state) {
        struct fixture *f = *state;
        struct runq_run *run =
                SUBMIT(f, "r", goes_on, goes_on, goes_on, goes_on, goes_on, plain, goes_on);

        for (unsigned i = 0; i < RUNQ_INTERRUPTIONS_MAX; i++) {
                begins(f, run);
                interrupted(f, run);
                recorded(f, run, EVENT_STEPPED);
        }
        begins(f, run);
        passed(f, run);
        recorded(f, run, EVENT_STEPPED);
        assert_int_equal(run->fold.interruptions, 0);
        begins(f, run);
        interrupted(f, run);
        recorded(f, run, EVENT_STEPPED);
        assert_int_equal(run->fold.interruptions, 1);
        assert_int_equal(run->phase, RUNQ_OVER);
        assert_int_equal(run->fold.verdict, VERDICT_NOT_RUN);
}

static void interrupted_while_it_was_cancelled(void **state) {
        struct fixture *f = *state;
        const struct runq_step again = {.on_interrupt = PLAN_INTERRUPT_RETRY, .retries = 3};
        struct runq_run *run = SUBMIT(f, "r", again, plain);

        begins(f, run);
        runq_cancelled(f->q, "r", "ana");
        recorded(f, run, EVENT_CANCEL);
        asked(f, RUNQ_KILL, run);
        interrupted(f, run);
        recorded(f, run, EVENT_STEPPED);
        assert_int_equal(run->phase, RUNQ_OVER);
        assert_int_equal(run->fold.verdict, VERDICT_CANCELLED);
}

/* ---- a machine in miniature ---- */

#define JOURNAL_MAX 128
#define STEPS_MAX 4
#define ATTEMPTS_MAX (PLAN_RETRIES_MAX + 2)

enum program {
        PROGRAM_NONE,
        PROGRAM_ON,
        PROGRAM_CUT, /* by a reboot */
        PROGRAM_DONE,
};

enum fault {
        FAULT_NONE,
        FAULT_RESTART,
        FAULT_POWER,
};

struct crash {
        unsigned at; /* which action */
        bool midway; /* after its effect, before the queue is told */
        enum fault fault;
};

struct machine {
        struct runq *q;
        struct runq_run *run;
        const struct runq_step *steps;
        unsigned n_steps;
        struct event journal[JOURNAL_MAX];
        char boots[JOURNAL_MAX][8];
        size_t n;
        unsigned boot;
        uint64_t now;
        enum program programs[STEPS_MAX + 1][ATTEMPTS_MAX + 1];
        bool ordered; /* under this boot: it will go down */
        unsigned n_orders;
        unsigned n_actions;
        const struct crash *crashes;
        size_t n_crashes;
};

static void boot_name(const struct machine *m, char ret[static 8]) {
        snprintf(ret, 8, "boot%u", m->boot % 1000);
}

static void daemon_starts(struct machine *m) {
        const struct runq_new_run new_run = {.id = "r",
                                             .owner = "ctl@lab",
                                             .name = "plan",
                                             .n_steps = m->n_steps,
                                             .steps = m->steps,
                                             .expires_usec = USEC_NEVER};
        struct runq_new_run n = new_run;
        struct run_fold fold = {.exit_status = -1};
        char boot[8];

        runq_free(m->q);
        assert_int_equal(runq_new(&m->q, &limits), 0);
        for (size_t i = 0; i < m->n; i++)
                run_fold_event(&fold, &m->journal[i]);
        boot_name(m, boot);
        n.rebooted = strcmp(fold.step_boot, boot) != 0;
        assert_int_equal(runq_restored(m->q, &n, &fold, USEC_NEVER, &m->run), 0);
}

static void power_fails(struct machine *m) {
        m->boot++;
        m->now = NOW; /* that clock begins anew with each boot */
        m->ordered = false;
        for (unsigned s = 1; s <= STEPS_MAX; s++)
                for (unsigned a = 1; a <= ATTEMPTS_MAX; a++)
                        if (m->programs[s][a] == PROGRAM_ON)
                                m->programs[s][a] = PROGRAM_CUT;
        daemon_starts(m);
}

/* True when it happened: whatever was under way is forgotten. */
static bool crashes(struct machine *m, bool midway) {
        for (size_t i = 0; i < m->n_crashes; i++) {
                const struct crash *c = &m->crashes[i];

                if (c->at != m->n_actions || c->midway != midway || c->fault == FAULT_NONE)
                        continue;
                if (c->fault == FAULT_RESTART)
                        daemon_starts(m);
                else
                        power_fails(m);
                return true;
        }
        return false;
}

static enum program *program_of(struct machine *m) {
        assert_in_range(m->run->step, 1, m->n_steps);
        assert_in_range(m->run->attempt, 1, ATTEMPTS_MAX);
        return &m->programs[m->run->step][m->run->attempt];
}

static void journal_add(struct machine *m, struct event *events, size_t n) {
        for (size_t i = 0; i < n; i++) {
                assert_in_range(m->n, 0, JOURNAL_MAX - 1);
                boot_name(m, m->boots[m->n]);
                if (events[i].kind == EVENT_STARTED || events[i].kind == EVENT_REBOOTING)
                        events[i].up_usec = m->now;
                events[i].boot = m->boots[m->n];
                m->journal[m->n] = events[i];
                m->journal[m->n].cause = NULL; /* the queue's text goes with it */
                m->journal[m->n++].streams = NULL;
        }
}

/* As target/step_work.c finds out what became of a step. */
static void adopt(struct machine *m) {
        const struct runq_result whole = {.verdict = VERDICT_PASSED};
        const struct runq_result cut = {.interrupted = true, .exit_status = -1};
        char boot[8];

        boot_name(m, boot);
        if (*program_of(m) == PROGRAM_ON)
                runq_spawned(m->q, m->run, m->run->step);
        else if (*program_of(m) == PROGRAM_DONE)
                assert_int_equal(runq_exited(m->q, m->run, m->run->step, &whole), 0);
        else if (strcmp(m->run->fold.step_boot, boot) != 0)
                assert_int_equal(runq_exited(m->q, m->run, m->run->step, &cut), 0);
        else
                runq_unstarted(m->q, m->run, m->run->step);
}

static void act(struct machine *m, struct runq_action *a) {
        switch (a->what) {
        case RUNQ_NOTHING:
        case RUNQ_KILL:
        case RUNQ_RETIRE:
                fail_msg("nobody asked for that");
                break;
        case RUNQ_RECORD:
                journal_add(m, a->events, a->n_events);
                if (!crashes(m, true))
                        runq_recorded(m->q, a->run, a->events, a->n_events);
                break;
        case RUNQ_SPAWN:
                assert_int_equal(*program_of(m), PROGRAM_NONE); /* nothing runs twice */
                *program_of(m) = PROGRAM_ON;
                if (!crashes(m, true))
                        runq_spawned(m->q, a->run, a->step);
                break;
        case RUNQ_ADOPT:
                if (!crashes(m, true))
                        adopt(m);
                break;
        case RUNQ_REBOOT:
                /* what is announced there, under this very boot, is what is done */
                assert_int_equal(m->journal[m->n - 1].kind, EVENT_REBOOTING);
                m->n_orders++;
                m->ordered = true;
                (void)crashes(m, true);
                break;
        }
}

/* Nothing to do: what is on comes to its end, the machine goes down, or time passes. */
static void wait(struct machine *m) {
        const struct runq_result whole = {.verdict = VERDICT_PASSED};

        if (m->ordered) {
                power_fails(m);
        } else if (m->run->phase == RUNQ_ON) {
                *program_of(m) = PROGRAM_DONE;
                if (!crashes(m, true))
                        assert_int_equal(runq_exited(m->q, m->run, m->run->step, &whole), 0);
        } else {
                uint64_t then = runq_deadline(m->q);

                assert_true(then != USEC_NEVER && then > m->now);
                m->now = then;
        }
}

/* What must hold, whatever happened. */
static void check_journal(const struct machine *m) {
        unsigned step = 0, attempt = 0, row = 0;
        enum verdict worst = VERDICT_PASSED;
        const char *boot = "";
        bool open = false, may_go_on = true;

        for (size_t i = 0; i < m->n; i++) {
                const struct event *e = &m->journal[i];

                switch (e->kind) {
                case EVENT_ACCEPTED:
                        assert_int_equal(i, 0);
                        break;
                case EVENT_STARTED:
                        assert_false(open);
                        assert_true(may_go_on);
                        if (e->step == step) {
                                assert_int_equal(e->attempt, attempt + 1);
                        } else {
                                assert_int_equal(e->step, step + 1);
                                assert_int_equal(e->attempt, 1);
                        }
                        step = e->step;
                        attempt = e->attempt;
                        boot = e->boot;
                        open = true;
                        break;
                case EVENT_REBOOTING:
                        assert_true(open && m->steps[step - 1].reboot);
                        assert_string_equal(e->boot, boot);
                        break;
                case EVENT_STEPPED:
                        assert_true(open);
                        open = false;
                        if (m->steps[step - 1].reboot) {
                                assert_int_equal(e->verdict, VERDICT_PASSED);
                                assert_string_not_equal(e->boot, boot);
                        }
                        if (e->interrupted != EVENT_WHOLE) {
                                assert_int_equal(e->verdict, VERDICT_NOT_RUN);
                                assert_string_not_equal(e->boot, boot);
                                assert_int_not_equal(m->programs[step][attempt], PROGRAM_DONE);
                        }
                        row = e->interrupted == EVENT_WHOLE ? 0 : row + 1;
                        assert_in_range(row, 0, RUNQ_INTERRUPTIONS_MAX + 1);
                        if (e->interrupted == EVENT_INTERRUPT_RETRY)
                                assert_in_range(attempt, 1, m->steps[step - 1].retries);
                        else
                                worst = verdict_worse(worst, e->verdict);
                        may_go_on = e->verdict == VERDICT_PASSED ||
                                    e->interrupted == EVENT_INTERRUPT_RETRY ||
                                    e->interrupted == EVENT_INTERRUPT_CONTINUE;
                        break;
                case EVENT_CANCEL:
                        fail_msg("nobody cancelled");
                        break;
                case EVENT_ENDED:
                        assert_false(open);
                        assert_int_equal(i, m->n - 1);
                        assert_int_equal(e->verdict, worst);
                        if (may_go_on)
                                assert_int_equal(step, m->n_steps);
                        break;
                }
        }
        assert_int_equal(m->journal[m->n - 1].kind, EVENT_ENDED);
}

/* Returns how many actions it took. */
static unsigned carry_out(const struct runq_step *steps, unsigned n_steps,
                          const struct crash *crash_list, size_t n_crashes) {
        struct machine *m = calloc(1, sizeof(*m));
        struct event accepted = {.kind = EVENT_ACCEPTED, .exit_status = -1};
        struct runq_action a;
        unsigned n;

        assert_non_null(m);
        m->steps = steps;
        m->n_steps = n_steps;
        m->now = NOW;
        m->crashes = crash_list;
        m->n_crashes = n_crashes;
        journal_add(m, &accepted, 1);
        daemon_starts(m);
        while (m->run->phase != RUNQ_OVER) {
                assert_in_range(++m->n_actions, 1, 200);
                if (crashes(m, false))
                        continue;
                if (runq_next(m->q, m->now, &a) == RUNQ_NOTHING)
                        wait(m);
                else
                        act(m, &a);
        }
        check_journal(m);
        n = m->n_actions;
        runq_free(m->q);
        free(m);
        return n;
}

static void every_moment(void **state) {
        static const struct runq_step policies[] = {
                {.on_interrupt = PLAN_INTERRUPT_FAIL},
                {                                    .on_interrupt = PLAN_INTERRUPT_CONTINUE                                  },
                { .on_interrupt = PLAN_INTERRUPT_RETRY,                                   .retries = 1},
                {                                   .on_interrupt = PLAN_INTERRUPT_RETRY,                                   .retries = PLAN_RETRIES_MAX},
        };
        static const enum fault faults[] = {FAULT_RESTART, FAULT_POWER};
        unsigned n_runs = 0;

        (void)state;
        for (size_t p = 0; p < ARRAY_SIZE(policies); p++) {
                const struct runq_step steps[] = {policies[p], reboot, policies[p], force};
                unsigned n = carry_out(steps, ARRAY_SIZE(steps), NULL, 0);

                assert_in_range(n, 12, 40);
                /* two faults of each kind, before and in the middle of each two actions */
                for (unsigned i = 0; i < 4 * n * (4 * n + 8); i++) {
                        const unsigned x = i % (4 * n), y = i / (4 * n);
                        const struct crash both[] = {
                                {1 + x / 4, x & 1, faults[x >> 1 & 1]},
                                {1 + y / 4, y & 1, faults[y >> 1 & 1]},
                        };

                        carry_out(steps, ARRAY_SIZE(steps), both, ARRAY_SIZE(both));
                        n_runs++;
                }
        }
        print_message("%u runs with two faults each\n", n_runs);
}

/* A power cut at every single action from the first on: it must end all the same. */
static void nothing_but_power_cuts(void **state) {
        struct crash all[200];

        (void)state;
        for (unsigned retries = 1; retries <= PLAN_RETRIES_MAX; retries++)
                for (unsigned every = 2; every < 8; every++) {
                        const struct runq_step again = {.on_interrupt = PLAN_INTERRUPT_RETRY,
                                                        .retries = retries};
                        const struct runq_step steps[] = {again, reboot, goes_on, goes_on};

                        for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
                                all[i] = (struct crash){(i + 1) * every, i & 1, FAULT_POWER};
                        carry_out(steps, ARRAY_SIZE(steps), all, ARRAY_SIZE(all));
                }
}

/* The daemon dies between the record and the order, or after it, under the same boot. */
static void a_restart_orders_again_only_after_a_while(void **state) {
        static const struct runq_step steps[] = {
                {.reboot = true, .within_usec = WITHIN}
        };
        const struct event journal[] = {
                {.kind = EVENT_ACCEPTED, .exit_status = -1},
                {               .kind = EVENT_STARTED, .step = 1,                     .of = 1, .boot = "b", .up_usec = NOW},
                { .kind = EVENT_REBOOTING,                      .step = 1,       .boot = "b", .up_usec = NOW + 5},
        };
        struct fixture *f = *state;
        struct run_fold fold = {.exit_status = -1};
        struct runq_run *run = NULL;
        const struct event *e;

        for (size_t i = 0; i < ARRAY_SIZE(journal); i++)
                run_fold_event(&fold, &journal[i]);
        runq_restored(f->q,
                      &(struct runq_new_run){.id = "r",
                                             .owner = "c@l",
                                             .name = "p",
                                             .n_steps = 1,
                                             .steps = steps,
                                             .expires_usec = USEC_NEVER},
                      &fold, USEC_NEVER, &run);
        nothing(f);
        assert_int_equal(runq_deadline(f->q), NOW + 5 + SETTLE);
        f->now = NOW + 4 + SETTLE;
        nothing(f);
        f->now++;
        recorded(f, run, EVENT_REBOOTING);
        asked(f, RUNQ_REBOOT, run);
        nothing(f);
        assert_int_equal(runq_deadline(f->q), NOW + WITHIN); /* since it started, restarts or not */
        f->now = NOW + WITHIN;
        e = recorded(f, run, EVENT_STEPPED);
        assert_int_equal(e->verdict, VERDICT_FAILED);
}

int main(void) {
        const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
                TEST(reboot_is_recorded_before_it_is_done),
                TEST(reboot_waits_for_the_steps_of_others),
                TEST(force_waits_for_nobody),
                TEST(two_reboots_at_once_are_done_in_turn),
                TEST(frozen_nothing_starts),
                TEST(ends_by_its_deadline),
                TEST(asked_again_when_it_could_not_be_taken),
                TEST(cancel_in_each_phase),
                TEST(interruption_fails_continues_or_retries),
                TEST(boot_loop_ends),
                TEST(a_whole_step_breaks_the_loop),
                TEST(interrupted_while_it_was_cancelled),
                TEST(a_restart_orders_again_only_after_a_while),
                cmocka_unit_test(every_moment),
                cmocka_unit_test(nothing_but_power_cuts),
        };

        return cmocka_run_group_tests_name("runq_reboot", tests, NULL, NULL);
}
