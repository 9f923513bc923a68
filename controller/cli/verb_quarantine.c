#include "controller/cli/order.h"
#include "controller/cli/verb.h"

struct quarantine_options {
        const char *reason;
};

static const struct option_row quarantine_options[] = {
        OPTION_TEXT_ROW(struct quarantine_options, reason, 0, "reason", "TEXT",
                        "What is wrong with it"),
        OPTION_END_ROW,
};

static int verb_quarantine_run(const struct call *call) {
        const struct quarantine_options *o = call->options;

        return order_run(call, &(struct order){.what = "quarantine",
                                               .done = "in quarantine",
                                               .reason = o->reason});
}

const struct verb verb_quarantine = {
        .name = "quarantine",
        .usage = "[--reason TEXT] SELECTOR…",
        .summary = "let targets start nothing more, because they are not trusted",
        .help = "What runs goes on; runs that come wait, until rota heal. A target also does so by "
                "itself, after several runs in a row that could not be carried out "
                "(\"quarantine_after\" in its configuration).",
        .options = quarantine_options,
        .options_size = sizeof(struct quarantine_options),
        .complete = "targets",
        .operands_min = 1,
        .operands_max = -1,
        .run = verb_quarantine_run,
};
