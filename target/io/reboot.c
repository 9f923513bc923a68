#include "target/io/reboot.h"

#include "proto/base/arena.h"
#include "proto/base/buf.h"
#include "target/io/child.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-bus.h>

extern char **environ;

struct reboot {
        struct child *child;
        sd_bus *bus;
        reboot_done *done;
        void *userdata;
};

static void on_command_gone(void *userdata, int status) {
        struct reboot *b = userdata;
        CLEANUP(buf_done) struct buf text = {0};

        if (status == 0) {
                b->done(b->userdata, NULL);
                return;
        }
        buf_printf(&text, "the reboot command ended with status %d", status);
        b->done(b->userdata, buf_text(&text));
}

static int on_logind(sd_bus_message *m, void *userdata, sd_bus_error *unused) {
        struct reboot *b = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);
        CLEANUP(buf_done) struct buf text = {0};

        (void)unused;
        /* somebody was faster: it goes down all the same */
        if (!e || strcmp(e->name, "org.freedesktop.login1.OperationInProgress") == 0) {
                b->done(b->userdata, NULL);
                return 0;
        }
        buf_printf(&text, "logind refused: %s", e->message ? e->message : e->name);
        b->done(b->userdata, buf_text(&text));
        return 0;
}

static int by_logind(struct reboot *b, sd_event *event) {
        int r = sd_bus_open_system(&b->bus);
        if (r < 0)
                return r;
        r = sd_bus_attach_event(b->bus, event, SD_EVENT_PRIORITY_NORMAL);
        if (r < 0)
                return r;
        return sd_bus_call_method_async(b->bus, NULL, "org.freedesktop.login1",
                                        "/org/freedesktop/login1", "org.freedesktop.login1.Manager",
                                        "Reboot", on_logind, b, "b", 0);
}

static int by_command(struct reboot *b, sd_event *event, const char *const *command,
                      const char *mode, const char *reason) {
        CLEANUP(arena_done) struct arena a = {0};
        size_t n = 0;

        while (environ[n])
                n++;
        const char **env = arena_alloc(&a, (n + 3) * sizeof(*env));
        if (!env)
                return -ENOMEM;
        memcpy(env, environ, n * sizeof(*env));
        env[n] = arena_printf(&a, "ROTA_REBOOT_MODE=%s", mode);
        env[n + 1] = arena_printf(&a, "ROTA_REBOOT_REASON=%s", reason ? reason : "");
        if (!env[n] || !env[n + 1])
                return -ENOMEM;
        return child_start(&b->child, event, command, env, on_command_gone, b);
}

int reboot_start(struct reboot **ret, sd_event *event, const char *const *command, const char *mode,
                 const char *reason, reboot_done *done, void *userdata) {
        CLEANUP(reboot_free) struct reboot *b = calloc(1, sizeof(*b));
        int r;

        if (!b)
                return -ENOMEM;
        b->done = done;
        b->userdata = userdata;
        sync();
        r = command ? by_command(b, event, command, mode, reason) : by_logind(b, event);
        if (r < 0)
                return r;
        *ret = TAKE(b);
        return 0;
}

struct reboot *reboot_free(struct reboot *b) {
        if (!b)
                return NULL;
        sd_bus_flush_close_unref(b->bus);
        child_free(b->child);
        free(b);
        return NULL;
}
