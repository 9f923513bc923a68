/*
 * Configuration of the target: deploy/config/target.json is the example with every key.
 *
 * FILE, then FILE's directory NAME.d, its *.json in order of their names: scalars and arrays of a later file
 * replace earlier ones, members of "labels" and "controllers" are merged. Everything is checked
 * before anything is used.
 */
#pragma once

#include "ext/presence.h"
#include "proto/base/arena.h"
#include "proto/role.h"

#include <stdbool.h>
#include <stdint.h>

#define CONFIG_RULES_MAX 256
#define CONFIG_LABELS_MAX 64
#define CONFIG_DIRS_MAX 16
#define CONFIG_COMMAND_MAX 64

struct config {
        struct arena arena;
        const char *jid;
        const char *resource;
        const char *password; /* wiped with the configuration */
        const char *password_file;
        const char *server;  /* NULL: SRV */
        const char *ca_file; /* NULL: the system's authorities */
        const char *name;
        const char *location; /* NULL: none */
        struct presence_label labels[CONFIG_LABELS_MAX];
        size_t n_labels;
        struct role_rule rules[CONFIG_RULES_MAX];
        size_t n_rules;
        const char *state_dir;
        const char *catalogue[CONFIG_DIRS_MAX + 1]; /* ends with NULL */
        unsigned slots;
        unsigned queue_max;
        uint64_t keep_usec;
        uint64_t lease_max_usec;
        unsigned quarantine_after; /* runs in a row that could not be carried out; 0: never */
        uint64_t free_min;
        uint64_t disk_budget;           /* of a run's output; 0: none */
        uint64_t disk_budget_wait_usec; /* for room; 0: for ever */
        const char *reboot_command[CONFIG_COMMAND_MAX + 1];
        bool reboot_by_command;
        bool reboot_simulated;
        const char *boot_id_file;
        const char *step_program; /* NULL: beside this program, or where it is installed */
        bool step_unit;
};

enum {
        CONFIG_BAD = 1, /* ret_error says what, why and what next, for people */
};

/* Returns 0, CONFIG_BAD (ret_error appended to) or -ENOMEM. */
int config_load(struct config **ret, const char *path, struct buf *ret_error);
struct config *config_free(struct config *c);
DEFINE_CLEANUP_FREE(struct config, config_free)
