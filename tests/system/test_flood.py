"""A step that floods: all of it arrives, and nobody else is kept waiting meanwhile.

256 MiB of text, 1 GiB with --long. Beside it, on the same target, a light run prints a line every 20 ms; the target and
another one are pinged, and the other one runs something.
"""
import json
import subprocess
import threading
import time

import pytest

from lab import Lab, program, wait_for
from promises import received, row, submit
from test_hangs import KIB, pss

MIB = 1 << 20
BLOCK = 64 * KIB
LINE = b"%015d memory: pattern walking ones, passed, 0 errors so far\n"
LATE = 1.0  # seconds; idle it is milliseconds. One of a hundred may be later: other tests use this machine too

FLOOD = """
import sys, time
size, block, line = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()
body = b''.join(line % i for i in range(block // 16))
for n in range(size // block):
    head = b'block %09d\\n' % n
    sys.stdout.buffer.write(head + body[:block - len(head) - 1] + b'\\n')
"""

LIGHT = """
import os, select, sys, time
while not os.path.exists(sys.argv[1]):
    print(repr(time.monotonic()), flush=True)
    select.select([], [], [], 0.02)
"""


def blocks(size):
    """What FLOOD prints."""
    body = b"".join(LINE % i for i in range(BLOCK // 16))
    for n in range(size // BLOCK):
        head = b"block %09d\n" % n
        yield head + body[:BLOCK - len(head) - 1] + b"\n"


def check_exact(lab, run, size):
    """`rota log --raw`, block by block: a gigabyte is not held in memory to be compared."""
    client = subprocess.Popen([program("rota"), "log", run, "--raw"], stdout=subprocess.PIPE,
                              env=lab.environment())
    for n, want in enumerate(blocks(size)):
        got = client.stdout.read(BLOCK)
        assert got == want, f"block {n} differs"
    assert client.stdout.read(1) == b""
    assert client.wait() == 0


def percentile(times, n):
    return sorted(times)[len(times) * n // 100 - (n == 100)]


def spread(times):
    """Milliseconds: median, 99 of 100, the worst; and how many there were."""
    return [round(1000 * percentile(times, n), 1) for n in (50, 99, 100)] + [len(times)]


class Light:
    """The light run, followed by a command of its own: how late each line came."""

    def __init__(self, lab):
        self.gate = lab.path / "light-gate"
        self.gate.unlink(missing_ok=True)
        self.late = []
        self.client = lab.popen("run", "-q", "pc1", "--", "/usr/bin/python3", "-c", LIGHT, str(self.gate))
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.client.stdout:
            self.late.append(time.monotonic() - float(line))

    def end(self):
        self.gate.touch()
        self.reader.join(60)
        assert self.client.wait(60) == 0
        return self.late


@pytest.fixture(scope="module")
def place(kind):
    with Lab(kind, pcs=["pc1", "pc2"], pc_config={"slots": 2}) as lab:
        lab.start()
        yield lab


def flood(place, size, say):
    target, controller = place.pc("pc1").target_pid(), place.controller().process.pid
    light = Light(place)
    wait_for(lambda: light.late, 20, what="the light run prints")
    before = len(light.late)
    began = time.monotonic()
    run = submit(place, "pc1", "/usr/bin/python3", "-c", FLOOD, str(size), str(BLOCK), LINE.decode(),
                 options=["--no-pty"])
    wait_for(lambda: received(place, run) > MIB, 20, what="the flood has begun")
    small, big, pings, trips, others = 0, 0, [], [], []
    while row(place, run)["state"] != "ended":
        small, big = max(small, pss(target)), max(big, pss(controller))
        for pc in ("pc1", "pc2"):
            asked = time.monotonic()
            result = place.rota("ping", "--json", pc)
            pings.append(time.monotonic() - asked)
            assert result.code == 0 and result.json()[0]["ok"], result
            trips.append(result.json()[0]["rtt_usec"] / 1e6)
        if len(others) < 3:
            asked = time.monotonic()
            result = place.rota("run", "-q", "pc2", "--", "echo", "hello")
            others.append(time.monotonic() - asked)
            assert result.code == 0 and result.raw == b"hello\n", result
    took = time.monotonic() - began
    ended = row(place, run)
    assert ended["verdict"] == "passed" and received(place, run) == size, ended
    late = light.end()
    say({"server": place.server.kind, "MiB": size // MIB, "MB/s": round(size / took / 1e6, 1),
         "ping": spread(trips), "rota ping": spread(pings), "run": spread(others), "line": spread(late),
         "target_kib": small, "controller_kib": big})
    assert small < 16 * KIB, f"rota-target took {small} KiB"
    assert big < 64 * KIB, f"rota-controller took {big} KiB"
    assert len(late) > before + 10
    for times in (trips, pings, late):
        assert percentile(times, 99) < LATE and max(times) < 3 * LATE, sorted(times)[-5:]
    assert max(others) < 3 * LATE, others
    check_exact(place, run, size)


@pytest.fixture
def say(record_property):
    def figures(values):
        record_property("flood", json.dumps(values))
        print(json.dumps(values))
    return figures


def test_flood(place, say):
    flood(place, 256 * MIB, say)


@pytest.mark.long
def test_flood_of_a_gigabyte(place, say):
    flood(place, 1024 * MIB, say)
