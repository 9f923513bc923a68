"""deploy/try: comes up, survives what happens to scratch labs, and leaves nothing behind."""
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from lab import TOP, wait_for


class Try:
    def __init__(self, path, prefix=(), env=None):
        self.path, self.prefix = Path(path), list(prefix)
        self.env = dict(env or os.environ, ROTA_TRY_DIR=str(path), NO_COLOR="1")

    def __call__(self, *args, deadline=300):
        return subprocess.run([*self.prefix, TOP / "deploy/try", *args], env=self.env, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=deadline, check=False)

    def processes(self):
        """Whatever has the scratch folder in its environment, arguments or working directory."""
        found = set()
        for proc in Path("/proc").glob("[0-9]*"):
            try:
                text = (proc / "environ").read_bytes() + (proc / "cmdline").read_bytes()
                cwd = os.readlink(proc / "cwd")
            except OSError:
                continue
            if f"{self.path}/".encode() in text or cwd.startswith(f"{self.path}/"):
                found.add(int(proc.name))
        return found - {os.getpid()}

    def pid(self, name):
        return int((self.path / name / "pid").read_text())


@pytest.fixture
def scratch():
    """A folder for one deploy/try; short, because a socket's path is."""
    path = tempfile.mkdtemp(prefix="rota-try-")
    lab = Try(f"{path}/lab")
    yield lab
    lab("stop")
    shutil.rmtree(path, ignore_errors=True)


def test_whole_life(scratch, kind):
    first = scratch("--server", kind)
    assert first.returncode == 0, first.stderr + first.stdout
    assert first.stdout.count("pc2") >= 2, "the table and lines of the diagnostic"
    assert "deploy/try stop" in first.stdout

    again = time.monotonic()
    second = scratch()
    assert time.monotonic() - again < 20
    assert second.returncode == 0 and "runs already" in second.stdout

    refused = scratch("--server", "prosody" if kind == "ejabberd" else "ejabberd")
    assert refused.returncode != 0 and "deploy/try stop" in refused.stderr

    # pieces that died are put back, whatever their pid files say
    os.kill(scratch.pid("controller"), signal.SIGKILL)
    os.kill(scratch.pid("pc3"), signal.SIGKILL)
    (scratch.path / "pc2/pid").write_text("1\n")
    mended = scratch()
    assert mended.returncode == 0, mended.stderr + mended.stdout
    assert "controller" in mended.stdout and "pc3" in mended.stdout
    assert scratch("status").returncode == 0

    ended = scratch("stop")
    assert ended.returncode == 0, ended.stderr
    assert not scratch.path.exists()
    assert scratch.processes() == set()
    assert scratch("status").returncode != 0
    assert scratch("stop").returncode == 0


def test_stop_while_a_step_runs(scratch):
    assert scratch().returncode == 0
    run = subprocess.Popen([TOP / "deploy/try", "rota", "run", "pc1", "--", "sh", "-c",
                            "echo begun; setsid sleep 1000 & exec sleep 1001"],
                           env=scratch.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert b"begun" in run.stdout.readline()
    assert scratch("stop").returncode == 0
    assert scratch.processes() - {run.pid} == set(), "all but the command that somebody typed"
    assert not scratch.path.exists()
    run.kill()
    run.communicate()


def test_buttons(scratch):
    assert scratch().returncode == 0
    assert scratch("off", "pc2").returncode == 0
    wait_for(lambda: '"offline"' in scratch("rota", "ls", "--json", "pc2").stdout, 20)
    assert scratch("on", "pc2").returncode == 0
    wait_for(lambda: '"ready"' in scratch("rota", "ls", "--json", "pc2").stdout, 20)
    assert scratch("off", "pc9").returncode != 0


def check_chaos(said):
    assert said.returncode == 0, said.stdout + said.stderr
    rows = [line for line in said.stdout.splitlines() if re.match(r" +[0-9]+ s ", line)]
    for what in ("kill -9 rota-target on pc1", "kill -9 rota-controller", "pc3's cable is pulled", "cable is back",
                 "kill -9 of the server", "of server, controller and the rota-target of pc2, at once"):
        assert any(what in row for row in rows), f"{what}\n{said.stdout}"
    assert rows[-1].split()[2:5] == ["900"] * 3, rows[-1]
    assert len(rows) > 20, "each second has a line"
    assert len(re.findall(r"^  pc[123] .* equal   0 lost   0 doubled   longest silence", said.stdout, re.M)) == 3
    assert re.search(r"SHA-256 equal on all three, 0 lost, 0 doubled, longest silence [0-9.]+ s", said.stdout)
    assert "deploy/try chaos" in said.stdout.partition("Type next")[2]


def test_chaos(scratch):
    """Starts the lab itself; root's cable is a network link, which is gone after it."""
    check_chaos(scratch("chaos"))
    assert scratch("rota", "runs").stdout.count("passed") >= 3
    assert not re.search(r"rota-try[0-9]+", (Path("/proc/net/dev")).read_text())
    assert scratch("status").returncode == 0


@pytest.mark.parametrize("what, result", [
    ("1 pc1@lab.example\n2 pc1@lab.example\n3 pc1@lab.example\n", "equal   0 lost   0 doubled"),
    ("1 pc1@lab.example\n3 pc1@lab.example\n", "DIFFERENT   1 lost   0 doubled"),
    ("1 pc1@lab.example\n2 pc1@lab.example\n2 pc1@lab.example\n3 pc1@lab.example\n",
     "DIFFERENT   0 lost   1 doubled"),
    ("1 pc1@lab.example\n2 pc1@lab.example\n3 pc2@lab.example\n", "DIFFERENT   1 lost   0 doubled"),
])
def test_chaos_counts_what_is_wrong(tmp_path, what, result):
    work = tmp_path / "pc1/state/runs/r1/work"
    work.mkdir(parents=True)
    (tmp_path / "chaos").mkdir()
    (work / "told").write_text("".join(f"{n} pc1@lab.example\n" for n in (1, 2, 3)))
    (work / "told.sha256").write_text(subprocess.run(["sha256sum"], stdin=open(work / "told", "rb"), text=True,
                                                     stdout=subprocess.PIPE, check=True).stdout)
    (tmp_path / "chaos/pc1.seen").write_text(what)
    done = subprocess.run(["bash", "-ec", """
        dir=$1 domain=lab.example pcs=(pc1); . "$2"
        say() { echo "$*"; }; rota() { cat "$dir/chaos/pc1.seen"; }
        run[pc1]=r1 silence[pc1]=1500 chaos_count=3
        account_all""", "bash", tmp_path, TOP / "deploy/lab/chaos"], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    assert result in done.stdout, done.stdout
    assert done.returncode == (0 if result.startswith("equal") else 1), done.stdout
    assert "longest silence 1.5 s" in done.stdout


def test_usage(scratch):
    assert scratch("sing").returncode == 2
    assert scratch("--server", "openfire").returncode == 1
    assert scratch("rota", "ls").returncode == 1
    (scratch.path).mkdir()
    (scratch.path / "precious").write_text("x")
    refused = scratch()
    assert refused.returncode == 1 and "not empty" in refused.stderr
    assert (scratch.path / "precious").exists()


@pytest.mark.root
def test_as_an_ordinary_user(kind):
    """The same for a user without a home, a name or rights, when root runs the tests."""
    path = tempfile.mkdtemp(prefix="rota-user-")
    nobody = pwd.getpwnam("nobody")
    os.chown(path, nobody.pw_uid, nobody.pw_gid)
    os.chmod(path, 0o700)
    lab = Try(f"{path}/lab", ["setpriv", "--reuid", str(nobody.pw_uid), "--regid",
                              str(nobody.pw_gid), "--clear-groups"],
              env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"})
    if not subprocess.run([*lab.prefix, "test", "-r", TOP / "README.md"], check=False).returncode == 0:
        shutil.rmtree(path)
        pytest.skip("the source tree is not readable for others")
    try:
        first = lab("--server", kind, deadline=600)
        assert first.returncode == 0, first.stderr + first.stdout
        check_chaos(lab("chaos"))
        owners = {os.stat(f"/proc/{pid}").st_uid for pid in lab.processes()}
        assert owners == {nobody.pw_uid}
    finally:
        assert lab("stop").returncode == 0
        assert lab.processes() == set()
        assert os.listdir(path) == []
        shutil.rmtree(path)
