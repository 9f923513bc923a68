#include "controller/cli/order.h"

#include "controller/api.h"
#include "controller/cli/interrupt.h"
#include "controller/cli/say.h"
#include "proto/base/clock.h"
#include "proto/units.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define AGAIN_USEC (2 * USEC_PER_SEC) /* at the latest, when nothing is heard of the targets */

static const char *const order_heads[] = {"TARGET", "OUTCOME", "FOR", "WHY", NULL};

/* What one round of asking came to. */
struct round {
        struct table table;
        struct buf json;    /* members of the array */
        struct buf again;   /* a selector of those that are busy */
        struct buf refused; /* one that is not allowed or not there, for the hint */
        enum status worst;
        size_t n_again;
        bool any_json;
};

static void round_done(struct round *r) {
        table_done(&r->table);
        buf_done(&r->json);
        buf_done(&r->again);
        buf_done(&r->refused);
}
DEFINE_CLEANUP_DONE(struct round, round_done)

static int order_request(const struct order *o, struct buf *out) {
        struct json_writer w;

        json_writer_init(&w, out);
        json_begin_object(&w, NULL);
        json_put_str(&w, "do", o->what);
        if (o->for_usec)
                json_put_u64(&w, "for_usec", o->for_usec);
        if (o->reason)
                json_put_str(&w, "reason", o->reason);
        json_end_object(&w);
        return buf_check(out);
}

static void keep_json(struct round *r, const struct json_at *at) {
        if (r->any_json)
                buf_putc(&r->json, ',');
        r->any_json = true;
        json_print(at, &r->json);
}

/* Returns 0 or JSON_BAD. */
static int take_item(struct round *r, const struct json_at *at, const struct order *o, bool last) {
        CLEANUP(buf_done) struct buf left = {0};
        const char *target = NULL, *error = NULL;
        uint64_t status = STATUS_INFRA, usec = 0;
        bool ok = false;
        int q = json_get_str(at, "target", &target);

        if (q == 0)
                q = json_get_bool(at, "ok", &ok);
        if (q == 0)
                q = json_get_str(at, "error", &error);
        if (q == 0)
                q = json_get_u64(at, "exit", &status);
        if (q == 0)
                q = json_get_u64(at, "left_usec", &usec);
        if (q != 0)
                return q;
        if (!ok && status == STATUS_BUSY && !last && target) {
                buf_printf(&r->again, "%s%s", r->n_again++ > 0 ? "\n" : "", target);
                return 0;
        }
        if (ok)
                status = STATUS_PASSED;
        else if (status == STATUS_PASSED || status > STATUS_CANCELLED)
                status = STATUS_INFRA;
        r->worst = status_worst(r->worst, (enum status)status);
        keep_json(r, at);
        if (usec > 0)
                units_print_duration(&left,
                                     (usec + USEC_PER_SEC / 2) / USEC_PER_SEC * USEC_PER_SEC);
        table_put(&r->table, TABLE_PLAIN, target);
        table_printf(&r->table, ok ? TABLE_GOOD : TABLE_BAD, "%s%s", ok ? "" : "not ", o->done);
        table_put(&r->table, TABLE_PLAIN, buf_text(&left));
        table_put(&r->table, TABLE_PLAIN, error);
        return 0;
}

static int take_answer(struct round *r, const char *json, const struct order *o, bool last) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct json_at root;
        int q = client_parse(&doc, json);

        if (q != 0)
                return q;
        root = json_root(doc);
        for (size_t i = 0; i < json_length(&root) && q == 0; i++) {
                struct json_at at;

                q = json_item(&root, i, &at);
                if (q == 0)
                        q = take_item(r, &at, o, last);
        }
        if (q == 0)
                return 0;
        say_error("the controller's answer cannot be read: %s", json_error(doc));
        return STATUS_INFRA;
}

static int on_news(void *userdata, const char *signal, sd_bus_message *m) {
        bool *news = userdata;

        (void)m;
        *news |= strcmp(signal, "Target") == 0;
        return strcmp(signal, "Disconnected") == 0 ? -ECONNRESET : 0;
}

static bool interrupted(int fd) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        return poll(&p, 1, 0) > 0;
}

/* Until something changes with a target. Returns 0 or the exit status. */
static int wait_for_news(struct client *c, int interrupt, bool *news, uint64_t until_usec) {
        uint64_t again = clock_monotonic_usec() + AGAIN_USEC;

        if (again < until_usec)
                until_usec = again;
        while (!*news) {
                uint64_t now = clock_monotonic_usec();
                int r;

                if (interrupted(interrupt))
                        return STATUS_DETACHED;
                r = sd_bus_process(client_bus(c), NULL);
                if (r == 0 && now >= until_usec)
                        return 0;
                if (r == 0)
                        r = sd_bus_wait(client_bus(c), until_usec - now);
                if (r < 0 && r != -EINTR)
                        return client_failed(c, NULL, r);
        }
        *news = false;
        return 0;
}

static int ask(struct client *c, struct round *r, const char *selector, const char *request,
               const struct order *o, bool last) {
        CLEANUP(mem_free) char *json = NULL;
        int q = client_call(c, &json, 0, "Order", "ss", selector, request);

        return q != 0 ? q : take_answer(r, json, o, last);
}

static int ask_again(struct client *c, struct round *r, const char *request, const struct order *o,
                     uint64_t until_usec) {
        bool news = false;
        int interrupt = interrupt_fd();
        int q = interrupt < 0 ? interrupt : client_watch(c, CLIENT_TARGETS);

        if (q < 0)
                return client_failed(c, NULL, q);
        client_on_signal(c, on_news, &news);
        q = 0;
        while (q == 0 && r->n_again > 0) {
                CLEANUP(mem_free) char *selector = NULL;

                q = wait_for_news(c, interrupt, &news, until_usec);
                if (q != 0)
                        break;
                selector = buf_steal(&r->again);
                r->n_again = 0;
                q = ask(c, r, selector, request, o, clock_monotonic_usec() >= until_usec);
        }
        client_on_signal(c, NULL, NULL);
        return q;
}

/* What was agreed to is in force also when @q says that the rest came to nothing. Returns the exit status. */
static int order_show(const struct call *call, const struct order *o, struct round *r, int q) {
        CLEANUP(buf_done) struct buf all = {0};
        int shown = 0;

        if (q != 0 && !r->any_json)
                return q;
        if (call->json) {
                buf_printf(&all, "[%s]", buf_text(&r->json));
                shown = buf_check(&all) < 0 ? STATUS_INFRA : verb_print_json(buf_text(&all));
        } else if (!call->quiet || r->worst != STATUS_PASSED || q != 0) {
                shown = verb_print_whole_table(&r->table);
        }
        if (q == STATUS_DETACHED && r->worst == STATUS_PASSED)
                say_note("No longer waiting; what is %s stays so.", o->done);
        return q != 0 ? q : shown != 0 ? shown : (int)r->worst;
}

int order_run(const struct call *call, const struct order *o) {
        CLEANUP(client_free) struct client *c = NULL;
        CLEANUP(buf_done) struct buf selector = {0}, request = {0};
        CLEANUP(round_done) struct round r = {.worst = STATUS_PASSED};
        uint64_t until = clock_monotonic_usec() + o->wait_usec;
        int q;

        table_init(&r.table, order_heads);
        q = verb_selector(call, 0, call->n, &selector);
        if (q == 0 && order_request(o, &request) < 0) {
                say_no_memory();
                q = STATUS_INFRA;
        }
        if (q == 0)
                q = client_new(&c, call->socket);
        if (q == 0)
                q = ask(c, &r, buf_text(&selector), buf_text(&request), o, o->wait_usec == 0);
        if (q == 0 && r.n_again > 0) {
                if (!call->quiet && !call->json)
                        say_note("%zu of them busy or reserved: waiting (Ctrl-C gives up)",
                                 r.n_again);
                q = ask_again(c, &r, buf_text(&request), o, until);
        }
        return order_show(call, o, &r, q);
}
