/* The rooms a target speaks. disco#info, caps, routing and required roles follow from this table. */
#include "proto/base/log.h"
#include "target/serve.h"

const struct ext_binding target_rooms[] = {
        EXT_BIND(presence, &target_presence_ops), EXT_BIND(run, &target_run_ops),
        EXT_BIND(stream, &target_stream_ops),     EXT_BIND(power, &target_power_ops),
        EXT_BIND(lease, &target_lease_ops),       EXT_BIND(quarantine, &target_quarantine_ops),
        EXT_BIND(away, &target_away_ops),         EXT_BIND(ping, &target_ping_ops),
        EXT_BIND(disco, &target_disco_ops),       EXT_BIND(version, &target_version_ops),
        EXT_BIND(time, &target_time_ops),         {0},
};

static enum role rooms_role_of(void *userdata, const char *from) {
        return target_role_of(userdata, from);
}

static void rooms_refused(void *userdata, const struct ext_request *rq, const char *what,
                          const struct stanza_error *error) {
        const struct log_field fields[] = {
                {"ROTA_PEER", rq->from},
                {NULL,        NULL    }
        };

        /* what we do not speak (a roster push of the server) was not a decision about anybody */
        bool decision = error->condition != STANZA_SERVICE_UNAVAILABLE;

        if (decision && !refusal_heard(userdata, rq->from))
                return;
        log_line(decision ? LOG_LEVEL_NOTICE : LOG_LEVEL_DEBUG, fields,
                 "%s of %s is refused: %s%s%s", what, *rq->from ? rq->from : "the server",
                 stanza_condition_name(error->condition), error->text ? ", " : "",
                 error->text ? error->text : "");
}

const struct router_ops target_router_ops = {.role_of = rooms_role_of, .refused = rooms_refused};
