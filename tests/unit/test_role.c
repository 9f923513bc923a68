#include "tests/support/check.h"

#include "proto/base/cleanup.h"
#include "proto/role.h"

static void test_names(void **state) {
        enum role role = ROLE_NONE;

        (void)state;
        for (int i = ROLE_VIEW; i <= ROLE_ADMIN; i++) {
                assert_int_equal(role_parse(role_name((enum role)i), &role), 0);
                assert_int_equal(role, i);
        }
        assert_string_equal(role_name(ROLE_NONE), "none");
        assert_int_equal(role_parse("none", &role), 1);
        assert_int_equal(role_parse("root", &role), 1);
        assert_int_equal(role_parse("", &role), 1);
        assert_int_equal(role_parse("Admin", &role), 1);
        assert_int_equal(role, ROLE_ADMIN);
}

static void test_order(void **state) {
        (void)state;
        assert_true(ROLE_NONE < ROLE_VIEW && ROLE_VIEW < ROLE_RUN && ROLE_RUN < ROLE_REBOOT &&
                    ROLE_REBOOT < ROLE_ADMIN);
}

static void test_rules(void **state) {
        static const struct role_rule rules[] = {
                {"*@lab",     ROLE_VIEW  },
                {"*@lab",     ROLE_RUN   },
                {"guest@lab", ROLE_NONE  },
                {"ana@lab",   ROLE_VIEW  },
                {"ben@lab",   ROLE_ADMIN },
                {"ben@lab",   ROLE_REBOOT},
        };
        const size_t n = ARRAY_SIZE(rules);

        (void)state;
        assert_int_equal(role_of(rules, n, "someone@lab/x"), ROLE_RUN);
        assert_int_equal(role_of(rules, n, "ana@lab/x"), ROLE_VIEW);
        assert_int_equal(role_of(rules, n, "ANA@lab"), ROLE_VIEW);
        assert_int_equal(role_of(rules, n, "guest@lab/x"), ROLE_NONE);
        assert_int_equal(role_of(rules, n, "ben@lab"), ROLE_ADMIN);
        assert_int_equal(role_of(rules, n, "ana@elsewhere"), ROLE_NONE);
        assert_int_equal(role_of(rules, n, "lab"), ROLE_NONE);
        assert_int_equal(role_of(rules, n, ""), ROLE_NONE);
        assert_int_equal(role_of(NULL, 0, "ana@lab"), ROLE_NONE);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_names),
                cmocka_unit_test(test_order),
                cmocka_unit_test(test_rules),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
