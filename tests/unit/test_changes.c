#include "tests/support/check.h"
#include "tests/support/starve.h"

#include "controller/cli/changes.h"

#include <errno.h>

/* A listing "a=1 b=2": what is told of it, joined by blanks; gone ones with a minus. */
static int list(struct changes *c, const char *listing, char *ret, size_t size) {
        char *copy = strdup(listing), *rest = copy, *word;
        const char *gone;
        int r;

        if (!copy)
                return -ENOMEM;
        ret[0] = '\0';
        while ((word = strsep(&rest, " "))) {
                char *text = strchr(word, '=');

                if (!text)
                        continue;
                *text++ = '\0';
                while ((gone = changes_gone(c, word)))
                        snprintf(ret + strlen(ret), size - strlen(ret), "-%s ", gone);
                if (changes_put(c, word, text))
                        snprintf(ret + strlen(ret), size - strlen(ret), "%s=%s ", word, text);
        }
        while ((gone = changes_gone(c, NULL)))
                snprintf(ret + strlen(ret), size - strlen(ret), "-%s ", gone);
        r = changes_end(c);
        free(copy);
        return r;
}

static void tells_what_changed(void **state) {
        static const struct {
                const char *listing;
                const char *told;
        } rows[] = {
                {"",            ""                },
                {"pc1=a pc2=b", "pc1=a pc2=b "    },
                {"pc1=a pc2=b", ""                },
                {"pc1=a pc2=c", "pc2=c "          },
                {"pc0=z pc1=a", "pc0=z -pc2 "     },
                {"pc1=b",       "-pc0 pc1=b "     },
                {"pc1=b pc2=c", "pc2=c "          },
                {"pc3=d",       "-pc1 -pc2 pc3=d "},
                {"",            "-pc3 "           },
                {"",            ""                },
        };
        CLEANUP(changes_done) struct changes c = {0};
        char told[200];

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                assert_int_equal(list(&c, rows[i].listing, told, sizeof(told)), 0);
                assert_string_equal(told, rows[i].told);
        }
}

static int starved(void *userdata) {
        CLEANUP(changes_done) struct changes c = {0};
        char told[200];
        int r = list(&c, "pc1=a pc2=b", told, sizeof(told));

        (void)userdata;
        return r == 0 ? list(&c, "pc2=c", told, sizeof(told)) : r;
}

static void survives_without_memory(void **state) {
        (void)state;
        assert_true(starve_each(starved, NULL) > 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(tells_what_changed),
                cmocka_unit_test(survives_without_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
