"""A slow link with a run that prints without end: what is urgent does not wait behind output, and not a byte of that is wrong.

64 kbit/s are 8,000 bytes a second, both ways, with a queue of 400 ms: one chunk of the usual size would be on its
way for five seconds, and a full socket buffer for minutes.
"""
import json
import random
import time
from pathlib import Path

import pytest

from lab import wait_for
from promises import output, received, submit
from wires import WiredLab

pytestmark = pytest.mark.root
ANSWER_SECONDS = 2

# noise, which does not compress, and can be made again to compare
FLOOD = """
import os, random, select, sys
open(sys.argv[2], "w").write(str(os.getpid()))
noise = random.Random(sys.argv[1])
while True:
    sys.stdout.buffer.write(noise.randbytes(4096))
    sys.stdout.buffer.flush()
    select.select([], [], [], 0.01)
"""


@pytest.fixture(scope="module")
def place(kind):
    with WiredLab(kind, pcs=["pc1", "pc2", "pc3"]) as lab:
        lab.start()
        yield lab


class Flood:
    def __init__(self, lab, pc, seed):
        self.lab, self.pc, self.seed = lab, pc, seed
        self.pid_file = lab.path / f"pid-{seed}"
        self.run = submit(lab, pc, "/usr/bin/python3", "-c", FLOOD, seed, self.pid_file, options=["--no-pty"])

    def has(self):
        return received(self.lab, self.run)

    def grows(self, deadline=20):
        before = self.has()
        wait_for(lambda: self.has() > before, deadline, what=f"output of {self.run}")

    def cancel(self):
        """Returns how long it took until the process was gone."""
        pid = wait_for(lambda: self.pid_file.exists() and self.pid_file.read_text())
        begin = time.monotonic()
        assert self.lab.rota("cancel", self.run).code == 0
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), 20, what=f"process of {self.run} is gone")
        return time.monotonic() - begin

    def check(self):
        """It ended, and all that was printed is here: a journal of the target says how much that was."""
        row = self.lab.wait_run(self.run)
        assert row["verdict"] == "cancelled", row
        got = output(self.lab, self.run)
        events = self.lab.pc(self.pc).path / "state/runs" / self.run / "events"
        ended = [e for e in map(json.loads, events.read_text().splitlines()) if e["ev"] == "stepped"]
        assert [s["size"] for e in ended for s in e["streams"] if s["name"] == "1.out"] == [len(got)]
        noise = random.Random(self.seed)
        want = b"".join(noise.randbytes(4096) for _ in range(len(got) // 4096 + 1))
        assert got == want[:len(got)]


def ping(lab, pc):
    begin = time.monotonic()
    result = lab.rota("ping", pc)
    took = time.monotonic() - begin
    assert result.code == 0, (took, result)
    return took


def pings(lab, pc, count):
    """The longest, one every half a second."""
    worst = 0
    for _ in range(count):
        begin = time.monotonic()
        worst = max(worst, ping(lab, pc))
        wait_for(lambda b=begin: time.monotonic() - b >= 0.5, 10)
    return worst


def test_nothing_waits_behind_output(place):
    place.wires.slow("pc1", "64kbit")
    try:
        flood = Flood(place, "pc1", "one")
        place.wait_state("pc1", "busy", deadline=5)
        worst = pings(place, "pc1", 10)
        assert worst < ANSWER_SECONDS
        assert place.ls()["pc1"]["state"] == "busy"
        # the link is used meanwhile: 8,000 bytes a second, base64, envelopes
        before, begin = flood.has(), time.monotonic()
        wait_for(lambda: time.monotonic() - begin >= 3, 10)
        assert 2500 < (flood.has() - before) / (time.monotonic() - begin) < 8000
        begin = time.monotonic()
        assert flood.cancel() < ANSWER_SECONDS
        place.wait_state("pc1", "ready", deadline=ANSWER_SECONDS)
        assert time.monotonic() - begin < 2 * ANSWER_SECONDS
        assert ping(place, "pc1") < ANSWER_SECONDS
    finally:
        place.wires.slow("pc1", None)
    flood.check()


def test_a_slow_cable_that_comes_out(place):
    """In the middle of a chunk, again and again, and slower and faster meanwhile."""
    flood = Flood(place, "pc2", "two")
    try:
        for rate in ("64kbit", "256kbit", "128kbit"):
            place.wires.slow("pc2", rate)
            flood.grows()
            for _ in range(2):
                place.wires.plug("pc2", False)
                place.wires.plug("pc2", True)
            flood.grows()
        assert flood.cancel() < 2 * ANSWER_SECONDS
    finally:
        place.wires.slow("pc2", None)
    flood.check()
    assert pings(place, "pc2", 1) < ANSWER_SECONDS


def test_the_controller_is_the_slow_one(place):
    """Two targets on a fast network send to a controller behind 256 kbit/s: they hold back, and the third answers too."""
    place.wires.slow("ctl", "256kbit")
    try:
        floods = [Flood(place, "pc1", "three"), Flood(place, "pc2", "four")]
        for flood in floods:
            flood.grows()
        worst = max(max(ping(place, pc) for pc in ("pc1", "pc2", "pc3")) for _ in range(4))
        assert worst < ANSWER_SECONDS
        assert {name: row["state"] for name, row in place.ls().items()} == {
            "pc1": "busy", "pc2": "busy", "pc3": "ready"}
        for flood in floods:
            assert flood.cancel() < ANSWER_SECONDS
    finally:
        place.wires.slow("ctl", None)
    for flood in floods:
        flood.check()
