#include "controller/results/tap.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#define NUMBER_LIMIT UINT64_C(1000000000)
#define BLANKS_A_LEVEL 4

struct tap_level {
        struct buf name; /* of the subtest; empty at level 0 */
        bool has_plan;
        uint64_t planned;
        struct buf skipped; /* why its plan skips all */
        uint64_t seen;
        enum result_verdict worst;
};

struct tap {
        struct result_sink sink;
        struct tap_level levels[TAP_DEPTH_MAX];
        unsigned depth;     /* of the level that is open */
        struct buf subtest; /* announced, not begun */
        bool had_child;
        enum result_verdict child; /* what the subtest that just ended came to */
        bool bailed;
        uint64_t line;
        /* the test whose details may still come */
        bool pending;
        struct result item;
        struct buf name;
        struct buf message;
        struct buf details;
        bool yaml;
};

int tap_new(struct tap **ret, const struct result_sink *sink) {
        struct tap *t = calloc(1, sizeof(*t));

        if (!t)
                return -ENOMEM;
        t->sink = *sink;
        *ret = t;
        return 0;
}

struct tap *tap_free(struct tap *t) {
        if (!t)
                return NULL;
        for (size_t i = 0; i < TAP_DEPTH_MAX; i++) {
                buf_done(&t->levels[i].name);
                buf_done(&t->levels[i].skipped);
        }
        buf_done(&t->subtest);
        buf_done(&t->name);
        buf_done(&t->message);
        buf_done(&t->details);
        free(t);
        return NULL;
}

/* ---- words of a line ---- */

struct text {
        const char *at;
        size_t len;
};

static bool text_starts(struct text t, const char *word) {
        return t.len >= strlen(word) && memcmp(t.at, word, strlen(word)) == 0;
}

static void text_skip(struct text *t, size_t n) {
        t->at += n;
        t->len -= n;
}

static void text_trim(struct text *t) {
        while (t->len > 0 && (*t->at == ' ' || *t->at == '\t'))
                text_skip(t, 1);
        while (t->len > 0 && strchr(" \t\r", t->at[t->len - 1]) && t->at[t->len - 1] != '\0')
                t->len--;
}

/* Eats digits; false when there are none. */
static bool text_number(struct text *t, uint64_t *ret) {
        uint64_t n = 0;
        bool any = false;

        while (t->len > 0 && *t->at >= '0' && *t->at <= '9') {
                n = n * 10 + (uint64_t)(*t->at - '0');
                n = n < NUMBER_LIMIT ? n : NUMBER_LIMIT;
                any = true;
                text_skip(t, 1);
        }
        if (any)
                *ret = n;
        return any;
}

/* "ok" or "not ok", and what stands behind. */
static bool text_test(struct text *t, bool *ret_ok) {
        size_t n;

        if (text_starts(*t, "not ok"))
                n = 6;
        else if (text_starts(*t, "ok"))
                n = 2;
        else
                return false;
        if (t->len > n && t->at[n] != ' ' && t->at[n] != '\t' && t->at[n] != '\r')
                return false;
        *ret_ok = n == 2;
        text_skip(t, n);
        text_trim(t);
        return true;
}

/* "1..N", and what stands behind. */
static bool text_plan(struct text *t, uint64_t *ret) {
        struct text rest = *t;

        if (!text_starts(rest, "1.."))
                return false;
        text_skip(&rest, 3);
        if (!text_number(&rest, ret))
                return false;
        text_trim(&rest);
        if (rest.len > 0 && *rest.at != '#')
                return false;
        *t = rest;
        return true;
}

/* "# SKIP why": the word, any ending of it, and what stands behind. */
static bool text_directive(struct text t, const char *word, struct text *ret_why) {
        if (t.len == 0 || *t.at != '#')
                return false;
        text_skip(&t, 1);
        text_trim(&t);
        if (t.len < strlen(word) || strncasecmp(t.at, word, strlen(word)) != 0)
                return false;
        while (t.len > 0 && *t.at != ' ' && *t.at != '\t')
                text_skip(&t, 1);
        text_trim(&t);
        *ret_why = t;
        return true;
}

/* Cuts the description off before a directive. */
static enum result_verdict text_cut_directive(struct text *t, bool ok, struct text *ret_why) {
        for (size_t i = 0; i < t->len; i++) {
                struct text rest = {t->at + i, t->len - i};

                if (t->at[i] == '\\') {
                        i++;
                        continue;
                }
                if (text_directive(rest, "skip", ret_why)) {
                        t->len = i;
                        return RESULT_SKIPPED;
                }
                if (text_directive(rest, "todo", ret_why)) {
                        t->len = i;
                        return ok ? RESULT_PASSED : RESULT_SKIPPED; /* expected to fail */
                }
        }
        return ok ? RESULT_PASSED : RESULT_FAILED;
}

enum tap_kind tap_classify(const char *line, size_t len, uint64_t *ret_number) {
        struct text t = {line, len};
        bool ok;

        *ret_number = 0;
        text_trim(&t);
        if (t.len == 0 || *line == ' ' || *line == '#')
                return TAP_COMMENT;
        if (text_starts(t, "TAP version ")) {
                text_skip(&t, strlen("TAP version "));
                return text_number(&t, ret_number) && t.len == 0 && *ret_number >= 12 &&
                                       *ret_number <= 14
                               ? TAP_VERSION
                               : TAP_OTHER;
        }
        if (text_plan(&t, ret_number))
                return TAP_PLAN;
        if (!text_test(&t, &ok))
                return TAP_OTHER;
        (void)text_number(&t, ret_number);
        return TAP_TEST;
}

/* ---- items ---- */

static int tap_problem(struct tap *t, const char *text) {
        return t->sink.problem(t->sink.userdata, t->line, text);
}

/* The names of all subtests around @level. */
static void tap_suite(const struct tap *t, unsigned level, struct buf *out) {
        for (unsigned i = 1; i <= level; i++) {
                if (t->levels[i].name.len == 0)
                        continue;
                if (out->len > 0)
                        buf_puts(out, " / ");
                result_clip(out, t->levels[i].name.data, t->levels[i].name.len,
                            RESULT_NAME_MAX / 4);
        }
}

static int tap_put(struct tap *t, unsigned level, const struct result *item) {
        CLEANUP(buf_done) struct buf suite = {0};
        struct result r = *item;

        tap_suite(t, level, &suite);
        if (buf_check(&suite) < 0)
                return -ENOMEM;
        r.suite = result_text(&suite);
        t->levels[level].worst = result_worse(t->levels[level].worst, r.verdict);
        return t->sink.item(t->sink.userdata, &r);
}

/* "message: 'text'" of a YAML block, when it is on one line. */
static void tap_yaml_message(struct tap *t) {
        const char *at = buf_text(&t->details);

        while (*at) {
                struct text line = {at, strcspn(at, "\n")};

                at += line.len + (at[line.len] == '\n');
                if (!text_starts(line, "message:"))
                        continue;
                text_skip(&line, strlen("message:"));
                text_trim(&line);
                if (line.len > 1 && (*line.at == '"' || *line.at == '\'') &&
                    line.at[line.len - 1] == *line.at) {
                        text_skip(&line, 1);
                        line.len--;
                }
                if (line.len > 0 && *line.at != '|' && *line.at != '>')
                        result_clip(&t->message, line.at, line.len, RESULT_TEXT_MAX);
                return;
        }
}

static int tap_flush(struct tap *t) {
        if (!t->pending)
                return 0;
        t->pending = t->yaml = false;
        if (t->message.len == 0)
                tap_yaml_message(t);
        if (buf_check(&t->name) < 0 || buf_check(&t->message) < 0 || buf_check(&t->details) < 0)
                return -ENOMEM;
        t->item.name = buf_text(&t->name);
        t->item.message = result_text(&t->message);
        t->item.details = result_text(&t->details);
        return tap_put(t, t->depth, &t->item);
}

static void tap_detail(struct tap *t, struct text line) {
        if (t->details.len >= RESULT_TEXT_MAX)
                return;
        if (t->details.len > 0)
                buf_putc(&t->details, '\n');
        result_clip(&t->details, line.at, line.len, RESULT_TEXT_MAX - t->details.len);
}

/* ---- levels ---- */

static void level_clear(struct tap_level *l) {
        buf_clear(&l->name);
        buf_clear(&l->skipped);
        l->has_plan = false;
        l->planned = l->seen = 0;
        l->worst = RESULT_NONE;
}

/* What its plan promised and did not come. */
static int level_check(struct tap *t, unsigned level, const struct result_end *end) {
        const struct tap_level *l = &t->levels[level];
        CLEANUP(buf_done) struct buf text = {0};
        struct result r = {.verdict = RESULT_ERROR, .name = "(plan)", .line = t->line};
        bool cut = !l->has_plan || l->seen < l->planned;

        if (end && end->open)
                return 0;
        if (l->has_plan && l->planned == 0 && l->seen == 0) {
                if (level > 0)
                        return 0; /* the line that sums it up says so too */
                r.verdict = RESULT_SKIPPED;
                r.name = "(all)";
                buf_puts(&text, buf_text(&l->skipped));
        } else if (!l->has_plan) {
                buf_printf(&text, "cut short: %" PRIu64 " tests came, and no plan", l->seen);
        } else if (l->seen < l->planned) {
                buf_printf(&text, "cut short: %" PRIu64 " tests were planned, %" PRIu64 " came",
                           l->planned, l->seen);
        } else if (l->seen > l->planned) {
                buf_printf(&text, "%" PRIu64 " tests were planned, %" PRIu64 " came", l->planned,
                           l->seen);
        } else {
                return 0;
        }
        if (end && end->not_run && cut) {
                r.verdict = RESULT_NOT_RUN;
                buf_printf(&text, "; %s", end->not_run);
        }
        if (buf_check(&text) < 0)
                return -ENOMEM;
        r.message = result_text(&text);
        return tap_put(t, level, &r);
}

/* Ends all subtests below @level. */
static int tap_close(struct tap *t, unsigned level, const struct result_end *end) {
        int r = tap_flush(t);

        while (r == 0 && t->depth > level) {
                r = level_check(t, t->depth, end);
                t->had_child = true;
                t->child = t->levels[t->depth].worst;
                t->levels[t->depth - 1].worst =
                        result_worse(t->levels[t->depth - 1].worst, t->child);
                t->depth--;
        }
        return r;
}

/* Makes @level the open one; at most one deeper than before. */
static int tap_enter(struct tap *t, unsigned level) {
        int r = tap_close(t, level, NULL);

        if (r != 0 || level <= t->depth)
                return r;
        t->depth++;
        level_clear(&t->levels[t->depth]);
        buf_append(&t->levels[t->depth].name, buf_text(&t->subtest), t->subtest.len);
        buf_clear(&t->subtest);
        t->had_child = false;
        t->child = RESULT_NONE;
        return buf_check(&t->levels[t->depth].name);
}

/* ---- lines ---- */

static int tap_test(struct tap *t, struct text rest, bool ok) {
        struct tap_level *l = &t->levels[t->depth];
        struct text why = {0};
        uint64_t number = 0;
        int r = 0;

        if (t->depth > 0 && l->seen == 0 && l->name.len == 0)
                buf_append(&l->name, buf_text(&t->subtest), t->subtest.len);
        if (buf_check(&l->name) < 0)
                return -ENOMEM;
        l->seen++;
        if (text_number(&rest, &number) && number != l->seen) {
                r = tap_problem(t, "the numbers of the tests are not in order");
                if (number > l->seen && number < NUMBER_LIMIT)
                        l->seen = number; /* say it once, not for all that follow */
        }
        text_trim(&rest);
        if (text_starts(rest, "- "))
                text_skip(&rest, 2);
        t->item = (struct result){.line = t->line};
        t->item.verdict = text_cut_directive(&rest, ok, &why);
        text_trim(&rest);
        buf_clear(&t->name);
        buf_clear(&t->message);
        buf_clear(&t->details);
        result_clip(&t->message, why.at, why.len, RESULT_TEXT_MAX);
        for (size_t i = 0; i < rest.len && i < RESULT_NAME_MAX; i++) {
                size_t n = 1;

                if (rest.at[i] == '\\' && i + 1 < rest.len && strchr("\\#", rest.at[i + 1]))
                        i++;
                while (i + n < rest.len && i + n < RESULT_NAME_MAX && rest.at[i + n] != '\\')
                        n++;
                result_clip(&t->name, rest.at + i, n, RESULT_NAME_MAX);
                i += n - 1;
        }
        if (t->name.len == 0)
                buf_printf(&t->name, "test %" PRIu64, l->seen);
        t->item.kind = t->had_child && t->item.verdict <= t->child ? RESULT_SUITE : RESULT_TEST;
        t->had_child = false;
        t->child = RESULT_NONE;
        buf_clear(&t->subtest);
        t->pending = true;
        return r;
}

static int tap_plan(struct tap *t, struct text rest, uint64_t n) {
        struct tap_level *l = &t->levels[t->depth];
        struct text why = {0};

        if (l->has_plan)
                return tap_problem(t, "a second plan");
        l->has_plan = true;
        l->planned = n;
        if (n == 0 && text_directive(rest, "skip", &why))
                result_clip(&l->skipped, why.at, why.len, RESULT_TEXT_MAX);
        return buf_check(&l->skipped);
}

static int tap_bail(struct tap *t, struct text why) {
        CLEANUP(buf_done) struct buf text = {0};
        struct result item = {.verdict = RESULT_ERROR, .name = "Bail out!", .line = t->line};
        int r;

        text_trim(&why);
        result_clip(&text, why.at, why.len, RESULT_TEXT_MAX);
        if (buf_check(&text) < 0)
                return -ENOMEM;
        r = tap_flush(t);
        item.message = result_text(&text);
        if (r == 0)
                r = tap_put(t, t->depth, &item);
        t->bailed = true;
        return r;
}

/* Returns true when the line belongs to the YAML of the pending test. */
static bool tap_yaml(struct tap *t, struct text line, size_t blanks) {
        size_t own = (size_t)t->depth * BLANKS_A_LEVEL + 2;
        struct text word = line;

        text_trim(&word);
        if (!t->pending)
                return false;
        if (!t->yaml) {
                t->yaml = blanks == own && word.len == 3 && memcmp(word.at, "---", 3) == 0;
                return t->yaml;
        }
        if (blanks == own && word.len == 3 && memcmp(word.at, "...", 3) == 0) {
                t->yaml = false;
                return true;
        }
        if (blanks < own && word.len > 0) {
                t->yaml = false;
                return false;
        }
        text_skip(&line, blanks < own ? blanks : own);
        if (line.len > 0 && line.at[line.len - 1] == '\r')
                line.len--;
        tap_detail(t, line);
        return true;
}

int tap_line(struct tap *t, const char *at, size_t len, uint64_t number) {
        struct text line = {at, len}, word = line;
        size_t blanks = 0;
        unsigned level;
        uint64_t n = 0;
        bool ok;
        int r;

        t->line = number;
        while (blanks < len && at[blanks] == ' ')
                blanks++;
        if (t->bailed || tap_yaml(t, line, blanks))
                return buf_check(&t->details);
        text_trim(&word);
        level = blanks % BLANKS_A_LEVEL == 0 ? (unsigned)(blanks / BLANKS_A_LEVEL) : TAP_DEPTH_MAX;
        if (text_starts(word, "Bail out!")) {
                text_skip(&word, strlen("Bail out!"));
                return tap_bail(t, word);
        }
        if (level > t->depth + 1 || level >= TAP_DEPTH_MAX)
                return 0;
        if (text_starts(word, "# Subtest: ")) {
                text_skip(&word, strlen("# Subtest: "));
                /* as far in as the tests around it, or, as some write it, as its own */
                r = tap_enter(t, level);
                if (r < 0)
                        return r;
                buf_clear(&t->subtest);
                result_clip(&t->subtest, word.at, word.len, RESULT_NAME_MAX);
                return buf_check(&t->subtest);
        }
        if (word.len > 0 && *word.at == '#') {
                if (t->pending && t->item.verdict == RESULT_FAILED) {
                        text_skip(&word, 1);
                        text_trim(&word);
                        tap_detail(t, word);
                }
                return buf_check(&t->details);
        }
        if (text_plan(&word, &n)) {
                r = tap_enter(t, level);
                return r != 0 ? r : tap_plan(t, word, n);
        }
        if (!text_test(&word, &ok))
                return 0;
        r = tap_enter(t, level);
        if (r == 0)
                r = tap_flush(t);
        return r != 0 ? r : tap_test(t, word, ok);
}

int tap_finish(struct tap *t, const struct result_end *end) {
        int r;

        if (t->bailed)
                return tap_flush(t);
        r = tap_close(t, 0, end);
        return r != 0 ? r : level_check(t, 0, end);
}
