"""What a fleet costs: one controller, and a crowd of light targets at a real server.

    with Scale("prosody", 1000) as s:
        print(s.login(), s.ls(), s.ping(), s.memory())

Nothing here knows pytest: tests/bench/scale uses it.
"""
import threading
import time
from pathlib import Path

from crowd import Crowd
from lab import Lab, wait_for


class Scale:
    def __init__(self, kind, count):
        self.count = count
        self.lab = Lab(kind, pcs=())
        try:
            self.crowd = Crowd(self.lab, count)
            self.crowd.start()
            self.crowd.wait_all(60 + count / 10)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if hasattr(self, "crowd"):
            self.crowd.close()
        self.lab.close()

    def _ready(self):
        return sum(t["state"] == "ready" for t in self.lab.ls().values()) == self.count

    def login(self):
        """Seconds from the start of the controller's process until `rota ls` shows all of them ready."""
        controller = self.lab.controller()
        controller.stop()
        began = time.monotonic()
        controller.start()
        wait_for(lambda: Path(controller.socket).exists())
        wait_for(self._ready, 60, what=f"{self.count} ready")
        return time.monotonic() - began

    def _command(self, *words):
        began = time.monotonic()
        result = self.lab.rota(*words)
        took = time.monotonic() - began
        assert result.code == 0, result
        return took, result

    def ls(self, times=9):
        """Seconds of `rota ls`, the median."""
        return sorted(self._command("ls")[0] for _ in range(times))[times // 2]

    def ping(self, times=5):
        """Seconds of `rota ping '*'`, the median; all must answer."""
        took = []
        for _ in range(times):
            seconds, result = self._command("ping", "--json", "*")
            answers = result.json()
            assert len(answers) == self.count and all(a["ok"] for a in answers)
            took.append(seconds)
        return sorted(took)[times // 2]

    def memory(self):
        """Bytes of the controller, as though it shared nothing."""
        pid = self.lab.controller().process.pid
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    def idle(self, seconds=20):
        """The share of a processor that the controller takes while nothing happens."""
        pid = self.lab.controller().process.pid

        def ticks():
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
        before = ticks()
        threading.Event().wait(seconds)     # the measurement itself
        return (ticks() - before) / 100 / seconds
