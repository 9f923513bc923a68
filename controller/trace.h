/*
 * Stanzas as people read them: indented, chunks decoded to a short preview, secrets hidden.
 */
#pragma once

#include "proto/base/buf.h"

/* @text is what went over the wire: whole stanzas, or pieces that are no XML by themselves. */
int trace_print(struct buf *out, const char *text, size_t len);
