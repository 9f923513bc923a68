"""The faults of chaos.py.

A fault is a class: `kind` names it, `claims` what no other fault may use meanwhile, `touches` the machines whose
output cannot flow meanwhile, begin() and end() do it. Everything random is drawn when it is made.
"""
import os
import signal
import time

from lab import wait_for
from wires import SERVER

CONTROLLER = "ctl"
PCS = ("pc1", "pc2", "pc3")
ON_EXT4 = (CONTROLLER, "pc2")  # the others' state is on a tmpfs


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
    slow_end = False  # end() takes its time, and starts no process of this one

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
    slow_end = True

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
    slow_end = True
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
    seconds = 0.2, 1.5
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
    seconds = 0.4, 1.8
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
    seconds = 0.3, 1.5
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
    seconds = 0.3, 1.5
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
    seconds = 0.4, 1.8

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
            chaos.cut(self.who, power=True)
        chaos.disks[self.who].break_it()
        return True

    def end(self, chaos):
        if self.who == CONTROLLER:
            chaos.lab.controller().kill()
            chaos.disks[self.who].mend()
            chaos.lab.controller().start()
        else:
            chaos.lab.pc(self.who).off()
            chaos.cut(self.who, power=True)  # one that was begun in the meantime
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
