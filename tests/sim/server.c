#include "tests/sim/server.h"

#include "tests/sim/calls.h"
#include "tests/sim/truth.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACCOUNTS_MAX 8
#define JID_SIZE_MAX 128
#define FULL_BYTES ((size_t)1 << 20)

struct parcel {
        struct parcel *next;
        enum wire_news_kind kind;
        int cause;
        uint64_t when;
        bool handled;
        size_t len;
        char text[];
};

struct queue {
        struct parcel *first, *last;
};

struct account {
        char bare[JID_SIZE_MAX];
        struct queue stored;
        struct queue delivered; /* of the store, not long ago */
};

struct wire {
        struct wire *next;
        struct proc *proc;
        struct machine *machine;
        struct account *account;
        char full[JID_SIZE_MAX];
        int causes[5];
        bool connecting;
        bool session;   /* for the server */
        bool available; /* and announced */
        bool dropped;   /* the client has gone from it */
        bool over;      /* the client was told that it ended */
        bool closing;   /* the client says goodbye */
        bool fin;       /* its end follows what it sent */
        struct queue up, down, inbox, unacked;
        uint64_t last_up, last_down;
        uint64_t sent; /* bytes, ever */
        size_t unsent;
        bool choked;
        struct parcel *held; /* of the last wire_next() */
        struct parcel *presence;
        uint64_t silence; /* a number for each cut of its network */
};

/* One server, as there is one world. */
static struct {
        struct rng rng;
        struct server_ways ways;
        bool up, calm;
        struct account accounts[ACCOUNTS_MAX];
        size_t n_accounts;
        struct wire *wires;
        struct queue past; /* power stanzas */
        size_t n_past;
} server;

/* ---- parcels ---- */

static struct parcel *parcel_new(enum wire_news_kind kind, const char *text, size_t len) {
        struct parcel *p = calloc(1, sizeof(*p) + len + 1);

        if (!p)
                abort();
        p->kind = kind;
        p->len = len;
        memcpy(p->text, text, len);
        return p;
}

static struct parcel *stanza(const char *format, ...) {
        char text[4096];
        va_list ap;
        int n;

        va_start(ap, format);
        n = vsnprintf(text, sizeof(text), format, ap);
        va_end(ap);
        return parcel_new(WIRE_STANZA, text,
                          (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static void push(struct queue *q, struct parcel *p) {
        p->next = NULL;
        if (q->last)
                q->last->next = p;
        else
                q->first = p;
        q->last = p;
}

static struct parcel *pop(struct queue *q) {
        struct parcel *p = q->first;

        if (!p)
                return NULL;
        q->first = p->next;
        if (!q->first)
                q->last = NULL;
        return p;
}

static void drain(struct queue *q) {
        struct parcel *p;

        while ((p = pop(q)))
                free(p);
}

/* ---- stanzas ---- */

struct root {
        char name[16];
        char to[JID_SIZE_MAX];
        char type[24];
        char id[80];
        size_t after_name;
};

static void read_root(const char *text, struct root *ret) {
        size_t at = 1, n = strcspn(text + 1, " />");

        *ret = (struct root){.after_name = 1 + n};
        snprintf(ret->name, sizeof(ret->name), "%.*s", (int)n, text + 1);
        for (at = 1 + n; text[at] && text[at] != '>' && text[at] != '/';) {
                size_t name = at + strspn(text + at, " "),
                       equals = name + strcspn(text + name, "=>/");
                char quote = text[equals] == '=' ? text[equals + 1] : '\0';
                size_t value = equals + 2, end;
                const struct {
                        const char *name;
                        char *to;
                        size_t size;
                } wanted[] = {
                        {"to",   ret->to,   sizeof(ret->to)  },
                        {"type", ret->type, sizeof(ret->type)},
                        {"id",   ret->id,   sizeof(ret->id)  }
                };

                if (quote != '\'' && quote != '"')
                        break;
                end = value + strcspn(text + value, quote == '"' ? "\"" : "'");
                for (size_t i = 0; i < 3; i++)
                        if (equals - name == strlen(wanted[i].name) &&
                            strncmp(text + name, wanted[i].name, equals - name) == 0)
                                snprintf(wanted[i].to, wanted[i].size, "%.*s", (int)(end - value),
                                         text + value);
                at = end + 1;
        }
}

/* How long the first stanza in @text is. */
static size_t first_stanza(const char *text, size_t len) {
        size_t depth = 0;

        for (size_t at = 0; at < len;) {
                const char *open = memchr(text + at, '<', len - at);
                size_t end;
                char quote = 0;

                if (!open)
                        return len;
                at = (size_t)(open - text);
                for (end = at; end < len && (quote || text[end] != '>'); end++) {
                        if (quote && text[end] == quote)
                                quote = 0;
                        else if (!quote && (text[end] == '\'' || text[end] == '"'))
                                quote = text[end];
                }
                if (text[at + 1] == '/')
                        depth--;
                else if (text[end - 1] != '/')
                        depth++;
                at = end + 1;
                if (depth == 0)
                        return at;
        }
        return len;
}

static struct parcel *with_sender(const struct parcel *p, size_t after_name, const char *from) {
        char head[JID_SIZE_MAX + 32];
        int n = snprintf(head, sizeof(head), "%.*s from='%s'", (int)after_name, p->text, from);
        struct parcel *s = calloc(1, sizeof(*s) + (size_t)n + p->len - after_name + 1);

        if (!s)
                abort();
        s->kind = WIRE_STANZA;
        s->len = (size_t)n + p->len - after_name;
        memcpy(s->text, head, (size_t)n);
        memcpy(s->text + n, p->text + after_name, p->len - after_name);
        return s;
}

static struct account *account_of(const char *jid) {
        size_t n = strcspn(jid, "/");

        for (size_t i = 0; i < server.n_accounts; i++)
                if (strncmp(server.accounts[i].bare, jid, n) == 0 &&
                    server.accounts[i].bare[n] == '\0')
                        return &server.accounts[i];
        return NULL;
}

static struct wire *session_of(const char *full) {
        for (struct wire *w = server.wires; w; w = w->next)
                if (w->session && strcmp(w->full, full) == 0)
                        return w;
        return NULL;
}

static struct wire *available_of(const struct account *a) {
        for (struct wire *w = server.wires; w; w = w->next)
                if (w->session && w->available && w->account == a)
                        return w;
        return NULL;
}

/* ---- down to a client ---- */

static uint64_t latency(void) {
        return rng_chance(&server.rng, 20) ? rng_range(&server.rng, MSEC, 60 * MSEC)
                                           : rng_range(&server.rng, 50, 1500);
}

static void tell(struct wire *w, enum wire_news_kind kind, int cause, const char *text) {
        struct parcel *p = parcel_new(kind, text, strlen(text));

        if (w->dropped || w->over) {
                free(p);
                return;
        }
        p->cause = cause;
        if (kind == WIRE_ENDED)
                w->over = true;
        push(&w->inbox, p);
        proc_wake(w->proc);
}

static void pump_down(void *subject, uint64_t unused) {
        struct wire *w = subject;

        (void)unused;
        while (w->down.first && w->down.first->when <= world->now && w->machine->link_up) {
                struct parcel *p = pop(&w->down);

                if (w->dropped || w->over) {
                        free(p);
                        continue;
                }
                push(&w->inbox, p);
                proc_wake(w->proc);
        }
}

static void down(struct wire *w, struct parcel *p) {
        uint64_t when = world->now + latency();

        world_count(TALLY_STANZAS, 1);
        p->when = w->last_down = when > w->last_down ? when : w->last_down;
        push(&w->down, p);
        world_at(p->when, pump_down, w, 0);
}

/* ---- routing ---- */

static void store(struct account *a, struct parcel *p) {
        p->when = world->now;
        push(&a->stored, p);
}

static void bounce(const struct root *r, const char *from) {
        struct wire *back = session_of(from);

        if (back && (strcmp(r->type, "get") == 0 || strcmp(r->type, "set") == 0))
                down(back, stanza("<iq type='error' id='%s' from='%s' to='%s'><error type='cancel'>"
                                  "<service-unavailable "
                                  "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
                                  r->id, r->to, from));
}

/* A message that cannot go to the very session it was for. */
static void message_elsewhere(const struct root *r, struct account *a, struct parcel *p) {
        struct wire *w = a ? available_of(a) : NULL;

        if (strcmp(r->type, "headline") == 0 || strcmp(r->type, "error") == 0 || !a)
                free(p);
        else if (w)
                down(w, p);
        else
                store(a, p);
}

static void broadcast(const struct wire *from, const struct parcel *presence) {
        for (struct wire *w = server.wires; w; w = w->next)
                if (w != from && w->session && w->available)
                        down(w, parcel_new(WIRE_STANZA, presence->text, presence->len));
}

static void give_store(struct wire *w) {
        struct parcel *p;

        while ((p = pop(&w->account->stored))) {
                size_t n = p->len - strlen("</message>");
                struct parcel *late = stanza("%s", "");

                free(late);
                late = calloc(1, sizeof(*late) + p->len + 128);
                if (!late)
                        abort();
                late->kind = WIRE_STANZA;
                late->len = (size_t)sprintf(late->text,
                                            "%.*s<delay xmlns='urn:xmpp:delay' "
                                            "stamp='2026-11-21T00:00:00Z'/></message>",
                                            (int)n, p->text);
                down(w, late);
                p->when = world->now;
                push(&w->account->delivered, p);
        }
}

static void presence_of(struct wire *w, struct parcel *p, const struct root *r) {
        struct parcel *sent;

        if (r->to[0] != '\0')
                return; /* subscriptions stand already */
        sent = with_sender(p, r->after_name, w->full);
        broadcast(w, sent);
        if (strcmp(r->type, "unavailable") == 0) {
                w->available = false;
                free(sent);
                return;
        }
        free(w->presence);
        w->presence = sent;
        if (w->available)
                return;
        w->available = true;
        for (struct wire *o = server.wires; o; o = o->next)
                if (o != w && o->session && o->available && o->presence)
                        down(w, parcel_new(WIRE_STANZA, o->presence->text, o->presence->len));
        give_store(w);
}

static void roster_of(struct wire *w, const struct root *r) {
        char items[1024] = "";

        for (size_t i = 0; i < server.n_accounts; i++)
                if (&server.accounts[i] != w->account)
                        snprintf(items + strlen(items), sizeof(items) - strlen(items),
                                 "<item jid='%s' subscription='both'/>", server.accounts[i].bare);
        down(w, stanza("<iq type='result' id='%s' to='%s'><query "
                       "xmlns='jabber:iq:roster'>%s</query></iq>",
                       r->id, w->full, items));
}

static void remember_power(const struct parcel *p) {
        if (!strstr(p->text, "urn:rota:power:1") || strncmp(p->text, "<iq", 3) != 0 ||
            !strstr(p->text, "nonce="))
                return;
        push(&server.past, parcel_new(WIRE_STANZA, p->text, p->len));
        server.n_past++;
}

static void route(struct wire *w, struct parcel *p) {
        struct root r;
        struct parcel *sent;
        struct account *a;
        struct wire *to;

        read_root(p->text, &r);
        if (strcmp(r.name, "presence") == 0) {
                presence_of(w, p, &r);
                return;
        }
        a = account_of(r.to);
        if (strcmp(r.name, "iq") == 0 && (!a || !strchr(r.to, '/'))) {
                if (strstr(p->text, "jabber:iq:roster") && r.to[0] == '\0')
                        roster_of(w, &r);
                else
                        bounce(&r, w->full);
                return;
        }
        sent = with_sender(p, r.after_name, w->full);
        remember_power(sent);
        to = strchr(r.to, '/') ? session_of(r.to) : a ? available_of(a) : NULL;
        if (to)
                down(to, sent);
        else if (strcmp(r.name, "message") == 0)
                message_elsewhere(&r, a, sent);
        else {
                bounce(&r, w->full);
                free(sent);
        }
}

/* ---- the end of a session ---- */

static void sender_of(const struct parcel *p, char ret[static JID_SIZE_MAX]) {
        const char *at = strstr(p->text, " from='");

        snprintf(ret, JID_SIZE_MAX, "%s", at ? at + 7 : "");
        ret[strcspn(ret, "'")] = '\0';
}

static void unread(struct wire *w, struct parcel *p) {
        char from[JID_SIZE_MAX];
        struct root r;

        if (p->kind != WIRE_STANZA) {
                free(p);
                return;
        }
        read_root(p->text, &r);
        if (strcmp(r.name, "message") == 0) {
                if (p->handled && strcmp(r.type, "headline") != 0)
                        world_count(TALLY_SERVER_DOUBLED, 1);
                p->handled = false;
                message_elsewhere(&r, w->account, p);
                return;
        }
        if (strcmp(r.name, "iq") == 0) {
                sender_of(p, from);
                snprintf(r.to, sizeof(r.to), "%s", w->full);
                bounce(&r, from);
        }
        free(p);
}

static void session_end(struct wire *w) {
        struct queue back = {0};
        struct parcel *p;

        if (!w->session)
                return;
        w->session = false;
        world_tell("the session of %s is over", w->full);
        if (w->available) {
                struct parcel *gone = stanza("<presence type='unavailable' from='%s'/>", w->full);

                w->available = false;
                broadcast(w, gone);
                free(gone);
        }
        while ((p = pop(&w->unacked)))
                push(&back, p);
        for (const struct parcel *in = w->inbox.first; in; in = in->next)
                if (in->kind == WIRE_STANZA) {
                        p = parcel_new(WIRE_STANZA, in->text, in->len);
                        p->handled = !w->dropped; /* it may yet be read */
                        push(&back, p);
                }
        while ((p = pop(&w->down)))
                push(&back, p);
        /* an order that servers were seen to change on such occasions */
        if (back.first && back.first->next && rng_chance(&server.rng, 30)) {
                p = pop(&back);
                push(&back, p);
        }
        while ((p = pop(&back)))
                unread(w, p);
}

static void pump_up(void *subject, uint64_t unused) {
        struct wire *w = subject;

        (void)unused;
        while (w->up.first && w->up.first->when <= world->now && w->machine->link_up) {
                struct parcel *p = pop(&w->up);

                w->unsent -= p->len;
                if (w->session) {
                        route(w, p);
                } else {
                        world_count(TALLY_SERVER_LOST, 1);
                }
                free(p);
        }
        if (w->choked && w->unsent < FULL_BYTES / 2) {
                w->choked = false;
                tell(w, WIRE_DRAINED, 0, "");
        }
        if (w->fin && !w->up.first && w->machine->link_up) {
                w->fin = false;
                session_end(w);
                if (w->closing)
                        tell(w, WIRE_ENDED, w->causes[WIRE_CLOSED], "closed");
        }
}

/* ---- the client's side ---- */

static bool inbox_ready(const void *subject) {
        return ((const struct wire *)subject)->inbox.first != NULL;
}

static void on_timeout(void *subject, uint64_t unused) {
        struct wire *w = subject;

        (void)unused;
        w->connecting = false;
        tell(w, WIRE_ENDED, w->causes[WIRE_TIMEOUT], "no answer");
}

static void on_connect(void *subject, uint64_t unused) {
        struct wire *w = subject, *old;

        (void)unused;
        if (w->dropped || w->over || !w->connecting)
                return;
        if (!w->machine->link_up) {
                world_after(15 * SEC, on_timeout, w, 0);
                return;
        }
        w->connecting = false;
        if (!server.up) {
                tell(w, WIRE_ENDED, w->causes[WIRE_REFUSED], "nobody listens");
                return;
        }
        while ((old = session_of(w->full))) {
                session_end(old);
                if (old->machine->link_up)
                        tell(old, WIRE_ENDED, w->causes[WIRE_CONFLICT], "conflict");
        }
        w->session = true;
        world_tell("%s is online", w->full);
        tell(w, WIRE_ONLINE, 0, w->full);
}

int wire_new(struct wire **ret, const char *full, const int causes[static 5]) {
        struct wire *w = calloc(1, sizeof(*w));
        struct file f = {.kind = FILE_INBOX, .ready = inbox_ready, .subject = w};

        if (!w)
                abort();
        proc_call("connect");
        w->proc = world->current;
        w->machine = w->proc->machine;
        w->account = account_of(full);
        snprintf(w->full, sizeof(w->full), "%s", full);
        memcpy(w->causes, causes, sizeof(w->causes));
        w->connecting = true;
        w->next = server.wires;
        server.wires = w;
        world_after(rng_range(&server.rng, MSEC, 40 * MSEC), on_connect, w, 0);
        *ret = w;
        return calls_open_file(&f);
}

/* The client's end of the connection is closed: the server hears of it behind what was sent. */
static void hang_up(struct wire *w) {
        if (w->dropped)
                return;
        w->dropped = true;
        w->fin = true;
        world_after(latency(), pump_up, w, 0);
}

void wire_drop(struct wire *w) {
        hang_up(w);
}

void wire_close(struct wire *w) {
        static const char bye[] = "<presence type='unavailable'/>";

        if (w->over || w->closing)
                return;
        wire_send(w, bye, strlen(bye));
        w->closing = w->fin = true;
        world_after(latency(), pump_up, w, 0);
        /* or after two seconds without an answer */
        if (!w->machine->link_up || !w->session)
                tell(w, WIRE_ENDED, w->causes[WIRE_CLOSED], "closed");
}

void wire_send(struct wire *w, const char *text, size_t len) {
        proc_call("send");
        truth_sent(w->proc, w->full, text, len);
        while (len > 0) {
                size_t n = first_stanza(text, len);
                struct parcel *p = parcel_new(WIRE_STANZA, text, n);
                uint64_t when = world->now + latency();

                if (world->trace)
                        world_tell(">> %.*s", (int)(n < 300 ? n : 300), text);
                p->when = w->last_up = when > w->last_up ? when : w->last_up;
                w->unsent += n;
                w->sent += n;
                push(&w->up, p);
                world_at(p->when, pump_up, w, 0);
                text += n;
                len -= n;
        }
        if (w->unsent > FULL_BYTES)
                w->choked = true;
}

bool wire_full(const struct wire *w) {
        return w->choked;
}

void wire_backlog(const struct wire *w, uint64_t *ret_sent, uint64_t *ret_waiting) {
        *ret_sent = w->sent;
        *ret_waiting = w->unsent;
}

const char *wire_full_jid(const struct wire *w) {
        return w->full;
}

struct proc *wire_proc(const struct wire *w) {
        return w->proc;
}

bool wire_next(struct wire *w, struct wire_news *ret) {
        struct parcel *p;

        free(w->held);
        w->held = NULL;
        if (w->dropped)
                return false;
        proc_call("receive");
        p = pop(&w->inbox);
        if (!p)
                return false;
        w->held = p;
        *ret = (struct wire_news){
                .kind = p->kind, .cause = p->cause, .text = p->text, .len = p->len};
        if (p->kind == WIRE_STANZA) {
                if (world->trace)
                        world_tell("<< %.*s", (int)(p->len < 300 ? p->len : 300), p->text);
                truth_received(w->proc, w->full, p->text);
        }
        return true;
}

void wire_handled(struct wire *w) {
        struct parcel *p = w->held;

        if (!p || w->dropped)
                return;
        w->held = NULL;
        p->handled = true;
        push(&w->unacked, p);
        if (rng_chance(&server.rng, 300))
                drain(&w->unacked);
}

/* ---- faults ---- */

void server_start(const struct server_ways *ways, uint64_t seed) {
        memset(&server, 0, sizeof(server));
        server.rng.state = seed;
        server.ways = *ways;
        server.up = true;
}

void server_account(const char *bare) {
        snprintf(server.accounts[server.n_accounts++].bare, JID_SIZE_MAX, "%s", bare);
}

void server_calm(void) {
        server.calm = true;
        server.up = true;
}

static void on_server_up(void *subject, uint64_t unused) {
        (void)subject;
        (void)unused;
        server.up = true;
        world_tell("the server is up");
}

static void forget_store(struct account *a) {
        struct queue kept = {0};
        struct parcel *p;

        while ((p = pop(&a->stored))) {
                if (server.ways.forgetful && p->when + 2 * SEC > world->now) {
                        world_count(TALLY_SERVER_LOST, 1);
                        free(p);
                } else {
                        push(&kept, p);
                }
        }
        /* what it had delivered just before it delivers again */
        while ((p = pop(&a->delivered))) {
                if (server.ways.forgetful && p->when + 2 * SEC > world->now) {
                        world_count(TALLY_SERVER_DOUBLED, 1);
                        push(&kept, p);
                } else {
                        free(p);
                }
        }
        a->stored = kept;
}

void server_stop(uint64_t usec) {
        if (!server.up)
                return;
        world_tell("the server goes down");
        world_count(TALLY_SERVER_RESTARTS, 1);
        server.up = false;
        for (struct wire *w = server.wires; w; w = w->next) {
                if (!w->session)
                        continue;
                w->session = w->available = false;
                for (const struct parcel *p = w->down.first; p; p = p->next)
                        world_count(TALLY_SERVER_LOST, 1);
                drain(&w->down);
                drain(&w->unacked);
                if (w->machine->link_up)
                        tell(w, WIRE_ENDED, w->causes[WIRE_LOST], "end of file");
        }
        for (size_t i = 0; i < server.n_accounts; i++)
                forget_store(&server.accounts[i]);
        world_after(usec, on_server_up, NULL, 0);
}

static void on_given_up(void *subject, uint64_t silence) {
        struct wire *w = subject;

        if (w->session && w->silence == silence && (!w->machine->link_up || w->dropped))
                session_end(w);
}

static void on_client_gives_up(void *subject, uint64_t silence) {
        struct wire *w = subject;

        if (w->dropped || w->over || w->silence != silence || w->machine->link_up)
                return;
        drain(&w->up);
        w->unsent = 0;
        tell(w, WIRE_ENDED, w->causes[WIRE_LOST], "no answer for 15 s");
}

void server_proc_died(struct proc *p) {
        for (struct wire *w = server.wires; w; w = w->next) {
                if (w->proc != p || w->dropped)
                        continue;
                /* unread bytes make it a reset, which overtakes what was sent last */
                if (w->inbox.first && rng_chance(&server.rng, 500))
                        drain(&w->up);
                hang_up(w);
        }
}

/* Without power nobody says goodbye. */
void server_machine_dark(struct machine *m) {
        for (struct wire *w = server.wires; w; w = w->next) {
                if (w->machine != m || w->dropped)
                        continue;
                w->dropped = true;
                w->silence++;
                drain(&w->up);
                if (w->session)
                        world_after(rng_range(&server.rng, SEC, server.ways.patience_usec),
                                    on_given_up, w, w->silence);
        }
}

void server_link(struct machine *m, bool up) {
        if (m->link_up == up)
                return;
        m->link_up = up;
        world_tell("the network of %s is %s", m->name, up ? "back" : "cut");
        for (struct wire *w = server.wires; w; w = w->next) {
                if (w->machine != m)
                        continue;
                w->silence++;
                if (!up) {
                        world_after(rng_range(&server.rng, 15 * SEC, 35 * SEC), on_client_gives_up,
                                    w, w->silence);
                        if (w->session)
                                world_after(rng_range(&server.rng, SEC, server.ways.patience_usec),
                                            on_given_up, w, w->silence);
                        continue;
                }
                if (w->connecting)
                        world_after(latency() + rng_below(&server.rng, SEC), on_connect, w, 0);
                else if (!w->session && !w->over)
                        tell(w, WIRE_ENDED, w->causes[WIRE_LOST], "reset");
                else if (w->session && w->dropped && !w->fin)
                        world_after(rng_range(&server.rng, SEC, server.ways.patience_usec),
                                    on_given_up, w, w->silence);
                pump_up(w, 0);
                pump_down(w, 0);
        }
}

void server_reset(struct machine *m) {
        for (struct wire *w = server.wires; w; w = w->next) {
                if (w->machine != m || !w->session || w->dropped)
                        continue;
                world_tell("the connection of %s is reset", w->full);
                while (w->up.first && rng_chance(&server.rng, 500)) {
                        struct parcel *p = pop(&w->up);

                        w->unsent -= p->len;
                        route(w, p);
                        free(p);
                }
                for (const struct parcel *p = w->up.first; p; p = p->next)
                        world_count(TALLY_SERVER_LOST, 1);
                drain(&w->up);
                w->unsent = 0;
                session_end(w);
                tell(w, WIRE_ENDED, w->causes[WIRE_LOST], "connection reset");
        }
}

void server_replay(void) {
        uint64_t which = rng_below(&server.rng, server.n_past);
        struct parcel *p = server.past.first;
        struct root r;
        struct wire *w;

        if (!p)
                return;
        while (which-- > 0)
                p = p->next;
        read_root(p->text, &r);
        w = session_of(r.to);
        if (!w)
                return;
        world_count(TALLY_REPLAYS, 1);
        world_tell("the server delivers once more: %.200s", p->text);
        down(w, parcel_new(WIRE_STANZA, p->text, p->len));
}
