#include "controller/api.h"
#include "controller/cli/say.h"
#include "controller/cli/verb.h"

static int verb_accept_run(const struct call *call) {
        CLEANUP(client_free) struct client *c = NULL;
        enum status worst = STATUS_PASSED;
        int r;

        r = client_new(&c, call->socket);
        if (r != 0)
                return r;
        for (int i = 0; i < call->n; i++) {
                sd_bus_error error = SD_BUS_ERROR_NULL;

                r = sd_bus_call_method(client_bus(c), NULL, API_PATH, API_INTERFACE, "Accept",
                                       &error, NULL, "s", call->operands[i]);
                if (r < 0)
                        worst = status_worst(worst, (enum status)client_failed(c, &error, r));
                else if (!call->quiet && !call->json)
                        say_note("%s is accepted; it shows in rota ls once it has answered",
                                 call->operands[i]);
                sd_bus_error_free(&error);
        }
        if (call->json && worst == STATUS_PASSED)
                return verb_print_json("null");
        return (int)worst;
}

const struct verb verb_accept = {
        .name = "accept",
        .usage = "JID…",
        .summary = "let a machine in that the configuration does not accept by itself",
        .help = "\"rota doctor\" lists those that wait.",
        .operands_min = 1,
        .operands_max = -1,
        .run = verb_accept_run,
};
