#include "target/io/rundir.h"

#include "proto/base/clock.h"
#include "proto/base/id.h"
#include "proto/json.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define KEPT_OPEN 8
#define EVENTS_MAX (16u << 20)
#define TRIM_MAX (1 << 20)
#define EVENTS_TAIL 16384 /* no single record is longer */

struct kept {
        char run[ID_MAX + 1];
        char name[32];
        int fd; /* -1: free */
        uint64_t used;
};

struct rundir {
        char *path;
        int fd;
        int lock_fd;
        int runs_fd;
        int tombs_fd;
        struct kept kept[KEPT_OPEN];
        uint64_t uses;
};

static int dir_make(int at, const char *name, int *ret_fd) {
        if (mkdirat(at, name, 0750) < 0 && errno != EEXIST)
                return -errno;
        int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

/* Like mkdir -p; intermediate directories that exist are not touched. */
static int path_make(const char *path) {
        CLEANUP(mem_free) char *copy = strdup(path);
        if (!copy)
                return -ENOMEM;
        for (char *slash = copy + 1;; slash++) {
                slash += strcspn(slash, "/");
                char end = *slash;
                *slash = '\0';
                if (mkdir(copy, 0750) < 0 && errno != EEXIST)
                        return -errno;
                if (!end)
                        return 0;
                *slash = end;
        }
}

static int lock_take(int fd) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        if (fcntl(fd, F_SETLK, &lock) == 0)
                return 0;
        return errno == EACCES || errno == EAGAIN ? RUNDIR_LOCKED : -errno;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
        (void)st;
        (void)kind;
        (void)at;
        return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static int tree_remove(const struct rundir *d, const char *name) {
        CLEANUP(buf_done) struct buf path = {0};
        int r = buf_printf(&path, "%s/runs/%s", d->path, name);
        if (r < 0)
                return r;
        if (nftw(path.data, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
                return -errno;
        return 0;
}

/* Directories whose making or unmaking was cut short begin with a dot; no run id does. */
static int sweep(struct rundir *d) {
        int fd = openat(d->runs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir) {
                int e = errno;
                fd_close(fd);
                return -e;
        }
        for (struct dirent *e; (e = readdir(dir));) {
                if (strncmp(e->d_name, ".new-", 5) == 0 || strncmp(e->d_name, ".old-", 5) == 0 ||
                    rundir_retired(d, e->d_name))
                        tree_remove(d, e->d_name);
        }
        closedir(dir);
        return 0;
}

int rundir_open(struct rundir **ret, const char *path) {
        CLEANUP(rundir_free) struct rundir *d = calloc(1, sizeof(*d));
        int r;

        if (!d)
                return -ENOMEM;
        d->fd = d->lock_fd = d->runs_fd = d->tombs_fd = -1;
        for (size_t i = 0; i < KEPT_OPEN; i++)
                d->kept[i].fd = -1;
        r = path_make(path);
        if (r < 0)
                return r;
        d->path = realpath(path, NULL);
        if (!d->path)
                return -errno;
        d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (d->fd < 0)
                return -errno;
        d->lock_fd = openat(d->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
        if (d->lock_fd < 0)
                return -errno;
        r = lock_take(d->lock_fd);
        if (r != 0)
                return r;
        r = dir_make(d->fd, "runs", &d->runs_fd);
        if (r < 0)
                return r;
        r = dir_make(d->fd, "tombstones", &d->tombs_fd);
        if (r < 0)
                return r;
        /* our predecessor may have died between a rename and its sync: what we go by from here on must stay */
        if (fsync(d->fd) < 0 || fsync(d->runs_fd) < 0 || fsync(d->tombs_fd) < 0)
                return -errno;
        r = sweep(d);
        if (r < 0)
                return r;
        *ret = TAKE(d);
        return 0;
}

struct rundir *rundir_free(struct rundir *d) {
        if (!d)
                return NULL;
        rundir_rest(d);
        fd_close(d->tombs_fd);
        fd_close(d->runs_fd);
        fd_close(d->lock_fd);
        fd_close(d->fd);
        free(d->path);
        free(d);
        return NULL;
}

const char *rundir_path(const struct rundir *d) {
        return d->path;
}

int rundir_run_path(const struct rundir *d, const char *run, struct buf *out) {
        return buf_printf(out, "%s/runs/%s", d->path, run);
}

int rundir_free_bytes(const struct rundir *d, uint64_t *ret) {
        struct statvfs st;
        if (fstatvfs(d->fd, &st) < 0)
                return -errno;
        *ret = (uint64_t)st.f_bavail * st.f_frsize;
        return 0;
}

static int run_file(const struct rundir *d, const char *run, const char *name, int flags,
                    int *ret_fd) {
        char path[ID_MAX + 64];
        if ((size_t)snprintf(path, sizeof(path), "%s/%s", run, name) >= sizeof(path))
                return -ENAMETOOLONG;
        int fd = openat(d->runs_fd, path, flags | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (fd < 0)
                return -errno;
        *ret_fd = fd;
        return 0;
}

static int write_all(int fd, const char *data, size_t len, uint64_t offset) {
        while (len > 0) {
                ssize_t n = pwrite(fd, data, len, (off_t)offset);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -EIO;
                data += n;
                len -= (size_t)n;
                offset += (uint64_t)n;
        }
        return 0;
}

struct new_file {
        const char *name;
        const char *data;
        size_t len;
};

static int file_create(const struct rundir *d, const char *run, const char *name, const char *data,
                       size_t len) {
        CLEANUP(fd_close) int fd = -1;
        int r = run_file(d, run, name, O_WRONLY | O_CREAT | O_TRUNC, &fd);

        return r < 0 ? r : write_all(fd, data, len, 0);
}

/* Creates all of @files and syncs them. Write-back of each begins before the first sync, so that a journalling
 * file system makes them durable in one commit instead of one each. */
static int files_create(const struct rundir *d, const char *run, const struct new_file *files,
                        size_t n_files) {
        for (size_t i = 0; i < n_files; i++) {
                CLEANUP(fd_close) int fd = -1;
                int r = run_file(d, run, files[i].name, O_WRONLY | O_CREAT | O_TRUNC, &fd);

                if (r == 0)
                        r = write_all(fd, files[i].data, files[i].len, 0);
                if (r < 0)
                        return r;
                (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* only a hint */
        }
        for (size_t i = 0; i < n_files; i++) {
                CLEANUP(fd_close) int fd = -1;
                int r = run_file(d, run, files[i].name, O_WRONLY, &fd);

                if (r < 0)
                        return r;
                if (fsync(fd) < 0)
                        return -errno;
        }
        return 0;
}

static int dir_sync(const struct rundir *d, const char *name) {
        CLEANUP(fd_close) int fd = openat(d->runs_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fsync(fd) < 0)
                return -errno;
        return 0;
}

static int accept_into(const struct rundir *d, const char *temp, const struct rundir_run *run,
                       const char *plan, const struct buf *accepted) {
        CLEANUP(buf_done) struct buf json = {0};
        char work[ID_MAX + 16];
        struct json_writer w;
        int r;

        json_writer_init(&w, &json);
        json_begin_object(&w, NULL);
        json_put_str(&w, "owner", run->owner);
        if (run->by)
                json_put_str(&w, "by", run->by);
        json_put_str(&w, "name", run->name);
        json_put_u64(&w, "seq", run->seq);
        json_put_u64(&w, "steps", run->n_steps);
        if (run->lease > 0)
                json_put_u64(&w, "lease", run->lease);
        if (run->heal)
                json_put_bool(&w, "heal", true);
        json_end_object(&w);
        buf_putc(&json, '\n');
        r = buf_check(&json);
        if (r < 0)
                return r;
        if (mkdirat(d->runs_fd, temp, 0750) < 0)
                return -errno;
        snprintf(work, sizeof(work), "%s/work", temp);
        if (mkdirat(d->runs_fd, work, 0750) < 0)
                return -errno;
        r = files_create(d, temp,
                         (struct new_file[]){
                                 {"plan.json", plan,           strlen(plan) },
                                 {"run.json",  json.data,      json.len     },
                                 {"events",    accepted->data, accepted->len},
        },
                         3);
        return r < 0 ? r : dir_sync(d, temp);
}

int rundir_accept(struct rundir *d, const struct rundir_run *run, const char *plan,
                  const struct buf *accepted) {
        char temp[ID_MAX + 8];
        int r;

        snprintf(temp, sizeof(temp), ".new-%s", run->id);
        tree_remove(d, temp);
        r = accept_into(d, temp, run, plan, accepted);
        if (r == 0 && renameat(d->runs_fd, temp, d->runs_fd, run->id) < 0)
                r = errno == ENOTEMPTY ? -EEXIST : -errno;
        if (r < 0) {
                tree_remove(d, temp);
                return r;
        }
        if (fsync(d->runs_fd) < 0) {
                r = -errno;
                tree_remove(d, run->id);
                return r;
        }
        return 0;
}

/* The whole of a file that must not be larger than @max. */
static int file_load(const struct rundir *d, const char *run, const char *name, size_t max,
                     struct buf *out) {
        CLEANUP(fd_close) int fd = -1;
        struct stat st;
        int r = run_file(d, run, name, O_RDONLY, &fd);
        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max)
                return -EFBIG;
        r = buf_reserve(out, (size_t)st.st_size);
        if (r < 0)
                return r;
        while (out->len < (size_t)st.st_size) {
                ssize_t n = pread(fd, out->data + out->len, (size_t)st.st_size - out->len,
                                  (off_t)out->len);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                out->len += (size_t)n;
        }
        if (out->data)
                out->data[out->len] = '\0';
        return 0;
}

static int fold_events(struct rundir *d, struct arena *a, struct rundir_found *f) {
        CLEANUP(buf_done) struct buf text = {0};
        int r = file_load(d, f->run.id, "events", EVENTS_MAX, &text);
        if (r < 0)
                return r;

        size_t at = 0;
        f->fold.exit_status = -1;
        while (at < text.len) {
                const char *line = text.data + at;
                const char *end = memchr(line, '\n', text.len - at);
                struct event e = {0};
                if (!end)
                        break;
                r = event_read(line, (size_t)(end - line), a, &e);
                if (r != 0)
                        break;
                run_fold_event(&f->fold, &e);
                if (e.kind == EVENT_STEPPED && e.verdict != VERDICT_PASSED &&
                    e.interrupted != EVENT_INTERRUPT_RETRY) {
                        f->last_cause = e.cause;
                        f->last_cause_step = e.step;
                }
                at += (size_t)(end - line) + 1;
        }
        if (r == -ENOMEM)
                return r;
        f->events_size = at;
        return f->fold.state == RUN_UNKNOWN ? JSON_BAD : 0;
}

/*
 * Writes the end of the journal again. After a sync that failed the kernel takes pages for clean that are not on the
 * disk; who wrote them knew that, but it may have died since, and we read them like any others.
 */
static int tail_rewrite(int fd, uint64_t size) {
        char tail[EVENTS_TAIL];
        uint64_t from = size > sizeof(tail) ? size - sizeof(tail) : 0;
        ssize_t n = pread(fd, tail, sizeof(tail), (off_t)from);
        int r;

        if (n < 0)
                return -errno;
        r = write_all(fd, tail, (uint64_t)n < size - from ? (size_t)n : (size_t)(size - from),
                      from);
        return r == -ENOSPC || r == -EDQUOT ? 0 : r; /* it stays as good as it was */
}

/*
 * A line was torn, which can only be what was never synced and so never announced. And we may have been killed
 * between writing the last line and syncing it, and now offer it. A disk that cannot do this cannot be worked on.
 */
static int events_settle(struct rundir *d, const struct rundir_found *f) {
        CLEANUP(fd_close) int fd = -1;
        struct stat st;
        int r = run_file(d, f->run.id, "events", O_RDWR, &fd);

        if (r < 0)
                return r;
        if (fstat(fd, &st) < 0)
                return -errno;
        if ((uint64_t)st.st_size > f->events_size && ftruncate(fd, (off_t)f->events_size) < 0)
                return -errno;
        if (f->delivered_usec > 0)
                return 0;
        r = tail_rewrite(fd, f->events_size);
        if (r < 0)
                return r;
        return fdatasync(fd) < 0 ? -errno : 0;
}

static int found_read(struct rundir *d, struct arena *a, const char *id, struct rundir_found *f) {
        CLEANUP(buf_done) struct buf text = {0};
        CLEANUP(json_free) struct json_doc *doc = NULL;
        const char *owner = NULL, *by = NULL, *name = NULL;
        struct json_at root;
        struct stat st;
        char path[ID_MAX + 16];
        int r = file_load(d, id, "run.json", 65536, &text);
        if (r < 0)
                return r;
        r = json_parse(&doc, "run.json", buf_text(&text), text.len);
        if (r != 0)
                return r;
        root = json_root(doc);
        if (json_get_str(&root, "owner", &owner) != 0 || json_get_str(&root, "by", &by) != 0 ||
            json_get_str(&root, "name", &name) != 0 ||
            json_get_u64(&root, "seq", &f->run.seq) != 0 ||
            json_get_u64(&root, "steps", &f->run.n_steps) != 0 ||
            json_get_u64(&root, "lease", &f->run.lease) != 0 ||
            json_get_bool(&root, "heal", &f->run.heal) != 0 || !owner || !name)
                return JSON_BAD;
        f->run.id = arena_strdup(a, id);
        f->run.owner = arena_strdup(a, owner);
        f->run.by = by ? arena_strdup(a, by) : NULL;
        f->run.name = arena_strdup(a, name);
        if (!f->run.id || !f->run.owner || (by && !f->run.by) || !f->run.name)
                return -ENOMEM;
        snprintf(path, sizeof(path), "%.*s/delivered", ID_MAX, id);
        if (fstatat(d->runs_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0)
                f->delivered_usec = (uint64_t)st.st_mtim.tv_sec * USEC_PER_SEC;
        return fold_events(d, a, f);
}

static int compare_seq(const void *a, const void *b) {
        const struct rundir_found *x = a, *y = b;
        return x->run.seq < y->run.seq ? -1 : x->run.seq > y->run.seq;
}

/* What stays so however often it is read. Anything else may be a run that we accepted: who leaves that out says of it
 * that there is no such run. */
static bool is_no_run(int r) {
        return r >= 0 || r == -ENOENT || r == -ENOTDIR || r == -EISDIR || r == -ELOOP ||
               r == -EFBIG;
}

int rundir_scan(struct rundir *d, rundir_each *each,
                void (*bad)(void *userdata, const char *run, const char *why), void *userdata) {
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf found = {0};
        int fd = openat(d->runs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        int r = 0;

        if (!dir) {
                r = -errno;
                fd_close(fd);
                return r;
        }
        for (struct dirent *e; (errno = 0, e = readdir(dir));) {
                struct rundir_found f = {0};
                if (!id_valid(e->d_name))
                        continue;
                r = found_read(d, &a, e->d_name, &f);
                if (r == 0) {
                        r = events_settle(d, &f);
                        if (r < 0)
                                break;
                        buf_append(&found, &f, sizeof(f));
                }
                if (!is_no_run(r))
                        break;
                if (r != 0)
                        bad(userdata, e->d_name,
                            r < 0 ? strerror(-r) : "run.json or events makes no sense");
                r = 0;
        }
        if (r == 0)
                r = -errno;
        closedir(dir);
        if (r == 0)
                r = buf_check(&found);
        if (r < 0)
                return r;
        size_t n = found.len / sizeof(struct rundir_found);
        struct rundir_found *list = (struct rundir_found *)(void *)found.data;
        if (n > 0)
                qsort(list, n, sizeof(*list), compare_seq);
        for (size_t i = 0; i < n && r >= 0; i++)
                r = each(userdata, &list[i]);
        return r < 0 ? r : 0;
}

int rundir_append(struct rundir *d, const char *run, uint64_t offset, const struct buf *lines) {
        CLEANUP(fd_close) int fd = -1;
        struct stat st;
        int r = run_file(d, run, "events", O_WRONLY, &fd);
        if (r < 0)
                return r;
        r = write_all(fd, lines->data, lines->len, offset);
        /* What a write that failed before left behind may be longer. */
        if (r == 0 && (fstat(fd, &st) < 0 || ((uint64_t)st.st_size > offset + lines->len &&
                                              ftruncate(fd, (off_t)(offset + lines->len)) < 0)))
                r = -errno;
        if (r == 0 && fdatasync(fd) < 0)
                r = -errno;
        /* Blocks whose writing failed are given up: ext4 never makes them good, however often they are written and
         * synced again without an error. */
        if (r < 0)
                (void)!ftruncate(fd, (off_t)offset);
        return r;
}

int rundir_write(struct rundir *d, const char *run, const char *name, const struct buf *content) {
        return file_create(d, run, name, buf_text(content), content->len);
}

int rundir_sync(struct rundir *d, const char *run, const char *name) {
        CLEANUP(fd_close) int fd = -1;
        int r = run_file(d, run, name, O_RDONLY, &fd);
        if (r < 0)
                return r;
        return fdatasync(fd) < 0 ? -errno : dir_sync(d, run);
}

void rundir_write_back(struct rundir *d, const char *run, const char *name) {
        CLEANUP(fd_close) int fd = -1;
        if (run_file(d, run, name, O_RDONLY, &fd) == 0)
                sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

int rundir_trim(struct rundir *d, const char *run, const char *name) {
        CLEANUP(fd_close) int fd = -1;
        char piece[4096];
        struct stat st;
        off_t end;
        int r = run_file(d, run, name, O_RDWR, &fd);

        if (r < 0)
                return r == -ENOENT ? 0 : r;
        if (fstat(fd, &st) < 0)
                return -errno;
        end = st.st_size;
        /* No file system leaves more than some blocks so; and we do not read for long. */
        while (end > 0 && st.st_size - end < TRIM_MAX) {
                size_t want = (size_t)end < sizeof(piece) ? (size_t)end : sizeof(piece), n = want;
                ssize_t got = pread(fd, piece, want, end - (off_t)want);

                if (got < 0 && errno == EINTR)
                        continue;
                if (got != (ssize_t)want)
                        return got < 0 ? -errno : -EIO;
                while (n > 0 && piece[n - 1] == '\0')
                        n--;
                end -= (off_t)(want - n);
                if (n > 0)
                        break;
        }
        return end < st.st_size && ftruncate(fd, end) < 0 ? -errno : 0;
}

int rundir_has(struct rundir *d, const char *run, const char *name, uint64_t *ret_size) {
        char path[ID_MAX + 64];
        struct stat st;

        snprintf(path, sizeof(path), "%s/%s", run, name);
        if (fstatat(d->runs_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (ret_size)
                *ret_size = (uint64_t)st.st_size;
        return 1;
}

static int kept_open(struct rundir *d, const char *run, const char *name, int *ret_fd) {
        struct kept *oldest = &d->kept[0];

        for (size_t i = 0; i < KEPT_OPEN; i++) {
                struct kept *k = &d->kept[i];
                if (k->fd >= 0 && strcmp(k->run, run) == 0 && strcmp(k->name, name) == 0) {
                        k->used = ++d->uses;
                        *ret_fd = k->fd;
                        return 0;
                }
                if (k->used < oldest->used)
                        oldest = k;
        }
        int fd = -1;
        int r = run_file(d, run, name, O_RDONLY, &fd);
        if (r < 0)
                return r;
        fd_close(oldest->fd);
        oldest->fd = fd;
        oldest->used = ++d->uses;
        snprintf(oldest->run, sizeof(oldest->run), "%s", run);
        snprintf(oldest->name, sizeof(oldest->name), "%s", name);
        *ret_fd = fd;
        return 0;
}

ssize_t rundir_read(struct rundir *d, const char *run, const char *name, uint64_t offset,
                    void *data, size_t size) {
        size_t done = 0;
        int fd = -1;
        int r = kept_open(d, run, name, &fd);
        if (r < 0)
                return r;
        while (done < size) {
                ssize_t n = pread(fd, (char *)data + done, size - done, (off_t)(offset + done));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                done += (size_t)n;
        }
        return (ssize_t)done;
}

int rundir_lock(struct rundir *d, const char *run, const char *name, int *ret_fd) {
        CLEANUP(fd_close) int fd = -1;
        int r = run_file(d, run, name, O_RDWR | O_CREAT, &fd);
        if (r < 0)
                return r;
        r = lock_take(fd);
        if (r != 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int rundir_stream(struct rundir *d, const char *run, const char *name, int *ret_fd) {
        return run_file(d, run, name, O_RDONLY, ret_fd);
}

void rundir_rest(struct rundir *d) {
        for (size_t i = 0; i < KEPT_OPEN; i++) {
                d->kept[i].fd = fd_close(d->kept[i].fd);
                d->kept[i].used = 0;
        }
}

int rundir_plan(struct rundir *d, const char *run, struct arena *a, struct json_doc **ret_doc,
                struct plan *ret) {
        CLEANUP(buf_done) struct buf text = {0};
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root;
        int r = file_load(d, run, "plan.json", PLAN_TEXT_MAX, &text);
        if (r < 0)
                return r;
        r = json_parse(&doc, "plan.json", buf_text(&text), text.len);
        if (r != 0)
                return r;
        root = json_root(doc);
        r = plan_read(&root, a, ret);
        if (r != 0)
                return r;
        *ret_doc = TAKE(doc);
        return 0;
}

int rundir_delivered(struct rundir *d, const char *run) {
        return file_create(d, run, "delivered", "", 0);
}

int rundir_retire(struct rundir *d, const char *run) {
        char old[ID_MAX + 8];
        CLEANUP(fd_close)
        int fd = openat(d->tombs_fd, run, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (fd < 0 || fsync(fd) < 0 || fsync(d->tombs_fd) < 0)
                return -errno;
        rundir_rest(d);
        snprintf(old, sizeof(old), ".old-%s", run);
        if (renameat(d->runs_fd, run, d->runs_fd, old) < 0)
                return -errno;
        return tree_remove(d, old);
}

bool rundir_retired(struct rundir *d, const char *run) {
        struct stat st;
        return id_valid(run) && fstatat(d->tombs_fd, run, &st, AT_SYMLINK_NOFOLLOW) == 0;
}
