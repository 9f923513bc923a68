"""A terminal under `rota`: no target controls it, colours are ours alone, Ctrl-C detaches, lines are prompt."""
import errno
import os
import pty
import re
import select
import signal
import statistics
import struct
import sys
import termios
import time
import unicodedata

import fcntl
import pytest
from lab import Lab, program, wait_for
from promises import Gate, submit

SGR = re.compile(rb"\x1b\[[0-9;]*m")

HOSTILE = {
    "escape": b"\x1b[2J\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b]52;c;aGk=\x07\x1bP1$r\x1b\\\x1bc\x1b[6n",
    "c1": b"\x9b2J \xc2\x9b2J \xc2\x9d0;t\xc2\x9c \xc2\x90q\xc2\x9c \xc2\x85",
    "control": bytes(range(0x20)) + b"\x7f",
    "cursor": b"\x1b[A\x1b[10;10H\x1b[?1049h\x1b7\x1b8\x1bM\x1b[5i\x1b[?1000h\x1b[20t",
    "cut": b"half an escape at the end \x1b[",
    "utf8": b"\xff\xfe \xc0\xaf \xed\xa0\x80 \xf5\x80\x80\x80 \xe2\x82 \xc3",
    "direction": "\u202egnp.exe \u2066x\u2069 \u200e\u061c \u2028 \u2029".encode(),
    "string": b"\x1b_Gdata\x1b\\ \x1b^pm\x1b\\ \x1bX sos \x1b\\ \x1b]8;;http://x\x07link\x1b]8;;\x07",
}
UNSAFE = {chr(c) for c in range(0x80, 0xa0)} | set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067"
                                                   "\u2068\u2069\u2028\u2029")


def assert_harmless(data, colours=False):
    """Text, line ends and, when asked for, our own colours: nothing that a terminal would obey."""
    if colours:
        data = SGR.sub(b"", data)
    bad = set(data) & (set(range(0x20)) - set(b"\r\n\t\b") | {0x7f})
    assert not bad, (bad, data[:2000])
    text = data.decode()    # raises unless it is UTF-8
    assert not UNSAFE & set(text), (UNSAFE & set(text), text[:2000])


class Screen:
    """`rota ARGS` on a terminal of its own."""

    def __init__(self, lab, *args, columns=100, env=None):
        self.data = b""
        self.stamps = []      # (monotonic realtime of the read, bytes so far)
        full = {**lab.environment(), "TERM": "xterm", **(env or {})}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
                os.execve(program("rota"), ["rota", *map(str, args)], full)
            finally:
                os._exit(127)

    def read(self, deadline):
        """More output: False at the end of it, None when there was none in time."""
        if not select.select([self.fd], [], [], max(0, deadline))[0]:
            return None
        try:
            data = os.read(self.fd, 65536)
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            data = b""
        self.data += data
        self.stamps.append((time.time(), len(self.data)))
        return bool(data)

    def until(self, what, deadline=15):
        end = time.monotonic() + deadline
        while what not in self.data:
            more = self.read(end - time.monotonic())
            assert more, f"{what!r} did not come; {self.data[-2000:]!r}"

    def type(self, data):
        os.write(self.fd, data)

    def end(self, deadline=20):
        """Reads to the end; the exit status."""
        end = time.monotonic() + deadline
        while (more := self.read(end - time.monotonic())):
            pass
        assert more is False, f"it does not end; {self.data[-2000:]!r}"
        _, status = os.waitpid(self.pid, 0)
        self.pid = None
        return os.waitstatus_to_exitcode(status)

    def close(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)


@pytest.fixture
def screen(lab):
    made = []

    def make(*args, **kw):
        made.append(Screen(lab, *args, **kw))
        return made[-1]
    yield make
    for s in made:
        s.close()


@pytest.fixture(scope="module")
def lab():
    with Lab("prosody", pcs=("pc1", "pc2"), accounts=("mallory",)) as lab:
        lab.start()
        yield lab


@pytest.fixture(scope="module")
def hostile(lab):
    """A file with everything above."""
    path = lab.path / "hostile"
    path.write_bytes(b"".join(b"<" + k.encode() + b">" + v + b"\n" for k, v in HOSTILE.items()))
    return path


def test_run_shows_no_control_sequence(lab, screen, hostile):
    s = screen("run", "--no-pty", "pc1", "--", "cat", hostile)
    assert s.end() == 0
    assert_harmless(s.data)
    for name in HOSTILE:
        assert b"<" + name.encode() + b">" in s.data
    # what was there is visible, not swallowed
    assert b"\\x1b" in s.data and "\ufffd".encode() in s.data and b"red" in s.data


def test_several_targets_with_our_own_colours(lab, screen, hostile):
    s = screen("run", "--no-pty", "pc*", "--", "cat", hostile, env={"NO_COLOR": ""})
    assert s.end() == 0
    assert SGR.search(s.data), "the names have colours"
    assert_harmless(s.data, colours=True)
    # nothing of the targets' own colours is among them: after every name the colour ends
    for line in s.data.splitlines():
        assert line.count(b"\x1b[") in (0, 2) or b"VERDICT" in line or b"passed" in line, line


@pytest.mark.parametrize("verb", [["log"], ["log", "-f"], ["watch"], ["show"]])
def test_other_verbs(lab, screen, hostile, verb):
    run = submit(lab, "pc1", "cat", str(hostile), options=["--no-pty", "--name", "a\u009b2Jb\u202ec"])
    lab.wait_run(run)
    s = screen(*verb, run)
    assert s.end() == 0
    assert_harmless(s.data)
    exact = lab.rota("log", run)
    assert exact.raw == hostile.read_bytes(), "to a pipe the bytes are exact"
    assert lab.rota("log", "--raw", run).raw == hostile.read_bytes()


def test_raw_is_what_the_person_asked_for(lab, screen, hostile):
    run = submit(lab, "pc1", "cat", str(hostile), options=["--no-pty"])
    lab.wait_run(run)
    s = screen("log", "--raw", run)
    assert s.end() == 0
    assert HOSTILE["cursor"] in s.data


def test_random_bytes(lab, screen):
    s = screen("run", "--no-pty", "pc1", "--", "head", "-c", "200000", "/dev/urandom")
    assert s.end() == 0
    assert_harmless(s.data)


def test_facts_of_a_hostile_target(lab, screen):
    """Names, places, labels and refusals are a target's words too."""
    from peer import Peer
    evil = "&#x9b;2J&#x202e;&#xfffd;&#x85;"
    with Peer(lab.server, "mallory", resource="target", presence=False) as mallory:
        mallory.send("<presence to='ctl@lab.test' type='subscribe'/>")
        mallory.send("<presence to='ctl@lab.test' type='subscribed'/>")
        mallory.send(
            f"<presence><show>dnd</show><status>{evil}</status>"
            f"<x xmlns='urn:rota:presence:1' role='target' state='busy' boot='b{evil}' sid='s1' "
            f"queue='1' version='1{evil}'><name>n{evil}</name><location>l{evil}</location>"
            f"<run id='r1' step='1' of='2' owner='o{evil}@x' by='b{evil}' title='t{evil}'/>"
            f"<label name='k' value='v{evil}'/></x></presence>")
        wait_for(lambda: "mallory" in lab.ls() and lab.ls()["mallory"]["state"] == "busy" or None,
                 what="the hostile target is listed")
        for args in (["ls"], ["why", "mallory"], ["doctor"], ["ls", "l*"], ["ping", "mallory"]):
            s = screen(*args)
            s.end()
            assert_harmless(s.data)
            assert b"mallory" in s.data or args[1:] == ["l*"], (args, s.data)
        s = screen("ls", "--watch")
        s.until(b"mallory")
        s.type(b"\x03")
        assert s.end() == 0
        assert_harmless(s.data.replace(b"\x1b[H", b"").replace(b"\x1b[2J", b"")
                        .replace(b"\x1b[K", b"").replace(b"\x1b[J", b""))
        # a refusal's text
        run = submit(lab, "mallory", "true")
        mallory.send(f"<message to='ctl@lab.test'><refused xmlns='urn:rota:run:1' run='{run}' "
                     f"why='busy'>no{evil}</refused></message>")
        lab.wait_run(run)
        for args in (["show", run], ["runs"], ["watch", run]):
            s = screen(*args, columns=400)
            s.end()
            assert_harmless(s.data)
            assert b"refused it" in s.data, (args, s.data)


def test_a_watched_list_fits_a_narrow_terminal(lab, screen):
    """It is painted again when something changes, and no line is longer than the terminal is wide."""
    s = screen("ls", "--watch", columns=24)
    s.until(b"pc1")
    run = submit(lab, "pc1", "sh", "-c", "sleep 0.5")
    s.until(b"busy")
    lab.wait_run(run)
    s.type(b"\x03")
    assert s.end() == 0
    text = re.sub(rb"\x1b\[[0-9;]*[A-Za-z]", b"", s.data).decode()
    table = [line for line in text.replace("^C", "").splitlines() if line.strip()]
    assert table and max(map(len, table)) <= 24, table


def test_arguments_come_back_harmless(lab, screen):
    """What is typed is shown in errors: a pasted escape sequence is not obeyed either."""
    for args in (["\x1b[2J"], ["ls", "\x1b[2J\x9b"], ["show", "\x1b[2J"], ["ls", "--\x1b[2J"],
                 ["run", "pc1", "\x1b[2J"], ["run", "pc1", "selftest", "\x1b[2J=1"]):
        s = screen(*args)
        assert s.end() in (2, 5)
        assert_harmless(s.data)


# colours

@pytest.mark.parametrize("env, coloured", [
    ({"NO_COLOR": ""}, True),
    ({"NO_COLOR": "1"}, False),
    ({"NO_COLOR": "", "TERM": "dumb"}, False),
    ({"NO_COLOR": "", "TERM": ""}, False),
])
def test_colours(lab, screen, env, coloured):
    for args in (["ls"], ["doctor"], ["ping", "pc1"]):
        s = screen(*args, env=env)
        assert s.end() == 0
        assert (b"\x1b[" in s.data) == coloured, (args, s.data)
        assert_harmless(s.data, colours=coloured)


def test_no_colours_without_a_terminal(lab):
    env = {"NO_COLOR": "", "TERM": "xterm"}
    for args in (["ls"], ["doctor"], ["runs"], ["why", "pc1"], ["run", "pc*", "--", "true"]):
        result = lab.rota(*args, env=env)
        assert result.code == 0 and b"\x1b" not in result.raw and "\x1b" not in result.err, result


def test_tables_fit_the_terminal(lab, screen):
    for columns in (40, 80, 132):
        s = screen("ls", columns=columns)
        assert s.end() == 0
        assert max(map(len, s.data.decode().splitlines())) <= columns, s.data.decode()


# Ctrl-C

def test_ctrl_c_detaches(lab, screen):
    gate = Gate(lab, "detach")
    s = screen("run", "pc1", "--", *gate.command())
    s.until(b"on\r\n")
    s.type(b"\x03")
    assert s.end(5) == 130
    said = s.data.decode()
    assert "the run goes on" in said, said
    run = re.search(r"rota watch (\w+)", said).group(1)
    assert lab.rota("show", "--json", run).json()["state"] == "running"
    again = screen("watch", run)
    again.until(b"on\r\n")
    gate.open()
    assert again.end() == 0
    assert b"off" in again.data
    assert lab.wait_run(run)["verdict"] == "passed"


def test_hang_up_detaches_too(lab, screen):
    """The terminal is closed: the command ends, the run does not."""
    gate = Gate(lab, "hangup")
    s = screen("run", "--name", "hang up", "pc1", "--", *gate.command())
    s.until(b"on\r\n")
    run = lab.rota("runs", "--json", "-n", "1").json()[0]["run"]
    os.close(s.fd)
    wait_for(lambda: os.waitpid(s.pid, os.WNOHANG)[0])
    s.pid, s.fd = None, os.open("/dev/null", os.O_RDONLY)
    assert lab.rota("show", "--json", run).json()["state"] == "running"
    gate.open()
    assert lab.wait_run(run)["verdict"] == "passed"


# what is written is seen

def test_open_line_is_shown(lab, screen):
    gate = Gate(lab, "open")
    s = screen("run", "pc1", "--", "sh", "-c", f"printf 'password? '; {gate.wait_text}; echo thanks")
    s.until(b"password? ", 5)
    gate.open()
    assert s.end() == 0
    assert b"thanks" in s.data


def test_progress_display(lab, screen):
    """Carriage returns: each state paints over the last one, and the end is what stays."""
    script = lab.path / "progress.py"
    script.write_text("import time\nfor i in range(0, 101, 10):\n"
                      "    print(f'\\r{i:3}% done', end='', flush=True); time.sleep(0.02)\nprint()\n")
    s = screen("run", "pc1", "--", sys.executable, script)
    assert s.end() == 0
    assert_harmless(s.data)
    assert b"100% done" in s.data
    last = s.data.decode().replace("\r\n", "\n").split("\n")[0].split("\r")[-1]
    assert last.strip() == "100% done", s.data


def test_wide_and_combining_characters(lab, screen):
    text = "größe 漢字 e\u0301 🙂 ok"
    s = screen("run", "--no-pty", "pc1", "--", "printf", "%s\\n", text)
    assert s.end() == 0
    assert unicodedata.normalize("NFC", text) in unicodedata.normalize("NFC", s.data.decode())


def latencies(s):
    """For each line that is a realtime stamp: how long after it the terminal had it, in seconds."""
    found, at, stamps = [], 0, iter(s.stamps)
    seen, size = next(stamps)
    for line in s.data.split(b"\n"):
        at += len(line) + 1
        while size < at and (more := next(stamps, None)):
            seen, size = more
        words = line.strip().split()
        if words and re.fullmatch(rb"\d{10}\.\d{6,9}", words[-1]):
            found.append(seen - float(words[-1]))
    return found


@pytest.mark.parametrize("selector, every", [("pc1", 0.005), ("pc*", 0.01)])
def test_a_line_is_on_the_terminal_at_once(lab, screen, selector, every):
    """100 ms as a rule and 300 ms at worst (p99) after it was written, while others are written."""
    code = ("import time\n"
            f"for _ in range(400):\n    print(f'{{time.time():.9f}}'); time.sleep({every})")
    s = screen("run", selector, "--", sys.executable, "-c", code)
    assert s.end(60) == 0
    took = sorted(latencies(s))
    assert len(took) == 400 * (1 if selector == "pc1" else 2), s.data[-2000:]
    p99 = took[len(took) * 99 // 100]
    print(f"{selector}: p50 {statistics.median(took) * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms")
    assert took[0] > 0
    assert statistics.median(took) < 0.1 and p99 < 0.3
