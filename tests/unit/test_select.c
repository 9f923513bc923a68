#include "tests/support/check.h"
#include "tests/support/starve.h"

#include "controller/core/select.h"

struct fixture {
        struct fleet f;
};

static void machine(struct fleet *f, const char *jid, enum avail_state state, const char *location,
                    uint64_t queue, const char *name, const char *value) {
        const struct fleet_label label = {name, value};
        const struct fleet_facts facts = {
                .state = state,
                .location = location,
                .queue = queue,
                .labels = name ? &label : NULL,
                .n_labels = name ? 1 : 0,
        };
        struct target *t = NULL;

        assert_int_equal(fleet_add(f, jid, &t), 0);
        assert_int_equal(fleet_remember(t, &facts,
                                        &(struct avail_past){.state = state, .since_usec = 1}, 1,
                                        1),
                         0);
        t->kind = FLEET_TARGET;
}

static int setup(void **state) {
        struct fixture *fx = calloc(1, sizeof(*fx));
        struct target *t = NULL;

        fx->f.link.online = fx->f.settled = true;
        machine(&fx->f, "pc1@lab", AVAIL_BUSY, "lab3/a", 2, "gpu", "2");
        machine(&fx->f, "pc2@lab", AVAIL_READY, "lab3/b", 0, "gpu", "10");
        machine(&fx->f, "pc3-01@lab", AVAIL_READY, "lab4/a", 0, "gpu", "mi300");
        machine(&fx->f, "pc3-12@lab", AVAIL_OFFLINE, "lab4/a", 0, "bios", "");
        machine(&fx->f, "pc10@lab", AVAIL_BUSY, NULL, 0, NULL, NULL);
        assert_int_equal(fleet_add(&fx->f, "controller@lab", &t), 0);
        t->kind = FLEET_PEER;
        assert_int_equal(fleet_add(&fx->f, "ana@lab", &t), 0);
        t->kind = FLEET_OTHER;
        *state = fx;
        return 0;
}

static int teardown(void **state) {
        struct fixture *fx = *state;

        fleet_done(&fx->f);
        free(fx);
        return 0;
}

/* The names that @selector chooses, in order, joined by blanks; or the outcome and the sentence. */
static void check(void **state, const char *selector, const char *expected) {
        struct fixture *fx = *state;
        CLEANUP(selection_done) struct selection s = {0};
        CLEANUP(buf_done) struct buf why = {0}, names = {0};
        int r = select_targets(&fx->f, selector, &s, &why);

        if (r == SELECT_BAD)
                buf_puts(&names, "bad: ");
        if (r != 0)
                buf_puts(&names, buf_text(&why));
        for (size_t i = 0; i < s.n_targets; i++)
                buf_printf(&names, "%s%s", i > 0 ? " " : "", s.targets[i]->name);
        check_buf(&names, expected);
}

static void names_and_globs(void **state) {
        check(state, "pc1", "pc1");
        check(state, "pc1@lab", "pc1");
        check(state, "pc3-*", "pc3-01 pc3-12");
        check(state, "pc?", "pc1 pc2");
        check(state, "", "pc1 pc10 pc2 pc3-01 pc3-12");
        check(state, "*", "pc1 pc10 pc2 pc3-01 pc3-12");
        check(state, "*c*1*", "pc1 pc10 pc3-01 pc3-12");
}

static void bracket_lists(void **state) {
        check(state, "pc[1,2]", "pc1 pc2");
        check(state, "pc[1-9]", "pc1 pc2");
        check(state, "pc[1-12]", "pc1 pc10 pc2");
        check(state, "pc3-[01-12]", "pc3-01 pc3-12");
        check(state, "pc3-[01-11,99]", "pc3-01");
        check(state, "p[a-c]2", "pc2");
        check(state, "pc[1,2],ready", "pc2");
        /* a range without a zero in front does not mean padded numbers */
        check(state, "pc3-[1-9]",
              "nothing matches \"pc3-[1-9]\": 5 targets, pc3-[1-9] leaves 0\ntry: rota ls");
}

static void states_and_not(void **state) {
        check(state, "ready", "pc2 pc3-01");
        check(state, "!offline", "pc1 pc10 pc2 pc3-01");
        check(state, "busy,!pc10", "pc1");
        check(state, "state=busy", "pc1 pc10");
}

static void labels_and_facts(void **state) {
        check(state, "gpu", "pc1 pc2 pc3-01");
        check(state, "!gpu", "pc10 pc3-12");
        check(state, "gpu>=2,gpu<=10", "pc1 pc2");
        check(state, "gpu>2", "pc2"); /* mi300 is neither more nor less */
        check(state, "gpu=mi*", "pc3-01");
        check(state, "gpu!=2", "pc10 pc2 pc3-01 pc3-12");
        check(state, "location=lab3/*", "pc1 pc2");
        check(state, "name=pc1", "pc1");
        check(state, "bios", "pc3-12");
}

static void counts_take_idle_ones_first(void **state) {
        check(state, "2:*", "pc2 pc3-01");
        check(state, "3:", "pc2 pc3-01 pc10");
        check(state, "4:pc*", "pc2 pc3-01 pc10 pc1");
        check(state, "1:busy", "pc10");
        check(state, "3:ready", "only 2 match \"3:ready\", which asks for 3\ntry: rota ls");
        check(state, "0:ready",
              "bad: cannot read the selector \"0:ready\": the count before the colon must be at "
              "least 1; selectors are names, globs (pc*), lists (pc[1-4]), states (ready) and "
              "labels "
              "(gpu>=2), joined by commas");
}

static void lines_are_a_union(void **state) {
        check(state, "pc2\npc1\npc2", "pc1 pc2");
        check(state, "pc1\nready\n", "pc1 pc2 pc3-01");
        check(state, "pc1\nnosuch",
              "nothing matches \"nosuch\": 5 targets, nosuch leaves 0\ntry: rota ls");
}

static void says_which_part_removed_how_many(void **state) {
        check(state, "pc*,gpu>=3,ready,!pc2",
              "nothing matches \"pc*,gpu>=3,ready,!pc2\": 5 targets, pc* leaves 5, gpu>=3 leaves "
              "1, "
              "ready leaves 1, !pc2 leaves 0\ntry: rota ls");
}

static void refuses_what_it_cannot_read(void **state) {
        struct fixture *fx = *state;
        static const char *const wrong[] = {"pc[1", "pc1,,pc2", "=2",      "!",
                                            ",",    "pc!x",     "gpu>=2,", "gpu>="};

        for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
                CLEANUP(selection_done) struct selection s = {0};
                CLEANUP(buf_done) struct buf why = {0};

                assert_int_equal(select_targets(&fx->f, wrong[i], &s, &why), SELECT_BAD);
                assert_non_null(strstr(buf_text(&why), "cannot read the selector"));
        }
}

static void bounded_whatever_is_typed(void **state) {
        struct fixture *fx = *state;
        CLEANUP(selection_done) struct selection s = {0};
        CLEANUP(buf_done) struct buf why = {0};
        char text[SELECT_MAX + 2];

        memset(text, 'a', sizeof(text));
        text[sizeof(text) - 1] = '\0';
        assert_int_equal(select_targets(&fx->f, text, &s, &why), SELECT_BAD);
        for (size_t i = 0; i + 2 < 600; i += 2)
                memcpy(text + i, "*p", 2);
        text[600] = '\0';
        assert_int_equal(select_targets(&fx->f, text, &s, &why), SELECT_NOTHING);
}

static void an_empty_fleet_says_so(void **state) {
        CLEANUP(fleet_done) struct fleet f = {0};
        CLEANUP(selection_done) struct selection s = {0};
        CLEANUP(buf_done) struct buf why = {0};

        (void)state;
        assert_int_equal(select_targets(&f, "", &s, &why), SELECT_NOTHING);
        assert_non_null(strstr(buf_text(&why), "there are no targets yet"));
}

static int starved(void *userdata) {
        CLEANUP(selection_done) struct selection s = {0};
        CLEANUP(buf_done) struct buf why = {0};

        return select_targets(userdata, "pc[1,2],gpu>=2\n2:*", &s, &why);
}

static void survives_without_memory(void **state) {
        struct fixture *fx = *state;

        assert_true(starve_each_lenient(starved, &fx->f) > 5);
}

static void no_state_matches_where_none_is_known(void **state) {
        struct fixture *fx = *state;

        fx->f.link.online = false;
        check(state, "ready",
              "nothing matches \"ready\": 5 targets, ready leaves 0 (this controller has no "
              "connection to its server and knows nobody's state; names and labels still match)\n"
              "try: rota doctor");
        check(state, "!offline",
              "nothing matches \"!offline\": 5 targets, !offline leaves 0 (this controller has no "
              "connection to its server and knows nobody's state; names and labels still match)\n"
              "try: rota doctor");
        check(state, "pc1", "pc1");
        check(state, "gpu=10", "pc2");
        check(state, "unknown", "pc1 pc10 pc2 pc3-01 pc3-12");
        check(state, "state=unknown,pc2", "pc2");
        fx->f.link.online = fx->f.link.mute = true;
        check(state, "state!=busy",
              "nothing matches \"state!=busy\": 5 targets, state!=busy leaves 0 (the server does "
              "not answer this controller, which therefore knows nobody's state; names and labels "
              "still match)\ntry: rota doctor");
        fx->f.link.mute = fx->f.settled = false;
        fx->f.targets[2]->avail.confirmed = true; /* of pc10, pc1@…, …: by JID */
        check(state, "!unknown", fx->f.targets[2]->name);
        check(state, "quarantined",
              "nothing matches \"quarantined\": 5 targets, quarantined leaves 0 (4 of them have "
              "not "
              "announced themselves since this controller connected)\ntry: rota ls");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(names_and_globs, setup, teardown),
                cmocka_unit_test_setup_teardown(bracket_lists, setup, teardown),
                cmocka_unit_test_setup_teardown(states_and_not, setup, teardown),
                cmocka_unit_test_setup_teardown(labels_and_facts, setup, teardown),
                cmocka_unit_test_setup_teardown(counts_take_idle_ones_first, setup, teardown),
                cmocka_unit_test_setup_teardown(lines_are_a_union, setup, teardown),
                cmocka_unit_test_setup_teardown(says_which_part_removed_how_many, setup, teardown),
                cmocka_unit_test_setup_teardown(refuses_what_it_cannot_read, setup, teardown),
                cmocka_unit_test_setup_teardown(bounded_whatever_is_typed, setup, teardown),
                cmocka_unit_test(an_empty_fleet_says_so),
                cmocka_unit_test_setup_teardown(survives_without_memory, setup, teardown),
                cmocka_unit_test_setup_teardown(no_state_matches_where_none_is_known, setup,
                                                teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
