"""Daemons are restarted and replaced by another version while twenty steps run: no step notices.

Ten steps on each of two targets print a numbered line every 20 ms. Meanwhile: SIGTERM, an upgrade and SIGKILL of the
target daemons, an upgrade and SIGKILL of the controller, and an upgrade of all at once. The other version is the
same programs with another version in them, moved over the running ones as a package manager does it:
rota-step too, and those that run go on from a file that has no name any more.
"""
import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from lab import build_dir, program, wait_for
from promises import output, submit
from test_step import alive

PCS = ("pc1", "pc2")
EACH = 10
PROGRAMS = ("rota-target", "rota-step", "rota-controller")

STEP = """
import os, select, sys, time
open(sys.argv[1], 'a').write('ran %d %d\\n' % (os.getpid(), os.getppid()))
n = 0
while not os.path.exists(sys.argv[2]):
    os.write(1, b'line %06d\\n' % n)
    n += 1
    select.select([], [], [], 0.02)
open(sys.argv[1], 'a').write('end %d\\n' % n)
"""


def built_version():
    said = subprocess.run([program("rota-target"), "--version"], capture_output=True, text=True, check=True)
    return said.stdout.split()[1]


# The other one is as long, so that it can be written in its place.
VERSIONS = built_version(), "9" + built_version()[1:]


def unpack(folder, version):
    """Puts the programs, of this version, in the place of what is there, as a package manager does: by rename."""
    folder.mkdir(exist_ok=True)
    for name in PROGRAMS:
        source = build_dir() / "bin" / name
        text = source.read_bytes()
        assert name == "rota-step" or VERSIONS[0].encode() + b"\0" in text
        text = text.replace(VERSIONS[0].encode() + b"\0", version.encode() + b"\0")
        fresh = folder / f".{name}"
        fresh.write_bytes(text)
        fresh.chmod(0o755)
        fresh.rename(folder / name)


def stream_file(lab, run):
    return Path(lab.controller().config["state_dir"]) / "runs" / run / "1.out"


def size_of(lab, run):
    path = stream_file(lab, run)
    return path.stat().st_size if path.exists() else 0


class Silence(threading.Thread):
    """How long no new byte of a run came to the controller, at the longest, for each of them."""

    def __init__(self, lab, runs):
        super().__init__(daemon=True)
        self.files = {run: stream_file(lab, run) for run in runs}
        self.longest = {run: 0.0 for run in runs}
        self.over = threading.Event()

    def run(self):
        sizes, since = {}, dict.fromkeys(self.files, time.monotonic())
        while not self.over.wait(0.01):
            for run, path in self.files.items():
                now, size = time.monotonic(), path.stat().st_size
                if size > sizes.get(run, 0):
                    sizes[run] = size
                    self.longest[run] = max(self.longest[run], now - since[run])
                    since[run] = now

    def mark(self):
        """The longest since the last mark."""
        worst = max(self.longest.values())
        self.longest = dict.fromkeys(self.longest, 0.0)
        return round(worst, 2)


@pytest.fixture
def place(make_lab):
    lab = make_lab(pcs=PCS, pc_config={"slots": EACH})
    lab.bin = lab.path / "bin"
    unpack(lab.bin, VERSIONS[0])
    for piece in [*lab.pcs.values(), *lab.controllers.values()]:
        piece.bin = lab.bin
    lab.start()
    return lab


class Twenty:
    def __init__(self, lab):
        self.lab = lab
        self.gate = lab.path / "gate"
        self.marks, self.runs = {}, {}
        for pc in PCS:
            for i in range(EACH):
                mark = lab.path / f"mark-{pc}-{i}"
                run = submit(lab, pc, "/usr/bin/python3", "-c", STEP, str(mark), str(self.gate))
                self.marks[run], self.runs[run] = mark, pc
        self.going_on()
        self.steps = {run: self.holder(run) for run in self.runs}
        assert len(set(self.steps.values())) == len(self.runs) == 20

    def marks_of(self, run):
        return [line.split() for line in self.marks[run].read_text().splitlines()]

    def holder(self, run):
        """The pid of its rota-step: the parent of what it runs."""
        return int(self.marks_of(run)[0][2])

    def going_on(self):
        """Each of them has got more to the controller than a moment ago."""
        before = {run: size_of(self.lab, run) for run in self.runs}
        wait_for(lambda: all(size_of(self.lab, run) > size for run, size in before.items()), 40,
                 what="all twenty go on")

    def unhurt(self):
        states = {r["run"]: r["state"] for r in self.lab.rota("runs", "--json").json()}
        for run, pid in self.steps.items():
            assert alive(pid) and states[run] == "running", run
            assert [m[0] for m in self.marks_of(run)] == ["ran"], run


def daemons(lab):
    return {pc: lab.pc(pc).target_pid() for pc in PCS}


def wait_daemons(lab, old, version):
    """Others run, of this version, and the controller knows it."""
    wait_for(lambda: all(p and p != old[pc] for pc, p in daemons(lab).items()), 20, what="new daemons")
    wait_for(lambda: [lab.ls().get(pc, {}).get("version") for pc in PCS] == [version] * len(PCS) and
             all(lab.ls()[pc]["online"] for pc in PCS), 30, what=f"both are version {version}")


def end_targets(lab, number):
    """Returns how long the slowest took to be gone."""
    old = daemons(lab)
    began = time.monotonic()
    for pid in old.values():
        os.kill(pid, number)
    wait_for(lambda: not any(alive(pid) for pid in old.values()), 20, what="the daemons are gone")
    return old, time.monotonic() - began


def replace_controller(lab, kill=False):
    controller = lab.controller()
    began = time.monotonic()
    if kill:
        controller.kill()
    else:
        assert controller.stop() == 0
    took = time.monotonic() - began
    controller.start()
    return took


def controller_version(lab):
    result = lab.rota("doctor", "--json")
    return result.json()["version"] if result.out else None


def test_twenty_steps_do_not_notice(place, record_property):
    lab = place
    twenty = Twenty(lab)
    silence = Silence(lab, twenty.runs)
    silence.start()
    longest, ends = {}, {}

    def after(what):
        twenty.going_on()
        twenty.unhurt()
        longest[what] = silence.mark()

    after("nothing")
    old, ends["target SIGTERM"] = end_targets(lab, signal.SIGTERM)
    wait_daemons(lab, old, VERSIONS[0])
    after("target restarted")

    unpack(lab.bin, VERSIONS[1])
    assert lab.pc("pc1").target_pid() is None  # it runs, but its file is another one's now
    old = {pc: pid for pc, pid in ((pc, exe_pid(lab.pc(pc))) for pc in PCS)}
    for pid in old.values():
        os.kill(pid, signal.SIGTERM)
    wait_daemons(lab, old, VERSIONS[1])
    after("target upgraded")

    ends["controller SIGTERM"] = replace_controller(lab)
    wait_for(lambda: controller_version(lab) == VERSIONS[1], 20)
    after("controller upgraded")

    replace_controller(lab, kill=True)
    old, _ = end_targets(lab, signal.SIGKILL)
    wait_daemons(lab, old, VERSIONS[1])
    after("all killed")

    unpack(lab.bin, VERSIONS[0])
    old = {pc: exe_pid(lab.pc(pc)) for pc in PCS}
    for pid in old.values():
        os.kill(pid, signal.SIGTERM)
    replace_controller(lab)
    wait_daemons(lab, old, VERSIONS[0])
    assert controller_version(lab) == VERSIONS[0]
    after("all back")
    silence.over.set()

    # one of each target is cancelled by daemons that never started it; the rest end by themselves
    cancelled = [list(twenty.runs)[0], list(twenty.runs)[-1]]
    for run in cancelled:
        asked = time.monotonic()
        assert lab.rota("cancel", run).code == 0
        assert lab.wait_run(run)["verdict"] == "cancelled"
        assert time.monotonic() - asked < 5
    twenty.gate.touch()
    for run in twenty.runs:
        ended = lab.wait_run(run)
        assert ended["verdict"] == ("cancelled" if run in cancelled else "passed"), ended
        got, marks = output(lab, run), twenty.marks_of(run)
        assert marks[0][0] == "ran" and int(marks[0][2]) == twenty.steps[run]
        if run in cancelled:
            assert len(marks) == 1
            count = len(got) // 12
        else:
            assert len(marks) == 2 and marks[1][0] == "end", marks
            count = int(marks[1][1])
        assert got == b"".join(b"line %06d\n" % i for i in range(count)), run
    assert len(lab.rota("runs", "--json").json()) == 20
    figures = {"server": lab.server.kind, "longest silence, s": longest,
               "SIGTERM to gone, s": {k: round(v, 2) for k, v in ends.items()}}
    record_property("upgrade", json.dumps(figures))
    print(json.dumps(figures))
    # the steps run for minutes if need be: a daemon that waited for them would be killed after 10 s
    assert all(took < 5 for took in ends.values()), ends
    assert max(longest.values()) < 15, longest


def exe_pid(pc):
    """The daemon, also when its file has been replaced."""
    for pid in pc._children(pc.process.pid):
        try:
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith("rota-target"):
                return pid
        except OSError:
            pass
    return None
