"""The link against real servers and against what only looks like one, through link-probe."""
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from lab import DOMAIN, Server, program, wait_for
from wires import WiredLab


class Probe:
    """link-probe: its lines as they come, and lines to it."""

    def __init__(self, wrapper=(), **options):
        self.wrapped = bool(wrapper)
        argv = [*map(str, wrapper), program("link-probe")]
        for name, value in options.items():
            argv += ["--" + name.replace("_", "-")] + ([] if value is True else [str(value)])
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, bufsize=1)
        self.lines = []
        self.came = threading.Condition()
        self.seen = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            with self.came:
                self.lines.append((time.monotonic(), line.rstrip("\n")))
                self.came.notify_all()

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def expect(self, pattern, deadline=10):
        """The match of the next line that matches; those before it are passed over."""
        end = time.monotonic() + deadline
        with self.came:
            while True:
                while self.seen < len(self.lines):
                    self.at, line = self.lines[self.seen]
                    self.seen += 1
                    found = re.match(pattern, line)
                    if found:
                        return found
                left = end - time.monotonic()
                assert left > 0, f"no {pattern!r} within {deadline} s: {self.lines[-20:]}"
                self.came.wait(left)

    def online(self, deadline=10):
        return self.expect(r"online (\S+)", deadline).group(1)

    def offline(self, cause, deadline=10):
        """Seconds to the next try, and the detail."""
        found = self.expect(r"offline (\S+) (\d+) (.*)", deadline)
        assert found.group(1) == cause, found.group(0)
        return int(found.group(2)) / 1e6, found.group(3)

    def switches(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", status.read(), re.M).group(1))

    def stop(self):
        if self.process.poll() is None:
            # unshare does not pass SIGTERM on, but takes its child with it
            self.process.send_signal(signal.SIGKILL if self.wrapped else signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
        stderr = self.process.stderr.read()
        assert "Sanitizer" not in stderr, stderr
        return self.process.wait()


@pytest.fixture(name="probe")
def fixture_probe():
    """probe(**options): a probe that is gone after the test."""
    made = []

    def make(**options):
        made.append(Probe(**options))
        return made[-1]
    yield make
    for p in made:
        p.stop()


@pytest.fixture(name="server")
def fixture_server(kind, tmp_path):
    """A server of one's own with accounts a and b."""
    server = Server(kind, tmp_path / "server")
    server.start()
    server.account("a", "b")
    yield server
    server.kill()


def options_for(server, name="a", **over):
    return {"jid": f"{name}@{server.domain}", "password": f"pw-{name}",
            "server": f"localhost:{server.port}", "ca": server.ca_file, **over}


def test_online_echo_and_stop(server, probe):
    p = probe(**options_for(server))
    assert p.online() == f"a@{DOMAIN}/probe"
    for size, count in ((100, 200), (15000, 100), (200000, 10)):
        p.say(f"echo {size} {count}")
        p.expect(r"echo size=")
    q = probe(**options_for(server, "b"))
    q.online()
    q.say(f"send <message to='a@{DOMAIN}/probe' type='chat'><body>h\u00e9 &amp; %s %n</body></message>")
    line = p.expect(r"stanza <message.*").group(0)
    assert "<body>h\u00e9 &amp; %s %n</body>" in line and f"from='b@{DOMAIN}/probe'" in line
    p.say("stop")
    assert p.expect(r"offline closed (\d+)").group(1) == str(2**64 - 1)
    assert p.process.wait(5) == 0


def test_echo_is_fast(server, probe):
    """Generous limits: this finds a timer in the path (40 ms, 500 ms, seconds), not a slow machine."""
    p = probe(**options_for(server))
    p.online()
    for size, count, limit in ((100, 300, 4000), (15000, 100, 12000), (200000, 10, 300000)):
        p.say(f"echo {size} {count}")
        assert int(p.expect(r"echo .* p50=(\d+)").group(1)) < limit


def test_burst_keeps_order(server, probe):
    p = probe(quiet=True, **options_for(server))
    p.online()
    for count, size in ((10000, 100), (300, 100000)):
        p.say(f"burst {count} {size}")
        assert p.expect(r"burst .* wrong=(\d+)", 60).group(1) == "0"


def test_bulk_beyond_the_queue_drains(server, probe):
    """More than the link holds at a time, in stanzas near the servers' limit."""
    p = probe(**options_for(server))
    p.online()
    p.say("burst 60 200000")
    p.expect(r"drained", 30)
    assert p.expect(r"burst .* wrong=(\d+)", 60).group(1) == "0"


def test_wrong_password(server, probe):
    p = probe(**options_for(server, password="wrong"))
    retry, detail = p.offline("wrong-password")
    assert retry >= 1 and "not-authorized" in detail


def test_unknown_account(server, probe):
    p = probe(**options_for(server, "nobody"))
    p.offline("wrong-password")


def test_untrusted_certificate(server, probe, tmp_path):
    other = Server(server.kind, tmp_path / "other")
    p = probe(**options_for(server, ca=other.ca_file))
    _, detail = p.offline("certificate")
    assert "certificate" in detail


def test_named_authority_replaces_the_systems(server, probe, tmp_path, monkeypatch):
    other = Server(server.kind, tmp_path / "other")
    monkeypatch.setenv("SSL_CERT_FILE", str(server.ca_file))     # the system trusts it
    without = options_for(server)
    del without["ca"]
    probe(**without).online()
    probe(**options_for(server, "b", ca=other.ca_file)).offline("certificate")


def test_certificate_of_another_name(server, probe):
    p = probe(**options_for(server, jid="a@elsewhere.test"))
    cause = p.expect(r"offline (\S+) \d+ (.*)")
    # a server may refuse the name before there is a certificate to look at
    assert cause.group(1) in ("certificate", "stream-error")
    assert "mismatch" in cause.group(2) or "host-unknown" in cause.group(2)


def test_missing_ca_file(server, probe):
    p = probe(**options_for(server, ca="/nonexistent/ca.pem"))
    _, detail = p.offline("certificate")
    assert "/nonexistent/ca.pem" in detail


def test_conflict_waits(server, probe):
    p = probe(**options_for(server))
    p.online()
    q = probe(**options_for(server))
    q.online()
    retry, _ = p.offline("conflict")
    assert retry >= 10


def test_server_killed_and_back(server, probe):
    p = probe(**options_for(server))
    p.online()
    server.kill()
    p.offline("lost", 3)
    p.offline("refused", 5)
    server.start()
    p.online(20)
    p.say("echo 100 10")
    p.expect(r"echo ")


def test_server_stopped_in_order(server, probe):
    p = probe(**options_for(server))
    p.online()
    server.stop()
    assert p.expect(r"offline (\S+)").group(1) in ("stream-error", "lost")


def test_frozen_server(server, probe):
    """A server that is there and does not answer is found by the keep-alive."""
    p = probe(keepalive=1, **options_for(server))
    p.online()
    server_pid = server.pid()
    signal_tree(server_pid, signal.SIGSTOP)
    begin = time.monotonic()
    try:
        p.offline("timeout", 25)
        assert p.at - begin < 20
    finally:
        signal_tree(server_pid, signal.SIGCONT)
    p.online(40)


@pytest.mark.root
def test_a_server_that_died_unheard(kind, probe):
    """A connection that is dead at the other end alone, and on which nobody has anything to say."""
    with WiredLab(kind, pcs=["pc1"]) as lab:
        p = probe(wrapper=lab.wires.inside("pc1"),
                  **{**options_for(lab.server, "pc1"), "server": f"{lab.server.host}:{lab.server.port}"})
        p.online()
        with p.came:  # what was said at the beginning is acknowledged
            p.came.wait_for(lambda: False, 2)
        # the next word of the server is not sent but answered with a reset, to the server alone
        with lab.wires.rule("server", f"tcp sport {lab.server.port} reject with tcp reset"):
            wait_for(lambda: "ESTAB" not in lab.wires.run("server", "ss", "-Htn"), 20, what="the server forgets it")
        assert "ESTAB" in lab.wires.run("pc1", "ss", "-Htn")
        begin = time.monotonic()
        p.offline("lost", 30)
        assert p.at - begin < 9
        p.online()


def test_an_answered_keep_alive_is_heard(server, probe):
    """Else every connection on which the server has nothing to say would be given up as dead."""
    p = probe(keepalive=1, trace=True, **options_for(server))
    p.online()
    for _ in range(2):
        p.expect(r"trace out <r ", 25)
    assert not any(line.startswith("offline") for _, line in p.lines)


def test_stop_does_not_wait_for_a_frozen_server(server, probe):
    p = probe(**options_for(server))
    p.online()
    server_pid = server.pid()
    signal_tree(server_pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        p.say("stop")
        p.expect(r"offline closed", 5)
        assert p.at - begin < 2.7
        assert p.process.wait(2) == 0
    finally:
        signal_tree(server_pid, signal.SIGCONT)


def signal_tree(pid, number):
    subprocess.run(["kill", f"-{number.name[3:]}", "--", f"-{pid}"], check=True)


def test_idle_sleeps(server, probe):
    """Without a word from the server there is no wake-up; its own pings are answered and no more."""
    p = probe(trace=True, **options_for(server))
    p.online()
    p.say("echo 100 1")
    p.expect(r"echo ")
    heard = len(p.lines)
    before = p.switches()
    with p.came:
        p.came.wait_for(lambda: False, 12)
    lines = len(p.lines) - heard
    # a line of trace is a wake-up at most; what is left would be a timer
    assert p.switches() - before <= lines + 2, p.lines[heard:]


def test_trace_hides_the_login(server, probe):
    p = probe(trace=True, **options_for(server))
    p.online()
    p.say("echo 100 1")
    p.expect(r"echo ")
    text = "\n".join(line for _, line in p.lines)
    assert "trace out <presence/>" in text and "trace in <presence" in text
    for secret in ("pw-a", "mechanism", "SCRAM", "challenge", "urn:ietf:params:xml:ns:xmpp-sasl"):
        assert secret not in text


def test_stanza_too_large_is_named(server, probe):
    p = probe(**options_for(server))
    p.online()
    p.say(f"send <message to='b@{DOMAIN}'><body>{'x' * 300000}</body></message>")
    _, detail = p.offline("stream-error")
    assert "policy-violation" in detail or "stanza-too-big" in detail
    p.online()


# what only looks like a server


class Impostor:
    """Listens, and does what @serve does with each connection."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.serve = serve
        self.open = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            self.serve(connection)
        except OSError:
            pass

    def close(self):
        self.listener.close()
        for connection in self.open:
            connection.close()


@pytest.fixture(name="impostor")
def fixture_impostor():
    made = []

    def make(serve):
        made.append(Impostor(serve))
        return made[-1]
    yield make
    for i in made:
        i.close()


def fake_options(port, **over):
    return {"jid": f"a@{DOMAIN}", "password": "x", "server": f"127.0.0.1:{port}", **over}


STREAM = (b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' id='1' version='1.0' "
          b"xmlns:stream='http://etherx.jabber.org/streams' from='lab.test'>")
STARTTLS = (STREAM + b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>"
            b"<required/></starttls></stream:features>")


def until_tls(connection):
    connection.recv(4096)
    connection.sendall(STARTTLS)
    connection.recv(4096)
    connection.sendall(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")


def test_nobody_listens(probe):
    with socket.create_server(("127.0.0.1", 0)) as s:
        port = s.getsockname()[1]
    p = probe(**fake_options(port))
    retry, detail = p.offline("refused", 3)
    assert retry <= 1 and str(port) in detail
    for _ in range(3):  # it goes on
        p.offline("refused", 10)


def test_unresolvable(probe):
    p = probe(jid=f"a@{DOMAIN}", password="x", server="no-such-host.invalid")
    _, detail = p.offline("no-address", 15)
    assert "no-such-host.invalid" in detail
    p = probe(jid="a@no-such-domain.invalid", password="x")
    p.offline("no-address", 15)


def test_silent_after_accept(probe, impostor):
    p = probe(connect_timeout=2, **fake_options(impostor(lambda c: c.recv(1) and None).port))
    begin = time.monotonic()
    _, detail = p.offline("timeout", 5)
    assert 1.9 < p.at - begin < 4 and "said nothing" in detail


def test_silent_in_the_tls_handshake(probe, impostor):
    """The library blocks in there; other events of the loop wait, but not for ever."""
    p = probe(connect_timeout=2, **fake_options(impostor(until_tls).port))
    begin = time.monotonic()
    _, detail = p.offline("timeout", 6)
    assert 1.5 < p.at - begin < 4.5 and "TLS" in detail
    p.say("send x")
    p.expect(r"sent 1")


def test_broken_tls(probe, impostor):
    def serve(connection):
        until_tls(connection)
        connection.recv(4096)
        connection.sendall(b"this is not TLS, whatever else it may be")
    p = probe(**fake_options(impostor(serve).port))
    p.offline("certificate")


def test_no_tls_offered(probe, impostor):
    def serve(connection):
        connection.recv(4096)
        connection.sendall(STREAM + b"<stream:features><mechanisms "
                           b"xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
                           b"</mechanisms></stream:features>")
        assert b"<auth" not in connection.recv(4096)
    p = probe(**fake_options(impostor(serve).port))
    _, detail = p.offline("certificate")
    assert "no TLS" in detail


def test_not_xmpp(probe, impostor):
    def serve(connection):
        connection.recv(4096)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n<html><body>no</body></html>")
    p = probe(**fake_options(impostor(serve).port))
    _, detail = p.offline("stream-error")
    assert "XMPP" in detail


def test_closed_at_once(probe, impostor):
    p = probe(**fake_options(impostor(lambda c: c.close()).port))
    p.offline("lost")
    p.offline("lost")


def test_stop_while_connecting(probe, impostor):
    p = probe(**fake_options(impostor(lambda c: None).port))
    wait_for(lambda: p.process.poll() is None and p.switches() > 0, 2)
    p.say("stop")
    p.expect(r"offline closed", 3)
    assert p.process.wait(3) == 0


# the name service: a mount and network namespace with one of our own


NAME_SERVER = r'''
import socket, struct, sys

def name(text):
    return b"".join(bytes([len(p)]) + p.encode() for p in text.split(".")) + b"\0"

def srv(priority, port, host):
    return 33, struct.pack(">HHH", priority, 0, port) + name(host)

ANSWERS = {
    ("_xmpp-client._tcp.lab.test", 33): [srv(20, 2222, "b.lab.test"), srv(10, 1111, "a.lab.test")],
    ("_xmpp-client._tcp.none.test", 33): [srv(0, 0, "")],
    ("a.lab.test", 1): [(1, socket.inet_aton("127.0.0.7"))],
    ("b.lab.test", 1): [(1, socket.inet_aton("127.0.0.8"))],
    ("plain.test", 1): [(1, socket.inet_aton("127.0.0.9"))],
}
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 53))
print("ready", flush=True)
while True:
    query, who = s.recvfrom(4096)
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
        at += 1 + query[at]
    kind = struct.unpack(">H", query[at + 1:at + 3])[0]
    found = ANSWERS.get((".".join(labels), kind), [])
    reply = query[:2] + struct.pack(">HHHHH", 0x8180, 1, len(found), 0, 0) + query[12:at + 5]
    for k, data in found:
        reply += b"\xc0\x0c" + struct.pack(">HHIH", k, 1, 60, len(data)) + data
    s.sendto(reply, who)
'''


@pytest.fixture(name="named")
def fixture_named(probe, tmp_path):
    """named(jid): a probe without a server of its own, so that it asks the names above."""
    (tmp_path / "names.py").write_text(NAME_SERVER)
    (tmp_path / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    (tmp_path / "nsswitch.conf").write_text("hosts: dns\n")
    (tmp_path / "run").write_text(
        "set -e\n"
        "ip link set lo up\n"
        f"mount --bind {tmp_path}/resolv.conf /etc/resolv.conf\n"
        f"mount --bind {tmp_path}/nsswitch.conf /etc/nsswitch.conf\n"
        f"exec 3< <(exec {sys.executable} {tmp_path}/names.py)\n"
        "read -r ready <&3\n"
        'exec "$@"\n')

    def make(jid):
        return probe(wrapper=("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
                              "bash", tmp_path / "run"), jid=jid, password="x", trace=True)
    return make


@pytest.mark.root
def test_service_records(named):
    """By priority, one address after the other, each with its own port."""
    p = named("a@lab.test")
    for where in ("127.0.0.7 port 1111", "127.0.0.8 port 2222"):
        p.expect(rf"trace out <!-- {where}: connecting -->")
    _, detail = p.offline("refused")
    assert detail.startswith("127.0.0.8 port 2222")


@pytest.mark.root
def test_domain_without_service_records(named):
    p = named("a@plain.test")
    _, detail = p.offline("refused")
    assert detail.startswith("127.0.0.9 port 5222")


@pytest.mark.root
def test_domain_that_has_no_service(named):
    p = named("a@none.test")
    _, detail = p.offline("no-address")
    assert "no XMPP service" in detail
