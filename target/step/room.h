/*
 * Room for output, as rota-step and the daemon speak about it: N.held says that the program waits for some, N.room
 * says how long N.out may become.
 *
 * N.held is for people to be told by; it is gone as soon as nothing waits. N.room is a number that only grows. Neither
 * is looked at but while the program waits.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct room {
        char held_name[32]; /* in the working directory */
        char room_name[32];
};

void room_init(struct room *r, const char *step);
/* Best effort: on a full disk nobody is told this way. */
void room_tell(const struct room *r, bool held);
/* Bytes, 0 while nothing was said. */
uint64_t room_given(const struct room *r);
