"""Queued means queued: a run for a busy or absent machine waits, says why, and happens once."""
import json

import pytest

from lab import Lab, wait_for
from promises import EVERYBODY, INDY, Gate, Mark, output, row, submit
from stand_in import StandIn, exec_step


@pytest.fixture(scope="module")
def place(kind):
    """ctl is admin, ops may run catalogued diagnostics; pc2 is the one that is switched off and on."""
    with Lab(kind, pcs=["pc1", "pc2"], controllers=["ctl", "ops"], accounts=[INDY, "eve"],
             pc_config={"controllers": {"ctl@lab.test": "admin", "ops@lab.test": "run",
                                        **EVERYBODY}}) as lab:
        lab.start()
        yield lab


@pytest.fixture
def gate(place, request):
    """Open at the end of the test, come what may: the next one wants an idle target."""
    gate = Gate(place, request.node.originalname)
    yield gate
    gate.open()
    place.wait_ready("pc1")


@pytest.fixture
def absent(place):
    """pc2, switched off and known to be; on again after the test."""
    pc = place.pc("pc2")
    place.wait_ready("pc2")
    pc.off()
    place.wait_state("pc2", "offline")
    yield pc
    pc.on()
    place.controller().running() or place.controller().start()
    place.wait_ready("pc2")


def settled(lab, target="pc2"):
    """One more run there, from submission to its end: whatever was to come before has come."""
    run = submit(lab, target, "true")
    assert lab.wait_run(run)["verdict"] == "passed"


def at_the_server(lab):
    """All that the controller has sent before is with the server: it answers on one stream, in order."""
    result = lab.rota("ping", "pc1")
    assert result.code == 0, result


def read_until(stream, *words):
    """Lines of a client's talk up to one with all of @words."""
    text = ""
    for line in iter(stream.readline, b""):
        text += line.decode()
        if all(word in line.decode() for word in words):
            return text
    raise AssertionError(f"{words} not in {text!r}")


# absent

def test_a_run_for_an_absent_target_says_so_waits_and_happens_once(place, absent):
    mark = Mark(place, "absent")
    client = place.popen("run", "pc2", "--", *mark.command("echo done"))
    read_until(client.stderr, "pc2", "offline", "starts when it returns")
    assert mark.times() == 0
    absent.on()
    out, err = client.communicate(timeout=30)
    assert (client.returncode, out) == (0, b"done\n"), err
    settled(place)
    assert mark.times() == 1


def test_the_server_keeps_it_while_the_controller_is_away(place, absent):
    mark = Mark(place, "stored")
    run = submit(place, "pc2", *mark.command("echo done"))
    wait_for(lambda: row(place, run)["state"] == "sent", what="handed to the server")
    at_the_server(place)
    assert place.controller().stop() == 0
    absent.on()
    mark.wait()
    place.controller().start()
    assert place.wait_run(run)["verdict"] == "passed"
    assert output(place, run) == b"done\n"
    settled(place)
    assert mark.times() == 1


def test_a_controller_killed_before_it_sent_anything_sends_it_later(place, absent):
    """The request is durable when it is answered."""
    mark = Mark(place, "killed")
    run = submit(place, "pc2", *mark.command("echo done"))
    place.controller().kill()
    place.controller().start()
    wait_for(lambda: place.ls().get("pc2", {}).get("state") == "offline", 20)
    assert row(place, run)["state"] in ("pending", "sent")
    absent.on()
    assert place.wait_run(run)["verdict"] == "passed"
    settled(place)
    assert mark.times() == 1


def test_time_to_live_while_absent(place, absent):
    """Over is over: it does not happen when the target returns, whatever a server has kept."""
    mark, before = Mark(place, "expired"), submit(place, "pc2", "true")
    wait_for(lambda: row(place, before)["state"] == "sent", what="handed to the server")
    client = place.popen("run", "--ttl", "1s", "pc2", "--", *mark.command())
    out, err = client.communicate(timeout=20)
    assert client.returncode == 7, err
    assert b"time to live" in err
    run = place.rota("runs", "--json", "-n", "1").json()[0]["run"]
    absent.on()
    place.wait_ready("pc2")
    settled(place)
    assert mark.times() == 0
    assert row(place, run)["verdict"] == "not-run"
    assert row(place, before)["verdict"] == "passed"


def test_time_to_live_that_suffices(place, absent):
    mark = Mark(place, "in-time")
    run = submit(place, "pc2", *mark.command(), options=["--ttl", "1h"])
    absent.on()
    assert place.wait_run(run)["verdict"] == "passed"
    settled(place)
    assert mark.times() == 1


def test_cancelled_while_absent(place, absent):
    mark = Mark(place, "cancelled")
    run = submit(place, "pc2", *mark.command())
    wait_for(lambda: row(place, run)["state"] == "sent", what="handed to the server")
    assert place.rota("cancel", run).code == 0
    absent.on()
    assert place.wait_run(run)["verdict"] == "cancelled"
    settled(place)
    assert mark.times() == 0


def test_if_idle_and_absent(place, absent):
    mark = Mark(place, "if-idle-absent")
    result = place.rota("run", "--if-idle", "pc2", "--", *mark.command(), timeout=10)
    assert result.code == 3, result
    assert "offline" in result.err and "--if-idle" in result.err
    absent.on()
    place.wait_ready("pc2")
    settled(place)
    assert mark.times() == 0


# busy

def test_busy_means_queued_in_order_and_says_why(place, gate):
    mark = Mark(place, "order")
    first = submit(place, "pc1", *gate.command())
    place.wait_run(first, "running")
    client = place.popen("run", "pc1", "--", *mark.command("echo second"))
    read_until(client.stderr, "pc1", "1 run ahead")
    third = submit(place, "pc1", "cat", mark.path)
    place.wait_run(third, "queued")
    assert "2 runs ahead" in row(place, third)["note"]
    assert place.ls()["pc1"]["queue"] == 2
    assert mark.times() == 0
    gate.open()
    out, err = client.communicate(timeout=30)
    assert (client.returncode, out) == (0, b"second\n"), err
    place.wait_run(third)
    assert output(place, third) == b"ran\n"
    assert output(place, first) == b"on\noff\n"


def test_if_idle_and_busy(place, gate):
    mark = Mark(place, "if-idle")
    first = submit(place, "pc1", *gate.command())
    place.wait_run(first, "running")
    result = place.rota("run", "--if-idle", "pc1", "--", *mark.command())
    assert result.code == 6, result
    assert first in result.err and "ctl@lab.test" in result.err
    gate.open()
    place.wait_run(first)
    settled(place, "pc1")
    assert mark.times() == 0
    assert place.rota("run", "--if-idle", "pc1", "--", *mark.command()).code == 0


def test_cancel_queued_and_running(place, gate):
    mark = Mark(place, "cancel")
    client = place.popen("run", "pc1", "--", *gate.command())
    assert client.stdout.readline() == b"on\n"
    queued = submit(place, "pc1", *mark.command())
    place.wait_run(queued, "queued")
    assert place.rota("cancel", queued).code == 0
    assert place.wait_run(queued)["verdict"] == "cancelled"
    running = next(r["run"] for r in place.rota("runs", "--json", "--state", "running").json())
    assert place.rota("cancel", running).code == 0
    out, err = client.communicate(timeout=30)
    assert client.returncode == 8, err
    assert place.wait_run(running)["verdict"] == "cancelled"
    assert output(place, running) == b"on\n"
    place.wait_ready("pc1")
    settled(place, "pc1")
    assert mark.times() == 0
    # nothing of it is left: the shell waited for a gate that never opened
    assert not [p for p in place.pc("pc1").descendants() if gate.path.name.encode() in cmdline(p)]


def cmdline(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as f:
            return f.read()
    except OSError:
        return b""


def test_time_to_live_in_the_queue(place, gate):
    mark = Mark(place, "ttl")
    first = submit(place, "pc1", *gate.command())
    place.wait_run(first, "running")
    result = place.rota("run", "--ttl", "1s", "pc1", "--", *mark.command())
    assert result.code == 7, result
    assert "time to live" in result.err
    gate.open()
    settled(place, "pc1")
    assert mark.times() == 0


# refused

def test_refused_with_the_reason(place):
    mark = Mark(place, "refused")
    result = place.rota("run", "pc1", "--", *mark.command(), controller="ops")
    assert result.code == 4, result
    assert "a free command" in result.err and "needs the role admin" in result.err
    assert place.rota("run", "pc1", "selftest", controller="ops").code == 0
    run = submit(place, "pc1", *mark.command(), controller="ops")
    refused = place.wait_run(run, controller="ops")
    assert (refused["verdict"], refused["state"]) == ("not-run", "ended")
    assert "not-allowed" in refused["cause"]
    assert mark.times() == 0


def test_a_refusal_may_quote_more_than_fits(place):
    pid = place.pc("pc1").target_pid()
    with StandIn(place.server, INDY) as indy:
        indy.follow("pc1")
        for plan in ('{"steps":[{"diag":"%s"}]}' % ("ü" * 2000), '{"%s": 1}' % ("&" * 5000),
                     json.dumps({"steps": [{"diag": "selftest", "params": {"\x01" * 60: "<" * 900}}]})):
            run, reason, text = indy.refusal(indy.submit(plan))
            assert reason == "invalid" and len(text.encode()) <= 1024
    assert place.pc("pc1").target_pid() == pid


def test_what_others_run_is_not_theirs_to_cancel(place, gate):
    run = submit(place, "pc1", *gate.command())
    place.wait_run(run, "running")
    with StandIn(place.server, "eve") as eve:
        eve.follow("pc1")
        eve.cancel(run)
        assert eve.refusal(run)[1] == "not-allowed"
    gate.open()
    assert place.wait_run(run)["verdict"] == "passed"


# an independent client

def test_the_same_id_three_times_runs_once(place):
    mark = Mark(place, "thrice")
    plan = {"steps": [exec_step(*mark.command("echo done"))]}
    with StandIn(place.server, INDY) as indy:
        indy.follow("pc1")
        run = indy.submit(plan)
        for _ in range(2):
            indy.submit(plan, run)
        assert indy.output(run) == b"done\n"
        indy.submit(plan, run)  # and once more when it is over
        assert indy.output(indy.exec("cat", str(mark.path))) == b"ran\n"
        assert [e["ev"] for e in indy.events(run)] == ["accepted", "started", "stepped", "ended"]
        assert not indy.refused  # it is answered with what is, not with a no
        indy.done(run)


def test_the_same_id_three_times_through_the_servers_store(place, absent):
    """Delivered late and in a heap, again by a client that has forgotten, and after kill -9."""
    mark = Mark(place, "stored-thrice")
    plan = {"steps": [exec_step(*mark.command("echo done"))]}
    with StandIn(place.server, INDY) as indy:
        indy.target = "pc2@lab.test"
        indy.subscribe(indy.target)
        run = indy.submit(plan)
        indy.submit(plan, run)
        indy.submit(plan, run)
        absent.on()
        old = indy.sid()
        indy.sync()
        assert indy.output(run) == b"done\n"
        absent.kill_target()
        indy.back(old)
        indy.submit(plan, run)
        assert indy.output(indy.exec("cat", str(mark.path))) == b"ran\n"
        assert not indy.refused
    assert mark.times() == 1


def test_a_time_to_live_does_not_pass_in_a_servers_store(place, absent):
    """Nobody knows how long it lay there: the sender says it again, with what is left."""
    mark = Mark(place, "ttl-stored")
    plan = {"steps": [exec_step(*mark.command("echo done"))]}
    with StandIn(place.server, INDY) as indy:
        indy.target = "pc2@lab.test"
        indy.subscribe(indy.target)
        late = indy.submit(plan, ttl=3600)
        last = indy.submit({"steps": [exec_step("true")]})
        absent.on()
        indy.sid()
        indy.sync()
        indy.ended(last)
        assert mark.times() == 0
        indy.submit(plan, late, ttl=3600)
        assert indy.output(late) == b"done\n"
    assert mark.times() == 1


def test_output_goes_only_to_the_owner_and_again_from_any_offset(place, gate):
    """sync is absolute: the stream comes again from where the peer says it is."""
    want = b"".join(b"%d\n" % i for i in range(1, 5001))
    with StandIn(place.server, INDY) as indy, StandIn(place.server, "eve") as eve:
        eve.follow("pc1")
        indy.follow("pc1")
        run = indy.exec("sh", "-c", f"seq 1 5000; {gate.wait_text}; echo end")
        assert indy.printed(run, len(want)) == want
        others = []
        for keep in (0, 1, 7777, len(want)):
            part = {(run, "1.out"): bytearray(want[:keep])}
            others.append(StandIn(place.server, INDY, resource=f"from{keep}", streams=part))
            others[-1].follow("pc1")
            assert others[-1].printed(run, len(want)) == want
        gate.open()
        for client in (indy, *others):
            assert client.output(run) == want + b"end\n"
        for client in others:
            client.close()
        assert not eve.streams
