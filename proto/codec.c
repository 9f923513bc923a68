#include "proto/codec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

#define LEVEL 1
#define WINDOW_LOG 17 /* 128 KiB: more than a chunk, and small contexts */
#define SMALLEST 64   /* a frame's own bytes eat what shorter data could win */
#define SKIP_MAX 64

struct codec {
        ZSTD_CCtx *packer;
        ZSTD_DCtx *unpacker;
        char *out;
        size_t out_size;
        unsigned skip;      /* chunks that still go raw untried */
        unsigned skip_next; /* after the next one that does not shrink */
};

int codec_new(struct codec **ret) {
        struct codec *c = calloc(1, sizeof(*c));

        if (!c)
                return -ENOMEM;
        c->skip_next = 1;
        *ret = c;
        return 0;
}

struct codec *codec_free(struct codec *c) {
        if (c) {
                codec_rest(c);
                free(c);
        }
        return NULL;
}

void codec_rest(struct codec *c) {
        ZSTD_freeCCtx(TAKE(c->packer));
        ZSTD_freeDCtx(TAKE(c->unpacker));
        mem_free(TAKE(c->out));
        c->out_size = 0;
}

static int reserve(struct codec *c, size_t size) {
        char *out;

        if (size <= c->out_size && c->out)
                return 0;
        out = malloc(size > 0 ? size : 1);
        if (!out)
                return -ENOMEM;
        free(c->out);
        c->out = out;
        c->out_size = size;
        return 0;
}

static int packer_open(struct codec *c) {
        if (c->packer)
                return 0;
        c->packer = ZSTD_createCCtx();
        if (!c->packer)
                return -ENOMEM;
        /* a value the library does not take would leave its default, which is only slower */
        (void)ZSTD_CCtx_setParameter(c->packer, ZSTD_c_compressionLevel, LEVEL);
        (void)ZSTD_CCtx_setParameter(c->packer, ZSTD_c_windowLog, WINDOW_LOG);
        return 0;
}

int codec_pack(struct codec *c, struct bytes data, enum codec_kind *ret_kind, struct bytes *ret) {
        size_t n;

        *ret_kind = CODEC_RAW;
        *ret = data;
        if (data.size < SMALLEST)
                return 0;
        if (c->skip > 0) {
                c->skip--;
                return 0;
        }
        /* room for less than the data is enough: what does not fit there is not wanted */
        if (packer_open(c) < 0 || reserve(c, ZSTD_compressBound(data.size)) < 0)
                return -ENOMEM;
        n = ZSTD_compress2(c->packer, c->out, c->out_size, data.data, data.size);
        if (ZSTD_isError(n))
                return ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation ? -ENOMEM : 0;
        /* a gain of less than a sixteenth costs the peer more than it saves */
        if (n > data.size - data.size / 16) {
                c->skip = c->skip_next;
                if (c->skip_next < SKIP_MAX)
                        c->skip_next *= 2;
                return 0;
        }
        c->skip_next = 1;
        *ret_kind = CODEC_ZSTD;
        *ret = (struct bytes){.data = (const uint8_t *)c->out, .size = n};
        return 0;
}

static int unpack_frame(struct codec *c, struct bytes data, size_t size, struct bytes *ret) {
        unsigned long long said = ZSTD_getFrameContentSize(data.data, data.size);
        static const uint8_t magic[4] = {0x28, 0xb5, 0x2f, 0xfd};
        size_t n;

        /* refused by what the frame says of itself, before anything is taken for it */
        if (said == ZSTD_CONTENTSIZE_ERROR || (said != ZSTD_CONTENTSIZE_UNKNOWN && said != size))
                return 1;
        if (data.size < sizeof(magic) || memcmp(data.data, magic, sizeof(magic)) != 0 ||
            ZSTD_findFrameCompressedSize(data.data, data.size) != data.size)
                return 1;
        if (!c->unpacker)
                c->unpacker = ZSTD_createDCtx();
        if (!c->unpacker || reserve(c, size) < 0)
                return -ENOMEM;
        n = ZSTD_decompressDCtx(c->unpacker, c->out, size, data.data, data.size);
        if (ZSTD_isError(n))
                return ZSTD_getErrorCode(n) == ZSTD_error_memory_allocation ? -ENOMEM : 1;
        if (n != size)
                return 1;
        *ret = (struct bytes){.data = (const uint8_t *)c->out, .size = n};
        return 0;
}

int codec_unpack(struct codec *c, enum codec_kind kind, struct bytes data, size_t size,
                 struct bytes *ret) {
        switch (kind) {
        case CODEC_RAW:
                if (data.size != size)
                        return 1;
                *ret = data;
                return 0;
        case CODEC_ZSTD:
                return unpack_frame(c, data, size, ret);
        }
        return 1;
}
