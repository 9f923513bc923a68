#include "tests/support/starve.h"

#include "tests/support/check.h"

#include <errno.h>

#define RUNS_MAX 100000

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t len);

/* How many allocations still succeed; negative: all. */
static long left = -1;
static bool starved;

static bool fails(void) {
        if (left < 0)
                return false;
        if (left-- > 0)
                return false;
        starved = true;
        left = -1;
        errno = ENOMEM;
        return true;
}

void *__wrap_malloc(size_t size) {
        return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size) {
        return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size) {
        return fails() ? NULL : __real_realloc(p, size);
}

char *__wrap_strdup(const char *text) {
        return __wrap_strndup(text, strlen(text));
}

char *__wrap_strndup(const char *text, size_t len) {
        size_t n = strnlen(text, len);
        char *copy = __wrap_malloc(n + 1);

        if (copy) {
                memcpy(copy, text, n);
                copy[n] = '\0';
        }
        return copy;
}

static unsigned each(starve_run *run, void *userdata, bool lenient) {
        for (unsigned n = 0; n < RUNS_MAX; n++) {
                int r;

                starved = false;
                left = (long)n;
                r = run(userdata);
                left = -1;
                if (!starved) {
                        assert_int_equal(r, 0);
                        return n;
                }
                if (!(lenient && r == 0))
                        assert_int_equal(r, -ENOMEM);
        }
        fail_msg("never got through in %d runs", RUNS_MAX);
        return 0;
}

unsigned starve_each(starve_run *run, void *userdata) {
        return each(run, userdata, false);
}

unsigned starve_each_lenient(starve_run *run, void *userdata) {
        return each(run, userdata, true);
}
