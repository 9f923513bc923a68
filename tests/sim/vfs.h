#pragma once

/* From now on SQLite's files are on the disks of simulated machines. 0 or -1. */
int vfs_start(void);
