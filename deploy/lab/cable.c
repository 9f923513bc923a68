/*
 * rota-lab-cable: a cable that can be pulled, for scratch labs: a relay between a simulated PC and its server.
 *
 *   rota-lab-cable --listen ADDRESS:PORT --to ADDRESS:PORT        (IPv4; port 0: a free one; it is printed)
 *
 * SIGUSR2 pulls it: no byte passes any more and nobody is told; connections stay half-open, as with a real one.
 * SIGHUP plugs it in again: what was under way goes on, and what was closed meanwhile is closed then.
 *
 * It does not lose bytes: on a real cable TCP sends them again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINES_MAX 16
#define BUFFER_SIZE 65536

/* One direction: what was read from one end and not yet written to the other. */
struct way {
        size_t at, end;
        bool closed; /* no more will come */
        bool told;   /* and the other end knows */
        char buffer[BUFFER_SIZE];
};

struct line {
        int fd[2];         /* the PC's end, the server's; -1: no line */
        struct way way[2]; /* from fd[i] to fd[!i] */
};

static struct line lines[LINES_MAX];
static struct sockaddr_in to;

static void line_close(struct line *l) {
        for (int i = 0; i < 2; i++) {
                if (l->fd[i] >= 0)
                        close(l->fd[i]);
                l->fd[i] = -1;
                l->way[i].at = l->way[i].end = 0;
                l->way[i].closed = l->way[i].told = false;
        }
}

static void no_delay(int fd) {
        const int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void line_begin(int listener) {
        struct line *l = NULL;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0)
                return;
        for (size_t i = 0; i < LINES_MAX && !l; i++)
                if (lines[i].fd[0] < 0)
                        l = &lines[i];
        if (!l) {
                close(fd);
                return;
        }
        l->fd[0] = fd;
        l->fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        /* the server is on this machine: this does not wait */
        if (l->fd[1] < 0 || connect(l->fd[1], (struct sockaddr *)&to, sizeof(to)) < 0 ||
            fcntl(l->fd[1], F_SETFL, O_NONBLOCK) < 0) {
                line_close(l);
                return;
        }
        no_delay(l->fd[0]);
        no_delay(l->fd[1]);
}

/* Moves what can be moved from one end to the other. False: the line is broken. */
static bool way_move(struct way *w, int from, int into) {
        for (;;) {
                ssize_t n;

                if (w->at == w->end && !w->closed) {
                        w->at = w->end = 0;
                        n = read(from, w->buffer, sizeof(w->buffer));
                        if (n < 0)
                                return errno == EAGAIN;
                        w->closed = n == 0;
                        w->end = (size_t)n;
                }
                if (w->at == w->end) {
                        if (!w->told)
                                shutdown(into, SHUT_WR);
                        w->told = true;
                        return true;
                }
                n = send(into, w->buffer + w->at, w->end - w->at, MSG_NOSIGNAL);
                if (n < 0)
                        return errno == EAGAIN;
                w->at += (size_t)n;
        }
}

static short way_events(const struct line *l, int end) {
        const struct way *in = &l->way[end], *out = &l->way[!end];
        return (short)((in->at == in->end && !in->closed ? POLLIN : 0) |
                       (out->at < out->end ? POLLOUT : 0));
}

static int carry(int listener, int sigfd) {
        bool pulled = false;

        for (;;) {
                struct pollfd p[2 + 2 * LINES_MAX] = {
                        {.fd = sigfd,                  .events = POLLIN},
                        {.fd = pulled ? -1 : listener, .events = POLLIN}
                };
                struct signalfd_siginfo si;

                for (size_t i = 0; i < LINES_MAX; i++)
                        for (int end = 0; end < 2; end++) {
                                short events = way_events(&lines[i], end);
                                p[2 + 2 * i + (size_t)end] = (struct pollfd){
                                        .fd = pulled || events == 0 ? -1 : lines[i].fd[end],
                                        .events = events};
                        }
                if (poll(p, sizeof(p) / sizeof(p[0]), -1) < 0)
                        return errno == EINTR ? 0 : 1;
                if (p[0].revents && read(sigfd, &si, sizeof(si)) == sizeof(si)) {
                        if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT)
                                return 0;
                        pulled = si.ssi_signo == SIGUSR2;
                        continue;
                }
                if (p[1].revents)
                        line_begin(listener);
                for (size_t i = 0; i < LINES_MAX; i++) {
                        struct line *l = &lines[i];
                        if (l->fd[0] < 0 || !(p[2 + 2 * i].revents | p[3 + 2 * i].revents))
                                continue;
                        if (!way_move(&l->way[0], l->fd[0], l->fd[1]) ||
                            !way_move(&l->way[1], l->fd[1], l->fd[0]) ||
                            (l->way[0].told && l->way[1].told))
                                line_close(l);
                }
        }
}

static int address_read(const char *text, struct sockaddr_in *ret) {
        char host[64];
        unsigned port;

        if (sscanf(text, "%63[0-9.]:%u", host, &port) != 2 || port > 65535)
                return -EINVAL;
        *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        return inet_pton(AF_INET, host, &ret->sin_addr) == 1 ? 0 : -EINVAL;
}

static int usage(void) {
        fputs("usage: rota-lab-cable --listen ADDRESS:PORT --to ADDRESS:PORT\n", stderr);
        return 2;
}

int main(int argc, char **argv) {
        static const struct option options[] = {
                {"listen", required_argument, NULL, 'l'},
                {"to",    required_argument, NULL, 't'},
                {0       },
        };
        struct sockaddr_in at = {0};
        socklen_t size = sizeof(at);
        const int on = 1;
        sigset_t set;
        int listener, sigfd, c;

        while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
                if ((c != 'l' && c != 't') || address_read(optarg, c == 'l' ? &at : &to) < 0)
                        return usage();
        if (at.sin_family == 0 || to.sin_family == 0)
                return usage();
        for (size_t i = 0; i < LINES_MAX; i++)
                lines[i].fd[0] = lines[i].fd[1] = -1;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR2);
        sigaddset(&set, SIGHUP);
        sigaddset(&set, SIGTERM);
        sigaddset(&set, SIGINT);
        sigprocmask(SIG_BLOCK, &set, NULL);
        sigfd = signalfd(-1, &set, SFD_CLOEXEC);
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (sigfd < 0 || listener < 0 ||
            setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 16) < 0 ||
            getsockname(listener, (struct sockaddr *)&at, &size) < 0) {
                fprintf(stderr, "rota-lab-cable: %m\n");
                return 1;
        }
        printf("%u\n", ntohs(at.sin_port));
        fflush(stdout);
        return carry(listener, sigfd);
}
