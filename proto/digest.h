/*
 * SHA-256 (streams, powers) and SHA-1 (caps, XEP-0115), by libcrypto; base64 (RFC 4648 section 4).
 */
#pragma once

#include "proto/base/arena.h"
#include "proto/base/buf.h"

#include <stdint.h>

#define SHA256_SIZE 32
#define SHA256_HEX_SIZE 65

struct sha256;

int sha256_new(struct sha256 **ret);
struct sha256 *sha256_free(struct sha256 *s);
DEFINE_CLEANUP_FREE(struct sha256, sha256_free)
int sha256_add(struct sha256 *s, const void *data, size_t len);
/* Of everything added so far; more may be added afterwards. */
int sha256_hex(struct sha256 *s, char ret[static SHA256_HEX_SIZE]);

int sha1(const void *data, size_t len, uint8_t ret[static 20]);

int base64_encode(struct buf *out, const void *data, size_t len);
/* Strict: padding required, no white space. Returns 0, 1 when malformed, -ENOMEM. Result in @a. */
int base64_decode(const char *text, size_t len, struct arena *a, struct bytes *ret);
