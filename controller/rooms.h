/*
 * The rooms this role speaks, and its callbacks for each.
 */
#pragma once

#include "ext/presence.h"
#include "ext/roster.h"
#include "ext/run.h"
#include "ext/stream.h"

#include <errno.h>

extern const struct presence_ops controller_presence_ops; /* serve_presence.c */
extern const struct roster_ops controller_roster_ops;     /* serve_presence.c */
extern const struct run_ops controller_run_ops;           /* serve_run.c */
extern const struct stream_ops controller_stream_ops;     /* serve_stream.c */
