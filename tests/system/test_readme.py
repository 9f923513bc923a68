"""Every command of the README's code blocks, as a newcomer would type them, in order."""
import os
import re
import shutil
import subprocess
import tempfile

import pytest
from lab import TOP

# what this test is itself part of
ALREADY_RUNNING = {"tests/run"}
# `why` of a machine without power, and what waits for it, are answers, not failures
MAY_FAIL = set()


def blocks():
    text = (TOP / "README.md").read_text()
    return [b.strip().splitlines() for b in re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)]


def type_in(line, env, deadline=300):
    done = subprocess.run(["bash", "-c", line], cwd=TOP, env=env, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=deadline, check=False)
    assert done.returncode == 0 or line in MAY_FAIL, f"$ {line}\n{done.stdout}"
    return done.stdout


@pytest.fixture
def scratch():
    path = tempfile.mkdtemp(prefix="rota-readme-")
    env = dict(os.environ, ROTA_TRY_DIR=f"{path}/try", DESTDIR=f"{path}/root", NO_COLOR="1")
    yield env
    subprocess.run([TOP / "deploy/try", "stop"], env=env, stdout=subprocess.DEVNULL, check=False)
    shutil.rmtree(path)


def test_every_command(scratch):
    lines = [line for block in blocks() for line in block if line not in ALREADY_RUNNING]
    assert "deploy/try" in lines and "deploy/try stop" in lines
    said = {line: type_in(line, scratch) for line in lines}
    assert len(re.findall(r"\bready\b", said["deploy/try rota ls"])) == 3
    assert "deploy/try rota ls" in said["deploy/try"], "it says what to type next"
    assert not os.path.exists(scratch["ROTA_TRY_DIR"])
    root = scratch["DESTDIR"]
    for path in ["usr/bin/rota", "usr/bin/rota-target", "usr/bin/rota-controller",
                 "usr/libexec/rota/rota-step", "usr/lib/systemd/system/rota-target.service",
                 "usr/lib/systemd/system/rota-controller.service",
                 "usr/lib/systemd/system/rota-step@.service",
                 "usr/lib/systemd/user/rota-controller.service", "usr/lib/sysusers.d/rota.conf",
                 "usr/lib/tmpfiles.d/rota.conf", "usr/share/polkit-1/rules.d/50-rota.rules",
                 "usr/share/rota/diagnostics", "usr/share/rota/plans/two-boots.json",
                 "usr/share/rota/config/target.json"]:
        assert os.path.exists(f"{root}/{path}"), path
    unit = open(f"{root}/usr/lib/systemd/system/rota-target.service", encoding="utf-8").read()
    assert "ExecStart=/usr/bin/rota-target " in unit
