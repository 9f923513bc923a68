#include "controller/results/ocp_limits.h"

#include <string.h>

#define VALUE_MAX 200
#define VALIDATORS_MAX 32
#define LIMITS_MAX 1000

enum order {
        LESS,
        SAME,
        MORE,
        DIFFERENT, /* neither is more */
        UNKNOWN,
};

int ocp_value(const struct json_at *value, struct buf *out) {
        CLEANUP(buf_done) struct buf text = {0};
        const char *string = NULL;

        if (json_type(value) == JSON_STRING && json_str(value, &string) == 0)
                return result_clip(out, string, strlen(string), VALUE_MAX);
        if (json_print(value, &text) < 0)
                out->failed = true;
        return result_clip(out, buf_text(&text), text.len, VALUE_MAX);
}

static enum order compare(const struct json_at *a, const struct json_at *b) {
        enum json_type type = json_type(a);
        const char *s = NULL, *t = NULL;
        double x = 0, y = 0;
        bool p = false, q = false;

        if (type != json_type(b))
                return UNKNOWN;
        if (type == JSON_NUMBER && json_double(a, &x) == 0 && json_double(b, &y) == 0)
                return x < y ? LESS : x > y ? MORE : SAME;
        if (type == JSON_STRING && json_str(a, &s) == 0 && json_str(b, &t) == 0)
                return strcmp(s, t) == 0 ? SAME : DIFFERENT;
        if (type == JSON_BOOL && json_bool(a, &p) == 0 && json_bool(b, &q) == 0)
                return p == q ? SAME : DIFFERENT;
        return UNKNOWN;
}

/* Whether @value is one of @set; UNKNOWN when that is no list. */
static enum order find(const struct json_at *value, const struct json_at *set) {
        struct json_at at;

        if (json_type(set) != JSON_ARRAY)
                return UNKNOWN;
        for (size_t i = 0; i < json_length(set); i++)
                if (json_item(set, i, &at) == 0 && compare(value, &at) == SAME)
                        return SAME;
        return DIFFERENT;
}

static const struct rule {
        const char *type;
        const char *sign;
        bool set;
        bool ordered;   /* has no meaning for what is only different */
        unsigned holds; /* in which orders of value to limit */
} rules[] = {
        {"EQUAL",                 "=",           false, false, 1 << SAME                             },
        {"NOT_EQUAL",             "!=",          false, false, 1 << LESS | 1 << MORE | 1 << DIFFERENT},
        {"LESS_THAN",             "<",           false, true,  1 << LESS                             },
        {"LESS_THAN_OR_EQUAL",    "<=",          false, true,  1 << LESS | 1 << SAME                 },
        {"GREATER_THAN",          ">",           false, true,  1 << MORE                             },
        {"GREATER_THAN_OR_EQUAL", ">=",          false, true,  1 << MORE | 1 << SAME                 },
        {"IN_SET",                "in",          true,  false, 1 << SAME                             },
        {"NOT_IN_SET",            "not in",      true,  false, 1 << DIFFERENT                        },
        {"REGEX_MATCH",           "matches",     false, false, 0                                     },
        {"REGEX_NO_MATCH",        "matches not", false, false, 0                                     },
};

static const struct rule *rule_of(const struct json_at *validator) {
        const char *type = NULL;
        struct json_at at;

        if (json_get(validator, "type", &at) != 0 || json_type(&at) != JSON_STRING ||
            json_str(&at, &type) != 0)
                return NULL;
        for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
                if (strcmp(rules[i].type, type) == 0)
                        return &rules[i];
        return NULL;
}

enum result_verdict ocp_judge(const struct json_at *value, const struct json_at *validators,
                              struct buf *limits) {
        enum result_verdict v = RESULT_PASSED;
        size_t n = validators && json_type(validators) == JSON_ARRAY ? json_length(validators) : 0;

        for (size_t i = 0; i < n && i < VALIDATORS_MAX; i++) {
                const struct rule *rule;
                struct json_at at, limit;
                enum order order;

                if (json_item(validators, i, &at) != 0)
                        continue;
                rule = rule_of(&at);
                if (!rule || json_get(&at, "value", &limit) != 0) {
                        v = v == RESULT_PASSED ? RESULT_NONE : v;
                        continue;
                }
                if (limits->len < LIMITS_MAX) {
                        buf_printf(limits, "%s%s ", limits->len > 0 ? ", " : "", rule->sign);
                        ocp_value(&limit, limits);
                }
                order = rule->set ? find(value, &limit) : compare(value, &limit);
                if (rule->holds == 0 || order == UNKNOWN || (rule->ordered && order == DIFFERENT))
                        v = v == RESULT_PASSED ? RESULT_NONE : v;
                else if (!(rule->holds & 1U << order))
                        v = RESULT_FAILED;
        }
        return n > 0 ? v : RESULT_NONE;
}
