/*
 * Starting a program that is not ours to keep: own session, no descriptors or signal state of ours, and a
 * pidfd that tells when it is gone, also when it is somebody else's child.
 */
#pragma once

#include "proto/base/cleanup.h"

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct child;

/* @status: exit status, 128 + signal, or -1 when it was not our child. May free the child. */
typedef void child_gone(void *userdata, int status);

/* @env NULL: ours. Output goes to our standard error. Returns 0 or -errno. */
int child_start(struct child **ret, sd_event *event, const char *const *argv,
                const char *const *env, child_gone *gone, void *userdata);
/* A process that runs already. -ESRCH: it is gone. */
int child_adopt(struct child **ret, sd_event *event, pid_t pid, child_gone *gone, void *userdata);
pid_t child_pid(const struct child *c);
/* Forgets it; it goes on. */
struct child *child_free(struct child *c);
DEFINE_CLEANUP_FREE(struct child, child_free)
