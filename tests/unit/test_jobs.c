#include "tests/support/check.h"
#include "tests/support/starve.h"

#include "controller/core/jobs.h"
#include "proto/base/clock.h"

#include <errno.h>

#define NOW (UINT64_C(1000) * USEC_PER_SEC)
#define REAL (UINT64_C(1767222000) * USEC_PER_SEC)

struct fixture {
        struct jobs j;
        struct run *r;
};

static struct run *order(struct jobs *j, const char *id) {
        struct run *r = NULL;

        assert_int_equal(jobs_add(j, id, "pc1@lab", &r), 0);
        assert_int_equal(run_set(&r->plan, "{}"), 0);
        r->submitted_usec = REAL;
        r->steps = 1;
        return r;
}

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        jobs_init(&f->j);
        f->r = order(&f->j, "r1");
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;

        jobs_done(&f->j);
        free(f);
        return 0;
}

static int event(struct run *r, enum event_kind kind) {
        const struct event e = {
                .kind = kind, .step = 1, .of = 1, .exit_status = -1, .realtime_usec = REAL};

        return run_event(r, &e);
}

static int stepped(struct run *r, uint64_t size) {
        const struct event_stream s = {.name = "1.out", .size = size, .sha256 = "ab"};
        const struct event e = {.kind = EVENT_STEPPED,
                                .step = 1,
                                .verdict = VERDICT_PASSED,
                                .exit_status = 0,
                                .streams = &s,
                                .n_streams = 1};

        return run_event(r, &e);
}

static int ended(struct run *r, enum verdict verdict) {
        const struct event e = {.kind = EVENT_ENDED, .verdict = verdict, .exit_status = -1};

        return run_event(r, &e);
}

static void goes_its_way(void **state) {
        struct fixture *f = *state;
        uint64_t at;

        assert_string_equal(run_shown_state(f->r), "pending");
        assert_int_equal(run_want(f->r, "s1", NOW, &at), RUN_WANT_SUBMIT);
        run_submitted(f->r, "s1", NOW);
        assert_string_equal(run_shown_state(f->r), "sent");
        assert_int_equal(run_want(f->r, "s1", NOW, &at), RUN_WANT_NOTHING);
        assert_int_equal(event(f->r, EVENT_ACCEPTED), 0);
        assert_string_equal(run_shown_state(f->r), "queued");
        assert_int_equal(event(f->r, EVENT_STARTED), 0);
        assert_string_equal(run_shown_state(f->r), "running");
        assert_int_equal(stepped(f->r, 0), 0);
        assert_int_equal(ended(f->r, VERDICT_PASSED), 0);
        assert_string_equal(run_shown_state(f->r), "ended");
        assert_true(f->r->done);
        assert_false(f->r->local);
}

static void is_sent_again_until_accepted(void **state) {
        struct fixture *f = *state;
        uint64_t at;

        run_submitted(f->r, "s1", NOW);
        assert_int_equal(run_want(f->r, "s1", NOW + 1, &at), RUN_WANT_NOTHING);
        assert_int_equal(at, NOW + JOBS_RESEND_USEC);
        assert_int_equal(run_want(f->r, "s1", at, &at), RUN_WANT_SUBMIT);
        assert_int_equal(run_want(f->r, "s2", NOW + 1, &at), RUN_WANT_SUBMIT);
        event(f->r, EVENT_ACCEPTED);
        assert_int_equal(run_want(f->r, "s3", NOW + 1, &at), RUN_WANT_NOTHING);
        assert_int_equal(at, USEC_NEVER);
}

/* Nobody sees an end before the output. */
static void the_end_of_a_step_waits_for_its_bytes(void **state) {
        struct fixture *f = *state;
        struct run_stream *s;

        event(f->r, EVENT_ACCEPTED);
        event(f->r, EVENT_STARTED);
        assert_int_equal(stepped(f->r, 10), RUN_WAITS);
        assert_true(f->r->fold.step_open);
        s = run_stream_find(f->r, "1.out");
        assert_non_null(s);
        assert_int_equal(s->size, 10);
        assert_string_equal(s->sha256, "ab");
        s->next = 10;
        assert_int_equal(stepped(f->r, 10), RUN_WAITS); /* here, but not verified */
        s->verified = true;
        assert_int_equal(stepped(f->r, 10), 0);
        assert_false(f->r->fold.step_open);
}

/* A power cut at the target took what is durable here. */
static void more_bytes_than_the_target_has_left_do_not_hold_up_the_end(void **state) {
        struct fixture *f = *state;
        struct run_stream *s;

        event(f->r, EVENT_ACCEPTED);
        event(f->r, EVENT_STARTED);
        assert_int_equal(run_stream_add(f->r, "1.out", &s), 0);
        s->next = 10;
        assert_int_equal(stepped(f->r, 6), RUN_WAITS); /* what both have is to be compared */
        s->verified = true;
        assert_int_equal(stepped(f->r, 6), 0);
        assert_false(f->r->fold.step_open);
        assert_int_equal(s->next, 10);
}

static void a_cancel_before_sending_ends_here(void **state) {
        struct fixture *f = *state;
        uint64_t at;

        assert_int_equal(run_cancelled(f->r, "ana", REAL + 5), 0);
        assert_true(run_ended(f->r));
        assert_true(f->r->local);
        assert_int_equal(f->r->fold.verdict, VERDICT_CANCELLED);
        assert_string_equal(f->r->cause, "cancelled before it was sent");
        assert_int_equal(run_want(f->r, "s1", NOW, &at), RUN_WANT_NOTHING);
}

static void a_cancel_after_sending_is_repeated_until_the_end(void **state) {
        struct fixture *f = *state;
        uint64_t at;

        run_submitted(f->r, "s1", NOW);
        assert_int_equal(run_cancelled(f->r, "ana", REAL), 0);
        assert_false(run_ended(f->r));
        assert_int_equal(run_want(f->r, "s1", NOW, &at), RUN_WANT_CANCEL);
        run_cancel_sent(f->r, "s1", NOW);
        assert_int_equal(run_want(f->r, "s1", NOW + 1, &at), RUN_WANT_NOTHING);
        event(f->r, EVENT_ACCEPTED);
        assert_int_equal(run_want(f->r, "s2", NOW + 1, &at), RUN_WANT_CANCEL);
        ended(f->r, VERDICT_CANCELLED);
        assert_int_equal(run_want(f->r, "s3", NOW + 1, &at), RUN_WANT_NOTHING);
        assert_false(f->r->local);
}

static void a_run_whose_journal_arrives_does_not_expire(void **state) {
        struct fixture *f = *state;
        struct run_stream *s;

        f->r->ttl_usec = 60 * USEC_PER_SEC;
        f->r->submitted_usec = REAL;
        assert_true(run_may_expire(f->r));
        /* the target took it in time, and was away until now: not a line of it is folded yet */
        assert_int_equal(run_stream_add(f->r, JOBS_EVENTS, &s), 0);
        assert_false(run_may_expire(f->r));
        assert_false(run_expired(f->r, REAL + USEC_PER_HOUR));
        assert_false(run_ended(f->r));
}

static void an_expired_run_ends_here_and_its_copies_are_cancelled(void **state) {
        struct fixture *f = *state;
        uint64_t at;

        f->r->ttl_usec = 60 * USEC_PER_SEC;
        run_submitted(f->r, "", NOW); /* to the server's queue */
        assert_int_equal(run_ttl_left(f->r, REAL + 20 * USEC_PER_SEC), 40);
        assert_int_equal(run_ttl_left(f->r, REAL + 90 * USEC_PER_SEC), 1);
        assert_false(run_expired(f->r, REAL + 59 * USEC_PER_SEC));
        assert_true(run_expired(f->r, REAL + 60 * USEC_PER_SEC));
        assert_int_equal(f->r->fold.verdict, VERDICT_NOT_RUN);
        /* it turns up all the same */
        run_revive(f->r);
        assert_false(run_ended(f->r));
        assert_false(f->r->done);
        assert_int_equal(run_want(f->r, "s1", NOW, &at), RUN_WANT_CANCEL);
}

static void an_accepted_run_does_not_expire_here(void **state) {
        struct fixture *f = *state;

        f->r->ttl_usec = USEC_PER_SEC;
        event(f->r, EVENT_ACCEPTED);
        assert_false(run_expired(f->r, REAL + USEC_PER_HOUR));
}

static void a_refusal_ends_here_and_never_overwrites_an_end(void **state) {
        struct fixture *f = *state;

        assert_int_equal(run_refused(f->r, VERDICT_NOT_RUN, "busy", "pc1 refused it", REAL), 0);
        assert_true(f->r->done && f->r->local);
        assert_int_equal(run_refused(f->r, VERDICT_CANCELLED, NULL, "again", REAL), 0);
        assert_string_equal(f->r->cause, "pc1 refused it");
        assert_string_equal(f->r->refusal, "busy");
}

static void lanes_keep_the_order(void **state) {
        struct fixture *f = *state;
        struct run *second = order(&f->j, "a0"), *x;
        struct lane *lane = jobs_lane(&f->j, "pc1@lab");

        assert_int_equal(jobs_add(&f->j, "r1", "pc1@lab", &x), JOBS_EXISTS);
        assert_int_equal(lane->n_runs, 2);
        assert_ptr_equal(list_entry(lane->runs.next, struct run, link), f->r);
        assert_ptr_equal(jobs_find(&f->j, "a0"), second);
        assert_int_equal(jobs_due(&f->j), 0);
        jobs_remove(&f->j, f->r);
        assert_null(jobs_find(&f->j, "r1"));
        assert_int_equal(lane->n_runs, 1);
        assert_null(jobs_lane(&f->j, "pc2@lab"));
}

static void streams_are_bounded(void **state) {
        struct fixture *f = *state;
        struct run_stream *s;
        char name[32];

        for (int i = 0; i < JOBS_STREAMS_MAX; i++) {
                snprintf(name, sizeof(name), "%d.out", i);
                assert_int_equal(run_stream_add(f->r, name, &s), 0);
        }
        assert_int_equal(run_stream_add(f->r, "more", &s), JOBS_FULL);
        assert_int_equal(run_stream_add(f->r, "7.out", &s), 0);
}

static void a_hostile_stream_name_is_not_taken(void **state) {
        struct fixture *f = *state;
        const struct event_stream s = {.name = "../../etc/passwd", .size = 1};
        const struct event e = {.kind = EVENT_STEPPED, .step = 1, .streams = &s, .n_streams = 1};

        assert_int_equal(run_event(f->r, &e), 0);
        assert_int_equal(f->r->n_streams, 0);
}

static void notes_say_why_it_waits(void **state) {
        struct fixture *f = *state;
        CLEANUP(fleet_done) struct fleet fleet = {0};
        CLEANUP(buf_done) struct buf out = {0};
        struct fleet_facts facts = {.state = AVAIL_READY, .sid = "s1"};
        struct run *second = order(&f->j, "r2");
        struct target *t;

        assert_int_equal(fleet_add(&fleet, "pc1@lab", &t), 0);
        run_note(f->r, t, true, REAL, &out);
        check_buf(&out, "pc1 is offline and was never seen; the run starts when it returns");

        buf_clear(&out);
        run_note(f->r, t, false, REAL, &out);
        check_buf(&out, "this controller has no connection to its server; pc1 gets the run when it "
                        "is back");

        fleet_announced(t, "pc1@lab/t", &facts, 1, REAL, NOW);
        buf_clear(&out);
        run_note(f->r, t, true, REAL, &out);
        check_buf(&out, "");

        facts.state = AVAIL_BUSY;
        facts.run = "r1";
        facts.run_title = "memory";
        facts.run_step = 2;
        facts.run_of = 5;
        facts.run_by = "ana";
        fleet_announced(t, "pc1@lab/t", &facts, 1, REAL, NOW);
        event(f->r, EVENT_ACCEPTED);
        event(f->r, EVENT_STARTED);
        buf_clear(&out);
        run_note(second, t, true, REAL, &out);
        check_buf(&out, "pc1 is busy (memory, step 2 of 5, for ana); 1 run ahead");

        /* somebody else's run counts too */
        facts.run = "zz";
        fleet_announced(t, "pc1@lab/t", &facts, 1, REAL, NOW);
        buf_clear(&out);
        run_note(second, t, true, REAL, &out);
        check_buf(&out, "pc1 is busy (memory, step 2 of 5, for ana); 2 runs ahead");

        run_submitted(second, "s1", NOW);
        run_cancelled(second, "ana", REAL);
        fleet.link = (struct avail_link){
                .online = true, .proof_usec = UINT64_MAX, .alive_usec = UINT64_MAX};
        fleet_gone(t, NULL, NULL, REAL, NOW);
        avail_judge(&t->avail, &fleet.link, REAL, NOW);
        buf_clear(&out);
        run_note(second, t, true, REAL + 1, &out);
        check_buf(&out,
                  "asked to cancel; pc1 is offline since 23:00:00 and is told when it returns");
}

static void notes_say_that_it_reboots(void **state) {
        struct fixture *f = *state;
        CLEANUP(fleet_done) struct fleet fleet = {0};
        CLEANUP(buf_done) struct buf out = {0};
        struct fleet_facts facts = {.state = AVAIL_BUSY,
                                    .sid = "s1",
                                    .boot = "b1",
                                    .run = "r1",
                                    .run_step = 2,
                                    .run_of = 3};
        struct event e = {.kind = EVENT_STARTED, .step = 2, .of = 3, .exit_status = -1};
        struct target *t;

        assert_int_equal(fleet_add(&fleet, "pc1@lab", &t), 0);
        fleet_announced(t, "pc1@lab/t", &facts, 1, REAL, NOW);
        event(f->r, EVENT_ACCEPTED);
        assert_int_equal(run_event(f->r, &e), 0);
        run_note(f->r, t, true, REAL, &out);
        check_buf(&out, "");
        e.kind = EVENT_REBOOTING;
        assert_int_equal(run_event(f->r, &e), 0);
        run_note(f->r, t, true, REAL, &out);
        check_buf(&out, "rebooting, step 2 of 3");

        facts.state = AVAIL_REBOOTING;
        fleet_announced(t, "pc1@lab/t", &facts, 1, REAL, NOW);
        fleet_gone(t, "pc1@lab/t", NULL, REAL, NOW);
        buf_clear(&out);
        run_note(f->r, t, true, REAL, &out);
        assert_true(strncmp(out.data, "rebooting, step 2 of 3; pc1 is rebooting", 40) == 0);
        assert_non_null(strstr(out.data, "; the run goes on when it returns"));

        /* the journal of a step before it waits for output: presence is newer */
        f->r->fold.step = 1;
        f->r->fold.rebooting = false;
        buf_clear(&out);
        run_note(f->r, t, true, REAL, &out);
        assert_true(strncmp(out.data, "rebooting, step 2 of 3;", 23) == 0);

        facts = (struct fleet_facts){.state = AVAIL_BUSY, .sid = "s2", .boot = "b2", .run = "r1"};
        fleet_announced(t, "pc1@lab/t", &facts, 1, REAL, NOW);
        e = (struct event){
                .kind = EVENT_STARTED, .step = 3, .attempt = 2, .of = 3, .exit_status = -1};
        assert_int_equal(run_event(f->r, &e), 0);
        buf_clear(&out);
        run_note(f->r, t, true, REAL, &out);
        check_buf(&out, "a reboot interrupted it, step 3 of 3, attempt 2");
}

static int starved(void *userdata) {
        CLEANUP(jobs_done) struct jobs j = {0};
        struct run_stream *s;
        struct run *r;
        int q = jobs_add(&j, "r1", "pc1@lab", &r);

        (void)userdata;
        if (q == 0)
                q = run_set(&r->title, "memory");
        if (q == 0)
                q = run_stream_add(r, "1.out", &s);
        if (q == 0)
                q = run_refused(r, VERDICT_NOT_RUN, "full", "why", REAL);
        return q;
}

static void survives_without_memory(void **state) {
        (void)state;
        assert_true(starve_each(starved, NULL) > 6);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(goes_its_way),
                T(is_sent_again_until_accepted),
                T(the_end_of_a_step_waits_for_its_bytes),
                T(more_bytes_than_the_target_has_left_do_not_hold_up_the_end),
                T(a_cancel_before_sending_ends_here),
                T(a_cancel_after_sending_is_repeated_until_the_end),
                T(a_run_whose_journal_arrives_does_not_expire),
                T(an_expired_run_ends_here_and_its_copies_are_cancelled),
                T(an_accepted_run_does_not_expire_here),
                T(a_refusal_ends_here_and_never_overwrites_an_end),
                T(lanes_keep_the_order),
                T(streams_are_bounded),
                T(a_hostile_stream_name_is_not_taken),
                T(notes_say_why_it_waits),
                T(notes_say_that_it_reboots),
                T(survives_without_memory),
        };

        setenv("TZ", "UTC", 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
