"""matrix: what the explorer says of each design: a row a design, a column a property and memory model, one cell each.

A row is one choice of one axis, all else as shipped; the first row is what ships. Each row's machine runs the same scenarios, and the one
that axes.py names for the choice. A cell says what its property came to under its model: violated, by the shortest counterexample;
else bounded, if something stopped a search that looked at the property; else proved, by the scenario with most states; else nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from gnomon.check.context import VIOLATIONS
from gnomon.check.explore import explore
from gnomon.check.machine import Compiled, compile_scenario
from gnomon.check.scenario import Scenario
from gnomon.check.scenarios.catalog import find
from gnomon.mmu.axes import AXES
from gnomon.mmu.designs import parse, wrongs

MODELS = ("sc", "tso")
SHIPPED = "as shipped"
SCENARIOS = (
    "harvest/fast-fault",
    "harvest/slow-fault",
    "harvest/load-and-store",
    "reuse/middle-level-guard",
    "rmap/moved-entry",
    "rmap/reused-descriptor",
    "mmu/zap-under-walk",
    "mmu/track-table",
    "bound/pages",
)
"""Scenarios that every design is put through …"""
NOT_ASKED = {
    ("guest-tables=unsync", "mmu/track-table"),  # no store to a guest table goes unseen: unsync promises that at fences
    ("guest-tables=unsync-unprotected", "mmu/track-table"),
    ("guard=recheck", "rmap/moved-entry"),  # its sptes are in no shadow page that the guard could ask …
    ("guard=recheck", "rmap/reused-descriptor"),  # … nor are these
}
"""… but for these, whose question is not theirs."""
LOST, MEMORY, ASSERTION, PROGRESS, BOUND = "nothing lost", "memory safety", "assertions", "progress", "bounds"
PROPERTIES = (LOST, MEMORY, ASSERTION, PROGRESS, BOUND)
SECONDS = 60.0


@dataclass(frozen=True)
class Cell:
    """`verdict` is proved, violated, bounded, or "" where no scenario looked at the property."""

    design: str
    property: str
    model: str
    verdict: str
    scenario: str
    states: int
    steps: int  # of the counterexample
    seconds: float


@dataclass(frozen=True)
class Looked:
    """One scenario with one design under one model."""

    design: str
    model: str
    scenario: str
    verdict: str
    kinds: tuple[str, ...]  # properties it looks at
    broken: str  # the property violated
    states: int
    steps: int
    seconds: float


def designs() -> list[str]:
    """Every row: what ships, then each other choice of each axis."""
    return [""] + [f"{axis.name}={choice.name}" for axis in AXES for choice in axis.choices if choice.value]


def scenarios_of(design: str) -> list[str]:
    """The scenarios that look at a design."""
    axis, _, name = design.partition("=")
    own = [choice.scenario for a in AXES if a.name == axis for choice in a.choices if choice.name == name and choice.scenario]
    asked = [name for name in SCENARIOS if (design, name) not in NOT_ASKED]
    return [*asked, *(scenario for scenario in own if scenario not in SCENARIOS and not find(scenario)[0].slow)]


def kind(violated: str, scenario: Scenario) -> str:
    """Which of PROPERTIES a violated property is."""
    if violated == LOST:
        return LOST
    if violated in ("progress", "deadlock"):
        return PROGRESS
    if violated in VIOLATIONS.values() and violated != "expectation":
        return MEMORY
    return BOUND if violated in [p.name for p in scenario.always_properties] else ASSERTION


def kinds(scenario: Scenario) -> tuple[str, ...]:
    """Which of PROPERTIES a scenario looks at."""
    ends = [p.name for p in scenario.end_properties]
    found = {
        LOST: LOST in ends,
        MEMORY: scenario.owners is not None,
        ASSERTION: True,  # expectations are in the kernels that threads run
        PROGRESS: scenario.progress,
        BOUND: bool(scenario.always_properties),
    }
    return tuple(name for name, looked in found.items() if looked)


_COMPILED: dict[tuple, Compiled] = {}


def compiled_once(name: str, scenario: Scenario) -> Compiled:
    """The program of a scenario. A design is a word of its memory and seldom changes what its threads call, so most designs share one."""
    calls = (*scenario.threads, *scenario.always_properties, *scenario.end_properties)
    kernels = (*scenario.constants.items(), *scenario.replace.items(), *scenario.locks)
    key = (name, calls, kernels, bool(scenario.significant))
    if key not in _COMPILED:
        _COMPILED[key] = compile_scenario(scenario)
    return _COMPILED[key]


def look(task: tuple[str, str]) -> list[Looked]:
    """Explore one scenario with one design under every model."""
    design, name = task
    entry = find(name)[0]
    made = entry.scenario("", design)
    compiled = compiled_once(name, made)
    rows = []
    for model in MODELS:
        result = explore(made, model, compiled=compiled, max_seconds=SECONDS)
        broken = kind(result.property, made) if result.violated else ""
        rows.append(Looked(design, model, name, result.verdict, kinds(made), broken, result.states, len(result.schedule), result.seconds))
    return rows


def look_at_all(tasks: list[tuple[str, str]], workers: int) -> Iterator[list[Looked]]:
    """Explore all tasks on `workers` processes, results in order."""
    if workers == 1:
        yield from map(look, tasks)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        try:
            yield from pool.map(look, tasks)
        except BaseException:
            for process in pool._processes.values():  # Ctrl-C ends within a second, not after the search that is under way
                process.terminate()
            raise


def settle(rows: list[Looked], design: str, wanted: str, model: str) -> Cell:
    """The cell of a design, property and model."""
    looked = [row for row in rows if row.model == model and (wanted in row.kinds)]
    seconds = sum(row.seconds for row in looked)
    violated = [row for row in looked if row.broken == wanted]
    bounded = [row for row in looked if row.verdict == "bounded"]
    proved = [row for row in looked if row.verdict == "proved"]
    if violated:
        row = min(violated, key=lambda row: row.steps)
    elif bounded:
        row = bounded[0]
    elif proved:
        row = max(proved, key=lambda row: row.states)
    else:
        return Cell(design or SHIPPED, wanted, model, "", "", 0, 0, seconds)
    return Cell(design or SHIPPED, wanted, model, row.verdict, row.scenario, row.states, row.steps, seconds)


def cells(
    chosen: list[str] | None = None,
    workers: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
    ready: Callable[[list[Cell]], None] | None = None,
) -> list[Cell]:
    """The matrix, row by row. `chosen` are designs, all without it; `progress` is told (done, of how many, what), `ready` each row at once
    when its last scenario was explored."""
    asked = {design: scenarios_of(design) for design in (designs() if chosen is None else chosen)}
    rows_of: dict[str, list[Looked]] = {design: [] for design in asked}
    tasks, found = [(design, name) for design, names in asked.items() for name in names], []
    workers = workers or max(1, min(2, os.cpu_count() or 1))
    for n, rows in enumerate(look_at_all(tasks, workers)):
        design = rows[0].design
        rows_of[design] += rows
        if progress:
            progress(n + 1, len(tasks), f"{design or SHIPPED}: {rows[0].scenario}")
        if len(rows_of[design]) == len(MODELS) * len(asked[design]):
            row = [settle(rows_of[design], design, wanted, model) for wanted in PROPERTIES for model in MODELS]
            found += row
            if ready:
                ready(row)
    return found


def surprises(found: list[Cell]) -> list[str]:
    """Designs of which designs.py says that nothing is wrong and a cell is violated, or the other way round."""
    broken = {cell.design for cell in found if cell.verdict == "violated"}
    names = dict.fromkeys(cell.design for cell in found)
    return [name for name in names if (name in broken) != bool(wrongs(parse("" if name == SHIPPED else name)))]
