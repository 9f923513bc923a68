/*
 * One output of a run: which format it is, and the reader for it.
 *
 * An OCP or JUnit output may begin at any line, for what begins it occurs in no ordinary text; so may "TAP version N". TAP
 * without its first line is believed only near the beginning, and only when two of its lines agree (a plan and a
 * test, tests 1 and 2). Text around results is passed over. After one has ended another may follow.
 *
 * Pure: bytes in, in pieces of any size; memory is bounded by a line.
 */
#pragma once

#include "controller/results/result.h"

#define STREAM_BEGINNING 200 /* lines in which TAP without a version may begin */

struct result_stream;

int result_stream_new(struct result_stream **ret, const struct result_sink *sink);
struct result_stream *result_stream_free(struct result_stream *s);
DEFINE_CLEANUP_FREE(struct result_stream, result_stream_free)
/* Both return 0 or -ENOMEM. */
int result_stream_feed(struct result_stream *s, const char *data, size_t len);
/* Once. */
int result_stream_finish(struct result_stream *s, const struct result_end *end);
/* Whether one of that format has begun. */
bool result_stream_has(const struct result_stream *s, enum result_format f);
