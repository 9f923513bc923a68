/*
 * The descendants of this process, as /proc shows them now.
 *
 * This process is a child subreaper, so whatever double-forked away is below it still. The list is
 * a snapshot: who wants all of them gone repeats until waitpid() says ECHILD, which is exact.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Sends @sig to every descendant outside process group @except (0: none is left out).
 * Returns how many there are, or -errno. */
int tree_signal(int sig, pid_t except);
/* Names one descendant for people, "1234 (fio)"; "" when there is none. */
void tree_describe(char *ret, size_t size);
