#include "tests/sim/loop.h"

#include "tests/sim/calls.h"
#include "tests/sim/truth.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <systemd/sd-journal.h>
#include <time.h>

enum source_kind {
        SOURCE_DEFER,
        SOURCE_TIME,
        SOURCE_IO,
        SOURCE_SIGNAL,
        SOURCE_INOTIFY,
};

struct news {
        uint32_t mask;
        char name[96];
};

struct watcher {
        struct watcher *next;
        struct node *dir;
        sd_event_source *source;
        struct news news[64];
        size_t n;
        bool overflown;
};

struct sd_event_source {
        sd_event_source *next;
        sd_event *event;
        enum source_kind kind;
        unsigned refs;
        bool gone;
        bool floating;
        int enabled;
        int64_t priority;
        void *userdata;
        sd_event_destroy_t destroy;
        union {
                sd_event_handler_t defer;
                sd_event_time_handler_t time;
                sd_event_io_handler_t io;
                sd_event_signal_handler_t signal;
                sd_event_inotify_handler_t inotify;
        } fn;
        clockid_t clock;
        uint64_t usec; /* on the clock of the machine */
        uint64_t slack;
        int fd;
        int signal;
        struct watcher *watcher;
};

struct sd_event {
        struct proc *proc;
        sd_event_source *sources;
        bool exits;
        int code;
};

/* ---- loops ---- */

int sd_event_new(sd_event **ret) {
        sd_event *e = calloc(1, sizeof(*e));

        if (!e)
                return -ENOMEM;
        e->proc = world->current;
        e->proc->event = e;
        *ret = e;
        return 0;
}

int sd_event_default(sd_event **ret) {
        return sd_event_new(ret);
}

/* The memory of a schedule goes with its process. */
sd_event *sd_event_ref(sd_event *e) {
        return e;
}

sd_event *sd_event_unref(sd_event *e) {
        (void)e;
        return NULL;
}

int sd_event_set_watchdog(sd_event *e, int on) {
        (void)e;
        return on;
}

int sd_event_exit(sd_event *e, int code) {
        e->exits = true;
        e->code = code;
        return 0;
}

/* ---- sources ---- */

static int add(sd_event *e, sd_event_source **ret, enum source_kind kind, int enabled,
               void *userdata, sd_event_source **ret_source) {
        sd_event_source *s = calloc(1, sizeof(*s)), **at;

        if (!s)
                return -ENOMEM;
        s->event = e;
        s->kind = kind;
        s->enabled = enabled;
        s->userdata = userdata;
        s->refs = 1;
        s->floating = ret == NULL;
        s->fd = -1;
        for (at = &e->sources; *at; at = &(*at)->next)
                ;
        *at = s;
        if (ret)
                *ret = s;
        *ret_source = s;
        return 0;
}

int sd_event_add_defer(sd_event *e, sd_event_source **ret, sd_event_handler_t fn, void *userdata) {
        sd_event_source *s;
        int r = add(e, ret, SOURCE_DEFER, SD_EVENT_ONESHOT, userdata, &s);

        if (r == 0)
                s->fn.defer = fn;
        return r;
}

int sd_event_add_time(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                      uint64_t accuracy, sd_event_time_handler_t fn, void *userdata) {
        sd_event_source *s;
        int r = add(e, ret, SOURCE_TIME, SD_EVENT_ONESHOT, userdata, &s);

        if (r < 0)
                return r;
        s->fn.time = fn;
        s->clock = clock;
        s->usec = usec;
        s->slack = accuracy == 0 ? 250 * MSEC : accuracy;
        return 0;
}

int sd_event_add_time_relative(sd_event *e, sd_event_source **ret, clockid_t clock, uint64_t usec,
                               uint64_t accuracy, sd_event_time_handler_t fn, void *userdata) {
        return sd_event_add_time(e, ret, clock, machine_uptime(e->proc->machine) + usec, accuracy,
                                 fn, userdata);
}

int sd_event_add_io(sd_event *e, sd_event_source **ret, int fd, uint32_t events,
                    sd_event_io_handler_t fn, void *userdata) {
        sd_event_source *s;
        int r = add(e, ret, SOURCE_IO, SD_EVENT_ON, userdata, &s);

        (void)events;
        if (r < 0)
                return r;
        s->fn.io = fn;
        s->fd = fd;
        return 0;
}

int sd_event_add_signal(sd_event *e, sd_event_source **ret, int sig, sd_event_signal_handler_t fn,
                        void *userdata) {
        sd_event_source *s;
        int r = add(e, ret, SOURCE_SIGNAL, SD_EVENT_ON, userdata, &s);

        if (r < 0)
                return r;
        s->fn.signal = fn;
        s->signal = sig;
        return 0;
}

int sd_event_add_inotify(sd_event *e, sd_event_source **ret, const char *path, uint32_t mask,
                         sd_event_inotify_handler_t fn, void *userdata) {
        struct node *dir = disk_find(e->proc->machine->disk, e->proc->cwd, path);
        sd_event_source *s;
        int r;

        (void)mask;
        proc_call("inotify_add_watch");
        if (!dir)
                return -ENOENT;
        r = add(e, ret, SOURCE_INOTIFY, SD_EVENT_ON, userdata, &s);
        if (r < 0)
                return r;
        s->fn.inotify = fn;
        s->watcher = calloc(1, sizeof(*s->watcher));
        if (!s->watcher)
                return -ENOMEM;
        *s->watcher = (struct watcher){.next = dir->watchers, .dir = dir, .source = s};
        dir->watchers = s->watcher;
        return 0;
}

static sd_event_source *leave(sd_event_source *s) {
        if (s->gone)
                return NULL;
        s->gone = true;
        for (sd_event_source **at = &s->event->sources; *at; at = &(*at)->next)
                if (*at == s) {
                        *at = s->next;
                        break;
                }
        for (struct watcher **at = s->watcher ? &s->watcher->dir->watchers : NULL; at && *at;
             at = &(*at)->next)
                if (*at == s->watcher) {
                        *at = s->watcher->next;
                        break;
                }
        if (s->destroy)
                s->destroy(s->userdata);
        return NULL;
}

sd_event_source *sd_event_source_unref(sd_event_source *s) {
        if (s && --s->refs == 0 && !s->floating)
                leave(s);
        return NULL;
}

sd_event_source *sd_event_source_disable_unref(sd_event_source *s) {
        if (!s)
                return NULL;
        s->enabled = SD_EVENT_OFF;
        if (s->floating)
                return leave(s);
        return sd_event_source_unref(s);
}

int sd_event_source_set_enabled(sd_event_source *s, int enabled) {
        s->enabled = enabled;
        return 0;
}

int sd_event_source_set_priority(sd_event_source *s, int64_t priority) {
        s->priority = priority;
        return 0;
}

int sd_event_source_set_time(sd_event_source *s, uint64_t usec) {
        s->usec = usec;
        return 0;
}

int sd_event_source_set_floating(sd_event_source *s, int on) {
        s->floating = on;
        return 0;
}

int sd_event_source_set_destroy_callback(sd_event_source *s, sd_event_destroy_t fn) {
        s->destroy = fn;
        return 0;
}

/* ---- turning ---- */

static bool pending(const sd_event_source *s, uint64_t uptime) {
        const struct file *f;

        if (s->enabled == SD_EVENT_OFF)
                return false;
        switch (s->kind) {
        case SOURCE_DEFER:
                return true;
        case SOURCE_TIME:
                return s->usec <= uptime;
        case SOURCE_IO:
                f = calls_file(s->fd);
                return f && calls_readable(f);
        case SOURCE_SIGNAL:
                return (s->event->proc->signals & (UINT64_C(1) << s->signal)) != 0;
        case SOURCE_INOTIFY:
                return s->watcher->n > 0 || s->watcher->overflown;
        }
        return false;
}

static sd_event_source *choose(sd_event *e) {
        uint64_t uptime = machine_uptime(e->proc->machine);
        sd_event_source *found = NULL;
        unsigned equals = 0;

        for (sd_event_source *s = e->sources; s; s = s->next) {
                if ((found && s->priority > found->priority) || !pending(s, uptime))
                        continue;
                if (!found || s->priority < found->priority)
                        equals = 0;
                /* among equals any may be the first */
                if (rng_below(&e->proc->machine->rng, ++equals) == 0)
                        found = s;
        }
        return found;
}

/* When the next timer is due, in the time of the world. */
static uint64_t next_timer(sd_event *e) {
        uint64_t uptime = machine_uptime(e->proc->machine), min = NEVER;

        for (sd_event_source *s = e->sources; s; s = s->next) {
                uint64_t left;

                if (s->kind != SOURCE_TIME || s->enabled == SD_EVENT_OFF || s->usec >= NEVER / 2)
                        continue;
                left = s->usec > uptime ? s->usec - uptime : 0;
                left += rng_below(&e->proc->machine->rng, s->slack);
                if (left < min)
                        min = left;
        }
        return min == NEVER ? NEVER : world->now + min;
}

static int dispatch_news(sd_event_source *s) {
        struct watcher *w = s->watcher;
        _Alignas(struct inotify_event) char text[sizeof(struct inotify_event) + 96] = {0};
        struct inotify_event *e = (struct inotify_event *)(void *)text;

        if (w->n == 0) {
                w->overflown = false;
                e->mask = IN_Q_OVERFLOW;
                return s->fn.inotify(s, e, s->userdata);
        }
        e->mask = w->news[0].mask;
        e->len = 96;
        memcpy(text + sizeof(*e), w->news[0].name, 96);
        memmove(w->news, w->news + 1, --w->n * sizeof(w->news[0]));
        return s->fn.inotify(s, e, s->userdata);
}

static int dispatch(sd_event_source *s) {
        struct signalfd_siginfo info = {.ssi_signo = (unsigned)s->signal};
        int r = 0;

        if (s->enabled == SD_EVENT_ONESHOT)
                s->enabled = SD_EVENT_OFF;
        s->refs++;
        switch (s->kind) {
        case SOURCE_DEFER:
                r = s->fn.defer(s, s->userdata);
                break;
        case SOURCE_TIME:
                r = s->fn.time(s, s->usec, s->userdata);
                break;
        case SOURCE_IO:
                r = s->fn.io(s, s->fd, 1, s->userdata);
                break;
        case SOURCE_SIGNAL:
                s->event->proc->signals &= ~(UINT64_C(1) << s->signal);
                r = s->fn.signal(s, &info, s->userdata);
                break;
        case SOURCE_INOTIFY:
                r = dispatch_news(s);
                break;
        }
        if (r < 0)
                s->enabled = SD_EVENT_OFF;
        if (--s->refs == 0)
                leave(s);
        return r;
}

int sd_event_loop(sd_event *e) {
        struct rng *rng = &e->proc->machine->rng;

        while (!e->exits) {
                sd_event_source *s = choose(e);

                if (!s) {
                        proc_wait(next_timer(e));
                        continue;
                }
                dispatch(s);
                truth_turned(e->proc);
                proc_spend(rng_range(rng, 2, 60));
        }
        return e->code;
}

/* ---- what wakes it ---- */

void loop_signalled(sd_event *e) {
        (void)e;
}

static void tell(struct watcher *w, const char *name, uint32_t mask) {
        struct news *last = w->n > 0 ? &w->news[w->n - 1] : NULL;

        if (w->source->event->proc->dead)
                return;
        if (!last || last->mask != mask || strcmp(last->name, name) != 0) {
                if (w->n == sizeof(w->news) / sizeof(w->news[0])) {
                        w->overflown = true;
                } else {
                        w->news[w->n].mask = mask;
                        snprintf(w->news[w->n++].name, sizeof(w->news[0].name), "%s", name);
                }
        }
        proc_wake(w->source->event->proc);
}

void loop_stirred(struct node *dir, const char *name, enum stir what) {
        static const uint32_t masks[] = {[STIR_CREATE] = IN_CREATE,
                                         [STIR_MODIFY] = IN_MODIFY,
                                         [STIR_MOVED] = IN_MOVED_TO,
                                         [STIR_DELETE] = IN_DELETE};

        if (what == STIR_DELETE)
                return;
        for (struct watcher *w = dir->watchers; w; w = w->next)
                tell(w, name, masks[what]);
}

/* The watched directories that have this file. */
static void modified_in(struct node *dir, struct node *file) {
        for (size_t i = 0; i < dir->now.n; i++) {
                struct node *n = dir->now.entries[i].node;

                if (n == file && dir->watchers)
                        loop_stirred(dir, dir->now.entries[i].name, STIR_MODIFY);
                else if (n->is_dir)
                        modified_in(n, file);
        }
}

void loop_file_modified(struct machine *m, struct node *file) {
        if (m->daemon_part == PART_TARGET)
                modified_in(m->disk->root, file);
}

static void overflow_in(struct node *dir) {
        for (struct watcher *w = dir->watchers; w; w = w->next) {
                w->n = 0;
                w->overflown = true;
                if (!w->source->event->proc->dead)
                        proc_wake(w->source->event->proc);
        }
        for (size_t i = 0; i < dir->now.n; i++)
                if (dir->now.entries[i].node->is_dir)
                        overflow_in(dir->now.entries[i].node);
}

void loop_overflow(struct machine *m) {
        overflow_in(m->disk->root);
}

/* ---- the rest of libsystemd: no service manager, no message bus ---- */

int sd_notify(int unset, const char *state) {
        (void)unset;
        (void)state;
        return 0;
}

int sd_notifyf(int unset, const char *format, ...) {
        (void)unset;
        (void)format;
        return 0;
}

int sd_bus_open_system(sd_bus **ret) {
        (void)ret;
        return -ENOENT;
}

int sd_bus_attach_event(sd_bus *bus, sd_event *e, int priority) {
        (void)bus;
        (void)e;
        (void)priority;
        return -ENOENT;
}

int sd_bus_call_method_async(sd_bus *bus, sd_bus_slot **slot, const char *destination,
                             const char *path, const char *interface, const char *member,
                             sd_bus_message_handler_t fn, void *userdata, const char *types, ...) {
        (void)bus;
        (void)slot;
        (void)destination;
        (void)path;
        (void)interface;
        (void)member;
        (void)fn;
        (void)userdata;
        (void)types;
        return -ENOENT;
}

int sd_bus_is_open(sd_bus *bus) {
        (void)bus;
        return 0;
}

sd_bus *sd_bus_close_unref(sd_bus *bus) {
        (void)bus;
        return NULL;
}

sd_bus *sd_bus_flush_close_unref(sd_bus *bus) {
        (void)bus;
        return NULL;
}

sd_bus_slot *sd_bus_slot_unref(sd_bus_slot *slot) {
        (void)slot;
        return NULL;
}

const sd_bus_error *sd_bus_message_get_error(sd_bus_message *m) {
        (void)m;
        return NULL;
}
