#include "target/io/audit.h"

#include "proto/base/clock.h"
#include "proto/digest.h"
#include "proto/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (8u << 20)

struct audit {
        int dir_fd;
        int fd;
        uint64_t size; /* durable */
        uint64_t seq;
        uint64_t number;
        bool ragged;                /* something may stand behind what is durable */
        char prev[SHA256_HEX_SIZE]; /* of the last line; empty before the first */
};

static int hash_line(const char *line, size_t len, char ret[static SHA256_HEX_SIZE]) {
        CLEANUP(sha256_free) struct sha256 *s = NULL;
        int r = sha256_new(&s);

        if (r == 0)
                r = sha256_add(s, line, len);
        return r == 0 ? sha256_hex(s, ret) : r;
}

/* Returns 0, JSON_BAD or -errno. */
static int take_line(struct audit *a, const char *line, size_t len) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root;
        uint64_t seq = 0, number = 0;
        int r = json_parse(&doc, "audit", line, len);

        if (r != 0)
                return r;
        root = json_root(doc);
        if (json_get_u64(&root, "seq", &seq) != 0 || json_get_u64(&root, "number", &number) != 0)
                return JSON_BAD;
        a->seq = seq;
        if (number > a->number)
                a->number = number;
        return hash_line(line, len, a->prev);
}

static int load(int fd, struct buf *out) {
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (st.st_size > 2 * (off_t)FILE_MAX)
                return -EFBIG;
        r = buf_reserve(out, (size_t)st.st_size + 1);
        while (r == 0) {
                char part[65536];
                ssize_t n = pread(fd, part, sizeof(part), (off_t)out->len);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : 0;
                r = buf_append(out, part, (size_t)n);
        }
        return r;
}

/* The whole lines of @fd; *ret_size is how long they are, and whether more follows. */
static int take_lines(struct audit *a, int fd, uint64_t *ret_size, bool *ret_torn) {
        CLEANUP(buf_done) struct buf text = {0};
        size_t at = 0;
        int r = load(fd, &text);

        while (r == 0 && at < text.len) {
                const char *line = text.data + at;
                const char *end = memchr(line, '\n', text.len - at);

                if (!end)
                        break;
                r = take_line(a, line, (size_t)(end - line));
                if (r == JSON_BAD) /* the next line will say of which one it is the successor */
                        r = hash_line(line, (size_t)(end - line), a->prev);
                at = (size_t)(end - text.data) + 1;
        }
        if (r < 0)
                return r;
        *ret_size = at;
        *ret_torn = at < text.len;
        return 0;
}

/* The chain began in the file before: how it went on is in there when this one is new. */
static int restore_before(struct audit *a) {
        CLEANUP(fd_close) int fd = openat(a->dir_fd, "audit.1", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        uint64_t size;
        bool torn = false;

        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        return take_lines(a, fd, &size, &torn);
}

/* What was cut off in the middle was never told to anybody. */
static int restore(struct audit *a) {
        bool torn = false;
        int r = restore_before(a);

        if (r == 0)
                r = take_lines(a, a->fd, &a->size, &torn);
        if (r < 0)
                return r;
        if (torn && ftruncate(a->fd, (off_t)a->size) < 0)
                return -errno;
        return fdatasync(a->fd) < 0 ? -errno : 0;
}

static int open_file(struct audit *a) {
        fd_close(a->fd);
        a->size = 0;
        a->ragged = false;
        a->fd = openat(a->dir_fd, "audit", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
        if (a->fd < 0)
                return -errno;
        return fsync(a->dir_fd) < 0 ? -errno : 0;
}

int audit_open(struct audit **ret, const char *state_dir) {
        CLEANUP(audit_free) struct audit *a = calloc(1, sizeof(*a));
        int r;

        if (!a)
                return -ENOMEM;
        a->fd = -1;
        a->dir_fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (a->dir_fd < 0)
                return -errno;
        r = open_file(a);
        if (r == 0)
                r = restore(a);
        if (r < 0)
                return r;
        *ret = TAKE(a);
        return 0;
}

struct audit *audit_free(struct audit *a) {
        if (!a)
                return NULL;
        fd_close(a->fd);
        fd_close(a->dir_fd);
        free(a);
        return NULL;
}

static int write_line(const struct audit *a, const struct audit_entry *e, struct buf *out) {
        struct json_writer w;

        json_writer_init(&w, out);
        json_begin_object(&w, NULL);
        json_put_u64(&w, "seq", a->seq + 1);
        json_put_u64(&w, "t", clock_realtime_usec());
        json_put_str(&w, "what", e->what);
        if (e->who)
                json_put_str(&w, "who", e->who);
        if (e->by)
                json_put_str(&w, "by", e->by);
        if (e->about)
                json_put_str(&w, "about", e->about);
        if (e->text)
                json_put_str(&w, "text", e->text);
        if (e->number > 0)
                json_put_u64(&w, "number", e->number);
        json_put_str(&w, "prev", a->prev);
        json_end_object(&w);
        return buf_putc(out, '\n');
}

/* Always at the end of what is durable, so that a failed write leaves nothing behind. */
static int append(struct audit *a, const struct buf *line) {
        size_t done = 0;

        /* a longer line that failed would look out behind this one */
        if (a->ragged && ftruncate(a->fd, (off_t)a->size) < 0)
                return -errno;
        a->ragged = true;
        while (done < line->len) {
                ssize_t n =
                        pwrite(a->fd, line->data + done, line->len - done, (off_t)(a->size + done));

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                done += (size_t)n;
        }
        if (fdatasync(a->fd) < 0)
                return -errno;
        a->ragged = false;
        return 0;
}

int audit_add(struct audit *a, const struct audit_entry *e) {
        CLEANUP(buf_done) struct buf line = {0};
        char hash[SHA256_HEX_SIZE];
        int r = 0;

        if (a->size >= FILE_MAX) {
                if (renameat(a->dir_fd, "audit", a->dir_fd, "audit.1") < 0)
                        return -errno;
                r = open_file(a);
        } else if (a->fd < 0) {
                r = open_file(a);
        }
        if (r == 0)
                r = write_line(a, e, &line);
        if (r == 0)
                r = hash_line(line.data, line.len - 1, hash);
        if (r == 0)
                r = append(a, &line);
        if (r < 0)
                return r;
        a->size += line.len;
        a->seq++;
        if (e->number > a->number)
                a->number = e->number;
        memcpy(a->prev, hash, sizeof(hash));
        return 0;
}

uint64_t audit_number(const struct audit *a) {
        return a->number;
}
