#include "proto/catalogue.h"

#include "tests/support/check.h"
#include "tests/support/starve.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

struct lab {
        char dir[64];
        char other[80];
};

static void put(const char *dir, const char *name, const char *text) {
        CLEANUP(buf_done) struct buf path = {0};
        FILE *f;

        buf_printf(&path, "%s/%s", dir, name);
        f = fopen(path.data, "w");
        assert_non_null(f);
        fputs(text, f);
        fclose(f);
}

static void drop(const char *dir, const char *name) {
        CLEANUP(buf_done) struct buf path = {0};

        buf_printf(&path, "%s/%s", dir, name);
        assert_int_equal(unlink(path.data), 0);
}

static const char memory[] =
        "{ \"name\": \"memory\", \"title\": \"RAM test\", // with a comment\n"
        "  \"params\": { \"size\": { \"type\": \"bytes\", \"default\": \"64M\", \"min\": \"1M\" "
        "},\n"
        "              \"passes\": { \"type\": \"int\", \"default\": 1, \"min\": 1, \"max\": 1000 "
        "} },\n"
        "  \"argv\": [\"memtester\", \"{size}B\", \"{passes}\"],\n"
        "  \"needs\": [ { \"program\": \"memtester\", \"package\": \"memtester\" } ],\n"
        "  \"exit\": { \"passed\": [0], \"not_run\": [1, 77] },\n"
        "  \"timeout\": \"24h\", \"silence\": \"1h\", \"grace\": \"10s\", \"pty\": false "
        "}\n";

static const char net[] =
        "{\"name\":\"net\",\"title\":\"Network\",\"params\":{"
        "\"peer\":{\"type\":\"string\",\"default\":\"\",\"pattern\":\"[a-z0-9.]+|\\\\[[0-9a-f:]+"
        "\\\\]\"},"
        "\"mode\":{\"type\":\"enum\",\"values\":[\"tcp\",\"udp\"],\"default\":\"tcp\"},"
        "\"time\":{\"type\":\"duration\",\"max\":\"1h\"},"
        "\"note\":{\"type\":\"string\",\"default\":\"none\"},"
        "\"deep\":{\"type\":\"bool\",\"default\":false}},"
        "\"argv\":[\"{libexec}/"
        "net\",\"{peer?}\",\"-m{mode}\",\"{time}\",\"{deep}\",\"{{x}\",\"{note}\"]}";

static int setup(void **state) {
        struct lab *lab = calloc(1, sizeof(*lab));

        assert_non_null(lab);
        strcpy(lab->dir, "/tmp/rota-catalogue-XXXXXX");
        assert_non_null(mkdtemp(lab->dir));
        snprintf(lab->other, sizeof(lab->other), "%s/other", lab->dir);
        assert_int_equal(mkdir(lab->other, 0700), 0);
        put(lab->dir, "memory.json", memory);
        put(lab->dir, "net.json", net);
        put(lab->dir, "README", "no diagnostic");
        put(lab->dir, ".hidden.json", "no diagnostic");
        *state = lab;
        return 0;
}

static int teardown(void **state) {
        struct lab *lab = *state;
        CLEANUP(buf_done) struct buf command = {0};

        buf_printf(&command, "rm -rf %s", lab->dir);
        assert_int_equal(system(command.data), 0);
        free(lab);
        return 0;
}

static struct catalogue *load(struct lab *lab) {
        const char *dirs[] = {lab->dir, "/nowhere/at/all", lab->other, NULL};
        CLEANUP(mem_free) char *error = NULL;
        struct catalogue *c;
        int r = catalogue_load(&c, dirs, &error);

        if (r != 0)
                fail_msg("%d: %s", r, error);
        return c;
}

static void loads_and_lists(void **state) {
        CLEANUP(catalogue_free) struct catalogue *c = load(*state);
        const struct catalogue_entry *e;

        assert_int_equal(catalogue_count(c), 2);
        assert_string_equal(catalogue_at(c, 1)->name, "net");
        e = catalogue_find(c, "memory");
        assert_non_null(e);
        assert_ptr_equal(e, catalogue_at(c, 0));
        assert_string_equal(e->title, "RAM test");
        assert_int_equal(e->n_params, 2);
        assert_string_equal(e->params[0].name, "size");
        assert_string_equal(e->params[0].type, "bytes");
        assert_string_equal(e->params[0].fallback, "64M");
        assert_string_equal(e->params[1].fallback, "1");
        assert_int_equal(e->n_needs, 1);
        assert_string_equal(e->needs[0].package, "memtester");
        assert_int_equal(e->n_passed, 1);
        assert_int_equal(e->n_not_run, 2);
        assert_int_equal(e->not_run[1], 77);
        assert_int_equal(e->timeout_usec, UINT64_C(86400000000));
        assert_int_equal(e->grace_usec, 10000000);
        assert_false(e->pty);
        e = catalogue_find(c, "net");
        assert_true(e->pty);
        assert_int_equal(e->n_passed, 1);
        assert_int_equal(e->passed[0], 0);
        assert_null(e->params[2].fallback);
        assert_null(catalogue_find(c, "nothing"));
        assert_string_equal(catalogue_nearest(c, "memroy"), "memory");
        assert_null(catalogue_nearest(c, "something"));
}

static void a_later_directory_wins(void **state) {
        struct lab *lab = *state;

        put(lab->other, "memory.json",
            "{\"name\":\"memory\",\"title\":\"Ours\",\"argv\":[\"true\"]}");
        CLEANUP(catalogue_free) struct catalogue *c = load(lab);
        assert_int_equal(catalogue_count(c), 2);
        assert_string_equal(catalogue_find(c, "memory")->title, "Ours");
        assert_int_equal(catalogue_find(c, "memory")->n_params, 0);
        drop(lab->other, "memory.json");
}

/* @params: pairs, ends with NULL. Returns the argv joined by |, or the reason. */
static const char *expand(const struct catalogue *c, struct arena *a, const char *name,
                          const char *const *params) {
        struct plan_param given[8];
        struct plan_step step = {.kind = PLAN_DIAG, .diag = name, .params = given};
        const char *const *argv, *why = NULL, *text = "";
        int r;

        for (; params[2 * step.n_params]; step.n_params++) {
                given[step.n_params].name = params[2 * step.n_params];
                given[step.n_params].value = params[2 * step.n_params + 1];
        }
        r = catalogue_expand(c, &step, a, &argv, &why);
        if (r == CATALOGUE_REFUSED)
                return why;
        assert_int_equal(r, 0);
        for (size_t i = 0; argv[i]; i++)
                text = arena_printf(a, "%s%s%s", text, i > 0 ? "|" : "", argv[i]);
        return text;
}

#define check_expand(name, expected, ...)                                                          \
        do {                                                                                       \
                const char *const params_[] = {__VA_ARGS__ __VA_OPT__(, ) NULL};                   \
                assert_string_equal(expand(c, &a, name, params_), expected);                       \
        } while (0)

static void becomes_a_command_line(void **state) {
        CLEANUP(catalogue_free) struct catalogue *c = load(*state);
        CLEANUP(arena_done) struct arena a = {0};
        struct lab *lab = *state;
        CLEANUP(buf_done) struct buf expected = {0};
        const char *const params[] = {"time", "1200ms", NULL};

        check_expand("memory", "memtester|67108864B|1");
        check_expand("memory", "memtester|1048576B|1000", "size", "1M", "passes", "1000");
        buf_printf(&expected, "%s/libexec/net|-mtcp|1.2|false|{x}|none", lab->dir);
        assert_string_equal(expand(c, &a, "net", params), expected.data);
        buf_clear(&expected);
        buf_printf(&expected, "%s/libexec/net|lab.example|-mudp|60|true|{x}|a b", lab->dir);
        assert_string_equal(
                expand(c, &a, "net",
                       (const char *const[]){"peer", "lab.example", "mode", "udp", "time", "1m",
                                             "deep", "true", "note", "a b", NULL}),
                expected.data);
}

static void says_what_would_be_right(void **state) {
        CLEANUP(catalogue_free) struct catalogue *c = load(*state);
        CLEANUP(arena_done) struct arena a = {0};

        check_expand("memroy", "there is no diagnostic \"memroy\"; did you mean \"memory\"? "
                               "\"rota diag\" lists them");
        check_expand("\x1b[31m", "there is no diagnostic \"?[31m\"; \"rota diag\" lists them");
        check_expand("memory",
                     "memory: unknown parameter \"sizee\"; did you mean \"size\"? It takes: "
                     "size (bytes, default 64M), passes (int, default 1)",
                     "sizee", "1M");
        check_expand("memory", "memory: size must be a number of bytes such as 64M, not \"lots\"",
                     "size", "lots");
        check_expand("memory", "memory: passes must be between 1 and 1000, not 0", "passes", "0");
        check_expand("memory", "memory: passes must be between 1 and 1000, not 1001", "passes",
                     "1001");
        check_expand("memory", "memory: passes must be a whole number, not \"1x\"", "passes", "1x");
        check_expand("memory", "memory: passes must be a whole number, not \"\"", "passes", "");
        check_expand("memory",
                     "memory: passes must be a whole number, not \"99999999999999999999\"",
                     "passes", "99999999999999999999");
        check_expand("memory", "memory: size must be at least 1M, not 512k", "size", "512k");
        check_expand("memory", "memory: size is given twice", "size", "1M", "size", "2M");
        check_expand("net", "net: time is required: a duration such as 30s or 1h30m");
        check_expand("net", "net: time must be at most 1h, not 2h", "time", "2h");
        check_expand("net", "net: mode must be one of tcp, udp, not \"icmp\"", "mode", "icmp");
        check_expand("net", "net: deep must be true or false, not \"maybe\"", "deep", "maybe");
        check_expand("net",
                     "net: peer must be a text that matches [a-z0-9.]+|\\[[0-9a-f:]+\\], not "
                     "\"a -o x\"",
                     "peer", "a -o x");
        check_expand("net", "net: note must be a text that does not begin with a dash, not \"-x\"",
                     "note", "-x");
}

static void check_bad(struct lab *lab, const char *text, const char *expected) {
        const char *dirs[] = {lab->dir, lab->other, NULL};
        CLEANUP(mem_free) char *error = NULL;
        struct catalogue *c;

        put(lab->other, "bad.json", text);
        assert_int_equal(catalogue_load(&c, dirs, &error), JSON_BAD);
        assert_non_null(error);
        if (!strstr(error, expected))
                fail_msg("\"%s\" does not say \"%s\"", error, expected);
        if (!strstr(error, "/other/bad.json:"))
                fail_msg("\"%s\" does not say where", error);
        drop(lab->other, "bad.json");
}

#define BAD(rest) "{\"name\":\"bad\",\"title\":\"t\"," rest "}"
#define BAD_PARAM(rest) BAD("\"argv\":[\"x\"],\"params\":{\"p\":{" rest "}}")

static void checks_everything_when_it_loads(void **state) {
        struct lab *lab = *state;

        check_bad(lab, "{", "");
        check_bad(lab, "{}", "the name must be that of the file");
        check_bad(lab, "{\"name\":\"good\",\"title\":\"t\",\"argv\":[\"x\"]}",
                  "the name must be that of the file, \"bad\"");
        check_bad(lab, "{\"name\":\"bad\",\"argv\":[\"x\"]}", "title is missing");
        check_bad(lab, BAD("\"x\":1"), "x");
        check_bad(lab, BAD("\"timeout\":1"), "argv is missing");
        check_bad(lab, BAD("\"argv\":[]"), "argv is a list");
        check_bad(lab, BAD("\"argv\":[\"\"]"), "program's name is empty");
        check_bad(lab, BAD("\"argv\":[\"x\",\"{nope}\"]"), "there is no parameter {nope}");
        check_bad(lab, BAD("\"argv\":[\"x\",\"{}\"]"), "there is no parameter {}");
        check_bad(lab, BAD("\"argv\":[\"x\",\"a{\"]"), "not closed");
        check_bad(lab, BAD("\"params\":{\"p\":{\"type\":\"int\"}},\"argv\":[\"{p}\"]"),
                  "cannot be a parameter");
        check_bad(lab, BAD("\"params\":{\"p\":{\"type\":\"int\"}},\"argv\":[\"x\",\"-n{p?}\"]"),
                  "must be a whole argument");
        check_bad(lab, BAD("\"params\":{\"libexec\":{\"type\":\"int\"}},\"argv\":[\"x\"]"),
                  "taken");
        check_bad(lab, BAD("\"params\":{\"A\":{\"type\":\"int\"}},\"argv\":[\"x\"]"), "a-z");
        check_bad(lab, BAD_PARAM(""), "type is missing");
        check_bad(lab, BAD_PARAM("\"type\":\"number\""), "int");
        check_bad(lab, BAD_PARAM("\"type\":\"int\",\"default\":\"many\""), "the default must be");
        check_bad(lab, BAD_PARAM("\"type\":\"int\",\"default\":5,\"max\":4"),
                  "the default must be at most 4, not 5");
        check_bad(lab, BAD_PARAM("\"type\":\"int\",\"min\":\"x\""), "min must be a whole number");
        check_bad(lab, BAD_PARAM("\"type\":\"int\",\"min\":2,\"max\":1"),
                  "min is greater than max");
        check_bad(lab, BAD_PARAM("\"type\":\"bool\",\"min\":2"), "min goes with");
        check_bad(lab, BAD_PARAM("\"type\":\"int\",\"pattern\":\"x\""), "string only");
        check_bad(lab, BAD_PARAM("\"type\":\"string\",\"pattern\":\"a[\""), "regular expression");
        check_bad(lab, BAD_PARAM("\"type\":\"enum\""), "needs values");
        check_bad(lab, BAD_PARAM("\"type\":\"enum\",\"values\":[]"), "1 to 64 words");
        check_bad(lab, BAD_PARAM("\"type\":\"enum\",\"values\":[\"a\"],\"default\":\"b\""),
                  "the default must be one of a");
        check_bad(lab, BAD_PARAM("\"type\":\"int\",\"defualt\":1"), "default");
        check_bad(lab, BAD("\"argv\":[\"x\"],\"needs\":[{\"program\":\"x\"}]"), "a need is");
        check_bad(lab, BAD("\"argv\":[\"x\"],\"exit\":{\"passed\":[256]}"), "0 to 255");
        check_bad(lab, BAD("\"argv\":[\"x\"],\"exit\":{\"passed\":[1],\"not_run\":[1]}"),
                  "cannot be both");
        check_bad(lab, BAD("\"argv\":[\"x\"],\"exit\":{\"skipped\":[1]}"), "skipped");
}

static void a_pattern_matches_as_a_whole(void **state) {
        struct lab *lab = *state;
        CLEANUP(arena_done) struct arena a = {0};

        put(lab->other, "p.json",
            "{\"name\":\"p\",\"title\":\"t\",\"params\":{\"x\":{\"type\":\"string\","
            "\"pattern\":\"a|bc|-o\"}},\"argv\":[\"x\",\"{x}\"]}");
        CLEANUP(catalogue_free) struct catalogue *c = load(lab);
        check_expand("p", "x|a", "x", "a");
        check_expand("p", "x|bc", "x", "bc");
        check_expand("p", "x|-o", "x", "-o");
        check_expand("p", "p: x must be a text that matches a|bc|-o, not \"xbc\"", "x", "xbc");
        check_expand("p", "p: x must be a text that matches a|bc|-o, not \"ab\"", "x", "ab");
        check_expand("p", "p: x must be a text that matches a|bc|-o, not \"a?\"", "x", "a\n");
        drop(lab->other, "p.json");
}

static void a_missing_directory_is_no_error(void **state) {
        const char *dirs[] = {"/nowhere", NULL};
        CLEANUP(mem_free) char *error = NULL;
        CLEANUP(catalogue_free) struct catalogue *c = NULL;
        CLEANUP(arena_done) struct arena a = {0};

        (void)state;
        assert_int_equal(catalogue_load(&c, dirs, &error), 0);
        assert_int_equal(catalogue_count(c), 0);
        assert_null(catalogue_nearest(c, "x"));
        check_expand("x", "there is no diagnostic \"x\"; \"rota diag\" lists them");
}

static int load_once(void *userdata) {
        struct lab *lab = userdata;
        const char *dirs[] = {lab->dir, NULL};
        struct plan_param time = {.name = "time", .value = "5s"}, wrong = {"mode", "x"};
        struct plan_step step = {.kind = PLAN_DIAG, .diag = "net", .params = &time, .n_params = 1};
        CLEANUP(mem_free) char *error = NULL;
        CLEANUP(catalogue_free) struct catalogue *c = NULL;
        CLEANUP(arena_done) struct arena a = {0};
        const char *const *argv, *why;
        int r;

        r = catalogue_load(&c, dirs, &error);
        if (r == 0)
                r = catalogue_expand(c, &step, &a, &argv, &why);
        if (r != 0)
                return r;
        step.params = &wrong;
        r = catalogue_expand(c, &step, &a, &argv, &why);
        if (r < 0)
                return r;
        step.diag = "nett";
        r = catalogue_expand(c, &step, &a, &argv, &why);
        return r < 0 ? r : 0;
}

static void survives_lack_of_memory(void **state) {
        assert_true(starve_each(load_once, *state) > 20);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(loads_and_lists),
                cmocka_unit_test(a_later_directory_wins),
                cmocka_unit_test(becomes_a_command_line),
                cmocka_unit_test(says_what_would_be_right),
                cmocka_unit_test(checks_everything_when_it_loads),
                cmocka_unit_test(a_pattern_matches_as_a_whole),
                cmocka_unit_test(a_missing_directory_is_no_error),
                cmocka_unit_test(survives_lack_of_memory),
        };

        return cmocka_run_group_tests_name("catalogue", tests, setup, teardown);
}
