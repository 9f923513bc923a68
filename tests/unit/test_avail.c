#include "tests/support/check.h"

#include "controller/core/avail.h"
#include "proto/base/cleanup.h"
#include "proto/base/clock.h"

#define NOW (UINT64_C(1000) * USEC_PER_SEC)
#define REAL (UINT64_C(1767222000) * USEC_PER_SEC)

/* What happens, and what is seen after it. Times are milliseconds since the beginning. */
enum op {
        END,
        LOOK,  /* nothing happens */
        READY, /* it announces so, in the session that is known */
        BUSY,
        REBOOTING,
        AWAY,     /* promised to return after `ms` */
        LOGIN,    /* a new session, ready, the same boot */
        BOOTED,   /* a new session, ready, another boot */
        GONE,     /* unavailable presence */
        BOUNCED,  /* the server returns a ping */
        HEARD,    /* anything from it */
        PING,     /* we ask it */
        PONG,     /* it answers after `ms` */
        PROVEN,   /* our server has answered what was asked at `ms` */
        LOST,     /* our own connection */
        ONLINE,   /* it is back */
        NOT_BACK, /* it had time enough */
        AGREED,   /* to reboot */
};

struct step {
        enum op op;
        uint64_t at;
        uint64_t ms;
        enum avail_state state;
};

#define STEPS_MAX 20

struct story {
        const char *name;
        struct step steps[STEPS_MAX];
};

#define READY_ AVAIL_READY
#define BUSY_ AVAIL_BUSY
#define SUSPECT_ AVAIL_SUSPECT
#define SILENT_ AVAIL_SILENT
#define OFFLINE_ AVAIL_OFFLINE
#define REBOOTING_ AVAIL_REBOOTING
#define AWAY_ AVAIL_AWAY
#define OVERDUE_ AVAIL_OVERDUE

/* Every story begins with a machine that was never seen. */
static const struct story stories[] = {
        {"what it announces is believed",
         {
                 {LOOK, 0, 0, OFFLINE_},
                 {LOGIN, 10, 0, READY_},
                 {BUSY, 20, 0, BUSY_},
                 {READY, 30, 0, READY_},
                 {LOOK, 100000, 0, READY_},
         }},
        {"a clean end is proven 0.4 s later",
         {
                 {LOGIN, 0, 0, READY_},
                 {GONE, 1000, 0, READY_},
                 {PROVEN, 1100, 1100, READY_}, /* asked too soon */
                 {LOOK, 1500, 0, READY_},
                 {PROVEN, 1500, 1399, READY_},
                 {PROVEN, 1500, 1400, OFFLINE_},
         }},
        {"it is back before it was proven that it went",
         {
                 {LOGIN, 0, 0, READY_},
                 {GONE, 1000, 0, READY_},
                 {LOGIN, 1200, 0, READY_},
                 {PROVEN, 1500, 1450, READY_},
         }},
        {"a server that stops says gone, and then we lose it: unknown, and not offline",
         {
                 {LOGIN, 0, 0, READY_},
                 {GONE, 1000, 0, READY_},
                 {LOST, 1050, 0, READY_},
                 {LOOK, 2000, 0, READY_},
                 {ONLINE, 3000, 0, READY_},
                 {PROVEN, 4000, 3900, READY_},
                 {LOGIN, 5000, 0, READY_},
         }},
        {"the same, and it does not come again",
         {
                 {LOGIN, 0, 0, READY_},
                 {GONE, 1000, 0, READY_},
                 {LOST, 1050, 0, READY_},
                 {ONLINE, 3000, 0, READY_},
                 {NOT_BACK, 23000, 0, OFFLINE_},
                 {LOGIN, 24000, 0, READY_},
         }},
        {"who was offline before our loss stays so",
         {
                 {LOGIN, 0, 0, READY_},
                 {GONE, 1000, 0, READY_},
                 {PROVEN, 1500, 1450, OFFLINE_},
                 {LOST, 2000, 0, OFFLINE_},
                 {ONLINE, 3000, 0, OFFLINE_},
                 {NOT_BACK, 9000, 0, OFFLINE_},
         }},
        {"a ping is late only with proof of our own link",
         {
                 {LOGIN, 0, 0, READY_},
                 {PING, 1000, 0, READY_},
                 {LOOK, 2499, 0, READY_},
                 {LOOK, 9000, 0, READY_},      /* nothing came from the server: our own link? */
                 {PROVEN, 9001, 999, READY_},  /* asked before the ping: proves nothing */
                 {PROVEN, 9002, 2499, READY_}, /* before it was late */
                 {PROVEN, 9003, 2500, SUSPECT_},
         }},
        {"late, silent, and alive again",
         {
                 {LOGIN, 0, 0, READY_},
                 {PING, 1000, 0, READY_},
                 {PROVEN, 2000, 1900, READY_}, /* not late yet */
                 {PING, 2500, 0, READY_},
                 {PROVEN, 2501, 2500, SUSPECT_},
                 {PROVEN, 3400, 3499, SUSPECT_},
                 {PROVEN, 3500, 3500, SILENT_},
                 {LOOK, 59000, 0, SILENT_},
                 {HEARD, 59100, 0, READY_},
         }},
        {"one ping is never enough for silent",
         {
                 {LOGIN, 0, 0, READY_},
                 {PING, 1000, 0, READY_},
                 {PROVEN, 9000, 9000, SUSPECT_},
                 {PING, 9000, 0, SILENT_},
         }},
        {"an answer ends the doubt",
         {
                 {LOGIN, 0, 0, READY_},
                 {PING, 1000, 0, READY_},
                 {PROVEN, 2500, 2500, SUSPECT_},
                 {PONG, 2600, 1600, READY_},
                 {PROVEN, 9000, 9000, READY_},
         }},
        {"its own presence is a sign of life",
         {
                 {LOGIN, 0, 0, READY_},
                 {PING, 1000, 0, READY_},
                 {PROVEN, 2500, 2500, SUSPECT_},
                 {BUSY, 2600, 0, BUSY_},
         }},
        {"a server that never notices: offline after 60 s and ten pings",
         {
                 {LOGIN, 0, 0, READY_},
                 {PING, 1000, 0, READY_},
                 {PING, 2500, 0, READY_},
                 {PROVEN, 4000, 4000, SILENT_},
                 {PROVEN, 61000, 61000, SILENT_}, /* two pings only */
                 {PING, 61001, 0, SILENT_},
                 {PING, 61002, 0, SILENT_},
                 {PING, 61003, 0, SILENT_},
                 {PING, 61004, 0, SILENT_},
                 {PING, 61005, 0, SILENT_},
                 {PING, 61006, 0, SILENT_},
                 {PING, 61007, 0, SILENT_},
                 {PING, 61008, 0, OFFLINE_},
                 {LOOK, 99000, 0, OFFLINE_},
                 {HEARD, 99100, 0, READY_},
         }},
        {"the same without proof of our own link: nothing",
         {
                 {LOGIN, 0, 0, READY_},
                 {PING, 1000, 0, READY_},
                 {PING, 2500, 0, READY_},
                 {PING, 3500, 0, READY_},
                 {LOOK, 99000, 0, READY_},
                 {LOST, 99001, 0, READY_},
                 {ONLINE, 99002, 0, READY_},
                 {PROVEN, 99100, 99100, READY_}, /* those pings went down with our connection */
         }},
        {"a ghost of the server is found by a ping that comes back",
         {
                 {LOGIN, 0, 0, READY_},
                 {PING, 1000, 0, READY_},
                 {BOUNCED, 1001, 0, READY_},
                 {PROVEN, 1500, 1401, OFFLINE_},
         }},
        {"a ping that comes back while it logs in again says nothing",
         {
                 {LOGIN, 0, 0, READY_},
                 {BOUNCED, 1001, 0, READY_},
                 {LOGIN, 1002, 0, READY_},
                 {PROVEN, 1500, 1500, READY_},
         }},
        {"the server's word ends the silence",
         {
                 {LOGIN, 0, 0, READY_},
                 {PING, 1000, 0, READY_},
                 {PING, 2500, 0, READY_},
                 {PROVEN, 3500, 3500, SILENT_},
                 {GONE, 4000, 0, SILENT_},
                 {PROVEN, 4400, 4400, OFFLINE_},
         }},
        {"a reboot is not offline, and not silent either",
         {
                 {LOGIN, 0, 0, READY_},
                 {AGREED, 1000, 0, REBOOTING_},
                 {REBOOTING, 1001, 0, REBOOTING_},
                 {PING, 1002, 0, REBOOTING_},
                 {PROVEN, 9000, 9000, REBOOTING_},
                 {GONE, 10000, 0, REBOOTING_},
                 {PROVEN, 20000, 20000, REBOOTING_},
                 {BOOTED, 40000, 0, READY_},
         }},
        {"a presence that was under way does not end a reboot",
         {
                 {LOGIN, 0, 0, READY_},
                 {AGREED, 1000, 0, REBOOTING_},
                 {BUSY, 1001, 0, REBOOTING_},
                 {GONE, 1002, 0, REBOOTING_},
                 {BOOTED, 40000, 0, READY_},
         }},
        {"a reboot that failed: it comes again under the same boot id",
         {
                 {LOGIN, 0, 0, READY_},
                 {AGREED, 1000, 0, REBOOTING_},
                 {GONE, 1002, 0, REBOOTING_},
                 {LOGIN, 5000, 0, READY_},
                 {GONE, 6000, 0, READY_},
                 {PROVEN, 6500, 6500, OFFLINE_},
         }},
        {"a reboot of unknown length is overdue after 15 minutes",
         {
                 {LOGIN, 0, 0, READY_},
                 {REBOOTING, 1000, 0, REBOOTING_},
                 {GONE, 1002, 0, REBOOTING_},
                 {LOOK, 900999, 0, REBOOTING_},
                 {LOOK, 901000, 0, OVERDUE_},
                 {LOOK, 99999999, 0, OVERDUE_},
                 {BOOTED, 99999999, 0, READY_},
         }},
        {"one of known length after twice that, and at least half a minute more",
         {
                 {LOGIN, 0, 0, READY_},
                 {REBOOTING, 1000, 0, REBOOTING_},
                 {BOOTED, 41000, 0, READY_}, /* 40 s */
                 {REBOOTING, 100000, 0, REBOOTING_},
                 {GONE, 100001, 0, REBOOTING_},
                 {LOOK, 179999, 0, REBOOTING_},
                 {LOOK, 180000, 0, OVERDUE_},
                 {BOOTED, 181000, 0, READY_},
         }},
        {"our own loss in the middle of a reboot",
         {
                 {LOGIN, 0, 0, READY_},
                 {REBOOTING, 1000, 0, REBOOTING_},
                 {GONE, 1001, 0, REBOOTING_},
                 {LOST, 1002, 0, REBOOTING_},
                 {ONLINE, 9000, 0, REBOOTING_},
                 {NOT_BACK, 29000, 0, REBOOTING_},
                 {BOOTED, 40000, 0, READY_},
         }},
        {"away as promised, and overdue after that",
         {
                 {LOGIN, 0, 0, READY_},
                 {AWAY, 1000, 60000, AWAY_},
                 {GONE, 2000, 0, AWAY_},
                 {LOOK, 60999, 0, AWAY_},
                 {LOOK, 61000, 0, OVERDUE_},
                 {LOGIN, 90000, 0, READY_},
                 {GONE, 91000, 0, READY_},
                 {PROVEN, 91400, 91400, OFFLINE_},
         }},
        {"away without a promise is never overdue",
         {
                 {LOGIN, 0, 0, READY_},
                 {AWAY, 1000, 0, AWAY_},
                 {GONE, 2000, 0, AWAY_},
                 {LOOK, UINT64_C(1000000000), 0, AWAY_},
         }},
};

static struct avail_news news_of(const struct step *s) {
        struct avail_news n = {.announced = AVAIL_READY, .part = 256};

        n.fresh = s->op == LOGIN || s->op == BOOTED;
        n.rebooted = s->op == BOOTED;
        if (s->op == BUSY)
                n.announced = AVAIL_BUSY;
        else if (s->op == REBOOTING)
                n.announced = AVAIL_REBOOTING;
        else if (s->op == AWAY)
                n.announced = AVAIL_AWAY;
        if (s->op == AWAY)
                n.promised_usec = s->ms * USEC_PER_MSEC;
        return n;
}

static void take(struct avail *a, struct avail_link *l, const struct step *s) {
        uint64_t ms = s->at * USEC_PER_MSEC, real = REAL + ms, now = NOW + ms;
        const struct avail_news news = news_of(s);

        switch (s->op) {
        case END:
        case LOOK:
                break;
        case READY:
        case BUSY:
        case REBOOTING:
        case AWAY:
        case LOGIN:
        case BOOTED:
                avail_announced(a, &news, real, now);
                break;
        case GONE:
                avail_gone(a, "because", real, now);
                break;
        case BOUNCED:
                avail_bounced(a, real, now);
                break;
        case HEARD:
                avail_heard(a, real, now);
                break;
        case PING:
                avail_pinged(a, 256, real, now);
                break;
        case PONG:
                avail_ponged(a, s->ms * USEC_PER_MSEC, real, now);
                break;
        case PROVEN:
                l->proof_usec = l->alive_usec = NOW + s->ms * USEC_PER_MSEC;
                break;
        case LOST:
                avail_unconfirm(a);
                *l = (struct avail_link){0};
                break;
        case ONLINE:
                *l = (struct avail_link){.online = true, .proof_usec = now, .alive_usec = now};
                break;
        case NOT_BACK:
                avail_not_back(a, real);
                break;
        case AGREED:
                avail_leaves(a, AVAIL_REBOOTS, 0, real, now);
                break;
        }
}

static void tells_the_stories(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(stories); i++) {
                struct avail_link link = {.online = true, .proof_usec = NOW, .alive_usec = NOW};
                struct avail a;

                avail_init(&a);
                for (const struct step *s = stories[i].steps; s->op != END; s++) {
                        uint64_t ms = s->at * USEC_PER_MSEC;
                        enum avail_state before = a.state;
                        bool changed;

                        take(&a, &link, s);
                        changed = avail_judge(&a, &link, REAL + ms, NOW + ms);
                        if (a.state != s->state)
                                fail_msg("%s: step %zu at %ju ms: %s, not %s", stories[i].name,
                                         (size_t)(s - stories[i].steps), (uintmax_t)s->at,
                                         avail_state_name(a.state), avail_state_name(s->state));
                        assert_int_equal(changed, before != a.state);
                        if (changed)
                                assert_int_equal(a.since_usec, REAL + ms);
                }
        }
}

/* Whoever judges only at the deadlines sees what a continuous observer would. */
static void deadlines_miss_nothing(void **state) {
        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(stories); i++) {
                struct avail_link link = {.online = true, .proof_usec = NOW, .alive_usec = NOW};
                struct avail a;

                avail_init(&a);
                for (const struct step *s = stories[i].steps; s->op != END && s[1].op != END; s++) {
                        uint64_t at = NOW + s->at * USEC_PER_MSEC,
                                 until = NOW + s[1].at * USEC_PER_MSEC, next;

                        take(&a, &link, s);
                        avail_judge(&a, &link, REAL, at);
                        next = avail_deadline(&a, &link, at);
                        assert_true(next > at);
                        for (uint64_t t = at; t < until && t < at + 100 * USEC_PER_SEC;
                             t += 100000) {
                                struct avail b = a;
                                bool wants = avail_wants_proof(&a, &link, at);

                                if (t < next && avail_judge(&b, &link, REAL, t))
                                        fail_msg("%s: changes before its deadline",
                                                 stories[i].name);
                                if (t < next && !wants && avail_wants_proof(&a, &link, t))
                                        fail_msg("%s: wants proof before its deadline",
                                                 stories[i].name);
                        }
                }
        }
}

static const struct avail_link online = {.online = true};

static struct avail online_at(uint64_t now, enum avail_state announced) {
        const struct avail_news news = {.announced = announced, .fresh = true, .part = 128};
        const struct avail_link link = {.online = true, .proof_usec = now, .alive_usec = now};
        struct avail a;

        avail_init(&a);
        avail_announced(&a, &news, REAL, now);
        avail_judge(&a, &link, REAL, now);
        return a;
}

static void pings_the_busy_and_the_doubtful_every_second(void **state) {
        struct avail a = online_at(NOW, AVAIL_BUSY);
        const uint64_t period = 5120000, s = USEC_PER_SEC;

        (void)state;
        assert_true(avail_urgent(&a));
        assert_int_equal(avail_ping_at(&a, &online, period, NOW), NOW + s);
        avail_heard(&a, REAL, NOW + s / 2); /* any traffic counts */
        assert_int_equal(avail_ping_at(&a, &online, period, NOW), NOW + s / 2 + s);
        a = online_at(NOW, AVAIL_READY);
        assert_false(avail_urgent(&a));
        assert_int_equal(avail_ping_at(&a, &online, period, NOW),
                         NOW + period / 2); /* its random part */
        avail_pinged(&a, 250, REAL, NOW + s);
        assert_true(avail_urgent(&a));
        /* again when it is late, then every second, then less often */
        assert_int_equal(avail_ping_at(&a, &online, period, NOW + s), NOW + s + AVAIL_LATE_USEC);
        avail_pinged(&a, 250, REAL, NOW + 3 * s);
        assert_int_equal(avail_ping_at(&a, &online, period, NOW + 3 * s), NOW + 4 * s);
        assert_int_equal(avail_ping_at(&a, &online, period, NOW + 20 * s), NOW + 8 * s);
        assert_int_equal(avail_ping_at(&a, &online, period, NOW + 100 * s), NOW + 18 * s);
        avail_heard(&a, REAL, NOW + 200 * s);
        assert_int_equal(avail_ping_at(&a, &online, period, NOW + 200 * s),
                         NOW + 200 * s + period / 256 * 250);
}

static void asks_nobody_who_is_not_there(void **state) {
        struct avail a = online_at(NOW, AVAIL_BUSY);

        (void)state;
        avail_unconfirm(&a);
        assert_int_equal(avail_ping_at(&a, &online, 5000000, NOW), USEC_NEVER);
        a = online_at(NOW, AVAIL_BUSY);
        avail_gone(&a, NULL, REAL, NOW);
        assert_true(avail_in_doubt(&a));
        assert_int_equal(avail_ping_at(&a, &online, 5000000, NOW), USEC_NEVER);
}

/* A machine under load is not suspected for its usual slowness. */
static void late_is_what_is_unusual_for_it(void **state) {
        struct avail a = online_at(NOW, AVAIL_READY);

        (void)state;
        for (int i = 0; i < 50; i++)
                avail_ponged(&a, 400, REAL, NOW);
        assert_int_equal(avail_late_usec(&a, &online), AVAIL_LATE_USEC);
        for (int i = 0; i < 50; i++) {
                avail_ponged(&a, i % 2 ? 900000 : 1500000, REAL, NOW);
                assert_true(avail_late_usec(&a, &online) >= 1800000);
        }
        avail_ponged(&a, 9000000, REAL, NOW);
        assert_int_equal(avail_late_usec(&a, &online), AVAIL_LATE_MAX_USEC);
        for (int i = 0; i < 5; i++)
                avail_ponged(&a, 400, REAL, NOW);
        assert_int_equal(avail_late_usec(&a, &online), AVAIL_LATE_USEC);
        assert_int_equal(avail_late_usec(&a, &(struct avail_link){.slow_usec = 1000000}), 2000000);
}

static void learns_how_long_its_reboots_take(void **state) {
        static const uint64_t took[] = {50, 40, 90, 41, 42, 43, 44};
        static const uint64_t medians[] = {50, 50, 50, 50, 42, 42, 43};
        struct avail a;

        (void)state;
        avail_init(&a);
        assert_int_equal(avail_usual_usec(&a), 0);
        for (size_t i = 0; i < ARRAY_SIZE(took); i++) {
                avail_took(&a, took[i]);
                assert_int_equal(avail_usual_usec(&a), medians[i]);
        }
        assert_int_equal(a.n_took, AVAIL_TOOK_MAX);
        assert_int_equal(a.took[0], 90);
        assert_int_equal(a.took[4], 44);
}

static void measures_a_reboot_from_the_first_word_to_the_new_boot(void **state) {
        const struct avail_news going = {.announced = AVAIL_REBOOTING, .part = 1},
                                back = {.fresh = true, .rebooted = true, .part = 1},
                                again = {.fresh = true, .part = 1};
        struct avail a = online_at(NOW, AVAIL_READY);

        (void)state;
        avail_leaves(&a, AVAIL_REBOOTS, 0, REAL, NOW);
        assert_false(avail_announced(&a, &going, REAL, NOW + 100));
        avail_gone(&a, NULL, REAL, NOW + 200);
        assert_true(avail_announced(&a, &back, REAL, NOW + 5000));
        assert_int_equal(a.took[0], 5000);
        /* one that nobody announced, or that failed, is none */
        avail_gone(&a, NULL, REAL, NOW + 6000);
        assert_false(avail_announced(&a, &back, REAL, NOW + 7000));
        avail_leaves(&a, AVAIL_REBOOTS, 0, REAL, NOW + 8000);
        assert_false(avail_announced(&a, &again, REAL, NOW + 9000));
        assert_int_equal(a.n_took, 1);
}

static void remembers_an_absence_over_a_restart_of_ours(void **state) {
        struct avail_link link = {.online = true};
        struct avail_past past;
        struct avail a;

        (void)state;
        past = (struct avail_past){.state = AVAIL_REBOOTING,
                                   .since_usec = REAL - 150 * USEC_PER_SEC,
                                   .leave = AVAIL_REBOOTS,
                                   .left_usec = REAL - 150 * USEC_PER_SEC};
        avail_init(&a);
        avail_took(&a, 100 * USEC_PER_SEC);
        avail_remember(&a, &past, REAL, NOW);
        assert_false(avail_judge(&a, &link, REAL, NOW + 49 * USEC_PER_SEC));
        assert_true(avail_judge(&a, &link, REAL, NOW + 50 * USEC_PER_SEC));
        assert_int_equal(a.state, AVAIL_OVERDUE);
        /* a promise of two minutes, of which half a minute is left */
        past.state = AVAIL_AWAY;
        past.leave = AVAIL_LEAVES;
        past.back_usec = REAL + 30 * USEC_PER_SEC;
        avail_init(&a);
        avail_remember(&a, &past, REAL, NOW);
        assert_int_equal(avail_back_usec(&a), past.back_usec);
        assert_false(avail_judge(&a, &link, REAL, NOW + 29 * USEC_PER_SEC));
        assert_true(avail_judge(&a, &link, REAL, NOW + 30 * USEC_PER_SEC));
        assert_int_equal(a.state, AVAIL_OVERDUE);
        past.back_usec = 0;
        avail_init(&a);
        avail_remember(&a, &past, REAL, NOW);
        assert_false(avail_judge(&a, &link, REAL, NOW + 90 * USEC_PER_HOUR));
        assert_int_equal(a.state, AVAIL_AWAY);
        past = (struct avail_past){.state = AVAIL_OFFLINE, .since_usec = REAL - 5};
        avail_init(&a);
        avail_remember(&a, &past, REAL, NOW);
        assert_false(avail_judge(&a, &link, REAL, NOW));
        assert_false(a.present);
        past.state = AVAIL_BUSY;
        avail_init(&a);
        avail_remember(&a, &past, REAL, NOW);
        assert_true(a.present);
        assert_false(avail_judge(&a, &link, REAL, NOW + 90 * USEC_PER_HOUR));
        assert_int_equal(a.since_usec, REAL - 5);
}

static void keeps_the_reason_of_the_server(void **state) {
        struct avail a = online_at(NOW, AVAIL_READY);

        (void)state;
        avail_bounced(&a, REAL, NOW);
        assert_int_equal(a.gone, AVAIL_GONE_BOUNCED);
        avail_gone(&a, "Disconnected: timeout", REAL, NOW + 1);
        assert_int_equal(a.gone, AVAIL_GONE_UNAVAILABLE);
        assert_string_equal(a.words, "Disconnected: timeout");
        assert_int_equal(a.doubt_usec, NOW); /* the first word counts */
}

static void state_names_go_both_ways(void **state) {
        enum avail_state s;

        (void)state;
        for (unsigned i = 0; i <= AVAIL_OVERDUE; i++) {
                assert_int_equal(avail_state_parse(avail_state_name((enum avail_state)i), &s), 0);
                assert_int_equal(s, i);
        }
        assert_int_equal(avail_state_parse("Ready", &s), 1);
        assert_int_equal(avail_state_parse("unknown", &s), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tells_the_stories),
                cmocka_unit_test(deadlines_miss_nothing),
                cmocka_unit_test(pings_the_busy_and_the_doubtful_every_second),
                cmocka_unit_test(asks_nobody_who_is_not_there),
                cmocka_unit_test(late_is_what_is_unusual_for_it),
                cmocka_unit_test(learns_how_long_its_reboots_take),
                cmocka_unit_test(measures_a_reboot_from_the_first_word_to_the_new_boot),
                cmocka_unit_test(remembers_an_absence_over_a_restart_of_ours),
                cmocka_unit_test(keeps_the_reason_of_the_server),
                cmocka_unit_test(state_names_go_both_ways),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
