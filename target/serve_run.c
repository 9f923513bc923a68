/* Runs: submitted and cancelled. Every refusal is answered with the reason; acceptance is the run's first event. */
#include "target/serve.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/jid.h"
#include "proto/text.h"
#include "proto/units.h"

#include <errno.h>
#include <string.h>

static void refuse(struct target *t, const char *to, const char *run, enum run_refusal why,
                   const char *text) {
        CLEANUP(arena_done) struct arena a = {0};
        /* it may quote what the peer sent, of any length */
        const struct run_refused m = {
                .run = run,
                .why = (int)why,
                .text = text_fit(&a, text, RUN_REFUSED_TEXT_MAX),
        };
        const struct log_field fields[] = {
                {"ROTA_RUN",  run },
                {"ROTA_PEER", to  },
                {NULL,        NULL}
        };

        if (refusal_heard(t, to))
                log_line(LOG_LEVEL_NOTICE, fields, "run %s of %s is refused: %s", run, to, text);
        ext_write_message(&t->out, to, NULL, NULL, &run_refused_element, &m);
        target_send(t);
}

void run_refuse_lost(struct target *t, const char *to, const char *run) {
        if (rundir_retired(t->rundir, run))
                refuse(t, to, run, RUN_REFUSED_OVER,
                       "this run was carried out, delivered and removed before");
        else
                refuse(t, to, run, RUN_REFUSED_UNKNOWN, "this target knows no such run");
}

static enum role role_for(enum plan_step_kind kind) {
        switch (kind) {
        case PLAN_DIAG:
                return ROLE_RUN;
        case PLAN_EXEC:
                return ROLE_ADMIN;
        case PLAN_REBOOT:
        case PLAN_RETURN:
                return ROLE_REBOOT;
        }
        return ROLE_ADMIN;
}

static const char *step_words(const struct plan_step *s) {
        switch (s->kind) {
        case PLAN_DIAG:
                return s->diag;
        case PLAN_EXEC:
                return "a free command";
        case PLAN_REBOOT:
                return "a reboot";
        case PLAN_RETURN:
                return "to leave";
        }
        return "";
}

/* Are all its steps ones this target knows and @role may start? Else 1, and ret_why. */
static int check_plan(const struct target *t, const struct plan *plan, enum role role,
                      struct arena *a, enum run_refusal *ret, const char **ret_why) {
        for (size_t i = 0; i < plan->n_steps; i++) {
                const struct plan_step *s = &plan->steps[i];
                const enum role needed = role_for(s->kind);
                const char *const *argv;
                const char *why = NULL;
                int r = 0;

                if (role < needed) {
                        *ret = RUN_REFUSED_NOT_ALLOWED;
                        *ret_why = arena_printf(
                                a,
                                "step %zu (%s) needs the role %s, the sender has %s; roles are "
                                "given by \"controllers\" in the target's configuration",
                                i + 1, step_words(s), role_name(needed), role_name(role));
                        return *ret_why ? 1 : -ENOMEM;
                }
                if (s->kind == PLAN_DIAG)
                        r = catalogue_expand(t->catalogue, s, a, &argv, &why);
                if (r == CATALOGUE_REFUSED) {
                        *ret = RUN_REFUSED_INVALID;
                        *ret_why = arena_printf(a, "step %zu: %s", i + 1, why);
                        return *ret_why ? 1 : -ENOMEM;
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_plan(const char *text, struct arena *a, struct json_doc **ret_doc,
                     struct plan *ret) {
        struct json_at root;
        int r = json_parse(ret_doc, "plan", text, strlen(text));
        if (r != 0)
                return r;
        root = json_root(*ret_doc);
        return plan_read(&root, a, ret);
}

static bool disk_is_low(struct target *t, struct arena *a, const char **ret_why) {
        CLEANUP(buf_done) struct buf have = {0}, need = {0};
        uint64_t bytes = 0;

        if (rundir_free_bytes(t->rundir, &bytes) < 0 || bytes >= t->config->free_min)
                return false;
        units_print_bytes(&have, bytes);
        units_print_bytes(&need, t->config->free_min);
        *ret_why = arena_printf(a, "only %s are free on the target's disk, free_min is %s",
                                buf_text(&have), buf_text(&need));
        return true;
}

/* Submitted under a reservation that is not in force, or not to wait for the end of another. */
static int check_lease(const struct target *t, const struct run_submit *m, struct arena *a,
                       enum run_refusal *ret, const char **ret_why) {
        struct stanza_error e;

        if (m->lease == 0 && (!m->if_idle || !lease_in_force(&t->duty.lease)))
                return 0;
        if (m->lease != 0 && lease_in_force(&t->duty.lease) &&
            lease_admits(&t->duty.lease, m->lease))
                return 0;
        reserve_refusal(t, a, &e);
        *ret = RUN_REFUSED_LEASED;
        *ret_why = e.text;
        return 1;
}

/* What waits in quarantine, or for the return of a machine that is away, is not to be waited for by @m. */
static int check_kept(const struct target *t, const struct run_submit *m, enum role role,
                      enum run_refusal *ret, const char **ret_why) {
        const struct standing *s = &t->duty.standing;

        if (m->heal && role < ROLE_REBOOT) {
                *ret = RUN_REFUSED_NOT_ALLOWED;
                *ret_why = "to take a target out of quarantine needs the role reboot";
                return 1;
        }
        if (!m->if_idle || (!s->away.on && (!s->quarantine.on || m->heal || m->lease != 0)))
                return 0;
        *ret = RUN_REFUSED_BUSY;
        *ret_why = s->away.on ? "the target is away" : "the target is in quarantine";
        return 1;
}

/* Not idle, because of what? */
static const char *busy_with(const struct target *t, struct arena *a) {
        const struct runq_run *run = runq_first(t->runq);

        if (!run || run->fold.state == RUN_ENDED)
                return "the target is not idle";
        return arena_printf(a, "run %s of %s %s", run->id, run->owner,
                            run->phase == RUNQ_WAITING ? "waits here" : "is on");
}

/* Durable, then known. */
static int accept(struct target *t, const struct run_submit *m, const char *owner,
                  const struct plan *plan, const struct runq_step *steps) {
        CLEANUP(buf_done) struct buf line = {0};
        struct runq_run *run = NULL;
        uint64_t ttl_usec = m->ttl * USEC_PER_SEC;
        const struct event accepted = {
                .kind = EVENT_ACCEPTED,
                .realtime_usec = clock_realtime_usec(),
                .run = m->id,
                .owner = owner,
                .by = m->by,
                .boot = t->boot,
                .up_usec = target_now(),
                .ttl_usec = ttl_usec,
                .exit_status = -1,
        };
        const struct runq_new_run n = {
                .id = m->id,
                .owner = owner,
                .by = m->by,
                .name = plan->name,
                .n_steps = (unsigned)plan->n_steps,
                .lease = m->lease,
                .heal = m->heal,
                .seq = t->seq,
                .steps = steps,
                .expires_usec = ttl_usec ? target_now() + ttl_usec : USEC_NEVER,
        };
        const struct rundir_run d = {
                .id = m->id,
                .owner = owner,
                .by = m->by,
                .name = plan->name,
                .seq = t->seq,
                .n_steps = plan->n_steps,
                .lease = m->lease,
                .heal = m->heal,
        };
        int r = event_write(&accepted, &line);

        if (r == 0)
                r = rundir_accept(t->rundir, &d, m->plan->text, &line);
        if (r < 0)
                return r;
        t->seq++;
        r = runq_accepted(t->runq, &n, &accepted, &run);
        if (r == 0)
                r = work_new(t, run, line.len);
        if (r < 0) {
                /* It is on disk and will be carried out: by the next start of this program. */
                target_starve(t);
                return 0;
        }
        log_info("run %s (%s) of %s is accepted", m->id, plan->name, owner);
        peers_opened(t, run, "events", line.len);
        t->announce.due = true;
        target_kick(t);
        return 0;
}

static int serve_submit(void *userdata, const struct ext_request *rq, const struct run_submit *m) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct target *t = userdata;
        const struct runq_step *steps = NULL;
        const struct runq_run *run;
        enum run_refusal refusal = RUN_REFUSED_INVALID;
        const char *why = NULL;
        char owner[JID_SIZE];
        struct plan plan;
        int r;

        if (rq->role < ROLE_RUN) {
                why = arena_printf(rq->arena,
                                   "the sender may not start runs on this target: it has the role "
                                   "%s and needs run; roles are given by \"controllers\" in the "
                                   "target's configuration",
                                   role_name(rq->role));
                refuse(t, rq->from, m->id, RUN_REFUSED_NOT_ALLOWED, why ? why : "");
                return 0;
        }
        if (jid_bare(rq->from, owner) != 0)
                return 0;
        run = runq_find(t->runq, m->id);
        if (run) {
                log_debug("run %s is known already", m->id);
                peers_offer(t, rq->from, run);
                return 0;
        }
        if (rundir_retired(t->rundir, m->id)) {
                refuse(t, rq->from, m->id, RUN_REFUSED_OVER,
                       "this run was carried out, delivered and removed before");
                return 0;
        }
        if (rq->delayed && m->ttl > 0) {
                /* Its sender resends it with what is left of the time. */
                log_info("run %s of %s waited at a server, nobody knows how long: passed over",
                         m->id, rq->from);
                return 0;
        }
        r = read_plan(m->plan->text, rq->arena, &doc, &plan);
        if (r == JSON_BAD) {
                refuse(t, rq->from, m->id, RUN_REFUSED_INVALID, json_error(doc));
                return 0;
        }
        if (r == 0)
                r = check_plan(t, &plan, rq->role, rq->arena, &refusal, &why);
        if (r < 0)
                return r;
        if (r == 0 && disk_is_low(t, rq->arena, &why)) {
                r = 1;
                refusal = RUN_REFUSED_FULL;
        }
        if (r == 0)
                r = check_lease(t, m, rq->arena, &refusal, &why);
        if (r == 0)
                r = check_kept(t, m, rq->role, &refusal, &why);
        if (r == 0) {
                const struct runq_new_run n = {.id = m->id, .lease = m->lease, .heal = m->heal};

                switch (runq_admits(t->runq, &n, m->if_idle)) {
                case RUNQ_BUSY:
                        r = 1;
                        refusal = RUN_REFUSED_BUSY;
                        why = busy_with(t, rq->arena);
                        break;
                case RUNQ_FULL:
                        r = 1;
                        refusal = RUN_REFUSED_FULL;
                        why = "as many runs wait here as may wait";
                        break;
                default:
                        break;
                }
        }
        if (r == 0) {
                r = work_steps(&plan, rq->arena, &steps);
                if (r == 0)
                        r = accept(t, m, owner, &plan, steps);
                if (r < 0 && r != -ENOMEM) {
                        why = arena_printf(rq->arena, "the target cannot write it to its disk: %s",
                                           strerror(-r));
                        refusal = RUN_REFUSED_FULL;
                        r = 1;
                }
        }
        if (r > 0)
                refuse(t, rq->from, m->id, refusal, why ? why : "");
        return r < 0 ? r : 0;
}

static int serve_cancel(void *userdata, const struct ext_request *rq, const struct run_cancel *m) {
        struct target *t = userdata;
        const struct runq_run *run = runq_find(t->runq, m->run);
        char by[JID_SIZE];
        bool own;
        int r;

        if (jid_bare(rq->from, by) != 0)
                return 0;
        own = run && strcmp(run->owner, by) == 0;
        if (rq->role < ROLE_RUN || (run && !own && rq->role < ROLE_ADMIN)) {
                refuse(t, rq->from, m->run, RUN_REFUSED_NOT_ALLOWED,
                       "only its owner or an admin may cancel it");
                return 0;
        }
        if (!run && rundir_retired(t->rundir, m->run)) {
                refuse(t, rq->from, m->run, RUN_REFUSED_OVER, "this run is over and was removed");
                return 0;
        }
        r = runq_cancelled(t->runq, m->run, m->by ? m->by : by);
        if (r == RUNQ_UNKNOWN)
                refuse(t, rq->from, m->run, RUN_REFUSED_UNKNOWN, "this target knows no such run");
        target_kick(t);
        return r < 0 ? r : 0;
}

static bool listed(const struct runq_run *run, const struct run_list *m) {
        return (!m->id || strncmp(run->id, m->id, strlen(m->id)) == 0) &&
               (m->before == 0 || run->seq < m->before);
}

static int newest_first(const void *a, const void *b) {
        const struct run_item *x = a, *y = b;

        return x->seq < y->seq ? 1 : x->seq > y->seq ? -1 : 0;
}

static void fill_item(const struct runq_run *run, struct run_item *ret) {
        const struct run_fold *f = &run->fold;

        *ret = (struct run_item){
                .id = run->id,
                .seq = run->seq,
                .owner = run->owner,
                .by = run->by,
                .name = run->name,
                .state = run_state_name(f->state),
                .verdict = f->state == RUN_ENDED ? verdict_name(f->verdict) : NULL,
                .step = f->step,
                .of = run->n_steps,
                .accepted = f->accepted_usec / USEC_PER_SEC,
                .ended = f->ended_usec / USEC_PER_SEC,
        };
}

/* All that fit are collected, and the newest are told. */
static int serve_list(void *userdata, const struct ext_request *rq, const struct run_list *m,
                      struct run_items *ret, struct stanza_error *ret_error) {
        struct target *t = userdata;
        size_t limit = m->limit > 0 ? m->limit : RUN_LIST_MAX, n = 0;
        struct run_item *items;

        (void)ret_error;
        for (const struct runq_run *run = runq_first(t->runq); run; run = runq_after(t->runq, run))
                n += listed(run, m);
        items = arena_alloc(rq->arena, (n + 1) * sizeof(*items));
        if (!items)
                return -ENOMEM;
        n = 0;
        for (const struct runq_run *run = runq_first(t->runq); run; run = runq_after(t->runq, run))
                if (listed(run, m))
                        fill_item(run, &items[n++]);
        qsort(items, n, sizeof(*items), newest_first);
        *ret = (struct run_items){
                .item = items, .n_item = n < limit ? n : limit, .more = n > limit};
        for (size_t i = 0; i < ret->n_item; i++) {
                items[i].by = text_fit(rq->arena, items[i].by, 255);
                items[i].name = text_fit(rq->arena, items[i].name, 255);
        }
        return 0;
}

const struct run_ops target_run_ops = {
        .submit = serve_submit, .cancel = serve_cancel, .list = serve_list};
