/* Streams: a controller says where it stands, and confirms. */
#include "target/serve.h"

#include "proto/base/log.h"

#include <errno.h>

static int serve_ack(void *userdata, const struct ext_request *rq, const struct stream_ack *m) {
        peers_acked(userdata, rq->from, m);
        return 0;
}

static int serve_done(void *userdata, const struct ext_request *rq, const struct stream_done *m) {
        peers_done(userdata, rq->from, m->run);
        return 0;
}

static int serve_follow(void *userdata, const struct ext_request *rq, const struct stream_follow *m,
                        struct stream_follow *ret, struct stanza_error *ret_error) {
        int r = peers_follow(userdata, rq->from, m, rq->arena, ret);

        if (r == -ENOBUFS) {
                ret_error->condition = STANZA_RESOURCE_CONSTRAINT;
                ret_error->text = "too many controllers follow this target, or too many runs";
                return EXT_ERROR;
        }
        return r;
}

static int serve_sync(void *userdata, const struct ext_request *rq, const struct stream_sync *m,
                      struct stanza_error *ret_error) {
        struct target *t = userdata;
        int r = peers_sync(t, rq->from, m);

        if (r == -ENOBUFS) {
                ret_error->condition = STANZA_RESOURCE_CONSTRAINT;
                ret_error->text = "too many controllers follow this target";
                return EXT_ERROR;
        }
        if (r == 0)
                log_debug("%s syncs: %zu offsets, %zu done", rq->from, m->n_have, m->n_done);
        return r;
}

const struct stream_ops target_stream_ops = {
        .ack = serve_ack, .done = serve_done, .sync = serve_sync, .follow = serve_follow};
