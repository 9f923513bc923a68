#include "controller/cli/runinfo.h"
#include "controller/cli/say.h"
#include "controller/cli/term.h"
#include "controller/cli/verb.h"

#include <string.h>

static void why_line(struct buf *out, const char *lead, const char *text) {
        buf_puts(out, lead);
        term_safe(out, text, strlen(text));
        buf_putc(out, '\n');
}

static int why_print(const struct json_at *at, bool colour, struct buf *out) {
        const char *target = NULL;
        const char *state = NULL;
        const char *advice = NULL;
        struct json_at evidence;
        enum table_tone tone;
        int r;

        r = json_get_str(at, "target", &target);
        if (r == 0)
                r = json_get_str(at, "state", &state);
        if (r != 0)
                return r;
        if (!target || !state)
                return json_fail(at, "expected \"target\" and \"state\"");
        term_safe(out, target, strlen(target));
        tone = targetinfo_tone(state);
        buf_printf(out, " is %s", tone_begin(tone, colour));
        term_safe(out, state, strlen(state));
        buf_printf(out, "%s\n", tone_end(tone, colour));
        if (json_get(at, "evidence", &evidence) != 0)
                return 0;
        for (size_t i = 0; i < json_length(&evidence); i++) {
                struct json_at item;
                const char *sentence;

                r = json_item(&evidence, i, &item);
                if (r == 0)
                        r = json_str(&item, &sentence);
                if (r != 0)
                        return r;
                why_line(out, "  - ", sentence);
        }
        (void)json_get_str(at, "advice", &advice);
        if (advice && *advice)
                why_line(out, "  now: ", advice);
        return 0;
}

static int verb_why_run(const struct call *call) {
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(buf_done) struct buf selector = {0};
        CLEANUP(buf_done) struct buf out = {0};
        CLEANUP(mem_free) char *json = NULL;
        struct json_at root;
        int r;

        r = verb_selector(call, 0, call->n, &selector);
        if (r == 0)
                r = client_new(&c, call->socket);
        if (r == 0)
                r = client_call(c, &json, 0, "Why", "s", buf_text(&selector));
        if (r == 0 && call->json)
                return verb_print_json(json);
        if (r == 0)
                r = client_parse(&doc, json);
        if (r != 0)
                return r;
        root = json_root(doc);
        for (size_t i = 0; i < json_length(&root) && r == 0; i++) {
                struct json_at at;

                r = json_item(&root, i, &at);
                if (r == 0)
                        r = why_print(&at, say_colour(STDOUT_FILENO), &out);
        }
        if (r != 0) {
                say_error("the controller's answer cannot be read: %s", json_error(doc));
                return STATUS_INFRA;
        }
        return verb_print(&out);
}

const struct verb verb_why = {
        .name = "why",
        .usage = "SELECTOR…",
        .summary = "say why a target is shown as it is: the evidence",
        .complete = "targets",
        .operands_min = 1,
        .operands_max = -1,
        .run = verb_why_run,
};
