"""Equal controllers: every authorised one may list and follow the runs of all, and read them from byte 0."""
import hashlib
import shutil
import time

import pytest

from lab import Controller, Lab, wait_for
from promises import Gate, Mark, output, submit
from stand_in import RUN, STREAM, StandIn, why


@pytest.fixture(scope="module")
def place(kind):
    with Lab(kind, pcs=["pc1"], controllers=["ctl"], accounts=["ida", "ivo", "eve"],
             pc_config={"controllers": {"ctl@lab.test": "admin", "ida@lab.test": "admin",
                                        "ivo@lab.test": "view"}}) as lab:
        lab.start()
        yield lab


@pytest.fixture(name="ida")
def fixture_ida(place):
    with StandIn(place.server, "ida") as client:
        client.follow("pc1")
        yield client


@pytest.fixture(name="ivo")
def fixture_ivo(place):
    with StandIn(place.server, "ivo") as client:
        client.target = "pc1@lab.test"
        client.subscribe(client.target)
        wait_for(client.now)
        yield client


def follow(client, *runs, next_=None):
    haves = "".join(f"<have run='{r}' stream='{s}' next='{n}'/>"
                    for r in runs for s, n in (next_ or {"events": 0}).items())
    answer = client.iq(client.full, "set", f"<follow xmlns='{STREAM}'>{haves}</follow>")
    assert answer.get("type") == "result"
    return {(h.get("run"), h.get("stream")): int(h.get("next"))
            for h in answer.find(f"{{{STREAM}}}following")}


def listed(client, **attributes):
    text = "".join(f" {k}='{v}'" for k, v in attributes.items())
    answer = client.iq(client.full, "get", f"<list xmlns='{RUN}'{text}/>")
    assert answer.get("type") == "result"
    found = answer.find(f"{{{RUN}}}runs")
    return [dict(i.attrib) for i in found], found.get("more") == "true"


def test_an_ended_run_from_byte_0(ida, ivo):
    run = ida.exec("seq", "20000")
    mine = ida.output(run)
    there = follow(ivo, run)
    assert there[run, "1.out"] == len(mine)
    assert ivo.output(run) == mine
    assert ivo.ended(run)["verdict"] == "passed"


def test_live_and_from_the_middle(place, ida, ivo, request):
    gate = Gate(place, request.node.name)
    run = ida.exec("sh", "-c", f"seq 1000; {gate.wait_text}; seq 1000")
    half = len("".join(f"{i}\n" for i in range(1, 1001)))
    ida.printed(run, half)
    # one joins now and gets all; what he has already is not sent again
    ivo.streams[run, "1.out"] = bytearray(ida.streams[run, "1.out"][:100])
    follow(ivo, run, next_={"events": 0, "1.out": 100})
    ivo.printed(run, half)
    gate.open()
    ida.ended(run)
    assert ivo.output(run) == ida.output(run)
    assert hashlib.sha256(ivo.output(run)).digest() == hashlib.sha256(
        "".join(f"{i}\n" for i in range(1, 1001)).encode() * 2).digest()


def test_a_follower_delivers_nothing(place, ida, ivo, request):
    """Who only follows cannot make the target forget what the owner does not have yet."""
    gate = Gate(place, request.node.name)
    run = ida.exec(*gate.command())
    ida.printed(run, 3)
    ida.close()
    follow(ivo, run)
    gate.open()
    whole = ivo.output(run)
    ivo.done(run)
    place.pc("pc1").kill_target()
    with StandIn(place.server, "ida") as again:
        again.follow("pc1")
        assert again.output(run) == whole == b"on\noff\n"


def test_list(ida, ivo):
    runs = [ida.exec("echo", str(i)) for i in range(5)]
    for run in runs:
        ida.ended(run)
    items, more = listed(ivo, limit=3)
    assert [i["id"] for i in items] == runs[:1:-1] and more
    assert items[0]["owner"] == "ida@lab.test" and items[0]["state"] == "ended"
    assert items[0]["verdict"] == "passed" and int(items[0]["ended"]) >= int(items[0]["accepted"])
    items, _ = listed(ivo, limit=2, before=items[-1]["seq"])
    assert [i["id"] for i in items] == runs[1::-1]
    items, more = listed(ivo, id=runs[2][:11])
    assert [i["id"] for i in items] == [runs[2]] and not more


def test_all_of_what_was_delivered(ida):
    """A store that was lost is filled again with what targets still hold."""
    run = ida.exec("echo", "kept")
    assert ida.output(run) == b"kept\n"
    ida.sync(done=[run])
    ida.streams.clear()
    answer = ida.iq(ida.full, "set", f"<sync xmlns='{STREAM}' all='true'/>")
    assert answer.get("type") == "result"
    assert ida.output(run) == b"kept\n"


def test_unknown_runs_and_strangers(place, ida, ivo):
    assert follow(ivo, "nosuchrun") == {}
    with StandIn(place.server, "eve") as eve:
        eve.target = ivo.target
        run = ida.exec("true")
        ida.ended(run)
        answer = eve.iq(eve.full, "set", f"<follow xmlns='{STREAM}'><have run='{run}' "
                        "stream='events' next='0'/></follow>")
        assert answer.get("type") == "error" and why(answer)[0] == "not-allowed"
        answer = eve.iq(eve.full, "get", f"<list xmlns='{RUN}'/>")
        assert answer.get("type") == "error" and why(answer)[0] == "not-allowed"


# through controllers

@pytest.fixture(scope="module")
def equals(kind):
    with Lab(kind, pcs=["pc1", "pc2"], controllers=["ctl", "ops"]) as lab:
        lab.start()
        yield lab


def test_another_controller_shows_the_whole_run(equals, request):
    """kill -9 of the owner in mid-run: the other shows all of it, within two seconds, and goes on to its end."""
    gate = Gate(equals, request.node.name)
    run = submit(equals, "pc1", "sh", "-c", f"seq 100000; {gate.wait_text}; seq 100000")
    whole = "".join(f"{i}\n" for i in range(1, 100001)).encode()
    wait_for(lambda: len(output(equals, run)) == len(whole), 20)
    equals.controller("ctl").kill()
    began = time.monotonic()
    result = equals.rota("log", "--raw", run, controller="ops")
    took = time.monotonic() - began
    assert result.code == 0 and result.raw == whole, result.err
    assert took < 2
    gate.open()
    result = equals.rota("follow", run, controller="ops")
    assert result.code == 0, result.err
    assert output(equals, run, controller="ops") == whole * 2
    row = equals.rota("show", "--json", run, controller="ops").json()
    assert row["owner"] == "ctl@lab.test" and row["verdict"] == "passed"
    # the owner comes back and has it too
    equals.controller("ctl").start()
    assert equals.wait_run(run)["verdict"] == "passed"
    assert output(equals, run) == whole * 2
    assert equals.rota("show", "--json", run).json()["owner"] is None


def test_follow_by_target_and_list(equals, request):
    gate = Gate(equals, request.node.name)
    run = submit(equals, "pc2", *gate.command())
    equals.wait_state("pc2", "busy", controller="ops")
    follower = equals.popen("follow", "pc2", controller="ops")
    wait_for(lambda: equals.rota("runs", controller="ops", timeout=20).out.count(run))
    result = equals.rota("runs", "--on", "pc*", controller="ops")
    assert result.code == 0 and run in result.out and "running" in result.out, result
    gate.open()
    out, err = follower.communicate(timeout=20)
    assert follower.returncode == 0 and b"on" in out and b"off" in out, err
    result = equals.rota("follow", "pc2", controller="ops")
    assert result.code == 2 and "rota runs --on pc2" in result.err, result
    (item,) = [r for r in equals.rota("runs", "--on", "pc2", "--json", controller="ops").json()
               if r["run"] == run]
    assert item["state"] == "ended" and item["verdict"] == "passed" and item["owner"] == "ctl@lab.test"


def test_unknown_anywhere(equals):
    result = equals.rota("log", "nosuchrun", controller="ops")
    assert result.code == 2 and "nor on any target" in result.err, result


def test_a_lost_store_is_filled_again(equals):
    runs = [submit(equals, "pc1", "echo", str(i)) for i in range(3)]
    for run in runs:
        equals.wait_run(run)
    # so that all of them are delivered, and their target need not offer them again
    before = [output(equals, run) for run in runs]
    ctl = equals.controller("ctl")
    ctl.kill()
    shutil.rmtree(ctl.config["state_dir"])
    ctl.start()
    equals.wait_ready()
    for run, text in zip(runs, before):
        assert equals.wait_run(run)["verdict"] == "passed"
        assert output(equals, run) == text


def test_two_instances_of_one_account(equals, request):
    """The same JID with two resources and two stores: both see every run of the account, each once."""
    twin = Controller(equals, "twin")
    twin.config.update(jid="ctl@lab.test", password_file=str(equals.controller("ctl").path / "password"))
    equals.controllers["twin"] = twin
    try:
        twin.start()
        equals.wait_ready(controller="twin")
        run = submit(equals, "pc1", "echo", "one")
        assert equals.wait_run(run)["verdict"] == "passed"
        assert equals.wait_run(run, controller="twin")["verdict"] == "passed"
        mark = Mark(equals, request.node.name)
        other = submit(equals, "pc2", *mark.command(), controller="twin")
        assert equals.wait_run(other)["verdict"] == "passed"
        assert output(equals, other) == output(equals, other, controller="twin")
        assert mark.times() == 1
    finally:
        twin.kill()
        del equals.controllers["twin"]


def memory(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


@pytest.mark.long     # its bounds are those of a quiet machine
def test_who_may_only_look_asks_without_end(place, ida, ivo):
    """Long questions about everything, again and again: no more memory, and nobody else waits."""
    runs = [ida.exec("seq", "2000") for _ in range(3)]
    for run in runs:
        ida.output(run)
    known = [f"<have run='{run}' stream='{stream}' next='0'/>" for run in runs for stream in ("events", "1.out")]
    haves = "".join(known + [f"<have run='none{i}' stream='events' next='{2**62}'/>" for i in range(1000)])
    questions = (f"<follow xmlns='{STREAM}'>{haves}</follow>", f"<sync xmlns='{STREAM}'>{haves}</sync>",
                 f"<list xmlns='{RUN}'/>")
    pid = place.pc("pc1").target_pid()

    def ask(times):
        for i in range(times):
            for text in questions:
                kind = "get" if "<list" in text else "set"
                ivo.send(f"<iq to='{ivo.full}' type='{kind}' id='flood-{i}'>{text}</iq>")

    ask(10)
    assert place.rota("ping", "pc1").code == 0
    before = memory(pid)
    ask(60)
    slowest = 0
    for _ in range(5):
        began = time.monotonic()
        run = ida.exec("echo", "beside")
        assert ida.output(run) == b"beside\n"
        slowest = max(slowest, time.monotonic() - began)
    listed(ivo)                                         # all before it were answered
    print(f"{memory(pid) - before} KiB more, a run beside it took at most {slowest:.2f} s")
    assert memory(pid) - before < 16 << 10 and slowest < 5
    assert place.pc("pc1").target_pid() == pid
    # more than there may be in one question is refused, and no harm
    answer = ivo.iq(ivo.full, "set", f"<follow xmlns='{STREAM}'>{haves}{haves}</follow>")
    assert answer.get("type") == "error"
