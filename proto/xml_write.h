/*
 * Escaping, for the two that write XML: the writer and xml_print().
 */
#pragma once

#include "proto/xml.h"

void xml_write_escaped(struct buf *out, const char *text, size_t len, bool in_attr);
/* " name='value'" */
void xml_write_attr(struct buf *out, const char *name, const char *value);
