"""Random faults against a whole lab that works meanwhile, and the account of what became of every byte.

    with Chaos("prosody", seed=7) as chaos:
        chaos.run(faults=100)
        print(chaos.check())        # a summary; raises when a promise was broken

Three machines tell stories (teller.py) all the time. Faults come in bursts of one to seven that overlap; after each burst
everything must be well again within a deadline. What is drawn, in which order, for how long and against
whom follows from the seed alone; what is under way at that moment is the machine's affair.
"""
import collections
import heapq
import json
import os
import random
import re
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from disks import Ext4, Tmpfs
from faults import CONTROLLER, KINDS, ON_EXT4, PCS
from lab import build_dir, wait_for
from promises import checked_run, journal, store_is_sound
from teller import story
from wires import WiredLab

HEALTH = 60  # seconds after a burst
TELLER = Path(__file__).with_name("teller.py")


class Told:
    """One run: a few stories, one a step."""

    def __init__(self, chaos, pc, number, dice):
        self.pc, self.name = pc, f"told-{number}"
        self.run = None  # its id, when the answer came
        self.cuts = 0    # somebody has ended a step of it, or may have
        self.over = self.power_cut = False
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


def draw(dice, left):
    """A burst: faults that do not get into each other's way, each with the moment at which it begins."""
    burst, claimed = [], set()
    for _ in range(min(left, dice.choice([1, 3, 4, 4, 5, 5, 6, 7]))):
        for _ in range(20):
            fault = dice.choices(KINDS, [k.weight for k in KINDS])[0](dice)
            if not fault.claims & claimed:
                claimed |= fault.claims
                burst.append((dice.uniform(0, 1), fault))
                break
    return burst


class Chaos:
    def __init__(self, kind, seed, pcs=PCS):
        self.kind, self.seed = kind, seed
        self.stories, self.counts = [], collections.Counter()
        self.silence, self.silence_of = 0.0, ""
        self.skipped = self.gave_up = 0
        self.bursts = []
        self._stop, self._pause = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._blocked = dict.fromkeys(pcs, 0)
        self._clear_since = dict.fromkeys(pcs, time.monotonic())
        self.trouble = None
        self.disks, self.closed = {}, False
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

    def cut(self, pc, power=False):
        """What is on there, or is just beginning, need not come to its end."""
        with self._lock:
            for told in self.stories:
                # with its power it may also lose what is told already, and not written to the disk
                if told.pc == pc and not (told.over if power else told.told_all()):
                    told.cuts += 1
                    told.power_cut |= power

    def set_clock(self, name, at):
        piece = self.lab.controller() if name == CONTROLLER else self.lab.pc(name)
        shift = 0 if at is None else int((at - time.time()) * 1_000_000)
        with open(piece.path / "clock", "r+b") as f:  # mapped: it must stay the same file
            f.write(struct.pack("q", shift))

    # faults

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
            elif fault.slow_end:
                ends.append(threading.Thread(target=self._end, args=(fault,)))
                ends[-1].start()
            else:
                self._end(fault)
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
        if not self.lab.controller().running():  # what Restart=always of its unit does
            self.gave_up += 1
            self.lab.controller().start()
        return self.lab.rota("ping", "pc*").code == 0

    def run(self, faults, say=lambda text: None):
        dice = random.Random(self.seed)
        workers = [threading.Thread(target=self._guard, args=(work,)) for work in (self._feed, self._watch)]
        for worker in workers:
            worker.start()
        try:
            while sum(self.counts.values()) < faults and not self.trouble:
                burst = draw(dice, faults - sum(self.counts.values()))
                self.bursts.append(burst)
                began = time.monotonic()
                self._carry_out(burst)
                ended = time.monotonic()
                wait_for(self.healthy, HEALTH, what=f"all well after {self.burst_text(burst)}")
                say(f"{len(self.bursts):3}: {ended - began:5.1f} s + {time.monotonic() - ended:5.1f} s  "
                    f"{self.burst_text(burst)}")
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
                    # what was ended does not say so itself
                    told.over = told.told_all() or (told.cuts > 0 and self._has_ended(told))
                if len(mine) < 2 and not self._stop.is_set():
                    self._submit(Told(self, pc, len(self.stories) + 1, dice))
            self._stop.wait(0.1)

    def _has_ended(self, told):
        try:
            return journal(Path(self.lab.pc(told.pc).config["state_dir"], "runs", told.run))[-1]["ev"] == "ended"
        except (OSError, TypeError, IndexError, ValueError):
            return False  # not accepted yet, or its disk is away

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
                    self.silence_of = f"{told.name} of {told.pc}, step {step}, at {size}, burst {len(self.bursts)}"
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
            # the plan's name, or the only step's command
            by_name["told-" + re.search(r"\b(?:told|witness)-([0-9]+)", r["title"]).group(1)].append(r)
        found = Summary(self.kind, self.seed)
        found.faults, found.silence, found.silence_of = self.counts, self.silence, self.silence_of
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
        if row["refusal"]:
            assert row["verdict"] == "not-run" and row["cause"] and not told.begun(), row
            found.runs["refused"] += 1
            return
        controller = Path(self.lab.controller().config["state_dir"], "runs", row["run"])
        target = Path(self.lab.pc(told.pc).config["state_dir"], "runs", row["run"])
        streams = checked_run(controller, power_cut=told.power_cut)
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
        """Returns which processes had to be left behind."""
        self._stop.set()
        if self.closed:
            return []
        self.closed = True
        for piece in [*self.lab.controllers.values(), *self.lab.pcs.values()]:
            if piece.running():
                piece.thaw()
                piece.kill()
        if (self.lab.server.path / "env").exists():
            self.lab.server.kill()
        try:
            wait_for(lambda: not self._left(), 5)
        except TimeoutError:
            pass
        left = self._left()
        if not os.environ.get("ROTA_KEEP_LAB"):
            for disk in self.disks.values():
                disk.close()
        self.lab.close()
        return left

    def _left(self):
        return [p for node in self.wires.nodes for p in self.wires.processes(node)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Summary:
    """What came of it all; those of several rounds can be added."""

    def __init__(self, kind, seed):
        self.kind, self.seed = kind, seed
        self.faults, self.runs = collections.Counter(), collections.Counter()
        self.bytes = self.lost = self.doubled = 0
        self.silence, self.silence_of = 0.0, ""
        self.wrong = []

    def compare(self, what, want, got, whole):
        """@got is all of @want, or the beginning of it."""
        self.bytes += len(got)
        if got == want or (not whole and want.startswith(got)):
            return
        wanted, had = (collections.Counter(text.splitlines(keepends=True)) for text in (want, got))
        self.lost += (wanted - had).total() if whole else 0
        self.doubled += (had - wanted).total()
        self.wrong.append(f"{what}: {len(got)} of {len(want)} bytes, "
                          f"different from {len(os.path.commonprefix([want, got]))} on")

    def __add__(self, other):
        self.faults += other.faults
        self.runs += other.runs
        self.bytes += other.bytes
        self.lost += other.lost
        self.doubled += other.doubled
        self.wrong += other.wrong
        if other.silence > self.silence:
            self.silence, self.silence_of = other.silence, f"{other.silence_of}, seed {other.seed}"
        return self

    def __str__(self):
        kinds = ", ".join(f"{n} {kind}" for kind, n in self.faults.most_common())
        runs = ", ".join(f"{n} {verdict}" for verdict, n in self.runs.most_common())
        return (f"{self.kind}, seed {self.seed}: {self.faults.total()} faults ({kinds}); "
                f"{self.runs.total()} runs ({runs}), {self.bytes} bytes, {self.lost} lost, "
                f"{self.doubled} doubled, longest silence {self.silence:.1f} s ({self.silence_of})")


def main():
    """chaos.py SERVER SEED FAULTS: one round, told as it happens."""
    kind, seed, faults = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    with Chaos(kind, seed) as chaos:
        try:
            chaos.run(faults, say=lambda text: print(text, flush=True))
        except BaseException:
            print(chaos.lab.logs(40), chaos.lab.rota("ls"), chaos.lab.rota("doctor"), sep="\n")
            raise
        summary = chaos.check()
        print(summary)
        print("\n".join(summary.wrong))
        sys.exit(bool(summary.wrong))


if __name__ == "__main__":
    main()
