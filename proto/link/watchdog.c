#include "proto/link/watchdog.h"

#include "proto/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>

/* of the project's own; nobody else uses real-time signals */
#define WATCHDOG_SIGNAL (SIGRTMIN + 5)

static void on_signal(int number, siginfo_t *info, void *context) {
        int saved = errno;

        (void)number;
        (void)context;
        shutdown(info->si_value.sival_int, SHUT_RDWR);
        errno = saved;
}

int watchdog_arm(struct watchdog *w, int fd, uint64_t usec) {
        struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
        struct sigevent event = {
                .sigev_notify = SIGEV_SIGNAL,
                .sigev_signo = WATCHDOG_SIGNAL,
                .sigev_value.sival_int = fd,
        };
        struct itimerspec at = {
                .it_value.tv_sec = (time_t)(usec / USEC_PER_SEC),
                .it_value.tv_nsec = (long)(usec % USEC_PER_SEC * 1000),
        };
        sigset_t set;

        w->armed = false;
        if (usec == 0)
                at.it_value.tv_nsec = 1;
        sigemptyset(&set);
        sigaddset(&set, WATCHDOG_SIGNAL);
        if (sigaction(WATCHDOG_SIGNAL, &action, NULL) < 0 ||
            sigprocmask(SIG_UNBLOCK, &set, NULL) < 0 ||
            timer_create(CLOCK_MONOTONIC, &event, &w->timer) < 0)
                return -errno;
        if (timer_settime(w->timer, 0, &at, NULL) < 0) {
                int e = -errno;

                timer_delete(w->timer);
                return e;
        }
        w->armed = true;
        return 0;
}

bool watchdog_fired(const struct watchdog *w) {
        struct itimerspec left;

        /* a timer for once that has fired has nothing left */
        return w->armed && timer_gettime(w->timer, &left) == 0 && left.it_value.tv_sec == 0 &&
               left.it_value.tv_nsec == 0;
}

void watchdog_disarm(struct watchdog *w) {
        if (w->armed)
                timer_delete(w->timer);
        w->armed = false;
}
