"""What the tests of the promises share: runs that leave marks, runs that wait for a gate."""
import contextlib
import hashlib
import json
import shlex
import sqlite3

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
