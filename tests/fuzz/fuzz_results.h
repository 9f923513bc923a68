/*
 * What every reader of results promises of an item, whatever it was fed: texts that are UTF-8 and bounded, a name,
 * a known verdict. And a report made of it can be written in every format and read again.
 */
#pragma once

#include "controller/results/export.h"
#include "controller/results/report.h"
#include "proto/base/utf8.h"
#include "proto/json.h"
#include "proto/xml.h"

#include <stdlib.h>
#include <string.h>

#define FUZZ_TEXT_MAX (RESULT_TEXT_MAX * 4) /* a text may be joined of a few */

static void fuzz_text(const char *text) {
        size_t len = text ? strlen(text) : 0;

        if (len > FUZZ_TEXT_MAX)
                abort();
        while (len > 0) {
                uint32_t c;
                size_t n = utf8_char(text, len, &c);

                if (n == 0)
                        abort();
                text += n;
                len -= n;
        }
}

static void fuzz_exports(const struct report *r) {
        static const struct xml_limits wide = {
                .size = SIZE_MAX / 4, .nodes = 1000000, .attrs = 100};

        for (int f = EXPORT_JUNIT; f <= EXPORT_HTML; f++) {
                CLEANUP(buf_done) struct buf out = {0};
                CLEANUP(json_free) struct json_doc *doc = NULL;
                CLEANUP(xml_free) struct xml *x = NULL;

                if (export_report(r, (enum export_format)f, &out) != 0)
                        abort();
                if (f == EXPORT_JSON && json_parse(&doc, "json", out.data, out.len) != 0)
                        abort();
                /* its declaration is no instruction */
                if (f == EXPORT_JUNIT && xml_parse(&x, out.data, out.len, &wide) != 0)
                        abort();
                if (f == EXPORT_HTML && strstr(out.data, "<script"))
                        abort();
        }
}

/* The bytes as one output, in pieces of @piece. */
static void fuzz_output(const uint8_t *data, size_t size, size_t piece, const char *verdict,
                        uint64_t ret_counts[static RESULT_VERDICTS]) {
        const struct report_facts facts = {.run = "k3", .target = "pc1", .state = "ended", .of = 2};
        const struct report_step step = {.step = 1, .title = "t", .verdict = verdict};
        CLEANUP(report_done) struct report report = {0};
        struct report_run *run = NULL;

        if (report_add(&report, &facts, &run) != 0 || report_output_begin(run, 1) != 0)
                abort();
        for (size_t at = 0; at < size; at += piece) {
                size_t n = size - at < piece ? size - at : piece;

                if (report_output(run, (const char *)data + at, n) != 0)
                        abort();
        }
        if (report_output_end(run, &step) != 0 || report_step(run, &step) != 0 ||
            report_run_end(run) != 0)
                abort();
        for (size_t i = 0; i < run->n_items; i++) {
                const struct result *r = &run->items[i];

                if (!r->name || r->verdict >= RESULT_VERDICTS || r->kind > RESULT_MEASUREMENT)
                        abort();
                fuzz_text(r->suite);
                fuzz_text(r->name);
                fuzz_text(r->message);
                fuzz_text(r->details);
                fuzz_text(r->value);
                fuzz_text(r->unit);
                fuzz_text(r->limits);
        }
        memcpy(ret_counts, run->counts, sizeof(run->counts));
        if (size < 65536 && piece > size)
                fuzz_exports(&report);
}

/* However the bytes come, they say the same. */
static void fuzz_both_ways(const uint8_t *data, size_t size) {
        uint64_t whole[RESULT_VERDICTS], pieces[RESULT_VERDICTS], cut[RESULT_VERDICTS];

        fuzz_output(data, size, size + 101, "passed", whole);
        fuzz_output(data, size, 7, "passed", pieces);
        if (memcmp(whole, pieces, sizeof(whole)) != 0)
                abort();
        fuzz_output(data, size, 1000, "not-run", cut);
}
