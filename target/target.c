#include "target/target.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/jid.h"
#include "proto/json.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

#define REST_USEC (2 * USEC_PER_SEC) /* of quiet, before memory is given back */
#define STOP_USEC (3 * USEC_PER_SEC)
#define TIMER_ACCURACY_USEC 500
/* Longer than the way down of a machine that still runs us. */
#define SETTLE_USEC (60 * USEC_PER_SEC)
#define SETTLE_SIMULATED_USEC (3 * USEC_PER_SEC)

uint64_t target_now(void) {
        return clock_boottime_usec();
}

void target_starve(struct target *t) {
        log_error("out of memory: starting anew");
        sd_event_exit(t->event, -ENOMEM);
}

void target_kick(struct target *t) {
        if (t->turn)
                sd_event_source_set_enabled(t->turn, SD_EVENT_ONESHOT);
}

enum role target_role_of(const struct target *t, const char *jid) {
        char domain[JID_SIZE];

        /* Our own server may look at us, and so may we. */
        if (!*jid || jid_same_bare(jid, t->config->jid) ||
            (jid_domain(t->config->jid, domain) == 0 && strcmp(jid, domain) == 0))
                return ROLE_VIEW;
        return role_of(t->config->rules, t->config->n_rules, jid);
}

void target_send(struct target *t) {
        if (buf_check(&t->out) < 0)
                target_starve(t);
        else if (t->out.len > 0)
                link_send(t->link, t->out.data, t->out.len);
        buf_clear(&t->out);
}

/* The connection. */

static void on_online(void *userdata, const char *full_jid) {
        struct target *t = userdata;

        free(t->cause);
        t->cause = NULL;
        if (id_new(t->sid) < 0)
                log_error("no random bytes: this connection keeps the name of the last one");
        log_info("online as %s", full_jid);
        peers_connected(t);
        announce_connected(t);
        target_kick(t);
}

static void on_offline(void *userdata, enum link_cause cause, const char *detail,
                       uint64_t retry_usec) {
        struct target *t = userdata;
        bool said = detail && *detail;

        peers_drop(t, NULL);
        power_forget(t->power);
        free(t->cause);
        t->cause = strdup(link_cause_text(cause));
        t->announce.due = true;
        if (cause != LINK_CLOSED)
                log_warning("offline: %s%s%s%s", link_cause_text(cause), said ? " (" : "",
                            said ? detail : "", said ? ")" : "");
        if (retry_usec == USEC_NEVER) {
                going_closed(t);
                if (t->stopping)
                        t->stop_usec = 0;
        }
        target_kick(t);
}

static bool is_answer(const struct xml *stanza) {
        const char *type = xml_attr(stanza, "type");
        return type && (strcmp(type, "result") == 0 || strcmp(type, "error") == 0);
}

static void on_stanza(void *userdata, const struct xml *stanza) {
        struct target *t = userdata;
        const char *from = xml_attr(stanza, "from");
        int r;

        if (strcmp(xml_name(stanza), "presence") == 0)
                presence_received(t, stanza);
        if (is_answer(stanza)) {
                /* We ask nothing; a message that came back says that its receiver is not there. */
                if (from && strcmp(xml_name(stanza), "message") == 0)
                        peers_drop(t, from);
                return;
        }
        /* after a suspend its sender may be heard before the clock is */
        duty_pump(t, target_now());
        r = router_dispatch(t->router, stanza, &t->out);
        if (r < 0)
                log_error("a stanza of %s could not be served: %s", from ? from : "the server",
                          strerror(-r));
        target_send(t);
}

static void on_trace(void *userdata, enum link_direction direction, const char *text, size_t len) {
        (void)userdata;
        trace_stanza(direction, text, len);
}

static void on_drained(void *userdata) {
        target_kick(userdata);
}

static const struct link_ops link_ops = {
        .online = on_online,
        .offline = on_offline,
        .stanza = on_stanza,
        .trace = on_trace,
        .drained = on_drained,
};

int target_connect(struct target *t) {
        const struct link_config config = {
                .jid = t->config->jid,
                .resource = t->config->resource,
                .password = t->config->password,
                .server = t->config->server,
                .ca_file = t->config->ca_file,
        };
        int r;

        t->link = link_free(t->link);
        r = link_new(&t->link, t->event, &config, &link_ops, t);
        if (r < 0)
                return r;
        link_set_trace(t->link, t->tracing);
        return link_start(t->link);
}

/* The turn of the machines. */

static uint64_t earliest(const struct target *t, uint64_t now_usec) {
        uint64_t all[] = {
                work_deadline(t),       peers_deadline(t, now_usec),
                announce_deadline(t),   t->going.deadline_usec,
                t->rest_usec,           t->stopping ? t->stop_usec : USEC_NEVER,
                t->full_usec,           duty_deadline(t),
                hush_deadline(t->hush),
        };
        uint64_t min = USEC_NEVER;

        for (size_t i = 0; i < ARRAY_SIZE(all); i++)
                if (all[i] < min)
                        min = all[i];
        return min;
}

static int set_timer(struct target *t) {
        uint64_t now_usec = target_now(), at = earliest(t, now_usec);
        int r;

        if (at == USEC_NEVER)
                return sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
        if (at <= now_usec)
                at = now_usec + USEC_PER_MSEC;
        r = sd_event_source_set_time(t->timer, at);
        if (r < 0)
                return r;
        return sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT);
}

static void rest(struct target *t) {
        t->rest_usec = USEC_NEVER;
        codec_rest(t->codec);
        rundir_rest(t->rundir);
        buf_done(&t->out);
        free(t->piece);
        t->piece = NULL;
        malloc_trim(0);
}

/* Persist, commit, then send. */
static int target_pump(struct target *t) {
        uint64_t now_usec = target_now();

        duty_pump(t, now_usec);
        work_pump(t, now_usec);
        going_pump(t, now_usec);
        work_space(t, now_usec);
        announce_pump(t, now_usec);
        refusals_pump(t, now_usec);
        if (peers_pump(t, now_usec))
                t->rest_usec = now_usec + REST_USEC;
        else if (now_usec >= t->rest_usec)
                rest(t);
        if (t->stopping && now_usec >= t->stop_usec)
                return sd_event_exit(t->event, 0);
        return set_timer(t);
}

static int on_turn(sd_event_source *s, void *userdata) {
        (void)s;
        return target_pump(userdata);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        (void)s;
        (void)usec;
        return target_pump(userdata);
}

/* Signals. */

static int on_stop(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        struct target *t = userdata;

        (void)s;
        (void)si;
        if (t->stopping)
                return 0;
        log_info("stopping; what runs goes on");
        sd_notify(0, "STOPPING=1");
        t->stopping = true;
        t->stop_usec = t->going.phase == GOING_DOWN ? 0 : target_now() + STOP_USEC;
        link_stop(t->link);
        target_kick(t);
        return 0;
}

static int catalogue_read(const struct config *c, struct catalogue **ret, struct buf *error) {
        CLEANUP(mem_free) char *text = NULL;
        int r = catalogue_load(ret, c->catalogue, &text);
        if (r == JSON_BAD) {
                buf_printf(error, "%s\nCorrect this diagnostic, or remove it from the catalogue.",
                           text ? text : "the catalogue is malformed");
                return CONFIG_BAD;
        }
        if (r < 0)
                buf_printf(error, "cannot read the catalogue: %s", strerror(-r));
        return r;
}

static bool differs(const char *a, const char *b) {
        return a != b && (!a || !b || strcmp(a, b) != 0);
}

static bool needs_restart(const struct config *a, const struct config *b) {
        return differs(a->jid, b->jid) || differs(a->resource, b->resource) ||
               differs(a->server, b->server) || differs(a->ca_file, b->ca_file) ||
               differs(a->state_dir, b->state_dir) || differs(a->boot_id_file, b->boot_id_file) ||
               differs(a->step_program, b->step_program) || a->step_unit != b->step_unit;
}

static void limits_of(const struct config *c, struct runq_limits *ret) {
        *ret = (struct runq_limits){
                .slots = c->slots,
                .queue_max = c->queue_max,
                .keep_usec = c->keep_usec,
                .settle_usec = c->reboot_simulated ? SETTLE_SIMULATED_USEC : SETTLE_USEC,
        };
}

static int reload(struct target *t) {
        CLEANUP(config_free) struct config *config = NULL;
        CLEANUP(catalogue_free) struct catalogue *catalogue = NULL;
        CLEANUP(buf_done) struct buf error = {0};
        struct runq_limits limits;
        int r = config_load(&config, t->config_path, &error);

        if (r == 0)
                r = catalogue_read(config, &catalogue, &error);
        if (r != 0) {
                log_error("%s\nThe former configuration stays in force.",
                          error.len > 0 ? error.data : strerror(-r));
                return 0;
        }
        if (needs_restart(t->config, config))
                log_warning("jid, resource, server, ca_file, state_dir, boot_id_file and step_… "
                            "change only at a restart");
        /* The link copied what it needs; the directory is open. */
        config_free(t->config);
        t->config = TAKE(config);
        catalogue_free(t->catalogue);
        t->catalogue = TAKE(catalogue);
        limits_of(t->config, &limits);
        runq_set_limits(t->runq, &limits);
        peers_revoke(t);
        work_rooms(t);
        if (link_online(t->link))
                announce_connected(t);
        log_info("configuration read again");
        target_kick(t);
        return 0;
}

static int on_reload(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata) {
        int r;

        (void)s;
        (void)si;
        sd_notify(0, "RELOADING=1");
        r = reload(userdata);
        sd_notify(0, "READY=1");
        return r;
}

/* Beginning and end. */

static int make_caps(struct target *t) {
        const char *const *features = NULL;
        size_t n = router_features(t->router, &features);
        return caps_ver(&target_identity, features, n, t->caps);
}

static int make_event(struct target *t) {
        int r = sd_event_default(&t->event);
        if (r < 0)
                return r;
        sd_event_set_watchdog(t->event, true);
        r = sd_event_add_signal(t->event, NULL, SIGTERM, on_stop, t);
        if (r >= 0)
                r = sd_event_add_signal(t->event, NULL, SIGINT, on_stop, t);
        if (r >= 0)
                r = sd_event_add_signal(t->event, NULL, SIGHUP, on_reload, t);
        if (r >= 0)
                r = sd_event_add_defer(t->event, &t->turn, on_turn, t);
        /* After whatever came in: facts first, then one turn for all of them. */
        if (r >= 0)
                r = sd_event_source_set_priority(t->turn, SD_EVENT_PRIORITY_NORMAL + 10);
        if (r >= 0)
                r = sd_event_add_time(t->event, &t->timer, CLOCK_BOOTTIME, 0, TIMER_ACCURACY_USEC,
                                      on_timer, t);
        if (r >= 0)
                r = sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
        return r < 0 ? r : 0;
}

/* Beside this program (a build tree has it in step/), else where it is installed. */
static int find_step(const struct config *c, struct buf *ret) {
        static const char *const near[] = {"rota-step", "step/rota-step"};
        char self[4096];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

        if (c->step_program) {
                buf_puts(ret, c->step_program);
        } else {
                self[n > 0 ? n : 0] = '\0';
                char *slash = strrchr(self, '/');
                if (slash)
                        slash[1] = '\0';
                for (size_t i = 0; slash && i < ARRAY_SIZE(near); i++) {
                        buf_clear(ret);
                        buf_printf(ret, "%s%s", self, near[i]);
                        if (buf_check(ret) == 0 && access(ret->data, X_OK) == 0)
                                return 0;
                }
                buf_clear(ret);
                buf_puts(ret, ROTA_STEP_PATH);
        }
        if (buf_check(ret) < 0)
                return -ENOMEM;
        return access(ret->data, X_OK) < 0 ? -errno : 0;
}

static int state_error(struct buf *error, const char *what, const char *which, int r,
                       const char *next) {
        buf_printf(error, "%s %s: %s\n%s", what, which, strerror(-r), next);
        return TARGET_STATE;
}

static int open_state(struct target *t, struct buf *error) {
        CLEANUP(buf_done) struct buf step = {0};
        const struct config *c = t->config;
        int r = facts_boot_id(c->boot_id_file, t->boot);

        if (r < 0)
                return state_error(error, "cannot read the boot id from", c->boot_id_file, r,
                                   "Without it a reboot cannot be proven; see boot_id_file in "
                                   "the configuration.");
        r = find_step(c, &step);
        if (r < 0)
                return state_error(error, "cannot find rota-step at", buf_text(&step), r,
                                   "Install it beside rota-target, or name it by step_program in "
                                   "the configuration.");
        r = rundir_open(&t->rundir, c->state_dir);
        if (r == RUNDIR_LOCKED) {
                buf_printf(error,
                           "another rota-target works in %s\nTwo daemons would carry out the same "
                           "runs. Stop the other one, or give this one a state_dir of its own.",
                           c->state_dir);
                return TARGET_STATE;
        }
        if (r < 0)
                return state_error(error, "cannot use the state directory", c->state_dir, r,
                                   "Runs are kept there: it must be a directory this user may "
                                   "write; see state_dir in the configuration.");
        return launcher_new(&t->launcher, t->event, step.data,
                            c->step_unit && launcher_under_systemd());
}

static int make_machines(struct target *t) {
        struct runq_limits limits;
        int r;

        limits_of(t->config, &limits);
        r = runq_new(&t->runq, &limits);
        if (r == 0)
                r = power_new(&t->power);
        if (r == 0)
                r = hush_new(&t->hush);
        if (r == 0)
                r = codec_new(&t->codec);
        if (r == 0)
                r = router_new(&t->router, target_rooms, &target_router_ops, t);
        if (r == 0)
                r = make_caps(t);
        return r;
}

int target_new(struct target **ret, const char *config_path, bool trace, struct buf *ret_error) {
        CLEANUP(target_free) struct target *t = calloc(1, sizeof(*t));
        int r;

        if (!t)
                return -ENOMEM;
        list_init(&t->peers);
        t->config_path = config_path;
        t->tracing = trace;
        t->rest_usec = target_now() + REST_USEC;
        t->full_usec = USEC_NEVER;
        t->going.deadline_usec = USEC_NEVER;
        r = config_load(&t->config, config_path, ret_error);
        if (r == 0)
                r = catalogue_read(t->config, &t->catalogue, ret_error);
        if (r == 0)
                r = make_event(t);
        if (r == 0)
                r = open_state(t, ret_error);
        if (r == 0)
                r = make_machines(t);
        if (r == 0) {
                r = work_restore(t);
                if (r < 0)
                        r = state_error(ret_error, "cannot read the runs in", t->config->state_dir,
                                        r, "They were accepted; the next start tries it again.");
        }
        if (r == 0) {
                r = duty_restore(t);
                if (r < 0)
                        r = state_error(ret_error,
                                        "cannot tell who has reserved this target; unreadable in",
                                        t->config->state_dir, r,
                                        "Look at standing.json and audit there; without "
                                        "standing.json nobody has.");
        }
        if (r == 0)
                r = target_connect(t);
        if (r == -EINVAL) {
                buf_printf(ret_error,
                           "%s: \"server\" is \"%s\"\nExpected host, host:port or [v6]:port.",
                           config_path, t->config->server ? t->config->server : "");
                return CONFIG_BAD;
        }
        if (r != 0)
                return r;
        *ret = TAKE(t);
        return 0;
}

int target_run(struct target *t) {
        target_kick(t);
        sd_notify(0, "READY=1");
        log_info("%s (%s) is ready, boot %s", t->config->name, t->config->jid, t->boot);
        return sd_event_loop(t->event);
}

struct target *target_free(struct target *t) {
        if (!t)
                return NULL;
        work_stop(t);
        going_done(t);
        duty_done(t);
        peers_drop(t, NULL);
        t->link = link_free(t->link);
        router_free(t->router);
        codec_free(t->codec);
        power_free(t->power);
        if (t->hush)
                refusals_pump(t, USEC_NEVER);
        hush_free(t->hush);
        runq_free(t->runq);
        launcher_free(t->launcher);
        rundir_free(t->rundir);
        announce_done(t);
        sd_event_source_disable_unref(t->turn);
        sd_event_source_disable_unref(t->timer);
        sd_event_unref(t->event);
        catalogue_free(t->catalogue);
        config_free(t->config);
        buf_done(&t->out);
        free(t->piece);
        free(t->cause);
        free(t);
        return NULL;
}

int target_check(const char *config_path, struct buf *ret_error) {
        CLEANUP(config_free) struct config *config = NULL;
        CLEANUP(catalogue_free) struct catalogue *catalogue = NULL;
        int r = config_load(&config, config_path, ret_error);

        if (r == 0)
                r = catalogue_read(config, &catalogue, ret_error);
        return r;
}
