"""Do litmus tests get the verdicts that SC and x86-TSO give them?

GNOMON_LITMUS=DIR makes the last test read another collection: DIR/index.tsv with file, model, expected verdict and threads.
"""

import os
import re
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
        ("X86 SB\n{}\n P0 ;\n MOV [x],$1 ;\nexists (x=1))", "goes on after its end"),
        ("X86 SB\n{}\n P0 ;\n MOV [x],$1 ;\nexists (x=1) or so", "cannot read the condition: or so"),
        ("X86 SB\n{}\n P0 ;\n MOV [x],$1 ;\nexists (x=1k)", "cannot read the condition: x=1k"),
        ("X86 SB\n{}\n P0 ;\n MOV [x],$1 ;\nexists (x<>1)", "cannot read the condition: x<>1"),
        ("X86 SB\n{}\n P0 ;\n MOV [x],$99999999999999999999 ;\nexists (x=1)", "does not fit into 64 bits"),
        ("X86 SB\n{}\n P0 ;\n XCHG EAX,EBX ;\nexists (x=1)", "no instruction of this model: XCHG EAX,EBX"),
        ("X86 SB\n{}\n P0 ;\n MOV [x],[y] ;\nexists (x=1)", "no instruction of this model: MOV [x],[y]"),
        ("X86 SB\n{}\n P0 ;\n LOCK INC EAX ;\nexists (x=1)", "no instruction of this model: LOCK INC EAX"),
        ("X86 SB\n{}\n P0 ;\n MOV [x],$1 ;\nlocations [x+1]\nexists (x=1)", "cannot read in locations: x+1"),
    ],
)
def test_does_a_damaged_file_say_what_is_wrong(text, reason):
    with pytest.raises(LitmusError, match=re.escape(reason)):
        run(parse(text))


@pytest.mark.parametrize(
    "condition,verdict",
    [
        ("x=0x1", "Always"),
        ("x=0x2", "Never"),
        ("not (x=1)", "Never"),
        ("~x=1 \\/ not x=2", "Always"),
        ("x=1 => x=2", "Never"),
        ("x=2 => x=3", "Always"),
        ("false \\/ true", "Always"),
        ("x=1 \\/ x=1 /\\ false", "Always"),
    ],
)
def test_is_every_word_of_a_condition_heard(condition, verdict):
    """A word that is passed over turns a verdict round."""
    assert run(parse(f"X86 one\n(* a (* comment *) in another *){{}}\n P0 ;\n MOV [x],$0x1 ;\nexists ({condition})")).verdict == verdict


def test_do_final_states_show_the_locations_that_a_test_asks_for():
    test = parse("X86 one\n{ y=-0x3; }\n P0 ;\n MOV EAX,[y] ;\nlocations [y; 0:EAX;]\nforall (x=0)")
    assert [state for state, _ in run(test).finals] == [{"0:EAX": -3, "x": 0, "y": -3}]


def test_may_a_store_wait_behind_more_stores_than_a_buffer_usually_has():
    """x86-TSO has no longest store buffer: store buffering shows however many stores stand between store and load."""
    between = "".join(f" MOV [a],${n} | MOV [b],${n} ;\n" for n in range(1, 20))
    text = f"X86 long\n{{}}\n P0 | P1 ;\n MOV [x],$1 | MOV [y],$1 ;\n{between} MOV EAX,[y] | MOV EAX,[x] ;\nexists (0:EAX=0 /\\ 1:EAX=0)"
    assert run(parse(text), "tso").verdict == "Sometimes"
    assert run(parse(text), "sc").verdict == "Never"


@pytest.mark.skipif("GNOMON_LITMUS" not in os.environ, reason="GNOMON_LITMUS names no collection of litmus tests")
def test_does_a_whole_collection_get_its_verdicts():
    folder = Path(os.environ["GNOMON_LITMUS"])
    rows = [line.split("\t") for line in (folder / "index.tsv").read_text().splitlines()[1:]]
    verdicts = {row[0]: run_file(folder / row[0], "tso") for row in rows}
    assert {file: v.verdict for file, v in verdicts.items()} == {row[0]: row[2] for row in rows}
