"""How long it takes until a controller shows what became of a machine, by cause.

    with Detection("prosody", crowd=1000) as d:
        for row in d.causes():
            print(row)
        print(d.server_restart())
        print(d.soak(60))

Every machine is a network namespace (wires.py); beside the five that things happen to there is a crowd of light targets. What
is measured is what `rota ls` says, from the moment of the fault. Nothing here knows pytest: tests/bench/detection uses it.
"""
import collections
import os
import random
import re
import signal
import subprocess
import threading
import time

from crowd import Crowd
from lab import dies_with_us, wait_for
from promises import Gate, submit
from wires import SERVER, WiredLab

PCS = ("pc1", "pc2", "pc3", "pc4", "pc5")
CLEAN, KILLED, BUSY, IDLE, HUNG = PCS
BAD = ("suspect", "silent", "offline", "overdue")

# cause: (machine, what the controller must say, within so many seconds)
BOUNDS = {
    "stopped cleanly": (CLEAN, "offline", 1),
    "killed -9": (KILLED, "offline", 2),
    "blackholed, busy": (BUSY, "offline", 5),
    "blackholed, idle": (IDLE, "offline", 10),
    "SIGSTOP": (HUNG, "silent", 10),
}


class Watcher:
    """`rota ls` again and again; when each state of each of our machines was first seen."""

    def __init__(self, lab):
        self.lab = lab
        self.seen = {name: [] for name in PCS}  # (state, moment)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self):
        while not self._stop.wait(0.01):
            rows = self.lab.ls(*PCS)
            now = time.monotonic()
            for name in PCS:
                state = rows.get(name, {}).get("state")
                if not self.seen[name] or self.seen[name][-1][0] != state:
                    self.seen[name].append((state, now))

    def first(self, name, since):
        """state -> seconds after @since."""
        found = {}
        for state, when in list(self.seen[name]):
            if when >= since:
                found.setdefault(state, when - since)
        return found

    def close(self):
        self._stop.set()
        self._thread.join()


class Detection:
    def __init__(self, kind, crowd, seed=None):
        self.kind, self.count = kind, crowd
        self.seed = random.randrange(10**6) if seed is None else seed
        self.dice = random.Random(self.seed)
        self.lab = WiredLab(kind, pcs=PCS)
        self.crowd = self.watcher = None
        self._rules, self._frozen = [], []
        try:
            self.crowd = Crowd(self.lab, crowd)
            self.lab.start()
            self.crowd.start(self.lab.wires.inside(SERVER))
            self.crowd.wait_all(120)
            self.wait_all_ready()
            self.watcher = Watcher(self.lab)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if self.watcher:
            self.watcher.close()
        for pid in self._frozen:
            os.kill(pid, signal.SIGCONT)
        if self.crowd:
            self.crowd.close()
        self.lab.close()

    def states(self):
        return collections.Counter(row["state"] for row in self.lab.ls().values())

    def wait_all_ready(self, deadline=60):
        wait_for(lambda: self.states() == {"ready": self.count + len(PCS)}, deadline,
                 what="everybody is ready")
        return time.monotonic()

    def said(self):
        """What the controller has said of states so far: (who, state)."""
        return re.findall(r"^(?:<\d>)?(\S+) is (\w+)", self.lab.controller().log(), re.M)

    def pause(self, seconds):
        threading.Event().wait(seconds)

    # faults; each returns the moment at which it happened

    def _without_its_pc(self, name, number):
        """A signal for the daemon; nobody starts it again."""
        pc = self.lab.pc(name)
        pid = pc.target_pid()
        os.kill(pc.process.pid, signal.SIGSTOP)
        self._frozen.append(pc.process.pid)
        os.kill(pid, number)
        return time.monotonic()

    def stop_cleanly(self):
        return self._without_its_pc(CLEAN, signal.SIGTERM)

    def kill(self):
        return self._without_its_pc(KILLED, signal.SIGKILL)

    def hang(self):
        pid = self.lab.pc(HUNG).target_pid()
        os.kill(pid, signal.SIGSTOP)
        self._frozen.append(pid)
        return time.monotonic()

    def blackhole(self, name):
        self._rules.append((name, self.lab.wires.begin_rule(name, "drop")))
        return time.monotonic()

    def mend(self):
        for name, rule in self._rules:
            self.lab.wires.end_rule(name, rule)
        for pid in self._frozen:
            os.kill(pid, signal.SIGCONT)
        self._rules, self._frozen = [], []
        self.wait_all_ready()

    def causes(self, rounds=1):
        """All five at a time, each on its own machine: (cause, machine, state -> seconds), per round."""
        rows = []
        for number in range(rounds):
            gate = Gate(self.lab, f"busy{number}")
            run = submit(self.lab, BUSY, *gate.command())
            self.lab.wait_run(run, "running")
            self.lab.wait_state(BUSY, "busy")
            began = {}
            for cause, fault in (("stopped cleanly", self.stop_cleanly), ("killed -9", self.kill),
                                 ("blackholed, busy", lambda: self.blackhole(BUSY)),
                                 ("blackholed, idle", lambda: self.blackhole(IDLE)),
                                 ("SIGSTOP", self.hang)):
                self.pause(self.dice.uniform(0, 1.2))
                began[cause] = fault()
            wait_for(lambda: all("offline" in self.watcher.first(BOUNDS[c][0], at)
                                 for c, at in began.items()), 40,
                     what=f"all five are offline: {self.watcher.seen}")
            for cause, at in began.items():
                rows.append((cause, BOUNDS[cause][0], self.watcher.first(BOUNDS[cause][0], at)))
            gate.open()
            self.mend()
        return rows

    def server_restart(self, how="stop"):
        """Seconds without a server, seconds from its return until all are shown ready, and who was called something
        bad meanwhile."""
        before, began = len(self.said()), time.monotonic()
        getattr(self.lab.server, how)()
        self.lab.server.start()
        back = time.monotonic()
        self.wait_all_ready(90)
        ready = time.monotonic()
        self.pause(2)
        return {"down": back - began, "back": ready - back,
                "wrong": [s for s in self.said()[before:] if s[1] in BAD]}

    def soak(self, seconds, hogs=None):
        """Nothing happens but that the processors are busy: who is called something bad?"""
        before = len(self.said())
        load = [subprocess.Popen(["sh", "-c", "while :; do :; done"], preexec_fn=dies_with_us)
                for _ in range(os.cpu_count() if hogs is None else hogs)]
        try:
            self.pause(seconds)
        finally:
            for hog in load:
                hog.kill()
                hog.wait()
        wrong = collections.Counter(s[1] for s in self.said()[before:] if s[1] in BAD)
        return {"seconds": seconds, "wrong": dict(wrong), "lost": len(self.crowd.lost),
                "states": dict(self.states())}
