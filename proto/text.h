/*
 * Text for people, made to fit: what a field of limited length may carry without being refused.
 */
#pragma once

#include "proto/base/arena.h"

#include <stddef.h>

/* As much of @text as is at most @max bytes (>= 3) when it has been written as XML, in whole characters; ends with "…"
 * when it was cut. What XML does not allow becomes U+FFFD here already, because that is longer than
 * what it replaces. @text itself, when nothing has to change; NULL when out of memory, or for NULL. */
const char *text_fit(struct arena *a, const char *text, size_t max);
