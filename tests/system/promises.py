"""What the tests of the promises share: runs that leave marks, runs that wait for a gate."""
import contextlib
import hashlib
import json
import shlex
import sqlite3
from pathlib import Path

from lab import wait_for

INDY = "indy"  # an admin of its own: tests speak the wire with this account
EVERYBODY = {f"{INDY}@lab.test": "admin", "*@lab.test": "view"}


def submit(lab, target, *argv, controller=None, options=()):
    """`rota run -d`: the id of a run that nobody waits for."""
    result = lab.rota("run", "-d", *options, target, "--", *argv, controller=controller)
    assert result.code == 0, result
    name, run = result.out.split()
    assert name == target
    return run


def output(lab, run, controller=None):
    result = lab.rota("log", run, "--raw", controller=controller)
    assert result.code == 0, result
    return result.raw


class Mark:
    """A file that gets one line each time a command runs."""

    def __init__(self, lab, name):
        self.path = lab.path / f"mark-{name}"

    def command(self, then="true"):
        return ["sh", "-c", f"echo ran >>{shlex.quote(str(self.path))}; {then}"]

    def times(self):
        return len(self.path.read_text().splitlines()) if self.path.exists() else 0

    def wait(self, deadline=20):
        wait_for(self.times, deadline, what=f"{self.path.name} is made")


class Gate:
    """A command that goes on when the test says so."""

    def __init__(self, lab, name):
        self.path = lab.path / f"gate-{name}"
        self.wait_text = f"while [ ! -e {shlex.quote(str(self.path))} ]; do sleep 0.02; done"

    def command(self):
        return ["sh", "-c", f"echo on; {self.wait_text}; echo off"]

    def open(self):
        self.path.touch()


def row(lab, run, controller=None):
    """`rota show --json RUN`"""
    result = lab.rota("show", "--json", run, controller=controller)
    assert result.code == 0, result
    return result.json()


def received(lab, run, stream="1.out", controller=None):
    """How many bytes of a stream the controller has durably."""
    for s in row(lab, run, controller)["streams"]:
        if s["name"] == stream:
            return s["next"]
    return 0


def journal(path):
    """The events of a run directory, of a target or a controller."""
    return [json.loads(line) for line in (path / "events").read_text().splitlines()]


def checked_run(path, power_cut=False):
    """
    The streams (name -> size and sha256) of a run that has ended, in the run directory @path, after a look at it: one
    acceptance, one end, each step begun and ended once, every stream as long as its event says, with that hash. After a @power_cut of its target
    a controller may have more: what had arrived here and was not written there yet.
    """
    events = journal(path)
    kinds = [e["ev"] for e in events]
    assert kinds.count("accepted") <= 1 and kinds.count("ended") == 1 and kinds[-1] == "ended", (path, kinds)
    begun = [e["step"] for e in events if e["ev"] == "started"]
    assert begun == list(range(1, len(begun) + 1)), f"{path}: steps were begun as {begun}"
    assert [e["step"] for e in events if e["ev"] == "stepped"] == begun, f"{path}: {events}"
    streams = {s["name"]: s for e in events for s in e.get("streams", [])}
    for name, stream in streams.items():
        data = (path / name).read_bytes() if stream["size"] else b""
        size = stream["size"]
        assert len(data) == size or (power_cut and len(data) > size), f"{path}/{name}: {len(data)} of {size} bytes"
        data = data[:size]
        assert hashlib.sha256(data).hexdigest() == stream["sha256"], f"{path}/{name}: another hash"
    return streams


def store_is_sound(path):
    """SQLite's own check of a controller's store, whose controller has ended."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        found = db.execute("PRAGMA integrity_check").fetchall()
    assert found == [("ok",)], f"{path}: {found}"


# The invariants, for whoever has killed, starved or cut something. What ran is told by a witness outside of every run,
# what should have been printed is known beforehand; nothing here is believed because rota says it.


class Witness:
    """A file beside all runs: each step adds its token when it begins."""

    def __init__(self, path):
        self.path = path

    def script(self, token, then="true"):
        return f"echo {shlex.quote(token)} >>{shlex.quote(str(self.path))}; {then}"

    def tokens(self):
        return self.path.read_text().split() if self.path.exists() else []

    def times(self, token):
        return self.tokens().count(token)


class Due:
    """What a run owes us: the token and the output of each step, in order, and the verdicts that are right."""

    def __init__(self, run, steps, verdicts=("passed",)):
        self.run, self.steps, self.verdicts = run, steps, tuple(verdicts)


class Wrongs:
    """Broken promises, each a sentence; `lost` and `doubled` are counted apart."""

    def __init__(self):
        self.lost, self.doubled, self.other = [], [], []

    def all(self):
        return self.lost + self.doubled + self.other

    def __bool__(self):
        return bool(self.all())

    def add(self, more):
        for name in ("lost", "doubled", "other"):
            getattr(self, name).extend(getattr(more, name))

    def __repr__(self):
        return "\n".join(self.all()) or "nothing wrong"


def read_journal(events, wrongs, run):
    """The events of a run as a list; what a journal may not say goes to @wrongs."""
    lines = events.split(b"\n")
    if lines.pop() != b"":
        wrongs.other.append(f"{run}: the journal ends in mid-line")
    told = []
    for line in lines:
        try:
            told.append(json.loads(line))
        except ValueError:
            wrongs.other.append(f"{run}: no event: {line[:80]!r}")
    kinds = [e.get("ev") for e in told]
    for kind in ("accepted", "ended"):
        if kinds.count(kind) > 1:
            wrongs.doubled.append(f"{run}: {kinds.count(kind)} times {kind}")
    if kinds[:1] != ["accepted"] or told[0].get("run") != run:
        wrongs.other.append(f"{run}: its journal begins with {told[:1]}")
    if "ended" in kinds and kinds[-1] != "ended":
        wrongs.other.append(f"{run}: goes on after its end: {kinds}")
    started = [e["step"] for e in told if e.get("ev") == "started"]
    stepped = [e["step"] for e in told if e.get("ev") == "stepped"]
    for name, steps in (("started", started), ("stepped", stepped)):
        if len(set(steps)) != len(steps):
            wrongs.doubled.append(f"{run}: {name} {steps}")
        elif steps != list(range(1, len(steps) + 1)):
            wrongs.other.append(f"{run}: {name} {steps}")
    if "ended" in kinds and started != stepped:
        wrongs.lost.append(f"{run}: started {started}, but only {stepped} came to an end")
    return told


def check_run(due, row, events, outputs, witness, power_cut=False):
    """@row is `rota show --json`, @events and @outputs (by stream) what `rota log --raw` gives. After a @power_cut of the
    target a controller may have more than it. Returns Wrongs."""
    w, run = Wrongs(), due.run
    told = read_journal(events, w, run)
    if row["state"] != "ended":
        w.lost.append(f"{run}: is {row['state']}, not ended")
    if row["verdict"] not in due.verdicts:
        w.other.append(f"{run}: {row['verdict']} ({row['cause']}), not {'/'.join(due.verdicts)}")
    if row.get("note") and not (power_cut and "as after a power cut there" in row["note"]):
        w.other.append(f"{run}: {row['note']}")
    ended = [e for e in told if e["ev"] == "ended"]
    if not ended and row["state"] == "ended":
        w.lost.append(f"{run}: ended, but its journal has no end")
    elif ended and ended[0]["verdict"] != row["verdict"]:
        w.other.append(f"{run}: {row['verdict']} here, {ended[0]['verdict']} in its journal")
    stepped = {e["step"]: e for e in told if e["ev"] == "stepped"}
    tokens = witness.tokens()
    for number, (token, want) in enumerate(due.steps, 1):
        times, name = tokens.count(token), f"{number}.out"
        said, got = stepped.get(number), outputs.get(name, b"")
        if times > 1:
            w.doubled.append(f"{run}: step {number} ran {times} times")
        passed = said and said["verdict"] == "passed"
        if passed and times == 0:
            w.lost.append(f"{run}: step {number} passed, but never ran")
        if passed and got != want:
            w.lost.append(f"{run}: {name}: {difference(got, want)}")
        elif not want.startswith(got):
            w.other.append(f"{run}: {name} is not what the step wrote: {difference(got, want)}")
        for s in said.get("streams", []) if said else []:
            have = outputs.get(s["name"], b"")
            if len(have) < s["size"] or (
                    hashlib.sha256(have[:s["size"]]).hexdigest() != s["sha256"]):
                w.lost.append(f"{run}: {s['name']} has {len(have)} bytes, its step told {s}")
    if row["verdict"] == "passed" and len(stepped) != len(due.steps):
        w.lost.append(f"{run}: passed with {len(stepped)} of {len(due.steps)} steps")
    return w


def check_refused(due, row, witness):
    """Ended without ever having been accepted: then nothing of it may have run."""
    w = Wrongs()
    if row["state"] != "ended" or row["verdict"] not in due.verdicts:
        w.other.append(f"{due.run}: {row['state']}, {row['verdict']} ({row['cause']}), "
                       f"not {'/'.join(due.verdicts)}")
    for token, _ in due.steps:
        if witness.times(token):
            w.doubled.append(f"{due.run}: was refused ({row['cause']}), and ran")
    return w


def difference(got, want):
    at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
    return f"{len(got)} bytes for {len(want)}, the first difference at {at}"


def examine(rota, due, witness, power_cut=False):
    """check_run() with what `rota` (a callable like Lab.rota) says now."""
    shown = rota("show", "--json", due.run)
    if shown.code != 0:
        w = Wrongs()
        w.lost.append(f"{due.run}: was acknowledged, and is not known: {shown}")
        return w
    row = shown.json()
    if row["refusal"]:
        return check_refused(due, row, witness)
    outputs = {s["name"]: rota("log", due.run, s["name"], "--raw").raw for s in row["streams"]}
    return check_run(due, row, rota("log", due.run, "events", "--raw").raw, outputs, witness,
                     power_cut)


def check_store(state_dir):
    """The controller's own files, while it does not run or does: SQLite's word, and each row against its file."""
    w = Wrongs()
    with contextlib.closing(sqlite3.connect(f"file:{state_dir}/store.db?mode=ro", uri=True)) as db:
        said = [r[0] for r in db.execute("PRAGMA integrity_check")]
        if said != ["ok"]:
            w.other.append(f"the store: {said}")
        for run, name, size in db.execute("SELECT run, name, next FROM streams"):
            path = Path(state_dir) / "runs" / run / name
            have = path.stat().st_size if path.exists() else 0
            if have < size:
                w.lost.append(f"{run}/{name}: {have} bytes, {size} were acknowledged")
    return w
