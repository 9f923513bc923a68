"""The output of a process that goes on, line by line, with a deadline."""
import os
import select
import time


class Lines:
    """The lines of a process as they come."""

    def __init__(self, process, stream=None):
        self.process, self.fd = process, (stream or process.stdout).fileno()
        self.rest, self.lines = b"", []

    def ready(self, text):
        """Whether a line with @text is there already; it is not taken."""
        while select.select([self.fd], [], [], 0)[0] and self.more():
            pass
        return any(text in line for line in self.lines)

    def more(self):
        data = os.read(self.fd, 65536)
        *lines, self.rest = (self.rest + data).split(b"\n")
        self.lines += [line.decode() for line in lines]
        return bool(data)

    def until(self, predicate, deadline=10):
        """The first line that fits, from now on."""
        end = time.monotonic() + deadline
        while True:
            while self.lines:
                line = self.lines.pop(0)
                if predicate(line):
                    return line
            left = end - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], "no such line"
            assert self.more(), f"the output ended; {self.rest!r}"
