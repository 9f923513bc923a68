/*
 * Log lines with fields.
 *
 * Only role roots and adapters log; pure code returns outcomes. A line has a level, a sentence and
 * up to LOG_FIELDS_MAX name/value fields (journal names: upper case, e.g. "ROTA_RUN"). The default
 * sink writes the sentence to standard error, with an <N> level prefix when standard error is not a terminal; a role
 * root installs a sink that writes to the journal. This sink and the threshold are the one piece of
 * process-wide state of the project.
 */
#pragma once

#include <stddef.h>

enum log_level {
        LOG_LEVEL_ERROR = 3, /* the numbers of syslog(3) */
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_NOTICE = 5,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7,
};

#define LOG_FIELDS_MAX 8

struct log_field {
        const char *name;
        const char *value; /* NULL: the field is left out */
};

typedef void log_sink(enum log_level level, const char *text, const struct log_field *fields,
                      size_t n_fields);

void log_set_sink(log_sink *sink); /* NULL: the default sink */
void log_set_level(enum log_level max);
void log_line(enum log_level level, const struct log_field *fields, const char *format, ...)
        __attribute__((format(printf, 3, 4))); /* @fields ends with a NULL name; may be NULL */

#define log_error(...) log_line(LOG_LEVEL_ERROR, NULL, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, NULL, __VA_ARGS__)
#define log_notice(...) log_line(LOG_LEVEL_NOTICE, NULL, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, NULL, __VA_ARGS__)
