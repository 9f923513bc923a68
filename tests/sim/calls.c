#include "tests/sim/calls.h"

#include "tests/sim/loop.h"
#include "tests/sim/program.h"
#include "tests/sim/roles.h"
#include "tests/sim/truth.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* They stand in for functions of the C library, which are declared there. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"

static struct proc *self(void) {
        return world->current;
}

static int fail(int error) {
        errno = error;
        return -1;
}

static int result(int r) {
        return r < 0 ? fail(-r) : r;
}

struct file *calls_file(int fd) {
        return fd >= FD_BASE && fd < FD_BASE + FDS ? self()->fds[fd - FD_BASE] : NULL;
}

int calls_open_file(const struct file *f) {
        struct proc *p = self();

        for (int i = 0; i < FDS; i++) {
                if (p->fds[i])
                        continue;
                p->fds[i] = malloc(sizeof(*f));
                if (!p->fds[i])
                        abort();
                *p->fds[i] = *f;
                return FD_BASE + i;
        }
        return -EMFILE;
}

/* POSIX: any close of a file ends the process's locks on it. */
static void file_closed(struct proc *p, struct file *f) {
        if (f->node && f->node->lock_owner == p)
                f->node->lock_owner = NULL;
        if (f->node && f->node->flock_owner == f)
                f->node->flock_owner = NULL;
        free(f);
}

void calls_close_all(struct proc *p) {
        for (int i = 0; i < FDS; i++) {
                if (p->fds[i])
                        file_closed(p, p->fds[i]);
                p->fds[i] = NULL;
        }
}

bool calls_readable(const struct file *f) {
        switch (f->kind) {
        case FILE_NODE:
        case FILE_END:
                return true;
        case FILE_PIDFD:
                return f->of->dead;
        case FILE_SIGNALS:
                return self() && (self()->signals & f->signals) != 0;
        case FILE_PIPE:
                return program_readable(f->program);
        case FILE_INBOX:
                return f->ready(f->subject);
        }
        return false;
}

void calls_stir(struct node *dir, const char *name, enum stir what) {
        struct proc *p = world->current;

        loop_stirred(dir, name, what);
        if (what == STIR_MODIFY || !p)
                return;
        /* F_NOTIFY of any process of this machine */
        for (size_t i = 0; i < p->machine->n_procs; i++) {
                struct proc *o = p->machine->procs[i];

                for (int k = 0; k < FDS && !o->dead && what != STIR_DELETE; k++)
                        if (o->fds[k] && o->fds[k]->notify && o->fds[k]->node == dir)
                                proc_signal(o, SIGIO);
        }
}

/* Does this write or sync fail? */
static bool io_fails(const struct node *n) {
        if (!n->disk->error_permille || !rng_chance(&n->disk->rng, n->disk->error_permille))
                return false;
        world_count(TALLY_DISK_ERRORS, 1);
        world_tell("an error of the disk");
        return true;
}

/* ---- names ---- */

static struct node *start_at(int dirfd) {
        const struct file *f;

        if (dirfd == AT_FDCWD)
                return self()->cwd;
        f = calls_file(dirfd);
        return f ? f->node : NULL;
}

static int open_at(struct node *at, const char *path, int flags, unsigned mode) {
        struct disk *d = self()->machine->disk;
        char name[96];
        struct node *dir, *n;
        struct file f = {.kind = FILE_NODE, .flags = flags};

        if (strcmp(path, "/dev/null") == 0) {
                f.kind = FILE_END;
                return calls_open_file(&f);
        }
        dir = disk_parent(d, at, path, name);
        if (!dir)
                return -ENOENT;
        n = name[0] == '\0' || strcmp(name, ".") == 0 ? dir : dir_find(dir, name);
        if (!n) {
                if (!(flags & O_CREAT))
                        return -ENOENT;
                if (d->full && rng_chance(&d->rng, 700))
                        return -ENOSPC;
                n = dir_make(dir, name, false, mode);
        } else if ((flags & O_CREAT) && (flags & O_EXCL)) {
                return -EEXIST;
        }
        if ((flags & O_DIRECTORY) && !n->is_dir)
                return -ENOTDIR;
        if (n->is_dir && (flags & O_ACCMODE) != O_RDONLY)
                return -EISDIR;
        if ((flags & O_TRUNC) && n->size > 0)
                file_cut(n, 0);
        f.node = n;
        return calls_open_file(&f);
}

int sim_open(const char *path, int flags, ...) {
        va_list ap;
        unsigned mode;

        va_start(ap, flags);
        mode = (flags & O_CREAT) ? va_arg(ap, unsigned) : 0;
        va_end(ap);
        proc_call("open");
        return result(open_at(self()->cwd, path, flags, mode));
}

int sim_openat(int dirfd, const char *path, int flags, ...) {
        va_list ap;
        unsigned mode;
        struct node *at;

        va_start(ap, flags);
        mode = (flags & O_CREAT) ? va_arg(ap, unsigned) : 0;
        va_end(ap);
        proc_call("openat");
        at = start_at(dirfd);
        return at ? result(open_at(at, path, flags, mode)) : fail(EBADF);
}

int sim_close(int fd) {
        struct proc *p = self();
        struct file *f = calls_file(fd);

        if (!f)
                return fail(EBADF);
        p->fds[fd - FD_BASE] = NULL;
        file_closed(p, f);
        return 0;
}

static int stat_node(const struct node *n, struct stat *ret) {
        *ret = (struct stat){
                .st_ino = n->number,
                .st_mode = (n->is_dir ? S_IFDIR : S_IFREG) | n->mode,
                .st_nlink = n->names,
                .st_uid = getuid(),
                .st_size = (off_t)n->size,
                .st_mtim = {.tv_sec = (time_t)(n->mtime_usec / SEC),
                            .tv_nsec = (long)(n->mtime_usec % SEC) * 1000},
        };
        return 0;
}

int sim_fstat(int fd, struct stat *ret) {
        const struct file *f = calls_file(fd);

        if (!f || !f->node)
                return fail(EBADF);
        return stat_node(f->node, ret);
}

int sim_fstatat(int dirfd, const char *path, struct stat *ret, int flags) {
        struct node *at = start_at(dirfd), *n;

        (void)flags;
        proc_call("fstatat");
        n = at ? disk_find(self()->machine->disk, at, path) : NULL;
        return n ? stat_node(n, ret) : fail(ENOENT);
}

int sim_stat(const char *path, struct stat *ret) {
        return sim_fstatat(AT_FDCWD, path, ret, 0);
}

int sim_access(const char *path, int mode) {
        const struct node *n;

        (void)mode;
        proc_call("access");
        n = disk_find(self()->machine->disk, self()->cwd, path);
        return n ? 0 : fail(ENOENT);
}

int sim_fstatvfs(int fd, struct statvfs *ret) {
        const struct file *f = calls_file(fd);

        if (!f || !f->node)
                return fail(EBADF);
        *ret = (struct statvfs){
                .f_frsize = PAGE, .f_bsize = PAGE, .f_bavail = f->node->disk->full ? 0 : 1u << 20};
        return 0;
}

static int make_dir(struct node *at, const char *path, unsigned mode) {
        struct disk *d = self()->machine->disk;
        char name[96];
        struct node *dir = disk_parent(d, at, path, name);

        if (!dir)
                return -ENOENT;
        if (name[0] == '\0' || dir_find(dir, name))
                return -EEXIST;
        if (d->full && rng_chance(&d->rng, 700))
                return -ENOSPC;
        dir_make(dir, name, true, mode);
        return 0;
}

int sim_mkdirat(int dirfd, const char *path, mode_t mode) {
        struct node *at = start_at(dirfd);

        proc_call("mkdir");
        return at ? result(make_dir(at, path, mode)) : fail(EBADF);
}

int sim_mkdir(const char *path, mode_t mode) {
        return sim_mkdirat(AT_FDCWD, path, mode);
}

int sim_renameat(int from_fd, const char *from, int to_fd, const char *to) {
        struct node *at = start_at(from_fd), *to_at = start_at(to_fd), *a, *b;
        struct disk *d = self()->machine->disk;
        char name[96], to_name[96];

        proc_call_sync("rename");
        a = at ? disk_parent(d, at, from, name) : NULL;
        b = to_at ? disk_parent(d, to_at, to, to_name) : NULL;
        if (!a || !b)
                return fail(ENOENT);
        world_tell("rename %s to %s", from, to);
        return result(dir_rename(a, name, b, to_name));
}

int sim_rename(const char *from, const char *to) {
        return sim_renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static int unlink_path(const char *path, int kind) {
        struct disk *d = self()->machine->disk;
        char name[96];
        struct node *dir = disk_parent(d, self()->cwd, path, name), *n;

        n = dir ? dir_find(dir, name) : NULL;
        if (!n)
                return -ENOENT;
        truth_removed(self()->machine, path, n);
        return dir_remove(dir, name, kind < 0 ? n->is_dir : kind > 0);
}

int sim_unlink(const char *path) {
        proc_call("unlink");
        return result(unlink_path(path, 0));
}

int sim_remove(const char *path) {
        proc_call("remove");
        return result(unlink_path(path, -1));
}

/* Depth first, as FTW_DEPTH asks for. */
static int walk(struct node *n, const char *path,
                int (*fn)(const char *, const struct stat *, int, struct FTW *)) {
        struct stat st;
        struct FTW ftw = {0};

        while (n->is_dir && n->now.n > 0) {
                size_t before = n->now.n;
                char sub[512];
                int r;

                snprintf(sub, sizeof(sub), "%.400s/%s", path, n->now.entries[0].name);
                r = walk(n->now.entries[0].node, sub, fn);
                if (r != 0)
                        return r;
                if (n->now.n == before)
                        return -1;
        }
        stat_node(n, &st);
        return fn(path, &st, n->is_dir ? FTW_DP : FTW_F, &ftw);
}

int sim_nftw(const char *path, int (*fn)(const char *, const struct stat *, int, struct FTW *),
             int fds, int flags) {
        struct node *n = disk_find(self()->machine->disk, self()->cwd, path);

        (void)fds;
        (void)flags;
        return n ? walk(n, path, fn) : fail(ENOENT);
}

char *sim_realpath(const char *path, char *ret) {
        (void)ret;
        if (!disk_find(self()->machine->disk, self()->cwd, path)) {
                errno = ENOENT;
                return NULL;
        }
        return strdup(path);
}

ssize_t sim_readlink(const char *path, char *ret, size_t size) {
        (void)path;
        (void)ret;
        (void)size;
        return fail(EINVAL);
}

int sim_chdir(const char *path) {
        struct node *n = disk_find(self()->machine->disk, self()->cwd, path);

        if (!n)
                return fail(ENOENT);
        if (!n->is_dir)
                return fail(ENOTDIR);
        self()->cwd = n;
        return 0;
}

/* ---- directories ---- */

struct listing {
        struct entry *entries;
        size_t n, at;
        struct dirent e;
        int fd;
};

static DIR *list(struct node *n, int fd) {
        struct listing *l = calloc(1, sizeof(*l));

        if (!l)
                abort();
        l->n = n->now.n;
        l->fd = fd;
        l->entries = calloc(l->n + 1, sizeof(struct entry));
        if (!l->entries)
                abort();
        if (l->n > 0)
                memcpy(l->entries, n->now.entries, l->n * sizeof(struct entry));
        /* in no order */
        for (size_t i = l->n; i > 1; i--) {
                size_t k = (size_t)rng_below(&self()->machine->rng, i);
                struct entry e = l->entries[k];

                l->entries[k] = l->entries[i - 1];
                l->entries[i - 1] = e;
        }
        return (DIR *)l;
}

DIR *sim_fdopendir(int fd) {
        struct file *f = calls_file(fd);

        proc_call("opendir");
        if (!f || !f->node || !f->node->is_dir) {
                errno = EBADF;
                return NULL;
        }
        return list(f->node, fd);
}

DIR *sim_opendir(const char *path) {
        int fd = sim_open(path, O_RDONLY | O_DIRECTORY);

        return fd < 0 ? NULL : sim_fdopendir(fd);
}

struct dirent *sim_readdir(DIR *dir) {
        struct listing *l = (struct listing *)dir;

        if (l->at == l->n)
                return NULL;
        snprintf(l->e.d_name, sizeof(l->e.d_name), "%s", l->entries[l->at].name);
        l->e.d_type = l->entries[l->at].node->is_dir ? DT_DIR : DT_REG;
        l->at++;
        return &l->e;
}

int sim_closedir(DIR *dir) {
        struct listing *l = (struct listing *)dir;

        sim_close(l->fd);
        free(l->entries);
        free(l);
        return 0;
}

int sim_scandir(const char *path, struct dirent ***ret, int (*filter)(const struct dirent *),
                int (*compare)(const struct dirent **, const struct dirent **)) {
        const struct node *n = disk_find(self()->machine->disk, self()->cwd, path);
        struct dirent **all;
        int count = 0;

        if (!n)
                return fail(ENOENT);
        all = calloc(n->now.n + 1, sizeof(*all));
        for (size_t i = 0; all && i < n->now.n; i++) {
                struct dirent e = {.d_type = DT_REG}, *copy;

                snprintf(e.d_name, sizeof(e.d_name), "%s", n->now.entries[i].name);
                if (filter && !filter(&e))
                        continue;
                copy = malloc(sizeof(e));
                if (!copy)
                        abort();
                *copy = e;
                all[count++] = copy;
        }
        if (compare && count > 1)
                qsort(all, (size_t)count, sizeof(*all),
                      (int (*)(const void *, const void *))compare);
        *ret = all;
        return count;
}

/* ---- bytes ---- */

static ssize_t write_node(struct file *f, const void *data, size_t size, uint64_t at) {
        ssize_t n;

        if (io_fails(f->node))
                return -EIO;
        /* now and then not all of it */
        if (size > 1 && rng_chance(&f->node->disk->rng, 5))
                size = 1 + (size_t)rng_below(&f->node->disk->rng, size - 1);
        n = file_write(f->node, data, size, at);
        if (n > 0 && self()->part == PART_STEP && (f->flags & O_APPEND))
                truth_wrote(self(), f->node, at, data, (size_t)n);
        if (n > 0)
                loop_file_modified(self()->machine, f->node);
        return n;
}

ssize_t sim_pwrite(int fd, const void *data, size_t size, off_t at) {
        struct file *f = calls_file(fd);

        proc_call("pwrite");
        if (!f || f->kind != FILE_NODE)
                return fail(EBADF);
        return result((int)write_node(f, data, size, (uint64_t)at));
}

ssize_t sim_write(int fd, const void *data, size_t size) {
        struct file *f = calls_file(fd);
        ssize_t n;

        proc_call("write");
        if (!f)
                return fail(EBADF);
        if (f->kind != FILE_NODE)
                return (ssize_t)size;
        if (f->flags & O_APPEND)
                f->at = f->node->size;
        n = write_node(f, data, size, f->at);
        if (n > 0)
                f->at += (uint64_t)n;
        return result((int)n);
}

ssize_t sim_pread(int fd, void *data, size_t size, off_t at) {
        const struct file *f = calls_file(fd);

        proc_call("pread");
        if (!f || f->kind != FILE_NODE)
                return fail(EBADF);
        return file_read(f->node, data, size, (uint64_t)at);
}

static ssize_t read_signals(struct file *f, void *data, size_t size) {
        struct proc *p = self();
        struct signalfd_siginfo info = {0};

        for (unsigned s = 1; s < 64; s++) {
                if (!(p->signals & f->signals & (UINT64_C(1) << s)) || size < sizeof(info))
                        continue;
                p->signals &= ~(UINT64_C(1) << s);
                info.ssi_signo = s;
                memcpy(data, &info, sizeof(info));
                return (ssize_t)sizeof(info);
        }
        return -EAGAIN;
}

ssize_t sim_read(int fd, void *data, size_t size) {
        struct file *f = calls_file(fd);
        ssize_t n = 0;

        proc_call("read");
        if (!f)
                return fail(EBADF);
        switch (f->kind) {
        case FILE_NODE:
                n = file_read(f->node, data, size, f->at);
                f->at += (uint64_t)n;
                return n;
        case FILE_SIGNALS:
                n = read_signals(f, data, size);
                return n < 0 ? fail((int)-n) : n;
        case FILE_PIPE:
                n = program_read(f->program, data, size);
                return n < 0 ? fail((int)-n) : n;
        case FILE_END:
                return 0;
        case FILE_PIDFD:
        case FILE_INBOX:
                break;
        }
        return fail(EINVAL);
}

int sim_fsync(int fd) {
        struct file *f = calls_file(fd);
        struct rng *rng = &self()->machine->rng;
        int r;

        proc_call_sync("fsync");
        if (!f || !f->node)
                return fail(EBADF);
        proc_spend(rng_chance(rng, 20) ? rng_range(rng, 10 * MSEC, 300 * MSEC)
                                       : rng_range(rng, 20, 2 * MSEC));
        f = calls_file(fd);
        r = node_sync(f->node);
        proc_call_sync("after fsync");
        if (r < 0) {
                world_count(TALLY_DISK_ERRORS, 1);
                world_tell("a sync fails");
        }
        return result(r);
}

int sim_fdatasync(int fd) {
        return sim_fsync(fd);
}

int sim_sync_file_range(int fd, off64_t from, off64_t to, unsigned flags) {
        (void)fd;
        (void)from;
        (void)to;
        (void)flags;
        return 0;
}

void sim_sync(void) {
        proc_call("sync");
        disk_sync(self()->machine->disk);
}

int sim_ftruncate(int fd, off_t size) {
        struct file *f = calls_file(fd);

        proc_call("ftruncate");
        if (!f || f->kind != FILE_NODE)
                return fail(EBADF);
        return result(file_cut(f->node, (uint64_t)size));
}

int sim_posix_fallocate(int fd, off_t at, off_t size) {
        struct file *f = calls_file(fd);

        if (!f || f->kind != FILE_NODE)
                return EBADF;
        return f->node->size < (uint64_t)(at + size) ? -file_cut(f->node, (uint64_t)(at + size))
                                                     : 0;
}

int sim_fallocate(int fd, int mode, off_t at, off_t size) {
        static const uint8_t nothing[PAGE];
        struct file *f = calls_file(fd);

        proc_call("fallocate");
        if (!f || f->kind != FILE_NODE)
                return fail(EBADF);
        if (!(mode & FALLOC_FL_PUNCH_HOLE))
                return result(-sim_posix_fallocate(fd, at, size));
        for (off_t end = at + size; at < end && (uint64_t)at < f->node->size; at += PAGE) {
                size_t n = end - at < PAGE ? (size_t)(end - at) : PAGE;

                if ((uint64_t)at + n > f->node->size)
                        n = f->node->size - (size_t)at;
                file_write(f->node, nothing, n, (uint64_t)at);
        }
        return 0;
}

/* ---- locks ---- */

static int lock(struct file *f, int cmd, struct flock *l) {
        struct proc *p = self(), *owner = f->node->lock_owner;

        if (owner && owner->dead)
                owner = f->node->lock_owner = NULL;
        if (cmd == F_GETLK) {
                if (owner && owner != p)
                        l->l_pid = owner->pid;
                else
                        l->l_type = F_UNLCK;
                return 0;
        }
        if (l->l_type == F_UNLCK) {
                if (owner == p)
                        f->node->lock_owner = NULL;
                return 0;
        }
        if (owner && owner != p)
                return -EAGAIN;
        f->node->lock_owner = p;
        return 0;
}

int sim_fcntl(int fd, int cmd, ...) {
        struct file *f;
        va_list ap;
        int r = 0;

        if (fd < FD_BASE)
                return 0; /* rota-step looks at 0, 1 and 2 */
        proc_call("fcntl");
        f = calls_file(fd);
        if (!f)
                return fail(EBADF);
        va_start(ap, cmd);
        if (cmd == F_SETLK || cmd == F_GETLK)
                r = lock(f, cmd, va_arg(ap, struct flock *));
        else if (cmd == F_NOTIFY)
                f->notify = true;
        va_end(ap);
        return result(r);
}

int sim_flock(int fd, int how) {
        struct file *f = calls_file(fd);

        (void)how;
        proc_call("flock");
        if (!f || !f->node)
                return fail(EBADF);
        if (f->node->flock_owner && f->node->flock_owner != f)
                return fail(EWOULDBLOCK);
        f->node->flock_owner = f;
        return 0;
}

/* ---- itself ---- */

pid_t sim_getpid(void) {
        return self()->pid;
}

uint64_t sim_random(void) {
        return rng_next(self() ? &self()->machine->rng : &world->rng);
}

ssize_t sim_getrandom(void *data, size_t size, unsigned flags) {
        (void)flags;
        for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
                uint64_t r = sim_random();

                memcpy((char *)data + i, &r, size - i < sizeof(r) ? size - i : sizeof(r));
        }
        return (ssize_t)size;
}

char *sim_getenv(const char *name) {
        (void)name;
        return NULL;
}

int sim_setenv(const char *name, const char *value, int replace) {
        (void)name;
        (void)value;
        (void)replace;
        return 0;
}

int sim_gethostname(char *name, size_t size) {
        snprintf(name, size, "%s", self()->machine->name);
        return 0;
}

int sim_malloc_trim(size_t pad) {
        (void)pad;
        return 0;
}

int sim_mallopt(int what, int value) {
        (void)what;
        (void)value;
        return 1;
}

uint64_t sim_clock_usec(enum sim_clock which) {
        if (!self())
                return world->now;
        return which == SIM_REALTIME ? machine_realtime(self()->machine)
                                     : machine_uptime(self()->machine);
}

int sim_prctl(int what, ...) {
        (void)what;
        return 0;
}

pid_t sim_setsid(void) {
        return self()->pid;
}

int sim_close_range(unsigned first, unsigned last, int flags) {
        (void)first;
        (void)last;
        (void)flags;
        return 0;
}

/* ---- signals, and waiting for several things ---- */

sighandler_t sim_signal(int sig, sighandler_t f) {
        (void)sig;
        (void)f;
        return SIG_DFL;
}

int sim_sigprocmask(int how, const sigset_t *set, sigset_t *old) {
        (void)how;
        (void)set;
        if (old)
                sigemptyset(old);
        return 0;
}

int sim_signalfd(int fd, const sigset_t *set, int flags) {
        struct file f = {.kind = FILE_SIGNALS};

        (void)fd;
        (void)flags;
        for (int s = 1; s < 64; s++)
                if (sigismember(set, s) == 1)
                        f.signals |= UINT64_C(1) << s;
        return result(calls_open_file(&f));
}

static int ready(struct pollfd *fds, nfds_t n) {
        int count = 0;

        for (nfds_t i = 0; i < n; i++) {
                const struct file *f = fds[i].fd < 0 ? NULL : calls_file(fds[i].fd);

                fds[i].revents = 0;
                if (!f)
                        continue;
                if ((fds[i].events & POLLIN) && calls_readable(f))
                        fds[i].revents = POLLIN;
                count += fds[i].revents != 0;
        }
        return count;
}

int sim_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *limit, const sigset_t *mask) {
        uint64_t until = NEVER;
        int r;

        (void)mask;
        proc_call("poll");
        if (limit)
                until = world->now + (uint64_t)limit->tv_sec * SEC +
                        (uint64_t)limit->tv_nsec / 1000;
        while ((r = ready(fds, n)) == 0 && world->now < until)
                proc_wait(until);
        return r;
}

int sim_poll(struct pollfd *fds, nfds_t n, int msec) {
        struct timespec limit = {.tv_sec = msec / 1000, .tv_nsec = (long)(msec % 1000) * 1000000};

        return sim_ppoll(fds, n, msec < 0 ? NULL : &limit, NULL);
}

int sim_kill(pid_t pid, int sig) {
        proc_call("kill");
        if (self()->program)
                program_signal(self()->program, sig);
        (void)pid;
        return 0;
}

/* rota-step waits for its program. */
pid_t sim_waitpid(pid_t pid, int *status, int flags) {
        (void)pid;
        (void)flags;
        return self()->program ? program_wait(self()->program, status) : fail(ECHILD);
}

/* The daemon waits for rota-step. */
int sim_waitid(idtype_t type, id_t id, siginfo_t *info, int flags) {
        struct file *f = calls_file((int)id);

        (void)type;
        (void)flags;
        if (!f || f->kind != FILE_PIDFD || f->of->reaped)
                return fail(ECHILD);
        *info = (siginfo_t){0};
        if (!f->of->dead)
                return 0;
        info->si_pid = f->of->pid;
        info->si_code = f->of->status >= 128 ? CLD_KILLED : CLD_EXITED;
        info->si_status = f->of->status >= 128 ? f->of->status - 128 : f->of->status;
        f->of->reaped = true;
        return 0;
}

int sim_pidfd_open(pid_t pid, unsigned flags) {
        struct file f = {.kind = FILE_PIDFD};

        (void)flags;
        proc_call("pidfd_open");
        f.of = proc_find(self()->machine, pid);
        if (!f.of || (f.of->dead && f.of->parent != self()))
                return fail(ESRCH);
        return result(calls_open_file(&f));
}

int sim_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *files,
                    const posix_spawnattr_t *attr, char *const argv[], char *const env[]) {
        struct proc *p;
        int argc = 0;

        (void)files;
        (void)attr;
        proc_call("posix_spawn");
        while (argv[argc])
                argc++;
        if (strcmp(path, "/reboot") == 0)
                p = roles_start_reboot(self(), env);
        else if (rng_chance(&self()->machine->rng, self()->machine->calm ? 0 : 3)) {
                truth_disk_trouble(self()->machine);
                return EAGAIN;
        } else
                p = proc_start(self()->machine, PART_STEP, "step", sim_step_main, argc,
                               (const char *const *)argv, self());
        *pid = p->pid;
        return 0;
}
