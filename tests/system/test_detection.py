"""A machine that is gone is shown so in seconds, and one that is not is never called offline.

The figures are tests/bench/detection's, with a thousand machines on a quiet computer; here are fewer, and margin. --long
adds half an hour (or $ROTA_SOAK_MINUTES) of a thousand with busy processors.
"""
import os

import pytest
from detection import BOUNDS, Detection

pytestmark = pytest.mark.root
CROWD = 150
MARGIN = 3  # seconds


@pytest.fixture(scope="module")
def place(kind):
    with Detection(kind, CROWD) as d:
        print(f"{kind}: seed {d.seed}")
        yield d


def test_every_cause_is_seen_in_time(place):
    for cause, name, seen in place.causes():
        state, bound = BOUNDS[cause][1:]
        print(f"{cause}: {seen}")
        assert seen[state] <= bound + MARGIN, (cause, name, seen)
    said = place.said()
    # nobody else was called anything
    assert {who for who, state in said if state in ("offline", "silent", "suspect")} <= {
        "pc1", "pc2", "pc3", "pc4", "pc5"}


def test_the_evidence_is_told(place):
    """While a daemon hangs: what is known, by whom, and what can be done."""
    place.hang()
    place.lab.wait_state("pc5", "silent", deadline=15)
    why = place.lab.rota("why", "pc5").out
    place.lab.wait_state("pc5", "offline", deadline=15)
    gone = place.lab.rota("why", "pc5").out
    place.mend()
    assert "pc5 is silent" in why and "pings unanswered since" in why
    assert "our server answers and says that it is online" in why and "last heard" in why
    assert "pc5 is offline" in gone and "the server says it is gone, since" in gone


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_of_the_server_makes_nobody_offline(place, how):
    result = place.server_restart(how)
    print(result)
    assert not [who for who, state in result["wrong"] if state != "suspect"]
    assert result["back"] <= 10 + 2 * MARGIN, result


def test_busy_processors_make_nobody_offline(place):
    result = place.soak(10)
    print(result)
    assert not {"offline", "silent", "overdue"} & set(result["wrong"]), result
    assert result["states"] == {"ready": CROWD + 5}


@pytest.mark.long
def test_a_long_time_with_busy_processors_makes_nobody_offline(kind):
    with Detection(kind, 1000) as d:
        result = d.soak(float(os.environ.get("ROTA_SOAK_MINUTES", "30")) * 60)
        print(result)
        assert not {"offline", "silent", "overdue"} & set(result["wrong"]), result
