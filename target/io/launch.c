#include "target/io/launch.h"

#include "proto/base/buf.h"
#include "proto/base/clock.h"
#include "proto/base/log.h"
#include "target/io/child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

/* A unit that systemd says it started and that never took its lock. */
#define UNIT_START_USEC (30 * USEC_PER_SEC)

struct launcher {
        sd_event *event;
        char *program;
        bool units;
        sd_bus *bus;
};

struct launch {
        struct launcher *launcher;
        char *run_path;
        char *step;
        struct child *child;
        sd_bus_slot *call;
        sd_event_source *patience;
        launch_gone *gone;
        void *userdata;
};

int launcher_new(struct launcher **ret, sd_event *event, const char *program, bool units) {
        struct launcher *l = calloc(1, sizeof(*l));
        if (!l)
                return -ENOMEM;
        l->program = strdup(program);
        if (!l->program) {
                free(l);
                return -ENOMEM;
        }
        l->event = sd_event_ref(event);
        l->units = units;
        *ret = l;
        return 0;
}

struct launcher *launcher_free(struct launcher *l) {
        if (!l)
                return NULL;
        sd_bus_flush_close_unref(l->bus);
        sd_event_unref(l->event);
        free(l->program);
        free(l);
        return NULL;
}

bool launcher_under_systemd(void) {
        return getenv("INVOCATION_ID") && access("/run/systemd/system", F_OK) == 0;
}

static int launch_new(struct launch **ret, struct launcher *l, const char *step,
                      const char *run_path, launch_gone *gone, void *userdata) {
        CLEANUP(launch_free) struct launch *n = calloc(1, sizeof(*n));
        if (!n)
                return -ENOMEM;
        n->run_path = strdup(run_path);
        n->step = strdup(step);
        if (!n->run_path || !n->step)
                return -ENOMEM;
        n->launcher = l;
        n->gone = gone;
        n->userdata = userdata;
        *ret = TAKE(n);
        return 0;
}

struct launch *launch_free(struct launch *l) {
        if (!l)
                return NULL;
        sd_bus_slot_unref(l->call);
        sd_event_source_disable_unref(l->patience);
        child_free(l->child);
        free(l->run_path);
        free(l->step);
        free(l);
        return NULL;
}

static void on_child_gone(void *userdata, int status) {
        struct launch *l = userdata;
        char text[64];

        if (status == 127 || status == 126) {
                snprintf(text, sizeof(text), "rota-step could not be executed (status %d)", status);
                l->gone(l->userdata, text);
        } else {
                l->gone(l->userdata, NULL);
        }
}

/* Who holds the step's lock: 0 for nobody. */
static pid_t lock_holder(const char *run_path, const char *step) {
        CLEANUP(buf_done) struct buf path = {0};
        CLEANUP(fd_close) int fd = -1;
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

        if (buf_printf(&path, "%s/%s.lock", run_path, step) < 0)
                return 0;
        fd = open(path.data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 || fcntl(fd, F_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
                return 0;
        return lock.l_pid;
}

static int watch_holder(struct launch *l) {
        pid_t pid = lock_holder(l->run_path, l->step);
        int r;

        if (pid <= 0)
                return LAUNCH_NONE;
        r = child_adopt(&l->child, l->launcher->event, pid, on_child_gone, l);
        if (r == -ESRCH)
                return LAUNCH_NONE;
        if (r < 0)
                return r;
        /* The number may have been given to another process between the two calls. */
        if (lock_holder(l->run_path, l->step) != pid) {
                l->child = child_free(l->child);
                return LAUNCH_NONE;
        }
        l->patience = sd_event_source_disable_unref(l->patience);
        return 0;
}

int launch_adopt(struct launch **ret, struct launcher *launcher, const char *step,
                 const char *run_path, launch_gone *gone, void *userdata) {
        CLEANUP(launch_free) struct launch *l = NULL;
        int r = launch_new(&l, launcher, step, run_path, gone, userdata);
        if (r < 0)
                return r;
        r = watch_holder(l);
        if (r != 0)
                return r;
        *ret = TAKE(l);
        return 0;
}

static int on_unit_reply(sd_bus_message *m, void *userdata, sd_bus_error *unused) {
        struct launch *l = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);

        (void)unused;
        if (e) {
                CLEANUP(buf_done) struct buf text = {0};
                buf_printf(&text, "systemd did not start rota-step: %s",
                           e->message ? e->message : e->name);
                l->gone(l->userdata, buf_text(&text));
        } else {
                launch_stirred(l);
        }
        return 0;
}

static int on_patience(sd_event_source *s, uint64_t usec, void *userdata) {
        struct launch *l = userdata;

        (void)s;
        (void)usec;
        if (watch_holder(l) == LAUNCH_NONE)
                l->gone(l->userdata, "the unit of rota-step started, but the step never began");
        return 0;
}

void launch_stirred(struct launch *l) {
        if (!l->child)
                watch_holder(l);
}

static int bus_open(struct launcher *l) {
        int r;

        if (l->bus && sd_bus_is_open(l->bus) > 0)
                return 0;
        l->bus = sd_bus_close_unref(l->bus);
        r = sd_bus_open_system(&l->bus);
        if (r < 0)
                return r;
        return sd_bus_attach_event(l->bus, l->event, SD_EVENT_PRIORITY_NORMAL);
}

static int start_unit(struct launch *l, const char *run) {
        char unit[160];
        int r = bus_open(l->launcher);
        if (r < 0)
                return r;
        snprintf(unit, sizeof(unit), "rota-step@%s-%s.service", run, l->step);
        r = sd_bus_call_method_async(l->launcher->bus, &l->call, "org.freedesktop.systemd1",
                                     "/org/freedesktop/systemd1",
                                     "org.freedesktop.systemd1.Manager", "StartUnit", on_unit_reply,
                                     l, "ss", unit, "fail");
        if (r < 0)
                return r;
        return sd_event_add_time_relative(l->launcher->event, &l->patience, CLOCK_BOOTTIME,
                                          UNIT_START_USEC, 0, on_patience, l);
}

static int start_process(struct launch *l) {
        const char *argv[] = {l->launcher->program, l->run_path, l->step, NULL};

        return child_start(&l->child, l->launcher->event, argv, NULL, on_child_gone, l);
}

int launch_start(struct launch **ret, struct launcher *launcher, const char *run, const char *step,
                 const char *run_path, launch_gone *gone, void *userdata) {
        CLEANUP(launch_free) struct launch *l = NULL;
        int r = launch_new(&l, launcher, step, run_path, gone, userdata);
        if (r < 0)
                return r;
        r = launcher->units ? start_unit(l, run) : start_process(l);
        if (r < 0)
                return r;
        *ret = TAKE(l);
        return 0;
}
