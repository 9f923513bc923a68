#include "tests/support/check.h"

#include "controller/io/store.h"
#include "proto/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define REAL (UINT64_C(1767222000) * USEC_PER_SEC)

struct fixture {
        char dir[64];
        char path[96];
        struct store *s;
};

static int setup(void **state) {
        struct fixture *f = calloc(1, sizeof(*f));

        strcpy(f->dir, "/tmp/test_store.XXXXXX");
        assert_non_null(mkdtemp(f->dir));
        snprintf(f->path, sizeof(f->path), "%s/store.db", f->dir);
        assert_int_equal(store_open(&f->s, f->path, NULL), 0);
        *state = f;
        return 0;
}

static int teardown(void **state) {
        struct fixture *f = *state;
        char name[128];

        store_free(f->s);
        for (size_t i = 0; i < 3; i++) {
                snprintf(name, sizeof(name), "%s%s", f->path,
                         ((const char *[]){"", "-wal", "-shm"})[i]);
                unlink(name);
        }
        rmdir(f->dir);
        free(f);
        return 0;
}

static void again(struct fixture *f) {
        f->s = store_free(f->s);
        assert_int_equal(store_open(&f->s, f->path, NULL), 0);
}

static void keeps_its_instance_name(void **state) {
        struct fixture *f = *state;
        char a[ID_SIZE], b[ID_SIZE];

        assert_int_equal(store_instance(f->s, a), 0);
        again(f);
        assert_int_equal(store_instance(f->s, b), 0);
        assert_string_equal(a, b);
}

static void keeps_targets(void **state) {
        static const struct fleet_label labels[] = {
                {"gpu",  "mi300"           },
                {"note", "a \"quoted\" one"}
        };
        const struct fleet_facts facts = {.state = AVAIL_BUSY,
                                          .boot = "b1",
                                          .title = "Bob's server",
                                          .location = "lab3",
                                          .labels = labels,
                                          .n_labels = 2};
        const struct avail_past past = {
                .state = AVAIL_SILENT, .since_usec = REAL, .last_answer_usec = REAL + 1};
        struct fixture *f = *state;
        CLEANUP(fleet_done) struct fleet one = {0}, two = {0};
        struct target *t;

        assert_int_equal(fleet_add(&one, "pc1@lab", &t), 0);
        assert_int_equal(fleet_remember(t, &facts, &past, REAL, 1), 0);
        t->kind = FLEET_TARGET;
        assert_int_equal(store_put_target(f->s, t), 0);
        again(f);
        assert_int_equal(store_load_fleet(f->s, &two), 0);
        t = fleet_find(&two, "pc1@lab");
        assert_non_null(t);
        assert_int_equal(t->kind, FLEET_TARGET);
        assert_int_equal(t->avail.state, AVAIL_SILENT);
        assert_int_equal(t->facts.state, AVAIL_BUSY);
        assert_int_equal(t->avail.since_usec, REAL);
        assert_int_equal(t->avail.last_answer_usec, REAL + 1);
        assert_string_equal(t->facts.title, "Bob's server");
        assert_int_equal(t->facts.n_labels, 2);
        assert_string_equal(t->facts.labels[1].value, "a \"quoted\" one");
        assert_false(t->dirty);
}

static void remembers_an_absence_and_how_long_reboots_take(void **state) {
        struct fixture *f = *state;
        CLEANUP(fleet_done) struct fleet one = {0}, two = {0};
        const struct avail_news news = {.announced = AVAIL_AWAY, .promised_usec = 5000, .part = 1};
        struct target *t;

        assert_int_equal(fleet_add(&one, "pc1@lab", &t), 0);
        assert_int_equal(store_put_target(f->s, t), 0);
        again(f);
        assert_int_equal(store_load_fleet(f->s, &two), 0);
        assert_int_equal(two.targets[0]->avail.leave, AVAIL_STAYS);
        assert_int_equal(two.targets[0]->avail.n_took, 0);
        fleet_done(&two);

        for (uint64_t i = 1; i <= AVAIL_TOOK_MAX; i++)
                avail_took(&t->avail, i * 40123456);
        avail_announced(&t->avail, &news, REAL, 1);
        avail_judge(&t->avail, &one.link, REAL, 1);
        assert_int_equal(store_put_target(f->s, t), 0);
        again(f);
        assert_int_equal(store_load_fleet(f->s, &two), 0);
        t = two.targets[0];
        assert_int_equal(t->avail.state, AVAIL_AWAY);
        assert_int_equal(t->avail.leave, AVAIL_LEAVES);
        assert_int_equal(t->avail.left_realtime_usec, REAL);
        assert_int_equal(avail_back_usec(&t->avail), REAL + 5000);
        assert_int_equal(t->avail.n_took, AVAIL_TOOK_MAX);
        assert_int_equal(t->avail.took[4], 5 * UINT64_C(40123456));
        assert_int_equal(avail_usual_usec(&t->avail), 3 * UINT64_C(40123456));
}

static struct run *make_run(const char *id, const char *batch) {
        struct run *r = NULL;

        assert_int_equal(run_new(id, "pc1@lab", &r), 0);
        snprintf(r->batch, sizeof(r->batch), "%s", batch);
        assert_int_equal(run_set(&r->title, "memory size=64M"), 0);
        assert_int_equal(run_set(&r->plan, "{\"steps\":[]}"), 0);
        assert_int_equal(run_set(&r->by, "ana"), 0);
        r->submitted_usec = REAL;
        r->ttl_usec = 5;
        r->steps = 3;
        return r;
}

static void keeps_runs_and_streams(void **state) {
        struct fixture *f = *state;
        CLEANUP(run_free) struct run *r = make_run("k3abc", "b1"), *back = NULL;
        CLEANUP(jobs_done) struct jobs j = {0};
        struct run_stream *s;

        assert_int_equal(run_stream_add(r, "1.out", &s), 0);
        s->next = UINT64_C(5000000000);
        s->size = UINT64_C(6000000000);
        strcpy(s->sha256, "ab");
        assert_int_equal(store_begin(f->s), 0);
        assert_int_equal(store_put_run(f->s, r), 0);
        assert_int_equal(store_put_stream(f->s, r->id, s), 0);
        assert_int_equal(store_commit(f->s), 0);
        /* the second time changes the row */
        r->sent = true;
        r->fold.state = RUN_RUNNING;
        r->fold.step = 2;
        assert_int_equal(run_set(&r->cancel_by, "bob"), 0);
        s->next++;
        assert_int_equal(store_put_run(f->s, r), 0);
        assert_int_equal(store_put_stream(f->s, r->id, s), 0);
        again(f);
        assert_int_equal(store_load_run(f->s, "k3abc", &back), 0);
        assert_string_equal(back->title, "memory size=64M");
        assert_string_equal(back->cancel_by, "bob");
        assert_string_equal(back->batch, "b1");
        assert_int_equal(back->steps, 3);
        assert_true(back->sent);
        assert_int_equal(back->n_streams, 1);
        assert_int_equal(back->streams[0]->next, UINT64_C(5000000001));
        assert_int_equal(back->streams[0]->in.next, UINT64_C(5000000001));
        assert_int_equal(back->streams[0]->size, UINT64_C(6000000000));
        assert_int_equal(store_load_jobs(f->s, &j), 0);
        assert_int_equal(j.n_runs, 1);
        assert_int_equal(jobs_find(&j, "k3abc")->fold.state, RUN_RUNNING);
        assert_int_equal(store_load_run(f->s, "other", &back), STORE_NONE);
}

static void what_was_not_committed_is_not_there(void **state) {
        struct fixture *f = *state;
        CLEANUP(run_free) struct run *r = make_run("k3", "b1"), *back = NULL;

        assert_int_equal(store_begin(f->s), 0);
        assert_int_equal(store_put_run(f->s, r), 0);
        store_rollback(f->s);
        assert_int_equal(store_load_run(f->s, "k3", &back), STORE_NONE);
        store_rollback(f->s); /* harmless */
}

static void a_batch_is_taken_once(void **state) {
        struct fixture *f = *state;

        assert_int_equal(store_put_batch(f->s, "b1", "ana", REAL), 0);
        assert_int_equal(store_put_batch(f->s, "b1", "bob", REAL), STORE_EXISTS);
}

static void prefixes_name_runs(void **state) {
        static const char *const ids[] = {"abc", "abd", "ab", "xyz"};
        struct fixture *f = *state;
        char id[ID_MAX + 1];

        for (size_t i = 0; i < 4; i++) {
                CLEANUP(run_free) struct run *r = make_run(ids[i], "b");

                assert_int_equal(store_put_run(f->s, r), 0);
        }
        assert_int_equal(store_find_run(f->s, "x", id), 0);
        assert_string_equal(id, "xyz");
        assert_int_equal(store_find_run(f->s, "ab", id), 0); /* a whole id */
        assert_string_equal(id, "ab");
        assert_int_equal(store_find_run(f->s, "a", id), STORE_AMBIGUOUS);
        assert_int_equal(store_find_run(f->s, "abe", id), STORE_NONE);
}

static int collect(void *userdata, const char *id) {
        return buf_printf(userdata, "%s ", id);
}

static void lists_newest_first(void **state) {
        static const char *const ids[] = {"r1", "r2", "r3", "r4"};
        struct fixture *f = *state;
        CLEANUP(buf_done) struct buf out = {0};
        struct store_filter filter = {.limit = 3};

        for (size_t i = 0; i < 4; i++) {
                CLEANUP(run_free) struct run *r = make_run(ids[i], i < 2 ? "b1" : "b2");

                r->fold.state = i == 1 ? RUN_ENDED : RUN_UNKNOWN;
                r->sent = i == 2;
                r->done = i == 1;
                assert_int_equal(store_put_run(f->s, r), 0);
        }
        assert_int_equal(store_find_runs(f->s, &filter, collect, &out), 0);
        check_buf(&out, "r4 r3 r2 ");
        buf_clear(&out);
        filter.state = "sent";
        assert_int_equal(store_find_runs(f->s, &filter, collect, &out), 0);
        check_buf(&out, "r3 ");
        buf_clear(&out);
        filter = (struct store_filter){.limit = 9, .batch = "b1"};
        assert_int_equal(store_find_runs(f->s, &filter, collect, &out), 0);
        check_buf(&out, "r1 r2 ");
        buf_clear(&out);
        assert_int_equal(store_untold(f->s, "pc1@lab", 9, collect, &out), 0);
        check_buf(&out, "r2 ");
        assert_int_equal(store_put_told(f->s, "r2"), 0);
        buf_clear(&out);
        assert_int_equal(store_untold(f->s, "pc1@lab", 9, collect, &out), 0);
        check_buf(&out, "");
}

static void refuses_a_broken_file(void **state) {
        struct fixture *f = *state;
        CLEANUP(store_free) struct store *s = NULL;
        CLEANUP(mem_free) char *why = NULL;
        char path[128];
        int fd;

        snprintf(path, sizeof(path), "%s/bad.db", f->dir);
        fd = open(path, O_CREAT | O_WRONLY, 0600);
        assert_true(fd >= 0);
        for (int i = 0; i < 100; i++)
                assert_int_equal(write(fd, "this is no database ", 20), 20);
        close(fd);
        assert_int_equal(store_open(&s, path, &why), -EUCLEAN);
        assert_non_null(why);
        unlink(path);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(keeps_its_instance_name),
                T(keeps_targets),
                T(keeps_runs_and_streams),
                T(what_was_not_committed_is_not_there),
                T(a_batch_is_taken_once),
                T(prefixes_name_runs),
                T(lists_newest_first),
                T(refuses_a_broken_file),
                T(remembers_an_absence_and_how_long_reboots_take),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
