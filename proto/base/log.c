#include "proto/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_SIZE 2048

/* One write a line, so that lines of several processes do not mix. */
static void stderr_sink(enum log_level level, const char *text, const struct log_field *fields,
                        size_t n_fields) {
        char line[LINE_SIZE + 16];
        int n;

        (void)fields;
        (void)n_fields;
        if (isatty(STDERR_FILENO))
                n = snprintf(line, sizeof(line), "%s\n", text);
        else
                n = snprintf(line, sizeof(line), "<%d>%s\n", (int)level, text);
        if (n < 0)
                return;
        while (write(STDERR_FILENO, line, (size_t)n) < 0 && errno == EINTR)
                ;
}

static log_sink *current_sink = stderr_sink;
static enum log_level current_max = LOG_LEVEL_INFO;

void log_set_sink(log_sink *sink) {
        current_sink = sink ? sink : stderr_sink;
}

void log_set_level(enum log_level max) {
        current_max = max;
}

void log_line(enum log_level level, const struct log_field *fields, const char *format, ...) {
        struct log_field given[LOG_FIELDS_MAX];
        char text[LINE_SIZE];
        size_t n = 0;
        va_list ap;
        int saved_errno = errno;

        if (level > current_max)
                return;
        for (; fields && fields->name && n < LOG_FIELDS_MAX; fields++)
                if (fields->value)
                        given[n++] = *fields;
        va_start(ap, format);
        if (vsnprintf(text, sizeof(text), format, ap) < 0)
                text[0] = '\0';
        va_end(ap);
        current_sink(level, text, given, n);
        errno = saved_errno;
}
