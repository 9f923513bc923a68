/*
 * UTF-8 (RFC 3629), one character at a time.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* U+FFFD, which stands for what cannot be shown. */
#define UTF8_REPLACEMENT "\xef\xbf\xbd"

/* Length of the well-formed character at @text, of which @len bytes (> 0) may be read; 0 when there is
 * none (overlong, surrogate, beyond U+10FFFF, cut). */
size_t utf8_char(const char *text, size_t len, uint32_t *ret_char);
