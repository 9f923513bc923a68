/* rota-controller as a function. */
#include "controller/controller.h"
#include "proto/base/log.h"
#include "tests/sim/roles.h"
#include "tests/sim/truth.h"

int sim_controller_main(int argc, char **argv) {
        CLEANUP(controller_free) struct controller *c = NULL;
        CLEANUP(config_done) struct config config = {0};
        CLEANUP(mem_free) char *why = NULL;
        const struct controller_options options = {0};
        int r;

        (void)argc;
        (void)argv;
        log_set_sink(sim_log);
        r = config_read(&config, "/controller.json", &why);
        if (r != 0) {
                log_error("%s", why ? why : "the configuration cannot be read");
                return 2;
        }
        r = controller_new(&c, &config, &options);
        if (r < 0)
                return 3;
        return controller_run(c) < 0 ? 3 : 0;
}
