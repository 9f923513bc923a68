"""The crash sweep: the same scenario again and again, each time with one call of one program that does not happen.

strace counts the calls of each kind since the program's start and kills it, or fails the call, at the n-th: the call
itself is not performed. The undisturbed scenario says how many there are. What one cycle is:

    the program starts anew, under strace      target or controller at once, rota-step when a step begins
    hold, two steps, one step are submitted    the target runs one at a time: a queue of two
    hold is cancelled when it is on            the others follow
    the fault comes, somewhere in it           the daemon is started again at once
    all three have ended, and were retired     then promises.examine() says what is broken
"""
import re
import time

from lab import build_dir
from promises import Due, Witness, Wrongs, check_store, examine

# "again": the daemon that finds runs, one of them on, and goes on with them
PLACES = ("target", "controller", "step", "step cancelled", "target again", "controller again")
KILL_CALLS = ("write", "pwrite64", "writev", "fsync", "fdatasync", "ftruncate", "fallocate", "rename",
              "renameat", "renameat2", "sendto", "sendmsg", "unlink", "unlinkat", "rmdir", "mkdir",
              "mkdirat", "openat")
ERRORS = {"write": "EIO", "pwrite64": "ENOSPC", "fsync": "EIO", "fdatasync": "EIO", "openat": "EMFILE",
          "rename": "EIO", "renameat": "EIO", "mkdirat": "ENOSPC", "ftruncate": "EIO",
          "sendto": "ENOMEM", "sendmsg": "ENOMEM", "pread64": "EIO", "getdents64": "EIO", "fallocate": "ENOSPC",
          "clone": "ENOMEM", "inotify_add_watch": "ENOSPC", "unlinkat": "EIO"}
DEADLINE = 40
ONE, TWO = 20000, 150                   # lines


def lines(n):
    return b"".join(b"%d\n" % i for i in range(1, n + 1))


class Call:
    """One line of strace: which call of its kind it was, and on what."""
    FORM = re.compile(r"^(\w+)\((.*)\) += (.*)$|^(\w+)\((.*)$")

    def __init__(self, name, n, arguments, result):
        self.name, self.n, self.arguments, self.result = name, n, arguments, result

    @property
    def creates(self):
        return self.name != "openat" or "O_CREAT" in self.arguments

    def site(self):
        """The kind of file it is about: runs, sockets and numbers all alike."""
        m = re.search(r'<([^>]*)>|"([^"]*)"', self.arguments.replace("AT_FDCWD<", "AT_FDCWD("))
        path = next((g for g in m.groups() if g is not None), "") if m else ""
        if self.name in ("openat", "renameat", "mkdirat", "unlinkat"):
            path = (re.search(r'"([^"]*)"', self.arguments) or ["", path])[1]
        path = re.sub(r"^/(usr|lib|etc|proc|sys|dev)/.*", r"/\1", path)
        path = re.sub(r"^/tmp/rota-lab-[^/]*/\w+/", "", path)
        path = re.sub(r"\b[a-z0-9]{12}\b", "RUN", path)
        path = re.sub(r":\[\d+\]", "", path)
        path = re.sub(r"^state/runs/\.old-RUN.*", "removed run", path)
        path = re.sub(r"^/tmp.*", "above", path)
        return self.name, re.sub(r"\d+", "N", path)


def calls_of(log):
    """The calls of an undisturbed run, each counted within its kind."""
    counts, found = {}, []
    for line in log.read_text(errors="replace").splitlines():
        m = Call.FORM.match(line)
        if not m:
            continue
        name = m[1] or m[4]
        counts[name] = counts.get(name, 0) + 1
        found.append(Call(name, counts[name], m[2] or m[5] or "", m[3] or ""))
    return found


def strace(log, calls, inject=None):
    # -D: strace is the grandchild, so that the program keeps its parent and its number
    argv = ["strace", "-D", "-y", "-s", "24", "-o", str(log), "-e", f"trace={','.join(calls)}"]
    return argv + (["-e", f"inject={inject}"] if inject else [])


class Cycle:
    """One time through the scenario, on one stand."""

    def __init__(self, stand):
        stand.number += 1
        self.stand, self.pc = stand, stand.pc.name
        self.witness = Witness(stand.pc.path / "witness")
        self.witness.path.unlink(missing_ok=True)
        self.due, self.maybe = [], []
        self.began = time.monotonic()

    def left(self):
        return max(DEADLINE - (time.monotonic() - self.began), 1)

    def submit(self, name, steps, verdicts):
        """Until it is acknowledged. An attempt that was not may run, once, or not at all."""
        plan = self.stand.pc.path / "plan.json"
        for attempt in range(1000):
            tokens = [f"{name}-{self.stand.number}-{attempt}-{i}" for i in range(len(steps))]
            plan.write_text('{"name":"%s","steps":[%s]}' % (name, ",".join(
                '{"exec":["sh","-c","%s"]}' % self.witness.script(t, script)
                for t, (script, _) in zip(tokens, steps))))
            result = self.stand.rota("run", "-d", self.pc, "--plan", plan)
            if result.code == 0:
                run = result.out.split()[1]
                self.due.append(Due(run, [(t, out) for t, (_, out) in zip(tokens, steps)], verdicts))
                return run
            if self.left() <= 1:
                raise TimeoutError(f"nothing is accepted: {result}")
            self.maybe += tokens
            self.stand.rest(0.05)
        return None

    def cancel_others(self):
        """What was not acknowledged may be on, and need not end by itself."""
        ours = [d.run for d in self.due]
        for row in self.stand.insist("runs", "--json", "-n", "20", deadline=self.left()).json():
            if row["state"] != "ended" and row["run"] not in ours:
                self.stand.insist("cancel", row["run"], codes=(0, 2, 5), deadline=self.left())

    def go(self, verdicts, patient, before_two=lambda: None):
        stand = self.stand
        hold = self.submit("hold", [("echo on; exec sleep 1000", b"on\n")], verdicts["hold"])
        two = self.submit("two", [(f"seq {ONE}", lines(ONE)), (f"seq {TWO}", lines(TWO))],
                          verdicts["two"])
        one = self.submit("one", [(f"seq {TWO}", lines(TWO))], verdicts["one"])
        tombstones = stand.pc.path / "state/tombstones"
        asked = {}

        def over(run):
            """Retired; or, after a while, at least ended: what cannot be removed is tried again in a minute."""
            if (tombstones / run).exists():
                return True
            if not patient and time.monotonic() > asked.get(run, 0):
                asked[run] = time.monotonic() + 0.3
                shown = stand.rota("show", "--json", run)
                return shown.code == 0 and shown.json()["state"] == "ended"
            return False

        def begun():
            return "hold-" in self.witness.path.read_text() if self.witness.path.exists() else False
        if self.maybe:
            self.cancel_others()
        stand.wait(lambda: begun() or over(hold), self.left(), f"hold {hold} is on")
        before_two()
        if not over(hold):
            # 2: it is over, by the fault
            stand.insist("cancel", hold, codes=(0, 2, 5), deadline=self.left())
        for run in (hold, two, one):
            stand.wait(lambda run=run: over(run), self.left(), f"run {run} is retired")

    def check(self):
        wrongs = Wrongs()
        for due in self.due:
            wrongs.add(examine(self.stand.insist_rota, due, self.witness))
        for token in self.maybe:
            if self.witness.times(token) > 1:
                wrongs.doubled.append(f"{token} was not even acknowledged, and ran "
                                      f"{self.witness.times(token)} times")
        return wrongs


STRICT = {"hold": ("cancelled",), "two": ("passed",), "one": ("passed",)}
# the machine may be unable to run a step; that is never the step's failure
LENIENT = {"hold": ("cancelled", "not-run"), "two": ("passed", "not-run"),
           "one": ("passed", "not-run")}


class Fault:
    """@inject at the @n-th @call. @n 0: undisturbed, to count the calls that a kill may hit, or with @call given those
    that may fail."""

    def __init__(self, place, call=None, n=0, inject=None, site=None):
        self.place, self.call, self.n, self.inject, self.site = place, call, n, inject, site

    @property
    def kill(self):
        return self.inject == "signal=SIGKILL"

    def __repr__(self):
        return f"{self.place}: {self.inject} at {self.call} {self.n} ({self.site})"


class Answer:
    def __init__(self):
        self.fired, self.wrongs, self.calls, self.seconds = None, Wrongs(), None, 0
        self.deaths = []


MEMORY = "memory"                       # the call of a Fault that is an allocation; its n is the way to it
PROGRAMS = {"target": "rota-target", "controller": "rota-controller", "step": "rota-step",
            "step cancelled": "rota-step", "target again": "rota-target",
            "controller again": "rota-controller"}


def under_tool(fault, log):
    """What the program is started under, and with which environment."""
    if fault.call == MEMORY:
        what = f"{PROGRAMS[fault.place]}:{log}" + (f":{fault.n:x}" if fault.n else "")
        preload = build_dir() / "bin/rota-scarce.so"
        return ["setarch", "-R"], {"ROTA_SCARCE": what, "LD_PRELOAD": str(preload)}
    calls = KILL_CALLS if fault.kill or not fault.call else tuple(ERRORS)
    return strace(log, calls, fault.n and f"{fault.call}:{fault.inject}:when={fault.n}"), {}


def ways_of(log):
    """Ways to allocations: (number, site)."""
    return [(int(way, 16), own) for way, own in map(str.split, log.read_text().splitlines())]


def what_came(fault, log, answer):
    """Reads the tool's log."""
    text = log.read_text(errors="replace").splitlines() if log.exists() else []
    if fault.call == MEMORY:
        if not fault.n:
            answer.calls = ways_of(log)
        elif text:
            answer.fired = text[0]
    elif not fault.n:
        answer.calls = calls_of(log)
    elif fault.kill:
        if text and text[-1].startswith("+++ killed by SIGKILL"):
            answer.fired = text[-2] if len(text) > 1 else ""
    else:
        answer.fired = next((x for x in text if "(INJECTED)" in x), None)


def cycle(stand, fault):
    """A stand's work on one Fault."""
    answer, log = Answer(), stand.pc.path / "strace.log"
    log.unlink(missing_ok=True)
    stand.step_fault.unlink(missing_ok=True)
    under, env = under_tool(fault, log)
    verdicts = STRICT
    if fault.n and not (fault.kill and "step" not in fault.place):
        verdicts = LENIENT
    c = Cycle(stand)
    stand.deaths.clear()
    for name in ("controller", "target"):
        if fault.place == name:
            stand.restart(name, under, env)
        elif not stand.wanted.get(name):
            stand.spawn(name)
    if fault.place == "step cancelled":
        stand.fault_next_step(under, env.items())

    def hold_is_on():
        if fault.place == "step":
            stand.fault_next_step(under, env.items())
        elif fault.place.endswith(" again"):
            stand.restart(fault.place.split()[0], under, env)
    try:
        c.go(verdicts, verdicts is STRICT, hold_is_on)
        answer.wrongs.add(c.check())
        if "controller" in fault.place:
            answer.wrongs.add(check_store(stand.ctl.path / "state"))
    except TimeoutError as e:
        answer.wrongs.other.append(f"hangs: {e}")
        stand.off()
        stand.kill("controller")
    answer.seconds = time.monotonic() - c.began
    answer.deaths = list(stand.deaths)
    what_came(fault, log, answer)
    return answer


def chosen(faults, dice):
    """What an ordinary run tries: first one call of each kind and file; as time allows the last ones of each, those of a
    daemon that goes on with what it finds, and some of the others."""
    first, last = {}, {}
    for f in faults:
        if first.setdefault((f.place, f.site), f) is not f:
            last[f.place, f.site] = f
    must = [f for f in first.values() if " again" not in f.place]
    taken = {id(f) for f in must}
    likely = [f for f in [*first.values(), *last.values()] if id(f) not in taken]
    taken |= {id(f) for f in likely}
    rest = [f for f in faults if id(f) not in taken]
    dice.shuffle(likely)
    dice.shuffle(rest)
    return must, likely + rest


def with_deadline(must, more, seconds):
    """All of @must, and of @more what still begins in time."""
    end = time.monotonic() + seconds
    yield from must
    for f in more:
        if time.monotonic() >= end:
            return
        yield f


class Table:
    """What was tried of each program, and what became of it."""
    HEAD = "program           fault       calls   tried     hit    lost doubled   other  longest"

    def __init__(self):
        self.rows, self.wrongs = {}, []

    def calls(self, place, fault, n):
        self.rows.setdefault((place, fault), [n, 0, 0, 0, 0, 0, 0.0])

    def add(self, fault, name, answer, trouble):
        row = self.rows.setdefault((fault.place, name), [0, 0, 0, 0, 0, 0, 0.0])
        row[1] += 1
        if answer is None:
            row[5] += 1
            self.wrongs.append(f"{fault}: {trouble}")
            return
        w = answer.wrongs
        row[2] += answer.fired is not None
        for i, some in enumerate((w.lost, w.doubled, w.other)):
            row[3 + i] += len(some)
        row[6] = max(row[6], answer.seconds)
        if w:
            self.wrongs.append(f"{fault}\n  hit {answer.fired}\n  {w}")

    def tried(self):
        return sum(r[1] for r in self.rows.values())

    def hit(self):
        return sum(r[2] for r in self.rows.values())

    def __str__(self):
        text = [self.HEAD]
        for (place, fault), r in sorted(self.rows.items()):
            text.append(f"{place:17} {fault:8} " + "".join(f"{n:8}" for n in r[:6]) + f"{r[6]:8.1f}s")
        return "\n".join(text)
