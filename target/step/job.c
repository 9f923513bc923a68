#include "target/step/job.h"

#include "proto/base/clock.h"
#include "proto/units.h"
#include "target/step/child.h"
#include "target/step/tree.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEFTOVER_USEC USEC_PER_SEC /* for descendants to follow the main program */
#define KILL_PASS_USEC (20 * USEC_PER_MSEC)
#define STUCK_USEC (10 * USEC_PER_SEC) /* from the first SIGKILL until we call it stuck */
#define DISK_RETRY_USEC (200 * USEC_PER_MSEC)
#define DISK_USEC (30 * USEC_PER_SEC)   /* how long a full disk may hold the program */
#define LOOK_USEC (250 * USEC_PER_MSEC) /* for N.kill, when nobody tells */
#define ROOM_USEC USEC_PER_SEC          /* for N.room, which is written after it is made */

struct course {
        const struct job *job;
        struct child *child;
        struct step_exit end;
        uint64_t started;
        uint64_t heard;      /* last output */
        uint64_t kill_at;    /* SIGKILL from then on */
        uint64_t pass_at;    /* the next round of it */
        uint64_t full_since; /* 0: the disk takes all */
        uint64_t held_since; /* 0: there is room for what it prints */
        bool wished;         /* N.kill was seen */
        bool exited;         /* the main program */
        bool gone;           /* and everything else */
        bool refused;        /* execve() failed: there was never a program */
        bool dropping;       /* there was no room, and now it ends: the rest is counted only */
        bool lost;           /* the file takes no more: the rest of the output is lost */
};

static uint64_t min_u64(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

static uint64_t later(uint64_t now, uint64_t usec) {
        return usec > USEC_NEVER - now ? USEC_NEVER : now + usec;
}

/* A sentence in the arena; without memory for it the cause must do. */
#define say(c, ...) arena_printf((c)->job->arena, __VA_ARGS__)

static void course_end(struct course *c, uint64_t now, const char *cause, const char *text,
                       uint64_t grace) {
        if (c->end.cause || (c->exited && !c->held_since))
                return;
        c->end.cause = cause;
        c->end.text = text;
        if (c->gone)
                return;
        c->kill_at = min_u64(c->kill_at, later(now, grace));
        if (!c->exited) {
                kill(-c->child->pid, SIGTERM);
                kill(-c->child->pid, SIGCONT);
        }
        tree_signal(SIGTERM, c->exited ? 0 : c->child->pid);
        tree_signal(SIGCONT, c->exited ? 0 : c->child->pid);
}

static void course_finish(struct course *c, uint64_t now, const char *cause, const char *text) {
        course_end(c, now, cause, text, c->job->spec->grace_usec);
}

static void course_reap(struct course *c, uint64_t now) {
        int status;
        pid_t pid;

        while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
                if (pid != c->child->pid)
                        continue;
                c->exited = true;
                c->end.elapsed_usec = now - c->started;
                if (WIFSIGNALED(status))
                        c->end.signal = WTERMSIG(status);
                else
                        c->end.exit_status = WEXITSTATUS(status);
                c->kill_at = min_u64(c->kill_at, later(now, LEFTOVER_USEC));
        }
        if (pid < 0 && errno == ECHILD)
                c->gone = true;
}

/* Forever new descendants cannot outrun this for long: each round stops, kills, and sees the next. */
static void course_kill(struct course *c, uint64_t now) {
        char who[64];

        if (now < c->kill_at || now < c->pass_at || c->gone)
                return;
        if (!c->exited)
                kill(-c->child->pid, SIGKILL);
        tree_signal(SIGSTOP, 0);
        tree_signal(SIGKILL, 0);
        c->pass_at = now + KILL_PASS_USEC;
        if (now - c->kill_at < STUCK_USEC)
                return;
        tree_describe(who, sizeof(who));
        c->gone = true;
        if (!c->exited)
                c->end.elapsed_usec = now - c->started;
        if (!c->end.cause)
                c->end.cause = "internal";
        c->end.text = say(c, "%s%sprocess %s cannot be killed: it may be stuck in the kernel",
                          c->end.text ? c->end.text : "", c->end.text ? "; " : "", who);
}

static void course_lose(struct course *c, uint64_t now, int error) {
        const char *text;

        c->lost = true;
        if (error == 0)
                text = say(c, "the disk stayed full for %u s; output after byte %ju is lost",
                           (unsigned)(DISK_USEC / USEC_PER_SEC), (uintmax_t)c->job->record->size);
        else
                text = say(c, "the output could not be written (%s); it is lost after byte %ju",
                           strerror(error), (uintmax_t)c->job->record->size);
        course_finish(c, now, "disk", text);
        if (c->end.text == text)
                return;
        /* It was ending already. Whatever the reason, bytes are missing, and that is said. */
        c->end.text = c->end.text ? say(c, "%s; %s", c->end.text, text) : text;
        if (!c->end.cause)
                c->end.cause = "disk";
}

static void course_release(struct course *c) {
        if (c->held_since)
                room_tell(c->job->room, false);
        c->held_since = 0;
}

/* @until: how long it waited, for people. */
static void course_over(struct course *c, uint64_t now, const char *until, uint64_t usec) {
        CLEANUP(buf_done) struct buf bytes = {0}, time = {0};

        units_print_bytes(&bytes, c->job->record->room);
        units_print_duration(&time, usec);
        course_finish(c, now, "budget",
                      say(c, "its output filled its disk budget of %s and waited for room %s %s",
                          buf_text(&bytes), until, buf_text(&time)));
}

/* The program waits in its write. */
static void course_hold(struct course *c, uint64_t now) {
        uint64_t hold = c->job->spec->hold_usec;

        if (!c->held_since && !c->end.cause) {
                c->held_since = now;
                room_tell(c->job->room, true);
        }
        if (!c->end.cause && hold && now - c->held_since >= hold)
                course_over(c, now, "for", hold);
        if (!c->end.cause)
                return;
        /* Whatever the reason, it ends: it shall not wait for us as well. */
        c->dropping = true;
        course_release(c);
}

/* What became of bytes that are there. Returns true when there may be more to do at once. */
static bool course_took(struct course *c, uint64_t now, int r) {
        c->heard = now;
        if (r == RECORD_HELD) {
                course_hold(c, now);
                return c->dropping;
        }
        if (r == RECORD_FULL) {
                if (!c->full_since)
                        c->full_since = now;
                if (now - c->full_since >= DISK_USEC)
                        course_lose(c, now, 0);
                return false;
        }
        if (r < 0) {
                course_lose(c, now, -r);
                return false;
        }
        c->full_since = 0;
        course_release(c);
        return true;
}

/* Returns true when there may be more to read at once. */
static bool course_listen(struct course *c, uint64_t now) {
        struct record *record = c->job->record;
        int r;

        if (c->lost)
                return false;
        if (c->dropping)
                return record_drop(record, c->child->out) == 0;
        r = c->full_since ? record_push(record) : record_pull(record, c->child->out);
        return r != RECORD_DRY && course_took(c, now, r);
}

static void course_room(struct course *c) {
        uint64_t bytes;

        if (!c->held_since)
                return;
        bytes = room_given(c->job->room);
        if (bytes > c->job->record->room)
                record_bound(c->job->record, bytes, NULL);
}

static const char *say_limit(const struct course *c, const char *what, uint64_t usec) {
        CLEANUP(buf_done) struct buf text = {0};

        units_print_duration(&text, usec);
        return say(c, "%s %s", what, buf_text(&text));
}

static void course_limits(struct course *c, uint64_t now) {
        const struct step_spec *spec = c->job->spec;
        uint64_t limit = spec->timeout_usec, silence = spec->silence_usec;

        if (c->end.cause || (c->exited && !c->held_since))
                return;
        if (limit && c->held_since && now - c->started >= limit)
                course_over(c, now, "until its time limit of", limit);
        else if (limit && now - c->started >= limit)
                course_finish(c, now, "timeout", say_limit(c, "it took longer than", limit));
        else if (silence && !c->full_since && !c->held_since && now - c->heard >= silence)
                course_finish(c, now, "silence", say_limit(c, "it printed nothing for", silence));
}

static void course_wishes(struct course *c, uint64_t now) {
        uint64_t grace = c->job->spec->cancel_grace_usec;

        if (c->wished || access(c->job->kill_name, F_OK) < 0)
                return;
        c->wished = true;
        course_end(c, now, "cancelled", "it was cancelled", grace);
        /* It may be ending already, for a reason that stays; but now somebody waits for it. */
        c->kill_at = min_u64(c->kill_at, later(now, grace));
}

static void course_signals(struct course *c, uint64_t now) {
        struct signalfd_siginfo info;
        bool asked = false, changed = false;

        while (read(c->job->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
                asked |= info.ssi_signo == SIGTERM;
                changed |= info.ssi_signo == SIGIO;
        }
        if (changed)
                course_wishes(c, now);
        if (asked)
                course_finish(c, now, "terminated", "rota-step was told to end (SIGTERM)");
        course_reap(c, now);
}

static const char *not_executed(const struct course *c, const struct child_failure *f) {
        const struct step_spec *spec = c->job->spec;
        const char *program = spec->argv[0];

        if (f->place == CHILD_CWD)
                return say(c, "cannot enter directory %s: %s", spec->cwd, strerror(f->error));
        if (f->place == CHILD_SETUP)
                return say(c, "cannot prepare to execute %s: %s", program, strerror(f->error));
        if (f->error == ELIBBAD)
                return say(c, "%s is there, but the interpreter that it names is not", program);
        if (f->error == ENOEXEC)
                return say(c, "%s is no program, nor a script with #! in its first line", program);
        if (f->error == ENOENT && strchr(program, '/'))
                return say(c, "there is no program %s", program);
        if (f->error == ENOENT)
                return say(c, "there is no program %s in %s", program, child_path(spec));
        return say(c, "cannot execute %s: %s", program, strerror(f->error));
}

static void course_executed(struct course *c) {
        struct child_failure f;

        if (child_failed(c->child, &f) != 1)
                return;
        c->refused = true;
        c->end.cause = f.place == CHILD_EXEC && f.error == ENOENT ? "missing" : "exec";
        c->end.text = not_executed(c, &f);
}

static uint64_t course_deadline(const struct course *c, uint64_t now) {
        const struct step_spec *spec = c->job->spec;
        uint64_t at = USEC_NEVER;

        if ((!c->exited || c->held_since) && !c->end.cause) {
                if (spec->timeout_usec)
                        at = min_u64(at, later(c->started, spec->timeout_usec));
                if (spec->silence_usec && !c->full_since && !c->held_since)
                        at = min_u64(at, later(c->heard, spec->silence_usec));
        }
        if (!c->job->watched && !c->wished)
                at = min_u64(at, now + LOOK_USEC);
        if (!c->gone && c->kill_at != USEC_NEVER)
                at = min_u64(at, c->kill_at > c->pass_at ? c->kill_at : c->pass_at);
        if (c->full_since && !c->lost)
                at = min_u64(at, now + DISK_RETRY_USEC);
        if (c->held_since)
                at = min_u64(at, now + ROOM_USEC);
        if (c->held_since && spec->hold_usec && !c->end.cause)
                at = min_u64(at, later(c->held_since, spec->hold_usec));
        return at;
}

static int course_wait(struct course *c, uint64_t *ret_now, struct pollfd fds[static 3]) {
        uint64_t now = clock_monotonic_usec(), at = course_deadline(c, now);
        struct timespec ts, *wait = NULL;

        fds[0] = (struct pollfd){.fd = c->job->signal_fd, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = c->full_since || c->held_since || c->lost ? -1
                                                                                 : c->child->out,
                                 .events = POLLIN};
        fds[2] = (struct pollfd){.fd = c->child->failed, .events = POLLIN};
        if (at != USEC_NEVER) {
                uint64_t usec = at > now ? at - now : 0;

                ts.tv_sec = (time_t)min_u64(usec / USEC_PER_SEC, INT32_MAX);
                ts.tv_nsec = (long)(usec % USEC_PER_SEC) * 1000;
                wait = &ts;
        }
        if (ppoll(fds, 3, wait, NULL) < 0 && errno != EINTR)
                return -errno;
        *ret_now = clock_monotonic_usec();
        return 0;
}

static int course_turn(struct course *c) {
        struct pollfd fds[3] = {0};
        uint64_t now = 0;
        int r;

        r = course_wait(c, &now, fds);
        if (r < 0)
                return r;
        if (fds[2].revents)
                course_executed(c);
        course_room(c);
        if (fds[1].revents || c->full_since || c->held_since)
                course_listen(c, now);
        if (fds[0].revents)
                course_signals(c, now);
        if (!c->job->watched)
                course_wishes(c, now);
        course_limits(c, now);
        if (c->held_since && c->end.cause)
                course_hold(c, now); /* no longer */
        course_kill(c, now);
        return 0;
}

/* Nobody writes any more; what the kernel holds is all there will be. */
static int course_drain(struct course *c) {
        for (;;) {
                struct pollfd pause = {.fd = c->job->signal_fd, .events = 0};
                uint64_t now = clock_monotonic_usec();
                int r;

                if (course_listen(c, now))
                        continue;
                if (c->held_since) {
                        /* It has ended, but its last bytes still wait for room. */
                        r = course_turn(c);
                        if (r < 0)
                                return r;
                        continue;
                }
                if (!c->lost && !c->full_since) {
                        r = record_settle(c->job->record);
                        if (r == 0)
                                return 0;
                        course_took(c, now, r);
                }
                if (c->lost)
                        return 0;
                if (poll(&pause, 1, (int)(DISK_RETRY_USEC / USEC_PER_MSEC)) < 0 && errno != EINTR)
                        return -errno;
        }
}

int job_run(const struct job *job, struct step_exit *ret) {
        CLEANUP(child_done) struct child child = {.pid = -1, .out = -1, .hold = -1, .failed = -1};
        struct course c = {
                .job = job,
                .child = &child,
                .end = {.exit_status = -1},
                .kill_at = USEC_NEVER,
        };
        int r;

        c.started = c.heard = clock_monotonic_usec();
        r = child_start(&child, job->spec, job->arena);
        if (r < 0)
                return r;
        course_wishes(&c, c.started);
        while (!c.gone && r == 0)
                r = course_turn(&c);
        if (r < 0) {
                tree_signal(SIGKILL, 0);
                return r;
        }
        course_executed(&c);
        r = course_drain(&c);
        if (r < 0)
                return r;
        c.end.dropped = job->record->dropped;
        if (c.dropping && c.end.dropped)
                c.end.text = say(&c, "%s; the last %ju bytes it printed are dropped",
                                 c.end.text ? c.end.text : "", (uintmax_t)c.end.dropped);
        if (c.refused) {
                c.end.exit_status = -1;
                c.end.signal = 0;
        }
        *ret = c.end;
        return 0;
}
