"""rota-target on a real machine: installed as the README says, under systemd, in a QEMU guest (machine.py).

The server and the controller are outside. One machine goes through all of it, in the order of this file: what
a user installs, restarts, reboots, unplugs, crashes and freezes is the same machine with the same disk.
"""
import json
import os
import re
import shlex

import pytest

from lab import DOMAIN, TOP, Lab, wait_for
from machine import BOOT, BUILD, HOST, CannotBuild, Guest, stage
from promises import output, received, row, submit

NAME = "guest"
WATCHDOG = 12  # seconds until the hardware takes the machine for dead
DAEMON_WATCHDOG = 5


def readme(language):
    """The README's block of commands for installation on this side (sh) or in the machine (sh machine)."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", (TOP / "README.md").read_text(), re.M | re.S)
    return [b.strip().splitlines() for b in blocks]


def build_commands():
    (block,) = [b for b in readme("sh") if any("--install" in line for line in b)]
    # a folder of its own, and one processor for the other tests
    return [line.replace("--preset release", f"--preset release -B {shlex.quote(str(BUILD))}")
            .replace("build/release", f"{shlex.quote(str(BUILD))}") for line in block]


class Editor:
    """Who edits the files that the README says to edit."""

    def __init__(self, guest, lab):
        self.guest, self.lab = guest, lab
        guest.write("/usr/local/bin/editor", "#!/bin/sh\ncat \"/root/edited/${1##*/}\" >\"$1\"\n", "755")
        guest.root("mkdir -p /root/edited")

    def will_make(self, name, text):
        self.guest.write(f"/root/edited/{name}", text)

    def config(self, **changes):
        """The example with the names of this lab."""
        text = (TOP / "deploy/config/target.json").read_text()
        for old, new in {"pc1@lab.example": f"{NAME}@{DOMAIN}", "lab.example\"": f"{DOMAIN}\"",
                         "xmpp.lab.example:5222": f"{HOST}:{self.lab.server.port}",
                         "controller@": "ctl@", "*@lab.example": f"*@{DOMAIN}", **changes}.items():
            text = text.replace(old, new)
        self.will_make("target.json", text)


class Place:
    """The lab outside, and the machine in it."""

    def __init__(self, lab, guest):
        self.lab, self.guest = lab, guest
        self.editor = Editor(guest, lab)

    def install(self):
        guest = self.guest
        guest.root("tar -xf /dev/vdb -C / --no-overwrite-dir")
        self.editor.config()
        self.editor.will_make("target.password", f"pw-{NAME}\n")
        (block,) = readme("sh machine")
        guest.root("mkdir -p /etc/rota")
        guest.write("/etc/rota/ca.pem", self.lab.server.ca_file.read_text())
        for line in block:
            guest.root(line)
        # a machine with a hardware watchdog: what the README says about machines that hang
        guest.root("mkdir -p /etc/systemd/system.conf.d")
        guest.write("/etc/systemd/system.conf.d/watchdog.conf", f"[Manager]\nRuntimeWatchdogSec={WATCHDOG}\n")
        guest.root("systemctl daemon-reexec")

    def ready(self, boot=None):
        """Waits until the controller sees it ready, under boot id @boot."""
        def seen():
            t = self.lab.ls().get(NAME, {})
            return t.get("state") == "ready" and t["boot"] == (boot or self.guest.boots[-1]) and t
        try:
            return wait_for(seen, BOOT)
        except TimeoutError:
            journal = self.guest.root("journalctl -b -n 40 --no-pager").out
            raise TimeoutError(f"{self.lab.ls()}\n{self.lab.logs()}\n{journal}") from None

    def show(self, *properties, unit="rota-target"):
        out = self.guest.root(f"systemctl show {unit} -p {','.join(properties)}").out
        return dict(line.split("=", 1) for line in out.splitlines())

    def counting(self, name, lines=0, options=(), pause="0.05"):
        """A run that counts, and waits at @lines until go_on(); its id. It has begun."""
        wait = f"[ $i -ne {lines} ] || while [ ! -e /var/tmp/{name} ]; do sleep 0.1; done"
        run = submit(self.lab, NAME, "bash", "-c",
                     f"echo {name} >>/var/tmp/begun; i=0; while [ $i -lt {2 * lines} ]; do i=$((i + 1)); "
                     f"echo line $i; {wait}; sleep {pause}; done", options=options)
        wait_for(lambda: received(self.lab, run) > 50, BOOT, what=f"output of {name}")
        return run

    def go_on(self, name):
        self.guest.root(f"touch /var/tmp/{name}")

    def begun(self, name):
        return self.guest.root("cat /var/tmp/begun").out.split().count(name)

    def ended(self, run):
        return self.lab.wait_run(run, deadline=BOOT)


def lines(n):
    return b"".join(b"line %d\n" % i for i in range(1, n + 1))


@pytest.fixture(scope="module", params=["prosody", pytest.param("ejabberd", marks=pytest.mark.long)])
def place(request, tmp_path_factory):
    if request.param not in os.environ.get("ROTA_SERVERS", request.param).split():
        pytest.skip(f"ROTA_SERVERS without {request.param}")
    path = tmp_path_factory.mktemp("guest")
    with Lab(request.param, pcs=[], accounts=[NAME]) as lab:
        lab.start()
        try:
            guest = Guest(path, cd=path / "rota.tar")
        except CannotBuild as why:
            pytest.skip(str(why))
        with guest:
            stage(path / "rota.tar", build_commands())
            guest.on()
            place = Place(lab, guest)
            place.install()
            yield place


@pytest.fixture(autouse=True)
def whole(place):
    """Every test begins with a machine that is up and ready."""
    if place.guest.process is None:
        place.guest.on()
    for run in place.lab.rota("runs", "--json").json():
        if run["state"] in ("running", "queued"):  # a test that failed left it
            place.lab.rota("cancel", run["run"])
    place.ready()


def test_the_daemon_is_a_user_of_its_own(place):
    unit = place.show("ActiveState", "SubState", "Type", "User", "MainPID", "NRestarts", "Result")
    assert unit["ActiveState"] == "active" and unit["SubState"] == "running"  # notify: it said READY
    assert unit["Type"] == "notify" and unit["User"] == "rota"
    assert unit["NRestarts"] == "0", place.guest.root("journalctl -u rota-target --no-pager").out
    status = place.guest.root(f"cat /proc/{unit['MainPID']}/status").out
    uid = place.guest.root("id -u rota").out.strip()
    assert re.search(rf"^Uid:\s+{uid}\s+{uid}\s+{uid}\s", status, re.M) and uid != "0"
    assert re.search(r"^CapEff:\s+0+$", status, re.M) and re.search(r"^CapBnd:\s+0+$", status, re.M)
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)
    seen = place.lab.ls()[NAME]
    assert seen["state"] == "ready" and seen["boot"] == place.guest.boots[-1]


def test_files_are_for_those_who_need_them(place):
    modes = place.guest.root("stat -c '%a %U:%G %n' /etc/rota /etc/rota/target.json /etc/rota/target.password "
                             "/var/lib/rota /var/lib/rota/target").out.splitlines()
    assert modes == ["750 root:rota /etc/rota", "640 root:rota /etc/rota/target.json",
                     "640 root:rota /etc/rota/target.password", "711 rota:rota /var/lib/rota",
                     "700 rota:rota /var/lib/rota/target"]
    denied = place.guest.user("nobody", "cat /etc/rota/target.password; ls /var/lib/rota/target", ok=False)
    assert denied.code != 0 and denied.out.count("Permission denied") == 2


def test_a_step_is_a_unit(place):
    result = place.lab.rota("run", NAME, "--", "bash", "-c", "seq 1 20000; id -un; cat /proc/self/cgroup",
                            timeout=BOOT)
    assert result.code == 0, result
    run = place.lab.rota("runs", "--json").json()[0]["run"]
    expected = "".join(f"{i}\n" for i in range(1, 20001)) + "rota\n" \
        f"0::/system.slice/system-rota\\x2dstep.slice/rota-step@{run}-1.service\n"
    assert output(place.lab, run).decode() == expected
    place.guest.wait(f"! systemctl is-active -q rota-step@{run}-1.service")
    assert place.guest.root("systemctl --failed --no-legend --plain").out == ""
    assert place.lab.rota("run", NAME, "selftest", timeout=BOOT).code == 0


def test_the_rule_allows_these_units_and_nothing_else(place):
    def asks(command):
        return place.guest.user("rota", command, ok=False)

    manager = ("busctl --system call org.freedesktop.systemd1 /org/freedesktop/systemd1 "
               "org.freedesktop.systemd1.Manager ")
    # an instance that has nothing to do, and one that is on
    started = asks(manager + "StartUnit ss rota-step@none-1.service fail")
    assert started.code == 0 and "/org/freedesktop/systemd1/job/" in started.out, started
    on = submit(place.lab, NAME, "sh", "-c", "echo on; exec sleep 1000")
    wait_for(lambda: received(place.lab, on) > 0, BOOT)
    refused = [
        "StartUnit ss dbus.service replace", "RestartUnit ss systemd-journald.service replace",
        "StopUnit ss rota-target.service replace", "StartUnit ss rota-target.service replace",
        "StartUnit ss rota-step@x.service fail", "StartUnit ss rota-step@../x-1.service fail",
        "StartUnit ss emergency.target isolate", "RestartUnit ss rota-step@none-1.service replace",
        "StopUnit ss rota-step@ON-1.service replace", "KillUnit ssi rota-step@ON-1.service all 9",
        "RestartUnit ss rota-step@ON-1.service replace", "ResetFailedUnit s rota-step@ON-1.service",
        "SetUnitProperties sba(sv) rota-step@ON-1.service true 1 CPUWeight t 5",
        "StartTransientUnit ssa(sv)a(sa(sv)) rota-step@none-2.service fail 1 User s root 0",
        "StartTransientUnit ssa(sv)a(sa(sv)) rota-step@none-3.service fail 1 "
        "ExecStart a(sasb) 1 /bin/true 1 /bin/true false 0",
        "EnableUnitFiles asbb 1 rota-step@none-1.service true true", "Reload", "SetEnvironment as 1 A=b",
    ]
    for call in refused:
        result = asks(manager + shlex.join(call.replace("ON", on).split()))
        assert result.code != 0, call
        assert re.search("authentication required|Access denied|Permission denied|name .* is not valid", result.out), result
    logind = ("busctl --system call org.freedesktop.login1 /org/freedesktop/login1 "
              "org.freedesktop.login1.Manager ")
    for call in ["PowerOff b false", "Halt b false", "Suspend b false", "SetRebootParameter s x"]:
        result = asks(logind + call)
        assert result.code != 0 and re.search("authentication required|[Dd]enied|not supported", result.out), result
    assert place.guest.user("rota", logind + "CanReboot").out == "s \"yes\"\n"
    # others than rota get none of it
    assert place.lab.rota("cancel", on).code == 0
    assert place.ended(on)["verdict"] == "cancelled"
    nobody = place.guest.user("nobody", manager + "StartUnit ss rota-step@none-1.service fail", ok=False)
    assert nobody.code != 0 and "authentication required" in nobody.out, nobody


def test_a_reload_reads_the_configuration(place):
    pid = place.show("MainPID")["MainPID"]
    place.editor.config(**{"Bob's server": "Carol's server"})
    place.guest.root("editor /etc/rota/target.json && systemctl reload rota-target")
    wait_for(lambda: place.lab.ls()[NAME]["title"] == "Carol's server", 30, what="the new name")
    assert place.show("MainPID", "ActiveState") == {"MainPID": pid, "ActiveState": "active"}
    # one that is wrong leaves the former in force
    place.editor.will_make("target.json", "{ \"jid\": 1 }")
    place.guest.root("editor /etc/rota/target.json && systemctl reload rota-target")
    place.guest.wait("journalctl -u rota-target -b --no-pager | grep -q 'former configuration stays'")
    assert place.show("MainPID", "ActiveState") == {"MainPID": pid, "ActiveState": "active"}
    place.editor.config()
    place.guest.root("editor /etc/rota/target.json && systemctl reload rota-target")
    wait_for(lambda: place.lab.ls()[NAME]["title"] == "Bob's server", 30, what="the old name")


def test_a_wrong_configuration_is_not_tried_again(place):
    place.editor.will_make("target.json", "{ \"jid\": 1 }")
    result = place.guest.root("editor /etc/rota/target.json && systemctl restart rota-target", ok=False)
    assert result.code != 0
    unit = place.show("ActiveState", "ExecMainStatus", "NRestarts")
    assert unit == {"ActiveState": "failed", "ExecMainStatus": "2", "NRestarts": "0"}
    assert "target.json:1" in place.guest.root("systemctl status rota-target --no-pager", ok=False).out
    place.editor.config()
    place.guest.root("editor /etc/rota/target.json && systemctl start rota-target")
    place.ready()


@pytest.mark.parametrize("how", [
    "systemctl restart rota-target", "frozen",
    pytest.param("systemctl kill -s KILL rota-target", marks=pytest.mark.long)])
def test_a_step_outlives_its_daemon(place, how):
    name = re.sub(r"\W", "", how)
    guest = place.guest
    if how == "frozen":
        guest.root(f"mkdir -p /run/systemd/system/rota-target.service.d && printf '[Service]\\nWatchdogSec="
                   f"{DAEMON_WATCHDOG}\\n' >/run/systemd/system/rota-target.service.d/w.conf && "
                   "systemctl daemon-reload && systemctl restart rota-target")
        place.ready()
    run = place.counting(name, 20)
    unit = f"rota-step@{run}-1.service"
    step = place.show("MainPID", "InvocationID", unit=unit)
    pid = place.show("MainPID")["MainPID"]
    assert step["MainPID"] not in ("0", pid)
    if how == "frozen":
        guest.root(f"kill -STOP {pid}")
        guest.wait(f"systemctl show rota-target -p MainPID --value | grep -vqx -e {pid} -e 0", 60,
                   "systemd has restarted the frozen daemon")
        assert "Watchdog timeout" in guest.root("journalctl -b -u rota-target -n 50 --no-pager").out
    else:
        guest.root(how)
    guest.wait("systemctl is-active -q rota-target")
    assert place.show("MainPID")["MainPID"] != pid
    assert place.show("MainPID", "InvocationID", unit=unit) == step
    place.go_on(name)
    assert place.ended(run)["verdict"] == "passed"
    assert output(place.lab, run) == lines(40)
    assert place.begun(name) == 1


def test_a_cancel_ends_all_of_it(place):
    run = submit(place.lab, NAME, "bash", "-c", "trap '' TERM; echo begun; setsid sleep 1000 & sleep 1001")
    wait_for(lambda: received(place.lab, run) > 0, BOOT)
    assert place.lab.rota("cancel", run).code == 0
    assert place.ended(run)["verdict"] == "cancelled"
    place.guest.wait(f"! systemctl is-active -q rota-step@{run}-1.service")
    assert place.guest.root("grep -lx sleep /proc/[0-9]*/comm; true").out == ""


@pytest.mark.long
def test_the_reboot_goes_through_logind(place):
    guest, before = place.guest, len(place.guest.boots)
    result = place.lab.rota("reboot", NAME, "--json", "--reason", "because", timeout=BOOT)
    assert result.code == 0, result
    (done,) = result.json()
    after = guest.wait_boot(before)
    assert done["ok"] and not done["simulated"]
    assert done["boot_before"] == guest.boots[before - 1] != after
    assert done["boot_after"] == after
    assert 1e6 < done["took_usec"] < BOOT * 1e6
    place.ready(after)
    assert len(guest.boots) == before + 1
    last = guest.root("journalctl -b -1 --no-pager -n 400").out
    last = last[last.rindex("rebooting now, for"):]
    assert "The system will reboot now!" in last and "Journal stopped" in last
    assert "rota-target.service: Deactivated successfully" in last and "Failed" not in last, last


def test_a_plan_with_two_reboots(place):
    guest, before = place.guest, len(place.guest.boots)
    say = {"exec": ["cat", "/proc/sys/kernel/random/boot_id"]}
    plan = place.lab.path / "three.json"
    plan.write_text(json.dumps({"name": "three", "steps": [say, {"reboot": True}, say, {"reboot": True}, say]}))
    result = place.lab.rota("run", "-d", "--plan", plan, NAME)
    assert result.code == 0, result
    run = result.out.split()[1]
    ended = place.lab.wait_run(run, deadline=2 * BOOT)
    assert ended["verdict"] == "passed", ended
    assert len(guest.boots) == before + 2
    for step, boot in zip((1, 3, 5), guest.boots[before - 1:]):
        result = place.lab.rota("log", run, f"{step}.out", "--raw")
        assert result.out == f"{boot}\n", (step, result, guest.boots)


def test_a_power_cut_loses_nothing_acknowledged(place):
    guest, lab = place.guest, place.lab
    before = len(guest.boots)
    run = place.counting("cut", 100000, pause="0.01")
    waits = submit(lab, NAME, "sh", "-c", "echo waits >>/var/tmp/begun; echo fine")
    wait_for(lambda: received(lab, run) > 1000, BOOT)
    acknowledged = received(lab, run)
    guest.cut()
    guest.on()
    ended = place.ended(run)
    assert ended["verdict"] == "not-run" and "interrupted by a reboot" in ended["cause"], ended
    got, left = output(lab, run), int(guest.root(f"stat -c %s /var/lib/rota/target/runs/{run}/1.out").out)
    print(f"the cut: {acknowledged} bytes acknowledged before, {len(got)} in all, {left} left in the machine")
    assert left <= len(got) >= acknowledged
    assert lines(200000).startswith(got)
    assert place.ended(waits)["verdict"] == "passed"
    assert output(lab, waits) == b"fine\n"
    assert guest.boots[before] != guest.boots[before - 1]
    assert place.begun("waits") == 1


def as_root(guest):
    """What rota-step@.service says for diagnostics that need all of root, as `systemctl edit` writes it."""
    head = guest.root("cat /usr/lib/systemd/system/rota-step@.service").out
    block = re.search(r"`systemctl edit.*?\n((?:#   .*\n)+)", head).group(1)
    text = "".join(line[4:] + "\n" for line in block.splitlines())
    assert "User=root\n" in text and "ExecStopPost=" in text
    guest.root("mkdir -p /etc/systemd/system/rota-step@.service.d")
    guest.write("/etc/systemd/system/rota-step@.service.d/override.conf", text)
    guest.root("systemctl daemon-reload")


@pytest.mark.long
def test_a_step_of_root_crashes_the_kernel(place):
    guest, before = place.guest, len(place.guest.boots)
    as_root(guest)
    try:
        run = submit(place.lab, NAME, "sh", "-c", "id -un; grep CapEff /proc/self/status; mkdir -m 700 d && touch d/b")
        assert place.ended(run)["verdict"] == "passed"
        assert re.fullmatch(r"root\nCapEff:\s+000001ffffffffff\n", output(place.lab, run).decode())
        guest.wait(f"! systemctl is-active -q rota-step@{run}-1.service")
        # and the daemon can remove it all the same
        guest.user("rota", f"cd /var/lib/rota/target/runs/{run} && cat 1.out && rm -r work")
        plan = place.lab.path / "crash.json"
        plan.write_text(json.dumps({"name": "crash", "steps": [
            {"exec": ["sh", "-c", "echo before; sleep 1; sync; echo c >/proc/sysrq-trigger; sleep 60"],
             "on_interrupt": "continue"},
            {"exec": ["cat", "/proc/sys/kernel/random/boot_id"]}]}))
        result = place.lab.rota("run", "-d", "--plan", plan, NAME)
        assert result.code == 0, result
        run = result.out.split()[1]
        boot = guest.wait_boot(before)
        ended = place.ended(run)
        assert "sysrq triggered crash" in (guest.path / "console").read_text(errors="replace")
        assert ended["verdict"] == "not-run" and "interrupted by a reboot" in ended["cause"], ended
        assert output(place.lab, run).replace(b"\r", b"").decode() == f"before\n{boot}\n"
    finally:
        guest.root("rm -r /etc/systemd/system/rota-step@.service.d && systemctl daemon-reload")


@pytest.mark.long
def test_a_frozen_machine_is_reset_by_its_watchdog(place):
    guest, lab = place.guest, place.lab
    before = len(guest.boots)
    assert "i6300ESB" in guest.root("cat /sys/class/watchdog/watchdog0/identity").out
    plan = lab.path / "freeze.json"
    plan.write_text(json.dumps({"name": "freeze", "steps": [
        {"exec": ["bash", "-c", "echo freeze >>/var/tmp/begun; sync; cat /proc/sys/kernel/random/boot_id; "
                  "while [ ! -e /var/tmp/freeze ]; do sleep 0.1; done"],
         "on_interrupt": {"retry": 1}}]}))
    result = lab.rota("run", "-d", "--plan", plan, NAME)
    assert result.code == 0, result
    run = result.out.split()[1]
    wait_for(lambda: received(lab, run) >= 37, BOOT)
    # of the highest priority, for ever, with nothing set aside for others: nobody else runs any more
    guest.post("echo -1 >/proc/sys/kernel/sched_rt_runtime_us; touch /var/tmp/frozen; sync; "
               "exec chrt -f 99 bash -c 'while :; do :; done'")
    wait_for(lambda: lab.ls()[NAME]["state"] in ("silent", "suspect", "offline"), 60, what="it is missed")
    boot = guest.wait_boot(before)
    place.go_on("freeze")
    ended = place.ended(run)
    assert ended["verdict"] == "passed", ended
    assert place.begun("freeze") == 2
    assert boot in output(lab, run).decode()


def test_security_of_the_units(place):
    for unit, most in [("rota-target.service", 2.0), ("rota-step@x-1.service", 9.0)]:
        out = place.guest.root(f"systemd-analyze security --no-pager {unit}", ok=False).out
        score = float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", out).group(1))
        print(f"systemd-analyze security {unit}: {score}")
        assert score <= most, out
