#include "tests/sim/program.h"

#include "tests/sim/calls.h"
#include "tests/sim/truth.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIPE_SIZE ((size_t)65536)

struct program {
        struct proc *step;
        struct truth_launch *truth;
        struct rng rng;
        pid_t pid;
        uint64_t left;
        uint64_t pieces; /* still to print */
        uint64_t usec;   /* still to run */
        int exit_status;
        bool stubborn;
        bool ended, reaped;
        int status; /* as waitpid() tells it */
        uint8_t *pipe;
        size_t n;
};

static void end(struct program *g, int status) {
        if (g->ended)
                return;
        g->ended = true;
        g->status = status;
        truth_program_ended(g->truth, status);
        if (!g->step->dead)
                proc_signal(g->step, SIGCHLD);
}

/* Lines as of a test: numbers that go up, and now and then something that does not compress. */
static void print(struct program *g, size_t size) {
        size_t from = g->n;

        while (g->n < from + size) {
                char line[160];
                int len;

                if (rng_chance(&g->rng, 600))
                        len = snprintf(line, sizeof(line), "test %llu of block %llu: ok\n",
                                       (unsigned long long)g->left,
                                       (unsigned long long)rng_below(&g->rng, 100));
                else
                        len = snprintf(line, sizeof(line), "%016llx%016llx%016llx\r\n",
                                       (unsigned long long)rng_next(&g->rng),
                                       (unsigned long long)rng_next(&g->rng),
                                       (unsigned long long)rng_next(&g->rng));
                if ((size_t)len > from + size - g->n)
                        len = (int)(from + size - g->n);
                memcpy(g->pipe + g->n, line, (size_t)len);
                g->n += (size_t)len;
        }
        g->left -= size;
        truth_printed(g->truth, g->pipe + from, size);
}

static void on_time(void *subject, uint64_t unused) {
        struct program *g = subject;
        uint64_t size, wait;

        (void)unused;
        if (g->ended)
                return;
        if (g->pieces == 0 && g->left == 0) {
                end(g, g->exit_status << 8);
                return;
        }
        size = g->pieces > 1 ? rng_below(&g->rng, 2 * g->left / g->pieces + 1) : g->left;
        if (size > g->left)
                size = g->left;
        if (size > PIPE_SIZE - g->n)
                size = PIPE_SIZE - g->n;
        if (size > 0) {
                print(g, (size_t)size);
                proc_wake(g->step);
        }
        if (g->pieces > 0)
                g->pieces--;
        wait = g->usec / (g->pieces + 1);
        wait = rng_below(&g->rng, 2 * wait + 1);
        if (g->left > 0 && g->n == PIPE_SIZE && wait < MSEC)
                wait = MSEC; /* it hangs in write() */
        g->usec -= wait < g->usec ? wait : g->usec;
        world_after(wait, on_time, g, 0);
}

static uint64_t argument(const char *const *argv, const char *name, uint64_t otherwise) {
        size_t len = strlen(name);

        for (size_t i = 1; argv[i]; i++)
                if (strncmp(argv[i], name, len) == 0 && argv[i][len] == '=')
                        return strtoull(argv[i] + len + 1, NULL, 10);
        return otherwise;
}

static bool has(const char *const *argv, const char *name) {
        for (size_t i = 1; argv[i]; i++)
                if (strcmp(argv[i], name) == 0)
                        return true;
        return false;
}

int program_start(const char *const *argv, pid_t *ret_pid, int *ret_out) {
        struct proc *step = world->current;
        struct program *g = calloc(1, sizeof(*g));
        struct file f = {.kind = FILE_PIPE, .program = g};
        int fd;

        if (!g || !(g->pipe = malloc(PIPE_SIZE)))
                abort();
        proc_call("fork");
        g->step = step;
        g->rng.state = rng_next(&step->machine->rng);
        g->pid = ++step->machine->pids;
        g->left = argument(argv, "bytes", 0);
        g->usec = argument(argv, "usec", 0);
        g->exit_status = (int)argument(argv, "exit", 0);
        g->stubborn = has(argv, "stubborn");
        g->pieces = g->left > 0 ? 1 + rng_below(&g->rng, 6) : 1;
        fd = calls_open_file(&f);
        if (fd < 0)
                return fd;
        step->program = g;
        g->truth = truth_launched(step);
        world_tell("%s begins", argv[0]);
        world_after(rng_below(&g->rng, 2 * MSEC), on_time, g, 0);
        *ret_pid = g->pid;
        *ret_out = fd;
        return 0;
}

bool program_readable(const struct program *g) {
        return g->n > 0;
}

ssize_t program_read(struct program *g, void *data, size_t size) {
        if (g->n == 0)
                return -EAGAIN;
        if (size > g->n)
                size = g->n;
        if (size > 4096 && rng_chance(&g->rng, 500))
                size = 4096; /* as a terminal gives them */
        memcpy(data, g->pipe, size);
        memmove(g->pipe, g->pipe + size, g->n - size);
        g->n -= size;
        return (ssize_t)size;
}

static void on_death(void *subject, uint64_t signal) {
        end(subject, (int)signal);
}

void program_signal(struct program *g, int signal) {
        if (signal == SIGKILL)
                end(g, SIGKILL);
        else if (signal == SIGTERM && !g->stubborn)
                world_after(rng_below(&g->rng, 50 * MSEC), on_death, g, SIGTERM);
}

pid_t program_wait(struct program *g, int *status) {
        if (!g->ended)
                return 0;
        if (g->reaped) {
                errno = ECHILD;
                return -1;
        }
        g->reaped = true;
        *status = g->status;
        return g->pid;
}

void program_orphaned(struct program *g) {
        end(g, SIGKILL);
}
