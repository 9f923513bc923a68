/*
 * The known word that a mistyped one most likely means.
 */
#pragma once

/* One of @names (ends with NULL) within a third of its letters of @word, or NULL. */
const char *nearest(const char *word, const char *const *names);
/* Letters to insert, delete or replace to make @a from @b; words beyond 64 letters are NEAREST_FAR. */
unsigned nearest_distance(const char *a, const char *b);
#define NEAREST_FAR 1000U
