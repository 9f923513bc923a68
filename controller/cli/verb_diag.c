#include "controller/cli/say.h"
#include "controller/cli/term.h"
#include "controller/cli/verb.h"
#include "proto/base/nearest.h"

#include <string.h>

#define DIAG_NAMES_MAX 1024

static const char *diag_str(const struct json_at *at, const char *key) {
        const char *text = NULL;

        return json_get_str(at, key, &text) == 0 && text ? text : "";
}

/* A value of any kind, as it would be typed. */
static int diag_value(const struct json_at *at, const char *key, struct buf *out) {
        struct json_at value;
        const char *text;

        if (json_get(at, key, &value) != 0)
                return 0;
        if (json_type(&value) == JSON_STRING && json_str(&value, &text) == 0)
                return buf_puts(out, text);
        return json_print(&value, out);
}

static void diag_needs(const struct json_at *at, struct buf *out) {
        struct json_at needs;

        if (json_get(at, "needs", &needs) != 0)
                return;
        for (size_t i = 0; i < json_length(&needs); i++) {
                struct json_at need;
                const char *name;

                if (json_item(&needs, i, &need) != 0)
                        continue;
                if (json_type(&need) != JSON_STRING || json_str(&need, &name) != 0)
                        name = diag_str(&need, "program");
                buf_printf(out, "%s%s", i > 0 ? " " : "", name);
        }
}

static void diag_line(struct buf *out, const char *text) {
        term_safe(out, text, strlen(text));
        buf_putc(out, '\n');
}

/* name=default for each parameter. */
static void diag_params(const struct json_at *at, struct buf *out) {
        struct json_at params;

        if (json_get(at, "params", &params) != 0)
                return;
        for (size_t i = 0; i < json_length(&params); i++) {
                struct json_at param;

                if (json_item(&params, i, &param) != 0)
                        continue;
                buf_printf(out, "%s%s=", i > 0 ? " " : "", diag_str(&param, "name"));
                diag_value(&param, "default", out);
        }
}

static int diag_print_one(const struct json_at *at) {
        static const char *const heads[] = {"PARAMETER", "TYPE", "DEFAULT", "HELP", NULL};
        CLEANUP(buf_done) struct buf out = {0};
        CLEANUP(buf_done) struct buf needs = {0};
        CLEANUP(table_done) struct table t;
        struct json_at params;

        table_init(&t, heads);
        buf_printf(&out, "%s: ", diag_str(at, "name"));
        diag_line(&out, diag_str(at, "title"));
        if (*diag_str(at, "help"))
                diag_line(&out, diag_str(at, "help"));
        diag_needs(at, &needs);
        if (needs.len > 0) {
                buf_puts(&out, "needs: ");
                diag_line(&out, buf_text(&needs));
        }
        if (json_get(at, "params", &params) == 0 && json_length(&params) > 0) {
                for (size_t i = 0; i < json_length(&params); i++) {
                        CLEANUP(buf_done) struct buf value = {0};
                        struct json_at param;

                        if (json_item(&params, i, &param) != 0)
                                continue;
                        diag_value(&param, "default", &value);
                        table_put(&t, TABLE_PLAIN, diag_str(&param, "name"));
                        table_put(&t, TABLE_PLAIN, diag_str(&param, "type"));
                        table_put(&t, TABLE_PLAIN, value.len > 0 ? buf_text(&value) : "(required)");
                        table_put(&t, TABLE_PLAIN, diag_str(&param, "help"));
                }
                buf_putc(&out, '\n');
                if (table_print(&t, say_columns(STDOUT_FILENO), 0, say_colour(STDOUT_FILENO), "\n",
                                &out) < 0)
                        return STATUS_INFRA;
        }
        return verb_print(&out);
}

static int diag_find(const struct json_at *root, const char *name, struct json_at *ret) {
        const char *names[DIAG_NAMES_MAX + 1];
        const char *near;
        size_t n = 0;

        for (size_t i = 0; i < json_length(root); i++) {
                if (json_item(root, i, ret) != 0)
                        continue;
                if (strcmp(diag_str(ret, "name"), name) == 0)
                        return 0;
                if (n < DIAG_NAMES_MAX)
                        names[n++] = diag_str(ret, "name");
        }
        names[n] = NULL;
        near = nearest(name, names);
        say_error("there is no diagnostic \"%s\"", name);
        if (near)
                say_hint("did you mean: %s", near);
        say_hint("try: rota diag");
        return STATUS_USAGE;
}

static int diag_print_all(const struct json_at *root) {
        static const char *const heads[] = {"NAME", "TITLE", "PARAMETERS", "NEEDS", NULL};
        CLEANUP(table_done) struct table t;

        table_init(&t, heads);
        for (size_t i = 0; i < json_length(root); i++) {
                CLEANUP(buf_done) struct buf params = {0};
                CLEANUP(buf_done) struct buf needs = {0};
                struct json_at at;

                if (json_item(root, i, &at) != 0)
                        continue;
                diag_params(&at, &params);
                diag_needs(&at, &needs);
                table_put(&t, TABLE_PLAIN, diag_str(&at, "name"));
                table_put(&t, TABLE_PLAIN, diag_str(&at, "title"));
                table_put(&t, TABLE_PLAIN, buf_text(&params));
                table_put(&t, TABLE_FAINT, buf_text(&needs));
        }
        if (table_rows(&t) == 0) {
                say_note("The catalogue is empty.");
                say_hint("the controller reads the folders in its \"catalogue\"; try: rota doctor");
                return 0;
        }
        return verb_print_table(&t);
}

static int verb_diag_run(const struct call *call) {
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(buf_done) struct buf one = {0};
        CLEANUP(mem_free) char *json = NULL;
        struct json_at root;
        struct json_at at;
        int r;

        r = client_new(&c, call->socket);
        if (r == 0)
                r = client_call(c, &json, 0, "Diagnostics", "");
        if (r == 0 && call->json && call->n == 0)
                return verb_print_json(json);
        if (r == 0)
                r = client_parse(&doc, json);
        if (r != 0)
                return r;
        root = json_root(doc);
        if (call->n == 0)
                return diag_print_all(&root);
        r = diag_find(&root, call->operands[0], &at);
        if (r != 0)
                return r;
        if (!call->json)
                return diag_print_one(&at);
        return json_print(&at, &one) < 0 ? STATUS_INFRA : verb_print_json(buf_text(&one));
}

const struct verb verb_diag = {
        .name = "diag",
        .usage = "[NAME]",
        .summary = "list the diagnostics, or explain one",
        .help = "What may be run is said by the target's own catalogue; this is the controller's.",
        .complete = "diags",
        .operands_max = 1,
        .run = verb_diag_run,
};
