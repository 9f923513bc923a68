#include "target/step/tail.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int tail_open(struct tail *t, const char *path, uint64_t room) {
        CLEANUP(fd_close)
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
        int r;

        if (fd < 0)
                return -errno;
        r = posix_fallocate(fd, 0, (off_t)room);
        if (r != 0)
                return -r;
        *t = (struct tail){.fd = TAKE_FD(fd), .room = room};
        return 0;
}

/* As much as lies in one piece at @at of the ring. */
static size_t piece(const struct tail *t, uint64_t at, size_t size) {
        uint64_t left = t->room - at % t->room;

        return left < size ? (size_t)left : size;
}

ssize_t tail_put(struct tail *t, const void *data, size_t size) {
        ssize_t n;

        do
                n = pwrite(t->fd, data, piece(t, t->put, size), (off_t)(t->put % t->room));
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return n < 0 ? -errno : -EIO;
        t->put += (uint64_t)n;
        return n;
}

uint64_t tail_dropped(const struct tail *t) {
        return t->put > t->room ? t->put - t->room : 0;
}

/* A file system that cannot do this needs the space twice, which is no error. */
static void give_back(struct tail *t) {
        while (t->freed < t->taken) {
                size_t n = piece(t, t->freed, (size_t)(t->taken - t->freed));

                (void)fallocate(t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                (off_t)(t->freed % t->room), (off_t)n);
                t->freed += n;
        }
}

ssize_t tail_take(struct tail *t, void *data, size_t size) {
        ssize_t n;

        if (t->taken < tail_dropped(t))
                t->freed = t->taken = tail_dropped(t);
        give_back(t);
        if (t->put - t->taken < size)
                size = (size_t)(t->put - t->taken);
        if (size == 0)
                return 0;
        do
                n = pread(t->fd, data, piece(t, t->taken, size), (off_t)(t->taken % t->room));
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return n < 0 ? -errno : -EIO;
        t->taken += (uint64_t)n;
        return n;
}

void tail_done(struct tail *t) {
        t->fd = fd_close(t->fd);
}
