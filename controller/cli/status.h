/*
 * Exit statuses of `rota`: which outcome ends with which number.
 *
 * A failing test and a failing infrastructure never share a number. Of several targets the worst
 * decides, in the order 3, 4, 2, 5, 6, 7, 8, 1, 0: a verdict counts only when everything around it worked.
 *
 * Pure.
 */
#pragma once

enum status {
        STATUS_PASSED = 0,
        STATUS_FAILED = 1, /* a diagnostic failed */
        STATUS_USAGE = 2,  /* or configuration */
        STATUS_INFRA = 3,  /* offline, no server, no answer, no disk */
        STATUS_DENIED = 4,
        STATUS_NOTHING = 5, /* nothing matches */
        STATUS_BUSY = 6,    /* or leased */
        STATUS_TIMEOUT = 7,
        STATUS_CANCELLED = 8,
        STATUS_DETACHED =
                130, /* interrupted before the verdict was known: what the shell says of SIGINT */
};

enum status status_worst(enum status a, enum status b);
/* @name is a D-Bus error name, ours or another. */
enum status status_of_error(const char *name);
/* @refusal is a name of enum run_refusal or NULL, @cause a sentence or NULL. */
enum status status_of_run(const char *verdict, const char *refusal, const char *cause);
/* What the number means, for the manual. */
const char *status_meaning(enum status s);
