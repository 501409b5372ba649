"""futures: which words each thread may still touch from where it is, learned during the search: the basis of partial-order reduction.

A row of bits for every program counter of every thread (threads that run the same program share rows): words that may be read from
there on, words that may be written. Only words that several threads touch have a bit; bit 0 stands for membarrier(), which looks at
all store buffers. The search starts from what was seen so far, checks every transition against it, and starts anew with more when
one does what was not foreseen, as the reduction to private words does. What a worker notes becomes known between two levels, when all
rest: so what is known in a level, and with it which states there are, does not depend on who explores what when.

An action of a thread is taken alone, without its alternatives, when no other thread may ever do anything that conflicts with it
(a persistent set of one), no property of every state looks at what it writes, and it goes forward in the program (so that no
cycle of states leaves anybody out). Then every final state, every deadlock, every broken expectation and every fair cycle of the full
search is still found.
"""

from __future__ import annotations

import numpy as np

from gnomon.check.compiled import inlined, native
from gnomon.check.context import ADDRESS_BITS, AT
from gnomon.check.form import FUTEX, LOCKED, Program
from gnomon.check.layout import Layout
from gnomon.check.space import FENCED, HALF, KIND, LIFE, LIFE_ENDS, NOTED, ROWS, TOUCHED, WAYS

LOCAL, READ, WRITE, PUSH, FENCE = range(5)
"""Kinds of an action: touches nothing shared; reads; writes or is a locked operation; puts a store into the buffer; membarrier()."""
WORDS, OWNERS, FROM, TO, GRANULE = (AT[n] for n in ("words", "owners", "owned_from", "owned_to", "granule"))


@inlined
def _life(C, address):
    """The life that a store to this word may begin or end, 0 if it owns no granule."""
    which = address - C[OWNERS]
    return C[WORDS] + which if 0 <= which < (C[TO] - C[FROM]) >> C[GRANULE] else np.int64(0)


@native
def _conflicts(kind, address, thread, p, shape, row):
    """May another thread do something that does not commute with this action, or a property see it?"""
    if kind == LOCAL:
        return False
    R, learned, half = p.blocks, p.learned, p.meta[HALF]
    bit = np.int64(-1)
    if kind != PUSH:
        bit = np.int64(p.index[address])
        if bit < 0:
            return True
    word, mask = bit >> 6, np.int64(1) << (bit & 63)
    if kind == WRITE and p.watched[word] & mask:
        return True
    for other in range(shape.threads):
        if other == thread:
            continue
        base = row.blocks + other * shape.stride
        at = (p.classes[other] * p.meta[ROWS] + R[base]) * 2 * half
        if kind == PUSH:
            if learned[at + half] & 1:
                return True
            continue
        if learned[at + half + word] & mask:
            return True
        if kind == WRITE and learned[at + word] & mask:
            return True
        for entry in range(R[base + 1]):
            stored = R[base + 4 + 2 * entry] & ADDRESS_BITS
            if stored == address or _life(p.context, stored) == address:
                return True
    return False


@inlined
def alone(p, shape, row, thread, before, held):
    """Whether the step that was just made, from `before` and with locks `held`, may be taken without its alternatives."""
    meta, base = p.meta, row.blocks + thread * shape.stride
    if meta[FENCED] or p.rank[p.blocks[base]] <= p.rank[before]:
        return False
    kind = meta[KIND]
    if kind == PUSH and p.blocks[base + 3] != held:
        kind = WRITE  # gives a lock back: not alone while others may try it, or that they share it stays unseen
    if meta[LIFE] and _conflicts(WRITE if meta[LIFE_ENDS] else READ, meta[LIFE], thread, p, shape, row):
        return False
    return not _conflicts(kind, meta[TOUCHED], thread, p, shape, row)


@inlined
def drained_alone(p, shape, row, target, thread):
    """Whether the drain of a store to `target` may be done without its alternatives: nobody looks at the word, or asks for the buffer."""
    if _conflicts(WRITE, target, thread, p, shape, row):
        return False
    life = _life(p.context, target)
    if life and p.index[life] >= 0 and _conflicts(WRITE, life, thread, p, shape, row):
        return False
    for other in range(shape.threads):
        at = (p.classes[other] * p.meta[ROWS] + p.blocks[row.blocks + other * shape.stride]) * 2 * p.meta[HALF]
        if other != thread and p.learned[at + p.meta[HALF]] & 1:
            return False
    return True


@inlined
def _mark(noted, row, bit):
    """Set a word's bit in a row, if the word has one. Returns 1 if it was not set."""
    if bit < 0:
        return 0
    at, mask = row + (bit >> 6), np.int64(1) << (bit & 63)
    if noted[at] & mask:
        return 0
    noted[at] |= mask
    return 1


@native
def note(p, base, cls, before):
    """Note how the thread whose block begins at `base` went on from `before`, for this worker alone, and count facts that are new.

    `went` has a bit for every pair of program counters, `ways` the pairs whose bit is set, as rows."""
    R, meta, noted, went, index = p.blocks, p.meta, p.noted, p.went, p.index
    kind, rows, half, after = meta[KIND], meta[ROWS], meta[HALF], R[base]
    row = (cls * rows + before) * 2 * half
    new = 0
    if meta[FENCED] and noted[row + half] & 1 == 0:
        noted[row + half] |= 1
        new += 1
    if kind == READ or kind == WRITE or kind == PUSH:
        new += _mark(noted, row + (0 if kind == READ else half), np.int64(index[meta[TOUCHED]]))
    if meta[LIFE]:
        new += _mark(noted, row + (half if meta[LIFE_ENDS] else 0), np.int64(index[meta[LIFE]]))
    for entry in range(R[base + 1]):
        stored = R[base + 4 + 2 * entry] & ADDRESS_BITS
        life = _life(p.context, stored)
        new += _mark(noted, row + half, np.int64(index[stored]))
        if life:
            new += _mark(noted, row + half, np.int64(index[life]))
    at = (cls * rows + before) * ((rows + 63) >> 6) + (after >> 6)
    mask = np.int64(1) << (after & 63)
    if went[at] & mask == 0:
        went[at] |= mask
        p.ways[2 * meta[WAYS]], p.ways[2 * meta[WAYS] + 1] = cls * rows + before, cls * rows + after
        meta[WAYS] += 1
        new += 1
    meta[NOTED] += new


@native
def gather(learned, noted):
    """Add what a worker noted. Returns 1 if anything was new."""
    new = 0
    for i in range(len(learned)):
        if noted[i] & ~learned[i] != 0:
            learned[i] |= noted[i]
            new = 1
    return new


@native
def carry_back(learned, ways, known, half):
    """What may happen from where a way leads may happen from where it begins. Returns 1 if anything changed."""
    new = 0
    for i in range(known - 1, -1, -1):
        row, following = ways[2 * i] * 2 * half, ways[2 * i + 1] * 2 * half
        for k in range(2 * half):
            more = learned[following + k] & ~learned[row + k]
            if more != 0:
                learned[row + k] |= more
                new = 1
    return new


class Futures:
    """What was learned, by word, so that it outlives a change of the numbering."""

    def __init__(self, layout: Layout, words: int, classes: int, tso: bool):
        self.rows = len(layout.points) + len(layout.starts)
        self.classes, self.words = classes, words
        self.kinds = np.array([_kind(p, tso) for p in layout.points] + [LOCAL] * len(layout.starts), np.int64)
        self.rank = _ranks(layout)
        self.index = np.full(words, -1, np.int32)
        self.visible: list[int] = []
        self.half = 1
        self.learned = np.zeros(classes * self.rows * 2, np.int64)
        self.watched = np.zeros(1, np.int64)

    def gather(self, noted: np.ndarray, looked: np.ndarray) -> bool:
        """Add what somebody noted of threads and of observers. Returns whether anything was new."""
        return bool(gather(self.learned, noted) | gather(self.watched, looked))

    def carry_back(self, ways: list[np.ndarray]) -> bool:
        """Let everything known count from wherever these ways, rows of pairs, begin. Returns whether anything was new."""
        new = False
        while any([carry_back(self.learned, pairs, len(pairs) // 2, self.half) for pairs in ways]):
            new = True
        return new

    def number(self, visible) -> None:
        """Give the words that several threads touch their bits, keeping what was learned of them."""
        visible = sorted(visible)
        half = (len(visible) + 64) // 64
        index = np.full(self.words, -1, np.int32)
        index[visible] = np.arange(1, len(visible) + 1)
        moved = np.array([0, *(int(index[w]) for w in self.visible)], np.int64)
        rows = _spread(self.learned.reshape(-1, 2, self.half), moved, half)
        watched = _spread(self.watched.reshape(1, 1, self.half), moved, half)
        self.index, self.visible, self.half = index, visible, half
        self.learned, self.watched = rows.reshape(-1), watched.reshape(-1)


def _spread(rows: np.ndarray, moved: np.ndarray, half: int) -> np.ndarray:
    """The same sets of bits with bit i at moved[i]."""
    if (moved == np.arange(len(moved))).all() and rows.shape[2] == half:
        return rows
    old = np.unpackbits(np.ascontiguousarray(rows).view(np.uint8), axis=2, bitorder="little")
    new = np.zeros((*rows.shape[:2], 64 * half), np.uint8)
    new[:, :, moved] = old[:, :, : len(moved)]
    return np.packbits(new, axis=2, bitorder="little").view(np.int64)


def _kind(point, tso: bool) -> int:
    if point is None or point.op.kind in ("choose", "mb"):
        return LOCAL
    if point.op.kind == "membarrier":
        return FENCE
    if point.op.kind in ("write", "write_part"):
        return PUSH if tso else WRITE
    return WRITE if point.op.kind in LOCKED or point.op.kind in FUTEX else READ  # sleeping and waking do not commute


def _ranks(layout: Layout) -> np.ndarray:
    """A number for every program counter, greater after every step that is not round a loop or back into a called kernel; 0 is the end."""
    program: Program = layout.program
    order: list = []
    seen: set = set()
    for main in program.mains:
        todo = [(main, main.entry, iter(_onward(layout, main, main.entry)))]
        seen.add((main, main.entry))
        while todo:
            function, label, onward = todo[-1]
            following = next((n for n in onward if n not in seen), None)
            if following is None:
                order.append((function, label))
                todo.pop()
            else:
                seen.add(following)
                todo.append((*following, iter(_onward(layout, *following))))
    position = {block: n for n, block in enumerate(reversed(order))}
    ranks = np.zeros(len(layout.points) + len(layout.starts), np.int64)
    for p in layout.points[1:]:
        ranks[p.pc] = 1 + (position.get((p.function, p.label), 0) << 16) + p.index
    ranks[0] = 1 << 62
    return ranks


def _onward(layout: Layout, function, label) -> list:
    """Blocks that control may reach next: callees first, then targets, or the blocks of the callers."""
    block = function.blocks[label]
    found = [(op.callee, op.callee.entry) for op in block.ops if op.callee is not None]
    found += [(function, target) for target in block.end.targets]
    if block.end.kind == "return":
        found += [(caller, at) for caller, at, _ in layout.frames[function].sites]
    return found
