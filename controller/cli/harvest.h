/*
 * Harvest: the results of runs, read through the controller from their outputs.
 *
 * Of a step that was begun again only the last attempt counts. An output that is not whole yet is read as far as
 * it is there.
 */
#pragma once

#include "controller/cli/client.h"
#include "controller/results/report.h"

/* @name is a batch, or a run (any unique beginning of its id). Returns 0 or the exit status, after it was said. */
int harvest(struct client *c, const char *name, struct report *ret);
/* What a report means for the exit status: 1 when a test failed or broke off, 3 when something was not run. */
int harvest_status(const struct report *r);
