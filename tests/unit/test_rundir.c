#include "tests/support/check.h"

#include "target/io/rundir.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PLAN "{\"name\":\"two\",\"steps\":[{\"exec\":[\"true\"]},{\"exec\":[\"false\"]}]}"

struct fixture {
        char path[64];
        struct rundir *d;
        struct rundir_found found[8]; /* strings are not kept: only values are looked at */
        char ids[8][16];
        char cause[64];
        size_t n;
        size_t n_bad;
};

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) {
        (void)st;
        (void)kind;
        (void)at;
        return remove(path);
}

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));
        snprintf(f->path, sizeof(f->path), "/tmp/rundir-XXXXXX");
        assert_non_null(mkdtemp(f->path));
        assert_int_equal(rundir_open(&f->d, f->path), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;
        rundir_free(f->d);
        nftw(f->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        free(f);
        return 0;
}

static void again(struct fixture *f) {
        f->d = rundir_free(f->d);
        assert_int_equal(rundir_open(&f->d, f->path), 0);
}

static int each(void *userdata, const struct rundir_found *found) {
        struct fixture *f = userdata;
        f->found[f->n] = *found;
        snprintf(f->ids[f->n], sizeof(f->ids[0]), "%s", found->run.id);
        snprintf(f->cause, sizeof(f->cause), "%s", found->last_cause ? found->last_cause : "");
        f->n++;
        return 0;
}

static void bad(void *userdata, const char *run, const char *why) {
        struct fixture *f = userdata;
        assert_non_null(run);
        assert_non_null(why);
        f->n_bad++;
}

static void scan(struct fixture *f) {
        f->n = f->n_bad = 0;
        assert_int_equal(rundir_scan(f->d, each, bad, f), 0);
}

static uint64_t line(struct buf *out, struct event e) {
        size_t before = out->len;
        assert_int_equal(event_write(&e, out), 0);
        return out->len - before;
}

static uint64_t accept_run(struct fixture *f, const char *id, uint64_t seq) {
        CLEANUP(buf_done) struct buf b = {0};
        const struct rundir_run run = {
                .id = id, .owner = "ctl@lab", .by = "ana", .name = "two", .seq = seq, .n_steps = 2};
        uint64_t size = line(&b, (struct event){.kind = EVENT_ACCEPTED,
                                                .realtime_usec = 7,
                                                .run = id,
                                                .owner = "ctl@lab",
                                                .boot = "b00t",
                                                .ttl_usec = 5000000,
                                                .exit_status = -1});
        assert_int_equal(rundir_accept(f->d, &run, PLAN, &b), 0);
        return size;
}

static void write_raw(struct fixture *f, const char *name, int flags, const char *text) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", f->path, name);
        int fd = open(path, O_WRONLY | O_CREAT | flags, 0640);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        close(fd);
}

static bool exists(struct fixture *f, const char *name) {
        char path[256];
        snprintf(path, sizeof(path), "%s/%s", f->path, name);
        return access(path, F_OK) == 0;
}

static void accepted_runs_come_back_in_order(void **state) {
        struct fixture *f = *state;
        uint64_t size;

        accept_run(f, "zz", 1);
        size = accept_run(f, "aa", 2);
        again(f);
        scan(f);
        assert_int_equal(f->n, 2);
        assert_string_equal(f->ids[0], "zz");
        assert_string_equal(f->ids[1], "aa");
        assert_int_equal(f->found[1].events_size, size);
        assert_int_equal(f->found[1].run.seq, 2);
        assert_int_equal(f->found[1].run.n_steps, 2);
        assert_int_equal(f->found[1].fold.state, RUN_QUEUED);
        assert_int_equal(f->found[1].fold.ttl_usec, 5000000);
        assert_int_equal(f->found[1].delivered_usec, 0);
}

static void an_id_is_one_directory(void **state) {
        struct fixture *f = *state;
        CLEANUP(buf_done) struct buf b = {0};
        const struct rundir_run run = {.id = "r1", .owner = "eve@lab", .name = "n", .n_steps = 1};

        accept_run(f, "r1", 1);
        line(&b, (struct event){.kind = EVENT_ACCEPTED, .run = "r1", .owner = "eve@lab"});
        assert_int_equal(rundir_accept(f->d, &run, PLAN, &b), -EEXIST);
        assert_false(exists(f, "runs/.new-r1"));
        scan(f);
        assert_int_equal(f->n, 1);
}

static void appended_lines_are_folded(void **state) {
        struct fixture *f = *state;
        CLEANUP(buf_done) struct buf b = {0};
        uint64_t at = accept_run(f, "r1", 1);

        line(&b,
             (struct event){
                     .kind = EVENT_STARTED, .step = 1, .of = 2, .boot = "b00t", .title = "true"});
        assert_int_equal(rundir_append(f->d, "r1", at, &b), 0);
        at += b.len;
        buf_clear(&b);
        line(&b, (struct event){.kind = EVENT_STEPPED,
                                .step = 1,
                                .verdict = VERDICT_FAILED,
                                .cause = "exited with 3",
                                .exit_status = 3});
        assert_int_equal(rundir_append(f->d, "r1", at, &b), 0);
        again(f);
        scan(f);
        assert_int_equal(f->found[0].fold.state, RUN_RUNNING);
        assert_false(f->found[0].fold.step_open);
        assert_int_equal(f->found[0].fold.worst, VERDICT_FAILED);
        assert_string_equal(f->cause, "exited with 3");
        assert_int_equal(f->found[0].events_size, at + b.len);
}

static void a_torn_line_is_cut(void **state) {
        struct fixture *f = *state;
        uint64_t at = accept_run(f, "r1", 1), size = 0;

        write_raw(f, "runs/r1/events", O_APPEND, "{\"t\":8,\"ev\":\"can");
        again(f);
        scan(f);
        assert_int_equal(f->found[0].events_size, at);
        assert_int_equal(rundir_has(f->d, "r1", "events", &size), 1);
        assert_int_equal(size, at);
}

static void a_failed_write_leaves_nothing(void **state) {
        struct fixture *f = *state;
        CLEANUP(buf_done) struct buf b = {0};
        uint64_t at = accept_run(f, "r1", 1), size = 0;

        /* what a write that was given up left behind is longer than what comes in its place */
        write_raw(f, "runs/r1/events", O_APPEND, "{\"half of a line that was never announced\"");
        line(&b, (struct event){.kind = EVENT_CANCEL, .by = "ana"});
        assert_int_equal(rundir_append(f->d, "r1", at, &b), 0);
        assert_int_equal(rundir_has(f->d, "r1", "events", &size), 1);
        assert_int_equal(size, at + b.len);
        again(f);
        scan(f);
        assert_int_equal(f->found[0].events_size, at + b.len);
        assert_true(f->found[0].fold.cancel_asked);
}

static void zeros_at_the_end_are_trimmed(void **state) {
        static const struct {
                const char *text;
                off_t size, left;
        } rows[] = {
                {"abc", 3,               3              },
                {"abc", 5,               3              },
                {"abc", 4096,            3              },
                {"abc", 3 * 4096 + 1,    3              },
                {"",    10,              0              },
                {"",    0,               0              },
                {"abc", (3 << 20) + 100, (2 << 20) + 100}, /* but not for ever */
        };
        struct fixture *f = *state;
        char path[256];
        uint64_t size = 1;

        accept_run(f, "r1", 1);
        assert_int_equal(rundir_trim(f->d, "r1", "1.out"), 0);
        assert_int_equal(rundir_has(f->d, "r1", "1.out", NULL), 0);
        snprintf(path, sizeof(path), "%s/runs/r1/1.out", f->path);
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
                write_raw(f, "runs/r1/1.out", O_CREAT | O_TRUNC, rows[i].text);
                assert_int_equal(truncate(path, rows[i].size), 0);
                assert_int_equal(rundir_trim(f->d, "r1", "1.out"), 0);
                assert_int_equal(rundir_has(f->d, "r1", "1.out", &size), 1);
                assert_int_equal(size, rows[i].left);
        }
}

static void half_made_and_half_removed_are_swept(void **state) {
        struct fixture *f = *state;
        char path[256];

        accept_run(f, "r1", 1);
        accept_run(f, "r2", 2);
        snprintf(path, sizeof(path), "%s/runs/.new-x", f->path);
        assert_int_equal(mkdir(path, 0700), 0);
        write_raw(f, "runs/.new-x/plan.json", 0, "{");
        write_raw(f, "tombstones/r2", 0, ""); /* the tombstone came first, then the cut */
        again(f);
        scan(f);
        assert_int_equal(f->n, 1);
        assert_string_equal(f->ids[0], "r1");
        assert_false(exists(f, "runs/.new-x"));
        assert_false(exists(f, "runs/r2"));
        assert_true(rundir_retired(f->d, "r2"));
}

static void retired_ids_are_remembered(void **state) {
        struct fixture *f = *state;
        char data[4];

        accept_run(f, "r1", 1);
        write_raw(f, "runs/r1/work/leftover", 0, "x");
        write_raw(f, "runs/r1/1.out", 0, "abcdef");
        assert_int_equal(rundir_read(f->d, "r1", "1.out", 2, data, 4), 4);
        assert_memory_equal(data, "cdef", 4);
        assert_int_equal(rundir_read(f->d, "r1", "1.out", 5, data, 4), 1);
        assert_false(rundir_retired(f->d, "r1"));
        assert_int_equal(rundir_retire(f->d, "r1"), 0);
        assert_false(exists(f, "runs/r1"));
        assert_false(exists(f, "runs/.old-r1"));
        assert_int_equal(rundir_read(f->d, "r1", "1.out", 0, data, 4), -ENOENT);
        again(f);
        assert_true(rundir_retired(f->d, "r1"));
        assert_false(rundir_retired(f->d, "r2"));
        assert_false(rundir_retired(f->d, "../runs"));
        scan(f);
        assert_int_equal(f->n, 0);
}

static void delivery_is_remembered(void **state) {
        struct fixture *f = *state;

        accept_run(f, "r1", 1);
        assert_int_equal(rundir_delivered(f->d, "r1"), 0);
        again(f);
        scan(f);
        assert_true(f->found[0].delivered_usec > 0);
}

static void what_makes_no_sense_is_left_alone(void **state) {
        struct fixture *f = *state;

        accept_run(f, "good", 1);
        accept_run(f, "none", 2);
        accept_run(f, "odd", 3);
        write_raw(f, "runs/none/events", O_TRUNC, "");
        write_raw(f, "runs/odd/run.json", O_TRUNC, "[");
        again(f);
        scan(f);
        assert_int_equal(f->n, 1);
        assert_int_equal(f->n_bad, 2);
        assert_true(exists(f, "runs/none"));
        assert_true(exists(f, "runs/odd"));
}

static void the_plan_is_kept(void **state) {
        struct fixture *f = *state;
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct plan plan;

        accept_run(f, "r1", 1);
        assert_int_equal(rundir_plan(f->d, "r1", &a, &doc, &plan), 0);
        assert_string_equal(plan.name, "two");
        assert_int_equal(plan.n_steps, 2);
        assert_string_equal(plan.steps[1].argv[0], "false");
}

static void one_daemon_only(void **state) {
        struct fixture *f = *state;
        int status = -1;
        pid_t pid = fork();

        if (pid == 0) {
                struct rundir *second = NULL;
                _exit(rundir_open(&second, f->path) == RUNDIR_LOCKED && !second ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                TEST(accepted_runs_come_back_in_order),
                TEST(an_id_is_one_directory),
                TEST(appended_lines_are_folded),
                TEST(a_torn_line_is_cut),
                TEST(a_failed_write_leaves_nothing),
                TEST(half_made_and_half_removed_are_swept),
                TEST(zeros_at_the_end_are_trimmed),
                TEST(retired_ids_are_remembered),
                TEST(delivery_is_remembered),
                TEST(what_makes_no_sense_is_left_alone),
                TEST(the_plan_is_kept),
                TEST(one_daemon_only),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
