"""Results of real runs, as tests print them: recognised, shown, compared, exported; and what is no result stays text."""
import csv
import html.parser
import io
import json
import os
import xml.etree.ElementTree as ET

import pytest
from lab import Lab, wait_for
from promises import submit

TAP = """TAP version 14
1..4
ok 1 - memory is there
# Subtest: disks
    1..2
    ok 1 - sda
    not ok 2 - sdb <b>&amp;</b>
      ---
      message: 'reallocated sectors: 12'
      ...
not ok 2 - disks
ok 3 # SKIP no gpu
not ok 4 - fan # TODO no fan yet
"""
JUNIT = """Running main() from gtest_main.cc
<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="2" failures="1" name="AllTests">
  <testsuite name="Math" tests="2" failures="1">
    <testcase name="Adds" status="run" result="completed" time="0.25" classname="Math"/>
    <testcase name="Divides" status="run" time="0.002" classname="Math"><failure message="m.cc:9" type=""/></testcase>
  </testsuite>
</testsuites>
"""
PRINT = 'printf %s "$0"; exit "$1"'


def ocp(speed, result, whole=True):
    step = {"testStepId": "0"}
    lines = [
        {"schemaVersion": {"major": 2, "minor": 0}},
        {"testRunArtifact": {"testRunStart": {"name": "fans", "version": "1", "commandLine": "fans"}}},
        {"testStepArtifact": {**step, "testStepStart": {"name": "spin"}}},
        {"testStepArtifact": {**step, "measurement": {
            "name": "speed", "unit": "RPM", "value": speed,
            "validators": [{"type": "GREATER_THAN_OR_EQUAL", "value": 9000}]}}},
        {"testStepArtifact": {**step, "diagnosis": {"verdict": "fan", "type": result}}},
        {"testStepArtifact": {**step, "testStepEnd": {"status": "COMPLETE"}}},
        {"testRunArtifact": {"testRunEnd": {"status": "COMPLETE", "result": result}}},
    ]
    lines = [json.dumps({**line, "sequenceNumber": n}) for n, line in enumerate(lines)]
    return "\n".join(lines if whole else lines[:4]) + "\n"


@pytest.fixture(scope="module")
def lab():
    with Lab("prosody", pcs=("pc1", "pc2")) as lab:
        lab.start()
        yield lab


def ran(lab, text, code=0, target="pc1"):
    run = submit(lab, target, "sh", "-c", PRINT, text, code)
    lab.wait_run(run)
    return run


def results(lab, run, code):
    found = lab.rota("results", "--json", run)
    assert found.code == code, found
    return found.json()["runs"][0]


def names(run, verdict, kind="test"):
    return [r["name"] for r in run["results"] if r["kind"] == kind and r["verdict"] == verdict]


def test_tap(lab):
    run = ran(lab, TAP, 1)
    found = results(lab, run, 1)
    assert found["formats"] == ["tap"] and found["problems"] == []
    assert names(found, "passed") == ["memory is there", "sda"]
    assert names(found, "failed") == ["sdb <b>&amp;</b>"]
    assert names(found, "skipped") == ["test 3", "fan"]
    people = lab.rota("results", run)
    assert people.code == 1
    assert "reallocated sectors: 12" in people.out and "disks / sdb" in people.out
    assert people.out.splitlines()[-1] == "2 passed, 1 failed, 2 skipped"


def test_junit(lab):
    found = results(lab, ran(lab, JUNIT, 1), 1)
    assert found["formats"] == ["junit"] and found["problems"] == []
    assert names(found, "passed") == ["Adds"] and names(found, "failed") == ["Divides"]
    assert found["results"][0]["seconds"] == 0.25


def test_ocp_and_diff(lab):
    good, bad = ran(lab, ocp(9500, "PASS")), ran(lab, ocp(8000, "FAIL"), 1)
    found = results(lab, good, 0)
    assert found["formats"] == ["ocp"] and names(found, "passed") == ["fan"]
    value = next(r for r in found["results"] if r["kind"] == "measurement")
    assert (value["value"], value["unit"], value["limits"], value["verdict"]) == \
        (9500, "RPM", ">= 9000", "passed")
    people = lab.rota("results", bad)
    assert people.code == 1 and "8000 RPM" in people.out and ">= 9000" in people.out
    diff = lab.rota("diff", good, bad)
    assert diff.code == 1 and "passed" in diff.out and "failed" in diff.out
    assert "-1500" in diff.out and "-15.8 %" in diff.out
    facts = lab.rota("diff", "--json", good, bad).json()
    assert [c["name"] for c in facts["changed"]] == ["fan", "spin"] or \
        [c["name"] for c in facts["changed"]] == ["fan"]
    assert facts["measurements"][0]["difference"] == -1500
    assert lab.rota("diff", good, good).code == 0


def test_cut_by_the_program_and_by_us(lab):
    """What broke off by itself is an error; what was cancelled is not-run, and no failure."""
    cut = results(lab, ran(lab, ocp(9500, "PASS", whole=False)), 1)
    assert names(cut, "error") == ["spin"] and names(cut, "failed") == []
    run = submit(lab, "pc1", "sh", "-c", 'printf %s "$0"; exec sleep 600', ocp(9500, "", whole=False))
    lab.wait_run(run, "running")
    assert lab.rota("cancel", run).code in (0, 8)
    lab.wait_run(run)
    found = results(lab, run, 3)
    assert names(found, "failed") == names(found, "error") == [] and names(found, "not-run")
    junit = ET.fromstring(lab.rota("export", "--format", "junit", run).raw)
    assert junit.get("failures") == junit.get("errors") == "0"
    assert junit.find(".//failure") is None and junit.find(".//error") is None
    assert junit.find(".//skipped").get("message").startswith("not-run")


def test_ordinary_output_is_a_test_by_its_exit_status(lab):
    """Nor does anything of it reach a terminal as it is."""
    run = ran(lab, "1..10\nok\nnot ok, says \x1b[31mnobody\x1b[0m\n{\"a\":1}\n<?xml version='1.0'?><a/>\n", 3)
    found = results(lab, run, 1)
    assert found["formats"] == [] and len(found["results"]) == 1
    assert "3" in found["results"][0]["message"]
    evil = lab.rota("results", ran(lab, "TAP version 14\n1..1\nok 1 - \x1b]0;title\x07\x1b[2J\n"))
    assert evil.code == 0 and b"\x1b" not in evil.raw and b"\x07" not in evil.raw


class Page(html.parser.HTMLParser):
    """The elements and the text of a page; nothing may come from elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not {"src", "href", "onclick", "onload"} & {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def test_export_of_a_batch(lab, tmp_path):
    done = lab.rota("run", "--json", "pc*", "--", "sh", "-c", PRINT, TAP + "# <script>alert(1)</script>\n", "1")
    assert done.code == 1, done
    runs = lab.rota("runs", "--json", "-n", "2").json()
    batch = runs[0]["batch"]
    assert batch and runs[1]["batch"] == batch
    page = tmp_path / "page.html"
    assert lab.rota("export", "-o", page, batch).code == 0
    seen = Page(page.read_text())
    assert not {"script", "b", "img", "link", "iframe"} & set(seen.tags)
    assert "sdb <b>&amp;</b>" in seen.text and "pc1" in seen.text and "pc2" in seen.text
    assert "4 passed, 2 failed, 4 skipped" in seen.text
    assert sorted(os.listdir(tmp_path)) == ["page.html"]

    junit = ET.fromstring(lab.rota("export", "-f", "junit", batch).raw)
    assert junit.tag == "testsuites" and len(junit) == 2
    for suite in junit:
        cases = suite.findall("testcase")
        assert int(suite.get("tests")) == len(cases) == 5
        assert int(suite.get("failures")) == len(suite.findall("testcase/failure")) == 1
        assert int(suite.get("skipped")) == len(suite.findall("testcase/skipped")) == 2
        assert suite.get("hostname") in ("pc1", "pc2")
        assert suite.find("testcase/failure").get("message") == "reallocated sectors: 12"

    rows = list(csv.DictReader(io.StringIO(lab.rota("export", "-f", "csv", batch).out, newline="")))
    assert [r["verdict"] for r in rows if r["kind"] == "test"].count("failed") == 2
    lines = lab.rota("export", "-f", "jsonl", batch).out.splitlines()
    assert len(lines) == len(rows) and {json.loads(line)["target"] for line in lines} == {"pc1", "pc2"}
    whole = lab.rota("export", "-f", "json", batch).json()
    assert whole == lab.rota("results", "--json", batch).json()
    assert whole["summary"]["failed"] == 2 and len(whole["runs"]) == 2


def test_what_is_asked_wrongly(lab):
    assert lab.rota("results", "nobody").code == 2
    assert lab.rota("export", "nobody").code == 2
    wrong = lab.rota("export", "-f", "pdf", "nobody")
    assert wrong.code == 2 and "junit" in wrong.err
    run = ran(lab, "x")
    nowhere = lab.rota("export", "-o", "/nowhere/at/all.csv", run)
    assert nowhere.code == 2 and "/nowhere" in nowhere.err


def test_of_a_run_that_goes_on(lab):
    run = submit(lab, "pc2", "sh", "-c", 'printf %s "$0"; exec sleep 600', TAP)
    lab.wait_run(run, "running")

    def some():
        found = lab.rota("results", "--json", run)
        return found.json()["runs"][0]["summary"]["passed"] == 2 and found
    found = wait_for(some, what="results while it runs").json()["runs"][0]
    assert names(found, "error") == []
    lab.rota("cancel", run)
    lab.wait_run(run)


PERL = """use Test::More; ok(1, 'one'); subtest disks => sub { plan tests => 2; ok(1, 'sda'); is(3, 4, 'sdb') };
SKIP: { skip 'no gpu', 1; ok(1) } done_testing;"""
PYTEST = """import pytest
def test_good(record_property):
    record_property("speed", 12.5)
def test_bad():
    assert 1 == 2
@pytest.mark.skip(reason="no gpu")
def test_gpu(): pass
@pytest.fixture
def broken(): raise OSError("no bus")
def test_error(broken): pass
"""
CTEST = "add_test(good /bin/true)\nadd_test(bad /bin/false)\nadd_test(gone /nowhere/at/all)\n"


def test_real_writers(lab, tmp_path):
    """What Perl's Test::More, pytest and CTest themselves write."""
    perl = submit(lab, "pc1", "perl", "-e", PERL)
    (tmp_path / "test_x.py").write_text(PYTEST)
    (tmp_path / "CTestTestfile.cmake").write_text(CTEST)
    py = submit(lab, "pc1", "sh", "-c", 'cd "$0"; /usr/bin/python3 -m pytest -q -p no:cacheprovider '
                "--junitxml=py.xml test_x.py >/dev/null; cat py.xml; exit 1", tmp_path)
    ct = submit(lab, "pc1", "sh", "-c", 'cd "$0"; ctest --output-junit ct.xml >/dev/null 2>&1; '
                "cat ct.xml; exit 1", tmp_path)
    for run in (perl, py, ct):
        lab.wait_run(run)
    found = results(lab, perl, 1)
    assert found["formats"] == ["tap"] and found["problems"] == []
    assert names(found, "passed") == ["one", "sda"] and names(found, "failed") == ["sdb"]
    assert len(names(found, "skipped")) == 1 and names(found, "error") == []
    assert next(r for r in found["results"] if r["name"] == "sdb")["suite"] == "disks"
    found = results(lab, py, 1)
    assert found["formats"] == ["junit"] and found["problems"] == []
    assert [names(found, v) for v in ("passed", "failed", "skipped", "error")] == \
        [["test_good"], ["test_bad"], ["test_gpu"], ["test_error"]]
    assert [r["value"] for r in found["results"] if r["kind"] == "measurement"] == [12.5]
    found = results(lab, ct, 1)
    assert found["formats"] == ["junit"] and found["problems"] == []
    assert names(found, "passed") == ["good"] and "bad" in names(found, "failed")
