/*
 * How the bytes of a chunk travel: raw, or as one zstd frame (RFC 8878) when that is smaller by a sixteenth.
 *
 * The compressor is adaptive: after chunks that did not shrink it lets more and more go raw before it
 * tries again. Its memory is taken on first use and given back by codec_rest().
 */
#pragma once

#include "proto/base/arena.h"
#include "proto/base/buf.h"

enum codec_kind {
        CODEC_RAW,
        CODEC_ZSTD,
};

struct codec;

int codec_new(struct codec **ret);
struct codec *codec_free(struct codec *c);
DEFINE_CLEANUP_FREE(struct codec, codec_free)
/* *ret points to @data itself (CODEC_RAW) or into the codec until its next call. Returns 0 or
 * -ENOMEM. */
int codec_pack(struct codec *c, struct bytes data, enum codec_kind *ret_kind, struct bytes *ret);
/* @size is what the result must be exactly. *ret as above. Returns 0, 1 when the frame is malformed or of
 * another size, -ENOMEM. */
int codec_unpack(struct codec *c, enum codec_kind kind, struct bytes data, size_t size,
                 struct bytes *ret);
/* Gives memory back while nothing flows. */
void codec_rest(struct codec *c);
