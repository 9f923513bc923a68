#include "controller/cli/harvest.h"
#include "controller/cli/say.h"
#include "controller/cli/verb.h"
#include "controller/results/export.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <stdio.h>
#include <unistd.h>

struct export_options {
        const char *format;
        const char *output;
};

static const struct option_row export_options[] = {
        OPTION_TEXT_ROW(struct export_options, format, 'f', "format", "FORMAT",
                        "junit, json, jsonl, csv or html (by the ending of FILE: .xml is junit)"),
        OPTION_TEXT_ROW(struct export_options, output, 'o', "output", "FILE",
                        "Write there and not to standard output"),
        OPTION_END_ROW,
};

/* Returns enum export_format or -1, after it was said. */
static int export_choose(const struct export_options *o) {
        const char *dot = o->output ? strrchr(o->output, '.') : NULL;
        const char *name = o->format ? o->format : dot ? dot + 1 : NULL;

        if (!o->format && name && strcmp(name, "xml") == 0)
                name = "junit";
        for (int i = 0; name && export_formats[i]; i++)
                if (strcmp(export_formats[i], name) == 0)
                        return i;
        if (o->format)
                say_error("there is no format \"%s\"", o->format);
        else
                say_error("which format?");
        say_hint("try: --format junit, json, jsonl, csv or html");
        return -1;
}

/* Beside it first, so that nobody reads half a file. */
static int export_write(const char *path, const struct buf *text) {
        CLEANUP(buf_done) struct buf name = {0};
        CLEANUP(fd_close) int fd = -1;
        int r;

        buf_printf(&name, "%s.XXXXXX", path);
        if (buf_check(&name) < 0)
                return -ENOMEM;
        fd = mkostemp(name.data, O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = say_write(fd, buf_text(text), text->len);
        if (r == 0 && fchmod(fd, 0644) < 0)
                r = -errno;
        if (r == 0 && rename(name.data, path) < 0)
                r = -errno;
        if (r < 0)
                (void)unlink(name.data);
        return r;
}

static int verb_export_run(const struct call *call) {
        const struct export_options *o = call->options;
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(report_done) struct report report = {0};
        CLEANUP(buf_done) struct buf out = {0};
        int format = export_choose(o);
        int r;

        if (format < 0)
                return STATUS_USAGE;
        r = client_new(&c, call->socket);
        for (int i = 0; i < call->n && r == 0; i++)
                r = harvest(c, call->operands[i], &report);
        if (r != 0)
                return r;
        if (export_report(&report, (enum export_format)format, &out) < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        if (!o->output)
                return verb_print(&out);
        r = export_write(o->output, &out);
        if (r < 0) {
                say_error("%s: %s", o->output, strerror(-r));
                return STATUS_USAGE;
        }
        return STATUS_PASSED;
}

const struct verb verb_export = {
        .name = "export",
        .usage = "[--format junit|json|jsonl|csv|html] [-o FILE] RUN|BATCH…",
        .summary = "write the results of runs as a file: JUnit, JSON, CSV or a page",
        .help = "The page needs nothing else and has no script. In JUnit what was not run is "
                "skipped, "
                "with its cause, because readers count errors as failures; and a test that broke "
                "off is an error.",
        .options = export_options,
        .options_size = sizeof(struct export_options),
        .complete = "runs",
        .operands_min = 1,
        .operands_max = -1,
        .run = verb_export_run,
};
