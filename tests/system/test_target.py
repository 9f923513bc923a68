"""rota-target on its own: an independent client in the place of the controller."""
import hashlib
import base64
import os

import pytest

from lab import Lab, wait_for
from stand_in import PRESENCE, StandIn, exec_step, why

NICK = "{http://jabber.org/protocol/nick}nick"
CAPS = "{http://jabber.org/protocol/caps}c"
DISCO = "http://jabber.org/protocol/disco#info"


@pytest.fixture(scope="module")
def place(kind):
    """A lab with one PC, used by all tests of this file one after the other."""
    with Lab(kind, pcs=["pc1"], accounts=("ana", "eve"), pc_config={
            "controllers": {"ctl@lab.test": "admin", "ana@lab.test": "run",
                            "*@lab.test": "view"}}) as lab:
        lab.pc("pc1").start("--debug")
        yield lab


@pytest.fixture
def ctl(place):
    with StandIn(place.server, "ctl") as c:
        c.follow("pc1")
        yield c


def test_presence_says_who_and_what(place, ctl):
    p = ctl.all(lambda s: s.find(f"{{{PRESENCE}}}x") is not None)[-1]
    x = p.find(f"{{{PRESENCE}}}x")
    assert (x.get("role"), x.get("state")) == ("target", "ready")
    assert x.get("boot") == place.pc("pc1").boot_id()
    assert x.find(f"{{{PRESENCE}}}name").text == "Number pc1"
    assert x.find(f"{{{PRESENCE}}}location").text == "Lab/Rack pc1"
    assert x.find(f"{{{PRESENCE}}}label").attrib == {"name": "kind", "value": "scratch"}
    assert p.find(NICK).text == "Number pc1"


def test_caps_are_the_hash_of_what_disco_answers(ctl):
    p = ctl.all(lambda s: s.find(CAPS) is not None and s.get("from") == ctl.full)[-1]
    caps = p.find(CAPS)
    node = f"{caps.get('node')}#{caps.get('ver')}"
    query = ctl.iq(ctl.full, "get", f"<query xmlns='{DISCO}' node='{node}'/>")[0]
    assert query.get("node") == node
    ident = query.find(f"{{{DISCO}}}identity")
    text = f"{ident.get('category')}/{ident.get('type')}//{ident.get('name')}<"
    features = [f.get("var") for f in query.findall(f"{{{DISCO}}}feature")]
    assert "urn:rota:power:1" in features
    text += "".join(f + "<" for f in sorted(features))
    assert caps.get("ver") == base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()
    wrong = ctl.iq(ctl.full, "get", f"<query xmlns='{DISCO}' node='urn:other'/>")
    assert wrong.get("type") == "error"


def test_ping_version_time_and_what_it_does_not_know(ctl):
    assert ctl.iq(ctl.full, "get", "<ping xmlns='urn:xmpp:ping'/>").get("type") == "result"
    version = ctl.iq(ctl.full, "get", "<query xmlns='jabber:iq:version'/>")[0]
    assert version.find("{jabber:iq:version}name").text == "rota-target"
    assert ctl.iq(ctl.full, "get", "<time xmlns='urn:xmpp:time'/>").get("type") == "result"
    assert ctl.iq(ctl.full, "get", "<nonsense xmlns='urn:x'/>").get("type") == "error"


@pytest.mark.parametrize("pty", [True, False])
def test_every_byte_value_comes_back(ctl, pty):
    code = "import os,sys\nfor i in range(300): os.write(1, bytes(range(256)))"
    run = ctl.exec("/usr/bin/python3", "-c", code, pty=pty)
    assert ctl.output(run) == bytes(range(256)) * 300


def test_a_long_line_and_a_lot(ctl):
    run = ctl.exec("sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; head -c 4000000 /dev/urandom",
                   pty=False)
    out = ctl.output(run)
    assert out[:3000000] == b"x" * 3000000 and len(out) == 7000000


@pytest.mark.parametrize("argv, more, verdict, cause", [
    (["true"], {}, "passed", None),
    (["sh", "-c", "exit 3"], {}, "failed", "exited with 3"),
    (["sh", "-c", "kill -9 $$"], {}, "failed", "signal 9"),
    (["sleep", "60"], {"timeout": "300ms"}, "failed", "time limit"),
    (["sleep", "60"], {"silence": "300ms"}, "failed", "no output for"),
    (["/there/is/no/such"], {}, "not-run", "/there/is/no/such"),
])
def test_verdicts(ctl, argv, more, verdict, cause):
    end = ctl.ended(ctl.exec(*argv, **more))
    assert end["verdict"] == verdict
    assert end.get("cause") is None if cause is None else cause in end["cause"]


def test_steps_in_order_and_none_after_a_failure(ctl):
    run = ctl.submit({"name": "three", "steps": [exec_step("echo", "1"), exec_step("false"),
                                                 exec_step("echo", "3")]})
    assert ctl.ended(run)["verdict"] == "failed"
    assert ctl.output(run) == b"1\n"
    assert [e["ev"] for e in ctl.events(run)] == ["accepted", "started", "stepped", "started",
                                                  "stepped", "ended"]
    assert (run, "3.out") not in ctl.streams


def test_a_step_knows_where_it_is(place, ctl):
    run = ctl.exec("sh", "-c", "echo $ROTA_RUN $ROTA_STEP/$ROTA_STEPS $ROTA_OWNER $ROTA_BOOT; pwd")
    assert ctl.output(run).decode().split() == [
        run, "1/1", "ctl@lab.test", place.pc("pc1").boot_id(),
        str(place.path / f"pc1/state/runs/{run}/work")]


def test_queue_order_busy_and_if_idle(ctl):
    first = ctl.exec("sh", "-c", "echo on; sleep 60")
    ctl.printed(first)
    waiting = [ctl.exec("echo", str(i)) for i in range(3)]
    wait_for(lambda: ctl.now().get("queue") == "3")
    assert ctl.now()["state"] == "busy"
    assert ctl.now()["element"].find(f"{{{PRESENCE}}}run").get("id") == first
    idle = ctl.submit({"steps": [exec_step("true")]}, if_idle="true")
    assert ctl.refusal(idle)[1] == "busy"
    ctl.cancel(waiting[1])
    assert ctl.ended(waiting[1])["verdict"] == "cancelled"
    ctl.cancel(first)
    assert ctl.ended(first)["verdict"] == "cancelled"
    assert ctl.output(waiting[0]) == b"0\n" and ctl.output(waiting[2]) == b"2\n"
    assert ctl.event(waiting[0], "ended")["t"] < ctl.event(waiting[2], "started")["t"]
    assert (waiting[1], "1.out") not in ctl.streams
    ctl.state("ready")


def test_time_to_live(ctl):
    first = ctl.exec("sleep", "60")
    ctl.event(first, "started")
    late = ctl.submit({"steps": [exec_step("true")]}, ttl=1)
    end = ctl.ended(late)
    assert end["verdict"] == "not-run" and "time to live" in end["cause"]
    ctl.cancel(first)
    ctl.ended(first)


def test_one_id_runs_once(place, ctl):
    mark = place.path / "once"
    for _ in range(3):
        ctl.exec("sh", "-c", f"echo x >>{mark}", run="same-id")
    ctl.ended("same-id")
    ctl.exec("sh", "-c", f"echo x >>{mark}", run="same-id")
    assert ctl.output(ctl.exec("cat", str(mark))) == b"x\n"


def test_refusals_say_why(ctl):
    assert ctl.refusal(ctl.submit("{"))[1] == "invalid"
    assert ctl.refusal(ctl.submit({"steps": []}))[1] == "invalid"
    run, reason, text = ctl.refusal(ctl.submit({"steps": [{"diag": "nope"}]}))
    assert reason == "invalid" and "nope" in text
    ctl.cancel("never-heard-of")
    assert ctl.refusal("never-heard-of")[1] == "unknown"


def test_roles(place, ctl):
    with StandIn(place.server, "eve") as eve, StandIn(place.server, "ana") as ana:
        eve.follow("pc1")
        ana.follow("pc1")
        assert eve.refusal(eve.exec("true"))[1] == "not-allowed"
        run, reason, text = ana.refusal(ana.exec("true"))
        assert reason == "not-allowed" and "admin" in text
        first = ctl.exec("sh", "-c", "echo on; sleep 60")
        ctl.printed(first)
        ana.cancel(first)
        assert ana.refusal(first)[1] == "not-allowed"
        answer = ana.iq(ana.full, "get", "<challenge xmlns='urn:rota:power:1'/>")
        assert why(answer) == ("not-allowed", {"role": "reboot"})
        assert not eve.streams and not ana.streams
        ctl.cancel(first)
        ctl.ended(first)


def test_strangers_see_nothing(make_lab):
    lab = make_lab(pcs=["pc1"], accounts=("eve",),
                   pc_config={"controllers": {"ctl@lab.test": "admin"}})
    lab.pc("pc1").start()
    with StandIn(lab.server, "ctl") as ctl, StandIn(lab.server, "eve") as eve:
        ctl.follow("pc1")
        eve.subscribe("pc1@lab.test")
        eve.expect(lambda s: s.get("type") == "unsubscribed")
        eve.target = "pc1@lab.test"
        assert not any(eve.announced())
        assert eve.iq(ctl.full, "get", "<ping xmlns='urn:xmpp:ping'/>").get("type") == "error"


def test_delivered_runs_retire_and_never_run_again(make_lab):
    lab = make_lab(pcs=["pc1"], pc_config={"keep": "1s"})
    pc = lab.pc("pc1")
    pc.start()
    with StandIn(lab.server, "ctl") as ctl:
        ctl.follow("pc1")
        run = ctl.exec("echo", "hello")
        assert ctl.output(run) == b"hello\n"
        wait_for(lambda: not (lab.path / "pc1/state/runs" / run).exists())
        assert (lab.path / "pc1/state/tombstones" / run).exists()
        ctl.exec("echo", "hello", run=run)
        assert ctl.refusal(run)[1] == "over"
        old = ctl.sid()
        pc.kill_target()
        ctl.back(old)
        ctl.refused.clear()
        ctl.exec("echo", "hello", run=run)
        assert ctl.refusal(run)[1] == "over"


def test_reload(place, ctl):
    pc = place.pc("pc1")
    before = pc.config["name"]
    pid = pc.target_pid()
    pc.config["name"] = "Renamed"
    pc.write_config()
    os.kill(pid, 1)
    wait_for(lambda: ctl.now()["element"].find(f"{{{PRESENCE}}}name").text == "Renamed")
    pc.config_file.write_text("{ broken")
    os.kill(pid, 1)
    wait_for(lambda: "former configuration stays in force" in pc.log())
    assert ctl.output(ctl.exec("echo", "still here")) == b"still here\n"
    pc.config["name"] = before
    pc.write_config()
    os.kill(pid, 1)
    wait_for(lambda: ctl.now()["element"].find(f"{{{PRESENCE}}}name").text == before)
    assert pc.target_pid() == pid


def test_idle_is_small_and_quiet(place, ctl):
    pid = place.pc("pc1").target_pid()
    ctl.output(ctl.exec("head", "-c", "2000000", "/dev/urandom", pty=False))

    def pss():
        with open(f"/proc/{pid}/smaps_rollup") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))

    def switches():
        with open(f"/proc/{pid}/status") as f:
            return sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)

    wait_for(lambda: pss() < 5120, 10, lambda: f"{pss()} KiB")
    before = switches()
    with pytest.raises(TimeoutError):  # ten seconds of nothing but the server's keep-alive
        wait_for(lambda: switches() - before > 8, 10)
