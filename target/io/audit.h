/*
 * The target's own journal of who did what to it: STATE/audit, one JSON object a line.
 *
 *   {"seq":12,"t":1767222000123456,"what":"lease-acquired","who":"ctl@lab","by":"ana","about":"k3…","text":"…","prev":"9f3a…"}
 *
 * Every line carries the SHA-256 of the line before it (without its newline), so that nothing can be taken out or changed
 * unseen. A line is durable when audit_add() returns; a torn last one is cut. At 8 MiB the file becomes audit.1,
 * and the chain goes on in a new one, also when the program was ended between the two.
 */
#pragma once

#include "proto/base/cleanup.h"

#include <stdbool.h>
#include <stdint.h>

struct audit;

struct audit_entry {
        const char *what;  /* a word: "lease-acquired" */
        const char *who;   /* the account, or NULL: the target itself */
        const char *by;    /* the person, may be NULL */
        const char *about; /* an id, may be NULL */
        const char *text;  /* may be NULL */
        uint64_t number;   /* of the change it tells of; 0: none */
};

/* Returns 0 or -errno. */
int audit_open(struct audit **ret, const char *state_dir);
struct audit *audit_free(struct audit *a);
DEFINE_CLEANUP_FREE(struct audit, audit_free)

/* Returns 0 or -errno; then nothing was added. */
int audit_add(struct audit *a, const struct audit_entry *e);
/* The largest `number` that any entry of the two files has. */
uint64_t audit_number(const struct audit *a);
