#include "controller/cli/order.h"
#include "controller/cli/verb.h"

static int verb_back_run(const struct call *call) {
        return order_run(call, &(struct order){.what = "back", .done = "back"});
}

const struct verb verb_back = {
        .name = "back",
        .usage = "SELECTOR…",
        .summary = "targets do not leave after all",
        .complete = "targets",
        .operands_min = 1,
        .operands_max = -1,
        .run = verb_back_run,
};
