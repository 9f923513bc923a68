/*
 * A request to run something is sent, and its runs are followed to their end, or not waited for.
 */
#pragma once

#include "controller/cli/verb.h"

/* What the person calls himself; NULL when that is not known. */
const char *submit_by(void);
/* @request as controller/api.h says. Returns the exit status. */
int submit_run(const struct call *call, const char *selector, const char *request, bool detach);
