/*
 * rota-controller: options, configuration, and the daemon's life.
 */
#include "controller/config.h"
#include "controller/controller.h"
#include "controller/io/journal.h"
#include "proto/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_USAGE 2 /* the exit statuses of rota: usage or configuration */
#define EXIT_INFRA 3

/* One option: everything about it is in its row. */
struct option_row {
        const char *name;
        const char *value; /* what the help calls it; NULL: a flag */
        const char *help;
        const char **text;
        bool *flag;
};

static const char *opt_config, *opt_socket, *opt_state_dir;
static bool opt_trace, opt_check, opt_debug, opt_version, opt_help, opt_help_man;

static const struct option_row rows[] = {
        {"config",    "FILE",
         "read FILE instead of $ROTA_CONFIG, ~/.config/rota/controller.json or "
         "/etc/rota/controller.json",                                                                   &opt_config,    NULL         },
        {"socket",    "PATH", "listen on PATH for the rota command",                                    &opt_socket,    NULL         },
        {"state-dir", "DIR",  "keep facts and output in DIR",                                           &opt_state_dir, NULL         },
        {"trace",     NULL,   "show every stanza on standard error, chunks decoded and secrets hidden",
         NULL,                                                                                                          &opt_trace   },
        {"debug",     NULL,   "log more",                                                               NULL,           &opt_debug   },
        {"check",     NULL,   "read the configuration and the catalogue, say what is wrong, and exit",
         NULL,                                                                                                          &opt_check   },
        {"version",   NULL,   "print the version and exit",                                             NULL,           &opt_version },
        {"help",      NULL,   "print this and exit",                                                    NULL,           &opt_help    },
        {"help-man",  NULL,   "print the manual page (troff) and exit",                                 NULL,           &opt_help_man},
};

static const char about[] = "keeps track of many targets over XMPP, submits runs, receives their "
                            "output durably, and serves the rota "
                            "command on a private socket";

static void print_help(void) {
        printf("Usage: rota-controller [OPTION]...\nrota-controller %s.\n\nOptions:\n", about);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                int n = printf("  --%s%s%s", rows[i].name, rows[i].value ? "=" : "",
                               rows[i].value ? rows[i].value : "");

                printf("%*s%s\n", n < 24 ? 24 - n : 1, "", rows[i].help);
        }
        printf("\nExit status: 0 stopped by a signal, 2 usage or configuration, 3 trouble with "
               "disk or socket.\n");
}

static void print_man(void) {
        printf(".TH ROTA-CONTROLLER 8 \"\" \"rota %s\" \"rota\"\n.SH NAME\nrota-controller \\- %s\n"
               ".SH SYNOPSIS\n.B rota-controller\n[\\fIOPTION\\fR]...\n.SH DESCRIPTION\nIt %s.\n"
               ".SH OPTIONS\n",
               ROTA_VERSION, "controller daemon of rota", about);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                printf(".TP\n\\fB\\-\\-%s\\fR", rows[i].name);
                if (rows[i].value)
                        printf("=\\fI%s\\fR", rows[i].value);
                printf("\n%s.\n", rows[i].help);
        }
        printf(".SH FILES\n.I ~/.config/rota/controller.json\n.br\n.I "
               "/etc/rota/controller.json\n.br\n"
               "and *.json in controller.d beside it.\n"
               ".SH EXIT STATUS\n0 stopped by a signal, 2 usage or configuration, 3 trouble with "
               "disk or socket.\n"
               ".SH SEE ALSO\n.BR rota (1),\n.BR rota-target (8)\n");
}

/* Returns 0 or 1 after saying what is wrong. */
static int read_options(int argc, char **argv) {
        for (int i = 1; i < argc; i++) {
                const struct option_row *row = NULL;
                const char *arg = argv[i], *value;
                size_t n;

                if (strncmp(arg, "--", 2) != 0) {
                        fprintf(stderr, "rota-controller: unexpected argument \"%s\"; see --help\n",
                                arg);
                        return 1;
                }
                value = strchr(arg, '=');
                n = value ? (size_t)(value - arg) - 2 : strlen(arg) - 2;
                for (size_t j = 0; j < ARRAY_SIZE(rows); j++)
                        if (strlen(rows[j].name) == n && strncmp(rows[j].name, arg + 2, n) == 0)
                                row = &rows[j];
                if (!row) {
                        fprintf(stderr, "rota-controller: there is no option %.*s; see --help\n",
                                (int)n + 2, arg);
                        return 1;
                }
                if (!row->value && value) {
                        fprintf(stderr, "rota-controller: --%s takes no value\n", row->name);
                        return 1;
                }
                if (row->flag) {
                        *row->flag = true;
                        continue;
                }
                if (!value && i + 1 == argc) {
                        fprintf(stderr, "rota-controller: --%s needs a %s\n", row->name,
                                row->value);
                        return 1;
                }
                *row->text = value ? value + 1 : argv[++i];
        }
        return 0;
}

static int check(const struct config *config) {
        CLEANUP(catalogue_free) struct catalogue *catalogue = NULL;
        CLEANUP(mem_free) char *why = NULL;
        int r = catalogue_load(&catalogue, config->catalogue, &why);

        if (r != 0) {
                fprintf(stderr, "rota-controller: %s\n", why ? why : strerror(-r));
                return EXIT_USAGE;
        }
        printf("account %s, %zu diagnostics, state in %s, socket %s\n", config->jid,
               catalogue_count(catalogue), config->state_dir, config->socket);
        return 0;
}

/* Descriptors 0 to 2 exist, or a later file would be taken for standard error. */
static void open_standard_files(void) {
        int fd;

        do
                fd = open("/dev/null", O_RDWR);
        while (fd >= 0 && fd <= 2);
        fd_close(fd);
}

int main(int argc, char **argv) {
        CLEANUP(config_done) struct config config = {0};
        CLEANUP(controller_free) struct controller *c = NULL;
        CLEANUP(mem_free) char *why = NULL;
        int r;

        open_standard_files();
        if (read_options(argc, argv) != 0)
                return EXIT_USAGE;
        if (opt_help || opt_help_man || opt_version) {
                if (opt_help)
                        print_help();
                else if (opt_help_man)
                        print_man();
                else
                        printf("rota-controller %s\n", ROTA_VERSION);
                return fflush(stdout) == 0 ? 0 : EXIT_INFRA;
        }
        signal(SIGPIPE, SIG_IGN);
        journal_use_when_there();
        if (opt_debug)
                log_set_level(LOG_LEVEL_DEBUG);
        r = config_read(&config, opt_config, &why);
        if (r != 0) {
                log_error("%s", why ? why : strerror(-r));
                return EXIT_USAGE;
        }
        if (opt_socket)
                config.socket = opt_socket;
        if (opt_state_dir)
                config.state_dir = opt_state_dir;
        if (opt_check)
                return check(&config);
        r = controller_new(&c, &config, &(struct controller_options){.trace = opt_trace});
        if (r == 0)
                r = controller_run(c);
        return r < 0 ? (r == -EINVAL ? EXIT_USAGE : EXIT_INFRA) : 0;
}
