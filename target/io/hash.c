#include "target/io/hash.h"

#include "proto/digest.h"

#include <errno.h>
#include <unistd.h>

#define SLICE (1u << 20)
#define PIECE 65536

struct hash {
        sd_event_source *source;
        struct sha256 *sha;
        int fd;
        uint64_t size;
        hash_done *done;
        void *userdata;
        uint8_t piece[PIECE];
};

/* 1 when there is more, 0 at the end, -errno. */
static int slice(struct hash *h) {
        for (uint64_t until = h->size + SLICE; h->size < until;) {
                ssize_t n = pread(h->fd, h->piece, sizeof(h->piece), (off_t)h->size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        return 0;
                int r = sha256_add(h->sha, h->piece, (size_t)n);
                if (r < 0)
                        return r;
                h->size += (uint64_t)n;
        }
        return 1;
}

static int on_turn(sd_event_source *s, void *userdata) {
        struct hash *h = userdata;
        char hex[SHA256_HEX_SIZE] = "";
        int r = slice(h);

        if (r > 0)
                return sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        /* what is said of it must still be so after a power cut */
        if (r == 0 && fdatasync(h->fd) < 0)
                r = -errno;
        if (r == 0)
                r = sha256_hex(h->sha, hex);
        h->done(h->userdata, r, h->size, hex);
        return 0;
}

int hash_new(struct hash **ret, sd_event *event, int take_fd, hash_done *done, void *userdata) {
        CLEANUP(fd_close) int fd = take_fd;
        CLEANUP(hash_free) struct hash *h = calloc(1, sizeof(*h));
        int r;

        if (!h)
                return -ENOMEM;
        h->fd = TAKE_FD(fd);
        h->done = done;
        h->userdata = userdata;
        r = sha256_new(&h->sha);
        if (r < 0)
                return r;
        r = sd_event_add_defer(event, &h->source, on_turn, h);
        if (r < 0)
                return r;
        r = sd_event_source_set_priority(h->source, SD_EVENT_PRIORITY_IDLE);
        if (r < 0)
                return r;
        *ret = TAKE(h);
        return 0;
}

struct hash *hash_free(struct hash *h) {
        if (!h)
                return NULL;
        sd_event_source_disable_unref(h->source);
        sha256_free(h->sha);
        fd_close(h->fd);
        free(h);
        return NULL;
}
