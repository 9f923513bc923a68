/*
 * A wrong wall clock for one program: LD_PRELOAD=rota-clock-shift.so ROTA_CLOCK_SHIFT=FILE program
 *
 * The file holds one int64_t: microseconds that are added to CLOCK_REALTIME, as this machine stores it. It is mapped,
 * so whoever writes another number sets the clock of the running program. Other clocks stay. What the kernel
 * itself waits for (timers on CLOCK_REALTIME) does not move along: an armed one ends when the true time comes.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MILLION INT64_C(1000000)

int clock_gettime(clockid_t clock, struct timespec *ret);
int gettimeofday(struct timeval *restrict ret, void *restrict zone);
time_t time(time_t *ret);

static int64_t shift_usec(void) {
        static const volatile int64_t *mapped;
        static bool looked;

        if (!looked) {
                const char *path = getenv("ROTA_CLOCK_SHIFT");
                int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
                if (fd >= 0) {
                        void *at = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
                        if (at != MAP_FAILED)
                                mapped = at;
                        close(fd);
                }
                looked = true;
        }
        return mapped ? *mapped : 0;
}

int clock_gettime(clockid_t clock, struct timespec *ret) {
        int64_t usec;

        if (syscall(SYS_clock_gettime, clock, ret) < 0)
                return -1;
        if (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)
                return 0;
        usec = (int64_t)ret->tv_sec * MILLION + ret->tv_nsec / 1000 + shift_usec();
        ret->tv_sec = usec / MILLION;
        ret->tv_nsec = usec % MILLION * 1000;
        return 0;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone) {
        struct timespec now = {0};

        (void)zone;
        clock_gettime(CLOCK_REALTIME, &now);
        ret->tv_sec = now.tv_sec;
        ret->tv_usec = now.tv_nsec / 1000;
        return 0;
}

time_t time(time_t *ret) {
        struct timespec now = {0};

        clock_gettime(CLOCK_REALTIME, &now);
        if (ret)
                *ret = now.tv_sec;
        return now.tv_sec;
}
