"""An XMPP client that shares no code with rota: it speaks the wire through slixmpp.

Its event loop runs in a thread of its own, so that tests read from top to bottom:

    with Peer(lab.server, "eve") as eve:
        eve.send("<message to='pc1@lab.test'><run xmlns='urn:rota:run:1' …/></message>")
        got = eve.expect(lambda s: s.find("{urn:rota:stream:1}chunk") is not None)
        error = eve.iq("pc1@lab.test/rota", "set", "<reboot xmlns='urn:rota:power:1' …/>")

Stanzas are xml.etree elements, complete with the envelope.
"""
import asyncio
import itertools
import threading
import time
import xml.etree.ElementTree as ET

import slixmpp


class Peer:
    _ids = itertools.count(1)

    def __init__(self, server, name, resource="peer", password=None, presence=True):
        self.jid = f"{name}@{server.domain}/{resource}"
        self.seen = []                      # every stanza, in order of arrival
        self._changed = threading.Condition()
        self._online = threading.Event()
        self._failed = None
        self._loop = asyncio.new_event_loop()
        self._server, self._password = server, password or f"pw-{name}"
        self._presence = presence
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        if not self._online.wait(10) or self._failed:
            self.close()
            raise ConnectionError(f"{self.jid}: {self._failed or 'no session within 10 s'}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _run(self):
        asyncio.set_event_loop(self._loop)
        client = slixmpp.ClientXMPP(self.jid, self._password)
        client.ca_certs = str(self._server.ca_file)
        client.register_plugin("xep_0199")
        client.auto_authorize = True
        client.add_filter("in", self._arrived)
        client.add_event_handler("session_start", self._started)
        client.add_event_handler("failed_auth", lambda _: self._fail("wrong password"))
        client.add_event_handler("connection_failed", lambda e: self._fail(str(e)))
        self._client = client
        client.connect(("127.0.0.1", self._server.port))
        self._loop.run_forever()

    def _fail(self, why):
        self._failed = why
        self._online.set()

    async def _started(self, _):
        await self._client.get_roster()
        if self._presence:
            self._client.send_presence()
        self._online.set()

    def _arrived(self, stanza):
        with self._changed:
            # a copy: slixmpp goes on working on its own
            self.seen.append(ET.fromstring(ET.tostring(stanza.xml)))
            self._changed.notify_all()
        return stanza

    def send(self, text):
        """Writes @text to the stream as it is."""
        self._loop.call_soon_threadsafe(self._client.send_raw, text)

    def iq(self, to, kind, payload, deadline=10):
        """Sends an iq and returns the answer (result or error)."""
        ident = f"peer-{next(self._ids)}"
        self.send(f"<iq to='{to}' type='{kind}' id='{ident}'>{payload}</iq>")
        return self.expect(lambda s: s.tag.endswith("}iq") and s.get("id") == ident and
                           s.get("type") in ("result", "error"), deadline, what=f"answer of {to}")

    def expect(self, predicate, deadline=10, since=0, what="stanza"):
        """The first stanza since index @since that fits, waiting for it."""
        end = time.monotonic() + deadline
        with self._changed:
            while True:
                for stanza in self.seen[since:]:
                    if predicate(stanza):
                        return stanza
                left = end - time.monotonic()
                if left <= 0:
                    last = [ET.tostring(s, "unicode")[:300] for s in self.seen[-5:]]
                    raise TimeoutError(f"{self.jid}: no {what} within {deadline} s; last: {last}")
                self._changed.wait(left)

    def all(self, predicate):
        with self._changed:
            return [s for s in self.seen if predicate(s)]

    def subscribe(self, bare):
        """Asks to see a target's presence."""
        self.send(f"<presence to='{bare}' type='subscribe'/>")

    def close(self):
        async def leave():
            await self._client.disconnect(wait=1)
            # slixmpp leaves tasks behind, which complain when the loop is gone
            rest = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in rest:
                task.cancel()
            await asyncio.gather(*rest, return_exceptions=True)
            self._loop.stop()
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(lambda: self._loop.create_task(leave()))
            self._thread.join(5)
