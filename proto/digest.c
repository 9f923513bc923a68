#include "proto/digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

/*
 * SHA
 */

struct sha256 {
        EVP_MD_CTX *running;
        EVP_MD_CTX *ending; /* a copy that may be finished */
};

int sha256_new(struct sha256 **ret) {
        CLEANUP(sha256_free) struct sha256 *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->running = EVP_MD_CTX_new();
        s->ending = EVP_MD_CTX_new();
        if (!s->running || !s->ending || EVP_DigestInit_ex(s->running, EVP_sha256(), NULL) != 1)
                return -ENOMEM;
        *ret = TAKE(s);
        return 0;
}

struct sha256 *sha256_free(struct sha256 *s) {
        if (s) {
                EVP_MD_CTX_free(s->running);
                EVP_MD_CTX_free(s->ending);
                free(s);
        }
        return NULL;
}

int sha256_add(struct sha256 *s, const void *data, size_t len) {
        return EVP_DigestUpdate(s->running, data, len) == 1 ? 0 : -EIO;
}

int sha256_hex(struct sha256 *s, char ret[static SHA256_HEX_SIZE]) {
        static const char digits[] = "0123456789abcdef";
        uint8_t sum[SHA256_SIZE];

        if (EVP_MD_CTX_copy_ex(s->ending, s->running) != 1)
                return -ENOMEM;
        if (EVP_DigestFinal_ex(s->ending, sum, NULL) != 1)
                return -EIO;
        for (size_t i = 0; i < SHA256_SIZE; i++) {
                ret[2 * i] = digits[sum[i] >> 4];
                ret[2 * i + 1] = digits[sum[i] & 15];
        }
        ret[2 * SHA256_SIZE] = '\0';
        return 0;
}

int sha1(const void *data, size_t len, uint8_t ret[static 20]) {
        return EVP_Digest(data, len, ret, NULL, EVP_sha1(), NULL) == 1 ? 0 : -EIO;
}

/*
 * Base64. Every chunk of a stream passes here twice, so that both ways go by table, three bytes and
 * four characters at a time.
 */

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int base64_encode(struct buf *out, const void *data, size_t len) {
        const uint8_t *from = data;
        size_t triples = len / 3, rest = len % 3;
        char *to;
        int r;

        if (len > SIZE_MAX / 2)
                return -ENOMEM;
        r = buf_reserve(out, triples * 4 + 4);
        if (r < 0)
                return r;
        to = out->data + out->len;
        for (size_t i = 0; i < triples; i++, from += 3, to += 4) {
                uint32_t v = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];

                to[0] = alphabet[v >> 18];
                to[1] = alphabet[v >> 12 & 63];
                to[2] = alphabet[v >> 6 & 63];
                to[3] = alphabet[v & 63];
        }
        if (rest > 0) {
                uint32_t v = (uint32_t)from[0] << 16 | (rest > 1 ? (uint32_t)from[1] << 8 : 0);

                to[0] = alphabet[v >> 18];
                to[1] = alphabet[v >> 12 & 63];
                to[2] = rest > 1 ? alphabet[v >> 6 & 63] : '=';
                to[3] = '=';
                to += 4;
        }
        *to = '\0';
        out->len = (size_t)(to - out->data);
        return 0;
}

/* The six bits of a character; bit 31 marks one that is not in the alphabet. */
#define BAD UINT32_C(0x80000000)
#define VALUE(c)                                                                                   \
        ((c) >= 'A' && (c) <= 'Z'   ? (uint32_t)((c) - 'A')                                        \
         : (c) >= 'a' && (c) <= 'z' ? (uint32_t)((c) - 'a' + 26)                                   \
         : (c) >= '0' && (c) <= '9' ? (uint32_t)((c) - '0' + 52)                                   \
         : (c) == '+'               ? UINT32_C(62)                                                 \
         : (c) == '/'               ? UINT32_C(63)                                                 \
                                    : BAD)
#define ROW4(c) VALUE(c), VALUE((c) + 1), VALUE((c) + 2), VALUE((c) + 3)
#define ROW16(c) ROW4(c), ROW4((c) + 4), ROW4((c) + 8), ROW4((c) + 12)
#define ROW64(c) ROW16(c), ROW16((c) + 16), ROW16((c) + 32), ROW16((c) + 48)

static const uint32_t values[256] = {ROW64(0), ROW64(64), ROW64(128), ROW64(192)};

static uint32_t four(const uint8_t *p) {
        return values[p[0]] << 18 | values[p[1]] << 12 | values[p[2]] << 6 | values[p[3]] |
               ((values[p[0]] | values[p[1]] | values[p[2]] | values[p[3]]) & BAD);
}

int base64_decode(const char *text, size_t len, struct arena *a, struct bytes *ret) {
        const uint8_t *from = (const uint8_t *)text;
        size_t quads = len / 4, tail = 0;
        uint32_t bad = 0;
        uint8_t *out, *to;

        if (len % 4 != 0)
                return 1;
        if (len > 0 && text[len - 1] == '=') {
                tail = text[len - 2] == '=' ? 1 : 2;
                quads--;
        }
        out = to = arena_alloc(a, quads * 3 + tail);
        if (!out)
                return -ENOMEM;
        for (size_t i = 0; i < quads; i++, from += 4, to += 3) {
                uint32_t v = four(from);

                bad |= v;
                to[0] = (uint8_t)(v >> 16);
                to[1] = (uint8_t)(v >> 8);
                to[2] = (uint8_t)v;
        }
        if (tail > 0) {
                const uint8_t last[4] = {from[0], from[1], tail > 1 ? from[2] : 'A', 'A'};
                uint32_t v = four(last);

                /* bits that no byte has must be zero: one text for one value (RFC 4648 section 3.5) */
                bad |= v | (v & (tail > 1 ? 0xffU : 0xffffU) ? BAD : 0);
                to[0] = (uint8_t)(v >> 16);
                if (tail > 1)
                        to[1] = (uint8_t)(v >> 8);
        }
        if (bad & BAD)
                return 1;
        *ret = (struct bytes){.data = out, .size = quads * 3 + tail};
        return 0;
}
