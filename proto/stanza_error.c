#include "proto/stanza_error.h"

#include <errno.h>
#include <string.h>

struct condition {
        const char *name;
        const char *type; /* RFC 6120 section 8.3.3 */
};

static const struct condition conditions[] = {
        [STANZA_BAD_REQUEST] = {"bad-request",             "modify"},
        [STANZA_CONFLICT] = {"conflict",                "cancel"},
        [STANZA_FORBIDDEN] = {"forbidden",               "auth"  },
        [STANZA_INTERNAL_SERVER_ERROR] = {"internal-server-error",   "cancel"},
        [STANZA_ITEM_NOT_FOUND] = {"item-not-found",          "cancel"},
        [STANZA_NOT_ACCEPTABLE] = {"not-acceptable",          "modify"},
        [STANZA_NOT_ALLOWED] = {"not-allowed",             "cancel"},
        [STANZA_RESOURCE_CONSTRAINT] = {"resource-constraint",     "wait"  },
        [STANZA_SERVICE_UNAVAILABLE] = {"service-unavailable",     "cancel"},
        [STANZA_UNEXPECTED_REQUEST] = {"unexpected-request",      "wait"  },
        [STANZA_REMOTE_SERVER_NOT_FOUND] = {"remote-server-not-found", "cancel"},
        [STANZA_REMOTE_SERVER_TIMEOUT] = {"remote-server-timeout",   "wait"  },
        [STANZA_RECIPIENT_UNAVAILABLE] = {"recipient-unavailable",   "wait"  },
        [STANZA_OTHER] = {"undefined-condition",     "cancel"},
};

static const char *const whys[] = {
        [STANZA_WHY_NONE] = "",
        [STANZA_WHY_BUSY] = "busy",
        [STANZA_WHY_LEASED] = "leased",
        [STANZA_WHY_STALE] = "stale",
        [STANZA_WHY_NOT_ALLOWED] = "not-allowed",
        [STANZA_WHY_UNSUPPORTED] = "unsupported",
};

#define DETAIL_MAX 511
#define TEXT_MAX 1024

static const struct condition *condition_of(enum stanza_condition c) {
        return &conditions[(size_t)c < ARRAY_SIZE(conditions) ? c : STANZA_OTHER];
}

const char *stanza_condition_name(enum stanza_condition c) {
        return condition_of(c)->name;
}

static void write_why(struct xml_writer *w, const struct stanza_error *e) {
        if (e->why == STANZA_WHY_NONE)
                return;
        xml_begin(w, whys[e->why], NS_ROTA_ERROR);
        xml_put(w, "run", e->run);
        xml_put(w, "owner", e->why == STANZA_WHY_BUSY ? e->owner : NULL);
        xml_put(w, "holder", e->why == STANZA_WHY_LEASED ? e->owner : NULL);
        xml_put(w, "role", e->role);
        xml_end(w);
}

int stanza_error_write(struct xml_writer *w, const struct stanza_error *e) {
        const struct condition *c = condition_of(e->condition);

        xml_begin(w, "error", NULL);
        xml_put(w, "type", c->type);
        xml_begin(w, c->name, NS_STANZAS);
        xml_end(w);
        if (e->text) {
                xml_begin(w, "text", NS_STANZAS);
                xml_put_text(w, e->text);
                xml_end(w);
        }
        write_why(w, e);
        xml_end(w);
        return buf_check(w->out);
}

static enum stanza_condition read_condition(const struct xml *error) {
        for (const struct xml *x = xml_child(error, NULL, NS_STANZAS); x;
             x = xml_next(x, NULL, NS_STANZAS))
                for (size_t i = 0; i < STANZA_OTHER; i++)
                        if (strcmp(xml_name(x), conditions[i].name) == 0)
                                return (enum stanza_condition)i;
        return STANZA_OTHER;
}

/* Details are for people: what is too long is cut away whole. */
static const char *read_detail(const struct xml *why, const char *attr) {
        const char *value = xml_attr(why, attr);

        return value && strlen(value) <= DETAIL_MAX ? value : NULL;
}

static void read_why(const struct xml *error, struct stanza_error *ret) {
        for (const struct xml *x = xml_child(error, NULL, NS_ROTA_ERROR); x;
             x = xml_next(x, NULL, NS_ROTA_ERROR))
                for (size_t i = STANZA_WHY_NONE + 1; i < ARRAY_SIZE(whys); i++) {
                        if (strcmp(xml_name(x), whys[i]) != 0)
                                continue;
                        ret->why = (enum stanza_why)i;
                        ret->run = read_detail(x, "run");
                        ret->owner =
                                read_detail(x, ret->why == STANZA_WHY_LEASED ? "holder" : "owner");
                        ret->role = read_detail(x, "role");
                        return;
                }
}

int stanza_error_read(const struct xml *stanza, struct arena *a, struct stanza_error *ret) {
        const struct xml *error, *text;
        struct stanza_error e = {0};

        error = xml_child(stanza, "error", NULL);
        if (!error)
                return 1;
        e.condition = read_condition(error);
        text = xml_child(error, "text", NS_STANZAS);
        if (text) {
                e.text = xml_text(text, a);
                if (e.text && strlen(e.text) > TEXT_MAX)
                        e.text = arena_strndup(a, e.text, TEXT_MAX);
                if (!e.text)
                        return -ENOMEM;
        }
        read_why(error, &e);
        *ret = e;
        return 0;
}
