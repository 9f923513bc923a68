/*
 * Talk, on standard error: what happened, why, and what to type next.
 *
 * The first line of an error begins with "rota: ", the lines below it are indented. Whatever is said is made
 * safe first: sentences hold names and causes that targets wrote.
 */
#pragma once

#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>

/* @format gives one or more lines. */
void say_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line below an error: "  try: …". */
void say_hint(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line that is no error: progress, a reason to wait. */
void say_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void say_no_memory(void);

/* Whether colours may be used there: a terminal, not "dumb", and no NO_COLOR. */
bool say_colour(int fd);
/* Size of the terminal; 0 when there is none. */
size_t say_columns(int fd);
size_t say_rows(int fd);
/* Writes all; returns 0 or -errno. */
int say_write(int fd, const void *data, size_t len);
