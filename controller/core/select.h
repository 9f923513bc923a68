/*
 * Selectors: which targets are meant.
 *
 *   selector  := part {"," part}          all parts must hold; a comma inside [] belongs to the list
 *   part      := NAME | GLOB              pc1, pc3-*, pc3-[01-12,20]   (*, ?, and lists or ranges in [])
 *              | STATE | "!" part         ready, !ready, offline
 *              | KEY OP VALUE             gpu>=2, gpu=mi300, location=lab3*; OP: = != < <= > >=
 *              | KEY                      has the label (when no target has that name)
 *   COUNT ":" selector                    so many of them, idle ones first
 *
 * Several selectors, one a line, are a union. "" and "*" are all. Both sides of a comparison are numbers, or it is
 * text. Keys are labels, and: name, location, title, state, boot, version.
 *
 * Pure. The result is sorted by name (after idleness when counted).
 */
#pragma once

#include "controller/core/fleet.h"

#define SELECT_MAX 4096 /* bytes of text */
#define SELECT_LINES_MAX 256
#define SELECT_PARTS_MAX 64 /* of one selector */

struct selection {
        struct target **targets; /* borrowed targets, owned array */
        size_t n_targets;
};

void selection_done(struct selection *s);
DEFINE_CLEANUP_DONE(struct selection, selection_done)

enum {
        SELECT_BAD = 1,     /* malformed; *ret_why says what */
        SELECT_NOTHING = 2, /* *ret_why says which part removed how many */
};

/* Machines that are targets, or expected to be. @why is filled with a sentence when the outcome is not 0. Returns 0,
 * SELECT_BAD, SELECT_NOTHING or -ENOMEM. */
int select_targets(const struct fleet *f, const char *text, struct selection *ret, struct buf *why);
