#include "controller/cli/verb.h"

#include "controller/cli/say.h"

#include <stdio.h>
#include <string.h>

const struct verb *const verbs[] = {
        &verb_ls,         &verb_why,    &verb_run,     &verb_runs,    &verb_show,    &verb_watch,
        &verb_follow,     &verb_log,    &verb_results, &verb_diff,    &verb_export,  &verb_cancel,
        &verb_ping,       &verb_reboot, &verb_reserve, &verb_extend,  &verb_release, &verb_who,
        &verb_quarantine, &verb_heal,   &verb_away,    &verb_back,    &verb_diag,    &verb_accept,
        &verb_doctor,     &verb_trace,  &verb_help,    &verb_version, NULL,
};

const struct verb *verb_find(const char *name) {
        for (const struct verb *const *v = verbs; *v; v++)
                if (strcmp((*v)->name, name) == 0)
                        return *v;
        return NULL;
}

int verb_print_usage(const struct verb *v, struct buf *out) {
        const char *lead = "usage:";
        const char *line = v->usage;

        do {
                size_t len = strcspn(line, "\n");

                buf_printf(out, "%-6s rota %s", lead, v->name);
                if (len > 0)
                        buf_putc(out, ' ');
                buf_append(out, line, len);
                buf_putc(out, '\n');
                line += len + (line[len] == '\n');
                lead = "";
        } while (*line);
        return buf_check(out);
}

int verb_selector(const struct call *call, int first, int n, struct buf *out) {
        for (int i = first; i < first + n && i < call->n; i++) {
                if (i > first)
                        buf_putc(out, '\n');
                buf_puts(out, call->operands[i]);
        }
        if (buf_check(out) < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        return 0;
}

int verb_print(const struct buf *out) {
        int r;

        if (buf_check(out) < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        r = say_write(STDOUT_FILENO, buf_text(out), out->len);
        if (r < 0) {
                say_error("standard output: %s", strerror(-r));
                return STATUS_INFRA;
        }
        return 0;
}

int verb_print_json(const char *json) {
        CLEANUP(buf_done) struct buf out = {0};

        buf_puts(&out, json);
        buf_putc(&out, '\n');
        return verb_print(&out);
}

static int verb_print_table_to(const struct table *t, size_t width) {
        CLEANUP(buf_done) struct buf out = {0};

        if (table_print(t, width, 0, say_colour(STDOUT_FILENO), "\n", &out) < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        return verb_print(&out);
}

int verb_print_table(const struct table *t) {
        return verb_print_table_to(t, say_columns(STDOUT_FILENO));
}

int verb_print_whole_table(const struct table *t) {
        return verb_print_table_to(t, 0);
}
