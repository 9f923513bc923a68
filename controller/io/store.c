#include "controller/io/store.h"

#include "proto/base/clock.h"
#include "proto/json.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAL_FRAMES 1000 /* then they go into the database */
#define STORE_VERSION 4

/* One row of the table of statements: prepared once, on first use. */
enum statement {
        ST_BEGIN,
        ST_COMMIT,
        ST_ROLLBACK,
        ST_GET_META,
        ST_PUT_META,
        ST_PUT_TARGET,
        ST_ALL_TARGETS,
        ST_PUT_BATCH,
        ST_PUT_RUN,
        ST_PUT_STREAM,
        ST_LIVE_RUNS,
        ST_ONE_RUN,
        ST_STREAMS,
        ST_PREFIX,
        ST_FIND,
        ST_FIND_BATCH,
        ST_UNTOLD,
        ST_TOLD,
        ST_COUNT,
        N_STATEMENTS,
};

#define RUN_COLUMNS                                                                                \
        "id, batch, target, title, plan, by, ttl, if_idle, submitted, steps, state, step, of_, "   \
        "verdict, cause, accepted, started, ended, exit, sent, cancel_by, local, done, problem, "  \
        "refusal, lease, heal, owner"

static const char *const sql[N_STATEMENTS] = {
        [ST_BEGIN] = "BEGIN IMMEDIATE",
        [ST_COMMIT] = "COMMIT",
        [ST_ROLLBACK] = "ROLLBACK",
        [ST_GET_META] = "SELECT value FROM meta WHERE key = ?1",
        [ST_PUT_META] = "INSERT INTO meta (key, value) VALUES (?1, ?2)",
        [ST_PUT_TARGET] = "INSERT OR REPLACE INTO targets (jid, kind, state, announced, since, "
                          "last_answer, boot, version, title, location, labels, leave, left_at, "
                          "back_at, took) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, "
                          "?12, ?13, ?14, ?15)",
        [ST_ALL_TARGETS] = "SELECT jid, kind, state, announced, since, last_answer, boot, version, "
                           "title, location, labels, leave, left_at, back_at, took FROM targets "
                           "ORDER BY jid",
        [ST_PUT_BATCH] = "INSERT OR IGNORE INTO batches (id, by, submitted) VALUES (?1, ?2, ?3)",
        [ST_PUT_RUN] =
                "INSERT INTO runs (" RUN_COLUMNS
                ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, "
                "?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, "
                "?27, ?28) "
                "ON CONFLICT (id) DO UPDATE SET title = excluded.title, by = excluded.by, "
                "submitted = excluded.submitted, steps = excluded.steps, state = excluded.state, "
                "step = excluded.step, of_ = excluded.of_, verdict = excluded.verdict, "
                "cause = excluded.cause, accepted = excluded.accepted, started = excluded.started, "
                "ended = excluded.ended, exit = excluded.exit, sent = excluded.sent, "
                "cancel_by = excluded.cancel_by, local = excluded.local, done = excluded.done, "
                "told = told AND excluded.done, problem = excluded.problem, "
                "refusal = excluded.refusal",
        [ST_PUT_STREAM] = "INSERT INTO streams (run, name, next, size, sha256, verified) "
                          "VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
                          "ON CONFLICT (run, name) DO UPDATE SET next = excluded.next, "
                          "size = excluded.size, sha256 = excluded.sha256, "
                          "verified = excluded.verified",
        [ST_LIVE_RUNS] = "SELECT " RUN_COLUMNS " FROM runs WHERE done = 0 ORDER BY seq",
        [ST_ONE_RUN] = "SELECT " RUN_COLUMNS " FROM runs WHERE id = ?1",
        [ST_STREAMS] = "SELECT name, next, size, sha256, verified FROM streams WHERE run = ?1 "
                       "ORDER BY rowid",
        [ST_PREFIX] = "SELECT id FROM runs WHERE id >= ?1 AND id < ?1 || '~' LIMIT 2",
        [ST_FIND] = "SELECT id FROM runs WHERE (?1 IS NULL OR target = ?1) AND "
                    "(?2 IS NULL OR CASE state WHEN 0 THEN CASE sent WHEN 0 THEN 'pending' ELSE "
                    "'sent' END WHEN 1 THEN 'queued' WHEN 2 THEN 'running' ELSE 'ended' END = ?2) "
                    "ORDER BY seq DESC LIMIT ?3",
        [ST_FIND_BATCH] = "SELECT id FROM runs WHERE batch = ?1 AND (?2 IS NULL OR target = ?2) "
                          "ORDER BY seq LIMIT ?3",
        [ST_UNTOLD] = "SELECT id FROM runs WHERE target = ?1 AND done = 1 AND told = 0 AND "
                      "local = 0 ORDER BY seq DESC LIMIT ?2",
        [ST_TOLD] = "UPDATE runs SET told = 1 WHERE id = ?1 AND done = 1",
        [ST_COUNT] = "SELECT count(*) FROM runs",
};

static const char schema[] =
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE targets (jid TEXT PRIMARY KEY, kind INTEGER NOT NULL, state INTEGER NOT NULL,"
        " announced INTEGER NOT NULL, since INTEGER NOT NULL, last_answer INTEGER NOT NULL,"
        " boot TEXT, version TEXT, title TEXT, location TEXT, labels TEXT) WITHOUT ROWID;"
        "CREATE TABLE batches (id TEXT PRIMARY KEY, by TEXT, submitted INTEGER NOT NULL) WITHOUT "
        "ROWID;"
        "CREATE TABLE runs (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,"
        " batch TEXT NOT NULL, target TEXT NOT NULL, title TEXT, plan TEXT, by TEXT,"
        " ttl INTEGER NOT NULL, if_idle INTEGER NOT NULL, submitted INTEGER NOT NULL,"
        " steps INTEGER NOT NULL, state INTEGER NOT NULL, step INTEGER NOT NULL,"
        " of_ INTEGER NOT NULL, verdict INTEGER NOT NULL, cause TEXT, accepted INTEGER NOT NULL,"
        " started INTEGER NOT NULL, ended INTEGER NOT NULL, exit INTEGER NOT NULL,"
        " sent INTEGER NOT NULL, cancel_by TEXT, local INTEGER NOT NULL, done INTEGER NOT NULL,"
        " told INTEGER NOT NULL DEFAULT 0, problem TEXT, refusal TEXT);"
        "CREATE INDEX runs_target ON runs (target, seq);"
        "CREATE INDEX runs_batch ON runs (batch) WHERE batch <> '';"
        "CREATE INDEX runs_live ON runs (done) WHERE done = 0;"
        "CREATE INDEX runs_untold ON runs (target) WHERE done = 1 AND told = 0;"
        "CREATE TABLE streams (run TEXT NOT NULL, name TEXT NOT NULL, next INTEGER NOT NULL,"
        " size INTEGER, sha256 TEXT, verified INTEGER NOT NULL, UNIQUE (run, name));";

/* changes[N] makes a store of version N one of version N + 1; `schema` is that of version 1. */
static const char *const changes[STORE_VERSION] = {
        "",
        "ALTER TABLE runs ADD COLUMN lease INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE runs ADD COLUMN heal INTEGER NOT NULL DEFAULT 0;",
        "ALTER TABLE runs ADD COLUMN owner TEXT;",
        /* what it left for, since when, until when; and how long its last reboots took, in microseconds */
        "ALTER TABLE targets ADD COLUMN leave INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE targets ADD COLUMN left_at INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE targets ADD COLUMN back_at INTEGER NOT NULL DEFAULT 0;"
        "ALTER TABLE targets ADD COLUMN took TEXT;",
};

struct store {
        sqlite3 *db;
        int frames; /* in the WAL */
        bool sick;  /* a sync has failed: see heal() */
        sqlite3_stmt *statements[N_STATEMENTS];
};

static int translate(int code) {
        switch (code & 0xff) {
        case SQLITE_OK:
        case SQLITE_ROW:
        case SQLITE_DONE:
                return 0;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_FULL:
                return -ENOSPC;
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
                return -EBUSY;
        case SQLITE_READONLY:
                return -EROFS;
        case SQLITE_PERM:
        case SQLITE_AUTH:
                return -EACCES;
        case SQLITE_CANTOPEN:
                return -ENOENT;
        case SQLITE_CORRUPT:
        case SQLITE_NOTADB:
                return -EUCLEAN;
        default:
                return -EIO;
        }
}

static int get(struct store *s, enum statement which, sqlite3_stmt **ret) {
        if (!s->statements[which]) {
                int r = translate(sqlite3_prepare_v3(s->db, sql[which], -1,
                                                     SQLITE_PREPARE_PERSISTENT,
                                                     &s->statements[which], NULL));

                if (r < 0)
                        return r;
        }
        *ret = s->statements[which];
        return 0;
}

/* Ends a use of a statement; its own failure, if any, is what the last step said. */
static void rest_cleanup(sqlite3_stmt **at) {
        if (*at) {
                sqlite3_reset(*at);
                sqlite3_clear_bindings(*at);
        }
}
#define STATEMENT __attribute__((cleanup(rest_cleanup))) sqlite3_stmt *

static void bind_text(sqlite3_stmt *st, int i, const char *text) {
        if (text)
                sqlite3_bind_text(st, i, text, -1, SQLITE_STATIC);
        else
                sqlite3_bind_null(st, i);
}

static void bind_u64(sqlite3_stmt *st, int i, uint64_t value) {
        sqlite3_bind_int64(st, i, (sqlite3_int64)value);
}

static const char *column_text(sqlite3_stmt *st, int i) {
        return (const char *)sqlite3_column_text(st, i);
}

static uint64_t column_u64(sqlite3_stmt *st, int i) {
        return (uint64_t)sqlite3_column_int64(st, i);
}

/* Runs a statement that returns no rows. */
static int step_done(sqlite3_stmt *st) {
        return translate(sqlite3_step(st));
}

static int plain(struct store *s, enum statement which) {
        STATEMENT st = NULL;
        int r = get(s, which, &st);

        return r < 0 ? r : step_done(st);
}

/* What was committed goes from the WAL into the database. Returns 0 or -errno; -EBUSY: not all of it, somebody reads. */
static int checkpoint(struct store *s) {
        sqlite3_file *file = NULL;
        sqlite3_int64 size = 0;
        int frames = 0, moved = 0;
        int r = translate(
                sqlite3_file_control(s->db, NULL, SQLITE_FCNTL_FILE_POINTER, (void *)&file));

        if (r == 0)
                r = translate(file->pMethods->xFileSize(file, &size));
        if (r < 0)
                return r;
        r = translate(
                sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved));
        if (r < 0 && r != -EBUSY) {
                /* what was added may be given up, see heal(); SQLite counts none of it as moved */
                file->pMethods->xTruncate(file, size);
                s->sick = true;
        }
        return r == 0 && moved < frames ? -EBUSY : r;
}

/*
 * After a sync that failed the file system may have given up blocks of the WAL for good: ext4 takes what is written there
 * again, and every sync of it, without an error, and after a power cut there are zeros. So all that was committed is
 * moved to the database, and the WAL begins anew on other blocks.
 */
static int heal(struct store *s) {
        int r = checkpoint(s);

        if (r == 0)
                r = translate(sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE,
                                                        NULL, NULL));
        if (r == 0)
                s->sick = false;
        return r;
}

static int on_wal(void *userdata, sqlite3 *db, const char *name, int n_frames) {
        struct store *s = userdata;

        (void)db;
        (void)name;
        s->frames = n_frames;
        return SQLITE_OK;
}

int store_begin(struct store *s) {
        int r = 0;

        if (s->sick)
                r = heal(s);
        else if (s->frames >= WAL_FRAMES)
                r = checkpoint(s);
        return r < 0 && (s->sick || r != -EBUSY) ? r : plain(s, ST_BEGIN);
}

int store_commit(struct store *s) {
        int r = plain(s, ST_COMMIT);

        if (r < 0) {
                s->sick = true;
                store_rollback(s);
        }
        return r;
}

void store_rollback(struct store *s) {
        /* SQLite has rolled back by itself after some failures */
        if (!sqlite3_get_autocommit(s->db))
                plain(s, ST_ROLLBACK);
}

/* ---- opening ---- */

static int version_of(sqlite3 *db, int *ret) {
        sqlite3_stmt *st = NULL;
        int code = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &st, NULL);

        if (code == SQLITE_OK)
                code = sqlite3_step(st);
        if (code == SQLITE_ROW)
                *ret = sqlite3_column_int(st, 0);
        sqlite3_finalize(st);
        return translate(code);
}

static int prepare_schema(sqlite3 *db, char **ret_error) {
        int version = 0, r;
        char text[64];

        r = version_of(db, &version);
        if (r < 0)
                return r;
        if (version > STORE_VERSION) {
                if (asprintf(ret_error,
                             "it was written by a later version of rota (schema %d, this one knows "
                             "%d); "
                             "install that version again",
                             version, STORE_VERSION) < 0)
                        *ret_error = NULL;
                return -EPROTONOSUPPORT;
        }
        if (version == STORE_VERSION)
                return 0;
        r = translate(sqlite3_exec(db, "BEGIN EXCLUSIVE", NULL, NULL, NULL));
        if (r == 0 && version == 0)
                r = translate(sqlite3_exec(db, schema, NULL, NULL, NULL));
        for (int i = version; r == 0 && i < STORE_VERSION; i++)
                r = translate(sqlite3_exec(db, changes[i], NULL, NULL, NULL));
        snprintf(text, sizeof(text), "PRAGMA user_version = %d", STORE_VERSION);
        if (r == 0)
                r = translate(sqlite3_exec(db, text, NULL, NULL, NULL));
        if (r == 0)
                r = translate(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL));
        return r;
}

static bool keeps_wal(sqlite3 *db) {
        sqlite3_stmt *st = NULL;
        bool yes = sqlite3_prepare_v2(db, "PRAGMA journal_mode", -1, &st, NULL) == SQLITE_OK &&
                   sqlite3_step(st) == SQLITE_ROW && sqlite3_column_text(st, 0) &&
                   strcmp((const char *)sqlite3_column_text(st, 0), "wal") == 0;

        sqlite3_finalize(st);
        return yes;
}

/*
 * SQLite goes on without a word when it can open its files for reading only, or when it cannot have a WAL; and what a
 * controller that was killed had committed without syncing it counts as committed. One commit now settles all of it.
 */
static int settle(sqlite3 *db, char **ret_error) {
        char text[64];
        int r;

        if (!keeps_wal(db)) {
                *ret_error = strdup("SQLite cannot keep a write-ahead log there");
                return -EIO;
        }
        snprintf(text, sizeof(text), "PRAGMA user_version = %d", STORE_VERSION);
        r = translate(sqlite3_exec(db, text, NULL, NULL, NULL));
        /* with a full disk one may still look, and whoever writes next is told */
        return r == -ENOSPC ? 0 : r;
}

int store_open(struct store **ret, const char *path, char **ret_error) {
        CLEANUP(store_free) struct store *s = calloc(1, sizeof(*s));
        char *why = NULL;
        int r;

        if (!s)
                return -ENOMEM;
        r = translate(sqlite3_open_v2(path, &s->db,
                                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                                              SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                                      NULL));
        if (r == 0) {
                sqlite3_busy_timeout(s->db, 2000);
                sqlite3_wal_hook(s->db, on_wal, s); /* instead of SQLite's own checkpoints */
                r = translate(sqlite3_exec(s->db,
                                           "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                                           "PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY;"
                                           "PRAGMA cache_size = -2000",
                                           NULL, NULL, NULL));
        }
        if (r == 0)
                r = prepare_schema(s->db, &why);
        if (r == 0)
                r = settle(s->db, &why);
        /* After a sync that failed, what a predecessor had committed may be readable and yet not on the disk, and the
         * kernel takes it for clean: all of it is written again. Where there is no space it stays as good as it was. */
        if (r == 0)
                (void)heal(s);
        if (r < 0) {
                if (!why && s->db && asprintf(&why, "%s", sqlite3_errmsg(s->db)) < 0)
                        why = NULL;
                if (ret_error)
                        *ret_error = TAKE(why);
                free(why);
                return r;
        }
        *ret = TAKE(s);
        return 0;
}

struct store *store_free(struct store *s) {
        if (!s)
                return NULL;
        for (size_t i = 0; i < N_STATEMENTS; i++)
                sqlite3_finalize(s->statements[i]);
        sqlite3_close(s->db);
        free(s);
        return NULL;
}

int store_instance(struct store *s, char ret[static ID_SIZE]) {
        STATEMENT st = NULL;
        STATEMENT put = NULL;
        int r = get(s, ST_GET_META, &st), code;

        if (r < 0)
                return r;
        bind_text(st, 1, "instance");
        code = sqlite3_step(st);
        if (code == SQLITE_ROW) {
                snprintf(ret, ID_SIZE, "%s", column_text(st, 0));
                return 0;
        }
        if (code != SQLITE_DONE)
                return translate(code);
        r = id_new(ret);
        if (r < 0)
                return r;
        r = get(s, ST_PUT_META, &put);
        if (r < 0)
                return r;
        bind_text(put, 1, "instance");
        bind_text(put, 2, ret);
        return step_done(put);
}

/* ---- targets ---- */

int store_put_target(struct store *s, const struct target *t) {
        CLEANUP(buf_done) struct buf labels = {0}, took = {0};
        struct json_writer w;
        STATEMENT st = NULL;
        int r = get(s, ST_PUT_TARGET, &st);

        if (r < 0)
                return r;
        json_writer_init(&w, &labels);
        json_begin_object(&w, NULL);
        for (size_t i = 0; i < t->facts.n_labels; i++)
                json_put_str(&w, t->facts.labels[i].name, t->facts.labels[i].value);
        json_end_object(&w);
        if (buf_check(&labels) < 0)
                return -ENOMEM;
        bind_text(st, 1, t->jid);
        sqlite3_bind_int(st, 2, (int)t->kind);
        sqlite3_bind_int(st, 3, (int)t->avail.state);
        sqlite3_bind_int(st, 4, (int)t->facts.state);
        bind_u64(st, 5, t->avail.since_usec);
        bind_u64(st, 6, t->avail.last_answer_usec);
        bind_text(st, 7, t->facts.boot);
        bind_text(st, 8, t->facts.version);
        bind_text(st, 9, t->facts.title);
        bind_text(st, 10, t->facts.location);
        bind_text(st, 11, buf_text(&labels));
        sqlite3_bind_int(st, 12, (int)t->avail.leave);
        bind_u64(st, 13, t->avail.left_realtime_usec);
        bind_u64(st, 14, t->avail.back_realtime_usec);
        for (size_t i = 0; i < t->avail.n_took; i++)
                buf_printf(&took, "%s%llu", i > 0 ? " " : "", (unsigned long long)t->avail.took[i]);
        if (buf_check(&took) < 0)
                return -ENOMEM;
        bind_text(st, 15, took.len > 0 ? took.data : NULL);
        return step_done(st);
}

/* "40123456 39800000", as it was put. */
static void load_took(const char *text, struct avail *a) {
        char *end;

        while (text && *text >= '0' && *text <= '9') {
                avail_took(a, strtoull(text, &end, 10));
                text = *end == ' ' ? end + 1 : NULL;
        }
}

/* A number beyond what this version knows is the last of it: offline, staying. */
static void load_past(sqlite3_stmt *st, struct avail_past *ret) {
        int state = sqlite3_column_int(st, 2), leave = sqlite3_column_int(st, 11);

        *ret = (struct avail_past){
                .state = state >= 0 && state <= AVAIL_OVERDUE ? (enum avail_state)state
                                                              : AVAIL_OFFLINE,
                .since_usec = column_u64(st, 4),
                .last_answer_usec = column_u64(st, 5),
                .leave =
                        leave >= 0 && leave <= AVAIL_LEAVES ? (enum avail_leave)leave : AVAIL_STAYS,
                .left_usec = column_u64(st, 12),
                .back_usec = column_u64(st, 13),
        };
}

static int load_target(sqlite3_stmt *st, struct fleet *f) {
        CLEANUP(json_free) struct json_doc *doc = NULL;
        struct fleet_label labels[FLEET_LABELS_MAX];
        const char *text = column_text(st, 10);
        int announced = sqlite3_column_int(st, 3);
        struct avail_past past;
        struct fleet_facts facts = {
                .boot = column_text(st, 6),
                .version = column_text(st, 7),
                .title = column_text(st, 8),
                .location = column_text(st, 9),
                .labels = labels,
        };
        struct target *t;
        int r = fleet_add(f, column_text(st, 0), &t);

        if (r != 0)
                return r < 0 ? r : 0;
        if (text && json_parse(&doc, "labels", text, strlen(text)) == 0) {
                struct json_at root = json_root(doc), item;
                size_t n = json_length(&root);

                for (size_t i = 0; i < n && facts.n_labels < FLEET_LABELS_MAX; i++) {
                        struct fleet_label *l = &labels[facts.n_labels];

                        if (json_item(&root, i, &item) == 0 && json_str(&item, &l->value) == 0) {
                                l->name = item.key;
                                facts.n_labels++;
                        }
                }
        }
        t->kind = (enum fleet_kind)sqlite3_column_int(st, 1);
        facts.state = announced >= 0 && announced <= AVAIL_AWAY ? (enum avail_state)announced
                                                                : AVAIL_READY;
        load_past(st, &past);
        load_took(column_text(st, 14), &t->avail);
        return fleet_remember(t, &facts, &past, clock_realtime_usec(), clock_monotonic_usec());
}

int store_load_fleet(struct store *s, struct fleet *f) {
        STATEMENT st = NULL;
        int r = get(s, ST_ALL_TARGETS, &st), code;

        if (r < 0)
                return r;
        while ((code = sqlite3_step(st)) == SQLITE_ROW) {
                r = load_target(st, f);
                if (r < 0)
                        return r;
        }
        return translate(code);
}

/* ---- runs ---- */

int store_put_batch(struct store *s, const char *id, const char *by, uint64_t submitted_usec) {
        STATEMENT st = NULL;
        int r = get(s, ST_PUT_BATCH, &st);

        if (r < 0)
                return r;
        bind_text(st, 1, id);
        bind_text(st, 2, by);
        bind_u64(st, 3, submitted_usec);
        r = step_done(st);
        if (r < 0)
                return r;
        return sqlite3_changes(s->db) == 0 ? STORE_EXISTS : 0;
}

int store_put_run(struct store *s, const struct run *r) {
        STATEMENT st = NULL;
        int q = get(s, ST_PUT_RUN, &st);

        if (q < 0)
                return q;
        bind_text(st, 1, r->id);
        bind_text(st, 2, r->batch);
        bind_text(st, 3, r->target);
        bind_text(st, 4, r->title);
        bind_text(st, 5, r->plan);
        bind_text(st, 6, r->by);
        bind_u64(st, 7, r->ttl_usec);
        sqlite3_bind_int(st, 8, r->if_idle);
        bind_u64(st, 9, r->submitted_usec);
        bind_u64(st, 10, r->steps);
        sqlite3_bind_int(st, 11, (int)r->fold.state);
        bind_u64(st, 12, r->fold.step);
        bind_u64(st, 13, r->fold.of);
        sqlite3_bind_int(st, 14, (int)r->fold.verdict);
        bind_text(st, 15, r->cause);
        bind_u64(st, 16, r->fold.accepted_usec);
        bind_u64(st, 17, r->fold.started_usec);
        bind_u64(st, 18, r->fold.ended_usec);
        sqlite3_bind_int(st, 19, r->fold.exit_status);
        sqlite3_bind_int(st, 20, r->sent);
        bind_text(st, 21, r->cancel_by);
        sqlite3_bind_int(st, 22, r->local);
        sqlite3_bind_int(st, 23, r->done);
        bind_text(st, 24, r->problem);
        bind_text(st, 25, r->refusal);
        bind_u64(st, 26, r->lease);
        sqlite3_bind_int(st, 27, r->heal);
        bind_text(st, 28, r->owner);
        return step_done(st);
}

int store_put_stream(struct store *s, const char *run, const struct run_stream *st_) {
        STATEMENT st = NULL;
        int r = get(s, ST_PUT_STREAM, &st);

        if (r < 0)
                return r;
        bind_text(st, 1, run);
        bind_text(st, 2, st_->name);
        bind_u64(st, 3, st_->next);
        if (st_->size != JOBS_SIZE_UNKNOWN)
                bind_u64(st, 4, st_->size);
        bind_text(st, 5, st_->sha256);
        sqlite3_bind_int(st, 6, st_->verified);
        return step_done(st);
}

static int fill_run(sqlite3_stmt *st, struct run *r) {
        struct {
                char **at;
                int column;
        } texts[] = {
                {&r->title,     3 },
                {&r->plan,      4 },
                {&r->by,        5 },
                {&r->cause,     14},
                {&r->cancel_by, 20},
                {&r->problem,   23},
                {&r->refusal,   24},
                {&r->owner,     27},
        };

        for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
                if (run_set(texts[i].at, column_text(st, texts[i].column)) < 0)
                        return -ENOMEM;
        snprintf(r->batch, sizeof(r->batch), "%s", column_text(st, 1));
        r->ttl_usec = column_u64(st, 6);
        r->if_idle = sqlite3_column_int(st, 7);
        r->submitted_usec = column_u64(st, 8);
        r->steps = (unsigned)sqlite3_column_int(st, 9);
        r->fold.state = (enum run_state)sqlite3_column_int(st, 10);
        r->fold.step = (unsigned)sqlite3_column_int(st, 11);
        r->fold.of = (unsigned)sqlite3_column_int(st, 12);
        r->fold.verdict = (enum verdict)sqlite3_column_int(st, 13);
        r->fold.accepted_usec = column_u64(st, 15);
        r->fold.started_usec = column_u64(st, 16);
        r->fold.ended_usec = column_u64(st, 17);
        r->fold.exit_status = sqlite3_column_int(st, 18);
        r->sent = sqlite3_column_int(st, 19);
        r->local = sqlite3_column_int(st, 21);
        r->done = sqlite3_column_int(st, 22);
        r->lease = column_u64(st, 25);
        r->heal = sqlite3_column_int(st, 26);
        r->dirty = r->changed = false;
        return 0;
}

static int load_streams(struct store *s, struct run *r) {
        STATEMENT st = NULL;
        int q = get(s, ST_STREAMS, &st), code;

        if (q < 0)
                return q;
        bind_text(st, 1, r->id);
        while ((code = sqlite3_step(st)) == SQLITE_ROW) {
                const char *sha = column_text(st, 3);
                struct run_stream *x;

                q = run_stream_add(r, column_text(st, 0), &x);
                if (q < 0)
                        return q;
                if (q > 0)
                        continue;
                x->next = x->in.next = column_u64(st, 1);
                if (sqlite3_column_type(st, 2) != SQLITE_NULL)
                        x->size = column_u64(st, 2);
                snprintf(x->sha256, sizeof(x->sha256), "%s", sha ? sha : "");
                x->verified = sqlite3_column_int(st, 4);
                x->dirty = false;
        }
        r->changed = false;
        return translate(code);
}

int store_load_jobs(struct store *s, struct jobs *j) {
        STATEMENT st = NULL;
        int r = get(s, ST_LIVE_RUNS, &st), code;

        if (r < 0)
                return r;
        while ((code = sqlite3_step(st)) == SQLITE_ROW) {
                struct run *run;

                r = jobs_add(j, column_text(st, 0), column_text(st, 2), &run);
                if (r > 0)
                        continue;
                if (r == 0)
                        r = fill_run(st, run);
                if (r == 0)
                        r = load_streams(s, run);
                if (r < 0)
                        return r;
        }
        return translate(code);
}

int store_load_run(struct store *s, const char *id, struct run **ret) {
        CLEANUP(run_free) struct run *run = NULL;
        STATEMENT st = NULL;
        int r = get(s, ST_ONE_RUN, &st), code;

        if (r < 0)
                return r;
        bind_text(st, 1, id);
        code = sqlite3_step(st);
        if (code == SQLITE_DONE)
                return STORE_NONE;
        if (code != SQLITE_ROW)
                return translate(code);
        r = run_new(column_text(st, 0), column_text(st, 2), &run);
        if (r == 0)
                r = fill_run(st, run);
        if (r == 0)
                r = load_streams(s, run);
        if (r < 0)
                return r;
        *ret = TAKE(run);
        return 0;
}

int store_find_run(struct store *s, const char *prefix, char ret[static ID_MAX + 1]) {
        STATEMENT st = NULL;
        char found[ID_MAX + 1];
        int r = get(s, ST_PREFIX, &st), code;

        if (r < 0)
                return r;
        bind_text(st, 1, prefix);
        code = sqlite3_step(st);
        if (code == SQLITE_DONE)
                return STORE_NONE;
        if (code != SQLITE_ROW)
                return translate(code);
        snprintf(found, sizeof(found), "%s", column_text(st, 0));
        code = sqlite3_step(st);
        /* a whole id is no ambiguity, even when it begins another one */
        if (code == SQLITE_ROW && strcmp(found, prefix) != 0)
                return STORE_AMBIGUOUS;
        if (code != SQLITE_ROW && code != SQLITE_DONE)
                return translate(code);
        memcpy(ret, found, sizeof(found));
        return 0;
}

static int each_id(sqlite3_stmt *st, int (*each)(void *userdata, const char *id), void *userdata) {
        int code;

        while ((code = sqlite3_step(st)) == SQLITE_ROW) {
                int r = each(userdata, column_text(st, 0));

                if (r != 0)
                        return r;
        }
        return translate(code);
}

int store_find_runs(struct store *s, const struct store_filter *f,
                    int (*each)(void *userdata, const char *id), void *userdata) {
        STATEMENT st = NULL;
        int r = get(s, f->batch ? ST_FIND_BATCH : ST_FIND, &st);

        if (r < 0)
                return r;
        if (f->batch) {
                bind_text(st, 1, f->batch);
                bind_text(st, 2, f->target);
        } else {
                bind_text(st, 1, f->target);
                bind_text(st, 2, f->state);
        }
        bind_u64(st, 3, f->limit);
        return each_id(st, each, userdata);
}

int store_untold(struct store *s, const char *target, uint64_t limit,
                 int (*each)(void *userdata, const char *id), void *userdata) {
        STATEMENT st = NULL;
        int r = get(s, ST_UNTOLD, &st);

        if (r < 0)
                return r;
        bind_text(st, 1, target);
        bind_u64(st, 2, limit);
        return each_id(st, each, userdata);
}

int store_put_told(struct store *s, const char *id) {
        STATEMENT st = NULL;
        int r = get(s, ST_TOLD, &st);

        if (r < 0)
                return r;
        bind_text(st, 1, id);
        return step_done(st);
}

int store_count_runs(struct store *s, uint64_t *ret) {
        STATEMENT st = NULL;
        int r = get(s, ST_COUNT, &st), code;

        if (r < 0)
                return r;
        code = sqlite3_step(st);
        if (code == SQLITE_ROW)
                *ret = column_u64(st, 0);
        return translate(code);
}
