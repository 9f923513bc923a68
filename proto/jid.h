/*
 * Addresses (RFC 7622): local@domain/resource.
 *
 * Compared as bytes after lower-casing ASCII in the bare part, which is what both servers send
 * back. The project's limit is JID_MAX, well below the RFC's 3,071.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define JID_MAX 511
#define JID_SIZE (JID_MAX + 1)

/* local@domain[/resource] with non-empty parts and no white space or control characters. */
bool jid_valid(const char *jid);
/* Copies the bare part, lower-cased. Returns 0, or 1 when @jid is not valid. */
int jid_bare(const char *jid, char ret[static JID_SIZE]);
/* "" when there is none; points into @jid. */
const char *jid_resource(const char *jid);
/* The local part and the domain, copied. Return 0, or 1 when @jid is not valid. */
int jid_local(const char *jid, char ret[static JID_SIZE]);
int jid_domain(const char *jid, char ret[static JID_SIZE]);
bool jid_same_bare(const char *a, const char *b);
/* @pattern: an exact bare JID, or *@domain. A resource in @jid is ignored. */
bool jid_matches(const char *pattern, const char *jid);
bool jid_pattern_valid(const char *pattern);
