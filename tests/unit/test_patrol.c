#include "tests/support/check.h"

#include "controller/core/patrol.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

#define NOW (UINT64_C(1000) * USEC_PER_SEC)
#define REAL (UINT64_C(1767222000) * USEC_PER_SEC)
#define SEEDS 3

/* A lab in virtual time: a server that answers after 1 ms, machines that answer after 2 ms, or do not. */
struct world {
        struct fleet fleet;
        struct patrol patrol;
        uint64_t now;
        size_t n;
        bool *dead;
        bool server_dead;
        uint64_t slow;   /* added to each answer of a machine */
        uint64_t *asked; /* unanswered, and when */
        size_t *open;    /* those */
        size_t n_open;
        uint64_t server_asked;
        size_t pings, server_pings;
        size_t *pinged;
        uint64_t worst_gap; /* between two pings of one machine */
        uint64_t *last;
        size_t told, link_told;
        uint64_t told_at; /* the last */
        size_t most_in_a_second, in_this_second;
        uint64_t second;
};

static void world_init(struct world *w, size_t n, enum avail_state announced, uint64_t seed) {
        *w = (struct world){.now = NOW, .n = n};
        w->dead = calloc(n, sizeof(*w->dead));
        w->asked = calloc(n, sizeof(*w->asked));
        w->open = calloc(n, sizeof(*w->open));
        w->pinged = calloc(n, sizeof(*w->pinged));
        w->last = calloc(n, sizeof(*w->last));
        assert_true(w->dead && w->asked && w->open && w->pinged && w->last);
        fleet_init(&w->fleet);
        patrol_init(&w->patrol, &w->fleet, seed);
        patrol_online(&w->patrol, NOW);
        for (size_t i = 0; i < n; i++) {
                const struct fleet_facts facts = {.state = announced, .boot = "b", .sid = "s"};
                struct target *t;
                char jid[64];

                snprintf(jid, sizeof(jid), "pc%05zu@lab/t", i);
                assert_int_equal(fleet_add(&w->fleet, jid, &t), 0);
                assert_int_equal(
                        fleet_announced(t, jid, &facts, patrol_part(&w->patrol), REAL, NOW),
                        FLEET_NEW_SESSION);
                w->last[i] = NOW;
        }
}

static void world_done(struct world *w) {
        fleet_done(&w->fleet);
        free(w->dead);
        free(w->asked);
        free(w->open);
        free(w->pinged);
        free(w->last);
}

static void act(struct world *w, const struct patrol_action *a) {
        size_t i;

        switch (a->kind) {
        case PATROL_PING:
                i = (size_t)atoi(a->target->name + 2);
                patrol_pinged(&w->patrol, a->target, REAL, w->now);
                if (w->asked[i] == 0) {
                        w->asked[i] = w->now;
                        w->open[w->n_open++] = i;
                }
                if (w->now - w->last[i] > w->worst_gap)
                        w->worst_gap = w->now - w->last[i];
                w->last[i] = w->now;
                w->pinged[i]++;
                w->pings++;
                if (w->now - w->second >= USEC_PER_SEC) {
                        w->second = w->now;
                        w->in_this_second = 0;
                }
                if (++w->in_this_second > w->most_in_a_second)
                        w->most_in_a_second = w->in_this_second;
                break;
        case PATROL_ASK_SERVER:
                patrol_asked(&w->patrol, w->now);
                if (w->server_asked == 0) /* it answers in order */
                        w->server_asked = w->now;
                else
                        patrol_unanswered(&w->patrol);
                w->server_pings++;
                break;
        case PATROL_TELL:
                w->told++;
                w->told_at = w->now;
                break;
        case PATROL_LINK:
                w->link_told++;
                break;
        }
}

/* Runs in steps of a millisecond, and calls the patrol at its deadlines only. */
static void run(struct world *w, uint64_t usec) {
        struct patrol_action a;

        for (uint64_t end = w->now + usec; w->now < end; w->now += USEC_PER_MSEC) {
                if (w->server_asked > 0 && !w->server_dead &&
                    w->now > w->server_asked + USEC_PER_MSEC) {
                        patrol_heard(&w->patrol, w->now);
                        patrol_answered(&w->patrol, w->server_asked, w->now);
                        w->server_asked = 0;
                }
                for (size_t k = w->n_open; k-- > 0;) {
                        size_t i = w->open[k];

                        if (w->dead[i] || w->server_dead ||
                            w->now < w->asked[i] + w->slow + 2 * USEC_PER_MSEC)
                                continue;
                        w->open[k] = w->open[--w->n_open];
                        patrol_heard(&w->patrol, w->now);
                        avail_ponged(&w->fleet.targets[i]->avail, w->now - w->asked[i], REAL,
                                     w->now);
                        patrol_proven(&w->patrol, w->asked[i], w->now);
                        w->asked[i] = 0;
                        patrol_look(&w->patrol);
                }
                if (w->now < patrol_deadline(&w->patrol))
                        continue;
                while (patrol_next(&w->patrol, REAL, w->now, &a))
                        act(w, &a);
        }
}

static enum avail_state state_of(const struct world *w, size_t i) {
        return w->fleet.targets[i]->avail.state;
}

static size_t count(const struct world *w, enum avail_state s) {
        size_t n = 0;

        for (size_t i = 0; i < w->n; i++)
                n += state_of(w, i) == s;
        return n;
}

/* Detection within 10 s leaves 3.5 s for the server to notice. */
static void a_thousand_idle_ones_are_asked_in_time_and_not_too_often(void **state) {
        (void)state;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                struct world w;

                world_init(&w, 1000, AVAIL_READY, seed);
                run(&w, 60 * USEC_PER_SEC);
                if (w.worst_gap > 5500 * USEC_PER_MSEC || w.most_in_a_second > PATROL_RATE + 25 ||
                    w.pings > 60 * (PATROL_IDLE_RATE + 20))
                        fail_msg("seed %ju: gap %ju, %zu in a second, %zu in 60 s", (uintmax_t)seed,
                                 (uintmax_t)w.worst_gap, w.most_in_a_second, w.pings);
                assert_int_equal(count(&w, AVAIL_READY), 1000);
                assert_int_equal(w.told, 0);
                assert_true(w.server_pings <= 1);
                world_done(&w);
        }
}

static void a_few_idle_ones_are_left_in_peace(void **state) {
        struct world w;

        (void)state;
        world_init(&w, 3, AVAIL_READY, 7);
        run(&w, 60 * USEC_PER_SEC);
        assert_true(w.pings >= 3 * 13 && w.pings <= 3 * 16);
        assert_true(w.worst_gap <= PATROL_PERIOD_USEC + 2 * PATROL_TICK_USEC);
        world_done(&w);
}

static void finds_a_dead_one(void **state) {
        (void)state;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                for (size_t n = 1; n <= 1000; n *= 10) {
                        struct world w;
                        uint64_t died;

                        world_init(&w, n, AVAIL_READY, seed);
                        run(&w, 20 * USEC_PER_SEC);
                        w.told = 0;
                        w.dead[n / 2] = true;
                        died = w.now;
                        run(&w, 10 * USEC_PER_SEC);
                        /* suspect, then silent; the others are not touched */
                        assert_int_equal(state_of(&w, n / 2), AVAIL_SILENT);
                        assert_int_equal(w.told, 2);
                        assert_true(w.told_at - died < 8 * USEC_PER_SEC);
                        run(&w, 49 * USEC_PER_SEC);
                        assert_int_equal(state_of(&w, n / 2), AVAIL_SILENT);
                        run(&w, 25 * USEC_PER_SEC);
                        assert_int_equal(state_of(&w, n / 2), AVAIL_OFFLINE);
                        w.dead[n / 2] = false;
                        run(&w, 16 * USEC_PER_SEC);
                        assert_int_equal(count(&w, AVAIL_READY), n);
                        world_done(&w);
                }
        }
}

static void finds_a_busy_one_sooner(void **state) {
        struct world w;

        (void)state;
        world_init(&w, 10, AVAIL_BUSY, 3);
        run(&w, 5 * USEC_PER_SEC);
        w.dead[4] = true;
        run(&w, 3700 * USEC_PER_MSEC);
        assert_int_equal(w.told, 2); /* suspect, and then */
        assert_int_equal(state_of(&w, 4), AVAIL_SILENT);
        assert_int_equal(count(&w, AVAIL_BUSY), 9);
        world_done(&w);
}

/* The budget holds when a switch dies with everything behind it. */
static void everything_dies_at_once(void **state) {
        struct world w;

        (void)state;
        world_init(&w, 2000, AVAIL_BUSY, 5);
        run(&w, 10 * USEC_PER_SEC);
        assert_true(w.most_in_a_second <= PATROL_RATE + 25);
        for (size_t i = 0; i < 1900; i++)
                w.dead[i] = true;
        run(&w, 40 * USEC_PER_SEC);
        assert_int_equal(count(&w, AVAIL_SILENT), 1900);
        assert_int_equal(count(&w, AVAIL_BUSY), 100);
        assert_true(w.most_in_a_second <= PATROL_RATE + 25);
        world_done(&w);
}

/* Busy ones, however many, do not starve the others. */
static void the_idle_get_their_share(void **state) {
        struct world w;

        (void)state;
        world_init(&w, 1100, AVAIL_READY, 9);
        for (size_t i = 0; i < 1000; i++)
                w.fleet.targets[i]->avail.announced = AVAIL_BUSY;
        run(&w, 120 * USEC_PER_SEC);
        for (size_t i = 1000; i < 1100; i++)
                assert_true(w.pinged[i] >= 10);
        world_done(&w);
}

static void a_dead_server_is_our_trouble_and_nobody_elses(void **state) {
        struct world w;

        (void)state;
        world_init(&w, 50, AVAIL_READY, 11);
        run(&w, 10 * USEC_PER_SEC);
        w.told = 0;
        w.server_dead = true;
        run(&w, 12 * USEC_PER_SEC);
        assert_true(w.fleet.link.mute);
        assert_int_equal(w.link_told, 1);
        assert_false(fleet_known(&w.fleet, w.fleet.targets[0]));
        run(&w, 300 * USEC_PER_SEC);
        assert_int_equal(w.told, 0);
        assert_int_equal(count(&w, AVAIL_READY), 50);
        w.server_dead = false;
        run(&w, 5 * USEC_PER_SEC);
        assert_false(w.fleet.link.mute);
        assert_int_equal(w.link_told, 2);
        assert_int_equal(w.told, 0);
        assert_true(fleet_known(&w.fleet, w.fleet.targets[0]));
        world_done(&w);
}

/* It hangs, and goes on: what it had in its hands comes after the answer to our own question. */
static void a_server_that_hung_makes_nobody_suspect(void **state) {
        (void)state;
        for (uint64_t hang = 1; hang < 20; hang++) {
                struct world w;

                world_init(&w, 20, AVAIL_READY, hang);
                run(&w, (hang % 2 ? 10 * USEC_PER_SEC : USEC_PER_SEC / 10));
                w.server_dead = true;
                run(&w, hang * USEC_PER_SEC);
                w.server_dead = false;
                w.slow = w.now; /* nobody has answered yet */
                run(&w, 100 * USEC_PER_MSEC);
                w.slow = 0;
                run(&w, 10 * USEC_PER_SEC);
                assert_int_equal(w.told, 0);
                assert_false(w.fleet.link.mute);
                world_done(&w);
        }
}

static void asks_the_server_when_nobody_else_is_there(void **state) {
        struct world w;

        (void)state;
        world_init(&w, 0, AVAIL_READY, 13);
        run(&w, 100 * USEC_PER_SEC);
        assert_true(w.server_pings >= 4 && w.server_pings <= 5);
        w.server_dead = true;
        run(&w, 30 * USEC_PER_SEC);
        assert_true(w.fleet.link.mute);
        world_done(&w);
}

static void rests_while_our_own_connection_is_down(void **state) {
        struct world w;

        (void)state;
        world_init(&w, 20, AVAIL_BUSY, 17);
        run(&w, 5 * USEC_PER_SEC);
        w.pings = w.server_pings = w.told = 0;
        fleet_unconfirm(&w.fleet);
        patrol_offline(&w.patrol);
        run(&w, 100 * USEC_PER_SEC);
        assert_int_equal(w.pings + w.server_pings + w.told, 0);
        assert_int_equal(patrol_deadline(&w.patrol), USEC_NEVER);
        world_done(&w);
}

/* An unavailable presence is proven within a second, though nobody else is asked. */
static void proves_a_clean_end(void **state) {
        struct world w;

        (void)state;
        world_init(&w, 2, AVAIL_READY, 19);
        run(&w, 1000 * USEC_PER_MSEC);
        assert_true(fleet_gone(w.fleet.targets[0], NULL, NULL, REAL, w.now));
        patrol_look(&w.patrol);
        run(&w, 350 * USEC_PER_MSEC);
        assert_int_equal(state_of(&w, 0), AVAIL_READY);
        run(&w, 250 * USEC_PER_MSEC);
        assert_int_equal(state_of(&w, 0), AVAIL_OFFLINE);
        world_done(&w);
}

/* A server in a storm of logins answers everybody late: nobody is suspected for that. */
static void a_slow_server_makes_nobody_suspect(void **state) {
        struct world w;

        (void)state;
        world_init(&w, 200, AVAIL_READY, 23);
        run(&w, 10 * USEC_PER_SEC);
        w.slow = 1200 * USEC_PER_MSEC;
        run(&w, 5 * USEC_PER_SEC);
        w.slow = 2200 * USEC_PER_MSEC;
        run(&w, 30 * USEC_PER_SEC);
        assert_int_equal(w.told, 0);
        w.slow = 0;
        run(&w, 120 * USEC_PER_SEC);
        w.dead[7] = true;
        run(&w, 8 * USEC_PER_SEC);
        assert_int_equal(state_of(&w, 7), AVAIL_SILENT);
        world_done(&w);
}

static void parts_are_between_one_and_256(void **state) {
        struct patrol p;
        unsigned least = 999, most = 0;

        (void)state;
        patrol_init(&p, NULL, 1);
        for (int i = 0; i < 100000; i++) {
                unsigned part = patrol_part(&p);

                least = part < least ? part : least;
                most = part > most ? part : most;
        }
        assert_int_equal(least, 1);
        assert_int_equal(most, 256);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_thousand_idle_ones_are_asked_in_time_and_not_too_often),
                cmocka_unit_test(a_few_idle_ones_are_left_in_peace),
                cmocka_unit_test(finds_a_dead_one),
                cmocka_unit_test(finds_a_busy_one_sooner),
                cmocka_unit_test(everything_dies_at_once),
                cmocka_unit_test(the_idle_get_their_share),
                cmocka_unit_test(a_dead_server_is_our_trouble_and_nobody_elses),
                cmocka_unit_test(a_server_that_hung_makes_nobody_suspect),
                cmocka_unit_test(asks_the_server_when_nobody_else_is_there),
                cmocka_unit_test(rests_while_our_own_connection_is_down),
                cmocka_unit_test(proves_a_clean_end),
                cmocka_unit_test(a_slow_server_makes_nobody_suspect),
                cmocka_unit_test(parts_are_between_one_and_256),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
