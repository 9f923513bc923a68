"""The shipped diagnostics: each for real where the machine allows it, and with programs that act as broken hardware.

The catalogue is read here by rules of its own, so that proto/catalogue.c does not check itself.
"""
import itertools
import json
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from lab import TOP, program

CATALOGUE = TOP / "deploy" / "diagnostics"
NAMES = sorted(p.stem for p in CATALOGUE.glob("*.json"))
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def read(name):
    text = (CATALOGUE / f"{name}.json").read_text()
    return json.loads(re.sub(r'^((?:[^"\n]|"(?:[^"\\]|\\.)*")*?)//.*$', r"\1", text, flags=re.M))


def amount(kind, text):
    """What a parameter is substituted with."""
    if kind == "bytes":
        number, unit = re.fullmatch(r"(\d+)([kMGT]?)", text).groups()
        return str(int(number) * 1024 ** " kMGT".index(unit or " "))
    if kind == "duration":
        number, unit = re.fullmatch(r"([\d.]+)(ms|s|m|h|d)?", text).groups()
        seconds = float(number) * {"ms": 0.001, None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400}[unit]
        return f"{seconds:.6f}".rstrip("0").rstrip(".")
    return text


def command(name, libexec, **given):
    d = read(name)
    values = {"libexec": str(libexec)}
    for key, p in d.get("params", {}).items():
        text = given.pop(key, p.get("default"))
        if text is not None and not isinstance(text, str):
            text = json.dumps(text)
        values[key] = amount(p["type"], text) if text else ""
    assert not given, f"{name} has no parameter {given}"
    argv = []
    for word in d["argv"]:
        optional = re.fullmatch(r"\{(\w+)\?\}", word)
        if optional and not values[optional[1]]:
            continue
        argv.append(re.sub(r"\{(\w+)\??\}", lambda m: values[m[1]], word))
    return argv


class Result:
    def __init__(self, name, record, output):
        exits = read(name).get("exit", {})
        self.record, self.output = record, output
        status = record.get("exit")
        if "cause" in record or status is None or status in exits.get("not_run", []):
            self.verdict = "not-run" if "cause" in record or status is not None else "failed"
        else:
            self.verdict = "passed" if status in exits.get("passed", [0]) else "failed"

    def __repr__(self):
        return f"{self.verdict} {self.record}\n{self.output}"


@pytest.fixture
def diag():
    """diag("memory", size="4M"): runs it as a target does. Programs made by diag.act() come first on its PATH.

    What takes part lies in a directory that other users can enter too."""
    top = Path(tempfile.mkdtemp(prefix="rota-diag-"))
    top.chmod(0o755)
    fake = top / "fake"
    fake.mkdir()
    shutil.copy(program("rota-step"), top)
    shutil.copytree(CATALOGUE / "libexec", top / "libexec")
    count = itertools.count(1)

    def run(name, user=None, env=None, path=None, under=(), deadline=90, **params):
        place = top / f"run{next(count)}"
        place.mkdir()
        place.chmod(0o777)
        spec = {"argv": command(name, top / "libexec", **params), "pty": read(name).get("pty", True),
                "timeout": deadline * 10**6, "silence": 0, "grace": 1000000, "boot": "b",
                "env": {"PATH": path or f"{fake}:{DEFAULT_PATH}", **(env or {})}}
        (place / "1.spec").write_text(json.dumps(spec))
        subprocess.run([*under, top / "rota-step", place, "1"], check=True, timeout=deadline + 30, user=user,
                       stdin=subprocess.DEVNULL)
        result = Result(name, json.loads((place / "1.exit").read_text()),
                        (place / "1.out").read_text(errors="replace"))
        left = {p.name for p in place.iterdir()} - {"1.spec", "1.out", "1.exit", "1.lock"}
        assert not left, f"{name} leaves {left} behind"
        return result

    def act(name, script):
        (fake / name).write_text("#!/bin/sh\n" + script)
        (fake / name).chmod(0o755)
    run.act = act
    yield run
    shutil.rmtree(top)


USERS = [pytest.param("root", marks=pytest.mark.root), pytest.param("nobody", marks=pytest.mark.root), None]


@pytest.fixture(params=USERS, ids=["root", "nobody", "me"])
def user(request):
    if request.param is None and os.geteuid() == 0:
        pytest.skip("I am root, who is asked already")
    return request.param


# The files

@pytest.mark.parametrize("name", NAMES)
def test_file(name):
    d = read(name)
    assert d["name"] == name and d["title"]
    for need in d.get("needs", []):
        assert need["program"] and need["package"]
    first = d["argv"][0]
    if first.startswith("{libexec}/"):
        script = CATALOGUE / "libexec" / first.removeprefix("{libexec}/")
        assert os.access(script, os.X_OK)
        assert 77 in d["exit"]["not_run"]
    else:
        assert first in {n["program"] for n in d["needs"]}
    for key, p in d.get("params", {}).items():
        assert p["help"], key
        assert f"{{{key}}}" in " ".join(d["argv"]) or f"{{{key}?}}" in d["argv"]


def test_the_promised_ones_are_there():
    assert set(NAMES) >= {"inventory", "memory", "cpu", "disk", "kernel-errors", "pci", "network", "selftest"}


def test_packages_are_installed_by_our_scripts():
    packages = (TOP / "deploy" / "packages").read_text()
    for name in NAMES:
        for need in read(name).get("needs", []):
            if need["package"] != "util-linux":  # essential
                assert f"diagnostics {need['package']}\n" in packages


@pytest.mark.parametrize("name", [n for n in NAMES if read(n).get("needs")])
def test_without_its_programs_it_says_so(diag, tmp_path, name):
    """The daemon looks before it starts one; a script that is started all the same does not fail a machine."""
    only = tmp_path / "only"
    only.mkdir()
    needed = {n["program"] for n in read(name)["needs"]}
    for directory in DEFAULT_PATH.split(":"):
        for p in Path(directory).glob("*"):
            if p.name not in needed | {"journalctl"} and not (only / p.name).exists():
                (only / p.name).symlink_to(p.resolve())
    r = diag(name, path=str(only))
    assert r.verdict == "not-run", r


# For real

def test_selftest(diag, user):
    r = diag("selftest", user=user, lines=5, interval="10ms")
    assert r.verdict == "passed", r
    assert r.output == "".join(f"line {i} of 5\n" for i in range(1, 6)) + "selftest: ends with status 0\n"


@pytest.mark.parametrize("status, verdict", [(0, "passed"), (1, "failed"), (77, "not-run"), (255, "failed")])
def test_selftest_ends_as_told(diag, status, verdict):
    r = diag("selftest", lines=0, interval="0s", exit=status)
    assert r.verdict == verdict and r.record["exit"] == status


def test_inventory(diag, user):
    r = diag("inventory", user=user)
    assert r.verdict == "passed", r
    assert json.loads(r.output)


def test_memory(diag, user):
    r = diag("memory", user=user, size="1M")
    assert r.verdict == "passed", r
    assert "Stuck Address       : ok\n" in r.output and "Walking Zeroes      : ok\n" in r.output
    assert "\b" not in r.output and "Done.\n" in r.output


@pytest.mark.root
def test_memory_tests_all_that_was_asked_for_beyond_the_limit(diag):
    """With a small limit of locked memory memtester alone would test less and say that all is well."""
    r = diag("memory", user="nobody", size="1M", under=["prlimit", "--memlock=65536:65536"])
    assert r.verdict == "passed", r
    assert "got  1MB (1048576 bytes)" in r.output


def test_more_memory_than_there_is(diag):
    r = diag("memory", size="100T")
    assert r.verdict == "not-run" and "available" in r.output, r


def test_cpu(diag, user):
    r = diag("cpu", user=user, time="1s", workers=1, method="int64")
    assert r.verdict == "passed", r
    assert "successful run completed" in r.output and "bogo ops" in r.output


def test_cpu_with_a_method_that_does_not_exist(diag):
    assert diag("cpu", time="1s", method="prayer").verdict == "not-run"


def test_disk(diag, user):
    r = diag("disk", user=user, size="2M")
    assert r.verdict == "passed", r
    assert "err= 0" in r.output


def test_disk_without_room(diag):
    r = diag("disk", size="100T")
    assert r.verdict == "not-run" and "free" in r.output, r


def test_disk_in_a_directory_that_is_not(diag):
    r = diag("disk", directory="/no/such/place")
    assert r.verdict == "not-run" and "/no/such/place" in r.output, r


def test_kernel_errors(diag, user):
    r = diag("kernel-errors", user=user)
    if r.verdict == "not-run":
        assert "may not read the kernel's log" in r.output
    else:
        assert re.search(r"^(dmesg|the journal): \d+ lines of level err or worse, 0 ignored$", r.output, re.M), r


def test_pci(diag, user):
    r = diag("pci", user=user)
    if r.verdict == "not-run":
        assert re.search("no PCI device|may not read|could not read", r.output), r
    else:
        assert re.search(r"^\d+ devices, ", r.output, re.M), r


def test_network(diag, user):
    r = diag("network", user=user, time="1s")
    if r.verdict == "not-run":
        assert "no network interface" in r.output, r
    else:
        assert re.search(r"Mbits/sec +receiver", r.output), r


def test_network_needs_the_rate_that_is_asked(diag):
    r = diag("network", time="1s", rate=10000000)
    if r.verdict != "not-run":
        assert r.verdict == "failed" and "are less than 10000000" in r.output, r


def test_network_interface_that_is_not(diag):
    r = diag("network", time="1s", interface="nosuch0")
    assert r.verdict == "not-run" and "no" in r.output


def test_network_peer_that_does_not_listen(diag):
    r = diag("network", time="1s", peer="127.0.0.1", errors=2**40)
    assert r.verdict == "not-run", r
    assert 'start "iperf3 -s" there' in r.output or "no network interface" in r.output


# Broken hardware, acted

def test_memory_error(diag):
    diag.act("memtester", r'''printf 'Loop 1/1:\n  Stuck Address       :            \b\b\b\btesting   0'
echo 'FAILURE: possible bad address line at offset 0x00000040.' >&2
echo 'Skipping to next test...'
exit 2
''')
    r = diag("memory", size="1M")
    assert r.verdict == "failed", r
    assert "FAILURE: possible bad address line" in r.output and "\b" not in r.output


def test_memory_that_could_not_be_had(diag):
    diag.act("memtester", "echo 'failed to allocate'; exit 1")
    assert diag("memory", size="1M").verdict == "not-run"


def test_cpu_that_miscalculates(diag):
    diag.act("stress-ng", "echo 'stress-ng: fail: cpu: prime error detected'; exit 2")
    assert diag("cpu", time="1s").verdict == "failed"


SMART = '''case $1 in
--scan) echo "/dev/sda -d scsi # /dev/sda, SCSI device" ;;
*) printf 'smartctl\\n\\n\\n%s\\n'; exit %d ;;
esac
'''


@pytest.mark.parametrize("status, verdict", [(0, "passed"), (8, "failed"), (16, "failed"), (64, "passed"),
                                             (2, "passed"), (4, "passed")])
def test_smart(diag, status, verdict):
    diag.act("smartctl", SMART % ("SMART overall-health self-assessment test result: …", status))
    diag.act("fio", "exit 0")
    r = diag("disk", size="1M")
    assert r.verdict == verdict, r
    assert "overall-health" in r.output
    if status in (2, 4):
        assert "did not tell its health" in r.output


def test_disk_that_returns_other_bytes(diag):
    diag.act("fio", 'echo "verify: bad magic header"; exit 1')
    r = diag("disk", size="1M")
    assert r.verdict == "failed" and "is not what was written" in r.output


def test_disk_for_real_with_a_changed_byte(diag):
    """Verification is on: fio's file changed under it between writing and reading is found."""
    real = shutil.which("fio", path=DEFAULT_PATH)
    diag.act("fio", f'''for a; do case $a in --filename=*) file=${{a#*=}} ;; esac; done
{real} "$@" --do_verify=0 || exit
printf X | dd of="$file" bs=1 seek=70000 conv=notrunc 2>/dev/null
exec {real} "$@" --verify_only=1
''')
    assert diag("disk", size="1M").verdict == "failed"


def no_journal(diag):
    diag.act("journalctl", "exit 1")


def edac(tmp_path, **counts):
    mc = tmp_path / "sys" / "devices" / "system" / "edac" / "mc" / "mc0"
    mc.mkdir(parents=True)
    for name in ("ce_count", "ue_count"):
        (mc / name).write_text(f"{counts.get(name, 0)}\n")
    (tmp_path / "interrupts").write_text(
        "            CPU0       CPU1\n MCE:          0          %d   Machine check exceptions\n"
        " MCP:         20         20   Machine check polls\n" % counts.get("mce", 0))
    return {"SYSFS": str(tmp_path / "sys"), "INTERRUPTS": str(tmp_path / "interrupts")}


def test_kernel_without_errors(diag, tmp_path):
    no_journal(diag)
    diag.act("dmesg", "exit 0")
    r = diag("kernel-errors", env=edac(tmp_path))
    assert r.verdict == "passed" and "machine checks: MCE: 0" in r.output, r


@pytest.mark.parametrize("counts, said", [({"ce_count": 3}, "mc/mc0/ce_count is 3"),
                                          ({"ue_count": 1}, "mc/mc0/ue_count is 1"),
                                          ({"mce": 2}, "machine checks: MCE: 2")])
def test_error_counters(diag, tmp_path, counts, said):
    no_journal(diag)
    diag.act("dmesg", "exit 0")
    r = diag("kernel-errors", env=edac(tmp_path, **counts))
    assert r.verdict == "failed" and said in r.output, r


def test_kernel_log(diag, tmp_path):
    no_journal(diag)
    diag.act("dmesg", "echo '[1.0] ata1: hard resetting link'; echo '[2.0] ACPI BIOS Error: known'; echo \"$@\" >&2")
    env = edac(tmp_path)
    r = diag("kernel-errors", env=env)
    assert r.verdict == "failed" and "dmesg: 2 lines of level err or worse, 0 ignored" in r.output, r
    r = diag("kernel-errors", env=env, ignore="ACPI BIOS|ata[0-9]+: hard")
    assert r.verdict == "passed" and "0 lines of level err or worse, 2 ignored" in r.output, r
    r = diag("kernel-errors", env=env, ignore="ACPI (")
    assert r.verdict == "not-run" and "no extended regular expression" in r.output, r
    r = diag("kernel-errors", env=env, ignore="-v")  # an expression, not an option
    assert r.verdict == "failed" and "2 lines" in r.output, r


def test_kernel_log_of_the_journal(diag, tmp_path):
    diag.act("journalctl", 'case "$*" in *-p*) echo "2026-01-01 host kernel: mce: [Hardware Error]" ;; *) echo x ;; esac')
    diag.act("dmesg", "exit 1")
    r = diag("kernel-errors", env=edac(tmp_path))
    assert r.verdict == "failed" and "the journal: 1 lines" in r.output, r


LSPCI = r'''cat <<END
0000:00:1c.0 PCI bridge: Some Root Port
	Control: I/O+ Mem+ BusMaster+ SpecCycle- MemWINV- VGASnoop- ParErr- Stepping- SERR- FastB2B- DisINTx+
	Status: Cap+ 66MHz- UDF- FastB2B- ParErr- DEVSEL=fast >TAbort- <TAbort- <MAbort+ >SERR- <PERR- INTx-
	Capabilities: [40] Express (v2) Root Port (Slot+), MSI 00
		DevCtl:	CorrErr+ NonFatalErr+ FatalErr+ UnsupReq+
		DevSta:	CorrErr@C NonFatalErr- FatalErr- UnsupReq@R AuxPwr+ TransPend-
		LnkSta:	Speed 2.5GT/s@D, Width x4
	Capabilities: [100 v1] Advanced Error Reporting
		UESta:	DLP@U SDES- TLP- FCP- CmpltTO- CmpltAbrt- UnxCmplt- RxOF- MalfTLP- ECRC- UnsupReq@R ACSViol-
		UEMsk:	DLP+ SDES+ TLP- FCP- CmpltTO- CmpltAbrt- UnxCmplt- RxOF- MalfTLP- ECRC- UnsupReq- ACSViol-
		CESta:	RxErr- BadTLP@B BadDLLP- Rollover- Timeout- AdvNonFatalErr@R
		CEMsk:	RxErr+ BadTLP+ BadDLLP- Rollover- Timeout- AdvNonFatalErr+
END
'''


def pci(diag, bits="", **params):
    text = LSPCI
    for letter in "CRUB":
        text = text.replace(f"@{letter}", "+" if letter in bits else "-")
    diag.act("lspci", text.replace("@D", " (downgraded)" if "D" in bits else ""))
    return diag("pci", **params)


@pytest.mark.parametrize("bits, params, verdict, said", [
    ("", {}, "passed", "1 devices, 1 with PCI Express status, 1 with AER\n0 error bits"),
    ("R", {}, "passed", "uncorrectable UnsupReq (ignored)"),
    ("RC", {}, "passed", "0 error bits"),
    ("C", {}, "failed", "device status CorrErr\n"),
    ("R", {"ignore": ""}, "failed", "uncorrectable UnsupReq\n"),
    ("U", {}, "failed", "0000:00:1c.0: uncorrectable DLP\n"),
    ("B", {}, "failed", "correctable BadTLP\n"),
    ("B", {"ignore": "BadTLP,UnsupReq,AuxPwr"}, "passed", "BadTLP (ignored)"),
    ("D", {}, "passed", "(downgraded)"),
    ("D", {"downgraded": "true"}, "failed", "(downgraded)"),
])
def test_pci_errors(diag, bits, params, verdict, said):
    r = pci(diag, bits, **params)
    assert r.verdict == verdict and said in r.output, r


def test_no_pci(diag):
    diag.act("lspci", "exit 0")
    r = diag("pci")
    assert r.verdict == "not-run" and "no PCI device" in r.output


def test_pci_that_may_not_be_read(diag):
    diag.act("lspci", "echo '0000:00:00.0 Host bridge'; printf '\\tCapabilities: <access denied>\\n'")
    r = diag("pci")
    assert r.verdict == "not-run" and "root" in r.output


def interface(tmp_path, name="eth0", carrier=1, **counters):
    path = tmp_path / "sys" / "class" / "net" / name
    (path / "statistics").mkdir(parents=True)
    for c in ("rx_packets", "rx_errors", "tx_errors", "collisions"):
        (path / "statistics" / c).write_text(f"{counters.get(c, 0)}\n")
    (path / "operstate").write_text("up\n" if carrier else "down\n")
    (path / "carrier").write_text(f"{carrier}\n")
    return {"SYSFS": str(tmp_path / "sys")}


def test_interface_with_errors(diag, tmp_path):
    env = interface(tmp_path, rx_errors=7)
    r = diag("network", env=env, time="1s")
    assert r.verdict == "failed" and "eth0 had 7 errors since boot" in r.output, r
    assert diag("network", env=env, time="1s", errors=7).verdict == "passed"


def test_cable_out(diag, tmp_path):
    env = interface(tmp_path, carrier=0)
    r = diag("network", env=env, time="1s")
    assert r.verdict == "failed" and "no interface has a link" in r.output, r
    interface(tmp_path, "eth1")
    assert diag("network", env=env, time="1s").verdict == "passed"
    r = diag("network", env=env, time="1s", interface="eth0")
    assert r.verdict == "failed" and "eth0 has no link" in r.output, r


def test_errors_under_load(diag, tmp_path):
    env = interface(tmp_path)
    counter = tmp_path / "sys" / "class" / "net" / "eth0" / "statistics" / "rx_errors"
    diag.act("tee", f'echo 5 > {counter}; exec /usr/bin/tee "$@"\n')
    r = diag("network", env=env, time="1s")
    assert r.verdict == "failed" and "eth0 had 5 new errors under load" in r.output, r


def test_no_interface(diag, tmp_path):
    (tmp_path / "sys" / "class" / "net").mkdir(parents=True)
    r = diag("network", env={"SYSFS": str(tmp_path / "sys")})
    assert r.verdict == "not-run" and "no network interface" in r.output, r
