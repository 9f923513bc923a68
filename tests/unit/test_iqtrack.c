#include "tests/support/check.h"

#include "proto/base/clock.h"
#include "proto/iqtrack.h"
#include "tests/support/starve.h"

#include <errno.h>

#define ME "ctl@lab.test/one"
#define PC "pc1@lab.test/rota"

struct owner {
        struct iqtrack *track;
        struct owner *other; /* forgotten from the callback */
        const char *ask;     /* asked from the callback */
        unsigned called;
        enum iq_end end;
        uint64_t rtt_usec;
        char from[64];
        char id[ID_SIZE];
};

static void on_done(void *userdata, const struct iq_answer *answer) {
        struct owner *o = userdata;

        o->called++;
        o->end = answer->end;
        o->rtt_usec = answer->rtt_usec;
        snprintf(o->from, sizeof(o->from), "%s", answer->from);
        assert_int_equal(answer->stanza != NULL,
                         answer->end == IQ_RESULT || answer->end == IQ_ERROR);
        if (o->other)
                iqtrack_forget(o->track, o->other);
        if (o->ask)
                assert_int_equal(iqtrack_ask(o->track, o->ask, 0, 1, on_done, o, o->id), 0);
}

static void ask(struct owner *o, const char *to, uint64_t now, uint64_t deadline) {
        assert_int_equal(iqtrack_ask(o->track, to, now, deadline, on_done, o, o->id), 0);
        assert_int_equal(strlen(o->id), ID_LEN);
}

static int answer(struct iqtrack *t, uint64_t now, const char *type, const char *from,
                  const char *to, const char *id) {
        CLEANUP(xml_free) struct xml *x = NULL;
        char text[512];

        snprintf(text, sizeof(text), "<iq xmlns='jabber:client' type='%s' %s%s%s %s%s%s id='%s'/>",
                 type, from ? "from='" : "", from ? from : "", from ? "'" : "", to ? "to='" : "",
                 to ? to : "", to ? "'" : "", id);
        assert_int_equal(xml_parse(&x, text, strlen(text), NULL), 0);
        return iqtrack_answered(t, now, x);
}

static void test_answers(void **state) {
        CLEANUP(iqtrack_free) struct iqtrack *t = NULL;
        struct owner o;

        (void)state;
        assert_int_equal(iqtrack_new(&t), 0);
        o = (struct owner){.track = t};
        ask(&o, PC, 100, 1000);
        assert_int_equal(answer(t, 350, "result", "PC1@Lab.test/rota", ME, o.id), 0);
        assert_int_equal(o.called, 1);
        assert_int_equal(o.end, IQ_RESULT);
        assert_int_equal(o.rtt_usec, 250);
        assert_string_equal(o.from, "PC1@Lab.test/rota");
        assert_int_equal(answer(t, 360, "result", PC, ME, o.id), IQTRACK_UNKNOWN);
        ask(&o, PC, 400, 1000);
        assert_int_equal(answer(t, 500, "error", PC, ME, o.id), 0);
        assert_int_equal(o.end, IQ_ERROR);
        assert_int_equal(o.called, 2);
        assert_int_equal(iqtrack_deadline(t), USEC_NEVER);
}

/* RFC 6120 8.1.2.1: who was not asked does not answer. */
static void test_impostors(void **state) {
        static const char *const impostors[] = {
                "eve@lab.test/rota",
                "pc1@lab.test",
                "pc1@lab.test/Rota",
                "pc1@lab.test/rota/x",
                "pc1@lab.test.evil/rota",
                "lab.test",
                NULL,
        };
        CLEANUP(iqtrack_free) struct iqtrack *t = NULL;
        struct owner o;

        (void)state;
        assert_int_equal(iqtrack_new(&t), 0);
        o = (struct owner){.track = t};
        ask(&o, PC, 0, 1000);
        for (size_t i = 0; i < sizeof(impostors) / sizeof(*impostors); i++)
                assert_int_equal(answer(t, 1, "result", impostors[i], ME, o.id), IQTRACK_UNKNOWN);
        assert_int_equal(answer(t, 1, "get", PC, ME, o.id), IQTRACK_UNKNOWN);
        assert_int_equal(answer(t, 1, "result", PC, ME, "another"), IQTRACK_UNKNOWN);
        assert_int_equal(o.called, 0);
        assert_int_equal(answer(t, 1, "result", PC, ME, o.id), 0);
}

static void test_own_server(void **state) {
        static const char *const server[] = {NULL, "", "lab.test", "ctl@lab.test", "LAB.test"};
        static const char *const others[] = {"evil.test", "eve@lab.test", "ab.test", PC, ME};
        CLEANUP(iqtrack_free) struct iqtrack *t = NULL;
        struct owner o;

        (void)state;
        assert_int_equal(iqtrack_new(&t), 0);
        o = (struct owner){.track = t};
        for (size_t i = 0; i < sizeof(server) / sizeof(*server); i++) {
                ask(&o, i % 2 ? NULL : "", 0, 1000);
                for (size_t k = 0; k < sizeof(others) / sizeof(*others); k++)
                        assert_int_equal(answer(t, 1, "result", others[k], ME, o.id),
                                         IQTRACK_UNKNOWN);
                assert_int_equal(answer(t, 1, "result", server[i], ME, o.id), 0);
                assert_int_equal(o.called, i + 1);
        }
        ask(&o, "lab.test", 0, 1000);
        assert_int_equal(answer(t, 1, "error", "lab.test", ME, o.id), 0);
}

static void test_deadlines(void **state) {
        static const uint64_t deadlines[] = {500, 200, 900, 200, 700};
        CLEANUP(iqtrack_free) struct iqtrack *t = NULL;
        struct owner o[5];

        (void)state;
        assert_int_equal(iqtrack_new(&t), 0);
        assert_int_equal(iqtrack_deadline(t), USEC_NEVER);
        for (size_t i = 0; i < 5; i++) {
                o[i] = (struct owner){.track = t};
                ask(&o[i], PC, 100, deadlines[i]);
        }
        assert_int_equal(iqtrack_deadline(t), 200);
        iqtrack_expired(t, 199);
        assert_int_equal(o[1].called + o[3].called, 0);
        iqtrack_expired(t, 200);
        assert_int_equal(o[1].called + o[3].called, 2);
        assert_int_equal(o[1].end, IQ_TIMEOUT);
        assert_string_equal(o[1].from, PC);
        assert_int_equal(iqtrack_deadline(t), 500);
        assert_int_equal(answer(t, 201, "result", PC, ME, o[1].id), IQTRACK_UNKNOWN);
        assert_int_equal(answer(t, 300, "result", PC, ME, o[0].id), 0);
        assert_int_equal(iqtrack_deadline(t), 700);
        iqtrack_expired(t, 10000);
        assert_int_equal(o[0].called + o[2].called + o[4].called, 3);
        assert_int_equal(iqtrack_deadline(t), USEC_NEVER);
}

static void test_lost(void **state) {
        CLEANUP(iqtrack_free) struct iqtrack *t = NULL;
        struct owner a, b, c;

        (void)state;
        assert_int_equal(iqtrack_new(&t), 0);
        a = (struct owner){.track = t, .ask = PC};
        b = (struct owner){.track = t};
        c = (struct owner){.track = t};
        ask(&a, PC, 0, 100);
        ask(&b, PC, 0, 100);
        ask(&c, PC, 0, 50);
        iqtrack_lost(t);
        assert_int_equal(a.called, 1);
        assert_int_equal(b.called, 1);
        assert_int_equal(b.end, IQ_LOST);
        assert_int_equal(c.called, 1);
        /* what the callback asked belongs to the next connection */
        assert_int_equal(iqtrack_deadline(t), 1);
        a.ask = NULL;
        iqtrack_expired(t, 1);
        assert_int_equal(a.called, 2);
}

/* A request that expires together with the one whose callback forgets it is not called. */
static void test_forget(void **state) {
        CLEANUP(iqtrack_free) struct iqtrack *t = NULL;
        struct owner a, b, c;

        (void)state;
        assert_int_equal(iqtrack_new(&t), 0);
        c = (struct owner){.track = t};
        b = (struct owner){.track = t};
        a = (struct owner){.track = t, .other = &b};
        ask(&a, PC, 0, 100);
        ask(&b, PC, 0, 100);
        ask(&b, PC, 0, 200);
        ask(&c, PC, 0, 100);
        iqtrack_expired(t, 100);
        assert_int_equal(a.called, 1);
        assert_int_equal(b.called, 0);
        assert_int_equal(c.called, 1);
        assert_int_equal(iqtrack_deadline(t), USEC_NEVER);
        /* and whoever still waits when the tracker goes is not called either */
        ask(&c, PC, 0, 100);
        t = iqtrack_free(t);
        assert_int_equal(c.called, 1);
}

static int run_starved(void *userdata) {
        CLEANUP(iqtrack_free) struct iqtrack *t = NULL;
        char id[ID_SIZE];
        int r;

        (void)userdata;
        r = iqtrack_new(&t);
        for (int i = 0; i < 3 && r == 0; i++)
                r = iqtrack_ask(t, PC, 0, 1, on_done, NULL, id);
        return r;
}

static void test_starved(void **state) {
        (void)state;
        assert_int_equal(starve_each(run_starved, NULL), 4);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_answers),    cmocka_unit_test(test_impostors),
                cmocka_unit_test(test_own_server), cmocka_unit_test(test_deadlines),
                cmocka_unit_test(test_lost),       cmocka_unit_test(test_forget),
                cmocka_unit_test(test_starved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
