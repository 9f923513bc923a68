#include "controller/results/stream.h"

#include "controller/results/junit.h"
#include "controller/results/ocp.h"
#include "controller/results/tap.h"

#include <errno.h>
#include <string.h>

#define HELD_MAX 65536
#define PIECE 65536
#define XML_LOOK 12 /* bytes that tell whether a line begins a document */

struct result_stream {
        struct result_sink sink;
        enum result_format format; /* of the reader that is on */
        struct tap *tap;
        struct ocp *ocp;
        struct junit *junit;
        bool seen[RESULT_FORMATS];
        struct buf line; /* without its end */
        bool too_long;
        bool passed;     /* the rest of the line stands behind a document */
        uint64_t number; /* of the line that comes, from 1 */
        /* lines that may turn out to be TAP */
        struct buf held;
        uint64_t held_number;
        uint64_t held_tests;
        bool held_plan;
};

int result_stream_new(struct result_stream **ret, const struct result_sink *sink) {
        struct result_stream *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->sink = *sink;
        s->number = 1;
        *ret = s;
        return 0;
}

struct result_stream *result_stream_free(struct result_stream *s) {
        if (!s)
                return NULL;
        tap_free(s->tap);
        ocp_free(s->ocp);
        junit_free(s->junit);
        buf_done(&s->line);
        buf_done(&s->held);
        free(s);
        return NULL;
}

bool result_stream_has(const struct result_stream *s, enum result_format f) {
        return s->seen[f];
}

/* Ends the reader that is on. */
static int stream_end(struct result_stream *s, const struct result_end *end) {
        enum result_format f = s->format;
        int r = 0;

        s->format = RESULT_NO_FORMAT;
        switch (f) {
        case RESULT_TAP:
                r = tap_finish(s->tap, end);
                s->tap = tap_free(s->tap);
                break;
        case RESULT_OCP:
                r = ocp_finish(s->ocp, end);
                s->ocp = ocp_free(s->ocp);
                break;
        case RESULT_JUNIT:
                r = junit_finish(s->junit, end);
                s->junit = junit_free(s->junit);
                break;
        case RESULT_NO_FORMAT:
        case RESULT_FORMATS:
                break;
        }
        return r;
}

static void held_drop(struct result_stream *s) {
        buf_clear(&s->held);
        s->held_tests = 0;
        s->held_plan = false;
}

static int begin_tap(struct result_stream *s) {
        const struct result_end whole = {0};
        int r = stream_end(s, &whole);

        if (r == 0)
                r = tap_new(&s->tap, &s->sink);
        if (r == 0) {
                s->format = RESULT_TAP;
                s->seen[RESULT_TAP] = true;
        }
        return r;
}

/* What was held is TAP. */
static int held_release(struct result_stream *s) {
        const char *at = s->held.data;
        int r = begin_tap(s);

        for (uint64_t n = s->held_number; r == 0 && *at; n++) {
                size_t len = strcspn(at, "\n");

                r = tap_line(s->tap, at, len, n);
                at += len + (at[len] == '\n');
        }
        held_drop(s);
        return r;
}

/* A line of which it is not known whether it is TAP. */
static int hold(struct result_stream *s, enum tap_kind kind, uint64_t n) {
        bool begun = s->held_tests > 0 || s->held_plan;
        bool fits = kind == TAP_COMMENT || (kind == TAP_PLAN && !s->held_plan) ||
                    (kind == TAP_TEST && n == s->held_tests + 1);

        /* a subtest is announced by a comment; other comments begin nothing */
        if (!begun && kind == TAP_COMMENT &&
            !(s->held.len > 0 ||
              (s->line.len > 11 && memcmp(s->line.data, "# Subtest: ", 11) == 0)))
                return 0;
        if (!fits || s->held.len + s->line.len + 1 > HELD_MAX ||
            memchr(buf_text(&s->line), 0, s->line.len)) {
                held_drop(s);
                return 0;
        }
        if (s->held.len == 0) {
                if (s->number > STREAM_BEGINNING)
                        return 0;
                s->held_number = s->number;
        }
        buf_append(&s->held, buf_text(&s->line), s->line.len);
        buf_putc(&s->held, '\n');
        if (buf_check(&s->held) < 0)
                return -ENOMEM;
        s->held_tests += kind == TAP_TEST;
        s->held_plan |= kind == TAP_PLAN;
        return s->held_tests + s->held_plan >= 2 ? held_release(s) : 0;
}

static int look(struct result_stream *s) {
        uint64_t n = 0;
        const char *line = buf_text(&s->line);
        enum tap_kind kind = tap_classify(line, s->line.len, &n);
        bool ocp = false;
        int r;

        if (kind == TAP_VERSION) {
                held_drop(s);
                return begin_tap(s);
        }
        r = ocp_begins(line, s->line.len, &ocp);
        if (r < 0)
                return r;
        if (ocp) {
                held_drop(s);
                r = ocp_new(&s->ocp, &s->sink);
                if (r < 0)
                        return r;
                s->format = RESULT_OCP;
                s->seen[RESULT_OCP] = true;
                return ocp_line(s->ocp, line, s->line.len, s->number);
        }
        if (kind == TAP_PLAN && n == 0 && s->held.len == 0 && s->number <= STREAM_BEGINNING &&
            memmem(line, s->line.len, "# ", 2)) {
                /* "1..0 # SKIP why" is all there is to say */
                r = begin_tap(s);
                return r != 0 ? r : tap_line(s->tap, line, s->line.len, s->number);
        }
        return hold(s, kind, n);
}

/* s->line is complete. */
static int stream_line(struct result_stream *s) {
        uint64_t n;
        int r = 0;

        if (s->too_long) {
                held_drop(s);
                return s->format == RESULT_NO_FORMAT
                               ? 0
                               : s->sink.problem(s->sink.userdata, s->number,
                                                 "a line is too long to be read");
        }
        switch (s->format) {
        case RESULT_NO_FORMAT:
                return look(s);
        case RESULT_TAP:
                if (tap_classify(buf_text(&s->line), s->line.len, &n) == TAP_VERSION)
                        return begin_tap(s);
                return tap_line(s->tap, buf_text(&s->line), s->line.len, s->number);
        case RESULT_OCP:
                r = ocp_line(s->ocp, buf_text(&s->line), s->line.len, s->number);
                if (r == 0 && ocp_ended(s->ocp)) {
                        const struct result_end whole = {0};

                        r = stream_end(s, &whole);
                }
                return r;
        case RESULT_JUNIT:
        case RESULT_FORMATS:
                break;
        }
        return r;
}

/* The line that has begun may be a document: its reader then gets it, however long it is. */
static int begin_xml(struct result_stream *s, bool ended) {
        static const char *const begins[] = {"\xef\xbb\xbf<?xml", "<?xml", "<testsuite"};
        const char *at = buf_text(&s->line);
        bool found = false;

        if (s->format != RESULT_NO_FORMAT || (s->line.len < XML_LOOK && !ended))
                return 0;
        for (size_t i = 0; i < ARRAY_SIZE(begins); i++)
                found |= strncmp(at, begins[i], strlen(begins[i])) == 0;
        if (!found)
                return 0;
        if (junit_new(&s->junit, &s->sink, s->number) < 0)
                return -ENOMEM;
        s->format = RESULT_JUNIT;
        held_drop(s);
        return 0;
}

static int feed_junit(struct result_stream *s, const char *data, size_t len) {
        const struct result_end whole = {0};
        int r = junit_feed(s->junit, data, len);

        s->passed = r != 0;
        s->seen[RESULT_JUNIT] |= junit_begun(s->junit);
        if (r == JUNIT_OTHER) {
                s->junit = junit_free(s->junit);
                s->format = RESULT_NO_FORMAT;
                return 0;
        }
        if (r < 0)
                return r;
        return r == JUNIT_ENDED ? stream_end(s, &whole) : 0;
}

/* A piece of one line. */
static int feed_piece(struct result_stream *s, const char *data, size_t len, bool ended) {
        int r = 0;

        if (s->passed)
                return 0;
        if (s->format == RESULT_JUNIT)
                return feed_junit(s, data, len);
        if (s->line.len + len > RESULT_LINE_MAX)
                s->too_long = true;
        if (!s->too_long && buf_append(&s->line, data, len) < 0)
                return -ENOMEM;
        if (!s->too_long)
                r = begin_xml(s, ended);
        if (r == 0 && s->format == RESULT_JUNIT)
                r = feed_junit(s, buf_text(&s->line), s->line.len);
        else if (r == 0 && ended)
                r = stream_line(s);
        return r;
}

int result_stream_feed(struct result_stream *s, const char *data, size_t len) {
        while (len > 0) {
                size_t most = len < PIECE ? len : PIECE;
                const char *end = memchr(data, '\n', most);
                size_t n = end ? (size_t)(end - data) : most;
                int r = feed_piece(s, data, n, end != NULL);

                if (r == 0 && end && s->format == RESULT_JUNIT)
                        r = feed_junit(s, "\n", 1);
                if (r != 0)
                        return r;
                if (end) {
                        buf_clear(&s->line);
                        s->too_long = s->passed = false;
                        s->number++;
                        n++;
                }
                data += n;
                len -= n;
        }
        return 0;
}

int result_stream_finish(struct result_stream *s, const struct result_end *end) {
        int r = 0;

        if (s->line.len > 0 && s->format != RESULT_JUNIT)
                r = feed_piece(s, "", 0, true);
        return r != 0 ? r : stream_end(s, end);
}
