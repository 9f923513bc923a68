/*
 * What the machine says of itself: boot id, host name, operating system. Read once, and told on.
 */
#pragma once

#include "proto/base/buf.h"

#include <stdbool.h>

#define FACTS_BOOT_SIZE 64

/* The first line of @path: letters, digits and dashes. Returns 0 or -errno (-EINVAL: no boot id in it). */
int facts_boot_id(const char *path, char ret[static FACTS_BOOT_SIZE]);
int facts_host_name(struct buf *out);
/* "Debian GNU/Linux 12 (bookworm), Linux 6.1.0 x86_64" */
int facts_system(struct buf *out);
/* Is there an executable @program: itself when it has a slash, else in PATH and the system's directories? */
bool facts_has_program(const char *program);
