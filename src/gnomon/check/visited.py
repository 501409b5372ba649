"""visited: the set of states seen, 16 bytes an entry, as 128-bit fingerprints in one open-addressed table without locks.

A state's fingerprint is the XOR, over its words, of a mix of (which word, value): a step changes it by the words it changed. Threads
that run the same program contribute a sum instead, so that states which differ only in which of them is where count as one.
Two states with one fingerprint would be taken for one; with n states the chance that this ever happens in a run is below
n² / 2**129, which every result prints. Capacity is any number of cache lines (no power of two), so that the table can grow by a third
and stays at least three fifths full: a state costs at most 32 bytes, its part of the tree of predecessors included. The search for a
fingerprint begins at the first entry of a cache line, so that it seldom looks at a second one.

Several workers enter states at once. An entry belongs to whoever swaps its first word from 0; the second word follows, and whoever
finds the first one equal waits for it. Neither word of a fingerprint is 0. The table grows while no worker runs.
"""

from __future__ import annotations

import os
from typing import NamedTuple

import numpy as np

from gnomon.check.compiled import acquire, claim, native, pointers
from gnomon.lang.arena import PAGE_SIZE, PAGE_WORDS, Arena

LINE = 4
"""Entries of a cache line."""
LEAST = 8192
"""Entries by which a table grows at least, and half of which it begins with."""
HUGE = 2 << 20
"""Bytes of a large page of most hosts: a table up to this size does without."""
FULL = 0.8
"""Part of a table that may be in use: beyond it the search for a free entry grows long."""
M1, M2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)
STEP = np.uint64(0x9E3779B97F4A7C15)
S32, S33 = np.uint64(32), np.uint64(33)
ZERO, ONE = np.uint64(0), np.uint64(1)


@native
def mix(x):
    """A bijection of 64 bits in which every bit of the result depends on every bit of x (Appleby's finaliser)."""
    x = (x ^ (x >> S33)) * M1
    x = (x ^ (x >> S33)) * M2
    return x ^ (x >> S33)


@native
def key(number):
    """Key number `number` of an endless row of unrelated ones."""
    return mix(np.uint64(number) * STEP + STEP)


@native
def change(k, old, new):
    """What a word with key `k` adds to a fingerprint when it changes from `old` to `new`."""
    return mix(k ^ np.uint64(old)) ^ mix(k ^ np.uint64(new))


@native
def place(capacity, first):
    """Entry where the search for a fingerprint begins. It grows with the fingerprint, so that growing reads and writes in order."""
    return np.int64(((first >> S32) * np.uint64(capacity)) >> S32) & -LINE


@native
def enter(table_at, capacity, first, second):
    """Entry of this fingerprint, or -1 - entry of a free one that is now ours: the caller publishes its second word."""
    at = place(capacity, first)
    while True:
        here = table_at + 16 * at
        a = acquire(here)
        if a == ZERO:
            a = claim(here, first)  # two workers with two states here: one of them goes on to the next entry
            if a == ZERO:
                return -1 - at
        if a == first:
            b = acquire(here + 8)
            while b == ZERO:
                b = acquire(here + 8)  # its owner is between the two words
            if b == second:
                return at
        at += 1
        if at == capacity:
            at = 0


@native
def _spread(table, end, capacity, aside, kept):
    """Move the entries before `end` to where they belong in a table of `capacity` entries, alone, the last one first.

    Most belong further up, where no entry is that has not moved yet. Those that do not, and those that would go on at the beginning,
    are put `aside`. Returns how many are left before `end`, not 0 when there is no room aside, and how many are aside."""
    p = pointers(table)
    numbered = len(table.numbers) > 0
    while end > 0 and 3 * kept < len(aside):
        end -= 1
        a, b = p.words[2 * end], p.words[2 * end + 1]
        if a == ZERO:
            continue
        number = p.numbers[end] if numbered else np.uint32(0)
        p.words[2 * end] = p.words[2 * end + 1] = ZERO
        at = place(capacity, a)
        if at < end:
            at = capacity
        while at < capacity and p.words[2 * at] != ZERO:
            at += 1
        if at == capacity:
            aside[3 * kept], aside[3 * kept + 1], aside[3 * kept + 2] = a, b, number
            kept += 1
            continue
        p.words[2 * at], p.words[2 * at + 1] = a, b
        if numbered:
            p.numbers[at] = number
    return end, kept


@native
def _bring_back(table, capacity, aside, kept):
    """Enter what was put aside."""
    p = pointers(table)
    for i in range(kept):
        at = place(capacity, aside[3 * i])
        while p.words[2 * at] != ZERO:
            at = at + 1 if at + 1 < capacity else 0
        p.words[2 * at], p.words[2 * at + 1] = aside[3 * i], aside[3 * i + 1]
        if len(table.numbers):
            p.numbers[at] = aside[3 * i + 2]


class Table(NamedTuple):
    """Two words an entry, and the number of its state where somebody asks for it."""

    words: np.ndarray
    numbers: np.ndarray


def spread(table: Table, entries: int) -> None:
    """Move the first `entries` of a table, which was no larger, to where they belong in all of it, while nobody enters any."""
    capacity = len(table.words) // 2
    aside = np.zeros(3 * 1024, np.uint64)
    left, kept = _spread(table, entries, capacity, aside, 0)
    while left:
        aside = np.concatenate([aside, np.zeros_like(aside)])
        left, kept = _spread(table, left, capacity, aside, kept)
    _bring_back(table, capacity, aside, kept)


class Visited:
    """The memory of the table: address space for as much as it may ever need, of which only what is in use costs anything."""

    def __init__(self, memory: int, numbered: bool):
        """`memory` is what the whole search may take, in bytes. Raises MemoryError."""
        memory = min(memory, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        self._words = _reserve(memory + (memory >> 1))
        self._numbers = _reserve(self._words.nbytes >> 2).view(np.uint32) if numbered else np.zeros(0, np.uint32)
        self.capacity = LEAST >> 1

    @property
    def table(self) -> Table:
        return Table(self._words[: 2 * self.capacity], self._numbers[: self.capacity])

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.table)

    def room(self, states: int) -> int:
        """How many states may still be entered when there are `states` in it."""
        return int(self.capacity * FULL) - states

    def grow(self) -> None:
        """Make it larger, while no worker runs. Raises MemoryError."""
        old, self.capacity = self.capacity, self.capacity + (max(self.capacity // 3, LEAST) & -LINE)
        if 2 * self.capacity > len(self._words):
            self.capacity = old
            raise MemoryError
        spread(self.table, old)


def _reserve(size: int) -> np.ndarray:
    """Words that read as 0 and cost memory once they are touched: `size` bytes of them, or as many as the host gives."""
    while True:
        try:
            arena = Arena(max(size // PAGE_SIZE, 64) * PAGE_WORDS)
        except MemoryError:
            if size < HUGE:
                raise
            size >>= 1
            continue
        if len(arena) * 8 > HUGE:
            arena.prefer_huge_pages(HUGE // PAGE_SIZE)
        return arena.words.view(np.uint64)


def omission_probability(states: int) -> float:
    """Upper bound of the chance that two different states of a run shared a fingerprint."""
    return states * states / 2.0**129
