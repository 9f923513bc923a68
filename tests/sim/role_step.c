/* Below the real rota-step: programs without processes. calls.syms does not reach its main(); CMake names it. */
#include "proto/base/cleanup.h"
#include "target/step/child.h"
#include "target/step/tree.h"
#include "tests/sim/calls.h"
#include "tests/sim/program.h"

#include <stdio.h>

int child_start(struct child *c, const struct step_spec *spec, struct arena *a) {
        (void)a;
        *c = (struct child){.pid = -1, .out = -1, .hold = -1, .failed = -1};
        return program_start(spec->argv, &c->pid, &c->out);
}

int child_failed(struct child *c, struct child_failure *ret_failure) {
        (void)c;
        (void)ret_failure;
        return 0;
}

const char *child_path(const struct step_spec *spec) {
        (void)spec;
        return "/bin";
}

void child_done(struct child *c) {
        if (c->out >= 0)
                sim_close(c->out);
        c->out = -1;
}

int tree_signal(int sig, pid_t except) {
        (void)sig;
        (void)except;
        return 0;
}

void tree_describe(char *ret, size_t size) {
        snprintf(ret, size, "%s", "");
}
