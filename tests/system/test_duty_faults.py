"""Reservations on a machine that fails: killed or broken at every write, a full disk, a wrong calendar.

Whatever happens: what was granted is in force, what was refused is not, no token is given twice, the audit journal's
chain is whole, and a lease ends when its time is over.
"""
import hashlib
import json
import shutil
import struct
import subprocess
import time
import xml.etree.ElementTree as ET

import pytest

from disks import Tmpfs
from lab import Lab, build_dir, wait_for
from stand_in import why
from test_lease import LEASE, Holder

CALLS = {"openat": "EMFILE", "write": "ENOSPC", "fsync": "EIO", "renameat": "EIO", "pwrite64": "ENOSPC",
         "fdatasync": "EIO"}
YEAR = 365 * 86400


@pytest.fixture(scope="module")
def place():
    with Lab("prosody", pcs=["pc1"], accounts=["ida", "ivo"],
             pc_config={"controllers": {f"{who}@lab.test": "admin" for who in ("ctl", "ida", "ivo")}, "free_min": "0"}) as lab:
        pc = lab.pc("pc1")
        pc.disk = Tmpfs(pc.path / "state")
        pc.shift = pc.path / "shift"
        pc.shift.write_bytes(bytes(8))
        pc.extra_env = {"LD_PRELOAD": str(build_dir() / "bin/rota-clock-shift.so"), "ROTA_CLOCK_SHIFT": str(pc.shift)}
        try:
            lab.start()
            yield lab
        finally:
            pc.kill()
            pc.disk.close()


@pytest.fixture(name="two")
def fixture_two(place):
    with Holder(place.server, "ida") as ida, Holder(place.server, "ivo") as ivo:
        for who in (ida, ivo):
            who.follow("pc1")
        yield ida, ivo
        place.pc("pc1").disk.clear()
        shift(place, 0)
        wait_for(lambda: all([release(ivo), release(ida)]))


def release(who):
    lease = who.announced_lease()
    if lease:
        who.ask("release", lease["id"])
    return who.announced_lease() is None


def shift(place, seconds):
    place.pc("pc1").shift.write_bytes(struct.pack("=q", int(seconds * 1e6)))


def chain(place):
    """The audit journal, whole."""
    entries, prev = [], ""
    for line in (place.pc("pc1").path / "state/audit").read_bytes().splitlines():
        entry = json.loads(line)
        assert (entry["prev"], entry["seq"]) == (prev, len(entries) + 1)
        prev = hashlib.sha256(line).hexdigest()
        entries.append(entry)
    return entries


class Fault:
    """One call of the daemon fails, or is the last thing it does: the @n-th of its kind from now on."""

    def __init__(self, pid, call, n, inject):
        self.process = subprocess.Popen(["strace", "-o", "/dev/null", "-p", str(pid), "-e", f"trace={call}",
                                         "-e", f"inject={call}:{inject}:when={n}"], stderr=subprocess.PIPE)
        assert b"attached" in self.process.stderr.readline()

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.process.stderr.close()


def asked(who, verb, lease):
    """The lease that was granted, None for a refusal, or ... when nobody answered."""
    ident = lease["id"] if lease and verb in ("extend", "release") else None
    more = {"token": lease["token"]} if verb == "extend" else {}
    try:
        answer = who.ask(verb, ident, deadline=3, **more)
    except TimeoutError:
        return ...
    if answer.get("type") != "result":
        assert why(answer)[0] is None, ET.tostring(answer)
        assert "nothing was changed" in "".join(answer.itertext()) or \
            answer.find(".//{*}recipient-unavailable") is not None or \
            answer.find(".//{*}service-unavailable") is not None, ET.tostring(answer)
        return None if "nothing" in "".join(answer.itertext()) else ...
    return dict(answer.find(f"{{{LEASE}}}lease").attrib)


class History:
    """What both were told."""

    def __init__(self):
        self.given = {}                         # token -> id

    def seen(self, lease):
        if lease and "id" in lease:
            assert self.given.setdefault(int(lease["token"]), lease["id"]) == lease["id"], "a token twice"


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize("kill", [True, False], ids=["killed", "failed"])
def test_each_write_of_a_lease(place, two, request, kill):
    history, cycles, hit = History(), 0, 0
    end = time.monotonic() + (600 if request.config.getoption("--long") else 9)
    pc, (ida, ivo) = place.pc("pc1"), two
    plan = [(verb, call, n) for n in (1, 2) for verb in ("acquire", "take", "extend", "release") for call in CALLS]
    for verb, call, n in plan:
        if time.monotonic() > end:
            break
        before = ida.announced_lease()
        if verb == "acquire" and before:
            wait_for(lambda: release(ida if before["holder"].startswith("ida") else ivo))
            before = None
        elif verb != "acquire" and not before:
            before = ida.held("acquire")
            wait_for(lambda: ida.announced_lease())
        history.seen(before)
        who = ivo if before and before["holder"].startswith("ivo") else ida
        if verb == "take":
            who = ivo if who is ida else ida
        old = who.now()["sid"]
        fault = Fault(pc.target_pid(), call, n, "signal=SIGKILL" if kill else f"error={CALLS[call]}")
        answer = asked(who, verb, before)
        fault.close()
        cycles += 1
        hit += answer is ... or answer is None
        history.seen(answer if isinstance(answer, dict) else None)
        if answer is not ...:                   # what was said holds, also for the next one that lives
            pc.kill_target()
        for each in two:
            each.back(old)
        wait_for(who.now)
        now = who.announced_lease() or {}
        history.seen(now)
        if answer is None:
            assert now.get("id") == (before or {}).get("id"), f"{verb} {call} {n}: refused, and done"
        elif answer is not ...:
            assert now.get("id") == answer.get("id"), f"{verb} {call} {n}: granted, and not done"
        else:
            assert verb in ("acquire", "take") or now.get("id") in ((before or {}).get("id"), None)
        entries = chain(place)
        if not kill and answer is not ... and answer is not None and "id" in answer and verb in ("acquire", "take"):
            told = [e for e in entries if e.get("about") == answer["id"]]
            assert told or entries[-1]["what"] == "lease-found", f"{verb} {call} {n} is not in the audit journal"
    tokens = [e["number"] for e in chain(place) if "number" in e]
    assert tokens == sorted(tokens)
    print(f"{cycles} cycles, {hit} of them without a grant, {len(history.given)} tokens")
    assert hit >= cycles // 4 and cycles >= 6


def test_a_full_disk(place, two):
    """Nothing is granted that cannot be kept; what was granted ends all the same, and the machine starts."""
    ida, ivo = two
    pc = place.pc("pc1")
    mine = ida.held("acquire", seconds=3)
    wait_for(ida.announced_lease)
    pc.disk.fill()
    answer = ida.ask("extend", mine["id"], token=mine["token"])
    assert answer.find(".//{*}internal-server-error") is not None
    assert why(ivo.ask("acquire"))[0] == "leased"
    wait_for(lambda: ivo.announced_lease() is None, 10, what="the end of the lease")
    answer = ivo.ask("acquire")
    assert answer.find(".//{*}internal-server-error") is not None and ivo.announced_lease() is None
    old = ida.now()["sid"]
    pc.reset()
    for each in two:
        each.back(old)
    assert ida.announced_lease() is None
    pc.disk.clear()
    his = ivo.held("acquire", seconds=300)
    assert int(his["token"]) == int(mine["token"]) + 1
    # with a lease in force, a full disk, and another boot
    pc.disk.fill()
    old = ivo.now()["sid"]
    pc.reset()
    for each in two:
        each.back(old)
    again = wait_for(ivo.announced_lease)
    assert again["token"] == his["token"] and 200 < int(again["left"]) <= 300
    pc.disk.clear()
    chain(place)


def begun_in(place, who, seconds, fault):
    """The daemon begins so far from the true date, which is set before it is back: else its server's certificate
    would be of another time."""
    pc, old = place.pc("pc1"), who.now()["sid"]
    before = pc.log().count("is ready, boot")
    shift(place, seconds)
    fault()
    wait_for(lambda: pc.log().count("is ready, boot") > before, 10)
    shift(place, 0)
    who.back(old, 30)


def test_a_wrong_calendar(place, two):
    """The lease goes by the machine's own clock; after a reboot by the calendar, and never longer than it was for."""
    ida, _ = two
    pc = place.pc("pc1")
    mine = ida.held("acquire", seconds=300)
    for seconds, fault in ((-56 * YEAR, pc.kill_target), (12 * YEAR, pc.kill_target), (-56 * YEAR, pc.reset)):
        begun_in(place, ida, seconds, fault)
        now = wait_for(ida.announced_lease)
        assert now["token"] == mine["token"] and 200 < int(now["left"]) <= 300
    begun_in(place, ida, 12 * YEAR, pc.reset)
    wait_for(lambda: ida.announced_lease() is None)
    assert int(ida.held("acquire", seconds=1)["token"]) == int(mine["token"]) + 1
    wait_for(lambda: ida.announced_lease() is None, 5)


def test_back_from_away_with_a_lease(place, two):
    """Another boot's clock is never taken for this one's: killed between two writes of the return, and started again."""
    ida, _ = two
    pc = place.pc("pc1")
    mine = ida.held("acquire", seconds=300)
    wait_for(ida.announced_lease)
    old = ida.now()["sid"]
    answer = ida.iq(ida.full, "set", f"<leave xmlns='urn:rota:away:1' sid='{old}' seconds='60'/>")
    assert answer.get("type") == "result"
    pc.off()
    # as if that boot's clock had been far ahead
    path = pc.path / "state/standing.json"
    standing = json.loads(path.read_text())
    standing["lease"]["ends"] += 10 * YEAR * 1000000
    path.write_text(json.dumps(standing))
    pc.on()
    ida.back(old)
    written = json.loads(path.read_text())
    assert written["boot"] == pc.boot_id() and "away" not in written
    assert written["lease"]["ends"] < standing["lease"]["ends"] - YEAR * 1000000
    now = wait_for(ida.announced_lease)
    assert now["token"] == mine["token"] and 200 < int(now["left"]) <= 300
