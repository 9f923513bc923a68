#include "controller/results/result.h"

#include "proto/base/utf8.h"

#include <math.h>
#include <string.h>

#define NUMBER_MAX 63

const char *result_verdict_name(enum result_verdict v) {
        static const char *const names[RESULT_VERDICTS] = {
                [RESULT_NONE] = "",           [RESULT_PASSED] = "passed",
                [RESULT_SKIPPED] = "skipped", [RESULT_NOT_RUN] = "not-run",
                [RESULT_FAILED] = "failed",   [RESULT_ERROR] = "error",
        };

        return names[v];
}

const char *result_format_name(enum result_format f) {
        static const char *const names[RESULT_FORMATS] = {
                [RESULT_NO_FORMAT] = "",
                [RESULT_TAP] = "tap",
                [RESULT_OCP] = "ocp",
                [RESULT_JUNIT] = "junit",
        };

        return names[f];
}

int result_clip(struct buf *out, const char *text, size_t len, size_t max) {
        size_t used = 0;

        while (len > 0) {
                uint32_t c = 0;
                size_t n = utf8_char(text, len, &c);
                const char *put = n > 0 && c != 0 ? text : UTF8_REPLACEMENT;
                size_t put_len = put == text ? n : strlen(put);

                if (used + put_len > max)
                        return buf_puts(out, "…");
                buf_append(out, put, put_len);
                used += put_len;
                n = n > 0 ? n : 1;
                text += n;
                len -= n;
        }
        return buf_check(out);
}

/* Digits, sign, point and exponent only: strtod() would take "0x1p3", "nan" and "inf" too. */
bool result_number(const char *text, double *ret) {
        size_t len = strlen(text);
        char *end = NULL;
        double value;

        if (len == 0 || len > NUMBER_MAX || strspn(text, "0123456789+-.eE") != len)
                return false;
        value = strtod(text, &end);
        if (*end != '\0' || !isfinite(value))
                return false;
        *ret = value;
        return true;
}

const char *result_text(const struct buf *b) {
        return b->len > 0 ? b->data : NULL;
}
