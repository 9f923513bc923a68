/*
 * The system calls of simulated processes. calls.syms says which name of the C library leads to which of these.
 */
#pragma once

#include "tests/sim/proc.h"

enum file_kind {
        FILE_NODE,
        FILE_PIDFD,
        FILE_SIGNALS,
        FILE_PIPE,  /* the reading end of what a program prints */
        FILE_INBOX, /* readable when `ready` says so */
        FILE_END,   /* always at its end */
};

struct file {
        enum file_kind kind;
        int flags;
        struct node *node;
        uint64_t at;
        struct proc *of;
        uint64_t signals; /* FILE_SIGNALS: which */
        struct program *program;
        bool (*ready)(const void *subject);
        const void *subject;
        bool notify; /* F_NOTIFY */
};

/* A descriptor of the current process. */
int calls_open_file(const struct file *f);
struct file *calls_file(int fd);
bool calls_readable(const struct file *f);
void calls_close_all(struct proc *p);
void calls_stir(struct node *dir, const char *name, enum stir what);

/* The clock of the current process's machine. */
enum sim_clock {
        SIM_UPTIME,
        SIM_REALTIME,
};
uint64_t sim_clock_usec(enum sim_clock which);
int sim_close(int fd);
ssize_t sim_pwrite(int fd, const void *data, size_t size, off_t at);
ssize_t sim_pread(int fd, void *data, size_t size, off_t at);
int sim_fsync(int fd);
int sim_ftruncate(int fd, off_t size);
int sim_open(const char *path, int flags, ...);
int sim_unlink(const char *path);
int sim_access(const char *path, int mode);
uint64_t sim_random(void);
