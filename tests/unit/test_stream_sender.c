#include "proto/stream_sender.h"

#include "proto/base/clock.h"
#include "proto/stream_receiver.h"
#include "tests/support/check.h"
#include "tests/support/starve.h"

#include <errno.h>
#include <inttypes.h>
#include <time.h>

#define T0 (1000 * USEC_PER_SEC)

static struct sender *make(uint64_t window_bytes, unsigned window_chunks, uint32_t chunk_max) {
        const struct sender_limits limits = {
                .window_bytes = window_bytes,
                .window_chunks = window_chunks,
                .chunk_max = chunk_max,
                .coalesce_usec = 2000,
                .stall_usec = 20 * USEC_PER_SEC,
        };
        struct sender *s = NULL;

        assert_int_equal(sender_new(&s, &limits), 0);
        return s;
}

#define check_next(s, now, stream_, offset_, size_)                                                \
        do {                                                                                       \
                struct sender_chunk c_;                                                            \
                assert_int_equal(sender_next(s, now, &c_), SENDER_CHUNK);                          \
                assert_string_equal(c_.run, "r1");                                                 \
                assert_string_equal(c_.stream, stream_);                                           \
                assert_int_equal(c_.offset, offset_);                                              \
                assert_int_equal(c_.size, size_);                                                  \
        } while (0)

#define check_nothing(s, now)                                                                      \
        do {                                                                                       \
                struct sender_chunk c_;                                                            \
                assert_int_equal(sender_next(s, now, &c_), 0);                                     \
        } while (0)

static void splits_into_chunks(void **state) {
        CLEANUP(sender_free) struct sender *s = make(1000, 10, 100);

        (void)state;
        check_nothing(s, T0);
        assert_int_equal(sender_deadline(s, T0), USEC_NEVER);
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 250), 0);
        assert_int_equal(sender_deadline(s, T0), T0);
        check_next(s, T0, "1.out", 0, 100);
        check_next(s, T0, "1.out", 100, 100);
        check_next(s, T0, "1.out", 200, 50);
        check_nothing(s, T0);
        assert_false(sender_drained(s, "r1", "1.out"));
        assert_int_equal(sender_acked(s, "r1", "1.out", 250, T0), 0);
        assert_true(sender_drained(s, "r1", "1.out"));
        assert_int_equal(sender_deadline(s, T0), USEC_NEVER);
}

static void continues_where_the_peer_is(void **state) {
        CLEANUP(sender_free) struct sender *s = make(1000, 10, 100);

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 120, 250), 0);
        check_next(s, T0, "1.out", 120, 100);
        /* a new connection: what was under way is gone, and the peer may even have more */
        assert_int_equal(sender_open(s, "r1", "1.out", 110, 250), 0);
        check_next(s, T0, "1.out", 110, 100);
        assert_int_equal(sender_open(s, "r1", "1.out", 240, 250), 0);
        check_next(s, T0, "1.out", 240, 10);
        check_nothing(s, T0);
        /* or less than it said: then it gets all of it again */
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 250), 0);
        check_next(s, T0, "1.out", 0, 100);
        /* a size that was read before the file grew takes nothing back */
        assert_int_equal(sender_open(s, "r1", "1.out", 249, 249), 0);
        check_next(s, T0, "1.out", 249, 1);
        assert_int_equal(sender_open(s, "r1", "2.out", 7, 7), 0);
        assert_true(sender_drained(s, "r1", "2.out"));
}

static void bad_acks_change_nothing(void **state) {
        CLEANUP(sender_free) struct sender *s = make(1000, 10, 100);

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 11, 10), SENDER_BAD_ACK);
        check_nothing(s, T0);
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 10), 0);
        assert_int_equal(sender_acked(s, "r1", "1.out", 11, T0), SENDER_BAD_ACK);
        assert_int_equal(sender_rewind(s, "r1", "1.out", 11, T0), SENDER_BAD_ACK);
        assert_int_equal(sender_open(s, "r1", "1.out", 11, 10), SENDER_BAD_ACK);
        check_next(s, T0, "1.out", 0, 10);
        /* unknown streams are nobody's fault: they were closed while the ack was under way */
        assert_int_equal(sender_acked(s, "r1", "9.out", 11, T0), 0);
        assert_int_equal(sender_rewind(s, "r9", "1.out", 11, T0), 0);
        sender_grew(s, "r9", "1.out", 11, T0);
        check_nothing(s, T0);
        assert_true(sender_drained(s, "r9", "1.out"));
}

static void takes_acks_of_an_earlier_connection(void **state) {
        CLEANUP(sender_free) struct sender *s = make(1000, 10, 100);

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 500), 0);
        check_next(s, T0, "1.out", 0, 100);
        /* the peer has 300 from before: 100..299 need not be sent */
        assert_int_equal(sender_acked(s, "r1", "1.out", 300, T0), 0);
        check_next(s, T0, "1.out", 300, 100);
        /* and an old one does not take anything back */
        assert_int_equal(sender_acked(s, "r1", "1.out", 200, T0), 0);
        check_next(s, T0, "1.out", 400, 100);
        assert_int_equal(sender_acked(s, "r1", "1.out", 500, T0), 0);
        assert_true(sender_drained(s, "r1", "1.out"));
}

static void window_in_bytes(void **state) {
        CLEANUP(sender_free) struct sender *s = make(250, 10, 100);

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 1000), 0);
        check_next(s, T0, "1.out", 0, 100);
        check_next(s, T0, "1.out", 100, 100);
        check_nothing(s, T0);
        /* closed: only the stall can change something by itself */
        assert_int_equal(sender_deadline(s, T0), T0 + 20 * USEC_PER_SEC);
        /* a part of a chunk opens its bytes */
        assert_int_equal(sender_acked(s, "r1", "1.out", 49, T0), 0);
        check_nothing(s, T0);
        assert_int_equal(sender_acked(s, "r1", "1.out", 50, T0), 0);
        assert_int_equal(sender_deadline(s, T0), T0);
        check_next(s, T0, "1.out", 200, 100);
        check_nothing(s, T0);
        /* closing gives everything back */
        assert_int_equal(sender_open(s, "r1", "2.out", 0, 300), 0);
        check_nothing(s, T0);
        sender_close(s, "r1", "1.out");
        check_next(s, T0, "2.out", 0, 100);
        check_next(s, T0, "2.out", 100, 100);
        check_nothing(s, T0);
        sender_close_run(s, "r1");
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 1000), 0);
        check_next(s, T0, "1.out", 0, 100);
        check_next(s, T0, "1.out", 100, 100);
        check_nothing(s, T0);
}

static void window_in_chunks(void **state) {
        CLEANUP(sender_free) struct sender *s = make(100000, 2, 100);

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 1000), 0);
        check_next(s, T0, "1.out", 0, 100);
        check_next(s, T0, "1.out", 100, 100);
        check_nothing(s, T0);
        assert_int_equal(sender_acked(s, "r1", "1.out", 99, T0), 0);
        check_nothing(s, T0);
        assert_int_equal(sender_acked(s, "r1", "1.out", 100, T0), 0);
        check_next(s, T0, "1.out", 200, 100);
        check_nothing(s, T0);
        assert_int_equal(sender_rewind(s, "r1", "1.out", 150, T0), 0);
        check_next(s, T0, "1.out", 150, 100);
        check_next(s, T0, "1.out", 250, 100);
        check_nothing(s, T0);
}

static void a_window_below_a_chunk_still_moves(void **state) {
        CLEANUP(sender_free) struct sender *s = make(10, 4, 100);

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 25), 0);
        check_next(s, T0, "1.out", 0, 10);
        check_nothing(s, T0);
        assert_int_equal(sender_acked(s, "r1", "1.out", 10, T0), 0);
        check_next(s, T0, "1.out", 10, 10);
}

static void check_weight(const struct sender *s, uint64_t sent, uint64_t landed, uint64_t lost) {
        const struct sender_weight *w = sender_weight(s);

        assert_int_equal(w->sent, sent);
        assert_int_equal(w->landed, landed);
        assert_int_equal(w->lost, lost);
}

static void counts_what_chunks_weigh(void **state) {
        CLEANUP(sender_free) struct sender *s = make(1000, 10, 100);
        struct sender_chunk c;

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 1000), 0);
        for (unsigned i = 0; i < 4; i++) {
                assert_int_equal(sender_next(s, T0, &c), SENDER_CHUNK);
                sender_weighed(s, &c, 50 + i, T0);
        }
        check_weight(s, 206, 0, 0);
        /* a part of a chunk has not landed */
        assert_int_equal(sender_acked(s, "r1", "1.out", 199, T0), 0);
        check_weight(s, 206, 50, 0);
        assert_int_equal(sender_acked(s, "r1", "1.out", 200, T0), 0);
        check_weight(s, 206, 101, 0);
        assert_int_equal(sender_rewind(s, "r1", "1.out", 200, T0), 0);
        check_weight(s, 206, 101, 105);
        check_next(s, T0, "1.out", 200, 100);
        sender_close(s, "r1", "1.out");
        check_weight(s, 206, 101, 105);
        /* closed meanwhile: nobody's */
        sender_weighed(s, &(struct sender_chunk){.run = "r1", .stream = "1.out", .size = 9}, 7, T0);
        check_weight(s, 206, 101, 105);
}

static void a_chunk_may_go_out_shorter(void **state) {
        CLEANUP(sender_free) struct sender *s = make(300, 10, 100);
        struct sender_chunk c;

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 150), 0);
        assert_int_equal(sender_next(s, T0, &c), SENDER_CHUNK);
        c.size = 30;
        sender_weighed(s, &c, 40, T0);
        /* the rest does not wait for company, and the window has what was not sent */
        check_next(s, T0, "1.out", 30, 100);
        check_next(s, T0, "1.out", 130, 20);
        assert_int_equal(sender_acked(s, "r1", "1.out", 30, T0), 0);
        check_weight(s, 40, 40, 0);
        assert_int_equal(sender_acked(s, "r1", "1.out", 150, T0), 0);
        assert_true(sender_drained(s, "r1", "1.out"));
        /* the last bytes too */
        sender_grew(s, "r1", "1.out", 160, T0);
        assert_int_equal(sender_next(s, T0, &c), SENDER_CHUNK);
        c.size = 1;
        sender_weighed(s, &c, 10, T0);
        check_next(s, T0, "1.out", 151, 9);
        check_nothing(s, T0);
}

static void held_it_sends_one_at_a_time(void **state) {
        CLEANUP(sender_free) struct sender *s = make(1000, 10, 100);

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 1000), 0);
        sender_hold(s, true, 1000);
        check_next(s, T0, "1.out", 0, 100);
        check_nothing(s, T0);
        /* asking again would not help */
        assert_int_equal(sender_deadline(s, T0), T0 + 20 * USEC_PER_SEC);
        sender_hold(s, false, 40);
        assert_int_equal(sender_deadline(s, T0), T0);
        check_next(s, T0, "1.out", 100, 40);
        check_next(s, T0, "1.out", 140, 40);
        sender_hold(s, true, 100);
        check_nothing(s, T0);
        assert_int_equal(sender_acked(s, "r1", "1.out", 180, T0), 0);
        check_next(s, T0, "1.out", 180, 100);
        check_nothing(s, T0);
}

static void streams_take_turns(void **state) {
        CLEANUP(sender_free) struct sender *s = make(100000, 100, 100);

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 300), 0);
        assert_int_equal(sender_open(s, "r1", "2.out", 0, 300), 0);
        assert_int_equal(sender_open(s, "r1", "events", 0, 30), 0);
        check_next(s, T0, "1.out", 0, 100);
        check_next(s, T0, "2.out", 0, 100);
        check_next(s, T0, "events", 0, 30);
        check_next(s, T0, "1.out", 100, 100);
        check_next(s, T0, "2.out", 100, 100);
        check_next(s, T0, "1.out", 200, 100);
        check_next(s, T0, "2.out", 200, 100);
        check_nothing(s, T0);
}

static void trickles_wait_for_company(void **state) {
        CLEANUP(sender_free) struct sender *s = make(100000, 100, 100);

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 0), 0);
        /* nothing is under way: at once */
        sender_grew(s, "r1", "1.out", 10, T0);
        assert_int_equal(sender_deadline(s, T0), T0);
        check_next(s, T0, "1.out", 0, 10);
        /* now it waits, for 2 ms after the first byte */
        sender_grew(s, "r1", "1.out", 20, T0 + 100);
        sender_grew(s, "r1", "1.out", 30, T0 + 1900);
        check_nothing(s, T0 + 2099);
        assert_int_equal(sender_deadline(s, T0 + 2000), T0 + 2100);
        check_next(s, T0 + 2100, "1.out", 10, 20);
        /* a whole chunk does not wait; the rest of it does */
        sender_grew(s, "r1", "1.out", 60, T0 + 3000);
        check_nothing(s, T0 + 3000);
        sender_grew(s, "r1", "1.out", 135, T0 + 3500);
        check_next(s, T0 + 3500, "1.out", 30, 100);
        check_nothing(s, T0 + 3500);
        assert_int_equal(sender_deadline(s, T0 + 3500), T0 + 5500);
        /* the last ack comes first: nothing is under way any more */
        assert_int_equal(sender_acked(s, "r1", "1.out", 130, T0 + 4000), 0);
        assert_int_equal(sender_deadline(s, T0 + 4000), T0 + 4000);
        check_next(s, T0 + 4000, "1.out", 130, 5);
}

static void the_longest_waiting_goes_first(void **state) {
        CLEANUP(sender_free) struct sender *s = make(100000, 100, 100);

        (void)state;
        assert_int_equal(sender_open(s, "r1", "0.out", 0, 1), 0);
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 0), 0);
        assert_int_equal(sender_open(s, "r1", "2.out", 0, 0), 0);
        check_next(s, T0, "0.out", 0, 1);
        sender_grew(s, "r1", "1.out", 150, T0 + 100);
        sender_grew(s, "r1", "2.out", 10, T0 + 200);
        check_next(s, T0 + 300, "1.out", 0, 100);
        /* the rest of 1.out is older than what 2.out has */
        check_nothing(s, T0 + 2099);
        check_next(s, T0 + 2100, "1.out", 100, 50);
        check_nothing(s, T0 + 2100);
        assert_int_equal(sender_deadline(s, T0 + 2100), T0 + 2200);
        check_next(s, T0 + 2200, "2.out", 0, 10);
}

static void a_stall_rewinds(void **state) {
        CLEANUP(sender_free) struct sender *s = make(100000, 100, 100);
        uint64_t stalled;

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 200), 0);
        check_next(s, T0, "1.out", 0, 100);
        check_next(s, T0 + USEC_PER_SEC, "1.out", 100, 100);
        assert_int_equal(sender_deadline(s, T0 + USEC_PER_SEC), T0 + 20 * USEC_PER_SEC);
        /* progress puts it off */
        assert_int_equal(sender_acked(s, "r1", "1.out", 50, T0 + 5 * USEC_PER_SEC), 0);
        stalled = T0 + 25 * USEC_PER_SEC;
        assert_int_equal(sender_deadline(s, T0 + 6 * USEC_PER_SEC), stalled);
        /* an ack without progress does not */
        assert_int_equal(sender_acked(s, "r1", "1.out", 50, T0 + 9 * USEC_PER_SEC), 0);
        check_nothing(s, stalled - 1);
        assert_false(sender_stalled(s));
        check_next(s, stalled, "1.out", 50, 100);
        /* who may be gone for good gets one chunk, once a period */
        assert_true(sender_stalled(s));
        check_nothing(s, stalled);
        check_nothing(s, stalled + 20 * USEC_PER_SEC - 1);
        assert_int_equal(sender_deadline(s, stalled + 1), stalled + 20 * USEC_PER_SEC);
        check_next(s, stalled + 20 * USEC_PER_SEC, "1.out", 50, 100);
        check_nothing(s, stalled + 20 * USEC_PER_SEC);
        /* and all of it as soon as it says a word */
        assert_int_equal(sender_acked(s, "r1", "1.out", 150, stalled + 20 * USEC_PER_SEC + 1), 0);
        assert_false(sender_stalled(s));
        check_next(s, stalled + 20 * USEC_PER_SEC + 1, "1.out", 150, 50);
}

static void what_cannot_be_read_waits_and_holds_up_nothing(void **state) {
        CLEANUP(sender_free) struct sender *s = make(100000, 100, 100);

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 300), 0);
        assert_int_equal(sender_open(s, "r1", "2.out", 0, 200), 0);
        check_next(s, T0, "1.out", 0, 100);
        sender_unreadable(s, "r1", "1.out");
        check_next(s, T0, "2.out", 0, 100);
        check_next(s, T0, "2.out", 100, 100);
        check_nothing(s, T0);
        assert_false(sender_drained(s, "r1", "1.out"));
        assert_int_equal(sender_acked(s, "r1", "2.out", 200, T0 + 1), 0);
        check_nothing(s, T0 + 20 * USEC_PER_SEC - 1);
        check_next(s, T0 + 20 * USEC_PER_SEC, "1.out", 0, 100);
        sender_unreadable(s, "r1", "none"); /* no harm */
        sender_unreadable(s, "r1", "1.out");
        sender_close(s, "r1", "1.out");
        check_nothing(s, T0 + 20 * USEC_PER_SEC);
}

static void only_the_stalled_stream_rewinds(void **state) {
        CLEANUP(sender_free) struct sender *s = make(100000, 100, 100);

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 100), 0);
        assert_int_equal(sender_open(s, "r1", "2.out", 0, 100), 0);
        check_next(s, T0, "1.out", 0, 100);
        check_next(s, T0, "2.out", 0, 100);
        assert_int_equal(sender_acked(s, "r1", "1.out", 10, T0 + 10 * USEC_PER_SEC), 0);
        check_nothing(s, T0 + 20 * USEC_PER_SEC); /* 2.out waits until nothing is under way */
        assert_int_equal(sender_acked(s, "r1", "1.out", 10, T0 + 21 * USEC_PER_SEC), 0);
        check_next(s, T0 + 21 * USEC_PER_SEC, "2.out", 0, 100);
        check_nothing(s, T0 + 21 * USEC_PER_SEC);
        assert_int_equal(sender_acked(s, "r1", "2.out", 100, T0 + 22 * USEC_PER_SEC), 0);
        check_next(s, T0 + 30 * USEC_PER_SEC, "1.out", 10, 90);
}

static void one_gap_rewinds_once(void **state) {
        CLEANUP(sender_free) struct sender *s = make(100000, 100, 100);

        (void)state;
        assert_int_equal(sender_open(s, "r1", "1.out", 0, 400), 0);
        check_next(s, T0, "1.out", 0, 100);
        check_next(s, T0, "1.out", 100, 100);
        check_next(s, T0, "1.out", 200, 100);
        check_next(s, T0, "1.out", 300, 100);
        /* the second was lost; the third and the fourth tell */
        assert_int_equal(sender_rewind(s, "r1", "1.out", 100, T0 + 10), 0);
        check_next(s, T0 + 10, "1.out", 100, 100);
        assert_int_equal(sender_rewind(s, "r1", "1.out", 100, T0 + 20), 0);
        check_next(s, T0 + 20, "1.out", 200, 100);
        check_next(s, T0 + 20, "1.out", 300, 100);
        check_nothing(s, T0 + 20);
        /* lost again, and asked for again later */
        assert_int_equal(sender_rewind(s, "r1", "1.out", 100, T0 + 6 * USEC_PER_SEC), 0);
        check_next(s, T0 + 6 * USEC_PER_SEC, "1.out", 100, 100);
        /* another gap is another gap */
        check_next(s, T0 + 6 * USEC_PER_SEC, "1.out", 200, 100);
        assert_int_equal(sender_rewind(s, "r1", "1.out", 200, T0 + 6 * USEC_PER_SEC + 9), 0);
        check_next(s, T0 + 6 * USEC_PER_SEC + 9, "1.out", 200, 100);
        /* and an overtaken one is none */
        assert_int_equal(sender_rewind(s, "r1", "1.out", 199, T0 + 6 * USEC_PER_SEC + 10), 0);
        check_next(s, T0 + 6 * USEC_PER_SEC + 10, "1.out", 300, 100);
        check_nothing(s, T0 + 6 * USEC_PER_SEC + 10);
}

static void thousands_of_streams(void **state) {
        CLEANUP(sender_free) struct sender *s = make(UINT64_C(1) << 30, 10000, 100);
        char run[16], stream[16];
        struct sender_chunk c;
        unsigned n = 0;

        (void)state;
        for (unsigned i = 0; i < 4096; i++) {
                snprintf(run, sizeof(run), "run%u", i / 8);
                snprintf(stream, sizeof(stream), "%u.out", i % 8);
                assert_int_equal(sender_open(s, run, stream, 0, 10), 0);
        }
        while (sender_next(s, T0, &c) == SENDER_CHUNK)
                n++;
        assert_int_equal(n, 4096);
        for (unsigned i = 0; i < 4096; i++) {
                snprintf(run, sizeof(run), "run%u", i / 8);
                snprintf(stream, sizeof(stream), "%u.out", i % 8);
                assert_false(sender_drained(s, run, stream));
                assert_int_equal(sender_acked(s, run, stream, 10, T0), 0);
                assert_true(sender_drained(s, run, stream));
        }
        for (unsigned i = 0; i < 512; i++) {
                snprintf(run, sizeof(run), "run%u", i);
                sender_close_run(s, run);
        }
        /* gone: opening is from the beginning again */
        assert_int_equal(sender_open(s, "run1", "1.out", 0, 5), 0);
        assert_int_equal(sender_next(s, T0, &c), SENDER_CHUNK);
        assert_int_equal(c.size, 5);
        assert_int_equal(sender_next(s, T0, &c), 0);
}

static int starving(void *userdata) {
        CLEANUP(sender_free) struct sender *s = NULL;
        struct sender_chunk c;
        int r;

        (void)userdata;
        r = sender_new(&s, NULL);
        if (r < 0)
                return r;
        for (unsigned i = 0; i < 40; i++) {
                char stream[16];

                snprintf(stream, sizeof(stream), "%u.out", i);
                r = sender_open(s, "r1", stream, 0, 1);
                if (r < 0)
                        return r;
        }
        for (unsigned i = 0; i < 40; i++)
                assert_int_equal(sender_next(s, T0, &c), SENDER_CHUNK);
        assert_int_equal(sender_next(s, T0, &c), 0);
        return 0;
}

static void survives_starving(void **state) {
        (void)state;
        /* the table may stay small: then it only has longer chains */
        assert_true(starve_each_lenient(starving, NULL) > 40);
}

/*
 * The property: whatever happens in whatever order, the sender keeps to a model that counts every byte
 * by hand, and a receiver behind a lossy, ordered link has every byte once in the end.
 */

#define STREAMS 6
#define GROWTHS 4096
#define WIRE 4096

struct model_stream {
        char run[8];
        char name[8];
        bool open;
        bool resent; /* the next bytes were offered before: they need not wait */
        uint64_t size;
        uint64_t acked;
        uint64_t sent;
        struct {
                uint64_t end;
                uint64_t usec;
        } growths[GROWTHS]; /* which byte came when */
        size_t n_growths;
        uint64_t flights[64]; /* ends */
        size_t n_flights;
        uint64_t gap_next, gap_usec;
        uint64_t progress_usec;
        struct receiver peer;
};

/* What is on its way, in order, in each direction. */
struct packet {
        unsigned stream;
        uint64_t offset;
        uint32_t size;
        bool again;
};

struct wire {
        struct packet packets[WIRE];
        size_t head, tail;
};

struct model {
        uint64_t seed;
        uint64_t now;
        struct sender_limits limits;
        struct sender *sender;
        struct model_stream streams[STREAMS];
        struct wire down, up;
        bool lossy;
        bool stalled;
};

static uint64_t draw(struct model *m, uint64_t below) {
        m->seed ^= m->seed << 13;
        m->seed ^= m->seed >> 7;
        m->seed ^= m->seed << 17;
        return m->seed % below;
}

static void wire_put(struct wire *w, struct packet p) {
        assert_true(w->tail - w->head < WIRE);
        w->packets[w->tail++ % WIRE] = p;
}

static void model_forget(struct model_stream *t) {
        t->resent = t->sent > t->acked || t->resent;
        t->sent = t->acked;
        t->n_flights = 0;
}

static void model_land(struct model_stream *t, uint64_t next) {
        size_t n = 0;

        while (n < t->n_flights && t->flights[n] <= next)
                n++;
        t->n_flights -= n;
        memmove(t->flights, t->flights + n, t->n_flights * sizeof(t->flights[0]));
}

/* When the byte at @offset came. */
static uint64_t model_came(const struct model_stream *t, uint64_t offset) {
        for (size_t i = 0; i < t->n_growths; i++)
                if (offset < t->growths[i].end)
                        return t->growths[i].usec;
        fail();
        return 0;
}

static void model_under_way(const struct model *m, uint64_t *ret_bytes, size_t *ret_chunks) {
        *ret_bytes = 0;
        *ret_chunks = 0;
        for (size_t i = 0; i < STREAMS; i++) {
                *ret_bytes += m->streams[i].sent - m->streams[i].acked;
                *ret_chunks += m->streams[i].n_flights;
        }
}

static void model_stalls(struct model *m) {
        for (size_t i = 0; i < STREAMS; i++) {
                struct model_stream *t = &m->streams[i];

                if (t->n_flights > 0 && m->now - t->progress_usec >= m->limits.stall_usec) {
                        model_forget(t);
                        m->stalled = true;
                }
        }
}

/* The sender says there is nothing: is that so, and until when? */
static void check_idle(const struct model *m) {
        uint64_t deadline = sender_deadline(m->sender, m->now), bytes;
        size_t chunks;

        assert_true(deadline > m->now);
        model_under_way(m, &bytes, &chunks);
        for (size_t i = 0; i < STREAMS; i++) {
                const struct model_stream *t = &m->streams[i];
                uint64_t unsent = t->size - t->sent;

                if (t->n_flights > 0)
                        assert_true(deadline <= t->progress_usec + m->limits.stall_usec);
                if (!t->open || unsent == 0 || chunks >= m->limits.window_chunks ||
                    (m->stalled && chunks > 0) ||
                    bytes + m->limits.chunk_max > m->limits.window_bytes)
                        continue;
                assert_true(chunks > 0);
                assert_true(unsent < m->limits.chunk_max);
                /* it may hope for more, but not longer than this */
                assert_true(deadline <=
                            t->growths[t->n_growths - 1].usec + m->limits.coalesce_usec);
        }
}

static bool step_next(struct model *m) {
        struct model_stream *t;
        struct sender_chunk c;
        uint64_t bytes;
        size_t chunks;
        unsigned i;

        model_stalls(m);
        model_under_way(m, &bytes, &chunks);
        if (sender_next(m->sender, m->now, &c) != SENDER_CHUNK) {
                check_idle(m);
                return false;
        }
        for (i = 0; i < STREAMS; i++)
                if (strcmp(m->streams[i].run, c.run) == 0 &&
                    strcmp(m->streams[i].name, c.stream) == 0)
                        break;
        assert_true(i < STREAMS);
        t = &m->streams[i];
        assert_true(t->open);
        /* in order, without holes, never what is confirmed already */
        assert_int_equal(c.offset, t->sent);
        assert_true(c.offset >= t->acked);
        assert_true(c.size > 0);
        assert_true(c.size <= m->limits.chunk_max);
        assert_true(c.offset + c.size <= t->size);
        assert_true(c.size == m->limits.chunk_max || c.offset + c.size == t->size);
        /* less than a chunk goes only when nothing is under way, or after its time */
        if (c.size < m->limits.chunk_max && chunks > 0 && !t->resent)
                assert_true(m->now >= model_came(t, c.offset) + m->limits.coalesce_usec);
        assert_true(bytes + c.size <= m->limits.window_bytes);
        assert_true(chunks + 1 <= m->limits.window_chunks);
        assert_true(!m->stalled || chunks == 0);
        if (t->n_flights == 0)
                t->progress_usec = m->now;
        t->sent += c.size;
        t->flights[t->n_flights++] = t->sent;
        if (t->sent == t->size)
                t->resent = false;
        if (!m->lossy || draw(m, 20) != 0)
                wire_put(&m->down, (struct packet){i, c.offset, c.size, false});
        return true;
}

static void step_arrives(struct model *m) {
        struct packet p;
        struct model_stream *t;
        uint32_t skip = 0;
        int r;

        if (m->down.head == m->down.tail)
                return;
        p = m->down.packets[m->down.head++ % WIRE];
        t = &m->streams[p.stream];
        r = receiver_chunk(&t->peer, p.offset, p.size, &skip);
        if (r == 0) {
                /* exactly the bytes that follow what it had */
                assert_int_equal(t->peer.next, p.offset + p.size);
                assert_true(skip < p.size);
        }
        if (!m->lossy || draw(m, 20) != 0)
                wire_put(&m->up, (struct packet){p.stream, t->peer.next, 0, r == RECEIVER_GAP});
}

static void step_ack(struct model *m) {
        struct model_stream *t;
        struct packet p;
        uint64_t next;

        if (m->up.head == m->up.tail)
                return;
        p = m->up.packets[m->up.head++ % WIRE];
        t = &m->streams[p.stream];
        next = p.offset;
        m->stalled = false;
        if (!p.again)
                assert_int_equal(sender_acked(m->sender, t->run, t->name, next, m->now), 0);
        else
                assert_int_equal(sender_rewind(m->sender, t->run, t->name, next, m->now), 0);
        if (!t->open)
                return;
        if (next > t->acked) {
                t->acked = next;
                if (t->sent < next)
                        t->sent = next;
                model_land(t, next);
                t->progress_usec = m->now;
        }
        if (!p.again || next < t->acked || t->n_flights == 0 ||
            (t->gap_next == next && m->now - t->gap_usec < m->limits.stall_usec / 4))
                return;
        t->gap_next = next;
        t->gap_usec = m->now;
        model_forget(t);
}

static void step_grew(struct model *m) {
        struct model_stream *t = &m->streams[draw(m, STREAMS)];

        if (t->n_growths == GROWTHS)
                return;
        t->size += 1 + draw(m, draw(m, 4) ? 30 : 400);
        t->growths[t->n_growths].end = t->size;
        t->growths[t->n_growths++].usec = m->now;
        sender_grew(m->sender, t->run, t->name, t->size, m->now);
}

static void open_stream(struct model *m, struct model_stream *t) {
        assert_int_equal(sender_open(m->sender, t->run, t->name, t->peer.next, t->size), 0);
        t->acked = t->sent = t->peer.next;
        t->n_flights = 0;
        t->gap_next = UINT64_MAX;
        t->open = true;
        t->resent = true;
}

static void close_stream(struct model_stream *t) {
        t->open = false;
        t->sent = t->acked;
        t->n_flights = 0;
}

static void step_open_or_close(struct model *m) {
        unsigned i = (unsigned)draw(m, STREAMS);
        struct model_stream *t = &m->streams[i];

        switch (draw(m, 6)) {
        case 0:
                close_stream(t);
                sender_close(m->sender, t->run, t->name);
                break;
        case 1:
                for (size_t j = 0; j < STREAMS; j++)
                        if (strcmp(m->streams[j].run, t->run) == 0)
                                close_stream(&m->streams[j]);
                sender_close_run(m->sender, t->run);
                break;
        case 2:
                /* a new connection: all that is under way is gone, every stream is opened again */
                m->down.head = m->down.tail;
                m->up.head = m->up.tail;
                for (size_t j = 0; j < STREAMS; j++)
                        open_stream(m, &m->streams[j]);
                break;
        default:
                open_stream(m, t);
                break;
        }
}

static void model_drain(struct model *m) {
        unsigned rounds = 0;

        m->lossy = false;
        for (size_t i = 0; i < STREAMS; i++)
                if (!m->streams[i].open)
                        open_stream(m, &m->streams[i]);
        for (;;) {
                uint64_t deadline;

                assert_true(rounds++ < 100000);
                while (step_next(m))
                        ;
                if (m->down.head != m->down.tail || m->up.head != m->up.tail) {
                        step_arrives(m);
                        step_ack(m);
                        m->now += 10;
                        continue;
                }
                deadline = sender_deadline(m->sender, m->now);
                if (deadline == USEC_NEVER)
                        break;
                m->now = deadline;
        }
        for (size_t i = 0; i < STREAMS; i++) {
                const struct model_stream *t = &m->streams[i];

                assert_int_equal(t->peer.next, t->size);
                assert_true(sender_drained(m->sender, t->run, t->name));
        }
}

static void play(uint64_t seed) {
        struct model *m = calloc(1, sizeof(*m));

        assert_non_null(m);
        m->seed = seed;
        m->now = T0;
        m->lossy = true;
        m->limits = (struct sender_limits){
                .window_bytes = 100 + draw(m, 2000),
                .window_chunks = 1 + (unsigned)draw(m, 40),
                .chunk_max = 1 + (uint32_t)draw(m, 100),
                .coalesce_usec = 1 + draw(m, 3000),
                .stall_usec = 1000 + draw(m, 100000),
        };
        assert_int_equal(sender_new(&m->sender, &m->limits), 0);
        for (unsigned i = 0; i < STREAMS; i++) {
                snprintf(m->streams[i].run, sizeof(m->streams[i].run), "r%u", i / 2);
                snprintf(m->streams[i].name, sizeof(m->streams[i].name), "%u.out", i % 2);
        }
        for (unsigned i = 0; i < 3000; i++) {
                uint64_t what = draw(m, 100);

                if (what < 30)
                        step_grew(m);
                else if (what < 60)
                        step_next(m);
                else if (what < 75)
                        step_arrives(m);
                else if (what < 90)
                        step_ack(m);
                else if (what < 97)
                        m->now += draw(m, draw(m, 10) ? 2000 : 200000);
                else if (draw(m, 3) == 0)
                        step_open_or_close(m);
        }
        model_drain(m);
        sender_free(m->sender);
        free(m);
}

/* The game that is played: what to give as ROTA_SEED when it was lost. */
static uint64_t playing;

static void keeps_to_the_model(void **state) {
        const char *given = getenv("ROTA_SEED");
        unsigned n = given ? 1 : 300;

        (void)state;
        playing = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL) << 16;
        printf("seeds from %" PRIu64 "\n", playing);
        for (unsigned i = 0; i < n; i++) {
                if (i > 0)
                        playing++;
                play(playing ? playing : 1);
        }
}

static int tell_seed(void **state) {
        (void)state;
        printf("last seed %" PRIu64 "\n", playing);
        return 0;
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(splits_into_chunks),
                cmocka_unit_test(continues_where_the_peer_is),
                cmocka_unit_test(bad_acks_change_nothing),
                cmocka_unit_test(takes_acks_of_an_earlier_connection),
                cmocka_unit_test(window_in_bytes),
                cmocka_unit_test(window_in_chunks),
                cmocka_unit_test(a_window_below_a_chunk_still_moves),
                cmocka_unit_test(counts_what_chunks_weigh),
                cmocka_unit_test(a_chunk_may_go_out_shorter),
                cmocka_unit_test(held_it_sends_one_at_a_time),
                cmocka_unit_test(streams_take_turns),
                cmocka_unit_test(trickles_wait_for_company),
                cmocka_unit_test(the_longest_waiting_goes_first),
                cmocka_unit_test(a_stall_rewinds),
                cmocka_unit_test(only_the_stalled_stream_rewinds),
                cmocka_unit_test(what_cannot_be_read_waits_and_holds_up_nothing),
                cmocka_unit_test(one_gap_rewinds_once),
                cmocka_unit_test(thousands_of_streams),
                cmocka_unit_test(survives_starving),
                cmocka_unit_test_teardown(keeps_to_the_model, tell_seed),
        };

        return cmocka_run_group_tests_name("stream_sender", tests, NULL, NULL);
}
