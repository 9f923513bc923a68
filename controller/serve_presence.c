/*
 * Presence, subscriptions and the roster: who is there, and who may be.
 */
#include "controller/controller.h"
#include "controller/rooms.h"
#include "ext/disco.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "proto/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* All presences of 2,000 targets come within 0.3 s of a login; nobody is called gone before this much silence. */
#define LEASE_SLACK_USEC (5 * USEC_PER_SEC) /* its target may end it a little before we think so */
#define SETTLE_QUIET_USEC (2 * USEC_PER_SEC)
#define SETTLE_USEC (6 * USEC_PER_SEC)
/* After a restart of the server: the longest pause of a link between two tries and what a login takes, and while others
 * still come as much again after each, but not for ever. */
#define SETTLE_RESTART_USEC (20 * USEC_PER_SEC)
#define SETTLE_RESTART_QUIET_USEC (10 * USEC_PER_SEC)
#define SETTLE_RESTART_MAX_USEC (120 * USEC_PER_SEC)

_Static_assert((int)AVAIL_AWAY == (int)PRESENCE_AWAY && (int)AVAIL_READY == (int)PRESENCE_READY,
               "announced states have the same order on the wire and in the fleet");

bool presence_accepted(const struct controller *c, const char *jid) {
        for (const char *const *p = c->config->accept; *p; p++)
                if (jid_matches(*p, jid))
                        return true;
        return false;
}

static bool ourselves(const struct controller *c, const char *jid) {
        return jid_same_bare(jid, c->config->jid);
}

static void look_again(struct controller *c, const struct target *t) {
        struct lane *lane = jobs_lane(&c->jobs, t->jid);

        if (lane)
                lane->due_usec = 0;
        c->fleet_dirty |= t->dirty;
        controller_wake(c);
}

/* ---- subscriptions ---- */

static int send_presence(struct controller *c, const char *type, const char *to) {
        CLEANUP(buf_done) struct buf out = {0};
        struct xml_writer w;
        char bare[JID_SIZE];

        if (jid_bare(to, bare) != 0)
                return -EINVAL;
        xml_writer_init(&w, &out);
        xml_begin(&w, "presence", NULL);
        xml_put(&w, "type", type);
        xml_put(&w, "to", bare);
        xml_end(&w);
        return buf_check(&out) < 0 ? -ENOMEM : link_send(c->link, out.data, out.len);
}

static void pending_add(struct controller *c, const char *jid) {
        char bare[JID_SIZE];

        if (jid_bare(jid, bare) != 0 || c->n_pending == CONTROLLER_PENDING_MAX)
                return;
        for (size_t i = 0; i < c->n_pending; i++)
                if (strcmp(c->pending[i], bare) == 0)
                        return;
        c->pending[c->n_pending] = strdup(bare);
        if (!c->pending[c->n_pending])
                return;
        c->n_pending++;
        log_notice("%s asks to be a target and no rule of \"accept\" covers it; accept it with: "
                   "rota accept %s",
                   bare, bare);
}

static void pending_remove(struct controller *c, const char *jid) {
        for (size_t i = 0; i < c->n_pending; i++) {
                if (!jid_same_bare(c->pending[i], jid))
                        continue;
                free(c->pending[i]);
                c->pending[i] = c->pending[--c->n_pending];
                return;
        }
}

/* The fleet's entry of a machine that we want to know. */
static struct target *expect(struct controller *c, const char *jid) {
        size_t before = c->fleet.n_targets;
        struct target *t;

        if (fleet_add(&c->fleet, jid, &t) != 0)
                return NULL;
        if (c->fleet.n_targets > before) {
                t->dirty = true;
                look_again(c, t);
        }
        return t;
}

int presence_accept(struct controller *c, const char *jid) {
        struct target *t = expect(c, jid);
        int r;

        if (!t)
                return -ENOMEM;
        pending_remove(c, jid);
        r = send_presence(c, "subscribed", jid);
        if (r == 0 && !t->subscribed)
                r = send_presence(c, "subscribe", jid);
        return r;
}

static void on_subscribe(struct controller *c, const char *from) {
        struct target *t = fleet_find(&c->fleet, from);

        if (ourselves(c, from))
                return;
        if ((t && t->subscribed) || presence_accepted(c, from))
                presence_accept(c, from);
        else
                pending_add(c, from);
}

/* ---- the roster ---- */

static void take_item(struct controller *c, const struct roster_item *item) {
        const char *sub = item->subscription ? item->subscription : "none";
        bool to = strcmp(sub, "to") == 0 || strcmp(sub, "both") == 0;
        struct target *t = fleet_find(&c->fleet, item->jid);

        if (ourselves(c, item->jid) || !strchr(item->jid, '@'))
                return;
        if (to && !t && (t = expect(c, item->jid)))
                t->kind = FLEET_EXPECTED;
        if (t && t->subscribed != to) {
                t->subscribed = to;
                t->dirty = true;
                look_again(c, t);
        }
        /* it sees us and we do not see it: an earlier request was lost */
        if (strcmp(sub, "from") == 0 && !item->ask && presence_accepted(c, item->jid))
                send_presence(c, "subscribe", item->jid);
}

static int on_push(void *userdata, const struct ext_request *rq, const struct roster *roster) {
        struct controller *c = userdata;

        /* RFC 6121 2.1.6: only from our account; anybody can send an iq */
        if (rq->from[0] && (!ourselves(c, rq->from) || jid_resource(rq->from)[0]))
                return -EPERM;
        for (size_t i = 0; i < roster->n_items; i++)
                take_item(c, &roster->items[i]);
        return 0;
}

const struct roster_ops controller_roster_ops = {.pushed = on_push};

static void on_roster(void *userdata, const struct iq_answer *answer) {
        CLEANUP(arena_done) struct arena arena = {0};
        struct controller *c = userdata;
        struct roster roster = {0};
        const struct xml *query;
        const char *why = NULL;

        if (answer->end != IQ_RESULT) {
                if (answer->end != IQ_LOST)
                        log_warning("the server does not give the roster; targets are known by "
                                    "presence only");
                return;
        }
        query = xml_child(answer->stanza, roster_element.name, roster_element.ns);
        if (query && fields_decode(&roster_element, query, &arena, &roster, &why) != 0) {
                log_warning("the roster cannot be read: %s", why ? why : "out of memory");
                if (!why)
                        controller_starve(c);
                return;
        }
        for (size_t i = 0; i < c->fleet.n_targets; i++)
                c->fleet.targets[i]->subscribed = false;
        for (size_t i = 0; i < roster.n_items; i++)
                take_item(c, &roster.items[i]);
        c->roster_known = true;
        controller_wake(c);
}

/* ---- announcing ourselves ---- */

static int write_presence(struct controller *c, struct buf *out) {
        const char *const *features;
        size_t n = router_features(c->router, &features);
        const struct presence p = {
                .role = PRESENCE_CONTROLLER,
                .state = PRESENCE_READY,
                .sid = c->sid,
                .version = ROTA_VERSION,
        };
        char ver[CAPS_VER_SIZE];
        int r = caps_ver(&controller_identity, features, n, ver);

        return r < 0 ? r : presence_write(out, &p, "rota controller", "urn:rota", ver);
}

void presence_online(struct controller *c) {
        CLEANUP(buf_done) struct buf out = {0};
        const struct roster none = {0};
        int r;

        /* the roster first: it says which presences count */
        r = controller_ask(c, EXT_IQ_GET, NULL, &roster_element, &none, 30 * USEC_PER_SEC,
                           on_roster, c);
        if (r == 0)
                r = write_presence(c, &out);
        if (r == 0)
                r = link_send(c->link, out.data, out.len);
        if (r < 0)
                controller_starve(c);
}

/* ---- others ---- */

/* Where copy_facts() puts what the facts point to. */
struct facts_store {
        struct fleet_label labels[FLEET_LABELS_MAX];
        struct fleet_lease lease;
        struct fleet_note quarantine;
        struct fleet_note away;
};

static void copy_duty(const struct presence *p, struct facts_store *store,
                      struct fleet_facts *ret) {
        if (p->lease) {
                store->lease = (struct fleet_lease){
                        .id = p->lease->id,
                        .token = p->lease->token,
                        .holder = p->lease->holder,
                        .by = p->lease->by,
                        .reason = p->lease->reason,
                        .until_usec = clock_monotonic_usec() + p->lease->left * USEC_PER_SEC,
                };
                ret->lease = &store->lease;
        }
        if (p->quarantine) {
                store->quarantine = (struct fleet_note){p->quarantine->by, p->quarantine->reason};
                ret->quarantine = &store->quarantine;
        }
        if (p->back) {
                store->away = (struct fleet_note){p->back->by, p->back->reason};
                ret->away = &store->away;
                ret->back_within_usec = p->back->within * USEC_PER_SEC;
        }
}

static void copy_facts(const struct presence *p, struct facts_store *store,
                       struct fleet_facts *ret) {
        struct fleet_label *labels = store->labels;

        *ret = (struct fleet_facts){
                .state = p->state >= 0 && p->state <= PRESENCE_AWAY ? (enum avail_state)p->state
                                                                    : AVAIL_READY,
                .boot = p->boot,
                .sid = p->sid,
                .version = p->version,
                .title = p->name,
                .location = p->location,
                .queue = p->queue,
                .labels = labels,
        };
        for (size_t i = 0; i < p->n_labels && i < FLEET_LABELS_MAX; i++) {
                labels[i] = (struct fleet_label){p->labels[i].name, p->labels[i].value};
                ret->n_labels++;
        }
        copy_duty(p, store, ret);
        if (!p->run)
                return;
        ret->run = p->run->id;
        ret->run_step = p->run->step;
        ret->run_of = p->run->of;
        ret->run_owner = p->run->owner;
        ret->run_by = p->run->by;
        ret->run_title = p->run->title;
}

/* <status/>, cut to what the fleet keeps. */
static const char *own_words(const struct ext_request *rq) {
        const struct xml *status = xml_child(rq->stanza, "status", NULL);
        const char *text = status ? xml_text(status, rq->arena) : NULL;

        return text && text[0] ? text_fit(rq->arena, text, FLEET_STATUS_MAX) : NULL;
}

/* @words: the server's reason, NULL. */
static void target_gone(struct controller *c, struct target *t, const char *full,
                        const char *words) {
        if (!fleet_gone(t, full, words, clock_realtime_usec(), clock_monotonic_usec()))
                return;
        patrol_look(&c->patrol);
        asks_news(c, t, NULL);
        look_again(c, t);
}

static void log_appeared(const struct target *t) {
        log_line(LOG_LEVEL_NOTICE,
                 (struct log_field[]){
                         {"ROTA_TARGET", t->jid       },
                         {"ROTA_BOOT",   t->facts.boot},
                         {NULL,          NULL         }
        },
                 "%s has connected", t->name);
}

/* A lease of ours that is not in force any more, before its time and without our wish: its holder is told. */
static void look_for_loss(const struct controller *c, struct target *t,
                          const struct fleet_facts *facts) {
        const struct fleet_lease *was = t->facts.lease, *is = facts->lease;
        CLEANUP(buf_done) struct buf text = {0};

        if (is && jid_same_bare(is->holder, c->config->jid)) {
                free(t->lost);
                t->lost = NULL;
        }
        if (!was || !jid_same_bare(was->holder, c->config->jid) ||
            (is && strcmp(is->id, was->id) == 0) ||
            (!is && clock_monotonic_usec() + LEASE_SLACK_USEC >= was->until_usec))
                return;
        buf_printf(&text, "the reservation of %s for %s ended before its time", t->name,
                   was->by ? was->by : was->holder);
        if (is) {
                buf_printf(&text, ": %s (%s) has taken it", is->by ? is->by : "somebody",
                           is->holder);
                if (is->reason)
                        buf_printf(&text, ", saying: %s", is->reason);
        }
        if (buf_check(&text) < 0)
                return;
        log_line(LOG_LEVEL_WARNING,
                 (struct log_field[]){
                         {"ROTA_TARGET", t->jid},
                         {NULL,          NULL  }
        },
                 "%s", text.data);
        free(t->lost);
        t->lost = buf_steal(&text);
}

static int on_announced(void *userdata, const struct ext_request *rq, const struct presence *p) {
        struct facts_store store;
        struct controller *c = userdata;
        struct target *t = fleet_find(&c->fleet, rq->from);
        struct fleet_facts facts;
        uint64_t now = clock_monotonic_usec();
        int r;

        if (ourselves(c, rq->from))
                return 0;
        if (!(t && t->subscribed) && !presence_accepted(c, rq->from))
                return 0; /* a stranger's directed presence */
        if (!t && !(t = expect(c, rq->from)))
                return -ENOMEM;
        if (p->role == PRESENCE_CONTROLLER) {
                if (t->kind != FLEET_TARGET && t->kind != FLEET_PEER) {
                        t->kind = FLEET_PEER;
                        t->dirty = true;
                        look_again(c, t);
                }
                return 0;
        }
        if (rq->unavailable) {
                target_gone(c, t, rq->from, own_words(rq));
                return 0;
        }
        copy_facts(p, &store, &facts);
        look_for_loss(c, t, &facts);
        facts.status = own_words(rq);
        /* a session that it had before our own loss: the server has lived on */
        c->kept |=
                c->once && !t->avail.confirmed && t->facts.sid && strcmp(t->facts.sid, p->sid) == 0;
        r = fleet_announced(t, rq->from, &facts, patrol_part(&c->patrol), clock_realtime_usec(),
                            now);
        if (r < 0)
                return r;
        patrol_look(&c->patrol);
        c->heard_at = now;
        if (r == FLEET_NEW_SESSION) {
                log_appeared(t);
                t->synced_sid[0] = t->asked_sid[0] = '\0';
                t->sync_tries = 0;
                t->sync_at = 0;
                c->sync_due = true;
        }
        asks_news(c, t, t->facts.boot ? t->facts.boot : "");
        look_again(c, t);
        return 0;
}

const struct presence_ops controller_presence_ops = {.announced = on_announced};

void presence_other(struct controller *c, const struct xml *stanza) {
        const char *type = xml_attr(stanza, "type"), *from = xml_attr(stanza, "from");
        CLEANUP(arena_done) struct arena arena = {0};
        const struct xml *status = xml_child(stanza, "status", NULL);
        const char *text = status ? xml_text(status, &arena) : NULL;
        struct target *t;

        if (!from || ourselves(c, from))
                return;
        t = fleet_find(&c->fleet, from);
        if (type && strcmp(type, "subscribe") == 0) {
                on_subscribe(c, from);
        } else if (type && strcmp(type, "unavailable") == 0) {
                /* without a resource: the whole account (RFC 6121 4.5) */
                if (t)
                        target_gone(c, t, jid_resource(from)[0] ? from : NULL, text);
        } else if (!type && t && t->kind == FLEET_EXPECTED) {
                t->kind = FLEET_OTHER;
                t->dirty = true;
                look_again(c, t);
        }
}

/* Until when those may announce themselves who were here before. */
static uint64_t settle_at(const struct controller *c) {
        uint64_t latest = c->online_at + SETTLE_USEC, at;

        /* after a restart of the server all of them connect anew, each in its own time */
        if (c->once && (!c->kept || c->hasty) && fleet_awaits(&c->fleet)) {
                at = c->online_at + SETTLE_RESTART_USEC;
                if (c->heard_at + SETTLE_RESTART_QUIET_USEC > at)
                        at = c->heard_at + SETTLE_RESTART_QUIET_USEC;
                latest = c->online_at + SETTLE_RESTART_MAX_USEC;
                return at < latest ? at : latest;
        }
        if (!c->roster_known)
                return latest;
        at = (c->heard_at > c->online_at ? c->heard_at : c->online_at) + SETTLE_QUIET_USEC;
        return at < latest ? at : latest;
}

uint64_t presence_tick(struct controller *c, uint64_t now_usec) {
        uint64_t next = USEC_NEVER;

        if (c->online_at > 0 && !c->fleet.settled) {
                next = settle_at(c);
                if (next <= now_usec) {
                        next = USEC_NEVER;
                        fleet_settle(&c->fleet, clock_realtime_usec());
                        c->hasty = false;
                        patrol_look(&c->patrol);
                        for (size_t i = 0; i < c->jobs.n_lanes; i++)
                                c->jobs.lanes[i]->due_usec = 0;
                }
        }
        for (size_t i = 0; i < c->fleet.n_targets; i++)
                c->fleet_dirty |= c->fleet.targets[i]->dirty;
        return next;
}
