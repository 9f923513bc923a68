/*
 * A limit on library calls that may block for ever on a socket (libstrophe's TLS handshake).
 *
 * Between arm and disarm a timer signal shuts the socket down when the time is over, so that whoever
 * waits on it wakes up with an end of file. The signal carries the descriptor by value: there
 * is nothing shared with the handler.
 *
 * For one thread: the signal must not find the descriptor closed and taken by somebody else, which holds
 * because disarming comes before closing.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct watchdog {
        timer_t timer;
        bool armed;
};

/* Returns 0 or -errno (the call then has no limit). */
int watchdog_arm(struct watchdog *w, int fd, uint64_t usec);
bool watchdog_fired(const struct watchdog *w);
void watchdog_disarm(struct watchdog *w);
