#include "proto/jid.h"

#include <string.h>

struct parts {
        const char *local;
        size_t local_len;
        const char *domain;
        size_t domain_len;
        const char *resource; /* "" when there is none */
};

static bool is_blank(char c) {
        unsigned char u = (unsigned char)c;

        return u <= 0x20 || u == 0x7f;
}

static char lower(char c) {
        return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

/* Returns 0 or 1. */
static int split(const char *jid, struct parts *ret) {
        size_t len = strnlen(jid, JID_MAX + 1);
        const char *slash = memchr(jid, '/', len);
        size_t bare_len = slash ? (size_t)(slash - jid) : len;
        const char *at = memchr(jid, '@', bare_len);

        if (len > JID_MAX || !at)
                return 1;
        for (size_t i = 0; i < len; i++)
                if (is_blank(jid[i]))
                        return 1;
        ret->local = jid;
        ret->local_len = (size_t)(at - jid);
        ret->domain = at + 1;
        ret->domain_len = bare_len - ret->local_len - 1;
        ret->resource = slash ? slash + 1 : "";
        if (ret->local_len == 0 || ret->domain_len == 0 || (slash && slash[1] == '\0'))
                return 1;
        /* RFC 7622 section 3.3.1 */
        for (size_t i = 0; i < ret->local_len; i++)
                if (strchr("\"&':<>", jid[i]))
                        return 1;
        return memchr(ret->domain, '@', ret->domain_len) ? 1 : 0;
}

static void copy_lower(char *to, const char *from, size_t len) {
        for (size_t i = 0; i < len; i++)
                to[i] = lower(from[i]);
        to[len] = '\0';
}

bool jid_valid(const char *jid) {
        struct parts p;

        return split(jid, &p) == 0;
}

int jid_bare(const char *jid, char ret[static JID_SIZE]) {
        struct parts p;

        if (split(jid, &p) != 0)
                return 1;
        copy_lower(ret, p.local, p.local_len + 1 + p.domain_len);
        return 0;
}

const char *jid_resource(const char *jid) {
        const char *slash = strchr(jid, '/');

        return slash ? slash + 1 : jid + strlen(jid);
}

int jid_local(const char *jid, char ret[static JID_SIZE]) {
        struct parts p;

        if (split(jid, &p) != 0)
                return 1;
        copy_lower(ret, p.local, p.local_len);
        return 0;
}

int jid_domain(const char *jid, char ret[static JID_SIZE]) {
        struct parts p;

        if (split(jid, &p) != 0)
                return 1;
        copy_lower(ret, p.domain, p.domain_len);
        return 0;
}

bool jid_same_bare(const char *a, const char *b) {
        char bare_a[JID_SIZE], bare_b[JID_SIZE];

        return jid_bare(a, bare_a) == 0 && jid_bare(b, bare_b) == 0 && strcmp(bare_a, bare_b) == 0;
}

/* "*@domain" is the only pattern that is no address itself. */
static const char *any_of_domain(const char *pattern) {
        return strncmp(pattern, "*@", 2) == 0 ? pattern + 2 : NULL;
}

bool jid_matches(const char *pattern, const char *jid) {
        char domain[JID_SIZE], wanted[JID_SIZE];

        if (!jid_pattern_valid(pattern))
                return false;
        if (any_of_domain(pattern))
                return jid_domain(pattern, wanted) == 0 && jid_domain(jid, domain) == 0 &&
                       strcmp(wanted, domain) == 0;
        return jid_same_bare(pattern, jid);
}

bool jid_pattern_valid(const char *pattern) {
        const char *star = strchr(pattern, '*');

        if (!jid_valid(pattern) || strchr(pattern, '/'))
                return false;
        return !star || (any_of_domain(pattern) && !strchr(star + 1, '*'));
}
