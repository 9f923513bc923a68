/*
 * JUnit XML, as the many writers of it write it (Ant, GoogleTest, CTest, pytest): bytes in, results out.
 *
 * A testcase is a test; <failure> makes it failed, <error> broken off, <skipped>, <disabled> or a status of
 * "notrun" skipped. Its properties are measurements. Suites that count otherwise than their cases say are
 * a problem. A document with a DTD, too deep, too wide, or not well-formed ends there, and what came so far stays.
 *
 * Pure; expat, without recursion, bounded in depth, attributes, tokens and text.
 */
#pragma once

#include "controller/results/result.h"

#define JUNIT_DEPTH_MAX 32
#define JUNIT_ATTRS_MAX 64
#define JUNIT_TOKEN_MAX (1024 * 1024)

enum {
        JUNIT_ENDED = 1, /* the document is complete, or nothing more can be read of it */
        JUNIT_OTHER = 2, /* well-formed so far, but no JUnit: nothing was told */
};

struct junit;

/* @line: where it begins. */
int junit_new(struct junit **ret, const struct result_sink *sink, uint64_t line);
struct junit *junit_free(struct junit *j);
DEFINE_CLEANUP_FREE(struct junit, junit_free)
/* Any bytes. Returns 0, JUNIT_ENDED, JUNIT_OTHER or -ENOMEM; after anything but 0 it is not fed again. */
int junit_feed(struct junit *j, const char *data, size_t len);
/* The root has come, and is one of JUnit's. */
bool junit_begun(const struct junit *j);
/* Once, also after JUNIT_ENDED. */
int junit_finish(struct junit *j, const struct result_end *end);
