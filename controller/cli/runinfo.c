#include "controller/cli/runinfo.h"

#include <errno.h>
#include <string.h>

/* A member that may be absent or null. */
static int get_i64(const struct json_at *at, const char *key, bool *ret_has, int64_t *ret) {
        struct json_at member;
        int r = json_get(at, key, &member);

        *ret_has = r == 0;
        if (r == JSON_ABSENT)
                return 0;
        return r != 0 ? r : json_i64(&member, ret);
}

int runinfo_read(const struct json_at *at, struct runinfo *ret) {
        struct runinfo i = {0};
        const struct {
                const char *key;
                const char **value;
        } texts[] = {
                {"run",     &i.run    },
                {"batch",   &i.batch  },
                {"target",  &i.target },
                {"title",   &i.title  },
                {"state",   &i.state  },
                {"verdict", &i.verdict},
                {"cause",   &i.cause  },
                {"refusal", &i.refusal},
                {"by",      &i.by     },
                {"note",    &i.note   },
        };
        const struct {
                const char *key;
                uint64_t *value;
        } numbers[] = {
                {"step",           &i.step          },
                {"of",             &i.of            },
                {"submitted_usec", &i.submitted_usec},
                {"started_usec",   &i.started_usec  },
                {"ended_usec",     &i.ended_usec    },
        };
        int r = 0;

        for (size_t k = 0; k < ARRAY_SIZE(texts) && r == 0; k++)
                r = json_get_str(at, texts[k].key, texts[k].value);
        for (size_t k = 0; k < ARRAY_SIZE(numbers) && r == 0; k++)
                r = json_get_u64(at, numbers[k].key, numbers[k].value);
        if (r == 0)
                r = get_i64(at, "exit", &i.has_exit, &i.exit);
        if (r == 0 && (!i.run || !i.target || !i.state))
                r = json_fail(at, "expected a run with \"run\", \"target\" and \"state\"");
        if (r != 0)
                return r;
        /* "" and absent are the same to people */
        if (i.verdict && !*i.verdict)
                i.verdict = NULL;
        *ret = i;
        return 0;
}

bool runinfo_ended(const struct runinfo *r) {
        return strcmp(r->state, "ended") == 0;
}

const char *runinfo_outcome(const struct runinfo *r) {
        return runinfo_ended(r) && r->verdict ? r->verdict : r->state;
}

enum table_tone runinfo_tone(const struct runinfo *r) {
        if (!runinfo_ended(r) || !r->verdict)
                return TABLE_PLAIN;
        if (strcmp(r->verdict, "passed") == 0)
                return TABLE_GOOD;
        if (strcmp(r->verdict, "failed") == 0)
                return TABLE_BAD;
        return TABLE_WARN;
}

const char *runinfo_why(const struct runinfo *r) {
        if (r->cause && *r->cause)
                return r->cause;
        return r->note ? r->note : "";
}

int runinfo_read_stream(const struct json_at *at, struct runinfo_stream *ret) {
        struct runinfo_stream s = {0};
        struct json_at size;
        int r;

        r = json_get_str(at, "name", &s.name);
        if (r == 0)
                r = json_get_u64(at, "next", &s.next);
        if (r == 0) {
                r = json_get(at, "size", &size);
                s.has_size = r == 0;
                if (r == 0)
                        r = json_u64(&size, &s.size);
                else if (r == JSON_ABSENT)
                        r = 0;
        }
        if (r == 0 && !s.name)
                r = json_fail(at, "expected a stream with \"name\"");
        if (r == 0)
                *ret = s;
        return r;
}

static const char *read_number(const char *text, unsigned *ret) {
        for (*ret = 0; *text >= '0' && *text <= '9' && *ret < 1000; text++)
                *ret = *ret * 10 + (unsigned)(*text - '0');
        return text;
}

unsigned runinfo_order(const char *stream) {
        unsigned step, attempt = 1;
        const char *end = read_number(stream, &step);

        if (end[0] == '.' && end[1] >= '0' && end[1] <= '9')
                end = read_number(end + 1, &attempt);
        return step > 0 && attempt > 0 && strcmp(end, ".out") == 0 ? step * 10000 + attempt : 0;
}

int targetinfo_read(const struct json_at *at, struct targetinfo *ret) {
        struct targetinfo i = {0};
        const struct {
                const char *key;
                const char **value;
        } texts[] = {
                {"name",     &i.name    },
                {"jid",      &i.jid     },
                {"state",    &i.state   },
                {"location", &i.location},
                {"title",    &i.title   },
                {"boot",     &i.boot    },
                {"version",  &i.version },
        };
        const struct {
                const char *key;
                uint64_t *value;
        } numbers[] = {
                {"since_usec",       &i.since_usec      },
                {"last_answer_usec", &i.last_answer_usec},
                {"queue",            &i.queue           },
                {"pending_runs",     &i.pending_runs    },
        };
        int r = 0;

        for (size_t k = 0; k < ARRAY_SIZE(texts) && r == 0; k++)
                r = json_get_str(at, texts[k].key, texts[k].value);
        for (size_t k = 0; k < ARRAY_SIZE(numbers) && r == 0; k++)
                r = json_get_u64(at, numbers[k].key, numbers[k].value);
        if (r == 0)
                r = json_get_bool(at, "online", &i.online);
        if (r == 0 && (!i.name || !i.state))
                r = json_fail(at, "expected a target with \"name\" and \"state\"");
        if (r == 0)
                *ret = i;
        return r;
}

enum table_tone targetinfo_tone(const char *state) {
        static const struct {
                const char *state;
                enum table_tone tone;
        } rows[] = {
                {"ready",       TABLE_GOOD},
                {"busy",        TABLE_WARN},
                {"offline",     TABLE_BAD },
                {"silent",      TABLE_BAD },
                {"suspect",     TABLE_WARN},
                {"quarantined", TABLE_BAD },
                {"rebooting",   TABLE_WARN},
                {"away",        TABLE_WARN},
                {"overdue",     TABLE_BAD },
                {"unknown",     TABLE_WARN},
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (strcmp(rows[i].state, state) == 0)
                        return rows[i].tone;
        return TABLE_PLAIN;
}
