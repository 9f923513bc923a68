/*
 * Changes: which lines of a listing are new since the last time, for whoever follows it without a terminal.
 *
 * Each line has a name; listings come with their names in ascending order. Pure.
 */
#pragma once

#include "proto/base/cleanup.h"

#include <stdbool.h>
#include <stddef.h>

struct changes_line {
        char *name;
        char *text;
};

struct changes {
        struct changes_line *last, *next;
        size_t n_last, n_next, cap_next;
        size_t at; /* in `last`: before it all are told */
        bool failed;
};

void changes_done(struct changes *c);
DEFINE_CLEANUP_DONE(struct changes, changes_done)

/* Names of the last listing that come before @name and are no longer there: call until NULL. Then changes_put(). NULL
 * @name: the rest. */
const char *changes_gone(struct changes *c, const char *name);
/* True: it is new, or reads otherwise than the last time. */
bool changes_put(struct changes *c, const char *name, const char *text);
/* This listing is over. Returns 0 or -ENOMEM. */
int changes_end(struct changes *c);
