#include "controller/cli/order.h"
#include "controller/cli/verb.h"
#include "proto/base/clock.h"

#define EXTEND_USEC (2 * USEC_PER_HOUR)

struct extend_options {
        uint64_t for_usec;
};

static const struct option_row extend_options[] = {
        OPTION_DURATION_ROW(struct extend_options, for_usec, 0, "for", "TIME",
                            "How long from now (2h)"),
        OPTION_END_ROW,
};

static int verb_extend_run(const struct call *call) {
        const struct extend_options *o = call->options;

        return order_run(call, &(struct order){
                                       .what = "extend",
                                       .done = "extended",
                                       .for_usec = o->for_usec ? o->for_usec : EXTEND_USEC,
                               });
}

const struct verb verb_extend = {
        .name = "extend",
        .usage = "[--for TIME] SELECTOR…",
        .summary = "keep reserved targets longer",
        .options = extend_options,
        .options_size = sizeof(struct extend_options),
        .complete = "targets",
        .operands_min = 1,
        .operands_max = -1,
        .run = verb_extend_run,
};
