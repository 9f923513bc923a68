#include "tests/support/check.h"

#include "proto/base/log.h"

#include <errno.h>

static char seen_text[4096];
static enum log_level seen_level;
static struct log_field seen_fields[LOG_FIELDS_MAX];
static size_t seen_n, seen_lines;

static void sink(enum log_level level, const char *text, const struct log_field *fields, size_t n) {
        seen_level = level;
        snprintf(seen_text, sizeof(seen_text), "%s", text);
        memcpy(seen_fields, fields, n * sizeof(*fields));
        seen_n = n;
        seen_lines++;
        errno = EBADF;
}

static void test_fields(void **state) {
        const struct log_field fields[] = {
                {"ROTA_RUN",  "k3"},
                {"ROTA_PEER", NULL},
                {"ROTA_STEP", "2" },
                {NULL,        NULL}
        };

        (void)state;
        log_set_sink(sink);
        errno = ENOENT;
        log_line(LOG_LEVEL_NOTICE, fields, "step %d of %s", 2, "k3");
        assert_int_equal(errno, ENOENT);
        assert_string_equal(seen_text, "step 2 of k3");
        assert_int_equal(seen_level, LOG_LEVEL_NOTICE);
        assert_int_equal(seen_n, 2);
        assert_string_equal(seen_fields[1].name, "ROTA_STEP");
}

static void test_threshold(void **state) {
        size_t before = seen_lines;

        (void)state;
        log_set_sink(sink);
        log_debug("unseen");
        assert_int_equal(seen_lines, before);
        log_set_level(LOG_LEVEL_DEBUG);
        log_debug("seen");
        assert_int_equal(seen_lines, before + 1);
        log_set_level(LOG_LEVEL_ERROR);
        log_warning("unseen");
        log_error("seen");
        assert_int_equal(seen_lines, before + 2);
        log_set_level(LOG_LEVEL_INFO);
}

static void test_too_much_is_cut(void **state) {
        struct log_field fields[LOG_FIELDS_MAX + 3] = {
                {NULL, NULL}
        };
        static char text[5000];

        (void)state;
        log_set_sink(sink);
        for (size_t i = 0; i < LOG_FIELDS_MAX + 2; i++)
                fields[i] = (struct log_field){"NAME", "value"};
        memset(text, 'x', sizeof(text) - 1);
        log_line(LOG_LEVEL_INFO, fields, "%s", text);
        assert_int_equal(seen_n, LOG_FIELDS_MAX);
        assert_in_range(strlen(seen_text), 1000, 4095);
}

int main(void) {
        const struct CMUnitTest tests[] = {cmocka_unit_test(test_fields),
                                           cmocka_unit_test(test_threshold),
                                           cmocka_unit_test(test_too_much_is_cut)};

        return cmocka_run_group_tests(tests, NULL, NULL);
}
