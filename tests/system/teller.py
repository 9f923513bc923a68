"""A program that tells a long, known story: what it prints follows from its arguments.

    teller.py KIND SEED AMOUNT WITNESS

KIND is `counter` (numbered lines), `text` (lines as of a test log) or `noise` (any bytes). Each time it
runs it adds "began" to WITNESS, and when it has printed everything "sha256 HEX SIZE" of what it
printed, summed up by itself. The checker makes the same story from the same arguments.
"""
import hashlib
import random
import select
import sys

PACE = {"counter": 0.01, "text": 0.02, "noise": 0.05}  # seconds between two pieces


def pieces(kind, seed, amount):
    """The story, in the pieces in which it is printed."""
    dice = random.Random(seed)
    for i in range(amount):
        if kind == "counter":
            yield b"%d line %d\n" % (seed, i)
        elif kind == "text":
            yield b"".join(b"[%6d] pass %d of %d: %s, errors %d\n" %
                           (i, dice.randrange(9), dice.randrange(99),
                            dice.choice([b"memory", b"disk", b"network"]), dice.randrange(3))
                           for _ in range(20))
        else:
            yield dice.randbytes(dice.choice([1, 100, 4096, 65536]))


def story(kind, seed, amount):
    return b"".join(pieces(kind, seed, amount))


def main(kind, seed, amount, witness):
    with open(witness, "a", encoding="ascii", buffering=1) as told:
        told.write("began\n")
        summed, size = hashlib.sha256(), 0
        for piece in pieces(kind, int(seed), int(amount)):
            summed.update(piece)
            size += len(piece)
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            select.select([], [], [], PACE[kind])
        told.write(f"sha256 {summed.hexdigest()} {size}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
