"""Power cuts: a file system that loses at once what was not synced, and cycles of runs on it.

The disk is an ext4 on a loop device; EXT4_IOC_SHUTDOWN stops it in mid-write. What its journal had not committed is gone
(NOLOGFLUSH), or only file contents are (LOGFLUSH), as after a cut a moment later. Whoever works on it sees I/O errors
from then on, gets some time or none for that, and is killed; then the disk is mounted again and all begins anew.
"""
import contextlib
import ctypes
import fcntl
import os
import random
import re
import struct
import subprocess
import tempfile
import time
from pathlib import Path

from lab import LIBC
from promises import Due, Witness, Wrongs, check_store, examine
from sweep import Answer, lines, strace

EXT4_IOC_SHUTDOWN = 0x8004587d          # _IOR('X', 125, __u32)
LOGFLUSH, NOLOGFLUSH = 1, 2
CLONE_NEWNS = 0x20000
LOOP_SET_STATUS64, LOOP_GET_STATUS64, LO_FLAGS_AUTOCLEAR = 0x4C04, 0x4C05, 4
MB = 1 << 20
PART, PARTS = 12000, 5                  # lines
DEADLINE = 60


def do(*argv):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{argv}: {done.stderr.strip()}")
    return done.stdout.strip()


def own_mounts():
    """From here on what this process mounts is its own, and is gone with it, however that ends."""
    if LIBC.unshare(CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    do("mount", "--make-rprivate", "/")


class CutDisk:
    """An ext4 of @size bytes at @path. Nothing is left of it when its process ends; to call own_mounts() before is the
    other half of that."""

    def __init__(self, path, size=64 * MB, where=None):
        self.path = Path(path)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # in memory when there is room: then a sync costs no more than the file system itself
        where = where or ("/dev/shm" if os.path.isdir("/dev/shm") else None)
        with tempfile.NamedTemporaryFile(dir=where) as image:
            image.truncate(size)
            do("mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4", "-E",
               "lazy_itable_init=0,lazy_journal_init=0", image.name)
            self._made(image)
            self.device = do("losetup", "-f", "--show", image.name)
        self._held = os.open(self.device, os.O_RDWR | os.O_CLOEXEC)
        # detached by the kernel when nobody has it open: we and the mount do
        info = bytearray(232)
        fcntl.ioctl(self._held, LOOP_GET_STATUS64, info)
        struct.pack_into("I", info, 52, struct.unpack_from("I", info, 52)[0] | LO_FLAGS_AUTOCLEAR)
        fcntl.ioctl(self._held, LOOP_SET_STATUS64, bytes(info))
        self.mounted = False
        self.mount()

    def _made(self, image):
        """Before its first mount."""

    def mount(self):
        do("mount", "-t", "ext4", self.device, self.path)
        self.mounted = True

    def cut(self, flag=NOLOGFLUSH):
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", flag))
        finally:
            os.close(fd)

    def unmount(self):
        do("umount", self.path)
        self.mounted = False

    def close(self):
        if self.mounted:
            with contextlib.suppress(OSError):
                do("umount", "-l", self.path)
        os.close(self._held)


class BadDisk(CutDisk):
    """One that has no more sectors to give when it is told so: what is written to new blocks fails, as on a medium that
    breaks. The fsync() says so once; the kernel takes the pages for clean, and what was in them is gone."""

    def __init__(self, path):
        self.back = Path(path).parent / "medium"
        self.back.mkdir()
        do("mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", self.back)
        super().__init__(path, where=self.back)
        self._filler = self.back / "filler"
        # the loop device says of a request that half of it failed that all is well: a block each
        Path(f"/sys/block/{Path(self.device).name}/queue/max_sectors_kb").write_text("4")

    def _made(self, image):
        """What the file system has for itself, the journal above all, is on sectors that stay good."""
        told = do("dumpe2fs", image.name)
        free = [tuple(map(int, r.split("-"))) for m in re.finditer(r"^  Free blocks: (.*)$", told, re.M)
                for r in m[1].split(", ") if "-" in r]
        at = 0
        for first, last in [*free, (image.seek(0, os.SEEK_END) // 4096, 0)]:
            os.pwrite(image.fileno(), os.pread(image.fileno(), (first - at) * 4096, at * 4096), at * 4096)
            at = last + 1

    def fail(self):
        with open(self._filler, "wb", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(bytes(MB))
        # to the last page
        with open(self._filler, "ab", buffering=0) as f, contextlib.suppress(OSError):
            while True:
                f.write(bytes(4096))

    def heal(self):
        self._filler.unlink()

    def gave_up(self):
        """The file system has made itself read-only."""
        return os.statvfs(self.path).f_flag & os.ST_RDONLY


class Power:
    """The disks of a stand, and pulling the plug of the one, the other, or both. The one of @bad can fail."""

    def __init__(self, stand, bad=None):
        self.stand, self.cycles = stand, 0
        self.disks = {}
        stand.at_close.append(self.close)
        own_mounts()
        for name, piece in (("target", stand.pc), ("controller", stand.ctl)):
            self.disks[name] = (BadDisk if name == bad else CutDisk)(piece.path / "state")

    def close(self):
        for disk in self.disks.values():
            disk.close()

    def cut(self, names, flag, linger):
        stand = self.stand
        for name in names:
            self.disks[name].cut(flag)
        if linger:
            stand.rest(linger)          # it may go on, and start again, on a disk that is dead
        for name in names:
            stand.kill(name)
        if "target" in names:
            stand.kill_steps()
            stand.new_boot()
        for name in names:
            # what the steps started dies with them, a moment later
            stand.wait(lambda disk=self.disks[name]: self._unmounted(disk), 20, f"{name}'s disk is free")
            self.disks[name].mount()
        for name in names:
            stand.spawn(name)

    @staticmethod
    def _unmounted(disk):
        try:
            disk.unmount()
        except OSError as e:
            if "busy" in str(e):
                return False
            raise
        return True


class Cut:
    """One cycle: who loses power, how, and which moment the seed chooses."""

    def __init__(self, number, names, flag, seed):
        self.number, self.names, self.flag, self.seed = number, names, flag, seed
        # every third time it is killed at a sync before: what it left unsynced is there for the next one, until the cut
        self.crash = number % 3 == 2

    @property
    def place(self):
        return "+".join(self.names)

    def __repr__(self):
        return f"cut {self.number} of {self.place}, flag {self.flag}, seed {self.seed}"


def cuts(seed):
    """Cycles without end."""
    dice = random.Random(seed)
    for number in range(10 ** 9):
        names = (("target",), ("controller",), ("target", "controller"))[(0, 1, 0, 1, 2)[number % 5]]
        yield Cut(number, names, dice.choice((NOLOGFLUSH, NOLOGFLUSH, LOGFLUSH)),
                  dice.randrange(1 << 32))


class Runs:
    """What is submitted in a cycle, and what was said about it."""

    def __init__(self, stand):
        stand.number += 1
        self.stand, self.due, self.tries = stand, [], 0
        self.witness = Witness(stand.pc.path / "witness")
        self.witness.path.unlink(missing_ok=True)
        self.end = time.monotonic() + DEADLINE

    def left(self):
        return max(self.end - time.monotonic(), 1)

    def submit(self, name, *steps):
        self.stand.wait(lambda: self.try_submit(name, *steps), self.left(), f"{name} is accepted")

    def try_submit(self, name, *steps):
        """Whether it was acknowledged. Each try has its own tokens."""
        self.tries += 1
        tokens = [f"{name}-{self.stand.number}-{self.tries}-{i}" for i in range(len(steps))]
        plan = self.stand.pc.path / "plan.json"
        plan.write_text('{"name":"%s","steps":[%s]}' % (name, ",".join(
            '{"exec":["sh","-c","%s"]}' % self.witness.script(t, script)
            for t, (script, _) in zip(tokens, steps))))
        result = self.stand.rota("run", "-d", self.stand.pc.name, "--plan", plan)
        if result.code != 0:
            return False
        self.due.append(Due(result.out.split()[1], [(t, out) for t, (_, out) in zip(tokens, steps)]))
        return True

    def show(self, run):
        """As the controller says now; None while it cannot say."""
        result = self.stand.rota("show", "--json", run)
        if result.code in (0, 5):       # 5: it says that there is no such run
            return result.json() if result.code == 0 else {}
        return None

    def said(self):
        return {d.run: s for d in self.due if (s := self.show(d.run))}


def retreats(before, after, run, power_cut):
    """What was said before and is not so any more."""
    w = Wrongs()
    if not after:
        w.lost.append(f"{run}: was {before['state']}, and is not known any more")
        return w
    order = ["pending", "sent", "queued", "running", "ended"]
    if before["state"] == "ended" and (after["state"], after["verdict"]) != (
            "ended", before["verdict"]):
        w.lost.append(f"{run}: was {before['verdict']}, is {after['state']} {after['verdict']}")
    # which of pending and sent it is needs no disk
    if max(order.index(before["state"]), 1) > max(order.index(after["state"]), 1):
        w.lost.append(f"{run}: was {before['state']}, is {after['state']}")
    have = {s["name"]: s["next"] for s in after["streams"]}
    for s in before["streams"]:
        if have.get(s["name"], 0) < s["next"]:
            w.lost.append(f"{run}/{s['name']}: {s['next']} bytes were acknowledged, "
                          f"{have.get(s['name'], 0)} are there")
    return w


def slow(dice):
    """A step that takes its time for its output, and what that is."""
    parts = [f"seq {i * PART + 1} {(i + 1) * PART}" for i in range(PARTS)]
    pause = f"; sleep 0.0{dice.randrange(1, 9)}; "
    return pause.join(parts), lines(PART * PARTS)


def prepare(stand, bad=None):
    if not hasattr(stand, "power"):
        stand.power = Power(stand, bad)
        stand.spawn("controller")
        stand.spawn("target")
        stand.ready()


def power_cycle(stand, cut):
    """A stand's work on one Cut."""
    prepare(stand)
    answer, dice, began = Answer(), random.Random(cut.seed), time.monotonic()
    runs = Runs(stand)
    w = answer.wrongs
    try:
        if cut.crash:
            for name in cut.names:
                call = dice.choice(("fsync", "fdatasync"))
                stand.restart(name, strace("/dev/null", (call,), f"{call}:signal=SIGKILL:when="
                                                                 f"{dice.randrange(1, 25)}"))
        runs.submit("slow", slow(dice), ("seq 100", lines(100)))
        runs.submit("next", ("seq 2000", lines(2000)))
        stand.rest(dice.random() ** 2 * 0.6 + (0.2 if cut.crash else 0))
        before = runs.said()
        stand.power.cut(cut.names, cut.flag, dice.choice((0, 0, 0, 0.03, 0.2)))
        answer.fired = f"{ {r: (b['state'], b['streams']) for r, b in before.items()} }"
        for run, was in before.items():
            w.add(retreats(was, stand.wait_value(lambda run=run: runs.show(run), runs.left()), run,
                           "target" in cut.names))
        for due in runs.due:
            row = stand.wait_value(
                lambda due=due: (s := runs.show(due.run)) and s["state"] == "ended" and s,
                runs.left(), f"run {due.run} has ended")
            if "target" in cut.names and "reboot" in (row["cause"] or ""):
                due.verdicts = ("not-run",)
            if row["refusal"] == "full":
                due.verdicts = ("not-run",)     # by a target that had some time on the dead disk
            w.add(examine(stand.insist_rota, due, runs.witness, "target" in cut.names))
        stand.power.cycles += 1
        if "controller" in cut.names and stand.power.cycles % 10 == 0:
            w.add(check_store(stand.ctl.path / "state"))
    except TimeoutError as e:
        w.other.append(f"hangs: {e}")
    answer.seconds = time.monotonic() - began
    return answer


class Unsynced:
    """@name is killed at its @n-th @call, a sync, starts again, and believes what it finds; then the power fails."""

    def __init__(self, name, call, n, seed=0):
        self.name, self.call, self.n, self.seed = name, call, n, seed

    @property
    def place(self):
        return self.name

    def __repr__(self):
        return f"{self.name} killed at {self.call} {self.n}, then cut"


def unsynced_cycle(stand, job):
    """One run, so that no other sync covers up for the missing one."""
    prepare(stand)
    answer, began = Answer(), time.monotonic()
    w, log = answer.wrongs, stand.pc.path / "strace.log"
    log.unlink(missing_ok=True)
    stand.deaths.clear()
    stand.restart(job.name, strace(log, (job.call,), f"{job.call}:signal=SIGKILL:when={job.n}"))
    runs = Runs(stand)
    try:
        runs.submit("single", ("seq 5000", lines(5000)))
        run = runs.due[0].run
        with contextlib.suppress(TimeoutError):
            stand.wait(lambda: stand.deaths or (
                (s := runs.show(run)) and s["state"] == "ended"), runs.left())
        old = runs.show(run)
        if stand.deaths:
            with contextlib.suppress(TimeoutError):
                stand.wait(lambda: (s := runs.show(run)) and s != old, 0.5)
        before = runs.said()
        stand.power.cut([job.name], NOLOGFLUSH, 0)
        if stand.deaths:
            answer.fired = log.read_text().splitlines()[-2]
        was = before.get(run)
        row = stand.wait_value(lambda: runs.show(run), runs.left())
        if was:
            w.add(retreats(was, row, run, job.name == "target"))
        row = stand.wait_value(lambda: (s := runs.show(run)) and s["state"] == "ended" and s,
                               runs.left())
        # by the cut; or because the dead disk was quicker to be seen than the death of its user
        if "reboot" in (row["cause"] or "") or row["refusal"] == "full":
            runs.due[0].verdicts = ("not-run",)
        w.add(examine(stand.insist_rota, runs.due[0], runs.witness, job.name == "target"))
        # both sides tell the same story
        mine = stand.pc.path / "state/runs" / run / "events"
        theirs = stand.ctl.path / "state/runs" / run / "events"
        if not row["refusal"] and mine.read_bytes() != theirs.read_bytes():
            w.lost.append(f"{run}: its journal is {mine.read_bytes()} on the target, "
                          f"{theirs.read_bytes()} on the controller")
    except TimeoutError as e:
        w.other.append(f"hangs: {e}")
    answer.seconds = time.monotonic() - began
    return answer


def synced(path):
    """What the kernel does by itself now and then."""
    fd = os.open(path, os.O_RDWR)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def half_block_cycle(stand, heard):
    """
    Part of a block of the output is on the disk, the rest of it is not, but the journal has the file's new length: after
    the cut the file ends in zeros that nobody wrote. @heard: a controller had all of it.
    """
    prepare(stand)
    runs, answer = Runs(stand), Answer()
    gate = stand.pc.path / "gate"
    gate.unlink(missing_ok=True)
    wait = f"while [ ! -e {gate} ]; do sleep 0.01; done"
    runs.submit("half", (f"seq 100; {wait}; seq 101 200; sleep 1000", lines(200)))
    run, half, whole = runs.due[0].run, len(lines(100)), len(lines(200))
    out = stand.pc.path / "state/runs" / run / "1.out"

    def received(size):
        s = runs.show(run)
        return s and s["streams"] and s["streams"][0]["next"] == size
    stand.wait(lambda: received(half))
    synced(out)
    if not heard:
        stand.kill("controller")
    gate.touch()
    stand.wait(lambda: received(whole) if heard else out.stat().st_size == whole)
    other = stand.pc.path / "state/other"
    other.write_bytes(b"x")
    synced(other)
    stand.power.cut(["target"], NOLOGFLUSH, 0)
    answer.fired = out.read_bytes()
    if not heard:
        stand.spawn("controller")
    row = stand.wait_value(lambda: (s := runs.show(run)) and s["state"] == "ended" and s)
    runs.due[0].verdicts = ("not-run",)
    answer.wrongs.add(examine(stand.insist_rota, runs.due[0], runs.witness, True))
    size = row["streams"][0]["next"]
    if size < (whole if heard else half):
        answer.wrongs.lost.append(f"{run}: {size} bytes are left")
    return answer


def bad_disk_cycle(stand, name):
    """The disk of the @name fails for a while, in the middle of output. What was said to be durable is."""
    prepare(stand, name)
    runs, answer = Runs(stand), Answer()
    gates = [stand.pc.path / f"gate{i}" for i in (1, 2)]
    waits = [f"while [ ! -e {g} ]; do sleep 0.01; done" for g in gates]
    for g in gates:
        g.unlink(missing_ok=True)
    # one run, whose directory is there: only contents of files are to fail, so that the file system itself goes on
    runs.submit("bad", (f"seq 1000; {waits[0]}; seq 1001 60000; {waits[1]}", lines(60000)),
                ("seq 100", lines(100)))
    due = runs.due[0]
    run, disk = due.run, stand.power.disks[name]
    stand.wait(lambda: (s := runs.show(run)) and s["streams"] and
               s["streams"][0]["next"] == len(lines(1000)))
    disk.fail()
    if name == "controller":
        # its store first: what fits into a block that is there is taken and kept, then nothing more
        stand.wait(lambda: not runs.try_submit("more", ("seq 10", lines(10))), 10, "a refusal")
    gates[0].touch()
    if name == "target":
        out = disk.path / "runs" / run / "1.out"
        stand.wait(lambda: out.stat().st_size == len(lines(60000)))
        with contextlib.suppress(OSError):
            synced(out)                 # as the kernel would in half a minute; what it cannot write it drops
            raise AssertionError("the disk did not fail")
    else:
        stand.wait(lambda: "nothing is acknowledged" in stand.ctl.log() or
                   "is full" in stand.ctl.log(), 20, "the controller says that it cannot write")
    disk.heal()
    gates[1].touch()
    runs.submit("last", ("seq 10", lines(10)))

    def over():
        return all((s := runs.show(d.run)) and s["state"] == "ended" for d in runs.due)
    stand.wait(lambda: disk.gave_up() or over(), runs.left(), "the end of all")
    if disk.gave_up():
        return None                     # its own tables were hit: another disk, another time
    row = runs.show(run)
    answer.fired = row["verdict"], row["cause"]
    stand.power.cut([name], NOLOGFLUSH, 0)
    answer.wrongs.add(retreats(row, stand.wait_value(lambda: runs.show(run), runs.left()), run,
                               name == "target"))
    if name == "target":
        # rota-step's own sync tells of it, and then it is no success
        due.verdicts = ("not-run",)
        answer.wrongs.other += [] if "could not be synced" in row["cause"] else [row["cause"]]
    else:
        answer.wrongs.add(check_store(stand.ctl.path / "state"))
    for due in runs.due:
        answer.wrongs.add(examine(stand.insist_rota, due, runs.witness, name == "target"))
    return answer
