"""A real machine for the tests: a QEMU guest with a minimal Debian 12, systemd as PID 1, and rota installed in it.

The disk's base is made once by guest/build; a Guest writes to an overlay of its own. Emulated, not virtualised:
it needs no /dev/kvm, and a boot takes seconds. The guest reaches the lab's server at 10.0.2.2.

    with Guest(path) as guest:
        guest.on()
        guest.root("systemctl status")      # a command of root inside
        guest.cut()                         # the plug: what it had not written is gone
        guest.on()
"""
import base64
import fcntl
import json
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from lab import TOP, Result, dies_with_us, wait_for

HOST = "10.0.2.2"  # what the guest calls the machine it runs on
HERE = Path(__file__).resolve().parent
BUILD = TOP / "build" / "machine"
CACHE = TOP / "build" / "guest"
BOOT = 180  # seconds for a boot, on a processor that others use too
# the processor is emulated: what guards against its mistakes costs more than all the rest
KERNEL = ("root=/dev/vda ro console=ttyS0 quiet panic=1 mitigations=off nopti nokaslr apparmor=0 audit=0 "
          "net.ifnames=0 8250.nr_uarts=1 systemd.show_status=0")


class CannotBuild(Exception):
    """Why there is no guest here."""


def base():
    """The folder with the guest's kernel, initrd and disk."""
    for tool in ("qemu-system-x86_64", "qemu-img"):
        if not shutil.which(tool):
            raise CannotBuild(f"{tool} is not installed: deploy/lab/packages test")
    done = subprocess.run([HERE / "guest" / "build", CACHE], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 77:
        raise CannotBuild(done.stdout.strip())
    assert done.returncode == 0, f"see {CACHE}/log"
    return Path(done.stdout.strip())


def stage(path, commands):
    """Types @commands (lines of a shell, cmake's) at the top of the tree, and packs what they install to @path."""
    root = path.with_suffix(".d")
    env = dict(os.environ, DESTDIR=str(root))
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for line in commands:
            done = subprocess.run(["bash", "-c", line], cwd=TOP, env=env, stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            assert done.returncode == 0, f"$ {line}\n{done.stdout}"
    subprocess.run(["tar", "--owner=0", "--group=0", "-C", root, "-cf", path, "."], check=True)
    shutil.rmtree(root)


class Guest:
    """One machine: off, on, cut off, and root's shell in it."""

    def __init__(self, path, cd=None, memory=384):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.base, self.cd, self.memory = base(), cd, memory
        self.process = self.port = self.qmp_port = None
        self.boots = []  # boot ids, in order of their shells
        self.answers = {}
        self.news = threading.Condition()
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b",
                        self.base / "disk", self.path / "disk"], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cut()

    # power

    def on(self, deadline=BOOT):
        """Starts it, and waits until root has a shell."""
        assert self.process is None
        drives = ["-drive", f"file={self.path}/disk,if=virtio,format=qcow2,cache=writeback"]
        if self.cd:
            drives += ["-drive", f"file={self.cd},if=virtio,format=raw,readonly=on"]
        argv = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-cpu", "qemu64", "-smp", "1",
                "-m", str(self.memory), "-nodefaults", "-no-user-config", "-display", "none",
                "-kernel", self.base / "kernel", "-initrd", self.base / "initrd", "-append", KERNEL, *drives,
                "-netdev", "user,id=lan", "-device", "virtio-net-pci,netdev=lan,romfile=",
                "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
                "-chardev", f"socket,id=shell,path={self.path}/shell,server=on,wait=off",
                "-device", "virtserialport,chardev=shell,name=shell",
                "-chardev", f"file,id=console,path={self.path}/console,append=on", "-serial", "chardev:console",
                "-qmp", f"unix:{self.path}/qmp,server=on,wait=off",
                "-device", "i6300esb", "-action", "watchdog=reset"]
        for name in ("shell", "qmp"):
            (self.path / name).unlink(missing_ok=True)
        before = len(self.boots)
        with open(self.path / "log", "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=dies_with_us)
        self.port = self._connect("shell")
        self.qmp_port = self._connect("qmp").makefile("rwb")
        threading.Thread(target=self._listen, args=(self.port.makefile("rb"),), daemon=True).start()
        self._qmp("qmp_capabilities")
        self.wait_boot(before, deadline)

    def cut(self):
        """Pulls the plug: SIGKILL. What the guest had not written to its disk is lost."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for port in (self.port, self.qmp_port):
            port.close()
        self.process = None

    def wait_boot(self, n, deadline=BOOT):
        """Waits for the boot after the first @n; its id."""
        def up():
            assert self.process.poll() is None, (self.path / "log").read_text()
            return len(self.boots) > n
        try:
            wait_for(up, deadline)
        except TimeoutError:
            raise TimeoutError(f"the guest did not boot within {deadline} s\n{self.console()}") from None
        return self.boots[n]

    def processor_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # inside

    def root(self, command, deadline=120, ok=True):
        """Runs a command line of root; output and errors are one."""
        result = self._ask(command, deadline)
        assert result.code == 0 or not ok, result
        return result

    def user(self, name, command, **kw):
        """The same as another user, without a login."""
        return self.root(f"setpriv --reuid={name} --regid=$(id -g {name}) --init-groups "
                         f"bash -c {shlex.quote(command)}", **kw)

    def write(self, path, text, mode="644", owner="root:root"):
        """A file in the guest."""
        self.root(f"base64 -d >{path} <<<{base64.b64encode(text.encode()).decode()} && "
                  f"chmod {mode} {path} && chown {owner} {path}")

    def wait(self, command, deadline=60, what=None):
        """Until the command of root succeeds; its output."""
        last = []

        def done():
            last[:] = [self._ask(command, deadline)]
            return last[0].code == 0
        try:
            wait_for(done, deadline)
        except TimeoutError:
            raise TimeoutError(f"{what or command}: not within {deadline} s; {last}") from None
        return last[0].out

    def post(self, command):
        """Begins a command of root that nobody answers: it ends the machine."""
        self._send(secrets.token_hex(4), command)

    def console(self, lines=30):
        path = self.path / "console"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""

    def _connect(self, name):
        port = socket.socket(socket.AF_UNIX)

        def connected():
            assert self.process.poll() is None, (self.path / "log").read_text()
            try:
                port.connect(str(self.path / name))
                return True
            except OSError:
                return False
        wait_for(connected, 30, what=f"qemu opens {name}")
        return port

    def _listen(self, lines):
        """Every line the shell says, for as long as this power lasts."""
        try:
            for line in lines:
                words = line.decode("ascii", "replace").split()
                with self.news:
                    if len(words) == 2 and words[0] == "up":
                        self.boots.append(words[1])
                    elif len(words) >= 2:
                        self.answers[words[0]] = words[1:]
                    self.news.notify_all()
        except (OSError, ValueError):
            pass

    def _send(self, number, command):
        self.port.sendall(f"{number} {base64.b64encode(command.encode()).decode()}\n".encode())

    def _ask(self, command, deadline):
        number = secrets.token_hex(4)
        self._send(number, command)
        end = time.monotonic() + deadline
        with self.news:
            while number not in self.answers:
                if not self.news.wait(end - time.monotonic()):
                    raise TimeoutError(f"root's shell did not answer within {deadline} s: {command}\n"
                                       f"{self.console()}")
            code, *out = self.answers.pop(number)
        return Result(["guest#", command], int(code), base64.b64decode("".join(out)), b"")

    def _qmp(self, command, **arguments):
        self.qmp_port.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self.qmp_port.flush()
        while True:
            answer = json.loads(self.qmp_port.readline())
            if "return" in answer or "error" in answer:
                return answer
