/*
 * What a step runs: a simulated program below the real rota-step.
 *
 * Its arguments say what it does: bytes=N printed over usec=N, exit=N at the end, "stubborn" to ignore SIGTERM. It goes when
 * rota-step goes (PR_SET_PDEATHSIG).
 */
#pragma once

#include "tests/sim/proc.h"

struct program;

/* Below the current process. @ret_out: its output. 0 or -errno. */
int program_start(const char *const *argv, pid_t *ret_pid, int *ret_out);
bool program_readable(const struct program *g);
ssize_t program_read(struct program *g, void *data, size_t size);
void program_signal(struct program *g, int signal);
/* As waitpid(-1, …, WNOHANG). */
pid_t program_wait(struct program *g, int *status);
void program_orphaned(struct program *g);
