"""Random faults against a whole lab that works meanwhile, and the account of what became of every byte.

    with Chaos("prosody", seed=7) as chaos:
        chaos.run(faults=100)
        print(chaos.check())        # a summary; raises when a promise was broken

Three machines tell stories (teller.py) all the time. Faults come in bursts of one to five that overlap; after each burst
everything must be well again within a deadline. What is drawn, in which order, for how long and against
whom follows from the seed alone; what is under way at that moment is the machine's affair.

A fault is a class: `kind` names it, `claims` what no other fault may use meanwhile, `touches` the machines whose
output cannot flow meanwhile, begin() and end() do it.
"""
import collections
import heapq
import json
import os
import random
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from lab import build_dir, wait_for
from promises import checked_run, journal, store_is_sound
from teller import story
from wires import SERVER, WiredLab

MIB = 1 << 20
HEALTH = 60  # seconds after a burst
CONTROLLER = "ctl"
PCS = ("pc1", "pc2", "pc3")
ON_EXT4 = (CONTROLLER, "pc2")  # the others' state is on a tmpfs
TELLER = Path(__file__).with_name("teller.py")


# --- faults

class Fault:
    """One fault against @who. Numbers that it needs are drawn in __init__, from @dice alone."""
    kind = ""
    weight = 10
    seconds = 0.2, 1.2  # from begin() to end()
    whom = PCS

    def __init__(self, dice):
        self.who = dice.choice(self.whom)
        self.lasts = dice.uniform(*self.seconds)
        self.claims = {(self.family, self.who)}

    family = "process"

    @property
    def touches(self):
        return [self.who] if self.who in PCS else list(PCS)

    def begin(self, chaos):
        """False: there was nothing to break."""
        raise NotImplementedError

    def end(self, chaos):
        pass

    def __str__(self):
        return f"{self.kind} {self.who} {self.lasts:.2f} s"


class KillDaemon(Fault):
    """kill -9 of rota-target, at any moment; the PC starts it again."""
    kind = "kill target"
    weight = 30

    def begin(self, chaos):
        self.old = chaos.lab.pc(self.who).target_pid()
        return self.old is not None and chaos.kill(self.old)

    def end(self, chaos):
        wait_for(lambda: chaos.lab.pc(self.who).target_pid() not in (None, self.old), 20,
                 what=f"{self.who} has a daemon again")


class KillParent(KillDaemon):
    """The same the moment a new rota-step is its child."""
    kind = "kill rota-step's parent"
    weight = 8

    def begin(self, chaos):
        pc = chaos.lab.pc(self.who)
        before = set(chaos.steps(self.who))
        end = time.monotonic() + 1
        while time.monotonic() < end:
            self.old = pc.target_pid()
            if self.old and any(chaos.parent(s) == self.old for s in set(chaos.steps(self.who)) - before):
                return chaos.kill(self.old)
            chaos.pause(0.005)
        # none was begun: one that runs under it, then
        self.old = pc.target_pid()
        if self.old and any(chaos.parent(s) == self.old for s in chaos.steps(self.who)):
            return chaos.kill(self.old)
        return False


class KillStep(Fault):
    """kill -9 of rota-step: the step ends as not-run, with what it had printed."""
    kind = "kill rota-step"
    weight = 6
    seconds = 0, 0

    def begin(self, chaos):
        steps = chaos.steps(self.who)
        if steps:
            chaos.cut(self.who)
        return bool(steps) and chaos.kill(steps[0])


class KillController(Fault):
    kind = "kill controller"
    weight = 14
    seconds = 0, 0.8
    whom = CONTROLLER,

    def begin(self, chaos):
        chaos.lab.controller().kill()
        return True

    def end(self, chaos):
        chaos.lab.controller().start()


class KillServer(Fault):
    kind = "kill server"
    weight = 8
    seconds = 0, 0.5
    whom = SERVER,

    def begin(self, chaos):
        chaos.lab.server.kill()
        return True

    def end(self, chaos):
        chaos.lab.server.start()


class Freeze(Fault):
    """SIGSTOP, and SIGCONT later."""
    kind = "freeze"
    weight = 12
    seconds = 0.1, 1.5
    whom = (*PCS, CONTROLLER, SERVER, *(f"{pc}'s step" for pc in PCS))

    @property
    def touches(self):
        return [self.who.split("'")[0]] if self.who.startswith("pc") else list(PCS)

    def begin(self, chaos):
        if self.who == SERVER:
            self.pids = [-chaos.lab.server.pid()]  # Erlang has helpers
        elif self.who == CONTROLLER:
            self.pids = [chaos.lab.controller().process.pid]
        elif self.who in PCS:
            self.pids = [chaos.lab.pc(self.who).target_pid()]
        else:
            self.pids = chaos.steps(self.who.split("'")[0])
        return all(self.pids) and any([chaos.kill(pid, signal.SIGSTOP) for pid in self.pids])

    def end(self, chaos):
        for pid in self.pids:
            chaos.kill(pid, signal.SIGCONT)


class LinkDown(Fault):
    kind = "cable out"
    family = "link"
    weight = 10
    seconds = 0.2, 2
    whom = (*PCS, CONTROLLER, SERVER)

    def begin(self, chaos):
        chaos.wires.plug(self.who, False)
        return True

    def end(self, chaos):
        chaos.wires.plug(self.who, True)


class Flap(LinkDown):
    """Out and in, a few times."""
    kind = "flapping cable"
    weight = 5
    seconds = 0, 0

    def __init__(self, dice):
        super().__init__(dice)
        self.pauses = [dice.uniform(0.02, 0.2) for _ in range(2 * dice.randrange(2, 5))]

    def begin(self, chaos):
        for i, pause in enumerate(self.pauses):
            chaos.wires.plug(self.who, bool(i % 2))
            chaos.pause(pause)
        return True


class Slow(Fault):
    kind = "64 kbit/s"
    family = "rate"
    weight = 5
    seconds = 0.5, 2.5
    whom = (*PCS, CONTROLLER)

    def begin(self, chaos):
        chaos.wires.slow(self.who, "64kbit")
        return True

    def end(self, chaos):
        chaos.wires.slow(self.who, None)


class Rule(Fault):
    """Everything that comes and goes meets a rule of nftables."""
    family = "rule"
    whom = (*PCS, CONTROLLER, SERVER)
    rule = ""

    def begin(self, chaos):
        self.table = chaos.wires.begin_rule(self.who, self.rule.format(port=chaos.lab.server.port))
        return True

    def end(self, chaos):
        chaos.wires.end_rule(self.who, self.table)


class HalfOpen(Rule):
    """Nothing passes and nobody is told; at times for so long that the server gives up."""
    kind = "half-open"
    weight = 8
    seconds = 0.3, 2
    rule = "drop"

    def __init__(self, dice):
        super().__init__(dice)
        if dice.random() < 0.08:
            self.lasts = dice.uniform(8, 12)


class Blackhole(Fault):
    """Half-open one way: what is sent is swallowed by the routing."""
    kind = "blackhole route"
    family = "route"
    weight = 4
    seconds = 0.3, 2
    whom = (*PCS, CONTROLLER)

    def begin(self, chaos):
        chaos.wires.blackhole(self.who, True)
        return True

    def end(self, chaos):
        chaos.wires.blackhole(self.who, False)


class Reset(Rule):
    """Both ends of the connection get a reset, and new ones are refused."""
    kind = "tcp reset"
    weight = 10
    seconds = 0.05, 0.4
    rule = "tcp dport {port} reject with tcp reset"

    def begin(self, chaos):
        super().begin(chaos)
        self.back = chaos.wires.begin_rule(self.who, "tcp sport {0} reject with tcp reset".format(
            chaos.lab.server.port))
        return True

    def end(self, chaos):
        super().end(chaos)
        chaos.wires.end_rule(self.who, self.back)


class Loss(Rule):
    kind = "lost packets"
    weight = 6
    seconds = 0.5, 2.5

    def __init__(self, dice):
        super().__init__(dice)
        self.percent = dice.randrange(5, 31)
        self.rule = f"numgen random mod 100 < {self.percent} drop"

    def __str__(self):
        return f"{super().__str__()}, {self.percent} %"


class DiskFull(Fault):
    kind = "disk full"
    family = "disk"
    weight = 6
    seconds = 0.2, 1.5
    whom = (*PCS, CONTROLLER)

    def begin(self, chaos):
        chaos.disks[self.who].fill()
        return True

    def end(self, chaos):
        chaos.disks[self.who].clear()


class ReadOnly(Fault):
    """
    The file system takes an error and becomes read-only under whoever works there. Nobody comes back from that
    but by a new mount: the controller is killed, the PC loses its power.
    """
    kind = "disk read-only"
    family = "disk"
    weight = 2
    seconds = 0.3, 1.5
    whom = ON_EXT4

    def __init__(self, dice):
        super().__init__(dice)
        self.claims.add(("process", self.who))

    def begin(self, chaos):
        if self.who in PCS:
            chaos.cut(self.who)
        chaos.disks[self.who].break_it()
        return True

    def end(self, chaos):
        if self.who == CONTROLLER:
            chaos.lab.controller().kill()
            chaos.disks[self.who].mend()
            chaos.lab.controller().start()
        else:
            chaos.lab.pc(self.who).off()
            chaos.cut(self.who)  # one that was begun in the meantime
            chaos.disks[self.who].mend()
            chaos.lab.pc(self.who).on()
            wait_for(chaos.lab.pc(self.who).target_pid, 20, what=f"{self.who} is on again")


class Clock(Fault):
    """The wall clock is set, of the running daemon or of one that starts then."""
    kind = "clock set"
    family = "clock"
    weight = 6
    seconds = 0.2, 1.5
    whom = (*PCS, CONTROLLER)

    def __init__(self, dice):
        super().__init__(dice)
        self.year, self.at = dice.choice([("1970", 86400), ("2038", (1 << 31) - 1)])
        self.starts = dice.random() < 0.5
        if self.starts:
            self.claims.add(("process", self.who))

    def __str__(self):
        return f"{super().__str__()}, {self.year}{' at start' if self.starts else ''}"

    def begin(self, chaos):
        chaos.set_clock(self.who, self.at)
        if self.starts and self.who == CONTROLLER:
            chaos.lab.controller().kill()
            chaos.lab.controller().start()
        elif self.starts:
            old = chaos.lab.pc(self.who).target_pid()
            if old:
                chaos.kill(old)
        return True

    def end(self, chaos):
        chaos.set_clock(self.who, None)


KINDS = [KillDaemon, KillParent, KillStep, KillController, KillServer, Freeze, LinkDown, Flap, Slow,
         HalfOpen, Blackhole, Reset, Loss, DiskFull, ReadOnly, Clock]


# --- the disks under the state directories

class Tmpfs:
    def __init__(self, path):
        self.path = path
        path.mkdir()
        sh("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "tmpfs", path)

    def fill(self):
        st = os.statvfs(self.path)
        sh("mount", "-o", f"remount,size={(st.f_blocks - st.f_bfree) * st.f_frsize}", self.path)

    def clear(self):
        sh("mount", "-o", f"remount,size={SIZE}", self.path)

    def close(self):
        sh("umount", "-l", self.path)


class Ext4:
    """In a file in memory, through a loop device."""

    def __init__(self, path):
        self.path, self.image = path, Path(f"/dev/shm/rota-chaos-{os.getpid()}-{path.parent.name}")
        path.mkdir()
        with open(self.image, "wb") as f:
            f.truncate(SIZE)
        sh("mkfs.ext4", "-q", "-F", "-m0", "-E", "root_owner=0:0,lazy_itable_init=1", self.image)
        self.mount()
        os.chmod(path, 0o700)

    def mount(self):
        sh("mount", "-o", "loop,errors=remount-ro", self.image, self.path)

    def fill(self):
        st = os.statvfs(self.path)
        sh("fallocate", "-l", st.f_bavail * st.f_frsize - (64 << 10), self.path / "fill")
        with open(self.path / "fill", "ab", buffering=0) as f:
            try:
                while True:
                    f.write(bytes(4096))
            except OSError:
                pass

    def clear(self):
        (self.path / "fill").unlink()

    def break_it(self):
        source = subprocess.run(["findmnt", "-no", "SOURCE", self.path], check=True, text=True,
                                stdout=subprocess.PIPE).stdout.strip()
        Path("/sys/fs/ext4", os.path.basename(source), "trigger_fs_error").write_text("1")

    def mend(self):
        # sometimes somebody looks, for a moment
        wait_for(lambda: subprocess.run(["umount", self.path], check=False, stderr=subprocess.PIPE).returncode
                 == 0, what=f"{self.path} is not used")
        done = subprocess.run(["e2fsck", "-p", self.image], check=False, stdout=subprocess.PIPE)
        assert done.returncode < 4, done
        self.mount()

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=False)
        self.image.unlink()


SIZE = 1536 * MIB


def sh(*argv):
    subprocess.run([str(a) for a in argv], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


# --- the work that goes on meanwhile

class Told:
    """One run: a few stories, one a step."""

    def __init__(self, chaos, pc, number, dice):
        self.pc, self.name = pc, f"told-{number}"
        self.run = None  # its id, when the answer came
        self.cuts = 0    # somebody has ended a step of it, or may have
        self.over = False
        self.parts, self.witnesses = [], []
        for step in range(1, dice.choice([1, 1, 2, 3]) + 1):
            kind = dice.choice(["counter", "counter", "text", "noise"])
            amount = dice.randrange(1, {"counter": 500, "text": 250, "noise": 120}[kind])
            self.parts.append((kind, number * 1000 + step, amount))
            self.witnesses.append(chaos.lab.path / f"witness-{number}-{step}")
        self.plan = {"name": self.name, "steps": [
            {"exec": ["/usr/bin/python3", "-S", "-E", str(TELLER), kind, str(seed), str(amount), str(witness)],
             "pty": dice.random() < 0.7}
            for (kind, seed, amount), witness in zip(self.parts, self.witnesses)]}

    def lines(self, step):
        path = self.witnesses[step - 1]
        return path.read_text().splitlines() if path.exists() else []

    def begun(self):
        return self.witnesses[0].exists()

    def on(self):
        """The step that prints now; 0: none."""
        for step in range(len(self.parts), 0, -1):
            lines = self.lines(step)
            if lines:
                return step if not lines[-1].startswith("sha256") else 0
        return 0

    def told_all(self):
        lines = self.lines(len(self.parts))
        return bool(lines) and lines[-1].startswith("sha256")


class Chaos:
    def __init__(self, kind, seed, pcs=PCS):
        self.kind, self.seed = kind, seed
        self.stories, self.counts = [], collections.Counter()
        self.silence, self.silence_of = 0.0, ""
        self.skipped = 0
        self.bursts = []
        self._stop, self._pause = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._blocked = dict.fromkeys(pcs, 0)
        self._clear_since = dict.fromkeys(pcs, time.monotonic())
        self.trouble = None
        self.disks = {}
        self.lab = WiredLab(kind, pcs=pcs)
        self.wires = self.lab.wires
        try:
            self._certificate()
            for piece in [self.lab.controller(), *self.lab.pcs.values()]:
                state = Path(piece.config["state_dir"])
                self.disks[piece.name] = (Ext4 if piece.name in ON_EXT4 else Tmpfs)(state)
                piece.config["free_min"] = "0"
                shift = piece.path / "clock"
                shift.write_bytes(struct.pack("q", 0))
                piece.extra_env = {"LD_PRELOAD": str(build_dir() / "bin/rota-clock-shift.so"),
                                   "ROTA_CLOCK_SHIFT": str(shift)}
            self.lab.start()
        except BaseException:
            self.close()
            raise

    def _certificate(self):
        """One that is valid in 1970 and in 2038, in place of the server's."""
        path = self.lab.server.path
        self.lab.server.kill()
        shift = path / "clock"
        shift.write_bytes(struct.pack("q", int(-time.time() * 1_000_000)))
        env = dict(os.environ, LD_PRELOAD=str(build_dir() / "bin/rota-clock-shift.so"),
                   ROTA_CLOCK_SHIFT=str(shift))
        subject = f"/CN={self.lab.server.domain}"
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        for argv in (["req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "30000",
                      "-subj", "/CN=rota scratch authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign"],
                     ["req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", subject,
                      "-addext", f"subjectAltName=DNS:{self.lab.server.domain}"],
                     ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
                      "-CAcreateserial", "-days", "30000", "-out", "server.crt", "-copy_extensions", "copy"]):
            subprocess.run(["openssl", *argv], cwd=path, env=env, check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE)
        (path / "server.pem").write_bytes((path / "server.crt").read_bytes() +
                                          (path / "server.key").read_bytes())
        self.lab.server.start()

    # what faults use

    def pause(self, seconds):
        self._pause.wait(seconds)

    def kill(self, pid, number=signal.SIGKILL):
        try:
            os.kill(pid, number)
            return True
        except ProcessLookupError:
            return False

    def steps(self, pc):
        found = []
        for pid in self.lab.pc(pc).descendants():
            try:
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "rota-step":
                    found.append(pid)
            except OSError:
                pass
        return found

    def parent(self, pid):
        try:
            return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return None

    def cut(self, pc):
        """What is on there, or is just beginning, need not come to its end."""
        with self._lock:
            for told in self.stories:
                if told.pc == pc and not told.told_all():
                    told.cuts += 1

    def set_clock(self, name, at):
        piece = self.lab.controller() if name == CONTROLLER else self.lab.pc(name)
        shift = 0 if at is None else int((at - time.time()) * 1_000_000)
        with open(piece.path / "clock", "r+b") as f:  # mapped: it must stay the same file
            f.write(struct.pack("q", shift))

    # faults

    def draw(self, dice, left):
        """A burst: faults that do not get into each other's way, each with the moment at which it begins."""
        burst, claimed = [], set()
        for _ in range(min(left, dice.choice([1, 2, 2, 3, 3, 4, 5, 6]))):
            for _ in range(20):
                fault = dice.choices(KINDS, [k.weight for k in KINDS])[0](dice)
                if not fault.claims & claimed:
                    claimed |= fault.claims
                    burst.append((dice.uniform(0, 1), fault))
                    break
        return burst

    def _block(self, fault, by):
        with self._lock:
            for pc in fault.touches:
                self._blocked[pc] += by
                self._clear_since[pc] = time.monotonic()

    def _carry_out(self, burst):
        began = time.monotonic()
        todo = [(at, i, fault, True) for i, (at, fault) in enumerate(burst)]
        heapq.heapify(todo)
        ends = []
        while todo:
            at, i, fault, begins = heapq.heappop(todo)
            self.pause(max(0, began + at - time.monotonic()))
            if begins:
                self._block(fault, 1)
                if fault.begin(self):
                    self.counts[fault.kind] += 1
                    heapq.heappush(todo, (time.monotonic() - began + fault.lasts, i, fault, False))
                else:
                    self.skipped += 1
                    self._block(fault, -1)
            else:
                # one that takes its time, as the start of a server does, holds nobody up
                ends.append(threading.Thread(target=self._end, args=(fault,)))
                ends[-1].start()
        for end in ends:
            end.join()
        if self.trouble:
            raise self.trouble

    def _end(self, fault):
        try:
            fault.end(self)
        except BaseException as e:  # told by the main thread
            self.trouble = e
        self._block(fault, -1)

    def healthy(self):
        return self.lab.rota("ping", "pc*").code == 0

    def run(self, faults, say=lambda text: None):
        dice = random.Random(self.seed)
        workers = [threading.Thread(target=self._guard, args=(work,)) for work in (self._feed, self._watch)]
        for worker in workers:
            worker.start()
        try:
            while sum(self.counts.values()) < faults and not self.trouble:
                burst = self.draw(dice, faults - sum(self.counts.values()))
                self.bursts.append(burst)
                began = time.monotonic()
                self._carry_out(burst)
                ended = time.monotonic()
                wait_for(self.healthy, HEALTH, what=f"all well after {self.burst_text(burst)}")
                say(f"{ended - began:5.1f} s + {time.monotonic() - ended:5.1f} s  {self.burst_text(burst)}")
        finally:
            self._stop.set()
            for worker in workers:
                worker.join()
        if self.trouble:
            raise self.trouble

    @staticmethod
    def burst_text(burst):
        return "; ".join(f"{at:.2f}: {fault}" for at, fault in sorted(burst, key=lambda b: b[0]))

    def _guard(self, work):
        try:
            work()
        except BaseException as e:
            self.trouble = e

    def _feed(self):
        """Each machine has something to do, and something that waits."""
        dice = random.Random(self.seed + 1)
        while not self._stop.is_set():
            for pc in self._blocked:
                mine = [t for t in self.stories if t.pc == pc and not t.over]
                for told in mine:
                    told.over = told.told_all() or (told.cuts > 0 and told.on() == 0)
                if len(mine) < 2 and not self._stop.is_set():
                    self._submit(Told(self, pc, len(self.stories) + 1, dice))
            self._stop.wait(0.1)

    def _submit(self, told):
        with self._lock:
            self.stories.append(told)
        result = self.lab.rota("run", "-d", told.pc, "--plan", "-", stdin=self._as_input(told.plan))
        if result.code == 0:
            told.run = result.out.split()[1]
        else:
            # it may have been taken or not: at the end the controller says
            told.cuts += 1
            told.over = True

    def _as_input(self, plan):
        read, write = os.pipe()
        os.write(write, json.dumps(plan).encode())
        os.close(write)
        return os.fdopen(read, "rb")

    def _watch(self):
        """The longest time without a new byte of a step that prints, with nothing in its way."""
        runs = Path(self.lab.controller().config["state_dir"], "runs")
        seen = {}  # (story, step): (size, when it was seen to grow)
        while not self._stop.is_set():
            now = time.monotonic()
            with self._lock:
                stories = [t for t in self.stories if t.run and not t.over]
                clear = {pc: now if n else self._clear_since[pc] for pc, n in self._blocked.items()}
            for told in stories:
                step = told.on()
                if not step:
                    continue
                try:
                    size = (runs / told.run / f"{step}.out").stat().st_size
                except OSError:
                    size = 0
                had, since = seen.get((told, step), (-1, now))
                if size != had:
                    seen[told, step] = size, now
                silent = now - max(since, clear[told.pc])
                if silent > self.silence:
                    self.silence = silent
                    self.silence_of = f"{told.name} of {told.pc}, step {step}, at {size}"
            self._stop.wait(0.02)

    # the account

    def check(self, deadline=120):
        """All runs to their ends, then everything compared. Returns a Summary."""
        lab = self.lab
        rows = {}

        def ended():
            result = lab.rota("runs", "--json", "-n", 100000)
            rows.update({r["run"]: r for r in result.json()} if result.code == 0 else {})
            return rows and all(r["state"] == "ended" for r in rows.values())
        try:
            wait_for(ended, deadline, what="all runs have ended")
        except TimeoutError:
            left = [r for r in rows.values() if r["state"] != "ended"]
            raise AssertionError(f"{len(left)} runs have no end: {left[:5]}\n{lab.logs(30)}") from None
        by_name = collections.defaultdict(list)
        for r in rows.values():
            by_name[r["title"]].append(r)
        found = Summary(self)
        for told in self.stories:
            runs = by_name.pop(told.name, [])
            if told.run:
                assert [r["run"] for r in runs] == [told.run], (told.name, told.run, runs)
            assert len(runs) <= 1, f"{told.name} was submitted once and is there {len(runs)} times"
            if not runs:
                assert not told.begun(), f"{told.name} was refused and runs"
                continue
            self._check_told(told, runs[0], found)
        assert not by_name, f"runs that nobody asked for: {dict(by_name)}"
        self._check_processes()
        lab.controller().stop()
        store_is_sound(Path(lab.controller().config["state_dir"], "store.db"))
        return found

    def _check_told(self, told, row, found):
        controller = Path(self.lab.controller().config["state_dir"], "runs", row["run"])
        target = Path(self.lab.pc(told.pc).config["state_dir"], "runs", row["run"])
        streams = checked_run(controller)
        if (target / "events").exists():
            assert journal(target) == journal(controller), f"{row['run']}: the journals differ"
        found.runs[row["verdict"]] += 1
        whole = row["verdict"] == "passed"
        assert whole or told.cuts, f"{told.name} was not touched: {row}"
        assert whole or (row["verdict"] == "not-run" and row["cause"]), row
        for step, part in enumerate(told.parts, 1):
            lines = told.lines(step)
            assert lines.count("began") <= 1, f"{told.name}: step {step} ran {lines.count('began')} times"
            want = story(*part)
            path = controller / f"{step}.out"
            got = path.read_bytes() if path.exists() else b""
            found.compare(f"{told.name} ({row['run']}) of {told.pc}, step {step}", want, got, whole)
            if whole:
                assert lines[-1].split() == ["sha256", streams[f"{step}.out"]["sha256"], str(len(want))]

    def _check_processes(self):
        """On every PC the daemon, and nothing else."""
        for name, pc in self.lab.pcs.items():
            wait_for(lambda pc=pc: pc.descendants() == [pc.target_pid()], 20,
                     what=f"nothing but the daemon is on {name}")

    def close(self):
        self._stop.set()
        keep = os.environ.get("ROTA_KEEP_LAB")
        for piece in [self.lab.controller(), *self.lab.pcs.values()]:
            if piece.running():
                piece.kill()
        left = [p for node in self.wires.nodes for p in self.wires.processes(node)]
        if not keep:
            for disk in self.disks.values():
                disk.close()
        self.lab.close()
        return left

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Summary:
    """What came of it all."""

    def __init__(self, chaos):
        self.chaos, self.runs = chaos, collections.Counter()
        self.bytes = self.lost = self.doubled = 0
        self.wrong = []

    def compare(self, what, want, got, whole):
        """@got is all of @want, or the beginning of it."""
        self.bytes += len(got)
        if got == want or (not whole and want.startswith(got)):
            return
        same = os.path.commonprefix([want, got])
        lines, had = want.splitlines(), collections.Counter(got.splitlines())
        self.doubled += sum(n - 1 for n in had.values() if n > 1)
        self.lost += sum(line not in had for line in lines) if whole else 0
        self.wrong.append(f"{what}: {len(got)} of {len(want)} bytes, different from {len(same)} on")

    def __str__(self):
        chaos = self.chaos
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(chaos.counts.items(), key=lambda c: -c[1]))
        runs = ", ".join(f"{n} {verdict}" for verdict, n in self.runs.items())
        return (f"{chaos.kind}, seed {chaos.seed}: {sum(chaos.counts.values())} faults ({kinds}); "
                f"{sum(self.runs.values())} runs ({runs}), {self.bytes} bytes, {self.lost} lost, "
                f"{self.doubled} doubled, longest silence {chaos.silence:.1f} s ({chaos.silence_of})")


def main():
    """chaos.py SERVER SEED FAULTS: one round, told as it happens."""
    kind, seed, faults = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with Chaos(kind, seed) as chaos:
        chaos.run(faults, say=lambda text: print(text, flush=True))
        summary = chaos.check()
        print(summary)
        print("\n".join(summary.wrong))
        sys.exit(bool(summary.wrong))


if __name__ == "__main__":
    main()
