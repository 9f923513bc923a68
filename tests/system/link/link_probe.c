/*
 * A small program on top of link.h, for tests: it prints what happens as lines and obeys lines.
 *
 *   stdout   online FULL-JID · offline CAUSE RETRY-USEC DETAIL · stanza XML · trace in|out TEXT · drained ·
 *            echo … · burst … · sent RESULT
 *   stdin    send XML · echo SIZE COUNT · burst COUNT SIZE · trace on|off · stop · quit
 *
 * `echo` sends messages to itself, one after the other, and prints how long they took there and back.
 * `burst` sends them as fast as the link takes them, BURST_WINDOW under way, and checks that each arrives
 * once and in order.
 */
#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/link/link.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#define NS_PROBE "urn:rota:probe"
#define ECHO_MAX 100000
/* servers drop what piles up beyond some thousands */
#define BURST_WINDOW 400

struct probe {
        sd_event *event;
        struct link *link;
        bool quiet;
        bool stopping;
        struct buf input;

        size_t echo_size;
        unsigned echo_count;
        unsigned echo_done;
        uint64_t echo_sent_usec;
        uint64_t *echo_times;

        size_t burst_size;
        unsigned burst_count;
        unsigned burst_sent;
        unsigned burst_seen;
        unsigned burst_wrong;
        uint64_t burst_begin_usec;
};

static void send_payload(struct probe *p, const char *kind, unsigned number, size_t size) {
        CLEANUP(buf_done) struct buf text = {0};

        buf_printf(&text, "<message to='%s' type='normal'><%s xmlns='" NS_PROBE "' n='%u'>",
                   link_full_jid(p->link), kind, number);
        buf_reserve(&text, size);
        for (size_t i = 0; i < size; i++)
                buf_putc(&text, (char)('A' + i % 26));
        buf_printf(&text, "</%s></message>", kind);
        if (buf_check(&text) == 0)
                link_send(p->link, text.data, text.len);
}

static int compare_u64(const void *a, const void *b) {
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return (x > y) - (x < y);
}

static void echo_next(struct probe *p) {
        p->echo_sent_usec = clock_monotonic_usec();
        send_payload(p, "echo", p->echo_done, p->echo_size);
}

static void echo_came(struct probe *p) {
        if (p->echo_done >= p->echo_count)
                return;
        p->echo_times[p->echo_done++] = clock_monotonic_usec() - p->echo_sent_usec;
        if (p->echo_done < p->echo_count) {
                echo_next(p);
                return;
        }
        qsort(p->echo_times, p->echo_count, sizeof(*p->echo_times), compare_u64);
        printf("echo size=%zu count=%u p50=%" PRIu64 " p99=%" PRIu64 " max=%" PRIu64 "\n",
               p->echo_size, p->echo_count, p->echo_times[p->echo_count / 2],
               p->echo_times[p->echo_count * 99 / 100], p->echo_times[p->echo_count - 1]);
}

static void burst_more(struct probe *p) {
        while (p->burst_sent < p->burst_count && p->burst_sent - p->burst_seen < BURST_WINDOW &&
               !link_full(p->link))
                send_payload(p, "burst", p->burst_sent++, p->burst_size);
}

static void burst_came(struct probe *p, const struct xml *x) {
        const char *n = xml_attr(x, "n");
        CLEANUP(arena_done) struct arena arena = {0};

        if (!n || strtoul(n, NULL, 10) != p->burst_seen ||
            strlen(xml_text(x, &arena)) != p->burst_size)
                p->burst_wrong++;
        if (++p->burst_seen != p->burst_count) {
                burst_more(p);
                return;
        }
        printf("burst count=%u size=%zu wrong=%u usec=%" PRIu64 "\n", p->burst_count, p->burst_size,
               p->burst_wrong, clock_monotonic_usec() - p->burst_begin_usec);
}

static void on_online(void *userdata, const char *full_jid) {
        static const char presence[] = "<presence/>";
        struct probe *p = userdata;

        printf("online %s\n", full_jid);
        link_send(p->link, presence, sizeof(presence) - 1);
}

static void on_offline(void *userdata, enum link_cause cause, const char *detail,
                       uint64_t retry_usec) {
        struct probe *p = userdata;

        printf("offline %s %" PRIu64 " %s\n", link_cause_name(cause), retry_usec, detail);
        if (p->stopping)
                sd_event_exit(p->event, 0);
}

/* Servers end sessions that do not answer. */
static void answer_ping(struct probe *p, const struct xml *stanza) {
        CLEANUP(buf_done) struct buf text = {0};
        const char *from = xml_attr(stanza, "from");
        struct xml_writer w;

        if (!xml_child(stanza, "ping", "urn:xmpp:ping"))
                return;
        xml_writer_init(&w, &text);
        xml_begin(&w, "iq", NULL);
        xml_put(&w, "type", "result");
        xml_put(&w, "id", xml_attr(stanza, "id"));
        xml_put(&w, "to", from);
        xml_end(&w);
        if (buf_check(&text) == 0)
                link_send(p->link, text.data, text.len);
}

static void on_stanza(void *userdata, const struct xml *stanza) {
        CLEANUP(buf_done) struct buf text = {0};
        struct probe *p = userdata;
        const struct xml *x;

        x = xml_child(stanza, "echo", NS_PROBE);
        if (x) {
                echo_came(p);
                return;
        }
        x = xml_child(stanza, "burst", NS_PROBE);
        if (x) {
                burst_came(p, x);
                return;
        }
        answer_ping(p, stanza);
        if (!p->quiet && xml_print(&text, stanza, false) == 0)
                printf("stanza %s\n", buf_text(&text));
}

static void on_trace(void *userdata, enum link_direction direction, const char *text, size_t len) {
        (void)userdata;
        printf("trace %s %.*s\n", direction == LINK_IN ? "in" : "out", (int)len, text);
}

static void on_drained(void *userdata) {
        struct probe *p = userdata;

        if (!p->quiet)
                printf("drained\n");
        burst_more(p);
}

static void obey(struct probe *p, const char *line) {
        size_t size;
        unsigned count;

        if (strncmp(line, "send ", 5) == 0) {
                printf("sent %d\n", link_send(p->link, line + 5, strlen(line + 5)));
        } else if (sscanf(line, "echo %zu %u", &size, &count) == 2 && count > 0 &&
                   count <= ECHO_MAX) {
                free(p->echo_times);
                p->echo_times = calloc(count, sizeof(*p->echo_times));
                p->echo_size = size;
                p->echo_count = p->echo_times ? count : 0;
                p->echo_done = 0;
                echo_next(p);
        } else if (sscanf(line, "burst %u %zu", &count, &size) == 2) {
                p->burst_count = count;
                p->burst_size = size;
                p->burst_sent = p->burst_seen = p->burst_wrong = 0;
                p->burst_begin_usec = clock_monotonic_usec();
                burst_more(p);
        } else if (strcmp(line, "trace on") == 0 || strcmp(line, "trace off") == 0) {
                link_set_trace(p->link, line[7] == 'n');
        } else if (strcmp(line, "stop") == 0) {
                p->stopping = true;
                link_stop(p->link);
        } else if (strcmp(line, "quit") == 0) {
                sd_event_exit(p->event, 0);
        } else {
                printf("what? %s\n", line);
        }
}

static int on_input(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        struct probe *p = userdata;
        char piece[4096], *end;
        ssize_t n;

        (void)events;
        n = read(fd, piece, sizeof(piece));
        if (n <= 0) {
                sd_event_source_set_enabled(s, SD_EVENT_OFF);
                return 0;
        }
        if (buf_append(&p->input, piece, (size_t)n) < 0)
                return -ENOMEM;
        while (p->input.len > 0 && (end = memchr(p->input.data, '\n', p->input.len))) {
                *end = '\0';
                obey(p, p->input.data);
                buf_consume(&p->input, (size_t)(end + 1 - p->input.data));
        }
        return 0;
}

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *info, void *userdata) {
        struct probe *p = userdata;

        (void)s;
        (void)info;
        p->stopping = true;
        link_stop(p->link);
        return 0;
}

static const struct link_ops ops = {
        .online = on_online,
        .offline = on_offline,
        .stanza = on_stanza,
        .trace = on_trace,
        .drained = on_drained,
};

static const struct option options[] = {
        {"jid",             required_argument, NULL, 'j'},
        {"resource",        required_argument, NULL, 'r'},
        {"password",        required_argument, NULL, 'p'},
        {"server",          required_argument, NULL, 's'},
        {"ca",              required_argument, NULL, 'c'},
        {"connect-timeout", required_argument, NULL, 'C'},
        {"keepalive",       required_argument, NULL, 'k'},
        {"trace",           no_argument,       NULL, 't'},
        {"quiet",           no_argument,       NULL, 'q'},
        {NULL,              0,                 NULL, 0  },
};

static uint64_t seconds(const char *text) {
        return (uint64_t)(strtod(text, NULL) * 1e6);
}

static int run(struct probe *p, const struct link_config *config, bool trace) {
        sigset_t signals;
        int r;

        sigemptyset(&signals);
        sigaddset(&signals, SIGTERM);
        sigaddset(&signals, SIGINT);
        sigprocmask(SIG_BLOCK, &signals, NULL);
        r = sd_event_new(&p->event);
        if (r >= 0)
                r = sd_event_add_signal(p->event, NULL, SIGTERM, on_signal, p);
        if (r >= 0)
                r = sd_event_add_io(p->event, NULL, STDIN_FILENO, EPOLLIN, on_input, p);
        if (r >= 0)
                r = link_new(&p->link, p->event, config, &ops, p);
        if (r < 0)
                return r;
        link_set_trace(p->link, trace);
        r = link_start(p->link);
        if (r < 0)
                return r;
        return sd_event_loop(p->event);
}

int main(int argc, char **argv) {
        struct link_config config = {.resource = "probe"};
        struct probe p = {0};
        bool trace = false;
        int o, r;

        setvbuf(stdout, NULL, _IOLBF, 0);
        while ((o = getopt_long(argc, argv, "", options, NULL)) != -1) {
                switch (o) {
                case 'j':
                        config.jid = optarg;
                        break;
                case 'r':
                        config.resource = optarg;
                        break;
                case 'p':
                        config.password = optarg;
                        break;
                case 's':
                        config.server = optarg;
                        break;
                case 'c':
                        config.ca_file = optarg;
                        break;
                case 'C':
                        config.connect_timeout_usec = seconds(optarg);
                        break;
                case 'k':
                        config.keepalive_usec = seconds(optarg);
                        break;
                case 't':
                        trace = true;
                        break;
                case 'q':
                        p.quiet = true;
                        break;
                default:
                        return 2;
                }
        }
        if (!config.jid || !config.password) {
                fprintf(stderr, "link-probe: --jid and --password are needed\n");
                return 2;
        }
        r = run(&p, &config, trace);
        if (r < 0)
                fprintf(stderr, "link-probe: %s\n", strerror(-r));
        link_free(p.link);
        sd_event_unref(p.event);
        buf_done(&p.input);
        free(p.echo_times);
        return r < 0 ? 1 : 0;
}
