"""Equal controllers: every one sees the same world, at once."""
import shutil
import threading
import time

import pytest

from lab import Controller, Lab, wait_for
from promises import Gate, Mark, output, row, submit

PCS = ["pc1", "pc2", "pc3"]


@pytest.fixture(scope="module")
def place(kind):
    with Lab(kind, pcs=PCS, controllers=["ctl", "ops"]) as lab:
        lab.start()
        yield lab


@pytest.fixture
def gate(place, request):
    gate = Gate(place, request.node.originalname)
    yield gate
    gate.open()
    for controller in place.controllers:
        place.wait_ready(controller=controller)


def world(lab, controller):
    """What must be the same for all of them."""
    keep = ("jid", "title", "location", "labels", "boot", "state", "queue", "version")
    return {name: {k: row[k] for k in keep} for name, row in lab.ls(controller=controller).items()}


class Eyes:
    """Asks a controller without a break and notes when each state of a target was first seen."""

    def __init__(self, lab, controller, name):
        self.lab, self.controller, self.name = lab, controller, name
        self.seen = []  # (state, realtime)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self):
        while not self._stop.is_set():
            state = self.lab.ls(controller=self.controller).get(self.name, {}).get("state")
            if not self.seen or self.seen[-1][0] != state:
                self.seen.append((state, time.time()))

    def when(self, state, after):
        """Seconds from @after until @state was seen."""
        def found():
            return next(((when - after,) for s, when in list(self.seen)
                         if s == state and when >= after - 0.5), None)
        return wait_for(found, 10, what=f"{self.name} {state} at {self.controller}: {self.seen}")[0]

    def close(self):
        self._stop.set()
        self._thread.join()


def test_both_see_the_same_three(place):
    assert sorted(world(place, "ctl")) == PCS
    assert world(place, "ctl") == world(place, "ops")
    for controller in place.controllers:
        pings = place.rota("ping", "--json", "pc*", controller=controller)
        assert pings.code == 0, pings
        assert [p["target"] for p in pings.json() if p["ok"]] == PCS


def test_both_see_busy_and_ready_within_a_second(place, gate):
    started, ended = place.path / "started", place.path / "ended"
    eyes = [Eyes(place, c, "pc2") for c in place.controllers]
    try:
        for e in eyes:
            wait_for(lambda e=e: e.seen and e.seen[-1][0] == "ready")
        run = submit(place, "pc2", "sh", "-c", f"echo >{started}; {gate.wait_text}; echo >{ended}")
        wait_for(started.exists)
        assert [e.when("busy", started.stat().st_mtime) < 1 for e in eyes] == [True, True]
        # the other one knows whose it is, and that a reboot would hurt
        other = place.ls(controller="ops")["pc2"]["run"]
        assert (other["id"], other["owner"]) == (run, "ctl@lab.test")
        refused = place.rota("reboot", "pc2", controller="ops")
        assert refused.code == 6 and run in refused.out + refused.err, refused
        gate.open()
        wait_for(ended.exists)
        assert [e.when("ready", ended.stat().st_mtime) < 1 for e in eyes] == [True, True]
    finally:
        for e in eyes:
            e.close()


def test_both_run_on_one_target_in_turn(place, gate):
    first = submit(place, "pc1", *gate.command(), controller="ctl")
    place.wait_run(first, "running")
    second = submit(place, "pc1", "echo", "ops", controller="ops")
    place.wait_run(second, "queued", controller="ops")
    for controller in place.controllers:
        assert place.wait_state("pc1", "busy", controller=controller)["queue"] in (0, 1)
        wait_for(lambda c=controller: place.ls(controller=c)["pc1"]["queue"] == 1)
    gate.open()
    assert place.wait_run(first)["verdict"] == "passed"
    assert place.wait_run(second, controller="ops")["verdict"] == "passed"
    assert output(place, second, "ops") == b"ops\n"
    # one account's run is not in the other's list, and shown as whose it is when it is asked for
    assert second not in place.rota("runs", controller="ctl").out
    shown = place.rota("show", second, "--json", controller="ctl").json()
    assert shown["owner"] == "ops@lab.test" and shown["verdict"] == "passed"


def test_one_dies_the_other_does_not_notice(place, gate):
    run = submit(place, "pc3", *gate.command(), controller="ctl")
    place.wait_run(run, "running")
    place.controller("ctl").kill()
    mine = submit(place, "pc1", "echo", "alive", controller="ops")
    assert place.wait_run(mine, controller="ops")["verdict"] == "passed"
    assert place.wait_state("pc3", "busy", controller="ops")["run"]["id"] == run
    gate.open()
    place.wait_ready("pc3", controller="ops")
    place.controller("ctl").start()
    assert place.wait_run(run)["verdict"] == "passed"
    assert output(place, run) == b"on\noff\n"


@pytest.fixture(scope="module")
def twin_piece(place):
    """A second instance of ctl's account: a store and a socket of its own."""
    piece = Controller(place, "twin", jid="ctl@lab.test")
    (piece.path / "password").write_text("pw-ctl\n")
    yield piece
    piece.kill()


@pytest.fixture
def twin(place, twin_piece):
    place.controllers["twin"] = twin_piece
    twin_piece.start()
    for pc in PCS:
        place.wait_ready(pc, controller="twin")
    yield "twin"
    twin_piece.stop()
    del place.controllers["twin"]


def test_two_instances_of_one_account(place, twin, gate):
    assert world(place, twin) == world(place, "ctl")
    run = submit(place, "pc1", *gate.command(), controller="ctl")
    # both get the run while it goes on, and its output from byte 0
    for controller in ("ctl", twin):
        place.wait_run(run, "running", controller=controller)
        wait_for(lambda c=controller: output(place, run, c) == b"on\n")
    other = submit(place, "pc2", "echo", "twin", controller=twin)
    for controller in ("ctl", twin):
        assert place.wait_run(other, controller=controller)["verdict"] == "passed"
        assert output(place, other, controller) == b"twin\n"
    # one of them may die: the other one has everything
    place.controller("ctl").kill()
    gate.open()
    assert place.wait_run(run, controller=twin)["verdict"] == "passed"
    assert output(place, run, twin) == b"on\noff\n"
    # which learns of the end when it is back, though the target has delivered everything
    place.controller("ctl").start()
    assert place.wait_run(run, deadline=20)["verdict"] == "passed"
    assert output(place, run) == b"on\noff\n"


def test_an_instance_that_cancels_what_the_other_one_started(place, twin, gate):
    run = submit(place, "pc1", *gate.command(), controller="ctl")
    place.wait_run(run, "running", controller=twin)
    assert place.rota("cancel", run, controller=twin).code == 0
    for controller in ("ctl", twin):
        assert place.wait_run(run, controller=controller)["verdict"] == "cancelled"


def test_sent_to_the_server_and_done_by_the_other_instance_meanwhile(place, twin):
    """ctl does not know more than that it asked; twin has it all; nothing happens twice."""
    mark, pc = Mark(place, "meanwhile"), place.pc("pc3")
    pc.off()
    for controller in ("ctl", twin):
        place.wait_state("pc3", "offline", controller=controller)
    run = submit(place, "pc3", *mark.command("echo once"))
    wait_for(lambda: row(place, run)["state"] == "sent")
    assert place.rota("ping", "pc1").code == 0  # the server has it: one stream, in order
    place.controller("ctl").kill()
    pc.on()
    wait_for(lambda: place.rota("show", run, controller=twin).code == 0)
    assert place.wait_run(run, controller=twin)["verdict"] == "passed"
    place.controller("ctl").start()
    assert place.wait_run(run, deadline=20)["verdict"] == "passed"
    assert output(place, run) == output(place, run, twin) == b"once\n"
    assert mark.times() == 1


def test_a_target_that_has_lost_its_disk_says_so(place, gate):
    """A run must not be running for ever because nobody knows it any more."""
    run = submit(place, "pc2", *gate.command())
    place.wait_run(run, "running")
    pc = place.pc("pc2")
    pc.off()
    shutil.rmtree(pc.config["state_dir"])
    pc.on()
    ended = place.wait_run(run, deadline=20)
    assert ended["verdict"] == "not-run" and "no longer knows" in ended["cause"]
    place.wait_ready("pc2")
