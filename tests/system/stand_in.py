"""A controller in miniature that shares no code with rota: it syncs, keeps bytes, and acknowledges.

    with StandIn(lab.server, "ctl") as c:
        c.follow("pc1")                 # subscribe, wait for its presence, sync
        run = c.exec("echo", "hello")
        c.ended(run)["verdict"]
        c.output(run)                   # after checking size and hash of every stream
"""
import base64
import ctypes
import hashlib
import json
import secrets
from xml.sax.saxutils import escape, quoteattr

from lab import wait_for
from peer import Peer

POWER, PRESENCE, RUN, STREAM = (f"urn:rota:{n}:1" for n in ("power", "presence", "run", "stream"))
LIBZSTD = ctypes.CDLL("libzstd.so.1")
LIBZSTD.ZSTD_decompress.restype = ctypes.c_size_t
LIBZSTD.ZSTD_decompress.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p,
                                    ctypes.c_size_t]


def unzstd(data, size):
    out = ctypes.create_string_buffer(size)
    got = LIBZSTD.ZSTD_decompress(out, size, data, len(data))
    assert got == size, f"a frame of {got} bytes where {size} were announced"
    return out.raw


def exec_step(*argv, **more):
    return {"exec": list(argv), **more}


class StandIn(Peer):
    def __init__(self, server, name, streams=None, **kw):
        self.streams = {} if streams is None else streams  # (run, stream) -> bytearray
        self.refused = []                                  # (run, why, text)
        self.target = None
        super().__init__(server, name, **kw)

    def _arrived(self, stanza):
        acks = {}
        for chunk in stanza.xml.findall(f"{{{STREAM}}}chunk"):
            key, offset = (chunk.get("run"), chunk.get("stream")), int(chunk.get("offset"))
            data = base64.b64decode(chunk.text)
            if chunk.get("codec") == "zstd":
                data = unzstd(data, int(chunk.get("size")))
            have = self.streams.setdefault(key, bytearray())
            if offset <= len(have):
                have += data[len(have) - offset:]
                acks[key] = len(have)
        if acks:
            self.send("<message to=%s type='headline'>%s</message>" % (
                quoteattr(stanza.xml.get("from")), "".join(
                    f"<ack xmlns='{STREAM}' run='{r}' stream='{s}' next='{n}'/>"
                    for (r, s), n in acks.items())))
        for refused in stanza.xml.findall(f"{{{RUN}}}refused"):
            self.refused.append((refused.get("run"), refused.get("why"), refused.text))
        return super()._arrived(stanza)

    # presence

    def follow(self, name):
        self.target = f"{name}@{self._server.domain}"
        self.subscribe(self.target)
        self.state("ready", "busy", "reserved")
        self.sync()

    def announced(self):
        """Every presence of the target, oldest first: the attributes of its x, or None for unavailable."""
        found = []
        for p in self.all(lambda s: s.tag.endswith("}presence") and
                          (s.get("from") or "").split("/")[0] == self.target):
            x = p.find(f"{{{PRESENCE}}}x")
            if p.get("type") == "unavailable":
                found.append(None)
            elif p.get("type") is None and x is not None:
                found.append(dict(x.attrib, element=x))
        return found

    def now(self):
        return (self.announced() or [None])[-1]

    def state(self, *states, deadline=15):
        return wait_for(lambda: self.now() and self.now()["state"] in states and self.now(),
                        deadline, what=f"{self.target} {states}, it is {self.now()}")

    def sid(self):
        return self.state("ready", "busy", "reserved", "draining", "rebooting")["sid"]

    def back(self, old_sid, deadline=20):
        """Waits for a connection after @old_sid's, and syncs."""
        wait_for(lambda: self.now() and self.now()["sid"] != old_sid, deadline, what="a new session")
        self.sync()

    # runs

    @property
    def full(self):
        return self.target + "/target"

    def sync(self, done=()):
        have = "".join(f"<have run='{r}' stream='{s}' next='{len(b)}'/>"
                       for (r, s), b in self.streams.items())
        have += "".join(f"<done run='{r}'/>" for r in done)
        answer = self.iq(self.full, "set", f"<sync xmlns='{STREAM}'>{have}</sync>")
        assert answer.get("type") == "result"

    def submit(self, plan, run=None, **attributes):
        run = run or secrets.token_hex(6)
        text = plan if isinstance(plan, str) else json.dumps(plan)
        more = "".join(f" {k.replace('_', '-')}={quoteattr(str(v))}"
                       for k, v in attributes.items())
        self.send(f"<message to='{self.target}'><run xmlns='{RUN}' id='{run}'{more}>"
                  f"<json xmlns='urn:xmpp:json:0'>{escape(text)}</json></run></message>")
        return run

    def exec(self, *argv, run=None, **more):
        return self.submit({"steps": [exec_step(*argv, **more)]}, run)

    def cancel(self, run):
        self.send(f"<message to='{self.target}'><cancel xmlns='{RUN}' run='{run}'/></message>")

    def done(self, run):
        self.send(f"<message to='{self.target}' type='headline'><done xmlns='{STREAM}' "
                  f"run='{run}'/></message>")

    def refusal(self, run, deadline=5):
        return wait_for(lambda: next((r for r in self.refused if r[0] == run), None), deadline,
                        what=f"refusal of {run}")

    def events(self, run):
        lines = bytes(self.streams.get((run, "events"), b"")).split(b"\n")[:-1]
        return [json.loads(line) for line in lines]

    def event(self, run, kind, deadline=30):
        return wait_for(lambda: next((e for e in self.events(run) if e["ev"] == kind), None),
                        deadline, what=f"{kind} of {run}, has {self.events(run)} {self.refused}")

    def ended(self, run, deadline=60):
        return self.event(run, "ended", deadline)

    def printed(self, run, size=1, stream="1.out", deadline=20):
        """Waits until so many bytes of output are here."""
        return wait_for(lambda: len(self.streams.get((run, stream), b"")) >= size and
                        bytes(self.streams[run, stream]), deadline, what=f"output of {run}")

    def output(self, run, stream="1.out"):
        """The output of an ended run. What the run says of its streams must be so."""
        self.ended(run)
        for event in self.events(run):
            for s in event.get("streams", []):
                data = self.printed(run, s["size"], s["name"], 60) if s["size"] else b""
                assert len(data) == s["size"]
                assert hashlib.sha256(data).hexdigest() == s["sha256"]
        return bytes(self.streams.get((run, stream), b""))

    # power

    def challenge(self):
        answer = self.iq(self.full, "get", f"<challenge xmlns='{POWER}'/>")
        return answer.find(f"{{{POWER}}}challenge").attrib

    def reboot(self, challenge, mode):
        return self.iq(self.full, "set", f"<reboot xmlns='{POWER}' nonce='{challenge['nonce']}' "
                       f"boot='{challenge['boot']}' mode='{mode}' reason='test'/>")


def why(answer):
    """The element of ours in an error answer."""
    assert answer.get("type") == "error"
    for child in answer.iter():
        if child.tag.startswith("{urn:rota:error:1}"):
            return child.tag.split("}")[1], dict(child.attrib)
    return None, {}
