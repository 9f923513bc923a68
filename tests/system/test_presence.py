"""What a controller says of machines that reboot, and of all of them while it is cut off itself."""
import os
import re
import signal
import time

import pytest
from lab import Lab, wait_for
from lines import Lines


@pytest.fixture(scope="module")
def place(kind):
    with Lab(kind, pcs=["pc1", "pc2"]) as lab:
        lab.start()
        yield lab


def test_a_reboot_is_followed_and_its_length_learned(place):
    pc = place.pc("pc1")
    place.pc("pc1").stop()
    place.wait_state("pc1", "offline")
    pc.start(boot_ms=1500)
    place.wait_ready("pc1")
    first = place.rota("reboot", "--wait", "pc1")
    assert first.code == 0, first
    assert re.search(r"^pc1 agreed and goes down after \S+", first.err, re.M), first
    assert re.search(r"^pc1 is gone after .*: when it is expected back is not known$", first.err, re.M)
    assert re.search(r"^pc1 is back after .*: boot id (\w{8}) -> (?!\1)\w{8}$", first.err, re.M), first
    usual = place.ls()["pc1"]["usual_reboot_usec"]
    assert 1_500_000 <= usual <= 15_000_000
    # a controller remembers it
    before = len(place.controller().log())
    place.controller().stop()
    place.controller().start()
    place.wait_ready()
    client = place.popen("reboot", "--json", "pc1")
    place.wait_state("pc1", "rebooting")
    row = place.ls()["pc1"]
    why = place.rota("why", "pc1").out
    out, err = client.communicate(timeout=30)
    assert client.returncode == 0, (out, err)
    assert row["state"] == "rebooting" and abs(row["back_usec"] - time.time() * 1e6) < 20e6
    assert "it agreed to reboot at" in why and "which usually takes" in why, why
    assert "it is expected back in about" in why or "it should have been back" in why, why
    place.wait_ready("pc1")
    again = place.rota("reboot", "--json", "pc1").json()[0]
    assert again["ok"] and 0 <= again["gone_usec"] <= again["took_usec"]
    place.wait_ready("pc1")
    said = [state for who, state in re.findall(r"(pc1) is (\w+)", place.controller().log()[before:])]
    assert "offline" not in said and "overdue" not in said


def test_a_controller_that_is_cut_off_knows_nobodys_state(place):
    watch = Lines(place.popen("ls", "--watch"))
    watch.until(lambda s: "pc2  ready" in s)
    place.server.stop()
    began = time.monotonic()
    watch.until(lambda s: "pc2  unknown, was ready" in s)
    assert time.monotonic() - began < 1
    row = place.ls()["pc2"]
    assert (row["state"], row["last_state"], row["online"]) == ("unknown", "ready", False)
    for selector in ("ready", "!offline", "state=ready", "pc2,ready"):
        refused = place.rota("ls", selector)
        assert refused.code == 5, refused
        assert "no connection to its server and knows nobody's state" in refused.err, refused
        assert "rota doctor" in refused.err
    assert place.rota("ls", "pc2,kind=scratch").code == 0
    assert "pc2 is unknown" in place.rota("why", "pc2").out
    place.server.start()
    watch.until(lambda s: "pc2  ready" in s, deadline=30)
    place.wait_ready()
    assert place.rota("ls", "ready").code == 0


def test_a_server_that_hangs_makes_nobody_offline(place):
    """Our connection stands and nothing comes: that is our trouble, and nobody else's."""
    before = len(place.controller().log())
    os.killpg(place.server.pid(), signal.SIGSTOP)
    try:
        wait_for(lambda: place.ls().get("pc1", {}).get("state") == "unknown", 25,
                 what="the controller notices")
        said = place.rota("why", "pc1").out
        refused = place.rota("ls", "ready")
    finally:
        os.killpg(place.server.pid(), signal.SIGCONT)
    assert "own server does not answer" in said or "no connection to its server" in said, said
    assert refused.code == 5 and "knows nobody's state" in refused.err, refused
    place.wait_ready(deadline=40)
    assert not re.search(r"is (offline|silent|suspect)", place.controller().log()[before:])


def test_the_last_run_is_among_the_evidence(place):
    assert place.rota("run", "pc2", "--name", "checked", "--", "true").code == 0
    why = place.rota("why", "pc2").out
    assert re.search(r"its last run known here is \w+ \(checked\): passed, ended \d", why), why
    assert re.search(r"^  now: rota run pc2", why, re.M), why
