#include "proto/role.h"

#include "proto/base/cleanup.h"
#include "proto/jid.h"

#include <stdbool.h>
#include <string.h>

static const char *const names[] = {
        [ROLE_NONE] = "none",     [ROLE_VIEW] = "view",   [ROLE_RUN] = "run",
        [ROLE_REBOOT] = "reboot", [ROLE_ADMIN] = "admin",
};

const char *role_name(enum role role) {
        return (size_t)role < ARRAY_SIZE(names) ? names[role] : "none";
}

int role_parse(const char *name, enum role *ret) {
        for (size_t i = ROLE_VIEW; i < ARRAY_SIZE(names); i++)
                if (strcmp(names[i], name) == 0) {
                        *ret = (enum role)i;
                        return 0;
                }
        return 1;
}

enum role role_of(const struct role_rule *rules, size_t n_rules, const char *jid) {
        enum role exact = ROLE_NONE, wide = ROLE_NONE;
        bool named = false;

        for (size_t i = 0; i < n_rules; i++) {
                const struct role_rule *rule = &rules[i];

                if (!jid_matches(rule->pattern, jid))
                        continue;
                if (rule->pattern[0] == '*') {
                        if (rule->role > wide)
                                wide = rule->role;
                } else {
                        named = true;
                        if (rule->role > exact)
                                exact = rule->role;
                }
        }
        return named ? exact : wide;
}
