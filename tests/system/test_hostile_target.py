"""A target that lies about runs: nothing it says changes what the controller knows of others, or stops it."""
import secrets
from xml.sax.saxutils import quoteattr

import pytest

from lab import Lab, wait_for
from peer import Peer
from promises import Gate, output, submit
from stand_in import PRESENCE, RUN, STREAM

BIG = 2**64 - 1


@pytest.fixture(scope="module")
def place(kind):
    with Lab(kind, pcs=["pc1"], controllers=["ctl", "ops"], accounts=["liar"]) as lab:
        lab.start()
        yield lab


class Liar(Peer):
    """Looks like a target, and answers list and follow with what it was told to."""

    def __init__(self, server):
        self.items, self.following = "", ""
        super().__init__(server, "liar", resource="target", presence=False)
        self.subscribe(f"ctl@{server.domain}")
        self.show()

    def show(self, run=None, owner="someone@lab.test"):
        on = f"<run id='{run}' step='1' of='1' owner={quoteattr(owner)}/>" if run else ""
        self.send(f"<presence><x xmlns='{PRESENCE}' role='target' state='{'busy' if run else 'ready'}' boot='b00t' "
                  f"sid='s1'><name>liar</name>{on}</x></presence>")

    def _arrived(self, stanza):
        x = stanza.xml
        if x.get("type") in ("get", "set"):
            for name, ns, payload in (("list", RUN, lambda: f"<runs xmlns='{RUN}'>{self.items}</runs>"),
                                      ("follow", STREAM, lambda: f"<following xmlns='{STREAM}'>{self.following}</following>"),
                                      ("sync", STREAM, lambda: "")):
                if x.find(f"{{{ns}}}{name}") is not None:
                    self.send(f"<iq to={quoteattr(x.get('from'))} type='result' id={quoteattr(x.get('id'))}>{payload()}</iq>")
        return super()._arrived(stanza)


@pytest.fixture(scope="module")
def liar(place):
    with Liar(place.server) as client:
        wait_for(lambda: place.ls().get("liar", {}).get("state") == "ready", 20)
        yield client


def item(run, **more):
    attributes = {"id": run, "owner": "someone@lab.test", "by": "x", "name": "n", "state": "ended",
                  "verdict": "passed", "seq": 1, "step": 1, "of": 1, "accepted": 1767222000, "ended": 1767222001, **more}
    return "<item " + " ".join(f"{k}={quoteattr(str(v))}" for k, v in attributes.items()) + "/>"


def have(run, stream="events", next_=10):
    return f"<have run='{run}' stream='{stream}' next='{next_}'/>"


@pytest.fixture
def gate(place, request):
    gate = Gate(place, request.node.originalname)
    yield gate
    gate.open()
    place.wait_ready("pc1")


def test_a_run_of_another_target(place, liar, gate):
    """It announces, lists and offers a run that pc1 has, of this controller or of another."""
    mine = submit(place, "pc1", *gate.command())
    place.wait_run(mine, "running")
    before = place.rota("show", mine, "--json").json()
    liar.items, liar.following = item(mine, owner="evil@lab.test"), have(mine)
    liar.show(run=mine, owner="evil@lab.test")
    wait_for(lambda: (place.ls()["liar"].get("run") or {}).get("id") == mine)
    result = place.rota("show", "liar")
    assert result.code == 3 and "on another target" in result.err, result
    after = place.rota("show", mine, "--json").json()
    assert after["target"] == "pc1" and after["owner"] == before["owner"] and after["by"] == before["by"]
    # of another controller, seen by none so far: who has it cannot be told
    gate.open()
    place.wait_run(mine)
    place.wait_ready("pc1", controller="ops")
    second = Gate(place, secrets.token_hex(4))
    theirs = submit(place, "pc1", *second.command(), controller="ops")
    place.wait_run(theirs, "running", controller="ops")
    liar.items, liar.following = item(theirs), have(theirs)
    liar.show(run=theirs)
    wait_for(lambda: (place.ls()["liar"].get("run") or {}).get("id") == theirs)
    wait_for(lambda: (place.ls()["pc1"].get("run") or {}).get("id") == theirs)
    result = place.rota("show", theirs)
    assert result.code == 3 and "several targets" in result.err, result
    # the target's name decides, and what it is then stays
    result = place.rota("show", "pc1", "--json")
    assert result.code == 0 and result.json()["run"] == theirs and result.json()["owner"] == "ops@lab.test", result
    result = place.rota("show", "liar")
    assert result.code == 3 and "on another target" in result.err, result
    second.open()
    assert place.wait_run(theirs, controller="ops")["verdict"] == "passed"
    assert place.wait_run(theirs)["verdict"] == "passed"
    assert output(place, theirs) == b"on\noff\n"
    liar.show()


def test_a_run_that_it_does_not_have(place, liar):
    """Announced, and then denied: no record of it stays."""
    ghost = secrets.token_hex(6)
    liar.items, liar.following = item(ghost), ""
    liar.show(run=ghost)
    wait_for(lambda: (place.ls()["liar"].get("run") or {}).get("id") == ghost)
    for typed in ("liar", ghost):
        result = place.rota("show", typed)
        assert result.code == 3 and "does not know run" in result.err, result
    assert ghost not in place.rota("runs").out
    liar.show()


@pytest.mark.parametrize("what", ["huge numbers", "terminal", "duplicates", "foreign", "nothing", "too many"])
def test_a_list(place, liar, what):
    run = secrets.token_hex(6)
    liar.items = {
        "huge numbers": item(run, accepted=BIG, ended=BIG, step=BIG, of=BIG, seq=BIG),
        "terminal": item(run, name="\u009b31m\u202eevil" + "x" * 100, by="\u2028", state="ended\u0085", verdict="?"),
        "duplicates": item(run) * 50,
        "foreign": item(run, owner="ctl@lab.test"),
        "nothing": "",
        "too many": "".join(item(f"{run}{i}") for i in range(101)),
    }[what]
    result = place.rota("runs", "--on", "liar")
    assert result.code == (3 if what == "too many" else 0), result
    assert "\u009b" not in result.out and "\u202e" not in result.out and "\u2028" not in result.out
    json = place.rota("runs", "--on", "liar", "--json")
    assert len(json.json()) == {"duplicates": 50, "nothing": 0, "too many": 0}.get(what, 1)
    # others are listed beside it, and it is followed without harm
    beside = place.rota("runs", "--on", "*", "--json")
    assert beside.code == result.code, beside
    liar.following = have(run, next_=2**63 - 1) + have("elsewhere", "1.out", 5)
    if what in ("huge numbers", "terminal", "foreign"):
        watching = place.popen("show", run)
        wait_for(lambda: liar.all(lambda s: s.find(f"{{{STREAM}}}follow") is not None))
        assert place.rota("ping", "pc1").code == 0      # nobody else waits for what it does not send
        # who asks may go only when the answer is there: without him nothing is taken in
        row = wait_for(lambda: [r for r in place.rota("runs", "--json").json() if r["run"] == run])[0]
        assert row["target"] == "liar"
        watching.kill()
        watching.communicate()
        assert place.rota("runs").code == 0
