#include "tests/support/check.h"

#include "proto/base/clock.h"
#include "target/core/power.h"

#define PEER "ctl@lab/a"
#define BOOT "b00t"
#define SID "s1"

struct fixture {
        struct power *p;
        char nonce[POWER_NONCE_SIZE];
};

static const uint8_t random_a[POWER_RANDOM_SIZE] = {0xab, 1, 2, 3};

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));
        assert_int_equal(power_new(&f->p), 0);
        assert_int_equal(power_challenged(f->p, PEER, SID, BOOT, 1000, random_a, f->nonce), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;
        power_free(f->p);
        free(f);
        return 0;
}

static int answer(struct fixture *f, const char *peer, const char *sid, const char *boot,
                  const char *boot_now, uint64_t now) {
        return power_answered(f->p, f->nonce, peer, sid, boot, boot_now, now);
}

static void good_once(void **state) {
        struct fixture *f = *state;

        assert_int_equal(strlen(f->nonce), 64);
        assert_memory_equal(f->nonce, "ab010203", 8);
        assert_int_equal(answer(f, PEER, SID, BOOT, BOOT, 1000 + 10 * USEC_PER_SEC), 0);
        assert_int_equal(answer(f, PEER, SID, BOOT, BOOT, 2000), POWER_STALE);
        assert_int_equal(power_count(f->p), 0);
}

static void too_late(void **state) {
        struct fixture *f = *state;
        assert_int_equal(answer(f, PEER, SID, BOOT, BOOT, 1001 + 10 * USEC_PER_SEC), POWER_STALE);
}

static void never_given(void **state) {
        struct fixture *f = *state;
        char other[POWER_NONCE_SIZE];

        memset(other, 'a', 64);
        other[64] = '\0';
        assert_int_equal(power_answered(f->p, other, PEER, SID, BOOT, BOOT, 1000), POWER_STALE);
        assert_int_equal(power_count(f->p), 1);
}

static void other_peer_uses_it_up(void **state) {
        struct fixture *f = *state;

        assert_int_equal(answer(f, "ctl@lab/b", SID, BOOT, BOOT, 1000), POWER_OTHER_PEER);
        assert_int_equal(answer(f, PEER, SID, BOOT, BOOT, 1000), POWER_STALE);
}

static void other_connection(void **state) {
        struct fixture *f = *state;
        assert_int_equal(answer(f, PEER, "s2", BOOT, BOOT, 1000), POWER_OTHER_PEER);
}

static void other_boot(void **state) {
        struct fixture *f = *state;
        assert_int_equal(answer(f, PEER, SID, BOOT, "n3w", 1000), POWER_OTHER_BOOT);
}

static void names_other_boot(void **state) {
        struct fixture *f = *state;
        assert_int_equal(answer(f, PEER, SID, "0ld", BOOT, 1000), POWER_OTHER_BOOT);
}

static void one_for_a_peer(void **state) {
        struct fixture *f = *state;
        uint8_t b[POWER_RANDOM_SIZE] = {0xcd};
        char nonce[POWER_NONCE_SIZE];

        assert_int_equal(power_challenged(f->p, PEER, SID, BOOT, 2000, b, nonce), 0);
        assert_int_equal(power_count(f->p), 1);
        assert_int_equal(answer(f, PEER, SID, BOOT, BOOT, 2000), POWER_STALE);
        assert_int_equal(power_answered(f->p, nonce, PEER, SID, BOOT, BOOT, 2000), 0);
}

static void bounded(void **state) {
        struct fixture *f = *state;
        char last[POWER_NONCE_SIZE] = "", peer[32];

        for (uint8_t i = 0; i < 2 * POWER_OPEN_MAX; i++) {
                uint8_t r[POWER_RANDOM_SIZE] = {1, i};
                snprintf(peer, sizeof(peer), "x@lab/%d", i);
                assert_int_equal(power_challenged(f->p, peer, SID, BOOT, 1000, r, last), 0);
        }
        assert_int_equal(power_count(f->p), POWER_OPEN_MAX);
        assert_int_equal(answer(f, PEER, SID, BOOT, BOOT, 1000), POWER_STALE);
        assert_int_equal(power_answered(f->p, last, peer, SID, BOOT, BOOT, 1000), 0);
}

static void forgotten_with_the_connection(void **state) {
        struct fixture *f = *state;
        power_forget(f->p);
        assert_int_equal(answer(f, PEER, SID, BOOT, BOOT, 1000), POWER_STALE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(good_once),        TEST(too_late),
                TEST(never_given),      TEST(other_peer_uses_it_up),
                TEST(other_connection), TEST(other_boot),
                TEST(names_other_boot), TEST(one_for_a_peer),
                TEST(bounded),          TEST(forgotten_with_the_connection),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
