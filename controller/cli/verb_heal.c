#include "controller/cli/order.h"
#include "controller/cli/say.h"
#include "controller/cli/submit.h"
#include "controller/cli/verb.h"
#include "proto/base/id.h"

#include <string.h>

struct heal_options {
        const char *with;
        bool force;
        bool detach;
};

static const struct option_row heal_options[] = {
        OPTION_TEXT_ROW(struct heal_options, with, 0, "with", "DIAG",
                        "The diagnostic that must pass (health)"),
        OPTION_FLAG_ROW(struct heal_options, force, 0, "force",
                        "Without a diagnostic: you know that it is well"),
        OPTION_FLAG_ROW(struct heal_options, detach, 'd', "detach", "Do not wait for the end"),
        OPTION_END_ROW,
};

static int verb_heal_run(const struct call *call) {
        const struct heal_options *o = call->options;
        CLEANUP(buf_done) struct buf selector = {0}, request = {0};
        char id[ID_SIZE];
        struct json_writer w;
        int r;

        if (o->force && o->with) {
                say_error("--force frees without a diagnostic, --with names one: take one of them");
                return STATUS_USAGE;
        }
        if (o->force)
                return order_run(call, &(struct order){.what = "free", .done = "free"});
        r = verb_selector(call, 0, call->n, &selector);
        if (r != 0)
                return r;
        r = id_new(id);
        if (r < 0) {
                say_error("no random bytes: %s", strerror(-r));
                return STATUS_INFRA;
        }
        json_writer_init(&w, &request);
        json_begin_object(&w, NULL);
        json_put_str(&w, "diag", o->with ? o->with : "health");
        json_put_bool(&w, "heal", true);
        json_put_str(&w, "id", id);
        if (submit_by())
                json_put_str(&w, "by", submit_by());
        json_end_object(&w);
        if (buf_check(&request) < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        return submit_run(call, buf_text(&selector), buf_text(&request), o->detach);
}

const struct verb verb_heal = {
        .name = "heal",
        .usage = "[--with DIAG] [--force] [-d] SELECTOR…",
        .summary = "run the health diagnostic, and end the quarantine when it passes",
        .help = "A target in quarantine starts this run and no other. It needs the role reboot "
                "there.",
        .options = heal_options,
        .options_size = sizeof(struct heal_options),
        .complete = "targets",
        .operands_min = 1,
        .operands_max = -1,
        .run = verb_heal_run,
};
