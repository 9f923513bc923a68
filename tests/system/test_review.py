"""What a hostile or unlucky peer may not do to a daemon, and what a power cut may not take."""
import base64
import hashlib
import json
import secrets
from xml.sax.saxutils import quoteattr

import pytest

from lab import wait_for
from peer import Peer
from stand_in import PRESENCE, STREAM


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
