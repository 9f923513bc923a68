/* Power: the decision, and what happens between a granted reboot and the machine going down. */
#include "target/serve.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define FLUSH_USEC (2500 * USEC_PER_MSEC) /* the link closes within 2 s */
#define LATE_USEC (10 * USEC_PER_SEC)     /* as long as a challenge is good for */
/* Taken on, and yet the machine is up: then we are back. */
#define DOWN_USEC (180 * USEC_PER_SEC)
#define DOWN_SIMULATED_USEC (10 * USEC_PER_SEC)

static const char *mode_name(enum power_mode mode) {
        switch (mode) {
        case POWER_GRACEFUL:
                return "graceful";
        case POWER_FORCE:
                return "force";
        case POWER_DRAIN:
                return "drain";
        }
        return "?";
}

static int serve_challenge(void *userdata, const struct ext_request *rq,
                           struct power_challenge *ret, struct stanza_error *ret_error) {
        struct target *t = userdata;
        const struct runq_run *run = runq_on(t->runq);
        uint8_t random[POWER_RANDOM_SIZE];
        char *nonce = arena_alloc(rq->arena, POWER_NONCE_SIZE);
        int r;

        (void)ret_error;
        if (!nonce)
                return -ENOMEM;
        if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
                return -EIO;
        r = power_challenged(t->power, rq->from, t->sid, t->boot, target_now(), random, nonce);
        explicit_bzero(random, sizeof(random));
        if (r < 0)
                return r;
        ret->nonce = nonce;
        ret->boot = t->boot;
        ret->busy = run != NULL;
        ret->run = run ? run->id : NULL;
        ret->owner = run ? run->owner : NULL;
        ret->simulated = t->config->reboot_simulated;
        return 0;
}

static void decided(const struct ext_request *rq, const struct power_reboot *m, const char *what) {
        const struct log_field fields[] = {
                {"ROTA_PEER", rq->from},
                {NULL,        NULL    }
        };
        log_line(LOG_LEVEL_NOTICE, fields, "reboot (%s) asked by %s%s%s%s%s: %s",
                 mode_name((enum power_mode)m->mode), rq->from, m->by ? " for " : "",
                 m->by ? m->by : "", m->reason ? ", reason: " : "", m->reason ? m->reason : "",
                 what);
}

static const char *stale_text(int r) {
        if (r == POWER_OTHER_BOOT)
                return "the machine has rebooted since; ask for a new challenge";
        if (r == POWER_OTHER_PEER)
                return "the challenge was given to another connection; ask for a new one";
        return "the challenge is used up, older than 10 s, or was never given; ask for a new one";
}

static int refused(const struct target *t, const struct ext_request *rq,
                   const struct power_reboot *m, struct stanza_error *ret_error,
                   struct stanza_error e) {
        /* it is counted when it has been answered (rooms.c) */
        if (refusal_open(t, rq->from))
                decided(rq, m, e.text);
        *ret_error = e;
        return EXT_ERROR;
}

/* From here on nothing begins any more. */
static void begin_flush(struct target *t) {
        t->going.phase = GOING_FLUSH;
        t->going.deadline_usec = USEC_NEVER;
        runq_freeze(t->runq, true);
        t->announce.due = true;
}

static int grant(struct target *t, const struct ext_request *rq, const struct power_reboot *m,
                 bool drain) {
        struct going *g = &t->going;
        char *reason = NULL, *who = strdup(m->by ? m->by : rq->from);

        if (m->reason)
                reason = strdup(m->reason);
        if (!who || (m->reason && !reason)) {
                free(who);
                free(reason);
                return -ENOMEM;
        }
        free(g->who);
        free(g->reason);
        g->who = who;
        g->reason = reason;
        g->mode = (enum power_mode)m->mode;
        g->phase = GOING_DRAIN;
        g->deadline_usec = USEC_NEVER;
        runq_hold(t->runq, true);
        if (!drain)
                begin_flush(t);
        t->announce.due = true;
        target_kick(t);
        return 0;
}

static int serve_reboot(void *userdata, const struct ext_request *rq, const struct power_reboot *m,
                        struct power_rebooting *ret, struct stanza_error *ret_error) {
        struct target *t = userdata;
        const struct runq_run *run = runq_on(t->runq);
        bool drain = m->mode == POWER_DRAIN && run;
        int r = power_answered(t->power, m->nonce, rq->from, t->sid, m->boot, t->boot,
                               target_now());

        if (r != 0)
                return refused(t, rq, m, ret_error,
                               (struct stanza_error){.condition = STANZA_NOT_ACCEPTABLE,
                                                     .why = STANZA_WHY_STALE,
                                                     .text = stale_text(r)});
        if (t->going.phase >= GOING_FLUSH || t->stopping)
                return refused(t, rq, m, ret_error,
                               (struct stanza_error){.condition = STANZA_CONFLICT,
                                                     .text = "it is going down already"});
        if (!lease_admits(&t->duty.lease, m->lease)) {
                struct stanza_error e;

                reserve_refusal(t, rq->arena, &e);
                return refused(t, rq, m, ret_error, e);
        }
        if (m->mode == POWER_GRACEFUL && run)
                return refused(t, rq, m, ret_error,
                               (struct stanza_error){.condition = STANZA_CONFLICT,
                                                     .why = STANZA_WHY_BUSY,
                                                     .run = run->id,
                                                     .owner = run->owner,
                                                     .text = "a run is on this machine"});
        r = grant(t, rq, m, drain);
        if (r < 0)
                return r;
        decided(rq, m, drain ? "granted, when the run has ended" : "granted");
        ret->boot = t->boot;
        ret->simulated = t->config->reboot_simulated;
        ret->draining = drain;
        return 0;
}

const struct power_ops target_power_ops = {.challenge = serve_challenge, .reboot = serve_reboot};

void going_done(struct target *t) {
        struct going *g = &t->going;

        g->reboot = reboot_free(g->reboot);
        free(g->reason);
        free(g->who);
        free(g->trouble);
        *g = (struct going){.deadline_usec = USEC_NEVER};
}

/* The machine did not go down: everything as before. */
static void come_back(struct target *t) {
        struct going *g = &t->going;
        int r;

        if (g->drain_after) {
                g->reboot = reboot_free(g->reboot);
                free(g->trouble);
                *g = (struct going){
                        .phase = GOING_DRAIN,
                        .mode = POWER_DRAIN,
                        .reason = g->reason,
                        .who = g->who,
                        .deadline_usec = USEC_NEVER,
                };
        } else {
                going_done(t);
                runq_hold(t->runq, false);
        }
        runq_freeze(t->runq, false);
        t->announce.due = true;
        r = target_connect(t);
        if (r < 0)
                log_error("cannot connect again: %s", strerror(-r));
        target_kick(t);
}

int going_for(struct target *t, struct runq_run *run, bool force) {
        struct going *g = &t->going;

        if (g->phase >= GOING_FLUSH)
                return -EBUSY;
        g->drain_after = g->phase == GOING_DRAIN;
        g->run = run;
        g->mode = force ? POWER_FORCE : POWER_GRACEFUL;
        begin_flush(t);
        target_kick(t);
        return 0;
}

bool going_stop(struct target *t, const struct runq_run *run) {
        if (t->going.phase == GOING_DOWN || (t->going.run && t->going.run != run))
                return false;
        if (t->going.run == run)
                come_back(t);
        return true;
}

static void on_rebooting(void *userdata, const char *trouble) {
        struct target *t = userdata;
        struct going *g = &t->going;

        /* Acted on by the pump: the reboot is still on the stack. */
        if (trouble) {
                g->trouble = strdup(trouble);
                if (!g->trouble)
                        g->deadline_usec = target_now();
        } else {
                g->taken_on = true;
        }
        target_kick(t);
}

/* It failed for @trouble; NULL: it was taken on, and yet we are here. */
static void stayed_up(struct target *t, const char *trouble) {
        struct runq_run *run = t->going.run;

        if (trouble)
                log_error("the reboot failed: %s; back to work", trouble);
        else
                log_error("the reboot was %s, but this machine is still up; back to work",
                          t->going.taken_on ? "taken on" : "started");
        if (run)
                work_reboot_failed(t, run, trouble);
        come_back(t);
}

static void go_down(struct target *t) {
        CLEANUP(buf_done) struct buf step = {0};
        struct going *g = &t->going;
        const struct config *c = t->config;
        const char *who = g->who, *reason = g->reason;
        int r;

        if (g->run) {
                who = g->run->by ? g->run->by : g->run->owner;
                buf_printf(&step, "step %u of run %s (%s)", g->run->step, g->run->id, g->run->name);
                reason = buf_text(&step);
        }
        g->phase = GOING_DOWN;
        g->deadline_usec = target_now() + (c->reboot_simulated ? DOWN_SIMULATED_USEC : DOWN_USEC);
        log_notice("rebooting now, for %s%s%s%s", who, g->run ? ", " : "", g->run ? reason : "",
                   c->reboot_simulated ? " (simulated)" : "");
        r = reboot_start(&g->reboot, t->event, c->reboot_by_command ? c->reboot_command : NULL,
                         mode_name(g->mode), reason, on_rebooting, t);
        if (r < 0)
                stayed_up(t, strerror(-r));
}

void going_closed(struct target *t) {
        if (t->going.phase == GOING_FLUSH)
                t->going.deadline_usec = 0;
}

void going_pump(struct target *t, uint64_t now_usec) {
        struct going *g = &t->going;

        if (g->run && g->run->phase != RUNQ_REBOOTING)
                come_back(t); /* its time is over */
        switch (g->phase) {
        case GOING_NOT:
                break;
        case GOING_DRAIN:
                if (runq_count_on(t->runq) > 0)
                        break;
                begin_flush(t);
                /* fall through */
        case GOING_FLUSH:
                if (g->deadline_usec == USEC_NEVER) {
                        (void)peers_pump(t, now_usec); /* a journal that says why */
                        announce_pump(t, now_usec);
                        g->deadline_usec = now_usec + FLUSH_USEC;
                        g->late_usec = g->run ? g->run->within_usec : now_usec + LATE_USEC;
                        link_stop(t->link);
                } else if (now_usec >= g->late_usec) {
                        log_error("this program slept between the grant of the reboot and the "
                                  "reboot itself; it is too late for it now, back to work");
                        come_back(t);
                } else if (now_usec >= g->deadline_usec) {
                        go_down(t);
                }
                break;
        case GOING_DOWN:
                if (g->trouble) {
                        CLEANUP(mem_free) char *trouble = TAKE(g->trouble);
                        stayed_up(t, trouble);
                } else if (now_usec >= g->deadline_usec) {
                        stayed_up(t, NULL);
                }
                break;
        }
}
