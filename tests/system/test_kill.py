"""kill -9 in mid-output: of the target's daemon, of the controller, of the server, one at a time.

Two runs are on when it happens: pc1 counts, a line now and then; pc2 prints noise as fast as it can. Both
stop half way until the test has killed somebody and says go on, so that it is always mid-output.
"""
import hashlib
import shlex

import pytest

from lab import Lab, wait_for
from promises import Gate, Mark, output, received, row, submit

MIB = 1 << 20
LINES = 200
NOISE = 12 * MIB

COUNT = ("i=0; while [ $i -lt {lines} ]; do echo line $i; i=$((i + 1)); sleep 0.005; "
         "[ $i -ne {half} ] || {wait}; done")

NOISY = """
import hashlib, os, select, sys
told, gate, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
h, done = hashlib.sha256(), 0
while done < size:
    block = os.urandom(65536)
    h.update(block)
    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()
    done += len(block)
    while done == size // 2 and not os.path.exists(gate):
        select.select([], [], [], 0.02)
open(told, "w").write(h.hexdigest())
"""


@pytest.fixture(scope="module")
def place(kind):
    with Lab(kind, pcs=["pc1", "pc2"]) as lab:
        lab.start()
        yield lab


class Two:
    """The two runs, in the middle of their output."""

    def __init__(self, lab, name):
        self.lab = lab
        self.gate = Gate(lab, name)
        self.marks = Mark(lab, f"{name}-count"), Mark(lab, f"{name}-noise")
        self.told = lab.path / f"sha256-{name}"
        count = COUNT.format(lines=LINES, half=LINES // 2, wait=self.gate.wait_text)
        noise = "exec " + shlex.join(["/usr/bin/python3", "-c", NOISY, str(self.told),
                                      str(self.gate.path), str(NOISE)])
        self.count = submit(lab, "pc1", *self.marks[0].command(count))
        self.noise = submit(lab, "pc2", *self.marks[1].command(noise), options=["--no-pty"])
        wait_for(lambda: received(lab, self.count) > 100, what="some lines")
        wait_for(lambda: received(lab, self.noise) > MIB // 4, what="some noise")
        for run in (self.count, self.noise):
            assert row(lab, run)["state"] == "running"

    def go_on_and_check(self):
        lab = self.lab
        self.gate.open()
        for run in (self.count, self.noise):
            ended = lab.wait_run(run)
            assert ended["verdict"] == "passed", ended
        assert output(lab, self.count) == b"".join(b"line %d\n" % i for i in range(LINES))
        got = output(lab, self.noise)
        assert len(got) == NOISE
        assert hashlib.sha256(got).hexdigest() == self.told.read_text()
        # once, and nothing of it comes again: one more run from its submission to its end
        for pc in ("pc1", "pc2"):
            assert lab.wait_run(submit(lab, pc, "true"))["verdict"] == "passed"
        assert [m.times() for m in self.marks] == [1, 1]


def test_target_daemons_killed(place):
    boots = [place.pc(pc).boot_id() for pc in ("pc1", "pc2")]
    two = Two(place, "target")
    follower = place.popen("watch", two.count, bufsize=0)
    for pc in ("pc1", "pc2"):
        place.pc(pc).kill_target()
    for pc in ("pc1", "pc2"):  # a new daemon is at work, and has found the step
        wait_for(lambda pc=pc: place.rota("ping", pc).code == 0, what=f"{pc} answers again")
    two.go_on_and_check()
    assert [place.pc(pc).boot_id() for pc in ("pc1", "pc2")] == boots
    # whoever watched has seen every line once
    out, err = follower.communicate(timeout=20)
    assert follower.returncode == 0, err
    assert out == output(place, two.count)


def test_target_daemons_killed_again_and_again(place):
    """At any offset of the stream, with chunks under way."""
    two = Two(place, "often")
    two.gate.open()
    for _ in range(4):
        have = received(place, two.noise)
        place.pc("pc2").kill_target()
        wait_for(lambda: received(place, two.noise) > have or row(place, two.noise)["state"] == "ended",
                 20, what="more noise")
    two.go_on_and_check()


def test_controller_killed(place):
    two = Two(place, "controller")
    follower = place.popen("watch", two.count, bufsize=0)
    first = follower.stdout.readline()
    place.controller().kill()
    # the runs go on without it
    two.gate.open()
    wait_for(two.told.exists, 20, what="the end of the noise")
    place.controller().start()
    wait_for(lambda: place.ls())
    two.go_on_and_check()
    # whoever watched has waited for it, and has seen every line once
    out, err = follower.communicate(timeout=20)
    assert follower.returncode == 0, err
    assert first + out == output(place, two.count)


def test_controller_killed_again_and_again(place):
    two = Two(place, "controllers")
    two.gate.open()
    for _ in range(4):
        have = received(place, two.noise)
        place.controller().kill()
        place.controller().start()
        wait_for(lambda: place.ls())
        wait_for(lambda: received(place, two.noise) > have or row(place, two.noise)["state"] == "ended",
                 20, what="more noise")
    two.go_on_and_check()


def test_server_killed(place):
    two = Two(place, "server")
    follower = place.popen("watch", two.count, bufsize=0)
    first = follower.stdout.readline()
    place.server.kill()
    two.gate.open()
    wait_for(two.told.exists, 20, what="the end of the noise")
    place.server.start()
    two.go_on_and_check()
    out, err = follower.communicate(timeout=20)
    assert follower.returncode == 0, err
    assert first + out == output(place, two.count)


def test_all_three_at_once(place):
    two = Two(place, "all")
    place.server.kill()
    place.controller().kill()
    for pc in ("pc1", "pc2"):
        place.pc(pc).kill_target()
    place.server.start()
    place.controller().start()
    wait_for(lambda: place.ls())
    two.go_on_and_check()
