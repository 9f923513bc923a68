/*
 * What this target is kept for beside its queue: reserved for somebody (reserve.c), in quarantine (quarantine.c), away
 * (leave.c). duty.c keeps all three durable.
 */
#pragma once

#include "target/target.h"

/* Makes @next durable, with its line in the audit journal (NULL: none). Returns 0 or -errno; then all is as before. */
int duty_change(struct target *t, const struct standing *next, const struct audit_entry *e);
/* Something ends by itself, or nobody is to answer for it: @next is in force at once, and on disk when that can be. */
void duty_let_go(struct target *t, const struct standing *next, const struct audit_entry *e);
/* The lease that is over. */
void reserve_pump(struct target *t, uint64_t now_usec);
/* The queue and presence follow what is in force. */
void duty_in_force(struct target *t);
/* The answer when duty_change() failed with @r. */
int duty_not_written(int r, struct stanza_error *ret_error);
