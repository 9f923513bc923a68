#include "tests/support/check.h"

#include "proto/fields.h"
#include "tests/support/starve.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

enum paint {
        PAINT_RED,
        PAINT_BLUE,
};

struct wheel {
        const char *size;
        const char *note;
};

struct car {
        const char *id;
        const char *owner;
        uint64_t price;
        int64_t warmth;
        bool sold;
        int paint;
        const char *title;
        bool fast;
        const struct wheel *spare;
        const struct wheel *wheels;
        size_t n_wheels;
};

static const struct field wheel_fields[] = {
        F_STR(struct wheel, size, .flags = FIELD_REQUIRED, .max = 4),
        F_TEXT(struct wheel, note, .max = 5),
        F_END,
};
static const struct element spare_element = {"spare", "urn:car", sizeof(struct wheel),
                                             wheel_fields};
static const struct element wheel_element = {"wheel", "urn:wheel", sizeof(struct wheel),
                                             wheel_fields};
static const char *const paints[] = {"red", "blue", NULL};
static const struct field car_fields[] = {
        F_STR(struct car, id, .flags = FIELD_REQUIRED | FIELD_IS_ID),
        F_STR(struct car, owner, .max = 5),
        F_U64(struct car, price, .max = 1000),
        F_I64(struct car, warmth),
        F_BOOL(struct car, sold),
        F_ENUM(struct car, paint, paints),
        F_CHILD_STR(struct car, title, .max = 6),
        F_FLAG(struct car, fast, .ns = "urn:speed"),
        F_CHILD(struct car, spare, wheel, &spare_element),
        F_LIST(struct car, wheels, wheel, &wheel_element, .max = 4),
        F_END,
};
static const struct element car_element = {"car", "urn:car", sizeof(struct car), car_fields};

struct blob {
        uint64_t at;
        struct bytes data;
};

static const struct field blob_fields[] = {
        F_U64(struct blob, at, .flags = FIELD_REQUIRED),
        F_BYTES(struct blob, data, .flags = FIELD_REQUIRED, .max = 6),
        F_END,
};
static const struct element blob_element = {"blob", "urn:blob", sizeof(struct blob), blob_fields};

static int decode(const struct element *e, const char *text, struct arena *a, struct xml **ret_tree,
                  void *ret, const char **ret_why) {
        assert_int_equal(xml_parse(ret_tree, text, strlen(text), NULL), 0);
        return fields_decode(e, *ret_tree, a, ret, ret_why);
}

/* Asserts that @text is refused, and the sentence. */
static void refused(const struct element *e, const char *text, const char *expected) {
        CLEANUP(xml_free) struct xml *x = NULL;
        CLEANUP(arena_done) struct arena a = {0};
        union {
                struct car car;
                struct blob blob;
        } value = {0};
        const char *why = NULL;

        assert_int_equal(decode(e, text, &a, &x, &value, &why), FIELDS_REFUSED);
        assert_string_equal(why, expected);
        assert_int_equal(fields_decode(e, x, &a, &value, NULL), FIELDS_REFUSED);
}

#define FULL                                                                                       \
        "<car xmlns='urn:car' id='k3' owner='ana' price='1000' warmth='-7' sold='true'"            \
        " paint='blue'><title>T&lt;1</title><fast xmlns='urn:speed'/><spare size='15'>old</spare>" \
        "<wheel xmlns='urn:wheel' size='16'/><wheel xmlns='urn:wheel' size='17'>new</wheel></car>"

static void test_both_ways(void **state) {
        CLEANUP(xml_free) struct xml *x = NULL;
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf b = {0};
        struct car c = {0};

        (void)state;
        assert_int_equal(decode(&car_element, FULL, &a, &x, &c, NULL), 0);
        assert_string_equal(c.id, "k3");
        assert_string_equal(c.owner, "ana");
        assert_int_equal(c.price, 1000);
        assert_int_equal(c.warmth, -7);
        assert_true(c.sold);
        assert_int_equal(c.paint, PAINT_BLUE);
        assert_string_equal(c.title, "T<1");
        assert_true(c.fast);
        assert_string_equal(c.spare->size, "15");
        assert_string_equal(c.spare->note, "old");
        assert_int_equal(c.n_wheels, 2);
        assert_string_equal(c.wheels[0].size, "16");
        assert_string_equal(c.wheels[0].note, "");
        assert_string_equal(c.wheels[1].note, "new");

        assert_int_equal(fields_encode(&car_element, &c, &b), 0);
        check_buf(&b, FULL);
}

static void test_least(void **state) {
        CLEANUP(xml_free) struct xml *x = NULL;
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf b = {0};
        struct car c = {0};

        (void)state;
        assert_int_equal(decode(&car_element,
                                "<car xmlns='urn:car' id='a' later='1'><unknown/>"
                                "<wheel size='1'/><fast/></car>",
                                &a, &x, &c, NULL),
                         0);
        assert_null(c.owner);
        assert_int_equal(c.price, 0);
        assert_false(c.sold);
        assert_int_equal(c.paint, -1);
        assert_null(c.title);
        assert_false(c.fast); /* of another namespace, like the wheel */
        assert_null(c.spare);
        assert_int_equal(c.n_wheels, 0);
        assert_null(c.wheels);

        assert_int_equal(fields_encode(&car_element, &c, &b), 0);
        check_buf(&b, "<car xmlns='urn:car' id='a'/>");
}

#define CAR(more) "<car xmlns='urn:car' " more "</car>"
#define WHEEL "<wheel xmlns='urn:wheel' size='1'/>"

static void test_refusals(void **state) {
        static const struct {
                const char *text, *why;
        } rows[] = {
                {"<cart xmlns='urn:car' id='a'/>",                  "<car>: expected, found another element"         },
                {"<car id='a'/>",                                   "<car>: expected, found another element"         },
                {CAR(">"),                                          "<car>: attribute id is missing"                 },
                {CAR("id='../etc'>"),                               "<car>: attribute id is no identifier"           },
                {CAR("id=''>"),                                     "<car>: attribute id is no identifier"           },
                {CAR("id='a' owner='abcdef'>"),                     "<car>: attribute owner is longer than 5 bytes"  },
                {CAR("id='a' price='1001'>"),                       "<car>: attribute price is above 1000"           },
                {CAR("id='a' price='-1'>"),                         "<car>: attribute price is no whole number"      },
                {CAR("id='a' price='+1'>"),                         "<car>: attribute price is no whole number"      },
                {CAR("id='a' price=' 1'>"),                         "<car>: attribute price is no whole number"      },
                {CAR("id='a' price='1.0'>"),                        "<car>: attribute price is no whole number"      },
                {CAR("id='a' price=''>"),                           "<car>: attribute price is no whole number"      },
                {CAR("id='a' price='18446744073709551616'>"),
                 "<car>: attribute price is no whole number"                                                         },
                {CAR("id='a' warmth='9223372036854775808'>"),
                 "<car>: attribute warmth is no whole number"                                                        },
                {CAR("id='a' warmth='-9223372036854775809'>"),
                 "<car>: attribute warmth is no whole number"                                                        },
                {CAR("id='a' warmth='-'>"),                         "<car>: attribute warmth is no whole number"     },
                {CAR("id='a' warmth='--1'>"),                       "<car>: attribute warmth is no whole number"     },
                {CAR("id='a' sold='TRUE'>"),                        "<car>: attribute sold is neither true nor false"},
                {CAR("id='a' paint='green'>"),                      "<car>: attribute paint has an unknown value"    },
                {CAR("id='a' paint=''>"),                           "<car>: attribute paint has an unknown value"    },
                {CAR("id='a'><title>1234567</title>"),
                 "<car>: child <title> is longer than 6 bytes"                                                       },
                {CAR("id='a'><spare/>"),                            "<spare>: attribute size is missing"             },
                {CAR("id='a'><spare size='1'>123456</spare>"),
                 "<spare>: text is longer than 5 bytes"                                                              },
                {CAR("id='a'>" WHEEL "<wheel xmlns='urn:wheel'/>"),
                 "<wheel>: attribute size is missing"                                                                },
                {CAR("id='a'>" WHEEL WHEEL WHEEL WHEEL WHEEL),
                 "<car>: child <wheel> is there more than 4 times"                                                   },
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
                refused(&car_element, rows[i].text, rows[i].why);
}

static void test_extremes(void **state) {
        CLEANUP(xml_free) struct xml *x = NULL;
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf b = {0};
        struct car c = {0};

        (void)state;
        assert_int_equal(decode(&car_element,
                                CAR("id='a' warmth='-9223372036854775808' sold='0'>" WHEEL WHEEL
                                            WHEEL WHEEL),
                                &a, &x, &c, NULL),
                         0);
        assert_true(c.warmth == INT64_MIN);
        assert_int_equal(c.n_wheels, 4);
        assert_int_equal(fields_encode(&car_element, &c, &b), 0);
        assert_non_null(strstr(buf_text(&b), " warmth='-9223372036854775808'"));
}

static void test_bytes(void **state) {
        CLEANUP(xml_free) struct xml *x = NULL;
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf b = {0};
        struct blob v = {0};

        (void)state;
        assert_int_equal(decode(&blob_element, "<blob xmlns='urn:blob' at='0'>AAEC/f7/</blob>", &a,
                                &x, &v, NULL),
                         0);
        check_bytes(v.data, "\x00\x01\x02\xfd\xfe\xff", 6);
        assert_int_equal(fields_encode(&blob_element, &v, &b), 0);
        check_buf(&b, "<blob xmlns='urn:blob' at='0'>AAEC/f7/</blob>");

        refused(&blob_element, "<blob xmlns='urn:blob' at='0'/>", "<blob>: text is missing");
        refused(&blob_element, "<blob xmlns='urn:blob' at='0'>AAEC/f7/AA==</blob>",
                "<blob>: text is longer than 6 bytes");
        refused(&blob_element, "<blob xmlns='urn:blob' at='0'>AAAAAAAAAAAAAAAAAAAAAAAAAAAA</blob>",
                "<blob>: text is longer than 6 bytes");
        refused(&blob_element, "<blob xmlns='urn:blob' at='0'>AAE</blob>",
                "<blob>: text is no base64");
        refused(&blob_element, "<blob xmlns='urn:blob' at='0'>AA C</blob>",
                "<blob>: text is no base64");
}

static void test_inside_another_element(void **state) {
        CLEANUP(buf_done) struct buf b = {0};
        const struct blob v = {
                .at = 3, .data = {(const uint8_t *)"a", 1}
        };
        struct xml_writer w;

        (void)state;
        xml_writer_init(&w, &b);
        xml_begin(&w, "message", NULL);
        assert_int_equal(fields_write(&blob_element, &v, &w), 0);
        assert_int_equal(fields_write(&blob_element, &v, &w), 0);
        xml_end(&w);
        check_buf(&b, "<message><blob xmlns='urn:blob' at='3'>YQ==</blob>"
                      "<blob xmlns='urn:blob' at='3'>YQ==</blob></message>");
}

/* To send what our own table refuses is a bug of ours. */
static void test_encoding_asserts(void **state) {
        const struct car bad[] = {
                {.paint = PAINT_RED},
                {         .id = "../x"                 },
                { .id = "a",                  .owner = "abcdef"},
                {                  .id = "a",                  .price = 1001},
                {                  .id = "a",                  .paint = 2},
        };

        (void)state;
        for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
                int status;
                pid_t pid = fork();

                assert_true(pid >= 0);
                if (pid == 0) {
                        struct buf b = {0};

                        fclose(stderr);
                        signal(SIGABRT, SIG_DFL);
                        fields_encode(&car_element, &bad[i], &b);
                        _exit(0);
                }
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFSIGNALED(status));
                assert_int_equal(WTERMSIG(status), SIGABRT);
        }
}

static int round_trip(void *userdata) {
        CLEANUP(arena_done) struct arena a = {0};
        CLEANUP(buf_done) struct buf b = {0};
        struct car c = {0};
        const char *why = NULL;
        int r;

        r = fields_decode(&car_element, userdata, &a, &c, &why);
        return r != 0 ? r : fields_encode(&car_element, &c, &b);
}

static int refusal(void *userdata) {
        CLEANUP(arena_done) struct arena a = {0};
        struct blob v = {0};
        const char *why = NULL;
        int r = fields_decode(&blob_element, userdata, &a, &v, &why);

        return r == FIELDS_REFUSED && why ? 0 : r;
}

static void test_starved(void **state) {
        CLEANUP(xml_free) struct xml *x = NULL;

        (void)state;
        assert_int_equal(xml_parse(&x, FULL, strlen(FULL), NULL), 0);
        assert_true(starve_each(round_trip, x) >= 2);
        assert_true(starve_each(refusal, x) >= 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_both_ways),
                cmocka_unit_test(test_least),
                cmocka_unit_test(test_refusals),
                cmocka_unit_test(test_extremes),
                cmocka_unit_test(test_bytes),
                cmocka_unit_test(test_inside_another_element),
                cmocka_unit_test(test_encoding_asserts),
                cmocka_unit_test(test_starved),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
