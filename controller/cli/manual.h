/*
 * The manual page and the completion of shells, made from the tables of verbs and options.
 */
#pragma once

#include "proto/base/buf.h"

/* rota.1, in man(7). */
int manual_page(struct buf *out);
/* @shell: bash, zsh, fish. Returns 0, 1 for another one, -ENOMEM. */
int manual_completion(const char *shell, struct buf *out);
/* What `rota help` says. */
int manual_overview(struct buf *out);
