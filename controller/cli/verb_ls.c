#include "controller/cli/changes.h"
#include "controller/cli/health.h"
#include "controller/cli/interrupt.h"
#include "controller/cli/runinfo.h"
#include "controller/cli/say.h"
#include "controller/cli/term.h"
#include "controller/cli/verb.h"
#include "controller/cli/when.h"
#include "proto/base/clock.h"

#include <errno.h>
#include <string.h>

#define LS_REPAINT_USEC (100 * USEC_PER_MSEC)

struct ls_options {
        bool watch;
};

static const struct option_row ls_options[] = {
        OPTION_FLAG_ROW(struct ls_options, watch, 'w', "watch",
                        "Stay, and show what changes: the list again, or lines without a terminal"),
        OPTION_END_ROW,
};

static const char *const ls_heads[] = {"NAME",     "STATE",  "SINCE", "RUN", "QUEUE",
                                       "LOCATION", "LABELS", "TITLE", NULL};

/* Without a run: who has it, or why it takes none. */
static void ls_say_duty(const struct json_at *target, struct buf *out) {
        static const char *const keys[] = {"away", "quarantine", "lease"};
        struct json_at at;

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
                const char *by = NULL, *reason = NULL, *holder = NULL;

                if (json_get(target, keys[i], &at) != 0)
                        continue;
                (void)json_get_str(&at, "by", &by);
                (void)json_get_str(&at, "reason", &reason);
                if (strcmp(keys[i], "lease") == 0) {
                        (void)json_get_str(&at, "holder", &holder);
                        buf_printf(out, "for %s%s",
                                   by       ? by
                                   : holder ? holder
                                            : "somebody",
                                   reason ? ": " : "");
                }
                buf_puts(out, reason ? reason : "");
                return;
        }
}

static void ls_say_run(const struct json_at *target, struct buf *out) {
        struct json_at run;
        const char *title = NULL;
        const char *id = NULL;
        const char *by = NULL;
        uint64_t step = 0;
        uint64_t of = 0;

        if (json_get(target, "run", &run) == 0) {
                (void)json_get_str(&run, "title", &title);
                (void)json_get_str(&run, "id", &id);
                if (!id)
                        (void)json_get_str(&run, "run", &id);
                (void)json_get_str(&run, "by", &by);
                (void)json_get_u64(&run, "step", &step);
                (void)json_get_u64(&run, "of", &of);
                buf_puts(out, title && *title ? title : id ? id : "");
                if (of > 1)
                        buf_printf(out, " %llu/%llu", (unsigned long long)step,
                                   (unsigned long long)of);
                if (by && *by)
                        buf_printf(out, " (%s)", by);
        } else {
                ls_say_duty(target, out);
        }
}

/* What it was, while nobody knows what it is. */
static void ls_say_state(const struct json_at *target, const char *state, struct buf *out) {
        const char *last = NULL;

        buf_puts(out, state);
        (void)json_get_str(target, "last_state", &last);
        if (last && strcmp(state, "unknown") == 0)
                buf_printf(out, ", was %s", last);
}

static void ls_put_labels(struct table *t, const struct json_at *target) {
        CLEANUP(buf_done) struct buf text = {0};
        struct json_at labels;

        if (json_get(target, "labels", &labels) == 0)
                for (size_t i = 0; i < json_length(&labels); i++) {
                        struct json_at label;
                        const char *value;

                        if (json_item(&labels, i, &label) != 0 || json_str(&label, &value) != 0)
                                continue;
                        buf_printf(&text, "%s%s%s%s", i > 0 ? " " : "", label.key,
                                   *value ? "=" : "", value);
                }
        table_put(t, TABLE_PLAIN, buf_text(&text));
}

static int ls_put(struct table *t, const struct json_at *at, uint64_t now) {
        CLEANUP(buf_done) struct buf since = {0}, run = {0}, state = {0};
        struct targetinfo i;
        uint64_t waiting;
        int r;

        r = targetinfo_read(at, &i);
        if (r != 0)
                return r;
        when_print(&since, i.since_usec, now);
        table_put(t, TABLE_PLAIN, i.name);
        ls_say_state(at, i.state, &state);
        table_put(t, targetinfo_tone(i.state), buf_text(&state));
        table_put(t, TABLE_PLAIN, buf_text(&since));
        ls_say_run(at, &run);
        table_put(t, TABLE_PLAIN, buf_text(&run));
        /* the target counts those of all controllers; of one that is away only ours are known */
        waiting = i.online ? i.queue : i.pending_runs;
        if (waiting > 0)
                table_printf(t, TABLE_PLAIN, "%llu", (unsigned long long)waiting);
        else
                table_put(t, TABLE_PLAIN, NULL);
        table_put(t, TABLE_PLAIN, i.location);
        ls_put_labels(t, at);
        table_put(t, TABLE_FAINT, i.title && strcmp(i.title, i.name) != 0 ? i.title : NULL);
        return 0;
}

static int ls_table(struct table *t, const char *json) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        uint64_t now = clock_realtime_usec();
        struct json_at root;
        int r;

        r = client_parse(&doc, json);
        if (r != 0)
                return r;
        root = json_root(doc);
        for (size_t i = 0; i < json_length(&root) && r == 0; i++) {
                struct json_at at;

                r = json_item(&root, i, &at);
                if (r == 0)
                        r = ls_put(t, &at, now);
        }
        if (r != 0) {
                say_error("the controller's answer cannot be read: %s", json_error(doc));
                return STATUS_INFRA;
        }
        return 0;
}

/* Without a terminal: a line for each target, and later one for each that changed. */
static int ls_lines(struct changes *c, const char *json, struct buf *out) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(buf_done) struct buf when = {0};
        struct json_at root;
        const char *gone;
        int r;

        r = client_parse(&doc, json);
        if (r != 0)
                return r;
        root = json_root(doc);
        when_print_exact(&when, clock_realtime_usec());
        for (size_t k = 0; k < json_length(&root) && r == 0; k++) {
                CLEANUP(buf_done) struct buf text = {0}, run = {0};
                struct json_at at;
                struct targetinfo i;

                r = json_item(&root, k, &at);
                if (r == 0)
                        r = targetinfo_read(&at, &i);
                if (r != 0)
                        break;
                ls_say_state(&at, i.state, &text);
                ls_say_run(&at, &run);
                if (run.len > 0)
                        buf_printf(&text, "  %s", buf_text(&run));
                while ((gone = changes_gone(c, i.name)))
                        buf_printf(out, "%s  %s  no longer listed\n", buf_text(&when), gone);
                if (changes_put(c, i.name, buf_text(&text)))
                        buf_printf(out, "%s  %s  %s\n", buf_text(&when), i.name, buf_text(&text));
        }
        if (r != 0) {
                say_error("the controller's answer cannot be read: %s", json_error(doc));
                return STATUS_INFRA;
        }
        while ((gone = changes_gone(c, NULL)))
                buf_printf(out, "%s  %s  no longer listed\n", buf_text(&when), gone);
        return changes_end(c) < 0 || buf_check(out) < 0 ? STATUS_INFRA : 0;
}

struct ls {
        struct client *client;
        struct changes changes;
        char *health; /* as it was told last */
        const char *selector;
        bool json;
        bool terminal;
        sd_event *event;
        sd_event_source *timer;
        uint64_t painted_usec;
        int status;
};

static int ls_end(struct ls *l, int status) {
        l->status = status;
        return sd_event_exit(l->event, 0);
}

/* The lines that changed, and what is wrong with the controller when that did. */
static int ls_tell(struct ls *l, const char *json) {
        CLEANUP(buf_done) struct buf out = {0}, safe = {0}, health = {0};
        int r;

        r = health_print(l->client, &health);
        if (r == 0 && strcmp(l->health ? l->health : "", buf_text(&health)) != 0) {
                buf_puts(&out, buf_text(&health));
                free(l->health);
                l->health = buf_steal(&health);
        }
        if (r == 0)
                r = ls_lines(&l->changes, json, &out);
        if (r != 0)
                return r;
        term_safe_lines(&safe, buf_text(&out), out.len);
        return verb_print(&safe);
}

/* On a terminal the table is painted over the last one; elsewhere the lines that changed are printed. */
static int ls_paint(struct ls *l) {
        CLEANUP(mem_free) char *json = NULL;
        CLEANUP(buf_done) struct buf out = {0}, health = {0};
        CLEANUP(table_done) struct table t;
        size_t rows = say_rows(STDOUT_FILENO);
        int r;

        table_init(&t, ls_heads);
        r = client_call(l->client, &json, 0, "Targets", "s", l->selector);
        if (r == STATUS_NOTHING) {
                json = strdup("[]");
                r = json ? 0 : STATUS_INFRA;
        }
        if (r != 0)
                return r;
        l->painted_usec = clock_monotonic_usec();
        if (l->json)
                return verb_print_json(json);
        if (!l->terminal)
                return ls_tell(l, json);
        r = ls_table(&t, json);
        if (r != 0)
                return r;
        buf_puts(&out, "\x1b[H");
        if (table_print(&t, say_columns(STDOUT_FILENO), rows > 2 ? rows - 2 : 0,
                        say_colour(STDOUT_FILENO), "\x1b[K\n", &out) < 0)
                return STATUS_INFRA;
        r = health_print(l->client, &health);
        if (r != 0)
                return r;
        term_safe_lines(&out, buf_text(&health), health.len);
        buf_puts(&out, "\x1b[J");
        return verb_print(&out);
}

static int ls_on_signal(void *userdata, const char *signal, sd_bus_message *m) {
        struct ls *l = userdata;
        uint64_t at = l->painted_usec + LS_REPAINT_USEC;
        int enabled = SD_EVENT_OFF;
        int r;

        (void)m;
        if (strcmp(signal, "Disconnected") == 0)
                return ls_end(l, client_failed(l->client, NULL, -ECONNRESET));
        if (strcmp(signal, "Target") != 0)
                return 0;
        r = sd_event_source_get_enabled(l->timer, &enabled);
        if (r < 0 || enabled != SD_EVENT_OFF)
                return r;
        r = sd_event_source_set_time(l->timer, at);
        return r < 0 ? r : sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
}

static int ls_on_time(sd_event_source *s, uint64_t at, void *userdata) {
        struct ls *l = userdata;
        int r = ls_paint(l);

        (void)s;
        (void)at;
        return r != 0 ? ls_end(l, r) : 0;
}

static int ls_on_interrupt(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        struct ls *l = userdata;

        (void)s;
        (void)fd;
        (void)events;
        if (l->terminal) /* it has echoed ^C */
                (void)say_write(STDOUT_FILENO, "\n", 1);
        return ls_end(l, STATUS_PASSED);
}

static int ls_watch(struct client *c, const char *selector, bool json) {
        struct ls l = {
                .client = c, .selector = selector, .json = json, .terminal = isatty(STDOUT_FILENO)};
        int r;

        client_on_signal(c, ls_on_signal, &l);
        r = client_watch(c, CLIENT_TARGETS);
        if (r >= 0)
                r = sd_event_new(&l.event);
        if (r >= 0)
                r = sd_event_add_time(l.event, &l.timer, CLOCK_MONOTONIC, 0, 1000, ls_on_time, &l);
        if (r >= 0)
                r = interrupt_fd();
        if (r >= 0)
                r = sd_event_add_io(l.event, NULL, r, EPOLLIN, ls_on_interrupt, &l);
        if (r >= 0)
                r = sd_bus_attach_event(client_bus(c), l.event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0 && l.terminal && !json)
                r = say_write(STDOUT_FILENO, "\x1b[H\x1b[2J", 7);
        if (r >= 0)
                r = sd_event_loop(l.event);
        if (r < 0) {
                say_error("%s", strerror(-r));
                l.status = STATUS_INFRA;
        }
        client_on_signal(c, NULL, NULL);
        sd_bus_detach_event(client_bus(c));
        sd_event_source_unref(l.timer);
        sd_event_unref(l.event);
        changes_done(&l.changes);
        free(l.health);
        return l.status;
}

static int verb_ls_run(const struct call *call) {
        const struct ls_options *o = call->options;
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(buf_done) struct buf selector = {0}, health = {0};
        CLEANUP(mem_free) char *json = NULL;
        CLEANUP(table_done) struct table t;
        int r;

        table_init(&t, ls_heads);
        r = verb_selector(call, 0, call->n, &selector);
        if (r == 0)
                r = client_new(&c, call->socket);
        if (r == 0 && o->watch)
                return ls_watch(c, buf_text(&selector), call->json);
        if (r == 0)
                r = client_call(c, &json, 0, "Targets", "s", buf_text(&selector));
        if (r == 0 && call->json)
                return verb_print_json(json);
        if (r == 0)
                r = ls_table(&t, json);
        if (r != 0)
                return r;
        if (table_rows(&t) == 0) {
                say_note("There are no targets yet.");
                say_hint("a target shows up by itself when it knows this controller; try: rota "
                         "doctor");
                return 0;
        }
        r = verb_print_table(&t);
        if (r == 0 && !call->quiet)
                r = health_print(c, &health);
        if (health.len > 0)
                say_note("%s", buf_text(&health));
        return r;
}

const struct verb verb_ls = {
        .name = "ls",
        .usage = "[-w] [SELECTOR…]",
        .summary = "list targets and their states",
        .help = "SELECTOR is a name (pc1), a pattern (pc3-*, pc3-[01-12]), a state (ready, "
                "offline), or a comparison with a "
                "label (gpu=mi300, ram>=64, location=lab3/*); a comma between parts means and, "
                "several selectors mean or, "
                "and \"3:ready\" chooses three.",
        .options = ls_options,
        .options_size = sizeof(struct ls_options),
        .complete = "targets",
        .operands_max = -1,
        .run = verb_ls_run,
};
