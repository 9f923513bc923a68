#include "controller/cli/harvest.h"

#include "controller/cli/runinfo.h"
#include "controller/cli/say.h"
#include "controller/cli/status.h"
#include "controller/cli/tail.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define RUNS_MAX 10000
#define BLOCK 65536

static int no_memory(void) {
        say_no_memory();
        return STATUS_INFRA;
}

static void sd_bus_error_done(sd_bus_error *e) {
        sd_bus_error_free(e);
}
DEFINE_CLEANUP_DONE(sd_bus_error, sd_bus_error_done)
DEFINE_CLEANUP_DONE(struct tail, tail_done)

/* Reads what there is of one output. */
static int read_output(struct client *c, const char *run, const char *stream, struct report_run *r,
                       const struct report_step *step) {
        CLEANUP(sd_bus_error_done) sd_bus_error error = SD_BUS_ERROR_NULL;
        CLEANUP(tail_done) struct tail t = {.fd = -1};
        CLEANUP(mem_free) char *data = malloc(BLOCK);
        int k;

        if (!data || tail_init(&t, stream) < 0 || report_output_begin(r, step->step) < 0)
                return no_memory();
        for (;;) {
                size_t n = 0;

                k = tail_read(&t, c, run, data, BLOCK, &n, &error);
                if (k == TAIL_MORE || k == TAIL_SHORT)
                        break;
                if (k == -EREMOTEIO || client_gone(&error, k))
                        return client_failed(c, &error, k);
                if (k < 0) {
                        say_error("%s of run %s cannot be read: %s", stream, run, strerror(-k));
                        return STATUS_INFRA;
                }
                if (report_output(r, data, n) < 0)
                        return no_memory();
        }
        return report_output_end(r, step) < 0 ? no_memory() : 0;
}

/* The step and attempt of "3.2.out"; other names that begin with a step's number are of its first attempt. */
static bool stream_step(const char *stream, uint64_t *ret_step, uint64_t *ret_attempt) {
        unsigned order = runinfo_order(stream);
        char *end = NULL;

        *ret_step = order > 0 ? order / 10000 : strtoull(stream, &end, 10);
        *ret_attempt = order > 0 ? order % 10000 : 0;
        return order > 0 || (*ret_step > 0 && (*end == '.' || *end == '/'));
}

static int read_outputs(struct client *c, const struct json_at *run, struct report_run *r,
                        const struct report_step *step, uint64_t attempt) {
        struct json_at streams, at;
        int k = 0;

        if (json_get(run, "streams", &streams) != 0)
                return 0;
        for (size_t i = 0; i < json_length(&streams) && k == 0; i++) {
                struct runinfo_stream s;
                uint64_t of, try;

                if (json_item(&streams, i, &at) != 0 || runinfo_read_stream(&at, &s) != 0 ||
                    !stream_step(s.name, &of, &try) || of != step->step)
                        continue;
                if (try == 0 || try == attempt)
                        k = read_output(c, r->facts.run, s.name, r, step);
        }
        return k;
}

/* How often the step of @at was begun, as far as the list says. */
static uint64_t last_attempt(const struct json_at *steps, uint64_t step) {
        uint64_t last = 0;

        for (size_t i = 0; i < json_length(steps); i++) {
                uint64_t n = 0, attempt = 1;
                struct json_at at;

                if (json_item(steps, i, &at) == 0 && json_get_u64(&at, "step", &n) == 0 &&
                    json_get_u64(&at, "attempt", &attempt) == 0 && n == step && attempt > last)
                        last = attempt;
        }
        return last;
}

static int read_step(struct client *c, const struct json_at *run, const struct json_at *steps,
                     const struct json_at *at, struct report_run *r) {
        struct report_step s = {0};
        uint64_t step = 0, attempt = 1, elapsed = 0;
        int k;

        (void)json_get_u64(at, "step", &step);
        (void)json_get_u64(at, "attempt", &attempt);
        (void)json_get_u64(at, "elapsed_usec", &elapsed);
        (void)json_get_str(at, "title", &s.title);
        (void)json_get_str(at, "verdict", &s.verdict);
        (void)json_get_str(at, "cause", &s.cause);
        if (step == 0 || step > UINT32_MAX || attempt != last_attempt(steps, step))
                return 0;
        s.step = (unsigned)step;
        s.has_seconds = elapsed > 0;
        s.seconds = (double)elapsed / 1e6;
        if (s.verdict && !*s.verdict)
                s.verdict = NULL;
        k = read_outputs(c, run, r, &s, attempt);
        if (k == 0 && report_step(r, &s) < 0)
                k = no_memory();
        return k;
}

static int read_run(struct client *c, const char *json, struct report *report) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root, steps, at;
        struct report_run *r = NULL;
        struct report_facts facts;
        struct runinfo info;
        int k = client_parse(&doc, json);

        if (k != 0)
                return k;
        root = json_root(doc);
        if (runinfo_read(&root, &info) != 0) {
                say_error("the controller's answer cannot be read: %s", json_error(doc));
                return STATUS_INFRA;
        }
        facts = (struct report_facts){
                .run = info.run,
                .batch = info.batch,
                .target = info.target,
                .title = info.title,
                .state = info.state,
                .verdict = info.verdict,
                .cause = info.cause ? info.cause : info.refusal,
                .by = info.by,
                .submitted_usec = info.submitted_usec,
                .started_usec = info.started_usec,
                .ended_usec = info.ended_usec,
                .of = info.of < 10000 ? (unsigned)info.of : 0,
        };
        if (report_add(report, &facts, &r) < 0)
                return no_memory();
        if (json_get(&root, "steps", &steps) == 0)
                for (size_t i = 0; i < json_length(&steps) && k == 0; i++)
                        if (json_item(&steps, i, &at) == 0)
                                k = read_step(c, &root, &steps, &at, r);
        if (k == 0 && report_run_end(r) < 0)
                k = no_memory();
        return k;
}

static int harvest_run(struct client *c, const char *name, struct report *ret) {
        CLEANUP(mem_free) char *json = NULL;
        int k = client_call(c, &json, 0, "Run", "s", name);

        return k != 0 ? k : read_run(c, json, ret);
}

/* The runs of a batch; *ret_doc has none when it is no batch. */
static int find_batch(struct client *c, const char *name, struct json_doc **ret_doc) {
        CLEANUP(buf_done) struct buf filter = {0};
        CLEANUP(mem_free) char *json = NULL;
        struct json_writer w;
        int k;

        json_writer_init(&w, &filter);
        json_begin_object(&w, NULL);
        json_put_u64(&w, "limit", RUNS_MAX);
        json_put_str(&w, "batch", name);
        json_end_object(&w);
        if (buf_check(&filter) < 0)
                return no_memory();
        k = client_call(c, &json, 0, "Runs", "s", filter.data);
        return k != 0 ? k : client_parse(ret_doc, json);
}

int harvest(struct client *c, const char *name, struct report *ret) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root, at;
        size_t n;
        int k = find_batch(c, name, &doc);

        if (k != 0)
                return k;
        root = json_root(doc);
        n = json_length(&root);
        if (n == 0)
                return harvest_run(c, name, ret);
        for (size_t i = n; i > 0 && k == 0; i--) { /* newest first there, oldest first here */
                struct runinfo info;

                if (json_item(&root, i - 1, &at) == 0 && runinfo_read(&at, &info) == 0)
                        k = harvest_run(c, info.run, ret);
        }
        return k;
}

int harvest_status(const struct report *r) {
        uint64_t counts[RESULT_VERDICTS];

        report_counts(r, counts);
        if (counts[RESULT_FAILED] > 0 || counts[RESULT_ERROR] > 0)
                return STATUS_FAILED;
        return counts[RESULT_NOT_RUN] > 0 ? STATUS_INFRA : STATUS_PASSED;
}
