"""The lowered form of kernels: blocks of three-address operations on named registers, each with its source line.

An operand is an int (a constant) or a str (a register of the function). A step of the explorer begins at a *point*, which is
an operation that touches shared memory or waits for it, and ends before the next one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_THREADS = 8
"""Threads of a scenario."""
Operand = int | str
Place = tuple[str, int, str]
"""Where an operation comes from: file, line, name of the kernel."""

_BITS = ("cmpxchg", "xchg", "fetch_add", "fetch_or", "fetch_and", "fetch_xor")
LOCKED_WORD = (*_BITS, "note", "fetch_min", "fetch_max", "fetch_minu", "fetch_maxu")
LOCKED_HALF = tuple(kind + "32" for kind in LOCKED_WORD if kind != "note")
LOCKED = (*LOCKED_WORD, *LOCKED_HALF)
"""Accesses that reach memory at once. `note` is the observer's store: it does not wait for the store buffer, as the others do."""
PART = ("read_part", "write_part", *LOCKED_HALF)
"""Accesses to some bytes of a word: behind the address comes the set of these bytes, a bit each."""
FUTEX = ("futex_wait", "futex_wake")
POINTS = ("read", "write", "read_part", "write_part", *LOCKED, *FUTEX, "mb", "membarrier", "choose")
"""Operations at which the scheduler may switch. Their arguments: an address, then operands; `choose`: how many choices."""


@dataclass(slots=True)
class Op:
    kind: str
    dest: str | None
    args: tuple[Operand, ...]
    place: Place
    callee: Function | None = None

    @property
    def is_point(self) -> bool:
        return self.kind in POINTS


@dataclass(slots=True)
class End:
    """How a block ends: jump (targets[0]), branch (args[0] ? targets[0] : targets[1]) or return (args[0])."""

    kind: str
    args: tuple[Operand, ...]
    targets: tuple[int, ...]
    place: Place


@dataclass(slots=True)
class Block:
    ops: list[Op]
    end: End


@dataclass(eq=False)
class Function:
    name: str
    file: str
    params: tuple[str, ...]
    blocks: dict[int, Block]
    entry: int

    def callees(self) -> Iterator[Function]:
        for block in self.blocks.values():
            for op in block.ops:
                if op.callee is not None:
                    yield op.callee


@dataclass(slots=True)
class Program:
    """Every function that some thread or property can reach; `mains` are the pseudo-functions that threads begin in."""

    mains: list[Function]
    functions: list[Function] = field(default_factory=list)

    def __post_init__(self):
        seen: dict[int, Function] = {}

        def visit(function):
            if id(function) in seen:
                return
            seen[id(function)] = function
            for callee in function.callees():
                visit(callee)

        for main in self.mains:
            visit(main)
        self.functions = list(seen.values())
