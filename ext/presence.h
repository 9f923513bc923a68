/*
 * Extended presence: who a target is, where it stands and what it is doing.
 *
 *   <presence>
 *     <show>dnd</show><status>memory, step 2 of 5, for ana</status>
 *     <nick xmlns='http://jabber.org/protocol/nick'>Bob's server</nick>
 *     <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='…' ver='…'/>
 *     <x xmlns='urn:rota:presence:1' role='target' state='busy' boot='6f1c…' sid='k3…' queue='2'>
 *       <name>Bob's server</name><location>Austin/Lab 3/Rack B/U12</location>
 *       <run id='…' step='2' of='5' owner='ctl@lab' by='ana' title='memory'/>
 *       <lease id='…' token='17' holder='ctl@lab' by='ana' reason='…' left='5400' since='1800'/>
 *       <quarantine by='ana' reason='…' since='60'/>
 *       <back within='259200' by='ana' reason='…'/>
 *       <label name='gpu' value='mi300'/>
 *     </x>
 *   </presence>
 *
 * `sid` is new for every connection: a peer that sees another one knows that everything under way is gone. A
 * controller announces itself with role='controller'. show, status (RFC 6121 section 4.7.2) and nick (XEP-0172) say
 * the same to any IM client.
 */
#pragma once

#include "proto/ext.h"

#define NS_ROTA_PRESENCE "urn:rota:presence:1"
#define PRESENCE_LABELS_MAX 64
#define PRESENCE_BOOT_MAX 63

enum presence_role {
        PRESENCE_TARGET,
        PRESENCE_CONTROLLER,
};

enum presence_state {
        PRESENCE_READY,
        PRESENCE_BUSY,
        PRESENCE_RESERVED,
        PRESENCE_DRAINING,
        PRESENCE_QUARANTINED,
        PRESENCE_REBOOTING,
        PRESENCE_AWAY,
};

struct presence_run {
        const char *id;
        uint64_t step;
        uint64_t of;
        const char *owner;
        const char *by;
        const char *title;
};

/* Who has reserved it. */
struct presence_lease {
        const char *id;
        uint64_t token;
        const char *holder; /* bare JID */
        const char *by;
        const char *reason;
        uint64_t left;  /* seconds, when it was sent */
        uint64_t since; /* seconds before it was sent */
};

struct presence_quarantine {
        const char *by;
        const char *reason;
        uint64_t since; /* seconds before it was sent */
};

/* It leaves on purpose. */
struct presence_back {
        uint64_t within; /* seconds, when it was sent */
        const char *by;
        const char *reason;
};

struct presence_label {
        const char *name;
        const char *value; /* "" when the label is only a name */
};

struct presence {
        int role;  /* enum presence_role */
        int state; /* enum presence_state; -1 from a controller */
        const char *boot;
        const char *sid;
        uint64_t queue; /* runs that wait */
        const char *version;
        const char *name;
        const char *location;
        const struct presence_run *run;
        const struct presence_lease *lease;
        const struct presence_quarantine *quarantine;
        const struct presence_back *back;
        const struct presence_label *labels;
        size_t n_labels;
};

/* "ready" "busy" …; NULL beyond the enum. */
const char *presence_state_name(enum presence_state s);

/* The whole <presence/>. @caps_ver: as caps_ver() made it, NULL for none; @status may be NULL. Texts for people are
 * cut to what a peer accepts; the rest must keep to its limits. */
int presence_write(struct buf *out, const struct presence *p, const char *status,
                   const char *caps_node, const char *caps_ver);

struct presence_ops {
        /* A target's state and boot are there, and everybody's sid. */
        int (*announced)(void *userdata, const struct ext_request *rq, const struct presence *p);
};

extern const struct element presence_element;
extern const struct ext presence_ext;
