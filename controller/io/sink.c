#include "controller/io/sink.h"

#include "proto/base/id.h"
#include "proto/base/list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

struct sink_file {
        struct list link; /* most recently used first */
        char run[ID_MAX + 1];
        char name[ID_MAX + 1];
        int fd;
        bool dirty;
        bool named;          /* its name and its directory's are surely on the disk */
        struct sha256 *hash; /* of the first `hashed` bytes */
        uint64_t hashed;
};

struct sink {
        int dir_fd; /* …/runs */
        struct list files;
        size_t n_files;
};

static struct sink_file *file_free(struct sink_file *f) {
        if (!f)
                return NULL;
        list_remove(&f->link);
        fd_close(f->fd);
        sha256_free(f->hash);
        free(f);
        return NULL;
}
DEFINE_CLEANUP_FREE(struct sink_file, file_free)

int sink_new(struct sink **ret, const char *dir) {
        CLEANUP(sink_free) struct sink *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        list_init(&s->files);
        s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->dir_fd < 0)
                return -errno;
        *ret = TAKE(s);
        return 0;
}

struct sink *sink_free(struct sink *s) {
        if (!s)
                return NULL;
        list_foreach_safe (at, &s->files)
                file_free(list_entry(at, struct sink_file, link));
        fd_close(s->dir_fd);
        free(s);
        return NULL;
}

/* Opens, or makes with its directory. */
static int open_file(struct sink *s, const char *run, const char *name, bool create,
                     bool *ret_made) {
        CLEANUP(fd_close) int dir = -1;
        int fd;

        if (!id_valid(run) || !id_valid(name))
                return -EINVAL;
        dir = openat(s->dir_fd, run, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (dir < 0 && errno == ENOENT && create) {
                if (mkdirat(s->dir_fd, run, 0755) < 0 && errno != EEXIST)
                        return -errno;
                dir = openat(s->dir_fd, run, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        }
        if (dir < 0)
                return -errno;
        fd = openat(dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno == ENOENT && create) {
                fd = openat(dir, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
                *ret_made = true;
        }
        return fd < 0 ? -errno : fd;
}

/* Closes the least recently used one that has nothing unsynced. */
static void make_room(struct sink *s) {
        for (struct list *at = s->files.prev; s->n_files >= SINK_OPEN_MAX && at != &s->files;) {
                struct sink_file *f = list_entry(at, struct sink_file, link);

                at = at->prev;
                if (f->dirty)
                        continue;
                file_free(f);
                s->n_files--;
        }
}

/* Only a write waits for room: whoever reads adds one that is clean, and so the first to be closed. */
static int get(struct sink *s, const char *run, const char *name, bool create, bool wait,
               struct sink_file **ret) {
        CLEANUP(file_free) struct sink_file *f = NULL;

        list_foreach (at, &s->files) {
                struct sink_file *o = list_entry(at, struct sink_file, link);

                if (strcmp(o->run, run) != 0 || strcmp(o->name, name) != 0)
                        continue;
                list_remove(&o->link);
                list_append(s->files.next, &o->link);
                *ret = o;
                return 0;
        }
        make_room(s);
        if (wait && s->n_files >= SINK_OPEN_MAX)
                return SINK_FULL;
        f = calloc(1, sizeof(*f));
        if (!f)
                return -ENOMEM;
        list_init(&f->link);
        snprintf(f->run, sizeof(f->run), "%s", run);
        snprintf(f->name, sizeof(f->name), "%s", name);
        f->fd = open_file(s, run, name, create, &f->dirty);
        if (f->fd < 0)
                return f->fd;
        list_append(s->files.next, &f->link);
        s->n_files++;
        *ret = TAKE(f);
        return 0;
}

/* The hash of nothing. */
static int hash_reset(struct sink_file *f) {
        f->hash = sha256_free(f->hash);
        f->hashed = 0;
        return sha256_new(&f->hash);
}

int sink_write(struct sink *s, const char *run, const char *name, uint64_t offset, const void *data,
               size_t size) {
        struct sink_file *f;
        size_t done = 0;
        int r = get(s, run, name, true, true, &f);

        if (r != 0)
                return r;
        f->dirty = true;
        while (done < size) {
                ssize_t n = pwrite(f->fd, (const char *)data + done, size - done,
                                   (off_t)(offset + done));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                done += (size_t)n;
        }
        if (offset == 0 && !f->hash && hash_reset(f) < 0)
                return 0; /* it is computed from the file then */
        if (f->hash && f->hashed == offset) {
                if (sha256_add(f->hash, data, size) < 0)
                        f->hash = sha256_free(f->hash);
                else
                        f->hashed += size;
        }
        return 0;
}

static int sync_names(struct sink *s, const char *run) {
        CLEANUP(fd_close) int dir = openat(s->dir_fd, run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (dir < 0 || fsync(dir) < 0 || fsync(s->dir_fd) < 0)
                return -errno;
        return 0;
}

void sink_sync(struct sink *s,
               void (*synced)(void *userdata, const char *run, const char *name, int error),
               void *userdata) {
        list_foreach (at, &s->files) {
                struct sink_file *f = list_entry(at, struct sink_file, link);
                int r = 0;

                if (!f->dirty)
                        continue;
                f->dirty = false;
                if (fdatasync(f->fd) < 0)
                        r = -errno;
                /* A row may point to it soon; behind the data, so that one journal commit does for both. Also
                 * for a file that was there: whoever made it may have died before this. */
                if (r == 0 && !f->named)
                        r = sync_names(s, f->run);
                if (r == 0)
                        f->named = true;
                synced(userdata, f->run, f->name, r);
        }
}

int sink_cut(struct sink *s, const char *run, const char *name, uint64_t next, uint64_t *ret_size) {
        struct sink_file *f;
        struct stat st;
        int r = get(s, run, name, false, false, &f);

        *ret_size = 0;
        if (r == -ENOENT)
                return next > 0 ? SINK_SHORT : 0;
        if (r < 0)
                return r;
        if (fstat(f->fd, &st) < 0)
                return -errno;
        *ret_size = (uint64_t)st.st_size;
        if (*ret_size < next)
                return SINK_SHORT;
        if (*ret_size > next && ftruncate(f->fd, (off_t)next) < 0)
                return -errno;
        *ret_size = next;
        if (f->hashed > next)
                f->hash = sha256_free(f->hash);
        return 0;
}

int sink_hash(struct sink *s, const char *run, const char *name, uint64_t size, size_t budget,
              char ret[static SHA256_HEX_SIZE]) {
        static const size_t step = 256 * 1024;
        CLEANUP(mem_free) char *data = NULL;
        struct sink_file *f;
        int r = get(s, run, name, size == 0, false, &f);

        if (r < 0)
                return r;
        if (!f->hash || f->hashed > size) {
                r = hash_reset(f);
                if (r < 0)
                        return r;
        }
        while (f->hashed < size) {
                size_t want = size - f->hashed < step ? (size_t)(size - f->hashed) : step;
                ssize_t n;

                if (budget == 0)
                        return SINK_MORE;
                if (!data && !(data = malloc(step)))
                        return -ENOMEM;
                n = pread(f->fd, data, want, (off_t)f->hashed);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                r = sha256_add(f->hash, data, (size_t)n);
                if (r < 0)
                        return r;
                f->hashed += (uint64_t)n;
                budget -= (size_t)n < budget ? (size_t)n : budget;
        }
        return sha256_hex(f->hash, ret);
}

ssize_t sink_read(struct sink *s, const char *run, const char *name, uint64_t offset, void *data,
                  size_t size) {
        struct sink_file *f;
        ssize_t n;
        int r = get(s, run, name, false, false, &f);

        if (r < 0)
                return r;
        do
                n = pread(f->fd, data, size, (off_t)offset);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : n;
}

int sink_open(struct sink *s, const char *run, const char *name) {
        CLEANUP(fd_close) int dir = -1;
        int fd;

        if (!id_valid(run) || !id_valid(name))
                return -EINVAL;
        dir = openat(s->dir_fd, run, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (dir < 0)
                return -errno;
        fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 ? -errno : fd;
}

void sink_forget(struct sink *s, const char *run) {
        list_foreach_safe (at, &s->files) {
                struct sink_file *f = list_entry(at, struct sink_file, link);

                if (strcmp(f->run, run) == 0 && !f->dirty) {
                        file_free(f);
                        s->n_files--;
                }
        }
}

int sink_free_bytes(struct sink *s, uint64_t *ret) {
        struct statvfs st;

        if (fstatvfs(s->dir_fd, &st) < 0)
                return -errno;
        *ret = (uint64_t)st.f_bavail * st.f_frsize;
        return 0;
}
