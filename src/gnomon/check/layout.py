"""layout: where the registers of a program live between two steps, and where its points are.

No kernel is recursive, so every function has one frame a thread, at a fixed place behind the frames of its callers. A frame
holds only registers that are alive at some point or across some call; registers that are never alive together share a slot.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gnomon.check.form import Function, Op, Program
from gnomon.check.liveness import live_after_ops, live_in


@dataclass(slots=True)
class Point:
    """A place where the scheduler may switch: operation `index` of a block; its step begins at operation `begin`."""

    pc: int
    function: Function
    label: int
    index: int
    begin: int
    live: frozenset[str]
    op: Op


@dataclass(slots=True)
class Frame:
    """How one function keeps its registers."""

    slots: dict[str, int] = field(default_factory=dict)
    size: int = 0
    offset: int = 0
    return_slot: int = -1
    sites: list[tuple[Function, int, int]] = field(default_factory=list)
    after: dict[int, list[frozenset[str]]] = field(default_factory=dict)
    points: dict[tuple[int, int], Point] = field(default_factory=dict)


class Layout:
    """Frames of all functions of a program, its points by pc (1 … n; 0 is the end), and the start pc of each main."""

    def __init__(self, program: Program):
        self.program = program
        self.frames: dict[Function, Frame] = {f: Frame() for f in program.functions}
        self.points: list[Point | None] = [None]
        for function in program.functions:
            self._find_points(function)
            self._color(function)
        self.starts = [len(self.points) + n for n in range(len(program.mains))]
        for function in program.functions:
            for label, block in function.blocks.items():
                for i, op in enumerate(block.ops):
                    if op.callee is not None:
                        self.frames[op.callee].sites.append((function, label, i))
        for frame in self.frames.values():
            if len(frame.sites) > 1:
                frame.return_slot = frame.size
                frame.size += 1
        for function in _callers_first(program):
            frame = self.frames[function]
            for callee in function.callees():
                below = self.frames[callee]
                below.offset = max(below.offset, frame.offset + frame.size)
        self.registers = max((f.offset + f.size for f in self.frames.values()), default=0)

    def _find_points(self, function: Function) -> None:
        frame = self.frames[function]
        alive = live_in(function)
        for label, block in function.blocks.items():
            after = frame.after[label] = live_after_ops(block, alive)
            before = [alive[label], *after]
            for i, op in enumerate(block.ops):
                if op.is_point:
                    begin = best = i
                    while begin > 0 and _movable(block.ops[begin - 1], after[i]):
                        begin -= 1
                        if len(before[begin]) < len(before[best]):
                            best = begin
                    point = Point(len(self.points), function, label, i, best, before[best], op)
                    self.points.append(point)
                    frame.points[label, i] = point

    def _color(self, function: Function) -> None:
        """Give every register that must outlive a step a slot; registers alive together get different ones."""
        frame = self.frames[function]
        kept: set[str] = set()
        for point in frame.points.values():
            kept |= point.live
        for label, block in function.blocks.items():
            for i, op in enumerate(block.ops):
                if op.callee is not None:
                    kept |= frame.after[label][i] - {op.dest}
        conflicts: dict[str, set[str]] = {name: set() for name in kept}

        def together(names):
            for a in names & kept:
                conflicts[a] |= names & kept - {a}

        alive = live_in(function)
        together(set(alive[function.entry]) | set(function.params))
        for label, block in function.blocks.items():
            for op, live in zip(block.ops, frame.after[label], strict=True):
                if op.dest in kept:
                    for other in (live & kept) - {op.dest}:
                        conflicts[op.dest].add(other)
                        conflicts[other].add(op.dest)
        for name in sorted(kept, key=lambda n: (-len(conflicts[n]), n)):
            taken = {frame.slots[other] for other in conflicts[name] if other in frame.slots}
            frame.slots[name] = next(s for s in range(len(kept)) if s not in taken)
        frame.size = 1 + max(frame.slots.values(), default=-1)


def _movable(op: Op, live_after_point: frozenset[str]) -> bool:
    """Whether a local operation may run at the beginning of the point's step instead of at the end of the step before."""
    return not op.is_point and op.callee is None and op.kind not in ("expect", "acquired", "released") and op.dest not in live_after_point


def _callers_first(program: Program) -> list[Function]:
    order: list[Function] = []
    seen: set[Function] = set()

    def visit(function):
        if function in seen:
            return
        seen.add(function)
        for callee in function.callees():
            visit(callee)
        order.append(function)

    for main in program.mains:
        visit(main)
    return order[::-1]
