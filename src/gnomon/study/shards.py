"""shards: one exploration of the checker over the workers of a Dask cluster, level by level, with what one process would find.

States belong to shards by their fingerprints. A level is one task for a few shards: enter the successors that came for them, expand what
was new, and hand back the successors of that by shard. All of it comes back here: the log of each shard (shard_log.py) and the parcels
of the next level are the only copy of what is known, and a worker's tables are a cache of them. So workers may die, come late
or forget: a task that is lost is done again, and a shard whose worker is gone goes to another one, with its log.

Between two levels what the tasks learned is put together (check/portion.py), and what they assumed holds for the whole of the next one.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence

import distributed
import numpy as np

from gnomon.check.explore import explore
from gnomon.check.futures import Futures, gather
from gnomon.check.machine import Compiled, Machine
from gnomon.check.portion import Assumed, Edges, Expanded, Learned
from gnomon.check.result import Result
from gnomon.check.run import Limits, Run
from gnomon.check.scenario import Scenario
from gnomon.check.shard import NOBODY, Parcel, owner, wrap
from gnomon.errors import GnomonError
from gnomon.study.shard_fleet import Fleet, Work
from gnomon.study.shard_log import Log
from gnomon.study.shard_task import Asked, Level, Turn
from gnomon.study.sweep import source_digest

SHARDS = 32
MOST_SHARDS = 255
"""An owner is a byte."""


class Stopped(Exception):
    """Something ends the search early; why."""


class ShardedRun:
    """One search over all workers of a cluster. What it answers is what a Run answers."""

    def __init__(
        self, fleet: Fleet, asked: Asked, shards: int,
        scenario: Scenario, compiled: Compiled, machine: Machine, futures: Futures, limits: Limits, outcomes: tuple[int, ...],
        progress, reduced: bool, alone: bool, small: int, patience: int, bound: int,
    ):  # fmt: skip
        self.fleet, self.asked, self.shards = fleet, asked, shards
        self.scenario, self.compiled, self.machine, self.futures = scenario, compiled, machine, futures
        self.limits, self.outcomes, self.progress = limits, outcomes, progress
        self.reduced, self.alone, self.patience, self.bound = reduced, alone, patience, bound
        self.name = uuid.uuid4().hex
        self.unguarded = machine.guard.copy()
        self.log = Log(shards)
        self.parcels: dict[int, list[Parcel]] = {}  # what is on its way to each shard
        self.levels: list[list[int]] = []  # how many states each shard had entered at the end of every level
        self.counts = {"transitions": 0, "steps": 0, "ends": 0}
        self.ways: set[tuple[int, int]] = set()
        self.overlaps = 0
        self.unforeseen = self.broken = self.full = False
        self.found: tuple[int, ...] | None = None
        self.values: set[tuple[int, ...]] = set()
        self.tables: dict[int, int] = {}  # bytes of each shard's table
        self.loose: list[Edges] = []  # edges that were found last: their targets have no numbers yet
        self.graph: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []

    # what explore() and progress ask

    @property
    def states(self) -> int:
        return sum(self.log.counts)

    @property
    def transitions(self) -> int:
        return self.counts["transitions"]

    def total(self, name: str) -> int:
        return self.states if name == "states" else self.counts[name]

    def any_field(self, name: str) -> int:
        return int({"buffer_full": self.full, "broken": self.broken}[name])

    def overlap(self) -> int:
        return self.overlaps

    def bytes(self) -> int:
        """Tables of the workers and parcels on their way."""
        return sum(self.tables.values()) + sum(parcel.size for parcels in self.parcels.values() for parcel in parcels)

    def bytes_a_state(self) -> float:
        return (sum(self.tables.values()) + 24 * self.states) / self.states

    def violation(self) -> tuple[int, int, int, int] | None:
        if self.found is None:
            return None
        kind, detail, _, _, action, state = self.found
        return kind - 1, detail, state, action

    def schedule(self, state: int) -> list[int]:
        actions = []
        while True:
            state, action = self.log.origin(state % self.shards, state // self.shards)
            if state == NOBODY:
                return actions[::-1]
            actions.append(action)

    def level(self, state: int) -> int:
        shard, index = state % self.shards, state // self.shards
        return int(np.searchsorted([counts[shard] for counts in self.levels], index, "right"))

    def recorded(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        expanded, lengths, edges, enabled = (np.concatenate(part) for part in zip(*self.graph, strict=True))
        return expanded.astype(np.int64), lengths, edges, enabled

    def final_values(self) -> set[tuple[int, ...]]:
        return self.values

    # the search

    def search(self) -> str:
        """As Run.search(): "" at the end, "again" when an assumption was wrong, else what stopped it. Raises GnomonError."""
        self._begin()
        try:
            while self.parcels:
                self._level(expand=True)
                if self.found is not None:
                    if self._wrong():
                        return "again"
                    self._level(expand=False)  # what the last steps led to counts as found
                    return ""
                if self._wrong() and self.transitions >= self.patience:
                    return "again"
                self._look()
                self._enough()
        except Stopped as stopped:
            return str(stopped)
        except KeyboardInterrupt:
            return "interrupted"
        finally:
            self.fleet.forget(self.name)
        return "again" if self._wrong() else ""

    def _begin(self) -> None:
        """The initial state, on its way to its shard."""
        first = Run(
            self.scenario, self.compiled, self.machine, self.futures, Limits(1 << 62, 0, 0.0, time.monotonic(), 1), (), None,
            self.reduced, self.alone, 0, 0, 0,
        )  # fmt: skip
        first.begin()
        piece, end, _ = first.written[0]
        where = int(owner(np.uint64(piece[2:3].view(np.uint64)[0]), self.shards))
        self.parcels = {where: [wrap(piece[:end], np.array([NOBODY << 8], np.int64), self.machine["slots"], ())]}

    def _wrong(self) -> bool:
        return self.broken or (self.alone and self.unforeseen)

    def _level(self, expand: bool) -> None:
        """Enter what is on its way, and expand it."""
        parcels, self.parcels = self.parcels, {}
        sizes = {shard: sum(parcel.count for parcel in found) for shard, found in parcels.items()}

        def turns(shards: Sequence[int], logs: bool) -> tuple[Turn, ...]:
            log = self.log
            return tuple(Turn(s, log.counts[s], tuple(parcels[s]), log.fingerprints(s) if logs else None) for s in shards)

        level = Level(self.name, self.asked, expand)
        answers = Work(self.fleet, level, self._assumed(), turns, self._look, self._number).do(sizes)
        numbers = {}
        for entered in (entered for done in answers for entered in done.entered):
            self.log.append(entered.shard, entered.fingerprints, entered.whence)
            numbers[entered.shard] = entered.numbers
            self.tables[entered.shard] = entered.bytes
        if self.scenario.progress:
            self._tie(numbers)
        self.levels.append(list(self.log.counts))
        self._gather([done.expanded for done in answers if done.expanded is not None])

    def _gather(self, answers: list[Expanded]) -> None:
        """Put together what the portions of a level found and learned."""
        known = len(self.ways)
        for expanded in answers:
            for name in self.counts:
                self.counts[name] += getattr(expanded, name)
            if expanded.violation is not None and (self.found is None or expanded.violation < self.found):
                self.found = expanded.violation
            self.values |= expanded.outcomes
            self._absorb(expanded.learned)
            for shard, parcel in expanded.parcels.items():
                self.parcels.setdefault(shard, []).append(parcel)
            if expanded.edges is not None:
                self.loose.append(expanded.edges)
        if self.unforeseen or len(self.ways) > known:
            self.unforeseen |= self.futures.carry_back([np.array(sorted(self.ways), np.int64).reshape(-1)])
        self.broken |= self.machine.narrow((done.learned.guarded, done.learned.guards) for done in answers)

    def _absorb(self, learned: Learned) -> None:
        machine, futures = self.machine, self.futures
        for address in learned.slots:
            if machine.map[address] < 0:
                if machine["slots"] == machine["slot_limit"]:
                    machine.widen()
                machine.allocate(address)
        machine.significant[list(learned.significant)] = -1
        for known, noted in ((futures.learned, learned.learned), (futures.watched, learned.watched)):
            self.unforeseen |= noted is not None and bool(gather(known, noted))
        self.ways.update(map(tuple, learned.ways.reshape(-1, 2).tolist()))
        self.broken |= learned.broken
        self.full |= learned.buffer_full
        self.overlaps |= learned.overlap

    def _assumed(self) -> Assumed:
        """What the next level goes by."""
        machine, futures = self.machine, self.futures
        guarded = np.flatnonzero(machine.guard != self.unguarded)
        return Assumed(
            machine.model, machine["buffer"], self.reduced, self.alone, self.outcomes, machine.visible, machine.no_locks, machine.whole,
            machine.alike,
            self.shards, tuple(machine.slot_addresses()), tuple(machine.lock_words[: machine["locks"]].tolist()),
            tuple(at for at in self.scenario.significant if machine.significant[at] == -1), guarded, machine.guard[guarded],
            futures.learned.copy(), futures.watched.copy(),
        )  # fmt: skip

    def _number(self, lock: int) -> Assumed:
        """A lock gets the next number. Returns what to go by now."""
        self.machine.number_lock(lock)
        return self._assumed()

    def _tie(self, numbers: dict[int, np.ndarray]) -> None:
        """Give the edges of the level before their targets, now that these have numbers."""
        taken = dict.fromkeys(numbers, 0)
        for edges in self.loose:
            targets = np.empty(len(edges.owners), np.int64)
            for shard in np.unique(edges.owners).tolist():
                mine = np.flatnonzero(edges.owners == shard)
                begin = taken[shard]
                taken[shard] += len(mine)
                targets[mine] = numbers[shard][begin : begin + len(mine)].astype(np.int64) * self.shards + shard
            self.graph.append((edges.expanded, edges.lengths, targets[edges.edges >> 8] << 8 | edges.edges & 255, edges.enabled))
        self.loose = []

    def _look(self) -> None:
        """Say how far it is; raises Stopped when time is up."""
        limits = self.limits
        if self.progress:
            self.progress(self.states, self.transitions)
        if limits.seconds and time.monotonic() - limits.began > limits.seconds:
            raise Stopped(f"stopped after {limits.seconds:g} s")

    def _enough(self) -> None:
        limits = self.limits
        if limits.states and self.states >= limits.states:
            raise Stopped(f"stopped at {limits.states:,} states")
        if self.bound and self.states >= self.bound:
            raise Stopped("no shorter counterexample looked for any longer")
        if self.bytes() > limits.memory:
            raise Stopped(f"memory limit of {limits.memory >> 20:,} MiB reached")

    def close(self) -> None:
        self.log.close()


def explore_sharded(
    client: distributed.Client,
    name: str,
    scenario: Scenario,
    model: str,
    *,
    settings: dict[str, int] | None = None,
    shards: int = SHARDS,
    note: Callable[[str], None] = lambda text: None,
    told: Callable[[str], None] | None = None,
    **options,
) -> Result:
    """explore(), over the workers of a cluster once the search is large. `name` and `settings` are what workers build the scenario from.

    `shards` are the parts of the states, and so the most workers' threads that share the work. `note` gets what a person should know,
    `told` how far it is. The memory that `options` limit is that of all workers' tables together, and of what is on its way.
    Raises GnomonError when the cluster is of no more use."""
    if not 1 <= shards <= MOST_SHARDS:
        raise GnomonError(f"an exploration has 1 to {MOST_SHARDS} shards, not {shards}", exit_code=2)
    asked = Asked(name, tuple(sorted((settings or {}).items())), scenario.digest(), source_digest())
    fleet = Fleet(client, shards, note)
    runs: list[ShardedRun] = []

    def search(*what) -> ShardedRun:
        while runs:
            runs.pop().close()
        runs.append(ShardedRun(fleet, asked, shards, *what))
        return runs[0]

    def tell(states: int, transitions: int) -> None:
        where = f", level {len(runs[0].levels)}, {shards} shards on {len(fleet.threads)} workers" if runs else ""
        told(f"{states:,} states, {transitions:,} transitions{where}")

    try:
        return explore(scenario, model, large=search, progress=tell if told else None, **options)
    finally:
        while runs:
            runs.pop().close()
