/* rota-target: the daemon on the PC under test. Options are rows; help and the manual page come from them. */
#include "proto/base/log.h"
#include "proto/json.h"
#include "target/target.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>

#define DEFAULT_CONFIG "/etc/rota/target.json"

enum {
        EXIT_CONFIG = 2, /* do not start it again before somebody changed something */
        EXIT_INFRA = 3,
};

struct options {
        const char *config;
        bool trace;
        bool debug;
        bool check;
        bool version;
        bool help;
        bool help_man;
};

struct option_row {
        const char *name;
        const char *argument; /* NULL: a flag */
        size_t offset;        /* in struct options: const char * or bool */
        const char *help;
};

static const struct option_row rows[] = {
        {"config",   "FILE", offsetof(struct options, config),
         "The configuration; default $ROTA_CONFIG, then " DEFAULT_CONFIG "."                      },
        {"check",    NULL,   offsetof(struct options, check),
         "Check the configuration and the catalogue, say what is wrong, and end."                 },
        {"trace",    NULL,   offsetof(struct options, trace),
         "Show every stanza on standard error, chunks decoded, passwords hidden."                 },
        {"debug",    NULL,   offsetof(struct options, debug),    "Log more."                      },
        {"version",  NULL,   offsetof(struct options, version),  "Print the version, and end."    },
        {"help",     NULL,   offsetof(struct options, help),     "Print this, and end."           },
        {"help-man", NULL,   offsetof(struct options, help_man), "Print the manual page, and end."},
};

static void print_help(void) {
        printf("Usage: rota-target [OPTION]...\n"
               "The rota daemon on a PC under test: runs diagnostics for its controllers.\n\n");
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                char left[32];
                snprintf(left, sizeof(left), "--%s%s%s", rows[i].name, rows[i].argument ? " " : "",
                         rows[i].argument ? rows[i].argument : "");
                printf("  %-16s %s\n", left, rows[i].help);
        }
}

static void print_man(void) {
        printf(".TH ROTA-TARGET 8 \"\" \"rota %s\"\n"
               ".SH NAME\nrota-target \\- run diagnostics on this PC for rota controllers\n"
               ".SH SYNOPSIS\n.B rota-target\n[\\fIOPTION\\fR]...\n"
               ".SH DESCRIPTION\n"
               "The daemon announces this PC to its controllers over XMPP, accepts runs, carries "
               "them out in order, and hands their output on byte by byte. Steps that run go on "
               "when the daemon ends; the next one finds them again.\n"
               ".SH OPTIONS\n",
               ROTA_VERSION);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                printf(".TP\n\\fB\\-\\-%s\\fR", rows[i].name);
                if (rows[i].argument)
                        printf(" \\fI%s\\fR", rows[i].argument);
                printf("\n%s\n", rows[i].help);
        }
        printf(".SH HOW A STEP IS ENDED\n"
               "Its time limit, its limit of silence, a full disk budget or a cancel end a step: "
               "everything it started gets SIGTERM, and what is left of it later SIGKILL, also "
               "what went into the background or into a session of its own. Between the two pass "
               "5 seconds, for a cancel 1. A diagnostic whose catalogue entry has "
               "\"grace\" gets that time instead, at most a minute, and whoever cancels it "
               "waits as long.\n"
               ".SH DISK BUDGET\n"
               "What the steps of one run print takes at most disk_budget of this disk (10G "
               "unless configured), or what the plan asks for when that is less. Beyond it a plan "
               "chooses with \"over_budget\":\n"
               ".TP\nblock\n"
               "The program waits in its write, and the target says so, until disk_budget is "
               "raised and the configuration read again. Waiting ends with the time limit of the "
               "step, after disk_budget_wait (1h), or with a cancel; then the rest is counted and "
               "dropped. This is the default.\n"
               ".TP\nhead+tail\n"
               "The first part is kept as it comes, and the last one, half of the budget and at "
               "most 64M, follows when the step has ended. Two lines mark the hole between them "
               "and how many bytes are missing.\n"
               ".PP\nEither way the run says how many bytes were dropped.\n"
               ".SH SIGNALS\n"
               ".TP\nSIGTERM, SIGINT\nEnd. What runs goes on.\n"
               ".TP\nSIGHUP\nRead the configuration and the catalogue again.\n"
               ".SH EXIT STATUS\n"
               "0 ended by a signal; 2 usage or configuration; 3 anything else, like a state "
               "directory "
               "that cannot be used.\n"
               ".SH FILES\n"
               ".TP\n%s\nConfiguration, JSON with comments; *.json in target.d beside it are "
               "merged over it.\n"
               ".TP\n/var/lib/rota/target\nRuns: a directory each.\n"
               ".SH ENVIRONMENT\n"
               ".TP\nROTA_CONFIG\nNames the configuration when \\-\\-config does not.\n"
               ".SH SEE ALSO\n.BR rota (1)\n",
               DEFAULT_CONFIG);
}

static int usage(const char *what, const char *which) {
        fprintf(stderr, "rota-target: %s%s\nTry: rota-target --help\n", what, which);
        return -EINVAL;
}

static int parse(int argc, char **argv, struct options *o) {
        for (int i = 1; i < argc; i++) {
                const char *name = argv[i], *value = NULL;
                const struct option_row *row = NULL;
                size_t len;

                if (strncmp(name, "--", 2) != 0)
                        return usage("unexpected argument: ", name);
                name += 2;
                len = strcspn(name, "=");
                for (size_t k = 0; k < ARRAY_SIZE(rows) && !row; k++)
                        if (strlen(rows[k].name) == len && strncmp(rows[k].name, name, len) == 0)
                                row = &rows[k];
                if (!row)
                        return usage("no such option: ", argv[i]);
                if (name[len] == '=')
                        value = name + len + 1;
                else if (row->argument && i + 1 < argc)
                        value = argv[++i];
                if (row->argument && !value)
                        return usage("a value is missing after ", argv[i]);
                if (!row->argument && value)
                        return usage("takes no value: ", argv[i]);
                if (row->argument)
                        *(const char **)(void *)((char *)o + row->offset) = value;
                else
                        *(bool *)((char *)o + row->offset) = true;
        }
        return 0;
}

/* systemd connected our standard error to the journal: then it gets fields, not lines. */
static bool journal_is_stderr(void) {
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long dev = 0, inode = 0;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &dev, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev && st.st_ino == inode;
}

static void to_journal(enum log_level level, const char *text, const struct log_field *fields,
                       size_t n_fields) {
        struct buf texts[LOG_FIELDS_MAX + 2] = {0};
        struct iovec iov[LOG_FIELDS_MAX + 2];
        int n = 0;

        buf_printf(&texts[0], "PRIORITY=%d", (int)level);
        buf_printf(&texts[1], "MESSAGE=%s", text);
        for (size_t i = 0; i < n_fields && i < LOG_FIELDS_MAX; i++)
                if (fields[i].value)
                        buf_printf(&texts[i + 2], "%s=%s", fields[i].name, fields[i].value);
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                if (texts[i].len > 0)
                        iov[n++] = (struct iovec){texts[i].data, texts[i].len};
        sd_journal_sendv(iov, n);
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                buf_done(&texts[i]);
}

static void prepare_process(void) {
        sigset_t ours;

        sigemptyset(&ours);
        sigaddset(&ours, SIGTERM);
        sigaddset(&ours, SIGINT);
        sigaddset(&ours, SIGHUP);
        sigprocmask(SIG_BLOCK, &ours, NULL);
        signal(SIGPIPE, SIG_IGN);
        umask(027);
        /* One thread, one arena; what a burst took is given back. */
        mallopt(M_ARENA_MAX, 1);
        mallopt(M_TRIM_THRESHOLD, 64 * 1024);
        mallopt(M_MMAP_THRESHOLD, 256 * 1024);
        if (journal_is_stderr())
                log_set_sink(to_journal);
}

static int failed(int r, const struct buf *error) {
        const char *text = error->len > 0 ? error->data : strerror(r < 0 ? -r : EINVAL);

        log_error("%s", text);
        return r == CONFIG_BAD ? EXIT_CONFIG : EXIT_INFRA;
}

static int serve(const struct options *o) {
        CLEANUP(target_free) struct target *t = NULL;
        CLEANUP(buf_done) struct buf error = {0};
        int r = target_new(&t, o->config, o->trace, &error);

        if (r != 0)
                return failed(r, &error);
        r = target_run(t);
        return r < 0 ? failed(r, &error) : 0;
}

static int check(const struct options *o) {
        CLEANUP(buf_done) struct buf error = {0};
        int r = target_check(o->config, &error);

        if (r != 0)
                return failed(r, &error);
        printf("%s is right\n", o->config);
        return 0;
}

int main(int argc, char **argv) {
        const char *env = getenv("ROTA_CONFIG");
        struct options o = {.config = env && *env ? env : DEFAULT_CONFIG};

        if (parse(argc, argv, &o) < 0)
                return EXIT_CONFIG;
        if (o.debug)
                log_set_level(LOG_LEVEL_DEBUG);
        if (o.version)
                printf("rota-target %s\n", ROTA_VERSION);
        else if (o.help)
                print_help();
        else if (o.help_man)
                print_man();
        else if (o.check)
                return check(&o);
        else {
                prepare_process();
                return serve(&o);
        }
        return 0;
}
