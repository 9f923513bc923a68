#include "controller/cli/order.h"
#include "controller/cli/say.h"
#include "controller/cli/verb.h"
#include "proto/base/clock.h"

#define RESERVE_USEC (2 * USEC_PER_HOUR)

struct reserve_options {
        uint64_t for_usec;
        uint64_t wait_usec;
        const char *reason;
        bool take;
};

static const struct option_row reserve_options[] = {
        OPTION_DURATION_ROW(struct reserve_options, for_usec, 0, "for", "TIME",
                            "How long (2h); it ends by itself on the target's own clock"),
        OPTION_TEXT_ROW(struct reserve_options, reason, 0, "reason", "TEXT",
                        "What others read who want the machine"),
        OPTION_FLAG_ROW(struct reserve_options, take, 0, "take",
                        "Also from somebody else; needs the role admin, and he is told"),
        OPTION_DURATION_ROW(struct reserve_options, wait_usec, 0, "wait", "TIME",
                            "Ask again so long while it is busy or reserved"),
        OPTION_END_ROW,
};

static int verb_reserve_run(const struct call *call) {
        const struct reserve_options *o = call->options;

        if (o->take && o->wait_usec) {
                say_error("--take does not wait");
                return STATUS_USAGE;
        }
        return order_run(call, &(struct order){
                                       .what = o->take ? "take" : "reserve",
                                       .done = "reserved",
                                       .for_usec = o->for_usec ? o->for_usec : RESERVE_USEC,
                                       .reason = o->reason,
                                       .wait_usec = o->wait_usec,
                               });
}

const struct verb verb_reserve = {
        .name = "reserve",
        .usage = "[--for TIME] [--reason TEXT] [--take] [--wait TIME] SELECTOR…",
        .summary = "have targets for oneself, for a while",
        .help = "The target holds the lease, and everybody sees it. Runs of others wait until it "
                "is over (or are refused, with --if-idle), and so are their reboots; what you "
                "start goes first. It survives restarts and reboots, and always ends: by its time, "
                "by rota release, or when an admin takes it.\n"
                "A target with a run of somebody else on it is busy and refuses, unless it is "
                "taken: then that run ends in its own time.",
        .options = reserve_options,
        .options_size = sizeof(struct reserve_options),
        .complete = "targets",
        .operands_min = 1,
        .operands_max = -1,
        .run = verb_reserve_run,
};
