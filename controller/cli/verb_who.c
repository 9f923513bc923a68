#include "controller/cli/runinfo.h"
#include "controller/cli/say.h"
#include "controller/cli/verb.h"
#include "proto/base/clock.h"
#include "proto/units.h"

static const char *const who_heads[] = {"TARGET", "FOR", "ACCOUNT", "LEFT", "REASON", NULL};

static void who_put(struct table *t, const char *name, const struct json_at *lease) {
        CLEANUP(buf_done) struct buf left = {0};
        const char *holder = NULL, *by = NULL, *reason = NULL;
        uint64_t usec = 0;

        (void)json_get_str(lease, "holder", &holder);
        (void)json_get_str(lease, "by", &by);
        (void)json_get_str(lease, "reason", &reason);
        (void)json_get_u64(lease, "left_usec", &usec);
        units_print_duration(&left, usec / USEC_PER_SEC * USEC_PER_SEC);
        table_put(t, TABLE_PLAIN, name);
        table_put(t, TABLE_PLAIN, by ? by : holder);
        table_put(t, TABLE_FAINT, holder);
        table_put(t, TABLE_PLAIN, buf_text(&left));
        table_put(t, TABLE_PLAIN, reason);
}

/* The leases, and what was lost. Returns 0 or JSON_BAD. */
static int who_read(const struct json_at *root, struct table *t, struct buf *lost,
                    struct json_writer *w) {
        int r = 0;

        for (size_t i = 0; i < json_length(root) && r == 0; i++) {
                CLEANUP(buf_done) struct buf text = {0};
                const char *name = NULL, *sentence = NULL;
                struct json_at at, lease;
                bool held;

                r = json_item(root, i, &at);
                if (r == 0)
                        r = json_get_str(&at, "name", &name);
                if (r == 0)
                        r = json_get_str(&at, "lease_lost", &sentence);
                if (r != 0)
                        break;
                held = json_get(&at, "lease", &lease) == 0;
                if (held)
                        who_put(t, name, &lease);
                if (sentence)
                        buf_printf(lost, "%s\n", sentence);
                if (!held && !sentence)
                        continue;
                json_begin_object(w, NULL);
                json_put_str(w, "target", name);
                if (held && json_print(&lease, &text) == 0)
                        json_put_raw(w, "lease", buf_text(&text));
                else
                        json_put_str(w, "lease", NULL);
                json_put_str(w, "lost", sentence);
                json_end_object(w);
        }
        return r;
}

static int verb_who_run(const struct call *call) {
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(buf_done) struct buf selector = {0}, lost = {0}, out = {0};
        CLEANUP(mem_free) char *json = NULL;
        CLEANUP(table_done) struct table t;
        struct json_writer w;
        struct json_at root;
        int r;

        table_init(&t, who_heads);
        r = verb_selector(call, 0, call->n, &selector);
        if (r == 0)
                r = client_new(&c, call->socket);
        if (r == 0)
                r = client_call(c, &json, 0, "Targets", "s", buf_text(&selector));
        if (r == 0)
                r = client_parse(&doc, json);
        if (r != 0)
                return r;
        root = json_root(doc);
        json_writer_init(&w, &out);
        json_begin_array(&w, NULL);
        r = who_read(&root, &t, &lost, &w);
        json_end_array(&w);
        if (r != 0) {
                say_error("the controller's answer cannot be read: %s", json_error(doc));
                return STATUS_INFRA;
        }
        if (call->json)
                return verb_print_json(buf_text(&out));
        if (table_rows(&t) == 0 && !call->quiet)
                say_note("Nobody has reserved anything.");
        else
                r = verb_print_table(&t);
        if (lost.len > 0)
                say_note("%s", buf_text(&lost));
        return r;
}

const struct verb verb_who = {
        .name = "who",
        .usage = "[SELECTOR…]",
        .summary = "list who has reserved which targets, for how long and why",
        .complete = "targets",
        .operands_max = -1,
        .run = verb_who_run,
};
