#include "target/step/record.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
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
                r->last = (char)r->buffer[n - 1];
        }
}

int record_open(struct record *r, const char *path) {
        int k;

        *r = (struct record){.fd = -1, .room = UINT64_MAX, .tail.fd = -1};
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

void record_bound(struct record *r, uint64_t bytes, const char *tail_path) {
        r->tail_path = tail_path;
        r->tail_room = 0;
        r->room = bytes ? bytes : UINT64_MAX;
        if (!bytes || !tail_path)
                return;
        r->tail_room = bytes / 2 < RECORD_TAIL_MAX ? bytes / 2 : RECORD_TAIL_MAX;
        r->room = bytes - r->tail_room;
}

/* Appends to the file. Bytes written, or as the functions of record.h. */
static ssize_t append(struct record *r, const void *data, size_t size) {
        ssize_t n;
        int k;

        do
                n = write(r->fd, data, size);
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return n < 0 ? -errno : -EIO;
        k = sha256_add(r->sha, data, (size_t)n);
        if (k < 0)
                return k;
        r->size += (uint64_t)n;
        r->last = ((const char *)data)[n - 1];
        return n;
}

static int full_or(ssize_t error) {
        return error == -ENOSPC || error == -EDQUOT ? RECORD_FULL : (int)error;
}

static ssize_t put_aside(struct record *r) {
        if (r->tail.fd < 0) {
                int k = tail_open(&r->tail, r->tail_path, r->tail_room);
                if (k < 0)
                        return k;
        }
        return tail_put(&r->tail, r->buffer + r->at, r->end - r->at);
}

int record_push(struct record *r) {
        while (r->mark_at < r->mark_end) {
                ssize_t n = append(r, r->mark + r->mark_at, r->mark_end - r->mark_at);
                if (n < 0)
                        return full_or(n);
                r->mark_at += (size_t)n;
        }
        while (r->at < r->end) {
                ssize_t n = r->tailing && !r->settling
                                    ? put_aside(r)
                                    : append(r, r->buffer + r->at, r->end - r->at);
                if (n < 0)
                        return full_or(n);
                r->at += (size_t)n;
        }
        r->at = r->end = 0;
        return 0;
}

/* A pty gives at most 4 KiB at a time: several reads make one write. None of them waits. */
static size_t take_in(struct record *r, int from, size_t want) {
        while (r->end < want) {
                ssize_t n = read(from, r->buffer + r->end, want - r->end);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                r->end += (size_t)n;
        }
        return r->end;
}

static void begin_tail(struct record *r) {
        r->tailing = true;
        r->mark_at = 0;
        r->mark_end = (size_t)snprintf(
                r->mark, sizeof(r->mark),
                "%s[rota: the output goes on beyond its disk budget; at most its last %ju "
                "bytes follow at its end]\n",
                r->size > 0 && r->last != '\n' ? "\n" : "", (uintmax_t)r->tail_room);
}

static void begin_settling(struct record *r) {
        r->settling = true;
        r->dropped += tail_dropped(&r->tail);
        r->mark_at = 0;
        r->mark_end =
                (size_t)snprintf(r->mark, sizeof(r->mark), "[rota: %ju bytes are left out here]\n",
                                 (uintmax_t)r->dropped);
}

int record_pull(struct record *r, int from) {
        uint64_t room = r->room > r->size ? r->room - r->size : 0;
        size_t want = RECORD_CHUNK;

        if (!r->tailing && !r->tail_room && room == 0) {
                struct pollfd more = {.fd = from, .events = POLLIN};

                return poll(&more, 1, 0) > 0 && more.revents & POLLIN ? RECORD_HELD : RECORD_DRY;
        }
        if (!r->tailing && room > 0 && room < want)
                want = (size_t)room;
        if (take_in(r, from, want) == 0)
                return RECORD_DRY;
        if (!r->tailing && room == 0)
                begin_tail(r);
        return record_push(r);
}

int record_drop(struct record *r, int from) {
        size_t n = take_in(r, from, RECORD_CHUNK);

        r->at = r->end = 0;
        r->dropped += n;
        return n == 0 ? RECORD_DRY : 0;
}

int record_settle(struct record *r) {
        int k = record_push(r);

        if (k != 0 || !r->tailing)
                return k;
        if (!r->settling)
                begin_settling(r);
        for (;;) {
                ssize_t n;

                k = record_push(r);
                if (k != 0)
                        return k;
                n = tail_take(&r->tail, r->buffer, RECORD_CHUNK);
                if (n < 0)
                        return (int)n;
                if (n == 0)
                        break;
                r->end = (size_t)n;
        }
        tail_done(&r->tail);
        (void)unlink(r->tail_path);
        r->tailing = false;
        return 0;
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
        tail_done(&r->tail);
        r->sha = sha256_free(r->sha);
        r->buffer = mem_free(r->buffer);
}
