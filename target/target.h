/*
 * The target daemon: the machines of core/, the adapters of io/ and the connection, around one event loop.
 *
 * Callbacks of rooms, of the connection and of the adapters record facts and call target_kick(). target_pump() alone
 * acts on them: first what must be durable (work.c), then what is said about it: presence (announce.c)
 * and streams (peers.c). Rooms are served by serve_*.c, bound in rooms.c.
 */
#pragma once

#include "ext/disco.h"
#include "ext/power.h"
#include "ext/presence.h"
#include "ext/stream.h"
#include "proto/base/id.h"
#include "proto/base/list.h"
#include "proto/catalogue.h"
#include "proto/codec.h"
#include "proto/ext.h"
#include "proto/link/link.h"
#include "target/config.h"
#include "target/core/flow.h"
#include "target/core/hush.h"
#include "target/core/lease.h"
#include "target/core/pace.h"
#include "target/core/power.h"
#include "target/core/runq.h"
#include "target/io/audit.h"
#include "target/io/facts.h"
#include "target/io/launch.h"
#include "target/io/reboot.h"
#include "target/io/rundir.h"
#include "target/io/standing.h"

#define PEERS_MAX 64

/* A reboot that was granted: what is left to do before it. */
enum going_phase {
        GOING_NOT,
        GOING_DRAIN, /* a run is on and may end first */
        GOING_FLUSH, /* say goodbye and close the connection, so that all of it is out */
        GOING_DOWN,  /* started; we do not expect to live on */
};

struct going {
        enum going_phase phase;
        enum power_mode mode;
        char *reason;
        char *who;
        uint64_t deadline_usec; /* of the phase; USEC_NEVER */
        uint64_t late_usec;     /* of GOING_FLUSH: from then on nobody expects it any more */
        struct runq_run *run;   /* whose step this is; NULL: it was asked for on the wire */
        bool drain_after;       /* should that step come to nothing */
        struct reboot *reboot;
        char *trouble; /* of the reboot, to be acted on by the pump */
        bool taken_on; /* the command or logind took it on */
};

/* Reserved, in quarantine, away. */
struct duty {
        struct standing standing; /* as it is on disk, unless `unwritten` */
        struct lease lease;
        struct audit *audit;
        bool unwritten;      /* the file may say something else than `standing` */
        uint64_t retry_usec; /* then: not before this time */
        uint64_t n_untold;   /* lines that the audit journal lacks */
};

struct announce {
        struct pace pace;
        char *last; /* what was sent on this connection */
        bool due;
        char *status; /* what systemd was told */
};

struct target {
        sd_event *event;
        sd_event_source *turn;  /* target_pump() soon */
        sd_event_source *timer; /* target_pump() later */
        const char *config_path;
        struct config *config;
        struct catalogue *catalogue;
        struct rundir *rundir;
        struct runq *runq;
        struct power *power;
        struct launcher *launcher;
        struct router *router;
        struct link *link;
        struct codec *codec;
        struct list peers;
        struct flow flow; /* of the connection */
        struct hush *hush;
        struct announce announce;
        struct going going;
        struct duty duty;
        struct buf out; /* reused for what is sent */
        uint8_t *piece; /* reused for what is read; NULL while nothing flows */
        char boot[FACTS_BOOT_SIZE];
        char sid[ID_SIZE]; /* of this connection */
        char caps[CAPS_VER_SIZE];
        uint64_t seq;       /* of the next run */
        uint64_t rest_usec; /* when to give memory back; USEC_NEVER */
        int trouble;        /* errno of the write that failed last, 0: all is well */
        bool full;          /* the disk, while a step is on: rota-step holds it then */
        uint64_t full_usec; /* when to look again; USEC_NEVER */
        bool stopping;
        bool tracing;
        uint64_t stop_usec;
        char *cause; /* why there is no connection; NULL: there is one */
};

/* @ret_error is for people. Returns 0, CONFIG_BAD, TARGET_STATE or -errno. */
enum {
        TARGET_STATE = 16, /* the state directory, boot id or rota-step cannot be used */
};
int target_new(struct target **ret, const char *config_path, bool trace, struct buf *ret_error);
struct target *target_free(struct target *t);
DEFINE_CLEANUP_FREE(struct target, target_free)
/* Until SIGTERM. Returns 0 or -errno. */
int target_run(struct target *t);
/* The configuration and the catalogue, without doing anything. */
int target_check(const char *config_path, struct buf *ret_error);

/* For the files of this directory. */
extern const struct ext_binding target_rooms[];
extern const struct router_ops target_router_ops;
extern const struct disco_identity target_identity;
#define TARGET_CAPS_NODE "urn:rota:target"

void target_kick(struct target *t);
/* Out of memory where nothing can be taken back: this process ends, the next one begins with what is on the disk. */
void target_starve(struct target *t);
uint64_t target_now(void); /* the clock of all machines: counts through suspend */
enum role target_role_of(const struct target *t, const char *jid);
int target_connect(struct target *t);
/* Sends what was written to t->out, and empties it. Offline it is dropped. */
void target_send(struct target *t);

/* work.c: what the queue asks for. */
int work_restore(struct target *t);
/* For a run that was accepted now; its journal has @events_size bytes. */
int work_new(struct target *t, struct runq_run *run, uint64_t events_size);
/* What the queue must know of a plan's steps, in @a. Returns 0 or -ENOMEM. */
int work_steps(const struct plan *plan, struct arena *a, const struct runq_step **ret);
void work_pump(struct target *t, uint64_t now_usec);
uint64_t work_deadline(const struct target *t);
/* While a step is on: is there space for what it prints? */
void work_space(struct target *t, uint64_t now_usec);
/* step_room.c: the disk budgets may have changed; does a step wait for room in its own? */
void work_rooms(struct target *t);
bool work_held(const struct target *t);
void work_stop(struct target *t);
/* The durable size of the journal of a run. */
uint64_t work_events_size(struct target *t, const struct runq_run *run);

/* serve_run.c: tells a controller that holds @run for alive that it is over and removed, or unknown here. */
void run_refuse_lost(struct target *t, const char *to, const char *run);

/* refusals.c: in the journal. Counts one of @from; returns whether it is to be written down. */
bool refusal_heard(struct target *t, const char *from);
/* Without counting: would the next one be? */
bool refusal_open(const struct target *t, const char *from);
/* The counts that are due; USEC_NEVER: all. */
void refusals_pump(struct target *t, uint64_t now_usec);

/* peers.c: streams to controllers. */
void peers_connected(struct target *t);
int peers_sync(struct target *t, const char *from, const struct stream_sync *m);
/* Runs of any account, to @from. What there is of them goes into *ret, in @a. */
int peers_follow(struct target *t, const char *from, const struct stream_follow *m, struct arena *a,
                 struct stream_follow *ret);
void peers_acked(struct target *t, const char *from, const struct stream_ack *m);
void peers_done(struct target *t, const char *from, const char *run);
void peers_opened(struct target *t, const struct runq_run *run, const char *stream, uint64_t size);
void peers_grew(struct target *t, const struct runq_run *run, const char *stream, uint64_t size);
/* A delivered run, to an instance of its owner that submits it again. */
void peers_offer(struct target *t, const char *from, const struct runq_run *run);
void peers_retired(struct target *t, const char *run);
/* @from NULL: all. */
void peers_drop(struct target *t, const char *from);
/* Is a controller here that gets the streams of this account's runs? */
bool peers_present(const struct target *t, const char *owner);
bool peers_pump(struct target *t, uint64_t now_usec);
uint64_t peers_deadline(const struct target *t, uint64_t now_usec);
void peers_revoke(struct target *t);

/* announce.c: presence, and who may see it. */
void announce_connected(struct target *t);
void announce_pump(struct target *t, uint64_t now_usec);
uint64_t announce_deadline(const struct target *t);
void announce_done(struct target *t);
void presence_received(struct target *t, const struct xml *stanza);

/* duty.c: what it is kept for beside its queue. */
int duty_restore(struct target *t);
void duty_done(struct target *t);
/* What is over by now ends, and what could not be written is written. */
void duty_pump(struct target *t, uint64_t now_usec);
uint64_t duty_deadline(const struct target *t);
/* The end of @run is durable. */
void duty_run_ended(struct target *t, const struct runq_run *run, enum verdict verdict);

/* leave.c: seconds that are left of the promise to be back. */
uint64_t leave_left(const struct target *t);
/* For a step of @run that waits until somebody has made the machine leave. Returns 0 or -errno. */
int leave_for(struct target *t, const struct runq_run *run);
/* Such a step is over. */
void leave_ends(struct target *t);

/* reserve.c: the lease. */
/* "reserved for ana (ctl@lab), for another 1h59m: new firmware"; only while somebody has it. */
int reserve_sentence(const struct target *t, struct buf *out);
/* For presence; only while somebody has it. */
void reserve_show(const struct target *t, struct presence_lease *ret);
/* Why somebody with another token, or none, is refused. */
void reserve_refusal(const struct target *t, struct arena *a, struct stanza_error *ret);

/* reboot_work.c: a reboot that is a step. */
/* It did not come about: the run's step ends, unless it may still come. @trouble NULL: the machine stays up. */
void work_reboot_failed(struct target *t, struct runq_run *run, const char *trouble);

/* serve_power.c: between a reboot that was granted and the machine going down. */
/* For a step of @run; the queue is asked no more. 0, or -EBUSY: it is going down already. */
int going_for(struct target *t, struct runq_run *run, bool force);
/* Stops the one for @run when it was not ordered yet. True when @run's reboot will not happen by us. */
bool going_stop(struct target *t, const struct runq_run *run);
void going_pump(struct target *t, uint64_t now_usec);
void going_closed(struct target *t);
void going_done(struct target *t);

/* trace.c */
void trace_stanza(enum link_direction direction, const char *text, size_t len);
