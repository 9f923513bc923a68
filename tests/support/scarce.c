/*
 * Preloaded into one of the daemons: an allocation fails once, anywhere in it, its libraries included.
 *
 *   ROTA_SCARCE=rota-target:/path/of/a/log          notes each way to an allocation when it is first taken
 *   ROTA_SCARCE=rota-target:/path/of/a/log:HASH     fails the first allocation that is reached on this way
 *
 * A way is the chain of the last return addresses, as one number. It is the same in the next process when addresses
 * are not random (setarch -R). The log has a line for each: the way, and the last caller that is in the program itself.
 * Other programs that inherit the variable are left alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

#define WAYS 65536 /* a power of two */
#define DEPTH 10
#define TOLD 40 /* return addresses of the one that fails, for whoever looks for the reason */

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
int posix_memalign(void **ret, size_t alignment, size_t size);
void *aligned_alloc(size_t alignment, size_t size);

static uint64_t seen[WAYS];
static uint64_t wanted;
static char log_path[256];
static bool on, inside;

struct way {
        uint64_t hash;
        uintptr_t own;
        unsigned depth;
        uintptr_t at[TOLD];
};

static uintptr_t text_from, text_to;

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *userdata) {
        struct way *w = userdata;
        uintptr_t at = _Unwind_GetIP(context);

        if (w->depth++ < 2) /* ourselves */
                return _URC_NO_REASON;
        if (w->depth <= DEPTH + 2) {
                w->hash = (w->hash ^ at) * UINT64_C(0x9e3779b97f4a7c15);
                w->hash ^= w->hash >> 29;
        }
        if (w->depth - 3 < TOLD)
                w->at[w->depth - 3] = at;
        if (!w->own && at >= text_from && at < text_to)
                w->own = at - text_from;
        return w->depth < TOLD ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static bool is_new(uint64_t hash) {
        for (size_t i = hash % WAYS, n = 0; n < WAYS; i = (i + 1) % WAYS, n++) {
                if (seen[i] == hash)
                        return false;
                if (seen[i] == 0) {
                        seen[i] = hash;
                        return true;
                }
        }
        return false;
}

/* Opened each time: rota-step closes what it does not know. */
static void note(const struct way *w) {
        char line[TOLD * 16 + 64];
        int n = snprintf(line, sizeof(line), "%016jx %jx", (uintmax_t)w->hash, (uintmax_t)w->own);
        int fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

        for (size_t i = 0; wanted && i < TOLD && w->at[i]; i++)
                n += snprintf(line + n, sizeof(line) - (size_t)n, " %jx", (uintmax_t)w->at[i]);
        line[n++] = '\n';
        if (fd < 0 || write(fd, line, (size_t)n) != n)
                on = false;
        if (fd >= 0)
                close(fd);
}

__attribute__((noinline)) static bool fails(void) {
        struct way w = {0};
        int before = errno;

        if (!on || inside)
                return false;
        inside = true;
        _Unwind_Backtrace(step, &w);
        w.hash |= 1;
        if (wanted ? w.hash == wanted : is_new(w.hash))
                note(&w);
        inside = false;
        errno = before;
        if (!wanted || w.hash != wanted)
                return false;
        on = false; /* once */
        errno = ENOMEM;
        return true;
}

void *malloc(size_t size) {
        return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
        return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size) {
        return fails() ? NULL : __libc_realloc(p, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size) {
        void *p = fails() ? NULL : __libc_memalign(alignment, size);

        if (!p)
                return ENOMEM;
        *ret = p;
        return 0;
}

void *aligned_alloc(size_t alignment, size_t size) {
        return fails() ? NULL : __libc_memalign(alignment, size);
}

/* The program's own text, as the kernel mapped it. */
static void find_text(void) {
        FILE *maps = fopen("/proc/self/maps", "re");
        char line[512], exe[256];
        ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

        if (n < 0)
                n = 0;
        exe[n] = '\0';
        while (maps && fgets(line, sizeof(line), maps)) {
                uintptr_t from, to;

                if (n == 0 || !strstr(line, exe) || sscanf(line, "%lx-%lx", &from, &to) != 2)
                        continue;
                if (!text_from)
                        text_from = from;
                text_to = to;
        }
        if (maps)
                fclose(maps);
}

__attribute__((constructor)) static void begin(void) {
        const char *what = getenv("ROTA_SCARCE");
        char name[64];
        uintmax_t hash = 0;

        if (!what || sscanf(what, "%63[^:]:%255[^:]:%jx", name, log_path, &hash) < 2 ||
            strcmp(name, program_invocation_short_name) != 0)
                return;
        find_text();
        wanted = hash;
        on = true;
}
