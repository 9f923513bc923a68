#include "controller/cli/order.h"
#include "controller/cli/say.h"
#include "controller/cli/verb.h"

struct away_options {
        uint64_t for_usec;
        const char *reason;
};

static const struct option_row away_options[] = {
        OPTION_DURATION_ROW(struct away_options, for_usec, 0, "for", "TIME",
                            "It is back within this time: 90m, 12h, 3d"),
        OPTION_TEXT_ROW(struct away_options, reason, 0, "reason", "TEXT", "Where it goes"),
        OPTION_END_ROW,
};

static int verb_away_run(const struct call *call) {
        const struct away_options *o = call->options;

        if (!o->for_usec) {
                say_error("for how long? Afterwards it counts as overdue");
                say_hint("try: rota away --for 12h --reason \"firmware update\" %s",
                         call->operands[0]);
                return STATUS_USAGE;
        }
        return order_run(call, &(struct order){.what = "away",
                                               .done = "away",
                                               .for_usec = o->for_usec,
                                               .reason = o->reason});
}

const struct verb verb_away = {
        .name = "away",
        .usage = "--for TIME [--reason TEXT] SELECTOR…",
        .summary = "targets leave on purpose and come back: firmware, another system, repair",
        .help = "It starts nothing more, and when it has gone it is shown as away, not as offline; "
                "after the promised time it is overdue. It is back when it has started anew "
                "(another boot id), or with rota back.",
        .options = away_options,
        .options_size = sizeof(struct away_options),
        .complete = "targets",
        .operands_min = 1,
        .operands_max = -1,
        .run = verb_away_run,
};
