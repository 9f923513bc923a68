/*
 * What is accepted can be printed and read again, and then says the same. Every place can be read as every type and
 * be blamed; an error always names a line and a column that exist.
 */
#include "tests/fuzz/fuzz.h"

#include "proto/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_error(const struct json_doc *doc) {
        unsigned line = 0, column = 0;

        if (sscanf(json_error(doc), "fuzz:%u:%u: ", &line, &column) != 2 || line == 0 ||
            column == 0)
                abort();
}

static void read_as_everything(const struct json_at *at) {
        const char *text;
        uint64_t u;
        int64_t i;
        double d;
        bool b;

        (void)(json_str(at, &text) == 0 && strlen(text) > 0);
        json_u64(at, &u);
        json_i64(at, &i);
        json_double(at, &d);
        json_bool(at, &b);
        json_duration(at, &u);
        json_bytes(at, &u);
}

/* Down to the first leaf of each of the first items. */
static void blame(struct json_doc *doc) {
        struct json_at path[20] = {json_root(doc)};
        size_t depth = 0;

        while (depth + 1 < ARRAY_SIZE(path) && json_length(&path[depth]) > 0) {
                size_t last = json_length(&path[depth]) - 1;

                if (json_item(&path[depth], last, &path[depth + 1]) != 0)
                        abort();
                depth++;
        }
        if (json_error(doc)[0] != '\0')
                abort();
        read_as_everything(&path[depth]);
        json_fail(&path[depth], "blamed");
        check_error(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        CLEANUP(json_free) struct json_doc *doc = NULL, *again = NULL;
        CLEANUP(buf_done) struct buf first = {0}, second = {0};
        struct json_at root;
        int r;

        r = json_parse(&doc, "fuzz", (const char *)data, size);
        if (r < 0)
                abort();
        if (r > 0) {
                check_error(doc);
                return 0;
        }
        root = json_root(doc);
        if (json_print(&root, &first) != 0 || strchr(first.data, '\n'))
                abort();
        if (json_parse(&again, "fuzz", first.data, first.len) != 0)
                abort();
        root = json_root(again);
        if (json_print(&root, &second) != 0 || strcmp(first.data, second.data) != 0)
                abort();
        blame(doc);
        return 0;
}
