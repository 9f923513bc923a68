#include "controller/cli/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A signal handler can only reach what has a fixed place. */
static volatile sig_atomic_t interrupt_event = -1;

static void interrupt_came(int signal) {
        const uint64_t one = 1;
        int saved = errno;

        (void)signal;
        if (write((int)interrupt_event, &one, sizeof(one)) < 0)
                _exit(130);
        errno = saved;
}

int interrupt_fd(void) {
        /* SA_RESETHAND: the next one ends the process, even one that waits for a terminal */
        struct sigaction action = {.sa_handler = interrupt_came, .sa_flags = (int)SA_RESETHAND};

        if (interrupt_event < 0) {
                interrupt_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
                if (interrupt_event < 0)
                        return -errno;
        }
        sigemptyset(&action.sa_mask);
        if (sigaction(SIGINT, &action, NULL) < 0)
                return -errno;
        return (int)interrupt_event;
}
