#include "controller/core/reboot.h"

#include "proto/units.h"

#include <stdio.h>
#include <string.h>

void reboot_init(struct reboot *r, const char *name, enum reboot_mode mode, bool wait,
                 uint64_t timeout_usec, uint64_t now_usec) {
        *r = (struct reboot){
                .state = REBOOT_ASKING,
                .mode = mode,
                .wait = wait,
                .started_usec = now_usec,
        };
        if (timeout_usec == 0 || timeout_usec > UINT64_MAX - now_usec)
                timeout_usec = REBOOT_TIMEOUT_USEC;
        r->deadline_usec = now_usec + timeout_usec;
        snprintf(r->name, sizeof(r->name), "%s", name);
}

void reboot_done(struct reboot *r) {
        buf_done(&r->error);
}

static void end(struct reboot *r, enum reboot_exit code) {
        r->state = REBOOT_ENDED;
        r->exit = code;
}

void reboot_absent(struct reboot *r, const char *sentence) {
        if (r->state == REBOOT_ENDED)
                return;
        buf_printf(&r->error, "%s; nothing was sent and nothing will happen when it returns",
                   sentence);
        end(r, REBOOT_INFRA);
}

void reboot_challenged(struct reboot *r, const struct reboot_challenge *c) {
        if (r->state != REBOOT_ASKING)
                return;
        snprintf(r->boot_before, sizeof(r->boot_before), "%s", c->boot ? c->boot : "");
        snprintf(r->nonce, sizeof(r->nonce), "%s", c->nonce ? c->nonce : "");
        r->simulated = c->simulated;
        if (c->busy && r->mode == REBOOT_GRACEFUL)
                reboot_busy(r, c->run, c->owner);
        else
                r->state = REBOOT_ORDERING;
}

void reboot_busy(struct reboot *r, const char *run, const char *owner) {
        if (r->state != REBOOT_ASKING && r->state != REBOOT_ORDERING)
                return;
        buf_printf(&r->error, "%s is busy", r->name);
        if (run)
                buf_printf(&r->error, " with run %s", run);
        if (owner)
                buf_printf(&r->error, " for %s", owner);
        buf_puts(&r->error,
                 "; wait for it, or use --drain (after this run) or --force (interrupts it)");
        end(r, REBOOT_BUSY);
}

void reboot_leased(struct reboot *r, const char *text) {
        if (r->state != REBOOT_ASKING && r->state != REBOOT_ORDERING)
                return;
        buf_printf(&r->error, "%s: %s; an admin may take it: rota reserve --take %s", r->name,
                   text && text[0] ? text : "somebody else has reserved it", r->name);
        end(r, REBOOT_BUSY);
}

void reboot_denied(struct reboot *r, const char *text) {
        if (r->state != REBOOT_ASKING && r->state != REBOOT_ORDERING)
                return;
        buf_printf(&r->error,
                   "%s does not allow it%s%s; its configuration must give this controller the "
                   "role reboot",
                   r->name, text ? ": " : "", text ? text : "");
        end(r, REBOOT_DENIED);
}

void reboot_failed(struct reboot *r, const char *text) {
        if (r->state != REBOOT_ASKING && r->state != REBOOT_ORDERING)
                return;
        buf_printf(&r->error, "%s did not reboot: %s", r->name, text ? text : "it gave no reason");
        end(r, REBOOT_INFRA);
}

void reboot_agreed(struct reboot *r, bool simulated, bool draining, uint64_t now_usec) {
        if (r->state != REBOOT_ORDERING)
                return;
        r->simulated |= simulated;
        r->draining = draining;
        if (r->wait) {
                r->state = REBOOT_WAITING;
                return;
        }
        r->took_usec = now_usec - r->started_usec;
        end(r, REBOOT_OK);
}

void reboot_unanswered(struct reboot *r, bool lost) {
        const char *how =
                lost ? "the connection ended before its answer" : "it did not answer in time";

        if (r->state == REBOOT_ASKING) {
                buf_printf(&r->error, "%s: %s; nothing was ordered", r->name, how);
                end(r, REBOOT_INFRA);
        } else if (r->state == REBOOT_ORDERING && r->wait) {
                r->state = REBOOT_WAITING;
        } else if (r->state == REBOOT_ORDERING) {
                buf_printf(&r->error,
                           "%s: %s; it may or may not reboot, its boot id will tell (rota why %s)",
                           r->name, how, r->name);
                end(r, REBOOT_INFRA);
        }
}

bool reboot_announced(struct reboot *r, const char *boot, uint64_t now_usec) {
        if (r->state != REBOOT_WAITING && r->state != REBOOT_ORDERING)
                return false;
        if (!boot || strcmp(boot, r->boot_before) == 0)
                return false;
        snprintf(r->boot_after, sizeof(r->boot_after), "%s", boot);
        r->took_usec = now_usec - r->started_usec;
        end(r, REBOOT_OK);
        return true;
}

bool reboot_gone(struct reboot *r, uint64_t now_usec) {
        if (r->state != REBOOT_WAITING || r->went)
                return false;
        r->went_usec = now_usec - r->started_usec;
        return r->went = true;
}

void reboot_expired(struct reboot *r, const char *sentence, uint64_t now_usec) {
        if (r->state == REBOOT_ENDED)
                return;
        r->took_usec = now_usec - r->started_usec;
        buf_printf(&r->error, "%s did not come back with another boot id within ", r->name);
        units_print_duration(&r->error, r->took_usec);
        buf_printf(&r->error, "%s; %s", r->draining ? " (it finishes its run first)" : "",
                   sentence);
        end(r, REBOOT_TIMEOUT);
}
