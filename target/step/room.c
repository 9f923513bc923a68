#include "target/step/room.h"

#include "proto/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void room_init(struct room *r, const char *step) {
        snprintf(r->held_name, sizeof(r->held_name), "%s.held", step);
        snprintf(r->room_name, sizeof(r->room_name), "%s.room", step);
}

void room_tell(const struct room *r, bool held) {
        if (held)
                fd_close(open(r->held_name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640));
        else
                (void)unlink(r->held_name);
}

uint64_t room_given(const struct room *r) {
        CLEANUP(fd_close) int fd = open(r->room_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        char text[24], *end;
        uint64_t bytes;
        ssize_t n;

        if (fd < 0)
                return 0;
        n = read(fd, text, sizeof(text) - 1);
        if (n <= 0)
                return 0;
        text[n] = '\0';
        errno = 0;
        bytes = strtoull(text, &end, 10);
        /* without its newline it is not all there yet */
        return errno == 0 && end > text && *end == '\n' ? bytes : 0;
}
