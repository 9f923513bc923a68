"""What the tests of the promises share: runs that leave marks, runs that wait for a gate."""
import shlex

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
