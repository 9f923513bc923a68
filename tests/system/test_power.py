"""Now or not at all: pings and reboots happen at once or are refused, whatever a server keeps or replays.

What must not happen is bounded by something that must: an answer that came later on the same
stream, a run from its submission to its end, and then the boot id and the count of boots.
"""
import os
import re
import signal
import time

import pytest

from lab import Lab, wait_for
from promises import EVERYBODY, INDY, Gate, submit
from stand_in import POWER, StandIn, why

NONCE_SECONDS = 10


@pytest.fixture(scope="module")
def place(kind):
    with Lab(kind, pcs=["pc1", "pc2"], controllers=["ctl", "ops"], accounts=[INDY],
             pc_config={"controllers": {"ctl@lab.test": "admin", "ops@lab.test": "run",
                                        **EVERYBODY}}) as lab:
        lab.start()
        yield lab


@pytest.fixture
def gate(place, request):
    gate = Gate(place, request.node.originalname)
    yield gate
    gate.open()
    place.wait_ready("pc1")


@pytest.fixture
def indy(place):
    with StandIn(place.server, INDY) as client:
        client.follow("pc1")
        yield client


class Boots:
    """How often a PC was reset, and which boot it is in."""

    def __init__(self, lab, name="pc1"):
        self.lab, self.name, self.pc = lab, name, lab.pc(name)
        self.before = self.now()

    def now(self):
        return self.pc.boot_id(), len(re.findall(r"rota-lab-pc: (reset|power on)", self.pc.log()))

    def none(self, client=None):
        """It is up, has served everything that came before, and was not reset."""
        self.lab.wait_ready(self.name)
        if client:
            answer = client.iq(client.full, "get", "<ping xmlns='urn:xmpp:ping'/>")
            assert answer.get("type") == "result"
        run = submit(self.lab, self.name, "true")
        assert self.lab.wait_run(run)["verdict"] == "passed"
        assert self.now() == self.before

    def one(self):
        boot, count = wait_for(lambda: self.now() != self.before and self.now())
        assert boot != self.before[0]
        assert count == self.before[1] + 1


# through the controller

def test_reboot_says_boot_ids_and_time(place):
    boots = Boots(place)
    result = place.rota("reboot", "pc1", "--json", "--reason", "because")
    assert result.code == 0, result
    (done,) = result.json()
    assert done["ok"] and done["simulated"]
    assert done["boot_before"] == boots.before[0]
    assert done["boot_after"] == place.pc("pc1").boot_id() != done["boot_before"]
    assert 0.2e6 <= done["took_usec"] < 20e6  # the simulated PC needs 200 ms to boot
    boots.one()
    assert "because" in place.pc("pc1").log()
    assert place.wait_state("pc1", "ready")["boot"] == done["boot_after"]
    boots = Boots(place)
    told = place.rota("reboot", "pc1")
    assert told.code == 0, told
    assert "rebooted" in told.out and re.search(r"\d ?m?s\b", told.out)
    boots.one()


def test_reboot_is_refused_while_busy(place, gate):
    boots = Boots(place)
    run = submit(place, "pc1", *gate.command())
    place.wait_run(run, "running")
    result = place.rota("reboot", "pc1")
    assert result.code == 6, result
    text = result.out + result.err
    assert run in text and "ctl@lab.test" in text and "--force" in text and "--drain" in text
    gate.open()
    assert place.wait_run(run)["verdict"] == "passed"
    boots.none()


def test_force_interrupts_and_says_so(place, gate):
    boots = Boots(place)
    run = submit(place, "pc1", *gate.command())
    place.wait_run(run, "running")
    result = place.rota("reboot", "--force", "pc1")
    assert result.code == 0, result
    boots.one()
    ended = place.wait_run(run)
    assert ended["verdict"] == "not-run" and "interrupted by a reboot" in ended["cause"]


def test_drain_waits_for_the_run(place, gate):
    boots = Boots(place)
    run = submit(place, "pc1", *gate.command())
    place.wait_run(run, "running")
    client = place.popen("reboot", "--drain", "pc1")
    place.wait_state("pc1", "draining")
    later = submit(place, "pc1", "true")
    place.wait_run(later, "queued")
    assert boots.now() == boots.before
    gate.open()
    out, err = client.communicate(timeout=30)
    assert client.returncode == 0, (out, err)
    boots.one()
    assert place.wait_run(run)["verdict"] == "passed"
    assert place.wait_run(later)["verdict"] == "passed"


def test_who_may_not_reboot_is_told(place):
    boots = Boots(place)
    result = place.rota("reboot", "pc1", controller="ops")
    assert result.code == 4, result
    boots.none()


def test_absent_is_an_error_within_a_second_and_nothing_later(place):
    pc = place.pc("pc2")
    pc.off()
    place.wait_state("pc2", "offline")
    for verb in (["ping"], ["reboot"], ["reboot", "--force"]):
        begin = time.monotonic()
        result = place.rota(*verb, "pc2")
        took = time.monotonic() - begin
        assert result.code == 3, result
        assert "offline" in result.out + result.err
        assert took < 1
    pc.on()
    place.wait_ready("pc2")
    Boots(place, "pc2").none()
    assert place.rota("ping", "pc2").code == 0


def test_absent_for_a_client_that_sends_all_the_same(place, indy):
    """To the full JID that was, and to the bare one: the server answers for it, and nothing happens later."""
    pc, full = place.pc("pc2"), "pc2@lab.test/target"
    nonce = indy.iq(full, "get", f"<challenge xmlns='{POWER}'/>").find(f"{{{POWER}}}challenge").attrib
    pc.off()
    place.wait_state("pc2", "offline")
    order = (f"<reboot xmlns='{POWER}' nonce='{nonce['nonce']}' boot='{nonce['boot']}' mode='force'/>")
    for to in (full, "pc2@lab.test"):
        begin = time.monotonic()
        assert indy.iq(to, "set", order).get("type") == "error"
        assert time.monotonic() - begin < 1
    # as messages, which servers do keep
    for kind in ("chat", "normal"):
        indy.send(f"<message to='pc2@lab.test' type='{kind}'><body>x</body>{order}</message>")
    pc.on()
    place.wait_ready("pc2")
    Boots(place, "pc2").none()


# on the wire

def test_a_challenge_and_its_answer_reboot_once(place, indy):
    boots = Boots(place)
    old, challenge = indy.sid(), indy.challenge()
    assert (len(challenge["nonce"]), challenge["boot"]) == (64, boots.before[0])
    done = indy.reboot(challenge, "graceful").find(f"{{{POWER}}}rebooting")
    assert done.get("boot") == boots.before[0]
    indy.back(old)
    boots.one()
    # the same again, word for word, as a server that replays would
    boots = Boots(place)
    assert why(indy.reboot(challenge, "graceful"))[0] == "stale"
    assert why(indy.reboot({**challenge, "boot": boots.before[0]}, "force"))[0] == "stale"
    boots.none(indy)


@pytest.mark.parametrize("attributes", [
    "", "mode='force'", "mode='force' boot='{boot}'", "mode='force' nonce='{zero}'",
    "mode='force' boot='{boot}' nonce=''", "mode='force' boot='{boot}' nonce='{zero}'",
    "mode='now' boot='{boot}' nonce='{nonce}'"])
def test_a_plain_reboot_is_refused(place, indy, attributes):
    boots, challenge = Boots(place), indy.challenge()
    text = attributes.format(boot=challenge["boot"], zero="0" * 64, nonce=challenge["nonce"])
    answer = indy.iq(indy.full, "set", f"<reboot xmlns='{POWER}' {text}/>")
    assert answer.get("type") == "error"
    boots.none(indy)


def test_a_challenge_is_good_once_for_its_connection_and_boot(place, indy):
    boots, challenge = Boots(place), indy.challenge()
    with StandIn(place.server, INDY, resource="other") as other:
        other.target = indy.target
        assert why(other.reboot(challenge, "force"))[0] == "stale"
        assert why(indy.reboot(challenge, "force"))[0] == "stale"  # used up by the attempt
    challenge = indy.challenge()
    assert why(indy.reboot({**challenge, "boot": "0" * 36}, "force"))[0] == "stale"
    first = indy.challenge()
    indy.challenge()  # a new one replaces it
    assert why(indy.reboot(first, "force"))[0] == "stale"
    boots.none(indy)
    old, challenge = indy.sid(), indy.challenge()
    place.pc("pc1").kill_target()
    indy.back(old)
    assert why(indy.reboot(challenge, "force"))[0] == "stale"
    boots.none(indy)
    old, challenge = indy.sid(), indy.challenge()
    place.pc("pc1").reset()
    indy.back(old)
    boots = Boots(place)
    assert why(indy.reboot(challenge, "force"))[0] == "stale"
    assert why(indy.reboot({**challenge, "boot": boots.before[0]}, "force"))[0] == "stale"
    boots.none(indy)


DELAY = "<delay xmlns='urn:xmpp:delay' from='lab.test' stamp='2026-01-01T00:00:00Z'/>"
WRAPPED = {
    "delayed iq": "<iq to='{to}' type='set' id='{id}'>{order}" + DELAY + "</iq>",
    "delay first": "<iq to='{to}' type='set' id='{id}'>" + DELAY + "{order}</iq>",
    "forwarded in an iq": "<iq to='{to}' type='set' id='{id}'><forwarded xmlns='urn:xmpp:forward:0'>"
                          "<iq xmlns='jabber:client' type='set' id='1' from='{me}' to='{to}'>{order}</iq>"
                          "</forwarded></iq>",
    "message": "<message to='{to}'>{order}</message>",
    "delayed message": "<message to='{to}'>{order}" + DELAY + "</message>",
    "forwarded message": "<message to='{to}'><forwarded xmlns='urn:xmpp:forward:0'>" + DELAY +
                         "<iq xmlns='jabber:client' type='set' id='1' from='{me}' to='{to}'>{order}</iq>"
                         "</forwarded></message>",
    "carbon": "<message to='{to}'><received xmlns='urn:xmpp:carbons:2'>"
              "<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='{me}' "
              "to='{to}'>{order}</message></forwarded></received></message>",
    "archived": "<message to='{to}'><result xmlns='urn:xmpp:mam:2' id='1'>"
                "<forwarded xmlns='urn:xmpp:forward:0'>" + DELAY + "<message xmlns='jabber:client' "
                "from='{me}' to='{to}'>{order}</message></forwarded></result></message>",
    "presence": "<presence to='{to}'>{order}</presence>",
}


@pytest.mark.parametrize("how", WRAPPED)
def test_a_wrapped_reboot_does_nothing(place, indy, how):
    boots, challenge = Boots(place), indy.challenge()
    order = (f"<reboot xmlns='{POWER}' nonce='{challenge['nonce']}' boot='{challenge['boot']}' "
             "mode='force'/>")
    ident = f"wrapped-{how.replace(' ', '-')}"
    indy.send(WRAPPED[how].format(to=indy.full, me=indy.jid, id=ident, order=order))
    if WRAPPED[how].startswith("<iq"):
        answer = indy.expect(lambda s: s.get("id") == ident and s.tag.endswith("}iq"))
        assert answer.get("type") == "error"
    boots.none(indy)


def test_frozen_when_it_was_asked_and_thawed_too_late(place, indy):
    """The order lies in a socket or at the server, unstamped, while the target sleeps; meanwhile another
    challenge grows old on a target that is awake."""
    boots, others = Boots(place), Boots(place, "pc2")
    pc = place.pc("pc1")
    challenge, full = indy.challenge(), "pc2@lab.test/target"
    awake = indy.iq(full, "get", f"<challenge xmlns='{POWER}'/>").find(f"{{{POWER}}}challenge").attrib
    pid = pc.target_pid()
    begin = time.monotonic()
    os.kill(pid, signal.SIGSTOP)
    try:
        indy.send(f"<iq to='{indy.full}' type='set' id='frozen'><reboot xmlns='{POWER}' mode='force' "
                  f"nonce='{challenge['nonce']}' boot='{challenge['boot']}'/></iq>")
        client = place.popen("reboot", "--force", "pc1")
        out, err = client.communicate(timeout=20)
        assert client.returncode == 3, (out, err)
        wait_for(lambda: time.monotonic() > begin + NONCE_SECONDS + 2, 20, what="12 s")
    finally:
        os.kill(pid, signal.SIGCONT)
    answer = indy.iq(full, "set", f"<reboot xmlns='{POWER}' mode='force' nonce='{awake['nonce']}' "
                     f"boot='{awake['boot']}'/>")
    assert why(answer)[0] == "stale"
    others.none()
    assert indy.expect(lambda s: s.get("id") == "frozen", 20).get("type") == "error"
    boots.none()
