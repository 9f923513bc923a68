"""The output of a process that goes on, line by line, with a deadline."""
import os
import select
import time


class Lines:
    """The lines of a process as they come."""

    def __init__(self, process, stream=None):
        self.process, self.fd = process, (stream or process.stdout).fileno()
        self.rest, self.lines = b"", []

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
            data = os.read(self.fd, 65536)
            assert data, f"the output ended; {self.rest!r}"
            *lines, self.rest = (self.rest + data).split(b"\n")
            self.lines += [line.decode() for line in lines]
