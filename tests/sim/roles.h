/*
 * The real programs, as functions. Each is one relocatable object with everything it needs of proto, ext, core and io; what
 * it would take from the C library and the kernel is led to calls.c, loop.c and the ports beside this file.
 */
#pragma once

#include "tests/sim/proc.h"

int sim_target_main(int argc, char **argv);
int sim_controller_main(int argc, char **argv);
int sim_step_main(int argc, char **argv);
/* The configured reboot command. */
struct proc *roles_start_reboot(struct proc *parent, char *const env[]);
