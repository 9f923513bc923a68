"""Power cuts of the file system under the target's runs, under the controller's store, and under both, while runs are on:
what was acknowledged is there afterwards, nothing is damaged, and everything comes to its right end (see cut.py)."""
import collections
import os
import time

import pytest
from cut import Unsynced, bad_disk_cycle, cuts, half_block_cycle, power_cycle, unsynced_cycle
from stand import Stands

pytestmark = pytest.mark.root           # to mount a disk takes root
STANDS = 4
ORDINARY_SECONDS, LONG_CYCLES = 25, 10000
SEED = int(os.environ.get("ROTA_SEED", "0")) or int.from_bytes(os.urandom(4), "big")


@pytest.fixture(scope="module")
def long(request):
    return request.config.getoption("--long")


class Sums:
    def __init__(self):
        self.began, self.cycles, self.lost, self.doubled, self.other = time.monotonic(), 0, 0, 0, 0
        self.longest, self.wrongs, self.places = 0.0, [], collections.Counter()

    def add(self, job, answer, trouble):
        self.cycles += 1
        self.places[job.place] += 1
        if answer is None:
            self.other += 1
            self.wrongs.append(f"{job}: {trouble}")
            return
        w = answer.wrongs
        self.lost, self.doubled = self.lost + len(w.lost), self.doubled + len(w.doubled)
        self.other += len(w.other)
        self.longest = max(self.longest, answer.seconds)
        if w:
            self.wrongs.append(f"{job}\n  before: {answer.fired}\n  {w}")

    def __str__(self):
        where = ", ".join(f"{n} of {p}" for p, n in sorted(self.places.items()))
        return (f"power cuts: {self.cycles} in {time.monotonic() - self.began:.0f} s ({where}), "
                f"{self.lost} lost, {self.doubled} doubled, {self.other} other, "
                f"longest cycle {self.longest:.1f} s")


def test_power_cuts(capsys, long):
    """Whole daemons on real file systems, each cycle: runs on, cut, killed, mounted, started, checked."""
    sums, until = Sums(), None if long else time.monotonic() + ORDINARY_SECONDS
    with Stands("prosody", STANDS, pc_config={"keep": "0s"}) as stands:
        cycles = cuts(SEED)
        if long:
            cycles = (next(cycles) for _ in range(LONG_CYCLES))
        for job, answer, trouble in stands.map(power_cycle, cycles, until):
            sums.add(job, answer, trouble)
            if sums.cycles % 500 == 0:
                with capsys.disabled():
                    print(f"\n{sums}", end="", flush=True)
    with capsys.disabled():
        print(f"\n{sums}, seed {SEED}")
    assert not sums.wrongs, "\n".join(sums.wrongs)
    # a machine that does many things at once makes fewer
    assert sums.cycles >= 20


def test_what_a_killed_daemon_had_not_synced(capsys, long):
    """The next one finds it in its files, tells others about it, and then the power fails."""
    jobs = [Unsynced(name, call, n) for name, call, last in (
        ("target", "fdatasync", 2), ("target", "fsync", 6), ("controller", "fdatasync", 13),
        ("controller", "fsync", 4)) for n in range(1, last + 1)]
    if not long:
        jobs = jobs[:5] + jobs[5::3]
    sums = Sums()
    with Stands("prosody", STANDS) as stands:
        for job, answer, trouble in stands.map(unsynced_cycle, jobs):
            sums.add(job, answer, trouble)
    with capsys.disabled():
        print(f"\n{sums}")
    assert not sums.wrongs, "\n".join(sums.wrongs)


@pytest.mark.parametrize("name", ["controller", "target"])
def test_what_was_lost_with_a_failed_sync(name):
    """After a failed fsync the next one says that all is well, and it is not."""
    for _ in range(5):
        with Stands("prosody", 1) as stands:
            _, answer, trouble = next(stands.map(bad_disk_cycle, [name]))
        assert not trouble, trouble
        if answer:
            break
    assert answer, "five file systems gave up altogether"
    assert not answer.wrongs, (answer.fired, answer.wrongs)


def test_a_block_of_output_that_was_half_on_the_disk():
    with Stands("prosody", 1) as stands:
        for heard, answer, trouble in stands.map(half_block_cycle, (True, False)):
            assert answer, trouble
            assert answer.fired.rstrip(b"\0"), "the disk should have kept the first half"
            assert not answer.wrongs, (heard, answer.wrongs)
