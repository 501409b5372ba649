"""machine: a scenario made executable: its compiled step function, its memory, the blocks of its threads."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gnomon.check.context import ADDRESS_BITS, ASLEEP, ASLEEP_SHIFT, AT, EVERYTHING, FIELDS, HEADER, MAX_LOCKS, PART_SHIFT
from gnomon.check.demand import demanded
from gnomon.check.emit import emit
from gnomon.check.layout import Layout
from gnomon.check.native import compile_text
from gnomon.check.scenario import Scenario
from gnomon.check.simplify import simplify
from gnomon.check.space import LANES

MODELS = ("sc", "tso")
JOURNAL = 4096


@dataclass
class Compiled:
    """The parts that do not depend on memory model or bounds."""

    layout: Layout
    step: int
    drain: int
    barriers: bool
    """Whether membarrier() is called anywhere: then a store that only is in a buffer makes a difference to others."""
    sleeps: bool
    """Whether futex_wait() is called anywhere: then a step may change the block of another thread."""


def compile_scenario(scenario: Scenario) -> Compiled:
    program = scenario.program()
    simplify(program)
    layout = Layout(program)
    native = compile_text(emit(program, layout, demanded(program) if scenario.significant else None))
    kinds = {point.op.kind for point in layout.points[1:]}
    return Compiled(layout, native.address("step"), native.address("drain"), "membarrier" in kinds, "futex_wait" in kinds)


def programs(scenario: Scenario) -> list[int]:
    """For each thread, the first thread that runs the same calls, for as long."""
    what = [(thread.calls, thread.forever) for thread in scenario.threads]
    return [what.index(one) for one in what]


def part_of(word: int, bytes: int) -> int:
    """The value that some bytes of a word hold; 0 means all of them."""
    if not bytes:
        return word
    low = (bytes & -bytes).bit_length() - 1
    return (word & (1 << 64) - 1) >> 8 * low & (1 << 8 * bytes.bit_count()) - 1


class Machine:
    """One run's memory and context. `start()` puts it into the initial state; `step`/`drain` move it."""

    def __init__(
        self,
        scenario: Scenario,
        compiled: Compiled,
        model: str,
        buffer: int,
        slots: int,
        visible: set[int] | None,
        no_locks: tuple[int, ...] = (),
        whole: frozenset[int] = frozenset(),
        alike: bool = False,
    ):
        """`visible` is the set of words known to need scheduling points; None: all of them (no reduction).

        no_locks   lock words of declared locks that turned out not to exclude
        whole      words of which all bits count although the scenario says otherwise
        alike      threads that run the same program may stand for each other"""
        if model not in MODELS:
            raise ValueError(f"no memory model {model!r}; there are {', '.join(MODELS)}")
        self.scenario, self.compiled, self.model = scenario, compiled, model
        self.visible, self.no_locks, self.whole, self.alike = visible, no_locks, whole, alike
        self.threads = len(scenario.threads)
        observers = len(scenario.always_properties) + len(scenario.end_properties)
        self.stride = HEADER + 2 * buffer + compiled.layout.registers
        words = scenario.arena.words
        self.initial = words.copy()
        self.map = np.full(len(words), -1, np.int32)
        slots += -slots % LANES
        self.memory, self.origin, self.address_of = (np.zeros(slots, np.int64) for _ in range(3))
        self.significant = np.full(len(words), -1, np.int64)
        for at, bits in scenario.significant.items():
            if at not in whole:
                self.significant[at] = bits
        self.journal = np.zeros(2 * JOURNAL, np.int64)
        self.blocks = np.zeros((self.threads + observers) * self.stride, np.int64)
        self.guard = np.zeros(scenario.guarded, np.int64)
        if visible is not None:
            self.guard[:] = EVERYTHING
            self.guard[list(visible)] = 0
        self.narrowed = self.guard.copy()
        self.lock_words = np.zeros(64, np.int64)
        self.lock_words[: len(no_locks)] = no_locks
        self.classes = programs(scenario)
        self.single = np.array([not alike or self.classes.count(c) == 1 for c in self.classes], np.int64)
        self.roles = np.array([t if self.single[t] else c for t, c in enumerate(self.classes)], np.int64)
        self.context = np.zeros(len(FIELDS), np.int64)
        pointers = {"map": self.map, "initial": self.initial, "memory": self.memory, "origin": self.origin, "address_of": self.address_of}
        pointers |= {"significant": self.significant, "journal": self.journal, "blocks": self.blocks, "lock_words": self.lock_words}
        pointers |= {"guard": self.guard, "narrowed": self.narrowed}
        for name, array in pointers.items():
            self[name] = array.ctypes.data
        self["words"], self["slot_limit"], self["stride"], self["threads"] = len(words), slots, self.stride, self.threads
        self["room"], self["locks"], self["lock_room"], self["no_locks"] = slots, len(no_locks), MAX_LOCKS, len(no_locks)
        self["tso"], self["buffer"] = int(model == "tso"), buffer
        self["early"] = int(model == "tso" and visible is not None and not compiled.barriers)
        self["time"] = 2 if scenario.time_passes else 1
        self["lone"] = -1 & ~sum(1 << t for t in range(self.threads) if not self.single[t])
        if scenario.owners is not None:
            owners = scenario.owners
            self["owners"], self["owned_from"], self["owned_to"], self["granule"] = owners.at, owners.first, owners.last, owners.granule
            self["owner_mask"] = owners.mask
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)
        self._step, self._drain = kind(compiled.step), kind(compiled.drain)
        self.starts = np.array(compiled.layout.starts[self.threads :] or [0], np.int64)

    def allocate(self, address: int) -> None:
        """Give a word its slot before a step asks for one."""
        slot = self["slots"]
        self.map[address], self.address_of[slot] = slot, address
        self.memory[slot] = self.origin[slot] = self.initial[address]
        self["slots"] = slot + 1

    def number_lock(self, address: int) -> None:
        """Give a lock the next bit, unless it has one."""
        locks = self["locks"]
        if address not in self.lock_words[:locks]:
            self.lock_words[locks] = address
            self["locks"] = locks + 1

    def narrow(self, remains: Iterable[tuple[object, np.ndarray]]) -> bool:
        """Leave every word those of its candidate locks that all of `remains`, (which words, their locksets), leave it.

        Returns whether a word has lost its last one: whoever took it for guarded, and so invisible, in the level before was wrong."""
        guarded = self.guard != 0
        for which, locksets in remains:
            self.guard[which] &= locksets
        return bool((guarded & (self.guard == 0)).any())

    def widen(self) -> None:
        """Room for twice as many slots."""
        limit = 2 * self["slot_limit"]
        for name in ("memory", "origin", "address_of"):
            array = np.concatenate([getattr(self, name), np.zeros(limit // 2, np.int64)])
            setattr(self, name, array)
            self[name] = array.ctypes.data
        self["slot_limit"] = self["room"] = limit

    def slot_addresses(self) -> list[int]:
        """Words that have a slot, in order."""
        return self.address_of[: self["slots"]].tolist()

    def __getitem__(self, name: str) -> int:
        return int(self.context[AT[name]])

    def __setitem__(self, name: str, value: int) -> None:
        self.context[AT[name]] = value

    def start(self) -> None:
        """Every thread before its first call."""
        self.blocks[:] = 0
        for thread in range(self.threads):
            self.blocks[thread * self.stride] = self.compiled.layout.starts[self.classes[thread]]
        slots = self["slots"]
        self.memory[:slots] = self.origin[:slots]
        self["journaled"] = 0

    def step(self, thread: int) -> int:
        self["journaled"] = 0
        return self._step(self.context.ctypes.data, thread)

    def drain(self, thread: int) -> int:
        self["journaled"] = 0
        return self._drain(self.context.ctypes.data, thread)

    def pc(self, thread: int) -> int:
        return int(self.blocks[thread * self.stride])

    def buffered(self, thread: int) -> list[tuple[int, int, int]]:
        """(address, value, bytes) of the stores in a thread's buffer, oldest first. `bytes` has a bit for each byte stored, 0 means all."""
        base = thread * self.stride
        count = int(self.blocks[base + 1])
        pairs = self.blocks[base + HEADER : base + HEADER + 2 * count]
        return [(int(a) & ADDRESS_BITS, part_of(int(v), int(a) >> PART_SHIFT), int(a) >> PART_SHIFT) for a, v in pairs.reshape(-1, 2)]

    def asleep(self, thread: int) -> int:
        """The word that a thread sleeps on, 0 when it does not sleep."""
        awaited = int(self.blocks[thread * self.stride + 2])
        return (awaited & ~ASLEEP) >> ASLEEP_SHIFT if awaited & ASLEEP else 0

    def word(self, address: int) -> int:
        """The word in memory, whatever buffers hold."""
        slot = int(self.map[address])
        return int(self.memory[slot]) if slot >= 0 else int(self.initial[address])
