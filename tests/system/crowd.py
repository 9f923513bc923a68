"""A crowd of light simulated targets (tests/support/crowd.c) at the server of a lab.

    with Crowd(lab, 1000) as crowd:     # before lab.start()
        crowd.start()
        crowd.wait_all()
        crowd.say("busy 0 100")

Their accounts, and their places in the rosters, are written into the server's own store while it is stopped: copies of
one account that the server made itself. A thousand by its commands would take minutes.
"""
import re
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

from lab import dies_with_us, program


class Crowd:
    def __init__(self, lab, count, prefix="crowd"):
        self.lab, self.count, self.prefix = lab, count, prefix
        self.names = [f"{prefix}{i:04}" for i in range(count)]
        self.process = None
        self.log_file = lab.path / f"{prefix}.log"
        self._news = threading.Condition()
        self._all = None       # when they were last complete
        self._online = 0
        self.lost = []         # moments at which the first was lost
        lab.server.account(prefix)
        lab.server.stop()
        (self._prosody if lab.server.kind == "prosody" else self._ejabberd)()
        lab.server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _prosody(self):
        data = self.lab.server.path / "data" / re.sub(r"[^a-zA-Z0-9]", lambda m: f"%{ord(m[0]):02x}",
                                                      self.lab.server.domain)
        model = (data / "accounts" / f"{self.prefix}.dat").read_bytes()
        rosters = data / "roster"
        rosters.mkdir(exist_ok=True)

        def roster(jids):
            entries = "".join(f'\t["{jid}"] = {{ ["subscription"] = "both"; ["groups"] = {{}}; }};\n'
                              for jid in jids)
            return ('return {\n\t[false] = { ["pending"] = {}; ["version"] = 1; };\n' + entries + "};\n")

        domain = self.lab.server.domain
        for name in self.names:
            (data / "accounts" / f"{name}.dat").write_bytes(model)
            (rosters / f"{name}.dat").write_text(
                roster(f"{c}@{domain}" for c in self.lab.controller_names))
        for controller in self.lab.controller_names:
            path = rosters / f"{controller}.dat"
            assert not path.exists(), "the crowd is made before the lab starts"
            path.write_text(roster(f"{name}@{domain}" for name in self.names))

    def _ejabberd(self):
        domain = self.lab.server.domain
        pairs = []
        for name in self.names:
            for controller in self.lab.controller_names:
                pairs += [(name, f"{controller}@{domain}"), (controller, f"{name}@{domain}")]
        with sqlite3.connect(self.lab.server.path / "data" / "ejabberd.sqlite") as store:
            store.executemany(
                "INSERT INTO users (username, password, serverkey, salt, iterationcount) "
                "SELECT ?, password, serverkey, salt, iterationcount FROM users WHERE username = ?",
                [(name, self.prefix) for name in self.names])
            store.executemany(
                "INSERT INTO rosterusers (username, jid, nick, subscription, ask, askmessage, server, "
                "subscribe, type) VALUES (?, ?, '', 'B', 'N', '', 'N', '', 'item')", pairs)

    def start(self, inside=()):
        """@inside: the words before a command that is to run elsewhere."""
        server = self.lab.server
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [*inside, program("rota-crowd"), getattr(server, "host", "127.0.0.1"), str(server.port),
                 server.domain, str(server.ca_file), self.prefix, str(self.count), f"pw-{self.prefix}",
                 *(f"{c}@{server.domain}" for c in self.lab.controller_names)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, bufsize=1,
                preexec_fn=dies_with_us)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            word, number = line.split()
            with self._news:
                self._online = int(number)
                if word == "lost":
                    self.lost.append(time.monotonic())
                    self._all = None
                elif word == "all":
                    self._all = time.monotonic()
                self._news.notify_all()

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait_all(self, deadline=60):
        """The moment at which all were online."""
        with self._news:
            if not self._news.wait_for(lambda: self._all, deadline):
                raise TimeoutError(f"{self._online} of {self.count} online after {deadline} s\n"
                                   f"{Path(self.log_file).read_text()[-2000:]}")
            return self._all

    def close(self):
        if self.process:
            self.process.kill()
            self.process.wait()
