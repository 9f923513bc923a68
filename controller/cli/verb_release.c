#include "controller/cli/order.h"
#include "controller/cli/verb.h"

static int verb_release_run(const struct call *call) {
        return order_run(call, &(struct order){.what = "release", .done = "released"});
}

const struct verb verb_release = {
        .name = "release",
        .usage = "SELECTOR…",
        .summary = "give reserved targets back",
        .complete = "targets",
        .operands_min = 1,
        .operands_max = -1,
        .run = verb_release_run,
};
