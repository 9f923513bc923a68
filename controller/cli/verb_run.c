#include "controller/cli/say.h"
#include "controller/cli/submit.h"
#include "controller/cli/verb.h"
#include "proto/base/id.h"
#include "proto/plan.h"
#include "proto/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct run_options {
        const char *plan;
        const char *name;
        uint64_t ttl_usec;
        uint64_t timeout_usec;
        uint64_t silence_usec;
        const char *disk_budget;
        const char *over_budget;
        bool if_idle;
        bool detach;
        bool no_pty;
};

static const struct option_row run_options[] = {
        OPTION_TEXT_ROW(struct run_options, plan, 0, "plan", "FILE",
                        "Run the steps of this file (JSON with comments; - is standard input)"),
        OPTION_TEXT_ROW(struct run_options, name, 'n', "name", "TEXT", "Call the run so"),
        OPTION_DURATION_ROW(struct run_options, ttl_usec, 0, "ttl", "TIME",
                            "Give up when it has not started after this time, e.g. 8h"),
        OPTION_DURATION_ROW(struct run_options, timeout_usec, 0, "timeout", "TIME",
                            "End a step that runs longer"),
        OPTION_DURATION_ROW(struct run_options, silence_usec, 0, "silence", "TIME",
                            "End a step that prints nothing for so long"),
        OPTION_TEXT_ROW(struct run_options, disk_budget, 0, "disk-budget", "SIZE",
                        "Let it print so much onto the target's disk, e.g. 1G"),
        OPTION_TEXT_ROW(
                struct run_options, over_budget, 0, "over-budget", "WHAT",
                "Beyond that: block (it waits for room) or head+tail (the middle is left out)"),
        OPTION_FLAG_ROW(struct run_options, if_idle, 0, "if-idle",
                        "Now or not at all: refused by a target that is busy"),
        OPTION_FLAG_ROW(struct run_options, detach, 'd', "detach", "Do not wait for the end"),
        OPTION_FLAG_ROW(struct run_options, no_pty, 0, "no-pty",
                        "A plain pipe instead of a terminal for the program"),
        OPTION_END_ROW,
};

static int run_put_plan(struct json_writer *w, const char *path) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(arena_done) struct arena arena = {0};
        CLEANUP(buf_done) struct buf text = {0};
        struct json_at root;
        struct plan plan;
        int r;

        r = json_parse_file(&doc, strcmp(path, "-") == 0 ? "/dev/stdin" : path);
        if (r < 0) {
                say_error("the plan cannot be read: %s: %s", path, strerror(-r));
                return STATUS_USAGE;
        }
        if (r == 0) {
                root = json_root(doc);
                r = plan_read(&root, &arena, &plan);
        }
        if (r == 0)
                r = json_print(&root, &text);
        if (r < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        if (r > 0) {
                say_error("the plan is wrong\n%s", json_error(doc));
                say_hint("an example: {\"name\":\"nightly\",\"steps\":[{\"diag\":\"memory\","
                         "\"params\":{\"size\":\"64M\"}}]}");
                return STATUS_USAGE;
        }
        json_put_raw(w, "plan", buf_text(&text));
        return 0;
}

static int run_put_params(struct json_writer *w, char **words, int n) {
        json_begin_object(w, "params");
        for (int i = 0; i < n; i++) {
                const char *equals = strchr(words[i], '=');
                CLEANUP(mem_free) char *name = NULL;

                if (!equals || equals == words[i]) {
                        say_error("\"%s\" is no parameter", words[i]);
                        say_hint("parameters are name=value; try: rota diag NAME");
                        return STATUS_USAGE;
                }
                name = strndup(words[i], (size_t)(equals - words[i]));
                if (!name) {
                        say_no_memory();
                        return STATUS_INFRA;
                }
                for (int k = 0; k < i; k++)
                        if (strncmp(words[k], words[i], strlen(name) + 1) == 0) {
                                say_error("the parameter %s is given twice", name);
                                return STATUS_USAGE;
                        }
                json_put_str(w, name, equals + 1);
        }
        json_end_object(w);
        return 0;
}

/* What is to be run: a plan, a command after "--", or a diagnostic. */
static int run_put_what(struct json_writer *w, const struct call *call) {
        const struct run_options *o = call->options;
        uint64_t bytes;
        int forms = (o->plan != NULL) + call->dashed + (call->n_before > 1);

        if (forms != 1) {
                say_error(forms == 0 ? "nothing to run" : "more than one thing to run");
                say_hint("try one of: rota run SELECTOR DIAG [name=value…]");
                say_hint("            rota run SELECTOR -- COMMAND [ARG…]");
                say_hint("            rota run SELECTOR --plan FILE");
                say_hint("the diagnostics: rota diag");
                return STATUS_USAGE;
        }
        if (o->disk_budget && units_parse_bytes(o->disk_budget, &bytes) != 0) {
                say_error("\"%s\" is no size", o->disk_budget);
                say_hint("sizes are like 500M, 2G or 100000");
                return STATUS_USAGE;
        }
        if (o->plan && (o->disk_budget || o->over_budget)) {
                say_error("a plan says its disk budget itself");
                say_hint("write \"disk_budget\" and \"over_budget\" into the plan");
                return STATUS_USAGE;
        }
        if (o->plan)
                return run_put_plan(w, o->plan);
        if (!call->dashed) {
                json_put_str(w, "diag", call->operands[1]);
                return run_put_params(w, call->operands + 2, call->n_before - 2);
        }
        if (call->n == call->n_before) {
                say_error("no command after \"--\"");
                return STATUS_USAGE;
        }
        json_begin_array(w, "exec");
        for (int i = call->n_before; i < call->n; i++)
                json_put_str(w, NULL, call->operands[i]);
        json_end_array(w);
        return 0;
}

static int run_request(const struct call *call, struct buf *out) {
        const struct run_options *o = call->options;
        char id[ID_SIZE];
        struct json_writer w;
        int r;

        json_writer_init(&w, out);
        json_begin_object(&w, NULL);
        r = run_put_what(&w, call);
        if (r != 0)
                return r;
        r = id_new(id);
        if (r < 0) {
                say_error("no random bytes: %s", strerror(-r));
                return STATUS_INFRA;
        }
        json_put_str(&w, "id", id);
        if (submit_by())
                json_put_str(&w, "by", submit_by());
        if (o->name)
                json_put_str(&w, "name", o->name);
        if (o->ttl_usec)
                json_put_u64(&w, "ttl_usec", o->ttl_usec);
        if (o->timeout_usec)
                json_put_u64(&w, "timeout_usec", o->timeout_usec);
        if (o->silence_usec)
                json_put_u64(&w, "silence_usec", o->silence_usec);
        if (o->disk_budget)
                json_put_str(&w, "disk_budget", o->disk_budget);
        if (o->over_budget)
                json_put_str(&w, "over_budget", o->over_budget);
        if (o->if_idle)
                json_put_bool(&w, "if_idle", true);
        if (o->no_pty)
                json_put_bool(&w, "pty", false);
        json_end_object(&w);
        if (buf_check(out) < 0) {
                say_no_memory();
                return STATUS_INFRA;
        }
        return 0;
}

static int verb_run_run(const struct call *call) {
        const struct run_options *o = call->options;
        CLEANUP(buf_done) struct buf request = {0};
        int r = run_request(call, &request);

        return r != 0 ? r : submit_run(call, call->operands[0], buf_text(&request), o->detach);
}

const struct verb verb_run = {
        .name = "run",
        .usage = "[OPTION…] SELECTOR DIAG [NAME=VALUE…]\n"
                 "[OPTION…] SELECTOR -- COMMAND [ARGUMENT…]\n"
                 "[OPTION…] SELECTOR --plan FILE",
        .summary = "run a diagnostic, a command or a plan, and follow it",
        .help = "Output is shown as it comes; with several targets each line begins with the "
                "target's name.\n"
                "A run for a target that is busy or absent waits and is done once. Ctrl-C "
                "detaches: the run goes "
                "on, and \"rota watch\" finds it again.\n"
                "What it prints is bounded by the target's disk budget, or a smaller one given "
                "here; rota-target(8) says what happens beyond it.\n"
                "A plan is a file of steps, of which some may be reboots; rota(1) describes it.\n"
                "A free command needs the role admin on the target. There is no shell: each word "
                "is one argument.",
        .options = run_options,
        .options_size = sizeof(struct run_options),
        .complete = "targets diags",
        .operands_min = 1,
        .operands_max = -1,
        .takes_dashes = true,
        .run = verb_run_run,
};
