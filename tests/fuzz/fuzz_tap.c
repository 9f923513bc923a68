/* Any bytes behind the first line of such an output, and any bytes alone, in one piece and in small ones. */
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_results.h"

static const char first[] = "TAP version 14\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        CLEANUP(buf_done) struct buf text = {0};

        fuzz_both_ways(data, size);
        buf_puts(&text, first);
        if (buf_append(&text, data, size) < 0)
                abort();
        fuzz_both_ways((const uint8_t *)text.data, text.len);
        return 0;
}
