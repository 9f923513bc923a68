#include "proto/stream_receiver.h"

int receiver_chunk(struct receiver *r, uint64_t offset, uint32_t size, uint32_t *ret_skip) {
        uint64_t known;

        if (offset > r->next)
                return RECEIVER_GAP;
        known = r->next - offset;
        /* compared this way round, because offset + size of a peer may not fit into 64 bits */
        if (size <= known || size - known > UINT64_MAX - r->next)
                return RECEIVER_DUPLICATE;
        r->next += size - known;
        *ret_skip = (uint32_t)known;
        return 0;
}
