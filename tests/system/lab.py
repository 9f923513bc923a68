"""A scratch lab: a real server, controllers, and simulated PCs with a rota-target each.

Everything lives in one directory under /tmp, listens on free ports of loopback, and dies with
the process that made it. Nothing here knows pytest: tests/bench uses it too.

    with Lab("prosody", pcs=["pc1", "pc2"]) as lab:
        lab.start()
        lab.wait_state("pc1", "ready")
        result = lab.rota("run", "pc1", "selftest")
        lab.pc("pc1").kill_target()         # the daemon only
        lab.pc("pc1").off()                 # the plug
        lab.controller().kill()
        lab.server.kill()
"""
import ctypes
import json
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
DOMAIN = "lab.test"
LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def build_dir():
    """Where the programs are: $ROTA_BUILD, or the dev preset's."""
    return Path(os.environ.get("ROTA_BUILD", TOP / "build" / "dev"))


def program(name):
    path = build_dir() / "bin" / name
    if not path.exists():
        raise FileNotFoundError(f"{path}: build it first (cmake --preset dev && ninja -C build/dev)")
    return str(path)


def wait_for(predicate, deadline=10, what=None):
    """The predicate's first true value. Raises with its last value after @deadline seconds."""
    end = time.monotonic() + deadline
    pause = threading.Event()
    step = 0.005
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= end:
            raise TimeoutError(f"{what or predicate}: not within {deadline} s; last: {value!r}")
        pause.wait(step)
        step = min(step * 1.5, 0.1)


def dies_with_us():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Result:
    """What a command answered. Texts are str, `raw` is stdout as bytes."""

    def __init__(self, args, code, out, err):
        self.args, self.code, self.raw = args, code, out
        self.out = out.decode("utf-8", "replace")
        self.err = err.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.raw)

    def __repr__(self):
        return (f"<{' '.join(map(str, self.args))}: exit {self.code}\n"
                f"--- out\n{self.out[-3000:]}\n--- err\n{self.err[-3000:]}>")


class Server:
    """deploy/lab/server, which runs Prosody or ejabberd with the files of deploy/ unchanged."""

    def __init__(self, kind, path, domain=DOMAIN, inside=(), listen="127.0.0.1"):
        """@inside: words before every command, for a network namespace of its own."""
        self.kind, self.path, self.domain, self.inside = kind, Path(path), domain, list(inside)
        self.host = "127.0.0.1"
        self._do("create", kind, path, domain, listen)

    def _do(self, *args, stdin=""):
        done = subprocess.run([*self.inside, TOP / "deploy/lab/server", *map(str, args)], input=stdin,
                              text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)

    def start(self):
        self._do("start", self.path)

    def stop(self):
        self._do("stop", self.path)

    def kill(self):
        """SIGKILL, as a power cut would."""
        self._do("kill", self.path)

    def pid(self):
        return int((self.path / "pid").read_text())

    def account(self, *names):
        """Adds accounts; the password is "pw-NAME"."""
        self._do("account", self.path, stdin="".join(f"{n} pw-{n}\n" for n in names))

    @property
    def port(self):
        for line in (self.path / "env").read_text().splitlines():
            if line.startswith("PORT="):
                return int(line[5:])
        raise RuntimeError("no port")

    @property
    def ca_file(self):
        return self.path / "ca.pem"


class Piece:
    """A process of the lab with its own folder, log and configuration."""
    bin = None  # a folder of programs of its own, in place of the build's

    def __init__(self, lab, name, config_name, config):
        self.lab, self.name = lab, name
        self.path = lab.path / name
        self.path.mkdir(mode=0o700)
        self.config_file = self.path / config_name
        self.config = config
        self.log_file = self.path / "log"
        self.process = None
        self.inside, self.extra_env = [], {}  # words before its command; what else its environment has
        password = self.path / "password"
        password.write_text(f"pw-{name}\n")
        password.chmod(0o600)

    def program(self, name):
        return str(self.bin / name) if self.bin else program(name)

    def write_config(self):
        self.config_file.write_text(json.dumps(self.config, indent=2))

    def spawn(self, argv, extra_env=None):
        self.write_config()
        env = dict(os.environ, HOME=str(self.path), XDG_RUNTIME_DIR=str(self.path), NO_COLOR="1")
        env.pop("NOTIFY_SOCKET", None)
        env.update(self.extra_env)
        env.update(extra_env or {})
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen([*self.inside, *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=env, start_new_session=True,
                                            preexec_fn=dies_with_us)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        if self.running():
            self.process.send_signal(number)

    def stop(self, deadline=10):
        """SIGTERM, and the exit status."""
        if self.process is None:
            return None
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(deadline)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait()
            raise TimeoutError(f"{self.name} did not end within {deadline} s of SIGTERM")

    def kill(self):
        self.signal(signal.SIGKILL)
        if self.process:
            self.process.wait()

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""


class Controller(Piece):
    def __init__(self, lab, name, **over):
        server = lab.server
        super().__init__(lab, name, "controller.json", {
            "jid": f"{name}@{server.domain}", "password_file": "password",
            "server": f"{server.host}:{server.port}", "ca_file": str(server.ca_file),
            "accept": [f"*@{server.domain}"],
            "state_dir": str(lab.path / name / "state"), "socket": str(lab.path / name / "sock"),
            "catalogue": [str(TOP / "deploy/diagnostics")], "free_min": "1M", **over})

    @property
    def socket(self):
        return self.config["socket"]

    def start(self, *args):
        self.spawn([self.program("rota-controller"), "--config", str(self.config_file), *args])


class Pc(Piece):
    """A simulated PC; its rota-target is one process below, steps are further ones."""

    def __init__(self, lab, name, **over):
        server = lab.server
        self.boot_id_file = lab.path / name / "boot_id"
        self.pid_file = lab.path / name / "pc.pid"
        super().__init__(lab, name, "target.json", {
            "jid": f"{name}@{server.domain}", "password_file": "password",
            "server": f"{server.host}:{server.port}", "ca_file": str(server.ca_file),
            "name": f"Number {name}", "location": f"Lab/Rack {name}", "labels": {"kind": "scratch"},
            "controllers": {**{f"{c}@{server.domain}": "admin" for c in lab.controller_names},
                            f"*@{server.domain}": "view"},
            "state_dir": str(lab.path / name / "state"),
            "catalogue": [str(TOP / "deploy/diagnostics")], "free_min": "1M",
            "power": {"command": [program("rota-lab-pc"), "--reset", str(self.pid_file)],
                      "simulated": True},
            "boot_id_file": str(self.boot_id_file), **over})

    def start(self, *args, boot_ms=200):
        self.spawn([program("rota-lab-pc"), "--boot-id-file", str(self.boot_id_file),
                    "--pid-file", str(self.pid_file), "--boot-time", str(boot_ms),
                    "--die-with-parent", "--", self.program("rota-target"), "--config",
                    str(self.config_file), *args])

    def boot_id(self):
        return self.boot_id_file.read_text().strip()

    def reset(self):
        self.signal(signal.SIGUSR1)

    def off(self):
        """Pulls the plug; returns when nothing of it runs any more."""
        self.signal(signal.SIGUSR2)
        wait_for(lambda: not self.descendants(), what=f"{self.name} is off")

    def on(self):
        self.signal(signal.SIGHUP)

    def kill(self):
        """Ends the PC and everything in it without ceremony."""
        if self.running():
            self.off()
        super().kill()

    def _children(self, pid):
        try:
            return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        except OSError:
            return []

    def descendants(self):
        found, todo = [], [self.process.pid]
        while todo:
            children = self._children(todo.pop())
            found += children
            todo += children
        return found

    def target_pid(self):
        """The daemon's process id, None while there is none."""
        for pid in self._children(self.process.pid):
            try:
                if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "rota-target":
                    return pid
            except OSError:
                pass
        return None

    def kill_target(self):
        """SIGKILL to the daemon alone; the PC starts it again under the same boot id."""
        pid = wait_for(self.target_pid, what=f"{self.name} has a daemon")
        os.kill(pid, signal.SIGKILL)
        return pid


class Lab:
    def __init__(self, kind="prosody", pcs=("pc1", "pc2", "pc3"), controllers=("ctl",),
                 accounts=(), pc_config=None, path=None):
        self.path = Path(path or tempfile.mkdtemp(prefix="rota-lab-"))
        self.controller_names = list(controllers)
        self._clients = []
        self.server = self.make_server(kind)
        try:
            self.server.start()
            self.server.account(*controllers, *pcs, *accounts)
            self.controllers = {n: Controller(self, n) for n in controllers}
            self.pcs = {n: Pc(self, n, **(pc_config or {})) for n in pcs}
        except BaseException:
            self.close()
            raise

    def make_server(self, kind):
        return Server(kind, self.path / "server")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def controller(self, name=None):
        return self.controllers[name or self.controller_names[0]]

    def pc(self, name):
        return self.pcs[name]

    def start(self):
        """Everything, and waits until every PC is ready at every controller."""
        for piece in [*self.controllers.values(), *self.pcs.values()]:
            piece.start()
        for controller in self.controllers:
            self.wait_ready(controller=controller)

    def wait_ready(self, *names, controller=None, deadline=20):
        for name in names or self.pcs:
            self.wait_state(name, "ready", controller=controller, deadline=deadline)

    def environment(self, controller=None):
        env = dict(os.environ, ROTA_SOCKET=self.controller(controller).socket, NO_COLOR="1",
                   HOME=str(self.path), PATH=f"{build_dir() / 'bin'}:{os.environ['PATH']}")
        env.pop("ROTA_CONFIG", None)
        return env

    def rota(self, *args, controller=None, timeout=60, stdin=subprocess.DEVNULL, env=None):
        """Runs `rota ARGS` to its end."""
        argv = [program("rota"), *map(str, args)]
        done = subprocess.run(argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=timeout, check=False,
                              env={**self.environment(controller), **(env or {})})
        return Result(["rota", *args], done.returncode, done.stdout, done.stderr)

    def popen(self, *args, controller=None, **kw):
        """`rota ARGS` still running, with stdout and stderr as pipes; ended with the lab."""
        kw = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
              "env": self.environment(controller), "preexec_fn": dies_with_us, **kw}
        client = subprocess.Popen([program("rota"), *map(str, args)], **kw)
        self._clients.append(client)
        return client

    def ls(self, *selector, controller=None):
        """name -> row of `rota ls --json`; empty while the controller does not answer."""
        result = self.rota("ls", "--json", *selector, controller=controller)
        return {t["name"]: t for t in result.json()} if result.code == 0 else {}

    def wait_state(self, name, *states, controller=None, deadline=20):
        last = {}

        def reached():
            last.update(self.ls(controller=controller))
            return last.get(name, {}).get("state") in states and last[name]
        try:
            return wait_for(reached, deadline)
        except TimeoutError:
            raise TimeoutError(f"{name} is not {'/'.join(states)} at {controller or 'ctl'} within "
                               f"{deadline} s but {last.get(name, {}).get('state', 'unknown')}\n"
                               f"{self.logs()}") from None

    def wait_run(self, run, state="ended", controller=None, deadline=60):
        """Waits for a run (an id) to reach @state; its JSON."""
        def reached():
            result = self.rota("show", "--json", run, controller=controller)
            if result.code != 0:
                return None
            row = result.json()
            row = row[0] if isinstance(row, list) else row
            return row if row["state"] == state else None
        return wait_for(reached, deadline, what=f"run {run} {state}")

    def logs(self, lines=15):
        """The ends of all logs, for a failed test."""
        text = []
        for path in sorted(self.path.glob("*/log")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            text += [f"--- {path.parent.name}", *tail]
        return "\n".join(text)

    def close(self):
        for client in self._clients:
            if client.poll() is None:
                client.kill()
            client.communicate()
        for piece in [*getattr(self, "pcs", {}).values(), *getattr(self, "controllers", {}).values()]:
            if piece.running():
                piece.thaw()
                piece.kill()
        if self.server.path.joinpath("env").exists():
            self.server.kill()
        if not os.environ.get("ROTA_KEEP_LAB"):
            shutil.rmtree(self.path, ignore_errors=True)


def random_name(prefix="x"):
    return f"{prefix}{secrets.token_hex(4)}"
