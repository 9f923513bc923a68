"""Random faults: 100 on each server; with --long, 10,000 in all. Again with the same: ROTA_CHAOS_SEED=…"""
import os
import secrets

import pytest
from chaos import Chaos

pytestmark = pytest.mark.root  # network namespaces, mounts
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
        print(summary, flush=True)
        assert not summary.wrong, summary.wrong
        assert (summary.lost, summary.doubled) == (0, 0)
        left = chaos.close()
    assert not left, f"processes that nobody ended: {left}"
    return summary


def first_seed():
    return int(os.environ.get("ROTA_CHAOS_SEED", secrets.randbelow(1_000_000)))


def test_faults(kind):
    one_round(kind, first_seed(), 100)


@pytest.mark.long
def test_many_faults(kind):
    seed = first_seed()
    for number in range(5000 // ROUND):
        one_round(kind, seed + number, ROUND)
