#include "controller/results/junit.h"

#include <errno.h>
#include <expat.h>
#include <inttypes.h>
#include <string.h>

#define COUNTS_MAX UINT64_C(1000000000)

/* A testsuite that is open. */
struct suite {
        struct buf name;
        unsigned depth;
        bool counted; /* says how many tests it has */
        uint64_t says;
        uint64_t tests;
};

struct junit {
        struct result_sink sink;
        XML_Parser parser;
        uint64_t line;
        unsigned depth;
        struct suite suites[JUNIT_DEPTH_MAX];
        unsigned n_suites;
        unsigned in_case; /* its depth; 0: none */
        unsigned taking;  /* depth of the element whose text is the details */
        struct result item;
        struct buf name;
        struct buf class;
        struct buf message;
        struct buf details;
        size_t silent; /* bytes since expat last had something to say */
        bool begun;    /* the root is one of ours */
        bool other;
        bool complete;
        bool broken;
        int error; /* -ENOMEM */
};

static void stop(struct junit *j) {
        XML_StopParser(j->parser, XML_FALSE);
}

static void check(struct junit *j, int r) {
        if (r < 0 && j->error == 0) {
                j->error = r;
                stop(j);
        }
}

static uint64_t line_of(const struct junit *j) {
        return j->line + XML_GetCurrentLineNumber(j->parser) - 1;
}

/* Something is wrong with the document itself: nothing more is read of it. */
static void broken(struct junit *j, const char *text) {
        if (j->broken)
                return;
        j->broken = true;
        if (j->begun)
                check(j, j->sink.problem(j->sink.userdata, line_of(j), text));
        stop(j);
}

static const char *attr(const char **attrs, const char *name) {
        for (; *attrs; attrs += 2)
                if (strcmp(attrs[0], name) == 0)
                        return attrs[1];
        return NULL;
}

static void take(struct junit *j, struct buf *out, const char *text, size_t max) {
        buf_clear(out);
        if (text)
                result_clip(out, text, strlen(text), max);
        check(j, buf_check(out));
}

static bool one_of(const char *name, const char *const *names) {
        for (; *names; names++)
                if (strcmp(name, *names) == 0)
                        return true;
        return false;
}

/* ---- suites ---- */

static void suite_begin(struct junit *j, const char **attrs) {
        struct suite *s = &j->suites[j->n_suites];
        const char *tests = attr(attrs, "tests");
        double n = 0;

        j->n_suites++; /* never more than the depth */
        s->depth = j->depth;
        s->tests = 0;
        s->counted = tests && result_number(tests, &n) && n >= 0 && n < (double)COUNTS_MAX;
        s->says = s->counted ? (uint64_t)n : 0;
        take(j, &s->name, attr(attrs, "name"), RESULT_NAME_MAX);
}

static void suite_end(struct junit *j) {
        struct suite *s = &j->suites[--j->n_suites];
        CLEANUP(buf_done) struct buf text = {0};

        if (j->n_suites > 0)
                j->suites[j->n_suites - 1].tests += s->tests;
        if (!s->counted || s->says == s->tests)
                return;
        buf_printf(&text, "the suite \"%s\" says %" PRIu64 " tests and has %" PRIu64,
                   buf_text(&s->name), s->says, s->tests);
        check(j, buf_check(&text));
        if (j->error == 0)
                check(j, j->sink.problem(j->sink.userdata, line_of(j), buf_text(&text)));
}

/* ---- cases ---- */

static void put(struct junit *j, const struct result *item) {
        CLEANUP(buf_done) struct buf suite = {0};
        struct result r = *item;

        for (unsigned i = 0; i < j->n_suites; i++)
                if (j->suites[i].name.len > 0) {
                        if (suite.len > 0)
                                buf_puts(&suite, " / ");
                        result_clip(&suite, j->suites[i].name.data, j->suites[i].name.len,
                                    RESULT_NAME_MAX / 4);
                }
        /* most writers repeat the suite's name here */
        if (j->class.len > 0 &&
            (j->n_suites == 0 ||
             strcmp(j->class.data, buf_text(&j->suites[j->n_suites - 1].name)) != 0))
                buf_printf(&suite, "%s%s", suite.len > 0 ? " / " : "", j->class.data);
        check(j, buf_check(&suite));
        r.suite = result_text(&suite);
        if (j->error == 0)
                check(j, j->sink.item(j->sink.userdata, &r));
}

static void case_begin(struct junit *j, const char **attrs) {
        static const char *const idle[] = {"notrun", "disabled", "skipped", "suppressed", NULL};
        const char *status = attr(attrs, "status"), *result = attr(attrs, "result");
        const char *class = attr(attrs, "classname"), *time = attr(attrs, "time");

        j->in_case = j->depth;
        j->item = (struct result){.verdict = RESULT_PASSED, .line = line_of(j)};
        take(j, &j->name, attr(attrs, "name"), RESULT_NAME_MAX);
        take(j, &j->class, class, RESULT_NAME_MAX);
        buf_clear(&j->message);
        buf_clear(&j->details);
        if ((status && one_of(status, idle)) || (result && one_of(result, idle)))
                j->item.verdict = RESULT_SKIPPED;
        if (status && strcmp(status, "fail") == 0) /* CTest */
                j->item.verdict = RESULT_FAILED;
        if (time)
                j->item.has_seconds = result_number(time, &j->item.seconds);
}

static void case_end(struct junit *j) {
        check(j, buf_check(&j->message));
        check(j, buf_check(&j->details));
        if (j->error != 0)
                return;
        if (j->n_suites > 0)
                j->suites[j->n_suites - 1].tests++;
        j->item.name = j->name.len > 0 ? j->name.data : "(unnamed)";
        j->item.message = result_text(&j->message);
        j->item.details = result_text(&j->details);
        if (j->item.message && j->item.details && strcmp(j->item.message, j->item.details) == 0)
                j->item.details = NULL;
        put(j, &j->item);
        j->in_case = j->taking = 0;
        buf_clear(&j->class);
}

/* What the machine says of a test: <property name value>, within a testcase. */
static void property(struct junit *j, const char **attrs) {
        const char *name = attr(attrs, "name"), *value = attr(attrs, "value");
        CLEANUP(buf_done) struct buf n = {0}, v = {0};
        struct result item = {.kind = RESULT_MEASUREMENT, .line = line_of(j)};

        if (!name || !value)
                return;
        result_clip(&n, name, strlen(name), RESULT_NAME_MAX);
        result_clip(&v, value, strlen(value), RESULT_NAME_MAX);
        check(j, buf_check(&n));
        check(j, buf_check(&v));
        if (j->error != 0)
                return;
        item.name = buf_text(&n);
        item.value = buf_text(&v);
        item.has_number = result_number(item.value, &item.number);
        put(j, &item);
}

static void verdict(struct junit *j, enum result_verdict v, const char **attrs) {
        const char *message = attr(attrs, "message"), *type = attr(attrs, "type");

        /* several failures of one test: the first message, all their text */
        j->item.verdict = j->item.verdict == RESULT_SKIPPED ? v : result_worse(j->item.verdict, v);
        if (j->message.len == 0)
                take(j, &j->message, message && *message ? message : type, RESULT_TEXT_MAX);
        j->taking = j->depth;
}

static void on_start(void *userdata, const XML_Char *name, const XML_Char **attrs) {
        struct junit *j = userdata;
        size_t n = 0;

        j->silent = 0;
        while (attrs[n])
                n += 2;
        if (j->broken || j->error != 0)
                return;
        if (j->depth == 0) {
                static const char *const roots[] = {"testsuites", "testsuite", NULL};

                j->begun = one_of(name, roots);
                j->other = !j->begun;
                if (j->other)
                        return stop(j);
        }
        if (j->depth == JUNIT_DEPTH_MAX)
                return broken(j, "elements are nested too deep; the rest is not read");
        if (n / 2 > JUNIT_ATTRS_MAX)
                return broken(j, "an element has too many attributes; the rest is not read");
        j->depth++;
        if (j->in_case == 0) {
                if (strcmp(name, "testsuite") == 0 || strcmp(name, "testsuites") == 0)
                        suite_begin(j, attrs);
                else if (strcmp(name, "testcase") == 0)
                        case_begin(j, attrs);
                return;
        }
        if (strcmp(name, "property") == 0)
                property(j, attrs);
        if (j->depth != j->in_case + 1)
                return;
        if (strcmp(name, "failure") == 0)
                verdict(j, RESULT_FAILED, attrs);
        else if (strcmp(name, "error") == 0)
                verdict(j, RESULT_ERROR, attrs);
        else if (strcmp(name, "skipped") == 0 || strcmp(name, "disabled") == 0)
                verdict(j, RESULT_SKIPPED, attrs);
}

static void on_end(void *userdata, const XML_Char *name) {
        struct junit *j = userdata;

        (void)name;
        j->silent = 0;
        if (j->broken || j->error != 0 || j->depth == 0)
                return;
        if (j->depth == j->taking)
                j->taking = 0;
        if (j->depth == j->in_case)
                case_end(j);
        else if (j->n_suites > 0 && j->suites[j->n_suites - 1].depth == j->depth)
                suite_end(j);
        j->depth--;
        if (j->depth == 0)
                j->complete = true;
}

static void on_text(void *userdata, const XML_Char *text, int len) {
        struct junit *j = userdata;
        size_t n = len > 0 ? (size_t)len : 0;

        j->silent = 0;
        if (j->taking == 0 || j->error != 0)
                return;
        /* white space that only lays the document out */
        while (j->details.len == 0 && n > 0 && strchr(" \t\r\n", *text)) {
                text++;
                n--;
        }
        if (n > 0 && j->details.len < RESULT_TEXT_MAX)
                result_clip(&j->details, text, n, RESULT_TEXT_MAX - j->details.len);
}

static void on_doctype(void *userdata, const XML_Char *name, const XML_Char *sysid,
                       const XML_Char *pubid, int has_internal_subset) {
        struct junit *j = userdata;

        (void)sysid;
        (void)pubid;
        (void)has_internal_subset;
        j->begun = strcmp(name, "testsuites") == 0 || strcmp(name, "testsuite") == 0;
        j->other = !j->begun;
        broken(j, "a document type definition is not read, and what follows neither");
}

int junit_new(struct junit **ret, const struct result_sink *sink, uint64_t line) {
        struct junit *j = calloc(1, sizeof(*j));

        if (!j)
                return -ENOMEM;
        j->parser = XML_ParserCreate(NULL);
        if (!j->parser) {
                free(j);
                return -ENOMEM;
        }
        j->sink = *sink;
        j->line = line;
        XML_SetUserData(j->parser, j);
        XML_SetStartElementHandler(j->parser, on_start);
        XML_SetEndElementHandler(j->parser, on_end);
        XML_SetCharacterDataHandler(j->parser, on_text);
        XML_SetStartDoctypeDeclHandler(j->parser, on_doctype);
        *ret = j;
        return 0;
}

struct junit *junit_free(struct junit *j) {
        if (!j)
                return NULL;
        XML_ParserFree(j->parser);
        for (size_t i = 0; i < JUNIT_DEPTH_MAX; i++)
                buf_done(&j->suites[i].name);
        buf_done(&j->name);
        buf_done(&j->class);
        buf_done(&j->message);
        buf_done(&j->details);
        free(j);
        return NULL;
}

bool junit_begun(const struct junit *j) {
        return j->begun;
}

/* What expat did not like. */
static int refused(struct junit *j) {
        CLEANUP(buf_done) struct buf text = {0};
        enum XML_Error error = XML_GetErrorCode(j->parser);

        if (error == XML_ERROR_NO_MEMORY)
                return -ENOMEM;
        if (j->complete) /* something stands behind the document */
                return JUNIT_ENDED;
        if (!j->begun)
                return JUNIT_OTHER;
        buf_printf(&text, "not well-formed XML: %s; the rest is not read", XML_ErrorString(error));
        if (buf_check(&text) < 0)
                return -ENOMEM;
        broken(j, text.data);
        return j->error != 0 ? j->error : JUNIT_ENDED;
}

int junit_feed(struct junit *j, const char *data, size_t len) {
        while (len > 0) {
                size_t n = len < 65536 ? len : 65536;
                enum XML_Status status;

                j->silent += n;
                status = XML_Parse(j->parser, data, (int)n, 0);
                if (j->error != 0)
                        return j->error;
                if (j->other)
                        return JUNIT_OTHER;
                if (j->broken)
                        return JUNIT_ENDED;
                if (status != XML_STATUS_OK)
                        return refused(j);
                if (j->silent > JUNIT_TOKEN_MAX) {
                        broken(j, "something in it is too long; the rest is not read");
                        return j->error != 0 ? j->error : j->begun ? JUNIT_ENDED : JUNIT_OTHER;
                }
                data += n;
                len -= n;
        }
        return j->complete ? JUNIT_ENDED : 0;
}

int junit_finish(struct junit *j, const struct result_end *end) {
        struct result item = {.verdict = end->not_run ? RESULT_NOT_RUN : RESULT_ERROR,
                              .name = "(document)",
                              .line = j->line};
        CLEANUP(buf_done) struct buf text = {0};

        if (j->complete || !j->begun || (end->open && !j->broken))
                return 0;
        if (j->broken) {
                item.verdict = RESULT_ERROR;
                buf_puts(&text, "cannot be read to its end");
        } else {
                buf_puts(&text, "cut short: the document has no end");
        }
        if (end->not_run && !j->broken)
                buf_printf(&text, "; %s", end->not_run);
        if (buf_check(&text) < 0)
                return -ENOMEM;
        item.message = text.data;
        return j->sink.item(j->sink.userdata, &item);
}
