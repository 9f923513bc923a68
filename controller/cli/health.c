#include "controller/cli/health.h"

#include "controller/cli/say.h"
#include "controller/cli/status.h"
#include "proto/json.h"

#include <string.h>

int health_print(struct client *c, struct buf *out) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(mem_free) char *json = NULL;
        const char *text = NULL;
        const char *store = NULL;
        struct json_at status;
        bool online = true;
        int r;

        r = client_call(c, &json, 0, "Status", "");
        if (r == 0)
                r = client_parse(&doc, json);
        if (r != 0)
                return r;
        status = json_root(doc);
        (void)json_get_bool(&status, "online", &online);
        (void)json_get_str(&status, "text", &text);
        (void)json_get_str(&status, "store", &store);
        if (!online)
                buf_printf(out,
                           "The controller has no connection to its server and knows nobody's "
                           "state. %s\n",
                           text ? text : "");
        if (store && *store && strcmp(store, "ok") != 0)
                buf_printf(out, "The controller takes no output: %s\n", store);
        if (out->len > 0)
                buf_puts(out, "try: rota doctor\n");
        if (buf_check(out) < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        return 0;
}
