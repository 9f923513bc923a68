#include "proto/link/conn.h"

#include "proto/base/clock.h"
#include "proto/link/evidence.h"
#include "proto/link/watchdog.h"
#include "proto/sm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strophe.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>

#define TICK_USEC (500 * USEC_PER_MSEC)       /* while connecting and closing only */
#define HANDSHAKE_MAX_USEC (6 * USEC_PER_SEC) /* what a silent TLS handshake may block the loop */
#define CLOSE_MAX_USEC (2 * USEC_PER_SEC)
#define ANSWER_MAX_USEC (15 * USEC_PER_SEC) /* to a keep-alive */
#define IO_EVENTS (EPOLLIN | EPOLLOUT | EPOLLET)
#define PUMP_MAX_USEC (20 * USEC_PER_MSEC) /* then other event sources have their turn */

/* Longer than the servers' own pings are apart (deploy/: 5 s): only a connection whose server has forgotten it is ever
 * silent for so long, and the kernel's probe then brings the reset out. */
#define TCP_IDLE_SEC 7
#define TCP_INTERVAL_SEC 5
#define TCP_SILENCE_MSEC 15000

/* What libstrophe is given at a time: pieces of one TLS record, enough of them to fill a socket buffer in
 * one call of the library. */
#define PIECE_SIZE ((size_t)16384)
#define PIECES_MAX 16

#define FULL_SIZE ((size_t)1 << 20)
#define KEEP_SIZE ((size_t)64 << 10) /* an empty buffer larger than this is given back */

#define KEEPALIVE_ID "rota-keepalive"
#define KEEPALIVE_PING "<iq type='get' id='" KEEPALIVE_ID "'><ping xmlns='urn:xmpp:ping'/></iq>"

enum phase {
        PHASE_CONNECTING,
        PHASE_ONLINE,
        PHASE_CLOSING,
        PHASE_ENDED,
};

/* What the kernel counts for the socket: it moves when anything moved. */
struct traffic {
        uint64_t received;
        uint64_t acked;
        int in_queue;
        int out_queue;
};

struct conn {
        sd_event *event; /* borrowed */
        struct conn_ops ops;
        void *userdata;
        char *address; /* "host:port", for people */
        char *ca_file;
        char *full_jid;
        uint64_t tcp_deadline_usec;
        uint64_t deadline_usec; /* of the session; when closing, of that */
        uint64_t keepalive_usec;
        uint64_t asked_usec; /* when the unanswered keep-alive went out, or 0 */
        uint64_t heard_usec;
        uint64_t heard_bytes; /* received until then */
        bool trace;

        xmpp_log_t log;
        xmpp_ctx_t *ctx;
        xmpp_conn_t *xmpp;
        int fd; /* our own duplicate: the library closes its descriptor when it likes */
        sd_event_source *io;
        sd_event_source *soon;
        sd_event_source *timer;

        enum phase phase;
        bool pumping;
        bool reported;
        bool goodbye; /* the end of the stream is with the library */
        struct evidence seen;
        struct watchdog watchdog; /* while the library may block */
        enum link_cause cause;
        char detail[512];

        struct sm sm;
        struct buf out;
        size_t out_done;           /* bytes of `out` that the library has */
        bool choked;               /* `out` passed FULL_SIZE, and `drained` is due */
        uint64_t queued;           /* bytes that `out` was given, ever */
        size_t pieces[PIECES_MAX]; /* ring: sizes of what the library was given last */
        size_t n_pieces;           /* ever */
};

/* Two of libstrophe's callbacks are given no userdata and no way to attach some: the connection that is calling
 * into the library right now. One thread, so there is one. */
static struct conn *calling;

/*
 * The end
 */

static bool has_ended(const struct conn *c) {
        return c->phase == PHASE_ENDED;
}

__attribute__((format(printf, 3, 4))) static void end(struct conn *c, enum link_cause cause,
                                                      const char *format, ...) {
        char text[400];
        va_list ap;

        if (has_ended(c))
                return;
        va_start(ap, format);
        vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        c->phase = PHASE_ENDED;
        c->cause = cause;
        if (cause == LINK_CLOSED)
                snprintf(c->detail, sizeof(c->detail), "%s", text);
        else
                snprintf(c->detail, sizeof(c->detail), "%s: %s", c->address, text);
}

/* Must be the last thing an event does: the owner may free @c. */
static void settle(struct conn *c) {
        if (!has_ended(c) || c->reported)
                return;
        c->reported = true;
        sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        c->ops.ended(c->userdata, c->cause, c->detail);
}

__attribute__((format(printf, 2, 3))) static void trace_phase(struct conn *c, const char *format,
                                                              ...) {
        char text[400];
        va_list ap;
        int n;

        if (!c->trace || !c->ops.trace)
                return;
        va_start(ap, format);
        n = vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        if (n > 0)
                c->ops.trace(c->userdata, LINK_OUT, text, strlen(text));
}

static void trace_text(struct conn *c, enum link_direction direction, const char *text,
                       size_t len) {
        if (c->trace && c->ops.trace)
                c->ops.trace(c->userdata, direction, text, len);
}

static void trace_stanza(struct conn *c, const struct xml *stanza) {
        CLEANUP(buf_done) struct buf text = {0};

        if (!c->trace || !c->ops.trace)
                return;
        if (xml_print(&text, stanza, false) == 0)
                c->ops.trace(c->userdata, LINK_IN, buf_text(&text), text.len);
}

/*
 * What the library says while it connects
 */

static const char *const stage_texts[] = {
        [STAGE_TCP] = "connecting",
        [STAGE_STREAM] = "connected",
        [STAGE_TLS] = "TLS handshake",
        [STAGE_LOGIN] = "encrypted; login (not shown)",
};

static void on_log(void *userdata, xmpp_log_level_t level, const char *area, const char *text) {
        struct conn *c = userdata;
        enum stage before = c->seen.stage;

        (void)level;
        (void)area;
        if (has_ended(c))
                return;
        evidence_log(&c->seen, text, c->ca_file);
        if (c->seen.stage != before)
                trace_phase(c, "<!-- %s: %s -->", c->address, stage_texts[c->seen.stage]);
        if (c->seen.hopeless)
                end(c, c->seen.cause, "%s", c->seen.detail);
}

/* @why is the TLS library's sentence. 0: do not go on. */
static int on_untrusted(const xmpp_tlscert_t *cert, const char *const why) {
        evidence_untrusted(&calling->seen, why, xmpp_tlscert_get_string(cert, XMPP_CERT_SUBJECT));
        return 0;
}

static int on_socket(xmpp_conn_t *xmpp, void *socket) {
        int fd = *(int *)socket, on = 1, idle = TCP_IDLE_SEC, interval = TCP_INTERVAL_SEC;
        unsigned silence = TCP_SILENCE_MSEC;
        struct conn *c = calling;

        (void)xmpp;
        if (fd >= FD_SETSIZE) { /* the library waits with select() */
                c->seen.connect_errno = EMFILE;
                return -1;
        }
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence, sizeof(silence));
        fd_close(c->fd);
        c->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (c->fd < 0)
                c->seen.connect_errno = errno;
        return c->fd < 0 ? -1 : 0;
}

/*
 * Sending
 */

static size_t pending(const struct conn *c) {
        return c->out.len - c->out_done;
}

static int queue(struct conn *c, const char *text, size_t len) {
        int r;

        /* what the library took is dropped when that is cheap */
        if (c->out_done > 0 && c->out_done >= pending(c)) {
                buf_consume(&c->out, c->out_done);
                c->out_done = 0;
        }
        r = buf_reserve(&c->out, len);
        if (r < 0) {
                /* nothing of it was taken, so the stream is whole */
                c->out.failed = false;
                return r;
        }
        r = buf_append(&c->out, text, len);
        if (r < 0)
                return r;
        c->queued += len;
        if (pending(c) > FULL_SIZE)
                c->choked = true;
        trace_text(c, LINK_OUT, text, len);
        return 0;
}

static void pump_soon(struct conn *c) {
        if (!c->pumping)
                sd_event_source_set_enabled(c->soon, SD_EVENT_ONESHOT);
}

static void queue_own(struct conn *c, const char *text) {
        if (queue(c, text, strlen(text)) < 0)
                end(c, LINK_LOST, "out of memory");
        pump_soon(c);
}

int conn_send(struct conn *c, const char *text, size_t len) {
        int r;

        if (c->phase != PHASE_ONLINE)
                return LINK_OFFLINE;
        r = queue(c, text, len);
        if (r < 0)
                return r;
        sm_sent(&c->sm, sm_count_stanzas(text, len));
        if (sm_ask_due(&c->sm)) {
                queue_own(c, SM_REQUEST);
                sm_asked(&c->sm);
        }
        pump_soon(c);
        return 0;
}

/* Hands the library what it can write at once, in pieces of a TLS record. */
static void feed(struct conn *c) {
        if (c->phase != PHASE_ONLINE && c->phase != PHASE_CLOSING)
                return;
        while (pending(c) > 0 && xmpp_conn_send_queue_len(c->xmpp) < PIECES_MAX) {
                size_t n = pending(c) < PIECE_SIZE ? pending(c) : PIECE_SIZE;
                int before = xmpp_conn_send_queue_len(c->xmpp);

                xmpp_send_raw(c->xmpp, c->out.data + c->out_done, n);
                if (xmpp_conn_send_queue_len(c->xmpp) <= before) {
                        /* it says nothing when it has no memory: a stream with a hole is no stream */
                        end(c, LINK_LOST, "out of memory");
                        return;
                }
                c->out_done += n;
                c->pieces[c->n_pieces++ % PIECES_MAX] = n;
        }
        if (pending(c) > 0)
                return;
        c->out_done = 0;
        if (c->out.cap > KEEP_SIZE)
                buf_done(&c->out);
        else
                buf_clear(&c->out);
        if (c->phase == PHASE_CLOSING && !c->goodbye) {
                c->goodbye = true;
                xmpp_disconnect(c->xmpp);
        }
}

/*
 * Receiving
 */

static void on_sm(struct conn *c, const struct xml *x) {
        char answer[SM_ANSWER_SIZE];

        switch (sm_element(&c->sm, xml_name(x), xml_attr(x, "h"))) {
        case SM_ANSWER:
                sm_answer(&c->sm, answer);
                queue_own(c, answer);
                break;
        case SM_BAD_ACK:
                end(c, LINK_STREAM_ERROR, "the server confirmed stanzas that were never sent");
                break;
        case SM_REFUSED:
        case SM_UNKNOWN:
        default:
                break;
        }
}

/* Answers to what the library or the keep-alive asked. */
static bool is_own_answer(const struct xml *x) {
        const char *id = xml_attr(x, "id"), *type = xml_attr(x, "type");

        if (strcmp(xml_name(x), "iq") != 0 || !id || !type ||
            (strcmp(type, "result") != 0 && strcmp(type, "error") != 0))
                return false;
        return strcmp(id, KEEPALIVE_ID) == 0 || strcmp(id, "_xmpp_bind1") == 0 ||
               strcmp(id, "_xmpp_session1") == 0;
}

static int on_stanza(xmpp_conn_t *xmpp, xmpp_stanza_t *stanza, void *userdata) {
        const struct xml *x = (const struct xml *)stanza;
        struct conn *c = userdata;
        const char *name = xml_name(x);

        (void)xmpp;
        if (c->phase != PHASE_ONLINE && c->phase != PHASE_CLOSING)
                return 1;
        trace_stanza(c, x);
        if (strcmp(xml_ns(x), NS_SM) == 0) {
                on_sm(c, x);
                return 1;
        }
        if (strcmp(name, "message") != 0 && strcmp(name, "presence") != 0 &&
            strcmp(name, "iq") != 0)
                return 1;
        if (c->phase == PHASE_ONLINE && !is_own_answer(x))
                c->ops.stanza(c->userdata, x);
        /* what arrives while closing was not handled, and the server should know */
        if (c->phase == PHASE_ONLINE)
                sm_received(&c->sm);
        return 1;
}

static void on_disconnect(struct conn *c, const xmpp_stream_error_t *stream_error) {
        if (c->phase == PHASE_CLOSING) {
                end(c, LINK_CLOSED, "closed");
                return;
        }
        if (stream_error) {
                evidence_stream_error(&c->seen, stream_error);
        } else if (c->phase == PHASE_ONLINE) {
                end(c, LINK_LOST, "the server closed the connection");
                return;
        } else {
                evidence_conclude(&c->seen, watchdog_fired(&c->watchdog));
        }
        end(c, c->seen.cause, "%s", c->seen.detail);
}

static void on_session(struct conn *c) {
        const char *jid = xmpp_conn_get_bound_jid(c->xmpp);

        c->log.handler = NULL;
        xml_silence(c->ctx);
        c->full_jid = strdup(jid ? jid : xmpp_conn_get_jid(c->xmpp));
        if (!c->full_jid) {
                end(c, LINK_LOST, "out of memory");
                return;
        }
        c->phase = PHASE_ONLINE;
        c->heard_usec = clock_monotonic_usec();
        trace_phase(c, "<!-- %s: online as %s -->", c->address, c->full_jid);
        xmpp_handler_add(c->xmpp, on_stanza, NULL, NULL, NULL, c);
        if (c->seen.sm_offered) {
                queue_own(c, SM_ENABLE);
                sm_enabling(&c->sm);
        }
        sd_event_source_set_time(c->timer, c->heard_usec + c->keepalive_usec);
        c->ops.online(c->userdata, c->full_jid);
}

static void on_connection(xmpp_conn_t *xmpp, xmpp_conn_event_t event, int error,
                          xmpp_stream_error_t *stream_error, void *userdata) {
        struct conn *c = userdata;

        (void)xmpp;
        (void)error; /* an errno, an SSL_ERROR_… or the library's own: they collide, so it says nothing */
        if (has_ended(c))
                return;
        switch (event) {
        case XMPP_CONN_CONNECT:
                on_session(c);
                break;
        case XMPP_CONN_DISCONNECT:
        case XMPP_CONN_FAIL:
                on_disconnect(c, stream_error);
                break;
        case XMPP_CONN_RAW_CONNECT:
                break;
        }
}

/*
 * The pump
 */

static void traffic_read(int fd, struct traffic *ret) {
        struct tcp_info info = {0};
        socklen_t len = sizeof(info);

        *ret = (struct traffic){0};
        if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0) {
                ret->received = info.tcpi_bytes_received;
                ret->acked = info.tcpi_bytes_acked;
        }
        ioctl(fd, SIOCINQ, &ret->in_queue);
        ioctl(fd, SIOCOUTQ, &ret->out_queue);
}

static bool traffic_moved(const struct traffic *a, const struct traffic *b) {
        return a->received != b->received || a->acked != b->acked || a->in_queue != b->in_queue ||
               a->out_queue != b->out_queue;
}

/* Five calls: a TLS record of 16 KiB is read in four, and the fifth sends the replies. */
static void pump_pass(struct conn *c) {
        for (int i = 0; i < 5 && !has_ended(c); i++) {
                feed(c);
                xmpp_run_once(c->ctx, 0);
        }
}

static void pump_watched(struct conn *c, uint64_t now) {
        uint64_t left = c->deadline_usec > now ? c->deadline_usec - now : 0;

        watchdog_arm(&c->watchdog, c->fd, left < HANDSHAKE_MAX_USEC ? left : HANDSHAKE_MAX_USEC);
        pump_pass(c);
        watchdog_disarm(&c->watchdog);
}

static void tell_drained(struct conn *c) {
        if (!c->choked || pending(c) >= FULL_SIZE / 2 || c->phase != PHASE_ONLINE)
                return;
        c->choked = false;
        if (c->ops.drained)
                c->ops.drained(c->userdata);
}

/* Did a callback leave something that the library can take at once? */
static bool has_work(const struct conn *c) {
        if (pending(c) > 0)
                return xmpp_conn_send_queue_len(c->xmpp) < PIECES_MAX;
        return c->phase == PHASE_CLOSING && !c->goodbye;
}

/*
 * More is to be done, after the others. A defer source would not do: to sd-event it is always the one that
 * has waited longest, and as long as a flood lasts no source of the same priority had its turn. An edge that
 * is armed again queues up like everybody; the socket of a living connection can nearly always be
 * written to, and when it cannot, the acknowledgement that frees it is the edge.
 */
static void pump_after_others(struct conn *c) {
        if (!c->io || sd_event_source_set_io_events(c->io, IO_EVENTS) < 0)
                sd_event_source_set_enabled(c->soon, SD_EVENT_ONESHOT);
}

static void pump(struct conn *c) {
        uint64_t begin = clock_monotonic_usec(), now = begin;
        struct traffic before, after;
        unsigned still = 0;

        if (has_ended(c))
                return;
        assert(!c->pumping && !calling);
        c->pumping = true;
        calling = c;
        traffic_read(c->fd, &after);
        while (!has_ended(c) && still < 2) {
                if (now - begin > PUMP_MAX_USEC) {
                        pump_after_others(c);
                        break;
                }
                before = after;
                if (c->phase == PHASE_CONNECTING)
                        pump_watched(c, now);
                else
                        pump_pass(c);
                tell_drained(c);
                traffic_read(c->fd, &after);
                now = clock_monotonic_usec();
                /* since the last time, not since this pump began: what woke us has come before it */
                if (after.received != c->heard_bytes) {
                        c->heard_bytes = after.received;
                        c->heard_usec = now;
                }
                if (traffic_moved(&before, &after) || has_work(c))
                        still = 0;
                else
                        /* bytes that the library leaves lying get one more look, not a busy loop */
                        still += after.in_queue > 0 ? 1 : 2;
        }
        calling = NULL;
        c->pumping = false;
}

static int on_io(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        struct conn *c = userdata;

        (void)s;
        (void)fd;
        (void)events;
        pump(c);
        settle(c);
        return 0;
}

static int on_soon(sd_event_source *s, void *userdata) {
        struct conn *c = userdata;

        (void)s;
        pump(c);
        settle(c);
        return 0;
}

/*
 * Time
 */

/* Returns when to look again. */
static uint64_t keep_alive(struct conn *c, uint64_t now) {
        if (c->asked_usec && c->heard_usec >= c->asked_usec)
                c->asked_usec = 0;
        if (c->asked_usec) {
                if (now < c->asked_usec + ANSWER_MAX_USEC)
                        return c->asked_usec + ANSWER_MAX_USEC;
                end(c, LINK_TIMEOUT, "the server does not answer");
                return USEC_NEVER;
        }
        if (now < c->heard_usec + c->keepalive_usec)
                return c->heard_usec + c->keepalive_usec;
        c->asked_usec = now;
        if (c->sm.state == SM_ON) {
                queue_own(c, SM_REQUEST);
                sm_asked(&c->sm);
        } else {
                queue_own(c, KEEPALIVE_PING);
                sm_sent(&c->sm, 1);
        }
        return now + ANSWER_MAX_USEC;
}

static uint64_t half_way(struct conn *c, uint64_t now) {
        bool late = now >= c->deadline_usec ||
                    (c->seen.stage == STAGE_TCP && now >= c->tcp_deadline_usec);

        if (late && c->phase == PHASE_CLOSING) {
                end(c, LINK_CLOSED, "the server did not close the stream in time");
                return USEC_NEVER;
        }
        if (late) {
                evidence_conclude(&c->seen, true);
                end(c, c->seen.cause, "%s", c->seen.detail);
                return USEC_NEVER;
        }
        pump(c);
        /* the library's own timers need a call now and then */
        return now + TICK_USEC < c->deadline_usec ? now + TICK_USEC : c->deadline_usec;
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct conn *c = userdata;
        uint64_t now = clock_monotonic_usec(), next;

        (void)usec;
        if (has_ended(c)) {
                settle(c);
                return 0;
        }
        if (c->phase == PHASE_ONLINE) {
                next = keep_alive(c, now);
        } else {
                next = half_way(c, now);
                if (c->phase == PHASE_ONLINE)
                        next = c->heard_usec + c->keepalive_usec;
        }
        if (!has_ended(c)) {
                sd_event_source_set_time(s, next);
                sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        }
        settle(c);
        return 0;
}

/*
 * Beginning and end
 */

static int connect_to(struct conn *c, const struct conn_config *config) {
        const struct resolve_address *a = config->address;
        int r;

        c->log = (xmpp_log_t){.handler = on_log, .userdata = c};
        c->ctx = xmpp_ctx_new(NULL, &c->log);
        if (!c->ctx)
                return -ENOMEM;
        c->xmpp = xmpp_conn_new(c->ctx);
        if (!c->xmpp)
                return -ENOMEM;
        xmpp_conn_set_flags(c->xmpp, XMPP_CONN_FLAG_MANDATORY_TLS | XMPP_CONN_FLAG_DISABLE_SM);
        xmpp_conn_set_jid(c->xmpp, config->jid);
        xmpp_conn_set_pass(c->xmpp, config->password);
        if (config->ca_file)
                xmpp_conn_set_cafile(c->xmpp, config->ca_file);
        xmpp_conn_set_certfail_handler(c->xmpp, on_untrusted);
        xmpp_conn_set_sockopt_callback(c->xmpp, on_socket);
        trace_phase(c, "<!-- %s: connecting -->", c->address);
        calling = c;
        errno = 0;
        r = xmpp_connect_client(c->xmpp, a->host, a->port, on_connection, c);
        if (r != XMPP_EOK) {
                int e = c->seen.connect_errno ? c->seen.connect_errno : errno;

                end(c, e == ETIMEDOUT ? LINK_TIMEOUT : LINK_REFUSED, "%s",
                    e ? strerror(e) : "cannot connect");
        }
        calling = NULL;
        return 0;
}

static int watch(struct conn *c) {
        int r;

        r = sd_event_add_defer(c->event, &c->soon, on_soon, c);
        if (r < 0)
                return r;
        r = sd_event_add_time(c->event, &c->timer, CLOCK_MONOTONIC,
                              clock_monotonic_usec() + TICK_USEC, 10 * USEC_PER_MSEC, on_timer, c);
        if (r < 0 || has_ended(c))
                return r;
        return sd_event_add_io(c->event, &c->io, c->fd, IO_EVENTS, on_io, c);
}

int conn_new(struct conn **ret, sd_event *event, const struct conn_config *config,
             const struct conn_ops *ops, void *userdata) {
        CLEANUP(conn_free) struct conn *c = NULL;
        int r;

        assert(!calling);

        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        c->fd = -1;
        c->event = event;
        c->ops = *ops;
        c->userdata = userdata;
        c->trace = config->trace;
        c->tcp_deadline_usec = config->tcp_deadline_usec;
        c->deadline_usec = config->deadline_usec;
        c->keepalive_usec = config->keepalive_usec;
        sm_init(&c->sm);
        if (asprintf(&c->address, "%s port %u", config->address->host, config->address->port) < 0) {
                c->address = NULL;
                return -ENOMEM;
        }
        if (config->ca_file) {
                c->ca_file = strdup(config->ca_file);
                if (!c->ca_file)
                        return -ENOMEM;
        }
        r = connect_to(c, config);
        if (r < 0)
                return r;
        r = watch(c);
        if (r < 0)
                return r;
        *ret = TAKE(c);
        return 0;
}

static void release(struct conn *c) {
        const char *password = xmpp_conn_get_pass(c->xmpp);

        if (password)
                explicit_bzero((char *)password, strlen(password));
        xml_silence(NULL);
        xmpp_conn_release(c->xmpp);
}

struct conn *conn_free(struct conn *c) {
        if (!c)
                return NULL;
        assert(!c->pumping);
        c->phase = PHASE_ENDED;
        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->soon);
        sd_event_source_disable_unref(c->timer);
        /* with the socket shut the library does not wait for the peer's half of the TLS farewell */
        if (c->fd >= 0)
                shutdown(c->fd, SHUT_RDWR);
        if (c->xmpp)
                release(c);
        if (c->ctx)
                xmpp_ctx_free(c->ctx);
        fd_close(c->fd);
        buf_done(&c->out);
        free(c->full_jid);
        free(c->address);
        free(c->ca_file);
        free(c);
        return NULL;
}

void conn_close(struct conn *c) {
        char answer[SM_ANSWER_SIZE];

        if (has_ended(c) || c->phase == PHASE_CLOSING)
                return;
        if (c->phase != PHASE_ONLINE) {
                end(c, LINK_CLOSED, "closed");
                sd_event_source_set_enabled(c->soon, SD_EVENT_ONESHOT);
                return;
        }
        /* a last count, so that nothing we handled is delivered again */
        if (c->sm.state == SM_ON) {
                sm_answer(&c->sm, answer);
                queue_own(c, answer);
        }
        queue_own(c, "<presence type='unavailable'/>");
        sm_sent(&c->sm, 1);
        if (has_ended(c))
                return;
        c->phase = PHASE_CLOSING;
        c->deadline_usec = clock_monotonic_usec() + CLOSE_MAX_USEC;
        sd_event_source_set_time(c->timer, clock_monotonic_usec() + TICK_USEC);
        sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

bool conn_online(const struct conn *c) {
        return c->phase == PHASE_ONLINE;
}

bool conn_full(const struct conn *c) {
        return pending(c) > FULL_SIZE;
}

void conn_backlog(const struct conn *c, struct link_backlog *ret) {
        int in_library = c->phase == PHASE_ONLINE ? xmpp_conn_send_queue_len(c->xmpp) : 0;
        int in_kernel = 0;

        ioctl(c->fd, SIOCOUTQ, &in_kernel);
        *ret = (struct link_backlog){.sent = c->queued,
                                     .waiting = pending(c) + (uint64_t)in_kernel};
        for (size_t i = 0; i < PIECES_MAX && i < (size_t)in_library && i < c->n_pieces; i++)
                ret->waiting += c->pieces[(c->n_pieces - 1 - i) % PIECES_MAX];
}

uint64_t conn_heard_usec(const struct conn *c) {
        return c->heard_usec;
}

const char *conn_full_jid(const struct conn *c) {
        return c->full_jid ? c->full_jid : "";
}

void conn_set_trace(struct conn *c, bool on) {
        c->trace = on;
}
