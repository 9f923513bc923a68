#include "controller/results/ocp.h"

#include "controller/results/ocp_limits.h"
#include "proto/json.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define STEPS_MAX 1000
#define SERIES_MAX 1000
#define ID_TEXT_MAX 100
#define VALIDATORS_MAX 4096

struct ocp_step {
        bool open;
        char *id;
        char *name;
        enum result_verdict told;  /* worst of its diagnoses */
        enum result_verdict worst; /* and of its measurements and errors */
        bool any;                  /* a diagnosis */
        struct buf why;            /* of that worst */
        uint64_t line;
};

/* A series of measurements that has begun. */
struct ocp_series {
        char *step;
        char *id;
        char *name;
        char *unit;
        char *validators; /* JSON */
};

struct ocp {
        struct result_sink sink;
        char *name; /* of the run; NULL before it starts */
        bool ended;
        bool any;                  /* a step */
        enum result_verdict worst; /* of the steps */
        struct buf why;
        struct ocp_step *steps;
        size_t n_steps;
        struct ocp_series *series;
        size_t n_series;
        bool has_sequence;
        uint64_t sequence; /* of the last line */
        uint64_t line;
        uint64_t first;
};

static void step_done(struct ocp_step *s) {
        free(s->id);
        free(s->name);
        buf_done(&s->why);
}

static void series_done(struct ocp_series *s) {
        free(s->step);
        free(s->id);
        free(s->name);
        free(s->unit);
        free(s->validators);
}

int ocp_new(struct ocp **ret, const struct result_sink *sink) {
        struct ocp *o = calloc(1, sizeof(*o));

        if (!o)
                return -ENOMEM;
        o->sink = *sink;
        *ret = o;
        return 0;
}

struct ocp *ocp_free(struct ocp *o) {
        if (!o)
                return NULL;
        for (size_t i = 0; i < o->n_steps; i++)
                step_done(&o->steps[i]);
        for (size_t i = 0; i < o->n_series; i++)
                series_done(&o->series[i]);
        free(o->steps);
        free(o->series);
        free(o->name);
        buf_done(&o->why);
        free(o);
        return NULL;
}

bool ocp_ended(const struct ocp *o) {
        return o->ended;
}

static int ocp_problem(struct ocp *o, const char *text) {
        return o->sink.problem(o->sink.userdata, o->line, text);
}

/* A member that is a string, clipped; NULL when there is none. 0 or -ENOMEM. */
static int ocp_text(const struct json_at *at, const char *key, size_t max, char **ret) {
        CLEANUP(buf_done) struct buf text = {0};
        const char *value = NULL;
        struct json_at member;

        *ret = NULL;
        if (json_get(at, key, &member) != 0 || json_type(&member) != JSON_STRING ||
            json_str(&member, &value) != 0)
                return 0;
        result_clip(&text, value, strlen(value), max);
        buf_append(&text, "", 0);
        if (buf_check(&text) < 0)
                return -ENOMEM;
        *ret = strdup(buf_text(&text));
        return *ret ? 0 : -ENOMEM;
}

static bool ocp_is(const char *text, const char *word) {
        return text && strcmp(text, word) == 0;
}

/* ---- steps ---- */

static struct ocp_step *ocp_find(struct ocp *o, const char *id) {
        for (size_t i = o->n_steps; id && i > 0; i--)
                if (o->steps[i - 1].open && strcmp(o->steps[i - 1].id, id) == 0)
                        return &o->steps[i - 1];
        return NULL;
}

/* A place for one more; NULL with *ret_r. Ended ones are used again. */
static struct ocp_step *ocp_place(struct ocp *o, int *ret_r) {
        struct ocp_step *steps;

        *ret_r = 0;
        for (size_t i = 0; i < o->n_steps; i++)
                if (!o->steps[i].open) {
                        step_done(&o->steps[i]);
                        o->steps[i] = (struct ocp_step){0};
                        return &o->steps[i];
                }
        if (o->n_steps == STEPS_MAX) {
                *ret_r = ocp_problem(o, "too many steps are open at once; this one is left out");
                return NULL;
        }
        steps = realloc(o->steps, (o->n_steps + 1) * sizeof(*steps));
        if (!steps) {
                *ret_r = -ENOMEM;
                return NULL;
        }
        o->steps = steps;
        steps[o->n_steps] = (struct ocp_step){0};
        return &steps[o->n_steps++];
}

static int step_worse(struct ocp_step *s, enum result_verdict v, const char *why) {
        if (v <= s->worst)
                return 0;
        s->worst = v;
        buf_clear(&s->why);
        return buf_puts(&s->why, why ? why : "");
}

static int step_put(struct ocp *o, struct ocp_step *s) {
        struct result r = {.verdict = s->worst, .suite = o->name, .name = s->name, .line = s->line};

        if (buf_check(&s->why) < 0)
                return -ENOMEM;
        r.kind = s->any && s->worst <= s->told ? RESULT_SUITE : RESULT_TEST;
        r.message = result_text(&s->why);
        s->open = false;
        o->any = true;
        o->worst = result_worse(o->worst, s->worst);
        return o->sink.item(o->sink.userdata, &r);
}

static int step_begin(struct ocp *o, const struct json_at *at, const char *id) {
        struct ocp_step *s;
        int r;

        if (!id || ocp_find(o, id))
                return ocp_problem(o, "a step begins without an id of its own");
        s = ocp_place(o, &r);
        if (!s)
                return r;
        s->id = strdup(id);
        r = ocp_text(at, "name", RESULT_NAME_MAX, &s->name);
        if (r == 0 && !s->name) {
                s->name = strdup(id);
                r = s->name ? 0 : -ENOMEM;
        }
        s->open = s->id != NULL;
        s->line = o->line;
        return s->id ? r : -ENOMEM;
}

static int step_end(struct ocp *o, const struct json_at *at, struct ocp_step *s) {
        CLEANUP(mem_free) char *status = NULL;
        int r = ocp_text(at, "status", ID_TEXT_MAX, &status);

        if (r < 0)
                return r;
        if (ocp_is(status, "COMPLETE"))
                r = step_worse(s, RESULT_PASSED, NULL);
        else if (ocp_is(status, "SKIP"))
                r = step_worse(s, RESULT_SKIPPED, "skipped");
        else
                r = step_worse(s, RESULT_ERROR,
                               ocp_is(status, "ERROR") ? "ended with ERROR"
                                                       : "ended without a status");
        return r < 0 ? r : step_put(o, s);
}

static int step_diagnosis(struct ocp *o, const struct json_at *at, struct ocp_step *s) {
        CLEANUP(mem_free) char *verdict = NULL, *type = NULL, *message = NULL;
        struct result item = {.suite = s->name, .line = o->line};
        int r = ocp_text(at, "verdict", RESULT_NAME_MAX, &verdict);

        if (r == 0)
                r = ocp_text(at, "type", ID_TEXT_MAX, &type);
        if (r == 0)
                r = ocp_text(at, "message", RESULT_TEXT_MAX, &message);
        if (r < 0)
                return r;
        item.name = verdict ? verdict : "diagnosis";
        item.message = message;
        if (ocp_is(type, "PASS"))
                item.verdict = RESULT_PASSED;
        else if (ocp_is(type, "FAIL"))
                item.verdict = RESULT_FAILED;
        else if (ocp_is(type, "UNKNOWN"))
                item.verdict = RESULT_SKIPPED;
        else
                return ocp_problem(o, "a diagnosis that is neither PASS, FAIL nor UNKNOWN");
        if (item.verdict == RESULT_SKIPPED && !message)
                item.message = "unknown";
        s->any = true;
        s->told = result_worse(s->told, item.verdict);
        if (step_worse(s, item.verdict, message ? message : verdict) < 0)
                return -ENOMEM;
        return o->sink.item(o->sink.userdata, &item);
}

/* ---- measurements ---- */

static int measured(struct ocp *o, struct ocp_step *s, const char *name, const char *unit,
                    const struct json_at *value, const struct json_at *validators) {
        CLEANUP(buf_done) struct buf text = {0}, limits = {0}, why = {0};
        struct result item = {.kind = RESULT_MEASUREMENT,
                              .suite = s->name,
                              .name = name,
                              .unit = unit,
                              .line = o->line};

        ocp_value(value, &text);
        item.verdict = ocp_judge(value, validators, &limits);
        if (buf_check(&text) < 0 || buf_check(&limits) < 0)
                return -ENOMEM;
        if (json_type(value) == JSON_NUMBER)
                item.has_number = json_double(value, &item.number) == 0;
        item.value = buf_text(&text);
        item.limits = result_text(&limits);
        if (item.verdict == RESULT_FAILED) {
                buf_printf(&why, "%s is %s%s%s, expected %s", name, item.value, unit ? " " : "",
                           unit ? unit : "", buf_text(&limits));
                if (buf_check(&why) < 0 || step_worse(s, RESULT_FAILED, why.data) < 0)
                        return -ENOMEM;
        }
        return o->sink.item(o->sink.userdata, &item);
}

static int measurement(struct ocp *o, const struct json_at *at, struct ocp_step *s) {
        CLEANUP(mem_free) char *name = NULL, *unit = NULL;
        struct json_at value, validators;
        bool limited;
        int r = ocp_text(at, "name", RESULT_NAME_MAX, &name);

        if (r == 0)
                r = ocp_text(at, "unit", ID_TEXT_MAX, &unit);
        if (r < 0)
                return r;
        if (!name || json_get(at, "value", &value) != 0)
                return ocp_problem(o, "a measurement without name or value");
        limited = json_get(at, "validators", &validators) == 0;
        return measured(o, s, name, unit, &value, limited ? &validators : NULL);
}

static struct ocp_series *series_find(struct ocp *o, const char *step, const char *id) {
        for (size_t i = 0; id && i < o->n_series; i++)
                if (strcmp(o->series[i].id, id) == 0 && strcmp(o->series[i].step, step) == 0)
                        return &o->series[i];
        return NULL;
}

static void series_drop(struct ocp *o, struct ocp_series *s) {
        series_done(s);
        *s = o->series[--o->n_series];
}

static int series_begin(struct ocp *o, const struct json_at *at, const struct ocp_step *step) {
        struct ocp_series s = {0}, *all, *same;
        struct json_at validators;
        int r;

        if (o->n_series == SERIES_MAX)
                return ocp_problem(o, "too many series are open at once; this one is left out");
        r = ocp_text(at, "measurementSeriesId", ID_TEXT_MAX, &s.id);
        if (r == 0)
                r = ocp_text(at, "name", RESULT_NAME_MAX, &s.name);
        if (r == 0)
                r = ocp_text(at, "unit", ID_TEXT_MAX, &s.unit);
        if (r == 0 && (!s.id || !s.name)) {
                series_done(&s);
                return ocp_problem(o, "a series of measurements without id or name");
        }
        s.step = r == 0 ? strdup(step->id) : NULL;
        if (r == 0 && json_get(at, "validators", &validators) == 0) {
                CLEANUP(buf_done) struct buf text = {0};

                r = json_print(&validators, &text);
                if (r == 0 && text.len <= VALIDATORS_MAX) {
                        s.validators = buf_steal(&text);
                        r = s.validators ? 0 : -ENOMEM;
                }
        }
        all = r == 0 && s.step ? realloc(o->series, (o->n_series + 1) * sizeof(*all)) : NULL;
        if (!all) {
                series_done(&s);
                return -ENOMEM;
        }
        o->series = all;
        same = series_find(o, s.step, s.id);
        if (same)
                series_drop(o, same);
        all[o->n_series++] = s;
        return 0;
}

static int series_element(struct ocp *o, const struct json_at *at, struct ocp_step *step) {
        CLEANUP(mem_free) char *id = NULL;
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(buf_done) struct buf name = {0};
        struct json_at value, validators = {0};
        const struct ocp_series *s;
        uint64_t index = 0;
        int r = ocp_text(at, "measurementSeriesId", ID_TEXT_MAX, &id);

        if (r < 0)
                return r;
        s = series_find(o, step->id, id);
        if (!s || json_get(at, "value", &value) != 0)
                return ocp_problem(o, "a measurement of a series that has not begun");
        (void)json_get_u64(at, "index", &index);
        if (s->validators) {
                r = json_parse(&doc, "validators", s->validators, strlen(s->validators));
                if (r < 0)
                        return r;
                validators = json_root(doc);
        }
        buf_printf(&name, "%s[%" PRIu64 "]", s->name, index);
        if (buf_check(&name) < 0)
                return -ENOMEM;
        return measured(o, step, name.data, s->unit, &value, doc ? &validators : NULL);
}

static int series_end(struct ocp *o, const struct json_at *at, const struct ocp_step *step) {
        CLEANUP(mem_free) char *id = NULL;
        int r = ocp_text(at, "measurementSeriesId", ID_TEXT_MAX, &id);
        struct ocp_series *s = r == 0 ? series_find(o, step->id, id) : NULL;

        if (s)
                series_drop(o, s);
        return r;
}

/* ---- artifacts ---- */

static int step_error(const struct json_at *at, struct buf *out) {
        CLEANUP(mem_free) char *symptom = NULL, *message = NULL;
        int r = ocp_text(at, "symptom", ID_TEXT_MAX, &symptom);

        if (r == 0)
                r = ocp_text(at, "message", RESULT_TEXT_MAX, &message);
        if (r < 0)
                return r;
        buf_printf(out, "%s%s%s", symptom ? symptom : "error", message ? ": " : "",
                   message ? message : "");
        return buf_check(out);
}

static int ocp_step(struct ocp *o, const struct json_at *at) {
        CLEANUP(mem_free) char *id = NULL;
        struct ocp_step *s;
        struct json_at what;
        int r = ocp_text(at, "testStepId", ID_TEXT_MAX, &id);

        if (r < 0)
                return r;
        if (json_get(at, "testStepStart", &what) == 0)
                return step_begin(o, &what, id);
        s = ocp_find(o, id);
        if (!s)
                return ocp_problem(o, "something of a step that has not begun");
        if (json_get(at, "testStepEnd", &what) == 0)
                return step_end(o, &what, s);
        if (json_get(at, "diagnosis", &what) == 0)
                return step_diagnosis(o, &what, s);
        if (json_get(at, "measurement", &what) == 0)
                return measurement(o, &what, s);
        if (json_get(at, "measurementSeriesStart", &what) == 0)
                return series_begin(o, &what, s);
        if (json_get(at, "measurementSeriesElement", &what) == 0)
                return series_element(o, &what, s);
        if (json_get(at, "measurementSeriesEnd", &what) == 0)
                return series_end(o, &what, s);
        if (json_get(at, "error", &what) == 0) {
                CLEANUP(buf_done) struct buf why = {0};

                r = step_error(&what, &why);
                if (r == 0)
                        r = step_worse(s, RESULT_ERROR, buf_text(&why));
                return r;
        }
        return 0; /* log, file, extension */
}

/* Everything that is open has not ended. */
static int ocp_cut(struct ocp *o, enum result_verdict v, const char *why) {
        int r = 0;

        for (size_t i = 0; i < o->n_steps && r == 0; i++)
                if (o->steps[i].open) {
                        o->steps[i].worst = RESULT_NONE;
                        r = step_worse(&o->steps[i], v, why);
                        r = r < 0 ? r : step_put(o, &o->steps[i]);
                }
        return r;
}

static int run_put(struct ocp *o, enum result_verdict v, const char *message) {
        struct result item = {.verdict = v,
                              .name = o->name ? o->name : "(run)",
                              .message = message,
                              .line = o->first};

        item.kind = o->any && v <= o->worst ? RESULT_SUITE : RESULT_TEST;
        o->ended = true;
        return o->sink.item(o->sink.userdata, &item);
}

static int run_end(struct ocp *o, const struct json_at *at) {
        CLEANUP(mem_free) char *status = NULL, *result = NULL;
        enum result_verdict v = RESULT_ERROR;
        const char *why = result_text(&o->why);
        int r = ocp_text(at, "status", ID_TEXT_MAX, &status);

        if (r == 0)
                r = ocp_text(at, "result", ID_TEXT_MAX, &result);
        if (r == 0)
                r = ocp_cut(o, RESULT_ERROR, "the run ended before this step did");
        if (r < 0)
                return r;
        if (ocp_is(status, "SKIP"))
                v = RESULT_SKIPPED;
        else if (ocp_is(status, "COMPLETE") && ocp_is(result, "PASS"))
                v = RESULT_PASSED;
        else if (ocp_is(status, "COMPLETE") && ocp_is(result, "FAIL"))
                v = RESULT_FAILED;
        else if (ocp_is(status, "COMPLETE") && ocp_is(result, "NOT_APPLICABLE"))
                v = RESULT_SKIPPED;
        else if (!ocp_is(status, "ERROR"))
                r = ocp_problem(o, "the run ends without a known status and result");
        if (v == RESULT_SKIPPED && !why)
                why = ocp_is(status, "SKIP") ? "skipped" : "not applicable";
        if (v == RESULT_ERROR && !why)
                why = "ended with ERROR";
        return r != 0 ? r : run_put(o, v, why);
}

static int ocp_run(struct ocp *o, const struct json_at *at) {
        struct json_at what;
        int r = 0;

        if (json_get(at, "testRunStart", &what) == 0) {
                if (o->name)
                        return ocp_problem(o, "a second run begins before the first has ended");
                o->first = o->line;
                r = ocp_text(&what, "name", RESULT_NAME_MAX, &o->name);
                if (r == 0 && !o->name) {
                        o->name = strdup("(run)");
                        r = o->name ? 0 : -ENOMEM;
                }
                return r;
        }
        if (json_get(at, "testRunEnd", &what) == 0)
                return run_end(o, &what);
        if (json_get(at, "error", &what) == 0 && o->why.len == 0)
                r = step_error(&what, &o->why);
        return r;
}

/* Numbers that jump are lines that are missing. */
static int ocp_sequence(struct ocp *o, const struct json_at *root) {
        CLEANUP(buf_done) struct buf text = {0};
        struct json_at at;
        uint64_t n = 0;
        int r = 0;

        if (json_get(root, "sequenceNumber", &at) != 0 || json_type(&at) != JSON_NUMBER ||
            json_u64(&at, &n) != 0)
                return 0;
        if (o->has_sequence && n != o->sequence + 1) {
                buf_printf(&text, "line %" PRIu64 " follows line %" PRIu64 ": some are missing", n,
                           o->sequence);
                r = buf_check(&text) < 0 ? -ENOMEM : ocp_problem(o, text.data);
        }
        o->has_sequence = true;
        o->sequence = n;
        return r;
}

int ocp_begins(const char *line, size_t len, bool *ret) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root, at, inner;
        int r;

        *ret = false;
        if (len == 0 || *line != '{' || len > RESULT_LINE_MAX ||
            (!memmem(line, len, "\"schemaVersion\"", 15) &&
             !memmem(line, len, "\"testRunStart\"", 14)))
                return 0;
        r = json_parse(&doc, "line", line, len);
        if (r != 0)
                return r < 0 ? r : 0;
        root = json_root(doc);
        if (json_get(&root, "testRunArtifact", &at) == 0)
                *ret = json_get(&at, "testRunStart", &inner) == 0;
        else
                *ret = json_get(&root, "schemaVersion", &at) == 0 &&
                       json_type(&at) == JSON_OBJECT && json_get(&at, "major", &inner) == 0 &&
                       json_type(&inner) == JSON_NUMBER &&
                       json_get(&root, "sequenceNumber", &inner) == 0;
        return 0;
}

int ocp_line(struct ocp *o, const char *line, size_t len, uint64_t number) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root, at;
        int r;

        o->line = number;
        while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == ' '))
                len--;
        if (len == 0 || *line != '{' || o->ended)
                return 0;
        r = json_parse(&doc, "line", line, len);
        if (r < 0)
                return r;
        if (r > 0)
                return ocp_problem(o, "a line begins as JSON and is none");
        root = json_root(doc);
        r = ocp_sequence(o, &root);
        if (r == 0 && json_get(&root, "testRunArtifact", &at) == 0)
                return ocp_run(o, &at);
        if (r == 0 && json_get(&root, "testStepArtifact", &at) == 0)
                return ocp_step(o, &at);
        return r;
}

int ocp_finish(struct ocp *o, const struct result_end *end) {
        CLEANUP(buf_done) struct buf why = {0};
        enum result_verdict v = end->not_run ? RESULT_NOT_RUN : RESULT_ERROR;
        int r;

        if (o->ended || end->open)
                return 0;
        buf_printf(&why, "cut short: no testRunEnd came%s%s", end->not_run ? "; " : "",
                   end->not_run ? end->not_run : "");
        if (buf_check(&why) < 0)
                return -ENOMEM;
        r = ocp_cut(o, v, "cut short: no testStepEnd came");
        return r != 0 ? r : run_put(o, v, why.data);
}
