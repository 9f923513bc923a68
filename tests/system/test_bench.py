"""The bench runs, and its figures are of the right kind; how good they are is for a quiet machine to say."""
import json
import subprocess

import pytest

from lab import TOP, program

FIGURES = ["bare_mb_s", "bare_ping_usec", "rota_random_mb_s", "rota_text_mb_s", "random_ratio",
           "text_ratio", "line_ms_p50", "line_ms_p99", "true_ms_p50", "true_ms_p99",
           "ping_usec_p50", "ping_usec_p99", "target_idle_pss_kb", "controller_pss_kb"]


@pytest.mark.parametrize("kind", ["prosody", "ejabberd"])
def test_bench(kind):
    program("rota-bench-bare")
    done = subprocess.run([TOP / "tests/bench/run", "--server", kind, "--mb", "2", "--json"],
                          capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["server"] == kind
    assert {f: result[f] for f in FIGURES if not result[f] > 0} == {}
    assert result["line_ms_p50"] <= result["line_ms_p99"]
