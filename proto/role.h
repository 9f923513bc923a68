/*
 * Who may do what: bare JIDs to roles. view < run < reboot < admin; whoever matches no rule has none.
 */
#pragma once

#include <stddef.h>

enum role {
        ROLE_NONE = 0,
        ROLE_VIEW,   /* see presence, follow streams, ping */
        ROLE_RUN,    /* start catalogued diagnostics, cancel own runs, reserve */
        ROLE_REBOOT, /* reboot */
        ROLE_ADMIN,  /* free commands, cancel any run, quarantine */
};

struct role_rule {
        const char *pattern; /* exact bare JID or *@domain, see jid_matches() */
        enum role role;
};

/* "none", "view", … */
const char *role_name(enum role role);
/* Returns 0 or 1 when @name is no role that can be given ("none" cannot). */
int role_parse(const char *name, enum role *ret);
/* The highest role of all rules that match; an exact rule, where there is one, decides alone. */
enum role role_of(const struct role_rule *rules, size_t n_rules, const char *jid);
