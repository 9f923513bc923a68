#include "target/io/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

extern char **environ;

struct child {
        pid_t pid;
        int pidfd;
        bool ours;
        sd_event_source *source;
        child_gone *gone;
        void *userdata;
};

static void nobody_cares(void *userdata, int status) {
        (void)userdata;
        (void)status;
}

static void child_destroy(void *userdata) {
        struct child *c = userdata;
        fd_close(c->pidfd);
        free(c);
}

static int on_gone(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        struct child *c = userdata;
        int status = -1;

        (void)fd;
        (void)revents;
        sd_event_source_set_enabled(s, SD_EVENT_OFF);
        if (c->ours) {
                siginfo_t info = {0};
                if (waitid(P_PIDFD, (id_t)c->pidfd, &info, WEXITED | WNOHANG) == 0 && info.si_pid)
                        status = info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
                c->ours = false;
        }
        if (c->gone == nobody_cares)
                sd_event_source_disable_unref(s);
        else
                c->gone(c->userdata, status);
        return 0;
}

static int child_new(struct child **ret, sd_event *event, pid_t pid, bool ours, child_gone *gone,
                     void *userdata) {
        CLEANUP(child_free) struct child *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        c->pid = pid;
        c->ours = ours;
        c->gone = gone;
        c->userdata = userdata;
        c->pidfd = pidfd_open(pid, 0);
        if (c->pidfd < 0)
                return -errno;
        r = sd_event_add_io(event, &c->source, c->pidfd, EPOLLIN, on_gone, c);
        if (r < 0)
                return r;
        *ret = TAKE(c);
        return 0;
}

static int attributes(posix_spawnattr_t *attr) {
        sigset_t none, all;
        int r;

        sigemptyset(&none);
        sigfillset(&all);
        r = posix_spawnattr_setsigmask(attr, &none);
        if (r == 0)
                r = posix_spawnattr_setsigdefault(attr, &all);
        if (r == 0)
                r = posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                                                           POSIX_SPAWN_SETSIGDEF);
        return r;
}

static int descriptors(posix_spawn_file_actions_t *files) {
        int r = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(files, 2, 1);
        if (r == 0)
                r = posix_spawn_file_actions_addclosefrom_np(files, 3);
        return r;
}

int child_start(struct child **ret, sd_event *event, const char *const *argv,
                const char *const *env, child_gone *gone, void *userdata) {
        posix_spawn_file_actions_t files;
        posix_spawnattr_t attr;
        pid_t pid = -1;
        int r = posix_spawnattr_init(&attr);

        if (r != 0)
                return -r;
        r = posix_spawn_file_actions_init(&files);
        if (r != 0) {
                posix_spawnattr_destroy(&attr);
                return -r;
        }
        r = attributes(&attr);
        if (r == 0)
                r = descriptors(&files);
        if (r == 0)
                r = posix_spawn(&pid, argv[0], &files, &attr, (char *const *)argv,
                                env ? (char *const *)env : environ);
        posix_spawn_file_actions_destroy(&files);
        posix_spawnattr_destroy(&attr);
        if (r != 0)
                return -r;
        return child_new(ret, event, pid, true, gone, userdata);
}

int child_adopt(struct child **ret, sd_event *event, pid_t pid, child_gone *gone, void *userdata) {
        return child_new(ret, event, pid, false, gone, userdata);
}

pid_t child_pid(const struct child *c) {
        return c->pid;
}

struct child *child_free(struct child *c) {
        if (!c)
                return NULL;
        if (c->source && c->ours) {
                /* It must still be reaped: from here on the event source owns it. */
                c->gone = nobody_cares;
                sd_event_source_set_destroy_callback(c->source, child_destroy);
                sd_event_source_set_floating(c->source, true);
                sd_event_source_unref(c->source);
                return NULL;
        }
        sd_event_source_disable_unref(c->source);
        child_destroy(c);
        return NULL;
}
