/*
 * Every allocation failed once.
 *
 * Linking rota-support replaces malloc, calloc, realloc, strdup and strndup in our own code (not inside other
 * libraries). starve_each() runs a piece of code again and again; the first time the first
 * allocation fails, then the second, until a run gets through untouched.
 */
#pragma once

/* Returns 0, or -ENOMEM after cleaning up behind itself. */
typedef int starve_run(void *userdata);

/* A run in which an allocation failed must return -ENOMEM; the last one must return 0. Returns how many allocations
 * were failed. */
unsigned starve_each(starve_run *run, void *userdata);

/* The same for code that may also do without: 0 is right too. */
unsigned starve_each_lenient(starve_run *run, void *userdata);
