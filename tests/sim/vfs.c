/*
 * SQLite on simulated disks: a VFS over calls.c, and the shared memory of the WAL on the heap.
 *
 * One process uses a store at a time (the controller's own lock), so locks are granted. The index of the WAL dies
 * with its process and is made again from the WAL, as after any crash.
 */
#include "tests/sim/vfs.h"

#include "tests/sim/calls.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REGIONS_MAX 8

struct vfs_file {
        sqlite3_file base; /* first */
        int fd;
        bool new_name; /* to be synced with its directory */
        char path[256];
        void *regions[REGIONS_MAX];
};

static int on_close(sqlite3_file *file) {
        struct vfs_file *f = (struct vfs_file *)file;

        sim_close(f->fd);
        return SQLITE_OK;
}

static int on_read(sqlite3_file *file, void *data, int size, sqlite3_int64 at) {
        struct vfs_file *f = (struct vfs_file *)file;
        ssize_t n = sim_pread(f->fd, data, (size_t)size, at);

        if (n < 0)
                return SQLITE_IOERR_READ;
        if (n < size) {
                memset((char *)data + n, 0, (size_t)(size - n));
                return SQLITE_IOERR_SHORT_READ;
        }
        return SQLITE_OK;
}

static int on_write(sqlite3_file *file, const void *data, int size, sqlite3_int64 at) {
        struct vfs_file *f = (struct vfs_file *)file;

        for (int done = 0; done < size;) {
                ssize_t n = sim_pwrite(f->fd, (const char *)data + done, (size_t)(size - done),
                                       at + done);

                if (n < 0)
                        return errno == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
                done += (int)n;
        }
        return SQLITE_OK;
}

static int on_truncate(sqlite3_file *file, sqlite3_int64 size) {
        struct vfs_file *f = (struct vfs_file *)file;

        return sim_ftruncate(f->fd, size) < 0 ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

static int sync_directory(const char *path) {
        char dir[256];
        char *slash;
        int fd, r;

        snprintf(dir, sizeof(dir), "%s", path);
        slash = strrchr(dir, '/');
        if (slash)
                *slash = '\0';
        fd = sim_open(dir, O_RDONLY | O_DIRECTORY);
        if (fd < 0)
                return SQLITE_CANTOPEN;
        r = sim_fsync(fd);
        sim_close(fd);
        return r < 0 ? SQLITE_IOERR_DIR_FSYNC : SQLITE_OK;
}

static int on_sync(sqlite3_file *file, int flags) {
        struct vfs_file *f = (struct vfs_file *)file;

        (void)flags;
        if (sim_fsync(f->fd) < 0)
                return SQLITE_IOERR_FSYNC;
        if (!f->new_name)
                return SQLITE_OK;
        f->new_name = false;
        return sync_directory(f->path);
}

static int on_size(sqlite3_file *file, sqlite3_int64 *ret) {
        struct vfs_file *f = (struct vfs_file *)file;

        *ret = (sqlite3_int64)calls_file(f->fd)->node->size;
        return SQLITE_OK;
}

static int on_lock(sqlite3_file *file, int level) {
        (void)file;
        (void)level;
        return SQLITE_OK;
}

static int on_check(sqlite3_file *file, int *ret) {
        (void)file;
        *ret = 0;
        return SQLITE_OK;
}

static int on_control(sqlite3_file *file, int op, void *arg) {
        (void)file;
        (void)op;
        (void)arg;
        return SQLITE_NOTFOUND;
}

static int on_sector(sqlite3_file *file) {
        (void)file;
        return PAGE;
}

static int on_characteristics(sqlite3_file *file) {
        (void)file;
        return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as the library's own for UNIX */
}

static int on_map(sqlite3_file *file, int region, int size, int extend, void volatile **ret) {
        struct vfs_file *f = (struct vfs_file *)file;

        if (region >= REGIONS_MAX)
                return SQLITE_NOMEM;
        if (!f->regions[region] && extend)
                f->regions[region] = calloc(1, (size_t)size);
        *ret = f->regions[region];
        return SQLITE_OK;
}

static int on_map_lock(sqlite3_file *file, int at, int n, int flags) {
        (void)file;
        (void)at;
        (void)n;
        (void)flags;
        return SQLITE_OK;
}

static void on_barrier(sqlite3_file *file) {
        (void)file;
}

static int on_unmap(sqlite3_file *file, int delete) {
        struct vfs_file *f = (struct vfs_file *)file;

        (void)delete;
        for (size_t i = 0; i < REGIONS_MAX; i++) {
                free(f->regions[i]);
                f->regions[i] = NULL;
        }
        return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
        .iVersion = 2,
        .xClose = on_close,
        .xRead = on_read,
        .xWrite = on_write,
        .xTruncate = on_truncate,
        .xSync = on_sync,
        .xFileSize = on_size,
        .xLock = on_lock,
        .xUnlock = on_lock,
        .xCheckReservedLock = on_check,
        .xFileControl = on_control,
        .xSectorSize = on_sector,
        .xDeviceCharacteristics = on_characteristics,
        .xShmMap = on_map,
        .xShmLock = on_map_lock,
        .xShmBarrier = on_barrier,
        .xShmUnmap = on_unmap,
};

static int on_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags,
                   int *ret_flags) {
        struct vfs_file *f = (struct vfs_file *)file;

        (void)vfs;
        *f = (struct vfs_file){0};
        if (!name)
                return SQLITE_CANTOPEN;
        snprintf(f->path, sizeof(f->path), "%s", name);
        f->new_name = (flags & SQLITE_OPEN_CREATE) && sim_access(name, 0) < 0 &&
                      (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL));
        f->fd = sim_open(name, flags & SQLITE_OPEN_CREATE ? O_RDWR | O_CREAT : O_RDWR, 0640);
        if (f->fd < 0)
                return errno == ENOSPC ? SQLITE_FULL : SQLITE_CANTOPEN;
        f->base.pMethods = &methods;
        if (ret_flags)
                *ret_flags = flags;
        return SQLITE_OK;
}

static int on_delete(sqlite3_vfs *vfs, const char *name, int sync_dir) {
        (void)vfs;
        if (sim_unlink(name) < 0)
                return errno == ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
        return sync_dir ? sync_directory(name) : SQLITE_OK;
}

static int on_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret) {
        (void)vfs;
        (void)flags;
        *ret = sim_access(name, 0) == 0;
        return SQLITE_OK;
}

static int on_full_path(sqlite3_vfs *vfs, const char *name, int size, char *ret) {
        (void)vfs;
        snprintf(ret, (size_t)size, "%s", name);
        return SQLITE_OK;
}

static int on_random(sqlite3_vfs *vfs, int size, char *ret) {
        (void)vfs;
        for (int i = 0; i < size; i++)
                ret[i] = (char)sim_random();
        return size;
}

static int on_sleep(sqlite3_vfs *vfs, int usec) {
        (void)vfs;
        proc_spend((uint64_t)usec);
        return usec;
}

static int on_time(sqlite3_vfs *vfs, sqlite3_int64 *ret) {
        (void)vfs;
        *ret = (sqlite3_int64)(sim_clock_usec(SIM_REALTIME) / 1000) + INT64_C(210866760000000);
        return SQLITE_OK;
}

static int on_last_error(sqlite3_vfs *vfs, int size, char *ret) {
        (void)vfs;
        (void)size;
        (void)ret;
        return errno;
}

int vfs_start(void) {
        static sqlite3_vfs vfs = {
                .iVersion = 2,
                .szOsFile = sizeof(struct vfs_file),
                .mxPathname = 250,
                .zName = "sim",
                .xOpen = on_open,
                .xDelete = on_delete,
                .xAccess = on_access,
                .xFullPathname = on_full_path,
                .xRandomness = on_random,
                .xSleep = on_sleep,
                .xCurrentTimeInt64 = on_time,
                .xGetLastError = on_last_error,
        };

        sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
        sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
        if (sqlite3_initialize() != SQLITE_OK)
                return -1;
        return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK ? 0 : -1;
}
