/* json-c's names for two types are our names for two functions */
#define json_bool jsonc_bool
#define json_type jsonc_type
#include <json-c/json.h>
#include <json-c/json_visit.h>
#undef json_bool
#undef json_type

#include "proto/json.h"

#include "proto/base/nearest.h"
#include "proto/base/utf8.h"
#include "proto/json_text.h"
#include "proto/units.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define TEXT_MAX (32 * 1024 * 1024)
#define FILE_MAX (1024 * 1024)
#define DEPTH_MAX 16
#define PATH_MAX_PARTS 32
#define EXCERPT_MAX 60

struct json_doc {
        char *name;
        struct buf text; /* comments blanked */
        struct json_object *root;
        struct buf error;
        bool failed;
};

struct json_doc *json_free(struct json_doc *doc) {
        if (doc) {
                json_object_put(doc->root);
                buf_done(&doc->text);
                buf_done(&doc->error);
                free(doc->name);
                free(doc);
        }
        return NULL;
}

const char *json_error(const struct json_doc *doc) {
        if (!doc->failed)
                return "";
        return doc->error.failed || doc->error.len == 0 ? "out of memory" : doc->error.data;
}

/*
 * Errors
 */

/* "target.json:3:12: " */
static void error_begin(struct json_doc *doc, size_t at) {
        size_t line, column;

        doc->failed = true;
        json_text_position(buf_text(&doc->text), at, &line, &column);
        buf_printf(&doc->error, "%s:%zu:%zu: ", doc->name, line, column);
}

static int error_at(struct json_doc *doc, size_t at, const char *what) {
        error_begin(doc, at);
        buf_puts(&doc->error, what);
        return JSON_BAD;
}

/* The way from the root to a place, the root left out. */
struct path {
        const struct json_at *parts[PATH_MAX_PARTS];
        size_t n;
};

static void path_of(const struct json_at *at, struct path *ret) {
        size_t n = 0;

        for (const struct json_at *a = at; a->up; a = a->up)
                n++;
        assert(n <= PATH_MAX_PARTS);
        ret->n = n;
        for (const struct json_at *a = at; a->up; a = a->up)
                ret->parts[--n] = a;
}

static size_t path_offset(const struct path *p, const char *text) {
        size_t at = json_text_value(text, 0);

        for (size_t i = 0; i < p->n; i++)
                at = p->parts[i]->key ? json_text_member(text, at, p->parts[i]->key)
                                      : json_text_element(text, at, p->parts[i]->index);
        return at;
}

static void path_print(const struct path *p, struct buf *out) {
        for (size_t i = 0; i < p->n; i++)
                if (p->parts[i]->key)
                        buf_printf(out, "%s%s", i > 0 ? "." : "", p->parts[i]->key);
                else
                        buf_printf(out, "[%zu]", p->parts[i]->index);
        if (p->n > 0)
                buf_puts(out, ": ");
}

int json_fail(const struct json_at *at, const char *format, ...) {
        struct json_doc *doc = at->doc;
        struct path p;
        va_list ap;

        if (doc->failed)
                return JSON_BAD;
        path_of(at, &p);
        error_begin(doc, path_offset(&p, buf_text(&doc->text)));
        path_print(&p, &doc->error);
        va_start(ap, format);
        buf_vprintf(&doc->error, format, ap);
        va_end(ap);
        return JSON_BAD;
}

/* A value in an error: short, on one line. */
static void excerpt(const struct json_at *at, struct buf *out) {
        size_t from = out->len, len = 0;

        if (json_type(at) == JSON_OBJECT || json_type(at) == JSON_ARRAY) {
                buf_puts(out, json_type(at) == JSON_OBJECT ? "an object" : "an array");
                return;
        }
        if (json_print(at, out) < 0 || out->len - from <= EXCERPT_MAX)
                return;
        while (len < EXCERPT_MAX) {
                uint32_t c;
                size_t n = utf8_char(out->data + from + len, out->len - from - len, &c);

                len += n > 0 ? n : 1;
        }
        buf_truncate(out, from + len);
        buf_puts(out, "…");
}

static int expected(const struct json_at *at, const char *what) {
        CLEANUP(buf_done) struct buf found = {0};

        excerpt(at, &found);
        return json_fail(at, "expected %s, found %s", what, buf_text(&found));
}

/*
 * Parsing
 */

static int count_keys(struct json_object *value, int flags, struct json_object *parent,
                      const char *key, size_t *index, void *userdata) {
        size_t *n = userdata;

        (void)value;
        (void)parent;
        (void)index;
        if (key && !(flags & JSON_C_VISIT_SECOND))
                (*n)++;
        return JSON_C_VISIT_RETURN_CONTINUE;
}

/* json-c keeps the last of equal keys: then it has fewer than the text. */
static int refuse_double_keys(struct json_doc *doc, size_t n_keys) {
        size_t n = 0, at = 0;
        int r;

        if (n_keys == 0)
                return 0;
        json_c_visit(doc->root, 0, count_keys, &n);
        if (n == n_keys)
                return 0;
        r = json_text_double_key(doc->text.data, n_keys, &at);
        if (r < 0)
                return r;
        return error_at(doc, at,
                        r == 0 ? "this key is here twice"
                               : "a key is here twice, in two spellings");
}

static int parse_text(struct json_doc *doc, size_t max) {
        struct json_text_flaw f;
        struct json_tokener *tokener;
        enum json_tokener_error error;
        size_t n_keys = 0, end;

        if (doc->text.len > max)
                return error_at(doc, 0,
                                max == FILE_MAX ? "longer than 1 MiB" : "longer than 32 MiB");
        if (json_text_prepare(doc->text.data, doc->text.len, &n_keys, &f) != 0)
                return error_at(doc, f.at, f.what);

        tokener = json_tokener_new_ex(DEPTH_MAX);
        if (!tokener)
                return -ENOMEM;
        json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
        /* the NUL tells that a number at the end is complete */
        doc->root = json_tokener_parse_ex(tokener, doc->text.data, (int)doc->text.len + 1);
        error = json_tokener_get_error(tokener);
        end = json_tokener_get_parse_end(tokener);
        json_tokener_free(tokener);
        if (error == json_tokener_continue ||
            (error != json_tokener_success && end >= doc->text.len))
                return error_at(doc, doc->text.len, "the text ends too early");
        if (error != json_tokener_success)
                return error_at(doc, end, json_tokener_error_desc(error));
        return refuse_double_keys(doc, n_keys);
}

static int doc_new(struct json_doc **ret, const char *name) {
        CLEANUP(json_free) struct json_doc *doc = calloc(1, sizeof(*doc));

        if (!doc)
                return -ENOMEM;
        doc->name = strdup(name);
        if (!doc->name)
                return -ENOMEM;
        *ret = TAKE(doc);
        return 0;
}

static int doc_parsed(struct json_doc **ret, struct json_doc **take_doc, size_t max) {
        CLEANUP(json_free) struct json_doc *doc = TAKE(*take_doc);
        int r = parse_text(doc, max);

        if (r >= 0)
                *ret = TAKE(doc);
        return r;
}

int json_parse(struct json_doc **ret, const char *name, const char *text, size_t len) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        int r;

        r = doc_new(&doc, name);
        if (r < 0)
                return r;
        /* one byte too many is enough to be refused */
        r = buf_append(&doc->text, text, len > TEXT_MAX ? TEXT_MAX + 1 : len);
        if (r < 0)
                return r;
        return doc_parsed(ret, &doc, TEXT_MAX);
}

int json_parse_file(struct json_doc **ret, const char *path) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        CLEANUP(fd_close) int fd = -1;
        int r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return -errno;
        r = doc_new(&doc, path);
        if (r < 0)
                return r;
        while (doc->text.len <= FILE_MAX) {
                ssize_t n;

                r = buf_reserve(&doc->text, 4096);
                if (r < 0)
                        return r;
                n = read(fd, doc->text.data + doc->text.len, 4096);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                doc->text.len += (size_t)n;
                doc->text.data[doc->text.len] = '\0';
        }
        return doc_parsed(ret, &doc, FILE_MAX);
}

/*
 * Walking
 */

struct json_at json_root(struct json_doc *doc) {
        return (struct json_at){.doc = doc, .value = doc->root};
}

enum json_type json_type(const struct json_at *at) {
        switch (json_object_get_type(at->value)) {
        case json_type_boolean:
                return JSON_BOOL;
        case json_type_double:
        case json_type_int:
                return JSON_NUMBER;
        case json_type_string:
                return JSON_STRING;
        case json_type_array:
                return JSON_ARRAY;
        case json_type_object:
                return JSON_OBJECT;
        case json_type_null:
                return JSON_NULL;
        }
        return JSON_NULL;
}

static void member(const struct json_at *at, const struct lh_entry *e, struct json_at *ret) {
        assert(ret != at); /* a place that is its own parent */
        *ret = (struct json_at){
                .doc = at->doc, .value = lh_entry_v(e), .up = at, .key = lh_entry_k(e)};
}

int json_get(const struct json_at *at, const char *key, struct json_at *ret) {
        const struct lh_entry *e;

        if (json_type(at) != JSON_OBJECT)
                return expected(at, "an object");
        e = lh_table_lookup_entry(json_object_get_object(at->value), key);
        if (!e || !lh_entry_v(e))
                return JSON_ABSENT;
        member(at, e, ret);
        return 0;
}

size_t json_length(const struct json_at *at) {
        if (json_type(at) == JSON_ARRAY)
                return json_object_array_length(at->value);
        if (json_type(at) == JSON_OBJECT)
                return (size_t)json_object_object_length(at->value);
        return 0;
}

int json_item(const struct json_at *at, size_t i, struct json_at *ret) {
        const struct lh_entry *e;

        assert(ret != at);
        if (i >= json_length(at))
                return json_fail(at, "has no item %zu", i);
        if (json_type(at) == JSON_ARRAY) {
                *ret = (struct json_at){.doc = at->doc,
                                        .value = json_object_array_get_idx(at->value, i),
                                        .up = at,
                                        .index = i};
                return 0;
        }
        e = lh_table_head(json_object_get_object(at->value));
        while (i-- > 0)
                e = lh_entry_next(e);
        member(at, e, ret);
        return 0;
}

/*
 * Values
 */

int json_str(const struct json_at *at, const char **ret) {
        if (json_type(at) != JSON_STRING)
                return expected(at, "a string");
        *ret = json_object_get_string(at->value);
        return 0;
}

int json_u64(const struct json_at *at, uint64_t *ret) {
        if (json_object_get_type(at->value) != json_type_int ||
            json_object_get_int64(at->value) < 0)
                return expected(at, "a whole number of 0 or more");
        *ret = json_object_get_uint64(at->value);
        return 0;
}

int json_i64(const struct json_at *at, int64_t *ret) {
        if (json_object_get_type(at->value) != json_type_int ||
            (json_object_get_int64(at->value) == INT64_MAX &&
             json_object_get_uint64(at->value) > INT64_MAX))
                return expected(at, "a whole number");
        *ret = json_object_get_int64(at->value);
        return 0;
}

int json_double(const struct json_at *at, double *ret) {
        if (json_type(at) != JSON_NUMBER || !isfinite(json_object_get_double(at->value)))
                return expected(at, "a number");
        *ret = json_object_get_double(at->value);
        return 0;
}

int json_bool(const struct json_at *at, bool *ret) {
        if (json_type(at) != JSON_BOOL)
                return expected(at, "true or false");
        *ret = json_object_get_boolean(at->value);
        return 0;
}

/* Strings and numbers alike, as they are written. NULL for other types. */
static const char *scalar_text(const struct json_at *at) {
        if (json_type(at) == JSON_STRING)
                return json_object_get_string(at->value);
        if (json_type(at) == JSON_NUMBER)
                return json_object_to_json_string_ext(at->value, JSON_C_TO_STRING_PLAIN);
        return NULL;
}

int json_duration(const struct json_at *at, uint64_t *ret_usec) {
        const char *text = scalar_text(at);

        if (!text || units_parse_duration(text, ret_usec) != 0)
                return expected(at, "a duration such as \"90s\", \"1h30m\" or a number of seconds");
        return 0;
}

int json_bytes(const struct json_at *at, uint64_t *ret) {
        const char *text = scalar_text(at);

        if (!text || units_parse_bytes(text, ret) != 0)
                return expected(at, "a size such as \"64M\", \"1G\" or a number of bytes");
        return 0;
}

/* "view, run, reboot" */
static void print_names(struct buf *out, const char *const *names) {
        for (size_t i = 0; names[i]; i++)
                buf_printf(out, "%s%s", i > 0 ? ", " : "", names[i]);
}

int json_enum(const struct json_at *at, const char *const *names, int *ret) {
        CLEANUP(buf_done) struct buf what = {0};

        for (int i = 0; json_type(at) == JSON_STRING && names[i]; i++)
                if (strcmp(names[i], json_object_get_string(at->value)) == 0) {
                        *ret = i;
                        return 0;
                }
        buf_puts(&what, "one of ");
        print_names(&what, names);
        return expected(at, buf_text(&what));
}

static bool is_known(const char *key, const char *const *known) {
        for (; *known; known++)
                if (strcmp(*known, key) == 0)
                        return true;
        return false;
}

static int unknown_key(const struct json_at *at, const char *const *known) {
        CLEANUP(buf_done) struct buf names = {0};
        const char *meant = nearest(at->key, known);

        if (meant)
                return json_fail(at, "unknown key, did you mean \"%s\"?", meant);
        print_names(&names, known);
        return json_fail(at, "unknown key, expected one of %s", buf_text(&names));
}

int json_only(const struct json_at *at, const char *const *known) {
        if (json_type(at) != JSON_OBJECT)
                return expected(at, "an object");
        for (const struct lh_entry *e = lh_table_head(json_object_get_object(at->value)); e;
             e = lh_entry_next(e)) {
                struct json_at m;

                member(at, e, &m);
                if (!is_known(m.key, known))
                        return unknown_key(&m, known);
        }
        return 0;
}

int json_print(const struct json_at *at, struct buf *out) {
        size_t len = 0;
        const char *text = json_object_to_json_string_length(
                at->value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);

        if (!text)
                return -ENOMEM;
        return buf_append(out, text, len);
}

/*
 * Shorthands
 */

#define GET(at, key, read, ret)                                                                    \
        ({                                                                                         \
                struct json_at m_;                                                                 \
                int r_ = json_get(at, key, &m_);                                                   \
                r_ == JSON_ABSENT ? 0 : r_ != 0 ? r_ : read(&m_, ret);                             \
        })

int json_get_str(const struct json_at *at, const char *key, const char **ret) {
        return GET(at, key, json_str, ret);
}

int json_get_u64(const struct json_at *at, const char *key, uint64_t *ret) {
        return GET(at, key, json_u64, ret);
}

int json_get_i64(const struct json_at *at, const char *key, int64_t *ret) {
        return GET(at, key, json_i64, ret);
}

int json_get_bool(const struct json_at *at, const char *key, bool *ret) {
        return GET(at, key, json_bool, ret);
}

int json_get_duration(const struct json_at *at, const char *key, uint64_t *ret_usec) {
        return GET(at, key, json_duration, ret_usec);
}

int json_get_bytes(const struct json_at *at, const char *key, uint64_t *ret) {
        return GET(at, key, json_bytes, ret);
}
