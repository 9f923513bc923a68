"""A fleet of a few hundred: complete in seconds, listed and pinged at once. Bounds with room for a busy machine; the figures for
1,000 to 5,000 are tests/bench/scale's."""
import pytest

from scale import Scale

TARGETS = 400


def check(s, room):
    login, ls, ping, memory = s.login(), s.ls(), s.ping(), s.memory()
    print(f"{s.count} targets: picture {login:.2f} s, ls {ls * 1000:.0f} ms, ping {ping:.2f} s, "
          f"{memory / 2**20:.1f} MiB")
    assert login < 2 * room
    assert ls < 0.1 * room
    assert ping < 1 * room
    assert memory < 64 * 2**20


def test_scale(kind):
    with Scale(kind, TARGETS) as s:
        check(s, 3)


@pytest.mark.long
def test_long_scale(kind):
    with Scale(kind, 1000) as s:
        check(s, 1.5)
