#include "tests/support/check.h"
#include "tests/support/starve.h"

#include "controller/core/fleet.h"
#include "proto/base/clock.h"

#include <errno.h>

#define NOW (UINT64_C(1000) * USEC_PER_SEC)
#define REAL (UINT64_C(1767222000) * USEC_PER_SEC)

static const struct fleet_label labels[] = {
        {"gpu", "mi300"}
};

static struct fleet_facts facts(const char *sid, const char *boot, enum fleet_state state) {
        return (struct fleet_facts){
                .state = state,
                .sid = sid,
                .boot = boot,
                .title = "Bob's server",
                .labels = labels,
                .n_labels = 1,
        };
}

static struct target *add(struct fleet *f, const char *jid) {
        struct target *t = NULL;

        assert_int_equal(fleet_add(f, jid, &t), 0);
        return t;
}

static int announce(struct target *t, const char *full, const char *sid, const char *boot,
                    enum fleet_state state, uint64_t at) {
        struct fleet_facts x = facts(sid, boot, state);

        return fleet_announced(t, full, &x, REAL + at, NOW + at);
}

static void finds_by_bare_jid(void **state) {
        CLEANUP(fleet_done) struct fleet f = {0};
        struct target *b = add(&f, "pc2@lab"), *a = add(&f, "PC1@Lab/x");

        (void)state;
        assert_string_equal(a->jid, "pc1@lab");
        assert_string_equal(a->name, "pc1");
        assert_ptr_equal(fleet_find(&f, "pc1@lab/target"), a);
        assert_ptr_equal(fleet_find_name(&f, "pc2"), b);
        assert_null(fleet_find(&f, "pc3@lab"));
        assert_ptr_equal(add(&f, "pc2@lab/other"), b);
        assert_int_equal(f.n_targets, 2);
}

static void same_local_part_shows_the_domain(void **state) {
        CLEANUP(fleet_done) struct fleet f = {0};
        struct target *a = add(&f, "pc1@lab"), *b = add(&f, "pc1@other");

        (void)state;
        assert_string_equal(a->name, "pc1@lab");
        assert_string_equal(b->name, "pc1@other");
        assert_true(a->dirty);
}

static void a_new_session_is_an_outcome(void **state) {
        CLEANUP(fleet_done) struct fleet f = {0};
        struct target *t = add(&f, "pc1@lab");

        (void)state;
        assert_false(fleet_reachable(t));
        assert_int_equal(announce(t, "pc1@lab/t", "s1", "b1", FLEET_READY, 0), FLEET_NEW_SESSION);
        assert_int_equal(announce(t, "pc1@lab/t", "s1", "b1", FLEET_BUSY, 1), 0);
        assert_int_equal(t->shown, FLEET_BUSY);
        assert_int_equal(t->since_usec, REAL + 1);
        assert_int_equal(announce(t, "pc1@lab/t", "s1", "b1", FLEET_BUSY, 2), 0);
        assert_int_equal(t->since_usec, REAL + 1); /* still the same state */
        assert_int_equal(announce(t, "pc1@lab/t", "s2", "b1", FLEET_READY, 3), FLEET_NEW_SESSION);
        assert_true(fleet_reachable(t));
        assert_string_equal(t->facts.labels[0].value, "mi300");
}

static void only_the_resource_that_speaks_can_go(void **state) {
        CLEANUP(fleet_done) struct fleet f = {0};
        struct target *t = add(&f, "pc1@lab");

        (void)state;
        announce(t, "pc1@lab/old", "s1", "b1", FLEET_READY, 0);
        announce(t, "pc1@lab/new", "s2", "b1", FLEET_READY, 1);
        assert_false(fleet_gone(t, "pc1@lab/old", REAL + 2, NOW + 2));
        assert_int_equal(t->shown, FLEET_READY);
        assert_true(fleet_gone(t, "pc1@lab/new", REAL + 3, NOW + 3));
        assert_int_equal(t->shown, FLEET_OFFLINE);
        assert_int_equal(t->since_usec, REAL + 3);
        assert_false(fleet_gone(t, "pc1@lab/new", REAL + 4, NOW + 4));
        assert_int_equal(t->since_usec, REAL + 3);
}

/* Our own loss says nothing about anybody; after it only those who do not come again are gone. */
static void our_own_loss_marks_nobody_offline(void **state) {
        CLEANUP(fleet_done) struct fleet f = {0};
        struct target *a = add(&f, "pc1@lab"), *b = add(&f, "pc2@lab");

        (void)state;
        announce(a, "pc1@lab/t", "s1", "b1", FLEET_READY, 0);
        announce(b, "pc2@lab/t", "s2", "b2", FLEET_BUSY, 0);
        fleet_unconfirm(&f);
        assert_int_equal(a->shown, FLEET_READY);
        assert_int_equal(b->shown, FLEET_BUSY);
        assert_false(fleet_reachable(a));
        /* the same session of theirs is a new one for us: what was under way is gone */
        assert_int_equal(announce(a, "pc1@lab/t", "s1", "b1", FLEET_READY, 5), FLEET_NEW_SESSION);
        fleet_settle(&f, REAL + 9, NOW + 9);
        assert_int_equal(a->shown, FLEET_READY);
        assert_int_equal(b->shown, FLEET_OFFLINE);
}

static void a_reboot_is_not_offline_until_it_takes_too_long(void **state) {
        CLEANUP(fleet_done) struct fleet f = {0};
        struct target *t = add(&f, "pc1@lab");

        (void)state;
        announce(t, "pc1@lab/t", "s1", "b1", FLEET_REBOOTING, 0);
        fleet_gone(t, "pc1@lab/t", REAL + 1, NOW + 1);
        assert_int_equal(t->shown, FLEET_REBOOTING);
        assert_int_equal(fleet_expire(&f, REAL + 2, NOW + 2), NOW + FLEET_REBOOT_USEC);
        assert_int_equal(fleet_expire(&f, REAL, NOW + FLEET_REBOOT_USEC), USEC_NEVER);
        assert_int_equal(t->shown, FLEET_OFFLINE);
        announce(t, "pc1@lab/t", "s2", "b2", FLEET_READY, 9);
        assert_int_equal(t->shown, FLEET_READY);
        assert_int_equal(t->rebooting_until, 0);
}

static void no_answer_is_silent_and_any_sign_of_life_ends_it(void **state) {
        CLEANUP(fleet_done) struct fleet f = {0};
        struct target *t = add(&f, "pc1@lab");

        (void)state;
        fleet_silent(t, REAL, NOW); /* absent anyway */
        assert_int_equal(t->shown, FLEET_OFFLINE);
        announce(t, "pc1@lab/t", "s1", "b1", FLEET_BUSY, 0);
        fleet_silent(t, REAL + 1, NOW + 1);
        assert_int_equal(t->shown, FLEET_SILENT);
        assert_true(fleet_heard(t, REAL + 2, NOW + 2));
        assert_int_equal(t->shown, FLEET_BUSY);
        assert_int_equal(t->last_answer_usec, REAL + 2);
        assert_false(fleet_heard(t, REAL + 3, NOW + 3));
}

static void remembers_from_the_store(void **state) {
        CLEANUP(fleet_done) struct fleet f = {0};
        struct target *t = add(&f, "pc1@lab");
        struct fleet_facts x = facts(NULL, "b1", FLEET_BUSY);

        (void)state;
        assert_int_equal(fleet_remember(t, &x, FLEET_BUSY, REAL - 5, REAL - 1), 0);
        t->kind = FLEET_TARGET;
        assert_int_equal(t->shown, FLEET_BUSY);
        assert_false(fleet_reachable(t));
        assert_int_equal(announce(t, "pc1@lab/t", "s1", "b1", FLEET_BUSY, 0), FLEET_NEW_SESSION);
        assert_int_equal(t->since_usec, REAL - 5);
}

static void says_it_in_a_sentence(void **state) {
        CLEANUP(fleet_done) struct fleet f = {0};
        CLEANUP(buf_done) struct buf out = {0};
        struct target *t = add(&f, "pc2@lab");
        struct fleet_facts x = facts("s1", "b1", FLEET_BUSY);

        (void)state;
        fleet_sentence(t, REAL, &out);
        check_buf(&out, "pc2 is offline and was never seen");
        x.run = "k3";
        x.run_step = 2;
        x.run_of = 5;
        x.run_by = "ana";
        x.run_title = "memory";
        fleet_announced(t, "pc2@lab/t", &x, REAL, NOW);
        buf_clear(&out);
        fleet_sentence(t, REAL, &out);
        check_buf(&out, "pc2 is busy (memory, step 2 of 5, for ana)");
        setenv("TZ", "UTC", 1);
        fleet_gone(t, NULL, REAL, NOW);
        buf_clear(&out);
        fleet_sentence(t, REAL + USEC_PER_MINUTE, &out);
        check_buf(&out, "pc2 is offline since 23:00:00");
        buf_clear(&out);
        fleet_sentence(t, REAL + 48 * USEC_PER_HOUR, &out);
        check_buf(&out, "pc2 is offline since 2025-12-31 23:00");
}

static void shows_the_evidence(void **state) {
        CLEANUP(fleet_done) struct fleet f = {0};
        CLEANUP(buf_done) struct buf out = {0};
        struct target *t = add(&f, "pc2@lab");

        (void)state;
        t->subscribed = true;
        announce(t, "pc2@lab/t", "s1", "b1", FLEET_READY, 0);
        fleet_evidence(t, true, REAL + 2 * USEC_PER_SEC, &out);
        check_buf(&out, "its presence says ready\nlast heard 2.0s ago\nboot id b1\n");
        buf_clear(&out);
        fleet_evidence(t, false, REAL, &out);
        assert_non_null(strstr(out.data, "this controller has no connection"));
}

static void state_names_go_both_ways(void **state) {
        enum fleet_state s;

        (void)state;
        assert_int_equal(fleet_state_parse("quarantined", &s), 0);
        assert_int_equal(s, FLEET_QUARANTINED);
        assert_int_equal(fleet_state_parse("Ready", &s), 1);
}

static int starved(void *userdata) {
        CLEANUP(fleet_done) struct fleet f = {0};
        struct fleet_facts x = facts("s1", "b1", FLEET_READY);
        struct target *t, *u;
        int r;

        (void)userdata;
        r = fleet_add(&f, "pc1@lab", &t);
        if (r == 0)
                r = fleet_add(&f, "pc1@other", &u);
        if (r == 0)
                r = fleet_announced(t, "pc1@lab/t", &x, REAL, NOW);
        return r < 0 ? r : 0;
}

static void survives_without_memory(void **state) {
        (void)state;
        assert_true(starve_each(starved, NULL) > 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(finds_by_bare_jid),
                cmocka_unit_test(same_local_part_shows_the_domain),
                cmocka_unit_test(a_new_session_is_an_outcome),
                cmocka_unit_test(only_the_resource_that_speaks_can_go),
                cmocka_unit_test(our_own_loss_marks_nobody_offline),
                cmocka_unit_test(a_reboot_is_not_offline_until_it_takes_too_long),
                cmocka_unit_test(no_answer_is_silent_and_any_sign_of_life_ends_it),
                cmocka_unit_test(remembers_from_the_store),
                cmocka_unit_test(says_it_in_a_sentence),
                cmocka_unit_test(shows_the_evidence),
                cmocka_unit_test(state_names_go_both_ways),
                cmocka_unit_test(survives_without_memory),
        };

        setenv("TZ", "UTC", 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
