/*
 * The SHA-256 of a file, in slices between other events, for steps that left no exit record. The file is synced.
 */
#pragma once

#include "proto/base/cleanup.h"

#include <stdint.h>
#include <systemd/sd-event.h>

struct hash;

/* @r: 0 or -errno. The hash may be freed in it. */
typedef void hash_done(void *userdata, int r, uint64_t size, const char *sha256);

/* @take_fd is closed at the end. */
int hash_new(struct hash **ret, sd_event *event, int take_fd, hash_done *done, void *userdata);
struct hash *hash_free(struct hash *h);
DEFINE_CLEANUP_FREE(struct hash, hash_free)
