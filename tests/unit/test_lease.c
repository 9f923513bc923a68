#include "tests/support/check.h"

#include "proto/base/clock.h"
#include "target/core/lease.h"

#define HOUR (3600 * USEC_PER_SEC)

static const struct lease_ask ana = {"k-ana", "a@lab", "ana", "firmware", HOUR};
static const struct lease_ask bob = {"k-bob", "b@lab", NULL, NULL, 2 * HOUR};
static const struct lease_times at = {1000, 5000000000};

static void take_it(struct lease *l, const struct lease_ask *ask, bool take, uint64_t token) {
        struct lease_record r;

        assert_int_equal(lease_acquire(l, ask, take, at, &r), 0);
        assert_int_equal(r.token, token);
        lease_set(l, &r, at.now_usec);
        assert_string_equal(l->record.id, ask->id);
        assert_int_equal(lease_left(l, at.now_usec), ask->length_usec);
}

static void one_holder(void **state) {
        struct lease l;
        struct lease_record r = {.token = 99};

        (void)state;
        lease_init(&l);
        assert_false(lease_in_force(&l));
        assert_true(lease_admits(&l, 0));
        assert_int_equal(lease_deadline(&l), USEC_NEVER);
        take_it(&l, &ana, false, 1);
        assert_string_equal(l.record.holder, "a@lab");
        assert_string_equal(l.record.by, "ana");
        assert_string_equal(l.record.reason, "firmware");
        assert_int_equal(lease_acquire(&l, &bob, false, at, &r), LEASE_HELD);
        assert_int_equal(r.token, 99);
        assert_int_equal(lease_acquire(&l, &ana, false, at, &r), LEASE_SAME);
        assert_true(lease_admits(&l, 1));
        assert_false(lease_admits(&l, 0));
        assert_false(lease_admits(&l, 2));
        /* the id of somebody else's lease is no way in, not even for one who may take */
        assert_int_equal(lease_acquire(&l, &(struct lease_ask){"k-ana", "b@lab", NULL, NULL, HOUR},
                                       true, at, &r),
                         LEASE_OTHER);
}

static void taken_from(void **state) {
        struct lease l;
        struct lease_record r;

        (void)state;
        lease_init(&l);
        take_it(&l, &ana, false, 1);
        take_it(&l, &bob, true, 2);
        assert_string_equal(l.record.by, "");
        assert_false(lease_admits(&l, 1));
        assert_int_equal(lease_extend(&l, "k-ana", "a@lab", 1, HOUR, at, &r), LEASE_STALE);
        assert_int_equal(lease_release(&l, "k-ana", "a@lab", &r), LEASE_STALE);
        assert_int_equal(lease_release(&l, "k-bob", "a@lab", &r), LEASE_OTHER);
}

static void released(void **state) {
        struct lease l;
        struct lease_record r;

        (void)state;
        lease_init(&l);
        assert_int_equal(lease_release(&l, "k-ana", "a@lab", &r), LEASE_STALE);
        take_it(&l, &ana, false, 1);
        assert_int_equal(lease_release(&l, "k-ana", "a@lab", &r), 0);
        assert_true(lease_in_force(&l)); /* until it is durable */
        lease_set(&l, &r, at.now_usec);
        assert_false(lease_in_force(&l));
        assert_int_equal(lease_left(&l, at.now_usec), 0);
        assert_int_equal(l.record.change, 2);
        take_it(&l, &bob, false, 2); /* a token is never given twice */
}

static void ends_by_itself(void **state) {
        struct lease l;
        struct lease_record r;

        (void)state;
        lease_init(&l);
        assert_false(lease_over(&l, USEC_NEVER, &r));
        take_it(&l, &ana, false, 1);
        assert_int_equal(lease_deadline(&l), at.now_usec + HOUR);
        assert_false(lease_over(&l, at.now_usec + HOUR - 1, &r));
        assert_true(lease_over(&l, at.now_usec + HOUR, &r));
        lease_set(&l, &r, at.now_usec + HOUR);
        assert_false(lease_in_force(&l));
        assert_int_equal(l.record.token, 1);
}

static void extended(void **state) {
        const struct lease_times later = {at.now_usec + HOUR / 2, at.realtime_usec + HOUR / 2};
        struct lease l;
        struct lease_record r;

        (void)state;
        lease_init(&l);
        take_it(&l, &ana, false, 1);
        assert_int_equal(lease_extend(&l, "k-ana", "a@lab", 2, HOUR, later, &r), LEASE_STALE);
        assert_int_equal(lease_extend(&l, "k-ana", "b@lab", 1, HOUR, later, &r), LEASE_OTHER);
        assert_int_equal(lease_extend(&l, "k-ana", "a@lab", 1, HOUR, later, &r), 0);
        lease_set(&l, &r, later.now_usec);
        assert_int_equal(l.record.token, 1);
        assert_int_equal(l.record.since_usec, at.realtime_usec);
        assert_int_equal(lease_deadline(&l), later.now_usec + HOUR);
        /* shorter is an extension too */
        assert_int_equal(lease_extend(&l, "k-ana", "a@lab", 1, 1, later, &r), 0);
        lease_set(&l, &r, later.now_usec);
        assert_int_equal(lease_deadline(&l), later.now_usec + 1);
        /* for ever does not wrap around */
        assert_int_equal(lease_extend(&l, "k-ana", "a@lab", 1, USEC_NEVER, later, &r), 0);
        lease_set(&l, &r, later.now_usec);
        assert_true(lease_deadline(&l) > later.now_usec && lease_deadline(&l) < USEC_NEVER);
}

static void survives_a_restart(void **state) {
        struct lease l, again;

        (void)state;
        lease_init(&l);
        take_it(&l, &ana, false, 7 - 6);
        lease_init(&again);
        lease_restore(&again, &l.record, true, lease_deadline(&l), (struct lease_times){2000, 1});
        assert_int_equal(lease_left(&again, 2000), HOUR - 1000);
        assert_true(lease_admits(&again, 1));
}

static uint64_t left_after_reboot(uint64_t realtime_usec) {
        struct lease l, again;

        lease_init(&l);
        take_it(&l, &ana, false, 1);
        lease_init(&again);
        lease_restore(&again, &l.record, false, lease_deadline(&l),
                      (struct lease_times){10, realtime_usec});
        assert_true(lease_in_force(&again));
        return lease_left(&again, 10);
}

static void survives_a_reboot(void **state) {
        struct lease_record r;
        struct lease l;

        (void)state;
        assert_int_equal(left_after_reboot(at.realtime_usec + HOUR / 4), HOUR * 3 / 4);
        assert_int_equal(left_after_reboot(at.realtime_usec + HOUR), 0);
        assert_int_equal(left_after_reboot(at.realtime_usec + 9 * HOUR), 0);
        assert_int_equal(left_after_reboot(1), HOUR); /* the clock's battery is empty */
        /* nobody had it: the token goes on */
        lease_init(&l);
        lease_restore(&l, &(struct lease_record){.token = 41}, false, 0, at);
        assert_false(lease_in_force(&l));
        assert_false(lease_over(&l, USEC_NEVER, &r));
        take_it(&l, &bob, false, 42);
}

static void long_words_are_cut(void **state) {
        char words[1000];
        struct lease_ask ask = ana;
        struct lease l;

        (void)state;
        memset(words, 'w', sizeof(words) - 1);
        words[sizeof(words) - 1] = '\0';
        ask.by = ask.reason = words;
        lease_init(&l);
        take_it(&l, &ask, false, 1);
        assert_int_equal(strlen(l.record.by), LEASE_WORDS_SIZE - 1);
        assert_int_equal(strlen(l.record.reason), LEASE_WORDS_SIZE - 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_holder),        cmocka_unit_test(taken_from),
                cmocka_unit_test(released),          cmocka_unit_test(ends_by_itself),
                cmocka_unit_test(extended),          cmocka_unit_test(survives_a_restart),
                cmocka_unit_test(survives_a_reboot), cmocka_unit_test(long_words_are_cut),
        };

        return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}
