#include "target/step/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int hash_what_is_there(struct record *r) {
        for (;;) {
                ssize_t n = read(r->fd, r->buffer, RECORD_CHUNK);
                int k;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return 0;
                k = sha256_add(r->sha, r->buffer, (size_t)n);
                if (k < 0)
                        return k;
                r->size += (uint64_t)n;
        }
}

int record_open(struct record *r, const char *path) {
        int k;

        *r = (struct record){.fd = -1};
        r->buffer = malloc(RECORD_CHUNK);
        if (!r->buffer)
                return -ENOMEM;
        k = sha256_new(&r->sha);
        if (k < 0)
                return k;
        r->fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (r->fd < 0)
                return -errno;
        return hash_what_is_there(r);
}

int record_push(struct record *r) {
        while (r->at < r->end) {
                ssize_t n = write(r->fd, r->buffer + r->at, r->end - r->at);
                int k;

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && (errno == ENOSPC || errno == EDQUOT))
                        return RECORD_FULL;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return -EIO;
                k = sha256_add(r->sha, r->buffer + r->at, (size_t)n);
                if (k < 0)
                        return k;
                r->size += (uint64_t)n;
                r->at += (size_t)n;
        }
        r->at = r->end = 0;
        return 0;
}

int record_pull(struct record *r, int from) {
        /* A pty gives at most 4 KiB at a time: several reads make one write. None of them waits. */
        while (r->end < RECORD_CHUNK) {
                ssize_t n = read(from, r->buffer + r->end, RECORD_CHUNK - r->end);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                r->end += (size_t)n;
        }
        if (r->end == 0)
                return RECORD_DRY;
        return record_push(r);
}

int record_finish(struct record *r, char ret_hex[static SHA256_HEX_SIZE]) {
        int k;

        k = sha256_hex(r->sha, ret_hex);
        if (k < 0)
                return k;
        return fsync(r->fd) < 0 ? -errno : 0;
}

void record_done(struct record *r) {
        r->fd = fd_close(r->fd);
        r->sha = sha256_free(r->sha);
        r->buffer = mem_free(r->buffer);
}
