#include "tests/support/check.h"

#include "controller/core/reboot.h"
#include "proto/base/clock.h"

#define NOW (UINT64_C(1000) * USEC_PER_SEC)

static const struct reboot_challenge idle = {.nonce = "n1", .boot = "b1"};

static void begin(struct reboot *r, enum reboot_mode mode, bool wait) {
        reboot_init(r, "pc1", mode, wait, 0, NOW);
        assert_int_equal(r->deadline_usec, NOW + REBOOT_TIMEOUT_USEC);
}

static void the_boot_id_is_the_proof(void **state) {
        struct reboot r;

        (void)state;
        begin(&r, REBOOT_GRACEFUL, true);
        assert_int_equal(r.state, REBOOT_ASKING);
        reboot_challenged(&r, &idle);
        assert_int_equal(r.state, REBOOT_ORDERING);
        assert_string_equal(r.nonce, "n1");
        reboot_agreed(&r, true, false, NOW + 1);
        assert_int_equal(r.state, REBOOT_WAITING);
        /* a presence that was under way, and a reconnect, prove nothing */
        assert_false(reboot_announced(&r, "b1", NOW + 2));
        assert_true(reboot_gone(&r, NOW + 3));
        assert_int_equal(r.went_usec, 3);
        assert_false(reboot_gone(&r, NOW + 4));
        assert_false(reboot_announced(&r, "b1", NOW + 3));
        assert_true(reboot_announced(&r, "b2", NOW + 4));
        assert_int_equal(r.state, REBOOT_ENDED);
        assert_int_equal(r.exit, REBOOT_OK);
        assert_int_equal(r.took_usec, 4);
        assert_string_equal(r.boot_before, "b1");
        assert_string_equal(r.boot_after, "b2");
        assert_true(r.simulated);
        reboot_done(&r);
}

static void without_waiting_agreed_is_the_end(void **state) {
        struct reboot r;

        (void)state;
        begin(&r, REBOOT_GRACEFUL, false);
        reboot_challenged(&r, &idle);
        reboot_agreed(&r, false, false, NOW + 7);
        assert_int_equal(r.state, REBOOT_ENDED);
        assert_int_equal(r.exit, REBOOT_OK);
        reboot_done(&r);
}

static void busy_is_refused_unless_forced(void **state) {
        const struct reboot_challenge busy = {
                .nonce = "n", .boot = "b1", .busy = true, .run = "k3", .owner = "ana"};
        struct reboot r;

        (void)state;
        begin(&r, REBOOT_GRACEFUL, true);
        reboot_challenged(&r, &busy);
        assert_int_equal(r.state, REBOOT_ENDED);
        assert_int_equal(r.exit, REBOOT_BUSY);
        check_buf(
                &r.error,
                "pc1 is busy with run k3 for ana; wait for it, or use --drain (after this run) or "
                "--force (interrupts it)");
        reboot_done(&r);
        begin(&r, REBOOT_FORCE, true);
        reboot_challenged(&r, &busy);
        assert_int_equal(r.state, REBOOT_ORDERING);
        reboot_done(&r);
        begin(&r, REBOOT_DRAIN, true);
        reboot_challenged(&r, &busy);
        assert_int_equal(r.state, REBOOT_ORDERING);
        reboot_done(&r);
}

static void absent_is_an_end_at_once(void **state) {
        struct reboot r;

        (void)state;
        begin(&r, REBOOT_FORCE, true);
        reboot_absent(&r, "pc1 is offline since 14:02");
        assert_int_equal(r.exit, REBOOT_INFRA);
        assert_int_equal(r.state, REBOOT_ENDED);
        check_buf(&r.error, "pc1 is offline since 14:02; nothing was sent and nothing will happen "
                            "when it returns");
        /* what comes later changes nothing */
        reboot_challenged(&r, &idle);
        assert_false(reboot_announced(&r, "b2", NOW));
        assert_int_equal(r.state, REBOOT_ENDED);
        reboot_done(&r);
}

/* An order may have been carried out although its answer was lost: only the boot id tells. */
static void a_lost_answer_to_the_order_is_not_repeated(void **state) {
        struct reboot r;

        (void)state;
        begin(&r, REBOOT_GRACEFUL, true);
        reboot_challenged(&r, &idle);
        reboot_unanswered(&r, true);
        assert_int_equal(r.state, REBOOT_WAITING);
        assert_true(reboot_announced(&r, "b2", NOW + 9));
        assert_int_equal(r.exit, REBOOT_OK);
        reboot_done(&r);
        begin(&r, REBOOT_GRACEFUL, false);
        reboot_challenged(&r, &idle);
        reboot_unanswered(&r, false);
        assert_int_equal(r.state, REBOOT_ENDED);
        assert_int_equal(r.exit, REBOOT_INFRA);
        assert_non_null(strstr(buf_text(&r.error), "it may or may not reboot"));
        reboot_done(&r);
}

static void a_lost_challenge_ordered_nothing(void **state) {
        struct reboot r;

        (void)state;
        begin(&r, REBOOT_GRACEFUL, true);
        reboot_unanswered(&r, false);
        assert_int_equal(r.exit, REBOOT_INFRA);
        check_buf(&r.error, "pc1: it did not answer in time; nothing was ordered");
        reboot_done(&r);
}

static void denied_and_failed(void **state) {
        struct reboot r;

        (void)state;
        begin(&r, REBOOT_GRACEFUL, true);
        reboot_denied(&r, "role view");
        assert_int_equal(r.exit, REBOOT_DENIED);
        reboot_done(&r);
        begin(&r, REBOOT_GRACEFUL, true);
        reboot_failed(&r, NULL);
        assert_int_equal(r.exit, REBOOT_INFRA);
        check_buf(&r.error, "pc1 did not reboot: it gave no reason");
        reboot_done(&r);
}

static void takes_too_long(void **state) {
        struct reboot r;

        (void)state;
        reboot_init(&r, "pc1", REBOOT_DRAIN, true, 2 * USEC_PER_SEC, NOW);
        reboot_challenged(&r, &idle);
        reboot_agreed(&r, false, true, NOW);
        reboot_expired(&r, "pc1 is busy", NOW + 2 * USEC_PER_SEC);
        assert_int_equal(r.exit, REBOOT_TIMEOUT);
        check_buf(&r.error, "pc1 did not come back with another boot id within 2.0s (it finishes "
                            "its run first); "
                            "pc1 is busy");
        reboot_done(&r);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_boot_id_is_the_proof),
                cmocka_unit_test(without_waiting_agreed_is_the_end),
                cmocka_unit_test(busy_is_refused_unless_forced),
                cmocka_unit_test(absent_is_an_end_at_once),
                cmocka_unit_test(a_lost_answer_to_the_order_is_not_repeated),
                cmocka_unit_test(a_lost_challenge_ordered_nothing),
                cmocka_unit_test(denied_and_failed),
                cmocka_unit_test(takes_too_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
