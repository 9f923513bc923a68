"""rota-target when things die: the daemon, the step, the PC, the server, the controller, the disk."""
import os
import random
import signal
import socket
import subprocess

import pytest

from lab import Lab, program, wait_for
from stand_in import POWER, StandIn, exec_step, why

LINES = 300
COUNT = ["sh", "-c", f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); sleep 0.01; done"]
COUNTED = b"".join(b"line %d\n" % i for i in range(LINES))


@pytest.fixture
def place(make_lab):
    lab = make_lab(pcs=["pc1"])
    lab.pc("pc1").start("--debug")
    return lab


@pytest.fixture
def pc(place):
    return place.pc("pc1")


@pytest.fixture
def ctl(place):
    with StandIn(place.server, "ctl") as c:
        c.follow("pc1")
        yield c


def test_daemon_killed_in_mid_output(pc, ctl):
    run = ctl.exec(*COUNT)
    for size in (300, 900, 1500):
        ctl.printed(run, size)
        old = ctl.sid()
        pc.kill_target()
        ctl.back(old)
    assert ctl.ended(run)["verdict"] == "passed"
    assert ctl.output(run) == COUNTED


def test_step_ends_while_the_daemon_is_dead(pc, ctl):
    run = ctl.exec("sh", "-c", "echo on; sleep 0.3; echo off")
    ctl.printed(run)
    old = ctl.sid()
    pid = pc.target_pid()
    pc.freeze()  # it would start the daemon again at once
    os.kill(pid, signal.SIGKILL)
    ended = pc.path / "state/runs" / run / "1.exit"
    wait_for(ended.exists)
    pc.thaw()
    ctl.back(old)
    assert ctl.ended(run)["verdict"] == "passed"
    assert ctl.output(run) == b"on\noff\n"


def test_daemon_killed_at_any_moment_nothing_runs_twice(place, pc, ctl):
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    dice = random.Random(seed)
    mark = place.path / "mark"
    runs = []
    for i in range(12):
        runs += [ctl.submit({"steps": [exec_step("sh", "-c", f"echo {i}.1 >>{mark}"),
                                       exec_step("sh", "-c", f"echo {i}.2 >>{mark}")]})]
    for _ in range(12):
        old = ctl.sid()
        with pytest.raises(TimeoutError):  # for a random while, whatever happens then
            wait_for(lambda: False, dice.uniform(0, 0.08))
        pc.kill_target()
        ctl.back(old)
        for i, run in enumerate(runs):  # as a controller does: until it is accepted
            if not ctl.events(run):
                ctl.submit({"steps": [exec_step("sh", "-c", f"echo {i}.1 >>{mark}"),
                                      exec_step("sh", "-c", f"echo {i}.2 >>{mark}")]}, run)
    for run in runs:
        assert ctl.ended(run)["verdict"] == "passed"
        ctl.output(run)
    lines = mark.read_text().split()
    assert sorted(lines) == sorted(f"{i}.{s}" for i in range(12) for s in (1, 2))


def test_step_program_killed(pc, ctl):
    run = ctl.exec("sh", "-c", "echo on; sleep 60")
    ctl.printed(run)
    step = next(p for p in pc.descendants() if os.readlink(f"/proc/{p}/exe").endswith("rota-step"))
    os.kill(step, signal.SIGKILL)
    end = ctl.ended(run)
    assert end["verdict"] == "not-run" and "killed" in end["cause"]
    assert ctl.output(run) == b"on\n"


def test_power_cut(pc, ctl):
    run = ctl.submit({"steps": [exec_step("sh", "-c", "echo on; sleep 60"), exec_step("true")]})
    queued = ctl.exec("echo", "later")
    ctl.printed(run)
    ctl.event(queued, "accepted")
    old, boot = ctl.sid(), pc.boot_id()
    pc.off()
    wait_for(lambda: ctl.now() is None)
    pc.on()
    ctl.back(old)
    assert pc.boot_id() != boot
    end = ctl.ended(run)
    assert end["verdict"] == "not-run" and "interrupted by a reboot" in end["cause"]
    assert ctl.output(run) == b"on\n"
    assert ctl.output(queued) == b"later\n"
    assert ctl.event(queued, "started")["boot"] == pc.boot_id()


def test_server_killed_in_mid_output(place, ctl):
    run = ctl.exec(*COUNT)
    ctl.printed(run, 300)
    place.server.kill()
    place.server.start()
    with StandIn(place.server, "ctl", streams=ctl.streams) as again:
        again.follow("pc1")
        assert again.output(run) == COUNTED


def test_controller_away(place, ctl):
    run = ctl.exec("sh", "-c", "echo on; sleep 0.3; echo off")
    ctl.printed(run)
    ctl.close()
    wait_for((place.path / "pc1/state/runs" / run / "1.exit").exists)
    with StandIn(place.server, "ctl", streams=ctl.streams) as again:
        again.follow("pc1")
        assert again.output(run) == b"on\noff\n"


def test_submitted_to_an_absent_target(place, pc, ctl):
    pc.off()
    wait_for(lambda: ctl.now() is None)
    run = ctl.exec("echo", "late but once")
    pc.on()
    ctl.state("ready", "busy")
    ctl.sync()
    assert ctl.output(run) == b"late but once\n"


def test_sigterm_leaves_the_step_alone(pc, ctl):
    run = ctl.exec("sh", "-c", "echo on; sleep 1; echo survived")
    ctl.printed(run)
    old = ctl.sid()
    os.kill(pc.target_pid(), signal.SIGTERM)
    wait_for(lambda: None in ctl.announced(), 2)
    ctl.back(old)
    assert ctl.output(run) == b"on\nsurvived\n"


# power

def test_reboot_while_busy(pc, ctl):
    run = ctl.exec("sh", "-c", "echo on; sleep 60")
    queued = ctl.exec("echo", "later")
    ctl.printed(run)
    old, boot, c = ctl.sid(), pc.boot_id(), ctl.challenge()
    assert (c["busy"], c["run"], c["owner"], c["boot"], c["simulated"]) == (
        "true", run, "ctl@lab.test", boot, "true")
    assert why(ctl.reboot(c, "graceful")) == ("busy", {"run": run, "owner": "ctl@lab.test"})
    assert why(ctl.reboot(c, "force"))[0] == "stale"  # a challenge is good once
    done = ctl.reboot(ctl.challenge(), "force").find(f"{{{POWER}}}rebooting")
    assert (done.get("boot"), done.get("simulated")) == (boot, "true")
    ctl.back(old)
    assert "rebooting" in [p["state"] for p in ctl.announced() if p]
    assert pc.boot_id() != boot
    assert "interrupted by a reboot" in ctl.ended(run)["cause"]
    assert ctl.output(queued) == b"later\n"


def test_reboot_after_the_run(pc, ctl):
    run = ctl.exec("sh", "-c", "echo on; sleep 0.5; echo off")
    queued = ctl.exec("echo", "later")
    ctl.printed(run)
    old = ctl.sid()
    done = ctl.reboot(ctl.challenge(), "drain").find(f"{{{POWER}}}rebooting")
    assert done.get("draining") == "true"
    ctl.state("draining")
    ctl.back(old)
    assert ctl.ended(run)["verdict"] == "passed"
    assert ctl.output(run) == b"on\noff\n"
    assert ctl.event(queued, "started")["boot"] == pc.boot_id() != ctl.event(run, "started")["boot"]


def test_challenge_is_for_one_peer_connection_and_boot(place, pc, ctl):
    boot, c = pc.boot_id(), ctl.challenge()
    with StandIn(place.server, "ctl", resource="other") as other:
        other.target = ctl.target
        assert why(other.reboot(c, "force"))[0] == "stale"
    assert why(ctl.reboot({"nonce": "0" * 64, "boot": boot}, "force"))[0] == "stale"
    c = ctl.challenge()
    assert why(ctl.reboot({**c, "boot": "another"}, "force"))[0] == "stale"
    old, c = ctl.sid(), ctl.challenge()
    pc.kill_target()
    ctl.back(old)
    assert why(ctl.reboot(c, "force"))[0] == "stale"
    assert pc.boot_id() == boot


def test_reboot_command_fails(make_lab):
    lab = make_lab(pcs=["pc1"], pc_config={"power": {"command": ["/bin/false"]}})
    lab.pc("pc1").start()
    with StandIn(lab.server, "ctl") as ctl:
        ctl.follow("pc1")
        old = ctl.sid()
        answer = ctl.reboot(ctl.challenge(), "graceful")
        assert answer.find(f"{{{POWER}}}rebooting").get("simulated") is None
        ctl.back(old)
        ctl.state("ready")
        assert ctl.output(ctl.exec("echo", "alive")) == b"alive\n"
        assert "status 1; back to work" in lab.pc("pc1").log()


# disk

@pytest.mark.root
def test_full_disk(make_lab):
    lab = make_lab(pcs=["pc1"], pc_config={"free_min": "64k"})
    state = lab.path / "pc1/state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", state], check=True)
    try:
        lab.pc("pc1").start()
        with StandIn(lab.server, "ctl") as ctl:
            ctl.follow("pc1")
            # a long command makes a long title: the journal needs a second page
            run = ctl.submit({"steps": [exec_step("sh", "-c", "echo 1; sleep 0.5", "y" * 3500),
                                        exec_step("echo", "2")]})
            ctl.printed(run)
            with open(state / "fill", "wb", buffering=0) as fill, pytest.raises(OSError):
                while fill.write(b"x" * 4096):
                    pass
            wait_for(lambda: "No space left on device" in lab.pc("pc1").log())
            status = "{jabber:client}status"
            wait_for(lambda: any("cannot write to disk" in (s.findtext(status) or "")
                                 for s in ctl.all(lambda s: s.find(status) is not None)))
            reason, text = ctl.refusal(ctl.exec("true"))[1:]
            assert reason == "full" and "free_min" in text
            (state / "fill").unlink()
            assert ctl.ended(run)["verdict"] == "passed"
            assert ctl.output(run, "2.out") == b"2\n"
    finally:
        lab.pc("pc1").kill()
        subprocess.run(["umount", "-l", state], check=True)


# systemd

def test_tells_systemd(make_lab):
    lab = make_lab(pcs=["pc1"])
    pc = lab.pc("pc1")
    pc.write_config()
    pc.boot_id_file.write_text("b00t\n")
    said = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(lab.path / "notify"))
        notify.settimeout(5)

        def until(text):
            while not any(text in s for s in said):
                said.append(notify.recv(4096).decode())
        target = subprocess.Popen(
            [program("rota-target"), "--config", pc.config_file], stdin=subprocess.DEVNULL,
            env={**os.environ, "NOTIFY_SOCKET": str(lab.path / "notify"), "WATCHDOG_USEC": "400000"})
        try:
            until("READY=1")
            until("STATUS=online as pc1@lab.test")
            said.clear()
            until("WATCHDOG=1")
            target.send_signal(signal.SIGHUP)
            until("RELOADING=1")
            until("READY=1")
            target.send_signal(signal.SIGTERM)
            until("STOPPING=1")
            assert target.wait(5) == 0
        finally:
            target.kill()
            target.wait()


# what stops it at its start

def start(pc, *args):
    pc.write_config()
    done = subprocess.run([program("rota-target"), "--config", pc.config_file, *args], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def errors(kind):
    with Lab(kind, pcs=["pc1", "pc2"]) as lab:
        for pc in lab.pcs.values():
            pc.boot_id_file.write_text("b00t\n")
        yield lab


@pytest.mark.parametrize("change, said", [
    ({"jid": "no jid"}, "target.json:"),
    ({"controllers": {"ctl@lab.test": "root"}}, "controllers.ctl@lab.test"),
    ({"controllers": {"*": "admin"}}, "*@domain"),
    ({"slotz": 1}, "slotz"),
    ({"password_file": "nowhere"}, "nowhere"),
    ({"power": {"command": []}}, "expected a program"),
    ({"server": "host:port"}, "Expected host"),
])
def test_wrong_configuration(errors, change, said):
    pc = errors.pc("pc1")
    saved = dict(pc.config)
    pc.config.update(change)
    try:
        code, text = start(pc)
    finally:
        pc.config = saved
    assert code == 2 and said in text, text


def test_drop_ins_and_check(errors):
    pc = errors.pc("pc1")
    more = pc.path / "target.d"
    more.mkdir()
    (more / "10-a.json").write_text('{ "slots": 2, "labels": { "a": "1" } } // a comment')
    assert start(pc, "--check")[0] == 0
    (more / "20-b.json").write_text('{\n  "slots": "many" }')
    code, text = start(pc, "--check")
    assert code == 2 and "20-b.json:2:" in text
    (more / "20-b.json").unlink()


def test_password_of_all_users(errors):
    pc = errors.pc("pc1")
    password = pc.path / "password"
    password.chmod(0o644)
    code, text = start(pc)
    password.chmod(0o600)
    assert code == 2 and "chmod 600" in text


def test_state_directory(errors):
    pc, other = errors.pc("pc1"), errors.pc("pc2")
    other.start()
    wait_for(lambda: "is ready" in other.log())
    saved = pc.config["state_dir"]
    pc.config["state_dir"] = other.config["state_dir"]
    assert start(pc)[0] == 3
    assert "another rota-target works in" in start(pc)[1]
    pc.config["state_dir"] = "/proc/nowhere"
    code, text = start(pc)
    pc.config["state_dir"] = saved
    assert code == 3 and "/proc/nowhere" in text


def test_wrong_password_is_said_and_tried_again(errors):
    pc = errors.pc("pc1")
    (pc.path / "password").write_text("wrong\n")
    pc.start()
    wait_for(lambda: pc.log().count("refused user or password") >= 2, 15)
    assert pc.target_pid()
    (pc.path / "password").write_text("pw-pc1\n")
    pc.kill()
