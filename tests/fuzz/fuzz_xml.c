/*
 * What is accepted can be printed and read again, and then says the same: print(parse(print(parse(x)))) is
 * print(parse(x)).
 */
#include "tests/fuzz/fuzz.h"

#include "proto/xml.h"

#include <stdlib.h>
#include <string.h>

static void visit(const struct xml *x, struct arena *a) {
        if (strlen(xml_name(x)) == 0 || !xml_ns(x) || !xml_text(x, a))
                abort();
        for (const struct xml *c = xml_child(x, NULL, NULL); c; c = xml_next(c, NULL, NULL))
                if (xml_attr(c, "from") && !xml_text(c, a))
                        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        const struct xml_limits wide = {.size = SIZE_MAX / 4, .nodes = 1000000, .attrs = 100000};
        CLEANUP(xml_free) struct xml *x = NULL, *y = NULL;
        CLEANUP(buf_done) struct buf first = {0}, second = {0};
        CLEANUP(arena_done) struct arena a = {0};

        if (xml_parse(&x, (const char *)data, size, NULL) != 0)
                return 0;
        visit(x, &a);
        if (xml_print(&first, x, false) != 0 || xml_print(&second, x, true) != 0)
                abort();
        if (xml_parse(&y, first.data, first.len, &wide) != 0)
                abort();
        buf_clear(&second);
        if (xml_print(&second, y, false) != 0 || strcmp(first.data, second.data) != 0)
                abort();
        return 0;
}
