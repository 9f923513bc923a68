/*
 * One stream of one run, read as it grows.
 *
 * The controller passes a descriptor of its file; bytes below `next` are there to stay, and signals
 * move `next`. What was read is known by offset alone, so that after a restart of the controller reading
 * goes on where it was, with a new descriptor.
 */
#pragma once

#include "controller/cli/client.h"

#include <stdbool.h>
#include <stdint.h>

struct tail {
        char *stream;
        unsigned order;  /* of runinfo_order() */
        int fd;          /* -1: not open */
        uint64_t offset; /* read so far */
        uint64_t next;   /* may be read */
        uint64_t size;   /* of the whole, UINT64_MAX: not known */
        bool asked;      /* opened once: `next` is at least what the controller said then */
};

enum {
        TAIL_MORE = 1,  /* nothing to read now */
        TAIL_SHORT = 2, /* the file is shorter than the controller says */
};

int tail_init(struct tail *t, const char *stream);
void tail_done(struct tail *t);
/* Closes; the next read opens again. */
void tail_close(struct tail *t);
void tail_grew(struct tail *t, uint64_t next);
/* Nothing more will come; @run_ended: of the run. */
bool tail_finished(const struct tail *t, bool run_ended);
/* Reads up to @size bytes; opens when needed. Returns 0, TAIL_MORE, TAIL_SHORT or -errno; when the controller refused,
 * -EREMOTEIO with @error set. */
int tail_read(struct tail *t, struct client *c, const char *run, void *data, size_t size,
              size_t *ret_n, sd_bus_error *error);
