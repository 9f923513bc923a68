/*
 * The program of a step: started with a pty or a pipe for its output, and nothing else of ours.
 *
 * Standard input is /dev/null, so nothing waits for a person. The pty is set to pass every byte as
 * it is. We keep the writing end open ourselves: the end of the output is "no descendant is left and
 * nothing is there to read", which holds also for programs that close their output and work on.
 *
 * Nothing here waits: whether execve() worked is read from `failed` later (end of file: it did).
 */
#pragma once

#include "proto/base/cleanup.h"
#include "target/step/step.h"

#include <sys/types.h>

struct child {
        pid_t pid; /* leader of its process group */
        int out;   /* reading end, non-blocking */
        int hold;  /* writing end */
        int failed;
};

enum child_place {
        CHILD_CWD,
        CHILD_EXEC,
        CHILD_SETUP,
};

/* What the forked child says over `failed` when there is no program in its place. */
struct child_failure {
        int error;
        enum child_place place;
};

/* Returns 0 or -errno. */
int child_start(struct child *c, const struct step_spec *spec, struct arena *a);
/* Returns 1 when the program could not be executed (ret_failure), 0 when it runs or ran, -EAGAIN when
 * that is not known yet. */
int child_failed(struct child *c, struct child_failure *ret_failure);
/* The list of directories the program is looked for in: of the spec's environment, or the default. */
const char *child_path(const struct step_spec *spec);
void child_done(struct child *c);
DEFINE_CLEANUP_DONE(struct child, child_done)
