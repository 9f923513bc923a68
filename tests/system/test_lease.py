"""Leases: one holder at a time, on the target's own clock, through restarts, reboots and races."""
import hashlib
import json
import secrets
import threading

import pytest

from lab import Lab, wait_for
from stand_in import POWER, PRESENCE, StandIn, exec_step, why

LEASE = "urn:rota:lease:1"
ROLES = {"ida@lab.test": "admin", "ivo@lab.test": "admin", "eve@lab.test": "run", "*@lab.test": "view"}


@pytest.fixture(scope="module")
def place(kind):
    with Lab(kind, pcs=["pc1"], controllers=["ctl"], accounts=["ida", "ivo", "eve"],
             pc_config={"controllers": {"ctl@lab.test": "admin", **ROLES}}) as lab:
        lab.start()
        yield lab


class Holder(StandIn):
    """An account that reserves pc1."""

    def __init__(self, *args, **kw):
        self.granted = []
        super().__init__(*args, **kw)

    def ask(self, verb, ident=None, deadline=10, **attributes):
        attributes = {"id": ident or secrets.token_hex(6), **attributes}
        if verb in ("acquire", "take"):
            attributes.setdefault("sid", self.sid())
        if verb != "release":
            attributes.setdefault("seconds", 60)
        text = "".join(f" {k}='{v}'" for k, v in attributes.items())
        return self.iq(self.full, "set", f"<{verb} xmlns='{LEASE}'{text}/>", deadline)

    def held(self, verb, ident=None, **attributes):
        answer = self.ask(verb, ident, **attributes)
        assert answer.get("type") == "result", answer.find(".//*") is not None and [
            (e.tag, e.attrib, e.text) for e in answer.iter()]
        lease = dict(answer.find(f"{{{LEASE}}}lease").attrib)
        if "id" in lease:
            self.granted.append(lease["id"])
        return lease

    def announced_lease(self):
        now = self.now()
        lease = now and now["element"].find(f"{{{PRESENCE}}}lease")
        return None if lease is None else dict(lease.attrib)


@pytest.fixture(name="two")
def fixture_two(place):
    with Holder(place.server, "ida") as ida, Holder(place.server, "ivo") as ivo:
        for who in (ida, ivo):
            who.follow("pc1")
        yield ida, ivo
        for who in (ida, ivo):
            for ident in who.granted:
                who.ask("release", ident)
        wait_for(lambda: ida.announced_lease() is None)


def audit(lab, name="pc1"):
    """The lines of the audit journal, whose chain is whole."""
    prev, entries = "", []
    for line in (lab.pc(name).path / "state/audit").read_bytes().splitlines():
        entry = json.loads(line)
        assert entry["prev"] == prev
        assert entry["seq"] == len(entries) + 1
        prev = hashlib.sha256(line).hexdigest()
        entries.append(entry)
    return entries


def test_one_holder(place, two):
    ida, ivo = two
    mine = ida.held("acquire", "lease-1", by="ana", reason="firmware")
    assert mine["holder"] == "ida@lab.test" and mine["by"] == "ana"
    assert 55 <= int(mine["left"]) <= 60
    # everybody sees it
    seen = wait_for(ivo.announced_lease)
    assert seen["id"] == "lease-1" and seen["holder"] == "ida@lab.test" and seen["reason"] == "firmware"
    assert ivo.now()["state"] == "reserved"
    assert place.ls()["pc1"]["state"] == "reserved"
    # nobody else gets it; who asked gets the same again
    assert why(ivo.ask("acquire")) == ("leased", {"holder": "ana"})
    assert ida.held("acquire", "lease-1")["token"] == mine["token"]
    # nor extends or ends it
    assert why(ivo.ask("extend", "lease-1", token=mine["token"]))[0] == "leased"
    assert why(ivo.ask("release", "lease-1"))[0] == "leased"
    assert why(ida.ask("extend", "lease-1", token=int(mine["token"]) + 1))[0] == "leased"
    assert int(ida.held("extend", "lease-1", token=mine["token"], seconds=600)["left"]) > 500
    assert "id" not in ida.held("release", "lease-1")
    assert "id" not in ida.held("release", "lease-1")       # once more does no harm
    later = ivo.held("acquire", "lease-2")
    assert int(later["token"]) == int(mine["token"]) + 1
    kinds = [e["what"] for e in audit(place)][-4:]
    assert kinds == ["lease-acquired", "lease-extended", "lease-released", "lease-acquired"]


def test_roles(place):
    with Holder(place.server, "eve") as eve:
        eve.follow("pc1")
        mine = eve.held("acquire", "of-eve")
        assert why(eve.ask("take"))[0] == "not-allowed"
        eve.held("release", "of-eve")
        assert mine["holder"] == "eve@lab.test"


def test_runs_of_others_wait_or_are_refused(two):
    ida, ivo = two
    mine = ida.held("acquire", "lease-3")
    waits = ivo.exec("echo", "later")
    ivo.event(waits, "accepted")
    fussy = ivo.submit({"steps": [exec_step("true")]}, if_idle="true")
    assert ivo.refusal(fussy)[1] == "leased"
    stale = ivo.submit({"steps": [exec_step("true")]}, lease=int(mine["token"]) - 1)
    assert ivo.refusal(stale)[1] == "leased"
    own = ida.submit({"steps": [exec_step("echo", "now")]}, lease=mine["token"])
    assert ida.output(own) == b"now\n"
    assert [e["ev"] for e in ivo.events(waits)] == ["accepted"]
    ida.held("release", "lease-3")
    assert ivo.output(waits) == b"later\n"
    # a run for a reservation that is over is not carried out any more
    late = ida.submit({"steps": [exec_step("true")]}, lease=mine["token"])
    assert ida.refusal(late)[1] == "leased"


def test_reboot_needs_the_token(place, two):
    ida, ivo = two
    mine = ida.held("acquire", "lease-4")
    boot = place.pc("pc1").boot_id()
    for extra in ("", f" lease='{int(mine['token']) - 1}'"):
        for mode in ("graceful", "force"):
            c = ivo.challenge()
            answer = ivo.iq(ivo.full, "set", f"<reboot xmlns='{POWER}' nonce='{c['nonce']}' "
                            f"boot='{c['boot']}' mode='{mode}'{extra}/>")
            assert why(answer) == ("leased", {"holder": "ida@lab.test"})
    assert place.pc("pc1").boot_id() == boot
    old = ida.sid()
    c = ida.challenge()
    answer = ida.iq(ida.full, "set", f"<reboot xmlns='{POWER}' nonce='{c['nonce']}' boot='{boot}' "
                    f"mode='graceful' lease='{mine['token']}'/>")
    assert answer.get("type") == "result"
    ida.back(old)
    assert place.pc("pc1").boot_id() != boot
    # and it has survived that
    assert wait_for(ida.announced_lease)["token"] == mine["token"]


def test_taken(place, two):
    ida, ivo = two
    mine = ida.held("acquire", "lease-5", by="ana")
    his = ivo.held("take", "lease-6", by="bob", reason="the night run")
    assert int(his["token"]) == int(mine["token"]) + 1
    wait_for(lambda: (ida.announced_lease() or {}).get("id") == "lease-6")
    assert why(ida.ask("extend", "lease-5", token=mine["token"]))[0] == "leased"
    late = ida.submit({"steps": [exec_step("true")]}, lease=mine["token"])
    assert ida.refusal(late)[1] == "leased"
    entry = audit(place)[-1]
    assert entry["what"] == "lease-taken" and entry["by"] == "bob" and entry["text"] == "the night run"


def test_ends_by_itself(place, two):
    ida, ivo = two
    ida.held("acquire", "lease-7", seconds=2)
    waits = ivo.exec("echo", "after")
    ivo.event(waits, "accepted")
    assert ivo.output(waits) == b"after\n"
    started, = [e for e in ivo.events(waits) if e["ev"] == "started"]
    ends = [e for e in audit(place) if e["what"] == "lease-ended"][-1]
    assert ends["about"] == "lease-7" and started["t"] >= ends["t"]
    acquired = [e for e in audit(place) if e["what"] == "lease-acquired"][-1]
    assert ends["t"] - acquired["t"] >= 1.9e6     # the journal is written after each


def test_not_of_another_session_or_for_too_long(two):
    ida, _ = two
    assert why(ida.ask("acquire", sid="older"))[0] == "stale"
    answer = ida.ask("acquire", seconds=8 * 86400)
    assert answer.get("type") == "error" and "at most 7d" in "".join(answer.itertext())
    assert ida.announced_lease() is None


def test_busy_with_a_run_of_somebody_else(two):
    ida, ivo = two
    run = ivo.exec("sh", "-c", "echo on; read x < /dev/tty")
    ivo.printed(run)
    assert why(ida.ask("acquire"))[0] == "busy"
    # who takes it waits for the run, and no other begins
    ida.held("take", "lease-8")
    ivo.cancel(run)
    ivo.ended(run)


def test_survives_the_daemon_and_the_power(place, two):
    ida, _ = two
    mine = ida.held("acquire", "lease-9", seconds=300)
    before = ida.sid()
    place.pc("pc1").kill_target()
    ida.back(before)
    again = wait_for(ida.announced_lease)
    assert again["token"] == mine["token"] and 200 < int(again["left"]) <= 300
    before = ida.sid()
    place.pc("pc1").off()
    place.pc("pc1").on()
    ida.back(before)
    again = wait_for(ida.announced_lease)
    assert again["id"] == "lease-9" and again["token"] == mine["token"]
    assert 200 < int(again["left"]) <= 300
    audit(place)


def race(place, two, rounds):
    """Both ask at the same moment, again and again; who gets it gives it back."""
    won = {who: [] for who in two}
    both = threading.Barrier(2)

    def ask(who, ident, answers):
        both.wait(30)
        answers[who] = who.ask("acquire", ident, deadline=30, sid=sid)

    first = len(audit(place))
    sid = two[0].sid()
    for i in range(rounds):
        answers = {}
        threads = [threading.Thread(target=ask, args=(who, f"race-{i}-{n}", answers))
                   for n, who in enumerate(two)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        winners = [w for w in two if answers[w].get("type") == "result"]
        assert len(winners) == 1, f"round {i}: {len(winners)} holders"
        lease = answers[winners[0]].find(f"{{{LEASE}}}lease")
        won[winners[0]].append(int(lease.get("token")))
        winners[0].held("release", lease.get("id"))
    # both histories and the target's own say the same
    tokens = sorted(sum(won.values(), []))
    assert tokens == list(range(tokens[0], tokens[0] + rounds))
    given = [e for e in audit(place)[first:] if e["what"] == "lease-acquired"]
    assert [e["who"] for e in given] == [
        next(w.jid.split("/")[0] for w in two if t in won[w]) for t in tokens]
    print(f"{rounds} rounds: {[len(w) for w in won.values()]} won")
    assert all(won.values()), "one of the two never had a chance: this was no race"


def test_race(place, two):
    race(place, two, 200)


@pytest.mark.long
def test_long_race(place, two):
    race(place, two, 10000)
