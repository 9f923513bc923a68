/*
 * The event loop of simulated daemons: as much of sd-event as they use, on virtual time.
 */
#pragma once

#include "tests/sim/proc.h"

/* Something happened in a directory, or to a file: whoever watches hears of it. */
void loop_stirred(struct node *dir, const char *name, enum stir what);
void loop_file_modified(struct machine *m, struct node *file);
void loop_signalled(struct sd_event *e);
/* Watchers of @m miss what happened so far: the queue overflows. */
void loop_overflow(struct machine *m);
