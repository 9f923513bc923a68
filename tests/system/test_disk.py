"""A full disk, on either side: what is refused, what waits, who says so, and that nothing is lost."""
import contextlib
import hashlib
import json
import os
import random
import subprocess
import sys

import pytest
from lab import Lab, wait_for
from promises import output, submit

pytestmark = pytest.mark.root       # a small disk is a tmpfs, and to mount one takes root
MB = 1024 * 1024


class SmallDisk:
    """A tmpfs of @size bytes at @path."""

    def __init__(self, path, size):
        self.path, self.fill_file = path, path / "fill"
        path.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", path],
                       check=True)

    def free(self):
        st = os.statvfs(self.path)
        return st.f_bavail * st.f_frsize

    def fill(self, leave=0):
        """Takes all space but @leave bytes."""
        with open(self.fill_file, "ab", buffering=0) as f, contextlib.suppress(OSError):
            while self.free() > leave:
                f.write(bytes(min(65536, self.free() - leave)))

    def clear(self):
        self.fill_file.unlink()

    def grow(self, size):
        subprocess.run(["mount", "-o", f"remount,size={size}", self.path], check=True)

    def close(self):
        subprocess.run(["umount", "-l", self.path], check=True)


@pytest.fixture
def lab(request):
    """lab(target=bytes or controller=bytes): one PC, one controller, one of them with a small disk."""
    with contextlib.ExitStack() as stack:
        def make(target=None, controller=None, **config):
            lab = stack.enter_context(Lab("prosody", pcs=("pc1",)))
            piece = lab.pc("pc1") if target else lab.controller()
            piece.config.update(config)
            lab.disk = SmallDisk(lab.path / piece.name / "state", target or controller)

            def close():
                for p in (lab.pc("pc1"), lab.controller()):
                    p.kill()
                lab.disk.close()
            stack.callback(close)
            lab.start()
            return lab
        yield make


def noise(size, seed=7):
    """What the command prints, and the command."""
    code = f"import random,sys; sys.stdout.buffer.write(random.Random({seed}).randbytes({size}))"
    return random.Random(seed).randbytes(size), [sys.executable, "-c", code]


def same(got, want):
    assert len(got) == len(want)
    assert hashlib.sha256(got).hexdigest() == hashlib.sha256(want).hexdigest()


# the target's

def test_submission_to_a_full_target(lab):
    """Refused, with the numbers and what to do; accepted again when there is space."""
    lab = lab(target=8 * MB, free_min="1M")
    lab.disk.fill(leave=MB // 2)
    result = lab.rota("run", "pc1", "selftest")
    assert result.code == 3, result
    for said in ("pc1 refused it (full)", "free_min", "1 MiB", "rota why pc1"):
        assert said in result.err, (said, result)
    lab.disk.clear()
    assert lab.rota("run", "pc1", "selftest").code == 0


@pytest.mark.parametrize("pty", [True, False], ids=["pty", "pipe"])
def test_step_fills_the_targets_disk(lab, pty):
    """It waits for space, it is said that and why it waits, and it goes on where it was."""
    lab = lab(target=8 * MB, free_min="64k")
    lab.disk.fill(leave=3 * MB)
    want, argv = noise(6 * MB)
    run = submit(lab, "pc1", *argv, options=[] if pty else ["--no-pty"])
    wait_for(lambda: lab.disk.free() < 65536, what="the disk is full")
    # everything that fits has arrived, and the run is on
    wait_for(lambda: len(output(lab, run)) > 2 * MB)
    assert lab.rota("show", "--json", run).json()["state"] == "running"
    wait_for(lambda: "the disk is full" in lab.rota("why", "pc1").out,
             what="it is said that the disk is full")
    refused = lab.rota("run", "--if-idle", "pc1", "true")
    assert refused.code != 0
    lab.disk.clear()
    row = lab.wait_run(run)
    assert row["verdict"] == "passed", row
    same(output(lab, run), want)
    assert lab.rota("run", "pc1", "selftest").code == 0


def test_target_dies_with_a_full_disk(lab):
    lab = lab(target=8 * MB, free_min="64k")
    lab.disk.fill(leave=2 * MB)
    want, argv = noise(4 * MB)
    run = submit(lab, "pc1", *argv, options=["--no-pty"])
    wait_for(lambda: lab.disk.free() == 0, what="the disk is full")
    old = lab.pc("pc1").kill_target()
    wait_for(lambda: lab.pc("pc1").target_pid() not in (None, old))
    lab.wait_state("pc1", "busy", "ready")
    assert lab.rota("show", "--json", run).json()["state"] == "running"
    lab.disk.clear()
    assert lab.wait_run(run)["verdict"] == "passed"
    same(output(lab, run), want)
    wait_for(lambda: "disk" not in lab.rota("why", "pc1").out)


def test_journal_that_cannot_be_written(lab):
    """The disk is full between two steps: the run waits, is not lost, and ends once."""
    lab = lab(target=8 * MB, free_min="64k")
    gate, count, plan = (lab.path / n for n in ("gate", "count", "plan.json"))
    steps = [{"exec": ["sh", "-c", f"echo on; while ! [ -e {gate} ]; do sleep 0.02; done"]}]
    steps += [{"exec": ["sh", "-c", f"echo {n} >>{count}"]} for n in range(20)]
    steps += [{"exec": ["sh", "-c", "exit 3"]}]
    plan.write_text(json.dumps({"name": "many steps", "steps": steps}))
    run = lab.rota("run", "-d", "pc1", "--plan", plan).out.split()[1]
    wait_for(lambda: output(lab, run))
    lab.disk.fill()
    gate.touch()
    wait_for(lambda: "No space left" in lab.pc("pc1").log())
    wait_for(lambda: "cannot write to disk" in lab.rota("why", "pc1").out)
    lab.disk.clear()
    row = lab.wait_run(run)
    assert (row["verdict"], row["exit"]) == ("failed", 3), row
    assert count.read_text().split() == [str(n) for n in range(20)], "each step ran once"
    assert len(row["steps"]) == 22


# the controller's

@pytest.mark.parametrize("free_min", ["2M", "0"], ids=["by its limit", "by the disk"])
def test_controllers_disk_fills(lab, free_min):
    """It stops acknowledging, says so wherever one looks, and goes on exactly when there is space."""
    lab = lab(controller=8 * MB, free_min=free_min)
    assert lab.rota("doctor").code == 0
    want, argv = noise(14 * MB)
    run = submit(lab, "pc1", *argv, options=["--no-pty"])

    def full():
        return lab.rota("doctor", "--json").json()["store"] != "ok"
    wait_for(full, 20, what="doctor says that the store cannot be written")
    said = lab.rota("doctor")
    assert lab.rota("doctor", "--json").code == 3
    assert said.code == 3 and "FAIL" in said.out, said
    assert "is full" in said.out and str(lab.disk.path) in said.out, said
    assert "targets keep their output" in said.out, said
    listed = lab.rota("ls")
    assert listed.code == 0 and "pc1" in listed.out
    assert "is full" in listed.err and "rota doctor" in listed.err, listed
    # nothing new is promised, and what there is can be read
    refused = lab.rota("run", "pc1", "selftest")
    assert refused.code == 3 and "is full" in refused.err and "try: " in refused.err, refused
    part = output(lab, run)
    assert part and want.startswith(part)
    # the machine goes on by itself: its step ends though nobody takes the output
    wait_for(lambda: lab.pc("pc1").path.joinpath("state/runs", run, "1.out").stat().st_size ==
             len(want), 30, what="the step has written all")
    kept = lab.rota("show", "--json", run).json()
    assert kept["state"] != "ended"
    lab.disk.grow(64 * MB)
    row = lab.wait_run(run)
    assert row["verdict"] == "passed", row
    same(output(lab, run), want)
    wait_for(lambda: not full())
    assert lab.rota("doctor").code == 0 and lab.rota("ls").err == ""
    assert lab.rota("run", "pc1", "selftest").code == 0


def test_controller_dies_with_a_full_disk(lab):
    """Restarted without space it says so; with space it has everything, once."""
    lab = lab(controller=8 * MB, free_min="1M")
    want, argv = noise(12 * MB)
    run = submit(lab, "pc1", *argv, options=["--no-pty"])
    wait_for(lambda: lab.rota("doctor", "--json").json()["store"] != "ok", 20)
    lab.disk.fill()
    lab.controller().kill()
    lab.controller().start()
    wait_for(lambda: lab.rota("doctor", "--json").out, 20)
    wait_for(lambda: "is full" in lab.rota("doctor").out)
    lab.disk.clear()
    lab.disk.grow(64 * MB)
    assert lab.wait_run(run)["verdict"] == "passed"
    same(output(lab, run), want)


def test_cancel_with_a_full_controller(lab):
    """A wish that cannot be kept is refused, and can be said again."""
    lab = lab(controller=8 * MB, free_min="1M")
    run = submit(lab, "pc1", "sh", "-c", "echo on; sleep 60")
    wait_for(lambda: output(lab, run))
    lab.disk.fill()
    result = lab.rota("cancel", run)
    assert result.code in (0, 3), result
    if result.code == 3:
        assert "is full" in result.err
    lab.disk.clear()
    wait_for(lambda: lab.rota("cancel", run).code == 0)
    assert lab.wait_run(run)["verdict"] == "cancelled"


def test_state_directory_that_cannot_be_used(lab):
    """No space for the store at the very start: a sentence, not a crash."""
    lab = lab(controller=8 * MB, free_min="1M")
    lab.controller().stop()
    for entry in lab.disk.path.iterdir():
        if entry.is_file():
            entry.unlink()
    lab.disk.fill()
    lab.controller().start()
    wait_for(lambda: not lab.controller().running() or lab.rota("doctor", "--json").out, 20)
    if lab.controller().running():
        assert "is full" in lab.rota("doctor").out
    else:
        assert lab.controller().process.returncode == 3
        assert "No space left" in lab.controller().log() or "full" in lab.controller().log()
        lab.disk.clear()
        lab.controller().start()
    with contextlib.suppress(FileNotFoundError):
        lab.disk.clear()
    lab.wait_ready("pc1")
    assert lab.rota("run", "pc1", "selftest").code == 0
