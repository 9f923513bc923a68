"""An XMPP client on a bare socket, for stanzas by the ten thousand: it writes bytes and keeps the answers.

    with Raw(lab.server, "indy") as indy:
        indy.write("<iq …/><iq …/>")
        kind, text = indy.answer("id-1")      # "result" or "error", and the stanza as it came

Own code from TCP to the session (RFC 6120: STARTTLS, SCRAM-SHA-256, bind), so that nothing repairs what it sends.
"""
import base64
import contextlib
import ctypes
import hashlib
import hmac
import re
import secrets
import select
import socket
import ssl
import time

LIBC = ctypes.CDLL(None, use_errno=True)
IQ = re.compile(rb"<iq\b[^>]*?(?:/>|>.*?</iq>)", re.S)
ID = re.compile(rb"""<iq\b[^>]*?\sid=['"]([^'"]*)['"]""")
FROM = re.compile(rb"""<iq\b[^>]*?\sfrom=['"]([^'"]*)['"]""")
TYPE = re.compile(rb"""<iq\b[^>]*?\stype=['"]([^'"]*)['"]""")


@contextlib.contextmanager
def network_of(server):
    """This thread is where the server is; a socket stays where it was made."""
    net = [word[6:] for word in server.inside if word.startswith("--net=")]
    with contextlib.ExitStack() as stack:
        if net:
            home, there = (stack.enter_context(open(path, "rb")) for path in ("/proc/thread-self/ns/net", net[0]))
            stack.callback(lambda: LIBC.setns(home.fileno(), 0))
            if LIBC.setns(there.fileno(), 0) != 0:
                raise OSError(ctypes.get_errno(), f"setns {net[0]}")
        yield


class Raw:
    def __init__(self, server, name, resource="raw", presence=True):
        self.jid = f"{name}@{server.domain}/{resource}"
        self.answers = {}  # id -> (type, text)
        self.ended = None
        self._kept = b""   # of what came, not looked at yet
        self._due = b""    # to be written with what is next
        self._server, self._name = server, name
        with network_of(server):
            self._socket = socket.create_connection((server.host, server.port), 10)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._login(f"pw-{name}", resource)
        self._socket.setblocking(False)
        if presence:
            self.write("<presence/>")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # beginning

    def _say(self, text):
        self._socket.sendall(text.encode())

    def _until(self, *ends):
        got = b""
        while not any(e in got for e in ends):
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError(f"{self.jid}: the server hung up: {got[-300:]}")
            got += more
        return got

    def _open(self):
        self._say(f"<stream:stream to='{self._server.domain}' xmlns='jabber:client' version='1.0' "
                   "xmlns:stream='http://etherx.jabber.org/streams'>")
        return self._until(b"</stream:features>", b"</features>")

    def _ask(self, text):
        self._say(text)
        return self._until(b"</challenge>", b"</success>", b"<success", b"</failure>")

    def _login(self, password, resource):
        self._open()
        self._say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        self._until(b"<proceed")
        context = ssl.create_default_context(cafile=str(self._server.ca_file))
        self._socket = context.wrap_socket(self._socket, server_hostname=self._server.domain)
        self._open()
        self._scram(password)
        self._open()
        self._say("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
                   f"<resource>{resource}</resource></bind></iq>")
        bound = self._until(b"</iq>")
        if f"<jid>{self.jid}</jid>".encode() not in bound:
            raise ConnectionError(f"{self.jid}: {bound}")

    def _scram(self, password):
        sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
        first = f"n={self._name},r={secrets.token_hex(12)}"
        got = self._ask(f"<auth xmlns='{sasl}' mechanism='SCRAM-SHA-256'>"
                        f"{base64.b64encode(b'n,,' + first.encode()).decode()}</auth>")
        challenge = base64.b64decode(re.search(rb"<challenge[^>]*>([^<]*)<", got).group(1)).decode()
        parts = dict(p.split("=", 1) for p in challenge.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(parts["s"]), int(parts["i"]))
        client = hmac.digest(salted, b"Client Key", "sha256")
        last = f"c=biws,r={parts['r']}"
        signature = hmac.digest(hashlib.sha256(client).digest(), f"{first},{challenge},{last}".encode(), "sha256")
        proof = bytes(a ^ b for a, b in zip(client, signature))
        got = self._ask(f"<response xmlns='{sasl}'>"
                        f"{base64.b64encode(f'{last},p={base64.b64encode(proof).decode()}'.encode()).decode()}"
                        "</response>")
        if b"<success" not in got:
            raise ConnectionError(f"{self.jid}: {got}")

    # session

    def _receive(self):
        """What is there; whoever asks has waited."""
        try:
            while not self.ended:
                more = self._socket.recv(1 << 18)
                if not more:
                    self.ended = self._kept[-500:] or b"closed"
                self._kept = self._take(self._kept + more)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as e:
            self.ended = self._kept[-500:] + str(e).encode()

    def _take(self, text):
        """The answers in it, and pings of the server; returns what may be the beginning of another."""
        end = 0
        for m in IQ.finditer(text):
            end, stanza = m.end(), m.group(0)
            ident, kind = ID.search(stanza), TYPE.search(stanza)
            if not ident or not kind:
                continue
            if kind.group(1) in (b"result", b"error"):
                self.answers[ident.group(1).decode()] = (kind.group(1).decode(), stanza.decode())
            elif (who := FROM.search(stanza)) and b"urn:xmpp:ping" in stanza:
                self._due += b"<iq type='result' id='%s' to='%s'/>" % (ident.group(1), who.group(1))
        begin = text.rfind(b"<iq", end)
        return text[begin:] if begin >= 0 else text[max(end, len(text) - 8):]

    def tick(self):
        """For a client that is not waiting for anything: servers end those that do not answer their pings."""
        self._receive()
        self.write("")

    def write(self, text):
        """Reads meanwhile, or both ends would wait for each other."""
        data, self._due = memoryview(self._due + text.encode()), b""
        while data and not self.ended:
            try:
                data = data[self._socket.send(data[:65536]):]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                select.select([self._socket], [self._socket], [], 1)
                self._receive()
            except OSError as e:
                self.ended = str(e).encode()
        if self.ended:
            raise ConnectionError(f"{self.jid}: {self.ended}")

    def answer(self, ident, deadline=20):
        """(type, text) of the answer, which is forgotten then."""
        end = time.monotonic() + deadline
        while True:
            self._receive()
            if self._due:
                self.write("")
            if ident in self.answers:
                return self.answers.pop(ident)
            if self.ended:
                raise ConnectionError(f"{self.jid}: {self.ended}")
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{self.jid}: no answer to {ident} within {deadline} s")
            select.select([self._socket], [], [], left)

    def iq(self, to, kind, payload, deadline=20):
        ident = secrets.token_hex(6)
        self.write(f"<iq to='{to}' type='{kind}' id='{ident}'>{payload}</iq>")
        return self.answer(ident, deadline)

    def close(self):
        try:
            self._socket.settimeout(2)
            self._socket.sendall(b"</stream:stream>")
        except OSError:
            pass
        self._socket.close()
