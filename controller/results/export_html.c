#include "controller/results/export.h"
#include "proto/xml_write.h"

#include <inttypes.h>
#include <string.h>

/* Light and dark by the reader's wish; a text that turns direction stays inside its cell. */
static const char head[] =
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
        "style-src 'unsafe-inline'\">\n"
        "<meta name=\"viewport\" content=\"width=device-width\">\n"
        "<title>rota: results</title>\n<style>\n"
        ":root{color-scheme:light dark}\n"
        "body{font:15px/1.45 system-ui,sans-serif;max-width:75em;margin:2em auto;padding:0 1em}\n"
        "h1{font-size:1.4em}h2{font-size:1.15em;margin:2em 0 .3em}\n"
        "table{border-collapse:collapse;width:100%;margin:.5em 0}\n"
        "th,td{text-align:left;vertical-align:top;padding:.25em .8em .25em 0;"
        "border-bottom:1px solid #8884;unicode-bidi:isolate;overflow-wrap:anywhere}\n"
        "th{font-weight:600;font-size:.85em;opacity:.75}\n"
        "pre{white-space:pre-wrap;margin:.3em 0;font-size:.85em}\n"
        ".n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
        ".v{white-space:nowrap;font-weight:600}\n"
        ".passed{color:#1a7f37}.failed,.error{color:#cf222e}.not-run{color:#9a6700}\n"
        ".skipped,.none,.meta{opacity:.7}\n"
        "@media(prefers-color-scheme:dark){.passed{color:#57ab5a}.failed,.error{color:#f47067}"
        ".not-run{color:#c69026}}\n"
        "</style></head><body>\n";

static void text(struct buf *out, const char *t) {
        if (t)
                xml_write_escaped(out, t, strlen(t), true);
}

static void cell(struct buf *out, const char *class, const char *t) {
        buf_printf(out, "<td%s%s%s>", class ? " class=\"" : "", class ? class : "",
                   class ? "\"" : "");
        text(out, t);
        buf_puts(out, "</td>");
}

static void verdict_cell(struct buf *out, enum result_verdict v) {
        const char *name = result_verdict_name(v);

        buf_printf(out, "<td class=\"v %s\">%s</td>", *name ? name : "none", *name ? name : "–");
}

static void message_cell(struct buf *out, const struct result *i) {
        buf_puts(out, "<td>");
        text(out, i->message);
        if (i->details) {
                buf_puts(out, "<details><summary>details</summary><pre>");
                xml_write_escaped(out, i->details, strlen(i->details), false);
                buf_puts(out, "</pre></details>");
        }
        buf_puts(out, "</td>");
}

static void full_name(const struct result *i, struct buf *out) {
        buf_printf(out, "%s%s%s", i->suite ? i->suite : "", i->suite ? " / " : "", i->name);
}

static void tests(const struct report_run *r, struct buf *out) {
        buf_puts(out, "<table><thead><tr><th>Step</th><th>Test</th><th>Verdict</th>"
                      "<th class=\"n\">Seconds</th><th>Message</th></tr></thead><tbody>\n");
        for (size_t k = 0; k < r->n_items; k++) {
                const struct result *i = &r->items[k];
                CLEANUP(buf_done) struct buf step = {0}, name = {0}, seconds = {0};

                if (i->kind != RESULT_TEST)
                        continue;
                if (i->step > 0)
                        buf_printf(&step, "%u", i->step);
                full_name(i, &name);
                if (i->has_seconds)
                        buf_printf(&seconds, "%.3f", i->seconds);
                export_made_of(out, &step);
                export_made_of(out, &name);
                export_made_of(out, &seconds);
                buf_puts(out, "<tr>");
                cell(out, NULL, buf_text(&step));
                cell(out, NULL, buf_text(&name));
                verdict_cell(out, i->verdict);
                cell(out, "n", buf_text(&seconds));
                message_cell(out, i);
                buf_puts(out, "</tr>\n");
        }
        buf_puts(out, "</tbody></table>\n");
}

static void measurements(const struct report_run *r, struct buf *out) {
        bool any = false;

        for (size_t k = 0; k < r->n_items; k++) {
                const struct result *i = &r->items[k];
                CLEANUP(buf_done) struct buf name = {0};

                if (i->kind != RESULT_MEASUREMENT)
                        continue;
                if (!any)
                        buf_puts(out, "<table><thead><tr><th>Measurement</th><th class=\"n\">Value"
                                      "</th><th>Unit</th><th>Limits</th><th>Verdict</th></tr>"
                                      "</thead><tbody>\n");
                any = true;
                full_name(i, &name);
                export_made_of(out, &name);
                buf_puts(out, "<tr>");
                cell(out, NULL, buf_text(&name));
                cell(out, "n", i->value);
                cell(out, NULL, i->unit);
                cell(out, NULL, i->limits);
                verdict_cell(out, i->verdict);
                buf_puts(out, "</tr>\n");
        }
        if (any)
                buf_puts(out, "</tbody></table>\n");
}

static void problems(const struct report_run *r, struct buf *out) {
        if (r->left_out > 0)
                buf_printf(out, "<p class=\"meta\">%" PRIu64 " more results are left out.</p>\n",
                           r->left_out);
        if (r->n_problems == 0)
                return;
        buf_puts(out, "<p>Of the output itself:</p><ul>\n");
        for (size_t i = 0; i < r->n_problems; i++) {
                buf_printf(out, "<li>step %u, line %" PRIu64 ": ", r->problems[i].step,
                           r->problems[i].line);
                text(out, r->problems[i].text);
                buf_puts(out, "</li>\n");
        }
        if (r->problems_left_out > 0)
                buf_printf(out, "<li>and %" PRIu64 " more</li>\n", r->problems_left_out);
        buf_puts(out, "</ul>\n");
}

static void run(const struct report_run *r, struct buf *out) {
        CLEANUP(buf_done) struct buf summary = {0};

        report_summary(r->counts, &summary);
        buf_puts(out, "<h2>");
        text(out, r->facts.target);
        buf_puts(out, ": ");
        text(out, r->facts.title);
        buf_puts(out, "</h2>\n<p class=\"meta\">run ");
        text(out, r->facts.run);
        if (r->facts.by) {
                buf_puts(out, " by ");
                text(out, r->facts.by);
        }
        if (r->facts.started_usec > 0) {
                buf_puts(out, ", started ");
                export_time(r->facts.started_usec, out);
        }
        buf_printf(out, "</p>\n<p>%s</p>\n", buf_text(&summary));
        export_made_of(out, &summary);
        tests(r, out);
        measurements(r, out);
        problems(r, out);
}

int export_html(const struct report *r, struct buf *out) {
        uint64_t counts[RESULT_VERDICTS];

        report_counts(r, counts);
        buf_puts(out, head);
        buf_puts(out, "<h1>Results</h1>\n<p>");
        report_summary(counts, out);
        buf_puts(out, "</p>\n");
        if (r->n_runs > 1) {
                buf_puts(out, "<table><thead><tr><th>Target</th><th>Run</th><th>Verdict</th>"
                              "<th>Tests</th></tr></thead><tbody>\n");
                for (size_t i = 0; i < r->n_runs; i++) {
                        CLEANUP(buf_done) struct buf summary = {0};

                        report_summary(r->runs[i]->counts, &summary);
                        export_made_of(out, &summary);
                        buf_puts(out, "<tr>");
                        cell(out, NULL, r->runs[i]->facts.target);
                        cell(out, NULL, r->runs[i]->facts.title);
                        verdict_cell(out, report_verdict(r->runs[i]));
                        cell(out, NULL, buf_text(&summary));
                        buf_puts(out, "</tr>\n");
                }
                buf_puts(out, "</tbody></table>\n");
        }
        for (size_t i = 0; i < r->n_runs; i++)
                run(r->runs[i], out);
        buf_puts(out, "</body></html>\n");
        return buf_check(out);
}
