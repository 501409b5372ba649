"""Do check, claims, replay and litmus print what they found and leave with the right code?"""

import json
import re
from pathlib import Path

import pytest

from gnomon.check.claims import CLAIMS, names, settle
from gnomon.check.litmus.hardware import run_on_hardware
from gnomon.check.litmus.parse import parse
from gnomon.cli.check_commands import check, litmus
from gnomon.cli.main import command
from gnomon.cli.replay import replay
from gnomon.errors import GnomonError

CORPUS = Path(__file__).parent / "litmus"


def test_does_a_proof_leave_with_0_and_name_its_bounds(capsys):
    assert check("mmu/handshake", model="tso") == 0
    out = capsys.readouterr()
    assert "proved within threads=2" in out.out and "buffer=8" in out.out
    assert "docs/soundness.md" in out.err


@pytest.mark.parametrize("design,code", [("guard=none", 1), ("guard=none,protector=rmap-bit", 0), ("guard=fixup", 0)])
def test_does_the_machine_of_a_scenario_run_with_the_design_it_is_given(design, code, capsys, tmp_path):
    """The shipped kernels with another word, and a counterexample that replays with it."""
    saved = tmp_path / "race.json"
    assert check("reuse/middle-level-guard", design=design, save=saved) == code
    assert f"reuse/middle-level-guard@{design}" in capsys.readouterr().out
    assert saved.exists() == bool(code)
    assert not code or replay(saved) == 0


def test_does_a_mutant_leave_with_1_and_a_race(capsys, tmp_path):
    saved, page = tmp_path / "race.json", tmp_path / "race.html"
    assert check("mmu/handshake", design="mutant=no-entry-barrier", save=saved, html=page) == 1
    shown = capsys.readouterr().out
    assert "violated: expectation" in shown and "handshake.py:" in shown
    assert "<section class=race" in page.read_text()
    assert replay(saved) == 0
    assert capsys.readouterr().out.strip() in shown


def test_does_a_stopped_search_leave_with_2(capsys):
    assert check("harvest/two-vcpus", settings=["states=1000"]) == 2
    assert "bounded: stopped at 1,000 states" in capsys.readouterr().out


def test_can_a_bound_be_set(capsys):
    assert check("tutorial/treiber", settings=["buffer=4,NODES=2"], json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bounds"] == {"threads": 2, "TAGS": 64, "NODES": 2, "buffer": 4}


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"scenario": "no/such"}, "no scenario named 'no/such'"),
        ({"scenario": "mmu/handshake:odd"}, "no mutant of mmu/handshake named 'odd'"),
        ({"scenario": "mmu/handshake", "design": "guards=none"}, "no design axis named: guards"),
        ({"scenario": "mmu/handshake", "design": "guard=fast"}, "no choice of guard named: fast"),
        ({"scenario": "tutorial/treiber", "design": "guard=none"}, "no machine in scenario tutorial/treiber"),
        ({"scenario": "mmu/handshake", "settings": ["PAGES=2"]}, "no constant of mmu/handshake named 'PAGES'"),
        ({"scenario": "mmu/handshake", "settings": ["buffer=many"]}, "--set takes NAME=NUMBER, not: buffer=many"),
        ({"scenario": "mmu/handshake", "settings": ["buffer=0"]}, "buffer is a number from 1 to 1024: 0"),
        ({"scenario": "mmu/handshake", "settings": ["states=-1"]}, "states is a number from 0, which is no limit: -1"),
        ({"scenario": "mmu/handshake", "workers": -1}, "workers is a number from 0 to 256: -1"),
    ],
)
def test_is_misuse_told_with_a_hint_and_3(arguments, message):
    scenario = arguments.pop("scenario")
    with pytest.raises(GnomonError, match=message) as told:
        check(scenario, **arguments)
    assert told.value.exit_code == 3


OWN = """
from gnomon.check.scenario import Scenario, call
from gnomon.lang import kernel

@kernel
def nothing(m, at):
    return 0

def divides():
    return 1 // 0

def half():
    return Scenario("half").thread("a", call(nothing, 2.5))
"""


@pytest.mark.parametrize("name,says", [("divides", "line 10: ZeroDivisionError: "), ("half", "line 13: TypeError: 'float' object")])
def test_is_a_mistake_in_a_file_of_ones_own_told_with_its_line(name, says, tmp_path):
    file = tmp_path / f"own_{name}.py"
    file.write_text(OWN)
    with pytest.raises(GnomonError, match=re.escape(f"{name} makes no scenario, {says}")) as told:
        check(f"{file}:{name}")
    assert told.value.exit_code == 3


@pytest.mark.parametrize(
    "words",
    [
        ["check", "mmu/handshake", "--model", "arm"],
        ["check", "mmu/handshake", "--memory", "much"],
        ["claims", "--bogus"],
        ["litmus", "--model", "x"],
        ["replay"],
    ],
    ids=" ".join,
)
def test_can_a_wrong_option_look_like_a_verdict(words, capsys):
    """2 is what a search that was stopped leaves with."""
    assert command(words) == 3
    assert capsys.readouterr().err.startswith("gnomon: ")


def test_is_a_failure_that_is_no_verdict_undecided(monkeypatch, capsys):
    monkeypatch.setattr("gnomon.cli.check_commands._list", lambda json: 1 / 0)
    assert command(["check"]) == 2
    assert "internal error: ZeroDivisionError" in capsys.readouterr().err


def test_is_a_damaged_replay_file_misuse(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(GnomonError, match="is no schedule") as told:
        replay(tmp_path / "x.json")
    assert told.value.exit_code == 3


def test_does_the_list_name_every_scenario_and_mutant(capsys):
    assert check() == 0
    out = capsys.readouterr().out
    assert "rcu/grace-period" in out and ":no-membarrier" in out


def test_does_litmus_read_files_and_folders(capsys):
    assert litmus(CORPUS / "SB.litmus", model="tso") == 0
    assert "SB  Sometimes" in capsys.readouterr().out
    assert litmus(CORPUS, model="sc", json=True) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["verdict"] for row in rows} == {"Never", "Always"}


def test_does_a_file_that_is_refused_keep_litmus_from_the_others(tmp_path, capsys):
    (tmp_path / "a.litmus").write_text("X86 odd\n{}\n P0 ;\n FSQRT ;\nexists (x=1)")
    (tmp_path / "b.litmus").write_text((CORPUS / "SB.litmus").read_text())
    assert litmus(tmp_path, json=True) == 3
    told = capsys.readouterr()
    assert [row["verdict"] for row in json.loads(told.out)] == ["Refused", "Sometimes"]
    assert "no instruction of this model: FSQRT" in told.err and "1 of 2 files were refused" in told.err


def test_does_this_cpu_stay_within_the_model():
    test = parse((CORPUS / "SB+mfences.litmus").read_text())
    seen = run_on_hardware(test, rounds=2, copies=200)
    assert sum(seen.values()) == 400
    assert (("0:EAX", 0), ("1:EAX", 0)) not in seen


def test_is_every_claim_settled():
    assert [claim.id for claim in CLAIMS] == [f"C{n}" for n in range(1, 14)]
    assert len(names()) >= 10
    rows = {claim.id: settle(claim, most_seconds=600.0) for claim in CLAIMS}
    assert {i: row.verdict for i, row in rows.items() if row.verdict != "shown"} == {}
    assert rows["C11"].within.startswith("tso") and rows["C11"].states > 1000
