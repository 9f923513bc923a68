#include "controller/cli/lines.h"

#include "controller/cli/term.h"
#include "proto/base/clock.h"

#include <errno.h>
#include <string.h>

struct source {
        char *name;
        size_t name_columns;
        struct term term;    /* on a terminal */
        struct buf held;     /* elsewhere: bytes of the open line */
        uint64_t since_usec; /* when the open line got what is not shown yet; USEC_NEVER */
        bool cut;            /* elsewhere: a piece of the open line was written already */
};

struct lines {
        struct lines_look look;
        struct source *sources;
        int n;
        size_t name_columns; /* of the longest */
        int open;            /* the source whose open line is on the screen; -1 */
        struct buf shown;    /* the text of that line, as shown */
        struct buf text;     /* scratch */
        struct buf out;
};

int lines_new(struct lines **ret, const struct lines_look *look) {
        struct lines *l = calloc(1, sizeof(*l));

        if (!l)
                return -ENOMEM;
        l->look = *look;
        l->open = -1;
        *ret = l;
        return 0;
}

struct lines *lines_free(struct lines *l) {
        if (!l)
                return NULL;
        for (int i = 0; i < l->n; i++) {
                free(l->sources[i].name);
                term_done(&l->sources[i].term);
                buf_done(&l->sources[i].held);
        }
        free(l->sources);
        buf_done(&l->shown);
        buf_done(&l->text);
        buf_done(&l->out);
        free(l);
        return NULL;
}

int lines_add(struct lines *l, const char *name) {
        struct source *sources = realloc(l->sources, ((size_t)l->n + 1) * sizeof(*sources));
        CLEANUP(buf_done) struct buf safe = {0};
        struct source *s;

        if (!sources)
                return -ENOMEM;
        l->sources = sources;
        s = &sources[l->n];
        *s = (struct source){.since_usec = USEC_NEVER};
        if (term_safe(&safe, name, strlen(name)) < 0)
                return -ENOMEM;
        s->name_columns = term_columns(buf_text(&safe), safe.len);
        s->name = strdup(buf_text(&safe));
        if (!s->name)
                return -ENOMEM;
        if (s->name_columns > l->name_columns)
                l->name_columns = s->name_columns;
        return l->n++;
}

struct buf *lines_out(struct lines *l) {
        return &l->out;
}

void lines_resize(struct lines *l, size_t columns) {
        l->look.columns = columns;
}

static size_t lines_prefix_columns(const struct lines *l) {
        return l->look.prefix ? l->name_columns + 3 : 0;
}

static void lines_prefix(struct lines *l, int source) {
        static const char *const colours[] = {"36", "33", "32", "35", "34", "31"};
        const struct source *s = &l->sources[source];

        if (!l->look.prefix)
                return;
        if (l->look.colour)
                buf_printf(&l->out, "\x1b[%sm", colours[(size_t)source % ARRAY_SIZE(colours)]);
        buf_puts(&l->out, s->name);
        for (size_t i = s->name_columns; i < l->name_columns; i++)
                buf_putc(&l->out, ' ');
        buf_puts(&l->out, " |");
        if (l->look.colour)
                buf_puts(&l->out, "\x1b[0m");
        buf_putc(&l->out, ' ');
}

/*
 * Makes the screen's current line read prefix + l->text. The open line of this source may stand
 * there already: what it shows is then continued if it can be, or painted over.
 */
static void lines_paint(struct lines *l, int source) {
        const char *text = buf_text(&l->text);
        size_t shown_columns;
        size_t columns;

        if (l->open == source && l->shown.len <= l->text.len &&
            memcmp(buf_text(&l->shown), text, l->shown.len) == 0) {
                buf_append(&l->out, text + l->shown.len, l->text.len - l->shown.len);
        } else {
                shown_columns = 0;
                if (l->open == source) {
                        shown_columns = term_columns(buf_text(&l->shown), l->shown.len);
                        buf_putc(&l->out, '\r');
                }
                lines_prefix(l, source);
                buf_append(&l->out, text, l->text.len);
                for (columns = term_columns(text, l->text.len); columns < shown_columns; columns++)
                        buf_putc(&l->out, ' ');
        }
        buf_clear(&l->shown);
        buf_append(&l->shown, text, l->text.len);
        l->open = source;
}

int lines_break(struct lines *l) {
        if (l->open < 0)
                return 0;
        l->open = -1;
        buf_clear(&l->shown);
        return buf_putc(&l->out, '\n');
}

static int lines_check(const struct lines *l) {
        if (buf_check(&l->out) < 0 || buf_check(&l->shown) < 0 || buf_check(&l->text) < 0)
                return -ENOMEM;
        return 0;
}

static int lines_take_text(struct lines *l, struct source *s) {
        buf_clear(&l->text);
        return term_text(&s->term, &l->text);
}

/* The line of @source is complete, or as long as a line gets. */
static int lines_line(struct lines *l, int source, bool ended) {
        struct source *s = &l->sources[source];

        lines_take_text(l, s);
        term_next(&s->term);
        s->since_usec = USEC_NEVER;
        if (l->open >= 0 && l->open != source)
                lines_break(l);
        lines_paint(l, source);
        if (lines_check(l) < 0)
                return -ENOMEM;
        if (ended)
                return lines_break(l);
        buf_clear(&l->shown); /* the next piece goes on where this one ends */
        return 0;
}

static int lines_feed_terminal(struct lines *l, int source, const char *data, size_t len,
                               uint64_t now_usec) {
        struct source *s = &l->sources[source];

        while (len > 0) {
                enum term_event event;
                size_t eaten;
                int r;

                r = term_feed(&s->term, data, len, &eaten, &event);
                if (r < 0)
                        return r;
                data += eaten;
                len -= eaten;
                if (event != TERM_MORE) {
                        r = lines_line(l, source, event == TERM_LINE);
                        if (r < 0)
                                return r;
                }
        }
        if (s->term.changed && s->since_usec == USEC_NEVER)
                s->since_usec = now_usec;
        return 0;
}

/* Writes @len bytes that hold no line end but the last. */
static void lines_write_plain(struct lines *l, int source, const char *data, size_t len,
                              bool ended) {
        struct source *s = &l->sources[source];

        if (l->open >= 0 && l->open != source) {
                l->sources[l->open].cut = false;
                lines_break(l);
        }
        if (!s->cut)
                lines_prefix(l, source);
        buf_append(&l->out, buf_text(&s->held), s->held.len);
        buf_append(&l->out, data, len);
        buf_clear(&s->held);
        s->cut = !ended;
        l->open = ended ? -1 : source;
}

static int lines_feed_plain(struct lines *l, int source, const char *data, size_t len) {
        struct source *s = &l->sources[source];

        while (len > 0) {
                const char *end = memchr(data, '\n', len);
                size_t n = end ? (size_t)(end - data) + 1 : len;

                if (end || s->held.len + n > LINES_HELD_MAX)
                        lines_write_plain(l, source, data, n, end != NULL);
                else if (buf_append(&s->held, data, n) < 0)
                        return -ENOMEM;
                data += n;
                len -= n;
        }
        return lines_check(l);
}

int lines_feed(struct lines *l, int source, const char *data, size_t len, uint64_t now_usec) {
        if (!l->look.prefix && (!l->look.terminal || l->look.raw))
                return buf_append(&l->out, data, len);
        if (l->look.terminal)
                return lines_feed_terminal(l, source, data, len, now_usec);
        return lines_feed_plain(l, source, data, len);
}

int lines_end(struct lines *l, int source) {
        struct source *s = &l->sources[source];
        int r;

        if (!l->look.prefix && (!l->look.terminal || l->look.raw))
                return 0;
        if (!l->look.terminal) {
                if (s->held.len > 0)
                        lines_write_plain(l, source, "\n", 1, true);
                else if (s->cut && l->open == source)
                        lines_break(l);
                s->cut = false;
                return lines_check(l);
        }
        r = term_finish(&s->term);
        if (r < 0)
                return r;
        if (!term_empty(&s->term))
                return lines_line(l, source, true);
        if (l->open == source)
                lines_break(l);
        return lines_check(l);
}

uint64_t lines_deadline(const struct lines *l) {
        uint64_t first = USEC_NEVER;

        for (int i = 0; i < l->n; i++)
                if (l->sources[i].since_usec < first)
                        first = l->sources[i].since_usec;
        return first == USEC_NEVER ? USEC_NEVER : first + LINES_PARTIAL_USEC;
}

int lines_tick(struct lines *l, uint64_t now_usec) {
        size_t room = l->look.columns ? l->look.columns : 80;

        room = room > lines_prefix_columns(l) + 1 ? room - lines_prefix_columns(l) - 1 : 1;
        for (int i = 0; i < l->n; i++) {
                struct source *s = &l->sources[i];

                if (s->since_usec == USEC_NEVER || s->since_usec + LINES_PARTIAL_USEC > now_usec)
                        continue;
                s->since_usec = USEC_NEVER;
                if (lines_take_text(l, s) < 0)
                        return -ENOMEM;
                if (l->text.len == 0 && l->open != i)
                        continue;
                /* a line that wraps cannot be painted over */
                buf_truncate(&l->text, term_fit(buf_text(&l->text), l->text.len, room));
                if (l->open >= 0 && l->open != i)
                        lines_break(l);
                lines_paint(l, i);
                if (lines_check(l) < 0)
                        return -ENOMEM;
        }
        return 0;
}
