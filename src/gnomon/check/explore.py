"""explore: drive the search, refine what its reductions assume, and say what was found.

A verdict is `proved` (every state within the stated bounds), `violated` (with the shortest schedule there is), or `bounded`
(something stopped the search: what was looked at is fine, nothing is said about the rest).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import numpy as np

from gnomon.check.context import FIRST_LOCK, VIOLATIONS
from gnomon.check.futures import Futures
from gnomon.check.machine import Compiled, Machine, compile_scenario
from gnomon.check.progress import find_fair_cycle
from gnomon.check.result import Result
from gnomon.check.run import Limits, Run
from gnomon.check.scenario import Scenario
from gnomon.check.space import BY_DEADLOCK, BY_STEP

GIB = 1 << 30
SMALL = 1 << 15
"""Transitions below which a search is done before leaving out alternatives could pay."""
MODELS = ("sc", "tso")
MOST_BUFFER, MOST_WORKERS = 1024, 256
PATIENCE = 2000
"""Transitions after which a search whose assumptions proved wrong begins anew; doubled each time."""


def explore(
    scenario: Scenario,
    model: str = "sc",
    *,
    reduce: bool = True,
    partial_order: bool = True,
    buffer: int = 8,
    memory: int = 4 * GIB,
    max_states: int = 0,
    max_seconds: float = 0.0,
    outcomes: tuple[int, ...] = (),
    compiled: Compiled | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int = 0,
    small: int = SMALL,
    large: Callable[..., Run] = Run,
) -> Result:
    """Explore a scenario under a memory model.

    reduce         merge accesses that no other thread can see, take threads that run the same program as one (the same verdict,
                   fewer states)
    partial_order  leave out alternatives of actions that commute with all that others may do, in searches that are not `small`
    buffer         entries of a store buffer under TSO; when one fills up the verdict is at most `bounded`
    max_states     stop there, 0 = no limit; likewise max_seconds and memory (bytes)
    outcomes       words whose values in end states are collected in Result.outcomes
    compiled       the scenario's program, if it was compiled before
    progress       called with (states, transitions) now and then
    workers        OS threads that search together, 0 = one a core; what is found does not depend on it
    small          transitions after which a search is not small any more
    large          what searches then, with the same arguments and answers as Run
    Ctrl-C ends the search with what it has, labelled `bounded: interrupted`.
    Raises BoundsError for a model, a buffer or a number of workers that there cannot be.
    """
    _judge_bounds(model, buffer, workers, max_states, max_seconds)
    compiled = compiled or compile_scenario(scenario)
    plan = _Plan(scenario, compiled, model, buffer if model == "tso" else 0, reduce, partial_order, small, large)
    limits = Limits(memory, max_states, max_seconds, time.monotonic(), workers or len(os.sched_getaffinity(0)))
    while True:
        run = plan.run(limits, outcomes, progress)
        why = run.search()
        if why == "again":
            plan.refine(run)
        elif why == "large":
            plan.leave_out(run)
        else:
            result = _result(run, plan, why)
            if result.violated and plan.alone and not plan.first:
                plan.minimise(result)
                continue
            if plan.first:
                result = plan.shorter(result)
            result.visible, result.reduced, result.seconds = frozenset(plan.visible or ()), reduce, time.monotonic() - limits.began
            return result


class BoundsError(ValueError):
    """A search that cannot be: under another model, or with a store buffer without room, its verdict would be about something else."""


def _judge_bounds(model: str, buffer: int, workers: int, max_states: int, max_seconds: float) -> None:
    if model not in MODELS:
        raise BoundsError(f"no memory model is named {model!r}: {' or '.join(MODELS)}")
    for what, value, least, most in (("buffer", buffer, 1, MOST_BUFFER), ("workers", workers, 0, MOST_WORKERS)):
        if not least <= value <= most:
            raise BoundsError(f"{what} is a number from {least} to {most}: {value}")
    for what, value in (("states", max_states), ("seconds", max_seconds)):
        if value < 0:
            raise BoundsError(f"{what} is a number from 0, which is no limit: {value}")


class _Plan:
    """What the next search assumes: refined until a search finds nothing wrong with it."""

    def __init__(
        self, scenario: Scenario, compiled: Compiled, model: str, buffer: int, reduce: bool, partial_order: bool, small: int, large
    ):
        self.large = large
        self.scenario, self.compiled, self.model, self.buffer, self.reduced = scenario, compiled, model, buffer, reduce
        self.visible: set[int] | None = set(scenario.shared) if reduce else None
        self.no_locks: tuple[int, ...] = ()
        self.whole: frozenset[int] = frozenset()
        self.alike = reduce and not scenario.progress and not compiled.sleeps and not (model == "tso" and compiled.barriers)
        self.slots: list[int] = []
        self.futures: Futures | None = None
        self.small = small if reduce and partial_order else 0
        self.alone = False
        self.patience = PATIENCE
        self.first: Result | None = None

    def run(self, limits: Limits, outcomes, progress) -> Run:
        machine = Machine(
            self.scenario, self.compiled, self.model, self.buffer, max(64, 2 * len(self.slots)), self.visible, self.no_locks, self.whole,
            self.alike,
        )  # fmt: skip
        for address in self.slots:
            machine.allocate(address)
        if self.futures is None:
            self.futures = Futures(self.compiled.layout, len(machine.guard), machine.threads, self.model == "tso")
        self.futures.number(self.visible or ())
        bound = self.first.states * 10 + 100_000 if self.first else 0
        small = 0 if self.alone or self.first else self.small
        return (Run if small else self.large)(
            self.scenario, self.compiled, machine, self.futures, limits, outcomes, progress, self.reduced, self.alone, small,
            self.patience, bound,
        )  # fmt: skip

    def refine(self, run: Run) -> None:
        """Something that was assumed is wrong: assume it no more."""
        machine = run.machine
        if self.visible is not None:
            self.visible = set(np.flatnonzero(machine.guard == 0).tolist())
        overlap = run.overlap() >> FIRST_LOCK
        bad = [int(machine.lock_words[i]) for i in range(machine["locks"]) if overlap >> i & 1]
        self.no_locks += tuple(a for a in bad if a not in self.no_locks)
        self.whole |= {a for a in self.scenario.significant if machine.significant[a] == -1}
        self.slots = machine.slot_addresses()
        self.patience = min(2 * max(self.patience, run.transitions), 1 << 22)

    def leave_out(self, run: Run) -> None:
        self.alone = True
        self.slots = run.machine.slot_addresses()

    def minimise(self, result: Result) -> None:
        """Leaving out alternatives keeps violations, not the shortest ways to them: look for those in all alternatives."""
        self.first, self.alone = result, False

    def shorter(self, result: Result) -> Result:
        """The shortest counterexample, if the search for it came to an end."""
        if result.violated:
            return result
        self.first.shortest = False
        return self.first


def _result(run: Run, plan: _Plan, why: str) -> Result:
    machine, scenario = run.machine, run.scenario
    bounds = {"threads": machine.threads} | {name.rpartition(".")[2]: value for name, value in scenario.constants.items()}
    if machine.model == "tso":
        bounds["buffer"] = machine["buffer"]
    result = Result(
        scenario.name,
        machine.model,
        "proved",
        run.states,
        run.transitions,
        run.total("steps"),
        0.0,
        run.total("ends"),
        bounds,
        digest=scenario.digest(),
        bytes_a_state=run.bytes_a_state(),
        outcomes=run.final_values(),
    )
    found = run.violation()
    if found is not None:
        kind, detail, state, action = found
        result.verdict, result.schedule = "violated", run.schedule(state)
        if kind == BY_STEP:
            result.property = VIOLATIONS[detail]
            result.schedule.append(action)
        elif kind == BY_DEADLOCK:
            result.property = "deadlock"
        else:
            result.property = (scenario.always_properties + scenario.end_properties)[detail].name
    elif why:
        result.verdict, result.reason = "bounded", why
    else:
        cycle = find_fair_cycle(run) if scenario.progress else None
        if cycle is not None:
            result.verdict, result.property = "violated", "progress"
            state, result.loop = cycle
            result.schedule = run.schedule(state)
        elif run.any_field("buffer_full"):
            size = machine["buffer"]
            result.verdict = "bounded"
            result.reason = f"a store buffer of {size} entries filled up; hint: a larger buffer, --set buffer={2 * size}"
    return result
