"""The command as people and scripts see it: the shape of its facts, its lists, its help."""
import json
import os
import re
import shutil
import signal
import subprocess
import time

import pytest
from lab import Lab, build_dir, program, wait_for
from lines import Lines
from peer import Peer
from promises import Gate, submit

PRESENCE = "urn:rota:presence:1"

VERBS = ["ls", "why", "run", "runs", "show", "watch", "follow", "log", "results", "diff", "export", "cancel", "ping", "reboot",
         "reserve", "extend", "release", "who", "quarantine", "heal", "away", "back", "diag",
         "accept", "doctor", "trace", "help", "version"]


@pytest.fixture(scope="module")
def lab():
    """pc1, pc2, pc3 and pc12, each with labels of its own; test-only switches on none."""
    with Lab("prosody", pcs=("pc1", "pc2", "pc3", "pc12"), accounts=("indy",)) as lab:
        for n, (name, pc) in enumerate(lab.pcs.items(), 1):
            pc.config.update(location=f"Austin/Lab {n % 2}/Rack {n}",
                             labels={"ram": str(8 * n), "kind": "scratch"})
        lab.pc("pc2").config["labels"]["gpu"] = "mi300"
        lab.start()
        yield lab


def one_json(result, code=0):
    """All of stdout is one JSON value."""
    assert result.code == code, result
    return json.loads(result.out)


# ls

def test_ls_json(lab):
    rows = one_json(lab.rota("ls", "--json"))
    assert [r["name"] for r in rows] == ["pc1", "pc12", "pc2", "pc3"]
    now = time.time() * 1e6
    for n, name in enumerate(lab.pcs, 1):
        row = next(r for r in rows if r["name"] == name)
        assert row["state"] == "ready" and row["online"] is True
        assert row["jid"] == f"{name}@lab.test" and row["title"] == f"Number {name}"
        assert row["location"] == f"Austin/Lab {n % 2}/Rack {n}"
        assert row["labels"]["ram"] == str(8 * n) and row["labels"]["kind"] == "scratch"
        assert row["boot"] == lab.pc(name).boot_id()
        assert now - 600e6 < row["last_answer_usec"] <= now
        assert now - 600e6 < row["since_usec"] <= now
        assert (row["queue"], row["pending_runs"], row["run"]) == (0, 0, None)
        assert re.fullmatch(r"\d+\.\d+\.\d+", row["version"])


def test_last_answer_moves(lab):
    before = lab.ls("pc1")["pc1"]["last_answer_usec"]
    assert lab.rota("ping", "pc1").code == 0
    assert lab.ls("pc1")["pc1"]["last_answer_usec"] > before


def test_ls_of_a_busy_target(lab):
    gate = Gate(lab, "busy")
    run = submit(lab, "pc1", *gate.command(), options=["--name", "long one"])
    later = submit(lab, "pc1", "true")
    row = lab.wait_state("pc1", "busy")
    assert row["run"]["id"] == run and row["run"]["owner"] == "ctl@lab.test"
    assert (row["run"]["step"], row["run"]["of"]) == (1, 1)
    wait_for(lambda: lab.ls("pc1")["pc1"]["queue"] == 1, what="the queue is announced")
    people = lab.rota("ls", "pc1").out
    assert "busy" in people and "long one" in people
    gate.open()
    assert lab.wait_run(run)["verdict"] == lab.wait_run(later)["verdict"] == "passed"


def test_ls_watch_shows_a_change_within_a_second(lab):
    """For scripts one JSON value a line, for people the table again."""
    watchers = {"--json": Lines(lab.popen("ls", "--watch", "--json", "pc3")),
                "-q": Lines(lab.popen("ls", "--watch", "-q", "pc3"))}
    for lines in watchers.values():
        lines.until(lambda s: "ready" in s)
    gate = Gate(lab, "watch")
    for state, act in (("busy", lambda: submit(lab, "pc3", *gate.command())),
                       ("ready", gate.open)):
        began = time.monotonic()
        act()
        for option, lines in watchers.items():
            line = lines.until(lambda s: state in s)
            assert time.monotonic() - began < 1, (state, option)
            if option == "--json":
                assert json.loads(line)[0]["state"] == state
    for lines in watchers.values():
        lines.process.send_signal(signal.SIGINT)
        assert lines.process.wait(5) == 0


def test_another_controller_sees_it_within_a_second(lab):
    """An independent client with a role of its own: the presence says busy, and with which run."""
    with Peer(lab.server, "indy") as indy:
        indy.subscribe("pc2@lab.test")

        def announced(state):
            found = [s.find(f"{{{PRESENCE}}}x") for s in indy.seen if s.tag.endswith("}presence")
                     and (s.get("from") or "").startswith("pc2@")]
            return bool(found) and found[-1] is not None and found[-1].get("state") == state and \
                found[-1]
        wait_for(lambda: announced("ready"))
        gate = Gate(lab, "seen")
        began = time.monotonic()
        run = submit(lab, "pc2", *gate.command())
        busy = wait_for(lambda: announced("busy"))
        assert time.monotonic() - began < 1
        assert busy.find(f"{{{PRESENCE}}}run").get("id") == run
        assert busy.findtext(f"{{{PRESENCE}}}location") == "Austin/Lab 0/Rack 2"
        began = time.monotonic()
        gate.open()
        wait_for(lambda: announced("ready"))
        assert time.monotonic() - began < 1
        lab.wait_run(run)


# selectors

@pytest.mark.parametrize("selector, names", [
    (["pc1"], ["pc1"]),
    (["pc1@lab.test"], ["pc1"]),
    (["pc*"], ["pc1", "pc12", "pc2", "pc3"]),
    (["pc?"], ["pc1", "pc2", "pc3"]),
    (["pc[1-2]"], ["pc1", "pc2"]),
    (["pc[1,3]"], ["pc1", "pc3"]),
    (["pc[10-19]"], ["pc12"]),
    (["ready"], ["pc1", "pc12", "pc2", "pc3"]),
    (["!pc1"], ["pc12", "pc2", "pc3"]),
    (["ram>=24"], ["pc12", "pc3"]),
    (["ram<16"], ["pc1"]),
    (["ram!=8"], ["pc12", "pc2", "pc3"]),
    (["gpu"], ["pc2"]),
    (["gpu=mi*"], ["pc2"]),
    (["location=Austin/Lab 1/*"], ["pc1", "pc3"]),
    (["location=Austin/*,ram>8,pc?"], ["pc2", "pc3"]),
    (["pc1", "gpu=mi300"], ["pc1", "pc2"]),
    (["pc1", "pc*"], ["pc1", "pc12", "pc2", "pc3"]),
])
def test_selectors(lab, selector, names):
    assert sorted(lab.ls(*selector)) == names


def test_counts(lab):
    assert len(lab.ls("2:pc*")) == 2
    assert len(lab.ls("4:")) == 4
    # a count prefers who has nothing to do
    gate = Gate(lab, "count")
    run = submit(lab, "pc1", *gate.command())
    lab.wait_state("pc1", "busy")
    assert sorted(lab.ls("3:pc*")) == ["pc12", "pc2", "pc3"]
    gate.open()
    lab.wait_run(run)


# why, show, watch, log, runs

def test_why(lab):
    text = lab.rota("why", "pc1").out
    assert text.startswith("pc1 is ready\n")
    assert "presence says ready" in text and "last heard" in text
    assert lab.pc("pc1").boot_id() in text
    said = one_json(lab.rota("why", "--json", "pc*"))
    assert [w["target"] for w in said] == ["pc1", "pc12", "pc2", "pc3"]
    assert all(w["state"] == "ready" and w["evidence"] for w in said)


def test_show(lab):
    result = lab.rota("run", "pc1", "selftest", "lines=3", "--name", "three lines")
    assert result.code == 0, result
    row = one_json(lab.rota("runs", "--json", "-n", "1"))[0]
    shown = one_json(lab.rota("show", "--json", row["run"]))
    assert shown["verdict"] == "passed" and shown["state"] == "ended" and shown["exit"] == 0
    assert shown["target"] == "pc1" and shown["title"] == "three lines"
    assert shown["submitted_usec"] <= shown["started_usec"] <= shown["ended_usec"]
    step, = shown["steps"]
    assert step["verdict"] == "passed" and step["elapsed_usec"] > 0
    raw = lab.rota("log", "--raw", row["run"]).raw
    out = next(s for s in step["streams"] if s["name"] == "1.out")
    assert out["size"] == len(raw) and re.fullmatch("[0-9a-f]{64}", out["sha256"])
    people = lab.rota("show", row["run"]).out
    for word in (row["run"], "pc1", "three lines", "passed", "1.out", str(len(raw)), "took"):
        assert word in people, (word, people)
    assert lab.rota("show", row["run"][:9]).out == people


def test_failed_run_is_explained(lab):
    result = lab.rota("run", "pc1", "--", "sh", "-c", "echo on; exit 3")
    assert result.code == 1 and "exited with 3" in result.err
    row = one_json(lab.rota("runs", "--json", "-n", "1"))[0]
    assert (row["verdict"], row["exit"]) == ("failed", 3) and "exited with 3" in row["cause"]
    assert row["run"] in lab.rota("runs", "--failed").out
    assert "exited with 3" in lab.rota("show", row["run"]).out


def test_watch_and_log_of_a_running_run(lab):
    gate = Gate(lab, "log")
    run = submit(lab, "pc1", *gate.command())
    watch, follow = lab.popen("watch", run), lab.popen("log", "-f", run)
    for client in (watch, follow):
        assert client.stdout.readline().strip() == b"on"
    # without -f what is there, and no waiting
    now = lab.rota("log", run, timeout=5)
    assert now.code == 0 and now.out.strip() == "on"
    gate.open()
    for client in (watch, follow):
        out, err = client.communicate(timeout=10)
        assert out.strip() == b"off" and client.returncode == 0, (out, err)
        if client is watch:
            assert b"passed" in err and run.encode() in err
    again = lab.rota("watch", run)
    assert again.code == 0 and again.out.split() == ["on", "off"]
    assert lab.rota("watch", "--new", run).out == ""
    assert lab.rota("log", run).out.split() == ["on", "off"]
    assert lab.rota("log", run, "1.out").raw == lab.rota("log", run).raw
    events = [json.loads(line) for line in lab.rota("log", run, "events").out.splitlines()]
    assert [e["ev"] for e in events] == ["accepted", "started", "stepped", "ended"]


def test_watch_ends_as_the_run_did(lab):
    run = submit(lab, "pc1", "false")
    assert lab.rota("watch", run).code == 1
    gate = Gate(lab, "cancelled")
    run = submit(lab, "pc1", *gate.command())
    client = lab.popen("watch", run)
    assert client.stdout.readline().strip() == b"on"
    assert lab.rota("cancel", run).code == 0
    assert client.wait(10) == 8
    assert b"cancelled" in client.stderr.read()


def test_prefix_and_table_of_several(lab):
    result = lab.rota("run", "pc[1-3]", "--", "sh", "-c", "echo one; echo two")
    assert result.code == 0, result
    for name in ("pc1", "pc2", "pc3"):
        assert re.search(rf"^{name} \| one\r?$", result.out, re.M), result
        assert re.search(rf"^{name} +passed", result.err, re.M), result
    batch = one_json(lab.rota("runs", "--json", "-n", "1"))[0]["batch"]
    rows = one_json(lab.rota("runs", "--json", "--batch", batch))
    assert sorted(r["target"] for r in rows) == ["pc1", "pc2", "pc3"]
    assert lab.rota("watch", batch).code == 0


def test_worst_status_of_several_counts(lab):
    """3, 4, 2, 5, 6, 7, 8, 1, 0: a failed one and one that could not run are 3, not 1."""
    mark = lab.path / "only-one"
    take = ["sh", "-c", f"mkdir {mark} && exit 1; exit 0"]
    assert lab.rota("run", "pc[1-2]", "--", *take).code == 1
    mark.rmdir()
    lab.pc("pc3").off()
    lab.wait_state("pc3", "offline")
    result = lab.rota("run", "--if-idle", "pc[1,3]", "--", "false")
    assert result.code == 3 and "failed" in result.err and "not-run" in result.err, result
    lab.pc("pc3").on()
    lab.wait_ready("pc3")


def test_runs_filters(lab):
    ran = submit(lab, "pc3", "false")
    lab.wait_run(ran)
    rows = one_json(lab.rota("runs", "--json", "--target", "pc3"))
    assert rows and {r["target"] for r in rows} == {"pc3"} and rows[0]["run"] == ran
    assert all(a["submitted_usec"] >= b["submitted_usec"] for a, b in zip(rows, rows[1:]))
    assert len(one_json(lab.rota("runs", "--json", "-n", "2"))) == 2
    failed = one_json(lab.rota("runs", "--json", "--failed"))
    assert ran in [r["run"] for r in failed] and all(r["verdict"] != "passed" for r in failed)
    gate = Gate(lab, "filters")
    run = submit(lab, "pc3", *gate.command())
    lab.wait_run(run, "running")
    assert [r["run"] for r in one_json(lab.rota("runs", "--json", "--state", "running"))] == [run]
    gate.open()
    lab.wait_run(run)
    assert one_json(lab.rota("runs", "--json", "--state", "running")) == []
    assert "no such runs" in lab.rota("runs", "--state", "running").err


def test_diag(lab):
    catalogue = one_json(lab.rota("diag", "--json"))
    names = [d["name"] for d in catalogue]
    for name in ("inventory", "memory", "cpu", "disk", "kernel-errors", "pci", "network",
                 "selftest"):
        assert name in names
        one = one_json(lab.rota("diag", "--json", name))
        assert one in catalogue
        people = lab.rota("diag", name).out
        assert all(p["name"] in people and p["help"] in people for p in one["params"]), people
    assert all(d["title"] in lab.rota("diag").out for d in catalogue)


# --json, --help, what is generated

def test_every_json_is_one_value(lab):
    run = submit(lab, "pc1", "true")
    lab.wait_run(run)
    for args in (["ls"], ["why", "pc1"], ["runs"], ["runs", "--failed"], ["show", run],
                 ["log", run], ["watch", run], ["ping", "pc1"], ["diag"], ["diag", "cpu"],
                 ["doctor"], ["version"], ["run", "-d", "pc1", "--", "true"],
                 ["run", "pc[1-2]", "--", "true"], ["accept", "indy@lab.test"],
                 ["reboot", "--reason", "a test", "pc12"]):
        one_json(lab.rota(args[0], "--json", *args[1:]))
    gate = Gate(lab, "json")
    runs = [submit(lab, "pc1", *gate.command()) for _ in range(3)]
    cancelled = one_json(lab.rota("cancel", "--json", *runs))
    assert [r["run"] for r in cancelled] == runs
    for run in runs:
        assert lab.wait_run(run)["verdict"] == "cancelled"
    lab.wait_ready("pc12")


def test_trace_is_json_lines(lab):
    client = lab.popen("trace", "--json")
    lines = Lines(client)
    wait_for(lambda: lab.rota("ping", "pc1").code == 0 and lines.ready("urn:xmpp:ping"),
             what="a ping in the trace")
    stanza = json.loads(lines.until(lambda s: "urn:xmpp:ping" in s))
    assert stanza["direction"] in ("in", "out")
    client.send_signal(signal.SIGINT)
    assert client.wait(5) == 0


def test_help_of_every_verb(lab):
    overview = lab.rota("help")
    assert overview.code == 0
    listed = re.findall(r"^ {2,}([a-z]+) ", overview.out, re.M)
    for verb in VERBS:
        assert verb in listed, (verb, overview)
        helped = lab.rota(verb, "--help")
        assert helped.code == 0 and helped.err == "", helped
        assert helped.out.startswith(f"usage: rota {verb}"), helped
        assert "--json" in helped.out and helped.out == lab.rota("help", verb).out
        assert max(len(line) for line in helped.out.splitlines()) <= 120, helped
    assert set(listed) >= set(VERBS)
    assert lab.rota("--help").out == overview.out
    nothing = lab.rota()
    assert nothing.code == 2 and nothing.out == overview.out


def verbs_and_options(lab):
    for verb in VERBS:
        for option in re.findall(r"--([a-z-]+)", lab.rota(verb, "--help").out):
            yield verb, option


def test_manual_pages(lab):
    """Built with the rest, accepted by man, and every verb and option is in them."""
    if not shutil.which("man"):
        pytest.skip("man is not installed")
    page = build_dir() / "deploy/man/rota.1"
    assert page.read_text() == lab.rota("help", "--man").out
    for name in ("rota.1", "rota-target.8", "rota-controller.8"):
        done = subprocess.run(["man", "--warnings", "-l", build_dir() / "deploy/man" / name],
                              env=dict(os.environ, MANWIDTH="100", MAN_KEEP_FORMATTING=""),
                              capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        if name == "rota.1":
            for verb in VERBS:
                assert re.search(rf"\brota {verb}\b", done.stdout), verb
            for verb, option in verbs_and_options(lab):
                assert f"--{option}" in done.stdout, (verb, option)
        else:
            told = subprocess.run([program(name[:-2]), "--help"], capture_output=True, text=True,
                                  check=True).stdout
            for option in re.findall(r"^ +--([a-z-]+)", told, re.M):
                assert f"--{option}" in done.stdout, (name, option)


def complete(env, *words):
    """What bash offers after these words, the last of which is being typed."""
    script = build_dir() / "deploy/completion/bash/rota"
    code = f"""
        source {script}
        COMP_WORDS=({' '.join(f"'{w}'" for w in words)}); COMP_CWORD={len(words) - 1}
        COMP_LINE='{' '.join(words)}'; COMP_POINT=${{#COMP_LINE}}
        spec=$(complete -p rota); f=${{spec##*-F }}; f=${{f%% *}}
        $f rota '{words[-1]}' '{words[-2]}'
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(["bash", "--norc", "-c", code], env=env, capture_output=True, text=True,
                          timeout=20, check=False)
    assert done.stderr == "", done.stderr
    return [w.strip() for w in done.stdout.split("\n") if w.strip()]


def test_completion(lab):
    for shell, name in (("bash", "rota"), ("zsh", "_rota"), ("fish", "rota.fish")):
        text = (build_dir() / "deploy/completion" / shell / name).read_text()
        assert text == lab.rota("help", "--completion", shell).out
        for verb in VERBS:
            assert re.search(rf"\b{verb}\b", text), (shell, verb)
        if shutil.which(shell):
            subprocess.run([shell, "-n", build_dir() / "deploy/completion" / shell / name],
                           check=True)
    env = lab.environment()
    assert {w for w in complete(env, "rota", "") if w[0] != "-"} == set(VERBS)
    assert complete(env, "rota", "do") == ["doctor"]
    assert complete(env, "rota", "reboot", "--dr") == ["--drain"]
    assert sorted(complete(env, "rota", "ls", "pc1")) == ["pc1", "pc12"]
    assert complete(env, "rota", "run", "pc1", "memo") == ["memory"]
    run = submit(lab, "pc1", "true")
    assert complete(env, "rota", "show", run[:8]) == [run]
    lab.wait_run(run)


# the controller of a user

def test_users_controller_is_started(lab):
    """No controller runs: the first `rota` starts it, further ones use it, and it outlives them."""
    ctl = lab.path / "user"
    for folder in ("config/rota", "run"):
        (ctl / folder).mkdir(parents=True)
    (ctl / "run").chmod(0o700)
    config = dict(lab.controller().config, jid="indy@lab.test", password_file="password")
    del config["socket"], config["state_dir"]
    (ctl / "config/rota/controller.json").write_text(json.dumps(config))
    password = ctl / "config/rota/password"
    password.write_text("pw-indy\n")
    password.chmod(0o600)
    env = lab.environment()
    env.pop("ROTA_SOCKET")
    env.update(XDG_CONFIG_HOME=str(ctl / "config"), XDG_STATE_HOME=str(ctl / "state"),
               XDG_RUNTIME_DIR=str(ctl / "run"))

    def rota(*args):
        return subprocess.run([program("rota"), *args], env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=20, check=False)

    def controllers():
        found = []
        for proc in filter(str.isdigit, os.listdir("/proc")):
            try:
                args = open(f"/proc/{proc}/cmdline", "rb").read().split(b"\0")
            except OSError:
                continue
            if args[0].endswith(b"rota-controller") and str(ctl).encode() in b" ".join(args):
                found.append(int(proc))
        return found
    try:
        began = time.monotonic()
        first = [subprocess.Popen([program("rota"), "doctor", "--json"], env=env, text=True,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE) for _ in range(4)]
        answers = [p.communicate(timeout=20) for p in first]
        assert [p.returncode for p in first] == [0] * 4, answers
        assert time.monotonic() - began < 10
        assert {json.loads(out)["jid"] for out, _ in answers} == {"indy@lab.test"}
        pid, = controllers()
        assert os.getsid(pid) == pid, "it has a session of its own: Ctrl-C does not reach it"
        assert rota("ls").returncode == 0 and controllers() == [pid]
        assert (ctl / "run/rota/controller.sock").is_socket()
        assert (ctl / "run/rota/controller.sock").stat().st_mode & 0o007 == 0
        assert (ctl / "state/rota/controller.log").read_text() != ""
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not controllers())
        # a socket that nobody listens on is in nobody's way
        assert rota("doctor", "--json").returncode == 0
        assert controllers() not in ([], [pid])
    finally:
        for pid in controllers():
            os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not controllers())
