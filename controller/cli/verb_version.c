#include "controller/cli/say.h"
#include "controller/cli/verb.h"

static int verb_version_run(const struct call *call) {
        CLEANUP(buf_done) struct buf out = {0};

        if (call->json)
                buf_puts(&out, "{\"version\":\"" ROTA_VERSION "\"}\n");
        else
                buf_puts(&out, "rota " ROTA_VERSION "\n");
        return verb_print(&out);
}

const struct verb verb_version = {
        .name = "version",
        .usage = "",
        .summary = "say which version this is",
        .help = "The versions of the controller and the targets: rota doctor.",
        .run = verb_version_run,
};
