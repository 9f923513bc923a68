"""A reboot is a step: plans go on at the right step, whatever reboots, dies or loses its power meanwhile."""
import hashlib
import json
import os
import re
import shlex
import signal

import pytest

from lab import Lab, program, wait_for
from promises import Gate, Mark, output, row, submit

REBOOT = {"reboot": True}


@pytest.fixture(scope="module")
def place(kind):
    with Lab(kind, pcs=["pc1", "pc2", "pc3"], controllers=["ctl", "ops"],
             pc_config={"slots": 2, "controllers": {"ctl@lab.test": "admin", "ops@lab.test": "run",
                                                    "*@lab.test": "view"}}) as lab:
        lab.start()
        lab.told_to_end = told_to_end(lab)
        lab.stays_up = stays_up(lab)
        yield lab


@pytest.fixture
def gate(place, request):
    gate = Gate(place, request.node.originalname)
    yield gate
    gate.open()


@pytest.fixture
def pc(place):
    """pc1, with its own way to reboot again afterwards."""
    pc = place.pc("pc1")
    power = pc.config["power"]
    yield pc
    pc.on()
    if pc.config["power"] != power:
        power_is(pc, power["command"])
    place.wait_ready("pc1")


def power_is(pc, command):
    """From now on the PC reboots by this command."""
    pc.config["power"] = {"command": list(map(str, command)), "simulated": True}
    pc.write_config()
    before = pc.log().count("configuration read again")
    os.kill(pc.target_pid(), signal.SIGHUP)
    wait_for(lambda: pc.log().count("configuration read again") > before)


def sh(text, **more):
    return {"exec": ["sh", "-c", text], **more}


def plan(place, *steps, target="pc1", controller=None, options=()):
    """`rota run -d --plan`: the id of the run."""
    path = place.path / f"plan-{os.urandom(4).hex()}.json"
    path.write_text(json.dumps({"name": "plan", "steps": steps}))
    done = place.rota("run", "-d", *options, target, "--plan", path, controller=controller)
    assert done.code == 0, done
    return done.out.split()[1]


def journal(pc, run):
    path = pc.path / "state/runs" / run / "events"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def said(pc, run, kind, step=None, attempt=1):
    return [e for e in journal(pc, run) if e["ev"] == kind and
            (step is None or (e["step"], e.get("attempt", 1)) == (step, attempt))]


def wait_said(pc, run, kind, step=None, attempt=1, deadline=20):
    return wait_for(lambda: said(pc, run, kind, step, attempt), deadline,
                    what=f"{kind} of step {step} of {run}")[0]


def steps(place, run):
    return [(s["step"], s["attempt"], s["verdict"]) for s in row(place, run)["steps"]]


def check_streams(place, pc, run):
    """Each stream the journal names is here to the last byte, by its size and hash; nothing else is."""
    told = {s["name"]: s for e in said(pc, run, "stepped") for s in e["streams"]}
    for name, s in told.items():
        data = place.rota("log", run, name, "--raw").raw
        assert (len(data), hashlib.sha256(data).hexdigest()) == (s["size"], s["sha256"]), name
    assert {s["name"] for s in row(place, run)["streams"]} == set(told)


def wait_printed(place, run):
    wait_for(lambda: [s for s in row(place, run)["streams"] if s["next"] > 0])


def read(place, run, name):
    done = place.rota("log", run, name, "--raw")
    assert done.code == 0, done
    return done.raw


# as a step

def test_goes_on_at_the_right_step(place, pc):
    noise = place.path / "noise"
    noise.write_bytes(os.urandom(300000))
    marks = [Mark(place, f"right-{n}") for n in range(3)]
    path = place.path / "three.json"
    path.write_text(json.dumps({"name": "three", "steps": [
        {"exec": marks[0].command(f"cat {noise}"), "pty": False},
        REBOOT, {"exec": marks[1].command(f"cat {noise} {noise}"), "pty": False},
        {"reboot": {"mode": "force", "within": "1m"}},
        {"exec": marks[2].command("echo $ROTA_BOOT")}]}))
    boot = pc.boot_id()
    done = place.rota("run", "pc1", "--plan", path)
    assert done.code == 0, done
    run = re.search(r"pc1 +passed +\S+ \S* *([a-z0-9]{12})", done.err).group(1)
    shown = row(place, run)
    assert steps(place, run) == [(n, 1, "passed") for n in range(1, 6)]
    titles = [s["title"] for s in shown["steps"]]
    assert titles[1] == "reboot (simulated)" and titles[3] == "reboot (force) (simulated)"
    boots = [boot, shown["steps"][1]["boot"], shown["steps"][3]["boot"]]
    assert len(set(boots)) == 3 and boots[2] == pc.boot_id()
    assert [m.times() for m in marks] == [1, 1, 1]
    assert read(place, run, "1.out") == noise.read_bytes()
    assert read(place, run, "3.out") == noise.read_bytes() * 2
    assert read(place, run, "5.out").split() == [boots[2].encode()]
    check_streams(place, pc, run)
    for n in (2, 4):  # recorded under the old boot, before the machine went down
        assert said(pc, run, "rebooting", n)[0]["boot"] == said(pc, run, "started", n)[0]["boot"]
        assert said(pc, run, "stepped", n)[0]["boot"] != said(pc, run, "started", n)[0]["boot"]
        assert said(pc, run, "stepped", n)[0]["streams"] == []


def test_needs_no_controller(place, pc, gate):
    run = plan(place, {"exec": gate.command()}, REBOOT, sh("echo three"), REBOOT, sh("echo five"))
    wait_said(pc, run, "started", 1)
    place.controller().kill()
    gate.open()
    wait_said(pc, run, "ended")
    assert [e["verdict"] for e in said(pc, run, "stepped")] == ["passed"] * 5
    place.controller().start()
    wait_for(lambda: place.ls().get("pc1"))
    assert place.wait_run(run)["verdict"] == "passed"
    assert [read(place, run, f"{n}.out") for n in (1, 3, 5)] == [b"on\noff\n", b"three\n",
                                                                b"five\n"]
    check_streams(place, pc, run)


def test_says_that_it_reboots(place, pc):
    """A machine that takes its time."""
    power_is(pc, [program("rota-lab-pc"), "--off", pc.pid_file])
    run = plan(place, sh("echo one"), REBOOT, sh("echo three"))
    watch = place.popen("watch", run)
    place.wait_state("pc1", "rebooting")
    wait_for(lambda: not pc.descendants())
    shown = row(place, run)
    assert shown["state"] == "running" and shown["step"] == 2
    assert shown["note"].startswith("rebooting, step 2 of 3; pc1 is rebooting")
    assert "rebooting, step 2 of 3" in place.rota("runs").out
    text = place.rota("show", run).out
    assert "rebooting, step 2 of 3" in text
    heard = b""
    while b"rebooting, step 2 of 3" not in heard:
        heard += os.read(watch.stderr.fileno(), 4096)
    pc.on()
    out, _ = watch.communicate(timeout=30)
    assert watch.returncode == 0 and out.split() == [b"one", b"three"]
    assert place.wait_run(run)["verdict"] == "passed"


def test_waits_for_the_steps_of_others(place, pc, gate):
    mark = Mark(place, "others")
    other = plan(place, {"exec": gate.command()}, {"exec": mark.command("echo $ROTA_BOOT")})
    wait_said(pc, other, "started", 1)
    run = plan(place, REBOOT, sh("true"))
    wait_said(pc, run, "started", 1)
    refused = place.rota("reboot", "pc1")  # it is busy, with that among others
    assert refused.code == 6, refused
    assert not said(pc, run, "rebooting")
    boot = pc.boot_id()
    gate.open()
    assert place.wait_run(run)["verdict"] == "passed"
    assert place.wait_run(other)["verdict"] == "passed"
    assert output(place, other).startswith(b"on\noff\n")
    # the second step of the other run waited for the new boot
    assert said(pc, other, "stepped", 1)[0]["t"] < said(pc, run, "rebooting", 1)[0]["t"]
    assert said(pc, other, "started", 2)[0]["boot"] == pc.boot_id() != boot
    assert mark.times() == 1


def test_force_waits_for_nobody(place, pc, gate):
    other = plan(place, {"exec": gate.command(), "on_interrupt": "continue"}, sh("echo two"))
    wait_said(pc, other, "started", 1)
    run = plan(place, {"reboot": {"mode": "force"}})
    assert place.wait_run(run)["verdict"] == "passed"
    ended = place.wait_run(other)
    assert ended["verdict"] == "not-run" and "step 1: interrupted by a reboot" in ended["cause"]
    assert read(place, other, "2.out") == b"two\n"


def test_others_do_not_end_in_time(place, pc, gate):
    other = submit(place, "pc1", *gate.command())
    wait_said(pc, other, "started", 1)
    boot = pc.boot_id()
    ended = place.wait_run(plan(place, {"reboot": {"within": "1s"}}, sh("true")))
    assert ended["verdict"] == "not-run" and "other runs did not end" in ended["cause"]
    gate.open()
    assert place.wait_run(other)["verdict"] == "passed"
    assert pc.boot_id() == boot


# that does not come about

def test_same_boot_id(place, pc):
    power_is(pc, ["/bin/true"])
    boot, mark = pc.boot_id(), Mark(place, "same")
    run = plan(place, {"reboot": {"within": "2s"}}, {"exec": mark.command()})
    ended = place.wait_run(run)
    assert ended["verdict"] == "failed" and "same boot id" in ended["cause"]
    place.wait_ready("pc1")
    assert pc.boot_id() == boot and mark.times() == 0


def test_command_fails(place, pc):
    power_is(pc, ["/bin/false"])
    ended = place.wait_run(plan(place, sh("true"), REBOOT, sh("true")))
    assert ended["verdict"] == "not-run"
    assert "step 2: the reboot failed" in ended["cause"] and "status 1" in ended["cause"]
    place.wait_ready("pc1")


def test_cancel_while_it_waits(place, pc, gate):
    other = submit(place, "pc1", *gate.command())
    wait_said(pc, other, "started", 1)
    boot = pc.boot_id()
    run = plan(place, REBOOT)
    wait_said(pc, run, "started", 1)
    assert place.rota("cancel", run).code == 0
    assert place.wait_run(run)["verdict"] == "cancelled"
    gate.open()
    assert place.wait_run(other)["verdict"] == "passed"
    assert pc.boot_id() == boot


def test_cancel_while_it_is_down(place, pc):
    power_is(pc, [program("rota-lab-pc"), "--off", pc.pid_file])
    run = plan(place, REBOOT, sh("sleep 60"))
    wait_said(pc, run, "rebooting", 1)
    wait_for(lambda: not pc.descendants())
    place.rota("cancel", run)
    pc.on()
    ended = place.wait_run(run, deadline=20)
    assert ended["verdict"] == "cancelled"
    assert said(pc, run, "stepped", 1)[0]["verdict"] == "passed"  # it did reboot


# killed and cut

def test_daemon_killed_between_the_record_and_the_reboot(place, pc, gate):
    """The command waits; the daemon that gave it dies; the next one waits, and gives it again."""
    power_is(pc, ["/bin/sh", "-c", f"{gate.wait_text}; exec {program('rota-lab-pc')} --reset "
                              f"{shlex.quote(str(pc.pid_file))}"])
    boot, mark = pc.boot_id(), Mark(place, "between")
    run = plan(place, REBOOT, {"exec": mark.command()})
    wait_said(pc, run, "rebooting", 1)
    pc.kill_target()
    wait_for(lambda: len(said(pc, run, "rebooting")) == 2)
    assert pc.boot_id() == boot and mark.times() == 0
    gate.open()
    assert place.wait_run(run)["verdict"] == "passed"
    assert pc.boot_id() != boot and mark.times() == 1


def test_daemon_killed_at_any_time(place, pc, gate):
    other = submit(place, "pc1", *gate.command())
    wait_said(pc, other, "started", 1)
    marks = [Mark(place, f"any-{n}") for n in range(3)]
    run = plan(place, {"exec": marks[0].command()}, REBOOT, {"exec": marks[1].command()}, REBOOT,
               {"exec": marks[2].command("echo done")})
    wait_said(pc, run, "started", 2)
    pc.kill_target()  # while it waits for the other run
    gate.open()
    assert place.wait_run(other)["verdict"] == "passed"
    wait_said(pc, run, "started", 3)
    pc.kill_target()
    assert place.wait_run(run)["verdict"] == "passed"
    assert [m.times() for m in marks] == [1, 1, 1]
    assert read(place, run, "5.out") == b"done\n"
    check_streams(place, pc, run)


def test_power_cut_while_it_waits(place, pc, gate):
    """Recorded under the old boot, and the new boot is seen: it has rebooted."""
    other = plan(place, {"exec": gate.command(), "on_interrupt": "retry"})
    wait_printed(place, other)
    run = plan(place, REBOOT, sh("echo two"))
    wait_said(pc, run, "started", 1)
    pc.off()
    assert not said(pc, run, "rebooting")
    gate.open()
    pc.on()
    assert place.wait_run(run)["verdict"] == "passed"
    assert place.wait_run(other)["verdict"] == "passed"
    assert read(place, other, "1.out") == b"on\n"
    assert read(place, other, "1.2.out") == b"on\noff\n"
    check_streams(place, pc, other)


# from outside

FIRST_ONLY = "echo attempt $ROTA_ATTEMPT; [ $ROTA_ATTEMPT -gt 1 ] || sleep 600"


@pytest.mark.parametrize("policy", [None, "fail", "continue", "retry", {"retry": 3}], ids=str)
def test_on_interrupt(place, pc, policy):
    mark = Mark(place, f"interrupt-{policy}")
    more = {} if policy is None else {"on_interrupt": policy}
    run = plan(place, sh(FIRST_ONLY, **more), {"exec": mark.command("echo two")})
    wait_printed(place, run)
    if policy == "retry":  # as any other
        assert place.rota("reboot", "--force", "pc1").code == 0
    else:
        pc.reset()
    ended = place.wait_run(run)
    cut = said(pc, run, "stepped", 1)[0]
    assert cut["verdict"] == "not-run" and cut["cause"] == "interrupted by a reboot"
    assert read(place, run, "1.out") == b"attempt 1\n"
    if policy in (None, "fail"):
        assert ended["verdict"] == "not-run" and "step 1: interrupted by a reboot" in ended["cause"]
        assert steps(place, run) == [(1, 1, "not-run")] and mark.times() == 0
    elif policy == "continue":
        assert ended["verdict"] == "not-run" and "step 1: interrupted by a reboot" in ended["cause"]
        assert steps(place, run) == [(1, 1, "not-run"), (2, 1, "passed")] and mark.times() == 1
    else:
        assert ended["verdict"] == "passed" and not ended["cause"]
        assert steps(place, run) == [(1, 1, "not-run"), (1, 2, "passed"), (2, 1, "passed")]
        assert read(place, run, "1.2.out") == b"attempt 2\n" and mark.times() == 1
        assert output(place, run) == b"attempt 1\nattempt 2\ntwo\n"
        text = place.rota("show", run).out
        assert re.search(r"^1\.2 +passed", text, re.M) and "1.2.out" in text
    assert cut["interrupted"] == ("retry" if isinstance(policy, dict) else policy or "fail")
    check_streams(place, pc, run)


def resets(pc):
    """A step that takes its machine down."""
    return (f"echo attempt $ROTA_ATTEMPT; {program('rota-lab-pc')} --reset {pc.pid_file}; "
            "sleep 600")


def test_boot_loop_ends(place, pc):
    run = plan(place, sh(resets(pc), on_interrupt={"retry": 5}), sh("true"))
    ended = place.wait_run(run)
    assert ended["verdict"] == "not-run"
    assert "boot loop" in ended["cause"] and "6th" in ended["cause"]
    assert steps(place, run) == [(1, n, "not-run") for n in range(1, 7)]
    check_streams(place, pc, run)
    assert place.wait_run(submit(place, "pc1", "true"))["verdict"] == "passed"


def test_retries_are_used_up(place, pc):
    run = plan(place, sh(resets(pc), on_interrupt={"retry": 1}), sh("true"))
    ended = place.wait_run(run)
    assert ended["verdict"] == "not-run" and "attempt 2 of 2" in ended["cause"]
    assert [s[:2] for s in steps(place, run)] == [(1, 1), (1, 2)]


def rota_step(pc):
    return [p for p in pc.descendants()
            if os.path.basename(os.readlink(f"/proc/{p}/exe")) == "rota-step"]


def end_step(place, pc, run):
    wait_printed(place, run)
    (step,) = rota_step(pc)
    os.kill(step, signal.SIGTERM)
    exits = pc.path / "state/runs" / run / "1.exit"
    wait_for(exits.exists)
    assert json.loads(exits.read_text())["cause"] == "terminated"


def told_to_end(place):
    """On pc3, where nothing reboots: it is believed after ten seconds."""
    run = plan(place, sh("echo on; sleep 600", on_interrupt="retry"), target="pc3")
    end_step(place, place.pc("pc3"), run)
    return run


def test_a_machine_that_goes_down_ends_its_steps_first(place, pc):
    """By SIGTERM, and the daemon sees it: that is no end of the step, nor a cancel."""
    run = plan(place, sh(FIRST_ONLY, on_interrupt="retry"))
    end_step(place, pc, run)
    pc.reset()
    assert place.wait_run(run)["verdict"] == "passed"
    assert steps(place, run) == [(1, 1, "not-run"), (1, 2, "passed")]
    assert said(pc, run, "stepped", 1)[0]["interrupted"] == "retry"
    check_streams(place, pc, run)


# who may, and what is wrong with a plan

def test_role(place):
    path = place.path / "role.json"
    path.write_text(json.dumps({"steps": [{"diag": "selftest"}, REBOOT]}))
    done = place.rota("run", "pc2", "--plan", path, controller="ops")
    assert done.code == 4, done
    assert "step 2 (a reboot) needs the role reboot" in done.out + done.err


def test_plan_errors_name_the_place(place):
    path = place.path / "wrong.json"
    path.write_text('{ "steps": [\n  { "reboot": { "within": "soon" } } ] }\n')
    done = place.rota("run", "pc2", "--plan", path)
    assert done.code == 2, done
    assert re.search(r"wrong\.json:2:\d+: steps\[0\]\.reboot\.within", done.err), done


def stays_up(place):
    """On pc2, cancelled when nobody can hear it: before the target gives up and connects again."""
    power_is(place.pc("pc2"), ["/bin/sleep", "60"])
    run = plan(place, {"reboot": {"within": "50s"}}, sh("true"), target="pc2")
    wait_said(place.pc("pc2"), run, "rebooting", 1)
    place.wait_state("pc2", "rebooting")
    place.rota("cancel", run)
    return run


def test_cancel_when_it_stays_up(place):
    assert place.wait_run(place.stays_up, deadline=40)["verdict"] == "cancelled"
    assert "started" not in [e["ev"] for e in journal(place.pc("pc2"), place.stays_up)[4:]]
    pc = place.pc("pc2")
    power_is(pc, [program("rota-lab-pc"), "--reset", pc.pid_file])


def test_told_to_end_by_somebody(place):
    ended = place.wait_run(place.told_to_end)
    assert ended["verdict"] == "not-run" and "told to end" in ended["cause"]
    assert read(place, place.told_to_end, "1.out") == b"on\n"


def test_two_machines_in_one_batch(place):
    path = place.path / "two.json"
    path.write_text(json.dumps({"steps": [REBOOT, sh("echo back")]}))
    done = place.rota("run", "pc[1-2]", "--plan", path)
    assert done.code == 0, done
    assert done.out.count("back") == 2
