#include "controller/io/statedir.h"

#include "proto/base/buf.h"
#include "proto/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int statedir_make_parents(const char *path, unsigned mode) {
        CLEANUP(mem_free) char *copy = strdup(path);

        if (!copy)
                return -ENOMEM;
        for (char *at = strchr(copy + 1, '/'); at; at = strchr(at + 1, '/')) {
                *at = '\0';
                if (mkdir(copy, mode) < 0 && errno != EEXIST)
                        return -errno;
                *at = '/';
        }
        return 0;
}

int statedir_open(const char *path, int *ret_fd) {
        CLEANUP(buf_done) struct buf name = {0};
        CLEANUP(fd_close) int fd = -1;
        char text[32];
        int r, n;

        buf_printf(&name, "%s/runs/", path);
        if (buf_check(&name) < 0)
                return -ENOMEM;
        r = statedir_make_parents(name.data, 0700);
        if (r < 0)
                return r;
        buf_clear(&name);
        buf_printf(&name, "%s/lock", path);
        if (buf_check(&name) < 0)
                return -ENOMEM;
        fd = open(name.data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return errno == EWOULDBLOCK ? STATEDIR_TAKEN : -errno;
        /* for people only: the lock is what counts */
        n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
        if (ftruncate(fd, 0) < 0 || write(fd, text, (size_t)n) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}
