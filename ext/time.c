#include "ext/time.h"

#include "proto/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

static const struct field query_fields[] = {
        F_END,
};

const struct element time_query_element = {
        .name = "time",
        .ns = NS_TIME,
        .size = sizeof(struct time_query),
        .fields = query_fields,
};

static const struct field info_fields[] = {
        F_CHILD_STR(struct time_info, tzo, .flags = FIELD_REQUIRED, .max = 16),
        F_CHILD_STR(struct time_info, utc, .flags = FIELD_REQUIRED, .max = 40),
        F_END,
};

const struct element time_info_element = {
        .name = "time",
        .ns = NS_TIME,
        .size = sizeof(struct time_info),
        .fields = info_fields,
};

int time_now(struct arena *a, struct time_info *ret) {
        uint64_t now_usec = clock_realtime_usec();
        time_t seconds = (time_t)(now_usec / USEC_PER_SEC);
        struct tm utc, local;
        long minutes;

        if (!gmtime_r(&seconds, &utc) || !localtime_r(&seconds, &local))
                return -EOVERFLOW;
        minutes = (local.tm_gmtoff < 0 ? -local.tm_gmtoff : local.tm_gmtoff) / 60;
        *ret = (struct time_info){
                .tzo = arena_printf(a, "%c%02ld:%02ld", local.tm_gmtoff < 0 ? '-' : '+',
                                    minutes / 60, minutes % 60),
                .utc = arena_printf(a, "%04d-%02d-%02dT%02d:%02d:%02d.%03" PRIu64 "Z",
                                    utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
                                    utc.tm_min, utc.tm_sec,
                                    now_usec % USEC_PER_SEC / USEC_PER_MSEC),
        };
        return ret->tzo && ret->utc ? 0 : -ENOMEM;
}

static int call_time(const void *ops, void *userdata, const struct ext_request *rq,
                     const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct time_ops *o = ops;

        (void)payload, (void)ret_error;
        return o->time ? o->time(userdata, rq, ret_reply) : time_now(rq->arena, ret_reply);
}

static const struct ext_row time_rows[] = {
        EXT_ROW(EXT_IQ_GET, ROLE_VIEW, &time_query_element, &time_info_element, call_time),
        {0},
};

static const char *const time_features[] = {NS_TIME, NULL};

const struct ext time_ext = {
        .name = "time",
        .features = time_features,
        .rows = time_rows,
};
