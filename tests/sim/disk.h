/*
 * A disk of a simulated machine: directories, files, and what of them a power cut would leave.
 *
 * A file has the bytes that programs see and those that are durable; pages that differ are dirty until fsync. A
 * directory has its entries and the durable ones, and between them the list of changes in order. A power cut keeps of
 * a file's new end a prefix, of its overwritten pages any of the two versions, and of each directory's
 * changes a prefix; all by chance. With `journal`, as on ext4, a sync of anything makes the names of the whole disk
 * durable; without, only a sync of the very directory does (POSIX promises no more).
 *
 * After a sync that failed the pages count as clean although they are not durable (FACTS, section 6).
 */
#pragma once

#include "tests/sim/rng.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PAGE 4096

struct proc;
struct node;
struct watcher;

struct entry {
        char name[96];
        struct node *node;
};

enum change_kind {
        CHANGE_ADD,    /* replaces what has the name */
        CHANGE_REMOVE, /* by name */
        CHANGE_RENAME,
};

struct change {
        enum change_kind kind;
        char name[96];
        char to[96];
        struct node *node;
};

struct dir {
        struct entry *entries;
        size_t n, cap;
};

struct node {
        struct disk *disk;
        struct node *parent; /* of a directory */
        uint64_t number;
        bool is_dir;
        unsigned mode;
        unsigned names;
        uint64_t mtime_usec; /* realtime */
        /* file */
        uint8_t *data;
        size_t size, cap;
        uint8_t *safe;
        size_t safe_size, safe_cap;
        uint8_t *dirty; /* a byte a page */
        size_t n_dirty;
        bool touched;  /* anything to sync */
        bool doubtful; /* a sync failed: clean pages may differ from the durable ones */
        /* directory */
        struct dir now;
        struct dir kept;
        struct change *changes;
        size_t n_changes, cap_changes;
        struct watcher *watchers;
        /* locks: fcntl (owner is a process) and flock (owner is an open file) */
        struct proc *lock_owner;
        const void *flock_owner;
};

struct disk {
        struct node *root;
        uint64_t numbers;
        bool journal;
        bool full;               /* nothing more fits */
        unsigned error_permille; /* of writes and syncs that fail */
        uint64_t used;
        struct rng rng;
        uint64_t (*realtime)(const void *owner);
        const void *owner;
};

/* What a program changed in a directory: for inotify and F_NOTIFY. */
enum stir {
        STIR_CREATE,
        STIR_MODIFY,
        STIR_MOVED,
        STIR_DELETE,
};
typedef void stir_fn(struct node *dir, const char *name, enum stir what);

struct disk *disk_new(uint64_t seed, bool journal);
/* Returns what the machine finds after the power comes back; the disk itself changes. */
void disk_cut(struct disk *d);
/* sync(2) */
void disk_sync(struct disk *d);

/* Relative to @at, or absolute. NULL: not there. */
struct node *disk_find(struct disk *d, struct node *at, const char *path);
/* The directory of the last component, and its name. NULL: there is no such directory. */
struct node *disk_parent(struct disk *d, struct node *at, const char *path,
                         char ret_name[static 96]);
struct node *dir_find(const struct node *dir, const char *name);
struct node *dir_make(struct node *dir, const char *name, bool is_dir, unsigned mode);
/* 0 or -errno, as the system calls. */
int dir_remove(struct node *dir, const char *name, bool is_dir);
int dir_rename(struct node *from, const char *name, struct node *to, const char *to_name);

ssize_t file_write(struct node *f, const void *data, size_t size, uint64_t at);
ssize_t file_read(const struct node *f, void *data, size_t size, uint64_t at);
int file_cut(struct node *f, uint64_t size);
int node_sync(struct node *n);
/* How many bytes of the file would surely survive a power cut. */
uint64_t file_safe_size(const struct node *f);
bool node_name_safe(const struct node *n);

/* Made and durable, for whoever sets the scene. */
void disk_put(struct disk *d, const char *path, const char *text, unsigned mode);
/* What is on it, for whoever looks for a mistake. */
void disk_print(const struct disk *d, const char *name);
