#include "target/core/judge.h"

#include "proto/base/cleanup.h"
#include "proto/units.h"

#include <errno.h>
#include <string.h>

static bool listed(const int *list, size_t n, int value) {
        for (size_t i = 0; i < n; i++)
                if (list[i] == value)
                        return true;
        return false;
}

static enum verdict judge_status(const struct judge_step *s, const struct judge_exit *e,
                                 struct buf *cause) {
        if (e->signal > 0 || e->exit_status < 0) {
                buf_printf(cause, "ended by signal %d", e->signal);
                return VERDICT_FAILED;
        }
        if (s->n_passed > 0 ? listed(s->passed, s->n_passed, e->exit_status) : e->exit_status == 0)
                return VERDICT_PASSED;
        buf_printf(cause, "exited with %d", e->exit_status);
        if (listed(s->not_run, s->n_not_run, e->exit_status))
                return VERDICT_NOT_RUN;
        return VERDICT_FAILED;
}

const char *judge_limit(const char *cause) {
        static const char *const limits[][2] = {
                {"timeout", "time"   },
                {"silence", "silence"},
                {"budget",  "disk"   },
        };

        for (size_t i = 0; cause && i < ARRAY_SIZE(limits); i++)
                if (strcmp(cause, limits[i][0]) == 0)
                        return limits[i][1];
        return NULL;
}

int judge_step(const struct judge_step *s, const struct judge_exit *e, enum verdict *ret,
               struct buf *ret_cause) {
        enum verdict v = VERDICT_NOT_RUN;

        if (!e->cause || !*e->cause) {
                v = judge_status(s, e, ret_cause);
        } else if (strcmp(e->cause, "timeout") == 0) {
                v = VERDICT_FAILED;
                buf_puts(ret_cause, "still running after its time limit of ");
                units_print_duration(ret_cause, s->timeout_usec);
        } else if (strcmp(e->cause, "silence") == 0) {
                v = VERDICT_FAILED;
                buf_puts(ret_cause, "no output for ");
                units_print_duration(ret_cause, s->silence_usec);
        } else if (strcmp(e->cause, "budget") == 0) {
                v = VERDICT_FAILED;
                buf_puts(ret_cause, e->text && *e->text ? e->text : "its disk budget was used up");
        } else if (strcmp(e->cause, "cancelled") == 0) {
                v = VERDICT_CANCELLED; /* by whom is in the journal */
        } else {
                /* missing, exec, disk, internal: the machine's trouble, not the test's */
                buf_puts(ret_cause, e->text && *e->text ? e->text : e->cause);
        }
        if (buf_check(ret_cause) < 0)
                return -ENOMEM;
        *ret = v;
        return 0;
}
