"""worker: one thread's share of a search: its row of states, its pieces of the next level, its part of the tree of predecessors.

A state's number is `index * workers + worker`: nobody waits for anybody to number a state.
"""

from __future__ import annotations

import numpy as np

from gnomon.check import search, space
from gnomon.check.context import AT
from gnomon.check.record import longest
from gnomon.check.space import (
    CHOICES,
    DONE,
    EDGES_FULL,
    ENDS_FULL,
    LANES,
    MERGE_LIMIT,
    RING,
    ROW,
    STAGED,
    STATES_FULL,
    TAIL_FULL,
    WAYS_FULL,
    F,
    Space,
)  # fmt: skip
from gnomon.check.visited import key

delta_room, whole = space.delta_room.py_func, space.whole.py_func

PIECE = 1 << 17
"""Words of a piece of frontier: some thousand states, which is what workers hand each other."""
JOURNAL = 2 * (MERGE_LIMIT + 16)


class Worker:
    """Expands pieces of the present level until the run has none left."""

    def __init__(self, run, number: int, workers: int):
        machine, scenario, futures = run.machine, run.scenario, run.futures
        self.run, self.number = run, number
        self.meta = meta = np.zeros(len(F), np.int64)
        self.follow = scenario.progress
        threads, stride, slots = machine.threads, machine.stride, machine["slot_limit"]
        observers = len(scenario.always_properties) + len(scenario.end_properties)
        words, room = threads * stride, threads * (CHOICES + 1)
        self.words = words
        self.ahead = (RING + 1) * room  # states that the search wants room for before it takes up another one
        self.piece_words = PIECE + self.ahead * longest(words, slots)
        follow = int(self.follow)
        self.context = machine.context.copy()
        keys = np.array([key(k) for k in range(2 * words)], np.uint64)
        piece = run.piece(self.piece_words)
        self.space = Space(
            meta=meta,
            context=self.context,
            blocks=np.zeros(RING * whole((threads + observers) * stride) + LANES, np.int64),
            memory=np.zeros(RING * slots, np.int64),
            zeros=np.zeros(LANES, np.int64),
            journal=np.zeros(2 * JOURNAL, np.int64),
            origin=machine.origin,
            address_of=machine.address_of,
            block_keys=keys,
            slot_keys=np.zeros(2 * slots, np.uint64),
            classes=machine.roles,
            single=machine.single,
            starts=machine.starts,
            saved=np.zeros(whole(words), np.int64),
            order=np.zeros(threads, np.int64),
            thread_mix=np.zeros(2 * threads, np.uint64),
            kinds=futures.kinds,
            rank=futures.rank,
            index=futures.index,
            learned=futures.learned,
            watched=futures.watched,
            noted=np.zeros_like(futures.learned),
            looked=np.zeros_like(futures.watched),
            went=np.zeros(futures.classes * futures.rows * ((futures.rows + 63) // 64), np.int64),
            ways=np.zeros(4096, np.int64),
            deltas=np.empty(RING * room * delta_room(words), np.int64),
            staged=np.zeros(STAGED * RING * room, np.int64),
            rows=np.zeros(ROW * RING, np.int64),
            stop=run.stop,
            current=np.zeros(0, np.int64),
            following=piece,
            table=run.visited.table.words,
            numbers=run.visited.table.numbers,
            parents=np.zeros(4096, np.uint32),
            actions=np.zeros(4096, np.uint8),
            edges=np.zeros(16384 * follow, np.int64),
            edge_ends=np.zeros(4096 * follow, np.int64),
            enabled=np.zeros(4096 * follow, np.uint32),
            expanded=np.zeros(4096 * follow, np.uint32),
            ends=np.zeros(64 * slots if run.outcomes else 0, np.int64),
        )
        self.context[AT["journal"]] = self.space.journal.ctypes.data
        self.narrowed = machine.guard.copy()
        self.context[AT["narrowed"]] = self.narrowed.ctypes.data
        meta[F["worker"]], meta[F["workers"]], meta[F["threads"]] = number, workers, threads
        meta[F["always"]], meta[F["at_end"]] = len(scenario.always_properties), len(scenario.end_properties)
        meta[F["broad"]], meta[F["alone"]] = int(run.compiled.barriers) << 1 | int(run.compiled.sleeps), int(run.alone)
        meta[F["forever"]] = sum(1 << t for t, thread in enumerate(scenario.threads) if thread.forever)
        meta[F["rows"]], meta[F["half"]], meta[F["follow"]] = futures.rows, futures.half if run.reduced else 0, follow
        self.first = 0  # index of the first state of the piece that is being written
        self.piece: np.ndarray | None = None

    def __getitem__(self, name: str) -> int:
        return int(self.meta[F[name]])

    def field(self, name: str) -> int:
        """A word of this worker's context."""
        return int(self.context[AT[name]])

    def start(self, machine) -> None:
        """Enter the initial state, as number 0."""
        made = self.space
        made.blocks[: self.words] = machine.blocks[: self.words]
        made.memory[: machine["slots"]] = machine.origin[: machine["slots"]]
        search.begin(made)

    def work(self) -> int:
        """Expand pieces until there are none (DONE), or until something needs all workers at rest."""
        run, meta = self.run, self.meta
        while True:
            if meta[F["cursor"]] >= meta[F["end"]]:
                if self.piece is not None:
                    run.give_back(self.piece)
                    self.piece = None
                taken = run.take()
                if taken is None:
                    return DONE
                self.piece, end, code = taken
                meta[F["cursor"]], meta[F["end"]], meta[F["code"]] = 0, end, code
                self.space = self.space._replace(current=self.piece)
            search.expand(run.compiled.step, run.compiled.drain, self.space)
            stop = int(meta[F["stop"]])
            if stop == TAIL_FULL:
                self.put_aside()
            elif stop in (STATES_FULL, EDGES_FULL, WAYS_FULL, ENDS_FULL):
                self._grow(stop)
            elif stop != DONE:
                return stop

    @property
    def ways(self) -> np.ndarray:
        """The pairs of program counters between which this worker saw a thread go, one after another."""
        return self.space.ways[: 2 * self["ways"]]

    def put_aside(self) -> None:
        """Hand in the piece of the next level that is being written."""
        meta, following = self.meta, self.space.following
        if meta[F["tail"]]:
            self.run.hand_in(following, int(meta[F["tail"]]), self.first * self["workers"] + self.number)
            following = None
        if following is None or len(following) < self.piece_words:
            self.space = self.space._replace(following=self.run.piece(self.piece_words))
        meta[F["tail"]] = 0
        self.first = self["states"]

    def _grow(self, stop: int) -> None:
        space, states = self.space, self["states"]
        if stop == STATES_FULL:
            space = space._replace(parents=longer(space.parents, states), actions=longer(space.actions, states))
        elif stop == EDGES_FULL:
            names = ("edge_ends", "enabled", "expanded")
            space = space._replace(
                edges=longer(space.edges, self["edges"]), **{name: longer(getattr(space, name), self["expanded"]) for name in names}
            )
        elif stop == WAYS_FULL:
            space = space._replace(ways=longer(space.ways, 2 * self["ways"]))
        else:
            space = space._replace(ends=longer(space.ends, self["ends"] * self.field("slot_limit"), 4))
        self.space = space

    def wider(self, machine, old: int) -> None:
        """Go over to the machine's new, longer arrays of slots, of which there were `old`."""
        limit = machine["slot_limit"]
        space = self.space
        ends = space.ends
        if len(ends):
            ends = np.zeros((len(ends) // old, limit), np.int64)
            ends[:, :old] = space.ends.reshape(-1, old)
            ends = ends.reshape(-1)
        slot_keys = np.zeros(2 * limit, np.uint64)
        slot_keys[: 2 * old] = space.slot_keys
        self.space = space._replace(
            memory=np.zeros(RING * limit, np.int64),
            origin=machine.origin,
            address_of=machine.address_of,
            slot_keys=slot_keys,
            ends=ends,
        )
        self.piece_words = PIECE + self.ahead * longest(self.words, limit)
        for name in ("origin", "address_of", "slot_limit"):
            self.context[AT[name]] = machine.context[AT[name]]

    def same_numbers(self, machine) -> None:
        """Take over which words and locks have numbers."""
        for name in ("slots", "locks"):
            self.context[AT[name]] = machine.context[AT[name]]

    def bytes(self) -> int:
        """Memory of this worker's own tables, as far as they are written."""
        states = self["states"]
        return 5 * states + 8 * self["edges"] + 16 * self["expanded"] + 8 * (self["tail"] + self["end"])


def longer(array, used: int, factor: float = 1.5):
    """A longer array with the first `used` elements of `array`; the rest is not touched, so it costs nothing yet."""
    made = np.empty(int(len(array) * factor), array.dtype)
    made[:used] = array[:used]
    return made
