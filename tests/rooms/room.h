/*
 * A room under test: a router with one binding, what arrived at the callbacks and what was answered.
 *
 * A callback says room_saw() with its payload, which is encoded again: so a stanza whose payload is
 * golden must come out of decoder and encoder byte for byte. What it answers is the test's.
 */
#pragma once

#include "proto/ext.h"
#include "tests/support/check.h"

#define CONTROLLER "ctl@lab/1"
#define TARGET "pc1@lab/rota"

/* Stanzas from CONTROLLER to TARGET, as a server delivers them. */
#define STANZA_(name, type, payload)                                                               \
        "<" name " xmlns='jabber:client' type='" type "' from='" CONTROLLER "' to='" TARGET        \
        "' id='q1'>" payload "</" name ">"
#define IQ_GET(payload) STANZA_("iq", "get", payload)
#define IQ_SET(payload) STANZA_("iq", "set", payload)
#define MESSAGE(payload) STANZA_("message", "normal", payload)
#define PRESENCE(payload)                                                                          \
        "<presence xmlns='jabber:client' from='" TARGET "' to='" CONTROLLER "'>" payload           \
        "</presence>"

/* Answers to them. */
#define RESULT(payload) "<iq type='result' to='" CONTROLLER "' id='q1'>" payload "</iq>"
#define RESULT_EMPTY "<iq type='result' to='" CONTROLLER "' id='q1'/>"
#define ERROR_IN_(type, inside)                                                                    \
        "<iq type='error' to='" CONTROLLER "' id='q1'><error type='" type "'>" inside              \
        "</error></iq>"
#define CONDITION_(name) "<" name " xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
#define TEXT_(text) "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>" text "</text>"
#define UNAVAILABLE ERROR_IN_("cancel", CONDITION_("service-unavailable"))
#define BAD_REQUEST(text) ERROR_IN_("modify", CONDITION_("bad-request") TEXT_(text))
#define FORBIDDEN(needs, has)                                                                      \
        ERROR_IN_("auth",                                                                          \
                  CONDITION_("forbidden") TEXT_(                                                   \
                          "this needs the role " needs "; " CONTROLLER                             \
                          " has " has) "<not-allowed xmlns='urn:rota:error:1' role='" needs "'/>")
#define STALE                                                                                      \
        ERROR_IN_("wait", CONDITION_("unexpected-request") TEXT_(                                  \
                                  "this happens now or not at all, and the request was delayed "   \
                                  "or forwarded") "<stale xmlns='urn:rota:error:1'/>")

struct room {
        struct router *router;
        enum role role; /* of CONTROLLER, and everybody */
        struct buf reply;
        struct buf seen;    /* what the callbacks got */
        struct buf refused; /* "what: condition: text\n" of everything refused */
};

/* Userdata of the callbacks is @room itself. @bindings outlive it. */
void room_init(struct room *room, const struct ext_binding *bindings, enum role role);
void room_done(struct room *room);

/* Sends one stanza; returns what router_dispatch() returned. `reply`, `seen` and `refused` are of this one. */
int room_send(struct room *room, const char *stanza);
void room_saw(struct room *room, const struct element *e, const void *payload);

/* The room takes @stanza, its callback gets @payload, and @answer comes back ("" for none). */
void room_takes(struct room *room, const char *stanza, const char *payload, const char *answer);
/* The room refuses an IQ with @answer, and no callback is called. */
void room_refuses(struct room *room, const char *stanza, const char *answer);
/* The same for a message or presence, which is not answered: "what: condition: text\n". */
void room_drops(struct room *room, const char *stanza, const char *refused);

/* The struct becomes exactly @golden. */
void check_encodes(const struct element *e, const void *payload, const char *golden);
/* @golden is read and written again without a difference; a client reads answers with this. */
void check_decodes(const struct element *e, const char *golden);
/* @text is refused, with this reason. */
void check_refuses(const struct element *e, const char *text, const char *why);

/* @n times @c, as a string to free(). */
char *many(char c, size_t n);
/* printf into malloc'ed memory. */
char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));
