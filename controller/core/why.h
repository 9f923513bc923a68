/*
 * Why a machine is shown as it is: the evidence as sentences, with times.
 *
 * Pure: words about what fleet.h and avail.h know.
 */
#pragma once

#include "controller/core/fleet.h"

/* "pc2 is busy (memory, step 2 of 5, for ana)", "pc2 is offline since 14:02": today without the date. */
int why_sentence(const struct target *t, uint64_t realtime_usec, struct buf *out);
/* The reasons for the state that is shown, a sentence each, ended by a line break. */
int why_evidence(const struct fleet *f, const struct target *t, uint64_t realtime_usec,
                 uint64_t now_usec, struct buf *out);
/* How we know that it is not there: a sentence. */
void why_gone(const struct avail *a, uint64_t realtime_usec, struct buf *out);
/* What can be done about it, or with it, now: one sentence. */
int why_advice(const struct fleet *f, const struct target *t, struct buf *out);
/* "it is expected back in about 40s", "it is overdue since 14:02:07"; nothing when it did not go on purpose. */
int why_back(const struct avail *a, uint64_t realtime_usec, struct buf *out);
