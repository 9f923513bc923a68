#include "proto/events.h"

#include "proto/base/clock.h"
#include "proto/base/id.h"
#include "proto/json.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define TEXT_MAX 4096
#define LIMIT_MAX 32
#define STREAMS_MAX 64

static const char *const kind_names[] = {
        [EVENT_ACCEPTED] = "accepted",
        [EVENT_STARTED] = "started",
        [EVENT_STEPPED] = "stepped",
        [EVENT_CANCEL] = "cancel",
        [EVENT_ENDED] = "ended",
        [EVENT_REBOOTING] = "rebooting",
        NULL,
};

static const char *const interrupt_names[] = {
        [EVENT_WHOLE] = "no",
        [EVENT_INTERRUPT_FAIL] = "fail",
        [EVENT_INTERRUPT_CONTINUE] = "continue",
        [EVENT_INTERRUPT_RETRY] = "retry",
        NULL,
};

static const char *const verdict_names[] = {
        [VERDICT_NONE] = "",
        [VERDICT_PASSED] = "passed",
        [VERDICT_FAILED] = "failed",
        [VERDICT_NOT_RUN] = "not-run",
        [VERDICT_CANCELLED] = "cancelled",
};

const char *verdict_name(enum verdict v) {
        return verdict_names[v];
}

const char *event_interrupt_name(enum event_interrupt i) {
        return interrupt_names[i];
}

int verdict_parse(const char *name, enum verdict *ret) {
        for (size_t i = VERDICT_PASSED; i < ARRAY_SIZE(verdict_names); i++)
                if (strcmp(name, verdict_names[i]) == 0) {
                        *ret = (enum verdict)i;
                        return 0;
                }
        return 1;
}

/* A fault that was found weighs most; then that somebody did not let it look; then that it could not. */
static int weight(enum verdict v) {
        static const int weights[] = {
                [VERDICT_NONE] = 0,      [VERDICT_PASSED] = 1, [VERDICT_NOT_RUN] = 2,
                [VERDICT_CANCELLED] = 3, [VERDICT_FAILED] = 4,
        };

        return weights[v];
}

enum verdict verdict_worse(enum verdict a, enum verdict b) {
        return weight(b) > weight(a) ? b : a;
}

const char *run_state_name(enum run_state s) {
        static const char *const names[] = {
                [RUN_UNKNOWN] = "unknown",
                [RUN_QUEUED] = "queued",
                [RUN_RUNNING] = "running",
                [RUN_ENDED] = "ended",
        };

        return names[s];
}

static void put_optional(struct json_writer *w, const char *key, const char *value) {
        if (value)
                json_put_str(w, key, value);
}

/* In seconds, as people read it; finer ones with their unit. */
static void put_ttl(struct json_writer *w, uint64_t usec) {
        CLEANUP(buf_done) struct buf text = {0};

        if (usec == 0)
                return;
        if (usec % USEC_PER_SEC == 0) {
                json_put_u64(w, "ttl", usec / USEC_PER_SEC);
                return;
        }
        if (buf_printf(&text, "%juus", (uintmax_t)usec) < 0)
                w->out->failed = true;
        json_put_str(w, "ttl", buf_text(&text));
}

/* Which clock is counted: without its boot id the number says nothing. */
static void put_boot(struct json_writer *w, const struct event *e) {
        put_optional(w, "boot", e->boot);
        if (e->boot && e->up_usec > 0)
                json_put_u64(w, "up", e->up_usec);
}

static void put_attempt(struct json_writer *w, const struct event *e) {
        json_put_u64(w, "step", e->step);
        if (e->attempt > 1)
                json_put_u64(w, "attempt", e->attempt);
}

static void put_stepped(struct json_writer *w, const struct event *e) {
        put_attempt(w, e);
        json_put_str(w, "verdict", verdict_name(e->verdict));
        put_optional(w, "cause", e->cause);
        put_optional(w, "limit", e->limit);
        if (e->interrupted != EVENT_WHOLE)
                json_put_str(w, "interrupted", interrupt_names[e->interrupted]);
        put_optional(w, "boot", e->boot);
        if (e->exit_status >= 0)
                json_put_i64(w, "exit", e->exit_status);
        if (e->signal > 0)
                json_put_i64(w, "signal", e->signal);
        json_put_u64(w, "elapsed", e->elapsed_usec);
        json_begin_array(w, "streams");
        for (size_t i = 0; i < e->n_streams; i++) {
                json_begin_object(w, NULL);
                json_put_str(w, "name", e->streams[i].name);
                json_put_u64(w, "size", e->streams[i].size);
                put_optional(w, "sha256", e->streams[i].sha256);
                if (e->streams[i].dropped)
                        json_put_u64(w, "dropped", e->streams[i].dropped);
                json_end_object(w);
        }
        json_end_array(w);
}

int event_write(const struct event *e, struct buf *out) {
        struct json_writer w;

        json_writer_init(&w, out);
        json_begin_object(&w, NULL);
        json_put_u64(&w, "t", e->realtime_usec);
        json_put_str(&w, "ev", kind_names[e->kind]);
        switch (e->kind) {
        case EVENT_ACCEPTED:
                json_put_str(&w, "run", e->run);
                json_put_str(&w, "owner", e->owner);
                put_optional(&w, "by", e->by);
                put_boot(&w, e);
                put_ttl(&w, e->ttl_usec);
                break;
        case EVENT_STARTED:
                put_attempt(&w, e);
                json_put_u64(&w, "of", e->of);
                put_optional(&w, "title", e->title);
                put_boot(&w, e);
                break;
        case EVENT_REBOOTING:
                json_put_u64(&w, "step", e->step);
                put_boot(&w, e);
                break;
        case EVENT_STEPPED:
                put_stepped(&w, e);
                break;
        case EVENT_CANCEL:
                put_optional(&w, "by", e->by);
                break;
        case EVENT_ENDED:
                json_put_str(&w, "verdict", verdict_name(e->verdict));
                put_optional(&w, "cause", e->cause);
                break;
        }
        json_end_object(&w);
        return buf_putc(out, '\n');
}

/* @ret stays NULL when the key is absent. */
static int read_text(const struct json_at *at, const char *key, size_t max, struct arena *a,
                     const char **ret) {
        const char *text = NULL;
        int r;

        r = json_get_str(at, key, &text);
        if (r != 0 || !text)
                return r;
        if (strlen(text) > max)
                return json_fail(at, "%s is longer than %zu bytes", key, max);
        *ret = arena_strdup(a, text);
        return *ret ? 0 : -ENOMEM;
}

static int read_needed(const struct json_at *at, const char *key, size_t max, struct arena *a,
                       const char **ret) {
        int r = read_text(at, key, max, a, ret);

        if (r == 0 && !*ret)
                return json_fail(at, "%s is missing", key);
        return r;
}

static int read_count(const struct json_at *at, const char *key, unsigned *ret) {
        uint64_t value = 0;
        int r;

        r = json_get_u64(at, key, &value);
        if (r != 0)
                return r;
        if (value == 0 || value > PLAN_STEPS_MAX)
                return json_fail(at, "%s is not between 1 and %d", key, PLAN_STEPS_MAX);
        *ret = (unsigned)value;
        return 0;
}

static int read_status(const struct json_at *at, const char *key, int *ret) {
        int64_t value = *ret;
        int r;

        r = json_get_i64(at, key, &value);
        if (r != 0)
                return r;
        if (value < -1 || value > 255)
                return json_fail(at, "%s is out of range", key);
        *ret = (int)value;
        return 0;
}

static int read_verdict(const struct json_at *at, enum verdict *ret) {
        const char *name = NULL;
        int r;

        r = json_get_str(at, "verdict", &name);
        if (r != 0)
                return r;
        if (!name || verdict_parse(name, ret) != 0)
                return json_fail(at, "verdict is not one of passed, failed, not-run, cancelled");
        return 0;
}

/* A stream's name becomes a file's name on the other side. */
static int read_stream(const struct json_at *at, struct arena *a, struct event_stream *s) {
        int r;

        r = read_needed(at, "name", ID_MAX, a, &s->name);
        if (r != 0)
                return r;
        if (!id_valid(s->name))
                return json_fail(at, "that is no name of a stream");
        r = json_get_u64(at, "size", &s->size);
        if (r == 0)
                r = json_get_u64(at, "dropped", &s->dropped);
        if (r == 0)
                r = read_text(at, "sha256", SHA256_HEX_SIZE - 1, a, &s->sha256);
        if (r != 0)
                return r;
        if (s->sha256 && (strlen(s->sha256) != SHA256_HEX_SIZE - 1 ||
                          s->sha256[strspn(s->sha256, "0123456789abcdef")]))
                return json_fail(at, "sha256 is not 64 hexadecimal digits");
        return 0;
}

static int read_streams(const struct json_at *at, struct arena *a, struct event *e) {
        struct event_stream *streams;
        struct json_at list, item;
        size_t n;
        int r;

        r = json_get(at, "streams", &list);
        if (r == JSON_ABSENT)
                return 0;
        if (r != 0)
                return r;
        n = json_length(&list);
        if (json_type(&list) != JSON_ARRAY || n > STREAMS_MAX)
                return json_fail(&list, "streams is a list of at most %d", STREAMS_MAX);
        streams = arena_alloc(a, (n + 1) * sizeof(*streams));
        if (!streams)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++) {
                r = json_item(&list, i, &item);
                if (r == 0)
                        r = read_stream(&item, a, &streams[i]);
                if (r != 0)
                        return r;
                for (size_t j = 0; j < i; j++)
                        if (strcmp(streams[j].name, streams[i].name) == 0)
                                return json_fail(&item, "this stream is named twice");
        }
        e->streams = streams;
        e->n_streams = n;
        return 0;
}

static int read_boot(const struct json_at *at, struct arena *a, struct event *e) {
        int r = read_text(at, "boot", ID_MAX - 1, a, &e->boot);

        return r == 0 ? json_get_u64(at, "up", &e->up_usec) : r;
}

static int read_accepted(const struct json_at *at, struct arena *a, struct event *e) {
        int r;

        r = read_needed(at, "run", ID_MAX, a, &e->run);
        if (r != 0)
                return r;
        if (!id_valid(e->run))
                return json_fail(at, "that is no run id");
        r = read_needed(at, "owner", TEXT_MAX, a, &e->owner);
        if (r == 0)
                r = read_text(at, "by", TEXT_MAX, a, &e->by);
        if (r == 0)
                r = read_boot(at, a, e);
        if (r == 0)
                r = json_get_duration(at, "ttl", &e->ttl_usec);
        return r;
}

static int read_attempt(const struct json_at *at, struct event *e) {
        int r = read_count(at, "step", &e->step);
        struct json_at attempt;

        e->attempt = 1;
        if (r != 0 || json_get(at, "attempt", &attempt) != 0)
                return r;
        return read_count(at, "attempt", &e->attempt);
}

static int read_started(const struct json_at *at, struct arena *a, struct event *e) {
        int r;

        r = read_attempt(at, e);
        if (r == 0)
                r = read_count(at, "of", &e->of);
        if (r != 0)
                return r;
        if (e->step > e->of)
                return json_fail(at, "step %u of %u", e->step, e->of);
        r = read_text(at, "title", TEXT_MAX, a, &e->title);
        return r == 0 ? read_boot(at, a, e) : r;
}

static int read_interrupted(const struct json_at *at, enum event_interrupt *ret) {
        struct json_at how;
        int r, k = EVENT_WHOLE;

        r = json_get(at, "interrupted", &how);
        if (r == 0)
                r = json_enum(&how, interrupt_names, &k);
        else if (r == JSON_ABSENT)
                r = 0;
        *ret = (enum event_interrupt)k;
        return r;
}

static int read_stepped(const struct json_at *at, struct arena *a, struct event *e) {
        int r;

        r = read_attempt(at, e);
        if (r == 0)
                r = read_verdict(at, &e->verdict);
        if (r == 0)
                r = read_interrupted(at, &e->interrupted);
        if (r == 0)
                r = read_text(at, "boot", ID_MAX - 1, a, &e->boot);
        if (r == 0)
                r = read_text(at, "cause", TEXT_MAX, a, &e->cause);
        if (r == 0)
                r = read_text(at, "limit", LIMIT_MAX, a, &e->limit);
        if (r == 0)
                r = read_status(at, "exit", &e->exit_status);
        if (r == 0)
                r = read_status(at, "signal", &e->signal);
        if (r == 0)
                r = json_get_u64(at, "elapsed", &e->elapsed_usec);
        if (r == 0)
                r = read_streams(at, a, e);
        return r;
}

static int read_event(const struct json_at *at, struct arena *a, struct event *e) {
        struct json_at t, kind;
        int r, k;

        r = json_get(at, "t", &t);
        if (r == JSON_ABSENT)
                return json_fail(at, "t is missing");
        if (r == 0)
                r = json_u64(&t, &e->realtime_usec);
        if (r != 0)
                return r;
        r = json_get(at, "ev", &kind);
        if (r == JSON_ABSENT)
                return json_fail(at, "ev is missing");
        if (r == 0)
                r = json_enum(&kind, kind_names, &k);
        if (r != 0)
                return r;
        e->kind = (enum event_kind)k;
        switch (e->kind) {
        case EVENT_ACCEPTED:
                return read_accepted(at, a, e);
        case EVENT_STARTED:
                return read_started(at, a, e);
        case EVENT_STEPPED:
                return read_stepped(at, a, e);
        case EVENT_REBOOTING:
                r = read_count(at, "step", &e->step);
                return r == 0 ? read_boot(at, a, e) : r;
        case EVENT_CANCEL:
                return read_text(at, "by", TEXT_MAX, a, &e->by);
        case EVENT_ENDED:
                r = read_verdict(at, &e->verdict);
                return r == 0 ? read_text(at, "cause", TEXT_MAX, a, &e->cause) : r;
        }
        return JSON_BAD;
}

int event_read(const char *line, size_t len, struct arena *a, struct event *ret) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct event e = {.exit_status = -1};
        struct json_at root;
        int r;

        r = json_parse(&doc, "events", line, len);
        if (r != 0)
                return r;
        root = json_root(doc);
        r = read_event(&root, a, &e);
        if (r != 0)
                return r;
        *ret = e;
        return 0;
}

static void boot_copy(char to[static 64], const char *boot) {
        size_t n = boot ? strnlen(boot, 63) : 0;

        if (n > 0)
                memcpy(to, boot, n);
        to[n] = '\0';
}

static void fold_accepted(struct run_fold *f, const struct event *e) {
        if (f->state != RUN_UNKNOWN)
                return; /* the first word counts */
        boot_copy(f->accepted_boot, e->boot);
        f->accepted_up_usec = e->up_usec;
        f->state = RUN_QUEUED;
        f->accepted_usec = e->realtime_usec;
        f->ttl_usec = e->ttl_usec;
        f->exit_status = -1;
}

static void fold_started(struct run_fold *f, const struct event *e) {
        f->state = RUN_RUNNING;
        f->step = e->step;
        f->of = e->of;
        f->attempt = e->attempt > 0 ? e->attempt : 1;
        f->step_open = true;
        f->rebooting = false;
        boot_copy(f->step_boot, e->boot);
        f->step_usec = e->realtime_usec;
        f->started_up_usec = e->up_usec;
        f->rebooting_up_usec = 0;
        if (f->started_usec == 0)
                f->started_usec = e->realtime_usec;
}

static void fold_stepped(struct run_fold *f, const struct event *e) {
        f->step = e->step;
        f->attempt = e->attempt > 0 ? e->attempt : 1;
        f->step_open = f->rebooting = false;
        f->exit_status = e->exit_status;
        f->last = e->verdict;
        f->interrupted = e->interrupted;
        f->interruptions = e->interrupted == EVENT_WHOLE ? 0 : f->interruptions + 1;
        if (e->interrupted != EVENT_INTERRUPT_RETRY)
                f->worst = verdict_worse(f->worst, e->verdict);
}

void run_fold_event(struct run_fold *f, const struct event *e) {
        if (f->state == RUN_ENDED)
                return; /* nothing comes after the end */
        switch (e->kind) {
        case EVENT_ACCEPTED:
                fold_accepted(f, e);
                break;
        case EVENT_STARTED:
                fold_started(f, e);
                break;
        case EVENT_STEPPED:
                fold_stepped(f, e);
                break;
        case EVENT_REBOOTING:
                f->rebooting = f->step_open;
                f->rebooting_up_usec = e->up_usec;
                break;
        case EVENT_CANCEL:
                f->cancel_asked = true;
                break;
        case EVENT_ENDED:
                f->state = RUN_ENDED;
                f->verdict = e->verdict;
                f->ended_usec = e->realtime_usec;
                f->step_open = f->rebooting = false;
                break;
        }
}
