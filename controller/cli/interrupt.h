/*
 * Ctrl-C: the first one is a wish, seen as a readable descriptor; the second one kills.
 */
#pragma once

/* From now on the first SIGINT makes this descriptor readable. Returns it, or -errno. */
int interrupt_fd(void);
