/*
 * A verb of `rota`: one row of the table, one file.
 *
 * To add one: a file verb_NAME.c with a `const struct verb`, one line here, one in verbs.c, one in
 * CMakeLists.txt. Usage, manual page and completion are made from the row.
 */
#pragma once

#include "controller/cli/client.h"
#include "controller/cli/options.h"
#include "controller/cli/status.h"
#include "controller/cli/table.h"

#define VERB_OPTIONS_MAX 256 /* bytes of a verb's struct of options */

/* What every verb is given. */
struct call {
        char **operands;
        int n;
        int n_before; /* operands that stood before "--" */
        bool dashed;  /* there was a "--" */
        bool json;
        bool quiet;
        const char *socket; /* NULL: by the rules of where.h */
        const void *options;
};

struct verb {
        const char *name;
        const char *usage;                /* the operands; several forms, one a line */
        const char *summary;              /* a phrase */
        const char *help;                 /* paragraphs, one a line */
        const struct option_row *options; /* NULL: none */
        size_t options_size;
        const char *
                complete; /* what an operand is, for the shell: "targets", "runs", "diags", "verbs", NULL */
        int operands_min;
        int operands_max;                    /* before "--"; -1: any */
        bool takes_dashes;                   /* "--" means something */
        int (*run)(const struct call *call); /* the exit status */
};

/* Ends with NULL. */
extern const struct verb *const verbs[];
/* Options of every verb. */
extern const struct option_row verb_common_options[];

const struct verb *verb_find(const char *name);
/* "usage: rota …" lines. */
int verb_print_usage(const struct verb *v, struct buf *out);

/* The operands joined by line ends: a union of selectors. */
int verb_selector(const struct call *call, int first, int n, struct buf *out);
/* Prints the document and a line end. */
int verb_print_json(const char *json);
/* Prints to standard output; an exit status. */
int verb_print(const struct buf *out);
int verb_print_table(const struct table *t);
/* Not cut to the terminal: its last column is a reason, to be read to its end. */
int verb_print_whole_table(const struct table *t);

extern const struct verb verb_accept, verb_away, verb_back, verb_cancel, verb_diag, verb_diff,
        verb_doctor, verb_export, verb_extend, verb_follow, verb_heal, verb_help, verb_log, verb_ls,
        verb_ping, verb_quarantine, verb_reboot, verb_release, verb_reserve, verb_results, verb_run,
        verb_runs, verb_show, verb_trace, verb_version, verb_watch, verb_who, verb_why;
