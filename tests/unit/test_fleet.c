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

static struct fleet_facts facts(const char *sid, const char *boot, enum avail_state state) {
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
                    enum avail_state state, uint64_t at) {
        struct fleet_facts x = facts(sid, boot, state);

        return fleet_announced(t, full, &x, 1, REAL + at, NOW + at);
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
        assert_int_equal(announce(t, "pc1@lab/t", "s1", "b1", AVAIL_READY, 0), FLEET_NEW_SESSION);
        assert_int_equal(announce(t, "pc1@lab/t", "s1", "b1", AVAIL_BUSY, 1), 0);
        assert_int_equal(t->avail.state, AVAIL_BUSY);
        assert_int_equal(t->avail.since_usec, REAL + 1);
        assert_int_equal(announce(t, "pc1@lab/t", "s1", "b1", AVAIL_BUSY, 2), 0);
        assert_int_equal(t->avail.since_usec, REAL + 1); /* still the same state */
        assert_int_equal(announce(t, "pc1@lab/t", "s2", "b1", AVAIL_READY, 3), FLEET_NEW_SESSION);
        assert_true(fleet_reachable(t));
        assert_string_equal(t->facts.labels[0].value, "mi300");
}

static bool judge(const struct fleet *f, struct target *t, uint64_t at) {
        return avail_judge(&t->avail, &f->link, REAL + at, NOW + at);
}

static void only_the_resource_that_speaks_can_go(void **state) {
        CLEANUP(fleet_done)
        struct fleet f = {
                .link = {.online = true, .proof_usec = USEC_NEVER, .alive_usec = USEC_NEVER}
        };
        struct target *t = add(&f, "pc1@lab");

        (void)state;
        announce(t, "pc1@lab/old", "s1", "b1", AVAIL_READY, 0);
        announce(t, "pc1@lab/new", "s2", "b1", AVAIL_READY, 1);
        assert_false(fleet_gone(t, "pc1@lab/old", NULL, REAL + 2, NOW + 2));
        assert_int_equal(t->avail.state, AVAIL_READY);
        assert_true(fleet_gone(t, "pc1@lab/new", NULL, REAL + 3, NOW + 3));
        assert_true(judge(&f, t, 3));
        assert_int_equal(t->avail.state, AVAIL_OFFLINE);
        assert_int_equal(t->avail.since_usec, REAL + 3);
        assert_false(fleet_gone(t, "pc1@lab/new", NULL, REAL + 4, NOW + 4));
        assert_int_equal(t->avail.since_usec, REAL + 3);
}

/* Our own loss says nothing about anybody; after it only those who do not come again are gone. */
static void our_own_loss_marks_nobody_offline(void **state) {
        CLEANUP(fleet_done) struct fleet f = {.link = {.online = true}};
        struct target *a = add(&f, "pc1@lab"), *b = add(&f, "pc2@lab");

        (void)state;
        announce(a, "pc1@lab/t", "s1", "b1", AVAIL_READY, 0);
        announce(b, "pc2@lab/t", "s2", "b2", AVAIL_BUSY, 0);
        judge(&f, a, 0);
        judge(&f, b, 0);
        assert_string_equal(fleet_shown(&f, b), "busy");
        f.link.online = false;
        fleet_unconfirm(&f);
        assert_false(judge(&f, a, 1));
        assert_false(judge(&f, b, 1));
        assert_int_equal(b->avail.state, AVAIL_BUSY);
        assert_string_equal(fleet_shown(&f, b), "unknown");
        assert_false(fleet_reachable(a));
        assert_true(fleet_awaits(&f));
        f.link.online = true;
        assert_string_equal(fleet_shown(&f, b), "unknown");
        /* the same session of theirs is a new one for us: what was under way is gone */
        assert_int_equal(announce(a, "pc1@lab/t", "s1", "b1", AVAIL_READY, 5), FLEET_NEW_SESSION);
        assert_string_equal(fleet_shown(&f, a), "ready");
        /* so says a server of everybody who is not back yet */
        assert_false(fleet_gone(b, NULL, NULL, REAL + 6, NOW + 6));
        assert_true(fleet_awaits(&f));
        fleet_settle(&f, REAL + 9);
        assert_false(fleet_awaits(&f));
        judge(&f, a, 9);
        judge(&f, b, 9);
        assert_string_equal(fleet_shown(&f, a), "ready");
        assert_string_equal(fleet_shown(&f, b), "offline");
        f.link.mute = true;
        assert_string_equal(fleet_shown(&f, b), "unknown");
}

static void a_question_that_comes_back_ends_a_session(void **state) {
        CLEANUP(fleet_done) struct fleet f = {.link = {.online = true}};
        struct target *t = add(&f, "pc1@lab");

        (void)state;
        announce(t, "pc1@lab/t", "s1", "b1", AVAIL_READY, 0);
        assert_false(fleet_bounced(t, "pc1@lab/other", REAL, NOW));
        assert_true(fleet_bounced(t, "pc1@lab/t", REAL, NOW));
        assert_false(fleet_reachable(t));
        assert_false(fleet_bounced(t, "pc1@lab/t", REAL, NOW));
        /* the presence behind it is no more news, but has the reason */
        assert_false(fleet_gone(t, "pc1@lab/t", "killed", REAL, NOW));
        assert_string_equal(t->avail.words, "killed");
        assert_int_equal(announce(t, "pc1@lab/t", "s2", "b1", AVAIL_READY, 1), FLEET_NEW_SESSION);
}

static void remembers_from_the_store(void **state) {
        CLEANUP(fleet_done) struct fleet f = {0};
        struct target *t = add(&f, "pc1@lab");
        struct fleet_facts x = facts(NULL, "b1", AVAIL_BUSY);
        const struct avail_past past = {
                .state = AVAIL_BUSY, .since_usec = REAL - 5, .last_answer_usec = REAL - 1};

        (void)state;
        assert_int_equal(fleet_remember(t, &x, &past, REAL, NOW), 0);
        t->kind = FLEET_TARGET;
        assert_int_equal(t->avail.state, AVAIL_BUSY);
        assert_false(fleet_reachable(t));
        assert_int_equal(announce(t, "pc1@lab/t", "s1", "b1", AVAIL_BUSY, 0), FLEET_NEW_SESSION);
        assert_int_equal(t->avail.since_usec, REAL - 5);
}

static int starved(void *userdata) {
        CLEANUP(fleet_done) struct fleet f = {0};
        struct fleet_facts x = facts("s1", "b1", AVAIL_READY);
        struct target *t, *u;
        int r;

        (void)userdata;
        r = fleet_add(&f, "pc1@lab", &t);
        if (r == 0)
                r = fleet_add(&f, "pc1@other", &u);
        if (r == 0)
                r = fleet_announced(t, "pc1@lab/t", &x, 1, REAL, NOW);
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
                cmocka_unit_test(a_question_that_comes_back_ends_a_session),
                cmocka_unit_test(remembers_from_the_store),
                cmocka_unit_test(survives_without_memory),
        };

        setenv("TZ", "UTC", 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
