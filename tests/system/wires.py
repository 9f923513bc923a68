"""A lab whose machines are network namespaces: one for the server, one for each PC and controller.

    with WiredLab("prosody", pcs=["pc1", "pc2"]) as lab:
        lab.start()
        lab.wires.plug("pc1", False)                 # its cable is out
        with lab.wires.rule("pc1", "drop"): ...      # half-open: nothing passes, nobody is told

All hang on one bridge in a namespace of its own. A namespace lives as long as the process that holds it, which
dies with us: nothing has a name, and nothing stays behind.
"""
import contextlib
import itertools
import os
import subprocess

from lab import Lab, Server, dies_with_us, wait_for

SWITCH = "switch"
SERVER = "server"


class Wires:
    def __init__(self, nodes):
        self.nodes = list(nodes)
        self._numbers = itertools.count(1)
        self._holders = {}
        try:
            for node in (SWITCH, *self.nodes):
                self._holders[node] = self._hold()
            self.run(SWITCH, "ip", "-batch", "-", stdin="link add br0 type bridge\nlink set br0 up\n")
            for number, node in enumerate(self.nodes, 1):
                # the switch's end has the node's name
                self.run(SWITCH, "ip", "-batch", "-", stdin=(
                    f"link add {node} type veth peer name eth0 netns {self._holders[node].pid}\n"
                    f"link set {node} master br0\nlink set {node} up\n"))
                self.run(node, "ip", "-batch", "-", stdin=(
                    f"link set lo up\naddress add {self.address(node)}/24 dev eth0\nlink set eth0 up\n"))
                assert number < 200
        except BaseException:
            self.close()
            raise

    def _hold(self):
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], preexec_fn=dies_with_us,
                                  stdin=subprocess.DEVNULL)
        ours = os.readlink("/proc/self/ns/net")
        wait_for(lambda: os.readlink(f"/proc/{holder.pid}/ns/net") != ours, what="a network namespace")
        return holder

    def address(self, node):
        return f"10.77.0.{self.nodes.index(node) + 1}"

    def inside(self, node):
        """The words before a command that is to run there. No process more: they end in exec."""
        return ["nsenter", f"--net=/proc/{self._holders[node].pid}/ns/net"]

    def run(self, node, *argv, stdin="", check=True):
        done = subprocess.run([*self.inside(node), *argv], input=stdin, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check and done.returncode:
            raise RuntimeError(f"{node}: {' '.join(argv)}: {done.stderr}{stdin}")
        return done.stdout

    def processes(self, node):
        """Who lives there, without the one that holds it."""
        net = os.readlink(f"/proc/{self._holders[node].pid}/ns/net")
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/ns/net") == net:
                    found.append(int(pid))
        return [p for p in found if p != self._holders[node].pid]

    def plug(self, node, is_in):
        """The cable, at the switch: out, its other end has no carrier either."""
        self.run(SWITCH, "ip", "link", "set", node, "up" if is_in else "down")

    def blackhole(self, node, on):
        """The way to everybody else swallows what is sent."""
        for other in self.nodes:
            if other != node:
                self.run(node, "ip", "route", "add" if on else "delete", "blackhole",
                         f"{self.address(other)}/32")

    def slow(self, node, rate):
        """@rate as tc has it ("64kbit"), both ways; None: as fast as it goes."""
        for where, device in ((node, "eth0"), (SWITCH, node)):
            words = ["root", "tbf", "rate", rate, "burst", "4kb", "latency", "400ms"] if rate else ["root"]
            self.run(where, "tc", "qdisc", "replace" if rate else "delete", "dev", device, *words)

    def begin_rule(self, node, rule):
        """An nftables rule for everything that comes and goes, beside others. Returns what end_rule() wants."""
        table = f"rule{next(self._numbers)}"
        self.run(node, "nft", "-f", "-", stdin=(
            f"table inet {table} {{\n"
            f" chain in {{\n type filter hook input priority 0; policy accept;\n iifname eth0 {rule}\n }}\n"
            f" chain out {{\n type filter hook output priority 0; policy accept;\n oifname eth0 {rule}\n }}\n"
            "}\n"))
        return table

    def end_rule(self, node, table):
        self.run(node, "nft", "delete", "table", "inet", table)

    @contextlib.contextmanager
    def rule(self, node, rule):
        table = self.begin_rule(node, rule)
        try:
            yield
        finally:
            self.end_rule(node, table)

    def close(self):
        for holder in self._holders.values():
            holder.kill()
            holder.wait()


class WiredLab(Lab):
    """A Lab on Wires; the nodes have the names of the PCs and controllers, and "server"."""

    def __init__(self, kind="prosody", pcs=("pc1", "pc2", "pc3"), controllers=("ctl",), **kw):
        self.wires = Wires([SERVER, *controllers, *pcs])
        super().__init__(kind, pcs=pcs, controllers=controllers, **kw)
        for piece in [*self.controllers.values(), *self.pcs.values()]:
            piece.inside = self.wires.inside(piece.name)

    def make_server(self, kind):
        server = Server(kind, self.path / "server", inside=self.wires.inside(SERVER), listen="0.0.0.0")
        server.host = self.wires.address(SERVER)
        return server

    def close(self):
        super().close()
        self.wires.close()
