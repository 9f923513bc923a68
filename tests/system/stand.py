"""A stand: one controller and one PC of their own, looked after by a single thread, that any fault may hit.

Many stands share one server (`Stands`), each in a process of its own, so that they work side by side. A daemon that
ends is started again at once by mind(), which every wait of a stand calls; nothing else restarts it. Both
can be started under a tool (`under`): strace, which kills or fails a chosen call, or a preloaded library.

    def work(stand, job):                  # in the stand's process
        stand.restart("target", under=strace)
        return stand.scenario(...)
    with Stands("prosody", 4) as stands:
        for job, answer in stands.map(work, jobs): ...
"""
import contextlib
import multiprocessing
import os
import queue
import select
import shlex
import signal
import subprocess
import time
import traceback
import uuid

from lab import Lab, Result, dies_with_us, program


class Ended(Exception):
    """The time of all is over."""


class Stand:
    def __init__(self, lab, controller, pc):
        self.lab, self.ctl, self.pc = lab, lab.controllers[controller], lab.pcs[pc]
        me = f"{controller}@{lab.server.domain}"
        self.pc.config["controllers"] = {me: "admin"}
        self.pc.config["power"] = {"command": ["/bin/true"], "simulated": True}
        self.ctl.config["accept"] = [f"{pc}@{lab.server.domain}"]
        self.step_wrapper = self.pc.path / "rota-step"
        self.step_fault = self.pc.path / "rota-step.fault"
        self.pc.config["step_program"] = str(self.step_wrapper)
        self._write_wrapper()
        self.deaths = []                # (name, status), since the last begin()
        self.wanted = {}                # name -> it is to be running
        self.held = set()               # names that mind() leaves alone
        self.at_close = []              # called when nothing runs any more
        self.number = 0
        self.new_boot()
        self._wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _write_wrapper(self):
        """Stands in for rota-step and becomes it, under what the file beside it says, once."""
        step = shlex.quote(program("rota-step"))
        f = shlex.quote(str(self.step_fault))
        self.step_wrapper.write_text(
            f"#!/bin/sh\nif [ -e {f} ] && mv {f} {f}.taken 2>/dev/null; then\n"
            f"        . {f}.taken\nfi\nexec {step} \"$@\"\n")
        self.step_wrapper.chmod(0o755)

    def fault_next_step(self, under, env=()):
        """The next rota-step is started under a tool."""
        text = "".join(f"export {k}={shlex.quote(v)}\n" for k, v in env)
        text += f"exec {shlex.join(under)} {shlex.quote(program('rota-step'))} \"$@\"\n"
        new = self.step_fault.with_suffix(".new")
        new.write_text(text)
        new.rename(self.step_fault)

    # processes

    def new_boot(self):
        self.pc.boot_id_file.write_text(f"{uuid.uuid4()}\n")

    def _piece(self, name):
        return self.ctl if name == "controller" else self.pc

    def spawn(self, name, under=(), env=None):
        piece = self._piece(name)
        piece.spawn([*under, program(f"rota-{name}"), "--config", str(piece.config_file)], env)
        self.wanted[name] = True

    def kill(self, name):
        """SIGKILL; it stays down until spawn()."""
        self.wanted[name] = False
        process = self._piece(name).process
        if process:
            process.kill()
            process.wait()

    def restart(self, name, under=(), env=None):
        self.kill(name)
        self.spawn(name, under, env)

    def mind(self):
        for name, wanted in self.wanted.items():
            piece = self._piece(name)
            if wanted and not piece.running():
                self.deaths.append((name, piece.process.returncode))
                self.spawn(name)

    def steps(self):
        """Process ids of this PC's steps."""
        found, mark = [], str(self.pc.path).encode() + b"/"
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
                if len(words) > 2 and words[0].endswith(b"/rota-step") and words[1].startswith(mark):
                    found.append(int(pid))
        return found

    def kill_steps(self):
        """Every rota-step, and by that what it started."""
        for pid in self.steps():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.wait(lambda: not self.steps(), 10, "no step of an old boot")

    def off(self):
        """The plug of the PC."""
        self.kill("target")
        self.kill_steps()

    def close(self):
        for name in ("controller", "target"):
            self.kill(name)
        self.wanted.clear()
        self.kill_steps()
        for call in self.at_close:
            call()

    # waiting

    def pause(self, seconds):
        """Until a child of ours changes, at most so long."""
        if select.select([self._wake], [], [], seconds)[0]:
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)

    def wait(self, predicate, deadline=20, what=None):
        end, step = time.monotonic() + deadline, 0.002
        while True:
            value = predicate()
            if value:
                return value
            if time.monotonic() >= end:
                raise TimeoutError(f"{what or predicate}: not within {deadline} s")
            self.pause(step)
            step = min(step * 1.4, 0.05)
            self.mind()

    def wait_value(self, call, deadline=20, what=None):
        """The first thing @call gives that is not None or False; {} and 0 are values."""
        got = []

        def tried():
            value = call()
            if value is None or value is False:
                return False
            got.append(value)
            return True
        self.wait(tried, deadline, what)
        return got[0]

    def rota(self, *args, deadline=30):
        """`rota ARGS` to its end, while the daemons are looked after."""
        env = self.lab.environment(self.ctl.name)
        with subprocess.Popen([program("rota"), *map(str, args)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as p:
            texts = {p.stdout: b"", p.stderr: b""}
            left, end = set(texts), time.monotonic() + deadline
            while left:
                for f in select.select([*left, self._wake], [], [], 0.1)[0]:
                    if f == self._wake:
                        with contextlib.suppress(BlockingIOError):
                            os.read(self._wake, 4096)
                        continue
                    got = os.read(f.fileno(), 1 << 16)
                    texts[f] += got
                    if not got:
                        left.remove(f)
                self.mind()
                if time.monotonic() > end:
                    p.kill()
                    raise TimeoutError(f"rota {' '.join(map(str, args))}: not within {deadline} s")
            p.wait()
            return Result(["rota", *args], p.returncode, texts[p.stdout], texts[p.stderr])

    def insist(self, *args, codes=(0,), deadline=20):
        """The same until it answers so; what fails in between is what a person would try again."""
        result = None

        def tried():
            nonlocal result
            result = self.rota(*args)
            return result.code in codes
        try:
            self.wait(tried, deadline)
        except TimeoutError:
            raise TimeoutError(f"rota does not answer within {deadline} s: {result}") from None
        return result

    def insist_rota(self, *args):
        return self.insist(*args)

    def rest(self, seconds):
        """Somebody who tries again does not do so at once."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.pause(end - time.monotonic())
            self.mind()

    def ready(self, deadline=20):
        name = self.pc.name

        def state():
            result = self.rota("ls", "--json", name)
            rows = result.json() if result.code == 0 else []
            return rows and rows[0]["state"] in ("ready", "busy")
        self.wait(state, deadline, f"{name} is ready")


def _serve(lab, controller, pc, jobs, answers, work):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    dies_with_us()
    stand = None
    try:
        stand = Stand(lab, controller, pc)
        while True:
            job = jobs.get()
            if job is None:
                break
            try:
                answers.put((job, work(stand, job), None))
            except BaseException:               # told to whoever waits for the answer
                tails = "".join(f"--- {p.name}\n{p.log()[-1500:]}\n" for p in (stand.ctl, stand.pc))
                answers.put((job, None, traceback.format_exc() + tails))
    finally:
        if stand:
            stand.close()
        answers.close()
        answers.join_thread()
        os._exit(0)


class Stands:
    """@n stands beside one server."""

    def __init__(self, kind, n, pc_config=None):
        self.names = [(f"ctl{i}", f"pc{i}") for i in range(n)]
        self.lab = Lab(kind, pcs=[p for _, p in self.names], controllers=[c for c, _ in self.names],
                       pc_config=pc_config)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lab.close()

    def map(self, work, jobs, until=None):
        """work(stand, job) for each job, on whichever stand is free: yields (job, answer, trouble) as
        they come. After @until (monotonic) no new job begins."""
        context = multiprocessing.get_context("fork")
        todo, answers = context.Queue(), context.Queue()
        workers = [context.Process(target=_serve, args=(self.lab, c, p, todo, answers, work),
                                   daemon=True) for c, p in self.names]
        for w in workers:
            w.start()
        pending, jobs, more = 0, iter(jobs), True
        try:
            while more or pending:
                while more and pending < len(workers):
                    job = next(jobs, None)
                    if job is None or (until and time.monotonic() >= until):
                        more = False
                        break
                    todo.put(job)
                    pending += 1
                if not pending:
                    break
                try:
                    answer = answers.get(timeout=5)
                except queue.Empty:
                    if not any(w.is_alive() for w in workers):
                        raise RuntimeError("the stands have died") from None
                    continue
                pending -= 1
                yield answer
        finally:
            for _ in workers:
                todo.put(None)
            for w in workers:
                w.join(20)
                if w.is_alive():
                    w.terminate()


