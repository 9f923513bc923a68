#include "proto/link/resolve.h"

#include "proto/base/buf.h"

#include <arpa/nameser.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_MAX 8192

struct resolve {
        sd_event_source *source; /* the child's pipe, or at once for a literal */
        pid_t child;
        int fd;
        struct buf answer;
        struct resolve_address literal;
        resolve_done *done;
        void *userdata;
};

/*
 * What a configuration says
 */

static int parse_port(const char *text, uint16_t *ret) {
        unsigned long value;
        char *end;

        if (*text < '0' || *text > '9')
                return 1;
        value = strtoul(text, &end, 10);
        if (*end || value == 0 || value > UINT16_MAX)
                return 1;
        *ret = (uint16_t)value;
        return 0;
}

static int copy_host(struct resolve_address *a, const char *host, size_t len) {
        if (len == 0 || len >= sizeof(a->host))
                return 1;
        for (size_t i = 0; i < len; i++)
                if ((unsigned char)host[i] <= ' ' || strchr("[]/@", host[i]))
                        return 1;
        memcpy(a->host, host, len);
        a->host[len] = '\0';
        return 0;
}

int resolve_parse(const char *server, struct resolve_address *ret) {
        struct resolve_address a = {.port = RESOLVE_PORT};
        const char *colon = strchr(server, ':'), *port = NULL;
        size_t len = strlen(server);

        if (server[0] == '[') {
                const char *close = strchr(server, ']');

                if (!close || (close[1] != '\0' && close[1] != ':'))
                        return 1;
                if (close[1] == ':')
                        port = close + 2;
                server++;
                len = (size_t)(close - server);
        } else if (colon && !strchr(colon + 1, ':')) {
                port = colon + 1;
                len = (size_t)(colon - server);
        }
        if (port && parse_port(port, &a.port) != 0)
                return 1;
        if (copy_host(&a, server, len) != 0)
                return 1;
        *ret = a;
        return 0;
}

static bool is_literal(const char *host) {
        struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *list;

        if (getaddrinfo(host, NULL, &hints, &list) != 0)
                return false;
        freeaddrinfo(list);
        return true;
}

/*
 * The child: may block
 */

static uint64_t random_of(uint64_t *seed) {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        return *seed;
}

static void swap_services(struct resolve_service *a, struct resolve_service *b) {
        struct resolve_service t = *a;

        *a = *b;
        *b = t;
}

void resolve_order(struct resolve_service *services, size_t n, uint64_t seed) {
        if (seed == 0)
                seed = 1;
        for (size_t i = 0; i < n; i++) {
                uint64_t sum = 0, pick;
                uint16_t lowest = UINT16_MAX;

                for (size_t k = i; k < n; k++)
                        if (services[k].priority < lowest)
                                lowest = services[k].priority;
                /* a weight of zero keeps a small chance */
                for (size_t k = i; k < n; k++)
                        if (services[k].priority == lowest)
                                sum += services[k].weight * UINT64_C(16) + 1;
                pick = random_of(&seed) % sum;
                for (size_t k = i; k < n; k++) {
                        uint64_t share = services[k].weight * UINT64_C(16) + 1;

                        if (services[k].priority != lowest)
                                continue;
                        if (pick < share) {
                                swap_services(&services[i], &services[k]);
                                break;
                        }
                        pick -= share;
                }
        }
}

static int parse_service(ns_msg *message, int i, struct resolve_service *ret) {
        const unsigned char *data;
        ns_rr record;

        if (ns_parserr(message, ns_s_an, i, &record) < 0 || ns_rr_type(record) != ns_t_srv ||
            ns_rr_rdlen(record) < 7)
                return 1;
        data = ns_rr_rdata(record);
        ret->priority = (uint16_t)ns_get16(data);
        ret->weight = (uint16_t)ns_get16(data + 2);
        ret->address.port = (uint16_t)ns_get16(data + 4);
        if (dn_expand(ns_msg_base(*message), ns_msg_end(*message), data + 6, ret->address.host,
                      sizeof(ret->address.host)) < 0)
                return 1;
        return 0;
}

/* How many services there are; 0 when the domain has no records. */
static size_t query_services(const char *domain, struct resolve_service ret[static RESOLVE_MAX]) {
        struct __res_state state = {0};
        unsigned char answer[ANSWER_MAX];
        char name[RESOLVE_HOST_SIZE + 32];
        size_t n = 0;
        ns_msg message;
        int len;

        snprintf(name, sizeof(name), "_xmpp-client._tcp.%s", domain);
        if (res_ninit(&state) < 0)
                return 0;
        len = res_nquery(&state, name, ns_c_in, ns_t_srv, answer, sizeof(answer));
        res_nclose(&state);
        if (len < 0 || len > (int)sizeof(answer) || ns_initparse(answer, len, &message) < 0)
                return 0;
        for (int i = 0; i < ns_msg_count(message, ns_s_an) && n < RESOLVE_MAX; i++)
                n += parse_service(&message, i, &ret[n]) == 0;
        return n;
}

static int print_addresses(FILE *out, const char *host, uint16_t port) {
        struct addrinfo hints = {
                .ai_socktype = SOCK_STREAM,
                .ai_flags = AI_ADDRCONFIG,
        };
        struct addrinfo *list;
        int r;

        r = getaddrinfo(host, NULL, &hints, &list);
        /* "configured addresses" does not count loopback, which is all that a scratch host has */
        if (r == EAI_NONAME || r == EAI_ADDRFAMILY) {
                hints.ai_flags = 0;
                r = getaddrinfo(host, NULL, &hints, &list);
        }
        if (r != 0)
                return r;
        for (const struct addrinfo *a = list; a; a = a->ai_next) {
                char text[NI_MAXHOST];

                if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0,
                                NI_NUMERICHOST) == 0)
                        fprintf(out, "%s %u\n", text, port);
        }
        freeaddrinfo(list);
        return 0;
}

static void ask_host(FILE *out, const struct resolve_address *a) {
        int r = print_addresses(out, a->host, a->port);

        if (r != 0)
                fprintf(out, "!%s: %s\n", a->host,
                        r == EAI_SYSTEM ? strerror(errno) : gai_strerror(r));
}

static void ask_domain(FILE *out, const char *domain) {
        struct resolve_service services[RESOLVE_MAX];
        size_t n = query_services(domain, services);
        uint64_t seed = 0;

        /* RFC 2782: a target of "." means that there is no such service, decidedly */
        if (n == 1 && (strcmp(services[0].address.host, ".") == 0 || !*services[0].address.host)) {
                fprintf(out, "!%s says that it has no XMPP service\n", domain);
                return;
        }
        if (n == 0) {
                struct resolve_address a = {.port = RESOLVE_PORT};

                snprintf(a.host, sizeof(a.host), "%s", domain);
                ask_host(out, &a);
                return;
        }
        if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
                seed = (uint64_t)getpid();
        resolve_order(services, n, seed);
        for (size_t i = 0; i < n; i++)
                ask_host(out, &services[i].address);
}

static _Noreturn void child_main(int fd, const struct resolve_address *host, const char *domain) {
        sigset_t none;
        FILE *out;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (int i = 1; i < NSIG; i++)
                signal(i, SIG_DFL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        alarm(RESOLVE_TIMEOUT);
        /* nothing of the parent's stays open in here: locks, sockets, the event loop */
        if (dup2(fd, STDOUT_FILENO) < 0)
                _exit(1);
        close_range(STDERR_FILENO + 1, ~0U, 0);
        out = fdopen(STDOUT_FILENO, "w");
        if (!out)
                _exit(1);
        if (host)
                ask_host(out, host);
        else
                ask_domain(out, domain);
        fflush(out);
        _exit(0);
}

/*
 * The parent
 */

struct resolve *resolve_free(struct resolve *r) {
        if (!r)
                return NULL;
        sd_event_source_disable_unref(r->source);
        if (r->child > 0) {
                kill(r->child, SIGKILL);
                waitpid(r->child, NULL, 0);
        }
        fd_close(r->fd);
        buf_done(&r->answer);
        free(r);
        return NULL;
}

static void parse_line(char *line, struct resolve_address *addresses, size_t *n,
                       const char **error) {
        struct resolve_address a;
        char *space;

        if (*line == '!') {
                *error = line + 1;
                return;
        }
        space = strchr(line, ' ');
        if (!space || *n == RESOLVE_MAX)
                return;
        *space = '\0';
        if (parse_port(space + 1, &a.port) != 0 || strlen(line) >= sizeof(a.host))
                return;
        memcpy(a.host, line, strlen(line) + 1);
        addresses[(*n)++] = a;
}

static void answered(struct resolve *r) {
        struct resolve_address addresses[RESOLVE_MAX];
        const char *error = "the name servers did not answer";
        char *rest = NULL;
        size_t n = 0;

        /* the pipe ends with the child, so this does not wait */
        waitpid(r->child, NULL, 0);
        r->child = 0;
        if (r->answer.len > 0)
                for (char *line = strtok_r(r->answer.data, "\n", &rest); line;
                     line = strtok_r(NULL, "\n", &rest))
                        parse_line(line, addresses, &n, &error);
        r->done(r->userdata, addresses, n, n > 0 ? NULL : error);
}

static int on_pipe(sd_event_source *s, int fd, uint32_t events, void *userdata) {
        struct resolve *r = userdata;
        char piece[4096];
        ssize_t n;

        (void)events;
        n = read(fd, piece, sizeof(piece));
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n > 0 && r->answer.len < ANSWER_MAX && buf_append(&r->answer, piece, (size_t)n) == 0)
                return 0;
        sd_event_source_set_enabled(s, SD_EVENT_OFF);
        if (n > 0)
                kill(r->child, SIGKILL);
        answered(r);
        return 0;
}

static int on_literal(sd_event_source *s, void *userdata) {
        struct resolve *r = userdata;
        struct resolve_address a = r->literal;

        (void)s;
        r->done(r->userdata, &a, 1, NULL);
        return 0;
}

static int spawn(struct resolve *r, const struct resolve_address *host, const char *domain) {
        CLEANUP(fd_close) int write_end = -1;
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        r->fd = fds[0];
        write_end = fds[1];
        r->child = fork();
        if (r->child < 0)
                return -errno;
        if (r->child == 0)
                child_main(write_end, host, domain);
        if (fcntl(r->fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        return 0;
}

int resolve_start(struct resolve **ret, sd_event *event, const char *server, const char *domain,
                  resolve_done *done, void *userdata) {
        CLEANUP(resolve_free) struct resolve *r = NULL;
        struct resolve_address host;
        int e;

        if (server && resolve_parse(server, &host) != 0)
                return -EINVAL;
        if (!server && is_literal(domain)) {
                host.port = RESOLVE_PORT;
                snprintf(host.host, sizeof(host.host), "%s", domain);
                server = domain;
        }
        r = calloc(1, sizeof(*r));
        if (!r)
                return -ENOMEM;
        r->fd = -1;
        r->done = done;
        r->userdata = userdata;
        if (server && is_literal(host.host)) {
                r->literal = host;
                e = sd_event_add_defer(event, &r->source, on_literal, r);
        } else {
                e = spawn(r, server ? &host : NULL, domain);
                if (e >= 0)
                        e = sd_event_add_io(event, &r->source, r->fd, EPOLLIN, on_pipe, r);
        }
        if (e < 0)
                return e;
        *ret = TAKE(r);
        return 0;
}
