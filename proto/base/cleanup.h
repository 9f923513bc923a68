/*
 * Scope-bound ownership.
 *
 * CLEANUP(fn) on a local calls fn when the scope ends. A destructor x_free() takes NULL and returns
 * NULL; x_done() ends a value that is embedded. Each type declares its cleanup once, beside its
 * destructor: DEFINE_CLEANUP_FREE for pointers, DEFINE_CLEANUP_DONE for values.
 */
#pragma once

#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(fn) __attribute__((cleanup(fn##_cleanup)))

/* Moves ownership out of @p; @p is NULL afterwards. */
#define TAKE(p)                                                                                    \
        ({                                                                                         \
                __typeof__(p) *take_at_ = &(p);                                                    \
                __typeof__(p) take_value_ = *take_at_;                                             \
                *take_at_ = NULL;                                                                  \
                take_value_;                                                                       \
        })

/* The same for a file descriptor: @fd is -1 afterwards. */
#define TAKE_FD(fd)                                                                                \
        ({                                                                                         \
                int *take_at_ = &(fd);                                                             \
                int take_value_ = *take_at_;                                                       \
                *take_at_ = -1;                                                                    \
                take_value_;                                                                       \
        })

#define DEFINE_CLEANUP_FREE(type, fn)                                                              \
        static inline void fn##_cleanup(type **at) {                                               \
                fn(*at);                                                                           \
        }

#define DEFINE_CLEANUP_DONE(type, fn)                                                              \
        static inline void fn##_cleanup(type *at) {                                                \
                fn(at);                                                                            \
        }

static inline void *mem_free(void *p) {
        free(p);
        return NULL;
}

/* CLEANUP(mem_free) char *s = NULL; for anything from malloc. */
static inline void mem_free_cleanup(void *at) {
        free(*(void **)at);
}

static inline int fd_close(int fd) {
        if (fd >= 0)
                close(fd);
        return -1;
}

/* CLEANUP(fd_close) int fd = -1; */
static inline void fd_close_cleanup(int *at) {
        fd_close(*at);
}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
