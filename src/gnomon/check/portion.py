"""portion: some shards' frontier of one level, expanded under assumptions that are the same wherever it is done.

What a search goes by changes while it goes on: which words and locks have numbers, which locks guard a word, what is known of futures.
Portions of one level all start from what was known before it (Assumed) and tell what they learned (Learned); whoever drives them puts
that together before the next level.
"""

from __future__ import annotations

import time
from copy import copy
from dataclasses import dataclass, field

import numpy as np

from gnomon.check.futures import Futures
from gnomon.check.machine import Compiled, Machine
from gnomon.check.run import Limits, Run
from gnomon.check.scenario import Scenario
from gnomon.check.shard import Parcel, deal, measure, wrap
from gnomon.check.space import F


class Unnumbered(Exception):
    """A lock without a number was taken: it needs one that is the same everywhere, since fingerprints have it in them."""

    def __init__(self, lock: int):
        super().__init__(lock)
        self.lock = lock


@dataclass(frozen=True)
class Assumed:
    """All that an expansion depends on besides the scenario and its frontier."""

    model: str
    buffer: int
    reduced: bool
    alone: bool
    outcomes: tuple[int, ...]
    visible: set[int] | None
    no_locks: tuple[int, ...]
    whole: frozenset[int]
    alike: bool
    shards: int
    slots: tuple[int, ...]  # words that have numbers
    locks: tuple[int, ...]  # lock words that have numbers
    significant: tuple[int, ...]  # words that turned out to count whole during this run
    guarded: np.ndarray  # words whose candidate locksets are not what they were at the start …
    guards: np.ndarray  # … and those locksets
    learned: np.ndarray
    watched: np.ndarray

    def machine(self, scenario: Scenario, compiled: Compiled) -> Machine:
        """A machine that assumes this."""
        made = Machine(
            scenario, compiled, self.model, self.buffer, max(64, 2 * len(self.slots)),
            self.visible, self.no_locks, self.whole, self.alike,
        )  # fmt: skip
        for address in self.slots:
            made.allocate(address)
        made.significant[list(self.significant)] = -1
        made.lock_words[: len(self.locks)] = self.locks
        made["locks"] = len(self.locks)
        made.guard[self.guarded] = self.guards
        return made


def futures_of(scenario: Scenario, compiled: Compiled, model: str) -> Futures:
    """Futures of which nothing is known."""
    return Futures(compiled.layout, scenario.guarded, len(scenario.threads), model == "tso")


@dataclass(frozen=True)
class Learned:
    """What an expansion found out about what it assumed."""

    slots: tuple[int, ...]  # words that got the next numbers
    significant: tuple[int, ...]
    guarded: np.ndarray
    guards: np.ndarray
    learned: np.ndarray | None  # None: nothing new
    watched: np.ndarray | None
    ways: np.ndarray  # pairs of program counters, see futures.py
    broken: bool
    overlap: int
    buffer_full: bool


@dataclass(frozen=True)
class Edges:
    """The part of the state graph that leaves a portion's states. Targets are numbers within the portion's parcels."""

    expanded: np.ndarray
    lengths: np.ndarray
    edges: np.ndarray  # target << 8 | action
    enabled: np.ndarray
    owners: np.ndarray  # of each target; a shard's targets are in the order of its parcel


@dataclass
class Expanded:
    """What came of expanding a portion."""

    parcels: dict[int, Parcel] = field(default_factory=dict)
    transitions: int = 0
    steps: int = 0
    ends: int = 0
    violation: tuple[int, int, int, int, int, int] | None = None  # kind + 1, detail, first, second, action, state
    outcomes: set[tuple[int, ...]] = field(default_factory=set)
    learned: Learned | None = None
    edges: Edges | None = None


class Portion(Run):
    """A search of one level by one worker into a table of its own, which only tells which successors are the same."""

    def __init__(self, scenario: Scenario, compiled: Compiled, assumed: Assumed, futures: Futures):
        """`futures` are those of the program, whatever was learned of them: made once, used by many."""
        machine = assumed.machine(scenario, compiled)
        futures = copy(futures)
        futures.number(assumed.visible or ())
        futures.learned, futures.watched = assumed.learned.copy(), assumed.watched.copy()
        self.assumed, self.start = assumed, machine.guard.copy()
        limits = Limits(1 << 62, 0, 0.0, time.monotonic(), 1)
        super().__init__(
            scenario, compiled, machine, futures, limits, assumed.outcomes, None, assumed.reduced, assumed.alone, 0, 1 << 62, 0
        )
        self.workers[0].meta[F["workers"]] = assumed.shards

    def expand(self, frontiers: list[tuple[int, int, np.ndarray]]) -> Expanded:
        """Expand (shard, index of the first state, records) one after another. Raises Unnumbered."""
        worker, shards = self.workers[0], self.assumed.shards
        self.waiting.extend((records, len(records), first * shards + shard) for shard, first, records in frontiers if len(records))
        while self.waiting or worker["cursor"] < worker["end"]:
            self._by_one()
        worker.put_aside()
        self._agree()
        learned = self._learned()
        parcels, owners = self._parcels(learned.slots)
        found = None
        if worker["found"]:
            found = tuple(worker[name] for name in ("found", "detail", "first", "second", "action", "parent"))
        edges = None
        if worker.follow:
            count, space = worker["expanded"], worker.space
            made = space.edges[: worker["edges"]]
            edges = Edges(
                space.expanded[:count].copy(), np.diff(space.edge_ends[:count], prepend=0), (made >> 8) // shards << 8 | made & 255,
                space.enabled[:count].copy(), owners,
            )  # fmt: skip
        return Expanded(parcels, self.transitions, self.total("steps"), self.total("ends"), found, self.final_values(), learned, edges)

    def _room(self) -> tuple[int, int]:
        return self.machine["slot_limit"], self.machine["locks"]

    def _give_number(self, worker) -> None:
        wanted = worker.field("wanted")
        if wanted < 0:
            raise Unnumbered(-wanted)
        super()._give_number(worker)

    def _parcels(self, slots: tuple[int, ...]) -> tuple[dict[int, Parcel], np.ndarray]:
        """The successors by owner, and the owner of each."""
        worker, shards = self.workers[0], self.assumed.shards
        count = worker["states"]
        owners, sizes = np.empty(count, np.uint8), np.zeros(shards, np.int64)
        n = 0
        for records, end, _ in self.written:
            n = measure(records, end, shards, owners, n, sizes)
        begins = np.concatenate([[0], np.cumsum(sizes)])
        to, tails = np.empty(begins[-1], np.int64), begins[:-1].copy()
        n = 0
        for records, end, _ in self.written:
            n = deal(records, end, owners, n, to, tails)
        origins = worker.space.parents[:count].astype(np.int64) << 8 | worker.space.actions[:count]
        origins = origins[np.argsort(owners, kind="stable")]
        places = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=shards))])
        base = len(self.assumed.slots)
        return {
            int(shard): wrap(to[begins[shard] : begins[shard + 1]], origins[places[shard] : places[shard + 1]], base, slots)
            for shard in np.flatnonzero(sizes)
        }, owners

    def _learned(self) -> Learned:
        machine, futures, assumed = self.machine, self.futures, self.assumed
        changed = np.flatnonzero(machine.guard != self.start)
        more = not np.array_equal(futures.learned, assumed.learned)
        seen = not np.array_equal(futures.watched, assumed.watched)
        return Learned(
            tuple(machine.slot_addresses()[len(assumed.slots) :]),
            tuple(at for at in self.scenario.significant if machine.significant[at] == -1),
            changed,
            machine.guard[changed],
            futures.learned.copy() if more else None,
            futures.watched.copy() if seen else None,
            self.workers[0].ways.copy(),
            self.broken,
            self.overlap(),
            bool(self.any_field("buffer_full")),
        )
