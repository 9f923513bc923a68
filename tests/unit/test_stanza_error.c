#include "tests/support/check.h"

#include "proto/stanza_error.h"
#include "tests/support/starve.h"

#include <errno.h>

static struct xml *parsed(const char *text) {
        struct xml *x = NULL;

        assert_int_equal(xml_parse(&x, text, strlen(text), NULL), 0);
        return x;
}

static void written(const struct stanza_error *e, const char *expected) {
        CLEANUP(buf_done) struct buf b = {0};
        struct xml_writer w;

        xml_writer_init(&w, &b);
        assert_int_equal(stanza_error_write(&w, e), 0);
        check_buf(&b, expected);
}

static void test_golden(void **state) {
        (void)state;
        written(&(struct stanza_error){.condition = STANZA_SERVICE_UNAVAILABLE},
                "<error type='cancel'>"
                "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>");
        written(&(struct stanza_error){.condition = STANZA_CONFLICT,
                                       .why = STANZA_WHY_BUSY,
                                       .text = "memory, for <ana>",
                                       .run = "k3",
                                       .owner = "ctl@lab"},
                "<error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
                "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>memory, for &lt;ana&gt;</text>"
                "<busy xmlns='urn:rota:error:1' run='k3' owner='ctl@lab'/></error>");
        written(&(struct stanza_error){.condition = STANZA_FORBIDDEN,
                                       .why = STANZA_WHY_NOT_ALLOWED,
                                       .role = "admin"},
                "<error type='auth'><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
                "<not-allowed xmlns='urn:rota:error:1' role='admin'/></error>");
}

static void test_both_ways(void **state) {
        (void)state;
        for (int c = 0; c <= STANZA_OTHER; c++)
                for (int why = 0; why <= STANZA_WHY_UNSUPPORTED; why++) {
                        const struct stanza_error e = {.condition = (enum stanza_condition)c,
                                                       .why = (enum stanza_why)why,
                                                       .text = "why not",
                                                       .run = "k3",
                                                       .owner = "ctl@lab"};
                        struct stanza_error back;
                        CLEANUP(buf_done) struct buf b = {0};
                        CLEANUP(arena_done) struct arena a = {0};
                        CLEANUP(xml_free) struct xml *x = NULL;
                        struct xml_writer w;

                        xml_writer_init(&w, &b);
                        xml_begin(&w, "iq", "jabber:client");
                        xml_begin(&w, "query", "urn:echoed");
                        xml_end(&w);
                        stanza_error_write(&w, &e);
                        xml_end(&w);
                        x = parsed(buf_text(&b));
                        assert_int_equal(stanza_error_read(x, &a, &back), 0);
                        assert_int_equal(back.condition, c);
                        assert_int_equal(back.why, why);
                        assert_string_equal(back.text, "why not");
                        if (why != STANZA_WHY_NONE)
                                assert_string_equal(back.run, "k3");
                        else
                                assert_null(back.run);
                        if (why == STANZA_WHY_BUSY || why == STANZA_WHY_LEASED)
                                assert_string_equal(back.owner, "ctl@lab");
                }
}

#define STANZAS "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"

static void test_what_servers_send(void **state) {
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(xml_free)
        struct xml *gone = parsed(
                "<iq xmlns='jabber:client' type='error'><error code='302' type='modify' by='lab'>"
                "<text " STANZAS " xml:lang='en'>moved</text><gone " STANZAS
                ">x</gone></error></iq>");
        CLEANUP(xml_free) struct xml *none = parsed("<iq xmlns='jabber:client' type='error'/>");
        CLEANUP(xml_free)
        struct xml *bare = parsed("<iq xmlns='jabber:client' type='error'><error/></iq>");
        struct stanza_error e;

        (void)state;
        assert_int_equal(stanza_error_read(gone, &a, &e), 0);
        assert_int_equal(e.condition, STANZA_OTHER);
        assert_string_equal(e.text, "moved");
        assert_int_equal(e.why, STANZA_WHY_NONE);
        assert_int_equal(stanza_error_read(none, &a, &e), 1);
        assert_int_equal(stanza_error_read(bare, &a, &e), 0);
        assert_int_equal(e.condition, STANZA_OTHER);
        assert_null(e.text);
}

static void test_long_texts_are_cut(void **state) {
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf b = {0}, long_text = {0};
        CLEANUP(xml_free) struct xml *x = NULL;
        struct stanza_error e = {.condition = STANZA_CONFLICT, .why = STANZA_WHY_BUSY};
        struct xml_writer w;

        (void)state;
        for (int i = 0; i < 5000; i++)
                buf_putc(&long_text, 'x');
        e.text = e.run = buf_text(&long_text);
        xml_writer_init(&w, &b);
        xml_begin(&w, "iq", "jabber:client");
        stanza_error_write(&w, &e);
        xml_end(&w);
        x = parsed(buf_text(&b));
        assert_int_equal(stanza_error_read(x, &a, &e), 0);
        assert_int_equal(strlen(e.text), 1024);
        assert_null(e.run);
}

static int read_cut(void *userdata) {
        CLEANUP(arena_done) struct arena a = {0};
        struct stanza_error e;

        return stanza_error_read(userdata, &a, &e);
}

static void test_starved(void **state) {
        CLEANUP(xml_free)
        struct xml *x = parsed("<iq><error><text " STANZAS ">one<x/>two</text></error></iq>");

        (void)state;
        assert_int_equal(starve_each(read_cut, x), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_golden),
                cmocka_unit_test(test_both_ways),
                cmocka_unit_test(test_what_servers_send),
                cmocka_unit_test(test_long_texts_are_cut),
                cmocka_unit_test(test_starved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
