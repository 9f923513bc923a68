"""The disk budget of a run does what it says, to the byte: it waits for room, or head and tail are kept."""
import hashlib
import json
import os
import signal

import pytest

from lab import Lab, wait_for
from promises import output, row, submit
from test_step import alive, both, step  # noqa: F401  (step is a fixture)

KIB = 1024
MIB = 1 << 20


def numbered(size):
    """Lines that say where they are: a byte that is lost or doubled shows."""
    return b"".join(b"%07d\n" % i for i in range(size // 8 + 1))[:size]


def beyond(tail):
    return b"[rota: the output goes on beyond its disk budget; at most its last %d bytes follow at its end]\n" % tail


def head_and_tail(data, budget):
    """What is to become of @data."""
    tail = min(budget // 2, 64 * MIB)
    head = budget - tail
    if len(data) <= head:
        return data, 0
    kept = data[head:][-tail:]
    dropped = len(data) - head - len(kept)
    mark = (b"" if data[:head].endswith(b"\n") else b"\n") + beyond(tail)
    return data[:head] + mark + b"[rota: %d bytes are left out here]\n" % dropped + kept, dropped


# rota-step by itself

@both
@pytest.mark.parametrize("size", [32 * KIB, 32 * KIB + 1, 64 * KIB, 64 * KIB + 1, 3 * MIB + 5])
def test_head_and_tail(step, pty, size):  # noqa: F811
    data = numbered(size)
    step.file("in").write_bytes(data)
    e = step.run(["cat", str(step.file("in"))], pty=pty, budget=64 * KIB, over="head+tail")
    want, dropped = head_and_tail(data, 64 * KIB)
    assert e["exit"] == 0 and "cause" not in e
    assert e.get("dropped", 0) == dropped
    assert step.output() == want
    assert not step.file("tail").exists()


def test_a_hole_is_said_while_the_step_is_on(step):  # noqa: F811
    """Whoever looks on learns at once that there is more, and that it comes later."""
    step.start(["sh", "-c", "seq -w 0 9999; echo end; while [ ! -e go ]; do sleep 0.02; done"],
               budget=16 * KIB, over="head+tail")
    step.said(beyond(8 * KIB))
    seen = step.output()
    assert len(seen) < 9 * KIB
    # what the disk has to hold is the budget and our two lines
    wait_for(lambda: step.file("tail").stat().st_size == 8 * KIB)
    (step.path / "go").touch()
    assert step.wait() == 0
    data = "".join(f"{i:04d}\n" for i in range(10000)).encode() + b"end\n"
    assert step.output() == head_and_tail(data, 16 * KIB)[0]
    assert step.output().startswith(seen)
    step.exit()


def test_a_cancel_keeps_the_tail(step):  # noqa: F811
    step.start(["sh", "-c", "trap 'echo sorry; exit 7' TERM; seq 1 100000; echo up; while :; do sleep 0.02; done"],
               budget=16 * KIB, over="head+tail")
    step.said(beyond(8 * KIB))
    wait_for(lambda: b"up\n" in step.file("tail").read_bytes())
    step.file("kill").touch()
    assert step.wait() == 0
    e = step.exit()
    assert e["cause"] == "cancelled" and e["exit"] == 7 and e["dropped"] > 500000
    assert b"\n100000\nup\n" in step.output() and step.output().endswith(b"sorry\n")


def test_a_killed_rota_step_leaves_the_mark_and_the_tail(step):  # noqa: F811
    step.start(["sh", "-c", "seq -w 0 999; sleep 60"], budget=4 * KIB, over="head+tail", pty=False)
    step.said(beyond(2 * KIB))
    wait_for(lambda: b"0999\n" in step.file("tail").read_bytes() or b"999\n" in step.file("tail").read_bytes())
    step.process.kill()
    step.process.wait()
    assert step.output().endswith(beyond(2 * KIB))


@both
def test_exactly_the_budget_is_no_reason_to_wait(step, pty):  # noqa: F811
    data = numbered(64 * KIB)
    step.file("in").write_bytes(data)
    e = step.run(["cat", str(step.file("in"))], pty=pty, budget=64 * KIB, over="block")
    assert e["exit"] == 0 and step.output() == data


@both
@pytest.mark.parametrize("size", [64 * KIB + 1, MIB])
def test_waits_for_room_and_goes_on(step, pty, size):  # noqa: F811
    """Held at the byte, silence does not count, and it goes on where it was when the daemon makes room."""
    data = numbered(size)
    step.file("in").write_bytes(data)
    step.start(["cat", str(step.file("in"))], pty=pty, budget=64 * KIB, over="block", silence=300000)
    wait_for(step.file("held").exists)
    assert step.output() == data[:64 * KIB]
    with pytest.raises(TimeoutError):
        wait_for(lambda: step.process.poll() is not None, 0.6)
    step.file("room").write_text("65537\n")
    wait_for(lambda: len(step.output()) == 65537)
    step.file("room").write_text("100000000\n")
    assert step.wait() == 0
    e = step.exit()
    assert e["exit"] == 0 and "cause" not in e and "dropped" not in e
    assert step.output() == data
    assert not step.file("held").exists()


@pytest.mark.parametrize("limits,said", [
    ({"hold": 400000}, "its output filled its disk budget of 4 KiB and waited for room for 400 ms"),
    ({"timeout": 400000}, "its output filled its disk budget of 4 KiB and waited for room until its time limit of 400 ms"),
])
def test_waiting_ends(step, limits, said):  # noqa: F811
    """And then everything that it still says is counted."""
    script = "trap 'seq 1 1000; exit 3' TERM; seq 1 1000000 & wait; echo never"
    e = step.run(["bash", "-c", script], budget=4 * KIB, over="block", pty=False, **limits)
    assert e["cause"] == "budget" and e["exit"] == 3, e
    assert said in e["text"] and f"the last {e['dropped']} bytes it printed are dropped" in e["text"]
    data = "".join(f"{i}\n" for i in range(1, 100001)).encode()
    assert step.output() == data[:4 * KIB]
    assert e["dropped"] >= 3893 + 65536  # what the trap printed, and what was in the pipe


def test_what_is_dropped_is_counted_to_the_byte(step):  # noqa: F811
    """All of it fits into the pipe, so the program ends well; its output does not."""
    data = "".join(f"{i}\n" for i in range(1, 100001)).encode()
    e = step.run(["seq", "1", "100000"], budget=4 * KIB, over="block", pty=False, hold=100000)
    assert e["cause"] == "budget" and e["exit"] == 0
    assert step.output() == data[:4 * KIB] and e["dropped"] == len(data) - 4 * KIB


def test_cancelled_while_it_waits(step):  # noqa: F811
    step.start(["yes"], budget=4 * KIB, over="block")
    wait_for(step.file("held").exists)
    step.file("kill").touch()
    assert step.wait(10) == 0
    e = step.exit()
    assert e["cause"] == "cancelled" and e["size"] == 4 * KIB and e["dropped"] > 0
    assert not step.file("held").exists()


def test_ended_and_its_last_bytes_wait(step):  # noqa: F811
    """The program is gone, a few bytes of it are in the pipe: they too are waited for, and a cancel ends that."""
    step.start(["printf", "%s", "x" * 4100], budget=4 * KIB, over="block", pty=False)
    wait_for(step.file("held").exists)
    pid = step.process.pid
    wait_for(lambda: not open(f"/proc/{pid}/task/{pid}/children").read().strip(), what="the program has ended")
    assert alive(pid)
    step.file("kill").touch()
    assert step.wait(10) == 0
    e = step.exit()
    assert e["cause"] == "cancelled" and e["dropped"] == 4 and e["size"] == 4 * KIB


# Through the whole

@pytest.fixture(scope="module")
def place():
    with Lab("prosody", pcs=["pc1"], pc_config={"disk_budget": "1M", "disk_budget_wait": "0"}) as lab:
        lab.start()
        yield lab


def cat(place, data):
    path = place.path / "data"
    path.write_bytes(data)
    return ["cat", str(path)]


def test_head_and_tail_at_the_controller(place):
    data = numbered(5 * MIB)
    want, dropped = head_and_tail(data, 100 * KIB)
    run = submit(place, "pc1", *cat(place, data),
                 options=["--disk-budget", "100k", "--over-budget", "head+tail"])
    ended = place.wait_run(run)
    assert ended["verdict"] == "passed", ended
    assert output(place, run) == want
    assert ended["steps"][0]["streams"] == [{"name": "1.out", "size": len(want), "dropped": dropped,
                                             "sha256": hashlib.sha256(want).hexdigest()}]
    assert f"the step left out {dropped} bytes" in place.rota("show", run).out


def test_the_target_bounds_what_a_plan_may_ask_for(place):
    data = numbered(3 * MIB)
    run = submit(place, "pc1", *cat(place, data),
                 options=["--disk-budget", "1G", "--over-budget", "head+tail"])
    assert place.wait_run(run)["verdict"] == "passed"
    assert output(place, run) == head_and_tail(data, MIB)[0]


def test_the_budget_is_that_of_all_steps(place):
    """What is left of it, but so much that the end of a later step is always seen."""
    data = numbered(80 * KIB)
    plan = place.path / "plan.json"
    plan.write_text(json.dumps({"disk_budget": "100k", "over_budget": "head+tail",
                                "steps": [{"exec": ["head", "-c", "40k", *cat(place, data)[1:]], "pty": False},
                                          {"exec": cat(place, data)}, {"exec": cat(place, data)}]}))
    result = place.rota("run", "-d", "pc1", "--plan", plan)
    assert result.code == 0, result
    run = result.out.split()[1]
    ended = place.wait_run(run)
    assert ended["verdict"] == "passed", ended
    want = [data[:40 * KIB], head_and_tail(data, 64 * KIB)[0], head_and_tail(data, 64 * KIB)[0]]
    for number, text in enumerate(want, 1):
        assert place.rota("log", run, f"{number}.out", "--raw").raw == text, number


def test_a_run_waits_says_so_and_goes_on_when_there_is_room(place):
    """Through a restart of the daemon, and without a word about time."""
    pc = place.pc("pc1")
    data = numbered(3 * MIB)
    run = submit(place, "pc1", *cat(place, data))
    wait_for(lambda: "filled its disk budget" in place.rota("why", "pc1").out, 20)
    wait_for(lambda: output(place, run) == data[:MIB])
    pc.config["disk_budget"] = "2M"
    pc.write_config()
    os.kill(pc.target_pid(), signal.SIGHUP)
    wait_for(lambda: output(place, run) == data[:2 * MIB], 20)
    assert row(place, run)["state"] == "running"
    pc.config["disk_budget"] = "1G"
    pc.write_config()
    pc.kill_target()
    ended = place.wait_run(run)
    assert ended["verdict"] == "passed" and output(place, run) == data, ended
    place.wait_ready("pc1")
    wait_for(lambda: "disk budget" not in place.rota("why", "pc1").out.splitlines()[0])


def test_a_run_that_waits_until_its_time_limit(place):
    run = submit(place, "pc1", "yes", options=["--disk-budget", "64k", "--timeout", "1s"])
    ended = place.wait_run(run)
    step_row = ended["steps"][0]
    assert ended["verdict"] == "failed" and step_row["limit"] == "disk", ended
    assert "filled its disk budget of 64 KiB" in step_row["cause"]
    assert output(place, run) == b"y\n" * 32 * KIB
    assert step_row["streams"][0]["dropped"] > 0


def test_words_that_are_no_budget(place):
    for options, said in ((["--disk-budget", "much"], "is no size"),
                          (["--disk-budget", "1k"], "at least 4096"),
                          (["--over-budget", "drop"], "head+tail")):
        result = place.rota("run", *options, "pc1", "--", "true")
        assert result.code == 2 and said in result.err, result
