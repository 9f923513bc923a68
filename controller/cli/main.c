/*
 * rota: the command of people and scripts. It knows verbs; everything it tells, the controller knows.
 */
#include "controller/cli/say.h"
#include "controller/cli/verb.h"
#include "proto/base/nearest.h"

#include <stdio.h>
#include <string.h>

struct common {
        const char *socket;
        bool json;
        bool quiet;
        bool help;
        bool version;
};

const struct option_row verb_common_options[] = {
        OPTION_FLAG_ROW(struct common, json, 0, "json",
                        "Print the controller's document, one JSON value"),
        OPTION_FLAG_ROW(struct common, quiet, 'q', "quiet", "No talk on standard error but errors"),
        OPTION_TEXT_ROW(struct common, socket, 0, "socket", "PATH",
                        "The controller's socket; nothing is started then"),
        OPTION_FLAG_ROW(struct common, help, 'h', "help", "Say how this verb is used"),
        OPTION_FLAG_ROW(struct common, version, 0, "version", "Say which version this is"),
        OPTION_END_ROW,
};

#define MAIN_VERBS_MAX 64

static int main_unknown(const char *name) {
        const char *names[MAIN_VERBS_MAX + 1];
        const char *near;
        size_t n = 0;

        for (const struct verb *const *v = verbs; *v && n < MAIN_VERBS_MAX; v++)
                names[n++] = (*v)->name;
        names[n] = NULL;
        near = nearest(name, names);
        say_error("there is no verb \"%s\"", name);
        if (near)
                say_hint("did you mean: rota %s", near);
        say_hint("try: rota help");
        return STATUS_USAGE;
}

static int main_usage(const struct verb *v, const char *why) {
        CLEANUP(buf_done) struct buf usage = {0};

        verb_print_usage(v, &usage);
        say_error("%s", why);
        say_hint("%s", buf_text(&usage));
        say_hint("try: rota %s --help", v->name);
        return STATUS_USAGE;
}

static int main_help(const struct verb *v) {
        char *operands[] = {(char *)(v ? v->name : "help")};
        struct call call = {.operands = operands, .n = v != NULL, .n_before = v != NULL};

        return verb_help.run(&call);
}

static int main_verb(const struct verb *v, char **argv, int argc, struct common *common) {
        _Alignas(max_align_t) char values[VERB_OPTIONS_MAX] = {0};
        const struct option_set sets[] = {
                {v->options,          values},
                {verb_common_options, common},
        };
        CLEANUP(buf_done) struct buf error = {0};
        struct call call = {.operands = argv, .options = values};
        int r;

        if (v->options_size > sizeof(values)) {
                say_error("the options of %s do not fit", v->name);
                return STATUS_USAGE;
        }
        r = options_read(argv, argc, sets, ARRAY_SIZE(sets), false, &call.n, &call.n_before,
                         &call.dashed, &error);
        if (r < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        if (r > 0)
                return main_usage(v, buf_text(&error));
        if (common->help)
                return main_help(v);
        if (call.dashed && !v->takes_dashes)
                call.n_before = call.n;
        if (call.n_before < v->operands_min)
                return main_usage(v, "something is missing");
        if (v->operands_max >= 0 && call.n_before > v->operands_max) {
                buf_printf(&error, "\"%s\" is too much", argv[v->operands_max]);
                return main_usage(v, buf_text(&error));
        }
        call.json = common->json;
        call.quiet = common->quiet;
        call.socket = common->socket;
        return v->run(&call);
}

int main(int argc, char **argv) {
        struct common common = {0};
        const struct option_set sets[] = {
                {verb_common_options, &common},
        };
        CLEANUP(buf_done) struct buf error = {0};
        const struct verb *v;
        bool dashed;
        int before;
        int n;
        int r;

        if (argc < 1)
                return STATUS_USAGE;
        r = options_read(argv + 1, argc - 1, sets, 1, true, &n, &before, &dashed, &error);
        if (r != 0) {
                say_error("%s", buf_text(&error));
                say_hint("try: rota help");
                return STATUS_USAGE;
        }
        if (common.version)
                return verb_version.run(
                        &(struct call){.json = common.json, .socket = common.socket});
        if (n == 0) {
                (void)main_help(NULL);
                return common.help ? STATUS_PASSED : STATUS_USAGE;
        }
        v = verb_find(argv[1]);
        if (!v)
                return main_unknown(argv[1]);
        return main_verb(v, argv + 2, n - 1, &common);
}
