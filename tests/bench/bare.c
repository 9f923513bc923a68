/*
 * The yardstick of the bench: a bare libstrophe sender and receiver on the same server.
 *
 *   bare recv JID PASSWORD HOST PORT CA                       prints "ready", then counts and returns credit
 *   bare send JID PASSWORD HOST PORT CA TO SIZE COUNT         prints "seconds bytes" when all credit is back
 *   bare ping JID PASSWORD HOST PORT CA TO COUNT              prints one round trip in microseconds a line
 *
 * A body of SIZE letters a message, at most WINDOW messages without credit, nothing stored, nothing
 * synced: what the library and the server can do at most.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strophe.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#define WINDOW 200
#define CREDIT_EVERY 50

enum mode {
        MODE_RECV,
        MODE_SEND,
        MODE_PING,
};

struct bare {
        enum mode mode;
        xmpp_ctx_t *ctx;
        const char *to;
        char *body;
        unsigned long count;
        unsigned long sent;
        unsigned long credited;
        unsigned long seen;
        size_t size;
        uint64_t started_usec;
        uint64_t asked_usec;
        int fd; /* of the connection */
        bool over;
        int status;
};

/* The sockopt callback of libstrophe takes no user data. */
static struct bare bare = {.fd = -1};

static uint64_t now_usec(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static int set_nodelay(xmpp_conn_t *conn, void *sock) {
        struct bare *b = &bare;
        int one = 1;

        (void)conn;
        b->fd = *(int *)sock;
        return setsockopt(b->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* libstrophe reads 4 KiB a call and looks for nothing but input: call it until nothing is left, then sleep until the
 * socket can do something. */
static void turn(struct bare *b, xmpp_conn_t *conn) {
        struct pollfd p = {.fd = b->fd, .events = POLLIN};
        int waiting = 0;

        do {
                for (int i = 0; i < 5; i++)
                        xmpp_run_once(b->ctx, 0);
                if (b->fd < 0 || ioctl(b->fd, FIONREAD, &waiting) < 0)
                        break;
        } while (waiting > 0 && !b->over);
        if (xmpp_conn_send_queue_len(conn) > 0)
                p.events |= POLLOUT;
        poll(&p, 1, 20);
}

static void send_more(struct bare *b, xmpp_conn_t *conn) {
        char head[512];

        while (b->sent < b->count && b->sent - b->credited < WINDOW) {
                int n = snprintf(head, sizeof(head), "<message to='%s' type='headline'><body>",
                                 b->to);

                xmpp_send_raw(conn, head, (size_t)n);
                xmpp_send_raw(conn, b->body, b->size);
                xmpp_send_raw(conn, "</body></message>", 17);
                b->sent++;
        }
}

static void send_ping(struct bare *b, xmpp_conn_t *conn) {
        char text[512];
        int n = snprintf(text, sizeof(text),
                         "<iq to='%s' type='get' id='p%lu'><ping xmlns='urn:xmpp:ping'/></iq>",
                         b->to, b->sent++);

        b->asked_usec = now_usec();
        xmpp_send_raw(conn, text, (size_t)n);
}

static int on_message(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *userdata) {
        struct bare *b = userdata;
        char text[512];

        if (b->mode == MODE_RECV) {
                if (++b->seen % CREDIT_EVERY == 0) {
                        int n = snprintf(
                                text, sizeof(text),
                                "<message to='%s' type='headline'><body>c</body></message>",
                                xmpp_stanza_get_from(stanza));

                        xmpp_send_raw(conn, text, (size_t)n);
                }
                return 1;
        }
        b->credited += CREDIT_EVERY;
        if (b->credited >= b->count) {
                printf("%.6f %zu\n", (double)(now_usec() - b->started_usec) / 1e6,
                       b->size * (size_t)b->count);
                b->over = true;
                return 1;
        }
        send_more(b, conn);
        return 1;
}

static int on_iq(xmpp_conn_t *conn, xmpp_stanza_t *stanza, void *userdata) {
        struct bare *b = userdata;
        const char *type = xmpp_stanza_get_type(stanza);
        char text[512];

        if (type && strcmp(type, "get") == 0) {
                int n = snprintf(text, sizeof(text), "<iq to='%s' type='result' id='%s'/>",
                                 xmpp_stanza_get_from(stanza), xmpp_stanza_get_id(stanza));

                xmpp_send_raw(conn, text, (size_t)n);
        } else if (b->mode == MODE_PING) {
                printf("%lu\n", (unsigned long)(now_usec() - b->asked_usec));
                if (b->sent >= b->count)
                        b->over = true;
                else
                        send_ping(b, conn);
        }
        return 1;
}

static void on_conn(xmpp_conn_t *conn, xmpp_conn_event_t status, int error,
                    xmpp_stream_error_t *stream_error, void *userdata) {
        struct bare *b = userdata;

        (void)stream_error;
        if (status != XMPP_CONN_CONNECT) {
                if (!b->over)
                        fprintf(stderr, "bare: disconnected (%d)\n", error);
                b->over = true;
                b->status = 1;
                return;
        }
        xmpp_handler_add(conn, on_message, NULL, "message", NULL, b);
        xmpp_handler_add(conn, on_iq, NULL, "iq", NULL, b);
        xmpp_send_raw(conn, "<presence/>", 11);
        b->started_usec = now_usec();
        if (b->mode == MODE_RECV) {
                printf("ready %s\n", xmpp_conn_get_bound_jid(conn));
                fflush(stdout);
        } else if (b->mode == MODE_SEND)
                send_more(b, conn);
        else
                send_ping(b, conn);
}

int main(int argc, char **argv) {
        xmpp_conn_t *conn;

        if (argc >= 7 && strcmp(argv[1], "recv") == 0)
                bare.mode = MODE_RECV;
        else if (argc >= 10 && strcmp(argv[1], "send") == 0)
                bare.mode = MODE_SEND;
        else if (argc >= 9 && strcmp(argv[1], "ping") == 0)
                bare.mode = MODE_PING;
        else {
                fputs("usage: bare recv|send|ping JID PASSWORD HOST PORT CA [TO [SIZE] COUNT]\n",
                      stderr);
                return 2;
        }
        if (bare.mode == MODE_SEND) {
                bare.to = argv[7];
                bare.size = strtoul(argv[8], NULL, 10);
                bare.count = strtoul(argv[9], NULL, 10) / CREDIT_EVERY * CREDIT_EVERY;
                bare.body = malloc(bare.size + 1);
                if (!bare.body)
                        return 1;
                for (size_t i = 0; i < bare.size; i++)
                        bare.body[i] = (char)('a' + i % 26);
        } else if (bare.mode == MODE_PING) {
                bare.to = argv[7];
                bare.count = strtoul(argv[8], NULL, 10);
        }
        xmpp_initialize();
        bare.ctx = xmpp_ctx_new(NULL, NULL);
        conn = xmpp_conn_new(bare.ctx);
        xmpp_conn_set_flags(conn, XMPP_CONN_FLAG_DISABLE_SM | XMPP_CONN_FLAG_MANDATORY_TLS);
        xmpp_conn_set_jid(conn, argv[2]);
        xmpp_conn_set_pass(conn, argv[3]);
        xmpp_conn_set_cafile(conn, argv[6]);
        xmpp_conn_set_sockopt_callback(conn, set_nodelay);
        if (xmpp_connect_client(conn, argv[4], (unsigned short)atoi(argv[5]), on_conn, &bare) !=
            XMPP_EOK)
                return 1;
        while (!bare.over)
                turn(&bare, conn);
        fflush(stdout);
        free(bare.body);
        return bare.status;
}
