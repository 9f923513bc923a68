#include "proto/link/link.h"

#include "proto/backoff.h"
#include "proto/base/clock.h"
#include "proto/jid.h"
#include "proto/link/conn.h"
#include "proto/link/resolve.h"
#include "proto/link/tls.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strophe.h>
#include <sys/random.h>

#define CONNECT_TIMEOUT_USEC (15 * USEC_PER_SEC)
#define KEEPALIVE_USEC (60 * USEC_PER_SEC)

/* After a restart of the server all of them are back within this and what a login takes. */
#define PACE_MAX_USEC (6 * USEC_PER_SEC)

/* What an address may take when others wait behind it. */
#define ADDRESS_MIN_USEC (2 * USEC_PER_SEC)
/* A session that lived so long shows that all is well again. */
#define SETTLED_USEC (5 * USEC_PER_SEC)

enum state {
        STATE_IDLE,
        STATE_RESOLVING,
        STATE_TRYING, /* connecting, or in session */
        STATE_WAITING,
        STATE_STOPPING,
};

struct link {
        sd_event *event;
        struct link_ops ops;
        void *userdata;
        char *full_jid; /* asked for */
        char *domain;
        char *password;
        char *server;
        char *ca_file;
        uint64_t connect_timeout_usec;
        uint64_t keepalive_usec;
        bool trace;

        enum state state;
        struct resolve *resolve;
        struct resolve_address addresses[RESOLVE_MAX];
        size_t n_addresses;
        size_t at;
        uint64_t deadline_usec;
        struct conn *conn;
        uint64_t online_usec; /* since when, 0: never in this try */
        uint64_t heard_usec;
        sd_event_source *timer;

        struct backoff pace;       /* the network's and the server's troubles pass */
        struct backoff slow;       /* a wrong password or certificate waits for a person */
        struct backoff contention; /* two machines with one account must not fight */
};

static const char *const cause_names[] = {
        [LINK_CLOSED] = "closed",
        [LINK_RESOLVE] = "no-address",
        [LINK_REFUSED] = "refused",
        [LINK_TIMEOUT] = "timeout",
        [LINK_CERTIFICATE] = "certificate",
        [LINK_AUTH] = "wrong-password",
        [LINK_CONFLICT] = "conflict",
        [LINK_LOST] = "lost",
        [LINK_STREAM_ERROR] = "stream-error",
};

static const char *const cause_texts[] = {
        [LINK_CLOSED] = "The connection was closed by us.",
        [LINK_RESOLVE] = "The server's name has no address. Check \"server\" in the configuration, "
                         "or the name service.",
        [LINK_REFUSED] = "Nobody listens at the server's address, or it cannot be reached. Is the "
                         "server running, and are host and port right?",
        [LINK_TIMEOUT] = "The server does not answer. Check the network between here and there, "
                         "and the server itself.",
        [LINK_CERTIFICATE] = "The server's certificate is not trusted. Check \"ca_file\", the "
                             "certificate's dates, and that it names the domain of our JID.",
        [LINK_AUTH] = "The server refused user or password. Check \"jid\" and the password file, "
                      "and that the account exists.",
        [LINK_CONFLICT] = "Another connection took our place. Does a second machine use the same "
                          "account and resource?",
        [LINK_LOST] = "The connection ended. It is made again by itself.",
        [LINK_STREAM_ERROR] = "The server ended the stream with an error.",
};

const char *link_cause_name(enum link_cause cause) {
        assert((size_t)cause < ARRAY_SIZE(cause_names));
        return cause_names[cause];
}

const char *link_cause_text(enum link_cause cause) {
        assert((size_t)cause < ARRAY_SIZE(cause_texts));
        return cause_texts[cause];
}

/*
 * A try, and the next
 */

static uint64_t retry_after(struct link *l, enum link_cause cause) {
        switch (cause) {
        case LINK_AUTH:
        case LINK_CERTIFICATE:
                return backoff_next(&l->slow);
        case LINK_CONFLICT:
                return backoff_next(&l->contention);
        case LINK_CLOSED:
        case LINK_RESOLVE:
        case LINK_REFUSED:
        case LINK_TIMEOUT:
        case LINK_LOST:
        case LINK_STREAM_ERROR:
                break;
        }
        return backoff_next(&l->pace);
}

static void arm(struct link *l, uint64_t at_usec) {
        sd_event_source_set_time(l->timer, at_usec);
        sd_event_source_set_enabled(l->timer, SD_EVENT_ONESHOT);
}

static void drop_conn(struct link *l) {
        if (!l->conn)
                return;
        l->heard_usec = conn_heard_usec(l->conn);
        l->conn = conn_free(l->conn);
}

static void try_failed(struct link *l, enum link_cause cause, const char *detail) {
        uint64_t now = clock_monotonic_usec(), retry;
        char text[600];

        /* it may lie in what is freed here */
        snprintf(text, sizeof(text), "%s", detail ? detail : "");
        drop_conn(l);
        l->resolve = resolve_free(l->resolve);
        if (l->state == STATE_STOPPING) {
                l->state = STATE_IDLE;
                sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
                l->ops.offline(l->userdata, LINK_CLOSED, text, USEC_NEVER);
                return;
        }
        if (l->online_usec && now - l->online_usec >= SETTLED_USEC) {
                backoff_reset(&l->pace);
                backoff_reset(&l->contention);
        }
        if (l->online_usec)
                backoff_reset(&l->slow);
        retry = retry_after(l, cause);
        l->state = STATE_WAITING;
        arm(l, now + retry);
        l->ops.offline(l->userdata, cause, text, retry);
}

static int next_address(struct link *l);

static void on_online(void *userdata, const char *full_jid) {
        struct link *l = userdata;

        l->online_usec = clock_monotonic_usec();
        l->ops.online(l->userdata, full_jid);
}

static void on_stanza(void *userdata, const struct xml *stanza) {
        struct link *l = userdata;

        l->ops.stanza(l->userdata, stanza);
}

static void on_trace(void *userdata, enum link_direction direction, const char *text, size_t len) {
        struct link *l = userdata;

        if (l->ops.trace)
                l->ops.trace(l->userdata, direction, text, len);
}

static void on_drained(void *userdata) {
        struct link *l = userdata;

        if (l->ops.drained)
                l->ops.drained(l->userdata);
}

static void on_ended(void *userdata, enum link_cause cause, const char *detail) {
        struct link *l = userdata;
        bool elsewhere = cause == LINK_REFUSED || cause == LINK_TIMEOUT || cause == LINK_LOST;
        char text[600];
        int r;

        if (l->state != STATE_STOPPING && !l->online_usec && elsewhere && l->at < l->n_addresses &&
            clock_monotonic_usec() < l->deadline_usec) {
                snprintf(text, sizeof(text), "%s", detail);
                drop_conn(l);
                r = next_address(l);
                if (r < 0)
                        try_failed(l, cause, text);
                return;
        }
        try_failed(l, cause, detail);
}

static const struct conn_ops conn_ops = {
        .online = on_online,
        .stanza = on_stanza,
        .trace = on_trace,
        .drained = on_drained,
        .ended = on_ended,
};

static int next_address(struct link *l) {
        uint64_t now = clock_monotonic_usec();
        uint64_t left = l->deadline_usec > now ? l->deadline_usec - now : 0;
        uint64_t share = left / (l->n_addresses - l->at);
        struct conn_config config = {
                .jid = l->full_jid,
                .password = l->password,
                .ca_file = l->ca_file,
                .address = &l->addresses[l->at],
                .tcp_deadline_usec = now + (share > ADDRESS_MIN_USEC ? share : ADDRESS_MIN_USEC),
                .deadline_usec = l->deadline_usec,
                .keepalive_usec = l->keepalive_usec,
                .trace = l->trace,
        };

        l->at++;
        return conn_new(&l->conn, l->event, &config, &conn_ops, l);
}

static void on_resolved(void *userdata, const struct resolve_address *addresses, size_t n,
                        const char *error) {
        struct link *l = userdata;
        int r;

        if (n == 0) {
                try_failed(l, LINK_RESOLVE, error);
                return;
        }
        memcpy(l->addresses, addresses, n * sizeof(*addresses));
        l->n_addresses = n;
        l->at = 0;
        l->resolve = resolve_free(l->resolve);
        l->state = STATE_TRYING;
        l->deadline_usec = clock_monotonic_usec() + l->connect_timeout_usec;
        r = next_address(l);
        if (r < 0)
                try_failed(l, LINK_LOST, strerror(-r));
}

static void try_begin(struct link *l) {
        int r;

        l->online_usec = 0;
        l->state = STATE_RESOLVING;
        r = resolve_start(&l->resolve, l->event, l->server, l->domain, on_resolved, l);
        if (r < 0)
                try_failed(l, LINK_RESOLVE, strerror(-r));
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct link *l = userdata;

        (void)s;
        (void)usec;
        if (l->state == STATE_STOPPING)
                try_failed(l, LINK_CLOSED, "closed");
        else
                try_begin(l);
        return 0;
}

/*
 * The owner's side
 */

static int copy(char **ret, const char *text) {
        if (!text)
                return 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int copy_config(struct link *l, const struct link_config *config) {
        struct resolve_address unused;
        char bare[JID_SIZE], domain[JID_SIZE];

        if (jid_bare(config->jid, bare) != 0 || jid_domain(config->jid, domain) != 0)
                return -EINVAL;
        if (config->server && resolve_parse(config->server, &unused) != 0)
                return -EINVAL;
        /* without a resource the server makes one up */
        if (asprintf(&l->full_jid, "%s%s%s", bare, config->resource ? "/" : "",
                     config->resource ? config->resource : "") < 0) {
                l->full_jid = NULL;
                return -ENOMEM;
        }
        if (copy(&l->domain, domain) < 0 || copy(&l->password, config->password) < 0 ||
            copy(&l->server, config->server) < 0 || copy(&l->ca_file, config->ca_file) < 0)
                return -ENOMEM;
        l->connect_timeout_usec =
                config->connect_timeout_usec ? config->connect_timeout_usec : CONNECT_TIMEOUT_USEC;
        l->keepalive_usec = config->keepalive_usec ? config->keepalive_usec : KEEPALIVE_USEC;
        return 0;
}

/*
 * The library adds a CA file to the system's authorities. Whoever names one wants that one: any of a hundred public
 * authorities could otherwise vouch for a false server, and reading them takes a megabyte for good. OpenSSL
 * looks for the system's where these variables say.
 */
static int trust_only(const char *ca_file) {
        if (setenv("SSL_CERT_FILE", ca_file, 1) < 0 || setenv("SSL_CERT_DIR", ca_file, 1) < 0)
                return -errno;
        return 0;
}

static int init_backoffs(struct link *l) {
        uint64_t seeds[3];

        if (getrandom(seeds, sizeof(seeds), 0) != sizeof(seeds))
                return -errno;
        backoff_init(&l->pace, 250 * USEC_PER_MSEC, PACE_MAX_USEC, seeds[0]);
        backoff_init(&l->slow, USEC_PER_SEC, 60 * USEC_PER_SEC, seeds[1]);
        backoff_init(&l->contention, 10 * USEC_PER_SEC, 60 * USEC_PER_SEC, seeds[2]);
        return 0;
}

int link_new(struct link **ret, sd_event *event, const struct link_config *config,
             const struct link_ops *ops, void *userdata) {
        CLEANUP(link_free) struct link *l = NULL;
        int r;

        assert(ops->online && ops->offline && ops->stanza);

        /* OpenSSL writes without MSG_NOSIGNAL */
        signal(SIGPIPE, SIG_IGN);
        xmpp_initialize();
        /* without the guard any account could speak for any other: rather no link at all */
        if (!xml_is_guarded())
                return -EPROTO;
        l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->event = sd_event_ref(event);
        l->ops = *ops;
        l->userdata = userdata;
        r = copy_config(l, config);
        if (r == 0 && l->ca_file)
                r = trust_only(l->ca_file);
        if (r == 0)
                r = tls_prepare();
        if (r < 0)
                return r;
        r = init_backoffs(l);
        if (r < 0)
                return r;
        r = sd_event_add_time(event, &l->timer, CLOCK_MONOTONIC, 0, 10 * USEC_PER_MSEC, on_timer,
                              l);
        if (r < 0)
                return r;
        sd_event_source_set_enabled(l->timer, SD_EVENT_OFF);
        *ret = TAKE(l);
        return 0;
}

struct link *link_free(struct link *l) {
        if (!l)
                return NULL;
        conn_free(l->conn);
        resolve_free(l->resolve);
        sd_event_source_disable_unref(l->timer);
        sd_event_unref(l->event);
        if (l->password)
                explicit_bzero(l->password, strlen(l->password));
        free(l->password);
        free(l->full_jid);
        free(l->domain);
        free(l->server);
        free(l->ca_file);
        free(l);
        return NULL;
}

int link_start(struct link *l) {
        if (l->state != STATE_IDLE)
                return -EALREADY;
        l->state = STATE_WAITING;
        arm(l, 0);
        return 0;
}

void link_stop(struct link *l) {
        if (l->state == STATE_IDLE || l->state == STATE_STOPPING)
                return;
        l->resolve = resolve_free(l->resolve);
        if (l->state == STATE_TRYING && l->conn)
                conn_close(l->conn);
        else
                arm(l, 0);
        l->state = STATE_STOPPING;
}

int link_send(struct link *l, const char *text, size_t len) {
        return l->conn ? conn_send(l->conn, text, len) : LINK_OFFLINE;
}

bool link_online(const struct link *l) {
        return l->conn && conn_online(l->conn);
}

bool link_full(const struct link *l) {
        return l->conn && conn_full(l->conn);
}

void link_backlog(const struct link *l, struct link_backlog *ret) {
        *ret = (struct link_backlog){0};
        if (l->conn)
                conn_backlog(l->conn, ret);
}

uint64_t link_heard_usec(const struct link *l) {
        return l->conn ? conn_heard_usec(l->conn) : l->heard_usec;
}

const char *link_full_jid(const struct link *l) {
        return link_online(l) ? conn_full_jid(l->conn) : "";
}

void link_set_trace(struct link *l, bool on) {
        l->trace = on;
        if (l->conn)
                conn_set_trace(l->conn, on);
}
