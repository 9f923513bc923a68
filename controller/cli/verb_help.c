#include "controller/cli/manual.h"
#include "controller/cli/say.h"
#include "controller/cli/term.h"
#include "controller/cli/verb.h"

#include <string.h>

struct help_options {
        bool man;
        const char *completion;
};

static const struct option_row help_options[] = {
        OPTION_FLAG_ROW(struct help_options, man, 0, "man", "The manual page, for man(1)"),
        OPTION_TEXT_ROW(struct help_options, completion, 0, "completion", "SHELL",
                        "The completion for bash, zsh or fish"),
        OPTION_END_ROW,
};

#define HELP_COLUMNS 79

/* Paragraphs, one a line, broken between words. */
static void help_text(const char *text, struct buf *out) {
        size_t column = 0;

        while (*text) {
                size_t len = strcspn(text, " \n");
                size_t columns = term_columns(text, len);

                if (column > 0 && column + 1 + columns > HELP_COLUMNS) {
                        buf_putc(out, '\n');
                        column = 0;
                }
                if (column > 0)
                        buf_putc(out, ' ');
                buf_append(out, text, len);
                column += columns + (column > 0);
                text += len;
                if (*text == '\n') {
                        buf_putc(out, '\n');
                        column = 0;
                }
                text += *text != '\0';
        }
        buf_putc(out, '\n');
}

static int help_verb(const struct verb *v, struct buf *out) {
        verb_print_usage(v, out);
        buf_printf(out, "\n%s: %s\n", v->name, v->summary);
        if (v->help) {
                buf_putc(out, '\n');
                help_text(v->help, out);
        }
        if (v->options) {
                buf_puts(out, "\nOptions:\n");
                options_print_help(v->options, out);
        }
        buf_puts(out, "\nWith every verb:\n");
        return options_print_help(verb_common_options, out);
}

static int verb_help_run(const struct call *call) {
        static const struct help_options none;
        const struct help_options *o = call->options ? call->options : &none;
        CLEANUP(buf_done) struct buf out = {0};
        const struct verb *v;

        if (o->man) {
                manual_page(&out);
        } else if (o->completion) {
                if (manual_completion(o->completion, &out) > 0) {
                        say_error("there is no completion for \"%s\"", o->completion);
                        say_hint("there is one for: bash, zsh, fish");
                        return STATUS_USAGE;
                }
        } else if (call->n == 0) {
                manual_overview(&out);
        } else {
                v = verb_find(call->operands[0]);
                if (!v) {
                        say_error("there is no verb \"%s\"", call->operands[0]);
                        say_hint("try: rota help");
                        return STATUS_USAGE;
                }
                help_verb(v, &out);
        }
        return verb_print(&out);
}

const struct verb verb_help = {
        .name = "help",
        .usage = "[VERB]",
        .summary = "say what there is, or how a verb is used",
        .options = help_options,
        .options_size = sizeof(struct help_options),
        .complete = "verbs",
        .operands_max = 1,
        .run = verb_help_run,
};
