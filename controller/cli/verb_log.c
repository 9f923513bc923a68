#include "controller/cli/follow.h"
#include "controller/cli/say.h"
#include "controller/cli/verb.h"

struct log_options {
        bool raw;
        bool follow;
};

static const struct option_row log_options[] = {
        OPTION_FLAG_ROW(
                struct log_options, raw, 0, "raw",
                "Bytes as they are, on a terminal too (a target may then write anything to it)"),
        OPTION_FLAG_ROW(struct log_options, follow, 'f', "follow", "Go on until the run has ended"),
        OPTION_END_ROW,
};

static int verb_log_run(const struct call *call) {
        const struct log_options *o = call->options;
        const struct follow_how how = {
                .quiet = true,
                .raw = o->raw,
                .until_now = !o->follow,
                .stream = call->n > 1 ? call->operands[1] : NULL,
        };
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(follow_free) struct follow *f = NULL;
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(mem_free) char *json = NULL;
        struct json_at root;
        int r;

        r = client_new(&c, call->socket);
        if (r == 0)
                r = follow_new(&f, c, &how);
        if (r == 0)
                r = client_call(c, &json, 0, "Run", "s", call->operands[0]);
        if (r != 0)
                return r;
        if (call->json) /* bytes are no JSON value: what there is to read, instead */
                return verb_print_json(json);
        r = client_parse(&doc, json);
        if (r != 0)
                return r;
        root = json_root(doc);
        r = follow_add(f, &root);
        return r != 0 ? r : follow_run(f, call->operands[0]);
}

const struct verb verb_log = {
        .name = "log",
        .usage = "[--raw] [-f] RUN [STREAM]",
        .summary = "print what a run has printed",
        .help = "Without STREAM the output of all steps, in their order. Other streams are named "
                "by "
                "\"rota show\"; \"events\" is the run's journal.\n"
                "To a file or pipe the bytes are exact. On a terminal control characters are made "
                "visible, unless --raw is "
                "given.",
        .options = log_options,
        .options_size = sizeof(struct log_options),
        .complete = "runs",
        .operands_min = 1,
        .operands_max = 2,
        .run = verb_log_run,
};
