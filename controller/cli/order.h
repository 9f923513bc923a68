/*
 * Orders to targets that are carried out now or refused: sent, waited for, and shown as a table.
 */
#pragma once

#include "controller/cli/verb.h"

struct order {
        const char *what;   /* "reserve", as controller/api.h says */
        const char *done;   /* "reserved", for the table */
        uint64_t for_usec;  /* 0: none */
        const char *reason; /* NULL: none */
        uint64_t wait_usec; /* how long to ask those again that are busy or leased; 0: once */
};

/* To the targets that all operands of @call select. Returns the exit status. */
int order_run(const struct call *call, const struct order *o);
