/*
 * Making the machine go down: by a configured command, or by logind.
 */
#pragma once

#include "proto/base/cleanup.h"

#include <stdbool.h>
#include <systemd/sd-event.h>

struct reboot;

/* @trouble: it failed, and why. NULL: whoever does it has taken it on. May free the reboot. */
typedef void reboot_done(void *userdata, const char *trouble);

/* Writes all disks back, then starts. @command NULL: logind. The command gets ROTA_REBOOT_MODE and
 * ROTA_REBOOT_REASON. Returns 0 or -errno. */
int reboot_start(struct reboot **ret, sd_event *event, const char *const *command, const char *mode,
                 const char *reason, reboot_done *done, void *userdata);
struct reboot *reboot_free(struct reboot *r);
DEFINE_CLEANUP_FREE(struct reboot, reboot_free)
