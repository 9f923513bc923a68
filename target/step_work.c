/* How a step is begun, and how it is found out what became of it. */
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "target/core/judge.h"
#include "target/step/step.h"
#include "target/work.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

/* Between SIGTERM and SIGKILL, unless the catalogue says otherwise. */
#define GRACE_USEC (5 * USEC_PER_SEC)
#define CANCEL_GRACE_USEC USEC_PER_SEC
#define FLUSH_BYTES (8u << 20)
#define TERMINATED_USEC (10 * USEC_PER_SEC)

static void find_out(struct work *w, const char *trouble);

/* A file of the attempt at hand. */
static const char *work_file(const struct work *w, const char *suffix,
                             char ret[static STEP_NAME_SIZE]) {
        return step_file(w->run->step, w->run->attempt, suffix, ret);
}

static int run_path(const struct work *w, struct buf *out) {
        return rundir_run_path(w->target->rundir, w->run->id, out);
}

void work_look(struct work *w) {
        struct target *t = w->target;
        uint64_t size = 0;
        char name[STEP_NAME_SIZE];

        if (w->run->step == 0 ||
            rundir_has(t->rundir, w->run->id, work_file(w, "out", name), &size) <= 0)
                return;
        if (w->out_step != w->run->step || w->out_attempt != w->run->attempt) {
                w->out_step = w->run->step;
                w->out_attempt = w->run->attempt;
                w->synced_size = w->flushed_size = 0;
                w->sync_usec = USEC_NEVER;
                peers_opened(t, w->run, name, size);
        } else if (size > w->out_size) {
                peers_grew(t, w->run, name, size);
        }
        w->out_size = size;
        /* Begin writing back now, so that a sync later does not hold the loop for long. */
        if (size - w->flushed_size >= FLUSH_BYTES) {
                w->flushed_size = size;
                rundir_write_back(t->rundir, w->run->id, name);
        }
}

/* Says what became of the step, for good. */
static void tell(struct work *w, uint64_t size, const char *sha256) {
        char name[STEP_NAME_SIZE];
        struct event_stream stream = {.name = work_file(w, "out", name),
                                      .size = size,
                                      .dropped = w->dropped,
                                      .sha256 = sha256};
        struct runq_result result = {
                .verdict = w->verdict,
                .cause = w->cause,
                .limit = w->limit,
                .exit_status = w->exit_status,
                .signal = w->signal,
                .elapsed_usec = w->elapsed_usec,
                .interrupted = w->interrupted,
                .stream = sha256 ? &stream : NULL,
        };

        int r;

        w->launch = launch_free(w->launch);
        w->hash = hash_free(w->hash);
        w->launched = false;
        w->held = false;
        work_look(w);
        /* What the journal says of the output must still be so after a power cut. An exit record can be seen before
         * rota-step has made it durable, and a rota-step that was killed has made nothing durable. */
        r = sha256 ? rundir_sync(w->target->rundir, w->run->id, name) : 0;
        if (r < 0)
                log_warning("cannot sync the output of run %s: %s", w->run->id, strerror(-r));
        if (runq_exited(w->target->runq, w->run, w->run->step, &result) < 0)
                target_starve(w->target);
        free(w->cause);
        w->cause = NULL;
        target_kick(w->target);
}

static void on_hashed(void *userdata, int r, uint64_t size, const char *sha256) {
        struct work *w = userdata;

        if (r < 0) {
                log_warning("cannot read the output of run %s: %s", w->run->id, strerror(-r));
                tell(w, 0, NULL);
        } else {
                tell(w, size, sha256);
        }
}

static void set_verdict(struct work *w, enum verdict verdict, const char *cause) {
        free(w->cause);
        w->cause = cause && *cause ? strdup(cause) : NULL;
        w->verdict = verdict;
        w->limit = NULL;
        w->exit_status = -1;
        w->signal = 0;
        w->elapsed_usec = 0;
        w->dropped = 0;
        w->interrupted = false;
}

static bool under_another_boot(const struct work *w) {
        return strcmp(w->run->fold.step_boot, w->target->boot) != 0;
}

/* Without an exit record nobody has summed up the output yet. */
static void hash_then_tell(struct work *w) {
        CLEANUP(fd_close) int fd = -1;
        char name[STEP_NAME_SIZE];
        int r = 0;

        work_file(w, "out", name);
        w->launch = launch_free(w->launch);
        /* before anybody reads it: a controller may have the true bytes */
        if (under_another_boot(w))
                r = rundir_trim(w->target->rundir, w->run->id, name);
        if (r < 0)
                log_warning("cannot look at the end of the output of run %s: %s", w->run->id,
                            strerror(-r));
        r = rundir_stream(w->target->rundir, w->run->id, name, &fd);
        if (r == 0)
                r = hash_new(&w->hash, w->target->event, TAKE_FD(fd), on_hashed, w);
        if (r < 0)
                tell(w, 0, NULL);
}

static void not_run(struct work *w, const char *cause) {
        set_verdict(w, VERDICT_NOT_RUN, cause);
        hash_then_tell(w);
}

/* What follows is the queue's to say. */
static void interrupted(struct work *w) {
        set_verdict(w, VERDICT_NOT_RUN, NULL);
        w->interrupted = true;
        hash_then_tell(w);
}

/* A machine that goes down sends SIGTERM to everything, perhaps to the program before rota-step knows of it. */
static bool cut_short(const struct work *w, const struct step_exit *e) {
        if (e->cause && strcmp(e->cause, "interrupted") == 0)
                return true;
        if (!under_another_boot(w))
                return false;
        return e->cause ? strcmp(e->cause, "terminated") == 0 : e->signal == SIGTERM;
}

static int on_patience(sd_event_source *s, uint64_t usec, void *userdata) {
        struct work *w = userdata;

        (void)s;
        (void)usec;
        w->waited = true;
        find_out(w, NULL);
        return 0;
}

/* rota-step was told to end, and not by us: does the machine go down? Then the next boot knows better. */
static bool wait_for_the_end(struct work *w, const struct step_exit *e) {
        const struct target *t = w->target;
        int r;

        if (!e->cause || strcmp(e->cause, "terminated") != 0 || w->run->cancel_asked)
                return false;
        if (w->waited && !t->stopping && t->going.phase < GOING_FLUSH)
                return false; /* it did not */
        if (w->patience && !w->waited)
                return true;
        w->waited = false;
        w->patience = sd_event_source_disable_unref(w->patience);
        r = sd_event_add_time_relative(t->event, &w->patience, CLOCK_BOOTTIME, TERMINATED_USEC, 0,
                                       on_patience, w);
        return r >= 0;
}

/* What its catalogue entry says of exit statuses; a plain command has none. */
static void fill_judge(struct work *w, struct arena *a, const char *spec_path,
                       struct judge_step *ret) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct step_spec spec = {0};
        struct plan plan;

        if (step_spec_read(spec_path, a, &spec) == 0) {
                ret->timeout_usec = spec.timeout_usec;
                ret->silence_usec = spec.silence_usec;
        }
        if (rundir_plan(w->target->rundir, w->run->id, a, &doc, &plan) != 0 ||
            w->run->step > plan.n_steps || plan.steps[w->run->step - 1].kind != PLAN_DIAG)
                return;
        const struct catalogue_entry *e =
                catalogue_find(w->target->catalogue, plan.steps[w->run->step - 1].diag);
        if (e) {
                ret->passed = e->passed;
                ret->n_passed = e->n_passed;
                ret->not_run = e->not_run;
                ret->n_not_run = e->n_not_run;
        }
}

/* There is an exit record. */
static void exited(struct work *w) {
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf path = {0}, spec = {0}, cause = {0};
        char name[STEP_NAME_SIZE];
        struct judge_step judge = {0};
        struct step_exit e = {0};
        enum verdict verdict = VERDICT_NOT_RUN;
        int r = run_path(w, &path);

        if (r == 0)
                r = buf_printf(&spec, "%s/%s", path.data, work_file(w, "spec", name));
        if (r == 0)
                r = buf_printf(&path, "/%s", work_file(w, "exit", name));
        if (r == 0)
                r = step_exit_read(path.data, &a, &e);
        if (r == 0 ? cut_short(w, &e) : under_another_boot(w)) {
                interrupted(w);
                return;
        }
        if (r != 0) {
                not_run(w, "the exit record of the step is unreadable");
                return;
        }
        if (wait_for_the_end(w, &e)) {
                w->launch = launch_free(w->launch);
                return;
        }
        fill_judge(w, &a, spec.data, &judge);
        r = judge_step(&judge,
                       &(struct judge_exit){.exit_status = e.exit_status,
                                            .signal = e.signal,
                                            .cause = e.cause,
                                            .text = e.text},
                       &verdict, &cause);
        set_verdict(w, verdict, r < 0 ? NULL : buf_text(&cause));
        w->limit = judge_limit(e.cause);
        w->exit_status = e.exit_status;
        w->signal = e.signal;
        w->elapsed_usec = e.elapsed_usec;
        w->dropped = e.dropped;
        if (e.sha256)
                tell(w, e.size, e.sha256);
        else
                hash_then_tell(w);
}

/*
 * rota-step is gone or did not come; one might yet come, when systemd is slow or our predecessor died just after
 * it launched it. With the lock in our hands we write the exit record for it: whoever comes later finds the
 * step done. 0, or RUNDIR_LOCKED: it is here.
 */
static int forestall(struct work *w, const char *cause, const char *why) {
        CLEANUP(buf_done) struct buf text = {0};
        CLEANUP(fd_close) int lock_fd = -1;
        const struct step_exit e = {.exit_status = -1, .cause = cause, .text = why};
        struct rundir *d = w->target->rundir;
        char name[STEP_NAME_SIZE];
        int r = rundir_lock(d, w->run->id, work_file(w, "lock", name), &lock_fd);

        if (r == RUNDIR_LOCKED)
                return r;
        if (r == 0)
                r = step_exit_write(&e, &text);
        if (r == 0)
                r = rundir_write(d, w->run->id, work_file(w, "exit", name), &text);
        if (r < 0)
                log_error("run %s: cannot close step %u: %s", w->run->id, w->run->step,
                          strerror(-r));
        return 0;
}

static bool phase_open(const struct work *w) {
        switch (w->run->phase) {
        case RUNQ_ADOPTING:
        case RUNQ_LAUNCHING:
        case RUNQ_ON:
                return !w->hash;
        case RUNQ_WAITING:
        case RUNQ_STARTING:
        case RUNQ_DRAINING:
        case RUNQ_REBOOTING:
        case RUNQ_STEPPING:
        case RUNQ_ENDING:
        case RUNQ_OVER:
                return false;
        }
        return false;
}

static void on_gone(void *userdata, const char *trouble) {
        find_out(userdata, trouble);
}

/* It was begun or should have been, nobody holds the lock, and there is no exit record. */
static void gone(struct work *w, const char *path, const char *why) {
        struct target *t = w->target;
        char name[STEP_NAME_SIZE];

        if (forestall(w, "internal", why) != RUNDIR_LOCKED)
                not_run(w, why);
        else if (launch_adopt(&w->launch, t->launcher,
                              step_name(w->run->step, w->run->attempt, name), path, on_gone,
                              w) == 0)
                runq_spawned(t->runq, w->run, w->run->step);
        else /* it came this very moment, and went */
                log_debug("run %s: the exit record of step %u will tell", w->run->id, w->run->step);
}

static int on_again(sd_event_source *s, uint64_t usec, void *userdata) {
        struct work *w = userdata;

        (void)s;
        (void)usec;
        find_out(w, NULL);
        return 0;
}

static void look_again(struct work *w) {
        w->again = sd_event_source_disable_unref(w->again);
        if (sd_event_add_time_relative(w->target->event, &w->again, CLOCK_BOOTTIME, USEC_PER_SEC, 0,
                                       on_again, w) < 0)
                target_starve(w->target);
}

/* The lock, the exit record, the output: in this order, as rota-step lets go of them in the other one. */
static void find_out(struct work *w, const char *trouble) {
        CLEANUP(buf_done) struct buf path = {0}, why = {0};
        struct target *t = w->target;
        struct launch *found = NULL;
        unsigned step = w->run->step;
        char name[STEP_NAME_SIZE];
        int r;

        if (trouble)
                buf_puts(&why, trouble);
        w->launch = launch_free(w->launch); /* @trouble was its */
        if (!phase_open(w))
                return;
        r = run_path(w, &path);
        if (r == 0)
                r = launch_adopt(&found, t->launcher, step_name(step, w->run->attempt, name),
                                 path.data, on_gone, w);
        if (r == 0) {
                w->launch = found;
                w->launched = true;
                runq_spawned(t->runq, w->run, step);
        } else if (r < 0) {
                log_error("run %s: step %u cannot be watched (%s); trying again", w->run->id, step,
                          strerror(-r));
                look_again(w);
        } else if (rundir_has(t->rundir, w->run->id, work_file(w, "exit", name), NULL) > 0) {
                exited(w);
        } else if (under_another_boot(w)) {
                /* nobody of the boot before can hold a lock: that was looked at above */
                (void)forestall(w, "interrupted", "interrupted by a reboot");
                interrupted(w);
        } else if (rundir_has(t->rundir, w->run->id, work_file(w, "out", name), NULL) > 0) {
                gone(w, path.data, "the step was killed: it left no exit record");
        } else if (why.len > 0) {
                gone(w, path.data, why.data);
        } else if (w->launched) {
                gone(w, path.data, "rota-step ended before it began the step");
        } else {
                runq_unstarted(t->runq, w->run, step);
        }
        target_kick(t);
}

static int on_stir(sd_event_source *s, const struct inotify_event *e, void *userdata) {
        struct work *w = userdata;
        char name[STEP_NAME_SIZE];

        (void)s;
        if (e->mask & IN_Q_OVERFLOW || e->len == 0) {
                w->grown = true;
                target_kick(w->target);
                return 0;
        }
        if (strcmp(e->name, work_file(w, "out", name)) == 0) {
                w->grown = true;
                if (w->launch && e->mask & IN_CREATE)
                        launch_stirred(w->launch);
                target_kick(w->target);
        } else if (strcmp(e->name, work_file(w, "held", name)) == 0) {
                step_room_look(w);
        } else if (e->mask & IN_MOVED_TO && strcmp(e->name, work_file(w, "exit", name)) == 0 &&
                   phase_open(w)) {
                exited(w);
        }
        return 0;
}

static int watch(struct work *w, const char *path) {
        if (w->watch)
                return 0;
        return sd_event_add_inotify(w->target->event, &w->watch, path,
                                    IN_CREATE | IN_DELETE | IN_MODIFY | IN_MOVED_TO, on_stir, w);
}

void work_adopt(struct work *w, unsigned step) {
        CLEANUP(buf_done) struct buf path = {0};

        (void)step;
        if (run_path(w, &path) < 0 || watch(w, path.data) < 0)
                log_warning("cannot watch the directory of run %s", w->run->id);
        work_look(w);
        find_out(w, NULL);
        if (w->run->phase == RUNQ_ON) {
                step_room_give(w);
                step_room_look(w);
        }
}

void work_kill(struct work *w, unsigned step) {
        CLEANUP(buf_done) struct buf text = {0};
        char name[STEP_NAME_SIZE];
        int r = buf_puts(&text, "cancelled\n");

        (void)step;
        if (r == 0)
                r = rundir_write(w->target->rundir, w->run->id, work_file(w, "kill", name), &text);
        if (r < 0)
                work_trouble(w->target, w->run, -r);
        else if (w->patience) /* it has ended already, and nobody waits any more */
                find_out(w, NULL);
}

static int step_env(struct work *w, const struct plan *plan, struct arena *a,
                    const char *const **ret) {
        const struct runq_run *run = w->run;
        const char *const pairs[][2] = {
                {"ROTA_RUN",      run->id             },
                {"ROTA_STEP",     arena_printf(a,       "%u", run->step)},
                {"ROTA_ATTEMPT",     arena_printf(a,                         "%u", run->attempt)},
                {"ROTA_STEPS",arena_printf(a,"%zu", plan->n_steps)},
                {"ROTA_PLAN",               plan->name                       },
                {"ROTA_OWNER",          run->owner                           },
                {"ROTA_BY",     run->by ? run->by : ""},
                {"ROTA_TARGET",    w->target->config->jid    },
                {"ROTA_BOOT",       w->target->boot},
        };
        const char **env = arena_alloc(a, (ARRAY_SIZE(pairs) + 1) * sizeof(*env));

        if (!env)
                return -ENOMEM;
        for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
                if (!pairs[i][1])
                        return -ENOMEM;
                env[i] = arena_printf(a, "%s=%s", pairs[i][0], pairs[i][1]);
                if (!env[i])
                        return -ENOMEM;
        }
        *ret = env;
        return 0;
}

enum {
        SPEC_NOT_RUN = 1, /* ret_why */
};

static int diag_spec(struct work *w, const struct plan_step *s, struct arena *a,
                     struct step_spec *spec, const char **ret_why) {
        const struct catalogue_entry *e = catalogue_find(w->target->catalogue, s->diag);
        int r = catalogue_expand(w->target->catalogue, s, a, &spec->argv, ret_why);

        if (r == CATALOGUE_REFUSED)
                return SPEC_NOT_RUN;
        if (r < 0)
                return r;
        for (size_t i = 0; i < e->n_needs; i++) {
                const struct catalogue_need *need = &e->needs[i];
                if (facts_has_program(need->program))
                        continue;
                *ret_why = arena_printf(a, "%s is not installed; install the package %s",
                                        need->program, need->package);
                return *ret_why ? SPEC_NOT_RUN : -ENOMEM;
        }
        if (!s->timeout_usec)
                spec->timeout_usec = e->timeout_usec;
        if (!s->silence_usec)
                spec->silence_usec = e->silence_usec;
        if (e->grace_usec)
                spec->grace_usec = spec->cancel_grace_usec = e->grace_usec;
        if (!s->pty_given)
                spec->pty = e->pty;
        return 0;
}

static int make_spec(struct work *w, struct arena *a, const char *path, struct buf *out,
                     const char **ret_why) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct plan plan;
        struct step_spec spec = {.grace_usec = GRACE_USEC,
                                 .cancel_grace_usec = CANCEL_GRACE_USEC,
                                 .boot = w->target->boot};
        int r = rundir_plan(w->target->rundir, w->run->id, a, &doc, &plan);

        if (r == -ENOMEM)
                return r;
        if (r != 0 || w->run->step > plan.n_steps) {
                *ret_why = "the plan of the run cannot be read any more";
                return SPEC_NOT_RUN;
        }
        const struct plan_step *s = &plan.steps[w->run->step - 1];
        spec.timeout_usec = s->timeout_usec;
        spec.silence_usec = s->silence_usec;
        spec.pty = s->pty != 0;
        spec.budget = step_room(w, &plan);
        spec.head_tail = plan.head_tail;
        spec.hold_usec = w->target->config->disk_budget_wait_usec;
        spec.cwd = arena_printf(a, "%s/work", path);
        r = step_env(w, &plan, a, &spec.env);
        if (r < 0 || !spec.cwd)
                return -ENOMEM;
        switch (s->kind) {
        case PLAN_DIAG:
                r = diag_spec(w, s, a, &spec, ret_why);
                break;
        case PLAN_EXEC:
                spec.argv = s->argv;
                break;
        case PLAN_REBOOT:
        case PLAN_RETURN:
                *ret_why = "a reboot is no program";
                return SPEC_NOT_RUN;
        }
        return r != 0 ? r : step_spec_write(&spec, out);
}

void work_spawn(struct work *w, unsigned step) {
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf path = {0}, spec = {0};
        struct target *t = w->target;
        const char *why = NULL;
        char name[STEP_NAME_SIZE];
        int r = run_path(w, &path);

        w->launched = w->waited = false;
        w->patience = sd_event_source_disable_unref(w->patience);
        if (r == 0)
                r = make_spec(w, &a, path.data, &spec, &why);
        if (r == SPEC_NOT_RUN) {
                not_run(w, why);
                return;
        }
        if (r == 0)
                r = rundir_write(t->rundir, w->run->id, work_file(w, "spec", name), &spec);
        if (r == -ENOSPC || r == -EDQUOT || r == -ENOMEM) {
                work_trouble(t, w->run, -r);
                return;
        }
        if (r == 0)
                r = watch(w, path.data);
        if (r == 0)
                r = launch_start(&w->launch, t->launcher, w->run->id,
                                 step_name(step, w->run->attempt, name), path.data, on_gone, w);
        if (r < 0) {
                not_run(w, arena_printf(&a, "rota-step could not be started: %s", strerror(-r)));
                return;
        }
        work_well(t);
        w->launched = true;
        runq_spawned(t->runq, w->run, step);
}
