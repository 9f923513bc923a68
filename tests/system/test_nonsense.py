"""Peers with an account that send rubbish: daemons stay up, answer as they should, and no other run is harmed.

`indy` is an admin of every target, `mallory` is taken for a target by the controller. Both speak
the wire with an XMPP client that shares no code with rota.
"""
import base64
import hashlib
import json
import secrets
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from lab import Lab, wait_for
from peer import Peer
from promises import Gate, output, submit

RUN, STREAM, POWER, PRESENCE = (f"urn:rota:{n}:1" for n in ("run", "stream", "power", "presence"))
LINE = "".join(f"{n}\n" for n in range(20000))


@pytest.fixture(scope="module")
def lab():
    """While the tests of this file run, pc1 and pc2 each have a run of the controller that goes on."""
    with Lab("prosody", pcs=("pc1", "pc2"), accounts=("indy", "mallory", "eve"), pc_config={
            "controllers": {"ctl@lab.test": "admin", "indy@lab.test": "admin",
                            "*@lab.test": "view"}}) as lab:
        lab.start()
        gates = {name: Gate(lab, name) for name in lab.pcs}
        lab.runs = {name: submit(lab, name, "sh", "-c",
                                 f"seq 0 9999; {g.wait_text}; seq 10000 19999",
                                 options=["--no-pty"]) for name, g in gates.items()}
        for run in lab.runs.values():
            lab.wait_run(run, "running")
        before = pids(lab)
        memory = {pid: rss(pid) for pid in before}
        yield lab
        # every daemon is the one that it was, in its size, and the runs end as if nothing had been
        assert pids(lab) == before
        for pid in before:
            print(f"{pid}: {memory[pid]} KiB before, {rss(pid)} after, {rss(pid, 'VmHWM')} at most")
            assert rss(pid) < memory[pid] + 24 * 1024, (pid, memory[pid], rss(pid))
        for gate in gates.values():
            gate.open()
        for run in lab.runs.values():
            row = lab.wait_run(run)
            assert row["verdict"] == "passed", row
            assert output(lab, run).decode() == LINE
        assert {p.name for p in lab.controller().path.iterdir()} <= {
            "controller.json", "log", "password", "state", "sock"}


def pids(lab):
    return [lab.pc("pc1").target_pid(), lab.pc("pc2").target_pid(), lab.controller().process.pid]


def rss(pid, what="VmRSS"):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1])
    raise AssertionError(f"no {what}")


@pytest.fixture(scope="module")
def indy(lab):
    with Peer(lab.server, "indy") as peer:
        yield peer


@pytest.fixture(scope="module")
def mallory(lab):
    """A target, as far as the controller can see."""
    with Peer(lab.server, "mallory", resource="target") as peer:
        peer.full = controller_jid(lab, peer)
        peer.subscribe("ctl@lab.test")
        peer.send(announcement())
        wait_for(lambda: "mallory" in lab.ls())
        yield peer


def controller_jid(lab, peer):
    """The controller's full JID, which it tells to whom it accepts."""
    peer.subscribe("ctl@lab.test")
    peer.send("<presence to='ctl@lab.test' type='subscribed'/>")
    return peer.expect(lambda s: s.tag.endswith("}presence") and s.get("type") is None and
                       (s.get("from") or "").startswith("ctl@lab.test/"),
                       what="the controller's presence").get("from")


def announcement(attributes="role='target' state='ready' boot='b1' sid='s1'",
                 children="<name>M</name>", to=""):
    return f"<presence {to}><x xmlns='{PRESENCE}' {attributes}>{children}</x></presence>"


def alive(lab, peer, full):
    """It answers after everything that was sent before, and it does so now."""
    answer = peer.iq(full, "get", "<ping xmlns='urn:xmpp:ping'/>", deadline=10)
    assert answer.get("type") == "result", answer


def error_of(answer):
    assert answer.get("type") == "error", answer.attrib
    error = answer.find("{jabber:client}error")
    return error[0].tag.split("}")[1] if error is not None else None


PC1 = "pc1@lab.test/target"
def deep(levels):
    return "<a xmlns='urn:x'>" + "<a>" * levels + "</a>" * (levels + 1)


# servers take stanzas of up to 256 KiB; Prosody works for a second on 30,000 levels, so that is done once
DEEPEST, DEEP = deep(30000), deep(2000)
WIDE = "<a xmlns='urn:x'/>" * 3000
JUNK = base64.b64encode(secrets.token_bytes(30000)).decode()


# questions: each has exactly one answer

HAVE = "<have run='x' stream='y' next='1'/>"
ZEROS = "0" * 64
QUESTIONS = {   # name: type, payload, what may be answered (None: anything)
    "nothing": ("get", "", {"bad-request"}),
    "unknown": ("get", "<a xmlns='urn:x'/>", {"service-unavailable", "feature-not-implemented"}),
    "two": ("set", "<a xmlns='urn:x'/><b xmlns='urn:x'/>", {"bad-request", "service-unavailable"}),
    "set of a get": ("set", "<ping xmlns='urn:xmpp:ping'/>",
                     {"service-unavailable", "feature-not-implemented", "bad-request"}),
    "deepest": ("get", DEEPEST, None),
    "wide": ("get", WIDE, None),
    "bare reboot": ("set", f"<reboot xmlns='{POWER}'/>", {"bad-request"}),
    "wrong nonce": ("set", f"<reboot xmlns='{POWER}' nonce='x' boot='y' mode='force'/>",
                    {"bad-request", "not-acceptable", "conflict", "gone", "forbidden"}),
    "unknown mode": ("set", f"<reboot xmlns='{POWER}' nonce='{ZEROS}' boot='y' mode='explode'/>",
                     {"bad-request"}),
    "long reason": ("set", f"<reboot xmlns='{POWER}' nonce='{ZEROS}' boot='y' mode='force' "
                           f"reason='{'r' * 100000}'/>", {"bad-request"}),
    "negative": ("set", f"<sync xmlns='{STREAM}'>{HAVE.replace('1', '-1')}</sync>",
                 {"bad-request"}),
    "path": ("set", f"<sync xmlns='{STREAM}'><have run='../x' stream='y' next='1'/></sync>",
             {"bad-request"}),
    "too many": ("set", f"<sync xmlns='{STREAM}'>{HAVE * 5000}</sync>",
                 {"bad-request", "policy-violation", "not-acceptable"}),
    "deep child": ("get", f"<challenge xmlns='{POWER}'><deep>{DEEP}</deep></challenge>", None),
    "long node": ("get", f"<query xmlns='http://jabber.org/protocol/disco#info' node='{'n' * 5000}'/>",
                  {"item-not-found", "bad-request"}),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_questions(lab, indy, name):
    kind, payload, conditions = QUESTIONS[name]
    since = len(indy.seen)
    answer = indy.iq(PC1, kind, payload)
    if conditions is not None:
        assert error_of(answer) in conditions
    alive(lab, indy, PC1)
    again = [s for s in indy.seen[since:] if s.get("id") == answer.get("id")]
    assert len(again) == 1, "one question, one answer"
    assert lab.ls("pc1")["pc1"]["state"] == "busy"


def test_answers_to_nothing(lab, indy, mallory):
    for kind in ("result", "error"):
        for full, peer in ((PC1, indy), (mallory.full, mallory)):
            for payload in ("", DEEP, "<ping xmlns='urn:xmpp:ping'/>",
                            f"<rebooting xmlns='{POWER}' boot='x'/>",
                            f"<challenge xmlns='{POWER}' nonce='x' boot='b' busy='false'/>"):
                peer.send(f"<iq to='{full}' type='{kind}' id='1'>{payload}</iq>")
    alive(lab, indy, PC1)
    alive(lab, mallory, mallory.full)


# messages to a target

def plan(text, attributes="id='n1'"):
    return (f"<run xmlns='{RUN}' {attributes}><json xmlns='urn:xmpp:json:0'>{escape(text)}</json>"
            "</run>")


GOOD = '{"steps":[{"exec":["touch","%s"]}]}'
BAD_RUNS = {
    "no id": (GOOD, ""),
    "path": (GOOD, "id='../../n'"),
    "dot": (GOOD, "id='..'"),
    "long id": (GOOD, f"id='{'n' * 5000}'"),
    "empty id": (GOOD, "id=''"),
    "ttl": (GOOD, "id='n1' ttl='-5'"),
    "ttl word": (GOOD, "id='n1' ttl='soon'"),
    "ttl huge": (GOOD, "id='n1' ttl='99999999999999999999999999'"),
    "if-idle": (GOOD, "id='n1' if-idle='perhaps'"),
    "not json": ("{", "id='n1'"),
    "nothing": ("", "id='n1'"),
    "array": ("[]", "id='n1'"),
    "deep json": ("[" * 50000, "id='n1'"),
    "no steps": ('{"steps":[]}', "id='n1'"),
    "steps": ('{"steps":[%s]}' % ",".join(['{"exec":["true"]}'] * 5000), "id='n1'"),
    "huge": ('{"steps":[{"exec":["echo","%s"]}]}' % ("x" * 150000), "id='n1'"),
    "unknown key": ('{"steps":[{"exec":["true"],"colour":1}]}', "id='n1'"),
    "unknown diag": ('{"steps":[{"diag":"format-disk"}]}', "id='n1'"),
    "shell": ('{"steps":[{"diag":"memory","params":{"size":"1M; touch %s"}}]}', "id='n1'"),
    "twice": ('{"steps":[{"exec":["true"],"exec":["true"]}],"steps":[]}', "id='n1'"),
    "nul": ('{"steps":[{"exec":["a\\u0000b"]}]}', "id='n1'"),
    "number": ('{"steps":[{"exec":["true"],"timeout":1e999}]}', "id='n1'"),
}


@pytest.mark.parametrize("name", BAD_RUNS)
def test_runs_that_are_none(lab, indy, name):
    """Refused with a reason or passed over; never begun."""
    text, attributes = BAD_RUNS[name]
    marker = lab.path / f"touched-{secrets.token_hex(4)}"
    runs = lab.pc("pc1").path / "state/runs"
    before = set(runs.iterdir())
    indy.send(f"<message to='{PC1}'>{plan(text.replace('%s', str(marker)), attributes)}</message>")
    alive(lab, indy, PC1)
    # pc1 is busy: what was accepted would wait there
    assert set(runs.iterdir()) == before
    assert not marker.exists()


def test_other_messages(lab, indy):
    run = lab.runs["pc1"]
    texts = ["", "<body>hello</body>", f"<cancel xmlns='{RUN}'/>", f"<cancel xmlns='{RUN}' run='{'x' * 10000}'/>",
             f"<cancel xmlns='{RUN}' run='unknown-run'/>",
             f"<refused xmlns='{RUN}' run='{run}' why='busy'>no</refused>",
             f"<chunk xmlns='{STREAM}' run='{run}' stream='1.out' offset='0' size='3' "
             f"codec='raw'>YWJj</chunk>",
             f"<done xmlns='{STREAM}' run='{run}'/>", f"<done xmlns='{STREAM}'/>"]
    for value in ("-1", "9999999999999999999", "0x10", "many", "", "1.5", "1e3"):
        texts.append(f"<ack xmlns='{STREAM}' run='{run}' stream='1.out' next='{value}'/>")
    for stream in ("1.out", "events", "../../password", "9.out", ""):
        texts.append(f"<ack xmlns='{STREAM}' run='{run}' stream='{stream}' next='99999999'/>")
        texts.append(f"<ack xmlns='{STREAM}' run='{run}' stream='{stream}' next='5' again='true'/>")
    for text in texts:
        for kind in ("chat", "headline", "normal", "error", "groupchat"):
            indy.send(f"<message to='{PC1}' type='{kind}' id='m1'>{text}</message>")
    for text in (DEEP, WIDE, f"<run xmlns='{RUN}'>{DEEP}</run>"):
        indy.send(f"<message to='{PC1}'>{text}</message>")
    alive(lab, indy, PC1)
    refused = indy.expect(lambda s: s.find(f"{{{RUN}}}refused") is not None and
                          s.find(f"{{{RUN}}}refused").get("run") == "unknown-run")
    assert refused.find(f"{{{RUN}}}refused").get("why") == "unknown"
    assert lab.rota("show", "--json", run).json()["state"] == "running"


def test_acknowledgement_beyond_the_end(lab, indy):
    """Of a run of one's own: it is not believed, and the bytes come."""
    run = f"own{secrets.token_hex(4)}"
    mine = plan(json.dumps({"steps": [{"exec": ["true"]}]}), f"id='{run}'")
    indy.iq(PC1, "set", f"<sync xmlns='{STREAM}'/>")
    since = len(indy.seen)
    indy.send(f"<message to='{PC1}'>{mine}</message>")

    def accepted(stanza):
        return any(c.get("run") == run and c.get("stream") == "events" and c.get("offset") == "0"
                   for c in stanza.findall(f"{{{STREAM}}}chunk"))
    indy.expect(accepted, since=since, what="the acceptance")
    indy.send(f"<message to='{PC1}' type='headline'><ack xmlns='{STREAM}' run='{run}' "
              f"stream='events' next='1000000'/></message>")
    since = len(indy.seen)
    answer = indy.iq(PC1, "set", f"<sync xmlns='{STREAM}'><have run='{run}' stream='events' "
                                 "next='0'/></sync>")
    assert answer.get("type") == "result"
    indy.expect(accepted, since=since, what="the same bytes again")
    # an offset beyond the end in a sync: nothing, but no harm
    indy.iq(PC1, "set", f"<sync xmlns='{STREAM}'><have run='{run}' stream='events' "
                        "next='99999999'/></sync>")
    since = len(indy.seen)
    indy.iq(PC1, "set", f"<sync xmlns='{STREAM}'/>")
    indy.expect(accepted, since=since, what="the same bytes once more")
    indy.send(f"<message to='{PC1}'><cancel xmlns='{RUN}' run='{run}'/></message>")
    alive(lab, indy, PC1)


def test_presence_to_a_target(lab, indy):
    for text in ("", f"<x xmlns='{PRESENCE}'/>",
                 f"<x xmlns='{PRESENCE}' role='target' state='ready'/>",
                 f"<show>{'x' * 50000}</show>", "<priority>99999</priority>"):
        for kind in ("", "type='unavailable'", "type='subscribe'", "type='probe'",
                     "type='unsubscribed'", "type='error'"):
            indy.send(f"<presence to='{PC1}' {kind}>{text}</presence>")
    for text in (DEEP, WIDE):
        indy.send(f"<presence to='{PC1}'>{text}</presence>")
    alive(lab, indy, PC1)
    assert lab.ls("pc1")["pc1"]["state"] == "busy"


def test_a_stranger_is_told_no(lab):
    """eve may look: whatever she asks for is refused, a thousand times over, and pc1 goes on."""
    with Peer(lab.server, "eve") as eve:
        assert error_of(eve.iq(PC1, "set", f"<reboot xmlns='{POWER}' nonce='{'0' * 64}' boot='b' "
                                           "mode='force'/>")) == "forbidden"
        assert error_of(eve.iq(PC1, "get", f"<challenge xmlns='{POWER}'/>")) == "forbidden"
        for n in range(1000):
            run = plan(GOOD % "/tmp/x", f"id='e{n}'")
            eve.send(f"<message to='{PC1}'>{run}</message>")
        alive(lab, eve, PC1)
        told = [s for s in eve.seen if s.find(f"{{{RUN}}}refused") is not None]
        assert len(told) == 1000
        assert {s.find(f"{{{RUN}}}refused").get("why") for s in told} == {"not-allowed"}


# to the controller

def chunk(run, stream, offset, data=b"abc", size=None, codec="raw", text=None):
    text = base64.b64encode(data).decode() if text is None else text
    return (f"<chunk xmlns='{STREAM}' run='{run}' stream='{stream}' offset='{offset}' "
            f"size='{len(data) if size is None else size}' codec='{codec}'>{text}</chunk>")


def streams(lab, run):
    return {s["name"]: s["next"] for s in lab.rota("show", "--json", run).json()["streams"]}


def test_chunk_for_another_targets_run(lab, mallory):
    run = lab.runs["pc2"]
    wait_for(lambda: streams(lab, run).get("1.out") == len("".join(f"{n}\n" for n in range(10000))))
    have = streams(lab, run)
    for stream in ("1.out", "events", "2.out"):
        for offset in (0, have.get(stream, 0), 10 ** 12):
            mallory.send(f"<message to='{mallory.full}' type='headline'>"
                         f"{chunk(run, stream, offset, b'forged')}</message>")
    mallory.send(f"<message to='{mallory.full}'><refused xmlns='{RUN}' run='{run}' why='over'>gone"
                 "</refused></message>")
    alive(lab, mallory, mallory.full)
    assert streams(lab, run) == have
    assert lab.rota("show", "--json", run).json()["state"] == "running"
    assert b"forged" not in output(lab, run)
    assert "not one of its own" in lab.controller().log()


BAD_CHUNKS = {
    "not base64": lambda r: chunk(r, "1.out", 0, text="!!! no base64 !!!"),
    "junk": lambda r: chunk(r, "1.out", 0, text=JUNK, size=29999),
    "junk as zstd": lambda r: chunk(r, "1.out", 0, text=JUNK, size=30000, codec="zstd"),
    "zstd longer than it says": lambda r: chunk(r, "1.out", 0, ZSTD_MEGABYTE, size=10,
                                                codec="zstd"),
    "zstd bomb": lambda r: chunk(r, "1.out", 0, ZSTD_GIGABYTE, size=49152, codec="zstd"),
    "size": lambda r: chunk(r, "1.out", 0, b"abc", size=4),
    "no bytes": lambda r: chunk(r, "1.out", 0, b""),
    "too large": lambda r: chunk(r, "1.out", 0, bytes(60000)),
    "negative": lambda r: chunk(r, "1.out", -1),
    "beyond a file": lambda r: chunk(r, "1.out", 2 ** 63 - 1),
    "beyond 64 bits": lambda r: chunk(r, "1.out", 2 ** 64 + 5),
    "codec": lambda r: chunk(r, "1.out", 0, codec="lzma"),
    "path": lambda r: chunk(r, "../../../../password", 0),
    "dot": lambda r: chunk(r, "..", 0),
    "run path": lambda r: chunk("../x", "1.out", 0),
    "run empty": lambda r: chunk("", "1.out", 0),
    "gap": lambda r: chunk(r, "1.out", 10 ** 9),
    "deep": lambda r: f"<chunk xmlns='{STREAM}' run='{r}'>{DEEP}</chunk>",
}


def zstd(data):
    import ctypes
    lib = ctypes.CDLL("libzstd.so.1")
    lib.ZSTD_compressBound.restype = lib.ZSTD_compress.restype = ctypes.c_size_t
    lib.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
    lib.ZSTD_compress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p,
                                  ctypes.c_size_t, ctypes.c_int]
    room = lib.ZSTD_compressBound(len(data))
    out = ctypes.create_string_buffer(room)
    return out.raw[:lib.ZSTD_compress(out, room, data, len(data), 3)]


ZSTD_MEGABYTE = zstd(bytes(1 << 20))
ZSTD_GIGABYTE = zstd(bytes(1 << 28))


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_chunks_that_are_none(lab, mallory, name):
    """Nothing of them reaches a file; what follows in order does."""
    run = f"m{secrets.token_hex(4)}"
    since = len(mallory.seen)
    mallory.send(f"<message to='{mallory.full}' type='headline'>{BAD_CHUNKS[name](run)}</message>")
    mallory.send(f"<message to='{mallory.full}' type='headline'>"
                 f"{chunk(run, '1.out', 0, b'good')}</message>")

    def acknowledged(stanza):
        return any(a.get("run") == run and a.get("stream") == "1.out" and a.get("next") == "4"
                   for a in stanza.findall(f"{{{STREAM}}}ack"))
    mallory.expect(acknowledged, since=since, what="the acknowledgement")
    assert output(lab, run) == b"good"
    alive(lab, mallory, mallory.full)


def test_a_burst_is_acknowledged_to_its_end(lab, mallory):
    """Whatever the moment of the sync: the last acknowledgement covers all, and none lags behind another."""
    for _ in range(20):
        run = f"m{secrets.token_hex(4)}"
        since = len(mallory.seen)
        for n in range(30):
            mallory.send(f"<message to='{mallory.full}' type='headline'>"
                         f"{chunk(run, '1.out', 100 * n, bytes(100))}</message>")

        def told():
            return [int(a.get("next")) for s in mallory.seen[since:]
                    for a in s.findall(f"{{{STREAM}}}ack") if a.get("run") == run]
        wait_for(lambda: 3000 in told(), 5, what="the acknowledgement of all")
        assert told() == sorted(set(told())), "each says something new"


def test_journals_that_are_none(lab, mallory):
    """Lines that are no events, of every kind; the run of pc1 does not take notice."""
    hashed = hashlib.sha256(b"x").hexdigest()
    for text in ("not json\n", "{}\n", "[" * 30000 + "\n", '{"ev":"ended","verdict":"passed"}\n',
                 '{"ev":"accepted","run":"%s"}\n' % lab.runs["pc1"],
                 '{"ev":"started","step":4294967295,"of":4294967295}\n',
                 '{"ev":"stepped","step":1,"streams":[{"name":"../x","size":-1,"sha256":"%s"}]}\n'
                 % hashed, "x" * 40000):
        run = f"j{secrets.token_hex(4)}"
        data = text.encode()
        mallory.send(f"<message to='{mallory.full}' type='headline'>"
                     f"{chunk(run, 'events', 0, data)}</message>")
    alive(lab, mallory, mallory.full)
    rows = {r["run"]: r for r in lab.rota("runs", "--json", "-n", "1000").json()}
    assert rows[lab.runs["pc1"]]["state"] == rows[lab.runs["pc2"]]["state"] == "running"
    for id_, row in rows.items():
        assert row["target"] == "mallory" if id_[0] in "mj" and len(id_) == 9 else True, row


def test_presence_of_a_hostile_target(lab, mallory):
    for attributes, children in [
            ("", ""), ("state='dancing'", ""), ("state='ready'", DEEP), ("state='ready'", WIDE),
            (f"state='ready' boot='{'b' * 50000}'", ""), ("state='ready' queue='-5'", ""),
            ("state='ready' queue='99999999999999999999'", ""),
            ("state='ready' sid='s2'", "<label name='a' value='b'/>" * 3000),
            ("state='ready' sid='s2'", f"<label name='{'n' * 30000}' value='{'v' * 30000}'/>"),
            ("state='ready' sid='s2'", f"<name>{'x' * 100000}</name>"),
            ("state='busy' sid='s2'", "<run/>"),
            ("state='busy' sid='s2'", "<run id='../x' step='5' of='2'/>"),
            ("role='admin' state='ready'", ""), ("state='ready' sid='s2'", "<name/><name/>")]:
        if "role=" not in attributes:
            attributes += " role='target'"
        # to the controller alone: our own client, too, would get what is announced to all
        mallory.send(announcement(attributes, children, f"to='{mallory.full}'"))
    alive(lab, mallory, mallory.full)
    mallory.send(announcement())
    wait_for(lambda: lab.ls("mallory")["mallory"]["state"] == "ready")
    assert len(json.dumps(lab.ls("mallory"))) < 20000


def test_forged_roster_push(lab, mallory):
    """RFC 6121 2.1.6: only the account's own server may change the roster."""
    answer = mallory.iq(mallory.full, "set", "<query xmlns='jabber:iq:roster'><item "
                        "jid='pc1@lab.test' subscription='remove'/><item jid='x@evil.test' "
                        "subscription='both'/></query>")
    error_of(answer)
    assert set(lab.ls()) == {"pc1", "pc2", "mallory"}


def test_questions_to_a_controller(lab, mallory):
    for kind, payload in (
            ("get", ""), ("get", "<a xmlns='urn:x'/>"), ("set", f"<sync xmlns='{STREAM}'/>"),
            ("get", f"<challenge xmlns='{POWER}'/>"), ("set", DEEPEST), ("get", WIDE),
            ("set", f"<reboot xmlns='{POWER}' nonce='{'0' * 64}' boot='b' mode='force'/>"),
            ("get", "<query xmlns='jabber:iq:roster'/>")):
        assert error_of(mallory.iq(mallory.full, kind, payload)), payload[:100]
        alive(lab, mallory, mallory.full)


def test_a_flood(lab, indy, mallory):
    """Some thousand stanzas of every kind at once; people are served meanwhile."""
    for n in range(1500):
        indy.send(f"<message to='{PC1}' type='headline'><ack xmlns='{STREAM}' run='f{n}' "
                  f"stream='1.out' next='{n}'/></message>")
        mallory.send(f"<message to='{mallory.full}' type='headline'><chunk xmlns='{STREAM}' "
                     f"run='{lab.runs['pc1']}' stream='1.out' offset='{n}' size='1' codec='raw'>"
                     "YQ==</chunk></message>")
    assert lab.rota("ls", timeout=5).code == 0
    assert lab.rota("ping", "--timeout", "10s", "pc[1-2]").code == 0
    alive(lab, indy, PC1)
    alive(lab, mallory, mallory.full)
