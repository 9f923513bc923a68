#include "controller/cli/status.h"

#include "controller/api.h"
#include "proto/base/cleanup.h"

#include <stddef.h>
#include <string.h>

static unsigned status_rank(enum status s) {
        switch (s) {
        case STATUS_PASSED:
                return 0;
        case STATUS_FAILED:
                return 1;
        case STATUS_CANCELLED:
                return 2;
        case STATUS_TIMEOUT:
                return 3;
        case STATUS_BUSY:
                return 4;
        case STATUS_NOTHING:
                return 5;
        case STATUS_USAGE:
                return 6;
        case STATUS_DENIED:
                return 7;
        case STATUS_INFRA:
                return 8;
        case STATUS_DETACHED:
                return 9;
        }
        return 8;
}

enum status status_worst(enum status a, enum status b) {
        return status_rank(b) > status_rank(a) ? b : a;
}

enum status status_of_error(const char *name) {
        static const struct {
                const char *name;
                enum status status;
        } rows[] = {
                {API_ERROR_USAGE,                           STATUS_USAGE  },
                {API_ERROR_INFRA,                           STATUS_INFRA  },
                {API_ERROR_DENIED,                          STATUS_DENIED },
                {API_ERROR_NOTHING,                         STATUS_NOTHING},
                {API_ERROR_BUSY,                            STATUS_BUSY   },
                {API_ERROR_TIMEOUT,                         STATUS_TIMEOUT},
                {API_ERROR_UNKNOWN,                         STATUS_USAGE  },
                {"org.freedesktop.DBus.Error.AccessDenied", STATUS_DENIED },
                {"org.freedesktop.DBus.Error.InvalidArgs",  STATUS_USAGE  },
                {"org.freedesktop.DBus.Error.Timeout",      STATUS_TIMEOUT},
                {"org.freedesktop.DBus.Error.NoReply",      STATUS_TIMEOUT},
        };

        for (size_t i = 0; name && i < ARRAY_SIZE(rows); i++)
                if (strcmp(rows[i].name, name) == 0)
                        return rows[i].status;
        return STATUS_INFRA;
}

static enum status status_of_refusal(const char *refusal) {
        if (strcmp(refusal, "not-allowed") == 0)
                return STATUS_DENIED;
        if (strcmp(refusal, "invalid") == 0)
                return STATUS_USAGE;
        if (strcmp(refusal, "busy") == 0 || strcmp(refusal, "leased") == 0)
                return STATUS_BUSY;
        if (strcmp(refusal, "expired") == 0)
                return STATUS_TIMEOUT;
        return STATUS_INFRA;
}

/* A controller without the member says it in its sentence: "pc1 refused it (busy): …". */
static enum status status_of_cause(const char *cause) {
        static const char words[] = " refused it (";
        static const char over[] = "time to live ended";
        const char *at = strstr(cause, words);
        char name[32];
        size_t len;

        if (!at)
                return strstr(cause, over) ? STATUS_TIMEOUT : STATUS_INFRA;
        at += sizeof(words) - 1;
        len = strcspn(at, ")");
        if (len >= sizeof(name))
                return STATUS_INFRA;
        memcpy(name, at, len);
        name[len] = '\0';
        return status_of_refusal(name);
}

enum status status_of_run(const char *verdict, const char *refusal, const char *cause) {
        if (!verdict)
                return STATUS_INFRA;
        if (strcmp(verdict, "passed") == 0)
                return STATUS_PASSED;
        if (strcmp(verdict, "cancelled") == 0)
                return STATUS_CANCELLED;
        if (strcmp(verdict, "failed") == 0)
                return STATUS_FAILED;
        if (refusal && *refusal)
                return status_of_refusal(refusal);
        return cause ? status_of_cause(cause) : STATUS_INFRA;
}

const char *status_meaning(enum status s) {
        switch (s) {
        case STATUS_PASSED:
                return "Done; every diagnostic passed.";
        case STATUS_FAILED:
                return "A diagnostic failed.";
        case STATUS_USAGE:
                return "Usage or configuration: nothing was started.";
        case STATUS_INFRA:
                return "Infrastructure: a target is offline, the controller or the server does not "
                       "answer, "
                       "or a diagnostic could not be run.";
        case STATUS_DENIED:
                return "Not allowed.";
        case STATUS_NOTHING:
                return "Nothing matches the selector.";
        case STATUS_BUSY:
                return "Busy or leased to somebody else.";
        case STATUS_TIMEOUT:
                return "A time limit has passed.";
        case STATUS_CANCELLED:
                return "Cancelled.";
        case STATUS_DETACHED:
                return "Detached with Ctrl-C; what was started goes on.";
        }
        return "";
}
