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

/* Members of a note that is there. Returns 0, JSON_ABSENT or JSON_BAD. */
static int read_note(const struct json_at *root, const char *key, struct json_at *ret_at,
                     struct standing_note *n) {
        const char *who = NULL, *by = NULL, *reason = NULL;
        int r = json_get(root, key, ret_at);

        if (r != 0)
                return r;
        r = json_get_str(ret_at, "who", &who);
        if (r == 0)
                r = json_get_str(ret_at, "by", &by);
        if (r == 0)
                r = json_get_str(ret_at, "reason", &reason);
        if (r == 0)
                r = json_get_u64(ret_at, "since", &n->since_usec);
        if (r != 0)
                return r;
        n->on = true;
        copy(n->who, sizeof(n->who), who);
        copy(n->by, sizeof(n->by), by);
        copy(n->reason, sizeof(n->reason), reason);
        return 0;
}

static int read_rest(const struct json_at *root, struct standing *s) {
        const char *boot = NULL;
        struct json_at at;
        int r = read_note(root, "quarantine", &at, &s->quarantine);

        if (r == JSON_BAD)
                return r;
        r = read_note(root, "away", &at, &s->away);
        if (r == 0)
                r = json_get_u64(&at, "until", &s->away_until_usec);
        if (r == 0)
                r = json_get_str(&at, "boot", &boot);
        if (r == JSON_BAD)
                return r;
        copy(s->away_boot, sizeof(s->away_boot), boot);
        return json_get_u64(root, "not_run", &s->not_run);
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
        if (r == 0)
                r = read_rest(&root, &s);
        if (r != 0)
                return r < 0 ? r : -EUCLEAN;
        copy(s.boot, sizeof(s.boot), boot);
        *ret = s;
        return 0;
}

static void put_note(struct json_writer *w, const struct standing_note *n) {
        json_put_str(w, "who", n->who);
        json_put_str(w, "by", n->by);
        json_put_str(w, "reason", n->reason);
        json_put_u64(w, "since", n->since_usec);
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
        if (s->quarantine.on) {
                json_begin_object(&w, "quarantine");
                put_note(&w, &s->quarantine);
                json_end_object(&w);
        }
        if (s->away.on) {
                json_begin_object(&w, "away");
                put_note(&w, &s->away);
                json_put_u64(&w, "until", s->away_until_usec);
                json_put_str(&w, "boot", s->away_boot);
                json_end_object(&w);
        }
        json_put_u64(&w, "not_run", s->not_run);
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
