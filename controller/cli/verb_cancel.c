#include "controller/cli/runinfo.h"
#include "controller/cli/say.h"
#include "controller/cli/verb.h"

/* With --json the answer goes to @out. */
static int cancel_one(struct client *c, const struct call *call, const char *id,
                      struct json_writer *out) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(mem_free) char *json = NULL;
        struct json_at root;
        struct runinfo run;
        int r;

        r = client_call_surely(c, &json, "Cancel", "s", id);
        if (r == 0 && call->json) {
                json_put_raw(out, NULL, json);
                return 0;
        }
        if (r == 0)
                r = client_parse(&doc, json);
        if (r != 0)
                return r;
        root = json_root(doc);
        if (runinfo_read(&root, &run) != 0) {
                say_error("the controller's answer cannot be read: %s", json_error(doc));
                return STATUS_INFRA;
        }
        if (call->quiet)
                return 0;
        if (runinfo_ended(&run))
                say_note("%s on %s: %s%s%s", run.run, run.target, runinfo_outcome(&run),
                         *runinfo_why(&run) ? ": " : "", runinfo_why(&run));
        else
                say_note("%s on %s: %s", run.run, run.target,
                         *runinfo_why(&run) ? runinfo_why(&run) : "asked to cancel");
        return 0;
}

static int verb_cancel_run(const struct call *call) {
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(buf_done) struct buf all = {0};
        enum status worst = STATUS_PASSED;
        struct json_writer w;
        int r;

        r = client_new(&c, call->socket);
        if (r != 0)
                return r;
        json_writer_init(&w, &all);
        json_begin_array(&w, NULL);
        for (int i = 0; i < call->n; i++)
                worst = status_worst(worst,
                                     (enum status)cancel_one(c, call, call->operands[i], &w));
        json_end_array(&w);
        buf_putc(&all, '\n');
        if (call->json)
                worst = status_worst(worst, (enum status)verb_print(&all));
        return (int)worst;
}

const struct verb verb_cancel = {
        .name = "cancel",
        .usage = "RUN…",
        .summary = "end a run, or take it out of the queue",
        .help = "The wish is kept until the target has confirmed it, also when it is absent "
                "now. What runs is asked to end, and killed a second later; a diagnostic may have "
                "asked for more time.",
        .complete = "runs",
        .operands_min = 1,
        .operands_max = -1,
        .run = verb_cancel_run,
};
