"""What a hostile or unlucky peer may not do to a daemon, and what a power cut may not take."""
import base64
import concurrent.futures
import hashlib
import json
import os
import secrets
import signal
import time
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

from lab import wait_for
from peer import Peer
from stand_in import PRESENCE, RUN, STREAM, StandIn


class Impostor(Peer):
    """Taken for a target by the controller; says whatever the test wants of runs that never were."""

    def __init__(self, lab, name):
        super().__init__(lab.server, name, resource="target")
        self._sid = secrets.token_hex(4)
        self.subscribe("ctl@lab.test")
        self.send("<presence to='ctl@lab.test' type='subscribed'/>")
        self.ctl = self.expect(lambda s: s.tag.endswith("}presence") and s.get("type") is None and
                               (s.get("from") or "").startswith("ctl@lab.test/")).get("from")
        self.send(f"<presence><x xmlns='{PRESENCE}' role='target' state='ready' boot='b1' "
                  f"sid='{self._sid}'><name>M</name></x></presence>")
        wait_for(lambda: name in lab.ls(), what=f"{name} counts as a target")

    def _arrived(self, stanza):
        iq = stanza.xml
        if iq.tag.endswith("}iq") and iq.find(f"{{{STREAM}}}sync") is not None:
            self.send(f"<iq type='result' to={quoteattr(iq.get('from'))} "
                      f"id={quoteattr(iq.get('id'))}/>")
        return super()._arrived(stanza)

    def chunks(self, *parts):
        """In one message: (run, stream, offset, data)."""
        self.send(f"<message to='{self.ctl}' type='headline'>" + "".join(
            f"<chunk xmlns='{STREAM}' run='{run}' stream='{stream}' offset='{offset}' "
            f"size='{len(data)}' codec='raw'>{base64.b64encode(data).decode()}</chunk>"
            for run, stream, offset, data in parts) + "</message>")

    def acked(self, run, stream, offset, deadline=10):
        """Waits until the controller has so much."""
        return self.expect(lambda s: any(
            a.get("run") == run and a.get("stream") == stream and int(a.get("next")) >= offset
            for a in s.findall(f"{{{STREAM}}}ack")), deadline, what=f"{offset} of {stream}")

    def asked_again(self, run, stream, since, deadline=10):
        """Waits for a sync that wants the stream from its start."""
        def wants(s):
            sync = s.find(f"{{{STREAM}}}sync")
            return sync is not None and any(
                h.get("run") == run and h.get("stream") == stream and h.get("next") == "0"
                for h in sync.findall(f"{{{STREAM}}}have"))
        return self.expect(wants, deadline, since, what=f"the wish for {stream} from 0")


def journal(run, *events):
    """The lines of a run of one step; @events are what followed its start."""
    all_of_them = [{"ev": "accepted", "run": run, "owner": "ctl@lab.test", "boot": "b1"},
                   {"ev": "started", "step": 1, "of": 1, "title": "x", "boot": "b1"}, *events]
    return b"".join(json.dumps({"t": 1767222000000000 + i, **e}).encode() + b"\n"
                    for i, e in enumerate(all_of_them))


def stepped(*streams):
    return {"ev": "stepped", "step": 1, "verdict": "not-run", "cause": "interrupted by a reboot",
            "streams": [{"name": name, "size": size,
                         "sha256": hashlib.sha256(data[:size]).hexdigest()}
                        for name, size, data in streams]}


ENDED = {"ev": "ended", "verdict": "not-run", "cause": "step 1: interrupted by a reboot"}


@pytest.fixture
def mallory(make_lab):
    lab = make_lab(pcs=["pc1"], accounts=["mallory"])
    lab.start()
    with Impostor(lab, "mallory") as peer:
        peer.lab = lab
        yield peer


def shown(lab, run):
    row = lab.rota("show", "--json", run).json()
    return row[0] if isinstance(row, list) else row


def test_what_is_durable_here_survives_a_power_cut_there(mallory):
    """The target lost its last bytes: the controller keeps them, ends the run, and says so."""
    lab, run, data = mallory.lab, secrets.token_hex(6), b"0123456789" * 10
    mallory.chunks((run, "events", 0, journal(run)), (run, "1.out", 0, data))
    mallory.acked(run, "1.out", 100)
    whole = journal(run, stepped(("1.out", 60, data)), ENDED)
    mallory.chunks((run, "events", 0, whole))
    row = lab.wait_run(run, "ended", deadline=10)
    assert row["verdict"] == "not-run"
    assert "1.out" in row["note"] and "100 bytes here and 60" in row["note"]
    assert lab.rota("log", run, "--raw").raw == data
    # and so it stays when the controller comes again
    lab.controller().kill()
    lab.controller().start()
    lab.wait_state("pc1", "ready")
    assert shown(lab, run)["state"] == "ended"
    assert lab.rota("log", run, "--raw").raw == data


def test_a_power_cut_between_two_steps_does_not_hold_up_the_second(mallory):
    lab, run, data = mallory.lab, secrets.token_hex(6), b"x" * 1000
    first = journal(run, {**stepped(("1.out", 0, b"")), "verdict": "passed"},
                    {"ev": "started", "step": 2, "of": 2, "title": "y", "boot": "b2"},
                    {**stepped(("2.out", 3, b"yes")), "step": 2, "verdict": "passed"},
                    {"ev": "ended", "verdict": "passed"}).replace(b'"of": 1', b'"of": 2')
    mallory.chunks((run, "1.out", 0, data), (run, "2.out", 0, b"yes"))
    mallory.acked(run, "1.out", 1000)
    mallory.chunks((run, "events", 0, first))
    assert lab.wait_run(run, "ended", deadline=10)["verdict"] == "passed"
    assert "1.out" in shown(lab, run)["note"]


def test_a_target_that_contradicts_itself_does_not_hold_the_controller(mallory):
    """Sizes that shrink and hashes that never fit, again and again: everybody else is served."""
    lab, run, data = mallory.lab, secrets.token_hex(6), b"0123456789" * 10
    lies = [{**stepped(("1.out", n, b"z" * n))} for n in range(100, 40, -1)]
    twice = stepped(("1.out", 5, data), ("1.out", 3, data))
    text = journal(run, *lies, twice, ENDED)
    since = len(mallory.seen)
    mallory.chunks((run, "1.out", 0, data), (run, "events", 0, text))
    mallory.asked_again(run, "1.out", since)
    mallory.chunks((run, "1.out", 0, data))
    assert lab.wait_run(run, "ended", deadline=10)["state"] == "ended"
    assert lab.rota("log", run, "--raw").raw == data
    assert lab.rota("run", "pc1", "--", "true").code == 0
    assert lab.controller().log().count("integrity:") < 10


def test_more_streams_at_once_than_files_may_be_open(mallory):
    """As when hundreds of targets begin together. Nothing has trouble, all of it is acknowledged."""
    lab, run = mallory.lab, secrets.token_hex(6)
    mallory.chunks(*((run, f"{n}.out", 0, b"%d" % n) for n in range(1, 301)))
    for n in (1, 150, 300):
        mallory.acked(run, f"{n}.out", 1)
    assert lab.rota("run", "pc1", "--", "true").code == 0
    assert "cannot write" not in lab.controller().log()


def test_a_file_that_the_controller_cannot_read_is_one_runs_trouble(mallory):
    """As with a bad sector under one output: that run says so, all others are acknowledged and end."""
    lab, run, other = mallory.lab, secrets.token_hex(6), secrets.token_hex(6)
    controller, data = lab.controller(), b"x" * 1000
    mallory.chunks((run, "events", 0, journal(run)), (run, "1.out", 0, data))
    mallory.acked(run, "1.out", 1000)
    # as many others as it takes for that file to be closed
    mallory.chunks(*((other, f"{n}.out", 0, b"%d" % n) for n in range(1, 301)))
    mallory.acked(other, "300.out", 1)
    out = Path(controller.config["state_dir"]) / "runs" / run / "1.out"
    out.unlink()
    out.mkdir()
    mallory.chunks((run, "events", 0, journal(run, stepped(("1.out", 1000, data)), ENDED)))
    wait_for(lambda: "cannot be read on this controller" in (shown(lab, run)["note"] or ""))
    assert lab.rota("run", "pc1", "--", "true").code == 0
    assert controller.log().count("cannot be read") == 1
    assert "cannot write" not in controller.log()


# the target

@pytest.fixture
def place(make_lab):
    lab = make_lab(pcs=["pc1"], accounts=["eve"])
    lab.pc("pc1").start("--debug")
    return lab


@pytest.fixture
def ctl(place):
    with StandIn(place.server, "ctl") as c:
        c.follow("pc1")
        yield c


def test_a_reboot_that_was_granted_before_a_long_sleep_does_not_happen_after_it(place, ctl, kind):
    """The machine is asked to drain; as the last run ends it is cut off and stops for longer than
    anybody waits for a reboot."""
    if kind != "prosody":
        pytest.skip("needs a server that takes up after it was stopped; the target is the same")
    pc, gate = place.pc("pc1"), place.path / "gate"
    run = ctl.exec("sh", "-c", f"echo on; while [ ! -e {gate} ]; do sleep 0.05; done")
    ctl.printed(run)
    boot, sid = pc.boot_id(), ctl.sid()
    assert ctl.reboot(ctl.challenge(), "drain").get("type") == "result"
    server, daemon = place.server.pid(), pc.target_pid()
    os.kill(server, signal.SIGSTOP)
    try:
        gate.touch()
        wait_for(lambda: f"run {run} (sh): passed" in pc.log())
        # its connection cannot be closed now, which takes it two seconds to find out
        begun = time.monotonic()
        wait_for(lambda: time.monotonic() > begun + 0.3)
        os.kill(daemon, signal.SIGSTOP)
        wait_for(lambda: time.monotonic() > begun + 11, 15)
        os.kill(daemon, signal.SIGCONT)
        wait_for(lambda: "too late" in pc.log())
    finally:
        os.kill(server, signal.SIGCONT)
    with StandIn(place.server, "ctl", streams=ctl.streams) as again:
        again.target = ctl.target
        again.subscribe(again.target)
        again.back(sid)
        assert again.output(again.exec("echo", "back")) == b"back\n"
    assert pc.boot_id() == boot
    assert pc.target_pid() == daemon


def test_who_may_only_look_keeps_no_controller_out(place):
    """Eve follows from more places than a target has."""
    target = "pc1@lab.test/target"
    with StandIn(place.server, "ctl") as ctl:
        ctl.target = "pc1@lab.test"
        ctl.subscribe(ctl.target)
        ctl.state("ready")
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            eves = list(pool.map(lambda n: Peer(place.server, "eve", f"r{n}", presence=False),
                                 range(66)))
        try:
            for eve in eves:
                answer = eve.iq(target, "set", f"<sync xmlns='{STREAM}'/>")
                assert answer.get("type") == "result"
            ctl.sync()
            assert ctl.output(ctl.exec("echo", "hello")) == b"hello\n"
        finally:
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(Peer.close, eves))


def test_who_may_only_look_is_told_nothing_of_runs(place, ctl):
    have = "".join(f"<have run='x{n}' stream='events' next='0'/>" for n in range(1000))
    with Peer(place.server, "eve") as eve:
        assert eve.iq(ctl.full, "set", f"<sync xmlns='{STREAM}'>{have}</sync>").get("type") == "result"
        assert eve.iq(ctl.full, "get", "<ping xmlns='urn:xmpp:ping'/>").get("type") == "result"
        assert not eve.all(lambda s: s.find(f"{{{RUN}}}refused") is not None)
    assert place.pc("pc1").log().count("knows no such run") == 0


def test_a_file_that_cannot_be_read_holds_up_nothing_else(place, ctl):
    """No empty message, no flood of complaints, and it arrives once it can be read."""
    ctl.close()
    with StandIn(place.server, "ctl") as again:
        again.target = ctl.target
        again.subscribe(again.target)
        again.state("ready")
        hidden = again.exec("sh", "-c", "seq 100000")
        wait_for((place.path / "pc1/state/runs" / hidden / "1.exit").exists)
        out = place.path / "pc1/state/runs" / hidden / "1.out"
        out.rename(out.with_name("aside"))
        out.mkdir()
        again.sync()
        again.ended(hidden)
        assert again.output(again.exec("echo", "others go on")) == b"others go on\n"
        assert not again.all(lambda s: s.tag.endswith("}message") and len(s) == 0 and
                             (s.get("from") or "").startswith(again.target))
        assert place.pc("pc1").log().count("cannot read") == 1
        out.rmdir()
        out.with_name("aside").rename(out)
        again.sync()
        assert again.output(hidden) == b"".join(b"%d\n" % n for n in range(1, 100001))
