/*
 * Starting the user's own controller: in a session of its own, its talk in a log file.
 *
 * It returns when the socket accepts connections, when the controller has ended (its last words are then
 * said), or after five seconds.
 */
#pragma once

#include "controller/cli/where.h"

/* Returns a connected descriptor, or -1 with an exit status after an error has been said. */
int start_controller(const struct where *w, int *ret_status);
/* Connects to a UNIX stream socket. Returns the descriptor or -errno. */
int start_connect(const char *path);
