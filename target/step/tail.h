/*
 * The end of an output that is longer than it may be: a ring in the file N.tail.
 *
 * The last `room` bytes of those put in come out again, oldest first; what has come out gives its space back
 * to the disk, so that moving the end over to N.out takes no more space than there was. The space of
 * the ring is set aside when it is opened: a disk that fills up later does not cost the end.
 */
#pragma once

#include "proto/base/cleanup.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct tail {
        int fd; /* -1: not open */
        uint64_t room;
        uint64_t put;   /* bytes that went in */
        uint64_t taken; /* up to here they came out, or were overwritten */
        uint64_t freed; /* up to here they have given their space back */
};

/* Return 0 or -errno. */
int tail_open(struct tail *t, const char *path, uint64_t room);
/* Bytes put in, or -errno. Must not be called after tail_take(). */
ssize_t tail_put(struct tail *t, const void *data, size_t size);
/* Bytes that were overwritten. */
uint64_t tail_dropped(const struct tail *t);
/* The next bytes, 0 at the end, or -errno. Gives back the space of those taken before. */
ssize_t tail_take(struct tail *t, void *data, size_t size);
void tail_done(struct tail *t);
