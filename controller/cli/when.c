#include "controller/cli/when.h"

#include "proto/base/clock.h"
#include "proto/units.h"

#include <time.h>

static int when_local(uint64_t usec, struct tm *ret) {
        time_t t = (time_t)(usec / USEC_PER_SEC);

        return localtime_r(&t, ret) ? 0 : 1;
}

int when_print(struct buf *out, uint64_t realtime_usec, uint64_t now_usec) {
        char text[64];
        struct tm at;
        struct tm now;
        size_t n;

        if (realtime_usec == 0 || when_local(realtime_usec, &at) != 0 ||
            when_local(now_usec, &now) != 0)
                return 0;
        if (at.tm_year != now.tm_year)
                n = strftime(text, sizeof(text), "%Y-%m-%d", &at);
        else if (at.tm_yday != now.tm_yday)
                n = strftime(text, sizeof(text), "%b %e %H:%M", &at);
        else
                n = strftime(text, sizeof(text), "%H:%M", &at);
        return buf_append(out, text, n);
}

int when_print_exact(struct buf *out, uint64_t realtime_usec) {
        char text[64];
        struct tm at;

        if (realtime_usec == 0 || when_local(realtime_usec, &at) != 0)
                return 0;
        return buf_append(out, text, strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &at));
}

int when_print_span(struct buf *out, uint64_t from_usec, uint64_t until_usec) {
        if (from_usec == 0 || until_usec < from_usec)
                return 0;
        return units_print_duration(out, until_usec - from_usec);
}
