#include "tests/support/check.h"

#include "proto/base/clock.h"
#include "target/core/flow.h"

#define SLACK_USEC (300 * USEC_PER_MSEC)
#define PARCELS_MAX 65536

/*
 * A path with a queue: @rate bytes a second behind a bucket of @burst bytes that pass at once, and @delay until
 * what has passed is known to have landed. The sender always has more.
 */
struct path {
        struct flow flow;
        uint64_t rate, burst, delay_usec;
        uint64_t now, tokens, tokens_usec;
        uint64_t sent, passed, landed, lost;
        struct {
                uint64_t end, at_usec;
        } passing[PARCELS_MAX]; /* ring: known to have landed at */
        size_t first, last;
        uint64_t worst_usec; /* the longest that something new would have waited */
};

static void path_init(struct path *p, uint64_t rate, uint64_t burst, uint64_t delay_usec) {
        *p = (struct path){.rate = rate,
                           .burst = burst,
                           .delay_usec = delay_usec,
                           .now = USEC_PER_SEC,
                           .tokens = burst,
                           .tokens_usec = USEC_PER_SEC};
        flow_init(&p->flow, SLACK_USEC);
}

static void path_counts(struct path *p) {
        flow_counted(&p->flow, p->sent, p->landed, p->lost, p->now);
}

static void path_turn(struct path *p, uint64_t step_usec) {
        uint64_t can, queue;

        p->now += step_usec;
        p->tokens += p->rate * step_usec / USEC_PER_SEC;
        queue = p->sent - p->passed;
        can = queue < p->tokens ? queue : p->tokens;
        p->tokens -= can;
        if (p->tokens > p->burst)
                p->tokens = p->burst;
        if (can > 0) {
                p->passed += can;
                p->passing[p->last % PARCELS_MAX].end = p->passed;
                p->passing[p->last++ % PARCELS_MAX].at_usec = p->now + p->delay_usec;
                assert_true(p->last - p->first < PARCELS_MAX);
        }
        while (p->first < p->last && p->passing[p->first % PARCELS_MAX].at_usec <= p->now)
                p->landed = p->passing[p->first++ % PARCELS_MAX].end;
        path_counts(p);
}

/* For @usec, looked at every @step_usec, with @offered bytes a second to send (0: always more). */
static void path_run(struct path *p, uint64_t usec, uint64_t step_usec, uint64_t offered) {
        uint64_t end = p->now + usec, begin_usec = p->now, begin_sent = p->sent;

        p->worst_usec = 0;
        while (p->now < end) {
                path_turn(p, step_usec);
                while (flow_open(&p->flow) &&
                       (offered == 0 ||
                        p->sent - begin_sent < offered * (p->now - begin_usec) / USEC_PER_SEC)) {
                        p->sent += flow_piece(&p->flow);
                        path_counts(p);
                }
                if ((p->sent - p->passed) * USEC_PER_SEC / p->rate > p->worst_usec)
                        p->worst_usec = (p->sent - p->passed) * USEC_PER_SEC / p->rate;
        }
}

static double used(const struct path *p, uint64_t landed_before, uint64_t usec) {
        return (double)(p->landed - landed_before) * 1e6 / (double)usec / (double)p->rate;
}

static void slow_paths_stay_full_and_short(void **state) {
        static const struct {
                uint64_t rate, burst, delay_usec, first_usec, later_usec;
        } cases[] = {
                {8000,    2000,  20000,  1300000, 800000},
                {8000,    4096,  80000,  1300000, 800000},
 /* twice what the bucket lets through at once is in the way for a while */
                {8000,    16384, 20000,  4200000, 800000},
                {32000,   4096,  5000,   700000,  700000},
                {128000,  65536, 300000, 1100000, 700000},
                {1250000, 1000,  2000,   700000,  700000},
        };
        static struct path p;

        (void)state;
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
                uint64_t before;

                path_init(&p, cases[i].rate, cases[i].burst, cases[i].delay_usec);
                path_run(&p, 10 * USEC_PER_SEC, 5000, 0);
                assert_in_range(p.worst_usec, 1, cases[i].first_usec);
                before = p.landed;
                path_run(&p, 20 * USEC_PER_SEC, 5000, 0);
                assert_in_range(p.worst_usec, 1, cases[i].later_usec);
                assert_true(used(&p, before, 20 * USEC_PER_SEC) > 0.95);
        }
}

static void a_fast_path_is_at_its_ceiling_in_no_time(void **state) {
        static struct path p;

        (void)state;
        path_init(&p, 1000000000, 1000, 1000);
        path_run(&p, 100 * USEC_PER_MSEC, 500, 0);
        assert_int_equal(p.flow.window, FLOW_CEILING);
        assert_true(flow_piece(&p.flow) >= 65536);
}

static void it_follows_the_path_down_and_up(void **state) {
        static struct path p;
        uint64_t before;

        (void)state;
        path_init(&p, 1000000, 4096, 10000);
        path_run(&p, 10 * USEC_PER_SEC, 5000, 0);
        assert_in_range(p.flow.window, 200000, 400000);
        p.rate = 100000;
        path_run(&p, 15 * USEC_PER_SEC, 5000, 0);
        path_run(&p, 5 * USEC_PER_SEC, 5000, 0);
        assert_in_range(p.worst_usec, 1, 700000);
        p.rate = 1000000;
        path_run(&p, 3 * USEC_PER_SEC, 5000, 0);
        before = p.landed;
        path_run(&p, 5 * USEC_PER_SEC, 5000, 0);
        assert_true(used(&p, before, 5 * USEC_PER_SEC) > 0.95);
}

/* What takes long without a queue (a disk, a satellite) is not a queue. */
static void a_long_way_is_no_queue(void **state) {
        static struct path p;
        uint64_t before;

        (void)state;
        path_init(&p, 1000000, 4096, 10000);
        path_run(&p, 5 * USEC_PER_SEC, 5000, 0);
        p.delay_usec = 1500000;
        path_run(&p, 60 * USEC_PER_SEC, 5000, 0);
        before = p.landed;
        path_run(&p, 20 * USEC_PER_SEC, 5000, 0);
        assert_true(used(&p, before, 20 * USEC_PER_SEC) > 0.95);
}

static void who_sends_little_is_never_held(void **state) {
        static struct path p;

        (void)state;
        path_init(&p, 100000, 4096, 2000);
        for (int i = 0; i < 5000; i++) {
                path_turn(&p, 5000);
                assert_true(flow_open(&p.flow));
                p.sent += 300;
                path_counts(&p);
        }
        assert_true(p.flow.window >= FLOW_START);
}

/* Who sends less than the path can take leaves it no queue when that gets slow all at once. */
static void what_is_not_needed_is_given_up(void **state) {
        static struct path p;

        (void)state;
        path_init(&p, 10000000, 4096, 1000);
        path_run(&p, 2 * USEC_PER_SEC, 1000, 0);
        assert_true(p.flow.window > 500000);
        path_run(&p, 3 * USEC_PER_SEC, 1000, 400000);
        assert_in_range(p.flow.window, FLOW_START, 65536);
        p.rate = 32000;
        path_run(&p, 3 * USEC_PER_SEC, 1000, 400000);
        assert_in_range(p.worst_usec, 1, 2000000);
        path_run(&p, 10 * USEC_PER_SEC, 1000, 400000);
        path_run(&p, 10 * USEC_PER_SEC, 1000, 400000);
        assert_in_range(p.worst_usec, 1, 700000);
}

static void nothing_lands_and_it_stays_shut(void **state) {
        static struct path p;
        uint64_t sent;

        (void)state;
        path_init(&p, 1000000, 4096, 10000);
        path_run(&p, USEC_PER_SEC, 5000, 0);
        p.rate = 1;
        p.tokens = 0;
        path_run(&p, USEC_PER_SEC, 5000, 0);
        sent = p.sent;
        path_run(&p, 60 * USEC_PER_SEC, 5000, 0);
        assert_false(flow_open(&p.flow));
        assert_int_equal(p.sent, sent);
        assert_in_range(flow_wait_usec(&p.flow), 1000, 20000);
        /* what is lost is no longer in the way, and says nothing about the rate */
        sent = p.flow.window;
        p.lost = p.sent - p.landed;
        p.passed = p.sent;
        path_counts(&p);
        assert_true(flow_open(&p.flow));
        assert_int_equal(p.flow.window, sent);
}

static void after_a_long_silence_it_begins_anew(void **state) {
        static struct path p;

        (void)state;
        path_init(&p, 10000000, 4096, 1000);
        path_run(&p, USEC_PER_SEC, 1000, 0);
        assert_true(p.flow.window > 100000);
        for (int i = 0; i < 1000; i++)
                path_turn(&p, 1000);
        assert_int_equal(p.landed, p.sent);
        p.now += 2 * USEC_PER_SEC;
        p.sent += 100;
        path_counts(&p);
        assert_int_equal(p.flow.window, FLOW_START);
}

/* Counts that are put together from several queues step back a little now and then. */
static void counts_may_step_back(void **state) {
        struct flow f;

        (void)state;
        flow_init(&f, SLACK_USEC);
        flow_counted(&f, 1000, 0, 0, 1000000);
        flow_counted(&f, 1000, 900, 0, 1010000);
        flow_counted(&f, 1100, 880, 0, 1011000);
        assert_int_equal(f.landed, 900);
        flow_counted(&f, 1100, 1100, 0, 1020000);
        assert_true(flow_open(&f));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(slow_paths_stay_full_and_short),
                cmocka_unit_test(a_fast_path_is_at_its_ceiling_in_no_time),
                cmocka_unit_test(it_follows_the_path_down_and_up),
                cmocka_unit_test(a_long_way_is_no_queue),
                cmocka_unit_test(who_sends_little_is_never_held),
                cmocka_unit_test(what_is_not_needed_is_given_up),
                cmocka_unit_test(nothing_lands_and_it_stays_shut),
                cmocka_unit_test(after_a_long_silence_it_begins_anew),
                cmocka_unit_test(counts_may_step_back),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
