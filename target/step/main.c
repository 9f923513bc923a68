/*
 * rota-step RUNDIR STEP: carries out one step of a run and outlives the daemon that started it.
 * rota-step RUNS RUN-STEP is the same said with one word, which is all that a unit of systemd has.
 *
 * The contract is target/step/step.h. Once the lock is held every way out leads to an exit record,
 * if the disk must be waited for then for as long as that takes: the lock tells the daemon that
 * somebody cares. Status: 0 there is an exit record, 1 there is none, 2 usage.
 */
#include "proto/base/id.h"
#include "proto/base/log.h"
#include "target/step/job.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EXIT_ROOM 4096 /* set aside for the exit record, so that a full disk can still take it */

struct stage {
        const char *step; /* "2", "2.2" */
        int lock_fd;
        int exit_fd; /* N.exit.tmp */
        int signal_fd;
        int watch_fd;
        struct arena arena;
        struct record record;
};

static void stage_done(struct stage *s) {
        s->exit_fd = fd_close(s->exit_fd);
        s->signal_fd = fd_close(s->signal_fd);
        s->watch_fd = fd_close(s->watch_fd);
        record_done(&s->record);
        arena_done(&s->arena);
        s->lock_fd = fd_close(s->lock_fd); /* last: the exit record is there before anybody looks */
}
DEFINE_CLEANUP_DONE(struct stage, stage_done)

static const char *stage_name(const struct stage *s, const char *suffix, char ret[static 32]) {
        snprintf(ret, 32, "%s.%s", s->step, suffix);
        return ret;
}

/* Away from the daemon's terminal, session and descriptors. */
static int leave_home(void) {
        for (int fd = 0; fd < 3; fd++)
                if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
                        return -EBADF;
        (void)close_range(3, ~0U, 0);
        (void)setsid(); /* or the leader of a group already: then that must do */
        return prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ? -errno : 0;
}

static int take_signals(struct stage *s) {
        static const int ignored[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGPIPE,
                                      SIGXFSZ, SIGTSTP, SIGTTIN, SIGTTOU};
        sigset_t ours;

        for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
                signal(ignored[i], SIG_IGN);
        signal(SIGCHLD, SIG_DFL);
        sigemptyset(&ours);
        sigaddset(&ours, SIGCHLD);
        sigaddset(&ours, SIGTERM);
        sigaddset(&ours, SIGIO);
        if (sigprocmask(SIG_SETMASK, &ours, NULL) < 0)
                return -errno;
        s->signal_fd = signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
        return s->signal_fd < 0 ? -errno : 0;
}

static int take_lock(struct stage *s) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        char name[32];

        s->lock_fd = open(stage_name(s, "lock", name), O_RDWR | O_CREAT | O_CLOEXEC, 0640);
        if (s->lock_fd < 0)
                return -errno;
        return fcntl(s->lock_fd, F_SETLK, &lock) < 0 ? -errno : 0;
}

static void set_room_aside(struct stage *s) {
        char name[32];

        s->exit_fd = open(stage_name(s, "exit.tmp", name),
                          O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (s->exit_fd >= 0)
                (void)posix_fallocate(s->exit_fd, 0, EXIT_ROOM);
}

static int write_all(int fd, const char *data, size_t len) {
        for (size_t at = 0; at < len;) {
                ssize_t n = pwrite(fd, data + at, len - at, (off_t)at);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                at += (size_t)n;
        }
        return 0;
}

static int sync_directory(void) {
        CLEANUP(fd_close) int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_exit(struct stage *s, const struct buf *text) {
        char from[32], to[32];
        int r;

        if (s->exit_fd < 0)
                set_room_aside(s);
        if (s->exit_fd < 0)
                return -errno;
        r = write_all(s->exit_fd, text->data, text->len);
        if (r == 0 && (ftruncate(s->exit_fd, (off_t)text->len) < 0 || fsync(s->exit_fd) < 0))
                r = -errno;
        stage_name(s, "exit.tmp", from);
        stage_name(s, "exit", to);
        if (r == 0 && rename(from, to) < 0)
                r = -errno;
        if (r < 0) {
                /* after a failed fsync the pages count as written: begin anew */
                s->exit_fd = fd_close(s->exit_fd);
                return r;
        }
        r = sync_directory();
        if (r < 0)
                log_warning("%s: cannot sync the directory: %s", to, strerror(-r));
        return 0;
}

/* True when a SIGTERM came. */
static bool wait_a_second(struct stage *s) {
        struct pollfd p = {.fd = s->signal_fd, .events = POLLIN};
        struct signalfd_siginfo info;
        bool asked = false;

        poll(&p, 1, 1000);
        while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
                asked |= info.ssi_signo == SIGTERM;
        return asked;
}

static int write_exit_for_sure(struct stage *s, const struct step_exit *e) {
        bool said = false;

        for (;;) {
                CLEANUP(buf_done) struct buf text = {0};
                int r;

                r = step_exit_write(e, &text);
                if (r == 0)
                        r = buf_putc(&text, '\n');
                if (r == 0)
                        r = write_exit(s, &text);
                if (r == 0)
                        return 0;
                if (!said)
                        log_error("step %s: cannot write the exit record: %s; trying again",
                                  s->step, strerror(-r));
                said = true;
                if (wait_a_second(s))
                        return 1;
        }
}

/* fcntl(2), F_NOTIFY: the end of an inotify descriptor costs 12 ms, at the very end of each step. */
static bool watch_directory(struct stage *s) {
        s->watch_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return s->watch_fd >= 0 &&
               fcntl(s->watch_fd, F_NOTIFY, DN_CREATE | DN_RENAME | DN_MULTISHOT) == 0;
}

/* What stops a step before it began. */
static struct step_exit not_begun(struct stage *s, const char *cause, const char *what, int error) {
        struct step_exit e = {.exit_status = -1, .cause = cause, .text = what};

        if (error > 0)
                e.text = arena_printf(&s->arena, "%s: %s", what, strerror(error));
        return e;
}

static struct step_exit carry_out(struct stage *s) {
        struct step_spec spec = {0};
        struct step_exit e;
        char spec_name[32], out_name[32], kill_name[32], tail_name[32];
        struct room room;
        struct job job = {
                .spec = &spec,
                .arena = &s->arena,
                .record = &s->record,
                .room = &room,
                .kill_name = stage_name(s, "kill", kill_name),
                .signal_fd = s->signal_fd,
        };
        int r;

        r = record_open(&s->record, stage_name(s, "out", out_name));
        if (r < 0)
                return not_begun(s, "disk", "cannot open the output file", -r);
        r = step_spec_read(stage_name(s, "spec", spec_name), &s->arena, &spec);
        if (r > 0)
                return not_begun(s, "internal", "the specification of the step is malformed", 0);
        if (r < 0)
                return not_begun(s, "internal", "cannot read the specification of the step", -r);
        room_init(&room, s->step);
        room_tell(&room, false); /* of an attempt that was killed */
        record_bound(&s->record, spec.budget,
                     spec.head_tail ? stage_name(s, "tail", tail_name) : NULL);
        job.watched = watch_directory(s);
        if (access(kill_name, F_OK) == 0)
                return not_begun(s, "cancelled", "it was cancelled before it began", 0);
        r = job_run(&job, &e);
        if (r < 0)
                return not_begun(s, "internal", "cannot carry out the step", -r);
        return e;
}

static void seal(struct stage *s, struct step_exit *e, char hex[static SHA256_HEX_SIZE]) {
        int r;

        if (s->record.fd < 0)
                return;
        r = record_finish(&s->record, hex);
        e->size = s->record.size;
        if (hex[0])
                e->sha256 = hex;
        if (r == 0)
                return;
        e->cause = "disk";
        e->text = arena_printf(&s->arena, "%s%sthe output could not be synced to disk: %s",
                               e->text ? e->text : "", e->text ? "; " : "", strerror(-r));
}

/* The end of a number from 1 to 9999; NULL: there is none. */
static const char *number_end(const char *text) {
        size_t len = strspn(text, "0123456789");

        return len > 0 && len <= 4 && text[0] != '0' ? text + len : NULL;
}

static bool step_number(const char *text) {
        const char *end = number_end(text);

        if (end && *end == '.')
                end = number_end(end + 1);
        return end && !*end;
}

/* "RUN-N" becomes "RUN" and "N", "RUN-N.K" "RUN" and "N.K". */
static const char *split_instance(char *instance) {
        char *dash = strrchr(instance, '-');

        if (!dash)
                return "";
        *dash = '\0';
        return id_valid(instance) ? dash + 1 : "";
}

int main(int argc, char **argv) {
        const char *run = ".";
        CLEANUP(stage_done)
        struct stage s = {
                .lock_fd = -1, .exit_fd = -1, .signal_fd = -1, .watch_fd = -1, .record.fd = -1};
        char hex[SHA256_HEX_SIZE] = "", exit_name[32];
        struct step_exit e;
        int r;

        if (argc == 3) {
                s.step = argv[2];
                if (!step_number(s.step)) {
                        run = argv[2];
                        s.step = split_instance(argv[2]);
                }
        }
        if (argc != 3 || !step_number(s.step)) {
                fprintf(stderr, "usage: rota-step RUNDIR STEP\n"
                                "       rota-step RUNS RUN-STEP\n");
                return 2;
        }
        r = leave_home();
        if (r == 0 && (chdir(argv[1]) < 0 || chdir(run) < 0))
                r = -errno;
        if (r == 0)
                r = take_signals(&s);
        if (r < 0) {
                log_error("%s: %s", argv[1], strerror(-r));
                return 1;
        }
        r = take_lock(&s);
        if (r < 0) {
                log_error("%s/%s.lock: %s", argv[1], s.step,
                          r == -EAGAIN || r == -EACCES ? "another rota-step carries out this step"
                                                       : strerror(-r));
                return 1;
        }
        if (access(stage_name(&s, "exit", exit_name), F_OK) == 0)
                return 0; /* it is done: nothing is done twice */
        set_room_aside(&s);
        e = carry_out(&s);
        seal(&s, &e, hex);
        return write_exit_for_sure(&s, &e);
}
