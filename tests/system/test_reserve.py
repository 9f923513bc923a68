"""rota reserve, extend, release, who, quarantine, heal, away, back: as people use them."""
import json
import signal

import pytest

from lab import Lab, wait_for
from promises import Gate, output, submit


@pytest.fixture(scope="module")
def place(kind):
    with Lab(kind, pcs=["pc1", "pc2"], controllers=["ctl", "ops"]) as lab:
        lab.start()
        yield lab


@pytest.fixture(autouse=True)
def clean(place):
    yield
    for name in place.controllers:
        place.rota("release", "pc*", controller=name)
    place.rota("heal", "--force", "pc*")
    place.rota("back", "pc*")
    for name in place.controllers:
        place.wait_ready(controller=name)


def reserved(place, name="pc1", controller=None):
    return place.wait_state(name, "reserved", controller=controller)["lease"]


def test_reserve_and_release(place):
    result = place.rota("reserve", "pc1", "--for", "1h", "--reason", "firmware")
    assert result.code == 0 and "reserved" in result.out and "1h" in result.out, result
    lease = reserved(place, controller="ops")
    assert lease["reason"] == "firmware" and lease["holder"] == "ctl@lab.test"
    assert 3500e6 < lease["left_usec"] <= 3600e6
    result = place.rota("who", controller="ops")
    assert result.code == 0 and "pc1" in result.out and "firmware" in result.out, result
    assert "pc2" not in result.out
    result = place.rota("ls", "reserved", controller="ops")
    assert "firmware" in result.out, result
    # nobody else gets it, extends it or releases it, and the answer says what to do
    for verb in ("reserve", "extend", "release"):
        result = place.rota(verb, "pc1", controller="ops")
        assert result.code == 6 and "reserved for" in result.out, result
        assert "rota reserve --take pc1" in result.out, result
    result = place.rota("extend", "pc1", "--for", "2h", "--json")
    assert result.code == 0, result
    assert 7000e6 < result.json()[0]["left_usec"] <= 7200e6
    result = place.rota("release", "pc1")
    assert result.code == 0 and "released" in result.out, result
    place.wait_ready("pc1", controller="ops")
    result = place.rota("release", "pc1")
    assert result.code == 6 and "pc1 is not reserved" in result.out, result
    assert place.rota("who", "--json").json() == []


def test_what_the_holder_starts_goes_first(place):
    assert place.rota("reserve", "pc1").code == 0
    reserved(place, controller="ops")
    theirs = submit(place, "pc1", "echo", "later", controller="ops")
    place.wait_run(theirs, "queued", controller="ops")
    note = place.rota("show", theirs, "--json", controller="ops").json()["note"]
    assert "pc1 is reserved for" in note
    result = place.rota("run", "--if-idle", "pc1", "--", "true", controller="ops")
    assert result.code == 6 and "reserved for" in result.err, result
    result = place.rota("run", "pc1", "--", "echo", "mine")
    assert result.code == 0 and "mine" in result.out, result
    result = place.rota("reboot", "pc1", controller="ops")
    assert result.code == 6 and "reserved for" in result.out, result
    result = place.rota("reboot", "--force", "pc1", controller="ops")
    assert result.code == 6, result
    result = place.rota("reboot", "pc1")
    assert result.code == 0, result
    assert place.rota("show", theirs, "--json", controller="ops").json()["state"] == "queued"
    assert place.rota("release", "pc1").code == 0
    assert place.wait_run(theirs, controller="ops")["verdict"] == "passed"
    assert output(place, theirs, controller="ops") == b"later\n"


def test_taken_and_told(place):
    assert place.rota("reserve", "pc1", "pc2", "--reason", "mine").code == 0
    reserved(place, controller="ops")
    result = place.rota("reserve", "--take", "pc1", "--reason", "the night run", controller="ops")
    assert result.code == 0, result
    wait_for(lambda: place.ls()["pc1"]["lease_lost"])
    result = place.rota("who")
    assert "the night run" in result.out, result
    assert "ops@lab.test" in result.err and "has taken it" in result.err, result
    assert "has taken it" in place.rota("why", "pc1").out
    # its runs wait now, like everybody's
    run = submit(place, "pc1", "true")
    place.wait_run(run, "queued")
    assert place.rota("release", "pc1", controller="ops").code == 0
    assert place.wait_run(run)["verdict"] == "passed"
    assert place.ls()["pc2"]["lease"]["reason"] == "mine"


def test_wait(place):
    assert place.rota("reserve", "pc1", "--for", "3s").code == 0
    reserved(place, controller="ops")
    result = place.rota("reserve", "pc*", "--for", "1h", "--wait", "30s", controller="ops")
    assert result.code == 0 and result.out.count("reserved") == 2, result
    assert "waiting" in result.err
    assert place.ls()["pc1"]["lease"]["holder"] == "ops@lab.test"
    result = place.rota("reserve", "pc1", "--wait", "1s")
    assert result.code == 6, result


def test_wait_and_ctrl_c(place):
    """What was agreed to before is in force, and said."""
    assert place.rota("reserve", "pc1", "--for", "1h").code == 0
    reserved(place, controller="ops")
    for more in ([], ["--json"]):
        waiting = place.popen("reserve", "pc*", "--wait", "1h", *more, controller="ops")
        wait_for(lambda: (place.ls()["pc2"].get("lease") or {}).get("holder") == "ops@lab.test")
        if not more:
            waiting.stderr.readline()                   # it waits for the other one
        waiting.send_signal(signal.SIGINT)
        out, err = waiting.communicate(timeout=10)
        if waiting.returncode != -signal.SIGINT:        # or it came before anything was waited for
            assert waiting.returncode == 130, (out, err)
            assert b"pc2" in out and b"pc1" not in out, (out, err)
        assert more or (waiting.returncode == 130 and b"what is reserved stays so" in err), (out, err)
        assert place.rota("release", "pc2", controller="ops").code == 0
        wait_for(lambda: not place.ls()["pc2"].get("lease"))


def test_others_that_wait_keep_the_holder_from_nothing(place):
    assert place.rota("reserve", "pc1").code == 0
    reserved(place, controller="ops")
    theirs = submit(place, "pc1", "true", controller="ops")
    place.wait_run(theirs, "queued", controller="ops")
    result = place.rota("run", "--if-idle", "pc1", "--", "echo", "mine")
    assert result.code == 0 and "mine" in result.out, result
    assert place.rota("release", "pc1").code == 0
    assert place.wait_run(theirs, controller="ops")["verdict"] == "passed"


def test_survives_both_daemons(place):
    assert place.rota("reserve", "pc1", "--for", "1h").code == 0
    before = reserved(place)
    place.controller().kill()
    place.pc("pc1").kill_target()
    place.controller().start()
    after = reserved(place)
    assert after["id"] == before["id"] and after["token"] == before["token"]
    result = place.rota("run", "pc1", "--", "true")
    assert result.code == 0, result
    assert place.rota("release", "pc1").code == 0


def test_busy_with_somebody_elses_run(place, request):
    gate = Gate(place, request.node.name)
    run = submit(place, "pc1", *gate.command(), controller="ops")
    place.wait_state("pc1", "busy")
    result = place.rota("reserve", "pc1")
    assert result.code == 6 and run in result.out, result
    gate.open()
    place.wait_run(run, controller="ops")


def test_errors(place):
    assert place.rota("reserve", "pc9").code == 5
    assert place.rota("reserve").code == 2
    assert place.rota("reserve", "pc1", "--for", "forever").code == 2
    assert place.rota("reserve", "pc1", "--take", "--wait", "1s").code == 2
    result = place.rota("reserve", "pc1", "--for", "8d")
    assert result.code == 3 and "at most 7d" in result.out, result
    result = place.rota("away", "pc1")
    assert result.code == 2 and "--for" in result.err, result
    place.pc("pc2").off()
    place.wait_state("pc2", "offline")
    for verb in (["reserve"], ["quarantine"], ["away", "--for", "1h"]):
        result = place.rota(*verb, "pc2")
        assert result.code == 3 and "pc2 is offline" in result.out, result
    place.pc("pc2").on()
    place.wait_ready("pc2")


def test_quarantine_and_heal(place):
    result = place.rota("quarantine", "pc1", "--reason", "bad DIMM")
    assert result.code == 0 and "in quarantine" in result.out, result
    for name in place.controllers:
        assert place.wait_state("pc1", "quarantined", controller=name)["quarantine"]["reason"] == "bad DIMM"
    assert "bad DIMM" in place.rota("ls", "quarantined").out
    assert "bad DIMM" in place.rota("why", "pc1").out
    run = submit(place, "pc1", "true")
    place.wait_run(run, "queued")
    result = place.rota("run", "--if-idle", "pc1", "--", "true")
    assert result.code == 6 and "quarantine" in result.err, result
    result = place.rota("heal", "--with", "selftest", "pc1")
    assert result.code == 0, result
    assert place.wait_run(run)["verdict"] == "passed"
    place.wait_ready("pc1")
    place.rota("quarantine", "pc1")
    place.wait_state("pc1", "quarantined")
    result = place.rota("heal", "--force", "pc1")
    assert result.code == 0, result
    place.wait_ready("pc1")


def test_health_diagnostic(place):
    place.rota("quarantine", "pc1")
    place.wait_state("pc1", "quarantined")
    result = place.rota("heal", "pc1")
    assert result.code == 0 and "health: well" in result.out, result
    place.wait_ready("pc1")


def test_away_and_back(place):
    result = place.rota("away", "pc1", "--for", "2d", "--reason", "BIOS")
    assert result.code == 0 and "2d" in result.out, result
    row = place.wait_state("pc1", "away")
    assert row["away"]["reason"] == "BIOS"
    place.pc("pc1").off()
    wait_for(lambda: not place.ls()["pc1"]["online"], 20)
    assert place.ls()["pc1"]["state"] == "away"          # not offline
    assert "expected back" in place.rota("why", "pc1").out
    run = submit(place, "pc1", "true")
    place.pc("pc1").on()
    place.wait_ready("pc1")
    assert place.wait_run(run)["verdict"] == "passed"
    assert place.rota("away", "pc1", "--for", "1h").code == 0
    place.wait_state("pc1", "away")
    assert place.rota("back", "pc1").code == 0
    place.wait_ready("pc1")


def test_overdue(place):
    assert place.rota("away", "pc1", "--for", "3s").code == 0
    place.wait_state("pc1", "away")
    place.pc("pc1").off()
    place.wait_state("pc1", "overdue", deadline=30)
    place.pc("pc1").on()
    place.wait_ready("pc1")


def plan(place, name, *steps):
    path = place.path / f"{name}.json"
    path.write_text(json.dumps({"name": name, "steps": list(steps)}))
    result = place.rota("run", "-d", "pc1", "--plan", path)
    assert result.code == 0, result
    return result.out.split()[1]


def test_expect_return_is_a_step(place):
    """A plan waits for a hand at the plug: away, never offline, and then it goes on at the next step."""
    run = plan(place, "bios", {"exec": ["echo", "before"]}, {"expect_return": "2h"},
               {"exec": ["echo", "after"]})
    row = place.wait_state("pc1", "away")
    assert row["away"]["reason"] == "step 2 of bios"
    place.pc("pc1").kill_target()                    # a restart is no return
    place.pc("pc1").off()
    wait_for(lambda: not place.ls()["pc1"]["online"], 20)
    assert place.ls()["pc1"]["state"] == "away"
    place.pc("pc1").on()
    done = place.wait_run(run)
    assert done["verdict"] == "passed"
    assert [s["verdict"] for s in done["steps"]] == ["passed"] * 3
    assert output(place, run) == b"before\nafter\n"
    place.wait_ready("pc1")


def test_expect_return_of_who_never_left(place):
    run = plan(place, "stays", {"expect_return": "2s"}, {"exec": ["true"]})
    done = place.wait_run(run)
    assert done["verdict"] == "failed" and "still up" in done["cause"]
    place.wait_ready("pc1")


def test_expect_return_cancelled(place):
    run = plan(place, "cancelled", {"expect_return": "2h"})
    place.wait_state("pc1", "away")
    assert place.rota("cancel", run).code == 0
    assert place.wait_run(run)["verdict"] == "cancelled"
    place.wait_ready("pc1")


@pytest.mark.parametrize("step, why", [
    ({"expect_return": "0s"}, "within 1s to 366d"),
    ({"expect_return": "2h", "timeout": "1s"}, "timeout goes with a diag or an exec"),
    ({"expect_return": True}, "expected a duration"),
])
def test_expect_return_misspelt(place, step, why):
    path = place.path / "wrong.json"
    path.write_text(json.dumps({"steps": [step]}))
    result = place.rota("run", "pc1", "--plan", path)
    assert result.code == 2 and why in result.err, result
