#include "controller/rooms.h"

#include "ext/disco.h"
#include "ext/ping.h"
#include "ext/time.h"
#include "ext/version.h"

#include "controller/controller.h"

#include <sys/utsname.h>

const struct disco_identity controller_identity = {
        .category = "automation",
        .type = "command-list",
        .name = "rota controller",
};

static int on_info(void *userdata, const struct ext_request *rq, const struct disco_query *q,
                   struct disco_info *ret, struct stanza_error *ret_error) {
        const struct controller *c = userdata;
        const char *const *features;
        size_t n = router_features(c->router, &features);
        struct disco_feature *list = arena_alloc(rq->arena, (n + 1) * sizeof(*list));

        (void)ret_error;
        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                list[i].var = features[i];
        *ret = (struct disco_info){
                .node = q->node,
                .identities = &controller_identity,
                .n_identities = 1,
                .features = list,
                .n_features = n,
        };
        return 0;
}

static int on_version(void *userdata, const struct ext_request *rq, struct version_info *ret) {
        struct utsname u;

        (void)userdata;
        *ret = (struct version_info){.name = "rota-controller", .version = ROTA_VERSION};
        if (uname(&u) == 0)
                ret->os = arena_printf(rq->arena, "%s %s", u.sysname, u.release);
        return 0;
}

static const struct disco_ops disco_ops = {.info = on_info};
static const struct version_ops version_ops = {.version = on_version};
static const struct ping_ops ping_ops = {0};
static const struct time_ops time_ops = {0};

const struct ext_binding controller_rooms[] = {
        EXT_BIND(presence, &controller_presence_ops),
        EXT_BIND(roster, &controller_roster_ops),
        EXT_BIND(run, &controller_run_ops),
        EXT_BIND(stream, &controller_stream_ops),
        EXT_BIND(ping, &ping_ops),
        EXT_BIND(disco, &disco_ops),
        EXT_BIND(version, &version_ops),
        EXT_BIND(time, &time_ops),
        {0},
};
