"""100,000 reboots that must not happen: late, replayed, doubled, wrapped, from somebody else, out of shape.

Half of them on each server. Each carries as much of the truth as can be: mostly a challenge that was given to this very
sender a moment ago and is still good. Every executed reboot writes a line into its machine's witness file,
and orders in good shape before and after show that the witness can speak.
"""
import base64
import collections
import itertools
import os
import re
import signal
import time

import pytest

from lab import program, wait_for
from promises import INDY, submit
from raw import Raw
from stand_in import POWER
from wires import WiredLab

pytestmark = pytest.mark.root
TRIES = 50_000          # on each server
BATCH = 400             # under way at a time: servers drop what piles up beyond 500
NONCE_SECONDS = 10
PCS = ["pc1", "pc2", "pc3"]

PING = "<ping xmlns='urn:xmpp:ping'/>"
DELAY = "<delay xmlns='urn:xmpp:delay' from='lab.test' stamp='2026-01-01T00:00:00Z'/>"
OLD_DELAY = "<x xmlns='jabber:x:delay' stamp='20260101T00:00:00'/>"


class Place(WiredLab):
    def __init__(self, kind):
        super().__init__(kind, pcs=PCS, accounts=[INDY, "eve", "ops"], pc_config={
            "controllers": {"ctl@lab.test": "admin", f"{INDY}@lab.test": "admin", "ops@lab.test": "run",
                            "*@lab.test": "view"}})
        for pc in self.pcs.values():
            pc.witness = pc.path / "witness"
            pc.witness.touch()
            pc.config["power"]["command"] = [
                "/bin/sh", "-c", 'echo "$ROTA_REBOOT_MODE" >>"$1" && exec "$2" --reset "$3"', "sh",
                str(pc.witness), program("rota-lab-pc"), str(pc.pid_file)]

    def reboots(self, pc):
        return len(self.pc(pc).witness.read_text().splitlines())


@pytest.fixture(scope="module")
def place(kind):
    with Place(kind) as lab:
        lab.start()
        yield lab


def full(pc):
    return f"{pc}@lab.test/target"


def challenge(client, pc):
    kind, text = client.iq(full(pc), "get", f"<challenge xmlns='{POWER}'/>")
    assert kind == "result", text
    return read_challenge(text)


def read_challenge(text):
    return tuple(re.search(rf"\b{name}=['\"]([^'\"]+)['\"]", text).group(1) for name in ("nonce", "boot"))


def order(nonce, boot, mode="force", more=""):
    return f"<reboot xmlns='{POWER}' nonce='{nonce}' boot='{boot}' mode='{mode}' {more}/>"


def verdict(text):
    """What an error answer says: our word for it, or the standard condition."""
    own = re.search(r"<([a-z-]+)\b[^>]*xmlns=['\"]urn:rota:error:1['\"]", text)
    standard = re.search(r"<([a-z-]+)\b[^>]*xmlns=['\"]urn:ietf:params:xml:ns:xmpp-stanzas['\"]", text)
    assert standard, text
    return own.group(1) if own else standard.group(1)


def patiently(clients, predicate, deadline=30):
    """Servers end clients that do not answer their pings."""
    def ticking():
        for client in clients.values():
            client.tick()
        return predicate()
    wait_for(ticking, deadline)


def reboot_once(place, client, pc):
    """The control: an order in good shape, twice in one packet, reboots once."""
    before, old = place.reboots(pc), place.ls()[pc]["boot"]
    nonce, boot = challenge(client, pc)
    assert boot == old
    client.write("".join(f"<iq to='{full(pc)}' type='set' id='control-{i}'>{order(nonce, boot)}</iq>" for i in "ab"))
    assert client.answer("control-a")[0] == "result"
    assert client.answer("control-b")[0] == "error"
    wait_for(lambda: (place.ls().get(pc, {}).get("boot") or old) != old, 20, what=f"{pc} has rebooted")
    place.wait_ready(pc)
    assert place.reboots(pc) == before + 1
    return nonce, boot


# A try: (how it is sent, what may come back). {to}, {id}, {me}: filled in when it is sent.

def iq(payload, *may, kind="set", more=""):
    return f"<iq to='{{to}}' type='{kind}' id='{{id}}' {more}>{payload}</iq>", may


def silent(text):
    return text, ()


def wrapped(reboot):
    """Forwarded, copied, archived: as messages, which nobody answers, and as what is no message."""
    inner = f"<iq xmlns='jabber:client' type='set' id='1' from='{{me}}' to='{{to}}'>{reboot}</iq>"
    forwarded = f"<forwarded xmlns='urn:xmpp:forward:0'>{DELAY}{inner}</forwarded>"
    message = (f"<forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='{{me}}' to='{{to}}'>"
               f"{reboot}</message></forwarded>")
    for kind in ("normal", "chat", "headline"):
        yield silent(f"<message to='{{to}}' type='{kind}'>{reboot}</message>")
        yield silent(f"<message to='{{to}}' type='{kind}'><body>reboot</body>{reboot}{DELAY}</message>")
        yield silent(f"<message to='{{to}}' type='{kind}'>{forwarded}</message>")
    for carbon in ("received", "sent"):
        yield silent(f"<message to='{{to}}'><{carbon} xmlns='urn:xmpp:carbons:2'>{message}</{carbon}></message>")
    yield silent(f"<message to='{{to}}'><result xmlns='urn:xmpp:mam:2' id='1'>{message}</result></message>")
    yield silent(f"<message to='{{to}}'><result xmlns='urn:xmpp:mam:2' id='1'>{forwarded}</result>{reboot}</message>")
    yield silent(f"<presence to='{{to}}'>{reboot}</presence>")
    yield silent(f"<presence to='{{to}}' type='unavailable'>{reboot}</presence>")
    yield silent(f"<presence to='{{to}}'>{forwarded}</presence>")
    no_speech = ("service-unavailable", "bad-request", "stale", "feature-not-implemented")
    yield iq(forwarded, *no_speech)
    yield iq(f"{forwarded}{reboot}", *no_speech)
    yield iq(f"<received xmlns='urn:xmpp:carbons:2'>{message}</received>", *no_speech)
    yield iq(f"<query xmlns='jabber:iq:private'>{reboot}</query>", *no_speech)
    yield iq(f"<result xmlns='urn:xmpp:mam:2' id='1'>{message}</result>", *no_speech)


def shapes(nonce, boot):
    """A good challenge, in an order that is not in good shape. None of them uses it up."""
    good = order(nonce, boot)
    bad = ("bad-request",)
    yield from wrapped(good)
    yield iq(good + DELAY, "stale", *bad)
    yield iq(DELAY + good, "stale", *bad)
    yield iq(good + OLD_DELAY, "stale", *bad)
    yield iq(good + good, *bad)
    yield iq(f"<challenge xmlns='{POWER}'/>{good}", *bad)
    yield iq(good, "service-unavailable", "bad-request", kind="get")
    for kind in ("result", "error"):
        yield silent(f"<iq to='{{to}}' type='{kind}' id='{{id}}x'>{good}</iq>")
    yield iq(good.replace(":power:1", ":power:2"), "service-unavailable")
    yield iq(good.replace("urn:rota", "urn:Rota"), "service-unavailable")
    yield iq(good.replace("<reboot", "<Reboot"), "service-unavailable")
    # the nonce, nearly
    raw = bytes.fromhex(nonce)
    spelt = {nonce.upper(), nonce[:-1], nonce + "0", nonce + " ", " " + nonce, "", "0x" + nonce[2:], nonce[:32],
             nonce + nonce, base64.b64encode(raw).decode(), "".join(f"%{b:02x}" for b in raw)[:64],
             nonce.translate({ord(c): 0xFF10 + i for i, c in enumerate("0123456789")}),
             nonce[:-1] + "&#xA0;", nonce[:63] + "g"} - {nonce}
    for other in sorted(spelt):
        yield iq(order(other, boot), *bad)
    for flipped in (0, 31, 63):
        yield iq(order(nonce[:flipped] + f"{int(nonce[flipped], 16) ^ 1:x}" + nonce[flipped + 1:], boot), "stale")
    yield iq(order(nonce[::-1], boot), "stale")
    yield iq(order("0" * 64, boot), "stale")
    # an attribute is missing, or means nothing
    p = "xmlns:p='urn:x'"
    yield iq(f"<reboot xmlns='{POWER}'/>", *bad)
    yield iq(f"<reboot xmlns='{POWER}' nonce='{nonce}' mode='force'/>", *bad)
    yield iq(f"<reboot xmlns='{POWER}' boot='{boot}' mode='force'/>", *bad)
    yield iq(f"<reboot xmlns='{POWER}' nonce='{nonce}' boot='{boot}'/>", *bad)
    yield iq(f"<reboot xmlns='{POWER}'><nonce>{nonce}</nonce><boot>{boot}</boot><mode>force</mode></reboot>", *bad)
    for mode in ("", "now", "FORCE", "force ", "1", "graceful,force"):
        yield iq(order(nonce, boot, mode), *bad)
    for name in ("nonce", "boot", "mode"):
        yield iq(f"<reboot xmlns='{POWER}' {p} {good.split(POWER)[1][2:-2].replace(name + '=', 'p:' + name + '=')}/>", *bad)
    yield iq(order("f" * 64, boot, more=f"{p} p:nonce='{nonce}'"), "stale")
    yield iq(order(nonce, boot, "now", more=f"{p} p:mode='force'"), *bad)


def replays(nonces):
    """What was good once: (nonce, boot) that were granted, used up, or given by an earlier daemon, boot or machine."""
    for nonce, boot in nonces:
        for mode in ("graceful", "force", "drain"):
            yield iq(order(nonce, boot, mode), "stale")


def endings(nonce, boot, old_boot):
    """The last of a batch: these use the challenge up."""
    yield iq(order(nonce, old_boot), "stale")
    yield iq(order(nonce, boot), "stale")


class Storm:
    """Tries of one client against one machine, and how they were answered."""

    def __init__(self, client, pc):
        self.client, self.pc = client, pc
        self.numbers = itertools.count()
        self.count, self.said = 0, collections.Counter()

    def send(self, tries, last=""):
        """All at once; returns when everything was answered that has an answer."""
        text, waiting = [], []
        for stanza, may in tries:
            ident = f"t{next(self.numbers)}"
            text.append(stanza.format(to=full(self.pc), id=ident, me=self.client.jid))
            if may:
                waiting.append((ident, stanza, may))
        self.count += len(text)
        ping = f"t{next(self.numbers)}"
        self.client.write(f"{''.join(text)}<iq to='{full(self.pc)}' type='get' id='{ping}'>{PING}</iq>{last}")
        for ident, stanza, may in waiting:
            kind, answer = self.client.answer(ident)
            assert kind == "error", (stanza, answer)
            said = verdict(answer)
            assert said in may, (stanza, answer)
            # Prosody passes no iq on that has two payloads
            self.said["server" if "Incorrect number of children" in answer else said] += 1
        # what came before has been read
        assert self.client.answer(ping)[0] == "result"

    def batches(self, number, make):
        """make(nonce, boot): the tries of a batch, with a challenge of its own."""
        ask = f"<iq to='{full(self.pc)}' type='get' id='ask'><challenge xmlns='{POWER}'/></iq>"
        self.client.write(ask)
        for _ in range(number):
            kind, text = self.client.answer("ask")
            assert kind == "result", text
            self.send(make(*read_challenge(text)), last=ask)
        self.client.answer("ask")


class Late:
    """Orders in good shape for machines that cannot hear: pc1 is frozen, nothing passes pc2's cable."""
    NUMBER = 100

    def __init__(self, place, clients):
        self.place, self.clients = place, clients
        self.given = {pc: challenge(clients[pc], pc) for pc in ("pc1", "pc2")}
        self.begin = time.monotonic()
        self.pid = place.pc("pc1").target_pid()
        os.kill(self.pid, signal.SIGSTOP)
        self.cut = place.wires.begin_rule("pc2", "drop")
        modes = itertools.cycle(("force", "graceful", "drain"))
        for pc, (nonce, boot) in self.given.items():
            clients[pc].write("".join(
                f"<iq to='{full(pc)}' type='set' id='late{i}'>{order(nonce, boot, mode)}</iq>"
                for i, mode in zip(range(self.NUMBER), modes)))
        self.count = self.NUMBER * len(self.given)

    def end(self):
        patiently(self.clients, lambda: time.monotonic() - self.begin > NONCE_SECONDS + 2)
        os.kill(self.pid, signal.SIGCONT)
        self.place.wires.end_rule("pc2", self.cut)
        for pc in self.given:
            for i in range(self.NUMBER):
                # by the target, too late; or by the server, for a session that it gave up
                kind, text = self.clients[pc].answer(f"late{i}", 60)
                assert kind == "error", text
        patiently(self.clients, lambda: all(self.place.ls()[pc]["state"] == "ready" for pc in self.given))
        for pc, given in self.given.items():
            kind, text = self.clients[pc].iq(full(pc), "set", order(*given))
            assert (kind, verdict(text)) == ("error", "stale")


def journal(pc):
    """What a target's log says of refusals: how many lines, and how many refusals they stand for."""
    lines = [line for line in pc.log().splitlines() if " is refused: " in line or " were refused in " in line]
    more = [re.search(r">(\d+) more requests of ", line) for line in lines]
    return len(lines), sum(int(m.group(1)) if m else 1 for m in more)


def memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


def restart(place, client, pc, number):
    """The daemon alone."""
    was = place.pc(pc).target_pid()
    os.kill(was, number)
    wait_for(lambda: place.pc(pc).target_pid() not in (None, was) and
             client.iq(full(pc), "get", PING)[0] == "result", 20, what=f"{pc} has another daemon")


def by_thieves(victim, nonce, boot):
    """What others try with somebody's challenge: as themselves, and under his name."""
    good, p = order(nonce, boot), "xmlns:p='urn:x'"
    yield iq(good, "not-allowed")
    for name in (victim.jid, victim.jid.split("/")[0], "lab.test", full("pc3"), ""):
        yield iq(good, "not-allowed", more=f"{p} p:from='{name}'")
    for stanza, may in wrapped(good):
        yield stanza.replace("{me}", victim.jid), may and (*may, "not-allowed")


def storm_of(place, clients, old, total):
    """@total tries against pc3; returns the storms, and the daemon that stood them."""
    indy = clients["pc3"]
    before_restart = challenge(indy, "pc3")
    restart(place, indy, "pc3", signal.SIGKILL)
    boot, pid = challenge(indy, "pc3")[1], place.pc("pc3").target_pid()
    # granted ones, with their boot and with this one; of an earlier daemon; of other machines
    spent = [old["pc3"], (old["pc3"][0], boot), before_restart, old["pc1"], (old["pc1"][0], boot), old["pc2"],
             (old["pc2"][0], boot)]
    main, others = Storm(indy, "pc3"), [Storm(clients[name], "pc3") for name in ("eve", "ops")]
    same = Storm(clients["other"], "pc3")
    storms = [main, same, *others]

    def batch(nonce, boot):
        once = [*shapes(nonce, boot), *replays(spent)]
        return [*once * ((BATCH - 2) // len(once)), *endings(nonce, boot, old["pc3"][1])]

    while sum(s.count for s in storms) < total:
        main.batches(10, batch)
        given = challenge(indy, "pc3")
        for thief in others:
            thief.send(list(by_thieves(indy, *given)) * 4)
        # the same account, another connection: this uses it up
        same.send([iq(order(*given), "stale")] * 5)
        for client in clients.values():
            client.tick()
    return storms, pid


def test_no_reboot_but_the_ordered_one(place):
    clients = {name: Raw(place.server, INDY, resource=name) for name in (*PCS, "other")}
    clients |= {name: Raw(place.server, name) for name in ("eve", "ops")}
    try:
        old = {pc: reboot_once(place, clients[pc], pc) for pc in PCS}
        boots = {pc: row["boot"] for pc, row in place.ls().items()}
        begin = time.monotonic()
        late = Late(place, clients)
        journal_before = journal(place.pc("pc3"))
        storms, pid = storm_of(place, clients, old, TRIES - late.count)
        took = time.monotonic() - begin
        late.end()

        # nothing happened, and nothing waits to happen
        assert {pc: place.reboots(pc) for pc in PCS} == dict.fromkeys(PCS, 1)
        rows = place.ls()
        assert {pc: (rows[pc]["state"], rows[pc]["queue"], rows[pc]["boot"]) for pc in PCS} == {
            pc: ("ready", 0, boots[pc]) for pc in PCS}
        assert challenge(clients["pc3"], "pc3")[1] == boots["pc3"]
        patiently(clients, lambda: True)
        run = submit(place, "pc3", "true")
        assert place.wait_run(run)["verdict"] == "passed"
        assert [r["run"] for r in place.rota("runs", "--json").json()] == [run]

        # the daemon is the same, no bigger than any, and its journal has the count but not each of them
        pc3 = place.pc("pc3")
        assert pc3.target_pid() == pid and memory(pid) < 16384
        restart(place, clients["pc3"], "pc3", signal.SIGTERM)
        lines, refusals = (after - before for after, before in zip(journal(pc3), journal_before))
        said = sum((s.said for s in storms), collections.Counter())
        assert refusals == sum(said.values()) - said["service-unavailable"] - said["server"]
        assert lines < 200 + 10 * took
        print(f"\n{place.server.kind}: {late.count + sum(s.count for s in storms)} tries, {took:.0f} s, answers "
              f"{dict(said)}, {lines} lines in the journal")

        # and nothing else was wrong with the machines
        for pc in PCS:
            reboot_once(place, clients[pc], pc)
        assert {pc: place.reboots(pc) for pc in PCS} == dict.fromkeys(PCS, 2)
    finally:
        for client in clients.values():
            client.close()
