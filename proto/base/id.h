/*
 * Random identifiers.
 *
 * A run id is the idempotency key of a submission: 60 random bits in 12 characters of Crockford's
 * base32 (no i, l, o, u), lower case, so that any unique prefix can be read aloud and typed.
 * The same form names batches, sessions and requests.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define ID_LEN 12
#define ID_SIZE (ID_LEN + 1)

/* From getrandom(2). Returns 0 or -errno. */
int id_new(char ret_id[static ID_SIZE]);
/* A run id from a peer: 1 to 64 characters of [A-Za-z0-9._-], not beginning with a dot or dash. It
 * names a directory, so nothing else is let in. */
bool id_valid(const char *id);
#define ID_MAX 64
