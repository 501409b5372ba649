"""explore: drive the search, grow its tables, refine the reduction, and say what was found.

A verdict is `proved` (every state within the stated bounds), `violated` (with the shortest schedule there is), or `bounded`
(something stopped the search: what was looked at is fine, nothing is said about the rest).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from gnomon.check import search
from gnomon.check.context import VIOLATIONS
from gnomon.check.machine import Compiled, Machine, compile_scenario
from gnomon.check.progress import find_fair_cycle
from gnomon.check.result import Result
from gnomon.check.scenario import Scenario
from gnomon.check.search import F
from gnomon.check.visited import rehash

CHUNK = 200_000
"""Transitions between two looks at the clock, memory and Ctrl-C: well under a second."""
GIB = 1 << 30
SEGMENT = 1 << 21
"""Words of a piece of frontier; only what is written of it takes memory."""


def explore(
    scenario: Scenario,
    model: str = "sc",
    *,
    reduce: bool = True,
    buffer: int = 8,
    memory: int = 4 * GIB,
    max_states: int = 0,
    max_seconds: float = 0.0,
    outcomes: tuple[int, ...] = (),
    compiled: Compiled | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Explore a scenario under a memory model.

    reduce        merge accesses that no other thread can see (the same verdict, fewer states)
    buffer        entries of a store buffer under TSO; when one fills up the verdict is at most `bounded`
    max_states    stop there, 0 = no limit; likewise max_seconds and memory (bytes)
    outcomes      words whose values in end states are collected in Result.outcomes
    compiled      the scenario's program, if it was compiled before
    progress      called with (states, transitions) now and then
    Ctrl-C ends the search with what it has, labelled `bounded: interrupted`.
    """
    compiled = compiled or compile_scenario(scenario)
    began = time.monotonic()
    visible = set(scenario.shared) if reduce else None
    slots = 64
    limits = (memory, max_states, max_seconds, began)
    while True:
        machine = Machine(scenario, compiled, model, buffer if model == "tso" else 0, slots, visible)
        run = _Run(scenario, compiled, machine, limits, outcomes, progress)
        again = run.finish()
        if again == "slots":
            slots *= 4
        elif again == "visible":
            visible = set(np.flatnonzero(machine.guard == 0).tolist())
        else:
            result = run.result
            result.visible, result.reduced, result.seconds = frozenset(visible or ()), reduce, time.monotonic() - began
            return result


class _Run:
    """One search with a fixed set of visible words."""

    def __init__(self, scenario: Scenario, compiled: Compiled, machine: Machine, limits, outcomes, progress):
        self.scenario, self.compiled, self.machine, self.limits, self.outcomes, self.progress = (
            scenario,
            compiled,
            machine,
            limits,
            outcomes,
            progress,
        )
        self.meta = meta = np.zeros(len(F), np.int64)
        capacity = 4096
        self.table = np.zeros(2 * capacity, np.uint64)
        self.follow = scenario.progress
        self.extra = np.zeros(capacity if self.follow else 0, np.uint32)
        self.parents, self.actions = np.zeros(4096, np.uint32), np.zeros(4096, np.uint8)
        self.edges = np.zeros(16384 if self.follow else 1, np.int64)
        self.edge_ends, self.enabled = np.zeros(4096 if self.follow else 1, np.int64), np.zeros(4096 if self.follow else 1, np.uint32)
        self.segments: list[np.ndarray] = []  # of the frontier, free to use again
        self.waiting: list[tuple[np.ndarray, int]] = []  # segments of this level behind the current one, with their ends
        self.written: list[tuple[np.ndarray, int]] = []  # full segments of the next level
        self.current, self.following = self._segment(), self._segment()
        self.ends = np.zeros(64 * machine["slot_limit"] if outcomes else 0, np.int64)
        self.staged, self.staging = np.zeros(3 * (search.STAGED + 18 * machine.threads), np.int64), np.zeros(1 << 14, np.int64)
        self.saved = np.zeros(machine.threads * machine.stride + 4096, np.int64)
        meta[F["capacity"]] = capacity
        meta[F["threads"]], meta[F["always"]] = machine.threads, len(scenario.always_properties)
        meta[F["at_end"]] = len(scenario.end_properties)
        machine.start()
        words = machine.threads * machine.stride
        # the initial state's fingerprint is (0, 1) by definition: (0, 0) marks a free entry
        end = search.pack(self.current, 0, np.uint64(0), np.uint64(1), machine.blocks, words, machine.memory, machine.origin, 0)
        meta[F["end"]] = end
        self.table[2 * (-1 - search.find(self.table, capacity, np.uint64(0), np.uint64(1))) + 1] = 1
        meta[F["states"]] = 1
        self.result: Result | None = None

    def finish(self) -> str:
        """Search to the end. Returns "slots" or "visible" when the search must start anew, else "" with self.result set."""
        machine, meta = self.machine, self.meta
        memory, max_states, max_seconds, began = self.limits
        told = began
        try:
            while True:
                meta[F["limit"]] = meta[F["transitions"]] + CHUNK
                search.expand(
                    self.compiled.step,
                    self.compiled.drain,
                    machine.context,
                    machine.blocks,
                    machine.memory,
                    machine.journal,
                    machine.origin,
                    machine.mask,
                    self.current,
                    self.following,
                    self.staged,
                    self.staging,
                    self.table,
                    self.extra,
                    self.parents,
                    self.actions,
                    meta,
                    machine.starts,
                    self.saved,
                    self.edges,
                    self.edge_ends,
                    self.enabled,
                    self.ends,
                )
                stop = int(meta[F["stop"]])
                if stop == search.SLOTS_FULL:
                    return "slots"
                if machine["broken"] and (stop != search.GO_ON or meta[F["transitions"]] >= CHUNK):
                    return "visible"
                if stop in (search.BROKEN_STEP, search.BROKEN_ALWAYS, search.BROKEN_END, search.DEADLOCK):
                    self.result = self._violated(stop)
                    return ""
                if stop == search.LEVEL_DONE and not self._next_segment():
                    self.result = self._exhausted()
                    return ""
                self._grow(stop)
                reason = ""
                if max_states and meta[F["states"]] >= max_states:
                    reason = f"stopped at {max_states:,} states"
                elif max_seconds and time.monotonic() - began > max_seconds:
                    reason = f"stopped after {max_seconds:g} s"
                elif self.bytes() > memory:
                    reason = f"memory limit of {memory >> 20:,} MiB reached"
                if reason:
                    self.result = self._result("bounded", reason=reason)
                    return ""
                if self.progress and time.monotonic() - told > 0.5:
                    told = time.monotonic()
                    self.progress(int(meta[F["states"]]), int(meta[F["transitions"]]))
        except KeyboardInterrupt:
            self.result = self._result("bounded", reason="interrupted")
            return ""
        except MemoryError:
            self.result = self._result("bounded", reason=f"the host has no more memory at {self.bytes() >> 20:,} MiB")
            return ""

    def bytes(self) -> int:
        """Memory of the search's tables."""
        arrays = (self.table, self.extra, self.parents, self.actions, self.edges, self.edge_ends, self.enabled, *self.segments)
        written = sum(end for _, end in self.waiting + self.written) + int(self.meta[F["end"]] + self.meta[F["tail"]])
        return sum(a.nbytes for a in arrays) + 8 * written

    def _segment(self) -> np.ndarray:
        """A piece of frontier, an old one if there is one: memory that was touched before costs the host nothing."""
        if self.segments:
            return self.segments.pop()
        machine = self.machine
        record = 4 + 2 * (machine.threads * machine.stride + machine["slot_limit"] + 64)
        return np.empty(max(SEGMENT, 2 * record * (search.STAGED + 18 * machine.threads)), np.int64)

    def _put_segment_aside(self) -> None:
        self.written.append((self.following, int(self.meta[F["tail"]])))
        self.following = self._segment()
        self.meta[F["tail"]] = 0

    def _next_segment(self) -> bool:
        """Make the next piece of this level, or the first of the next level, the current one. False when there is none."""
        meta = self.meta
        self.segments.append(self.current)
        if not self.waiting:
            if meta[F["tail"]]:
                self._put_segment_aside()
            self.waiting, self.written = self.written, []
        if not self.waiting:
            return False
        self.current, end = self.waiting.pop(0)
        meta[F["cursor"]], meta[F["end"]] = 0, end
        return True

    def _grow(self, stop: int) -> None:
        if stop == search.TABLE_FULL:
            capacity = int(self.meta[F["capacity"]])
            capacity += max(capacity // 2, 8192) if capacity < 1 << 20 else capacity // 2
            table, extra = np.zeros(2 * capacity, np.uint64), np.zeros(capacity if self.follow else 0, np.uint32)
            rehash(self.table, table, capacity, self.extra, extra)
            self.table, self.extra = table, extra
            self.meta[F["capacity"]] = capacity
        elif stop == search.STATES_FULL:
            states = int(self.meta[F["states"]])
            self.parents, self.actions = _longer(self.parents, states), _longer(self.actions, states)
            if self.follow:
                self.edge_ends, self.enabled = _longer(self.edge_ends, states), _longer(self.enabled, states)
        elif stop == search.TAIL_FULL:
            self._put_segment_aside()
        elif stop == search.EDGES_FULL:
            self.edges = _longer(self.edges, int(self.meta[F["edges"]]))
        elif stop == search.STAGING_FULL:
            self.staging = _longer(self.staging, 0, 2)
        elif stop == search.ENDS_FULL:
            self.ends = np.concatenate([self.ends, np.zeros(3 * len(self.ends), np.int64)])  # rows are read to their full length

    def schedule(self, state: int) -> list[int]:
        """The actions that lead from the initial state to state number `state`."""
        actions = []
        while state:
            actions.append(int(self.actions[state]))
            state = int(self.parents[state])
        return actions[::-1]

    def _violated(self, stop: int) -> Result:
        meta = self.meta
        schedule = self.schedule(int(meta[F["parent"]]))
        if stop == search.BROKEN_STEP:
            schedule.append(int(meta[F["action"]]))
            return self._result("violated", property=VIOLATIONS[self.machine["violation"]], schedule=schedule)
        if stop == search.DEADLOCK:
            return self._result("violated", property="deadlock", schedule=schedule)
        properties = self.scenario.always_properties + self.scenario.end_properties
        return self._result("violated", property=properties[int(meta[F["property"]])].name, schedule=schedule)

    def _exhausted(self) -> Result:
        if self.follow:
            found = find_fair_cycle(self)
            if found is not None:
                state, loop = found
                return self._result("violated", property="progress", schedule=self.schedule(state), loop=loop)
        if self.machine["buffer_full"]:
            size = self.machine["buffer"]
            return self._result(
                "bounded", reason=f"a store buffer of {size} entries filled up; hint: a larger buffer, --set buffer={2 * size}"
            )
        return self._result("proved")

    def _result(self, verdict: str, **more) -> Result:
        meta, machine = self.meta, self.machine
        states = int(meta[F["states"]])
        bounds = {"threads": machine.threads} | {name.rpartition(".")[2]: value for name, value in self.scenario.constants.items()}
        if machine.model == "tso":
            bounds["buffer"] = machine["buffer"]
        result = Result(
            self.scenario.name,
            machine.model,
            verdict,
            states,
            int(meta[F["transitions"]]),
            int(meta[F["steps"]]),
            0.0,
            int(meta[F["ends"]]),
            bounds,
            digest=self.scenario.digest(),
            bytes_a_state=(self.table.nbytes + 5 * states) / states,
            **more,
        )
        if self.outcomes:
            limit = machine["slot_limit"]
            for row in self.ends[: int(meta[F["ends"]]) * limit].reshape(-1, limit):
                slots = [int(machine.map[a]) for a in self.outcomes]
                result.outcomes.add(
                    tuple(int(machine.initial[a] ^ (row[s] if s >= 0 else 0)) for a, s in zip(self.outcomes, slots, strict=True))
                )
        return result


def _longer(array, used: int, factor: float = 1.5):
    """A longer array with the first `used` elements of `array`; the rest is not touched, so it costs nothing yet."""
    made = np.empty(int(len(array) * factor), array.dtype)
    made[:used] = array[:used]
    return made
