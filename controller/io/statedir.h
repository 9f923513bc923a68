/*
 * The state directory: made when it is not there, private, and locked for one controller.
 */
#pragma once

enum {
        STATEDIR_TAKEN = 1, /* another controller has it */
};

/* Makes @path and @path/runs with their parents, and locks. Returns 0, STATEDIR_TAKEN or -errno. The
 * lock lasts until *ret_fd is closed. */
int statedir_open(const char *path, int *ret_fd);
/* Makes the directories above the last name of @path, with @mode. */
int statedir_make_parents(const char *path, unsigned mode);
