/*
 * Health: what stands between the controller and the truth of what it shows.
 *
 * A controller without its server knows nobody's state, one without disk space takes no output. Whoever
 * looks at a list is told so; "rota doctor" says more.
 */
#pragma once

#include "controller/cli/client.h"
#include "proto/base/buf.h"

/* One sentence a line, nothing when all is well. Returns 0 or an exit status, after it was said. */
int health_print(struct client *c, struct buf *out);
