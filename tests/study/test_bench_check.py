"""Do the explorer's figures come from whole searches, beside a peer that is there or said to be absent? No test here asserts a time."""

import shutil

import msgspec
import pytest

from gnomon.check.explore import explore
from gnomon.check.programs.treiber import filled
from gnomon.cli import bench as frame
from gnomon.errors import GnomonError
from gnomon.study import bench_check, spin_peer


def judged(rows) -> dict[str, frame.Row]:
    return {row.figure: row for row in (frame.judge(msgspec.convert(row, frame.Row, strict=False)) for row in rows)}


def test_is_an_absent_spin_said_to_be_absent(monkeypatch):
    def absent(reduced):
        raise GnomonError("spin is not installed")

    monkeypatch.setattr(spin_peer, "run", absent)
    monkeypatch.setattr(bench_check, "REPEATS", 1)
    rows = judged(bench_check.speed(lambda text: None, states=5000))
    assert rows["SPIN, bytes a state"].peer == "not available: spin is not installed"
    ours = rows["transitions a second of a core, 3 threads"]
    assert ours.value > 0 and ours.ratio is None and ours.holds is None
    assert rows["bytes a state, 5,000 states"].value > 16, "an entry of the table alone is 16 bytes"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("spin") or not shutil.which("gcc"), reason="spin or gcc is not installed")
def test_does_spin_find_the_states_it_always_finds():
    found = spin_peer.run(reduced=True)
    assert (found.states, found.transitions) == (2_610_781, 4_319_415)
    assert found.cpu > 0 and 50 < found.bytes_a_state < 80


def test_what_do_store_buffers_cost_in_states():
    """Less than a buffer written by hand costs SPIN; and a stack that is right under SC is right under TSO."""
    sc, tso = (explore(filled(2, 1), model) for model in ("sc", "tso"))
    assert sc.proved and tso.proved
    assert sc.states < tso.states < 3.3 * sc.states


def test_is_a_missing_litmus_folder_said_to_be_missing(monkeypatch):
    monkeypatch.delenv("GNOMON_LITMUS", raising=False)
    assert "GNOMON_LITMUS" in bench_check.litmus()["peer"]


def test_are_litmus_tests_of_a_folder_timed(monkeypatch, tmp_path):
    (tmp_path / "SB.litmus").write_text(
        "X86 SB\n{}\n P0 | P1 ;\n MOV [x],$1 | MOV [y],$1 ;\n MOV EAX,[y] | MOV EAX,[x] ;\nexists (0:EAX=0 /\\ 1:EAX=0)\n"
    )
    monkeypatch.setenv("GNOMON_LITMUS", str(tmp_path))
    assert bench_check.litmus()["value"] > 0
