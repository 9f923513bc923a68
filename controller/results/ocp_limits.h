/*
 * Validators of OCP diagnostics: a measured value against its limits.
 *
 * Numbers compare with numbers and texts with texts; a validator that cannot be judged (a pattern, an unknown type, a
 * limit of another kind) is shown and leaves the verdict open.
 */
#pragma once

#include "controller/results/result.h"
#include "proto/json.h"

/* As it was written, clipped. */
int ocp_value(const struct json_at *value, struct buf *out);
/* @validators may be NULL. Appends the limits as text; RESULT_PASSED, RESULT_FAILED, or RESULT_NONE. */
enum result_verdict ocp_judge(const struct json_at *value, const struct json_at *validators,
                              struct buf *limits);
