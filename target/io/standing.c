#include "target/io/standing.h"

#include "proto/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NAME "standing.json"

static void copy(char *ret, size_t size, const char *text) {
        snprintf(ret, size, "%s", text ? text : "");
}

static int read_lease(const struct json_at *root, struct standing *s) {
        const char *id = NULL, *holder = NULL, *by = NULL, *reason = NULL;
        struct lease_record *l = &s->lease;
        struct json_at at;
        int r = json_get(root, "lease", &at);

        if (r == 0)
                r = json_get_u64(&at, "token", &l->token);
        if (r == 0)
                r = json_get_u64(&at, "change", &l->change);
        if (r == 0)
                r = json_get_str(&at, "id", &id);
        if (r != 0 || !id)
                return r;
        r = json_get_str(&at, "holder", &holder);
        if (r == 0)
                r = json_get_str(&at, "by", &by);
        if (r == 0)
                r = json_get_str(&at, "reason", &reason);
        if (r == 0)
                r = json_get_u64(&at, "since", &l->since_usec);
        if (r == 0)
                r = json_get_u64(&at, "until", &l->until_usec);
        if (r == 0)
                r = json_get_u64(&at, "length", &l->length_usec);
        if (r == 0)
                r = json_get_u64(&at, "ends", &s->lease_ends_usec);
        if (r != 0 || !id_valid(id) || !holder)
                return JSON_BAD;
        copy(l->id, sizeof(l->id), id);
        copy(l->holder, sizeof(l->holder), holder);
        copy(l->by, sizeof(l->by), by);
        copy(l->reason, sizeof(l->reason), reason);
        return 0;
}

int standing_read(const char *state_dir, struct standing *ret) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(buf_done) struct buf path = {0};
        struct standing s = {0};
        const char *boot = NULL;
        struct json_at root;
        int r = buf_printf(&path, "%s/" NAME, state_dir);

        if (r == 0)
                r = json_parse_file(&doc, buf_text(&path));
        if (r == -ENOENT) {
                *ret = s;
                return 0;
        }
        if (r == 0) {
                root = json_root(doc);
                r = json_get_str(&root, "boot", &boot);
        }
        if (r == 0)
                r = read_lease(&root, &s);
        if (r != 0)
                return r < 0 ? r : -EUCLEAN;
        copy(s.boot, sizeof(s.boot), boot);
        *ret = s;
        return 0;
}

static int put(const struct standing *s, struct buf *out) {
        const struct lease_record *l = &s->lease;
        struct json_writer w;

        json_writer_init(&w, out);
        json_begin_object(&w, NULL);
        json_put_str(&w, "boot", s->boot);
        json_begin_object(&w, "lease");
        json_put_u64(&w, "token", l->token);
        json_put_u64(&w, "change", l->change);
        if (l->id[0]) {
                json_put_str(&w, "id", l->id);
                json_put_str(&w, "holder", l->holder);
                json_put_str(&w, "by", l->by);
                json_put_str(&w, "reason", l->reason);
                json_put_u64(&w, "since", l->since_usec);
                json_put_u64(&w, "until", l->until_usec);
                json_put_u64(&w, "length", l->length_usec);
                json_put_u64(&w, "ends", s->lease_ends_usec);
        }
        json_end_object(&w);
        json_end_object(&w);
        return buf_putc(out, '\n');
}

static int write_file(int dir_fd, const struct buf *text) {
        CLEANUP(fd_close)
        int fd = openat(dir_fd, NAME ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                        0640);
        size_t done = 0;

        if (fd < 0)
                return -errno;
        while (done < text->len) {
                ssize_t n = write(fd, text->data + done, text->len - done);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                done += (size_t)n;
        }
        return fsync(fd) < 0 ? -errno : 0;
}

int standing_write(const char *state_dir, const struct standing *s) {
        CLEANUP(buf_done) struct buf text = {0};
        CLEANUP(fd_close) int dir_fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (dir_fd < 0)
                return -errno;
        r = put(s, &text);
        if (r == 0)
                r = write_file(dir_fd, &text);
        if (r < 0)
                return r;
        if (renameat(dir_fd, NAME ".new", dir_fd, NAME) < 0 || fsync(dir_fd) < 0)
                return -errno;
        return 0;
}
