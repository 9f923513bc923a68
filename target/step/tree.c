#include "target/step/tree.h"

#include "proto/base/cleanup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct process {
        pid_t pid;
        pid_t parent;
        pid_t group;
        char state;
        bool ours;
        char name[16];
};

struct tree {
        struct process *processes;
        size_t n;
        size_t cap;
};

static void tree_done(struct tree *t) {
        t->processes = mem_free(t->processes);
}
DEFINE_CLEANUP_DONE(struct tree, tree_done)

/* proc(5), /proc/PID/stat: pid (name) state ppid pgrp … ; the name may hold blanks and parentheses. */
static bool parse_stat(char *text, struct process *ret) {
        char *open = strchr(text, '('), *close = strrchr(text, ')');
        int parent, group;
        char state;

        if (!open || !close || close < open)
                return false;
        if (sscanf(close + 1, " %c %d %d", &state, &parent, &group) != 3)
                return false;
        *close = '\0';
        *ret = (struct process){
                .pid = (pid_t)atoi(text), .parent = parent, .group = group, .state = state};
        strncpy(ret->name, open + 1, sizeof(ret->name) - 1);
        return true;
}

static int read_process(int proc_fd, const char *name, struct process *ret) {
        CLEANUP(fd_close) int fd = -1;
        char path[32], text[512];
        ssize_t n;

        if (snprintf(path, sizeof(path), "%s/stat", name) >= (int)sizeof(path))
                return 1;
        fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return 1;
        n = read(fd, text, sizeof(text) - 1);
        if (n <= 0)
                return 1;
        text[n] = '\0';
        return parse_stat(text, ret) ? 0 : 1;
}

static int tree_add(struct tree *t, const struct process *p) {
        if (t->n == t->cap) {
                size_t cap = t->cap ? t->cap * 2 : 256;
                struct process *more = reallocarray(t->processes, cap, sizeof(*more));

                if (!more)
                        return -ENOMEM;
                t->processes = more;
                t->cap = cap;
        }
        t->processes[t->n++] = *p;
        return 0;
}

static bool is_ours(const struct tree *t, pid_t pid, pid_t self) {
        if (pid == self)
                return true;
        for (size_t i = 0; i < t->n; i++)
                if (t->processes[i].pid == pid)
                        return t->processes[i].ours;
        return false;
}

/* Rounds instead of recursion; each finds at least one more or is the last. */
static void mark_ours(struct tree *t) {
        pid_t self = getpid();
        bool found = true;

        while (found) {
                found = false;
                for (size_t i = 0; i < t->n; i++) {
                        struct process *p = &t->processes[i];

                        if (p->ours || !is_ours(t, p->parent, self))
                                continue;
                        p->ours = true;
                        found = true;
                }
        }
}

static int tree_read(struct tree *t) {
        struct dirent *entry;
        DIR *dir;
        int r = 0;

        dir = opendir("/proc");
        if (!dir)
                return -errno;
        while (r == 0 && (entry = readdir(dir))) {
                struct process p;

                if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
                        continue;
                if (read_process(dirfd(dir), entry->d_name, &p) != 0)
                        continue;
                if (p.pid > 1)
                        r = tree_add(t, &p);
        }
        closedir(dir);
        if (r == 0)
                mark_ours(t);
        return r;
}

int tree_signal(int sig, pid_t except) {
        CLEANUP(tree_done) struct tree t = {0};
        int r, n = 0;

        r = tree_read(&t);
        if (r < 0)
                return r;
        for (size_t i = 0; i < t.n; i++) {
                const struct process *p = &t.processes[i];

                if (!p->ours || p->state == 'Z')
                        continue;
                n++;
                if (except == 0 || p->group != except)
                        kill(p->pid, sig);
        }
        return n;
}

void tree_describe(char *ret, size_t size) {
        CLEANUP(tree_done) struct tree t = {0};

        ret[0] = '\0';
        if (tree_read(&t) < 0)
                return;
        for (size_t i = 0; i < t.n; i++) {
                if (!t.processes[i].ours || t.processes[i].state == 'Z')
                        continue;
                snprintf(ret, size, "%d (%s)", (int)t.processes[i].pid, t.processes[i].name);
                return;
        }
}
