#include "controller/cli/manual.h"

#include "controller/cli/verb.h"

#include <string.h>

int manual_overview(struct buf *out) {
        buf_puts(out, "rota runs diagnostics on lab PCs.\n\n"
                      "usage: rota VERB [OPTION…] …\n\n");
        for (const struct verb *const *v = verbs; *v; v++)
                buf_printf(out, "  %-8s  %s\n", (*v)->name, (*v)->summary);
        buf_puts(out, "\nWith every verb:\n");
        options_print_help(verb_common_options, out);
        buf_puts(out, "\nA verb in full: rota help VERB. A first look: rota ls; rota diag; rota "
                      "doctor.\n");
        return buf_check(out);
}

/* Text for roff: a backslash and a leading dot or quote have a meaning there, and a dash is to stay one. */
static void man_text(struct buf *out, const char *text) {
        for (const char *p = text; *p; p++) {
                if ((p == text || p[-1] == '\n') && (*p == '.' || *p == '\''))
                        buf_puts(out, "\\&");
                if (*p == '\\')
                        buf_puts(out, "\\e");
                else if (*p == '-')
                        buf_puts(out, "\\-");
                else
                        buf_putc(out, *p);
        }
}

static void man_options(struct buf *out, const struct option_row *rows) {
        for (const struct option_row *row = rows; row && row->name; row++) {
                buf_puts(out, ".TP\n");
                if (row->letter)
                        buf_printf(out, "\\fB\\-%c\\fR, ", row->letter);
                buf_puts(out, "\\fB\\-\\-");
                man_text(out, row->name);
                buf_puts(out, "\\fR");
                if (row->metavar)
                        buf_printf(out, " \\fI%s\\fR", row->metavar);
                buf_putc(out, '\n');
                man_text(out, row->help);
                buf_puts(out, ".\n");
        }
}

static void man_verb(struct buf *out, const struct verb *v) {
        const char *line = v->usage;

        do {
                size_t len = strcspn(line, "\n");
                CLEANUP(buf_done) struct buf form = {0};

                buf_append(&form, line, len);
                buf_printf(out, "%s\n\\fBrota %s\\fR ", line == v->usage ? ".TP" : ".TQ", v->name);
                man_text(out, buf_text(&form));
                buf_putc(out, '\n');
                line += len + (line[len] == '\n');
        } while (*line);
        buf_printf(out, "%c",
                   v->summary[0] >= 'a' && v->summary[0] <= 'z' ? v->summary[0] - 'a' + 'A'
                                                                : v->summary[0]);
        man_text(out, v->summary + 1);
        buf_puts(out, ".\n");
        for (line = v->help ? v->help : ""; *line;) {
                size_t len = strcspn(line, "\n");
                CLEANUP(buf_done) struct buf paragraph = {0};

                buf_append(&paragraph, line, len);
                man_text(out, buf_text(&paragraph));
                buf_putc(out, '\n');
                line += len + (line[len] == '\n');
        }
        if (v->options) {
                buf_puts(out, ".RS\n");
                man_options(out, v->options);
                buf_puts(out, ".RE\n");
        }
}

static const char plans[] =
        ".SH PLANS\n"
        "\\fBrota run\\fR \\fISELECTOR\\fR \\fB\\-\\-plan\\fR \\fIFILE\\fR carries out the steps "
        "of a file in "
        "their order. It is JSON with comments:\n"
        ".PP\n.nf\n"
        "{ \"name\": \"two boots\",\n"
        "  \"steps\": [\n"
        "    { \"diag\": \"memory\", \"params\": { \"size\": \"64M\" }, \"timeout\": \"2h\" },\n"
        "    { \"reboot\": true },\n"
        "    { \"exec\": [\"dmesg\"], \"silence\": \"1m\", \"on_interrupt\": { \"retry\": 2 } },\n"
        "    { \"reboot\": { \"mode\": \"force\", \"within\": \"15m\" } } ] }\n"
        ".fi\n"
        ".TP\ndiag, params\nA diagnostic of the catalogue.\n"
        ".TP\nexec\nA program and its arguments; \"pty\": false gives it a pipe instead of a "
        "terminal.\n"
        ".TP\ntimeout, silence\nEnd the step when it takes longer, or prints nothing for so long.\n"
        ".TP\nreboot\nReboots the machine, and is passed when it is back under another boot id. "
        "The "
        "role reboot is needed. With mode graceful, the default, it waits until no step of another "
        "run is on; force interrupts those. While it waits or is done, no other step begins. "
        "What is not done within its time (10 minutes) while the machine stays up is failed, or "
        "not-run when the reboot could not be ordered. A machine that does not come back leaves "
        "the run open: \\fBrota show\\fR says since when. The target goes on by itself: no "
        "controller is needed.\n"
        ".TP\nexpect_return\nWaits so long for somebody to take the machine away, and to bring it "
        "back "
        "under another boot id.\n"
        ".TP\non_interrupt\nWhat follows when a reboot that no step of this run ordered ends a "
        "diag "
        "or an exec, which is not\\-run then. fail, the default, ends the run. continue goes on "
        "with "
        "the next step; the run is not passed any more. retry, or { \"retry\": N } with N up to 5, "
        "begins the step again, at most so many times. Each attempt keeps its output: 3.out, then "
        "3.2.out. After five such reboots in a row without a step that ended by itself the next "
        "one ends the run as a boot loop.\n"
        ".TP\ndisk_budget, over_budget\nOf the whole plan: how much its steps may print; see "
        "rota\\-target(8).\n"
        ".TP\nname\nWhat the run is called; else as its first step.\n";

static const char states[] =
        ".SH STATES\n"
        "\\fBrota why\\fR gives the evidence for each.\n"
        ".TP\nready, busy, reserved, draining, quarantined, rebooting, away\n"
        "What the target says of itself; the last two hold while it is gone, too.\n"
        ".TP\nsuspect\nA ping of the controller is late, and the controller's own connection "
        "works.\n"
        ".TP\nsilent\nSo are others, for some seconds, though the server says that it is online: "
        "its "
        "daemon hangs, or its power or network is lost.\n"
        ".TP\noffline\nThe server says that it is gone, and has gone on working after that; or a "
        "minute of pings was not answered.\n"
        ".TP\noverdue\nIt agreed to reboot or to be away, and is not back by twice the usual time "
        "or "
        "by its promise.\n"
        ".TP\nunknown\nThe controller itself has no working connection to its server, or has one "
        "again and has not heard of the target yet. No other state is selected then: ready and "
        "!ready match nothing.\n";

int manual_page(struct buf *out) {
        static const enum status statuses[] = {
                STATUS_PASSED,  STATUS_FAILED, STATUS_USAGE,   STATUS_INFRA,     STATUS_DENIED,
                STATUS_NOTHING, STATUS_BUSY,   STATUS_TIMEOUT, STATUS_CANCELLED, STATUS_DETACHED,
        };

        buf_puts(out, ".TH ROTA 1 \"\" \"rota " ROTA_VERSION "\" \"User Commands\"\n"
                      ".SH NAME\nrota \\- run diagnostics on lab PCs\n"
                      ".SH SYNOPSIS\n\\fBrota\\fR \\fIVERB\\fR [\\fIOPTION\\fR...] ...\n"
                      ".SH DESCRIPTION\n"
                      "\\fBrota\\fR talks to a controller, a daemon that keeps track of targets: "
                      "the PCs under test. "
                      "A controller of one's own is started when it is configured and does not "
                      "answer; without a "
                      "configuration the system's controller is used.\n.PP\n"
                      "Data goes to standard output, talk to standard error. Colours are used on a "
                      "terminal only.\n"
                      ".SH VERBS\n");
        for (const struct verb *const *v = verbs; *v; v++)
                man_verb(out, *v);
        buf_puts(out, ".SH OPTIONS OF EVERY VERB\n");
        man_options(out, verb_common_options);
        buf_puts(out, states);
        buf_puts(out, plans);
        buf_puts(out,
                 ".SH EXIT STATUS\n"
                 "Of several targets the worst decides, in the order 3, 4, 2, 5, 6, 7, 8, 1, 0.\n");
        for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
                buf_printf(out, ".TP\n%d\n", statuses[i]);
                man_text(out, status_meaning(statuses[i]));
                buf_putc(out, '\n');
        }
        buf_puts(out,
                 ".SH ENVIRONMENT\n"
                 ".TP\nROTA_SOCKET\nThe controller's socket; nothing is started then.\n"
                 ".TP\nROTA_CONFIG\nThe configuration of one's own controller.\n"
                 ".TP\nNO_COLOR\nNo colours.\n"
                 ".SH FILES\n"
                 ".TP\n~/.config/rota/controller.json\nThe configuration of one's own controller.\n"
                 ".TP\n$XDG_RUNTIME_DIR/rota/controller.sock\nIts socket.\n"
                 ".TP\n/run/rota/controller.sock\nThe socket of the system's controller.\n"
                 ".TP\n~/.local/state/rota/controller.log\nWhat a controller said that was started "
                 "by rota.\n"
                 ".SH SEE ALSO\nrota\\-controller(8), rota\\-target(8)\n");
        return buf_check(out);
}

/* ---- completion ---- */

static void options_words(struct buf *out, const struct option_row *rows) {
        for (const struct option_row *row = rows; row && row->name; row++)
                buf_printf(out, " --%s%s", row->name, row->metavar ? "=" : "");
}

static void completion_bash(struct buf *out) {
        buf_puts(out, "# bash completion for rota\n"
                      "_rota_words() {\n"
                      "        case $1 in\n"
                      "        targets) rota ls --json 2>/dev/null | grep -o '{\"name\":\"[^\"]*' "
                      "| cut -d'\"' -f4 ;;\n"
                      "        runs) rota runs --json 2>/dev/null | grep -o '{\"run\":\"[^\"]*' | "
                      "cut -d'\"' -f4 ;;\n"
                      "        diags) rota diag --json 2>/dev/null | grep -o "
                      "'{\"name\":\"[^\"]*\",\"title\"' | cut -d'\"' -f4 ;;\n"
                      "        esac\n"
                      "}\n"
                      "_rota() {\n"
                      "        local cur=${COMP_WORDS[COMP_CWORD]} verb= words= operands=0 i\n"
                      "        COMPREPLY=()\n"
                      "        for ((i = 1; i < COMP_CWORD; i++)); do\n"
                      "                [[ ${COMP_WORDS[i]} == -- ]] && return\n"
                      "                [[ ${COMP_WORDS[i]} == -* ]] && continue\n"
                      "                if [[ -z $verb ]]; then verb=${COMP_WORDS[i]}; else "
                      "operands=$((operands + 1)); fi\n"
                      "        done\n"
                      "        case $verb in\n");
        buf_puts(out, "        '') words='");
        for (const struct verb *const *v = verbs; *v; v++)
                buf_printf(out, "%s%s", v == verbs ? "" : " ", (*v)->name);
        options_words(out, verb_common_options);
        buf_puts(out, "' ;;\n");
        for (const struct verb *const *v = verbs; *v; v++) {
                const char *kind = (*v)->complete;

                buf_printf(out,
                           "        %s)\n                if [[ $cur == -* ]]; then\n"
                           "                        words='",
                           (*v)->name);
                options_words(out, (*v)->options);
                options_words(out, verb_common_options);
                buf_puts(out, "'\n");
                if (kind && strcmp(kind, "targets diags") == 0)
                        buf_puts(out, "                elif ((operands == 0)); then "
                                      "words=$(_rota_words targets)\n"
                                      "                elif ((operands == 1)); then "
                                      "words=$(_rota_words diags)\n");
                else if (kind && strcmp(kind, "verbs") == 0) {
                        buf_puts(out, "                else words='");
                        for (const struct verb *const *w = verbs; *w; w++)
                                buf_printf(out, "%s%s", w == verbs ? "" : " ", (*w)->name);
                        buf_puts(out, "'\n");
                } else if (kind)
                        buf_printf(out, "                else words=$(_rota_words %s)\n", kind);
                buf_puts(out, "                fi ;;\n");
        }
        buf_puts(out, "        esac\n"
                      "        COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
                      "        [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace\n"
                      "}\n"
                      "complete -o default -F _rota rota\n");
}

/* A text in single quotes. */
static void quoted(struct buf *out, const char *text) {
        buf_putc(out, '\'');
        for (; *text; text++)
                if (*text == '\'')
                        buf_puts(out, "'\\''");
                else
                        buf_putc(out, *text);
        buf_putc(out, '\'');
}

static void fish_options(struct buf *out, const char *condition, const struct option_row *rows) {
        for (const struct option_row *row = rows; row && row->name; row++) {
                buf_printf(out, "complete -c rota -n '%s' -l %s", condition, row->name);
                if (row->letter)
                        buf_printf(out, " -s %c", row->letter);
                buf_printf(out, "%s -d ", row->metavar ? " -r" : "");
                quoted(out, row->help);
                buf_putc(out, '\n');
        }
}

static void completion_fish(struct buf *out) {
        buf_puts(out, "# fish completion for rota\ncomplete -c rota -f\n");
        for (const struct verb *const *v = verbs; *v; v++) {
                CLEANUP(buf_done) struct buf seen = {0};

                buf_printf(out, "complete -c rota -n __fish_use_subcommand -a %s -d ", (*v)->name);
                quoted(out, (*v)->summary);
                buf_putc(out, '\n');
                buf_printf(&seen, "__fish_seen_subcommand_from %s", (*v)->name);
                fish_options(out, buf_text(&seen), (*v)->options);
        }
        fish_options(out, "true", verb_common_options);
}

/* zsh runs the bash form, which knows the same words. */
static void completion_zsh(struct buf *out) {
        buf_puts(out, "#compdef rota\nautoload -U +X bashcompinit && bashcompinit\n");
        completion_bash(out);
}

int manual_completion(const char *shell, struct buf *out) {
        if (strcmp(shell, "bash") == 0)
                completion_bash(out);
        else if (strcmp(shell, "fish") == 0)
                completion_fish(out);
        else if (strcmp(shell, "zsh") == 0)
                completion_zsh(out);
        else
                return 1;
        return buf_check(out);
}
