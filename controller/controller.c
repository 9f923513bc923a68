#include "controller/controller.h"

#include "controller/api.h"
#include "controller/io/statedir.h"
#include "controller/rooms.h"
#include "controller/trace.h"
#include "ext/disco.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <systemd/sd-daemon.h>

/* ---- the link ---- */

static void notify_status(const struct controller *c) {
        if (link_online(c->link))
                sd_notifyf(0, "STATUS=online as %s", c->config->jid);
        else
                sd_notifyf(0, "STATUS=offline: %s", link_cause_text(c->cause));
}

static void on_online(void *userdata, const char *full_jid) {
        struct controller *c = userdata;

        c->tried = true;
        c->online_at = clock_monotonic_usec();
        c->retry_at = USEC_NEVER;
        c->roster_known = c->kept = false;
        patrol_online(&c->patrol, c->online_at);
        if (id_new(c->sid) < 0) {
                log_error("no random numbers; the connection is not used");
                return;
        }
        log_notice("online as %s", full_jid);
        notify_status(c);
        presence_online(c);
        controller_wake(c);
}

/* What was under way of every run is gone with the connection. */
static void forget_sent(struct controller *c) {
        for (size_t i = 0; i < c->jobs.n_runs; i++)
                c->jobs.runs[i]->sent_sid[0] = c->jobs.runs[i]->cancel_sid[0] = '\0';
}

static void on_offline(void *userdata, enum link_cause cause, const char *detail,
                       uint64_t retry_usec) {
        struct controller *c = userdata;
        bool news = !c->tried || c->online_at > 0 || c->cause != cause;

        c->tried = true;
        c->once |= c->online_at > 0;
        c->hasty |= c->online_at > 0 && !c->fleet.settled;
        c->online_at = 0;
        c->cause = cause;
        free(c->cause_detail);
        c->cause_detail = detail ? strdup(detail) : NULL;
        c->retry_at = retry_usec == USEC_NEVER ? USEC_NEVER : clock_monotonic_usec() + retry_usec;
        if (cause == LINK_CLOSED && c->stopping) {
                sd_event_exit(c->event, 0);
                return;
        }
        if (news)
                log_warning("no connection to the server of %s: %s%s%s%s", c->config->jid,
                            link_cause_text(cause), detail && detail[0] ? " (" : "",
                            detail && detail[0] ? detail : "", detail && detail[0] ? ")" : "");
        notify_status(c);
        fleet_unconfirm(&c->fleet);
        patrol_offline(&c->patrol);
        c->fleet_dirty = true;
        forget_sent(c);
        iqtrack_lost(c->iqs);
        controller_wake(c);
}

static void on_stanza(void *userdata, const struct xml *stanza) {
        CLEANUP(buf_done) struct buf out = {0};
        struct controller *c = userdata;
        const char *type = xml_attr(stanza, "type");
        int r;

        avail_traffic(c, stanza);
        if (strcmp(xml_name(stanza), "iq") == 0 && type &&
            (strcmp(type, "result") == 0 || strcmp(type, "error") == 0)) {
                iqtrack_answered(c->iqs, clock_monotonic_usec(), stanza);
        } else {
                r = router_dispatch(c->router, stanza, &out);
                if (r == ROUTER_UNHANDLED && strcmp(xml_name(stanza), "presence") == 0)
                        presence_other(c, stanza);
                if (r < 0)
                        log_error("a stanza was not served: %s", strerror(-r));
                if (out.len > 0 && buf_check(&out) == 0)
                        link_send(c->link, out.data, out.len);
        }
        /* a fast stream fills the window without ever letting the loop turn */
        if (c->gather.bytes >= GATHER_BYTES)
                pump_run(c);
        controller_wake(c);
}

static void on_drained(void *userdata) {
        controller_wake(userdata);
}

static void on_trace(void *userdata, enum link_direction direction, const char *text, size_t len) {
        CLEANUP(buf_done) struct buf out = {0};
        const struct controller *c = userdata;
        const char *name = direction == LINK_IN ? "in" : "out";

        if (trace_print(&out, text, len) < 0)
                return;
        if (c->options.trace)
                fprintf(stderr, "%s %s", direction == LINK_IN ? "<<" : ">>", buf_text(&out));
        bus_tell_trace(c->bus, name, buf_text(&out));
}

static const struct link_ops link_ops = {
        .online = on_online,
        .offline = on_offline,
        .stanza = on_stanza,
        .trace = on_trace,
        .drained = on_drained,
};

struct facts_now controller_now(const struct controller *c) {
        return (struct facts_now){.monotonic_usec = clock_monotonic_usec(),
                                  .online = link_online(c->link),
                                  .fleet = &c->fleet,
                                  .realtime_usec = clock_realtime_usec()};
}

int controller_offline_text(const struct controller *c, struct buf *out) {
        buf_puts(out, "the controller has no connection to its server (");
        buf_printf(out, "%s; see: rota doctor)",
                   c->tried ? link_cause_name(c->cause) : "connecting");
        return buf_check(out);
}

/* ---- the router ---- */

static enum role role_of_sender(void *userdata, const char *from) {
        const struct controller *c = userdata;
        const struct target *t = fleet_find(&c->fleet, from);

        /* nobody may make this controller do anything: targets and their equals may look */
        return (t && t->subscribed) || presence_accepted(c, from) ||
                               jid_same_bare(from, c->config->jid)
                       ? ROLE_VIEW
                       : ROLE_NONE;
}

static void on_router_refused(void *userdata, const struct ext_request *rq, const char *what,
                              const struct stanza_error *error) {
        (void)userdata;
        log_line(LOG_LEVEL_INFO,
                 (struct log_field[]){
                         {"ROTA_FROM", rq->from},
                         {NULL,        NULL    }
        },
                 "refused %s of %s: %s%s%s", what, rq->from[0] ? rq->from : "the server",
                 stanza_condition_name(error->condition), error->text ? ": " : "",
                 error->text ? error->text : "");
}

static const struct router_ops router_ops = {
        .role_of = role_of_sender,
        .refused = on_router_refused,
};

int controller_ask(struct controller *c, enum ext_kind kind, const char *to,
                   const struct element *e, const void *payload, uint64_t timeout_usec,
                   iq_done *done, void *userdata) {
        CLEANUP(buf_done) struct buf out = {0};
        uint64_t now = clock_monotonic_usec();
        char id[ID_SIZE];
        int r;

        if (!link_online(c->link))
                return LINK_OFFLINE;
        r = iqtrack_ask(c->iqs, to ? to : "", now, now + timeout_usec, done, userdata, id);
        if (r < 0)
                return r;
        r = ext_write_iq(&out, kind, to, id, e, payload);
        if (r == 0)
                r = link_send(c->link, out.data, out.len);
        if (r != 0)
                iqtrack_forget(c->iqs, userdata);
        controller_wake(c);
        return r;
}

/* ---- the loop ---- */

void controller_starve(struct controller *c) {
        log_error("out of memory: starting anew");
        sd_event_exit(c->event, -ENOMEM);
}

void controller_wake(struct controller *c) {
        if (c->pump)
                sd_event_source_set_enabled(c->pump, SD_EVENT_ONESHOT);
}

static uint64_t earlier(uint64_t a, uint64_t b) {
        return a < b ? a : b;
}

/* Everything that waits for a time; the pump follows whatever happened. */
static int on_pump(sd_event_source *source, void *userdata) {
        struct controller *c = userdata;
        uint64_t now = clock_monotonic_usec(), next;

        (void)source;
        iqtrack_expired(c->iqs, now);
        next = presence_tick(c, now);
        next = earlier(next, avail_tick(c, now));
        next = earlier(next, asks_tick(c, now));
        next = earlier(next, desk_tick(c, now));
        next = earlier(next, stream_sync_due(c, now));
        pump_run(c);
        next = earlier(next, pump_deadline(c, now));
        next = earlier(next, iqtrack_deadline(c->iqs));
        if (next == USEC_NEVER)
                return sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        sd_event_source_set_time(c->timer, next);
        return sd_event_source_set_enabled(c->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        (void)source;
        (void)usec;
        controller_wake(userdata);
        return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        struct controller *c = userdata;

        (void)source;
        log_notice("stopping (signal %u)", info->ssi_signo);
        sd_notify(0, "STOPPING=1");
        if (c->stopping)
                return sd_event_exit(c->event, 0);
        c->stopping = true;
        link_stop(c->link);
        return 0;
}

/* SIGHUP: the catalogue anew; the old one stays when the new one cannot be read. */
static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        CLEANUP(catalogue_free) struct catalogue *fresh = NULL;
        CLEANUP(mem_free) char *why = NULL;
        struct controller *c = userdata;
        int r = catalogue_load(&fresh, c->config->catalogue, &why);

        (void)source;
        (void)info;
        if (r != 0) {
                log_error("the catalogue stays as it was: %s", why ? why : strerror(-r));
                return 0;
        }
        catalogue_free(c->catalogue);
        c->catalogue = TAKE(fresh);
        log_notice("the catalogue was read again: %zu diagnostics", catalogue_count(c->catalogue));
        return 0;
}

static int add_sources(struct controller *c) {
        static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
        sigset_t set;
        int r;

        sigemptyset(&set);
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
                sigaddset(&set, signals[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
                r = sd_event_add_signal(c->event, NULL, signals[i],
                                        signals[i] == SIGHUP ? on_reload : on_signal, c);
                if (r < 0)
                        return r;
        }
        r = sd_event_add_defer(c->event, &c->pump, on_pump, c);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->pump, SD_EVENT_ONESHOT);
        if (r >= 0)
                r = sd_event_add_time(c->event, &c->timer, CLOCK_MONOTONIC, UINT64_MAX, 200,
                                      on_timer, c);
        if (r >= 0)
                r = sd_event_source_set_enabled(c->timer, SD_EVENT_OFF);
        return r < 0 ? r : 0;
}

/* ---- beginning ---- */

static int open_state(struct controller *c) {
        CLEANUP(mem_free) char *why = NULL;
        CLEANUP(buf_done) struct buf path = {0};
        const char *dir = c->config->state_dir;
        int r = statedir_open(dir, &c->lock_fd);

        if (r == STATEDIR_TAKEN) {
                log_error("another rota-controller runs with %s; stop it, or give this one a "
                          "state_dir of its own",
                          dir);
                return -EBUSY;
        }
        if (r < 0) {
                log_error("cannot use the state directory %s: %s", dir, strerror(-r));
                return r;
        }
        buf_printf(&path, "%s/store.db", dir);
        if (buf_check(&path) < 0)
                return -ENOMEM;
        r = store_open(&c->store, path.data, &why);
        if (r < 0) {
                log_error("cannot open the store %s: %s", path.data, why ? why : strerror(-r));
                return r;
        }
        buf_clear(&path);
        buf_printf(&path, "%s/runs", dir);
        if (buf_check(&path) < 0)
                return -ENOMEM;
        return sink_new(&c->sink, path.data);
}

/* Files are cut to their rows; a file that is shorter than its row lost bytes that were durable. */
static int cut_files(struct controller *c) {
        for (size_t i = 0; i < c->jobs.n_runs; i++) {
                struct run *run = c->jobs.runs[i];

                for (size_t j = 0; j < run->n_streams; j++) {
                        struct run_stream *s = run->streams[j];
                        uint64_t size;
                        int r = sink_cut(c->sink, run->id, s->name, s->next, &size);

                        if (r < 0)
                                return r;
                        if (r == SINK_SHORT) {
                                log_error("run %s: the file %s has %llu bytes where %llu were "
                                          "stored; "
                                          "asking the target again",
                                          run->id, s->name, (unsigned long long)size,
                                          (unsigned long long)s->next);
                                s->next = s->in.next = size;
                                s->verified = false;
                                s->dirty = true;
                        }
                        s->shown = s->next;
                }
                /* its events are folded again, from the file */
                run->fold = (struct run_fold){.exit_status = -1};
                if (pump_touch(c, run) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int load(struct controller *c) {
        CLEANUP(mem_free) char *why = NULL;
        char instance[ID_SIZE];
        int r = open_state(c);

        if (r < 0)
                return r;
        r = store_instance(c->store, instance);
        if (r == 0)
                r = store_load_fleet(c->store, &c->fleet);
        if (r == 0)
                r = store_load_jobs(c->store, &c->jobs);
        if (r == 0)
                r = cut_files(c);
        if (r < 0) {
                log_error("cannot read what is in %s: %s", c->config->state_dir, strerror(-r));
                return r;
        }
        snprintf(c->resource, sizeof(c->resource), "rota-%s", instance);
        r = catalogue_load(&c->catalogue, c->config->catalogue, &why);
        if (r != 0) {
                log_error("the catalogue of diagnostics cannot be read: %s",
                          why ? why : strerror(-r));
                return r < 0 ? r : -EINVAL;
        }
        return 0;
}

static int open_bus(struct controller *c) {
        const struct config *config = c->config;
        const struct bus_config bus = {
                .path = config->socket,
                .mode = config->trusted_users[0] ? 0666
                        : config->system         ? 0660
                                                 : 0600,
                .trusted_users = config->trusted_users,
        };
        int r = statedir_make_parents(config->socket, config->system ? 0755 : 0700);

        if (r == 0)
                r = bus_new(&c->bus, c->event, &bus, &desk_ops, c);
        if (r == BUS_TAKEN) {
                log_error("another rota-controller answers on %s; stop it, or use --socket",
                          config->socket);
                return -EADDRINUSE;
        }
        if (r < 0)
                log_error("cannot listen on %s: %s", config->socket, strerror(-r));
        return r;
}

static int open_link(struct controller *c) {
        const struct link_config config = {
                .jid = c->config->jid,
                .resource = c->resource,
                .password = c->config->password,
                .server = c->config->server,
                .ca_file = c->config->ca_file,
        };
        int r = link_new(&c->link, c->event, &config, &link_ops, c);

        if (r < 0)
                log_error("cannot prepare the connection: %s", strerror(-r));
        return r;
}

int controller_new(struct controller **ret, const struct config *config,
                   const struct controller_options *options) {
        CLEANUP(controller_free) struct controller *c = calloc(1, sizeof(*c));
        uint64_t seed;
        int r;

        if (!c)
                return -ENOMEM;
        c->lock_fd = -1;
        c->config = config;
        c->options = *options;
        c->retry_at = USEC_NEVER;
        list_init(&c->asks);
        list_init(&c->held);
        fleet_init(&c->fleet);
        if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed)) {
                log_error("no random numbers: %s", strerror(errno));
                return -errno;
        }
        patrol_init(&c->patrol, &c->fleet, seed | 1);
        jobs_init(&c->jobs);
        r = sd_event_new(&c->event);
        if (r >= 0)
                r = add_sources(c);
        if (r >= 0)
                r = iqtrack_new(&c->iqs);
        if (r >= 0)
                r = codec_new(&c->codec);
        if (r >= 0)
                r = router_new(&c->router, controller_rooms, &router_ops, c);
        if (r < 0) {
                log_error("cannot start: %s", strerror(-r));
                return r;
        }
        r = load(c);
        if (r == 0)
                r = open_bus(c);
        if (r == 0)
                r = open_link(c);
        if (r < 0)
                return r;
        *ret = TAKE(c);
        return 0;
}

struct controller *controller_free(struct controller *c) {
        if (!c)
                return NULL;
        asks_end(c);
        desk_drop_held(c);
        link_free(c->link);
        bus_free(c->bus);
        router_free(c->router);
        iqtrack_free(c->iqs);
        codec_free(c->codec);
        catalogue_free(c->catalogue);
        jobs_done(&c->jobs);
        fleet_done(&c->fleet);
        sink_free(c->sink);
        store_free(c->store);
        fd_close(c->lock_fd);
        for (size_t i = 0; i < c->n_pending; i++)
                free(c->pending[i]);
        buf_done(&c->outbox);
        buf_done(&c->told);
        free(c->touched);
        free(c->trouble);
        free(c->cause_detail);
        sd_event_source_unref(c->pump);
        sd_event_source_unref(c->timer);
        sd_event_unref(c->event);
        free(c);
        return NULL;
}

int controller_run(struct controller *c) {
        int r;

        link_set_trace(c->link, c->options.trace);
        /* what the journals say of each run is known before anybody can ask */
        pump_run(c);
        r = link_start(c->link);
        if (r < 0) {
                log_error("cannot start the connection: %s", strerror(-r));
                return r;
        }
        sd_event_set_watchdog(c->event, true);
        sd_notify(0, "READY=1\nSTATUS=connecting");
        controller_wake(c);
        r = sd_event_loop(c->event);
        if (r < 0)
                return r;
        /* what came since the last turn; a stop is no reason to fetch it twice */
        c->gather.synced_usec = 0;
        pump_run(c);
        return 0;
}
