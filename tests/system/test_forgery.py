"""Who a stanza is from is what the server stamped: nothing that a sender writes beside it is believed.

`p:from` with another namespace is an attribute that servers pass on, and a parser that drops prefixes takes it
for the sender. Each forgery is sent once without it, and must be refused alike.
"""
import pytest

from lab import Lab, wait_for
from promises import EVERYBODY, INDY, Gate, Mark, output, submit
from stand_in import POWER, PRESENCE, RUN, STREAM, StandIn, why

X = "xmlns:p='urn:x'"


@pytest.fixture(scope="module")
def place(kind):
    with Lab(kind, pcs=["pc1"], accounts=[INDY, "eve"],
             pc_config={"controllers": {"ctl@lab.test": "admin", **EVERYBODY}}) as lab:
        lab.start()
        yield lab


@pytest.fixture
def eve(place):
    """May look, and no more."""
    with StandIn(place.server, "eve") as client:
        client.follow("pc1")
        yield client


@pytest.fixture
def gate(place, request):
    gate = Gate(place, request.node.originalname)
    yield gate
    gate.open()
    place.wait_ready("pc1")


# written among a sender's own attributes; the first one is none
FORGED = ["", *(f"{X} p:from='{who}'" for who in (
    "ctl@lab.test/rota", f"{INDY}@lab.test/peer", "lab.test", "", "pc1@lab.test/target"))]


def test_prosody_passes_such_attributes_on(place, eve):
    """Else this file would prove nothing of the target. ejabberd drops them."""
    with StandIn(place.server, INDY) as indy:
        eve.send(f"<message {X} p:from='ctl@lab.test/a' to='{indy.jid}' type='chat'><body>b</body></message>")
        got = indy.expect(lambda s: s.find("{jabber:client}body") is not None)
    assert got.get("from") == eve.jid
    assert got.get("{urn:x}from") == ("ctl@lab.test/a" if place.server.kind == "prosody" else None)


def test_a_run_under_a_false_name(place, eve):
    mark = Mark(place, "run")
    plan = '{"steps":[{"exec":["sh","-c","echo ran >>%s"]}]}' % mark.path
    for i, more in enumerate(FORGED):
        for j, text in enumerate((f"<message to='{eve.target}' {more}>", f"<message {more} to='{eve.target}'>")):
            run = f"forged-{i}-{j}"
            eve.send(f"{text}<run xmlns='{RUN}' id='{run}'><json xmlns='urn:xmpp:json:0'>{plan}</json></run></message>")
            # the refusal comes to whom it was from
            assert eve.refusal(run)[1] == "not-allowed"
    run = submit(place, "pc1", "true")
    assert place.wait_run(run)["verdict"] == "passed"
    assert mark.times() == 0


def test_a_cancel_under_a_false_name(place, eve, gate):
    run = submit(place, "pc1", *gate.command())
    place.wait_run(run, "running")
    for more in FORGED:
        eve.refused.clear()
        eve.send(f"<message to='{eve.target}' {more}><cancel xmlns='{RUN}' run='{run}'/></message>")
        assert eve.refusal(run)[1] == "not-allowed"
    gate.open()
    assert place.wait_run(run)["verdict"] == "passed"
    assert output(place, run) == b"on\noff\n"


def test_a_challenge_under_a_false_name(place, eve):
    for i, more in enumerate(FORGED):
        eve.send(f"<iq to='{eve.full}' type='get' id='c{i}' {more}><challenge xmlns='{POWER}'/></iq>")
        answer = eve.expect(lambda s: s.get("id") == f"c{i}")
        assert why(answer) == ("not-allowed", {"role": "reboot"})


def test_a_challenge_of_somebody_else_answered_under_a_false_name(place, eve):
    before = place.pc("pc1").boot_id()
    with StandIn(place.server, INDY) as indy:
        indy.follow("pc1")
        challenge = indy.challenge()
        for i, more in enumerate(FORGED):
            eve.send(f"<iq to='{eve.full}' type='set' id='r{i}' {more}><reboot xmlns='{POWER}' mode='force' "
                     f"nonce='{challenge['nonce']}' boot='{challenge['boot']}'/></iq>")
            answer = eve.expect(lambda s: s.get("id") == f"r{i}")
            assert why(answer)[0] == "not-allowed"
        # it was never used: for its owner it is still good
        old = indy.sid()
        assert place.pc("pc1").boot_id() == before
        assert indy.reboot(challenge, "force").find(f"{{{POWER}}}rebooting") is not None
        indy.back(old)
    place.wait_ready("pc1")
    assert place.pc("pc1").boot_id() != before


def test_somebody_elses_streams_under_a_false_name(place, eve, gate):
    """A sync as the controller would end or divert its streams; an acknowledgement would lose bytes."""
    run = submit(place, "pc1", *gate.command())
    place.wait_run(run, "running")
    wait_for(lambda: output(place, run) == b"on\n")
    for i, more in enumerate(FORGED):
        eve.send(f"<iq to='{eve.full}' type='set' id='s{i}' {more}><sync xmlns='{STREAM}'/></iq>")
        eve.expect(lambda s: s.get("id") == f"s{i}")
        eve.send(f"<message to='{eve.full}' type='headline' {more}>"
                 f"<ack xmlns='{STREAM}' run='{run}' stream='1.out' next='3'/>"
                 f"<done xmlns='{STREAM}' run='{run}'/></message>")
    gate.open()
    assert place.wait_run(run)["verdict"] == "passed"
    assert output(place, run) == b"on\noff\n"
    assert not eve.streams


def test_a_target_under_a_false_name(place, eve):
    """The controller is told that pc1 is busy, gone, another: it goes on seeing what pc1 itself says."""
    truth = place.ls()["pc1"]
    state = (f"<x xmlns='{PRESENCE}' role='target' state='draining' boot='f00' sid='f00' queue='7'>"
             "<name>Forged</name></x>")
    eve.subscribe("ctl@lab.test")
    for more in (f"{X} p:from='pc1@lab.test/target'", f"{X} p:from='pc1@lab.test'"):
        eve.send(f"<presence to='ctl@lab.test' {more}>{state}</presence>")
        eve.send(f"<presence to='ctl@lab.test' {more} type='unavailable'/>")
        eve.send(f"<presence to='ctl@lab.test' {more} p:type='unavailable'>{state}</presence>")
        eve.send(f"<message to='ctl@lab.test' {more}><refused xmlns='{RUN}' run='x' why='full'/></message>")
    # all of that has come when this has: eve under its own name
    eve.send(f"<presence to='ctl@lab.test'>{state.replace('Forged', 'Last')}</presence>")
    wait_for(lambda: place.ls().get("eve", {}).get("title") == "Last", what="the controller has heard eve")
    now = place.ls()["pc1"]
    for key in ("state", "boot", "title", "queue", "since_usec"):
        assert now[key] == truth[key]


def test_a_prefixed_attribute_of_a_payload_counts_for_nothing(place):
    """The same in what we decode ourselves."""
    with StandIn(place.server, INDY) as indy:
        indy.follow("pc1")
        plan = "<json xmlns='urn:xmpp:json:0'>{\"steps\":[{\"exec\":[\"echo\",\"x\"]}]}</json>"
        indy.send(f"<message to='{indy.target}'><run xmlns='{RUN}' {X} id='true-id' p:id='false-id' "
                  f"p:ttl='1'>{plan}</run></message>")
        assert indy.output("true-id") == b"x\n"
        indy.send(f"<message to='{indy.target}'><run xmlns='{RUN}' {X} p:id='only-id'>{plan}</run></message>")
        assert indy.output(indy.exec("echo", "y")) == b"y\n"
        assert [run for run, _ in indy.streams if run in ("false-id", "only-id")] == []
        assert place.rota("ping", "pc1").code == 0
