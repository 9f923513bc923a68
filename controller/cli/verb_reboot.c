#include "controller/api.h"
#include "controller/cli/interrupt.h"
#include "controller/cli/say.h"
#include "controller/cli/verb.h"
#include "proto/base/clock.h"
#include "proto/units.h"

#include <errno.h>
#include <string.h>

#define REBOOT_WAIT_USEC (10 * USEC_PER_MINUTE)

struct reboot_options {
        bool force;
        bool drain;
        bool wait;
        bool no_wait;
        const char *reason;
        uint64_t timeout_usec;
};

static const struct option_row reboot_options[] = {
        OPTION_FLAG_ROW(struct reboot_options, force, 0, "force",
                        "Also while a run goes on; it is interrupted"),
        OPTION_FLAG_ROW(struct reboot_options, drain, 0, "drain",
                        "Start nothing more, and reboot when the present run has ended"),
        OPTION_TEXT_ROW(struct reboot_options, reason, 0, "reason", "TEXT",
                        "For the target's journal"),
        OPTION_FLAG_ROW(struct reboot_options, wait, 0, "wait",
                        "Show how it goes, until it is back (the default)"),
        OPTION_FLAG_ROW(struct reboot_options, no_wait, 0, "no-wait",
                        "Do not wait until it is back"),
        OPTION_DURATION_ROW(struct reboot_options, timeout_usec, 0, "timeout", "TIME",
                            "How long to wait until it is back (10m)"),
        OPTION_END_ROW,
};

struct reboot_wait {
        struct client *client;
        sd_event *event;
        bool quiet;
        bool over;
        char *json;
        int status;
};

static int reboot_end(struct reboot_wait *w, int status) {
        w->over = true;
        w->status = status;
        return 0;
}

static const char *reboot_step_words(const char *step) {
        static const struct {
                const char *step;
                const char *words;
        } rows[] = {
                {"asked",   "asked"               },
                {"going",   "agreed and goes down"},
                {"gone",    "is gone"             },
                {"overdue", "is overdue"          },
                {"back",    "is back"             },
        };

        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                if (strcmp(rows[i].step, step) == 0)
                        return rows[i].words;
        return step;
}

static void reboot_progress(const char *json) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root;
        const char *target = NULL;
        const char *step = NULL;
        const char *text = NULL;
        CLEANUP(buf_done) struct buf after = {0};
        uint64_t elapsed = 0;

        if (json_parse(&doc, "progress", json, strlen(json)) != 0)
                return;
        root = json_root(doc);
        if (json_get_str(&root, "target", &target) != 0 || !target ||
            json_get_str(&root, "step", &step) != 0 || !step)
                return;
        (void)json_get_str(&root, "text", &text);
        (void)json_get_u64(&root, "elapsed_usec", &elapsed);
        if (strcmp(step, "asked") != 0) {
                buf_puts(&after, " after ");
                units_print_duration(&after, elapsed);
        }
        say_note("%s %s%s%s%s", target, reboot_step_words(step), buf_text(&after),
                 text && *text ? ": " : "", text ? text : "");
}

static int reboot_on_signal(void *userdata, const char *signal, sd_bus_message *m) {
        struct reboot_wait *w = userdata;
        const char *json;
        int r;

        if (strcmp(signal, "Disconnected") == 0) {
                if (!w->over) {
                        (void)client_failed(w->client, NULL, -ECONNRESET);
                        say_hint("a reboot that was agreed goes on; try: rota why TARGET");
                }
                return reboot_end(w, STATUS_INFRA);
        }
        if (strcmp(signal, "Progress") != 0 || w->quiet)
                return 0;
        r = sd_bus_message_read(m, "s", &json);
        if (r < 0)
                return r;
        reboot_progress(json);
        return 0;
}

static int reboot_on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct reboot_wait *w = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);
        const char *json;
        int r;

        (void)error;
        if (w->over)
                return 0;
        if (e)
                return reboot_end(w, client_failed(w->client, e, -sd_bus_error_get_errno(e)));
        r = sd_bus_message_read(m, "s", &json);
        if (r < 0)
                return reboot_end(w, client_failed(w->client, NULL, r));
        w->json = strdup(json);
        if (!w->json)
                say_no_memory();
        return reboot_end(w, w->json ? 0 : STATUS_INFRA);
}

static int reboot_on_interrupt(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        (void)s;
        (void)fd;
        (void)events;
        say_note("No longer waiting; what was agreed with a target goes on. rota why TARGET");
        return reboot_end(userdata, STATUS_DETACHED);
}

static int reboot_call(struct reboot_wait *w, const char *selector, const char *options,
                       uint64_t timeout_usec) {
        sd_bus_message *m = NULL;
        int r;

        r = sd_event_new(&w->event);
        if (r >= 0)
                r = interrupt_fd();
        if (r >= 0)
                r = sd_event_add_io(w->event, NULL, r, EPOLLIN, reboot_on_interrupt, w);
        if (r >= 0)
                r = sd_bus_attach_event(client_bus(w->client), w->event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0)
                r = sd_bus_message_new_method_call(client_bus(w->client), &m, NULL, API_PATH,
                                                   API_INTERFACE, "Reboot");
        if (r >= 0)
                r = sd_bus_message_append(m, "ss", selector, options);
        if (r >= 0)
                r = sd_bus_call_async(client_bus(w->client), NULL, m, reboot_on_answer, w,
                                      timeout_usec + CLIENT_TIMEOUT_USEC);
        sd_bus_message_unref(m);
        while (r >= 0 && !w->over)
                r = sd_event_run(w->event, UINT64_MAX);
        client_on_signal(w->client, NULL, NULL);
        sd_bus_detach_event(client_bus(w->client));
        sd_event_unref(w->event);
        return r < 0 ? client_failed(w->client, NULL, r) : w->status;
}

/* Returns 0 or JSON_BAD. */
static int reboot_put(struct table *t, const struct json_at *at, bool waited, enum status *worst,
                      struct buf *stuck) {
        CLEANUP(buf_done) struct buf took = {0};
        const char *target = NULL;
        const char *error = NULL;
        const char *before = NULL;
        const char *after = NULL;
        uint64_t usec = 0;
        uint64_t status = STATUS_INFRA;
        bool ok = false;
        bool simulated = false;
        int r;

        r = json_get_str(at, "target", &target);
        if (r == 0)
                r = json_get_bool(at, "ok", &ok);
        if (r == 0)
                r = json_get_str(at, "error", &error);
        if (r == 0)
                r = json_get_bool(at, "simulated", &simulated);
        if (r == 0)
                r = json_get_str(at, "boot_before", &before);
        if (r == 0)
                r = json_get_str(at, "boot_after", &after);
        if (r == 0)
                r = json_get_u64(at, "took_usec", &usec);
        if (r == 0)
                r = json_get_u64(at, "exit", &status);
        if (r != 0)
                return r;
        if (ok)
                status = STATUS_PASSED;
        else if (status == STATUS_PASSED || status > STATUS_CANCELLED)
                status = STATUS_INFRA;
        *worst = status_worst(*worst, (enum status)status);
        if (status == STATUS_INFRA && stuck->len == 0 && target)
                buf_puts(stuck, target);
        if (usec > 0)
                units_print_duration(&took, usec);
        table_put(t, TABLE_PLAIN, target);
        table_printf(t, ok ? TABLE_GOOD : TABLE_BAD, "%s%s",
                     ok ? waited ? "rebooted" : "agreed" : "not rebooted",
                     ok && simulated ? " (simulated)" : "");
        table_put(t, TABLE_PLAIN, buf_text(&took));
        if (before && after && *before && *after)
                table_printf(t, TABLE_FAINT, "%.8s -> %.8s", before, after);
        else
                table_put(t, TABLE_PLAIN, NULL);
        table_put(t, TABLE_PLAIN, error);
        return 0;
}

static int reboot_table(struct table *t, const char *json, bool waited, enum status *worst,
                        struct buf *stuck) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
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
                        r = reboot_put(t, &at, waited, worst, stuck);
        }
        if (r != 0) {
                say_error("the controller's answer cannot be read: %s", json_error(doc));
                return STATUS_INFRA;
        }
        return 0;
}

static int reboot_request(const struct reboot_options *o, uint64_t timeout_usec, struct buf *out) {
        struct json_writer w;

        json_writer_init(&w, out);
        json_begin_object(&w, NULL);
        json_put_str(&w, "mode", o->force ? "force" : o->drain ? "drain" : "graceful");
        if (o->reason)
                json_put_str(&w, "reason", o->reason);
        json_put_bool(&w, "wait", !o->no_wait);
        json_put_u64(&w, "timeout_usec", timeout_usec);
        json_end_object(&w);
        return buf_check(out);
}

static int verb_reboot_run(const struct call *call) {
        static const char *const heads[] = {"TARGET", "OUTCOME", "TOOK", "BOOT", "WHY", NULL};
        const struct reboot_options *o = call->options;
        uint64_t timeout = o->timeout_usec ? o->timeout_usec : REBOOT_WAIT_USEC;
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(buf_done) struct buf selector = {0};
        CLEANUP(buf_done) struct buf request = {0};
        CLEANUP(buf_done) struct buf stuck = {0};
        CLEANUP(mem_free) char *json = NULL;
        CLEANUP(table_done) struct table t;
        struct reboot_wait wait = {.quiet = call->quiet || call->json};
        enum status worst = STATUS_PASSED;
        int r;

        table_init(&t, heads);
        if (o->force && o->drain) {
                say_error("--force does not wait for the present run, --drain does: take one of "
                          "them");
                return STATUS_USAGE;
        }
        if (o->wait && o->no_wait) {
                say_error("--wait and --no-wait: take one of them");
                return STATUS_USAGE;
        }
        r = verb_selector(call, 0, call->n, &selector);
        if (r == 0 && reboot_request(o, timeout, &request) < 0)
                r = STATUS_INFRA;
        if (r == 0)
                r = client_new(&c, call->socket);
        if (r != 0)
                return r;
        wait.client = c;
        client_on_signal(c, reboot_on_signal, &wait);
        r = reboot_call(&wait, buf_text(&selector), buf_text(&request), timeout);
        json = wait.json;
        if (r == 0)
                r = reboot_table(&t, json, !o->no_wait, &worst, &stuck);
        if (r == 0)
                r = call->json ? verb_print_json(json) : verb_print_whole_table(&t);
        if (r == 0 && stuck.len > 0 && !call->json)
                say_hint("try: rota why %s", buf_text(&stuck));
        return r != 0 ? r : (int)worst;
}

const struct verb verb_reboot = {
        .name = "reboot",
        .usage = "[--force|--drain] [--reason TEXT] [--no-wait] [--timeout TIME] SELECTOR…",
        .summary = "reboot targets, now or not at all",
        .help = "A reboot happens now or is refused; it is never queued. The target is first asked "
                "for a challenge that only "
                "this boot and this connection can answer.\n"
                "A target that is busy refuses, unless --force or --drain is given. It counts as "
                "back when it has "
                "announced another boot id. How long it usually takes is learned from its last "
                "reboots.",
        .options = reboot_options,
        .options_size = sizeof(struct reboot_options),
        .complete = "targets",
        .operands_min = 1,
        .operands_max = -1,
        .run = verb_reboot_run,
};
