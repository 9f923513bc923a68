#include "tests/support/check.h"

#include "proto/base/cleanup.h"
#include "proto/jid.h"

static void test_valid(void **state) {
        static const char *const good[] = {"a@b", "ana@lab.example/desk", "a@b/c/d@e", "p-1.x@b",
                                           "\xc3\xa4@b"};
        static const char *const bad[] = {
                "",        "b",       "@b",      "a@", "a@/c",  "a@b/",  "a@b@c", "a b@c", "a@b c",
                "a@b/c d", "a@b/c\n", "a\x01@b", "/x", "a/b@c", "<a>@b", "a\"@b", "a:b@c"};

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(good); i++)
                assert_true(jid_valid(good[i]));
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
                assert_false(jid_valid(bad[i]));
}

static void test_length(void **state) {
        char jid[JID_SIZE + 1], bare[JID_SIZE];

        (void)state;
        memset(jid, 'a', sizeof(jid));
        jid[100] = '@';
        jid[JID_MAX] = '\0';
        assert_true(jid_valid(jid));
        assert_int_equal(jid_bare(jid, bare), 0);
        assert_string_equal(bare, jid);
        jid[JID_MAX] = 'a';
        jid[JID_MAX + 1] = '\0';
        assert_false(jid_valid(jid));
        assert_int_equal(jid_bare(jid, bare), 1);
}

static void test_parts(void **state) {
        char text[JID_SIZE] = "untouched";

        (void)state;
        assert_int_equal(jid_bare("nonsense", text), 1);
        assert_string_equal(text, "untouched");
        assert_int_equal(jid_bare("Ana@LAB.Example/Desk", text), 0);
        assert_string_equal(text, "ana@lab.example");
        assert_int_equal(jid_local("Ana@LAB/x@y", text), 0);
        assert_string_equal(text, "ana");
        assert_int_equal(jid_domain("Ana@LAB/x@y", text), 0);
        assert_string_equal(text, "lab");
        assert_string_equal(jid_resource("Ana@LAB/Desk/2"), "Desk/2");
        assert_string_equal(jid_resource("ana@lab"), "");
}

static void test_same_bare(void **state) {
        (void)state;
        assert_true(jid_same_bare("ana@lab/x", "ANA@lab/y"));
        assert_false(jid_same_bare("ana@lab", "anna@lab"));
        assert_false(jid_same_bare("ana@lab", "ana@lab2"));
        assert_false(jid_same_bare("nonsense", "nonsense"));
}

static void test_patterns(void **state) {
        static const char *const bad[] = {"*",         "*@",      "@lab",    "a*@lab",
                                          "*a@lab",    "*@*",     "*@*.lab", "*@lab/x",
                                          "ana@lab/x", "ana@l*b", ""};

        (void)state;
        assert_true(jid_pattern_valid("*@lab"));
        assert_true(jid_pattern_valid("ana@lab"));
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                assert_false(jid_pattern_valid(bad[i]));
                assert_false(jid_matches(bad[i], "ana@lab/x"));
        }
        assert_true(jid_matches("*@lab", "ana@lab/x"));
        assert_true(jid_matches("*@LAB", "ana@lab"));
        assert_true(jid_matches("ana@lab", "Ana@Lab/x"));
        assert_false(jid_matches("*@lab", "ana@lab.example"));
        assert_false(jid_matches("*@lab", "ana@other/lab"));
        assert_false(jid_matches("*@lab", "lab"));
        assert_false(jid_matches("*@lab", ""));
        assert_false(jid_matches("ana@lab", "ana@lab2"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_valid),    cmocka_unit_test(test_length),
                cmocka_unit_test(test_parts),    cmocka_unit_test(test_same_bare),
                cmocka_unit_test(test_patterns),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
