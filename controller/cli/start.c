#include "controller/cli/start.h"

#include "controller/cli/say.h"
#include "controller/cli/status.h"
#include "proto/base/buf.h"
#include "proto/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#define START_WAIT_USEC (5 * USEC_PER_SEC)
#define START_LOG "controller.log"
#define START_LAST_WORDS 2000

int start_connect(const char *path) {
        struct sockaddr_un sun = {.sun_family = AF_UNIX};
        CLEANUP(fd_close) int fd = -1;

        if (strlen(path) >= sizeof(sun.sun_path))
                return -ENAMETOOLONG;
        memcpy(sun.sun_path, path, strlen(path));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) < 0)
                return -errno;
        return TAKE_FD(fd);
}

/* The program beside our own, so that a build tree finds its own; else by PATH. */
static void start_program(char path[static PATH_MAX]) {
        static const char name[] = "/rota-controller";
        ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 1);
        char *slash;

        if (n > 0) {
                path[n] = '\0';
                slash = strrchr(path, '/');
                if (slash && (size_t)(slash - path) + sizeof(name) <= PATH_MAX) {
                        memcpy(slash, name, sizeof(name));
                        if (access(path, X_OK) == 0)
                                return;
                }
        }
        memcpy(path, name + 1, sizeof(name) - 1);
}

static int start_mkdirs(const char *path, mode_t mode) {
        CLEANUP(mem_free) char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        for (char *p = copy + 1; *p; p++)
                if (*p == '/') {
                        *p = '\0';
                        if (mkdir(copy, mode) < 0 && errno != EEXIST)
                                return -errno;
                        *p = '/';
                }
        return mkdir(copy, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static void start_exec(const char *program, const struct where *w, int log) {
        char config[PATH_MAX];
        sigset_t none;
        int null;

        if (!realpath(w->config, config))
                _exit(126);
        setsid();
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGINT, SIG_DFL);
        null = open("/dev/null", O_RDONLY);
        if (null >= 0)
                dup2(null, STDIN_FILENO);
        dup2(log, STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
        if (chdir("/") < 0)
                _exit(126);
        execlp(program, program, "--config", config, (char *)NULL);
        dprintf(STDERR_FILENO, "%s: %s\n", program, strerror(errno));
        _exit(127);
}

static void start_last_words(int log, off_t from) {
        CLEANUP(buf_done) struct buf text = {0};
        struct stat st;
        char chunk[START_LAST_WORDS + 1];
        const char *start = chunk;
        ssize_t n;

        if (fstat(log, &st) < 0)
                return;
        if (st.st_size - from > START_LAST_WORDS)
                from = st.st_size - START_LAST_WORDS;
        n = pread(log, chunk, START_LAST_WORDS, from);
        if (n <= 0)
                return;
        chunk[n] = '\0';
        while (*start) {
                size_t len = strcspn(start, "\n");

                /* the <4> of a journal line is for the journal */
                if (start[0] == '<' && start[1] >= '0' && start[1] <= '7' && start[2] == '>')
                        buf_append(&text, start + 3, len - 3);
                else
                        buf_append(&text, start, len);
                buf_putc(&text, '\n');
                start += len + (start[len] == '\n');
        }
        say_hint("%s", buf_text(&text));
}

/* The socket's folder changes when the socket appears; the child's end is seen too. */
static int start_wait(const char *path, int pidfd, int notify) {
        uint64_t until = clock_monotonic_usec() + START_WAIT_USEC;

        for (;;) {
                char events[4096];
                uint64_t now;
                struct pollfd fds[] = {
                        {.fd = notify, .events = POLLIN},
                        {.fd = pidfd,  .events = POLLIN},
                };
                int fd = start_connect(path);

                if (fd >= 0)
                        return fd;
                now = clock_monotonic_usec();
                if (now >= until)
                        return -ETIMEDOUT;
                /* bind and listen are two steps: after the name has appeared, look again soon */
                if (poll(fds, 2, fd == -ECONNREFUSED ? 5 : (int)((until - now) / 1000 + 1)) < 0 &&
                    errno != EINTR)
                        return -errno;
                if (fds[0].revents && read(notify, events, sizeof(events)) < 0 && errno != EAGAIN)
                        return -errno;
                if (fds[1].revents & POLLIN) {
                        /* ended; another one may have been started at the same moment and won */
                        fd = start_connect(path);
                        return fd >= 0 ? fd : -ECHILD;
                }
        }
}

static int start_open_log(const struct where *w, char **ret_path) {
        int r = start_mkdirs(w->state_dir, 0700);
        int fd;

        if (r < 0) {
                say_error("the controller's state folder cannot be made: %s: %s", w->state_dir,
                          strerror(-r));
                return -1;
        }
        if (asprintf(ret_path, "%s/%s", w->state_dir, START_LOG) < 0) {
                *ret_path = NULL;
                say_no_memory();
                return -1;
        }
        fd = open(*ret_path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0)
                say_error("the controller's log cannot be opened: %s: %s", *ret_path,
                          strerror(errno));
        return fd;
}

/*
 * Of several commands that find nobody one starts the controller; the others wait for that. A descriptor of its own,
 * because the controller inherits the other one and a lock with it.
 */
static int start_alone(const char *log_path) {
        CLEANUP(fd_close) int fd = open(log_path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return -errno;
        while (flock(fd, LOCK_EX) < 0)
                if (errno != EINTR)
                        return -errno;
        return TAKE_FD(fd);
}

/* The controller's own exit status tells a wrong configuration from other trouble. */
static int start_status(pid_t pid) {
        int status = 0;

        if (waitpid(pid, &status, WNOHANG) == pid && WIFEXITED(status) &&
            WEXITSTATUS(status) == STATUS_USAGE)
                return STATUS_USAGE;
        return STATUS_INFRA;
}

int start_controller(const struct where *w, int *ret_status) {
        CLEANUP(mem_free) char *log_path = NULL;
        CLEANUP(mem_free) char *socket_path = strdup(w->socket);
        const char *socket_dir;
        CLEANUP(fd_close) int log = -1;
        CLEANUP(fd_close) int alone = -1;
        CLEANUP(fd_close) int notify = -1;
        CLEANUP(fd_close) int pidfd = -1;
        char program[PATH_MAX];
        off_t from;
        pid_t pid;
        int fd;

        *ret_status = STATUS_INFRA;
        if (!socket_path) {
                say_no_memory();
                return -1;
        }
        log = start_open_log(w, &log_path);
        if (log < 0)
                return -1;
        alone = start_alone(log_path);
        fd = start_connect(w->socket);
        if (fd >= 0)
                return fd;
        from = lseek(log, 0, SEEK_END);
        start_program(program);
        socket_dir = dirname(socket_path);
        (void)start_mkdirs(socket_dir, 0700); /* the controller says it better if it fails */
        notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        if (notify >= 0)
                (void)inotify_add_watch(notify, socket_dir, IN_CREATE | IN_MOVED_TO | IN_ATTRIB);
        pid = fork();
        if (pid < 0) {
                say_error("the controller could not be started: %s", strerror(errno));
                return -1;
        }
        if (pid == 0)
                start_exec(program, w, log);
        pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
        fd = start_wait(w->socket, pidfd, notify);
        if (fd >= 0)
                return fd;
        *ret_status = start_status(pid);
        if (fd == -ECHILD)
                say_error("the controller was started and ended at once");
        else
                say_error("the controller was started but does not answer on %s (%s)", w->socket,
                          fd == -ETIMEDOUT ? "waited 5 s" : strerror(-fd));
        start_last_words(log, from);
        say_hint("its log: %s", log_path);
        say_hint("try: rota-controller --config %s", w->config);
        return -1;
}
