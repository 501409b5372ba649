"""machine: a scenario made executable: its compiled step function, its memory, the blocks of its threads."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np

from gnomon.check.context import AT, EVERYTHING, FIELDS, HEADER
from gnomon.check.emit import emit
from gnomon.check.layout import Layout
from gnomon.check.native import compile_text
from gnomon.check.scenario import Scenario
from gnomon.check.simplify import simplify

MODELS = ("sc", "tso")
JOURNAL = 4096


@dataclass
class Compiled:
    """The parts that do not depend on memory model or bounds."""

    layout: Layout
    step: int
    drain: int


def compile_scenario(scenario: Scenario) -> Compiled:
    program = scenario.program()
    simplify(program)
    layout = Layout(program)
    native = compile_text(emit(program, layout))
    return Compiled(layout, native.address("step"), native.address("drain"))


class Machine:
    """One run's memory and context. `start()` puts it into the initial state; `step`/`drain` move it."""

    def __init__(self, scenario: Scenario, compiled: Compiled, model: str, buffer: int, slots: int, visible: set[int] | None):
        """`visible` is the set of words known to need scheduling points; None: all of them (no reduction)."""
        if model not in MODELS:
            raise ValueError(f"no memory model {model!r}; there are {', '.join(MODELS)}")
        self.scenario, self.compiled, self.model = scenario, compiled, model
        self.threads = len(scenario.threads)
        observers = len(scenario.always_properties) + len(scenario.end_properties)
        self.stride = HEADER + 2 * buffer + compiled.layout.registers
        words = scenario.arena.words
        self.initial = words.copy()
        self.map = np.full(len(words), -1, np.int32)
        self.memory, self.origin, self.mask, self.address_of = (np.zeros(slots, np.int64) for _ in range(4))
        self.significant = np.full(len(words), -1, np.int64)
        for at, bits in scenario.significant.items():
            self.significant[at] = bits
        self.journal = np.zeros(2 * JOURNAL, np.int64)
        self.blocks = np.zeros((self.threads + observers) * self.stride, np.int64)
        self.guard = np.zeros(len(words), np.int64)
        if visible is not None:
            self.guard[:] = EVERYTHING
            self.guard[list(visible)] = 0
        self.lock_words = np.zeros(64, np.int64)
        self.context = np.zeros(len(FIELDS), np.int64)
        pointers = {"map": self.map, "initial": self.initial, "memory": self.memory, "origin": self.origin, "address_of": self.address_of}
        pointers |= {"mask": self.mask, "significant": self.significant}
        pointers |= {"journal": self.journal, "blocks": self.blocks, "guard": self.guard, "lock_words": self.lock_words}
        for name, array in pointers.items():
            self[name] = array.ctypes.data
        self["words"], self["slot_limit"], self["stride"], self["threads"] = len(words), slots, self.stride, self.threads
        self["tso"], self["buffer"] = int(model == "tso"), buffer
        if scenario.owners is not None:
            owners = scenario.owners
            self["owners"], self["owned_from"], self["owned_to"], self["granule"] = owners.at, owners.first, owners.last, owners.granule
            self["owner_mask"] = owners.mask
        kind = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64)
        self._step, self._drain = kind(compiled.step), kind(compiled.drain)
        self.starts = np.array(compiled.layout.starts[self.threads :] or [0], np.int64)

    def __getitem__(self, name: str) -> int:
        return int(self.context[AT[name]])

    def __setitem__(self, name: str, value: int) -> None:
        self.context[AT[name]] = value

    def start(self) -> None:
        """Every thread before its first call."""
        self.blocks[:] = 0
        for thread in range(self.threads):
            self.blocks[thread * self.stride] = self.compiled.layout.starts[thread]
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

    def buffered(self, thread: int) -> list[tuple[int, int]]:
        """(address, value) of the stores in a thread's buffer, oldest first."""
        base = thread * self.stride
        count = int(self.blocks[base + 1])
        pairs = self.blocks[base + HEADER : base + HEADER + 2 * count]
        return [(int(a), int(v)) for a, v in pairs.reshape(-1, 2)]

    def word(self, address: int) -> int:
        """The word in memory, whatever buffers hold."""
        slot = int(self.map[address])
        return int(self.memory[slot]) if slot >= 0 else int(self.initial[address])
