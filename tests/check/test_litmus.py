"""Do litmus tests get the verdicts that SC and x86-TSO give them?

GNOMON_LITMUS=DIR makes the last test read another collection: DIR/index.tsv with file, model, expected verdict and threads.
"""

import os
import statistics
from pathlib import Path

import pytest

from gnomon.check.litmus.parse import LitmusError, parse
from gnomon.check.litmus.run import run, run_file

CORPUS = Path(__file__).parent / "litmus"
ROWS = [line.split("\t") for line in (CORPUS / "index.tsv").read_text().splitlines()[1:]]


@pytest.mark.parametrize("file,sc,tso", ROWS, ids=[row[0] for row in ROWS])
def test_what_may_happen_under_each_model(file, sc, tso):
    assert run_file(CORPUS / file, "sc").verdict == sc
    assert run_file(CORPUS / file, "tso").verdict == tso


def test_is_every_final_state_of_store_buffering_found():
    states = [state for state, _ in run_file(CORPUS / "SB.litmus", "tso").finals]
    assert states == [{"0:EAX": a, "1:EAX": b} for a in (0, 1) for b in (0, 1)]


def test_is_every_file_of_the_corpus_in_the_index():
    assert {row[0] for row in ROWS} == {path.name for path in CORPUS.glob("*.litmus")}


@pytest.mark.parametrize(
    "text,reason",
    [
        ("AArch64 SB\n{}\n", "not an X86 litmus test"),
        ("X86 SB\nP0;\nexists (x=1)", "no initial state"),
        ("X86 SB\n{}\n P0 ; MOV [x],$1 ;\n", "no condition"),
        ("X86 SB\n{}\n P0 ;\n FSQRT ;\nexists (x=1)", "no instruction of this model: FSQRT"),
        ("X86 SB\n{}\n P0 ;\n INC [x] ;\nexists (x=1)", "no instruction of this model: INC [x]"),
        ("X86 SB\n{}\n P0 ;\n MOV [x],$1 ;\nexists (3:EAX=1)", "a thread that does not exist: 3:EAX"),
        ("X86 SB\n{}\n P0 ;\n MOV [x],$1 ;\nexists (x=1", "not closed"),
    ],
)
def test_does_a_damaged_file_say_what_is_wrong(text, reason):
    with pytest.raises(LitmusError, match=reason.replace("[", r"\[")):
        run(parse(text))


@pytest.mark.skipif("GNOMON_LITMUS" not in os.environ, reason="GNOMON_LITMUS names no collection of litmus tests")
def test_does_a_whole_collection_get_its_verdicts_at_five_milliseconds_a_test():
    folder = Path(os.environ["GNOMON_LITMUS"])
    rows = [line.split("\t") for line in (folder / "index.tsv").read_text().splitlines()[1:]]
    verdicts = {row[0]: run_file(folder / row[0], "tso") for row in rows}
    assert {file: v.verdict for file, v in verdicts.items()} == {row[0]: row[2] for row in rows}
    again = [run_file(folder / row[0], "tso").seconds for row in rows]
    assert statistics.mean(again) < 0.020, "four times the promise of 5 ms, for loaded machines"
