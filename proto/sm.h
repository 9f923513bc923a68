/*
 * Stream management (XEP-0198) without resumption: who has handled how many stanzas.
 *
 *   us                                   server
 *    | <enable/>                           |   from here on our stanzas count
 *    |------------------------------------>|
 *    | <enabled/>                          |   from here on the server's stanzas count
 *    |<------------------------------------|
 *    | <r/>                                |   "how many have you handled?"
 *    |<------------------------------------|
 *    | <a h='17'/>                         |   the server forgets 17; the rest it keeps, and gives
 *    |------------------------------------>|   back to the offline store should we die
 *
 * Counters wrap at 2^32 (section 4). Without resumption a session that is gone is gone, and its
 * unread messages return to the queue at once instead of hibernating with it.
 *
 * Pure: no clock, no socket. The owner sends what it is told to send.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_SM "urn:xmpp:sm:3"
#define SM_ENABLE "<enable xmlns='" NS_SM "'/>"
#define SM_REQUEST "<r xmlns='" NS_SM "'/>"

enum sm_state {
        SM_OFF,      /* not offered, not asked for, or refused */
        SM_ENABLING, /* <enable/> is sent */
        SM_ON,
};

struct sm {
        enum sm_state state;
        uint32_t in;        /* the server's stanzas that we handled */
        uint32_t out;       /* our stanzas */
        uint32_t acked;     /* of these the server handled */
        uint32_t out_asked; /* `out` when we last sent <r/> */
        bool asking;        /* an <r/> is unanswered */
};

void sm_init(struct sm *s);
/* We sent <enable/>. */
void sm_enabling(struct sm *s);
/* The owner handled a stanza of the server (message, presence, iq). */
void sm_received(struct sm *s);
/* We sent @n stanzas. */
void sm_sent(struct sm *s, size_t n);
/* Is it time for an <r/>? Now and then after what was sent, one at a time. */
bool sm_ask_due(const struct sm *s);
/* We sent <r/>. */
void sm_asked(struct sm *s);

enum {
        SM_ANSWER = 1,  /* the server asks: send sm_answer() */
        SM_REFUSED = 2, /* the server does not do it after all: off */
        SM_BAD_ACK = 3, /* it confirms what we never sent, or no number: drop the connection */
        SM_UNKNOWN = 4, /* not an element of this protocol: ignore it */
};

/* An element in NS_SM arrived; @h is its attribute, NULL when absent. Returns 0 or one of the above. */
int sm_element(struct sm *s, const char *name, const char *h);

#define SM_ANSWER_SIZE 64
/* <a h='…'/> */
size_t sm_answer(const struct sm *s, char ret[static SM_ANSWER_SIZE]);

/* How many elements stand side by side in @text, which is what the project's writer makes: well-formed, no
 * comments or CDATA. */
size_t sm_count_stanzas(const char *text, size_t len);
