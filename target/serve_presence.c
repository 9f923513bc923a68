/* What controllers announce: a new connection of one makes what was under way to its last one void. */
#include "target/serve.h"

static int serve_announced(void *userdata, const struct ext_request *rq, const struct presence *p) {
        struct target *t = userdata;

        (void)p;
        if (rq->unavailable)
                peers_drop(t, rq->from);
        return 0;
}

const struct presence_ops target_presence_ops = {.announced = serve_announced};
