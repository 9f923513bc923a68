"""Every call of every program is the last one, once: kill -9 of the target's daemon, of rota-step and of the controller
at each write, sync, rename, send and so on of a whole scenario (see sweep.py); and each of them failed once.

The ordinary run tries one call of each kind on each kind of file, and as many more as its time allows; --long tries all.
"""
import os
import random
import shutil
import time

import pytest
from stand import Stands
from sweep import ERRORS, MEMORY, PLACES, Fault, Table, chosen, cycle, with_deadline

STANDS = 4
SEED = int(os.environ.get("ROTA_SEED", "0")) or int.from_bytes(os.urandom(4), "big")
pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


@pytest.fixture(scope="module")
def stands():
    with Stands("prosody", STANDS, pc_config={"keep": "0s"}) as stands:
        yield stands


@pytest.fixture(scope="module")
def long(request):
    return request.config.getoption("--long")


def report(capsys, table, seed=""):
    with capsys.disabled():
        print(f"\n{table}{seed}")
    assert not table.wrongs, "\n".join(table.wrongs)


def sweep(stands, table, faults, name, seconds, capsys, long):
    must, more = (faults, []) if long else chosen(faults, random.Random(SEED))
    for fault, answer, trouble in stands.map(cycle, with_deadline(must, more, seconds)):
        table.add(fault, name, answer, trouble)
    report(capsys, table, f", seed {SEED}")


def counted(stands, table, name, select, call=None):
    faults = []
    for job, answer, trouble in stands.map(cycle, [Fault(p, call) for p in PLACES]):
        assert answer and not answer.wrongs, trouble or answer.wrongs
        found = [f for c in answer.calls for f in select(job.place, c)]
        table.calls(job.place, name, len(found))
        faults += found
    return faults


def test_killed_at_every_call(stands, capsys, long):
    table = Table()
    faults = counted(stands, table, "SIGKILL", lambda place, c: (
        [Fault(place, c.name, c.n, "signal=SIGKILL", c.site())] if c.creates else []))
    assert len(faults) > 300
    sweep(stands, table, faults, "SIGKILL", 40, capsys, long)
    # how often a program writes varies a little: the last calls of one time may not come another time
    assert table.hit() > 0.7 * table.tried()


def test_each_call_failed_once(stands, capsys, long):
    """No space, no descriptor, no memory, a broken disk: once, at each call. The daemon may go on or end; what it says
    is true, and everything comes to an end."""
    table = Table()
    faults = counted(stands, table, "error", lambda place, c: [
        Fault(place, c.name, c.n, f"error={ERRORS[c.name]}", c.site())], call="write")
    assert len(faults) > 500
    sweep(stands, table, faults, "error", 30, capsys, long)
    assert table.hit() > 0.7 * table.tried()


def test_each_allocation_failed_once(stands, capsys, long):
    """Every way to an allocation, those inside the libraries too, without memory once. A library may crash by that; what
    was promised holds, and everything comes to an end."""
    table, faults = Table(), []
    for job, answer, trouble in stands.map(cycle, [Fault(p, MEMORY) for p in PLACES]):
        assert answer and not answer.wrongs, trouble or answer.wrongs
        table.calls(job.place, MEMORY, len(answer.calls))
        faults += [Fault(job.place, MEMORY, way, "fails", own) for way, own in answer.calls]
    assert len(faults) > 2000
    random.Random(SEED).shuffle(faults)
    end = None if long else time.monotonic() + 15
    for fault, answer, trouble in stands.map(cycle, faults, end):
        table.add(fault, MEMORY, answer, trouble)
    report(capsys, table, f", seed {SEED}")
