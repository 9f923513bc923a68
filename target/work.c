#include "target/core/span.h"
#include "target/step/step.h"
#include "target/work.h"

#include "proto/base/clock.h"
#include "proto/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ACTIONS_MAX 256 /* in one turn */
#define SYNC_USEC USEC_PER_SEC
#define SPACE_USEC (5 * USEC_PER_SEC)
#define SPACE_NONE 65536 /* bytes: a step finds nothing to write to */

struct work *work_of(const struct runq_run *run) {
        return run->userdata;
}

void work_free(struct work *w) {
        if (!w)
                return;
        w->run->userdata = NULL;
        sd_event_source_disable_unref(w->watch);
        sd_event_source_disable_unref(w->patience);
        sd_event_source_disable_unref(w->again);
        launch_free(w->launch);
        hash_free(w->hash);
        free(w->cause);
        free(w);
}

int work_new(struct target *t, struct runq_run *run, uint64_t events_size) {
        struct work *w = calloc(1, sizeof(*w));
        if (!w)
                return -ENOMEM;
        w->target = t;
        w->run = run;
        w->events_size = events_size;
        w->sync_usec = USEC_NEVER;
        run->userdata = w;
        return 0;
}

uint64_t work_events_size(struct target *t, const struct runq_run *run) {
        uint64_t size = 0;
        if (run->userdata)
                return work_of(run)->events_size;
        return rundir_has(t->rundir, run->id, "events", &size) > 0 ? size : 0;
}

static void log_run(const struct runq_run *run, enum log_level level, const char *text) {
        const struct log_field fields[] = {
                {"ROTA_RUN",   run->id   },
                {"ROTA_OWNER", run->owner},
                {NULL,         NULL      }
        };
        log_line(level, fields, "run %s (%s): %s", run->id, run->name, text);
}

static void log_event(const struct runq_run *run, const struct event *e) {
        CLEANUP(buf_done) struct buf text = {0};

        switch (e->kind) {
        case EVENT_ACCEPTED:
                buf_puts(&text, "accepted");
                break;
        case EVENT_STARTED:
                buf_printf(&text, "step %u of %u started", e->step, e->of);
                if (e->attempt > 1)
                        buf_printf(&text, " again, attempt %u", e->attempt);
                buf_printf(&text, ": %s", e->title);
                break;
        case EVENT_STEPPED:
                buf_printf(&text, "step %u %s", e->step, verdict_name(e->verdict));
                break;
        case EVENT_REBOOTING:
                buf_printf(&text, "step %u reboots the machine", e->step);
                break;
        case EVENT_CANCEL:
                buf_printf(&text, "cancelled by %s", e->by ? e->by : "its owner");
                break;
        case EVENT_ENDED:
                buf_printf(&text, "%s", verdict_name(e->verdict));
                break;
        }
        if (e->cause)
                buf_printf(&text, ": %s", e->cause);
        log_run(run, LOG_LEVEL_INFO, buf_text(&text));
}

/* The words for "started" are in the plan, which is not kept in memory. */
static const char *step_title(struct target *t, const struct runq_run *run, unsigned step,
                              struct arena *a) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(buf_done) struct buf title = {0};
        struct plan plan;

        if (rundir_plan(t->rundir, run->id, a, &doc, &plan) != 0 || step > plan.n_steps ||
            plan_step_title(&plan.steps[step - 1], &title) < 0)
                return "";
        if (plan.steps[step - 1].kind == PLAN_REBOOT && t->config->reboot_simulated)
                buf_puts(&title, " (simulated)");
        return arena_strdup(a, buf_text(&title));
}

void work_trouble(struct target *t, struct runq_run *run, int error) {
        if (t->trouble != error) {
                log_error("cannot write what run %s needs: %s; it goes on when that is written, "
                          "trying again every second",
                          run->id, strerror(error));
                t->trouble = error;
                t->announce.due = true;
        }
        runq_record_failed(t->runq, run, target_now());
}

void work_well(struct target *t) {
        if (!t->trouble)
                return;
        log_notice("the state directory can be written again");
        t->trouble = 0;
        t->announce.due = true;
}

void work_space(struct target *t, uint64_t now_usec) {
        bool on = runq_count_on(t->runq) > 0, full = false;
        uint64_t bytes;

        if (on && t->full_usec != USEC_NEVER && now_usec < t->full_usec)
                return;
        t->full_usec = on ? now_usec + SPACE_USEC : USEC_NEVER;
        if (on && rundir_free_bytes(t->rundir, &bytes) == 0)
                full = bytes < SPACE_NONE;
        if (full == t->full)
                return;
        if (full)
                log_error("the disk is full: what runs is held until there is space");
        t->full = full;
        t->announce.due = true;
}

static void record(struct target *t, struct runq_action *a) {
        CLEANUP(arena_done) struct arena arena = {0};
        CLEANUP(buf_done) struct buf lines = {0};
        struct work *w = work_of(a->run);
        int r = 0;

        for (size_t i = 0; i < a->n_events && r == 0; i++) {
                struct event *e = &a->events[i];
                e->realtime_usec = clock_realtime_usec();
                if (e->kind == EVENT_STARTED || e->kind == EVENT_REBOOTING) {
                        e->boot = t->boot;
                        e->up_usec = target_now();
                }
                if (e->kind == EVENT_STEPPED && runq_at_reboot(a->run)) {
                        e->boot = t->boot;
                        /* over two boots no other clock is left; for people */
                        if (e->realtime_usec > a->run->fold.step_usec)
                                e->elapsed_usec = e->realtime_usec - a->run->fold.step_usec;
                }
                if (e->kind == EVENT_STARTED) {
                        e->title = step_title(t, a->run, e->step, &arena);
                        if (!e->title)
                                r = -ENOMEM;
                }
                if (r == 0)
                        r = event_write(e, &lines);
        }
        if (r == 0)
                r = rundir_append(t->rundir, a->run->id, w->events_size, &lines);
        if (r < 0) {
                work_trouble(t, a->run, -r);
                return;
        }
        work_well(t);
        w->events_size += lines.len;
        for (size_t i = 0; i < a->n_events; i++)
                log_event(a->run, &a->events[i]);
        for (size_t i = 0; i < a->n_events; i++)
                if (a->events[i].kind == EVENT_STEPPED && runq_at_leave(a->run))
                        leave_ends(t);
        runq_recorded(t->runq, a->run, a->events, a->n_events);
        peers_grew(t, a->run, "events", w->events_size);
        t->announce.due = true;
        if (a->run->phase == RUNQ_OVER)
                duty_run_ended(t, a->run, a->run->fold.verdict);
        if (a->run->phase == RUNQ_OVER)
                work_free(w);
}

static void retire(struct target *t, struct runq_run *run) {
        int r = rundir_retire(t->rundir, run->id);
        if (r < 0 && r != -ENOENT) {
                log_warning("cannot remove run %s: %s", run->id, strerror(-r));
                runq_record_failed(t->runq, run, target_now());
                return;
        }
        log_run(run, LOG_LEVEL_INFO, "retired");
        peers_retired(t, run->id);
        runq_retired(t->runq, run);
}

/* While no controller of the owner is here, our disk is the only copy. */
static void sync_output(struct work *w, uint64_t now_usec) {
        char name[STEP_NAME_SIZE];
        int r;

        if (now_usec < w->sync_usec)
                return;
        w->sync_usec = USEC_NEVER;
        r = rundir_sync(w->target->rundir, w->run->id,
                        step_file(w->out_step, w->out_attempt, "out", name));
        if (r < 0)
                log_warning("cannot sync the output of run %s: %s", w->run->id, strerror(-r));
        else
                w->synced_size = w->out_size;
}

static void works_look(struct target *t, uint64_t now_usec) {
        for (struct runq_run *run = runq_first(t->runq); run && run->phase != RUNQ_OVER;
             run = runq_after(t->runq, run)) {
                struct work *w = work_of(run);
                if (w->grown) {
                        w->grown = false;
                        work_look(w);
                        if (w->out_size > w->synced_size && w->sync_usec == USEC_NEVER &&
                            !peers_present(t, run->owner))
                                w->sync_usec = now_usec + SYNC_USEC;
                }
                sync_output(w, now_usec);
        }
}

void work_pump(struct target *t, uint64_t now_usec) {
        struct runq_action a;
        unsigned n = 0;

        works_look(t, now_usec);
        for (; n < ACTIONS_MAX && runq_next(t->runq, now_usec, &a) != RUNQ_NOTHING; n++) {
                switch (a.what) {
                case RUNQ_NOTHING:
                        break;
                case RUNQ_RECORD:
                        record(t, &a);
                        break;
                case RUNQ_SPAWN:
                        work_spawn(work_of(a.run), a.step);
                        break;
                case RUNQ_ADOPT:
                        work_adopt(work_of(a.run), a.step);
                        break;
                case RUNQ_KILL:
                        if (runq_at_reboot(a.run))
                                work_reboot_kill(work_of(a.run), a.step);
                        else
                                work_kill(work_of(a.run), a.step);
                        break;
                case RUNQ_REBOOT:
                        work_reboot(work_of(a.run), a.step);
                        break;
                case RUNQ_RETIRE:
                        retire(t, a.run);
                        break;
                }
        }
        if (n == ACTIONS_MAX)
                target_kick(t);
}

uint64_t work_deadline(const struct target *t) {
        uint64_t min = runq_deadline(t->runq);

        for (struct runq_run *run = runq_first(t->runq); run && run->phase != RUNQ_OVER;
             run = runq_after(t->runq, run))
                if (work_of(run)->sync_usec < min)
                        min = work_of(run)->sync_usec;
        return min;
}

void work_stop(struct target *t) {
        for (struct runq_run *run = t->runq ? runq_first(t->runq) : NULL; run;
             run = runq_after(t->runq, run))
                work_free(run->userdata);
}

struct restoring {
        struct target *target;
        uint64_t now_usec;
        uint64_t realtime_usec;
};

int work_steps(const struct plan *plan, struct arena *a, const struct runq_step **ret) {
        struct runq_step *steps = arena_alloc(a, plan->n_steps * sizeof(*steps));

        if (!steps)
                return -ENOMEM;
        for (size_t i = 0; i < plan->n_steps; i++) {
                const struct plan_step *s = &plan->steps[i];

                steps[i] = (struct runq_step){
                        .reboot = s->kind == PLAN_REBOOT || s->kind == PLAN_RETURN,
                        .leaves = s->kind == PLAN_RETURN,
                        .force = s->force,
                        .within_usec = s->within_usec,
                        .on_interrupt = s->on_interrupt,
                        .retries = s->retries,
                };
        }
        *ret = steps;
        return 0;
}

/* Without its plan the run ends at its next step, which says so. */
static void restore_steps(struct target *t, const struct rundir_found *f, struct arena *a,
                          const struct runq_step **ret) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct plan plan;

        if (f->fold.state == RUN_ENDED || rundir_plan(t->rundir, f->run.id, a, &doc, &plan) != 0 ||
            plan.n_steps != f->run.n_steps || work_steps(&plan, a, ret) < 0)
                *ret = NULL;
}

static int restore_one(void *userdata, const struct rundir_found *f) {
        CLEANUP(arena_done) struct arena arena = {0};
        CLEANUP(buf_done) struct buf cause = {0};
        struct restoring *at = userdata;
        struct target *t = at->target;
        struct runq_run *run = NULL;
        uint64_t retire_usec = USEC_NEVER;
        struct runq_new_run n = {
                .id = f->run.id,
                .owner = f->run.owner,
                .by = f->run.by,
                .name = f->run.name,
                .n_steps = (unsigned)f->run.n_steps,
                .seq = f->run.seq,
                .lease = f->run.lease,
                .heal = f->run.heal,
                .expires_usec = USEC_NEVER,
                .rebooted = strcmp(f->fold.step_boot, t->boot) != 0,
        };
        int r;

        restore_steps(t, f, &arena, &n.steps);
        if (f->fold.ttl_usec > 0)
                n.expires_usec = span_ends(
                        &(struct span){.length_usec = f->fold.ttl_usec,
                                       .began_usec = f->fold.accepted_usec,
                                       .up_usec = f->fold.accepted_up_usec,
                                       .same_boot = strcmp(f->fold.accepted_boot, t->boot) == 0},
                        at->realtime_usec, at->now_usec);
        if (f->delivered_usec > 0)
                retire_usec = span_ends(&(struct span){.length_usec = t->config->keep_usec,
                                                       .began_usec = f->delivered_usec},
                                        at->realtime_usec, at->now_usec);
        if (f->last_cause &&
            buf_printf(&cause, "step %u: %s", f->last_cause_step, f->last_cause) == 0)
                n.last_cause = cause.data;
        if (f->run.seq >= t->seq)
                t->seq = f->run.seq + 1;
        r = runq_restored(t->runq, &n, &f->fold, retire_usec, &run);
        if (r == 0 && run->phase != RUNQ_OVER)
                r = work_new(t, run, f->events_size);
        return r;
}

static void restore_bad(void *userdata, const char *run, const char *why) {
        (void)userdata;
        log_error("runs/%s is left alone: %s", run, why);
}

int work_restore(struct target *t) {
        struct restoring at = {
                .target = t,
                .now_usec = target_now(),
                .realtime_usec = clock_realtime_usec(),
        };
        return rundir_scan(t->rundir, restore_one, restore_bad, &at);
}
