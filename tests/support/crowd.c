/*
 * A crowd: many light simulated targets in one process, each with a session of its own at a real server.
 *
 *   rota-crowd HOST PORT DOMAIN CA PREFIX COUNT PASSWORD CONTROLLER…
 *
 * The members are PREFIX0000, PREFIX0001, … They speak what a target speaks: TLS, SCRAM-SHA-256, stream management, presence with our
 * element, a subscription to each CONTROLLER; they answer pings, disco#info and syncs, refuse runs, and come back after
 * a loss with the same jitter as the real one. They have no queue, no disk and no steps. Nothing here is shared with the
 * product: it is an independent peer.
 *
 * Commands on standard input, a line each, FROM and TO are numbers (TO excluded):
 *
 *   busy|ready FROM TO   announce that
 *   freeze|thaw FROM TO  stop reading, and so answering; the kernel still acknowledges
 *   leave FROM TO        unavailable presence and the end of the stream; then nothing more
 *   cut FROM TO          the socket is closed without a word; then nothing more
 *   join FROM TO         come (back)
 *   count                says "online N"
 *
 * It says "all N" whenever all that should be online are, and "lost N" when the first of them no longer is.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <expat.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define NS "\x01" /* between a namespace and a name */
#define PAUSE_MIN_MS 250
#define PAUSE_MAX_MS 6000
#define TRY_MS 20000 /* from connect to online */
#define DIGEST 32
#define TRYING_MAX 64 /* logins at the same time: a crowd of one process is not to starve itself */

enum stage {
        AWAY, /* on command */
        WAITING,
        CONNECTING,
        PLAIN,
        HANDSHAKE,
        SECURED, /* the first stream over TLS */
        SCRAM,   /* our first message is sent */
        PROVING, /* our proof is sent */
        LOGGED_IN,
        BINDING,
        ONLINE,
};

struct member {
        int fd;
        enum stage stage;
        unsigned number;
        uint64_t at_ms; /* WAITING: when to try; later: when the try has failed */
        uint64_t pause_ms;
        bool frozen, busy;
        SSL *ssl;
        XML_Parser parser;
        /* what is being read */
        unsigned depth;
        char name[128], child[128], type[16], id[80], from[256], h[16], run[64];
        char text[1024];
        size_t text_len;
        bool sm;
        uint32_t handled;
        bool restart; /* a new stream begins with what comes next */
        char nonce[40];
        char first_bare[80];
        char *out;
        size_t out_len, out_cap;
};

static const char *domain, *prefix, *password;
static char **controllers;
static struct sockaddr_in address;
static SSL_CTX *tls;
static int epoll_fd;
static struct member *members;
static unsigned n_members, n_online, n_trying;
static bool told_all;
static char boot[40];

/* All accounts are copies of one, so that the costly part of SCRAM is done once. */
static struct {
        char salt[128];
        int iterations;
        unsigned char key[DIGEST];
} salted;

static uint64_t now_ms(void) {
        struct timespec t;

        clock_gettime(CLOCK_MONOTONIC, &t);
        return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint64_t dice(uint64_t least, uint64_t most) {
        return least + (uint64_t)random() % (most - least + 1);
}

static void die(const char *what) {
        fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
        ERR_print_errors_fp(stderr);
        exit(1);
}

static unsigned wanted(void) {
        unsigned n = 0;

        for (unsigned i = 0; i < n_members; i++)
                n += members[i].stage != AWAY;
        return n;
}

static void account(void) {
        bool all = n_online == wanted();

        if (all == told_all)
                return;
        told_all = all;
        printf("%s %u\n", all ? "all" : "lost", n_online);
        fflush(stdout);
}

/* ---- a session and its end ---- */

static bool trying(const struct member *m) {
        return m->stage > WAITING && m->stage < ONLINE;
}

static void close_session(struct member *m) {
        if (m->stage == ONLINE)
                n_online--;
        if (trying(m))
                n_trying--;
        if (m->parser)
                XML_ParserFree(m->parser);
        if (m->ssl)
                SSL_free(m->ssl);
        if (m->fd >= 0)
                close(m->fd);
        m->parser = NULL;
        m->ssl = NULL;
        m->fd = -1;
        m->out_len = 0;
        m->sm = false;
        m->handled = 0;
        m->restart = false;
}

static void lose(struct member *m, const char *why) {
        uint64_t most = m->pause_ms * 3 < PAUSE_MAX_MS ? m->pause_ms * 3 : PAUSE_MAX_MS;

        if (getenv("CROWD_TALKS"))
                fprintf(stderr, "%u at stage %d: %s\n", m->number, (int)m->stage, why);
        if (m->stage == ONLINE)
                m->pause_ms = PAUSE_MIN_MS;
        else
                m->pause_ms = dice(PAUSE_MIN_MS, most > PAUSE_MIN_MS ? most : PAUSE_MIN_MS);
        close_session(m);
        m->stage = WAITING;
        m->at_ms = now_ms() + m->pause_ms;
        account();
}

static void watch(struct member *m, uint32_t events) {
        struct epoll_event e = {.events = events, .data.u32 = m->number};

        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, m->fd, &e);
}

static bool flush(struct member *m) {
        size_t done = 0;

        while (done < m->out_len) {
                ssize_t n;

                if (m->ssl) {
                        n = SSL_write(m->ssl, m->out + done, (int)(m->out_len - done));
                        if (n <= 0 && SSL_get_error(m->ssl, (int)n) != SSL_ERROR_WANT_WRITE)
                                return false;
                } else {
                        n = send(m->fd, m->out + done, m->out_len - done, MSG_NOSIGNAL);
                        if (n < 0 && errno != EAGAIN)
                                return false;
                }
                if (n <= 0)
                        break;
                done += (size_t)n;
        }
        memmove(m->out, m->out + done, m->out_len - done);
        m->out_len -= done;
        watch(m, m->frozen ? EPOLLET : m->out_len > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
        return true;
}

static void say(struct member *m, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct member *m, const char *format, ...) {
        va_list ap;
        char text[4096];
        int n;

        va_start(ap, format);
        n = vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        if (n < 0 || (size_t)n >= sizeof(text))
                die("a stanza is too long");
        if (m->out_len + (size_t)n > m->out_cap) {
                m->out_cap = m->out_len + (size_t)n + 512;
                m->out = realloc(m->out, m->out_cap);
                if (!m->out)
                        die("memory");
        }
        memcpy(m->out + m->out_len, text, (size_t)n);
        m->out_len += (size_t)n;
}

static void open_stream(struct member *m) {
        m->restart = true;
        say(m,
            "<?xml version='1.0'?><stream:stream to='%s' version='1.0' xmlns='jabber:client' "
            "xmlns:stream='http://etherx.jabber.org/streams'>",
            domain);
}

static void announce(struct member *m) {
        const char *state = m->busy ? "busy" : "ready";

        say(m,
            "<presence>%s<status>%s</status><nick xmlns='http://jabber.org/protocol/nick'>Member "
            "%u</nick>"
            "<x xmlns='urn:rota:presence:1' role='target' state='%s' boot='%s' sid='c%08x%04u' "
            "queue='0' version='0.1.0'><name>Member %u</name><location>Crowd</location>"
            "<label name='crowd' value='%u'/></x></presence>",
            m->busy ? "<show>dnd</show>" : "", state, m->number, state, boot, (unsigned)m->at_ms,
            m->number, m->number, m->number);
}

/* ---- SCRAM (RFC 5802, RFC 7677) ---- */

static void hmac(const unsigned char *key, const char *text, size_t len,
                 unsigned char ret[static DIGEST]) {
        unsigned n = DIGEST;

        HMAC(EVP_sha256(), key, DIGEST, (const unsigned char *)text, len, ret, &n);
}

static void begin_scram(struct member *m) {
        unsigned char raw[18], coded[256];

        RAND_bytes(raw, sizeof(raw));
        EVP_EncodeBlock((unsigned char *)m->nonce, raw, sizeof(raw));
        for (char *c = m->nonce; *c; c++)
                if (*c == ',' || *c == '=')
                        *c = '.';
        snprintf(m->first_bare, sizeof(m->first_bare), "n=%s%04u,r=%s", prefix, m->number,
                 m->nonce);
        {
                char first[96];
                int n = snprintf(first, sizeof(first), "n,,%s", m->first_bare);

                EVP_EncodeBlock(coded, (unsigned char *)first, n);
        }
        say(m, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>%s</auth>",
            coded);
        m->stage = SCRAM;
}

static bool prove(struct member *m) {
        unsigned char client[DIGEST], stored[DIGEST], signature[DIGEST], salt[128], proof[64];
        char challenge[1024], nonce[256], salt_text[128], last[512], whole[2048], coded[1024];
        unsigned n = DIGEST;
        int iterations, len;

        if (m->text_len == 0 || m->text_len >= sizeof(challenge))
                return false;
        len = EVP_DecodeBlock((unsigned char *)challenge, (unsigned char *)m->text,
                              (int)m->text_len);
        if (len <= 0)
                return false;
        for (size_t pad = m->text_len; pad > 0 && m->text[pad - 1] == '='; pad--)
                len--;
        challenge[len] = '\0';
        if (sscanf(challenge, "r=%255[^,],s=%127[^,],i=%d", nonce, salt_text, &iterations) != 3)
                return false;
        if (strcmp(salted.salt, salt_text) != 0 || salted.iterations != iterations) {
                size_t text = strlen(salt_text);
                int size = EVP_DecodeBlock(salt, (unsigned char *)salt_text, (int)text);

                while (text > 0 && salt_text[text - 1] == '=' && size > 0)
                        text--, size--;
                PKCS5_PBKDF2_HMAC(password, (int)strlen(password), salt, size, iterations,
                                  EVP_sha256(), DIGEST, salted.key);
                snprintf(salted.salt, sizeof(salted.salt), "%s", salt_text);
                salted.iterations = iterations;
        }
        snprintf(last, sizeof(last), "c=biws,r=%s", nonce);
        snprintf(whole, sizeof(whole), "%s,%s,%s", m->first_bare, challenge, last);
        hmac(salted.key, "Client Key", 10, client);
        EVP_Digest(client, DIGEST, stored, &n, EVP_sha256(), NULL);
        hmac(stored, whole, strlen(whole), signature);
        for (size_t i = 0; i < DIGEST; i++)
                client[i] ^= signature[i];
        EVP_EncodeBlock(proof, client, DIGEST);
        len = snprintf(whole, sizeof(whole), "%s,p=%s", last, proof);
        EVP_EncodeBlock((unsigned char *)coded, (unsigned char *)whole, len);
        say(m, "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</response>", coded);
        m->stage = PROVING;
        return true;
}

/* ---- what arrives ---- */

static bool is(const char *have, const char *ns, const char *name) {
        size_t n = strlen(ns);

        return strncmp(have, ns, n) == 0 && have[n] == NS[0] && strcmp(have + n + 1, name) == 0;
}

static void now_online(struct member *m) {
        m->stage = ONLINE;
        n_trying--;
        n_online++;
        m->at_ms = now_ms();
        say(m, "<enable xmlns='urn:xmpp:sm:3'/>");
        announce(m);
        for (char **c = controllers; *c; c++)
                say(m, "<presence type='subscribe' to='%s'/>", *c);
        account();
}

static void on_iq(struct member *m) {
        if (strcmp(m->type, "get") != 0 && strcmp(m->type, "set") != 0)
                return;
        if (is(m->child, "urn:xmpp:ping", "ping") || is(m->child, "urn:rota:stream:1", "sync"))
                say(m, "<iq type='result' id='%s' to='%s'/>", m->id, m->from);
        else if (is(m->child, "http://jabber.org/protocol/disco#info", "query"))
                say(m,
                    "<iq type='result' id='%s' to='%s'><query "
                    "xmlns='http://jabber.org/protocol/disco#info'><identity category='client' "
                    "type='bot' name='rota-crowd'/><feature var='urn:xmpp:ping'/>"
                    "<feature var='urn:rota:presence:1'/></query></iq>",
                    m->id, m->from);
        else
                say(m,
                    "<iq type='error' id='%s' to='%s'><error type='cancel'><service-unavailable "
                    "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
                    m->id, m->from);
}

/* Returns false when the session is over. */
static bool on_element(struct member *m) {
        if (is(m->name, "urn:ietf:params:xml:ns:xmpp-tls", "proceed")) {
                m->ssl = SSL_new(tls);
                SSL_set_fd(m->ssl, m->fd);
                SSL_set_tlsext_host_name(m->ssl, domain);
                SSL_set1_host(m->ssl, domain);
                m->stage = HANDSHAKE;
                return true;
        }
        if (is(m->name, "urn:ietf:params:xml:ns:xmpp-sasl", "challenge"))
                return m->stage == SCRAM && prove(m);
        if (is(m->name, "urn:ietf:params:xml:ns:xmpp-sasl", "success")) {
                m->stage = LOGGED_IN;
                open_stream(m);
                return true;
        }
        if (is(m->name, "http://etherx.jabber.org/streams", "features")) {
                if (m->stage == PLAIN)
                        say(m, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
                else if (m->stage == SECURED)
                        begin_scram(m);
                else if (m->stage == LOGGED_IN) {
                        m->stage = BINDING;
                        say(m,
                            "<iq type='set' id='bind'><bind "
                            "xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>target</resource>"
                            "</bind></iq>");
                }
                return true;
        }
        if (is(m->name, "urn:xmpp:sm:3", "enabled")) {
                m->sm = true;
                m->handled = 0;
                return true;
        }
        if (is(m->name, "urn:xmpp:sm:3", "r")) {
                say(m, "<a xmlns='urn:xmpp:sm:3' h='%u'/>", m->handled);
                return true;
        }
        if (strncmp(m->name, "jabber:client" NS, 14) != 0)
                return strncmp(m->name, "urn:xmpp:sm:3" NS, 14) == 0;
        if (m->sm)
                m->handled++;
        if (is(m->name, "jabber:client", "iq")) {
                if (m->stage == BINDING && strcmp(m->id, "bind") == 0) {
                        if (strcmp(m->type, "result") != 0)
                                return false;
                        now_online(m);
                } else {
                        on_iq(m);
                }
        } else if (is(m->name, "jabber:client", "presence") && strcmp(m->type, "subscribe") == 0) {
                say(m, "<presence type='subscribed' to='%s'/>", m->from);
        } else if (is(m->name, "jabber:client", "message") &&
                   is(m->child, "urn:rota:run:1", "run")) {
                say(m,
                    "<message to='%s'><refused xmlns='urn:rota:run:1' run='%s' why='full' "
                    "text='a member of a crowd runs nothing'/></message>",
                    m->from, m->run);
        }
        return true;
}

static void copy(char *to, size_t size, const char *from) {
        snprintf(to, size, "%s", from);
}

static void on_start(void *userdata, const char *name, const char **attributes) {
        struct member *m = userdata;

        m->depth++;
        if (m->depth == 2) {
                copy(m->name, sizeof(m->name), name);
                m->child[0] = m->type[0] = m->id[0] = m->from[0] = m->h[0] = m->run[0] = '\0';
                m->text_len = 0;
        } else if (m->depth == 3 && !m->child[0]) {
                copy(m->child, sizeof(m->child), name);
        }
        for (; *attributes; attributes += 2) {
                if (m->depth == 3 && strcmp(attributes[0], "id") == 0)
                        copy(m->run, sizeof(m->run), attributes[1]);
                if (m->depth != 2)
                        continue;
                if (strcmp(attributes[0], "type") == 0)
                        copy(m->type, sizeof(m->type), attributes[1]);
                else if (strcmp(attributes[0], "id") == 0)
                        copy(m->id, sizeof(m->id), attributes[1]);
                else if (strcmp(attributes[0], "from") == 0)
                        copy(m->from, sizeof(m->from), attributes[1]);
        }
}

static void on_end(void *userdata, const char *name) {
        struct member *m = userdata;

        (void)name;
        m->depth--;
        if (m->depth == 0 || (m->depth == 1 && !on_element(m)))
                XML_StopParser(m->parser, XML_FALSE);
        else if (m->depth == 1 && (m->stage == HANDSHAKE || m->restart))
                XML_StopParser(m->parser, XML_TRUE);
}

static void on_text(void *userdata, const char *text, int len) {
        struct member *m = userdata;

        if (m->depth == 2 && m->text_len + (size_t)len < sizeof(m->text)) {
                memcpy(m->text + m->text_len, text, (size_t)len);
                m->text_len += (size_t)len;
        }
}

static void fresh_parser(struct member *m) {
        if (m->parser)
                XML_ParserFree(m->parser);
        m->parser = XML_ParserCreateNS("UTF-8", NS[0]);
        if (!m->parser)
                die("memory");
        XML_SetUserData(m->parser, m);
        XML_SetElementHandler(m->parser, on_start, on_end);
        XML_SetCharacterDataHandler(m->parser, on_text);
        m->depth = 0;
        m->restart = false;
}

static bool feed(struct member *m, const char *data, int len) {
        if (!m->parser || m->restart)
                fresh_parser(m);
        switch (XML_Parse(m->parser, data, len, 0)) {
        case XML_STATUS_OK:
                return true;
        case XML_STATUS_SUSPENDED:
                return true;
        case XML_STATUS_ERROR:
                break;
        }
        return false;
}

static void begin(struct member *m) {
        struct epoll_event e = {.events = EPOLLOUT, .data.u32 = m->number};
        int on = 1;

        n_trying++;
        m->stage = CONNECTING;
        m->at_ms = now_ms() + TRY_MS;
        m->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (m->fd < 0)
                die("socket");
        setsockopt(m->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, m->fd, &e) < 0)
                die("epoll");
        if (connect(m->fd, (struct sockaddr *)&address, sizeof(address)) < 0 &&
            errno != EINPROGRESS)
                lose(m, "connect");
}

static void handshake(struct member *m) {
        int r = SSL_connect(m->ssl), why = SSL_get_error(m->ssl, r);

        if (r == 1) {
                m->stage = SECURED;
                open_stream(m);
                if (!flush(m))
                        lose(m, "write");
        } else if (why == SSL_ERROR_WANT_READ) {
                watch(m, EPOLLIN);
        } else if (why == SSL_ERROR_WANT_WRITE) {
                watch(m, EPOLLOUT);
        } else {
                lose(m, "TLS");
        }
}

static void on_event(struct member *m, uint32_t events) {
        char data[16384];

        if (m->stage <= WAITING || m->frozen)
                return;
        if (m->stage == CONNECTING) {
                int error = 0;
                socklen_t size = sizeof(error);

                getsockopt(m->fd, SOL_SOCKET, SO_ERROR, &error, &size);
                if (error) {
                        lose(m, strerror(error));
                        return;
                }
                m->stage = PLAIN;
                open_stream(m);
                if (!flush(m))
                        lose(m, "write");
                return;
        }
        if (m->stage == HANDSHAKE) {
                handshake(m);
                return;
        }
        while (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                ssize_t n = m->ssl ? SSL_read(m->ssl, data, sizeof(data))
                                   : recv(m->fd, data, sizeof(data), 0);

                if (n <= 0) {
                        if (m->ssl ? SSL_get_error(m->ssl, (int)n) == SSL_ERROR_WANT_READ
                                   : n < 0 && errno == EAGAIN)
                                break;
                        lose(m, "closed");
                        return;
                }
                if (!feed(m, data, (int)n)) {
                        lose(m, "the stream ended");
                        return;
                }
                if (m->stage == HANDSHAKE) {
                        handshake(m);
                        return;
                }
        }
        if (!flush(m))
                lose(m, "write");
}

/* ---- commands ---- */

static void command(const char *line) {
        char verb[16];
        unsigned from = 0, to = n_members;

        if (sscanf(line, "%15s %u %u", verb, &from, &to) < 1)
                return;
        if (strcmp(verb, "count") == 0) {
                printf("online %u\n", n_online);
                fflush(stdout);
                return;
        }
        for (unsigned i = from; i < to && i < n_members; i++) {
                struct member *m = &members[i];

                if (strcmp(verb, "busy") == 0 || strcmp(verb, "ready") == 0) {
                        m->busy = verb[0] == 'b';
                        if (m->stage == ONLINE) {
                                announce(m);
                                if (!flush(m))
                                        lose(m, "write");
                        }
                } else if (strcmp(verb, "freeze") == 0 || strcmp(verb, "thaw") == 0) {
                        m->frozen = verb[0] == 'f';
                        if (m->fd >= 0)
                                watch(m, m->frozen ? EPOLLET : EPOLLIN);
                } else if (strcmp(verb, "leave") == 0 && m->stage == ONLINE) {
                        say(m, "<presence type='unavailable'/></stream:stream>");
                        flush(m);
                        close_session(m);
                        m->stage = AWAY;
                } else if (strcmp(verb, "cut") == 0 && m->stage > WAITING) {
                        const struct linger hard = {.l_onoff = 1};

                        setsockopt(m->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
                        close_session(m);
                        m->stage = AWAY;
                } else if (strcmp(verb, "join") == 0 && m->stage == AWAY) {
                        m->stage = WAITING;
                        m->at_ms = 0;
                }
        }
        account();
}

static bool read_commands(void) {
        static char text[4096];
        static size_t len;
        ssize_t n = read(STDIN_FILENO, text + len, sizeof(text) - 1 - len);
        char *end;

        if (n <= 0)
                return false;
        len += (size_t)n;
        text[len] = '\0';
        while ((end = strchr(text, '\n'))) {
                *end = '\0';
                command(text);
                len -= (size_t)(end + 1 - text);
                memmove(text, end + 1, len + 1);
        }
        return true;
}

static void tick(void) {
        uint64_t now = now_ms();

        for (unsigned i = 0; i < n_members; i++) {
                struct member *m = &members[i];

                if (m->stage == WAITING && m->at_ms <= now && n_trying < TRYING_MAX)
                        begin(m);
                else if (trying(m) && m->at_ms <= now)
                        lose(m, "too slow");
        }
}

int main(int argc, char **argv) {
        struct epoll_event events[256], in = {.events = EPOLLIN, .data.u32 = UINT32_MAX};

        if (argc < 8)
                die("rota-crowd HOST PORT DOMAIN CA PREFIX COUNT PASSWORD CONTROLLER...");
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGPIPE, SIG_IGN);
        address.sin_family = AF_INET;
        address.sin_port = htons((uint16_t)atoi(argv[2]));
        if (inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
                die(argv[1]);
        domain = argv[3];
        prefix = argv[5];
        n_members = (unsigned)atoi(argv[6]);
        password = argv[7];
        controllers = argv + 8;
        srandom((unsigned)getpid());
        snprintf(boot, sizeof(boot), "crowd-%ld", random());
        tls = SSL_CTX_new(TLS_client_method());
        if (!tls || SSL_CTX_load_verify_locations(tls, argv[4], NULL) != 1)
                die(argv[4]);
        SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        members = calloc(n_members, sizeof(*members));
        epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        if (!members || epoll_fd < 0)
                die("memory");
        for (unsigned i = 0; i < n_members; i++)
                members[i] = (struct member){
                        .fd = -1, .stage = WAITING, .number = i, .pause_ms = PAUSE_MIN_MS};
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, STDIN_FILENO, &in) < 0)
                die("standard input must be a pipe");
        for (;;) {
                int n = epoll_wait(epoll_fd, events, 256, told_all ? 250 : 20);

                for (int i = 0; i < n; i++) {
                        if (events[i].data.u32 != UINT32_MAX)
                                on_event(&members[events[i].data.u32], events[i].events);
                        else if (!read_commands())
                                return 0;
                }
                tick();
        }
}
