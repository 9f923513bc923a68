"""What goes wrong says what happened, why, and what to type next, and ends with the right status.

Statuses (DESIGN): 2 usage or configuration, 3 infrastructure, 4 not allowed, 5 nothing matches, 6 busy.
"""
import json
import os
import re
import shutil
import signal
import subprocess

import pytest
from lab import Lab, program, wait_for
from lines import Lines

CONTROLLERS = ("ctl", "runner", "viewer")


@pytest.fixture(scope="module")
def lab():
    """Three controllers: an admin, one that may start diagnostics, one that may look."""
    roles = {"ctl@lab.test": "admin", "runner@lab.test": "run", "viewer@lab.test": "view"}
    with Lab("prosody", pcs=("pc1", "pc2"), controllers=CONTROLLERS,
             pc_config={"controllers": roles}) as lab:
        lab.start()
        yield lab


def refused(result, code, *said, out=False):
    """The exit status, every word in what was said, and something to type: a command in the text."""
    text = result.out + result.err if out else result.err
    assert result.code == code, result
    for words in said:
        assert words in text, (words, result)
    return result


# the command line

@pytest.mark.parametrize("args, said", [
    (["lss"], ['no verb "lss"', "did you mean: rota ls"]),
    (["ls", "--jsn"], ["no option --jsn", "rota ls --help"]),
    (["show"], ["something is missing", "rota show RUN", "rota show --help"]),
    (["show", "a", "b"], ['"b" is too much', "rota show RUN"]),
    (["run", "pc1"], ["nothing to run", "rota run SELECTOR DIAG", "rota diag"]),
    (["run", "pc1", "selftest", "--", "true"], ["more than one thing to run"]),
    (["run", "pc1", "selftest", "lines"], ['"lines" is no parameter', "name=value",
                                           "rota diag NAME"]),
    (["run", "pc1", "--timeout", "soon", "--", "true"], ["soon", "--timeout"]),
    (["runs", "--limit", "many"], ["many", "--limit"]),
    (["runs", "--state", "over"], ["over", "pending, sent, queued, running, ended"]),
    (["accept", "pc1"], ['"pc1" is no JID', "pc1@lab.example"]),
    (["help", "sing"], ['no verb "sing"', "rota help"]),
    (["help", "--completion", "tcsh"], ["tcsh", "bash, zsh, fish"]),
])
def test_usage(lab, args, said):
    refused(lab.rota(*args), 2, *said)


# diagnostics, parameters, plans

def test_unknown_diagnostic(lab):
    refused(lab.rota("run", "pc1", "memry"), 2, 'no diagnostic "memry"', '"memory"', "rota diag")
    refused(lab.rota("diag", "memry"), 2, 'no diagnostic "memry"', "did you mean: memory",
            "try: rota diag")


@pytest.mark.parametrize("param, said", [
    ("size=plenty", ["size", "such as 64M", '"plenty"']),
    ("passes=many", ["passes", '"many"']),
    ("sise=64M", ['"sise"', 'did you mean "size"', "It takes"]),
])
def test_wrong_parameter(lab, param, said):
    refused(lab.rota("run", "pc1", "memory", param), 2, "memory", *said,
            "try: rota diag memory")
    assert lab.rota("runs", "--json").json() == [] or all(
        "memory" not in r["title"] for r in lab.rota("runs", "--json").json())


def test_malformed_plan(lab, tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text('{ "steps": [\n  { "diag": "selftest" },\n  { "exec": "true" }\n] }\n')
    refused(lab.rota("run", "pc1", "--plan", plan), 2, f"{plan}:3:", "exec", "an example")
    plan.write_text('{ "steps": [\n  { "diag": "selftest", }\n  nonsense')
    refused(lab.rota("run", "pc1", "--plan", plan), 2, f"{plan}:", "an example")
    refused(lab.rota("run", "pc1", "--plan", tmp_path / "none"), 2, "none", "No such file")


# selectors

@pytest.mark.parametrize("selector, said", [
    ("pc9", ['nothing matches "pc9"', "2 targets", "pc9 leaves 0"]),
    ("pc*,kind=scratch,gpu>=1", ["2 targets", "pc* leaves 2", "kind=scratch leaves 2",
                                 "gpu>=1 leaves 0"]),
    ("ready,pc1,busy", ["ready leaves 2", "pc1 leaves 1", "busy leaves 0"]),
    ("5:pc*", ["only 2 match", "asks for 5"]),
])
@pytest.mark.parametrize("verb", [["ls"], ["why"], ["ping"], ["reboot"], ["run", "X", "selftest"]])
def test_empty_selector(lab, verb, selector, said):
    args = [selector if a == "X" else a for a in verb]
    if "X" not in verb:
        args.append(selector)
    refused(lab.rota(*args), 5, *said, "try: rota ls")


@pytest.mark.parametrize("selector", ["0:pc*", ",", "pc1,,pc2", "gpu>=", "pc[1"])
def test_selector_that_cannot_be_read(lab, selector):
    refused(lab.rota("ls", selector), 2, f'"{selector}"', "selectors are names")


# runs

@pytest.mark.parametrize("verb", ["show", "log", "watch", "cancel"])
def test_unknown_run(lab, verb):
    refused(lab.rota(verb, "zzzzzzzz"), 2, 'no run "zzzzzzzz"', "rota runs")
    refused(lab.rota(verb, "../../etc"), 2, 'no run "../../etc"', "rota runs")


def test_ambiguous_prefix(lab):
    seen = {}
    while True:     # of 33 ids two begin with the same character
        run = lab.rota("run", "-d", "pc2", "--", "true").out.split()[1]
        if run[0] in seen:
            break
        seen[run[0]] = run
    for verb in ("show", "log", "watch", "cancel"):
        refused(lab.rota(verb, run[0]), 2, "several runs begin with", f'"{run[0]}"', "rota runs")
    n = next(i for i, (a, b) in enumerate(zip(run, seen[run[0]])) if a != b) + 1
    assert lab.rota("show", "--json", run[:n]).json()["run"] == run
    lab.wait_run(run)


def test_unknown_stream(lab):
    run = lab.rota("run", "-d", "pc2", "--", "true").out.split()[1]
    lab.wait_run(run)
    refused(lab.rota("log", run, "7.out"), 2, run, '"7.out"', f"rota show {run}")


# who may do what

def test_view_may_only_look(lab):
    for args in (["ls"], ["why", "pc1"], ["ping", "pc1"], ["runs"], ["diag"], ["doctor"]):
        assert lab.rota(*args, controller="viewer").code == 0, args
    for args in (["selftest"], ["--", "true"]):
        refused(lab.rota("run", "pc1", *args, controller="viewer"), 4, "not-allowed",
                "may not start", '"controllers"')
    refused(lab.rota("reboot", "pc1", controller="viewer"), 4, "does not allow", "role reboot",
            out=True)


def test_run_may_start_diagnostics_only(lab):
    result = lab.rota("run", "pc1", "selftest", "lines=2", controller="runner")
    assert result.code == 0, result
    refused(lab.rota("run", "pc1", "--", "true", controller="runner"), 4, "not-allowed",
            "free command", "role admin", "has run", '"controllers"')
    refused(lab.rota("reboot", "pc1", controller="runner"), 4, "role reboot", "has run", out=True)


def test_refusals_are_said_though_quiet(lab):
    refused(lab.rota("run", "-q", "pc1", "--", "true", controller="runner"), 4, "pc1",
            "free command")


def test_somebody_elses_run(lab):
    """A run of ctl is none of runner's: not seen, not cancelled."""
    run = lab.rota("run", "-d", "pc1", "--", "sleep", "60").out.split()[1]
    lab.wait_run(run, "running")
    refused(lab.rota("cancel", run, controller="runner"), 2, f'no run "{run}"')
    assert lab.rota("cancel", run).code == 0
    assert lab.wait_run(run)["verdict"] == "cancelled"


# busy

def test_busy(lab):
    run = lab.rota("run", "-d", "pc1", "--", "sleep", "60").out.split()[1]
    lab.wait_run(run, "running")
    lab.wait_state("pc1", "busy")
    try:
        refused(lab.rota("run", "--if-idle", "pc1", "--", "true"), 6, "busy", run,
                "without --if-idle")
        before = lab.pc("pc1").boot_id()
        refused(lab.rota("reboot", "pc1"), 6, "busy", run, "--drain", "--force", out=True)
        assert lab.pc("pc1").boot_id() == before
    finally:
        assert lab.rota("cancel", run).code == 0
        assert lab.wait_run(run)["verdict"] == "cancelled"


def test_exit_statuses_of_ends(lab):
    def run(*args):
        return lab.rota("run", "pc2", *args)
    refused(run("--", "false"), 1, "failed", "exited with 1")
    refused(run("--timeout", "300ms", "--", "sleep", "60"), 1, "failed", "time limit of 300 ms")
    refused(run("--silence", "300ms", "--", "sleep", "60"), 1, "failed", "300 ms")
    refused(run("--", "/nonexistent/program"), 3, "not-run",
            "there is no program /nonexistent/program", "rota show")


# nobody there

@pytest.fixture
def alone():
    """A lab in which nothing runs but the server; what a test changes is its own."""
    with Lab("prosody", pcs=("pc1",)) as lab:
        lab.pc("pc1").boot_id_file.write_text("b00t\n")
        yield lab


def daemon(piece, name, *args):
    """The daemon in the foreground, to its end, as a person would start it."""
    done = subprocess.run([program(name), "--config", piece.config_file, *args], text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False)
    return done.returncode, done.stdout + done.stderr


def user_env(lab, **more):
    """The environment of a user with a configuration of his own, if there is one."""
    env = lab.environment()
    env.pop("ROTA_SOCKET")
    env.update(XDG_CONFIG_HOME=str(lab.path / "config"), XDG_STATE_HOME=str(lab.path / "xdg"),
               XDG_RUNTIME_DIR=str(lab.path / "run"), **more)
    return env


def rota(env, *args):
    done = subprocess.run([program("rota"), *args], env=env, stdin=subprocess.DEVNULL, text=True,
                          capture_output=True, timeout=20, check=False)
    return done


def test_controller_not_running(lab, alone):
    """A named socket with nobody behind it; nothing is started then."""
    refused(alone.rota("ls"), 3, alone.controller().socket, "does not answer", "unset ROTA_SOCKET")
    done = rota(user_env(alone), "ls")
    if os.path.exists("/run/rota/controller.sock"):
        pytest.skip("this machine has a controller of its own")
    assert done.returncode == 3, done
    assert "not running" in done.stderr and "looked for" in done.stderr
    assert str(alone.path / "config/rota/controller.json") in done.stderr
    assert "try: " in done.stderr


def test_controller_goes_away(alone):
    ctl = alone.controller()
    ctl.start()
    wait_for(lambda: alone.rota("doctor").code == 0)
    alone.pc("pc1").start()
    alone.wait_ready("pc1")
    client = alone.popen("ls", "--watch")
    assert b"pc1  ready" in client.stdout.readline()
    ctl.kill()
    _, err = client.communicate(timeout=10)
    assert client.returncode == 3
    assert b"connection to the controller ended" in err and b"rota doctor" in err


# configuration

BAD = [
    # text, line:column, what is said
    ('{\n  "jid": "x@lab.test",\n  "jdi": "x"\n}', "3:10", 'did you mean "jid"'),
    ('{\n  "jid": 7\n}', "2:10", "expected a string"),
    ('{\n  "jid": "nobody"\n}', "2:10", '"nobody"'),
    ('{\n  "jid": "x@lab.test\n}', "2:21", "inside a string"),
    ('{\n\n  "jid": "x@lab.test", "free_min": "lots"\n}', "3:36", "such as"),
    ('{ "jid": "x@lab.test"\n  "name": "y" }', "2:3", ""),
    ("[]", "1:1", "expected an object"),
    ("", "1:1", "too early"),
]


@pytest.mark.parametrize("name", ["rota-target", "rota-controller"])
def test_malformed_configuration(alone, name):
    piece = alone.pc("pc1") if name == "rota-target" else alone.controller()
    for text, where, said in BAD:
        piece.config_file.write_text(text)
        for args in ([], ["--check"]):
            code, answer = daemon(piece, name, *args)
            assert code == 2 and f"{piece.config_file}:{where}: " in answer, (text, answer)
            assert said in answer, (text, answer)
            assert f"{name} --check --config {piece.config_file}" in answer, (text, answer)
    piece.config_file.write_text("{}")
    code, answer = daemon(piece, name)
    assert code == 2 and f'{piece.config_file}: "jid" is missing' in answer, answer
    assert "example" in answer, answer
    piece.config_file.unlink()
    code, answer = daemon(piece, name)
    assert code == 2 and "No such file" in answer and "--config" in answer, answer


@pytest.mark.parametrize("name", ["rota-target", "rota-controller"])
def test_drop_in_is_named(alone, name):
    piece = alone.pc("pc1") if name == "rota-target" else alone.controller()
    piece.write_config()
    folder = piece.config_file.with_suffix(".d")
    folder.mkdir()
    (folder / "10-more.json").write_text('{\n  // a comment\n  "free_min": true }')
    code, answer = daemon(piece, name, "--check")
    assert code == 2 and f"{folder}/10-more.json:3:" in answer and "free_min" in answer, answer


@pytest.mark.parametrize("name", ["rota-target", "rota-controller"])
def test_password_file(alone, name):
    piece = alone.pc("pc1") if name == "rota-target" else alone.controller()
    piece.write_config()
    password = piece.path / "password"
    password.chmod(0o644)
    code, answer = daemon(piece, name)
    assert code == 2 and f"chmod 600 {password}" in answer and "644" in answer, answer
    password.chmod(0o600)
    password.write_text("\n")
    code, answer = daemon(piece, name)
    assert code == 2 and str(password) in answer and "empty" in answer, answer
    password.unlink()
    code, answer = daemon(piece, name)
    assert code == 2 and str(password) in answer and "No such file" in answer, answer


@pytest.mark.parametrize("name", ["rota-target", "rota-controller"])
def test_ca_file_that_is_not_there(alone, name):
    piece = alone.pc("pc1") if name == "rota-target" else alone.controller()
    piece.config["ca_file"] = "nowhere.pem"
    piece.write_config()
    code, answer = daemon(piece, name)
    assert code == 2 and str(piece.path / "nowhere.pem") in answer, answer
    assert "ca_file" in answer and "No such file" in answer


@pytest.mark.parametrize("text, said", [
    ('{\n  "jid": "ctl@lab.test", "colour": 1 }', ":2:36"),
    ('{\n  "jid": "ctl@lab.test", }', ":2:"),
    ('{ "jid": "ctl@lab.test", "password_file": "open" }', "chmod 600"),
])
def test_users_controller_with_a_wrong_configuration(alone, text, said):
    """`rota` starts it, it ends at once, and what it said reaches the person."""
    folder = alone.path / "config/rota"
    folder.mkdir(parents=True)
    (folder / "open").write_text("x\n")
    (folder / "open").chmod(0o644)
    (folder / "controller.json").write_text(text)
    done = rota(user_env(alone), "ls")
    assert done.returncode == 2, done
    assert said in done.stderr and "controller.json" in done.stderr, done
    assert "<3>" not in done.stderr


# the way to the server

def doctor(lab):
    return refused(lab.rota("doctor"), 3, "FAIL  not connected", "next attempt", out=True).out


def start_cut_off(lab):
    """Starts the controller, which does not get online; what `rota doctor` says."""
    lab.controller().start()
    wait_for(lambda: lab.rota("doctor", "--json").out and
             lab.rota("doctor", "--json").json()["cause"])
    assert lab.rota("doctor", "--json").code == 3
    return doctor(lab)


def test_wrong_password(alone):
    (alone.controller().path / "password").write_text("wrong\n")
    text = start_cut_off(alone)
    assert "refused user or password" in text and "password file" in text, text
    assert "wrong" not in text.replace("wrong-password", "")
    pc = alone.pc("pc1")
    (pc.path / "password").write_text("secret-typo\n")
    pc.start()
    wait_for(lambda: "refused user or password" in pc.log())
    assert "secret-typo" not in pc.log()
    # corrected, it needs a restart and nothing else
    alone.controller().stop()
    (alone.controller().path / "password").write_text("pw-ctl\n")
    alone.controller().start()
    wait_for(lambda: alone.rota("doctor").code == 0)


def test_no_such_account(alone):
    alone.controller().config["jid"] = "nobody@lab.test"
    text = start_cut_off(alone)
    assert "refused user or password" in text and "nobody@lab.test" in text, text


def test_untrusted_certificate(alone):
    """No authority, another one, and another domain: never online, and it says so."""
    ctl = alone.controller()
    other = alone.path / "other.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                    "-nodes", "-subj", "/CN=lab.test", "-keyout", alone.path / "other.key", "-out",
                    other], check=True, capture_output=True)
    own = ctl.config.pop("ca_file")
    for ca in (None, str(other)):
        if ca:
            ctl.config["ca_file"] = ca
        text = start_cut_off(alone)
        assert "certificate is not trusted" in text and '"ca_file"' in text, text
        ctl.stop()
    ctl.config.update(ca_file=own, jid="ctl@other.test")
    text = start_cut_off(alone)
    assert "does not serve other.test" in text and "online as" not in ctl.log(), text
    pc = alone.pc("pc1")
    pc.config.pop("ca_file")
    pc.start()
    wait_for(lambda: "certificate is not trusted" in pc.log())
    assert "online as" not in pc.log()


def test_server_down(alone):
    ctl, pc = alone.controller(), alone.pc("pc1")
    ctl.start()
    pc.start()
    alone.wait_ready("pc1")
    watch = Lines(alone.popen("ls", "--watch"))
    watch.until(lambda s: "ready" in s)
    alone.server.kill()
    watch.until(lambda s: "no connection to its server" in s)
    wait_for(lambda: not alone.rota("doctor", "--json").json()["online"])
    text = doctor(alone)
    assert f"127.0.0.1:{alone.server.port}" in text or f"port {alone.server.port}" in text, text
    assert "targets online" not in text, text
    refused(alone.rota("ping", "pc1"), 3, "no connection to its server", "rota doctor", out=True)
    refused(alone.rota("reboot", "pc1"), 3, "no connection to its server", "nothing will happen",
            "rota doctor", out=True)
    # what is shown of the targets is marked as old
    listed = alone.rota("ls")
    assert listed.code == 0 and "pc1" in listed.out
    assert "no connection to its server" in listed.err and "rota doctor" in listed.err, listed
    assert alone.ls()["pc1"]["online"] is False
    # a run is taken and waits, with the reason
    client = alone.popen("run", "pc1", "--", "echo", "later")
    waiting = client.stderr.readline()
    assert b"no connection to its server" in waiting and b"pc1" in waiting, waiting
    assert alone.rota("runs", "--json").json()[0]["state"] == "pending"
    alone.server.start()
    out, err = client.communicate(timeout=30)
    assert client.returncode == 0 and b"later" in out, (out, err)
    assert alone.ls()["pc1"]["online"] is True
    watch.until(lambda s: "ready" in s)
    assert alone.rota("ls").err == ""


def test_server_that_is_silent(alone):
    """A stopped server takes connections and says nothing: no daemon hangs, and people are told."""
    ctl = alone.controller()
    os.kill(alone.server.pid(), signal.SIGSTOP)
    try:
        ctl.start()
        wait_for(lambda: os.path.exists(ctl.socket))
        wait_for(lambda: alone.rota("doctor", "--json").json()["cause"], 30)
        doctor(alone)
        assert ctl.stop() == 0
    finally:
        os.kill(alone.server.pid(), signal.SIGCONT)


def test_absent_target(lab):
    """An error within a second, and nothing happens when it comes back."""
    pc = lab.pc("pc2")
    before = pc.boot_id()
    pc.off()
    try:
        lab.wait_state("pc2", "offline")
        for verb in (["ping", "pc2"], ["reboot", "pc2"]):
            refused(lab.rota(*verb, timeout=5), 3, "pc2 is offline since", "rota why pc2", out=True)
        refused(lab.rota("run", "--if-idle", "pc2", "selftest"), 3, "pc2 is offline", "rota why")
        client = lab.popen("run", "pc2", "selftest")
        said = client.stderr.readline()
        assert b"pc2 is offline since" in said and b"starts when it returns" in said, said
        client.send_signal(signal.SIGINT)
        out, err = client.communicate(timeout=10)
        assert client.returncode == 130 and b"Detached" in err and b"rota watch" in err
        run = re.search(rb"rota watch (\S+)", err).group(1).decode()
        assert lab.rota("cancel", run).code == 0
    finally:
        pc.on()
    booted = lab.wait_state("pc2", "ready")["boot"]
    assert booted != before and booted == pc.boot_id()


# the output of the command itself

def test_full_standard_output(lab):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([program("rota"), "ls"], env=lab.environment(), stdout=full,
                              stderr=subprocess.PIPE, timeout=10, check=False)
    assert done.returncode == 3 and b"No space left" in done.stderr


def test_pipe_that_ends(lab):
    """`rota log RUN | head -1`: quietly, and the run goes on."""
    run = lab.rota("run", "-d", "pc1", "--", "seq", "100000").out.split()[1]
    lab.wait_run(run)
    head = shutil.which("head")
    done = subprocess.run(f"{program('rota')} log {run} | {head} -1", shell=True,
                          env=lab.environment(), capture_output=True, timeout=20, check=False)
    assert done.stdout.strip() == b"1" and done.stderr == b"", done


def test_errors_are_json_free(lab):
    """With --json an error is still a sentence on stderr, and stdout is empty."""
    result = lab.rota("ls", "--json", "pc9")
    assert result.code == 5 and result.out == "" and "nothing matches" in result.err
    result = lab.rota("run", "--json", "pc1", "--", "true", controller="runner")
    assert result.code == 4, result
    assert json.loads(result.raw)["runs"][0]["verdict"] == "not-run"
