#include "controller/cli/interrupt.h"
#include "controller/cli/say.h"
#include "controller/cli/term.h"
#include "controller/cli/verb.h"

#include <errno.h>
#include <string.h>
#include <time.h>

struct trace {
        struct client *client;
        sd_event *event;
        bool json;
        bool colour;
        bool terminal;
        int status;
};

static int trace_end(struct trace *t, int status) {
        t->status = status;
        return sd_event_exit(t->event, 0);
}

static void trace_json(const char *direction, const char *text, struct buf *out) {
        struct json_writer w;

        json_writer_init(&w, out);
        json_begin_object(&w, NULL);
        json_put_str(&w, "direction", direction);
        json_put_str(&w, "text", text);
        json_end_object(&w);
        buf_putc(out, '\n');
}

static void trace_text(const struct trace *t, const char *direction, const char *text,
                       struct buf *out) {
        enum table_tone tone = strcmp(direction, "in") == 0 ? TABLE_GOOD : TABLE_WARN;
        struct timespec now;
        struct tm tm;
        char time[16] = "";
        size_t len = strlen(text);

        clock_gettime(CLOCK_REALTIME, &now);
        if (localtime_r(&now.tv_sec, &tm))
                (void)strftime(time, sizeof(time), "%H:%M:%S", &tm);
        while (len > 0 && text[len - 1] == '\n')
                len--;
        buf_printf(out, "%s%s.%03ld %s%s\n", tone_begin(tone, t->colour), time,
                   now.tv_nsec / 1000000, strcmp(direction, "in") == 0 ? "<-- in" : "--> out",
                   tone_end(tone, t->colour));
        if (t->terminal)
                term_safe_lines(out, text, len);
        else
                buf_append(out, text, len);
        buf_putc(out, '\n');
}

static int trace_on_signal(void *userdata, const char *signal, sd_bus_message *m) {
        CLEANUP(buf_done) struct buf out = {0};
        struct trace *t = userdata;
        const char *direction;
        const char *text;
        int r;

        if (strcmp(signal, "Disconnected") == 0)
                return trace_end(t, client_failed(t->client, NULL, -ECONNRESET));
        if (strcmp(signal, "Trace") != 0)
                return 0;
        r = sd_bus_message_read(m, "ss", &direction, &text);
        if (r < 0)
                return r;
        if (t->json)
                trace_json(direction, text, &out);
        else
                trace_text(t, direction, text, &out);
        r = verb_print(&out);
        return r != 0 ? trace_end(t, r) : 0;
}

static int trace_on_interrupt(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        (void)s;
        (void)fd;
        (void)events;
        return trace_end(userdata, STATUS_PASSED);
}

static int verb_trace_run(const struct call *call) {
        CLEANUP(client_free) struct client *c = NULL;
        struct trace t = {.json = call->json,
                          .colour = say_colour(STDOUT_FILENO),
                          .terminal = isatty(STDOUT_FILENO)};
        int r;

        r = client_new(&c, call->socket);
        if (r != 0)
                return r;
        t.client = c;
        client_on_signal(c, trace_on_signal, &t);
        r = client_watch(c, CLIENT_TRACE);
        if (r >= 0)
                r = sd_event_new(&t.event);
        if (r >= 0)
                r = interrupt_fd();
        if (r >= 0)
                r = sd_event_add_io(t.event, NULL, r, EPOLLIN, trace_on_interrupt, &t);
        if (r >= 0)
                r = sd_bus_attach_event(client_bus(c), t.event, SD_EVENT_PRIORITY_NORMAL);
        if (r >= 0 && !call->quiet && !call->json)
                say_note("Stanzas of the controller's connection; Ctrl-C ends.");
        if (r >= 0)
                r = sd_event_loop(t.event);
        if (r < 0) {
                say_error("%s", strerror(-r));
                t.status = STATUS_INFRA;
        }
        client_on_signal(c, NULL, NULL);
        sd_bus_detach_event(client_bus(c));
        sd_event_unref(t.event);
        return t.status;
}

const struct verb verb_trace = {
        .name = "trace",
        .usage = "",
        .summary = "show every stanza of the controller's connection as it passes",
        .help = "Chunks of output are decoded and passwords are hidden. With --json one object a "
                "line.",
        .run = verb_trace_run,
};
