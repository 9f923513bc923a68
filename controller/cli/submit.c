#include "controller/cli/submit.h"

#include "controller/cli/follow.h"
#include "controller/cli/runinfo.h"
#include "controller/cli/say.h"

#include <pwd.h>
#include <stdlib.h>
#include <unistd.h>

const char *submit_by(void) {
        const char *name = getenv("LOGNAME");
        const struct passwd *pw;

        if (name && *name)
                return name;
        pw = getpwuid(getuid());
        return pw ? pw->pw_name : NULL;
}

/* Not waited for: one line a run on standard output, "TARGET RUN". */
static int submit_detached(const struct json_at *runs) {
        CLEANUP(buf_done) struct buf out = {0};
        enum status worst = STATUS_PASSED;

        for (size_t i = 0; i < json_length(runs); i++) {
                struct json_at at;
                struct runinfo r;

                if (json_item(runs, i, &at) != 0 || runinfo_read(&at, &r) != 0)
                        continue;
                buf_printf(&out, "%s %s\n", r.target, r.run);
                if (runinfo_ended(&r)) {
                        say_error("%s: %s", r.target, runinfo_why(&r));
                        worst = status_worst(worst, status_of_run(r.verdict, r.refusal, r.cause));
                }
        }
        return (int)status_worst(worst, (enum status)verb_print(&out));
}

/* The document that Submit gave, with the runs as they are now. */
static int submit_print_json(const struct follow *f, const char *batch) {
        CLEANUP(buf_done) struct buf json = {0};
        CLEANUP(buf_done) struct buf runs = {0};
        struct json_writer w;

        if (follow_print_runs(f, &runs) < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        json_writer_init(&w, &json);
        json_begin_object(&w, NULL);
        json_put_str(&w, "batch", batch);
        json_put_raw(&w, "runs", buf_text(&runs));
        json_end_object(&w);
        return buf_check(&json) < 0 ? STATUS_INFRA : verb_print_json(buf_text(&json));
}

static int submit_follow(struct follow *f, const struct call *call, const char *batch) {
        int r = follow_run(f, batch);

        if (call->json && submit_print_json(f, batch) != 0)
                return STATUS_INFRA;
        if (r != 0)
                return r;
        if (!call->quiet && !call->json)
                (void)follow_say_table(f);
        if (!call->json)
                follow_say_errors(f, call->quiet);
        return (int)follow_verdict(f);
}

int submit_run(const struct call *call, const char *selector, const char *request, bool detach) {
        const struct follow_how how = {.quiet = call->quiet, .silent = call->json};
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(follow_free) struct follow *f = NULL;
        CLEANUP(mem_free) char *answer = NULL;
        CLEANUP(json_free) struct json_doc *doc = NULL;
        const char *batch = NULL;
        struct json_at root;
        struct json_at runs;
        int r = client_new(&c, call->socket);

        if (r == 0 && !detach)
                r = follow_new(&f, c, &how);
        if (r == 0)
                r = client_call_surely(c, &answer, "Submit", "ss", selector, request);
        if (r == 0)
                r = client_parse(&doc, answer);
        if (r != 0)
                return r;
        root = json_root(doc);
        if (json_get_str(&root, "batch", &batch) != 0 || !batch ||
            json_get(&root, "runs", &runs) != 0) {
                say_error("the controller's answer has no runs");
                return STATUS_INFRA;
        }
        if (detach)
                return call->json ? verb_print_json(answer) : submit_detached(&runs);
        for (size_t i = 0; i < json_length(&runs) && r == 0; i++) {
                struct json_at at;

                if (json_item(&runs, i, &at) == 0)
                        r = follow_add(f, &at);
        }
        return r != 0 ? r : submit_follow(f, call, batch);
}
