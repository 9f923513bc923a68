/* The configured reboot command of a simulated machine: most often it works. */
#include "tests/sim/calls.h"
#include "tests/sim/roles.h"
#include "tests/sim/truth.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static void on_down(void *subject, uint64_t generation) {
        struct machine *m = subject;

        if (m->on && m->generation == (generation >> 1))
                machine_reboot(m, generation & 1);
}

static int reboot_main(int argc, char **argv) {
        struct proc *p = world->current;
        struct machine *m = p->machine;
        bool force = argc > 1 && strcmp(argv[1], "force") == 0;

        proc_spend(rng_range(&m->rng, MSEC, 300 * MSEC));
        if (!m->calm && rng_chance(&m->rng, 80))
                return 1;
        if (!m->calm && rng_chance(&m->rng, 40))
                return 0; /* it says so, and nothing comes of it */
        m->down_asked = true;
        if (!force)
                for (size_t i = 0; i < m->n_procs; i++)
                        if (m->procs[i] != p && rng_chance(&m->rng, 800))
                                proc_signal(m->procs[i], SIGTERM);
        world_after(rng_range(&m->rng, MSEC, 2 * SEC), on_down, m, m->generation << 1 | force);
        return 0;
}

struct proc *roles_start_reboot(struct proc *parent, char *const env[]) {
        const char *mode = "graceful";
        const char *argv[2] = {"reboot", NULL};

        for (size_t i = 0; env && env[i]; i++)
                if (strncmp(env[i], "ROTA_REBOOT_MODE=", 17) == 0)
                        mode = env[i] + 17;
        argv[1] = mode;
        truth_reboot_command(parent);
        return proc_start(parent->machine, PART_STEP, "reboot", reboot_main, 2, argv, parent);
}
