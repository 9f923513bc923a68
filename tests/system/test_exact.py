"""Every byte that a step printed comes back from `rota log --raw`: any bytes, any amount, pty or pipe."""
import hashlib
import os
import pty
import random
import subprocess

import pytest

from lab import Lab, wait_for
from promises import EVERYBODY, INDY, output, row, submit
from stand_in import STREAM, StandIn

MIB = 1 << 20

# Prints so many bytes that nobody can foresee, and says elsewhere what they were.
RANDOM = """
import hashlib, os, sys
h = hashlib.sha256()
for _ in range(int(sys.argv[2]) // 65536):
    block = os.urandom(65536)
    h.update(block)
    sys.stdout.buffer.write(block)
sys.stdout.buffer.flush()
open(sys.argv[1], "w").write(h.hexdigest())
"""


@pytest.fixture(scope="module")
def place(kind):
    with Lab(kind, pcs=["pc1"], accounts=[INDY],
             pc_config={"controllers": {"ctl@lab.test": "admin", **EVERYBODY}}) as lab:
        lab.start()
        yield lab


@pytest.mark.parametrize("how, size", [("pty", 64 * MIB), ("pipe", 16 * MIB)])
def test_noise(place, how, size):
    told = place.path / f"sha256-{how}"
    run = submit(place, "pc1", "/usr/bin/python3", "-c", RANDOM, told, size,
                 options=[] if how == "pty" else ["--no-pty"])
    assert place.wait_run(run)["verdict"] == "passed"
    # as a user would: rota log RUN --raw | sha256sum
    log = place.popen("log", run, "--raw")
    summed = subprocess.run(["sha256sum"], stdin=log.stdout, capture_output=True, text=True,
                            timeout=60, check=True)
    assert log.wait(10) == 0
    assert summed.stdout.split()[0] == told.read_text()
    stream = row(place, run)["streams"]
    assert [s["size"] for s in stream if s["name"] == "1.out"] == [size]


def awkward():
    dice = random.Random(1)
    lines = b"".join(b"%06d pass %d of %d, no errors\n" % (i, i % 7, i) for i in range(100_000))
    return {
        "all byte values": bytes(range(256)) * 64,
        "one line of 10 MB": bytes(dice.choices(range(0x20, 0x7f), k=10_000_000)),
        "invalid UTF-8": b"".join(
            [b"\xff\xfe\xc0\x80 overlong\n", b"\xed\xa0\x80 surrogate\n", b"\xf4\x90\x80\x80 beyond\n",
             b"\xe2\x82 cut\n", b"\x80\xbf alone\n", "Grüße €\n".encode(), b"\xf0\x9f\x92"]),
        "what XML and XMPP forbid": b"\0\x01\x1b[2J\x0b\xef\xbf\xbe\xef\xbf\xbf]]>&lt;</stream:stream>\r\r\n",
        "text that compresses": lines,
        "no newline at the end": b"one\ntwo",
        "nothing at all": b"",
    }


AWKWARD = awkward()


@pytest.mark.parametrize("how", ["pty", "pipe"])
def test_awkward_bytes(place, how):
    """All contents as the steps of one plan each: their streams do not mix either."""
    options = [] if how == "pty" else ["--no-pty"]
    runs = {}
    for i, (name, content) in enumerate(AWKWARD.items()):
        path = place.path / f"content-{how}-{i}"
        path.write_bytes(content)
        runs[name] = submit(place, "pc1", "cat", path, options=options)
    for name, run in runs.items():
        assert place.wait_run(run)["verdict"] == "passed", name
        got = output(place, run)
        assert got == AWKWARD[name], f"{name}: {len(got)} bytes, {got[:80]!r}"


def test_steps_do_not_mix(place):
    plan = place.path / "plan.json"
    plan.write_text('{"steps":[{"exec":["echo","one"]},{"exec":["echo","two"],"pty":false}]}')
    result = place.rota("run", "-d", "pc1", "--plan", plan)
    run = result.out.split()[1]
    assert place.wait_run(run)["verdict"] == "passed"
    assert output(place, run) == b"one\ntwo\n"
    assert place.rota("log", run, "2.out", "--raw").raw == b"two\n"


def test_text_is_compressed_on_the_wire_and_noise_is_not(place):
    (place.path / "text").write_bytes(AWKWARD["text that compresses"])
    (place.path / "noise").write_bytes(os.urandom(MIB))
    with StandIn(place.server, INDY) as indy:
        indy.follow("pc1")
        for name, codec, most in (("text", "zstd", 0.4), ("noise", "raw", 1.4)):
            run = indy.exec("cat", str(place.path / name))
            content = (place.path / name).read_bytes()
            assert indy.output(run) == content
            chunks = [c for s in indy.seen for c in s.findall(f"{{{STREAM}}}chunk")
                      if c.get("run") == run and c.get("stream") == "1.out"]
            assert {c.get("codec") for c in chunks} == {codec}
            assert sum(len(c.text) for c in chunks) < most * len(content)


def on_terminal(lab, *args):
    """What `rota ARGS` writes to a terminal."""
    master, slave = pty.openpty()
    client = lab.popen(*args, stdout=slave, stderr=slave)
    os.close(slave)
    seen = b""
    try:
        while block := os.read(master, 65536):
            seen += block
    except OSError:  # EIO: the other side has closed it
        pass
    os.close(master)
    assert client.wait(20) == 0, seen
    return seen


def test_a_terminal_gets_no_escape_sequence(place):
    evil = b"A\x1b[2J\x1b]0;owned\x07\x9b31mBx\x08\x0e\x7fC\xc2\x9b32mD\x1bPq\x1b\\E\n"
    path = place.path / "evil"
    path.write_bytes(evil)
    shown = on_terminal(place, "run", "pc1", "--", "cat", path)
    run = place.rota("runs", "--json", "-n", "1").json()[0]["run"]
    assert output(place, run) == evil
    for seen in (shown, on_terminal(place, "log", run)):
        text = seen.decode()  # it must be UTF-8, too
        assert not [c for c in text if (ord(c) < 0x20 and c not in "\r\n\t") or 0x7f <= ord(c) < 0xa0]
        assert all(letter in text for letter in "ABCDE")
    # --raw says on a terminal what it says in a pipe
    assert on_terminal(place, "log", run, "--raw").replace(b"\r\n", b"\n") == evil


def test_output_while_it_is_written(place):
    """`rota log -f` in the middle of a stream continues where the bytes end, without a gap."""
    gate = place.path / "gate"
    script = ("for i in $(seq 1 2000); do echo line $i; done; "
              f"while [ ! -e {gate} ]; do sleep 0.02; done; "
              "for i in $(seq 2001 4000); do echo line $i; done")
    run = submit(place, "pc1", "sh", "-c", script)
    want = b"".join(b"line %d\n" % i for i in range(1, 4001))
    first = want[:want.index(b"line 2001\n")]
    wait_for(lambda: output(place, run) == first, what="the first half")
    follower = place.popen("log", "-f", run, "--raw")
    got = os.read(follower.stdout.fileno(), 1)
    gate.touch()
    got += follower.stdout.read()
    assert follower.wait(20) == 0
    assert hashlib.sha256(got).hexdigest() == hashlib.sha256(want).hexdigest()


def test_a_plan_that_no_target_takes_is_refused_at_once(place):
    before = place.rota("runs", "--json").json()
    result = place.rota("run", "-d", "pc1", "--", "echo", *["x" * 4000] * 20)
    assert result.code == 2, result
    assert "64 KiB" in result.err
    assert place.rota("runs", "--json").json() == before
