"""Random faults: 100 on each server; with --long, 10,000 in all. Again with the same: ROTA_CHAOS_SEED=…"""
import os
import random
import secrets

import pytest
from chaos import Chaos, Summary, draw
from faults import KINDS

ROUND = 250  # faults on one lab, with --long


def one_round(kind, seed, faults):
    print(f"\nROTA_CHAOS_SEED={seed}", flush=True)
    with Chaos(kind, seed) as chaos:
        try:
            chaos.run(faults)
            summary = chaos.check()
        except BaseException:
            print(chaos.burst_text(chaos.bursts[-1]) if chaos.bursts else "before the first fault")
            print(chaos.lab.logs(40))
            raise
        assert not summary.wrong, summary.wrong
        assert (summary.lost, summary.doubled) == (0, 0)
        left = chaos.close()
    assert not left, f"processes that nobody ended: {left}"
    return summary


def first_seed():
    return int(os.environ.get("ROTA_CHAOS_SEED", secrets.randbelow(1_000_000)))


@pytest.mark.root  # network namespaces, mounts
def test_faults(kind, record_property):
    record_property("figures", str(one_round(kind, first_seed(), 100)))


@pytest.mark.root
@pytest.mark.long
def test_many_faults(kind, record_property):
    """One lab after the other, so that neither memory nor disk sees what 5,000 faults leave behind."""
    seed = first_seed()
    total = sum((one_round(kind, seed + number, ROUND) for number in range(5000 // ROUND)), Summary(kind, seed))
    record_property("figures", str(total))


def test_same_seed_same_faults():
    def drawn(seed):
        dice = random.Random(seed)
        return [Chaos.burst_text(draw(dice, 100)) for _ in range(50)]
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    dice = random.Random(7)
    assert {fault.kind for _ in range(200) for _, fault in draw(dice, 9)} == {kind.kind for kind in KINDS}


# the account itself: it must see what it is there for

WANT = b"".join(b"%d\n" % i for i in range(1000))


@pytest.mark.parametrize("got, whole, lost, doubled", [
    (WANT.replace(b"\n500\n", b"\n"), True, 1, 0),
    (WANT.replace(b"\n500\n", b"\n500\n500\n"), True, 0, 1),
    (WANT[:-1], True, 1, 1),      # the last line is another one
    (WANT[:2000], True, 473, 1),
    (WANT[:2000] + b"x", False, 0, 1),
    (WANT.replace(b"\n400\n", b"\n"), False, 0, 0),
    (b"", True, 1000, 0),
], ids=["a line less", "a line twice", "no last byte", "half", "half and more", "a hole in a part", "nothing"])
def test_the_account_sees(got, whole, lost, doubled):
    summary = Summary("prosody", 1)
    summary.compare("it", WANT, got, whole)
    assert summary.wrong
    assert (summary.lost, summary.doubled) == (lost, doubled)


@pytest.mark.parametrize("got, whole", [(WANT, True), (WANT, False), (WANT[:2000], False), (b"", False)],
                         ids=["all", "all of a part", "half", "nothing of a part"])
def test_the_account_is_content(got, whole):
    summary = Summary("prosody", 1)
    summary.compare("it", WANT, got, whole)
    assert not summary.wrong
    assert (summary.bytes, summary.lost, summary.doubled) == (len(got), 0, 0)
