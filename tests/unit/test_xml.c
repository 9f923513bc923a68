#include "tests/support/check.h"

#include "proto/xml.h"
#include "tests/support/starve.h"

#include <errno.h>
#include <strophe.h>

static struct xml *parsed(const char *text) {
        struct xml *x = NULL;

        assert_int_equal(xml_parse(&x, text, strlen(text), NULL), 0);
        return x;
}

static int outcome(const char *text, const struct xml_limits *limits) {
        CLEANUP(xml_free) struct xml *x = NULL;
        int r = xml_parse(&x, text, strlen(text), limits);

        assert_true((x != NULL) == (r == 0));
        return r;
}

/*
 * The view, over both parsers
 */

#define MESSAGE                                                                                    \
        "<message xmlns='jabber:client' from='a@b/c'><body>one &lt;two&gt;</body>"                 \
        "<x xmlns='urn:x' n='1'><inner/></x>between<x xmlns='urn:y'/><x xmlns='urn:x' n='2'/>"     \
        "</message>"

static void look_at_message(const struct xml *m) {
        CLEANUP(arena_done) struct arena a = {0};
        const struct xml *x;

        assert_string_equal(xml_name(m), "message");
        assert_string_equal(xml_ns(m), "jabber:client");
        assert_string_equal(xml_attr(m, "from"), "a@b/c");
        assert_null(xml_attr(m, "to"));

        x = xml_child(m, NULL, NULL);
        assert_string_equal(xml_name(x), "body");
        assert_string_equal(xml_ns(x), "jabber:client");
        assert_string_equal(xml_text(x, &a), "one <two>");
        assert_ptr_equal(xml_child(m, "body", "jabber:client"), x);
        assert_null(xml_child(m, "body", "urn:x"));

        x = xml_child(m, "x", "urn:x");
        assert_string_equal(xml_attr(x, "n"), "1");
        assert_string_equal(xml_text(x, &a), "");
        assert_non_null(xml_child(x, "inner", "urn:x"));
        assert_null(xml_next(xml_child(x, "inner", NULL), NULL, NULL));
        x = xml_next(x, "x", "urn:x");
        assert_string_equal(xml_attr(x, "n"), "2");
        assert_null(xml_next(x, "x", "urn:x"));
        assert_string_equal(xml_ns(xml_next(xml_child(m, "x", NULL), "x", NULL)), "urn:y");
        assert_string_equal(xml_text(m, &a), "between");
        assert_null(a.blocks); /* all of it was borrowed */
}

static void test_view(void **state) {
        CLEANUP(xml_free) struct xml *x = parsed(MESSAGE);

        (void)state;
        look_at_message(x);
}

/* What a connection delivers is built by the library's own parser. */
static void test_view_of_library_tree(void **state) {
        xmpp_ctx_t *ctx = xmpp_ctx_new(NULL, NULL);
        xmpp_stanza_t *s = xmpp_stanza_new_from_string(ctx, MESSAGE);

        (void)state;
        assert_non_null(s);
        look_at_message((const struct xml *)s);
        xmpp_stanza_release(s);
        xmpp_ctx_free(ctx);
}

static void test_text_in_pieces(void **state) {
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(xml_free) struct xml *x = parsed("<a>one<b>no</b>two<c/>three</a>");

        (void)state;
        assert_string_equal(xml_text(x, &a), "onetwothree");
}

static void test_text_is_one_piece(void **state) {
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(xml_free) struct xml *x = parsed("<a>1&amp;2\n3&#10;4<!-- -->5<![CDATA[<6>]]></a>");

        (void)state;
        assert_string_equal(xml_text(x, &a), "1&2\n3\n45<6>");
        assert_null(a.blocks);
}

static void test_foreign_attributes_do_not_pass_for_ours(void **state) {
        CLEANUP(xml_free)
        struct xml *x =
                parsed("<a from='us' xmlns:p='urn:p' p:from='them' p:xmlns='them' p:new='x'/>");

        (void)state;
        assert_string_equal(xml_attr(x, "from"), "us");
        assert_string_equal(xml_ns(x), "");
        assert_null(xml_attr(x, "new"));
}

/* libstrophe alone believes the forger: whichever comes last wins. */
static void test_nor_in_library_trees(void **state) {
        static const char *const texts[] = {
                "<m from='us' type='a' xmlns:p='urn:p' p:from='them' p:type='b' p:to='c'/>",
                "<m xmlns:p='urn:p' p:from='them' p:type='b' from='us' p:to='c' type='a'/>",
        };

        (void)state;
        assert_true(xml_is_guarded());
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                xmpp_ctx_t *ctx = xmpp_ctx_new(NULL, NULL);
                xmpp_stanza_t *s = xmpp_stanza_new_from_string(ctx, texts[i]);
                const struct xml *x = (const struct xml *)s;

                assert_string_equal(xml_attr(x, "from"), "us");
                assert_string_equal(xml_attr(x, "type"), "a");
                assert_null(xml_attr(x, "to"));
                assert_int_equal(xmpp_stanza_get_attribute_count(s), 2);
                xmpp_stanza_release(s);
                xmpp_ctx_free(ctx);
        }
}

static void test_namespaces(void **state) {
        CLEANUP(xml_free)
        struct xml *x = parsed("<p:a xmlns='urn:d' xmlns:p='urn:p'><b/><p:c/><d xmlns=''/></p:a>");

        (void)state;
        assert_string_equal(xml_ns(x), "urn:p");
        assert_non_null(xml_child(x, "b", "urn:d"));
        assert_non_null(xml_child(x, "c", "urn:p"));
        assert_non_null(xml_child(x, "d", ""));
}

/*
 * Refusals
 */

static void test_malformed(void **state) {
        static const char *const texts[] = {
                "",
                " ",
                "text",
                "<a>",
                "<a></b>",
                "<a/><b/>",
                "<a/>x",
                "<a b='1' b='2'/>",
                "<p:a/>",
                "<a>&nbsp;</a>",
                "<a>\x1b[1m</a>",
                "<a>&#0;</a>",
                "<a>\xff</a>",
                "<a b='<'/>",
                "<!DOCTYPE a><a/>",
                "<!DOCTYPE a [<!ENTITY b 'bb'><!ENTITY c '&b;&b;'>]><a>&c;</a>",
                "<!DOCTYPE a SYSTEM '/etc/passwd'><a/>",
                "<?go away?><a/>",
                "<a><?go away?></a>",
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                assert_int_equal(outcome(texts[i], NULL), XML_MALFORMED);
        assert_int_equal(outcome("<?xml version='1.0'?><a/>", NULL), 0);
}

static void test_limits(void **state) {
        struct xml_limits l = {.size = 40, .depth = 3, .nodes = 5, .attrs = 2};
        CLEANUP(buf_done) struct buf deep = {0};

        (void)state;
        assert_int_equal(outcome("<a><b><c/></b></a>", &l), 0);
        assert_int_equal(outcome("<a><b><c><d/></c></b></a>", &l), XML_LIMIT);
        assert_int_equal(outcome("<a><b/><b/><b/><b/></a>", &l), 0);
        assert_int_equal(outcome("<a><b/><b/><b/><b/><b/></a>", &l), XML_LIMIT);
        assert_int_equal(outcome("<a>1<b/>2<b/></a>", &l), 0);
        assert_int_equal(outcome("<a>1<b/>2<b/>3</a>", &l), XML_LIMIT);
        assert_int_equal(outcome("<a b='1' c='2'/>", &l), 0);
        assert_int_equal(outcome("<a b='1' c='2' d='3'/>", &l), XML_LIMIT);
        assert_int_equal(outcome("<a>0123456789012345678901234567890123</a>", &l), XML_LIMIT);

        for (size_t i = 0; i < 50000; i++)
                buf_puts(&deep, "<a>");
        assert_int_equal(outcome(buf_text(&deep), NULL), XML_LIMIT);
}

/*
 * Writing
 */

static void test_writer(void **state) {
        CLEANUP(buf_done) struct buf b = {0};
        struct xml_writer w;

        (void)state;
        xml_writer_init(&w, &b);
        xml_begin(&w, "iq", NULL);
        xml_put(&w, "to", "o'hara@lab/<x>\"\n");
        xml_put(&w, "id", NULL);
        xml_begin(&w, "query", "urn:q");
        xml_put_u64(&w, "n", UINT64_MAX);
        xml_put_text(&w, "a<b>&c'd\"e\tf\ng\r");
        xml_put_element(&w, "name", "Bob's");
        xml_put_element(&w, "empty", "");
        xml_put_element(&w, "absent", NULL);
        buf_puts(xml_raw(&w), "<raw/>");
        xml_end(&w);
        xml_begin(&w, "flag", NULL);
        xml_end(&w);
        xml_end(&w);
        check_buf(&b, "<iq to='o&apos;hara@lab/&lt;x&gt;&quot;&#10;'>"
                      "<query xmlns='urn:q' n='18446744073709551615'>"
                      "a&lt;b&gt;&amp;c'd\"e\tf\ng&#13;"
                      "<name>Bob's</name><empty/><raw/></query><flag/></iq>");
}

/* One such byte in a stanza, and a server closes the stream. */
static void test_writer_lets_nothing_forbidden_out(void **state) {
        CLEANUP(buf_done) struct buf b = {0};
        CLEANUP(arena_done) struct arena a = {0};
        struct xml_writer w;

        (void)state;
        for (unsigned c = 1; c < 256; c++) {
                char text[3] = {(char)c, 'x', '\0'};
                CLEANUP(xml_free) struct xml *x = NULL;

                buf_clear(&b);
                xml_writer_init(&w, &b);
                xml_begin(&w, "a", NULL);
                xml_put(&w, "b", text);
                xml_put_text(&w, text);
                xml_end(&w);
                x = parsed(buf_text(&b));
                if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c >= 0x80) {
                        assert_string_equal(xml_text(x, &a), "\xef\xbf\xbdx");
                        assert_string_equal(xml_attr(x, "b"), "\xef\xbf\xbdx");
                } else {
                        assert_string_equal(xml_text(x, &a), text);
                        assert_string_equal(xml_attr(x, "b"), text);
                }
        }
}

static void test_writer_and_unicode(void **state) {
        CLEANUP(buf_done) struct buf b = {0};
        struct xml_writer w;

        (void)state;
        xml_writer_init(&w, &b);
        xml_begin(&w, "a", NULL);
        xml_put_text(&w, "\xc3\xa4 \xf0\x9f\x90\xa7 \xef\xbf\xbe \xed\xa0\x80 \xe2\x82");
        xml_end(&w);
        check_buf(&b, "<a>\xc3\xa4 \xf0\x9f\x90\xa7 "         /* as they were */
                      "\xef\xbf\xbd "                         /* U+FFFE */
                      "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd " /* a surrogate, a byte at a time */
                      "\xef\xbf\xbd\xef\xbf\xbd</a>");        /* cut */
}

static void test_print(void **state) {
        CLEANUP(xml_free)
        struct xml *x =
                parsed("<iq xmlns='urn:i' to='b' from='a'><q xmlns='urn:q'><i>t&lt;</i><i/></q>"
                       "<e>x</e></iq>");
        CLEANUP(buf_done) struct buf b = {0};

        (void)state;
        assert_int_equal(xml_print(&b, x, false), 0);
        check_buf(&b, "<iq xmlns='urn:i' from='a' to='b'><q xmlns='urn:q'><i>t&lt;</i><i/></q>"
                      "<e>x</e></iq>");
        buf_clear(&b);
        assert_int_equal(xml_print(&b, x, true), 0);
        check_buf(&b, "<iq xmlns='urn:i' from='a' to='b'>\n"
                      "  <q xmlns='urn:q'>\n"
                      "    <i>t&lt;</i>\n"
                      "    <i/>\n"
                      "  </q>\n"
                      "  <e>x</e>\n"
                      "</iq>");
        buf_clear(&b);
        assert_int_equal(xml_print(&b, xml_child(x, "e", NULL), true), 0);
        check_buf(&b, "<e xmlns='urn:i'>x</e>");
}

/* A library's tree may be deeper than any stack. */
static void test_print_does_not_recurse(void **state) {
        xmpp_ctx_t *ctx = xmpp_ctx_new(NULL, NULL);
        xmpp_stanza_t *root = NULL;
        CLEANUP(buf_done) struct buf b = {0};
        const unsigned depth = 20000;

        (void)state;
        for (unsigned i = 0; i < depth; i++) {
                xmpp_stanza_t *s = xmpp_stanza_new(ctx);

                xmpp_stanza_set_name(s, "a");
                if (root)
                        xmpp_stanza_add_child_ex(s, root, 0);
                root = s;
        }
        assert_int_equal(xml_print(&b, (const struct xml *)root, false), 0);
        assert_int_equal(b.len, (depth - 1) * strlen("<a></a>") + strlen("<a/>"));
        xmpp_stanza_release(root);
        xmpp_ctx_free(ctx);
}

static int parse_and_print(void *userdata) {
        CLEANUP(xml_free) struct xml *x = NULL;
        CLEANUP(buf_done) struct buf b = {0};
        CLEANUP(arena_done) struct arena a = {0};
        int r = xml_parse(&x, MESSAGE, strlen(MESSAGE), NULL);

        (void)userdata;
        if (r != 0)
                return r;
        if (!xml_text(x, &a))
                return -ENOMEM;
        return xml_print(&b, x, true);
}

static void test_starved(void **state) {
        (void)state;
        assert_true(starve_each(parse_and_print, NULL) >= 5);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_view),
                cmocka_unit_test(test_view_of_library_tree),
                cmocka_unit_test(test_text_in_pieces),
                cmocka_unit_test(test_text_is_one_piece),
                cmocka_unit_test(test_foreign_attributes_do_not_pass_for_ours),
                cmocka_unit_test(test_nor_in_library_trees),
                cmocka_unit_test(test_namespaces),
                cmocka_unit_test(test_malformed),
                cmocka_unit_test(test_limits),
                cmocka_unit_test(test_writer),
                cmocka_unit_test(test_writer_lets_nothing_forbidden_out),
                cmocka_unit_test(test_writer_and_unicode),
                cmocka_unit_test(test_print),
                cmocka_unit_test(test_print_does_not_recurse),
                cmocka_unit_test(test_starved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
