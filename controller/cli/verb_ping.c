#include "controller/cli/say.h"
#include "controller/cli/verb.h"
#include "proto/base/clock.h"

struct ping_options {
        uint64_t timeout_usec;
};

static const struct option_row ping_options[] = {
        OPTION_DURATION_ROW(struct ping_options, timeout_usec, 't', "timeout", "TIME",
                            "How long to wait for an answer (2s)"),
        OPTION_END_ROW,
};

/* Returns 0 or JSON_BAD. */
static int ping_put(struct table *t, const struct json_at *at, enum status *worst,
                    struct buf *silent) {
        const char *target = NULL;
        const char *error = NULL;
        uint64_t rtt = 0;
        bool ok = false;
        int r;

        r = json_get_str(at, "target", &target);
        if (r == 0)
                r = json_get_bool(at, "ok", &ok);
        if (r == 0)
                r = json_get_u64(at, "rtt_usec", &rtt);
        if (r == 0)
                r = json_get_str(at, "error", &error);
        if (r != 0)
                return r;
        table_put(t, TABLE_PLAIN, target);
        if (ok) {
                table_printf(t, TABLE_GOOD, "%llu.%02llu ms", (unsigned long long)(rtt / 1000),
                             (unsigned long long)(rtt % 1000 / 10));
                table_put(t, TABLE_PLAIN, NULL);
        } else {
                table_put(t, TABLE_BAD, "no answer");
                table_put(t, TABLE_PLAIN, error);
                *worst = status_worst(*worst, STATUS_INFRA);
                if (silent->len == 0 && target)
                        buf_puts(silent, target);
        }
        return 0;
}

/* The exit status is known by the document, whether or not it is printed as it is. */
static int ping_table(struct table *t, const char *json, enum status *worst, struct buf *silent) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root;
        int r;

        r = client_parse(&doc, json);
        if (r != 0)
                return r;
        root = json_root(doc);
        for (size_t i = 0; i < json_length(&root) && r == 0; i++) {
                struct json_at at;

                r = json_item(&root, i, &at);
                if (r == 0)
                        r = ping_put(t, &at, worst, silent);
        }
        if (r != 0) {
                say_error("the controller's answer cannot be read: %s", json_error(doc));
                return STATUS_INFRA;
        }
        return 0;
}

static int verb_ping_run(const struct call *call) {
        static const char *const heads[] = {"TARGET", "ROUND TRIP", "WHY", NULL};
        const struct ping_options *o = call->options;
        uint64_t timeout = o->timeout_usec ? o->timeout_usec : 2 * USEC_PER_SEC;
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(buf_done) struct buf selector = {0}, silent = {0};
        CLEANUP(mem_free) char *json = NULL;
        CLEANUP(table_done) struct table t;
        enum status worst = STATUS_PASSED;
        int r;

        table_init(&t, heads);
        r = verb_selector(call, 0, call->n, &selector);
        if (r == 0)
                r = client_new(&c, call->socket);
        if (r == 0)
                r = client_call(c, &json, timeout + CLIENT_TIMEOUT_USEC, "Ping", "st",
                                buf_text(&selector), timeout);
        if (r == 0)
                r = ping_table(&t, json, &worst, &silent);
        if (r == 0)
                r = call->json ? verb_print_json(json) : verb_print_whole_table(&t);
        if (r == 0 && silent.len > 0 && !call->json)
                say_hint("try: rota why %s", buf_text(&silent));
        return r != 0 ? r : (int)worst;
}

const struct verb verb_ping = {
        .name = "ping",
        .usage = "[--timeout TIME] SELECTOR…",
        .summary = "ask targets for a sign of life, now",
        .help = "The time is the way to the target's daemon and back, through the server. An "
                "absent target is an error at once.",
        .options = ping_options,
        .options_size = sizeof(struct ping_options),
        .complete = "targets",
        .operands_min = 1,
        .operands_max = -1,
        .run = verb_ping_run,
};
