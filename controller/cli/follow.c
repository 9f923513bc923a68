#include "controller/cli/follow.h"

#include "controller/api.h"
#include "controller/cli/followed.h"
#include "controller/cli/interrupt.h"
#include "controller/cli/lines.h"
#include "controller/cli/say.h"
#include "controller/cli/when.h"
#include "proto/base/clock.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define FOLLOW_READ 65536
#define FOLLOW_SAY_USEC USEC_PER_SEC /* a short absence is not worth a line */
#define FOLLOW_SHORT_MAX 3

struct follow {
        struct client *client; /* borrowed */
        struct follow_how how;
        struct followed *runs;
        size_t n_runs;
        size_t n_finished;
        struct lines *lines;
        sd_event *event;
        sd_event_source *timer;
        sd_event_source *pump;
        sd_event_source *interrupt;
        uint64_t gone_usec; /* 0: connected */
        bool gone_said;
        bool over;
        int status;
        char data[FOLLOW_READ];
};

static int follow_end(struct follow *f, int status) {
        f->over = true;
        f->status = status;
        return 0;
}

static int follow_flush(struct follow *f) {
        struct buf *out = lines_out(f->lines);
        int r;

        if (buf_check(out) < 0)
                return -ENOMEM;
        if (out->len == 0)
                return 0;
        r = say_write(STDOUT_FILENO, out->data, out->len);
        buf_clear(out);
        if (r == -EPIPE)
                return follow_end(f, STATUS_DETACHED);
        return r;
}

/* Before something is said on standard error, the line that is open on the same screen is ended. */
static void follow_make_room(struct follow *f) {
        if (!f->lines)
                return;
        if (isatty(STDOUT_FILENO) && isatty(STDERR_FILENO))
                (void)lines_break(f->lines);
        (void)follow_flush(f);
}

static int follow_no_memory(struct follow *f) {
        say_no_memory();
        return follow_end(f, STATUS_INFRA);
}

static void follow_lost(struct follow *f) {
        if (f->gone_usec == 0)
                f->gone_usec = clock_monotonic_usec();
}

static struct followed *follow_find(struct follow *f, const char *run) {
        for (size_t i = 0; i < f->n_runs; i++)
                if (strcmp(f->runs[i].run, run) == 0)
                        return &f->runs[i];
        return NULL;
}

static void follow_wake(struct follow *f) {
        if (f->pump)
                (void)sd_event_source_set_enabled(f->pump, SD_EVENT_ON);
}

/* ---- what is heard of a run ---- */

static int follow_heard(struct follow *f, struct followed *r, const char *json) {
        CLEANUP(buf_done) struct buf why = {0};
        int q = followed_heard(r, json, clock_monotonic_usec(), &why);

        if (q < 0)
                return q;
        if (q > 0) {
                say_error("the controller's answer cannot be read: %s", buf_text(&why));
                return follow_end(f, STATUS_INFRA);
        }
        follow_wake(f);
        return 0;
}

static int follow_on_grew(struct follow *f, sd_bus_message *m) {
        const char *run;
        const char *stream;
        uint64_t next;
        struct followed *r;
        int q;

        q = sd_bus_message_read(m, "sst", &run, &stream, &next);
        if (q < 0)
                return q;
        r = follow_find(f, run);
        if (!r)
                return 0;
        q = followed_grew(r, stream, next);
        follow_wake(f);
        return q;
}

static int follow_on_run(struct follow *f, sd_bus_message *m) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root;
        struct followed *r;
        const char *json;
        const char *run = NULL;
        int q;

        q = sd_bus_message_read(m, "s", &json);
        if (q < 0)
                return q;
        q = json_parse(&doc, "the controller's signal", json, strlen(json));
        if (q < 0)
                return q;
        if (q > 0)
                return 0;
        root = json_root(doc);
        if (json_get_str(&root, "run", &run) != 0 || !run)
                return 0;
        r = follow_find(f, run);
        return r ? follow_heard(f, r, json) : 0;
}

static int follow_on_signal(void *userdata, const char *signal, sd_bus_message *m) {
        struct follow *f = userdata;
        int r = 0;

        if (strcmp(signal, "Disconnected") == 0)
                follow_lost(f);
        else if (strcmp(signal, "Grew") == 0)
                r = follow_on_grew(f, m);
        else if (strcmp(signal, "Run") == 0)
                r = follow_on_run(f, m);
        if (r == -ENOMEM)
                return follow_no_memory(f);
        return r;
}

/* ---- output ---- */

static int follow_print(struct follow *f, struct followed *r, size_t n) {
        int q;

        if (f->how.silent)
                return 0;
        q = lines_feed(f->lines, r->source, f->data, n, clock_monotonic_usec());
        return q < 0 ? q : follow_flush(f);
}

static int follow_end_lines(struct follow *f, struct followed *r) {
        int q = f->how.silent ? 0 : lines_end(f->lines, r->source);

        return q < 0 ? q : follow_flush(f);
}

static int follow_short(struct follow *f, struct followed *r, struct tail *t) {
        tail_close(t); /* perhaps the file was made anew */
        if (++r->shorts < FOLLOW_SHORT_MAX)
                return 0;
        follow_make_room(f);
        say_error("%s: the controller's copy of %s of run %s is shorter than it says (%llu of %llu "
                  "bytes)",
                  r->info.target, t->stream, r->run, (unsigned long long)t->offset,
                  (unsigned long long)t->next);
        say_hint("try: rota doctor");
        return follow_end(f, STATUS_INFRA);
}

/* Reads one piece of one stream. Returns 1 when it did, 0 when there is nothing to do, or -errno. */
static int follow_read(struct follow *f, struct followed *r, struct tail *t) {
        sd_bus_error error = SD_BUS_ERROR_NULL;
        size_t n = 0;
        int status;
        int q;

        q = tail_read(t, f->client, r->run, f->data, sizeof(f->data), &n, &error);
        if (q == 0) {
                r->shorts = 0;
                q = follow_print(f, r, n);
                return q < 0 ? q : 1;
        }
        if (q == TAIL_MORE)
                return 0;
        if (q == TAIL_SHORT) {
                q = follow_short(f, r, t);
                return q < 0 ? q : 1;
        }
        if (client_gone(&error, q)) {
                follow_lost(f);
                sd_bus_error_free(&error);
                return 0;
        }
        follow_make_room(f);
        status = client_failed(f->client, &error, q);
        sd_bus_error_free(&error);
        follow_end(f, status);
        return 0;
}

/* Returns 1 when there is more to do, 0, or -errno. */
static int follow_one(struct follow *f, struct followed *r) {
        struct tail *t = followed_turn(r);
        bool ended = followed_ended(r);
        int q;

        if (t && (t->offset < t->next || !t->asked)) {
                q = t->offset < t->next || ended || f->how.until_now ? follow_read(f, r, t) : 0;
                if (q < 0)
                        return q;
                if (!tail_finished(t, ended)) {
                        if (q > 0)
                                return 1;
                        if (f->how.until_now && t->asked && t->offset >= t->next)
                                r->finished = true;
                        return 0;
                }
                tail_close(t);
                q = follow_end_lines(f, r);
                return q < 0 ? q : 1;
        }
        if ((!t && ended) || f->how.until_now) {
                r->finished = true;
                return follow_end_lines(f, r);
        }
        return 0;
}

static int follow_on_pump(sd_event_source *s, void *userdata) {
        struct follow *f = userdata;
        bool more = false;
        int q;

        for (size_t i = 0; i < f->n_runs && !f->over && f->gone_usec == 0; i++) {
                if (f->runs[i].finished)
                        continue;
                q = follow_one(f, &f->runs[i]);
                if (q == -ENOMEM)
                        return follow_no_memory(f);
                if (q < 0) {
                        say_error("the output cannot be copied: %s", strerror(-q));
                        return follow_end(f, STATUS_INFRA);
                }
                more = more || q > 0;
                f->n_finished += f->runs[i].finished;
        }
        if (f->n_finished == f->n_runs && !f->over)
                return follow_end(f, 0);
        return more ? 0 : sd_event_source_set_enabled(s, SD_EVENT_OFF);
}

/* ---- time, interruptions, a controller that comes back ---- */

static int follow_refresh(struct follow *f) {
        int r = 0;

        for (size_t i = 0; i < f->n_runs && r >= 0; i++) {
                sd_bus_error error = SD_BUS_ERROR_NULL;
                sd_bus_message *reply = NULL;
                const char *json;

                followed_close(&f->runs[i]);
                r = sd_bus_call_method(client_bus(f->client), NULL, API_PATH, API_INTERFACE, "Run",
                                       &error, &reply, "s", f->runs[i].run);
                if (r >= 0)
                        r = sd_bus_message_read(reply, "s", &json);
                if (r >= 0)
                        r = follow_heard(f, &f->runs[i], json);
                else if (!client_gone(&error, r))
                        follow_end(f, client_failed(f->client, &error, r));
                sd_bus_error_free(&error);
                sd_bus_message_unref(reply);
        }
        return r;
}

static int follow_return(struct follow *f) {
        uint64_t away = clock_monotonic_usec() - f->gone_usec;
        int r;

        r = client_again(f->client);
        if (r >= 0)
                r = sd_bus_attach_event(client_bus(f->client), f->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = follow_refresh(f);
        if (f->over)
                return 0;
        if (r >= 0) {
                if (f->gone_said)
                        say_note("the controller is back");
                f->gone_usec = 0;
                f->gone_said = false;
                follow_wake(f);
                return 0;
        }
        if (away > FOLLOW_SAY_USEC && !f->gone_said && !f->how.quiet) {
                follow_make_room(f);
                say_note("the controller went away; waiting for it (what was started goes on)");
                f->gone_said = true;
        }
        if (away < CLIENT_GIVE_UP_USEC)
                return 0;
        follow_make_room(f);
        say_error("the controller went away and did not come back within 30 s (%s)",
                  client_socket(f->client));
        say_hint("what was started goes on; nothing is lost");
        say_hint("try: rota doctor, then: rota watch %s", f->n_runs > 0 ? f->runs[0].run : "RUN");
        return follow_end(f, STATUS_INFRA);
}

static void follow_say_notes(struct follow *f) {
        for (size_t i = 0; i < f->n_runs; i++) {
                const char *note = followed_note(&f->runs[i], clock_monotonic_usec());
                const char *name = f->runs[i].info.target;

                if (!note || f->how.quiet || f->how.silent)
                        continue;
                follow_make_room(f);
                if (strncmp(note, name, strlen(name)) == 0)
                        say_note("%s", note);
                else
                        say_note("%s: %s", name, note);
        }
}

static int follow_on_time(sd_event_source *s, uint64_t at, void *userdata) {
        struct follow *f = userdata;
        int r;

        (void)s;
        (void)at;
        if (f->gone_usec != 0)
                r = follow_return(f);
        else
                r = 0;
        if (!f->over)
                follow_say_notes(f);
        lines_resize(f->lines, say_columns(STDOUT_FILENO));
        if (r >= 0)
                r = lines_tick(f->lines, clock_monotonic_usec());
        if (r >= 0)
                r = follow_flush(f);
        return r == -ENOMEM ? follow_no_memory(f) : r;
}

static int follow_arm(struct follow *f) {
        uint64_t at = lines_deadline(f->lines);
        uint64_t again = clock_monotonic_usec() + CLIENT_AGAIN_USEC;
        int r;

        if (f->gone_usec != 0 && again < at)
                at = again;
        for (size_t i = 0; i < f->n_runs; i++)
                if (f->runs[i].note_usec < at)
                        at = f->runs[i].note_usec;
        if (at == USEC_NEVER)
                return sd_event_source_set_enabled(f->timer, SD_EVENT_OFF);
        r = sd_event_source_set_time(f->timer, at);
        return r < 0 ? r : sd_event_source_set_enabled(f->timer, SD_EVENT_ONESHOT);
}

static int follow_on_interrupt(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        struct follow *f = userdata;

        (void)s;
        (void)fd;
        (void)events;
        return follow_end(f, STATUS_DETACHED);
}

/* ---- the whole ---- */

int follow_new(struct follow **ret, struct client *c, const struct follow_how *how) {
        CLEANUP(follow_free) struct follow *f = calloc(1, sizeof(*f));
        int r;

        if (!f) {
                say_no_memory();
                return STATUS_INFRA;
        }
        f->client = c;
        f->how = *how;
        client_on_signal(c, follow_on_signal, f);
        r = client_watch(c, CLIENT_RUNS | CLIENT_STREAMS);
        if (r < 0)
                return client_failed(c, NULL, r);
        *ret = TAKE(f);
        return 0;
}

struct follow *follow_free(struct follow *f) {
        if (!f)
                return NULL;
        client_on_signal(f->client, NULL, NULL);
        sd_event_source_unref(f->timer);
        sd_event_source_unref(f->pump);
        sd_event_source_unref(f->interrupt);
        if (f->event)
                sd_bus_detach_event(client_bus(f->client));
        sd_event_unref(f->event);
        for (size_t i = 0; i < f->n_runs; i++)
                followed_done(&f->runs[i]);
        free(f->runs);
        lines_free(f->lines);
        free(f);
        return NULL;
}

int follow_add(struct follow *f, const struct json_at *run) {
        CLEANUP(buf_done) struct buf json = {0};
        struct followed *runs = realloc(f->runs, (f->n_runs + 1) * sizeof(*runs));
        int q = -ENOMEM;

        if (runs) {
                f->runs = runs;
                followed_init(&runs[f->n_runs++], f->how.stream);
                q = json_print(run, &json);
                if (q >= 0)
                        q = follow_heard(f, &runs[f->n_runs - 1], buf_text(&json));
                if (q >= 0 && f->how.from_now)
                        followed_skip(&runs[f->n_runs - 1]);
        }
        if (q < 0)
                (void)follow_no_memory(f);
        return f->status;
}

static int follow_prepare(struct follow *f) {
        const struct lines_look look = {
                .terminal = isatty(STDOUT_FILENO),
                .raw = f->how.raw,
                .colour = say_colour(STDOUT_FILENO),
                .prefix = f->n_runs > 1,
                .columns = say_columns(STDOUT_FILENO),
        };
        int r;

        r = lines_new(&f->lines, &look);
        for (size_t i = 0; i < f->n_runs && r >= 0; i++)
                r = f->runs[i].source = lines_add(f->lines, f->runs[i].info.target);
        if (r >= 0)
                r = sd_event_new(&f->event);
        if (r >= 0)
                r = sd_bus_attach_event(client_bus(f->client), f->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_event_add_time(f->event, &f->timer, CLOCK_MONOTONIC, 0, 1000, follow_on_time,
                                      f);
        if (r >= 0)
                r = sd_event_source_set_enabled(f->timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(f->event, &f->pump, follow_on_pump, f);
        if (r >= 0)
                r = sd_event_source_set_enabled(f->pump, SD_EVENT_ON);
        if (r >= 0)
                r = sd_event_source_set_priority(f->pump, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = interrupt_fd();
        if (r >= 0)
                r = sd_event_add_io(f->event, &f->interrupt, r, EPOLLIN, follow_on_interrupt, f);
        return r;
}

static void follow_detached(struct follow *f, const char *name) {
        bool going = false;

        for (size_t i = 0; i < f->n_runs; i++)
                going = going || !followed_ended(&f->runs[i]);
        follow_make_room(f);
        if (isatty(STDERR_FILENO)) /* the terminal has echoed ^C */
                (void)say_write(STDERR_FILENO, "\n", 1);
        if (going)
                say_note("Detached; the run%s on. rota watch %s", f->n_runs == 1 ? " goes" : "s go",
                         f->n_runs == 1 ? f->runs[0].run : name);
}

int follow_run(struct follow *f, const char *name) {
        int r = follow_prepare(f);

        while (r >= 0 && !f->over) {
                r = follow_arm(f);
                if (r >= 0)
                        r = sd_event_run(f->event, UINT64_MAX);
        }
        if (r < 0) {
                say_error("%s", strerror(-r));
                return STATUS_INFRA;
        }
        if (f->status == STATUS_DETACHED)
                follow_detached(f, name);
        follow_make_room(f);
        return f->status;
}

enum status follow_verdict(const struct follow *f) {
        enum status worst = STATUS_PASSED;

        for (size_t i = 0; i < f->n_runs; i++) {
                const struct runinfo *r = &f->runs[i].info;

                if (runinfo_ended(r))
                        worst = status_worst(worst,
                                             status_of_run(r->verdict, r->refusal, r->cause));
        }
        return worst;
}

int follow_say_table(const struct follow *f) {
        static const char *const heads[] = {"TARGET", "VERDICT", "TIME", "RUN", "CAUSE", NULL};
        CLEANUP(buf_done) struct buf out = {0};
        CLEANUP(table_done) struct table t;

        table_init(&t, heads);
        for (size_t i = 0; i < f->n_runs; i++) {
                const struct runinfo *r = &f->runs[i].info;
                CLEANUP(buf_done) struct buf span = {0};

                when_print_span(&span, r->started_usec, r->ended_usec);
                table_put(&t, TABLE_PLAIN, r->target);
                table_put(&t, runinfo_tone(r), runinfo_outcome(r));
                table_put(&t, TABLE_PLAIN, buf_text(&span));
                table_put(&t, TABLE_PLAIN, r->run);
                table_put(&t, TABLE_PLAIN, runinfo_why(r));
        }
        if (table_print(&t, 0, 0, say_colour(STDERR_FILENO), "\n", &out) < 0)
                return -ENOMEM;
        return say_write(STDERR_FILENO, buf_text(&out), out.len);
}

static void follow_say_next(enum status s, const struct runinfo *r) {
        switch (s) {
        case STATUS_INFRA:
                say_hint("try: rota why %s, rota show %s", r->target, r->run);
                break;
        case STATUS_BUSY:
                say_hint("try: the same without --if-idle; it waits for its turn then");
                break;
        case STATUS_TIMEOUT:
        case STATUS_DENIED:
        case STATUS_USAGE:
                say_hint("try: rota show %s", r->run);
                break;
        case STATUS_PASSED:
        case STATUS_FAILED:
        case STATUS_NOTHING:
        case STATUS_CANCELLED:
        case STATUS_DETACHED:
                break;
        }
}

void follow_say_errors(const struct follow *f, bool with_causes) {
        unsigned said = 0;

        for (size_t i = 0; i < f->n_runs; i++) {
                const struct runinfo *r = &f->runs[i].info;
                enum status s = status_of_run(r->verdict, r->refusal, r->cause);

                if (!runinfo_ended(r) || s == STATUS_PASSED || s == STATUS_FAILED)
                        continue;
                if (with_causes)
                        say_error("%s: %s%s%s", r->target, runinfo_outcome(r),
                                  *runinfo_why(r) ? ": " : "", runinfo_why(r));
                if (said & 1U << s)
                        continue;
                said |= 1U << s;
                follow_say_next(s, r);
        }
}

int follow_print_runs(const struct follow *f, struct buf *out) {
        struct json_writer w;

        json_writer_init(&w, out);
        json_begin_array(&w, NULL);
        for (size_t i = 0; i < f->n_runs; i++)
                json_put_raw(&w, NULL, f->runs[i].json);
        json_end_array(&w);
        return buf_check(out);
}
