#include "target/step/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define PIPE_SIZE (1024 * 1024)

/* Everything the forked child needs, made before the fork. */
struct launch {
        const char *const *paths; /* where the program may be, in order */
        const char *const *argv;
        const char *const *env;
        const char *cwd;
        pid_t parent;
        int in;
        int out;
        int failed;
        bool pty;
};

const char *child_path(const struct step_spec *spec) {
        for (size_t i = 0; spec->env && spec->env[i]; i++)
                if (strncmp(spec->env[i], "PATH=", 5) == 0)
                        return spec->env[i] + 5;
        return PATH_DEFAULT;
}

static bool env_has(const char *const *env, const char *entry) {
        size_t len = strcspn(entry, "=") + 1;

        for (size_t i = 0; env && env[i]; i++)
                if (strncmp(env[i], entry, len) == 0)
                        return true;
        return false;
}

static const char *const *make_env(const struct step_spec *spec, struct arena *a) {
        const char *home = getenv("HOME");
        const char *basic[] = {"PATH=" PATH_DEFAULT, "LANG=C.UTF-8", "TERM=dumb", NULL};
        const char **env;
        size_t n = 0, m = 0;

        basic[3] = arena_printf(a, "HOME=%s", home ? home : "/");
        while (spec->env && spec->env[n])
                n++;
        env = arena_alloc(a, (n + ARRAY_SIZE(basic) + 1) * sizeof(*env));
        if (!env || !basic[3])
                return NULL;
        for (size_t i = 0; i < ARRAY_SIZE(basic); i++)
                if (!env_has(spec->env, basic[i]))
                        env[m++] = basic[i];
        for (size_t i = 0; i < n; i++)
                env[m++] = spec->env[i];
        return env;
}

static const char *const *make_paths(const struct step_spec *spec, struct arena *a) {
        const char *program = spec->argv[0], *at = child_path(spec);
        const char **paths;
        size_t n = 2, m = 0;

        for (const char *p = at; *p; p++)
                n += *p == ':';
        paths = arena_alloc(a, (n + 1) * sizeof(*paths));
        if (!paths)
                return NULL;
        if (strchr(program, '/')) {
                paths[0] = program;
                return paths;
        }
        while (*program && *at) {
                size_t len = strcspn(at, ":");

                /* an empty entry would mean the working directory, which is no place for programs */
                if (len > 0) {
                        paths[m] = arena_printf(a, "%.*s/%s", (int)len, at, program);
                        if (!paths[m++])
                                return NULL;
                }
                at += len + (at[len] == ':');
        }
        return paths;
}

static int open_pty(struct child *c) {
        struct winsize size = {.ws_row = 24, .ws_col = 80};
        struct termios t;

        c->out = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        if (c->out < 0)
                return -errno;
        if (unlockpt(c->out) < 0)
                return -errno;
        c->hold = ioctl(c->out, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
        if (c->hold < 0)
                return -errno;
        if (tcgetattr(c->hold, &t) < 0)
                return -errno;
        cfmakeraw(&t);
        if (tcsetattr(c->hold, TCSANOW, &t) < 0 || ioctl(c->hold, TIOCSWINSZ, &size) < 0)
                return -errno;
        /* We, the session's leader, own the terminal: would the program lead, its end would
         * send SIGHUP to those of its children that still write. Without success (we have another
         * terminal) the program has none, which only /dev/tty shows. */
        (void)ioctl(c->hold, TIOCSCTTY, 0);
        return 0;
}

static int open_pipe(struct child *c) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        c->out = fds[0];
        c->hold = fds[1];
        (void)fcntl(c->hold, F_SETPIPE_SZ, PIPE_SIZE);
        if (fcntl(c->out, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        return 0;
}

static _Noreturn void fail(const struct launch *l, enum child_place place, int error) {
        struct child_failure f = {.error = error, .place = place};
        ssize_t n = write(l->failed, &f, sizeof(f));

        (void)n;
        _exit(127);
}

/* Should memory run out, the program under test goes before the daemons do. */
static void be_first_to_go(void) {
        int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

        if (fd < 0)
                return;
        if (write(fd, "500", 3) < 0) {
                /* not everybody may; then it stays as it is */
        }
        close(fd);
}

/* After fork(): only calls that are safe there. */
static _Noreturn void become(const struct launch *l) {
        struct sigaction by_default = {.sa_handler = SIG_DFL};
        sigset_t none;
        int error = ENOENT;

        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                fail(l, CHILD_SETUP, errno);
        if (getppid() != l->parent)
                _exit(127);
        setpgid(0, 0);
        if (l->pty)
                (void)tcsetpgrp(l->out, getpid()); /* SIGTTOU is blocked still */
        if (dup2(l->in, 0) < 0 || dup2(l->out, 1) < 0 || dup2(l->out, 2) < 0)
                fail(l, CHILD_SETUP, errno);
        (void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
        be_first_to_go();
        umask(022);
        if (l->cwd && chdir(l->cwd) < 0)
                fail(l, CHILD_CWD, errno);
        for (int sig = 1; sig < NSIG; sig++)
                sigaction(sig, &by_default, NULL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        for (size_t i = 0; l->paths[i]; i++) {
                execve(l->paths[i], (char *const *)l->argv, (char *const *)l->env);
                if (errno == ENOENT || errno == ENOTDIR) {
                        /* there, but its interpreter is not: that is no missing program */
                        if (access(l->paths[i], F_OK) < 0)
                                continue;
                        fail(l, CHILD_EXEC, ELIBBAD);
                }
                error = errno;
                if (error != EACCES)
                        break;
        }
        fail(l, CHILD_EXEC, error);
}

int child_start(struct child *c, const struct step_spec *spec, struct arena *a) {
        CLEANUP(fd_close) int in = -1;
        CLEANUP(fd_close) int failed = -1;
        sigset_t all, old;
        int fds[2], r;

        *c = (struct child){.pid = -1, .out = -1, .hold = -1, .failed = -1};
        r = spec->pty ? open_pty(c) : open_pipe(c);
        if (r < 0)
                return r;
        in = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (in < 0)
                return -errno;
        if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0)
                return -errno;
        c->failed = fds[0];
        failed = fds[1];

        struct launch l = {
                .paths = make_paths(spec, a),
                .argv = spec->argv,
                .env = make_env(spec, a),
                .cwd = spec->cwd,
                .parent = getpid(),
                .in = in,
                .out = c->hold,
                .failed = failed,
                .pty = spec->pty,
        };
        if (!l.paths || !l.env)
                return -ENOMEM;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, &old);
        c->pid = fork();
        if (c->pid == 0)
                become(&l);
        r = c->pid < 0 ? -errno : 0;
        sigprocmask(SIG_SETMASK, &old, NULL);
        if (r == 0)
                setpgid(c->pid, c->pid); /* the child does it too: whoever is first */
        return r;
}

int child_failed(struct child *c, struct child_failure *ret_failure) {
        ssize_t n;

        if (c->failed < 0)
                return 0;
        do
                n = read(c->failed, ret_failure, sizeof(*ret_failure));
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno == EAGAIN)
                return -EAGAIN;
        c->failed = fd_close(c->failed);
        return n == (ssize_t)sizeof(*ret_failure) ? 1 : 0;
}

void child_done(struct child *c) {
        c->out = fd_close(c->out);
        c->hold = fd_close(c->hold);
        c->failed = fd_close(c->failed);
}
