#include "proto/base/nearest.h"

#include <stddef.h>
#include <string.h>

#define WORD_MAX 64

unsigned nearest_distance(const char *a, const char *b) {
        size_t n_a = strnlen(a, WORD_MAX + 1), n_b = strnlen(b, WORD_MAX + 1);
        unsigned row[WORD_MAX + 1];

        if (n_a > WORD_MAX || n_b > WORD_MAX)
                return NEAREST_FAR;
        for (size_t j = 0; j <= n_b; j++)
                row[j] = (unsigned)j;
        for (size_t i = 1; i <= n_a; i++) {
                unsigned diagonal = row[0];

                row[0] = (unsigned)i;
                for (size_t j = 1; j <= n_b; j++) {
                        unsigned best = diagonal + (a[i - 1] != b[j - 1]);

                        diagonal = row[j];
                        if (row[j] + 1 < best)
                                best = row[j] + 1;
                        if (row[j - 1] + 1 < best)
                                best = row[j - 1] + 1;
                        row[j] = best;
                }
        }
        return row[n_b];
}

const char *nearest(const char *word, const char *const *names) {
        const char *found = NULL;
        unsigned found_distance = NEAREST_FAR;

        for (; *names; names++) {
                unsigned d = nearest_distance(word, *names);

                if (d < found_distance && d <= 1 + strlen(*names) / 3) {
                        found = *names;
                        found_distance = d;
                }
        }
        return found;
}
