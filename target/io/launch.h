/*
 * Starting rota-step for a step, and knowing when it is gone.
 *
 * Under systemd it is an instance of the template rota-step@RUN-N.service, else a process in a session of
 * its own. Either way it outlives this daemon: a daemon that starts later finds it by the lock it holds.
 *
 *   launch_start()                        launch_adopt()
 *        |  process or unit                  |  the lock's holder
 *        v                                   v
 *     ... runs; the daemon may come and go ...
 *        |
 *        +--> gone(): look at the exit record, the lock and the output, in this order
 */
#pragma once

#include "proto/base/cleanup.h"

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

struct launcher;
struct launch;

/* @program: rota-step. @units: by systemd. */
int launcher_new(struct launcher **ret, sd_event *event, const char *program, bool units);
struct launcher *launcher_free(struct launcher *l);
DEFINE_CLEANUP_FREE(struct launcher, launcher_free)
/* Does this process run as a service of a booted systemd? */
bool launcher_under_systemd(void);

/* rota-step is gone, or never came. @trouble: why it could not be started, else NULL. May free the launch. */
typedef void launch_gone(void *userdata, const char *trouble);

/* Returns 0 or -errno. */
int launch_start(struct launch **ret, struct launcher *l, const char *run, const char *step,
                 const char *run_path, launch_gone *gone, void *userdata);

enum {
        LAUNCH_NONE = 1, /* nobody holds the lock */
};

int launch_adopt(struct launch **ret, struct launcher *l, const char *step, const char *run_path,
                 launch_gone *gone, void *userdata);
/* Something happened in the run directory: a unit that starts shows itself there. */
void launch_stirred(struct launch *l);
/* Forgets it; rota-step goes on. */
struct launch *launch_free(struct launch *l);
DEFINE_CLEANUP_FREE(struct launch, launch_free)
