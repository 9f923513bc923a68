"""Fixtures: every test that takes `lab`, `kind` or `shared_lab` runs once on Prosody and once on ejabberd."""
import os
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from lab import Lab  # noqa: E402
from peer import Peer  # noqa: E402

KINDS = os.environ.get("ROTA_SERVERS", "prosody ejabberd").split()


def pytest_configure(config):
    config.addinivalue_line("markers", "long: minutes, not seconds; only with --long")
    config.addinivalue_line("markers", "root: needs root")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="run the tests marked long too")


def pytest_collection_modifyitems(config, items):
    for item in items:
        if item.get_closest_marker("long") and not config.getoption("--long"):
            item.add_marker(pytest.mark.skip(reason="long: tests/run --long"))
        if item.get_closest_marker("root") and os.geteuid() != 0:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what the daemons had to say."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Lab):
                report.sections.append(("logs of the lab", value.logs()))


def pytest_terminal_summary(terminalreporter):
    """What tests measured, record_property("figures", text), at the end and whoever captures their output."""
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, [])]
    figures = [text for r in reports if r.when == "call" for name, text in r.user_properties if name == "figures"]
    if figures:
        terminalreporter.section("figures")
        for text in figures:
            terminalreporter.write_line(text)


@pytest.fixture(scope="session", params=KINDS)
def kind(request):
    """The server's name."""
    if not shutil.which("prosody" if request.param == "prosody" else "erl", path="/usr/bin:/usr/sbin"):
        pytest.fail(f"{request.param} is not installed: deploy/lab/packages {request.param}")
    return request.param


@pytest.fixture
def make_lab(kind):
    """make_lab(pcs=…, controllers=…): a lab of one's own, not started, closed after the test."""
    made = []

    def make(**kw):
        made.append(Lab(kind, **kw))
        return made[-1]
    yield make
    for lab in made:
        lab.close()


@pytest.fixture
def lab(make_lab):
    """One controller and pc1, pc2, pc3, all ready; this test's alone, so it may break everything.
    Accounts ana and eve exist and have no role but `view`."""
    lab = make_lab(accounts=("ana", "eve"))
    lab.start()
    return lab


@pytest.fixture(scope="module")
def shared_lab(kind):
    """As `lab`, for all tests of a file: do not break it."""
    with Lab(kind, accounts=("ana", "eve")) as lab:
        lab.start()
        yield lab


@pytest.fixture
def peer():
    """peer(lab, "eve"): an independent client, gone after the test."""
    made = []

    def make(lab, name, **kw):
        made.append(Peer(lab.server, name, **kw))
        return made[-1]
    yield make
    for p in made:
        p.close()
