#include "ext/presence.h"

#include "proto/base/id.h"
#include "proto/jid.h"
#include "proto/text.h"

#include <errno.h>

#define NS_NICK "http://jabber.org/protocol/nick"
#define NS_CAPS "http://jabber.org/protocol/caps"
#define TEXT_MAX 255
#define STATUS_MAX 1023

static const char *const role_names[] = {
        [PRESENCE_TARGET] = "target",
        [PRESENCE_CONTROLLER] = "controller",
        NULL,
};

static const char *const state_names[] = {
        [PRESENCE_READY] = "ready",
        [PRESENCE_BUSY] = "busy",
        [PRESENCE_RESERVED] = "reserved",
        [PRESENCE_DRAINING] = "draining",
        [PRESENCE_QUARANTINED] = "quarantined",
        [PRESENCE_REBOOTING] = "rebooting",
        [PRESENCE_AWAY] = "away",
        NULL,
};

const char *presence_state_name(enum presence_state s) {
        return s <= PRESENCE_AWAY ? state_names[s] : NULL;
}

static const struct field run_fields[] = {
        F_STR(struct presence_run, id, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_U64(struct presence_run, step),
        F_U64(struct presence_run, of),
        F_STR(struct presence_run, owner, .max = JID_MAX),
        F_STR(struct presence_run, by, .max = TEXT_MAX),
        F_STR(struct presence_run, title, .max = TEXT_MAX),
        F_END,
};

static const struct element run_element = {
        .name = "run",
        .ns = NS_ROTA_PRESENCE,
        .size = sizeof(struct presence_run),
        .fields = run_fields,
};

static const struct field lease_fields[] = {
        F_STR(struct presence_lease, id, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_U64(struct presence_lease, token),
        F_STR(struct presence_lease, holder, .max = JID_MAX),
        F_STR(struct presence_lease, by, .max = TEXT_MAX),
        F_STR(struct presence_lease, reason, .max = TEXT_MAX),
        F_U64(struct presence_lease, left),
        F_U64(struct presence_lease, since),
        F_END,
};

static const struct element lease_element = {
        .name = "lease",
        .ns = NS_ROTA_PRESENCE,
        .size = sizeof(struct presence_lease),
        .fields = lease_fields,
};

static const struct field quarantine_fields[] = {
        F_STR(struct presence_quarantine, by, .max = TEXT_MAX),
        F_STR(struct presence_quarantine, reason, .max = TEXT_MAX),
        F_U64(struct presence_quarantine, since),
        F_END,
};

static const struct element quarantine_element = {
        .name = "quarantine",
        .ns = NS_ROTA_PRESENCE,
        .size = sizeof(struct presence_quarantine),
        .fields = quarantine_fields,
};

static const struct field back_fields[] = {
        F_U64(struct presence_back, within),
        F_STR(struct presence_back, by, .max = TEXT_MAX),
        F_STR(struct presence_back, reason, .max = TEXT_MAX),
        F_END,
};

static const struct element back_element = {
        .name = "back",
        .ns = NS_ROTA_PRESENCE,
        .size = sizeof(struct presence_back),
        .fields = back_fields,
};

static const struct field label_fields[] = {
        F_STR(struct presence_label, name, .flags = FIELD_REQUIRED, .max = TEXT_MAX),
        F_STR(struct presence_label, value, .max = TEXT_MAX),
        F_END,
};

static const struct element label_element = {
        .name = "label",
        .ns = NS_ROTA_PRESENCE,
        .size = sizeof(struct presence_label),
        .fields = label_fields,
};

static const struct field presence_fields[] = {
        F_ENUM(struct presence, role, role_names, .flags = FIELD_REQUIRED),
        F_ENUM(struct presence, state, state_names),
        F_STR(struct presence, boot, .max = PRESENCE_BOOT_MAX),
        F_STR(struct presence, sid, .flags = FIELD_REQUIRED | FIELD_IS_ID, .max = ID_MAX),
        F_U64(struct presence, queue),
        F_STR(struct presence, version, .max = 63),
        F_CHILD_STR(struct presence, name, .max = TEXT_MAX),
        F_CHILD_STR(struct presence, location, .max = TEXT_MAX),
        F_CHILD(struct presence, run, presence_run, &run_element),
        F_CHILD(struct presence, lease, presence_lease, &lease_element),
        F_CHILD(struct presence, quarantine, presence_quarantine, &quarantine_element),
        F_CHILD(struct presence, back, presence_back, &back_element),
        F_LIST(struct presence, labels, presence_label, &label_element, .max = PRESENCE_LABELS_MAX),
        F_END,
};

const struct element presence_element = {
        .name = "x",
        .ns = NS_ROTA_PRESENCE,
        .size = sizeof(struct presence),
        .fields = presence_fields,
};

/* RFC 6121 section 4.7.2.1. What takes work soon enough is dnd; who should not be waited for is xa. */
static const char *show_of(const struct presence *p) {
        if (p->role == PRESENCE_CONTROLLER)
                return NULL;
        switch ((enum presence_state)p->state) {
        case PRESENCE_READY:
                return NULL;
        case PRESENCE_BUSY:
        case PRESENCE_RESERVED:
                return "dnd";
        case PRESENCE_DRAINING:
        case PRESENCE_QUARANTINED:
        case PRESENCE_REBOOTING:
        case PRESENCE_AWAY:
                return "xa";
        }
        return NULL;
}

/* What people wrote, or programs are called, is shortened rather than refused by everybody. */
static int fit_texts(struct arena *a, struct presence *p, struct presence_run *run) {
        const char **texts[] = {&p->name, &p->location, &run->by, &run->title};

        if (p->run) {
                *run = *p->run;
                p->run = run;
        }
        for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
                const char *text = *texts[i];

                *texts[i] = text_fit(a, text, TEXT_MAX);
                if (text && !*texts[i])
                        return -ENOMEM;
        }
        return 0;
}

int presence_write(struct buf *out, const struct presence *p, const char *status,
                   const char *caps_node, const char *caps_ver) {
        CLEANUP(arena_done) struct arena arena = {0};
        struct presence_run run = {0};
        struct presence x = *p;
        struct xml_writer w;
        int r;

        r = fit_texts(&arena, &x, &run);
        if (r < 0)
                return r;
        if (x.role == PRESENCE_CONTROLLER)
                x.state = -1;
        if (status && !(status = text_fit(&arena, status, STATUS_MAX)))
                return -ENOMEM;

        xml_writer_init(&w, out);
        xml_begin(&w, "presence", NULL);
        xml_put_element(&w, "show", show_of(p));
        xml_put_element(&w, "status", status);
        if (x.name) {
                xml_begin(&w, "nick", NS_NICK);
                xml_put_text(&w, x.name);
                xml_end(&w);
        }
        if (caps_ver) {
                xml_begin(&w, "c", NS_CAPS);
                xml_put(&w, "hash", "sha-1");
                xml_put(&w, "node", caps_node);
                xml_put(&w, "ver", caps_ver);
                xml_end(&w);
        }
        r = fields_write(&presence_element, &x, &w);
        xml_end(&w);
        return r < 0 ? r : buf_check(out);
}

/* A label without a value has an empty one. Returns 0 or -ENOMEM. */
static int complete_labels(struct arena *a, struct presence *p) {
        struct presence_label *labels;

        if (p->n_labels == 0)
                return 0;
        labels = arena_alloc(a, p->n_labels * sizeof(*labels));
        if (!labels)
                return -ENOMEM;
        for (size_t i = 0; i < p->n_labels; i++) {
                labels[i] = p->labels[i];
                if (!labels[i].value)
                        labels[i].value = "";
        }
        p->labels = labels;
        return 0;
}

static int call_announced(const void *ops, void *userdata, const struct ext_request *rq,
                          const void *payload, void *ret_reply, struct stanza_error *ret_error) {
        const struct presence_ops *o = ops;
        struct presence p = *(const struct presence *)payload;
        int r;

        (void)ret_reply;
        if (!o->announced) {
                ret_error->condition = STANZA_SERVICE_UNAVAILABLE;
                return EXT_ERROR;
        }
        if (p.role == PRESENCE_TARGET && (p.state < 0 || !p.boot)) {
                ret_error->condition = STANZA_BAD_REQUEST;
                ret_error->text = "<x>: a target announces its state and its boot";
                return EXT_ERROR;
        }
        r = complete_labels(rq->arena, &p);
        return r < 0 ? r : o->announced(userdata, rq, &p);
}

/* No role is needed: whoever listens decides whom it believes. */
static const struct ext_row presence_rows[] = {
        EXT_ROW(EXT_PRESENCE, ROLE_NONE, &presence_element, NULL, call_announced),
        {0},
};

static const char *const presence_features[] = {NS_ROTA_PRESENCE, NULL};

const struct ext presence_ext = {
        .name = "presence",
        .features = presence_features,
        .rows = presence_rows,
};
