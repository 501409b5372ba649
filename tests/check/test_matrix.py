"""Does each cell of the matrix say what its scenarios said, and does each design that is known to be wrong show it?"""

import pytest

from gnomon.check import matrix
from gnomon.check.matrix import BOUND, LOST, MEMORY, PROGRESS, PROPERTIES, Cell, Looked, cells, designs, scenarios_of, settle, surprises
from gnomon.check.scenarios.catalog import find
from gnomon.mmu.axes import AXES
from gnomon.mmu.designs import parse


def looked(scenario, verdict, kinds, broken="", states=10, steps=0):
    return Looked("", "sc", scenario, verdict, kinds, broken, states, steps, 1.0)


def test_is_what_ships_the_first_row_and_every_other_choice_one():
    assert designs()[0] == "" and len(designs()) == 1 + sum(len(axis.choices) - 1 for axis in AXES)
    assert all(parse(design) for design in designs()[1:])


@pytest.mark.parametrize("design", designs())
def test_do_the_scenarios_of_a_row_have_a_machine_to_run_it(design):
    for name in scenarios_of(design):
        assert design in find(name)[0].scenario("", design).design


@pytest.mark.parametrize(
    "rows,wanted",
    [
        ([("a", "proved", (LOST,), "", 5, 0), ("b", "proved", (LOST,), "", 9, 0)], ("proved", "b", 0)),
        ([("a", "violated", (LOST,), LOST, 5, 30), ("b", "violated", (LOST,), LOST, 9, 20)], ("violated", "b", 20)),
        ([("a", "bounded", (LOST,), "", 5, 0), ("b", "proved", (LOST,), "", 9, 0)], ("bounded", "a", 0)),
        ([("a", "bounded", (LOST,), "", 5, 0), ("b", "violated", (LOST,), LOST, 9, 20)], ("violated", "b", 20)),
        ([("a", "violated", (LOST, PROGRESS), PROGRESS, 5, 30)], ("", "", 0)),
        ([("a", "proved", (MEMORY, BOUND), "", 5, 0)], ("", "", 0)),
    ],
    ids=["largest proof", "shortest counterexample", "bounded before proved", "violated before bounded", "cut short", "nobody looked"],
)
def test_what_does_a_cell_say(rows, wanted):
    cell = settle([looked(*row) for row in rows], "", LOST, "sc")
    assert (cell.verdict, cell.scenario, cell.steps) == wanted


def test_is_a_design_that_is_not_what_was_said_of_it_named():
    fine, bad = Cell("as shipped", LOST, "sc", "proved", "a", 1, 0, 0.0), Cell("as shipped", LOST, "sc", "violated", "a", 1, 3, 0.0)
    wrong, unseen = (
        Cell("flush=skipped", LOST, "sc", "violated", "a", 1, 3, 0.0),
        Cell("flush=skipped", LOST, "sc", "proved", "a", 1, 0, 0.0),
    )
    assert surprises([fine, wrong]) == []
    assert surprises([bad, unseen]) == ["as shipped", "flush=skipped"]


def test_are_cells_those_of_the_explorations(monkeypatch):
    monkeypatch.setattr(matrix, "SCENARIOS", ("harvest/fast-fault", "rmap/moved-entry"))
    monkeypatch.setattr(matrix, "SECONDS", 600.0)
    told, rows = [], []
    found = cells(["", "flush=skipped"], workers=1, progress=lambda done, total, what: told.append((done, total)), ready=rows.append)
    assert [(c.design, c.property, c.model) for c in found] == [
        (d, p, m) for d in ("as shipped", "flush=skipped") for p in PROPERTIES for m in ("sc", "tso")
    ]
    by = {(c.design, c.property, c.model): c for c in found}
    assert by["as shipped", LOST, "tso"].verdict == "proved" and by["as shipped", LOST, "tso"].scenario == "harvest/fast-fault"
    assert by["flush=skipped", LOST, "sc"].verdict == "violated" and by["flush=skipped", LOST, "sc"].steps > 0
    assert by["as shipped", BOUND, "sc"].verdict == ""
    assert told[-1] == (4, 4) and [row[0].design for row in rows] == ["as shipped", "flush=skipped"]
    assert [cell for row in rows for cell in row] == found


def test_do_designs_share_a_program_only_where_their_threads_call_the_same():
    """A word of memory is no other program; a thread's argument, a mutant's kernel or a constant is."""
    matrix._COMPILED.clear()
    entry = find("rmap/moved-entry")[0]
    first = matrix.compiled_once("rmap/moved-entry", entry.scenario("", ""))
    assert matrix.compiled_once("rmap/moved-entry", entry.scenario("", "walk=forward")) is first
    longer = entry.scenario("", "")
    longer.thread("one more", longer.threads[0].calls[0])
    mutant = entry.scenario("clears-first", "")
    assert len({id(first), *(id(matrix.compiled_once("rmap/moved-entry", s)) for s in (longer, mutant))}) == 3


@pytest.mark.slow
def test_is_every_design_what_is_said_of_it():
    assert surprises(cells()) == []
