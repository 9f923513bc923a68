/* rota-target as a function. */
#include "proto/base/log.h"
#include "target/target.h"
#include "tests/sim/roles.h"
#include "tests/sim/truth.h"

int sim_target_main(int argc, char **argv) {
        CLEANUP(target_free) struct target *t = NULL;
        CLEANUP(buf_done) struct buf error = {0};
        int r;

        (void)argc;
        (void)argv;
        log_set_sink(sim_log);
        r = target_new(&t, "/target.json", false, &error);
        if (r != 0) {
                log_error("%s (%d)", buf_text(&error), r);
                return 3;
        }
        return target_run(t) < 0 ? 3 : 0;
}
