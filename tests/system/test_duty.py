"""Quarantine and away, over the wire: what a target is kept for, through restarts, and what then starts."""
import json

import pytest

from lab import Lab, wait_for
from stand_in import PRESENCE, StandIn, exec_step, why

QUARANTINE, AWAY = "urn:rota:quarantine:1", "urn:rota:away:1"


@pytest.fixture(scope="module")
def place(kind):
    with Lab(kind, pcs=["pc1"], controllers=["ctl"], accounts=["ida", "eve"],
             pc_config={"quarantine_after": 3,
                        "controllers": {"ctl@lab.test": "admin", "ida@lab.test": "admin",
                                        "eve@lab.test": "run", "*@lab.test": "view"}}) as lab:
        lab.start()
        yield lab


@pytest.fixture(name="ida")
def fixture_ida(place):
    with StandIn(place.server, "ida") as client:
        client.target = "pc1@lab.test"
        client.subscribe(client.target)
        wait_for(client.now)
        client.sync()
        yield client
        client.iq(client.full, "set", f"<free xmlns='{QUARANTINE}'/>")
        client.iq(client.full, "set", f"<stay xmlns='{AWAY}'/>")
        client.state("ready")


def order(client, element, ns, **attributes):
    text = "".join(f" {k}='{v}'" for k, v in attributes.items())
    answer = client.iq(client.full, "set", f"<{element} xmlns='{ns}'{text}/>")
    assert answer.get("type") == "result"
    return dict(answer.find(f"{{{ns}}}state").attrib)


def child(client, name):
    """An element of what the target announces, None."""
    return client.now()["element"].find(f"{{{PRESENCE}}}{name}")


def what_happened(place):
    return [json.loads(line) for line in (place.pc("pc1").path / "state/audit").open()]


def test_quarantine(place, ida):
    said = order(ida, "quarantine", QUARANTINE, by="ana", reason="bad DIMM")
    assert said["on"] == "true" and said["who"] == "ida@lab.test" and said["by"] == "ana"
    ida.state("quarantined")
    assert child(ida, "quarantine").get("reason") == "bad DIMM"
    assert place.wait_state("pc1", "quarantined")
    waits = ida.exec("echo", "at last")
    ida.event(waits, "accepted")
    fussy = ida.submit({"steps": [exec_step("true")]}, if_idle="true")
    assert ida.refusal(fussy)[1] == "busy"
    # it outlasts the daemon and the power
    for fault in (place.pc("pc1").kill_target, place.pc("pc1").reset):
        before = ida.now()["sid"]
        fault()
        ida.back(before)
        ida.state("quarantined")
    # who may start runs may neither free nor heal it
    with StandIn(place.server, "eve") as eve:
        eve.target = ida.target
        assert why(eve.iq(eve.full, "set", f"<free xmlns='{QUARANTINE}'/>"))[0] == "not-allowed"
        run = eve.submit({"steps": [{"diag": "selftest"}]}, heal="true")
        assert eve.refusal(run)[1] == "not-allowed"
    # a failed cure leaves it there, a passed one frees it, and then the queue goes on
    bad = ida.submit({"steps": [exec_step("false")]}, heal="true")
    assert ida.ended(bad)["verdict"] == "failed"
    ida.state("quarantined")
    assert [e["ev"] for e in ida.events(waits)] == ["accepted"]
    good = ida.submit({"steps": [exec_step("true")]}, heal="true")
    assert ida.ended(good)["verdict"] == "passed"
    assert ida.output(waits) == b"at last\n"
    assert [e["about"] for e in what_happened(place) if e["what"] == "healed"][-1] == good


def test_quarantine_by_rule(place, ida):
    """Three runs in a row that could not be carried out; one that fails honestly begins the count anew."""
    cannot = exec_step("/nowhere/to/be/found")
    for step, state in ((cannot, "ready"), (cannot, "ready"), (exec_step("false"), "ready"),
                        (cannot, "ready"), (cannot, "ready"), (cannot, "quarantined")):
        run = ida.submit({"steps": [step]})
        verdict = ida.ended(run)["verdict"]
        assert verdict == ("not-run" if step is cannot else "failed")
        ida.state(state)
    assert child(ida, "quarantine").get("reason") == "3 runs in a row could not be carried out"
    assert what_happened(place)[-1]["what"] == "quarantined"
    assert "who" not in what_happened(place)[-1]


def test_away(place, ida):
    """It says how long it will be gone, starts nothing meanwhile, and another boot ends it."""
    sid = ida.now()["sid"]
    answer = ida.iq(ida.full, "set", f"<leave xmlns='{AWAY}' sid='older' seconds='60'/>")
    assert why(answer)[0] == "stale"
    said = order(ida, "leave", AWAY, sid=sid, seconds=172800, by="ana", reason="BIOS")
    assert said["away"] == "true" and 172700 < int(said["left"]) <= 172800
    ida.state("away")
    assert 172700 < int(child(ida, "back").get("within")) <= 172800
    waits = ida.exec("echo", "home")
    ida.event(waits, "accepted")
    place.pc("pc1").kill_target()           # a restart is no return
    ida.back(sid)
    ida.state("away")
    assert [e["ev"] for e in ida.events(waits)] == ["accepted"]
    sid = ida.now()["sid"]
    place.pc("pc1").off()
    wait_for(lambda: ida.now() is None, 20)
    place.pc("pc1").on()
    ida.back(sid)
    assert ida.output(waits) == b"home\n"
    assert child(ida, "back") is None
    assert what_happened(place)[-1]["what"] == "back"


def test_stays_after_all(ida):
    order(ida, "leave", AWAY, sid=ida.now()["sid"], seconds=60)
    ida.state("away")
    assert "away" not in order(ida, "stay", AWAY, by="ana")
    ida.state("ready")
