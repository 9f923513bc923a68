#include "tests/sim/disk.h"

#include "tests/sim/calls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p) {
        if (!p)
                abort();
        return p;
}

static struct node *node_new(struct disk *d, bool is_dir, unsigned mode) {
        struct node *n = must(calloc(1, sizeof(*n)));

        n->disk = d;
        n->is_dir = is_dir;
        n->mode = mode;
        n->number = ++d->numbers;
        n->mtime_usec = d->realtime ? d->realtime(d->owner) : 0;
        return n;
}

struct disk *disk_new(uint64_t seed, bool journal) {
        struct disk *d = must(calloc(1, sizeof(*d)));

        d->rng.state = seed;
        d->journal = journal;
        d->root = node_new(d, true, 0755);
        d->root->names = 1;
        return d;
}

/* ---- directories ---- */

static size_t slot(const struct dir *dir, const char *name) {
        for (size_t i = 0; i < dir->n; i++)
                if (strcmp(dir->entries[i].name, name) == 0)
                        return i;
        return SIZE_MAX;
}

static void put(struct dir *dir, const char *name, struct node *node) {
        size_t i = slot(dir, name);

        if (i == SIZE_MAX) {
                if (dir->n == dir->cap) {
                        dir->cap = dir->cap ? dir->cap * 2 : 8;
                        dir->entries = must(realloc(dir->entries, dir->cap * sizeof(struct entry)));
                }
                i = dir->n++;
                snprintf(dir->entries[i].name, sizeof(dir->entries[i].name), "%s", name);
        }
        dir->entries[i].node = node;
}

static void drop(struct dir *dir, const char *name) {
        size_t i = slot(dir, name);

        if (i == SIZE_MAX)
                return;
        memmove(dir->entries + i, dir->entries + i + 1, (dir->n - i - 1) * sizeof(struct entry));
        dir->n--;
}

static void apply(struct dir *dir, const struct change *c) {
        switch (c->kind) {
        case CHANGE_ADD:
                put(dir, c->name, c->node);
                break;
        case CHANGE_REMOVE:
                drop(dir, c->name);
                break;
        case CHANGE_RENAME:
                drop(dir, c->name);
                put(dir, c->to, c->node);
                break;
        }
}

static void change(struct node *dir, enum change_kind kind, const char *name, const char *to,
                   struct node *node) {
        struct change c = {.kind = kind, .node = node};

        snprintf(c.name, sizeof(c.name), "%s", name);
        snprintf(c.to, sizeof(c.to), "%s", to ? to : "");
        if (dir->n_changes == dir->cap_changes) {
                dir->cap_changes = dir->cap_changes ? dir->cap_changes * 2 : 8;
                dir->changes = must(realloc(dir->changes, dir->cap_changes * sizeof(c)));
        }
        dir->changes[dir->n_changes++] = c;
        apply(&dir->now, &c);
        dir->mtime_usec = dir->disk->realtime ? dir->disk->realtime(dir->disk->owner) : 0;
}

struct node *dir_find(const struct node *dir, const char *name) {
        size_t i = slot(&dir->now, name);

        return i == SIZE_MAX ? NULL : dir->now.entries[i].node;
}

struct node *dir_make(struct node *dir, const char *name, bool is_dir, unsigned mode) {
        struct node *n = node_new(dir->disk, is_dir, mode);

        n->names = 1;
        n->parent = is_dir ? dir : NULL;
        change(dir, CHANGE_ADD, name, NULL, n);
        calls_stir(dir, name, STIR_CREATE);
        return n;
}

int dir_remove(struct node *dir, const char *name, bool is_dir) {
        struct node *n = dir_find(dir, name);

        if (!n)
                return -ENOENT;
        if (n->is_dir != is_dir)
                return is_dir ? -ENOTDIR : -EISDIR;
        if (is_dir && n->now.n > 0)
                return -ENOTEMPTY;
        change(dir, CHANGE_REMOVE, name, NULL, n);
        n->names--;
        calls_stir(dir, name, STIR_DELETE);
        return 0;
}

int dir_rename(struct node *from, const char *name, struct node *to, const char *to_name) {
        struct node *n = dir_find(from, name), *old = dir_find(to, to_name);

        if (!n)
                return -ENOENT;
        if (old == n)
                return 0;
        if (old && old->is_dir != n->is_dir)
                return old->is_dir ? -EISDIR : -ENOTDIR;
        if (old && old->is_dir && old->now.n > 0)
                return -ENOTEMPTY;
        if (old)
                old->names--;
        if (from == to) {
                change(from, CHANGE_RENAME, name, to_name, n);
        } else {
                change(to, CHANGE_ADD, to_name, NULL, n);
                change(from, CHANGE_REMOVE, name, NULL, n);
                if (n->is_dir)
                        n->parent = to;
        }
        calls_stir(to, to_name, STIR_MOVED);
        return 0;
}

static void dir_keep(struct node *dir, size_t n_changes) {
        for (size_t i = 0; i < n_changes; i++)
                apply(&dir->kept, &dir->changes[i]);
        memmove(dir->changes, dir->changes + n_changes,
                (dir->n_changes - n_changes) * sizeof(struct change));
        dir->n_changes -= n_changes;
}

struct node *disk_parent(struct disk *d, struct node *at, const char *path,
                         char ret_name[static 96]) {
        struct node *dir = *path == '/' || !at ? d->root : at;

        for (;;) {
                size_t len;

                path += strspn(path, "/");
                len = strcspn(path, "/");
                if (len == 0 || len >= 96) {
                        ret_name[0] = '\0';
                        return len == 0 ? dir : NULL;
                }
                memcpy(ret_name, path, len);
                ret_name[len] = '\0';
                path += len;
                if (path[strspn(path, "/")] == '\0')
                        return dir;
                if (strcmp(ret_name, ".") == 0)
                        continue;
                dir = dir_find(dir, ret_name);
                if (!dir || !dir->is_dir)
                        return NULL;
        }
}

struct node *disk_find(struct disk *d, struct node *at, const char *path) {
        char name[96];
        struct node *dir = disk_parent(d, at, path, name);

        if (!dir)
                return NULL;
        return name[0] == '\0' || strcmp(name, ".") == 0 ? dir : dir_find(dir, name);
}

/* ---- files ---- */

static size_t pages(size_t size) {
        return (size + PAGE - 1) / PAGE;
}

static void room(struct node *f, size_t size) {
        size_t cap = f->cap ? f->cap : PAGE;

        if (size <= f->cap)
                return;
        while (cap < size)
                cap *= 2;
        f->data = must(realloc(f->data, cap));
        memset(f->data + f->cap, 0, cap - f->cap);
        f->dirty = must(realloc(f->dirty, pages(cap)));
        memset(f->dirty + pages(f->cap), 0, pages(cap) - pages(f->cap));
        f->cap = cap;
}

static void mark(struct node *f, size_t from, size_t to) {
        for (size_t p = from / PAGE; p * PAGE < to; p++) {
                f->n_dirty += !f->dirty[p];
                f->dirty[p] = 1;
        }
        f->touched = true;
}

ssize_t file_write(struct node *f, const void *data, size_t size, uint64_t at) {
        struct disk *d = f->disk;

        if (d->full && at + size > f->size) {
                if (at >= f->size)
                        return -ENOSPC;
                size = f->size - (size_t)at; /* what is there already can be overwritten */
        }
        if (size == 0)
                return 0;
        room(f, (size_t)at + size);
        if (at > f->size) {
                memset(f->data + f->size, 0, (size_t)at - f->size);
                mark(f, f->size, (size_t)at);
        }
        memcpy(f->data + at, data, size);
        mark(f, (size_t)at, (size_t)at + size);
        if (at + size > f->size) {
                d->used += at + size - f->size;
                f->size = (size_t)at + size;
        }
        f->mtime_usec = d->realtime ? d->realtime(d->owner) : 0;
        return (ssize_t)size;
}

ssize_t file_read(const struct node *f, void *data, size_t size, uint64_t at) {
        if (at >= f->size)
                return 0;
        if (size > f->size - at)
                size = f->size - (size_t)at;
        memcpy(data, f->data + at, size);
        return (ssize_t)size;
}

int file_cut(struct node *f, uint64_t size) {
        if (size > f->size) {
                if (f->disk->full)
                        return -ENOSPC;
                room(f, (size_t)size);
                mark(f, f->size, (size_t)size);
        } else {
                memset(f->data + size, 0, f->size - (size_t)size);
        }
        f->size = (size_t)size;
        f->touched = true;
        return 0;
}

static void safe_room(struct node *f, size_t size) {
        if (size <= f->safe_cap)
                return;
        f->safe = must(realloc(f->safe, size + size / 2 + PAGE));
        memset(f->safe + f->safe_cap, 0, size + size / 2 + PAGE - f->safe_cap);
        f->safe_cap = size + size / 2 + PAGE;
}

/* One page becomes durable, as far as it lies below @size. */
static void page_keep(struct node *f, size_t p, size_t size) {
        size_t from = p * PAGE, to = from + PAGE < size ? from + PAGE : size;

        if (from >= size)
                return;
        memcpy(f->safe + from, f->data + from, to - from);
}

static void file_keep(struct node *f) {
        safe_room(f, f->size);
        for (size_t p = 0; f->n_dirty > 0 && p < pages(f->cap); p++) {
                if (!f->dirty[p])
                        continue;
                page_keep(f, p, f->size);
                f->dirty[p] = 0;
                f->n_dirty--;
        }
        if (f->size < f->safe_size)
                memset(f->safe + f->size, 0, f->safe_size - f->size);
        f->safe_size = f->size;
        f->touched = false;
}

/* As after a failed write-back: clean, and not durable. */
static void file_forget(struct node *f) {
        if (f->dirty)
                memset(f->dirty, 0, pages(f->cap));
        f->n_dirty = 0;
        f->doubtful = true;
}

static void names_keep(struct node *dir) {
        dir_keep(dir, dir->n_changes);
        for (size_t i = 0; i < dir->now.n; i++)
                if (dir->now.entries[i].node->is_dir)
                        names_keep(dir->now.entries[i].node);
}

int node_sync(struct node *n) {
        struct disk *d = n->disk;

        if (d->error_permille && rng_chance(&d->rng, d->error_permille)) {
                if (!n->is_dir)
                        file_forget(n);
                return -EIO;
        }
        if (n->is_dir)
                dir_keep(n, n->n_changes);
        else
                file_keep(n);
        if (d->journal)
                names_keep(d->root);
        return 0;
}

uint64_t file_safe_size(const struct node *f) {
        uint64_t safe = f->safe_size < f->size ? f->safe_size : f->size;

        for (size_t p = 0; (f->doubtful || f->n_dirty > 0) && p * PAGE < safe; p++) {
                size_t n = safe - p * PAGE < PAGE ? (size_t)safe - p * PAGE : PAGE;

                if ((f->doubtful || f->dirty[p]) &&
                    memcmp(f->data + p * PAGE, f->safe + p * PAGE, n) != 0)
                        return p * PAGE;
        }
        return safe;
}

static const struct node *find_kept(const struct node *dir, const struct node *n) {
        for (size_t i = 0; i < dir->kept.n; i++) {
                const struct node *c = dir->kept.entries[i].node;

                if (c == n || (c->is_dir && find_kept(c, n)))
                        return c;
        }
        return NULL;
}

bool node_name_safe(const struct node *n) {
        return find_kept(n->disk->root, n) != NULL;
}

static void sync_tree(struct node *n) {
        if (!n->is_dir) {
                if (n->touched)
                        file_keep(n);
                return;
        }
        dir_keep(n, n->n_changes);
        for (size_t i = 0; i < n->now.n; i++)
                sync_tree(n->now.entries[i].node);
}

void disk_sync(struct disk *d) {
        sync_tree(d->root);
}

/* ---- the cut ---- */

enum mercy {
        MERCY_NONE, /* only what was synced */
        MERCY_ALL,
        MERCY_SOME,
};

static void cut_file(struct node *f, struct rng *r, enum mercy mercy) {
        size_t size = f->safe_size;

        if (f->size > f->safe_size) {
                /* of what was appended a prefix: to a byte, or to a page */
                size_t more = f->size - f->safe_size;

                if (mercy == MERCY_ALL)
                        size = f->size;
                else if (mercy == MERCY_SOME)
                        size = f->safe_size + (size_t)rng_below(r, more + 1);
                if (size < f->size && rng_chance(r, 500) && size / PAGE * PAGE >= f->safe_size)
                        size = size / PAGE * PAGE;
        } else if (f->size < f->safe_size &&
                   (mercy == MERCY_ALL || (mercy == MERCY_SOME && rng_chance(r, 500)))) {
                size = f->size;
        }
        safe_room(f, f->size > f->safe_size ? f->size : f->safe_size);
        for (size_t p = 0; f->n_dirty > 0 && p < pages(f->cap); p++) {
                size_t from = p * PAGE;

                if (!f->dirty[p])
                        continue;
                if (from >= f->safe_size) { /* appended: as far as the file goes */
                        page_keep(f, p, size);
                } else if (mercy == MERCY_ALL || (mercy == MERCY_SOME && rng_chance(r, 500))) {
                        page_keep(f, p, f->size < size ? f->size : size);
                } else if (size > f->safe_size && from + PAGE > f->safe_size) {
                        /* the appended part of a page that had durable bytes */
                        size_t to = from + PAGE < size ? from + PAGE : size;

                        memcpy(f->safe + f->safe_size, f->data + f->safe_size, to - f->safe_size);
                }
        }
        if (size < f->safe_size)
                memset(f->safe + size, 0, f->safe_size - size);
        f->safe_size = size;
}

static void settle_file(struct node *f) {
        if (f->dirty)
                memset(f->dirty, 0, pages(f->cap));
        f->n_dirty = 0;
        f->touched = false;
        if (f->data)
                memset(f->data, 0, f->cap);
        room(f, f->safe_size);
        if (f->safe_size > 0)
                memcpy(f->data, f->safe, f->safe_size);
        f->size = f->safe_size;
        f->doubtful = false;
}

/* Files are cut once, whatever names lead to them. */
static void cut_tree(struct node *n, struct rng *r, enum mercy mercy) {
        if (!n->is_dir) {
                if (n->touched)
                        cut_file(n, r, mercy);
                settle_file(n);
                return;
        }
        dir_keep(n, mercy == MERCY_ALL    ? n->n_changes
                    : mercy == MERCY_NONE ? 0
                                          : (size_t)rng_below(r, n->n_changes + 1));
        n->n_changes = 0;
        n->watchers = NULL;
        n->lock_owner = NULL;
        n->flock_owner = NULL;
        n->now.n = 0;
        for (size_t i = 0; i < n->kept.n; i++) {
                put(&n->now, n->kept.entries[i].name, n->kept.entries[i].node);
                n->kept.entries[i].node->names = 1;
                cut_tree(n->kept.entries[i].node, r, mercy);
        }
}

void disk_cut(struct disk *d) {
        cut_tree(d->root, &d->rng, (enum mercy)rng_below(&d->rng, 3));
}

void disk_put(struct disk *d, const char *path, const char *text, unsigned mode) {
        char at[256], name[96];
        bool full = d->full;
        struct node *dir, *n;

        d->full = false;
        snprintf(at, sizeof(at), "%s", path);
        for (char *slash = strchr(at + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                dir = disk_parent(d, NULL, at, name);
                if (dir && name[0] && !dir_find(dir, name))
                        dir_make(dir, name, true, 0755);
                *slash = '/';
        }
        dir = disk_parent(d, NULL, path, name);
        if (!dir || name[0] == '\0')
                return;
        n = dir_find(dir, name);
        if (!n)
                n = dir_make(dir, name, false, mode);
        n->mode = mode;
        file_cut(n, 0);
        file_write(n, text, strlen(text), 0);
        d->full = full;
        disk_sync(d);
}

static void print_tree(const struct node *n, const char *path) {
        if (!n->is_dir) {
                uint32_t hash = 2166136261u;

                for (size_t i = 0; i < n->size; i++)
                        hash = (hash ^ n->data[i]) * 16777619u;
                printf("  %-60s %8zu bytes %08x, %llu durable\n", path, n->size, hash,
                       (unsigned long long)file_safe_size(n));
                return;
        }
        for (size_t i = 0; i < n->now.n; i++) {
                char sub[512];

                snprintf(sub, sizeof(sub), "%.400s/%s", path, n->now.entries[i].name);
                print_tree(n->now.entries[i].node, sub);
        }
}

void disk_print(const struct disk *d, const char *name) {
        print_tree(d->root, name);
}
