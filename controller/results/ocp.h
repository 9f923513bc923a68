/*
 * OCP diagnostics: the JSON Lines of the Open Compute "test and validation" output specification.
 *
 * A diagnosis is a test, its step and the run are suites; a step or a run that ended worse than its diagnoses,
 * or without any, is a test itself. Measurements are judged by their validators, regular expressions
 * excepted: a pattern from a target is shown, never run here. What has begun and not ended was cut.
 *
 * Pure; bounded in steps, series and text. JSON is read by proto/json.h.
 */
#pragma once

#include "controller/results/result.h"

struct ocp;

int ocp_new(struct ocp **ret, const struct result_sink *sink);
struct ocp *ocp_free(struct ocp *o);
DEFINE_CLEANUP_FREE(struct ocp, ocp_free)
/* Whether a line begins such an output: the schema's version, or the start of a run. 0 or -ENOMEM. */
int ocp_begins(const char *line, size_t len, bool *ret);
/* One line without its end. Lines that are no JSON are passed over. Returns 0 or -ENOMEM. */
int ocp_line(struct ocp *o, const char *line, size_t len, uint64_t number);
/* The run has ended: what follows is another output. */
bool ocp_ended(const struct ocp *o);
int ocp_finish(struct ocp *o, const struct result_end *end);
