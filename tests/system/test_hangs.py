"""Steps that will not end: what a limit and `rota cancel` do about them.

Each way of not ending is a program of its own that waits until everything it wants to leave behind is there. Its
processes carry a mark in their environment, by which they are found wherever they went.
"""
import os
import signal
import time
from pathlib import Path

import pytest

from lab import Lab, TOP, random_name, wait_for
from promises import output, row, submit

KIB = 1024

# Every program begins so: mark() puts the mark where /proc shows it, in the environment of all that follow.
BEGIN = """
import os, signal, sys, time
def deaf():
    for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(s, signal.SIG_IGN)
def say(text):
    os.write(1, text.encode() + b"\\n")
def hang():
    while True:
        signal.pause()
"""

WAYS = {
    # ignores every polite word
    "deaf": "deaf(); say('up'); hang()",
    # a daemon: two forks, a session of its own, deaf, and its parent is gone
    "daemon": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        deaf(); say('up'); hang()
    os._exit(0)
os.wait(); hang()
""",
    # closes its output and works on
    "mute": """
deaf(); say('up')
for fd in (0, 1, 2): os.close(fd)
hang()
""",
    # many, each in a session of its own and deaf
    "crowd": """
deaf()
r, w = os.pipe()
for _ in range(120):
    if os.fork() == 0:
        os.setsid(); os.write(w, b'x'); hang()
left = 120
while left: left -= len(os.read(r, left))
say('up'); hang()
""",
    # one more whenever one dies: two that watch each other
    "hydra": """
deaf()
def watch(n):
    while True:
        pid = os.fork()
        if pid == 0:
            if n == 0: hang()
            watch(n - 1)
        if n == 2: say('up')
        os.waitpid(pid, 0)
watch(2)
""",
    # as fast as it can, deaf
    "flood": """
deaf(); block = b'0123456789abcde\\n' * 4096
say('up')
while True: os.write(1, block)
""",
    # takes the whole of a processor
    "spin": """
deaf(); say('up')
while True: pass
""",
    # stopped, as by a debugger
    "stopped": "deaf(); say('up'); os.kill(os.getpid(), signal.SIGSTOP); hang()",
    # says sorry for too long
    "slow": """
def sorry(*_):
    say('sorry'); time.sleep(100)
signal.signal(signal.SIGTERM, sorry); say('up'); hang()
""",
}


def alive(mark):
    """Processes that carry the mark and live."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if f"MARK={mark}".encode() not in (path / "environ").read_bytes().split(b"\0"):
                continue
            if (path / "stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX":
                found.append(int(path.name))
        except OSError:
            pass
    return found


def program_of(way, mark):
    return ["env", f"MARK={mark}", "/usr/bin/python3", "-c", BEGIN + WAYS[way]]


def pss(pid):
    """Kilobytes."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise RuntimeError("no Pss")


def small(place):
    size = pss(place.pc("pc1").target_pid())
    assert size < 16 * KIB, f"rota-target takes {size} KiB"


# What a step does to its machine is the same whatever the server, so one of them will do.
@pytest.fixture(scope="module")
def place(tmp_path_factory):
    extra = tmp_path_factory.mktemp("diagnostics")
    (extra / "patient.json").write_text("""{
        "name": "patient", "title": "Puts something in order when it is ended", "grace": "20s",
        "params": { "mark": { "type": "string" } },
        "argv": ["sh", "-c", "trap 'sleep 1.5; echo in order; exit 0' TERM; echo up; while :; do sleep 0.05; done"]
        }""")
    with Lab("prosody", pcs=["pc1"],
             pc_config={"catalogue": [str(TOP / "deploy/diagnostics"), str(extra)], "slots": 8}) as lab:
        lab.controller().config["catalogue"].append(str(extra))
        lab.start()
        yield lab


@pytest.mark.parametrize("way", WAYS)
def test_cancel_within_two_seconds(place, way):
    """From the wish to the verdict everybody sees; and nothing of it is left."""
    mark = random_name("hang")
    run = submit(place, "pc1", *program_of(way, mark))
    wait_for(lambda: b"up" in output(place, run), 20, what=f"{way} is up")
    assert alive(mark)
    small(place)
    asked = time.monotonic()
    assert place.rota("cancel", run).code == 0
    wait_for(lambda: not alive(mark), 10, what=f"{way} is gone")
    gone = time.monotonic() - asked
    ended = place.wait_run(run, deadline=20)
    took = time.monotonic() - asked
    assert ended["verdict"] == "cancelled", ended
    assert gone < 2, f"the last process lived for {gone:.2f} s"
    # a flood has output to bring home still, which is not what the promise is about
    assert took < (2 if way != "flood" else 20), f"the run was on for {took:.2f} s"
    assert not alive(mark)
    small(place)
    place.wait_ready("pc1")


def test_a_diagnostic_may_ask_for_more_time(place):
    """Its catalogue entry says grace: then a cancel waits for it, and it ends in order."""
    result = place.rota("run", "-d", "pc1", "patient", f"mark={random_name()}")
    assert result.code == 0, result
    run = result.out.split()[1]
    wait_for(lambda: b"up" in output(place, run))
    asked = time.monotonic()
    assert place.rota("cancel", run).code == 0
    ended = place.wait_run(run)
    assert ended["verdict"] == "cancelled" and ended["steps"][0]["exit"] == 0, ended
    assert time.monotonic() - asked > 1.5
    assert output(place, run).endswith(b"in order\r\n") or output(place, run).endswith(b"in order\n")


def test_limits_hold(place):
    """All at once: daemons and those that closed their output, by either limit; a flood is never silent, a spin
    always, and each is ended by the limit that is meant for it."""
    time_said, silence_said = "still running after its time limit of 1.0s", "no output for 1.0s"
    rows = [("daemon", ["--timeout", "1s"], "time", time_said),
            ("daemon", ["--silence", "1s"], "silence", silence_said),
            ("mute", ["--timeout", "1s"], "time", time_said),
            ("mute", ["--silence", "1s"], "silence", silence_said),
            ("spin", ["--silence", "1s", "--timeout", "60s"], "silence", silence_said),
            ("flood", ["--timeout", "1s", "--silence", "20s"], "time", time_said)]
    marks = [random_name("limit") for _ in rows]
    runs = [submit(place, "pc1", *program_of(way, mark), options=options)
            for (way, options, _, _), mark in zip(rows, marks)]
    for (way, options, limit, said), mark, run in zip(rows, marks, runs):
        ended = place.wait_run(run)
        step = ended["steps"][0]
        assert ended["verdict"] == "failed" and step["limit"] == limit and said in step["cause"], ended
        # five seconds of grace at a limit, and what a busy machine takes on top
        assert 1e6 <= step["elapsed_usec"] < 12e6, (way, options, step)
        assert not alive(mark), way
        small(place)


def test_a_cancel_does_not_wait_for_a_limits_grace(place):
    """It is ending already, with five seconds of grace; whoever cancels waits one at most."""
    mark = random_name("both")
    run = submit(place, "pc1", *program_of("deaf", mark), options=["--timeout", "1s"])
    wait_for(lambda: b"up" in output(place, run))
    # the limit strikes at 1 s, the cancel after that
    wait_for(lambda: row(place, run)["started_usec"] / 1e6 + 1.3 < time.time())
    asked = time.monotonic()
    assert place.rota("cancel", run).code == 0
    wait_for(lambda: not alive(mark), 10)
    assert time.monotonic() - asked < 2
    ended = place.wait_run(run)
    assert ended["verdict"] == "failed" and ended["steps"][0]["limit"] == "time", ended


def test_a_background_process_that_holds_the_terminal(place):
    """Its main program ends well: it gets a second to finish, then the run ends without it."""
    mark = random_name("hold")
    run = submit(place, "pc1", "env", f"MARK={mark}", "sh", "-c",
                 "trap '' HUP TERM; (sleep 100; echo never) & echo done")
    ended = place.wait_run(run)
    assert ended["verdict"] == "passed" and output(place, run) == b"done\n", ended
    assert not alive(mark)
    took = (ended["ended_usec"] - ended["started_usec"]) / 1e6
    assert 0.9 < took < 4, took
