/*
 * The XMPP server and the network between it and the machines.
 *
 * It does what Prosody and ejabberd were seen to do (FACTS, section 3), as far as the rooms need it: presence among
 * accounts that all know each other, rosters, IQs forwarded or bounced, messages stored for the absent, and a stream
 * management without resumption, after whose end unread messages return to the store and unread IQs bounce. Within a
 * session everything is in order. At its end things are lost, and come twice; a server that dies loses what was under
 * way, and, when it is of the forgetful kind, what it had stored just now.
 *
 * A network that is cut holds what is sent, and lets it go when it heals: late, as TCP does. Whoever waits too long gives up.
 */
#pragma once

#include "tests/sim/proc.h"

struct wire;

enum wire_news_kind {
        WIRE_ONLINE, /* text: the full JID */
        WIRE_STANZA,
        WIRE_DRAINED,
        WIRE_ENDED, /* cause; text */
};

struct wire_news {
        enum wire_news_kind kind;
        int cause;
        const char *text; /* until the next call */
        size_t len;
};

enum wire_cause {
        WIRE_REFUSED,
        WIRE_TIMEOUT,
        WIRE_LOST,
        WIRE_CONFLICT,
        WIRE_CLOSED,
};

/* Of the current process. @causes: what the caller calls each of enum wire_cause. Returns a descriptor. */
int wire_new(struct wire **ret, const char *full, const int causes[static 5]);
void wire_drop(struct wire *w);
void wire_send(struct wire *w, const char *text, size_t len);
void wire_close(struct wire *w);
bool wire_next(struct wire *w, struct wire_news *ret);
/* The stanza of the last wire_next() was dealt with. */
void wire_handled(struct wire *w);
bool wire_full(const struct wire *w);
void wire_backlog(const struct wire *w, uint64_t *ret_sent, uint64_t *ret_waiting);
const char *wire_full_jid(const struct wire *w);
struct proc *wire_proc(const struct wire *w);

struct server_ways {
        bool forgetful;         /* the last two seconds of its store are lost with it */
        uint64_t patience_usec; /* until a silent session is given up */
};

void server_start(const struct server_ways *ways, uint64_t seed);
void server_account(const char *bare);
void server_stop(uint64_t usec);
void server_calm(void);
void server_proc_died(struct proc *p);
void server_machine_dark(struct machine *m);
void server_link(struct machine *m, bool up);
void server_reset(struct machine *m);
/* Delivers a power stanza of the past once more. */
void server_replay(void);
