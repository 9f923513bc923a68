/*
 * The controller's interface on its private socket: sd-bus, peer to peer (no bus daemon).
 *
 * Served on a UNIX stream socket, by default $XDG_RUNTIME_DIR/rota/controller.sock for a user and
 * /run/rota/controller.sock for the system service; $ROTA_SOCKET or --socket names another. Who
 * connects is known by the socket's peer credentials: same user or root, or a member of the
 * socket's group. Facts are JSON documents: exactly what `--json` prints. Errors are D-Bus errors with the
 * names below; their message is the sentence for people ("what; why; what to type next" on lines).
 *
 *   interface io.rota.Controller, object /io/rota/controller
 *
 *   Targets(s selector) -> s json              array of TARGET, sorted by name; "" selects all
 *   Why(s selector) -> s json                  array of {"target","state","last_state","since_usec","evidence":[sentence…],
 *                                              "advice":sentence}
 *   Submit(s selector, s request) -> s json    REQUEST -> {"batch":id,"runs":[RUN…]}; an immediate start is not waited for
 *   Runs(s filter) -> s json                   {"limit":50,"target":name,"state":…,"batch":id} all optional -> array of
 *                                              RUN, newest first
 *   Run(s id) -> s json                        RUN with "steps"; a unique prefix of an id will do, or a target: the
 *                                              run that is on. One that others started is looked for on the targets
 *                                              and followed from byte 0
 *   RunsOn(s selector, t limit) -> s json      {"runs":[RUN…],"errors":[{"target","error"}]}: of all accounts, as far as
 *                                              the targets tell
 *   Cancel(s id) -> s json                     RUN; recorded durably, sent until the run has ended
 *   Ping(s selector, t timeout_usec) -> s json answers when all have: array of {"target","ok","rtt_usec","error"}
 *   Reboot(s selector, s options) -> s json    {"mode":"graceful|force|drain","reason":…,"wait":true,"timeout_usec":…}:
 *                                              array of {"target","ok","error","exit","simulated","boot_before",
 *                                              "boot_after","took_usec","state"}; answers when all ended
 *   Order(s selector, s options) -> s json     {"do":"reserve|take|extend|release|quarantine|free|away|back","for_usec":…,
 *                                              "reason":…}: array of {"target","ok","error","exit","left_usec"}; answers
 *                                              when all have
 *   Open(s run, s stream) -> (h fd, t next, b complete)  the stream file, read only; bytes below `next` are durable
 *   Diagnostics() -> s json                    array of {"name","title","help","params":[…],"needs":[…]}
 *   Status() -> s json                         {"jid","online","cause","text","server","retry_usec","version",
 *                                              "targets","pending":[jid…],"store","state_dir","free_bytes"}
 *   Accept(s jid) -> ()                        subscribe to a pending target
 *   Watch(b targets, b runs, b streams, b trace) -> ()   which signals this connection wants
 *
 *   signal Target(s json)                      TARGET changed
 *   signal Run(s json)                         RUN changed
 *   signal Grew(s run, s stream, t next)       more bytes in a stream
 *   signal Progress(s json)                    {"target","step":"asked|going|gone|overdue|back","elapsed_usec","text":sentence
 *                                              or null, …} of this connection's Reboot
 *   signal Trace(s direction, s text)          "in" or "out", one stanza
 *
 *   TARGET  {"name","jid","state","since_usec","location","labels":{},"boot","queue","run":{…}|null,
 *            "version","online","last_answer_usec":realtime or null,"pending_runs":n,
 *            "last_state","back_usec":realtime at which it is expected back or null,"usual_reboot_usec":n or null,
 *            "lease":{"id","token","holder","by","reason","left_usec"}|null,"lease_lost":sentence|null,
 *            "quarantine":{"by","reason"}|null,"away":{"by","reason"}|null}
 *            state: "unknown" while this controller has no connection, or has one again and has not heard of it; last_state
 *            is then what it was
 *            name: the local part of the JID (unique, what selectors match); "title" is the friendly name
 *   REQUEST {"plan":{…}} or {"diag":name,"params":{}} or {"exec":[…]}, with "name","ttl_usec","if_idle","by","id" (idempotency key of
 *            the batch), "pty","timeout_usec","silence_usec","disk_budget","over_budget"
 *   RUN     {"run","batch","target","title","state":"pending|sent|queued|running|ended","verdict","cause","step","of",
 *            "rebooting":its machine does, as a step says,"by","owner":account or null when
 *            ours,"submitted_usec","started_usec","ended_usec","exit",
 *            "note":why it waits or null,"streams":[{"name","next","size"|null}]}
 *            with steps: "steps":[{"step","attempt","title","boot","verdict","cause","limit","exit","elapsed_usec",
 *            "interrupted":"fail|continue|retry" by a reboot from outside, else absent,
 *            "streams":[{"name","size","sha256","dropped"}]}], one for each attempt
 */
#pragma once

#define API_PATH "/io/rota/controller"
#define API_INTERFACE "io.rota.Controller"

/* Exit statuses of `rota`, and which error leads to them. */
#define API_ERROR_USAGE "io.rota.Error.Usage"            /* 2 */
#define API_ERROR_INFRA "io.rota.Error.Infra"            /* 3: offline, no server, no answer */
#define API_ERROR_DENIED "io.rota.Error.NotAllowed"      /* 4 */
#define API_ERROR_NOTHING "io.rota.Error.NothingMatches" /* 5 */
#define API_ERROR_BUSY "io.rota.Error.Busy"              /* 6 */
#define API_ERROR_TIMEOUT "io.rota.Error.Timeout"        /* 7 */
#define API_ERROR_UNKNOWN "io.rota.Error.Unknown"        /* 2: no such run or diagnostic */
