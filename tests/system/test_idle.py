"""Idle daemons: what they hold in memory, and how often they wake. The window of 20 s is the measurement."""
import os
import threading
from pathlib import Path

import pytest
from lab import Lab
from promises import submit

WINDOW = 20             # seconds
KEEP_ALIVE = 5          # the server asks for a sign of life every so many seconds
MIB = 1024 * 1024


# every Debian has these loaded by others, from the init on
EVERYWHERE = ("libc.so", "ld-linux", "libcrypto", "libssl")


def pss(pid):
    """Bytes of memory as the only rota process of a PC has them. Several daemons run here and share their pages:
    only what other programs of a PC have loaded as well counts by its share, the rest in full."""
    total, path = 0, ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            path = Path(words[5]).name if len(words) > 5 else ""
        elif words[0] == ("Pss:" if path.startswith(EVERYWHERE) else "Rss:"):
            total += int(words[1]) * 1024
    return total


def wakes(pid):
    """How often all threads have waited for something and were woken."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                total += int(line.split()[1])
    return total


def cpu(pid):
    """Seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def idle(kind):
    """One controller and two targets: pc1 has just started, pc2 has worked. Measured once, together."""
    with Lab(kind, pcs=("pc1", "pc2")) as lab:
        lab.start()
        for argv in (["true"], ["seq", "200000"], ["head", "-c", "3000000", "/dev/urandom"]):
            assert lab.wait_run(submit(lab, "pc2", *argv))["verdict"] == "passed"
        for _ in range(20):
            assert lab.rota("ls").code == 0
        pids = {"fresh target": lab.pc("pc1").target_pid(), "used target": lab.pc("pc2").target_pid(),
                "controller": lab.controller().process.pid}
        # a controller settles a few seconds after it got online, and then has nothing to do
        threading.Event().wait(8)
        before = {name: (wakes(pid), cpu(pid)) for name, pid in pids.items()}
        threading.Event().wait(WINDOW)
        found = {name: {"wakes": wakes(pid) - before[name][0], "cpu": cpu(pid) - before[name][1],
                        "pss": pss(pid)} for name, pid in pids.items()}
        for name, f in found.items():
            print(f"{kind}: {name}: {f['wakes']} wake-ups, {f['cpu'] * 1000:.0f} ms of processor "
                  f"in {WINDOW} s; {f['pss'] / MIB:.2f} MiB PSS")
        assert set(lab.ls()) == {"pc1", "pc2"}
        yield found


@pytest.mark.parametrize("who", ["fresh target", "used target"])
def test_memory_of_a_target(idle, who):
    assert idle[who]["pss"] < 5 * MIB


def test_memory_of_a_controller(idle):
    assert idle["controller"]["pss"] < 8 * MIB


@pytest.mark.parametrize("who", ["fresh target", "used target"])
def test_a_target_wakes_but_to_stay_alive(idle, who):
    """A keep-alive, of the server or a ping of the controller, is a question and perhaps an acknowledgement: two
    wake-ups."""
    assert idle[who]["wakes"] <= 2 * (WINDOW // KEEP_ALIVE + 1)
    assert idle[who]["cpu"] <= 0.1


def test_a_controller_wakes_but_for_keep_alives(idle):
    """Its own and those of its two targets: each is sent, comes back, and is confirmed."""
    assert idle["controller"]["wakes"] <= 3 * (1 + 2) * (WINDOW // KEEP_ALIVE + 1)
    assert idle["controller"]["cpu"] <= 0.1
