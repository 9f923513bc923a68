/*
 * The simulation: target, controller, rota-step and their disks in one process, in virtual time, with everything that can
 * go wrong going wrong by chance.
 *
 *   sim [--schedules N] [--from SEED] [--jobs N]      N schedules, one a seed; 1,000 from seed 1 by default
 *   sim --seed SEED [--trace] [--without N,…]         one of them again; with every event; without some of its faults
 *
 * Each schedule runs in a process of its own, so that what a crashed daemon leaves behind is gone with it. A schedule
 * ends when everything has come to rest after the last fault, and then everything must be right (truth.c, people.c).
 */
#include "tests/sim/faults.h"
#include "tests/sim/people.h"
#include "tests/sim/roles.h"
#include "tests/sim/server.h"
#include "tests/sim/truth.h"
#include "tests/sim/vfs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define JOBS_AT_MOST 64
#define REAL_SECONDS 60 /* no schedule takes that long */

struct options {
        uint64_t from;
        uint64_t schedules;
        unsigned jobs;
        bool one;
        bool trace;
        uint64_t without;
        unsigned stop_after;
};

/* What a schedule leaves for the parent. */
struct result {
        uint64_t seed;
        pid_t pid;
        uint64_t tallies[N_TALLIES];
        char invariant[64];
        char finding[1024];
};

static const char target_config[] =
        "{\"jid\":\"%s@lab\",\"password_file\":\"/"
        "secret\",\"server\":\"10.0.0.1:5222\",\"name\":\"%s\","
        "\"controllers\":{\"ctl@lab\":\"admin\"},\"state_dir\":\"/state\",\"catalogue\":[\"/"
        "diag\"],"
        "\"slots\":%u,\"queue_max\":1000,\"keep\":\"%s\",\"free_min\":\"1M\","
        "\"power\":{\"command\":[\"/reboot\"],\"simulated\":false},\"boot_id_file\":\"/boot_id\","
        "\"step_program\":\"/rota-step\"}\n";
static const char controller_config[] =
        "{\"jid\":\"ctl@lab\",\"password_file\":\"/"
        "secret\",\"server\":\"10.0.0.1:5222\",\"accept\":[\"*@lab\"],"
        "\"state_dir\":\"/state\",\"socket\":\"/run/controller.sock\",\"catalogue\":[\"/"
        "diag\"],\"free_min\":\"1M\"}\n";

static struct machine *make_target(struct rng *r, unsigned i, bool journal) {
        struct machine *m;
        char name[8], jid[16], text[1024];

        snprintf(name, sizeof(name), "pc%u", i + 1);
        m = machine_new(name, PART_TARGET, sim_target_main, rng_next(r), journal);
        snprintf(text, sizeof(text), target_config, name, name, rng_chance(r, 250) ? 2U : 1U,
                 rng_chance(r, 300) ? "20s" : "7d");
        disk_put(m->disk, "/target.json", text, 0644);
        disk_put(m->disk, "/rota-step", "", 0755);
        snprintf(jid, sizeof(jid), "%s@lab", name);
        server_account(jid);
        return m;
}

static void on_boot(void *subject, uint64_t unused) {
        (void)unused;
        machine_boot(subject);
}

struct cast {
        struct machine *machines[MACHINES_MAX];
        size_t n;
        uint64_t deadline_usec;
};

static void on_calm(void *subject, uint64_t unused) {
        struct cast *c = subject;

        (void)unused;
        faults_end(c->machines, c->n);
        people_settle(c->deadline_usec);
}

/* The end comes by world_wrong(), or when all is well. */
static void schedule(uint64_t seed, bool trace, uint64_t without) {
        static struct cast cast;
        static struct faults faults;
        struct server_ways server_ways;
        struct people_ways people_ways;
        struct rng *r;
        bool journal;
        uint64_t until;
        size_t n_targets;

        world_new(seed, trace);
        r = &world->rng;
        journal = rng_chance(r, 500);
        until = rng_range(r, 10, 60) * SEC;
        server_ways = (struct server_ways){.forgetful = rng_chance(r, 400),
                                           .patience_usec = rng_range(r, 2, 60) * SEC};
        server_start(&server_ways, rng_next(r));
        server_account("ctl@lab");
        cast.machines[0] =
                machine_new("ctl", PART_CONTROLLER, sim_controller_main, rng_next(r), journal);
        disk_put(cast.machines[0]->disk, "/controller.json", controller_config, 0644);
        n_targets = 1 + (rng_chance(r, 300) ? rng_below(r, 3) : 0);
        for (unsigned i = 0; i < n_targets; i++)
                cast.machines[1 + i] = make_target(r, i, journal);
        cast.n = 1 + n_targets;
        for (size_t i = 0; i < cast.n; i++) {
                struct machine *m = cast.machines[i];

                disk_put(m->disk, "/secret", "secret\n", 0600);
                disk_put(m->disk, "/state/.here", "", 0600);
                disk_put(m->disk, "/diag/.here", "", 0600);
                m->slow_permille = rng_chance(r, 500) ? 30 : 0;
                world_after(rng_below(r, 3 * SEC), on_boot, m, 0);
        }
        truth_start(cast.machines[0], cast.machines + 1, n_targets);
        people_ways = (struct people_ways){
                .n_batches = 1 + rng_below(r, 5),
                .n_reboots = rng_chance(r, 300) ? 1 + rng_below(r, 3) : 0,
                .cancel_permille = rng_chance(r, 400) ? 400 : 0,
                .repeat_permille = rng_chance(r, 300) ? 500 : 0,
                .ttl_permille = rng_chance(r, 200) ? 500 : 0,
                .if_idle_permille = rng_chance(r, 150) ? 500 : 0,
                .reboot_step_permille = rng_chance(r, 250) ? 250 : 0,
                .interrupt_permille = rng_chance(r, 500) ? 600 : 0,
                .replays = rng_chance(r, 300) ? 4 : 0,
                .until_usec = until,
        };
        people_start(&people_ways, cast.machines[0], cast.machines + 1, n_targets, rng_next(r));
        faults_plan(&faults, cast.machines[0], cast.machines + 1, n_targets, until, rng_next(r),
                    without);
        cast.deadline_usec = until + 3600 * SEC;
        world_at(until, on_calm, &cast, 0);
        world_run();
        if (!world->over)
                world_wrong("settled", "nothing is left to happen, and it is not over");
        for (size_t i = 0; trace && i < cast.n; i++)
                disk_print(cast.machines[i]->disk, cast.machines[i]->name);
        world_count(TALLY_VIRTUAL_SECONDS, world->now / SEC);
}

static void run_one(struct result *ret, const struct options *o) {
        alarm(REAL_SECONDS);
        schedule(ret->seed, o->trace, o->without);
        memcpy(ret->tallies, world->tallies, sizeof(ret->tallies));
        memcpy(ret->finding, world->finding, sizeof(ret->finding));
        memcpy(ret->invariant, world->invariant, sizeof(ret->invariant));
}

static void say_died(struct result *r, int status) {
        snprintf(r->invariant, sizeof(r->invariant), "alive");
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
                snprintf(r->finding, sizeof(r->finding),
                         "the schedule did not end within %d real seconds", REAL_SECONDS);
        else if (WIFSIGNALED(status))
                snprintf(r->finding, sizeof(r->finding), "the code died of signal %d",
                         WTERMSIG(status));
        else
                snprintf(r->finding, sizeof(r->finding), "the code ended with %d",
                         WEXITSTATUS(status));
}

static void begin(struct result *slot, uint64_t seed, const struct options *o) {
        pid_t pid;

        memset(slot, 0, sizeof(*slot));
        slot->seed = seed;
        fflush(NULL);
        pid = fork();
        if (pid < 0) {
                perror("sim: fork");
                exit(1);
        }
        if (pid == 0) {
                run_one(slot, o);
                fflush(NULL);
                _exit(0);
        }
        slot->pid = pid; /* the slot is shared: the child has none of its own */
}

static void print_tallies(const uint64_t *sum, uint64_t schedules, uint64_t failed,
                          double seconds) {
        printf("%-32s %12llu\n", "schedules", (unsigned long long)schedules);
        for (unsigned t = 0; t < N_TALLIES; t++)
                printf("%-32s %12llu\n", tally_name((enum tally)t), (unsigned long long)sum[t]);
        printf("%-32s %12llu\n%-32s %12.1f\n", "found wrong", (unsigned long long)failed,
               "real seconds", seconds);
}

static double now_seconds(void) {
        struct timespec ts;

        clock_gettime(CLOCK_MONOTONIC, &ts);
        return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int run_all(const struct options *o) {
        struct result *slots = mmap(NULL, sizeof(*slots) * JOBS_AT_MOST, PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        uint64_t sum[N_TALLIES] = {0}, next = o->from, done = 0, failed = 0,
                 end = o->from + o->schedules;
        double began = now_seconds(), said = began;

        if (slots == MAP_FAILED) {
                perror("sim: mmap");
                return 1;
        }
        for (unsigned i = 0; i < o->jobs && next < end; i++)
                begin(&slots[i], next++, o);
        while (done < o->schedules) {
                struct result *r = NULL;
                int status;
                pid_t pid = wait(&status);

                for (unsigned i = 0; i < o->jobs; i++)
                        if (slots[i].pid == pid)
                                r = &slots[i];
                if (!r)
                        break;
                done++;
                if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                        say_died(r, status);
                for (unsigned t = 0; t < N_TALLIES; t++)
                        sum[t] += r->tallies[t];
                if (r->invariant[0]) {
                        failed++;
                        printf("seed %llu: %s: %s\n", (unsigned long long)r->seed, r->invariant,
                               r->finding);
                }
                r->pid = 0;
                if (next < end && failed < o->stop_after)
                        begin(r, next++, o);
                else
                        end = next;
                if (done == end - o->from)
                        break;
                if (now_seconds() - said >= 60) {
                        said = now_seconds();
                        printf("%llu schedules, all before seed %llu\n", (unsigned long long)done,
                               (unsigned long long)next);
                        fflush(stdout);
                }
        }
        if (!o->one)
                print_tallies(sum, done, failed, now_seconds() - began);
        return failed ? 1 : 0;
}

static uint64_t number(const char *text, const char *what) {
        char *end;
        uint64_t n = strtoull(text, &end, 10);

        if (*text && !*end)
                return n;
        fprintf(stderr, "sim: %s wants a number, not %s\n", what, text);
        exit(2);
}

static int usage(void) {
        fprintf(stderr,
                "usage: sim [--schedules N] [--from SEED] [--jobs N] [--stop-after FINDINGS]\n"
                "       sim --seed SEED [--trace] [--without N,N…]\n");
        return 2;
}

int main(int argc, char **argv) {
        struct options o = {.from = 1, .schedules = 1000, .stop_after = 10};
        long online = sysconf(_SC_NPROCESSORS_ONLN);

        o.jobs = online > 0 && online < JOBS_AT_MOST ? (unsigned)online : 1;
        for (int i = 1; i < argc; i++) {
                const char *value = i + 1 < argc ? argv[i + 1] : "";

                if (strcmp(argv[i], "--trace") == 0) {
                        o.trace = true;
                        continue;
                }
                if (strcmp(argv[i], "--schedules") == 0) {
                        o.schedules = number(value, argv[i]);
                } else if (strcmp(argv[i], "--from") == 0) {
                        o.from = number(value, argv[i]);
                } else if (strcmp(argv[i], "--jobs") == 0) {
                        o.jobs = (unsigned)number(value, argv[i]);
                } else if (strcmp(argv[i], "--stop-after") == 0) {
                        o.stop_after = (unsigned)number(value, argv[i]);
                } else if (strcmp(argv[i], "--seed") == 0) {
                        o.from = number(value, argv[i]);
                        o.schedules = 1;
                        o.one = true;
                } else if (strcmp(argv[i], "--without") == 0) {
                        for (const char *at = value; *at;
                             at += strcspn(at, ",") + (at[strcspn(at, ",")] == ','))
                                o.without |= UINT64_C(1) << (strtoul(at, NULL, 10) % 64);
                } else {
                        return usage();
                }
                i++;
        }
        if (o.jobs == 0 || o.jobs > JOBS_AT_MOST || (o.trace && !o.one))
                return usage();
        setenv("TZ", "UTC", 1);
        tzset();
        if (vfs_start() < 0) {
                fprintf(stderr, "sim: SQLite does not take the simulated disks\n");
                return 1;
        }
        return run_all(&o);
}
