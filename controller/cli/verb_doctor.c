#include "controller/cli/runinfo.h"
#include "controller/cli/say.h"
#include "controller/cli/term.h"
#include "controller/cli/verb.h"
#include "controller/cli/when.h"
#include "proto/base/clock.h"
#include "proto/units.h"

#include <stdarg.h>
#include <string.h>

#define DOCTOR_FREE_LOW (UINT64_C(1) << 30)
#define DOCTOR_CLOCK_EARLIEST                                                                      \
        UINT64_C(1735689600) /* 2025: no machine of ours is older than its software */

enum doctor_grade {
        DOCTOR_OK,
        DOCTOR_WARN,
        DOCTOR_FAIL,
};

struct doctor {
        struct client *client;
        struct buf out;
        bool colour;
        bool failed;
        struct json_doc *status;
        struct json_doc *targets;
};

static void doctor_say(struct doctor *d, enum doctor_grade grade, const char *format, ...)
        __attribute__((format(printf, 3, 4)));

static void doctor_say(struct doctor *d, enum doctor_grade grade, const char *format, ...) {
        static const char *const words[] = {"ok  ", "warn", "FAIL"};
        static const enum table_tone tones[] = {TABLE_GOOD, TABLE_WARN, TABLE_BAD};
        CLEANUP(buf_done) struct buf text = {0};
        va_list ap;

        va_start(ap, format);
        buf_vprintf(&text, format, ap);
        va_end(ap);
        buf_printf(&d->out, "%s%s%s  ", tone_begin(tones[grade], d->colour), words[grade],
                   tone_end(tones[grade], d->colour));
        term_safe(&d->out, buf_text(&text), text.len);
        buf_putc(&d->out, '\n');
        d->failed = d->failed || grade == DOCTOR_FAIL;
}

static void doctor_advise(struct doctor *d, const char *text) {
        buf_puts(&d->out, "      ");
        term_safe(&d->out, text, strlen(text));
        buf_putc(&d->out, '\n');
}

static const char *doctor_str(const struct json_at *at, const char *key) {
        const char *text = NULL;

        return json_get_str(at, key, &text) == 0 && text ? text : "";
}

static bool doctor_writable(const struct json_at *status) {
        const char *store = doctor_str(status, "store");

        return !*store || strcmp(store, "ok") == 0;
}

static void doctor_version(struct doctor *d, const struct json_at *status) {
        const char *version = doctor_str(status, "version");

        if (strcmp(version, ROTA_VERSION) == 0) {
                doctor_say(d, DOCTOR_OK, "controller %s, the same version as this command",
                           version);
                return;
        }
        doctor_say(d, DOCTOR_WARN, "the controller is version %s, this command is " ROTA_VERSION,
                   version);
        doctor_advise(d, "restart the controller after an upgrade");
}

static void doctor_link(struct doctor *d, const struct json_at *status) {
        CLEANUP(buf_done) struct buf retry = {0};
        const char *text = doctor_str(status, "text");
        uint64_t retry_usec = 0;
        bool online = false;

        (void)json_get_bool(status, "online", &online);
        (void)json_get_u64(status, "retry_usec", &retry_usec);
        if (online) {
                doctor_say(d, DOCTOR_OK, "connected to the server as %s%s%s",
                           doctor_str(status, "jid"), *doctor_str(status, "server") ? " at " : "",
                           doctor_str(status, "server"));
                return;
        }
        if (!*doctor_str(status, "cause")) {
                doctor_say(d, DOCTOR_WARN, "connecting to the server as %s",
                           doctor_str(status, "jid"));
                doctor_advise(d, "the controller has just been started; look again in a moment");
                return;
        }
        doctor_say(d, DOCTOR_FAIL, "not connected to the server as %s: %s",
                   doctor_str(status, "jid"), *text ? text : doctor_str(status, "cause"));
        if (retry_usec > 0) {
                buf_puts(&retry, "the next attempt is in ");
                units_print_duration(&retry, retry_usec);
                doctor_advise(d, buf_text(&retry));
        }
}

static void doctor_clock(struct doctor *d) {
        CLEANUP(buf_done) struct buf text = {0};
        uint64_t now = clock_realtime_usec();

        when_print_exact(&text, now);
        if (now / USEC_PER_SEC < DOCTOR_CLOCK_EARLIEST) {
                doctor_say(d, DOCTOR_FAIL, "this machine's clock is wrong: %s", buf_text(&text));
                doctor_advise(d, "certificates are not valid yet then; try: timedatectl");
                return;
        }
        doctor_say(d, DOCTOR_OK, "this machine's clock says %s", buf_text(&text));
}

static void doctor_store(struct doctor *d, const struct json_at *status) {
        CLEANUP(buf_done) struct buf text = {0};
        const char *store = doctor_str(status, "store");
        uint64_t space = 0;

        (void)json_get_u64(status, "free_bytes", &space);
        units_print_bytes(&text, space);
        if (!doctor_writable(status)) {
                doctor_say(d, DOCTOR_FAIL, "the store: %s", store);
                doctor_advise(d, "nothing more is acknowledged until it can be written; targets "
                                 "keep their output");
        }
        if (space < DOCTOR_FREE_LOW)
                doctor_say(d, DOCTOR_WARN, "only %s free in %s", buf_text(&text),
                           doctor_str(status, "state_dir"));
        else
                doctor_say(d, DOCTOR_OK, "%s free in %s", buf_text(&text),
                           doctor_str(status, "state_dir"));
}

static void doctor_pending(struct doctor *d, const struct json_at *status) {
        struct json_at pending;

        if (json_get(status, "pending", &pending) != 0)
                return;
        for (size_t i = 0; i < json_length(&pending); i++) {
                CLEANUP(buf_done) struct buf advice = {0};
                struct json_at at;
                const char *jid;

                if (json_item(&pending, i, &at) != 0 || json_str(&at, &jid) != 0)
                        continue;
                doctor_say(d, DOCTOR_WARN, "%s wants to be a target and is not accepted", jid);
                buf_printf(&advice,
                           "try: rota accept %s, or name it in \"accept\" of the configuration",
                           jid);
                doctor_advise(d, buf_text(&advice));
        }
}

static void doctor_targets(struct doctor *d, const struct json_at *status) {
        struct json_at root = json_root(d->targets);
        CLEANUP(buf_done) struct buf absent = {0};
        CLEANUP(buf_done) struct buf old = {0};
        bool connected = false;
        size_t online = 0;
        size_t n = json_length(&root);

        for (size_t i = 0; i < n; i++) {
                struct targetinfo t;
                struct json_at at;

                if (json_item(&root, i, &at) != 0 || targetinfo_read(&at, &t) != 0)
                        continue;
                online += t.online;
                if (!t.online)
                        buf_printf(&absent, "%s%s", absent.len > 0 ? ", " : "", t.name);
                if (t.online && t.version && *t.version && strcmp(t.version, ROTA_VERSION) != 0)
                        buf_printf(&old, "%s%s (%s)", old.len > 0 ? ", " : "", t.name, t.version);
        }
        if (n == 0) {
                doctor_say(d, DOCTOR_WARN, "there are no targets");
                doctor_advise(d, "a target shows up when its configuration names this controller");
        } else if (json_get_bool(status, "online", &connected) == 0 && !connected) {
                doctor_say(d, DOCTOR_WARN,
                           "%zu targets are known; how they are cannot be told without the server",
                           n);
        } else if (online < n) {
                doctor_say(d, DOCTOR_WARN, "%zu of %zu targets online; not: %s", online, n,
                           buf_text(&absent));
                doctor_advise(d, "try: rota why TARGET");
        } else {
                doctor_say(d, DOCTOR_OK, "%zu of %zu targets online", online, n);
        }
        if (old.len > 0)
                doctor_say(d, DOCTOR_WARN, "other versions than " ROTA_VERSION ": %s",
                           buf_text(&old));
}

static int doctor_catalogue(struct doctor *d) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(mem_free) char *json = NULL;
        struct json_at root;
        int r;

        r = client_call(d->client, &json, 0, "Diagnostics", "");
        if (r == 0)
                r = client_parse(&doc, json);
        if (r != 0)
                return r;
        root = json_root(doc);
        if (json_length(&root) > 0) {
                doctor_say(d, DOCTOR_OK, "%zu diagnostics in the catalogue", json_length(&root));
                return 0;
        }
        doctor_say(d, DOCTOR_WARN, "the catalogue is empty");
        doctor_advise(d, "name its folders in \"catalogue\" of the configuration");
        return 0;
}

static int doctor_ask(struct doctor *d, const char *method, const char *types, const char *argument,
                      struct json_doc **ret) {
        CLEANUP(mem_free) char *json = NULL;
        int r = client_call(d->client, &json, 0, method, types, argument);

        return r != 0 ? r : client_parse(ret, json);
}

static int doctor_examine(struct doctor *d) {
        struct json_at status;
        int r;

        doctor_say(d, DOCTOR_OK, "the controller answers on %s", client_socket(d->client));
        r = doctor_ask(d, "Status", "", NULL, &d->status);
        if (r != 0)
                return r;
        status = json_root(d->status);
        doctor_version(d, &status);
        doctor_link(d, &status);
        doctor_clock(d);
        doctor_store(d, &status);
        r = doctor_ask(d, "Targets", "s", "", &d->targets);
        if (r == STATUS_NOTHING)
                r = json_parse(&d->targets, "none", "[]", 2);
        if (r != 0)
                return r;
        doctor_targets(d, &status);
        doctor_pending(d, &status);
        return doctor_catalogue(d);
}

/* The exit status is that of the words: an attempt that is under way is no failure yet. */
static int doctor_json(const char *json) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at status;
        bool online = true;
        int r = client_parse(&doc, json);

        if (r != 0)
                return r;
        status = json_root(doc);
        (void)json_get_bool(&status, "online", &online);
        r = verb_print_json(json);
        if (r != 0)
                return r;
        return (online || !*doctor_str(&status, "cause")) && doctor_writable(&status)
                       ? STATUS_PASSED
                       : STATUS_INFRA;
}

static int verb_doctor_run(const struct call *call) {
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(mem_free) char *json = NULL;
        struct doctor d = {.colour = say_colour(STDOUT_FILENO)};
        int printed;
        int r;

        r = client_new(&c, call->socket);
        if (r != 0)
                return r;
        d.client = c;
        if (call->json) {
                r = client_call(c, &json, 0, "Status", "");
                return r != 0 ? r : doctor_json(json);
        }
        r = doctor_examine(&d);
        printed = verb_print(&d.out);
        json_free(d.status);
        json_free(d.targets);
        buf_done(&d.out);
        if (r != 0)
                return r;
        return d.failed ? STATUS_INFRA : printed;
}

const struct verb verb_doctor = {
        .name = "doctor",
        .usage = "",
        .summary = "check one thing after the other, and give advice",
        .help = "The socket, versions, the connection to the server, the clock, disk space, "
                "targets, the catalogue. Ends with 3 "
                "when something does not work. With --json the controller's own status.",
        .run = verb_doctor_run,
};
