/* Who we are: discovery, version, time, ping. */
#include "target/serve.h"

#include <errno.h>
#include <string.h>

const struct disco_identity target_identity = {
        .category = "client", .type = "bot", .name = "rota-target"};

/* Our node is asked for as NODE#VER by those who found it in our presence (XEP-0115 6.2). */
static bool node_is_ours(const struct target *t, const char *node) {
        size_t len = strlen(TARGET_CAPS_NODE);

        if (!node || !*node || strcmp(node, TARGET_CAPS_NODE) == 0)
                return true;
        return strncmp(node, TARGET_CAPS_NODE "#", len + 1) == 0 &&
               strcmp(node + len + 1, t->caps) == 0;
}

static int serve_disco(void *userdata, const struct ext_request *rq, const struct disco_query *q,
                       struct disco_info *ret, struct stanza_error *ret_error) {
        struct target *t = userdata;
        const char *const *features = NULL;
        size_t n = router_features(t->router, &features);
        struct disco_feature *list;

        if (!node_is_ours(t, q->node)) {
                ret_error->condition = STANZA_ITEM_NOT_FOUND;
                return EXT_ERROR;
        }
        list = arena_alloc(rq->arena, (n + 1) * sizeof(*list));
        if (!list)
                return -ENOMEM;
        for (size_t i = 0; i < n; i++)
                list[i].var = features[i];
        ret->node = q->node;
        ret->identities = &target_identity;
        ret->n_identities = 1;
        ret->features = list;
        ret->n_features = n;
        return 0;
}

static int serve_version(void *userdata, const struct ext_request *rq, struct version_info *ret) {
        CLEANUP(buf_done) struct buf os = {0};

        (void)userdata;
        ret->name = "rota-target";
        ret->version = ROTA_VERSION;
        if (facts_system(&os) == 0) {
                ret->os = arena_strdup(rq->arena, buf_text(&os));
                if (!ret->os)
                        return -ENOMEM;
        }
        return 0;
}

const struct disco_ops target_disco_ops = {.info = serve_disco};
const struct version_ops target_version_ops = {.version = serve_version};
const struct time_ops target_time_ops = {.time = NULL};
const struct ping_ops target_ping_ops = {.pinged = NULL};
