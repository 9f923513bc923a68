/*
 * One step being carried out: from the start of its program until nothing of it is left.
 *
 * It ends by itself, or is ended once, for the first reason that comes: a limit, a wish (N.kill,
 * SIGTERM), a full disk, no room for its output. Ending is SIGTERM to all of it, then after the grace time SIGKILL until
 * waitpid() knows no child any more. A process that is stuck in the kernel is named and left.
 *
 * The loop is one ppoll(); the only blocking call is the write to the output file.
 */
#pragma once

#include "target/step/record.h"
#include "target/step/room.h"
#include "target/step/step.h"

struct job {
        const struct step_spec *spec;
        struct arena *arena;
        struct record *record;
        const struct room *room;
        const char *kill_name; /* "2.kill" in the working directory */
        bool watched;  /* SIGIO says that the directory changed; else we look now and then */
        int signal_fd; /* SIGCHLD, SIGTERM and SIGIO */
};

/* Fills what it knows of @ret (all but size and hash; strings in the arena). Returns 0 or -errno. */
int job_run(const struct job *job, struct step_exit *ret);
