"""run: one search under fixed assumptions: levels, workers, the tables they share, and what makes it stop.

While workers run, only the visited table changes under their hands. All else that is shared (numbers of words and locks, the size of
the table) changes while they rest; the locksets of words and what is known of futures only between levels, so that which states a level
has does not depend on the number of workers.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np

from gnomon.check.context import AT, MAX_LOCKS
from gnomon.check.futures import Futures
from gnomon.check.machine import Compiled, Machine
from gnomon.check.scenario import Scenario
from gnomon.check.space import DONE, SLOTS_FULL, STOPPED, TABLE_FULL, F
from gnomon.check.visited import Visited
from gnomon.check.worker import Worker

CHUNK = 100_000
"""Transitions between two looks at the clock, memory and Ctrl-C: well under a second."""
NEVER = 1 << 62
TOGETHER = 2
"""Pieces of a level from which on it is worth waking the other workers."""


@dataclass
class Limits:
    """What ends a search early. `began` is on the monotonic clock, in seconds."""

    memory: int
    states: int
    seconds: float
    began: float
    workers: int


class Run:
    """One search."""

    def __init__(
        self,
        scenario: Scenario,
        compiled: Compiled,
        machine: Machine,
        futures: Futures,
        limits: Limits,
        outcomes: tuple[int, ...],
        progress,
        reduced: bool,
        alone: bool,
        small: int,
        patience: int,
        bound: int,
    ):
        self.scenario, self.compiled, self.machine, self.futures = scenario, compiled, machine, futures
        self.limits, self.outcomes, self.progress = limits, outcomes, progress
        self.reduced, self.alone, self.small, self.patience, self.bound = reduced, alone, small, patience, bound
        self.stop = np.zeros(1, np.int64)
        self.visited = Visited(limits.memory, scenario.progress)
        self.free: list[np.ndarray] = []  # pieces to use again: memory that was touched before costs the host nothing
        self.waiting: deque[tuple[np.ndarray, int, int]] = deque()  # pieces of this level: array, end, number of the first state
        self.written: list[tuple[np.ndarray, int, int]] = []  # of the next one
        self.levels: list[list[int]] = []  # how many states each worker had entered at the end of every level
        self.told = limits.began
        self.unforeseen = self.broken = False
        machine.start()
        self.workers = [Worker(self, n, limits.workers) for n in range(limits.workers)]
        self._share_table()

    def begin(self) -> None:
        """Enter the initial state."""
        self.workers[0].start(self.machine)
        self.workers[0].put_aside()

    # what workers ask for; each of these is one operation under the interpreter's lock

    def take(self) -> tuple[np.ndarray, int, int] | None:
        try:
            return self.waiting.popleft()
        except IndexError:
            return None

    def hand_in(self, piece: np.ndarray, end: int, code: int) -> None:
        self.written.append((piece, end, code))

    def give_back(self, piece: np.ndarray) -> None:
        self.free.append(piece)

    def piece(self, words: int) -> np.ndarray:
        try:
            made = self.free.pop()
        except IndexError:
            made = None
        return made if made is not None and len(made) >= words else np.empty(words, np.int64)

    # sums over workers

    def total(self, name: str) -> int:
        return sum(worker[name] for worker in self.workers)

    def any_field(self, name: str) -> int:
        return max(worker.field(name) for worker in self.workers)

    @property
    def states(self) -> int:
        return self.total("states")

    @property
    def transitions(self) -> int:
        return self.total("transitions")

    def overlap(self) -> int:
        """Bits of the locks that did not exclude."""
        found = 0
        for worker in self.workers:
            found |= worker.field("overlap")
        return found

    def bytes(self) -> int:
        """Memory of the search's tables."""
        pieces = list(self.waiting) + list(self.written)
        frontier = 8 * sum(end for _, end, _ in pieces) + sum(p.nbytes for p in list(self.free))
        return self.visited.nbytes + frontier + sum(worker.bytes() for worker in self.workers)

    def bytes_a_state(self) -> float:
        return (self.visited.table.words.nbytes + 5 * self.states) / self.states

    # the search

    def search(self) -> str:
        """Search to the end. Returns "" then, "again" when an assumption was wrong, "large" when the search is not small any more,
        else what stopped it."""
        pool: ThreadPoolExecutor | None = None
        self.begin()
        try:
            while True:
                self.waiting, self.written = deque(self.written), []
                if not self.waiting:
                    return "again" if self._wrong() else ""
                while self.waiting or any(w["cursor"] < w["end"] for w in self.workers):
                    if len(self.workers) > 1 and len(self.waiting) >= TOGETHER and not self.small:
                        pool = pool or ThreadPoolExecutor(len(self.workers), "explorer")
                        why = self._together(pool)
                    else:
                        why = self._by_one()
                    if why:
                        return why
                for worker in self.workers:
                    worker.put_aside()
                self.levels.append([w["states"] for w in self.workers])
                self._agree()
                if any(w["found"] for w in self.workers):
                    return "again" if self._wrong() else ""
                # only between levels, so that what is known by then does not depend on the number of workers
                if self._wrong() and self.transitions >= self.patience:
                    return "again"
                if self.small and self.transitions >= self.small:
                    return "large"
        except KeyboardInterrupt:
            return "interrupted"
        except MemoryError:
            return f"the host has no more memory at {self.bytes() >> 20:,} MiB"
        finally:
            self.stop[0] = 1
            if pool is not None:
                pool.shutdown()

    def _by_one(self) -> str:
        """Let the first worker with something to do go on for a while. Returns why the search must stop, or ""."""
        worker = next((w for w in self.workers if w["cursor"] < w["end"]), self.workers[0])
        worker.meta[F["limit"]] = worker["transitions"] + CHUNK
        machine, context = self.machine, worker.context
        context[AT["room"]], context[AT["lock_room"]] = self._room()
        stop = worker.work()
        machine["slots"], machine["locks"] = worker.field("slots"), worker.field("locks")
        for other in self.workers:
            other.same_numbers(machine)
        return self._look([worker], [stop])

    def _room(self) -> tuple[int, int]:
        """How many slots and locks a worker that is alone may number by itself."""
        return self.machine["slot_limit"], MAX_LOCKS

    def _together(self, pool: ThreadPoolExecutor) -> str:
        """Let all workers go on until the level is done or one of them needs the others to rest."""
        machine = self.machine
        self.stop[0] = 0
        for worker in self.workers:
            worker.meta[F["limit"]] = NEVER
            worker.context[AT["room"]], worker.context[AT["lock_room"]] = machine["slots"], machine["locks"]
        running = [pool.submit(self._work, worker) for worker in self.workers]
        why = ""
        try:
            while wait(running, 0.1).not_done:
                why = why or self._stopped()
                if why:
                    self.stop[0] = 1
        except KeyboardInterrupt:
            self.stop[0] = 1
            wait(running)
            raise
        return self._look(self.workers, [f.result() for f in running]) or why

    def _work(self, worker: Worker) -> int:
        stop = STOPPED
        try:
            stop = worker.work()
        finally:
            if stop != DONE:
                self.stop[0] = 1
        return stop

    def _look(self, workers: list[Worker], stops: list[int]) -> str:
        """All rest: mend what they stopped for. Returns why the search must stop, or ""."""
        self.stop[0] = 0
        for worker, stop in zip(workers, stops, strict=True):
            if stop == SLOTS_FULL:
                self._give_number(worker)
        if TABLE_FULL in stops:
            self._larger_table()
        if self.progress and time.monotonic() - self.told > 0.5:
            self.told = time.monotonic()
            self.progress(self.states, self.transitions)
        return self._stopped()

    def _wrong(self) -> bool:
        """Whether steps relied on something that is not so."""
        return self.broken or (self.alone and self.unforeseen)

    def _agree(self) -> None:
        """All rest between levels: what each of them saw of locksets and futures is known to all from here on."""
        self.broken |= any(w.field("broken") for w in self.workers)
        if any(w.context[AT["narrows"]] for w in self.workers):
            self.broken |= self.machine.narrow((slice(None), worker.narrowed) for worker in self.workers)
            for worker in self.workers:
                worker.narrowed[:] = self.machine.guard
                worker.context[AT["narrows"]] = 0
        if any(w["noted"] for w in self.workers):
            for worker in self.workers:
                self.unforeseen |= self.futures.gather(worker.space.noted, worker.space.looked)
                worker.meta[F["noted"]] = 0
            self.unforeseen |= self.futures.carry_back([worker.ways for worker in self.workers])

    def _stopped(self) -> str:
        limits = self.limits
        if limits.states and self.states >= limits.states:
            return f"stopped at {limits.states:,} states"
        if self.bound and self.states >= self.bound:
            return "no shorter counterexample looked for any longer"
        if limits.seconds and time.monotonic() - limits.began > limits.seconds:
            return f"stopped after {limits.seconds:g} s"
        if self.bytes() > limits.memory:
            return f"memory limit of {limits.memory >> 20:,} MiB reached"
        return ""

    def _give_number(self, worker: Worker) -> None:
        """The word, or the lock, that a step wanted a number for gets one, known to all workers."""
        machine, wanted = self.machine, worker.field("wanted")
        worker.context[AT["full"]] = 0
        if wanted < 0:
            machine.number_lock(-wanted)
        elif machine.map[wanted] < 0:
            if machine["slots"] == machine["slot_limit"]:
                old = machine["slot_limit"]
                machine.widen()
                for other in self.workers:
                    other.wider(machine, old)
            machine.allocate(wanted)
        for other in self.workers:
            other.same_numbers(machine)

    def _larger_table(self) -> None:
        if self.visited.room(self.states) < max(self.visited.capacity // 100, 2 * sum(worker.ahead for worker in self.workers)):
            self.visited.grow()
        self._share_table()

    def _share_table(self) -> None:
        """Tell the workers of the table, and how many states more each may enter."""
        left, table = self.visited.room(self.states) // len(self.workers), self.visited.table
        for worker in self.workers:
            worker.space = worker.space._replace(table=table.words, numbers=table.numbers)
            worker.meta[F["capacity"]], worker.meta[F["budget"]] = self.visited.capacity, worker["states"] + left

    # what was found

    def violation(self) -> tuple[int, int, int, int] | None:
        """(kind, property or code, state, action) of the violation that comes first."""
        found = [w for w in self.workers if w["found"]]
        if not found:
            return None
        best = min(found, key=lambda w: tuple(w[name] for name in ("found", "detail", "first", "second", "action")))
        return best["found"] - 1, best["detail"], best["parent"], best["action"]

    def schedule(self, state: int) -> list[int]:
        """The actions that lead from the initial state to state number `state`."""
        actions = []
        while state:
            worker, index = self.workers[state % len(self.workers)], state // len(self.workers)
            actions.append(int(worker.space.actions[index]))
            state = int(worker.space.parents[index])
        return actions[::-1]

    def level(self, state: int) -> int:
        """How many actions lead to a state."""
        worker, index = state % len(self.workers), state // len(self.workers)
        return int(np.searchsorted([counts[worker] for counts in self.levels], index, "right")) + (worker > 0 or index > 0)

    def recorded(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Edges: the states that were expanded, how many leave each, target << 8 | action of these, and who was able in each state."""
        workers, counts = [w.space for w in self.workers], [w["expanded"] for w in self.workers]
        expanded = np.concatenate([w.expanded[:n] for w, n in zip(workers, counts, strict=True)]).astype(np.int64)
        lengths = np.concatenate([np.diff(w.edge_ends[:n], prepend=0) for w, n in zip(workers, counts, strict=True)])
        edges = np.concatenate([w.edges[: worker["edges"]] for w, worker in zip(workers, self.workers, strict=True)])
        return expanded, lengths, edges, np.concatenate([w.enabled[:n] for w, n in zip(workers, counts, strict=True)])

    def final_values(self) -> set[tuple[int, ...]]:
        """The values of the outcome words in all end states."""
        machine, found = self.machine, set()
        if not self.outcomes:
            return found
        slots = [int(machine.map[a]) for a in self.outcomes]
        limit = machine["slot_limit"]
        for worker in self.workers:
            for row in worker.space.ends[: worker["ends"] * limit].reshape(-1, limit):
                found.add(tuple(int(machine.initial[a] ^ (row[s] if s >= 0 else 0)) for a, s in zip(self.outcomes, slots, strict=True)))
        return found
