"""The shortest proof that the whole works, on each server: a lab comes up, runs something, answers."""
import hashlib
import re


def test_three_are_ready(shared_lab):
    rows = shared_lab.ls()
    assert sorted(rows) == ["pc1", "pc2", "pc3"]
    for name, row in rows.items():
        assert row["state"] == "ready"
        assert row["jid"] == f"{name}@lab.test"
        assert row["title"] == f"Number {name}"
        assert row["location"] == f"Lab/Rack {name}"
        assert row["labels"] == {"kind": "scratch"}
        assert row["boot"] == shared_lab.pc(name).boot_id()
        assert row["last_answer_usec"] > 0


def test_selftest_passes_on_all(shared_lab):
    result = shared_lab.rota("run", "pc*", "selftest")
    assert result.code == 0, result


def test_output_is_exact(shared_lab):
    """The step's own checksum, on stderr's side of a pipe, equals what `rota log --raw` gives."""
    result = shared_lab.rota("run", "pc1", "--", "seq", "1", "100000")
    assert result.code == 0, result
    run = shared_lab.rota("runs", "--json").json()[0]["run"]
    raw = shared_lab.rota("log", run, "--raw").raw
    want = "".join(f"{n}\n" for n in range(1, 100001)).encode()
    # a pty ends lines with CR LF
    got = raw.replace(b"\r\n", b"\n")
    assert hashlib.sha256(got).hexdigest() == hashlib.sha256(want).hexdigest()


def test_exit_code_of_a_failing_command(shared_lab):
    assert shared_lab.rota("run", "pc2", "--", "false").code == 1


def test_ping(shared_lab):
    result = shared_lab.rota("ping", "--json", "pc*")
    assert result.code == 0, result
    answers = result.json()
    assert sorted(a["target"] for a in answers) == ["pc1", "pc2", "pc3"]
    assert all(a["ok"] and 0 < a["rtt_usec"] < 1_000_000 for a in answers)


def test_ls_for_people(shared_lab):
    result = shared_lab.rota("ls")
    assert result.code == 0, result
    assert len(re.findall(r"\bready\b", result.out)) == 3
    assert "Lab/Rack pc2" in result.out


def test_empty_selector(shared_lab):
    result = shared_lab.rota("run", "pc9", "selftest")
    assert result.code == 5, result
    assert "pc9" in result.err


def test_reboot_brings_a_new_boot(lab):
    before = lab.pc("pc1").boot_id()
    result = lab.rota("reboot", "pc1")
    assert result.code == 0, result
    assert lab.pc("pc1").boot_id() != before
    assert lab.wait_state("pc1", "ready")["boot"] == lab.pc("pc1").boot_id()
