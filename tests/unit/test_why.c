#include "tests/support/check.h"

#include "controller/core/why.h"
#include "proto/base/clock.h"

#define NOW (UINT64_C(1000) * USEC_PER_SEC)
#define REAL (UINT64_C(1767222000) * USEC_PER_SEC) /* 2025-12-31 23:00:00 UTC */

struct fixture {
        struct fleet f;
        struct target *t;
};

static int setup(void **state) {
        struct fixture *x = calloc(1, sizeof(*x));

        x->f.link = (struct avail_link){.online = true, .proof_usec = NOW, .alive_usec = NOW};
        x->f.settled = true;
        assert_int_equal(fleet_add(&x->f, "pc2@lab", &x->t), 0);
        x->t->subscribed = true;
        *state = x;
        return 0;
}

static int teardown(void **state) {
        struct fixture *x = *state;

        fleet_done(&x->f);
        free(x);
        return 0;
}

static void announce(struct fixture *x, enum avail_state state, const char *boot, uint64_t sec) {
        const struct fleet_facts facts = {
                .state = state,
                .sid = "s",
                .boot = boot,
                .run = state == AVAIL_BUSY ? "k3" : NULL,
                .run_step = 2,
                .run_of = 5,
                .run_by = "ana",
                .run_title = "memory",
        };

        fleet_announced(x->t, "pc2@lab/t", &facts, 1, REAL + sec * USEC_PER_SEC,
                        NOW + sec * USEC_PER_SEC);
}

static void judge(struct fixture *x, uint64_t sec) {
        avail_judge(&x->t->avail, &x->f.link, REAL + sec * USEC_PER_SEC, NOW + sec * USEC_PER_SEC);
}

#define SENTENCE(x, sec, expected)                                                                 \
        do {                                                                                       \
                CLEANUP(buf_done) struct buf out = {0};                                            \
                                                                                                   \
                why_sentence((x)->t, REAL + (sec)*USEC_PER_SEC, &out);                             \
                check_buf(&out, expected);                                                         \
        } while (0)

#define EVIDENCE(x, sec, expected)                                                                 \
        do {                                                                                       \
                CLEANUP(buf_done) struct buf out = {0};                                            \
                                                                                                   \
                why_evidence(&(x)->f, (x)->t, REAL + (sec)*USEC_PER_SEC, NOW + (sec)*USEC_PER_SEC, \
                             &out);                                                                \
                check_buf(&out, expected);                                                         \
        } while (0)

#define ADVICE(x, part)                                                                            \
        do {                                                                                       \
                CLEANUP(buf_done) struct buf out = {0};                                            \
                                                                                                   \
                why_advice(&(x)->f, (x)->t, &out);                                                 \
                assert_non_null(strstr(buf_text(&out), part));                                     \
        } while (0)

static void one_sentence(void **state) {
        struct fixture *x = *state;

        SENTENCE(x, 0, "pc2 is offline and was never seen");
        announce(x, AVAIL_BUSY, "b1", 0);
        SENTENCE(x, 0, "pc2 is busy (memory, step 2 of 5, for ana)");
        fleet_gone(x->t, NULL, NULL, REAL, NOW);
        SENTENCE(x, 0, "pc2 has just gone");
        x->f.link.proof_usec = x->f.link.alive_usec = USEC_NEVER;
        judge(x, 0);
        SENTENCE(x, 60, "pc2 is offline since 23:00:00");
        SENTENCE(x, 48 * 3600, "pc2 is offline since 2025-12-31 23:00");
        announce(x, AVAIL_READY, "b1", 0);
        SENTENCE(x, 60, "pc2 is ready");
        fleet_unconfirm(&x->f);
        SENTENCE(
                x, 60,
                "pc2 was ready and has not announced itself since this controller connected again");
}

static void of_one_that_is_well(void **state) {
        struct fixture *x = *state;

        announce(x, AVAIL_BUSY, "b1", 0);
        avail_ponged(&x->t->avail, 300, REAL + 4 * USEC_PER_SEC, NOW + 4 * USEC_PER_SEC);
        EVIDENCE(x, 65,
                 "busy since 23:00:00, for 1m 5s\n"
                 "its presence says busy (memory, step 2 of 5, for ana), since 23:00:00\n"
                 "its pings are answered, usually after 300 us\n"
                 "last heard 1m 1s ago, at 23:00:04\n"
                 "boot id b1\n");
        ADVICE(x, "--drain pc2");
}

static void of_one_that_is_silent(void **state) {
        struct fixture *x = *state;

        announce(x, AVAIL_READY, "b1", 0);
        avail_pinged(&x->t->avail, 1, REAL + 2 * USEC_PER_SEC, NOW + 2 * USEC_PER_SEC);
        EVIDENCE(x, 4,
                 "ready since 23:00:00, for 4.0s\n"
                 "its presence says ready, since 23:00:00\n"
                 "1 ping unanswered since 23:00:02, for 2.0s; whether our own connection works is "
                 "being asked\n"
                 "last heard 4.0s ago, at 23:00:00\n"
                 "boot id b1\n");
        avail_pinged(&x->t->avail, 1, REAL, NOW + 3 * USEC_PER_SEC);
        x->f.link.proof_usec = x->f.link.alive_usec = USEC_NEVER;
        judge(x, 5);
        EVIDENCE(x, 6,
                 "silent since 23:00:05, for 1.0s\n"
                 "its presence says ready, since 23:00:00\n"
                 "2 pings unanswered since 23:00:02, for 4.0s, while our server answers and says "
                 "that it is online\n"
                 "last heard 6.0s ago, at 23:00:00\n"
                 "boot id b1\n");
        ADVICE(x, "its daemon hangs, or its power or network is lost");
}

static void of_one_that_is_gone(void **state) {
        struct fixture *x = *state;

        announce(x, AVAIL_READY, NULL, 0);
        fleet_gone(x->t, NULL, "Disconnected:\ntimeout", REAL, NOW);
        EVIDENCE(x, 0,
                 "ready since 23:00:00, for 0s\n"
                 "the server says it is gone, since 23:00:00: Disconnected: timeout; that is a "
                 "moment ago and not proven yet\n"
                 "last heard 0s ago, at 23:00:00\n");
        x->f.link.proof_usec = x->f.link.alive_usec = USEC_NEVER;
        judge(x, 1);
        EVIDENCE(x, 2,
                 "offline since 23:00:01, for 1.0s\n"
                 "the server says it is gone, since 23:00:00: Disconnected: timeout\n"
                 "last heard 2.0s ago, at 23:00:00\n");
        ADVICE(x, "power and network");
        announce(x, AVAIL_READY, NULL, 3);
        fleet_bounced(x->t, "pc2@lab/t", REAL, NOW);
        judge(x, 4);
        EVIDENCE(x, 5,
                 "offline since 23:00:04, for 1.0s\n"
                 "the server returned a ping to it: it has no such session, since 23:00:00\n"
                 "last heard 2.0s ago, at 23:00:03\n");
}

static void of_a_reboot(void **state) {
        struct fixture *x = *state;

        announce(x, AVAIL_READY, "b1", 0);
        avail_leaves(&x->t->avail, AVAIL_REBOOTS, 0, REAL, NOW);
        judge(x, 0);
        EVIDENCE(x, 1,
                 "rebooting since 23:00:00, for 1.0s\n"
                 "its presence says ready, since 23:00:00\n"
                 "it agreed to reboot at 23:00:00; when it is expected back is not known\n"
                 "last heard 1.0s ago, at 23:00:00\n"
                 "boot id b1\n");
        announce(x, AVAIL_REBOOTING, "b1", 1);
        announce(x, AVAIL_READY, "b2", 40);
        announce(x, AVAIL_REBOOTING, "b2", 50);
        fleet_gone(x->t, NULL, NULL, REAL + 51 * USEC_PER_SEC, NOW + 51 * USEC_PER_SEC);
        EVIDENCE(x, 52,
                 "rebooting since 23:00:50, for 2.0s\n"
                 "the server says it is gone, since 23:00:51\n"
                 "it agreed to reboot at 23:00:50, which usually takes 40s (of the last 1); it is "
                 "expected back in about 38s\n"
                 "last heard 2.0s ago, at 23:00:50\n"
                 "boot id b2\n");
        judge(x, 131);
        SENTENCE(x, 132, "pc2 is overdue since 23:02:11");
        EVIDENCE(x, 132,
                 "overdue since 23:02:11, for 1.0s\n"
                 "the server says it is gone, since 23:00:51\n"
                 "it agreed to reboot at 23:00:50, which usually takes 40s (of the last 1); it is "
                 "overdue since 23:01:30\n"
                 "last heard 1m 22s ago, at 23:00:50\n"
                 "boot id b2\n");
}

static void of_our_own_trouble(void **state) {
        struct fixture *x = *state;

        announce(x, AVAIL_READY, NULL, 0);
        x->f.link.mute = true;
        EVIDENCE(x, 0,
                 "this controller's own server does not answer it: nobody's state is known, and "
                 "what follows is the last it knew\n"
                 "ready since 23:00:00, for 0s\n"
                 "its presence says ready, since 23:00:00\n"
                 "last heard 0s ago, at 23:00:00\n");
        ADVICE(x, "rota doctor");
        x->f.link = (struct avail_link){0};
        fleet_unconfirm(&x->f);
        EVIDENCE(x, 0,
                 "this controller has no connection to its server: nobody's state is known, and "
                 "what follows is the last it knew\n"
                 "ready since 23:00:00, for 0s\n"
                 "its presence says ready, since 23:00:00\n"
                 "last heard 0s ago, at 23:00:00\n");
        x->f.link.online = true;
        ADVICE(x, "wait some seconds");
        fleet_settle(&x->f, REAL);
        judge(x, 1);
        EVIDENCE(x, 1,
                 "offline since 23:00:01, for 0s\n"
                 "it was here before, and did not announce itself again after this controller had "
                 "connected, by 23:00:00\n"
                 "last heard 1.0s ago, at 23:00:00\n");
}

static void of_one_that_never_came(void **state) {
        struct fixture *x = *state;

        x->t->subscribed = false;
        EVIDENCE(x, 0,
                 "it is in the roster and has never announced itself\n"
                 "it does not share its presence with this controller\n");
        ADVICE(x, "start rota-target there");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(one_sentence, setup, teardown),
                cmocka_unit_test_setup_teardown(of_one_that_is_well, setup, teardown),
                cmocka_unit_test_setup_teardown(of_one_that_is_silent, setup, teardown),
                cmocka_unit_test_setup_teardown(of_one_that_is_gone, setup, teardown),
                cmocka_unit_test_setup_teardown(of_a_reboot, setup, teardown),
                cmocka_unit_test_setup_teardown(of_our_own_trouble, setup, teardown),
                cmocka_unit_test_setup_teardown(of_one_that_never_came, setup, teardown),
        };

        setenv("TZ", "UTC", 1);
        return cmocka_run_group_tests(tests, NULL, NULL);
}
