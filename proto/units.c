#include "proto/units.h"

#include "proto/base/clock.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define FRACTION_DIGITS 9

struct number {
        uint64_t whole;
        uint64_t fraction; /* of scale */
        uint64_t scale;    /* a power of ten */
};

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

/* Digits, a point and digits. Returns what follows, or NULL. */
static const char *parse_number(const char *text, struct number *ret) {
        *ret = (struct number){.scale = 1};
        if (!is_digit(*text))
                return NULL;
        for (; is_digit(*text); text++) {
                uint64_t digit = (uint64_t)(*text - '0');

                if (ret->whole > (UINT64_MAX - digit) / 10)
                        return NULL;
                ret->whole = ret->whole * 10 + digit;
        }
        if (*text != '.')
                return text;
        text++;
        if (!is_digit(*text))
                return NULL;
        for (size_t n = 0; is_digit(*text); text++, n++)
                if (n < FRACTION_DIGITS) {
                        ret->fraction = ret->fraction * 10 + (uint64_t)(*text - '0');
                        ret->scale *= 10;
                }
        return text;
}

/* Returns 0, or 1 beyond 64 bits. */
static int number_times(const struct number *n, uint64_t unit, uint64_t *ret) {
        unsigned __int128 value = (unsigned __int128)n->whole * unit +
                                  (unsigned __int128)n->fraction * unit / n->scale;

        if (value > UINT64_MAX)
                return 1;
        *ret = (uint64_t)value;
        return 0;
}

static const char *skip_blanks(const char *text) {
        return text + strspn(text, " ");
}

struct unit {
        const char *name;
        uint64_t usec;
};

static const struct unit durations[] = {
        {"us", 1                     },
        {"ms", USEC_PER_MSEC         },
        {"s",  USEC_PER_SEC          },
        {"m",  USEC_PER_MINUTE       },
        {"h",  USEC_PER_HOUR         },
        {"d",  24 * USEC_PER_HOUR    },
        {"w",  7 * 24 * USEC_PER_HOUR},
};

static const struct unit *duration_unit(const char *text, size_t len) {
        for (size_t i = 0; i < ARRAY_SIZE(durations); i++)
                if (strlen(durations[i].name) == len && strncmp(durations[i].name, text, len) == 0)
                        return &durations[i];
        return NULL;
}

int units_parse_duration(const char *text, uint64_t *ret_usec) {
        uint64_t sum = 0;
        bool first = true;

        text = skip_blanks(text);
        do {
                const struct unit *unit;
                struct number n;
                uint64_t part;
                size_t len;

                text = parse_number(text, &n);
                if (!text)
                        return 1;
                text = skip_blanks(text);
                len = strspn(text, "abcdefghijklmnopqrstuvwxyz");
                unit = len > 0 ? duration_unit(text, len) : NULL;
                if (len == 0 && first && *text == '\0')
                        unit = duration_unit("s", 1);
                if (!unit || number_times(&n, unit->usec, &part) != 0 || part > UINT64_MAX - sum)
                        return 1;
                sum += part;
                first = false;
                text = skip_blanks(text + len);
        } while (*text != '\0');
        *ret_usec = sum;
        return 0;
}

int units_parse_bytes(const char *text, uint64_t *ret) {
        static const char powers[] = "kmgt";
        struct number n;
        uint64_t unit = 1, value;

        text = parse_number(skip_blanks(text), &n);
        if (!text)
                return 1;
        text = skip_blanks(text);
        if (*text != '\0' && *text != 'B') {
                const char *at = strchr(powers, *text | 0x20);

                if (!at)
                        return 1;
                unit = UINT64_C(1) << (10 * (at - powers + 1));
                text++;
                if (*text == 'i' && text[1] == 'B')
                        text++;
        }
        if (*text == 'B')
                text++;
        if (*skip_blanks(text) != '\0' || number_times(&n, unit, &value) != 0)
                return 1;
        *ret = value;
        return 0;
}

static int print_two(struct buf *out, uint64_t big, const char *big_unit, uint64_t small,
                     const char *small_unit) {
        if (small == 0)
                return buf_printf(out, "%" PRIu64 "%s", big, big_unit);
        return buf_printf(out, "%" PRIu64 "%s %" PRIu64 "%s", big, big_unit, small, small_unit);
}

int units_print_duration(struct buf *out, uint64_t usec) {
        uint64_t s;

        if (usec == 0)
                return buf_puts(out, "0s");
        if (usec < USEC_PER_MSEC)
                return buf_printf(out, "%" PRIu64 " us", usec);
        if (usec < USEC_PER_SEC)
                return buf_printf(out, "%" PRIu64 " ms", usec / USEC_PER_MSEC);
        if (usec < 10 * USEC_PER_SEC)
                return buf_printf(out, "%" PRIu64 ".%" PRIu64 "s", usec / USEC_PER_SEC,
                                  usec % USEC_PER_SEC / (USEC_PER_SEC / 10));
        s = usec / USEC_PER_SEC;
        if (s < 60)
                return buf_printf(out, "%" PRIu64 "s", s);
        if (s < 3600)
                return print_two(out, s / 60, "m", s % 60, "s");
        if (s < 86400)
                return print_two(out, s / 3600, "h", s % 3600 / 60, "m");
        return print_two(out, s / 86400, "d", s % 86400 / 3600, "h");
}

int units_print_bytes(struct buf *out, uint64_t bytes) {
        static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
        uint64_t unit = 1024, tenths;
        size_t i = 0;

        if (bytes < 1024)
                return buf_printf(out, "%" PRIu64 " B", bytes);
        while (i + 1 < ARRAY_SIZE(units) && bytes / 1024 >= unit) {
                unit *= 1024;
                i++;
        }
        tenths = (uint64_t)(((unsigned __int128)bytes * 10 + unit / 2) / unit);
        if (tenths >= 10240 && i + 1 < ARRAY_SIZE(units)) {
                tenths = 10;
                i++;
        }
        if (tenths % 10 == 0)
                return buf_printf(out, "%" PRIu64 " %s", tenths / 10, units[i]);
        return buf_printf(out, "%" PRIu64 ".%" PRIu64 " %s", tenths / 10, tenths % 10, units[i]);
}
