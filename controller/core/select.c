#include "controller/core/select.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A malicious pattern of many stars is bounded by this many steps. */
#define GLOB_STEPS_MAX 100000

enum op {
        OP_NONE, /* a bare word */
        OP_EQ,
        OP_NE,
        OP_LT,
        OP_LE,
        OP_GT,
        OP_GE,
};

struct part {
        char *text; /* as typed */
        char *key;
        char *value;
        enum op op;
        bool negated;
};

struct selector {
        struct part parts[SELECT_PARTS_MAX];
        size_t n_parts;
        uint64_t count; /* 0: all */
};

static void selector_done(struct selector *s) {
        for (size_t i = 0; i < s->n_parts; i++) {
                free(s->parts[i].text);
                free(s->parts[i].key);
                free(s->parts[i].value);
        }
        s->n_parts = 0;
}
DEFINE_CLEANUP_DONE(struct selector, selector_done)

void selection_done(struct selection *s) {
        free(s->targets);
        *s = (struct selection){0};
}

/* ---- matching of one word ---- */

static bool digits(const char *s, size_t n) {
        if (n == 0 || n > 18)
                return false;
        for (size_t i = 0; i < n; i++)
                if (s[i] < '0' || s[i] > '9')
                        return false;
        return true;
}

static uint64_t digits_value(const char *s, size_t n) {
        uint64_t v = 0;

        for (size_t i = 0; i < n; i++)
                v = v * 10 + (uint64_t)(s[i] - '0');
        return v;
}

/* One item of a bracket list against the start of @s: how many characters it takes, or -1. 01-12 means
 * two digits; a-f one letter. */
static long item_match(const char *item, size_t len, const char *s) {
        const char *dash = memchr(item, '-', len);

        if (dash && dash > item && dash < item + len - 1) {
                size_t lo_len = (size_t)(dash - item), hi_len = len - lo_len - 1;
                const char *hi = dash + 1;

                if (digits(item, lo_len) && digits(hi, hi_len)) {
                        size_t n = strspn(s, "0123456789");
                        bool padded = item[0] == '0' && lo_len > 1;

                        /* the longest number there decides, so that pc[1-2] is not a prefix of pc10 */
                        if (!digits(s, n) || (padded ? n != lo_len : s[0] == '0' && n > 1))
                                return -1;
                        return digits_value(s, n) >= digits_value(item, lo_len) &&
                                               digits_value(s, n) <= digits_value(hi, hi_len)
                                       ? (long)n
                                       : -1;
                }
                if (lo_len == 1 && hi_len == 1)
                        return s[0] && s[0] >= item[0] && s[0] <= hi[0] ? 1 : -1;
        }
        return strncmp(s, item, len) == 0 ? (long)len : -1;
}

static bool glob(const char *p, const char *s, unsigned depth, unsigned *steps);

static bool glob_bracket(const char *p, const char *s, unsigned depth, unsigned *steps) {
        const char *end = strchr(p, ']');
        const char *item = p + 1;

        while (item <= end) {
                const char *stop = memchr(item, ',', (size_t)(end - item));
                long n;

                if (!stop)
                        stop = end;
                n = stop > item ? item_match(item, (size_t)(stop - item), s) : -1;
                if (n >= 0 && glob(end + 1, s + n, depth + 1, steps))
                        return true;
                item = stop + 1;
        }
        return false;
}

/* The depth is bounded by the number of brackets and stars of the pattern, which is ours to limit. */
static bool glob(const char *p, const char *s, unsigned depth, unsigned *steps) {
        if (depth > 64)
                return false;
        for (;; p++, s++) {
                if (++*steps > GLOB_STEPS_MAX)
                        return false;
                switch (*p) {
                case '\0':
                        return *s == '\0';
                case '*':
                        while (p[1] == '*')
                                p++;
                        if (p[1] == '\0')
                                return true;
                        for (;; s++) {
                                if (glob(p + 1, s, depth + 1, steps))
                                        return true;
                                if (*s == '\0' || *steps > GLOB_STEPS_MAX)
                                        return false;
                        }
                case '?':
                        if (*s == '\0')
                                return false;
                        break;
                case '[':
                        if (strchr(p, ']'))
                                return glob_bracket(p, s, depth, steps);
                        if (*s != '[')
                                return false;
                        break;
                default:
                        if (*p != *s)
                                return false;
                }
        }
}

static bool word_match(const char *pattern, const char *text) {
        unsigned steps = 0;

        return glob(pattern, text, 0, &steps);
}

/* ---- values ---- */

static bool number(const char *text, double *ret) {
        char *end = NULL;

        if (!(text[0] == '-' || text[0] == '.' || (text[0] >= '0' && text[0] <= '9')))
                return false;
        *ret = strtod(text, &end);
        return *end == '\0';
}

static bool compare(enum op op, const char *have, const char *want) {
        double a = 0, b = 0;
        bool have_number = number(have, &a), want_number = number(want, &b);
        int order;

        if (have_number && want_number) {
                order = a < b ? -1 : a > b;
        } else if (op == OP_EQ || op == OP_NE) {
                return word_match(want, have) == (op == OP_EQ);
        } else if (have_number != want_number) {
                return false; /* mi300 is neither more nor less than 2 */
        } else {
                order = strcmp(have, want);
        }
        switch (op) {
        case OP_NONE:
        case OP_EQ:
                return order == 0;
        case OP_NE:
                return order != 0;
        case OP_LT:
                return order < 0;
        case OP_LE:
                return order <= 0;
        case OP_GT:
                return order > 0;
        case OP_GE:
                return order >= 0;
        }
        return false;
}

/* NULL when the target has no such key. */
static const char *value_of(const struct fleet *f, const struct target *t, const char *key) {
        if (strcmp(key, "name") == 0)
                return t->name;
        if (strcmp(key, "location") == 0)
                return t->facts.location;
        if (strcmp(key, "title") == 0)
                return t->facts.title;
        if (strcmp(key, "state") == 0)
                return fleet_shown(f, t);
        if (strcmp(key, "boot") == 0)
                return t->facts.boot;
        if (strcmp(key, "version") == 0)
                return t->facts.version;
        for (size_t i = 0; i < t->facts.n_labels; i++)
                if (strcmp(t->facts.labels[i].name, key) == 0)
                        return t->facts.labels[i].value;
        return NULL;
}

/* Does the part speak of states? Then it matches only where the state is known, also when negated. */
static bool about_state(const struct part *p) {
        enum avail_state state;

        return p->op == OP_NONE ? avail_state_parse(p->key, &state) == 0
                                : strcmp(p->key, "state") == 0 && strcmp(p->value, "unknown") != 0;
}

static bool part_match(const struct fleet *f, const struct part *p, const struct target *t,
                       bool is_label) {
        const char *have;
        enum avail_state state;
        bool r;

        if (about_state(p) && !fleet_known(f, t))
                return false;
        if (p->op == OP_NONE) {
                if (avail_state_parse(p->key, &state) == 0)
                        r = t->avail.state == state;
                else if (strcmp(p->key, "unknown") == 0)
                        r = !fleet_known(f, t);
                else if (is_label)
                        r = value_of(f, t, p->key) != NULL;
                else
                        r = word_match(p->key, t->name) || word_match(p->key, t->jid);
        } else {
                have = value_of(f, t, p->key);
                r = have ? compare(p->op, have, p->value) : p->op == OP_NE;
        }
        return r != p->negated;
}

/* ---- reading ---- */

static int bad(struct buf *why, const char *selector, const char *what) {
        buf_printf(why,
                   "cannot read the selector \"%s\": %s; selectors are names, globs (pc*), lists "
                   "(pc[1-4]), "
                   "states (ready) and labels (gpu>=2), joined by commas",
                   selector, what);
        return buf_check(why) < 0 ? -ENOMEM : SELECT_BAD;
}

/* @selector is what was typed, for the sentence. */
static int part_read(struct part *p, const char *selector, const char *text, size_t len,
                     struct buf *why) {
        const char *word, *at;
        unsigned open = 0;

        p->text = strndup(text, len);
        if (!p->text)
                return -ENOMEM;
        word = p->text;
        if (word[0] == '!') {
                p->negated = true;
                word++;
        }
        for (at = word; *at; at++) {
                if (*at == '[')
                        open++;
                else if (*at == ']' && open > 0)
                        open--;
                else if (open == 0 && strchr("=<>!", *at))
                        break;
        }
        if (open > 0)
                return bad(why, selector, "a [ has no ]");
        if (at == word)
                return bad(why, selector,
                           *at ? "there is no name before the comparison" : "a part is empty");
        p->key = strndup(word, (size_t)(at - word));
        if (!p->key)
                return -ENOMEM;
        if (!*at)
                return 0;
        if (at[0] == '!' && at[1] != '=')
                return bad(why, selector, "a ! belongs in front, or before =");
        if (at[0] == '=')
                p->op = OP_EQ;
        else if (at[0] == '!')
                p->op = OP_NE;
        else if (at[0] == '<')
                p->op = at[1] == '=' ? OP_LE : OP_LT;
        else
                p->op = at[1] == '=' ? OP_GE : OP_GT;
        at += p->op == OP_EQ || p->op == OP_LT || p->op == OP_GT ? 1 : 2;
        if (!*at)
                return bad(why, selector, "a comparison has nothing to compare with");
        p->value = strdup(at);
        return p->value ? 0 : -ENOMEM;
}

static int selector_read(struct selector *s, const char *text, size_t len, struct buf *why) {
        size_t n = strspn(text, "0123456789"), start = 0;
        unsigned open = 0;
        int r;

        if (n > 0 && n < len && text[n] == ':') {
                if (!digits(text, n) || digits_value(text, n) == 0)
                        return bad(why, text, "the count before the colon must be at least 1");
                s->count = digits_value(text, n);
                start = n + 1;
        }
        if (start == len) /* "3:" means any three */
                return 0;
        for (size_t i = start; i <= len; i++) {
                if (i < len && text[i] == '[')
                        open++;
                if (i < len && text[i] == ']' && open > 0)
                        open--;
                if (i < len && (text[i] != ',' || open > 0))
                        continue;
                if (s->n_parts == SELECT_PARTS_MAX)
                        return bad(why, text, "it has too many parts");
                s->parts[s->n_parts] = (struct part){0};
                r = part_read(&s->parts[s->n_parts++], text, text + start, i - start, why);
                if (r != 0)
                        return r;
                start = i + 1;
        }
        return 0;
}

/* ---- choosing ---- */

/* How soon a machine could start something. */
static unsigned idleness(const struct target *t) {
        switch (t->avail.state) {
        case AVAIL_READY:
                return 0;
        case AVAIL_BUSY:
                return 1 + (t->facts.queue < 1000 ? (unsigned)t->facts.queue : 1000);
        case AVAIL_RESERVED:
        case AVAIL_DRAINING:
        case AVAIL_REBOOTING:
                return 2000;
        case AVAIL_AWAY:
        case AVAIL_QUARANTINED:
        case AVAIL_SUSPECT:
        case AVAIL_SILENT:
                return 3000;
        case AVAIL_OFFLINE:
        case AVAIL_OVERDUE:
                return 4000;
        }
        return 5000;
}

static int by_name(const void *a, const void *b) {
        const struct target *const *x = a, *const *y = b;

        return strcmp((*x)->name, (*y)->name);
}

static int by_idleness(const void *a, const void *b) {
        const struct target *const *x = a, *const *y = b;
        unsigned i = idleness(*x), j = idleness(*y);

        return i != j ? (i < j ? -1 : 1) : by_name(a, b);
}

static bool is_machine(const struct target *t) {
        return t->kind == FLEET_TARGET || t->kind == FLEET_EXPECTED;
}

/* A word that names no target may be a label that some have. */
static bool means_label(const struct fleet *f, const struct part *p) {
        bool label = false;

        if (p->op != OP_NONE || strpbrk(p->key, "*?["))
                return false;
        for (size_t i = 0; i < f->n_targets; i++) {
                const struct target *t = f->targets[i];

                if (!is_machine(t))
                        continue;
                if (strcmp(t->name, p->key) == 0 || strcmp(t->jid, p->key) == 0)
                        return false;
                for (size_t j = 0; j < t->facts.n_labels; j++)
                        label |= strcmp(t->facts.labels[j].name, p->key) == 0;
        }
        return label;
}

static void put_unknown(const struct fleet *f, size_t n, struct buf *out) {
        if (!f->link.online)
                buf_puts(out, " (this controller has no connection to its server and knows "
                              "nobody's state; names and labels still match)");
        else if (f->link.mute)
                buf_puts(out, " (the server does not answer this controller, which therefore knows "
                              "nobody's state; names and labels still match)");
        else
                buf_printf(out,
                           " (%zu of them have not announced themselves since this controller "
                           "connected)",
                           n);
}

/* Marks in @chosen; explains in @why when nothing is left. Returns how many. */
static size_t apply(const struct fleet *f, const struct selector *s, const char *text,
                    struct target **all, size_t n_all, struct buf *why, struct target **ret) {
        CLEANUP(buf_done) struct buf trail = {0};
        size_t n = n_all;

        memcpy(ret, all, n_all * sizeof(*ret));
        buf_printf(&trail, "nothing matches \"%s\": %zu target%s", text, n_all,
                   n_all == 1 ? "" : "s");
        for (size_t i = 0; i < s->n_parts; i++) {
                bool label = means_label(f, &s->parts[i]);
                size_t left = 0, unknown = 0;

                for (size_t j = 0; j < n; j++)
                        unknown += about_state(&s->parts[i]) && !fleet_known(f, ret[j]);
                for (size_t j = 0; j < n; j++)
                        if (part_match(f, &s->parts[i], ret[j], label))
                                ret[left++] = ret[j];
                n = left;
                buf_printf(&trail, ", %s leaves %zu", s->parts[i].text, n);
                if (unknown > 0)
                        put_unknown(f, unknown, &trail);
                if (n == 0)
                        break;
        }
        if (s->count > 0) {
                qsort(ret, n, sizeof(*ret), by_idleness);
                if (n > s->count)
                        n = (size_t)s->count;
        }
        if (n == 0) {
                if (why->len > 0)
                        buf_putc(why, '\n');
                buf_printf(why, "%s\ntry: %s", buf_text(&trail),
                           f->link.online && !f->link.mute ? "rota ls" : "rota doctor");
        }
        return n;
}

static bool contains(struct target *const *list, size_t n, const struct target *t) {
        for (size_t i = 0; i < n; i++)
                if (list[i] == t)
                        return true;
        return false;
}

/* One line: adds to @out what is not there yet. */
static int add_line(const struct fleet *f, const char *text, struct target **all, size_t n_all,
                    struct target **scratch, struct target **out, size_t *n_out, struct buf *why) {
        CLEANUP(selector_done) struct selector s = {0};
        size_t n;
        int r;

        r = selector_read(&s, text, strlen(text), why);
        if (r != 0)
                return r;
        n = apply(f, &s, text, all, n_all, why, scratch);
        if (n == 0)
                return buf_check(why) < 0 ? -ENOMEM : SELECT_NOTHING;
        if (s.count > n) {
                buf_clear(why);
                buf_printf(why, "only %zu match \"%s\", which asks for %llu\ntry: rota ls", n, text,
                           (unsigned long long)s.count);
                return buf_check(why) < 0 ? -ENOMEM : SELECT_NOTHING;
        }
        for (size_t i = 0; i < n; i++)
                if (!contains(out, *n_out, scratch[i]))
                        out[(*n_out)++] = scratch[i];
        return 0;
}

int select_targets(const struct fleet *f, const char *text, struct selection *ret,
                   struct buf *why) {
        CLEANUP(selection_done) struct selection out = {0};
        CLEANUP(mem_free) struct target **all = NULL, **scratch = NULL;
        CLEANUP(mem_free) char *copy = NULL;
        char *rest, *line;
        size_t n_all = 0, lines = 0;
        bool counted = false;

        buf_clear(why);
        if (strlen(text) > SELECT_MAX) {
                buf_printf(why, "the selector is longer than %d characters", SELECT_MAX);
                return SELECT_BAD;
        }
        all = calloc(f->n_targets + 1, sizeof(struct target *));
        scratch = calloc(f->n_targets + 1, sizeof(struct target *));
        out.targets = calloc(f->n_targets + 1, sizeof(struct target *));
        copy = strdup(text);
        if (!all || !scratch || !out.targets || !copy)
                return -ENOMEM;
        for (size_t i = 0; i < f->n_targets; i++)
                if (is_machine(f->targets[i]))
                        all[n_all++] = f->targets[i];
        if (n_all == 0) {
                buf_puts(why,
                         "there are no targets yet; a target appears when its daemon has connected "
                         "(see rota doctor)");
                return buf_check(why) < 0 ? -ENOMEM : SELECT_NOTHING;
        }
        for (rest = copy; (line = strsep(&rest, "\n"));) {
                int r;

                if (line[0] == '\0' &&
                    (rest || lines > 0)) /* a last line break, or an empty line */
                        continue;
                if (++lines > SELECT_LINES_MAX) {
                        buf_printf(why, "there are more than %d selectors", SELECT_LINES_MAX);
                        return SELECT_BAD;
                }
                counted |= line[strspn(line, "0123456789")] == ':' && line[0] != ':';
                r = add_line(f, line[0] ? line : "*", all, n_all, scratch, out.targets,
                             &out.n_targets, why);
                if (r != 0)
                        return r;
        }
        qsort(out.targets, out.n_targets, sizeof(*out.targets), counted ? by_idleness : by_name);
        *ret = out;
        out = (struct selection){0};
        return 0;
}
