#include "controller/cli/say.h"

#include "controller/cli/term.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>

int say_write(int fd, const void *data, size_t len) {
        const char *p = data;

        while (len > 0) {
                ssize_t n = write(fd, p, len);

                if (n < 0 && errno == EAGAIN) {
                        struct pollfd wait = {.fd = fd, .events = POLLOUT};

                        /* somebody made the terminal non-blocking */
                        if (poll(&wait, 1, -1) < 0 && errno != EINTR)
                                return -errno;
                        continue;
                }
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                p += n;
                len -= (size_t)n;
        }
        return 0;
}

static void say_lines(const char *first, const char *others, const char *format, va_list ap)
        __attribute__((format(printf, 3, 0)));

static void say_lines(const char *first, const char *others, const char *format, va_list ap) {
        CLEANUP(buf_done) struct buf text = {0};
        CLEANUP(buf_done) struct buf out = {0};
        const char *line;
        const char *lead = first;

        buf_vprintf(&text, format, ap);
        for (line = buf_text(&text); *line;) {
                size_t len = strcspn(line, "\n");

                buf_puts(&out, lead);
                term_safe(&out, line, len);
                buf_putc(&out, '\n');
                line += len + (line[len] == '\n');
                lead = others;
        }
        (void)say_write(STDERR_FILENO, buf_text(&out), out.len);
}

void say_error(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        say_lines("rota: ", "  ", format, ap);
        va_end(ap);
}

void say_hint(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        say_lines("  ", "  ", format, ap);
        va_end(ap);
}

void say_note(const char *format, ...) {
        va_list ap;

        va_start(ap, format);
        say_lines("", "", format, ap);
        va_end(ap);
}

void say_no_memory(void) {
        static const char text[] = "rota: out of memory\n";

        (void)say_write(STDERR_FILENO, text, sizeof(text) - 1);
}

bool say_colour(int fd) {
        const char *no = getenv("NO_COLOR");
        const char *term = getenv("TERM");

        return isatty(fd) && !(no && *no) && term && *term && strcmp(term, "dumb") != 0;
}

size_t say_columns(int fd) {
        struct winsize size;

        return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

size_t say_rows(int fd) {
        struct winsize size;

        return ioctl(fd, TIOCGWINSZ, &size) == 0 ? size.ws_row : 0;
}
