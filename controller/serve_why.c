/*
 * rota why: the evidence for a state, the last run of a machine, and what can be done now.
 */
#include "controller/core/why.h"

#include "controller/api.h"
#include "controller/controller.h"
#include "proto/base/clock.h"
#include "proto/json.h"
#include "proto/units.h"

#include <string.h>

static void put_lines(struct json_writer *w, char *text) {
        char *line;

        json_begin_array(w, "evidence");
        while ((line = strsep(&text, "\n")))
                if (line[0])
                        json_put_str(w, NULL, line);
        json_end_array(w);
}

static int take_id(void *userdata, const char *id) {
        char *to = userdata;

        memcpy(to, id, strlen(id) + 1);
        return 1;
}

static void say_run(const struct run *r, uint64_t realtime_usec, struct buf *out) {
        uint64_t ended = r->fold.ended_usec;

        buf_printf(out, "its last run known here is %s", r->id);
        if (r->title)
                buf_printf(out, " (%s)", r->title);
        if (run_ended(r)) {
                buf_printf(out, ": %s", verdict_name(r->fold.verdict));
                if (ended > 0) {
                        buf_puts(out, ", ended ");
                        units_print_duration(out, realtime_usec > ended
                                                          ? (realtime_usec - ended) / USEC_PER_SEC *
                                                                    USEC_PER_SEC
                                                          : 0);
                        buf_puts(out, " ago");
                }
        } else {
                buf_printf(out, ": %s", run_shown_state(r));
                if (r->fold.step > 0)
                        buf_printf(out, ", step %u of %u", r->fold.step,
                                   r->fold.of > 0 ? r->fold.of : r->steps);
        }
        buf_putc(out, '\n');
}

static void last_run(struct controller *c, const struct target *t, uint64_t realtime_usec,
                     struct buf *out) {
        const struct store_filter newest = {.limit = 1, .target = t->jid};
        CLEANUP(run_free) struct run *stored = NULL;
        char id[ID_MAX + 1] = "";
        const struct run *r;

        if (store_find_runs(c->store, &newest, take_id, id) < 0 || !id[0])
                return;
        r = jobs_find(&c->jobs, id);
        if (!r && store_load_run(c->store, id, &stored) == 0)
                r = stored;
        if (r)
                say_run(r, realtime_usec, out);
}

static int put_why(struct controller *c, const struct target *t, struct json_writer *w) {
        CLEANUP(buf_done) struct buf lines = {0}, advice = {0};
        uint64_t realtime = clock_realtime_usec();
        int r;

        r = why_evidence(&c->fleet, t, realtime, clock_monotonic_usec(), &lines);
        if (r < 0)
                return r;
        last_run(c, t, realtime, &lines);
        r = why_advice(&c->fleet, t, &advice);
        if (r < 0 || buf_check(&lines) < 0)
                return -1;
        json_begin_object(w, NULL);
        json_put_str(w, "target", t->name);
        json_put_str(w, "state", fleet_shown(&c->fleet, t));
        json_put_str(w, "last_state", avail_state_name(t->avail.state));
        json_put_u64(w, "since_usec", t->avail.since_usec);
        put_lines(w, lines.data);
        json_put_str(w, "advice", buf_text(&advice));
        json_end_object(w);
        return 0;
}

void why_begin(struct controller *c, struct bus_call *call, const struct selection *s) {
        CLEANUP(buf_done) struct buf text = {0};
        struct json_writer w;
        int r = 0;

        json_writer_init(&w, &text);
        json_begin_array(&w, NULL);
        for (size_t i = 0; r == 0 && i < s->n_targets; i++)
                r = put_why(c, s->targets[i], &w);
        json_end_array(&w);
        if (r < 0 || buf_check(&text) < 0)
                bus_fail(call, API_ERROR_INFRA, "out of memory");
        else
                bus_reply(call, text.data);
}
